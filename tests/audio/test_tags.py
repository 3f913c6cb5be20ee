import os
import struct
import sys
from pathlib import Path

import av
import mutagen
import pytest
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.dsf import DSF
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, ID3, TALB, TCON, TDRC, TIT2, TPE1, TPE2
from mutagen.mp4 import MP4

from kg.audio.tags import Tags, clean, read_tags, repair, split_genres
from kg.files import QuietFile
from tests.audio.sounds import encode, noise, write

FULL = Tags("A title", "An artist", None, "An album", 1994, ("Rock", "Pop"))


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg"])
def test_easy_containers(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, noise())
    tags = mutagen.File(path, easy=True)
    if tags.tags is None:
        tags.add_tags()
    tags["title"], tags["artist"], tags["album"] = "A title", "An artist", "An album"
    tags["date"], tags["genre"] = "1994-05-01", ["Rock; Pop"]
    tags.save()
    assert read_tags(path) == FULL


def test_mp4_and_asf_and_apev2_and_wave(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", noise(), "aac")
    mp4 = MP4(path)
    mp4.update({"\xa9nam": "A title", "\xa9ART": "An artist", "\xa9alb": "An album"})
    mp4.update({"\xa9day": "1994", "\xa9gen": ["Rock", "Pop"]})
    mp4.save()
    assert read_tags(path) == FULL

    path = encode(tmp_path / "a.wma", noise(), "wmav2")
    asf = ASF(path)
    asf.update({"Title": "A title", "Author": "An artist", "WM/AlbumTitle": "An album"})
    asf.update({"WM/Year": "1994", "WM/Genre": ["Rock", "Pop"]})
    asf.save()
    assert read_tags(path) == FULL

    path = encode(tmp_path / "a.wv", noise(), "wavpack")
    ape = mutagen.File(path)
    if ape.tags is None:
        ape.add_tags()
    ape.tags.update({"Title": "A title", "Artist": "An artist", "Album": "An album"})
    ape.tags.update({"Year": "1994", "Genre": ["Rock", "Pop"]})
    ape.save()
    assert read_tags(path) == FULL

    path = write(tmp_path / "a.wav", noise())
    wave = mutagen.File(path)
    wave.add_tags()
    wave.tags.add(TIT2(encoding=3, text=["In a WAV"]))
    wave.save()
    assert read_tags(path) == Tags(title="In a WAV")


def test_id3_numbers_and_lists(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", noise())
    tags = ID3()
    tags.add(TCON(encoding=3, text=["(17)", "Hip-Hop / Rap"]))
    tags.add(TPE1(encoding=3, text=["One", "Two"]))
    tags.add(TDRC(encoding=3, text=["2001-09"]))
    tags.save(path)
    assert read_tags(path) == Tags(artist="One, Two", year=2001, genres=("Rock", "Hip-Hop", "Rap"))


@pytest.mark.parametrize(
    ("texts", "genres"),
    [
        (["Rock"], ("Rock",)),
        (["(17)"], ("Rock",)),
        (["17"], ("Rock",)),
        (["(17)(13)"], ("Rock", "Pop")),
        (["Drum & Bass; Jungle/rock ;Rock"], ("Drum & Bass", "Jungle", "rock")),
        (["Rock\0Pop"], ("Rock", "Pop")),
        (["", " ; /", "Other", "N/A", "(12)", "unknown"], ()),
        (["(17)(18)"], ("Rock", "Techno")),
        (["(4)Eurodisco"], ("Disco", "Eurodisco")),
        (["((Foo)"], ("(Foo)",)),
        (["RX", "(CR)"], ("Remix", "Cover")),
        (["255"], ()),
        (["Rock/Pop", "Hip-Hop / Rap"], ("Rock", "Pop", "Hip-Hop", "Rap")),
        (["R&B/Soul"], ("R&B", "Soul")),
        (["Singer/Songwriter; R/B;AC/DC"], ("Singer/Songwriter", "R/B", "AC/DC")),
        (["Folk, World, & Country"], ("Folk, World, & Country",)),
        (["80s/90s"], ("80s", "90s")),
        ([f"genre {i}" for i in range(1000)], tuple(f"genre {i}" for i in range(32))),
        ([], ()),
    ],
)
def test_genre_lists(texts: list[str], genres: tuple[str, ...]) -> None:
    assert split_genres(texts) == genres


def test_untagged_broken_and_missing_files(tmp_path: Path) -> None:
    assert read_tags(write(tmp_path / "a.flac", noise())) == Tags()
    assert read_tags(tmp_path / "gone.mp3") == Tags()
    text = tmp_path / "text.mp3"
    text.write_text("nothing")
    assert read_tags(text) == Tags()
    cut = write(tmp_path / "cut.ogg", noise())
    cut.write_bytes(cut.read_bytes()[:60])
    assert read_tags(cut) == Tags()


def id3(path: Path, *frames: object, version: int = 4) -> Path:
    tags = ID3()
    for frame in frames:
        tags.add(frame)
    tags.save(path, v2_version=version, v1=0)
    return path


def id3v1(title: bytes = b"", artist: bytes = b"", year: bytes = b"", genre: int = 255) -> bytes:
    return struct.pack("3s30s30s30s4s30sB", b"TAG", title, artist, b"", year, b"", genre)


def test_id3v1_and_v22(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", noise())
    bare = path.read_bytes()
    path.write_bytes(bare + id3v1(b"Old", b"Someone", b"1977", 17))
    assert read_tags(path) == Tags("Old", "Someone", year=1977, genres=("Rock",))

    frames = b"".join(
        name + len(text).to_bytes(3, "big") + text
        for name, text in ((b"TT2", b"\0Older"), (b"TCO", b"\0(17)(18)"), (b"TYE", b"\x001978"))
    )
    path.write_bytes(b"ID3\2\0\0\0\0\0" + bytes([len(frames)]) + frames + bare)
    assert read_tags(path) == Tags("Older", year=1978, genres=("Rock", "Techno"))


@pytest.mark.parametrize("version", [3, 4])
def test_id3v2(tmp_path: Path, version: int) -> None:
    frames = [
        TIT2(encoding=1, text=["Naïve"]),
        TPE1(encoding=1, text=["One"]),
        TPE2(encoding=1, text=["Both"]),
        TALB(encoding=1, text=["LP"]),
        TDRC(encoding=1, text=["2001-09-11"]),
        TCON(encoding=1, text=["Rock", "Pop"]),
    ]
    tags = Tags("Naïve", "One", "Both", "LP", 2001, ("Rock", "Pop"))
    assert read_tags(id3(write(tmp_path / "a.mp3", noise()), *frames, version=version)) == tags
    for name, kind in (("a.wav", mutagen.File), ("a.aiff", AIFF)):
        file = kind(write(tmp_path / name, noise()))
        file.add_tags()
        for frame in frames:
            file.tags.add(frame)
        file.save()
        assert read_tags(tmp_path / name) == tags


def test_dsf(tmp_path: Path) -> None:
    path = tmp_path / "a.dsf"
    form = struct.pack("<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 1, 1, 2_822_400, 1, 8, 4096, 0)
    path.write_bytes(
        struct.pack("<4sQQQ", b"DSD ", 28, 92, 0) + form + struct.pack("<4sQ", b"data", 12)
    )
    file = DSF(path)
    file.add_tags()
    file.tags.add(TIT2(encoding=3, text=["One bit"]))
    file.save()
    assert read_tags(path) == Tags("One bit")


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mka", "aac"), ("a.webm", "libopus"), ("a.caf", "alac")]
)
def test_what_mutagen_does_not_know(tmp_path: Path, name: str, codec: str) -> None:
    plain = encode(tmp_path / f"plain-{name}", noise(rate=48_000), codec, 48_000)
    path = tmp_path / name
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        said = {"title": "A title", "artist": "An artist", "album": "An album"}
        target.metadata.update(said | {"genre": "Rock; Pop", "date": "1994", "album_artist": "All"})
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    assert read_tags(path) == Tags("A title", "An artist", "All", "An album", 1994, ("Rock", "Pop"))


def test_chunks_of_wav_and_aiff(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise())
    info = b"INFO"
    for name, text in (
        (b"INAM", b"A title\0"),
        (b"IART", "Jürgen".encode("cp1252")),
        (b"IPRD", b"LP"),
        (b"ICRD", b"1994-05-01"),
        (b"IGNR", b"Rock/Pop"),
    ):
        info += name + len(text).to_bytes(4, "little") + text + bytes(len(text) % 2)
    path.write_bytes(path.read_bytes() + b"LIST" + len(info).to_bytes(4, "little") + info)
    assert read_tags(path) == Tags("A title", "Jürgen", None, "LP", 1994, ("Rock", "Pop"))
    wave = mutagen.File(path)  # the better tags win, the others fill in
    wave.add_tags()
    wave.tags.add(TIT2(encoding=3, text=["A longer title"]))
    wave.save()
    tags = read_tags(path)
    assert (tags.title, tags.artist) == ("A longer title", "Jürgen")

    path = write(tmp_path / "a.aiff", noise())
    path.write_bytes(path.read_bytes() + b"NAME\0\0\0\3Odd\0" + b"AUTH\0\0\0\2Me")
    assert read_tags(path) == Tags("Odd", "Me")
    path.write_bytes(path.read_bytes() + b"NAME\xff\xff\xff\xff")
    assert read_tags(path).title == "Odd"


def test_contradicting_kinds_of_tags(tmp_path: Path) -> None:
    title = "A title of far more than thirty characters"
    path = write(tmp_path / "a.mp3", noise())
    bare = path.read_bytes()
    old = id3v1(title[:30].encode(), b"Someone", b"1977", 17)

    id3(path, TIT2(encoding=3, text=[title]))
    path.write_bytes(path.read_bytes() + old)
    assert read_tags(path) == Tags(title, "Someone", year=1977, genres=("Rock",))
    # APEv2 and ID3v1: the one that isn't cut off at 30 characters.
    path.write_bytes(bare)
    ape = APEv2()
    ape.update({"Title": title, "Year": "1978"})
    ape.save(path)
    path.write_bytes(path.read_bytes() + old)
    assert read_tags(path) == Tags(title, "Someone", year=1978, genres=("Rock",))

    # ID3 doesn't belong on FLAC and AAC, but it is there.
    path = write(tmp_path / "a.flac", noise())
    flac = FLAC(path)
    flac["title"] = "Right"
    flac.save()
    id3(path, TIT2(encoding=3, text=["Wrong"]), TPE1(encoding=3, text=["Only here"]))
    assert read_tags(path) == Tags("Right", "Only here")
    assert read_tags(path.rename(tmp_path / "unnamed")) == Tags("Right", "Only here")

    path = encode(tmp_path / "a.aac", noise(), "aac")
    assert read_tags(path) == Tags()
    assert read_tags(id3(path, TIT2(encoding=3, text=["Raw"]))) == Tags("Raw")


def test_various_artists_are_nobody(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", noise())
    flac = FLAC(path)
    for artist, album_artist, expected in (
        ("Ann", "Various Artists", ("Ann", "Various Artists")),
        (None, "Various Artists", (None, "Various Artists")),
        ("VA", "Ben", ("Ben", "Ben")),
        ("<unknown>", None, (None, None)),
        (None, "Ben", ("Ben", "Ben")),
        ("Unknown Artist", "unknown", (None, None)),
        ("The Various Artists", None, ("The Various Artists", None)),
    ):
        flac.delete()
        flac.update({"artist": artist} if artist else {})
        flac.update({"albumartist": album_artist} if album_artist else {})
        flac.save()
        tags = read_tags(path)
        assert (tags.artist, tags.album_artist) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bj\u00c3\u00b6rk", "Björk"),  # UTF-8 read as Latin-1
        ("Sigur R\u00c3\u00b3s", "Sigur Rós"),
        ("\u00d0\u009a\u00d0\u00b8\u00d0\u00bd\u00d0\u00be", "Кино"),
        ("\u00e3\u0081\u0082", "あ"),
        ("Don\u0092t", "Don’t"),  # Windows' own characters
        ("Björk", "Björk"),
        ("Motörhead – Ace", "Motörhead – Ace"),
        ("Café\u00a0!", "Café\u00a0!"),
        ("CAFÉ\u00a0!", "CAFÉ\u00a0!"),  # would be UTF-8 too
        ("Êèíî", "Êèíî"),  # cp1251, but who knows
        ("Кино", "Кино"),
        ("", ""),
    ],
)
def test_wrongly_declared_encodings(text: str, expected: str) -> None:
    assert repair(text) == expected


def test_wrongly_encoded_and_hostile_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", noise())
    id3(
        path,
        TIT2(encoding=0, text=["Bj\u00c3\u00b6rk"]),
        TPE1(encoding=3, text=["a\u0007b\nc", "d\u202ee"]),
        TALB(encoding=3, text=["x" * 1_000_000]),
        TDRC(encoding=3, text=["0000"]),
        TCON(encoding=3, text=["y" * 100_000]),
    )
    tags = read_tags(path)
    assert (tags.title, tags.artist, tags.year) == ("Björk", "a b c, d\u202ee", None)
    assert tags.album == "x" * 499 + "…"
    assert [len(genre) for genre in tags.genres] == [500]


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("1994", 1994),
        ("19940501", 1994),
        ("1994-05-01T12:00", 1994),
        ("May 1, 1994", 1994),
        ("0000", None),
        ("3000", None),
        ("94", None),
        ("123199456", None),
        ("", None),
    ],
)
def test_years(tmp_path: Path, text: str, year: int | None) -> None:
    path = write(tmp_path / "a.flac", noise())
    flac = FLAC(path)
    flac.update({"date": text, "originaldate": "unknown"})
    flac.save()
    assert read_tags(path).year == year


