"""Numbers with their uncertainty: accuracy, macro-F1 and bootstrap intervals over artists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kg.splits import artist_key

Ints = NDArray[np.int64]

RESAMPLES = 2000
# Below this many test songs the standard error of an accuracy is above 5 points.
FEW_SONGS = 100
# With fewer artists than this there is too little to resample.
FEW_GROUPS = 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the interval that holds its true value 95 times in 100."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Score:
    """How one classifier does on the test songs."""

    name: str
    accuracy: Estimate
    macro_f1: Estimate


def settle_truth(genres: Sequence[Sequence[int]], predicted: Ints) -> Ints:
    """One true genre a song: the predicted one where it is among the song's genres, else its
    first. With one genre a song this is that genre.
    """
    return np.array(
        [
            guess if guess in names else names[0]
            for names, guess in zip(genres, predicted.tolist(), strict=True)
        ],
        dtype=np.int64,
    )


def accuracy(truth: Ints, predicted: Ints) -> float:
    """Share of songs whose first genre is right."""
    return float(np.mean(truth == predicted))


def macro_f1(truth: Ints, predicted: Ints) -> float:
    """Mean over the genres that occur in `truth` of F1 = 2 tp / (2 tp + fp + fn)."""
    size = int(max(truth.max(), predicted.max())) + 1
    hits = np.bincount(truth[truth == predicted], minlength=size)
    total = np.bincount(truth, minlength=size) + np.bincount(predicted, minlength=size)
    present = np.bincount(truth, minlength=size) > 0
    return float(np.mean(2 * hits[present] / total[present]))


def score(
    name: str,
    genres: Sequence[Sequence[int]],
    predicted: Ints,
    artists: Sequence[str | None],
    *,
    seed: int = 0,
) -> Score:
    """Accuracy and macro-F1 with 95 % intervals by the percentile bootstrap over artists.

    Songs of one artist succeed and fail together, so artists are resampled, not songs; a song
    by nobody known stands for itself. With fewer than 10 artists, or where all resamples agree,
    the interval is Wilson's with an artist for a trial.

    Args:
        name: What is measured.
        genres: Rows of the true genres of each song, at least one each.
        predicted: Row of the first predicted genre, int64 [n].
        artists: Artist of each song.
        seed: Seed of the resampling.
    """
    truth = settle_truth(genres, predicted)
    keys = [artist_key(artist) or f"\0{row}" for row, artist in enumerate(artists)]
    _, group = np.unique(keys, return_inverse=True)
    members = [np.flatnonzero(group == g) for g in range(int(group.max()) + 1)]
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(RESAMPLES):
        picked = generator.integers(len(members), size=len(members))
        rows = np.concatenate([members[g] for g in picked])
        draws.append(
            (accuracy(truth[rows], predicted[rows]), macro_f1(truth[rows], predicted[rows]))
        )
    measured = (accuracy(truth, predicted), macro_f1(truth, predicted))
    estimates = [
        _estimate(value, resampled, len(members))
        for value, resampled in zip(measured, np.array(draws).T, strict=True)
    ]
    return Score(name, *estimates)


def _estimate(value: float, resampled: NDArray[np.float64], groups: int) -> Estimate:
    low, high = np.percentile(resampled, [2.5, 97.5])
    if groups < FEW_GROUPS or low == high:
        return _wilson(value, groups)
    return Estimate(value, float(low), float(high))


def _wilson(value: float, trials: int) -> Estimate:
    """The score interval of Wilson (1927) for a share of so many trials: wide where they are few,
    where resampling them only ever finds what was found.
    """
    square = 1.96**2 / trials
    centre = (value + square / 2) / (1 + square)
    half = np.sqrt(value * (1 - value) * square + square**2 / 4) / (1 + square)
    return Estimate(value, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def caution(test_songs: int, scores: Sequence[Score]) -> str | None:
    """Plain words for a number that means little, None where it means something."""
    if test_songs == 0:
        return (
            "No song could be held out (a genre needs songs by three artists, or three songs "
            "whose artists are unknown), so nothing was measured."
        )
    if test_songs < FEW_SONGS:
        widest = max(scores, key=lambda s: s.accuracy.high - s.accuracy.low).accuracy
        return (
            f"Only {test_songs} test song{'s' if test_songs > 1 else ''}: too few for these "
            "numbers to mean much. One song more or less moves accuracy by "
            f"{100 / test_songs:.0f} points "
            f"and an interval spans up to {100 * (widest.high - widest.low):.0f}; rows whose "
            "intervals overlap can't be told apart."
        )
    return None
