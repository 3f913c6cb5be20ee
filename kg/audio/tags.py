"""What a file says of itself: title, artist, album, year, genres, whatever the container."""

import io
import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kg.files import QuietFile, open_file

log = logging.getLogger(__name__)

# ID3, then MP4, then ASF, then RIFF and AIFF chunks; Vorbis comments, APEv2 and Matroska use the
# plain names. Lower case; of several the first that says something.
_KEYS: Final = {
    "title": ("tit2", "\xa9nam", "title", "inam", "name"),
    "artist": ("tpe1", "\xa9art", "artist", "author", "iart", "auth"),
    "album_artist": (
        *("tpe2", "aart", "albumartist", "album artist", "album_artist", "wm/albumartist"),
    ),
    "album": ("talb", "\xa9alb", "album", "wm/albumtitle", "iprd"),
    "year": (
        *("tdor", "tdrc", "tyer", "tdrl", "\xa9day", "originaldate", "date", "year"),
        *("wm/originalreleaseyear", "wm/year", "icrd"),
    ),
    "genre": ("tcon", "\xa9gen", "genre", "wm/genre", "ignr"),
}

_LONGEST: Final = 500  # characters of a text; databases can't index what is much longer
_MOST: Final = 32  # genres of a song
_CHUNKS: Final = 10_000  # of a RIFF or AIFF file
_READ: Final = 1 << 16  # characters looked at
_TEXTS: Final = frozenset({b"INAM", b"IART", b"IPRD", b"ICRD", b"IGNR", b"NAME", b"AUTH"})

