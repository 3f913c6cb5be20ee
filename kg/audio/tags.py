"""What a file says of itself: title, artist, album, year, genres, whatever the container."""

import logging
import re
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

log = logging.getLogger(__name__)

# ID3, then MP4, then ASF; Vorbis comments and APEv2 use the plain names. Lower case.
_KEYS: Final = {
    "title": ("tit2", "\xa9nam", "title"),
    "artist": ("tpe1", "\xa9art", "artist", "author"),
    "album_artist": ("tpe2", "aart", "albumartist", "album artist", "wm/albumartist"),
    "album": ("talb", "\xa9alb", "album", "wm/albumtitle"),
    "year": (
        *("tdor", "tdrc", "tyer", "tdrl", "\xa9day"),
        *("originaldate", "date", "year", "wm/originalreleaseyear", "wm/year"),
    ),
    "genre": ("tcon", "\xa9gen", "genre", "wm/genre"),
}

# What mutagen lets through from damaged files, besides its own errors (found by fuzzing).
_BROKEN: Final = (ValueError, LookupError, ArithmeticError, MemoryError, struct.error)

_YEAR: Final = re.compile(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)")
_NO_GENRE: Final = frozenset({"", "-", "n/a", "none", "other", "unknown", "unknown genre"})


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of a file; `None` and the empty tuple where it doesn't say."""

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    year: int | None = None
    genres: tuple[str, ...] = ()


def read_tags(path: Path) -> Tags:
    """Read the tags of a file. A file without tags, or with broken ones, gives empty `Tags`."""
    import mutagen

    try:
        # An open file, not a name: names needn't be text.
        with path.open("rb") as file:
            found = mutagen.File(file)
            if found is None or not found.tags:
                return Tags()
            raw = {str(key).lower(): value for key, value in found.tags.items()}
    except (mutagen.MutagenError, OSError, *_BROKEN) as error:
        log.debug("No tags from %s: %s", path, error)
        return Tags()
    texts = {field: _first_texts(raw, keys) for field, keys in _KEYS.items()}
    return Tags(
        title=", ".join(texts["title"]) or None,
        artist=", ".join(texts["artist"] or texts["album_artist"]) or None,
        album=", ".join(texts["album"]) or None,
        year=_year(texts["year"]),
        genres=split_genres(texts["genre"]),
    )


def clean(text: str) -> str:
    """Make a text from outside fit for a database: NFC, one line, no control characters.

    Bytes of a file name that are no UTF-8 become `\\xNN`.
    """
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    text = "".join(c if unicodedata.category(c) != "Cc" else " " for c in text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def split_genres(texts: Iterable[str]) -> tuple[str, ...]:
    """Split genre tags as people write them: lists with `;` and `/`, ID3 numbers as `(17)`."""
    from mutagen.id3 import TCON

    genres: dict[str, str] = {}
    tag: Any = TCON(encoding=3, text=[part for text in texts for part in text.split("\0")])  # type: ignore[no-untyped-call]
    for text in tag.genres:
        if text.casefold() in _NO_GENRE:
            continue
        for part in re.split(r"[;/]", text):
            genre = clean(part)
            if genre.casefold() not in _NO_GENRE:
                genres.setdefault(genre.casefold(), genre)
    return tuple(genres.values())


def _first_texts(raw: dict[str, Any], keys: Iterable[str]) -> list[str]:
    for key in keys:
        if key in raw and (texts := [text for text in _texts(raw[key]) if text]):
            return texts
    return []


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a tag, as each of mutagen's containers holds them."""
    values = getattr(value, "text", value)
    for one in values if isinstance(values, (list, tuple)) else [values]:
        for text in str(getattr(one, "value", one)).split("\0"):
            yield clean(text)


def _year(texts: Iterable[str]) -> int | None:
    for text in texts:
        if match := _YEAR.search(text):
            return int(match[0])
    return None
