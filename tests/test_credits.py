"""Whom tags name: spellings of one artist or album join, and nobody is nobody."""

import pytest

from kg.credits import Credit, album_of, artist_of
from kg.records import SongRecord


def by(artist: str | None, album_artist: str | None = None) -> Credit | None:
    return artist_of(SongRecord("x", artist=artist, album_artist=album_artist))


def on(album: str | None, artist: str | None = None, whose: str | None = None) -> Credit | None:
    return album_of(SongRecord("x", album=album, artist=artist, album_artist=whose))


@pytest.mark.parametrize(
    ("artist", "expected"),
    [
        ("The Beatles", Credit("beatles", "The Beatles")),
        ("Beatles, The", Credit("beatles", "Beatles, The")),
        ("Björk feat. Antony", Credit("bjork", "Björk")),
        ("BJORK (ft. Antony)", Credit("bjork", "BJORK")),
        ("Simon & Garfunkel", Credit("simon garfunkel", "Simon & Garfunkel")),
        ("!!!", Credit("!!!", "!!!")),
        ("Various Artists", None),
        ("", None),
        (None, None),
    ],
)
def test_artists(artist: str | None, expected: Credit | None) -> None:
    assert by(artist) == expected


def test_the_albums_artist_stands_in_only_where_nobody_is_named() -> None:
    assert by(None, "Miles Davis") == Credit("miles davis", "Miles Davis")
    assert by("Various Artists", "Miles Davis") is None


def test_albums() -> None:
    blue = Credit("miles davis | kind of blue", "Kind of Blue", "Miles Davis")
    assert on("Kind of Blue", "Miles Davis") == blue
    assert on("Kind Of Blue [Disc 2]", "Bill Evans", "Miles Davis") == Credit(
        blue.key, "Kind Of Blue", "Miles Davis"
    )
    assert on("Greatest Hits", "Queen") != on("Greatest Hits", "ABBA")
    compiled = on("Now 45", "Queen", "Various Artists")
    assert compiled == Credit(" | now 45", "Now 45", None)
    assert compiled == on("Now 45", "ABBA", "Various Artists")


@pytest.mark.parametrize(
    ("album", "artist"),
    [("Unknown Album", "Queen"), (None, "Queen"), ("CD 1", "Queen"), ("Jazz", None), ("", "Queen")],
)
def test_what_is_no_album(album: str | None, artist: str | None) -> None:
    assert on(album, artist) is None


def test_the_longest_names_fit_an_index_and_odd_bytes_a_database() -> None:
    long = on("a" * 5000, "b" * 5000)
    assert long is not None
    assert len(long.key) <= 2000
    odd = by("caf\udce9")
    assert odd is not None
    odd.key.encode()
    odd.name.encode()
