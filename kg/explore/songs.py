"""What the explorer's pages say of songs, read from the graph."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kg.audit.copies import copy_in_words
from kg.audit.faults import faults_in_words
from kg.errors import KgError
from kg.genres.proposals import shown_guesses
from kg.graph import queries
from kg.graph.audits import read_audit
from kg.graph.connection import Connection
from kg.graph.lookup import SongGenre, read_song
from kg.graph.rows import Guess
from kg.graph.transactions import read_rows
from kg.report.words import told as guesses_in_words
from kg.text import storable

if TYPE_CHECKING:
    from kg.library import Library

PAGE: Final = 50
"""Songs of a page of answers."""

LONGEST_WORDS: Final = 200
"""Characters of what is searched for."""

_MOST_WORDS: Final = 20


class GoneError(KgError):
    """There is no such song, or no longer."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A song in a list.

    Attributes:
        id: Its key.
        title: Its title, else its file's name, else its key.
        artist: None where unknown.
        album: None where unknown.
        genres: The owner's, sorted.
        told: What the model says first, in words; empty where it says nothing.
        unknown: Whether the model calls the song unknown.
    """

    id: str
    title: str
    artist: str | None
    album: str | None
    genres: Sequence[str]
    told: str
    unknown: bool


@dataclass(frozen=True, slots=True)
class SamePiece:
    """Another song that an audit takes for the same recording; `words` say how it differs."""

    id: str
    title: str
    artist: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Said:
    """A genre that was proposed for a song, or decided about.

    Attributes:
        genre: Its name.
        state: `open`, `accepted` or `rejected`.
        strength: How sure whoever proposed it is, 0 to 1; None where nobody did.
        replaces: Genres that it would take the place of, or did.
        evidence: Why an audit says so, in words; empty otherwise.
    """

    genre: str
    state: str
    strength: float | None
    replaces: Sequence[str]
    evidence: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A song on its own page.

    Attributes:
        id: Its key.
        title: Its title, else its file's name, else its key.
        artist: None where unknown.
        facts: What else is known of it: what it is called, and the value.
        duration: Seconds; 0 where unknown.
        paths: Where it lies.
        contents: Hashes of the bytes that its files have; empty for rows of tables.
        genres: The owner's.
        guesses: The model's, the most probable first.
        doubt: Why the model calls it unknown all the same; None: it doesn't.
        trained: Whether the model learned from it.
        said: What was proposed and decided.
        copies: The same recording.
        faults: What is wrong with its sound, in words.
        audited: When the last audit looked at the library, or that none did.
    """

    id: str
    title: str
    artist: str | None
    facts: Sequence[tuple[str, str]]
    duration: float
    paths: tuple[str, ...]
    contents: Collection[str]
    genres: Sequence[SongGenre]
    guesses: Sequence[Guess]
    doubt: str | None
    trained: bool
    said: Sequence[Said]
    copies: Sequence[SamePiece]
    faults: Sequence[str]
    audited: str


def called(title: str | None, path: str | None, id: str) -> str:
    """A song's title, else its file's name, else its key."""
    return title or (Path(path).name if path else id)


def search(
    connection: Connection, text: str, genre: str | None, page: int
) -> tuple[list[Listed], bool]:
    """Songs that say all words of a text in title, artist, album or path; by title.

    All songs of the library are listed as they came.

    Args:
        connection: To the graph.
        text: Words in any letter case, of which the first 20 count; none: all songs.
        genre: Only those that their owner files under it; None: all.
        page: From 0.

    Returns:
        The page's songs, and whether there are more.
    """
    said = dict.fromkeys(unicodedata.normalize("NFC", text.lower()).split())
    words = [str(storable(word)) for word in islice(said, _MOST_WORDS)]
    asked: dict[str, object] = {"skip": page * PAGE, "most": PAGE + 1}
    if genre is not None:
        text, asked = queries.FOUND_IN_GENRE, asked | {"words": words, "genre": storable(genre)}
    elif words:
        text, asked = queries.FOUND_SONGS, asked | {"words": words}
    else:
        text = queries.ALL_SONGS
    rows = read_rows(connection, text, **asked)
    return [_listed(row) for row in rows[:PAGE]], len(rows) > PAGE