_YEAR: Final = re.compile(r"(?<!\d)(1[89]\d\d|20\d\d)(?=\D|$|\d{4}(?!\d))")
_NO_GENRE: Final = frozenset({"", "-", "n/a", "none", "other", "unknown", "unknown genre"})
_ONE_GENRE: Final = frozenset({"singer/songwriter", "singer / songwriter"})
_NOBODY: Final = frozenset(
    {"", "-", "?", "n/a", "artist", "no artist", "none", "unknown", "unknown artist"}
    | {"<unknown>", "[unknown]", "<unknown artist>", "[unknown artist]"}
)
_VARIOUS: Final = frozenset(
    {"various", "various artists", "various artist", "[various artists]", "va", "v.a.", "v/a"}
    | {"varios artistas", "varios", "verschiedene", "verschiedene interpreten", "diverse"}
    | {"diverse interpreten", "artistes divers", "artistes variés", "artisti vari", "vari"}
)


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of a file; `None` and the empty tuple where it doesn't say.

    Attributes:
        title: Of the song.
        artist: Of the song, else of the album; nobody where these are "various artists".
        album_artist: Of the album; may be "Various Artists".
        album: Its title.
        year: Of the first release, else of this one.
        genres: Each once.
    """

    title: str | None = None
    artist: str | None = None
    album_artist: str | None = None
    album: str | None = None
    year: int | None = None
    genres: tuple[str, ...] = ()


def read_tags(path: Path) -> Tags:
    """Read the tags of a file. A file without tags, or with broken ones, gives empty `Tags`.

    Where a file carries several kinds of tags, each field comes from the best kind that has it.
    """
    try:
        with io.BufferedReader(open_file(path)) as file:
            found = _all(file)
    except OSError as error:
        log.debug("No tags from %s: %s", path, error)
        return Tags()
    said = {
        field: [text for raw in found for text in _texts(raw, keys)]
        for field, keys in _KEYS.items()
    }
    first = {field: texts[0] if texts else [] for field, texts in said.items()}
    return Tags(
        title=_joined(first["title"]),
        artist=_joined(first["artist"], _NOBODY | _VARIOUS)
        or _joined(first["album_artist"], _NOBODY | _VARIOUS),
        album_artist=_joined(first["album_artist"], _NOBODY),
        album=_joined(first["album"]),
        year=_year(text for texts in said["year"] for text in texts),
        genres=split_genres(first["genre"]),
    )


def clean(text: str) -> str:
    """Make a text from outside fit for a database: NFC, one line, no control characters.

    Bytes of a file name that are no UTF-8 become `\\xNN`.
    """
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    text = "".join(c if unicodedata.category(c) != "Cc" else " " for c in text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def repair(text: str) -> str:
    """Undo the commonest mistake: UTF-8, or Windows' own characters, declared as Latin-1.

    Only where it can't be anything else: other encodings can't be told apart with certainty.
    """
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        return text
    controls = any(0x80 <= byte < 0xA0 for byte in raw)  # in no text of anybody
    leads = [byte for byte in raw if byte >= 0xC0]
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace").replace("\ufffd", " ") if controls else text
    # "É" and a no-break space would also be UTF-8: one odd pair alone proves nothing.
    return decoded if controls or len(leads) > 1 or set(leads) <= {0xC2, 0xC3} else text


def split_genres(texts: Iterable[str]) -> tuple[str, ...]:
    """Split genre tags as people write them: lists with `;` and `/`, ID3 numbers as `(17)`.

    Not split are what is one genre (`Singer/Songwriter`), abbreviations (`R/B`), and at commas
    (`Folk, World, & Country`).
    """
    from mutagen.id3 import TCON

    genres: dict[str, str] = {}
    tag: Any = TCON(encoding=3, text=[part for text in texts for part in text.split("\0")])  # type: ignore[no-untyped-call]
    for text in tag.genres:
        if text.casefold() in _NO_GENRE:
            continue
        for part in _parts(text):
            genre = clean(part)[:_LONGEST].strip()
            if genre.casefold() not in _NO_GENRE and len(genres) < _MOST:
                genres.setdefault(genre.casefold(), genre)
    return tuple(genres.values())


def _parts(text: str) -> Iterator[str]:
    for listed in text.split(";"):
        parts = [part.strip() for part in listed.split("/")]
        sizes = [len(part) for part in parts if part]
        short = " / " not in listed and sizes and (min(sizes) < 2 or max(sizes) < 3)
        if listed.strip().casefold() in _ONE_GENRE or short:
            yield listed
        else:
            yield from parts


Raw = Mapping[str, Any]
"""Tags by their key in lower case, as each library holds them."""


def _all(file: "io.BufferedReader[QuietFile]") -> list[Raw]:
    """Every kind of tags in a file, the best first."""
    import mutagen
    from mutagen.apev2 import APEv2
    from mutagen.flac import FLAC
    from mutagen.id3 import ID3

    head = file.read(12)
    readers: list[Callable[[Any], Any]]
    if head.startswith((b"\x1aE\xdf\xa3", b".RMF", b"caff")):
        readers = [_by_ffmpeg]  # mutagen knows none of these
    elif head.startswith((b"RIFF", b"FORM")):
        readers = [mutagen.File, _chunks]
    elif head.startswith(b"ID3"):
        readers = [FLAC, ID3, APEv2]  # MP3 most often; the first frame need not be looked for
    else:
        readers = [mutagen.File, APEv2, ID3]
    found: list[Raw] = []
    short: list[Raw] = []
    for reader in readers:
        file.seek(0)
        try:
            tags = reader(file)
        except Exception as error:  # noqa: BLE001 - mutagen lets through whatever damage leads to
            log.debug("No tags by %s: %s: %s", reader.__name__, type(error).__name__, error)
            continue
        if isinstance(tags, mutagen.FileType):
            tags = tags.tags
        if tags:
            old = isinstance(tags, ID3) and tags.version[0] == 1  # texts cut off at 30 characters
            kind = short if old else found
            kind.append({str(key).lower(): value for key, value in tags.items()})
    return found + short


def _chunks(file: "io.BufferedReader[QuietFile]") -> dict[str, str]:
    """The texts that WAV (LIST INFO) and AIFF files carry in chunks of their own."""
    head = file.read(12)
    order: Any = "little" if head.startswith(b"RIFF") else "big"
    found: dict[str, str] = {}
    for _ in range(_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            break
        name, size = header[:4], int.from_bytes(header[4:], order)
        end = file.tell() + size + size % 2
        if name == b"LIST" and order == "little":
            end = file.tell() + 4  # what follows are chunks too
        elif name in _TEXTS:
            found.setdefault(name.decode().lower(), _decoded(file.read(min(size, _READ))))
        file.seek(end)
    return found


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _by_ffmpeg(file: "io.BufferedReader[QuietFile]") -> dict[str, str]:
    import av

    # Opened as `kg.audio.decode` does; its reasons are given there.
    options = {"protocol_whitelist": "none"}
    file.raw.seek(0)
    try:
        with av.open(file.raw, "r", metadata_errors="replace", options=options) as container:
            kinds = [stream.metadata for stream in container.streams.audio] + [container.metadata]
    except av.error.FFmpegError as error:
        raise ValueError(str(error)) from error
    return {key.lower(): value for kind in kinds for key, value in kind.items()}


def _texts(raw: Raw, keys: Iterable[str]) -> Iterator[list[str]]:
    """What each of the keys says, where it says something."""
    for key in keys:
        if key in raw and (texts := [text for text in _strings(raw[key]) if text]):
            yield texts


def _strings(value: Any) -> Iterator[str]:
    """Yield the texts of a tag, as each of mutagen's containers holds them."""
    values = getattr(value, "text", value)
    for one in values if isinstance(values, (list, tuple)) else [values]:
        plain = getattr(one, "value", one)
        if not isinstance(plain, bytes):
            for text in str(plain)[:_READ].split("\0"):
                yield clean(repair(text))


def _joined(texts: list[str], nobody: frozenset[str] = frozenset()) -> str | None:
    kept = [text for text in texts if text.casefold() not in nobody]
    text = ", ".join(dict.fromkeys(kept))
    return (text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…") or None


def _year(texts: Iterable[str]) -> int | None:
    for text in texts:
        if match := _YEAR.search(text):
            return int(match[0])
    return None
