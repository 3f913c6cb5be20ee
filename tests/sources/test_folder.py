import os
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from mutagen.flac import FLAC

from kg.audio import workers as workers_module
from kg.audio.decode import decode
from kg.audio.requests import AnyRequest, ReadTags
from kg.audio.tags import Tags, read_tags
from kg.errors import AudioError, KgError, WrongUsageError
from kg.files import content_id, normal, why_unreadable
from kg.sources import folder as folder_module
from kg.sources.folder import scan
from tests.audio.sounds import noise, write
from tests.audio.test_extract import Recorder
from tests.waiting import DEADLINE


def song(path: Path, seed: int, **tags: str) -> Path:
    write(path, noise(0.2, seed=seed), format="FLAC")
    if tags:
        file = FLAC(path)
        file.update(tags)
        file.save()
    return path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    root = tmp_path / "library"
    song(root / "blues" / "b.flac", 1, title="Blue", artist="Ann", album="One", date="1990")
    song(root / "blues" / "a.flac", 2)
    song(root / "rock" / "c.flac", 3, artist="Ben", genre="Metal")
    (root / "rock" / "cover.jpg").write_bytes(b"picture")
    return root


def test_genre_layout(library: Path) -> None:
    found = scan([library])
    assert found.genres_from == "folder"
    assert found.rejected == []
    assert [record.path for record in found.records] == [
        library / "blues" / "a.flac",
        library / "blues" / "b.flac",
        library / "rock" / "c.flac",
    ]
    first, second, third = found.records
    assert (first.title, first.artist, first.genres) == ("a", None, ("blues",))
    assert (second.title, second.artist, second.album, second.year) == ("Blue", "Ann", "One", 1990)
    assert (third.genres, third.genre_source) == (("rock",), "folder")
    assert second.id == content_id(library / "blues" / "b.flac")
    assert len(second.id) == 32


def test_layout_below_one_more_folder_and_as_several_arguments(library: Path) -> None:
    assert scan([library.parent]).genres_from == "folder"
    parts = scan([library / "blues", library / "rock"])
    assert parts.genres_from == "folder"
    assert [record.genres for record in parts.records] == [("blues",), ("blues",), ("rock",)]


def test_what_is_asked_for_is_done(library: Path) -> None:
    by_tag = scan([library], "tag")
    assert [record.genres for record in by_tag.records] == [(), (), ("Metal",)]
    assert [record.genre_source for record in by_tag.records] == ["", "", "tag"]
    assert all(record.genres == () for record in scan([library], "none").records)


def test_one_genre_only(library: Path) -> None:
    assert scan([library / "blues"]).genres_from == "none"
    assert scan([library / "rock"]).genres_from == "tag"
    found = scan([library / "blues"], "folder")
    assert {record.genres for record in found.records} == {("blues",)}


def test_artist_and_album_layouts_are_no_genres(tmp_path: Path) -> None:
    nested = tmp_path / "nested"
    song(nested / "Ann" / "One" / "a.flac", 1)
    song(nested / "Ben" / "Two" / "b.flac", 2)
    assert scan([nested]).genres_from == "none"

    artists = tmp_path / "artists"
    song(artists / "Ann" / "a.flac", 1, artist="Ann", genre="Folk")
    song(artists / "Ben" / "b.flac", 2, artist="Ben")
    assert scan([artists]).genres_from == "tag"

    albums = tmp_path / "albums"
    song(albums / "1990 - First" / "a.flac", 1, artist="Ann", album="First")
    song(albums / "1992 - Second" / "b.flac", 2, artist="Ann", album="Second")
    assert scan([albums]).genres_from == "none"


def test_same_bytes_are_one_song_in_both_genres(library: Path) -> None:
    shutil.copy(library / "rock" / "c.flac", library / "blues" / "z.flac")
    shutil.copy(library / "rock" / "c.flac", library / "rock" / "again.flac")
    records = scan([library]).records
    assert len(records) == 3
    [both] = [record for record in records if len(record.genres) > 1]
    assert both.genres == ("blues", "rock")
    assert both.path == library / "blues" / "z.flac"
    assert both.paths == (
        library / "blues" / "z.flac",
        library / "rock" / "again.flac",
        library / "rock" / "c.flac",
    )


def test_overlapping_arguments_and_single_files(library: Path) -> None:
    one = library / "rock" / "c.flac"
    assert len(scan([library, library / "rock", one]).records) == 3
    unnamed = song(library / "download", 9)
    assert [record.path for record in scan([unnamed]).records] == [unnamed]


