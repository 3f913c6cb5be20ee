"""Whether one classifier is better than another by more than chance, and by how much at once.

Songs of one artist succeed and fail together, so artists are what is exchanged, not songs.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array, hstack

from kg.metrics.evaluate import Bools, Numbers, Scores, artist_groups, chosen_genres

RESAMPLES = 5000
# Numbers held at a time: some tens of megabytes.
_BLOCK = 4_000_000


def randomisation_p(
    truth: Bools,
    one: Sequence[Scores],
    other: Sequence[Scores],
    artists: Sequence[str | None],
    *,
    multi_label: bool = False,
    seed: int = 0,
) -> float:
    """How likely a difference in macro-F1 as large as this one is where there is none.

    The paired approximate randomisation test (Noreen 1989; Yeh 2000): were the two alike, it
    wouldn't matter which of them said what. So their answers are exchanged artist by artist, by
    lot, all seeds of an artist's songs at once, and
    p = (1 + number of resamples with |d*| >= |d|) / (1 + resamples).

    Args:
        truth: bool [n, g].
        one: Scores [n, g] of the one, a seed each.
        other: Of the other, as many seeds.
        artists: Artist of each song; a song by nobody known is exchanged by itself.
        multi_label: Songs may have several genres.
        seed: Of the lot.

    Raises:
        ValueError: they have different numbers of seeds.
    """
    if len(one) != len(other):
        raise ValueError(f"{len(one)} seeds of the one can't be paired with {len(other)}")
    group = artist_groups(artists)
    groups, songs = int(group.max()) + 1, len(group)
    by_artist = csr_array((np.ones(songs), (group, np.arange(songs))), shape=(groups, songs))

    def summed(runs: Sequence[Scores]) -> list[csr_array]:
        tallies = []
        for scores in runs:
            chosen = chosen_genres(scores, multi_label)
            parts = [(chosen & truth).astype(np.float64), chosen.astype(np.float64)]
            tallies.append(csr_array(by_artist @ csr_array(np.concatenate(parts, axis=1))))
        return tallies

    true = truth.sum(axis=0).astype(np.float64)
    pairs = list(zip(summed(one), summed(other), strict=True))
    # What exchanging an artist takes from the one and gives to the other.
    moved = csr_array(hstack([second - first for first, second in pairs]))
    starts = [
        np.concatenate([np.ravel(each.sum(axis=0)) for each in side]) for side in _sides(pairs)
    ]

    def gap(taken: Numbers) -> Numbers:
        """Difference of mean macro-F1 after exchanging [resamples, columns]."""
        firsts = _macro_f1(starts[0] + taken, true, len(pairs))
        return firsts - _macro_f1(starts[1] - taken, true, len(pairs))

    found = abs(float(gap(np.zeros((1, moved.shape[1])))[0]))
    generator = np.random.default_rng(seed)
    as_large, block = 0, max(1, _BLOCK // max(groups, moved.shape[1]))
    for start in range(0, RESAMPLES, block):
        count = min(block, RESAMPLES - start)
        exchanged = generator.integers(2, size=(count, groups)).astype(np.float64)
        taken = (moved.T @ exchanged.T).T
        # rounding must not make what is equal smaller
        as_large += int((np.abs(gap(taken)) >= found - 1e-12).sum())
    return (1 + as_large) / (1 + RESAMPLES)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979): so that one in twenty *families* of equals
    has any below 0.05.

    The smallest is multiplied by their number, the next one by one less, and so on; none becomes
    smaller than one before it, or larger than 1.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, least = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = least
    return corrected


def _sides(
    pairs: Sequence[tuple[csr_array, csr_array]],
) -> tuple[list[csr_array], list[csr_array]]:
    return [first for first, _ in pairs], [second for _, second in pairs]


def _macro_f1(totals: Numbers, true: Numbers, runs: int) -> Numbers:
    """Mean over the runs of macro-F1, from hits and predictions by genre: [resamples]."""
    genres = len(true)
    found = np.zeros(len(totals))
    for own in np.split(totals, runs, axis=1):
        hits, said = own[:, :genres], own[:, genres:]
        f1 = np.where(true > 0, 2 * hits / np.maximum(said + true, 1), 0).sum(axis=1)
        found += f1 / (true > 0).sum()
    return found / runs
