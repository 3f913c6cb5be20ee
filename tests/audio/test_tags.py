from pathlib import Path

import mutagen
import pytest
from mutagen.asf import ASF
from mutagen.id3 import ID3, TCON, TDRC, TIT2, TPE1
from mutagen.mp4 import MP4

from kg.audio.tags import Tags, clean, read_tags, split_genres
from tests.audio.sounds import encode, noise, write

FULL = Tags("A title", "An artist", "An album", 1994, ("Rock", "Pop"))


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


def test_odd_files_have_tags_or_none(data_dir: Path) -> None:
    found = [read_tags(path) for path in (data_dir / "audio_formats").rglob("*") if path.is_file()]
    assert sum(tags.artist is not None for tags in found) > 40
    for tags in found:
        assert all(genre == clean(genre) != "" for genre in tags.genres)


def test_text_is_cleaned() -> None:
    assert clean(" a\tb\0c\n ") == "a b c"
    assert clean("Cafe\u0301") == "Café"
    assert clean("caf\udce9") == r"caf\xe9"
