"""Points in the plane for the nodes of a graph: what is linked attracts, all else repels.

McInnes, Healy and Melville 2018 (UMAP), algorithm 5, with a = b = 1 and every link alike: on a
graph of nearest neighbours weights change little. umap-learn does the same, but takes half a minute
to be imported on a busy machine, and openTSNE a minute for 10,000 songs.

Numba is imported with this module: nothing but `kg.maps.songs` imports it, and only when needed.
"""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

EPOCHS: Final = 200
# Nodes that repel for each link that attracts.
_REPELLING: Final = 5
# How far one push or pull may move a node.
_FARTHEST: Final = 4.0

_compiled: Any = njit(nogil=True, cache=True)


@_compiled  # type: ignore[untyped-decorator]
def unfold(places: Floats, heads: Ints, tails: Ints, first: int, epochs: int) -> None:
    """Move places where links want them, for some epochs of an annealing.

    One thread and random numbers of its own: the same graph gives the same places.

    Args:
        places: [n, 2], moved in place; some 10 wide.
        heads: [e], both directions of every link.
        tails: [e].
        first: The epoch to go on from, 0 at first.
        epochs: How many to run now, of `EPOCHS` in all.
    """
    n = len(places)
    state = np.uint64(0x9E3779B97F4A7C15) + np.uint64(first)
    for epoch in range(first, first + epochs):
        step = 1 - epoch / EPOCHS
        for edge in range(len(heads)):
            i, j = heads[edge], tails[edge]
            x, y = places[i, 0] - places[j, 0], places[i, 1] - places[j, 1]
            pull = -2 / (1 + x * x + y * y)
            x = step * min(max(pull * x, -_FARTHEST), _FARTHEST)
            y = step * min(max(pull * y, -_FARTHEST), _FARTHEST)
            places[i, 0] += x
            places[i, 1] += y
            places[j, 0] -= x
            places[j, 1] -= y
            for _ in range(_REPELLING):
                # xorshift64 (Marsaglia 2003)
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                other = np.int64(state >> np.uint64(33)) % n
                x, y = places[i, 0] - places[other, 0], places[i, 1] - places[other, 1]
                square = x * x + y * y
                push = 2 / ((0.001 + square) * (1 + square))
                places[i, 0] += step * min(max(push * x, -_FARTHEST), _FARTHEST)
                places[i, 1] += step * min(max(push * y, -_FARTHEST), _FARTHEST)
