"""Tables on their way into the graph: rows become songs, whose features nobody has to hear."""

import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.build import build_graph
from kg.errors import KgError
from kg.genres.tree import check_no_cycle
from kg.given import column_order, given_features, refuse_table
from kg.graph.rows import Counts, Floats
from kg.graph.store import GraphStore
from kg.graph.transactions import BATCH, batches
from kg.graph.tree import TreeReport
from kg.progress import SILENT, Progress
from kg.records import FeatureSet, NewSong
from kg.removal import remove_songs
from kg.sources.dataset import Batch, LeftOut, SourceTable, row_id, without_repeats
from kg.text import printable

# Rows that a report names; of all others it says how many they are.
LISTED: Final = 1000
# Bytes of features in a transaction: wide rows go in smaller batches.
_MOST_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class TableReport:
    """What an ingest of a table came to.

    Attributes:
        name: Of the table, or of the data set.
        taken: Songs that are now in the graph from it.
        new: How many of them weren't there before.
        changed: How many were there with other values, names or genres.
        left_out: Rows that did not become songs, and why: the first `LISTED` of them.
        rows_left_out: How many they are.
        families: Columns of each feature family of the library.
        missing: Share of the values of these songs that are missing.
        bare: Songs without any value.
        remarks: Sentences that a reader should know before the songs are used.
        pruned: Songs that were removed, as the table has them no more.
        rebuilt: Whether clusters and similar songs had to be made anew.
        counts: What is in the graph now; None where no row could be taken.
        few: Genres with a single song: they can be learned from but not measured.
        tree: What the owner's genre tree came to; None: none came along.
        faults: Songs that the data set is known to have wrong, and what of each.
    """

    name: str
    taken: int
    new: int
    changed: int
    left_out: Sequence[LeftOut]
    rows_left_out: int
    families: Mapping[str, int]
    missing: float
    bare: int
    remarks: Sequence[str]
    pruned: int = 0
    rebuilt: bool = False
    counts: Counts | None = None
    few: Sequence[str] = ()
    tree: TreeReport | None = None
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Tally:
    """What was seen of a table so far."""

    taken: int = 0
    left_out: list[LeftOut] = field(default_factory=list)
    rows_left_out: int = 0
    new: int = 0
    changed: int = 0
    values: int = 0
    missing: int = 0
    bare: int = 0

    def leave_out(self, rows: Sequence[LeftOut]) -> None:
        self.rows_left_out += len(rows)
        self.left_out += rows[: LISTED - len(self.left_out)]

    def count(self, songs: Sequence[NewSong]) -> None:
        self.taken += len(songs)
        for song in songs:
            missing = int(np.isnan(song.features).sum())
            self.values += len(song.features)
            self.missing += missing
            self.bare += missing == len(song.features)


def check_table(table: SourceTable, there: FeatureSet | None) -> None:
    """Refuse a table whose features can't be those of the library, before it is read.

    Args:
        table: The table.
        there: What the features of the library mean; None: it is new.

    Raises:
        WrongUsageError: they can't, or it has none, or its genre tree goes in a circle.
    """
    _features(table, there)
    check_no_cycle(table.parents)


def gone_rows(store: GraphStore, table: SourceTable, progress: Progress = SILENT) -> list[str]:
    """Songs that came from a table of this name and aren't in it any more; reads all of it.

    Raises:
        KgError: no row of it is a song, so that all would go, or one can't be read, so that nobody
            can tell which of them is there.
    """
    seen, there, unreadable = set[str](), set[str](), 0
    with progress.stage("Looking for rows that are gone", table.songs) as advance:
        for batch in table.batches():
            seen.update(song.id for song in batch.songs)
            # A row that can't be read this time isn't gone.
            for row in batch.left_out:
                unreadable += row.unreadable
                # Of a file that is called after its track, its name is the key.
                there |= {row_id(table.name, key) for key in (row.row, Path(row.row).stem)}
            advance(len(batch.songs))
    if not seen:
        raise KgError(
            f"No row of {printable(table.name)} is a song, so --prune removes nothing: look at "
            "that table, or name the songs to `kg forget`."
        )
    gone = [id for id in store.rows_of(table.name) if id not in seen and id not in there]
    if gone and unreadable:
        one = unreadable == 1
        raise KgError(
            f"{unreadable:,} row{' ' if one else 's '}of {printable(table.name)} can't be read, so "
            f"--prune can't tell what is gone: mend {'it' if one else 'them'} first."
        )
    return gone