def _listed(row: dict[str, Any]) -> Listed:
    return Listed(
        row["id"],
        called(row["title"], row["path"], row["id"]),
        row["artist"],
        row["album"],
        sorted(row["genres"]),
        "" if row["doubt"] is not None else guesses_in_words(row["told"]),
        row["doubt"] is not None,
    )


def genres(connection: Connection) -> list[tuple[str, int]]:
    """Genres of songs as their owner files them, and how many songs; the largest first."""
    rows = read_rows(connection, queries.GENRES_WITH_SONGS)
    return [(row["name"], row["songs"]) for row in rows]


def show(library: "Library", id: str) -> Shown:
    """Read a song with all that its page says at once.

    Raises:
        GoneError: it isn't there.
    """
    connection = library.connection
    if not read_rows(connection, queries.SONG, id=storable(id)):
        raise GoneError("There is no such song in the library any more.")
    found = read_song(connection, id)
    own = found.properties
    paths = tuple(own.get("paths") or ([own["path"]] if own.get("path") else []))
    policy, tree = library.policy, library.store.tree()
    said = [_said(row) for row in read_rows(connection, queries.PROPOSALS_OF_SONG, id=id)]
    copies = [
        SamePiece(
            row["id"],
            called(row["title"], row["path"], row["id"]),
            row["artist"],
            copy_in_words(row["properties"], turned=not row["first"]),
        )
        for row in read_rows(connection, queries.RECORDINGS_OF_SONG, id=id)
    ]
    faults = faults_in_words(own)
    wrong = bool(copies or faults or any(each.state == "open" for each in said))
    return Shown(
        id=id,
        title=called(own.get("title"), own.get("path"), id),
        artist=own.get("artist") or own.get("albumArtist"),
        facts=_facts(own),
        duration=own.get("duration") or 0.0,
        paths=paths,
        contents=() if own.get("sourceKey") else {id, *own.get("contents", ())},
        genres=found.genres,
        guesses=shown_guesses(found.guesses, policy, tree),
        doubt=own.get("doubt"),
        trained=own.get("split") == "train" and bool(found.genres),
        said=said,
        copies=copies,
        faults=faults,
        audited=_audited(connection, wrong=wrong),
    )


def _audited(connection: Connection, *, wrong: bool) -> str:
    """Whether an audit looked at the library; `wrong`: it says something of the song."""
    audit = read_audit(connection)
    if audit is None:
        return "No audit has looked at this library yet: `kg audit` does."
    told = f"The last audit ran on {audit.created_at.astimezone():%d %B %Y, %H:%M}"
    if not wrong:
        told += " and found nothing wrong with this song"
    now = int(read_rows(connection, queries.COUNT_NODES["songs"])[0]["n"])
    if now == audit.songs:
        return f"{told}."
    return f"{told}; of {now:,} songs {audit.songs:,} were there."


def _said(row: Mapping[str, Any]) -> Said:
    own = row["properties"]
    return Said(
        row["genre"],
        own["state"],
        own.get("strength"),
        own.get("replaces") or (),
        own.get("evidence") or "",
    )


def _facts(own: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known of a song beside its name, as far as it is."""
    duration, tempo, rate = own.get("duration"), own.get("tempo"), own.get("sampleRate")
    told = [
        ("album", own.get("album")),
        ("year", own.get("year")),
        ("length", None if duration is None else clock(duration)),
        ("tempo", None if not tempo else f"{tempo:.0f} BPM"),
        ("sample rate", None if rate is None else f"{rate:,} Hz"),
        ("side of the split", own.get("split")),
    ]
    return [(name, str(value)) for name, value in told if value]


def clock(seconds: float) -> str:
    """`3:05`, `1:02:09`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
