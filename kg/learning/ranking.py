"""Which of its genres a song is said to have, and in what order.

The probability of a genre is never below that of its kinds, so the most probable ones are those at
the top of the tree, which say least. The first genre is therefore looked for down the tree, and
what others are kinds of comes after them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from kg.graph.rows import Floats, Guess

if TYPE_CHECKING:
    from torch import Tensor

    from kg.metrics.evaluate import Rows
    from models.hierarchy import Implied

TOP_K: Final = 3
# Where songs have several genres, further ones that are likelier than not, so many in all.
MOST_SEVERAL: Final = 10


def ranked(
    genres: Sequence[str],
    scores: "Tensor",
    probabilities: "Tensor",
    implied: "Implied" = (),
    *,
    several: bool = False,
    least: float = 0.0,
) -> list[list[Guess]]:
    """The first genres of songs.

    They are the most probable ones, until there are `TOP_K` of which no other is a likely kind
    (`models.hierarchy.LIKELY`), with `several` also all that are likelier than not, up to
    `MOST_SEVERAL`. Of each its likely kinds come along, as far as `models.hierarchy.ways_down`
    goes, and all that these are kinds of. First is the most specific on the first one's way that
    has at least the probability `least`, then come those of which no other is a likely kind, then
    the rest, each by score.

    Args:
        genres: Names, g of them.
        scores: [n, g], where genres imply others from `models.hierarchy.lift`.
        probabilities: [n, g], in their order.
        implied: Which genres imply which.
        several: Songs may have several genres.
        least: See above; where the most probable genre has less, that one is first.
    """
    from models.hierarchy import next_kinds

    raw, shares = scores.numpy(), probabilities.numpy()
    order = np.argsort(-raw, axis=1, kind="stable")
    kinds = next_kinds(scores, probabilities, implied).numpy()
    above = _above(implied)
    return [
        [
            Guess(genres[at], float(shares[row, at]), float(raw[row, at]), rank)
            for rank, at in enumerate(
                _places(order[row], shares[row], kinds[row], above, least, several=several), start=1
            )
        ]
        for row in range(len(raw))
    ]


def _above(implied: "Implied") -> dict[int, set[int]]:
    """What each genre is a kind of."""
    found: dict[int, set[int]] = {}
    for genre, below in implied:
        for each in below:
            found.setdefault(each, set()).add(genre)
    return found


def _places(
    order: "Rows",
    shares: Floats,
    kinds: "Rows",
    above: Mapping[int, set[int]],
    least: float,
    *,
    several: bool,
) -> list[int]:
    """Genres of one song in the order in which they are told."""
    from models.hierarchy import LIKELY

    first = int(order[0])
    named: set[int] = set()
    implied: set[int] = set()
    for start in order.tolist():
        own = len(named - implied)
        if own >= TOP_K and not (several and shares[start] > 0.5 and own < MOST_SEVERAL):
            break
        at = start
        while at >= 0 and at not in named:
            over = above.get(at, set())
            named |= {at, *over}
            # Of these the ones of which it is a likely kind take none of the places.
            implied |= {each for each in over if shares[at] >= LIKELY * shares[each]}
            if start == order[0] and shares[at] >= least:
                first = at
            at = int(kinds[at])
    place = {genre: number for number, genre in enumerate(order.tolist())}
    return sorted(named, key=lambda each: (each != first, each in implied, place[each]))


def first_genres(
    scores: "Tensor",
    probabilities: "Tensor",
    truth: "Tensor",
    implied: "Implied",
    least: "Tensor",
) -> "tuple[Tensor, Tensor, Tensor]":
    """The first genre of each song [n], its probability [n], and whether it is one of the song's.

    Args:
        scores: See `ranked`.
        probabilities: See `ranked`.
        truth: bool [n, g].
        implied: See `ranked`.
        least: [n], see `ranked`.
    """
    from models.hierarchy import ways_down

    ways = ways_down(scores, probabilities, implied)
    shares = probabilities.gather(1, ways.clamp(min=0))
    # The way goes from the more probable to the less, so that what is probable enough comes first.
    enough = ((ways >= 0) & (shares >= least[:, None])).sum(dim=1).clamp(min=1) - 1
    first = ways.gather(1, enough[:, None])
    return (
        first[:, 0],
        probabilities.gather(1, first)[:, 0],
        truth.gather(1, first)[:, 0],
    )
