import os
import shutil
from pathlib import Path

import pytest
from mutagen.flac import FLAC

from kg.audio.decode import decode
from kg.audio.tags import Tags, read_tags
from kg.errors import AudioError, KgError, WrongUsageError
from kg.files import why_unreadable
from kg.sources.folder import content_id, scan
from tests.audio.sounds import noise, write


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
