"""Whom a song is by and what album it is on, as nodes: spellings of one name join one node."""

import re
from dataclasses import dataclass
from typing import Final

from kg.records import SongRecord
from kg.splits.artists import NOBODY, artist_key, letters_of, without_guests
from kg.text import indexable

_DISC: Final = re.compile(r"[\s(\[,-]*\b(?:cd|dis[ck])\s*\d+\s*[)\]]*$", re.IGNORECASE)
# What rippers write where an album's title belongs.
_UNTITLED: Final = NOBODY | {"unknown album", "no album", "single", "singles"}


@dataclass(frozen=True, slots=True)
class Credit:
    """An artist or an album.

    Attributes:
        key: What its spellings have in common.
        name: As it is spelled here.
        artist: Of an album: whose it is, as it is spelled here; None where it is nobody's.
    """

    key: str
    name: str
    artist: str | None = None


def artist_of(record: SongRecord) -> Credit | None:
    """Whom a song is by; None where its tags name nobody.

    "A feat. B" is by A, "A & B" are an artist by themselves. The album's artist stands in for the
    song's where that isn't named at all, as where songs are split by artist.
    """
    named = indexable(record.artist if record.artist is not None else record.album_artist)
    key, name = artist_key(named), without_guests(named or "")
    return Credit(key, name) if key and name else None


def album_of(record: SongRecord) -> Credit | None:
    """The album a song is on: a title and whose it is; None where nobody says either.

    What various artists share is nobody's album, but one all the same. The discs of an album are
    one album.
    """
    whose = record.album_artist if record.album_artist is not None else record.artist
    whose, title = indexable(whose), _DISC.sub("", indexable(record.album) or "").strip()
    words = letters_of(title)
    if whose is None or not words or words in _UNTITLED:
        return None
    artist = artist_key(whose)
    key = indexable(f"{artist or ''} | {words}")
    return Credit(str(key), title, without_guests(whose) if artist else None)
