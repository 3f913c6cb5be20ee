"""Tables made on the spot, as sources hand them over."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kg.records import SongRecord
from kg.sources.dataset import Batch, LeftOut, SourceTable, row_id

FAMILIES = {"timbre": ("t1", "t2", "t3", "t4", "t5", "t6"), "harmony": ("h1", "h2", "h3")}
GENRES = ("blues", "jazz", "rock", "techno")
NAME = "made-up"


def made_up(
    count: int = 48,
    *,
    seed: int = 0,
    name: str = NAME,
    families: Mapping[str, Sequence[str]] = FAMILIES,
    first: int = 0,
) -> tuple[list[SongRecord], NDArray[np.float32]]:
    """Songs of four genres, three by an artist, that features tell apart; some values missing."""
    random = np.random.default_rng(seed)
    records, x = [], []
    width = sum(map(len, families.values()))
    centres = np.random.default_rng(99).normal(size=(len(GENRES), width)) * 2
    for number in range(first, first + count):
        genre = number % len(GENRES)
        artist = f"{GENRES[genre]} artist {number // len(GENRES) // 3}"
        records.append(
            SongRecord(
                row_id(name, f"T{number}"),
                title=f"Song {number}",
                artist=artist,
                genres=(GENRES[genre],),
                genre_source="table",
                source=name,
                key=f"T{number}",
            )
        )
        x.append(centres[genre] + random.normal(size=width))
    features = np.array(x, dtype=np.float32).reshape(count, width)
    features[random.random(features.shape) < 0.05] = np.nan
    return records, features


def table_of(
    records: Sequence[SongRecord],
    features: NDArray[np.float32],
    *,
    name: str = NAME,
    families: Mapping[str, Sequence[str]] = FAMILIES,
    left_out: Sequence[LeftOut] = (),
    size: int = 20,
    remarks: Sequence[str] = (),
) -> SourceTable:
    """These songs as a table that is read in batches of `size`."""

    def batches() -> Iterator[Batch]:
        for start in range(0, len(records), size):
            rows = slice(start, start + size)
            yield Batch(records[rows], features[rows], left_out=() if start else left_out)

    return SourceTable(name, families, batches, len(records), remarks=remarks)
