"""Playlists as players and data sets write them: M3U, PLS, and slices of the Million Playlist
Dataset (Chen et al. 2018). Readers only: what an entry names is for `kg.intake.playlists` to find.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote_to_bytes

from kg.errors import KgError, WrongUsageError
from kg.files import normal, open_file, why_unreadable
from kg.records import Rejected
from kg.sources.dataset import row_id
from kg.sources.folder import walk
from kg.text import printable

Kind = Literal["m3u", "pls", "mpd"]

EXTENSIONS: Final[Mapping[str, Kind]] = {".m3u": "m3u", ".m3u8": "m3u", ".pls": "pls"}
STREAM: Final = "a web stream"
NESTED: Final = "another playlist"
HOW_TO_WRITE: Final = (
    "kg reads M3U, M3U8 and PLS files, and slices of the Million Playlist Dataset "
    "(mpd.slice.0-999.json)"
)

_SLICE: Final = re.compile(r"mpd\.slice\.(\d+)-\d+\.json", re.IGNORECASE)
# A drive's letter is no scheme, and a colon in a file's name neither.
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_KEY: Final = re.compile(r"spotify:track:[0-9A-Za-z]+")
_DRIVE: Final = re.compile(r"^/?[A-Za-z]:(?=[\\/])")
_ESCAPED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
# `#EXTINF:123 tvg-name="x, y",Artist - Title`: seconds, attributes of broadcasters, what is shown.
_EXTINF: Final = re.compile(r'\s*(-?\d*(?:\.\d+)?)((?:\s+[\w-]+="[^"]*")*)\s*,?(.*)', re.DOTALL)
_PLS_LINE: Final = re.compile(r"\s*(file|title|length)(\d+)\s*=(.*)", re.IGNORECASE | re.DOTALL)
_PLACE: Final = re.compile(r"\d{1,3}[\s._)-]+(?=\S)")
# What Windows wrote in the West where latin-1 has nothing, and back.
_WINDOWS: Final = {
    byte: char for byte in range(0x80, 0xA0) if (char := bytes([byte]).decode("cp1252", "ignore"))
}
_BYTES: Final = {ord(char): byte for byte, char in _WINDOWS.items()}
_BOMS: Final = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_MOST_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """A place in a playlist: what is known of the song that belongs there.

    Attributes:
        said: As the file names it, to be shown.
        paths: Absolute paths that may be meant, the likeliest first; none where it names no file.
        key: What a data set calls it: a track URI; empty without one.
        names: (artist, title) that may be meant, the likeliest first.
        album: Its title, where the file says so.
        duration: In seconds, where the file says so.
    """

    said: str
    paths: tuple[str, ...] = ()
    key: str = ""
    names: tuple[tuple[str, str], ...] = ()
    album: str | None = None
    duration: float | None = None


@dataclass(frozen=True, slots=True)
class NoSong:
    """An entry that can't be a song of a library, and why."""

    said: str
    reason: str


@dataclass(frozen=True, slots=True)
class Playlist:
    """A playlist as its file has it.

    Attributes:
        id: BLAKE2b-128 of the file's absolute path, or of the data set's number for it; hex.
        name: What its owner calls it; else the file's name.
        kind: Of the file.
        path: The file.
        entries: What may be songs, in order.
        others: What can't be.
        pid: The data set's number for it.
    """

    id: str
    name: str
    kind: Kind
    path: Path
    entries: Sequence[Entry]
    others: Sequence[NoSong] = ()
    pid: int | None = None


def playlist_files(places: Sequence[Path], rejected: list[Rejected]) -> list[Path]:
    """Playlists below these folders, and the files named; slices in the order of their numbers.

    Args:
        places: Folders, or single files.
        rejected: Folders that can't be read are added to it.

    Raises:
        WrongUsageError: there is no such file, or one that is named is no playlist.
    """
    found: dict[Path, None] = {}
    for given in places:
        place = normal(given)
        if place.is_dir():
            found |= dict.fromkeys(sorted(filter(kind_of, walk(place, rejected)), key=_order))
        elif not place.exists():
            raise WrongUsageError(f"There is no file or folder called {printable(place)}.")
        elif kind_of(place) is None:
            raise WrongUsageError(
                f"{printable(place)} is not called as playlists are: {HOW_TO_WRITE}."
            )
        else:
            found[place] = None
    return list(found)


def kind_of(path: Path) -> Kind | None:
    """What kind of playlist a file is, by its name; None: no playlist."""
    return "mpd" if _SLICE.fullmatch(path.name) else EXTENSIONS.get(path.suffix.lower())