def test_relative_paths_become_absolute(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(library)
    assert [record.path for record in scan([Path("rock")]).records] == [library / "rock" / "c.flac"]


def test_hidden_things_are_left_out(library: Path) -> None:
    song(library / ".hidden" / "a.flac", 10)
    song(library / "__MACOSX" / "a.flac", 11)
    song(library / "rock" / "._c.flac", 12)
    assert len(scan([library]).records) == 3


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
def test_links_and_pipes(library: Path) -> None:
    (library / "rock" / "loop").symlink_to(library)
    (library / "rock" / "self").symlink_to(library / "rock" / "self")
    (library / "rock" / "gone.mp3").symlink_to(library / "nowhere.mp3")
    os.mkfifo(library / "rock" / "pipe.mp3")
    found = scan([library])
    assert len(found.records) == 3
    assert [(each.path.name, each.reason) for each in found.rejected] == [
        ("gone.mp3", "a link to a file that isn't there")
    ]
    found = scan([library / "rock" / "pipe.mp3"])
    assert [each.reason for each in found.rejected] == ["a pipe or device, not a file"]


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_unreadable_file_and_folder(library: Path) -> None:
    (library / "link.flac").symlink_to(library / "blues" / "a.flac")
    (library / "self.flac").symlink_to(library / "self.flac")
    (library / "blues").chmod(0)
    (library / "rock" / "c.flac").chmod(0)
    try:
        if os.access(library / "blues", os.R_OK):
            pytest.skip("this user may read everything")
        found = scan([library])
    finally:
        (library / "blues").chmod(0o755)
    assert found.records == []
    assert {each.path.name: each.reason for each in found.rejected} == {
        "blues": "the folder can't be read: no permission",
        "c.flac": "can't be read: no permission",
        "link.flac": "can't be read: no permission",
        "self.flac": "a link that leads back to itself",
    }


def test_name_that_is_no_text(library: Path) -> None:
    path = library / "rock" / "caf\udce9.flac"
    try:
        shutil.copy(library / "blues" / "a.flac", path)
    except (OSError, UnicodeError):
        pytest.skip("this file system wants names that are text")
    (library / "blues" / "a.flac").unlink()
    [record] = [record for record in scan([library]).records if record.path == path]
    assert record.title == r"caf\xe9"


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices of POSIX")
def test_what_would_never_answer(tmp_path: Path) -> None:
    """A pipe in a file's place, also one that takes it between the look and the reading."""
    pipe = tmp_path / "pipe.mp3"
    os.mkfifo(pipe)
    for path, reason in (
        (pipe, "a pipe or device, not a file"),
        (Path("/dev/zero"), "a pipe or device, not a file"),
        (tmp_path, "a folder, not a file"),
        (tmp_path / "gone.mp3", "no longer there"),
    ):
        with pytest.raises(OSError) as caught:
            content_id(path)
        assert why_unreadable(caught.value) == reason
        assert read_tags(path) == Tags()
        with pytest.raises(AudioError) as refused:
            decode(path)
        assert refused.value.reason == reason

    file = write(tmp_path / "song.flac", noise(0.2))
    real = os.open

    def replaced(name: str, flags: int) -> int:
        file.unlink()
        os.mkfifo(file)
        return real(name, flags)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", replaced)
        with pytest.raises(AudioError) as refused:
            decode(file)
    assert refused.value.reason == "a pipe or device, not a file"


# A Musepack file, as a fuzzer found it: mutagen never comes to its end.
ENDLESS = bytes.fromhex(
    "4d50434b53480eef2a7fffffff8300000519527f0c01457d5acc457d5acc45490051011e00534f08"
    "44000000004150047f4150041c4150041c4150041c4150041c4150041c4150041c4150041c415004"
    "1c4150041c4150041c4150041c4150041c4150041c415004105354060112c0534503"
)


def nested(depth: int) -> bytes:
    """An MP4 whose boxes lie in one another."""
    boxes = b""
    for _ in range(depth):
        boxes = struct.pack(">I4s", 8 + len(boxes), b"moov") + boxes
    return struct.pack(">I", 24) + b"ftypM4A \0\0\0\0M4A mp42" + boxes


def bomb(megabytes: int) -> bytes:
    """An ID3 tag that grows a thousandfold when it is unpacked."""

    def size(number: int) -> bytes:
        return bytes((number >> shift) & 127 for shift in (21, 14, 7, 0))

    packer, chunk, check = zlib.compressobj(), b"A" * 2**20, zlib.adler32(b"\3")
    head = packer.compress(b"\3") + packer.flush(zlib.Z_FULL_FLUSH)
    one = packer.compress(chunk) + packer.flush(zlib.Z_FULL_FLUSH)  # needs nothing before it
    for _ in range(megabytes):
        check = zlib.adler32(chunk, check)
    packed = head + one * megabytes + packer.flush()[:-4] + struct.pack(">I", check)
    frame = b"TIT2" + size(len(packed) + 4) + b"\0\x09" + size(megabytes << 20) + packed
    return b"ID3\4\0\0" + size(len(frame)) + frame


def test_tags_that_nobody_can_read_cost_only_themselves(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = {"endless.mpc": ENDLESS, "nested.m4a": nested(3_000), "bomb.mp3": bomb(2_000)}

    def patience(asked: AnyRequest) -> float:
        return 4.0 if isinstance(asked, ReadTags) and asked.path.name in hostile else DEADLINE

    monkeypatch.setattr(workers_module, "patience", patience)
    for name, data in hostile.items():
        (library / "rock" / name).write_bytes(data)
    (library / "blues" / "gone.mp3").symlink_to(library / "nowhere")
    progress = Recorder()
    found = scan([library], progress=progress)
    paths = [record.path for record in found.records]
    assert paths == sorted(paths)
    titles = {record.path.name: record.title for record in found.records if record.path}
    assert {name: titles.get(name) for name in hostile} == {
        "endless.mpc": "endless",
        "nested.m4a": "nested",
        "bomb.mp3": "bomb",
    }
    assert titles["b.flac"] == "Blue"
    assert [each.path.name for each in found.rejected] == ["gone.mp3"]
    assert (progress.done, progress.total, progress.rejected) == (6, 6, 0)


def test_many_files_in_several_processes_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_FEW", 5)
    monkeypatch.setattr(folder_module, "cores", lambda: 3)
    for number in range(20):
        size = 3_000_000 if number % 3 == 0 else 10  # those that take longest are done last
        (tmp_path / f"{number:02}.mp3").write_bytes(bytes([number]) * size)
    (tmp_path / "07.mp3").chmod(0)
    found = scan([tmp_path])
    names = [record.path.name for record in found.records if record.path]
    left = [each.path.name for each in found.rejected]
    assert sorted(names + left) == [f"{number:02}.mp3" for number in range(20)]
    assert names == sorted(names)
    assert left == ([] if os.access(tmp_path / "07.mp3", os.R_OK) else ["07.mp3"])
    for record in found.records:
        assert record.path is not None
        assert record.id == content_id(record.path)
        assert record.modified == record.path.stat().st_mtime_ns


@pytest.mark.skipif(os.name == "nt", reason="folders by descriptor are POSIX")
def test_folders_nested_deeper_than_calls(tmp_path: Path) -> None:
    depth = 1_100
    above = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=above)
        below = os.open("d", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    bottom = tmp_path / Path(*["d"] * depth)
    (bottom / "song.mp3").write_bytes(b"sound")
    song(tmp_path / "a.flac", 1)
    song(tmp_path / "z.flac", 2)
    try:
        paths = [record.path for record in scan([tmp_path]).records]
        assert paths == [tmp_path / "a.flac", bottom / "song.mp3", tmp_path / "z.flac"]
    finally:  # what tidies up afterwards goes no deeper than calls
        (bottom / "song.mp3").unlink()
        while bottom != tmp_path:
            bottom.rmdir()
            bottom = bottom.parent


def test_one_spelling_of_a_path(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(library / "rock")
    given = [Path("../blues"), Path("../../library/./blues"), Path(f"{library}//blues/")]
    paths = [library / "blues" / "a.flac", library / "blues" / "b.flac"]
    for each in [given[:1], given[1:2], given[2:], given]:
        assert [record.path for record in scan(each).records] == paths
    assert normal(Path("~/x")) == Path.home() / "x"
    assert normal(Path("../no/such/../thing")) == library / "no" / "thing"


@pytest.mark.skipif(os.name == "nt", reason="links of POSIX")
def test_up_from_a_link_is_where_it_leads(library: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(library / "rock")
    assert normal(link / "c.flac") == link / "c.flac"
    assert normal(link / ".." / "blues") == library / "blues"
    song(tmp_path / "blues" / "other.flac", 5)  # where `..` would lead if there were no link
    assert normal(link / ".." / "blues") == library / "blues"


def test_a_folder_called_like_a_song(library: Path) -> None:
    song(library / "rock" / "live.mp3" / "d.flac", 4)
    found = scan([library])
    assert library / "rock" / "live.mp3" / "d.flac" in {record.path for record in found.records}
    assert found.rejected == []


def test_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(WrongUsageError, match="nowhere"):
        scan([tmp_path / "nowhere"])
    (tmp_path / "notes.txt").write_text("no music")
    with pytest.raises(KgError, match=r"No audio files in .*\.mp3"):
        scan([tmp_path])


def test_real_genre_folders(data_dir: Path) -> None:
    found = scan([data_dir / "gtzan" / "audio"])
    assert found.genres_from == "folder"
    assert len(found.records) == 60
    assert len({record.genres for record in found.records}) == 10
