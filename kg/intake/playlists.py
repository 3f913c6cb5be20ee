"""Playlists join the graph: their entries are matched to songs of the library, and kept as
`(:Playlist)-[:CONTAINS]->(:Song)`.
"""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from kg.errors import KgError, RebuiltError, WrongUsageError
from kg.genres.names import by_key
from kg.genres.titles import called_after
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.transactions import fetch, read_rows, run
from kg.progress import SILENT, Progress
from kg.records import Rejected
from kg.schema import PLAYLIST_NODE
from kg.sources.playlists import Entry, Playlist, read_playlists
from kg.splits import artist_key
from kg.text import indexable, printable, storable, unstored

By = Literal["path", "key", "name"]

# Entries that a report names; of a million playlists nobody reads them all.
NAMED: Final = 5
# Playlists a transaction, and relationships, whichever comes first.
MOST_PLAYLISTS, MOST_PLACES = 500, 5000
# Of two songs by one artist and of one title, the one that is so much like the entry in length.
SECONDS: Final = 3.0

_GUESTS: Final = re.compile(r"\s*[(\[](?:feat|ft|featuring|with)\b[^)\]]*[)\]]", re.IGNORECASE)
# The same recording, whoever polished it.
_REMASTERED: Final = re.compile(
    r"\s*[-–(\[]\s*(?:\d{4}\s+)?(?:digital(?:ly)?\s+)?remaster(?:ed)?(?:\s+version)?(?:\s+\d{4})?"
    r"(?:\s+version)?\s*[)\]]?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Known:
    """A song of the library, as far as entries are matched by it."""

    id: str
    title: str | None
    album: str | None
    duration: float | None
    shown: str


@dataclass(frozen=True, slots=True)
class Found:
    """What an entry came to.

    Attributes:
        song: The song's id; None where there is none, or several.
        by: How it was found.
        several: Songs that it may be, where that can't be told.
    """

    song: str | None = None
    by: By | None = None
    several: Sequence[Known] = ()


@dataclass(slots=True)
class Tally:
    """Counts, and a few examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.examples) < NAMED:
            self.examples.append(example)


@dataclass(frozen=True, slots=True)
class PlaylistsReport:
    """What taking in playlists came to.

    Attributes:
        playlists: That are in the graph now, from these files.
        new: Of them, those that were not there before.
        entries: In all of the files.
        matched: Entries that are songs of the library, by how they were found.
        songs: Songs in these playlists, each once.
        missing: Entries that name no song of the library.
        ambiguous: Entries that may be several songs: none of them was taken.
        others: Entries that can't be songs, by reason.
        empty: Playlists without any song of the library: they were left out.
        removed: Of these, those that were in the graph until now.
        labels: Playlists that are called after a genre: models learn nothing from them.
        rejected: Files that can't be read, and why.
    """

    playlists: int
    new: int
    entries: int
    matched: Mapping[str, int]
    songs: int
    missing: Tally
    ambiguous: Tally
    others: Mapping[str, Tally]
    empty: Tally
    removed: Tally
    labels: Tally
    rejected: Sequence[Rejected]


@dataclass(frozen=True, slots=True)
class StoredPlaylist:
    """A playlist of the graph.

    Attributes:
        id: Its key.
        name: What its owner calls it.
        path: The file that it was read from.
        source: `m3u`, `pls` or `mpd`.
        entries: How many its file has.
        songs: How many songs of the library it contains.
        gone: Its file isn't there any more.
    """

    id: str
    name: str
    path: str
    source: str
    entries: int
    songs: int
    gone: bool


@lru_cache(maxsize=65_536)
def title_key(title: str | None) -> str | None:
    """What spellings of one title have in common; None where there is no title.

    Case, accents, punctuation, guests and "remastered" don't count; "live", "remix" and the like
    do: these are other recordings.
    """
    text = _GUESTS.sub("", title or "")
    text = unicodedata.normalize("NFKD", _REMASTERED.sub("", text) or text).casefold()
    letters = "".join(char for char in text if not unicodedata.combining(char))
    return re.sub(r"[\W_]+", " ", letters).strip() or letters.strip() or None


class SongIndex:
    """The songs of a library by path, by the end of their path, by key, and by artist and title."""

    def __init__(self) -> None:
        self._by_path: dict[str, Known] = {}
        self._by_end: dict[tuple[str, ...], list[tuple[tuple[str, ...], Known]]] = defaultdict(list)
        self._by_key: dict[str, list[Known]] = defaultdict(list)
        self._by_name: dict[tuple[str, str], list[Known]] = defaultdict(list)

    @classmethod
    def of(cls, connection: Connection) -> "SongIndex":
        """Read the library, one row after the other."""

        def work(tx: neo4j.ManagedTransaction) -> SongIndex:
            index = cls()
            for row in tx.run(queries.SONGS_BY_NAME):
                index.take(*row.values())
            return index

        return connection.read(work)

    def take(
        self,
        id: str,
        title: str | None,
        artist: str | None,
        album_artist: str | None,
        album: str | None,
        duration: float | None,
        paths: Sequence[str | None],
        key: str | None,
    ) -> None:
        """Add a song."""
        there = [path for path in paths if path]
        shown = " - ".join(filter(None, (artist, title))) or id
        song = Known(id, title, album, duration, there[0] if there else f"{shown} ({id[:12]})")
        for path in there:
            self._by_path[_spelled(path)] = song
            parts = _parts(path)
            self._by_end[parts[-2:]].append((parts, song))
        for spelled in {key, (key or "").rpartition(":")[2]} - {None, ""}:
            self._by_key[str(spelled)].append(song)
        name = title_key(title)
        for by in {artist_key(artist), artist_key(album_artist)} - {None}:
            if name:
                self._by_name[str(by), name].append(song)

    def find(self, entry: Entry) -> Found:
        """The song that an entry names: by its path, by its key, by artist and title.

        A file that lies elsewhere now is found by the end of its path, at least its name and its
        folder's, where that fits one song better than all others and the title doesn't speak
        against it. Where several fit alike, none is taken.
        """
        for path in entry.paths:
            song = self._by_path.get(_spelled(str(storable(path))))
            if song is not None:
                return Found(song.id, "path")
        several: Sequence[Known] = ()
        for by, songs in (
            ("key", self._of_key(entry.key)),
            ("path", self._of_end(entry)),
            ("name", self._of_name(entry)),
        ):
            fitting = _narrowed(songs, entry)
            if len(fitting) == 1:
                return Found(fitting[0].id, by)  # type: ignore[arg-type]
            several = several or fitting
        return Found(several=several)

    def _of_key(self, key: str) -> Sequence[Known]:
        spellings = (key, key.rpartition(":")[2]) if key else ()
        return next((self._by_key[each] for each in spellings if each in self._by_key), ())

    def _of_end(self, entry: Entry) -> Sequence[Known]:
        best, songs = 1, list[Known]()
        titles = {title_key(title) for _, title in entry.names}
        for path in entry.paths:
            parts = _parts(str(storable(path)))
            for other, song in self._by_end.get(parts[-2:], ()):
                if titles and song.title and title_key(song.title) not in titles:
                    continue
                same = _same_end(parts, other)
                if same > best:
                    best, songs = same, [song]
                elif same == best > 1:
                    songs.append(song)
        return songs

    def _of_name(self, entry: Entry) -> Sequence[Known]:
        for artist, title in entry.names:
            by, name = artist_key(artist), title_key(title)
            if by and name and (songs := self._by_name.get((by, name))):
                return songs
        return ()


def _narrowed(songs: Sequence[Known], entry: Entry) -> Sequence[Known]:
    """Of several songs those that the entry's album and length speak for, where they do."""
    left = list({song.id: song for song in songs}.values())
    album = title_key(entry.album)
    if len(left) > 1 and album:
        left = [song for song in left if title_key(song.album) == album] or left
    if len(left) > 1 and entry.duration:
        length = entry.duration
        near = [s for s in left if s.duration and abs(s.duration - length) <= SECONDS]
        left = near or left
    return left


def _spelled(path: str) -> str:
    """A path as accents are written everywhere: Macs write them apart from their letters."""
    return unicodedata.normalize("NFC", path)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(re.split(r"[\\/]+", _spelled(path).casefold().strip("\\/")))


def _same_end(one: Sequence[str], other: Sequence[str]) -> int:
    same = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        same += 1
    return same


# --- into the graph ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """A playlist on its way: its properties, and (song, first position from 1, count)."""

    id: str
    properties: Mapping[str, Any]
    places: Sequence[tuple[str, int, int]]


class _Reading:
    """Reads files, matches what is in them, and keeps count."""

    def __init__(self, index: SongIndex, genres: Mapping[str, str]) -> None:
        self.index, self.genres = index, genres
        self.rejected: list[Rejected] = []
        self.entries = self.playlists = 0
        self.matched: Counter[str] = Counter()
        self.songs: set[str] = set()
        self.missing, self.ambiguous, self.empty, self.labels = Tally(), Tally(), Tally(), Tally()
        self.others: dict[str, Tally] = defaultdict(Tally)

    def rows(self, files: Iterable[Path], progress: Progress) -> Iterator[_Row]:
        """The playlists of all files, those that contain no song too."""
        listed = list(files)
        with progress.stage("Reading playlists", len(listed)) as advance:
            for file in listed:
                try:
                    for playlist in read_playlists(file):
                        yield self._row(playlist)
                except KgError as error:
                    self.rejected.append(Rejected(file, str(error)))
                advance(1)

    def _row(self, playlist: Playlist) -> _Row:
        first: dict[str, int] = {}
        count: Counter[str] = Counter()
        for position, entry in enumerate(playlist.entries, 1):
            found = self.index.find(entry)
            if found.song is not None:
                first.setdefault(found.song, position)
                count[found.song] += 1
                self.matched[str(found.by)] += 1
            elif found.several:
                among = ", ".join(song.shown for song in found.several[:NAMED])
                self.ambiguous.add(f"{entry.said}: {among}")
            else:
                self.missing.add(entry.said)
        for other in playlist.others:
            self.others[other.reason].add(other.said)
        self.entries += len(playlist.entries) + len(playlist.others)
        if not first:
            self.empty.add(playlist.name)
        elif called_after(playlist.name, self.genres) is not None:
            self.labels.add(playlist.name)
        self.songs.update(first)
        properties = {
            "name": indexable(playlist.name),
            "path": storable(os.fspath(playlist.path)),
            "source": playlist.kind,
            "pid": playlist.pid,
            "entries": len(playlist.entries) + len(playlist.others),
        }
        places = [(song, at, count[song]) for song, at in sorted(first.items())]
        return _Row(playlist.id, properties, places)


def take_in(
    connection: Connection,
    files: Sequence[Path],
    progress: Progress = SILENT,
) -> PlaylistsReport:
    """Read playlists, and write those that contain songs of the library; one that is there already
    is brought up to date, and goes where nothing in it is a song any more.

    Args:
        connection: The database.
        files: Playlists.
        progress: Told how far it is.

    Raises:
        RebuiltError: a song went meanwhile.
    """
    genres = by_key(row["name"] for row in read_rows(connection, queries.OWN_GENRES))
    reading = _Reading(SongIndex.of(connection), genres)
    removed, playlists, new = Tally(), 0, 0
    rows = reading.rows(files, progress)
    for batch in _batches(rows):
        there, gone = connection.write(_write, batch, genres)
        names = {row.id: row.properties["name"] for row in batch}
        for id in gone:
            removed.add(str(names[id]))
        kept = {row.id for row in batch if row.places}
        playlists += len(kept)
        new += len(kept - set(there))
    return PlaylistsReport(
        playlists=playlists,
        new=new,
        entries=reading.entries,
        matched=dict(reading.matched),
        songs=len(reading.songs),
        missing=reading.missing,
        ambiguous=reading.ambiguous,
        others=dict(reading.others),
        empty=reading.empty,
        removed=removed,
        labels=reading.labels,
        rejected=reading.rejected,
    )


def _batches(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    """Playlists of one transaction: each id once, and not too many relationships."""
    batch: dict[str, _Row] = {}
    places = 0
    for row in rows:
        if row.id in batch or len(batch) == MOST_PLAYLISTS or places >= MOST_PLACES:
            yield list(batch.values())
            batch, places = {}, 0
        batch[row.id] = row
        places += len(row.places)
    if batch:
        yield list(batch.values())


def _heard(name: str | None, songs: Iterable[str], genres: Mapping[str, str]) -> frozenset[str]:
    """Songs that models hear a playlist in: one that is called after a genre they don't hear."""
    return frozenset() if called_after(name or "", genres) is not None else frozenset(songs)


def _write(
    tx: neo4j.ManagedTransaction, rows: Sequence[_Row], genres: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Write playlists; which of them were there, and which went, as no song is in them."""
    ids = [row.id for row in rows]
    known = {
        row["id"]: _heard(row["name"], row["songs"], genres)
        for row in fetch(tx, queries.PLAYLISTS_THERE, {"ids": ids})
    }
    there = list(known)
    if any(
        _heard(row.properties["name"], (song for song, _, _ in row.places), genres)
        != known.get(row.id, frozenset())
        for row in rows
    ):
        run(tx, queries.COUNT_CHANGE[PLAYLIST_NODE])
    gone = [row.id for row in rows if not row.places and row.id in known]
    run(tx, queries.DELETE_PLAYLISTS, ids=gone)
    kept = [row for row in rows if row.places]
    run(tx, queries.DELETE_CONTAINS, ids=[row.id for row in kept if row.id in known])
    properties = [{"id": row.id, "properties": dict(row.properties)} for row in kept]
    run(tx, queries.MERGE_PLAYLISTS, rows=properties)
    songs: dict[str, int] = {}
    contain = [
        [row.id, [[songs.setdefault(song, len(songs)), at, n] for song, at, n in row.places]]
        for row in kept
    ]
    if contain:
        made = fetch(tx, queries.CREATE_CONTAINS, {"rows": contain, "songs": list(songs)})
        if made[0]["n"] != sum(len(row.places) for row in kept):
            raise RebuiltError
    return there, gone


# --- what is there -----------------------------------------------------------------------------


def stored_playlists(connection: Connection) -> list[StoredPlaylist]:
    """All playlists of the graph, by name."""
    looked: dict[str, bool] = {}

    def gone(path: str) -> bool:
        if path not in looked:
            looked[path] = not any(os.path.lexists(each) for each in (path, unstored(path)))
        return looked[path]

    found = [
        StoredPlaylist(**row, gone=gone(row["path"]))
        for row in read_rows(connection, queries.PLAYLISTS)
    ]
    return sorted(found, key=lambda each: (each.name.casefold(), each.id))


def remove_playlists(
    connection: Connection, named: Sequence[str], *, gone: bool = False
) -> list[StoredPlaylist]:
    """Take playlists out of the graph; songs and files stay.

    Args:
        connection: The database.
        named: Their names, paths, or ids (four digits at least).
        gone: Also those whose files aren't there any more.

    Returns:
        What went.

    Raises:
        KgError: there is no playlist that is called so, or there are several.
    """
    there = stored_playlists(connection)
    leaving = {each.id: each for each in there if gone and each.gone}
    for text in named:
        found = _called(text, there)
        leaving |= {each.id: each for each in found}
    ids = iter(leaving)
    while batch := list(islice(ids, MOST_PLAYLISTS)):
        connection.write(_remove, batch)
    return list(leaving.values())


def _remove(tx: neo4j.ManagedTransaction, ids: Sequence[str]) -> None:
    run(tx, queries.COUNT_CHANGE[PLAYLIST_NODE])
    run(tx, queries.DELETE_PLAYLISTS, ids=ids)


def _called(text: str, there: Sequence[StoredPlaylist]) -> list[StoredPlaylist]:
    """The playlist of that name, path or id; a slice's path stands for all of its playlists."""
    path = storable(os.fspath(Path(text).absolute()))
    by_path = [each for each in there if each.path in (text, path)]
    if by_path:
        return by_path
    prefix = text.lower()
    tests: Sequence[Callable[[StoredPlaylist], bool]] = (
        lambda each: each.id == prefix,
        lambda each: each.name == text,
        lambda each: each.name.casefold() == text.casefold(),
        lambda each: len(prefix) >= 4 and each.id.startswith(prefix),
    )
    for fits in tests:
        found = [each for each in there if fits(each)]
        if len(found) == 1:
            return found
        if found:
            listed = "; ".join(f"{each.id[:12]} ({each.path})" for each in found[:NAMED])
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            raise KgError(
                printable(
                    f"{len(found)} playlists are called {text!r}: {listed}{more}. Name the one you "
                    "mean by its id."
                )
            )
    raise WrongUsageError(
        printable(
            f"There is no playlist with the name, path or id {text!r}: `kg playlists list` shows "
            "those that are there."
        )
    )
