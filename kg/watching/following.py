"""What a batch of files means for the songs of the graph: their paths, and which of them go."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.transactions import batches, fetch, read_rows, run


@dataclass(frozen=True, slots=True)
class Placed:
    """A song of the graph and where it lies, as the database spells it."""

    id: str
    title: str
    paths: Sequence[str]


@dataclass(frozen=True, slots=True)
class Change:
    """A song that lies elsewhere now.

    Attributes:
        song: As it was.
        gained: Paths that came.
        lost: Paths that went.
    """

    song: Placed
    gained: Sequence[str]
    lost: Sequence[str]

    @property
    def left(self) -> list[str]:
        """Where it lies now; nowhere: it is to go."""
        return sorted({*self.song.paths} - {*self.lost} | {*self.gained})


def changes(
    songs: Iterable[Placed], now: Mapping[str, str | None], gone: Callable[[str, bool], bool]
) -> list[Change]:
    """Compare where songs were with what is there now; changes nothing.

    Args:
        songs: Songs of the graph that something happened to.
        now: Which song lies at each path that was looked at; None: none that can be read.
        gone: Asked for each other path of a song, and whether the song has come to another one:
            whether nothing is there any more.
    """
    found = []
    for song in songs:
        here = {path for path, id in now.items() if id == song.id}
        lost = [
            path
            for path in song.paths
            if path not in here and (path in now or gone(path, bool(here)))
        ]
        gained = sorted(here.difference(song.paths))
        if gained or lost:
            found.append(Change(song, gained, lost))
    return found


def placed_songs(connection: Connection, ids: Iterable[str]) -> list[Placed]:
    """Where these songs lie; those that aren't in the graph are left out."""
    return [
        _placed(row)
        for batch in batches(sorted(set(ids)))
        for row in read_rows(connection, queries.PLACED_SONGS, ids=batch)
    ]


def follow(connection: Connection, found: Sequence[Change]) -> None:
    """Write where songs lie now. Nothing else of them changes."""

    def work(tx: neo4j.ManagedTransaction, batch: list[Change]) -> None:
        # As they are now: another command may have seen another copy meanwhile.
        ids = [change.song.id for change in batch]
        there = {row["id"]: row for row in fetch(tx, queries.PLACED_SONGS, {"ids": ids})}
        rows = []
        for change in batch:
            if (row := there.get(change.song.id)) is not None:
                paths = Change(_placed(row), change.gained, change.lost).left
                if paths:
                    properties = {"path": paths[0], "paths": paths}
                    rows.append({"id": change.song.id, "properties": properties})
        run(tx, queries.UPDATE_SONGS, rows=rows)

    for batch in batches(found):
        connection.write(work, batch)


def keep_labels(connection: Connection, rows: Sequence[Mapping[str, str | None]]) -> None:
    """Give songs (`new`) that have no genre those of the songs that they replace (`old`)."""

    def work(tx: neo4j.ManagedTransaction) -> None:
        labels = fetch(tx, queries.LABELS_TO_KEEP, {"rows": list(rows)})
        if labels:
            run(tx, queries.MERGE_IN_GENRE, rows=labels, kept=[])

    connection.write(work)


def _placed(row: Mapping[str, object]) -> Placed:
    paths = row["paths"]
    assert isinstance(paths, list)
    there = [path for path in paths if path]
    id = str(row["id"])
    return Placed(id, str(row["title"] or (there[0] if there else id)), there)