def with_picture(folder: Path, size: int) -> list[Path]:
    """An MP3 and a FLAC file."""
    folder.mkdir()
    mp3 = id3(
        write(folder / "a.mp3", noise()),
        TIT2(encoding=3, text=["Small"]),
        APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=bytes(size)),
    )
    path = write(folder / "a.flac", noise())
    flac = FLAC(path)
    flac["title"] = "Small"
    cover = Picture()
    cover.data = bytes(min(size, 16_000_000))  # the most a block may hold
    flac.add_picture(cover)
    flac.save()
    return [mp3, path]


def test_huge_pictures_cost_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read once, and nothing is done for each of their bytes."""
    calls = taken = 0
    read = QuietFile.read

    def counted(self: QuietFile, size: int | None = -1, /) -> bytes:
        nonlocal taken
        data = read(self, size)
        taken += len(data)
        return data

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    def cost(file: Path) -> int:
        nonlocal calls, taken
        calls = taken = 0
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            tags = read_tags(file)
        finally:
            sys.setprofile(before)
        assert tags.title == "Small"
        assert taken <= file.stat().st_size + 100_000
        return calls

    small, huge = (
        with_picture(tmp_path / "small", 1000),
        with_picture(tmp_path / "huge", 30_000_000),
    )
    monkeypatch.setattr(QuietFile, "read", counted)
    for one, other in zip(small, huge, strict=True):
        cost(one)  # imports
        assert cost(other) < 2 * cost(one)


def test_files_are_never_written_to(tmp_path: Path) -> None:
    names = {"a.mp3": None, "a.flac": None, "a.wav": None, "a.m4a": "aac", "a.mka": "aac"}
    for name, codec in names.items():
        path = tmp_path / name
        path = encode(path, noise(), codec) if codec else write(path, noise())
        os.utime(path, ns=(1_000_000_000, 2_000_000_000))
        path.chmod(0o444)
        before = path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ctime_ns
        read_tags(path)
        assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ctime_ns) == before


def test_odd_files_have_tags_or_none(data_dir: Path) -> None:
    found = [read_tags(path) for path in (data_dir / "audio_formats").rglob("*") if path.is_file()]
    assert sum(tags.artist is not None for tags in found) > 40
    for tags in found:
        assert all(genre == clean(genre) != "" for genre in tags.genres)


def test_text_is_cleaned() -> None:
    assert clean(" a\tb\0c\n ") == "a b c"
    assert clean("Cafe\u0301") == "Café"
    assert clean("caf\udce9") == r"caf\xe9"
