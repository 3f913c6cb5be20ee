"""Playlists of every form: what is read, what is left out with a reason, what is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kg.errors import KgError, WrongUsageError
from kg.records import Rejected
from kg.sources.playlists import (
    NESTED,
    STREAM,
    Entry,
    Playlist,
    playlist_files,
    read_playlists,
)


def read(file: Path, content: str | bytes) -> Playlist:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    (found,) = read_playlists(file)
    return found


def first(file: Path, content: str | bytes) -> Entry:
    return read(file, content).entries[0]


def a_slice(*playlists: Any) -> str:
    return json.dumps({"info": {"slice": "0-999"}, "playlists": list(playlists)})


TRACK = {
    "pos": 0,
    "artist_name": "Miles Davis",
    "track_uri": "spotify:track:4vLYewWIvqHfKtJDk8c8tq",
    "track_name": "So What",
    "album_name": "Kind of Blue",
    "duration_ms": 561_000,
}


def test_an_extended_m3u(tmp_path: Path) -> None:
    found = read(
        tmp_path / "evening.m3u8",
        "\ufeff#EXTM3U\r\n#PLAYLIST:Slow evening\r\n# a comment\r\n\r\n"
        "#EXTALB:Kind of Blue\r\n#EXTART:Miles Davis\r\n"
        '#EXTINF:561 tvg-id="x, y",Miles Davis - So What\r\n../music/so what.flac\r\n'
        "#EXTINF:-1,Bill Evans – Peace Piece\r\npeace.mp3\r\n"
        "plain.mp3\r\n",
    )
    assert (found.name, found.kind) == ("Slow evening", "m3u")
    so_what, peace, plain = found.entries
    assert so_what.paths == (str(tmp_path.parent / "music" / "so what.flac"),)
    assert so_what.names[0] == ("Miles Davis", "So What")
    assert so_what.album == "Kind of Blue"
    assert so_what.duration == 561
    assert peace.names == (("Bill Evans", "Peace Piece"),)
    assert peace.duration is None
    assert plain.names == ()


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("/music/a.mp3", ["/music/a.mp3"]),
        ("a/b.mp3", ["{folder}/a/b.mp3"]),
        ("a%20b.mp3", ["{folder}/a%20b.mp3", "{folder}/a b.mp3"]),
        ("100%.mp3", ["{folder}/100%.mp3"]),
        ("file:///music/a%20b%23.mp3", ["/music/a b#.mp3", "/music/a%20b%23.mp3"]),
        ("FILE://localhost/music/a.mp3", ["/music/a.mp3"]),
        ("file:///C:/Music/a.mp3", ["/Music/a.mp3"]),
        ("file://nas/share/a.mp3", ["//nas/share/a.mp3"]),
        (r"C:\Music\a.mp3", ["/Music/a.mp3", r"{folder}/C:\Music\a.mp3"]),
        (r"Music\a.mp3", [r"{folder}/Music\a.mp3", "{folder}/Music/a.mp3"]),
        (r"\\nas\share\a.mp3", [r"{folder}/\\nas\share\a.mp3", "//nas/share/a.mp3"]),
        ("Artist: Title.mp3", ["{folder}/Artist: Title.mp3"]),
    ],
)
def test_paths_as_people_write_them(tmp_path: Path, line: str, paths: list[str]) -> None:
    expected = [path.format(folder=tmp_path) for path in paths]
    assert list(first(tmp_path / "a.m3u", line).paths) == expected


def test_bytes_of_any_age(tmp_path: Path) -> None:
    said = "#EXTINF:1,Björk – Jóga\nBjörk/Jóga.mp3\n"
    for name, raw in {
        "utf-8": said.encode(),
        "bom": said.encode("utf-8-sig"),
        "utf-16": said.encode("utf-16"),
        "windows": said.encode("cp1252"),
    }.items():
        entry = first(tmp_path / f"{name}.m3u", raw)
        assert entry.names[0] == ("Björk", "Jóga"), name
        assert str(tmp_path / "Björk" / "Jóga.mp3") in entry.paths, name
    # A name on disk in the same bytes, which Python holds as surrogates.
    on_disk = os.fsdecode("Björk/Jóga.mp3".encode("cp1252"))
    entry = first(tmp_path / "windows.m3u", said.encode("cp1252"))
    assert f"{tmp_path}/{on_disk}" in entry.paths
    assert f"/m/{on_disk}" in first(tmp_path / "a.m3u", "file:///m/Bj%F6rk/J%F3ga.mp3").paths
    assert first(tmp_path / "odd.m3u", b"\x81\xff.mp3").paths[0].endswith("\x81ÿ.mp3")


def test_a_title_may_be_split_at_any_dash(tmp_path: Path) -> None:
    entry = first(tmp_path / "a.m3u", "#EXTINF:1,A - B - C\nx.mp3")
    assert entry.names == (("A", "B - C"), ("A - B", "C"))
    entry = first(tmp_path / "a.m3u", "03 - Miles Davis - So What.flac")
    assert entry.names == (("Miles Davis", "So What"),)
    entry = first(tmp_path / "a.m3u", "#EXTART:Miles Davis\n#EXTINF:1,So What\n03.flac")
    assert entry.names == (("Miles Davis", "So What"),)


def test_a_pls_with_gaps(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.pls",
        "[playlist]\nfile10=b.mp3\nTitle10=B - Second\nLength10=60\n"
        "File2=a.mp3\nTitle2=A - First\nTitle3=no file\nFile4=http://radio/live\n"
        "NumberOfEntries=9\nVersion=2\n",
    )
    assert (found.name, found.kind) == ("a", "pls")
    assert [entry.names for entry in found.entries] == [(("A", "First"),), (("B", "Second"),)]
    assert found.entries[1].duration == 60
    assert [(other.said, other.reason) for other in found.others] == [("http://radio/live", STREAM)]


def test_streams_and_other_playlists_are_left_out_with_a_reason(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.m3u",
        "#EXTINF:-1,Radio\nhttps://x.de/live.mp3\nrtsp://y\nother.m3u8\nspotify:track:4vL\n",
    )
    assert [(other.said, other.reason) for other in found.others] == [
        ("https://x.de/live.mp3 (Radio)", STREAM),
        ("rtsp://y", STREAM),
        ("other.m3u8", NESTED),
    ]
    assert [entry.key for entry in found.entries] == ["spotify:track:4vL"]


def test_a_slice_of_the_million(tmp_path: Path) -> None:
    file = tmp_path / "mpd.slice.0-999.json"
    file.write_text(
        a_slice(
            {"name": "Jazzy", "pid": 7, "tracks": [TRACK, {"track_uri": "spotify:track:x"}]},
            {"name": "", "pid": 8, "tracks": []},
        )
    )
    jazzy, empty = read_playlists(file)
    assert (jazzy.name, jazzy.pid, jazzy.kind) == ("Jazzy", 7, "mpd")
    assert jazzy.entries[0] == Entry(
        "Miles Davis - So What",
        (),
        "spotify:track:4vLYewWIvqHfKtJDk8c8tq",
        (("Miles Davis", "So What"),),
        "Kind of Blue",
        561.0,
    )
    assert jazzy.entries[1].names == ()
    assert (empty.name, empty.entries) == ("8", [])
    # Its number is its key, wherever the file lies.
    moved = file.rename(tmp_path / "mpd.slice.0-9.json")
    assert next(read_playlists(moved)).id == jazzy.id != empty.id


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.m3u", b"ID3\0\0\1", "doesn't hold text"),
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nsegment0.ts", "of a stream"),
        ("a.pls", "just words", "neither .playlist. nor a line File1"),
        ("mpd.slice.0-999.json", "{", "is no JSON"),
        ("mpd.slice.0-999.json", "[]", 'has no list "playlists"'),
        ("mpd.slice.0-999.json", '{"playlists": [{"pid": 1}]}', "Playlist 0 of .*needs pid"),
        ("mpd.slice.0-999.json", '{"playlists": [[]]}', "Playlist 0 of"),
    ],
)
def test_what_is_no_playlist(tmp_path: Path, name: str, content: str | bytes, why: str) -> None:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(KgError, match=why):
        list(read_playlists(file))


def test_an_empty_file_is_an_empty_playlist(tmp_path: Path) -> None:
    assert read(tmp_path / "a.m3u", "").entries == []
    assert read(tmp_path / "a.pls", "[playlist]\n").entries == []


def test_playlists_are_found_below_folders(tmp_path: Path) -> None:
    names = ["mpd.slice.1000-1999.json", "mpd.slice.0-999.json", "b.M3U", "sub/a.pls", "x.json"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rejected: list[Rejected] = []
    found = playlist_files([tmp_path, tmp_path / "b.M3U"], rejected)
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "b.M3U", "mpd.slice.0-999.json", "mpd.slice.1000-1999.json", "sub/a.pls",
    ]  # fmt: skip
    assert rejected == []
    with pytest.raises(WrongUsageError, match=r"x\.json is not called as playlists are"):
        playlist_files([tmp_path / "x.json"], rejected)
    with pytest.raises(WrongUsageError, match="no file or folder called"):
        playlist_files([tmp_path / "nowhere.m3u"], rejected)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    pipe = tmp_path / "a.m3u"
    os.mkfifo(pipe)
    with pytest.raises(KgError, match="a pipe or device"):
        list(read_playlists(pipe))
    with pytest.raises(KgError, match="no longer there"):
        list(read_playlists(tmp_path / "b.m3u"))


def test_a_slice_with_numbers_for_names(tmp_path: Path) -> None:
    odd = {**TRACK, "artist_name": 311, "track_name": 1999, "album_name": 7}
    entry = first(tmp_path / "mpd.slice.0-999.json", a_slice({"pid": 1, "tracks": [odd]}))
    assert entry.names == (("311", "1999"),)
    assert (entry.said, entry.album) == ("311 - 1999", "7")


def test_json_that_is_nested_too_deeply(tmp_path: Path) -> None:
    file = tmp_path / "mpd.slice.0-999.json"
    file.write_text('{"playlists":' + "[" * 200_000)
    with pytest.raises(KgError, match="is no JSON"):
        list(read_playlists(file))
