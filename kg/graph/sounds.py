"""What songs' nodes say of their sound: read for an audit, and written where nobody had looked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kg.audio.prints import MOST, WIDTH
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.rows import Floats
from kg.graph.transactions import batches, read_rows, run
from kg.graph.writing import sound_properties


@dataclass(frozen=True, slots=True, eq=False)
class Printed:
    """Songs with a print, sorted by id.

    Attributes:
        ids: n of them.
        durations: Seconds of each, float32 [n]; NaN where nobody says.
        prints: uint8 [n, MOST, WIDTH], zeros after the end of each.
        lengths: Steps of each, int64 [n].
    """

    ids: list[str]
    durations: Floats
    prints: NDArray[np.uint8]
    lengths: NDArray[np.int64]


def unheard_songs(connection: Connection) -> dict[str, list[str]]:
    """Songs with a file whose sound nobody has looked at: id to where they lie."""
    rows = read_rows(connection, queries.UNHEARD_SONGS)
    return {row["id"]: [path for path in row["paths"] if path] for row in rows}


def count_unheard(connection: Connection) -> int:
    """How many these are."""
    return int(read_rows(connection, queries.COUNT_UNHEARD)[0]["n"])


def write_sounds(connection: Connection, sounds: Sequence[tuple[str, Floats]]) -> None:
    """Give songs that are in the graph what was found in their sound.

    Args:
        connection: The database.
        sounds: Id, and row of `kg.audio.sound`, of each.
    """
    for batch in batches(sounds):
        rows = [{"id": id, "properties": sound_properties(row)} for id, row in batch]
        connection.write(run, queries.UPDATE_SONGS, rows=rows)


def read_prints(connection: Connection) -> Printed:
    """All prints; rows are taken in one by one, so that 100,000 need 130 MB."""

    def work(tx: neo4j.ManagedTransaction) -> Printed:
        ids: list[str] = []
        durations: list[float] = []
        raw = bytearray()
        ends = [0]
        for row in tx.run(queries.SONG_PRINTS):
            id, duration, values = row.values()
            ids.append(id)
            durations.append(np.nan if duration is None else duration)
            raw += values
            ends.append(len(raw))
        return _padded(ids, durations, np.frombuffer(raw, np.uint8), ends)

    return connection.read(work)


def _padded(
    ids: Sequence[str], durations: Sequence[float], raw: NDArray[np.uint8], ends: Sequence[int]
) -> Printed:
    order = sorted(range(len(ids)), key=ids.__getitem__)
    starts: NDArray[np.int64] = np.array(ends, np.int64)
    lengths = np.minimum((starts[1:] - starts[:-1])[order] // WIDTH, MOST)
    prints = np.zeros((len(ids), MOST * WIDTH), np.uint8)
    for row, (at, length) in enumerate(zip(order, lengths.tolist(), strict=True)):
        prints[row, : length * WIDTH] = raw[ends[at] : ends[at] + length * WIDTH]
    return Printed(
        [ids[at] for at in order],
        np.array(durations, np.float32)[order],
        prints.reshape(-1, MOST, WIDTH),
        lengths,
    )