def read_playlists(path: Path) -> Iterator[Playlist]:
    """Read the playlists of a file: one of a player's, many of a slice.

    Raises:
        KgError: the file can't be read, or isn't what its name says.
    """
    path = normal(path)
    raw = _bytes_of(path)
    kind = kind_of(path)
    if kind == "mpd":
        yield from _read_slice(path, raw)
    else:
        yield (_read_pls if kind == "pls" else _read_m3u)(path, _lines(_text(path, raw)))


def _order(path: Path) -> tuple[Path, int, str]:
    found = _SLICE.fullmatch(path.name)
    return path.parent, int(found[1]) if found else -1, path.name


def _bytes_of(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            raw = file.read(_MOST_BYTES + 1)
            while len(raw) <= _MOST_BYTES and (more := file.read(_MOST_BYTES)):
                raw += more
            if file.error is not None:
                raise file.error
    except OSError as error:
        raise KgError(f"The playlist {printable(path)}: {why_unreadable(error)}.") from error
    if len(raw) > _MOST_BYTES:
        raise KgError(f"{printable(path)} is no playlist: it has more than a gigabyte.")
    return raw


# --- what players write ------------------------------------------------------------------------


def _text(path: Path, raw: bytes) -> str:
    """Decode a playlist.

    A byte order mark decides, else it is UTF-8 if it can be, else what Windows wrote in the West:
    a name in another alphabet of one byte a letter is spelled wrong then, and matches nothing.

    Raises:
        KgError: it holds no text.
    """
    encoding = next((name for mark, name in _BOMS if raw.startswith(mark)), "utf-8-sig")
    if encoding.startswith("utf-8") and b"\0" in raw:
        raise KgError(f"{printable(path)} is no playlist: it doesn't hold text.")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return raw.decode("latin-1").translate(_WINDOWS)


def _lines(text: str) -> list[str]:
    # Not splitlines: a form feed or a line separator may be part of a title.
    lines = re.split(r"\r\n|\r|\n", text)
    return [line.strip() for line in lines if line.strip()]


def _read_m3u(path: Path, lines: Sequence[str]) -> Playlist:
    name, found = "", list[Entry | NoSong]()
    shown, artist, album, seconds = "", "", "", None
    for line in lines:
        directive, _, value = line.partition(":")
        value = value.strip()
        if not line.startswith("#"):
            found.append(_entry(path.parent, line, shown, seconds, artist, album))
            shown, artist, seconds = "", "", None
            continue
        match directive.upper():
            case "#EXTINF":
                # Never fails: all of it may be missing.
                said = _EXTINF.fullmatch(value)
                shown, seconds = (said[3].strip(), _seconds(said[1])) if said else ("", None)
            case "#EXTALB":
                album = value  # of all that follow
            case "#EXTART":
                artist = value
            case "#PLAYLIST":
                name = value
            case "#EXT-X-TARGETDURATION" | "#EXT-X-STREAM-INF":
                raise KgError(
                    f"{printable(path)} is the table of contents of a stream (HLS), not a playlist "
                    "of songs."
                )
            case _:
                pass  # a comment
    return _playlist(path, name, "m3u", found)


def _read_pls(path: Path, lines: Sequence[str]) -> Playlist:
    """Read `FileN`, `TitleN`, `LengthN` by their numbers, which may have gaps."""
    said: dict[int, dict[str, str]] = {}
    for line in lines:
        if part := _PLS_LINE.fullmatch(line):
            said.setdefault(int(part[2]), {})[part[1].lower()] = part[3].strip()
    files = {number: own for number, own in sorted(said.items()) if own.get("file")}
    if not files and not any(line.lower() == "[playlist]" for line in lines):
        raise KgError(
            f"{printable(path)} is no PLS playlist: it has neither [playlist] nor a line File1=..."
        )
    found = [
        _entry(path.parent, own["file"], own.get("title", ""), _seconds(own.get("length", "")))
        for own in files.values()
    ]
    return _playlist(path, "", "pls", found)


def _playlist(path: Path, name: str, kind: Kind, found: Sequence[Entry | NoSong]) -> Playlist:
    return Playlist(
        row_id("playlist", str(path)),
        name or path.stem,
        kind,
        path,
        [each for each in found if isinstance(each, Entry)],
        [each for each in found if isinstance(each, NoSong)],
    )


def _seconds(text: str) -> float | None:
    """A length; players write -1 or 0 where they don't know."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None


def _entry(
    folder: Path,
    location: str,
    shown: str,
    seconds: float | None,
    artist: str = "",
    album: str = "",
) -> Entry | NoSong:
    """What one line of a playlist names.

    Args:
        folder: Of the playlist, which relative paths begin at.
        location: A path or URL.
        shown: The title that a player shows.
        seconds: How long it is.
        artist: Where a line of its own says so.
        album: Likewise.
    """
    said = location if not shown else f"{location} ({shown})"
    if _KEY.fullmatch(location):
        return Entry(said, (), location, _names(shown, artist), album or None, seconds)
    scheme = _SCHEME.match(location)
    if scheme and scheme[1].lower() != "file":
        return NoSong(said, STREAM)
    spellings = _of_url(location[scheme.end() :]) if scheme else _of_path(location)
    if any(Path(each).suffix.lower() in EXTENSIONS for each in spellings):
        return NoSong(said, NESTED)
    paths = [str(normal(folder / each)) for each in spellings if "\0" not in each]
    stem = re.split(r"[\\/]", spellings[0])[-1].rpartition(".")[0]
    by_file = _names(_PLACE.sub("", stem, count=1), "" if shown else artist)
    named = (*_names(shown, artist), *by_file)
    names = tuple(dict.fromkeys(named))
    return Entry(said, tuple(dict.fromkeys(paths)), "", names, album or None, seconds)


def _of_url(rest: str) -> list[str]:
    """Paths that may be meant by what follows `file://`: `/music/a%20b.mp3`, `host/share/a.mp3`."""
    if rest.lower().startswith("localhost/"):
        rest = rest[len("localhost") :]
    elif not rest.startswith("/") and not _DRIVE.match(rest):
        rest = f"//{rest}"  # a share of another machine
    raw = unquote_to_bytes(rest)
    try:
        plain = raw.decode("utf-8")
    except UnicodeDecodeError:
        # A name on disk may be in bytes that are no text.
        return [raw.decode("utf-8", "surrogateescape"), raw.decode("cp1252", "replace")]
    # Who writes URLs by hand forgets to escape.
    return [_slashes(plain), _slashes(rest)]


def _of_path(location: str) -> list[str]:
    """Paths that may be meant: as they stand, with backslashes turned, with escapes undone."""
    spellings = [location]
    if "\\" in location:
        spellings.insert(0 if _DRIVE.match(location) else 1, _slashes(location))
    if _ESCAPED.search(location):
        spellings += [unquote_to_bytes(each).decode("utf-8", "replace") for each in spellings]
    if not location.isascii():
        # A name on disk may be in the same bytes, which are no text there.
        bytes_of = location.translate(_BYTES).encode("latin-1", "ignore")
        spellings.append(bytes_of.decode("utf-8", "surrogateescape"))
    return spellings


def _slashes(path: str) -> str:
    """A path of Windows as others write it; its drive is nobody's else."""
    return _DRIVE.sub("", path.replace("\\", "/"), count=1)


def _names(shown: str, artist: str) -> tuple[tuple[str, str], ...]:
    """(artist, title) that `Artist - Title` may mean, where a dash may be part of either."""
    pieces = [piece.strip() for piece in re.split(r"\s+[-–—]\s+", shown)]
    splits = [(" - ".join(pieces[:at]), " - ".join(pieces[at:])) for at in range(1, len(pieces))]
    if artist:
        own = [title for said, title in splits if said.casefold() == artist.casefold()]
        splits = [(artist, title) for title in (*own, shown)]
    return tuple(dict.fromkeys((by, title) for by, title in splits if by and title))


# --- the Million Playlist Dataset --------------------------------------------------------------


def _read_slice(path: Path, raw: bytes) -> Iterator[Playlist]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise KgError(f"{printable(path)} is no JSON ({error}): get the slice again.") from error
    listed = document.get("playlists") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise KgError(
            f"{printable(path)} is no slice of the Million Playlist Dataset: it has no list "
            '"playlists".'
        )
    del document
    for number, said in enumerate(listed):
        listed[number] = None  # what was read needs no memory any more
        yield _of_slice(path, number, said)


def _of_slice(path: Path, number: int, said: Any) -> Playlist:
    try:
        pid = int(said["pid"])
        return Playlist(
            row_id("mpd", str(pid)),
            str(said.get("name") or pid),
            "mpd",
            path,
            [_track(track) for track in said["tracks"]],
            pid=pid,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KgError(
            f"Playlist {number} of {printable(path)} is not as the Million Playlist Dataset has "
            f"them ({type(error).__name__}: {error}): it needs pid, name and tracks."
        ) from error


def _track(said: Mapping[str, Any]) -> Entry:
    artist, title = str(said.get("artist_name") or ""), str(said.get("track_name") or "")
    duration = said.get("duration_ms")
    return Entry(
        f"{artist} - {title}",
        key=str(said.get("track_uri") or ""),
        names=((artist, title),) if artist and title else (),
        album=str(said.get("album_name") or "") or None,
        duration=None if duration is None else float(duration) / 1000,
    )
