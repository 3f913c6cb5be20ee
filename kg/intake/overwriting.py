"""Songs that a table is about to overwrite: told before, as another table may have brought them."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.errors import WrongUsageError
from kg.given import column_order
from kg.graph.store import GraphStore
from kg.graph.transactions import batches
from kg.intake.tables import songs_of
from kg.progress import SILENT, Progress
from kg.records import FeatureSet, NewSong
from kg.sources.dataset import Batch, SourceTable, without_repeats
from kg.sources.datasets import DATA_SETS
from kg.text import printable

LOOKED_AT: Final = 10_000
"""Songs that are compared: whether it is another table shows in fewer."""


def overwriting(
    store: GraphStore,
    table: SourceTable,
    there: FeatureSet | None,
    progress: Progress = SILENT,
) -> str | None:
    """Say how many songs of an earlier table of this name would be others; changes nothing.

    Args:
        store: The graph.
        table: The table that is to be taken in; read where the graph has songs of its name.
        there: What the features in the graph mean; None: it is empty.
        progress: Told how far it is.

    Returns:
        A sentence; None where all would stay as they are.
    """
    known = set(store.rows_of(table.name)) if there is not None else set[str]()
    if there is None or not known:
        return None
    try:
        order = column_order(there, table.families)
    except WrongUsageError:  # no song will be overwritten: it is refused
        return None
    looked = changed = 0
    with progress.stage("Comparing with what is there", table.songs) as advance:
        for songs in batches(_known_songs(table, order, known)):
            told = store.as_told(songs[: LOOKED_AT - looked])
            looked += len(told)
            changed += sum(how != "all" for how in told.values())
            advance(len(songs))
            if looked >= LOOKED_AT:
                break
    if not changed:
        return None
    first = "the first " if looked == LOOKED_AT < len(known) else ""
    said = (
        f"{changed:,} of {first}{looked:,} songs that are there from a table called "
        f"{printable(table.name)} will get other values, names or genres."
    )
    if 2 * changed <= looked:
        return said
    if table.name in DATA_SETS:
        return (
            f"{said} Where those were of another version of it, take this one into a library of "
            "its own (--home DIR)."
        )
    return (
        f"{said} Where that was another table, give this one's file another name first: songs are "
        "known by it."
    )


def _known_songs(
    table: SourceTable, order: NDArray[np.int64], known: set[str]
) -> Iterator[NewSong]:
    for batch in without_repeats(table):
        rows = [row for row, song in enumerate(batch.songs) if song.id in known]
        if rows:
            kept = np.array(rows)
            durations = [batch.durations[row] for row in rows] if batch.durations else ()
            songs = [batch.songs[row] for row in rows]
            yield from songs_of(Batch(songs, batch.features[kept], durations), order)