def take_in(
    store: GraphStore,
    table: SourceTable,
    there: FeatureSet | None,
    neighbours_dir: Path,
    progress: Progress = SILENT,
    *,
    gone: Sequence[str] = (),
) -> TableReport:
    """Write the rows of a table as songs, batch by batch, and connect the graph.

    Rows that are in the graph as they are cost a look; so an ingest that was cut off goes on.

    Args:
        store: The graph, in which nobody else writes meanwhile.
        table: The table.
        there: What the features in the graph mean; None: it is empty.
        neighbours_dir: Where the neighbour index is kept.
        progress: Told how far it is.
        gone: Songs to remove, from `gone_rows`.

    Raises:
        WrongUsageError: its features can't be those of the library.
        KgError: the table turns out to be broken.
    """
    kinds, order = _features(table, there)
    pruned = remove_songs(store.connection, gone, progress)
    if pruned:  # where nobody was left, the library begins anew
        there = store.feature_set()
        kinds, order = _features(table, there)
    tally, builder = _Tally(), None
    with progress.stage("Reading the table", table.songs) as advance:
        for batch in without_repeats(table):
            tally.leave_out(batch.left_out)
            for songs in batches(songs_of(batch, order), _rows_at_once(order)):
                tally.count(songs)
                told = store.as_told(songs)
                tally.new += len(songs) - len(told)
                tally.changed += sum(how != "all" for how in told.values())
                # The graph says that it isn't finished before a song is new, or has other values.
                if builder is None and (
                    len(told) < len(songs) or any(how == "other" for how in told.values())
                ):
                    kinds = replace(kinds, given=secrets.token_hex(6))
                    builder = store.begin_build(kinds, old=there)
                wanted = [song for song in songs if told.get(song.record.id) != "all"]
                store.write_songs(wanted, builder=builder)
            advance(len(batch.songs) + len(batch.left_out), len(batch.left_out))
    report = TableReport(
        name=table.name,
        taken=tally.taken,
        new=tally.new,
        changed=tally.changed,
        left_out=tally.left_out,
        rows_left_out=tally.rows_left_out,
        families={name: part.stop - part.start for name, part in kinds.families.items()},
        missing=tally.missing / max(1, tally.values),
        bare=tally.bare,
        remarks=table.remarks,
        pruned=pruned,
        faults=table.faults,
    )
    if not tally.taken:
        return report
    if table.parents:
        store.write_tree(table.parents)
    store.credit_songs(progress)
    rebuilt = build_graph(store, kinds, neighbours_dir, progress)
    return replace(report, rebuilt=rebuilt, counts=store.counts(), few=store.single_song_genres())


def _features(table: SourceTable, there: FeatureSet | None) -> tuple[FeatureSet, NDArray[np.int64]]:
    """What the library's features mean, and where each of its own columns stands in the table."""
    kinds = given_features(table.families)
    if there is None:
        return kinds, np.arange(len(kinds.columns))
    refuse_table(there)
    return there, column_order(there, table.families)


def songs_of(batch: Batch, order: NDArray[np.int64]) -> Iterator[NewSong]:
    """The songs of a batch as the library has them, with what is missing as NaN.

    Args:
        batch: Of a table.
        order: Where each of the library's own columns stands in it.
    """
    if len(batch.songs) == 0:
        return
    if batch.features.shape != (len(batch.songs), len(order)):
        raise ValueError(f"{batch.features.shape} features of {len(batch.songs)} songs")
    x: Floats = batch.features[:, order].astype(np.float32, copy=False)
    # One bit pattern: values are compared as bytes.
    x = np.where(np.isfinite(x), x, np.float32(np.nan))
    for row, record in enumerate(batch.songs):
        yield NewSong(
            # Who has no title is called as its table calls it, as a file is by its name.
            record if record.title else replace(record, title=record.key or None),
            x[row],
            _seconds(batch.durations[row]) if batch.durations else None,
            None,
        )


def _seconds(duration: float | None) -> float | None:
    """A duration that is one; whoever reads a table may leave the judging to us."""
    return duration if duration is not None and math.isfinite(duration) else None


def _rows_at_once(order: NDArray[np.int64]) -> int:
    return max(1, min(BATCH, _MOST_BYTES // (4 * len(order))))
