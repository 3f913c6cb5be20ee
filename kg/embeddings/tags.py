"""Tags that a network gives songs: "guitar", "mellow", "80s"."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.records import Embedding, FeatureSet

Floats = NDArray[np.float32]

PREFIX: Final = "tag "
"""Columns of an embedding that begin so say how much a song is what follows, from 0 to 1."""

MOST: Final = 10
"""Tags that a song gets at most: all fifty would be fifty million relationships a million songs."""

LEAST: Final = 0.1
"""A tag weaker than this is not one, but every song has its strongest."""


def tag_names(embedding: Embedding) -> list[str]:
    """The tags that an embedding knows, in the order of its columns."""
    return [name.removeprefix(PREFIX) for name in embedding.columns if name.startswith(PREFIX)]


def all_tags(kinds: FeatureSet) -> list[str]:
    """The tags that some embedding of a library knows, sorted."""
    return sorted({name for each in kinds.embeddings for name in tag_names(each)})


def strongest(embedding: Embedding, vector: Floats) -> Sequence[tuple[str, float]]:
    """The tags of a song, (tag, weight), the strongest first.

    Args:
        embedding: Which knows tags or doesn't.
        vector: What it hears in the song, float32 [columns].
    """
    names = tag_names(embedding)
    if not names:
        return []
    at = [row for row, name in enumerate(embedding.columns) if name.startswith(PREFIX)]
    weights = vector[at]
    first = np.argsort(-weights, kind="stable")[:MOST]
    return [
        (names[row], float(weights[row]))
        for rank, row in enumerate(first)
        if rank == 0 or weights[row] >= LEAST
    ]


def tag_edges(kinds: FeatureSet, features: Floats) -> tuple[list[str], NDArray[np.int64]]:
    """The tags of many songs, as the graph has them.

    Args:
        kinds: What the columns mean.
        features: Raw features, float32 [n, d].

    Returns:
        All tags that an embedding knows, sorted, and edges int64 [2, e] in rows of songs and of
        these.
    """
    names = all_tags(kinds)
    at = {name: row for row, name in enumerate(names)}
    pairs = [
        (row, at[tag])
        for each in kinds.embeddings
        for row, vector in enumerate(features[:, kinds.families[each.family]])
        if not np.isnan(vector[0])
        for tag, _ in strongest(each, vector)
    ]
    edges = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return names, np.ascontiguousarray(edges.T)
