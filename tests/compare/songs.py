"""A made-up library that two families of features tell, by several artists."""

import numpy as np

from kg.compare.material import Material
from kg.graph.rows import SongTable
from kg.records import FeatureSet
from kg.splits import SplitSong

GENRES = ("blues", "jazz", "rock")


def material(
    songs: int = 90, *, artists: int | None = None, several: bool = False, seed: int = 0
) -> Material:
    """Three genres; `good` tells them, `bad` is noise; three songs an artist unless said.

    The last tenth of the songs is on the test side.
    """
    chance = np.random.default_rng(seed)
    artists = artists or songs // 3
    by = np.arange(songs) % artists
    genre = by % len(GENRES)
    centres = chance.normal(size=(len(GENRES), 4))
    good = centres[genre] + 0.3 * chance.normal(size=(songs, 4))
    bad = chance.normal(size=(songs, 4))
    kinds = FeatureSet(
        "made-up", {"good": slice(0, 4), "bad": slice(4, 8)}, tuple(f"c{n}" for n in range(8))
    )
    named = [tuple(sorted({GENRES[g], *(("rock",) if several and g == 0 else ())})) for g in genre]
    sides = [
        "test" if row >= 0.9 * songs else ("valid", "train")[row % 7 > 0] for row in range(songs)
    ]
    ids = [f"s{row:03}" for row in range(songs)]
    table = SongTable(
        ids=ids,
        features=np.concatenate([good, bad], axis=1).astype(np.float32),
        genres=named,
        artists=[f"artist {number}" for number in by],
        splits=list(sides),
    )
    keys = [
        SplitSong(id, names, artist, side)
        for id, names, artist, side in zip(ids, named, table.artists, sides, strict=True)
    ]
    return Material(table, keys, kinds)
