"""What data sets and tables hand over: songs with their features in batches, and a genre tree."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from kg.records import Rejected, SongRecord

Form = Literal["table", "audio"]
"""What a data set lies there as: a table of features, or the audio itself."""

Parents = Mapping[str, Sequence[str]]
"""A genre tree: the genres that a genre is a kind of, by its name; roots have none."""

SAME_ID: Final = "an earlier row has the same id"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that did not become a song, and why, in plain words.

    Attributes:
        row: Its key, or where it is.
        reason: Why.
        unreadable: Nobody can tell which song it was to be.
    """

    row: str
    reason: str
    unreadable: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some rows of a table.

    Attributes:
        songs: n songs.
        features: Their raw features, float32 [n, d]; NaN where a value is missing.
        durations: Seconds of each, None where nobody says; n of them, or none at all.
        left_out: Rows that are no songs.
    """

    songs: Sequence[SongRecord]
    features: NDArray[np.float32]
    durations: Sequence[float | None] = ()
    left_out: Sequence[LeftOut] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SourceTable:
    """A table with a row a song: what every source of features that isn't audio becomes.

    Attributes:
        name: Of the data set, or of the file without its extension; part of each song's key.
        families: Names of the columns of each feature family, in column order, d in all.
        batches: Reads the rows, from the first, each time it is called; needs the memory of one
            batch.
        songs: How many rows there are, where that is known before they are read.
        parents: Its genre tree; empty without one.
        remarks: Sentences that a reader should know before the songs are used.
        faults: Songs that are known to be faulty and come in all the same: what of each.
    """

    name: str
    families: Mapping[str, Sequence[str]]
    batches: Callable[[], Iterator[Batch]]
    songs: int | None = None
    parents: Parents = field(default_factory=dict)
    remarks: Sequence[str] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Annotated:
    """Audio files as the data set describes them that they are part of.

    Attributes:
        name: Of the data set.
        records: The files, with what the data set says of each.
        rejected: Files that it says are no good, and why.
        parents: Its genre tree; empty without one.
        remarks: Sentences that a reader should know.
        faults: As of a `SourceTable`.
    """

    name: str
    records: Sequence[SongRecord]
    rejected: Sequence[Rejected] = ()
    parents: Parents = field(default_factory=dict)
    remarks: Sequence[str] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


def without_repeats(table: SourceTable) -> Iterator[Batch]:
    """The batches of a table, in which a song whose id came before is a row that is left out.

    What is kept of each row meanwhile is its id as a number, 16 bytes.
    """
    seen: set[int] = set()
    for batch in table.batches():
        kept: list[int] = []
        again: list[LeftOut] = []
        for row, song in enumerate(batch.songs):
            number, before = int(song.id, 16), len(seen)
            seen.add(number)
            if len(seen) > before:
                kept.append(row)
            else:
                again.append(LeftOut(song.key, SAME_ID))
        if not again:
            yield batch
            continue
        yield Batch(
            [batch.songs[row] for row in kept],
            batch.features[kept],
            [batch.durations[row] for row in kept] if batch.durations else (),
            [*batch.left_out, *again],
        )


def row_id(source: str, key: str) -> str:
    """Key of a song that is a row of a table: BLAKE2b-128 of source and row key, hex."""
    text = f"{source}\0{key}".encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()
