"""Numbers with their uncertainty: what a classifier's scores are worth, and whether two differ.

Songs of one artist succeed and fail together, so intervals come from resampling artists, not
songs; two classifiers are compared on the same resamples.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from scipy.stats import norm, t

from kg.splits import artist_key

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Scores = NDArray[np.float32] | NDArray[np.float64]

RESAMPLES = 2000
# Below this many songs the standard error of an accuracy is above 5 points.
FEW_SONGS = 100
# With fewer artists than this there is too little to resample.
FEW_GROUPS = 10
HITS_AT = 3
# Numbers held at a time: some tens of megabytes.
_BLOCK = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the interval that holds its true value 95 times in 100.

    Attributes:
        value: The number; the mean where there are several runs.
        low: Lower end.
        high: Upper end.
        spread: Standard deviation over the runs; None with one.
    """

    value: float
    low: float
    high: float
    spread: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Score:
    """How one classifier does.

    Attributes:
        name: What is measured.
        accuracy: Share of songs whose first genre is one of theirs.
        macro_f1: Mean over the genres that occur of F1 = 2 tp / (2 tp + fp + fn).
        mrr: Mean of 1 / rank over the true pairs of song and genre. Ranks are filtered (a song's
            other genres don't count) and realistic: the mean of the optimistic and the
            pessimistic rank among equals.
        hits_at_3: Share of the true pairs whose rank is at most 3.
        mean_average_precision: Mean over songs of the average precision of their genres.
    """

    name: str
    accuracy: Estimate
    macro_f1: Estimate
    mrr: Estimate
    hits_at_3: Estimate
    mean_average_precision: Estimate


@dataclass(frozen=True, slots=True)
class Difference:
    """How much the first classifier is better than another, on the same songs and resamples."""

    against: str
    accuracy: Estimate
    macro_f1: Estimate


@dataclass(frozen=True, slots=True)
class GenreScore:
    """How one genre is recognised; precision is None where nothing was taken for it.

    `average_precision` and `roc_auc` rank songs by the genre's score; None where that wasn't
    measured, or all songs are of the genre.
    """

    genre: str
    songs: int
    precision: float | None
    recall: float
    f1: float
    average_precision: float | None = None
    roc_auc: float | None = None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Songs of one genre that were taken for another."""

    genre: str
    heard_as: str
    songs: int


def chosen_genres(scores: Scores, multi_label: bool) -> Bools:
    """The genres that scores [n, g] give each song: bool [n, g].

    The first one; where songs may have several, also all others likelier than not (above 0).
    """
    chosen = scores > 0 if multi_label else np.zeros(scores.shape, dtype=np.bool_)
    chosen[np.arange(len(scores)), scores.argmax(axis=1)] = True
    return chosen


def realistic_ranks(scores: Scores, truth: Bools) -> Numbers:
    """Filtered rank of every true pair, song by song, genre by genre: [truth.sum()].

    The optimistic rank puts a true genre before all others of its score, the pessimistic one
    behind; the realistic rank is their mean. A song's other true genres don't count.

    Args:
        scores: [n, g].
        truth: bool [n, g].
    """
    return _pairs(scores, truth)[0]


def average_precisions(scores: Scores, truth: Bools) -> Numbers:
    """Average precision over the genres of each song, scikit-learn's: [n], NaN without a genre.

    Mean over a song's genres of the share of true ones among all that score at least as high.
    """
    songs = truth.sum(axis=1)
    precisions = _pairs(scores, truth)[1]
    summed = np.bincount(np.nonzero(truth)[0], weights=precisions, minlength=len(songs))
    found: Numbers = np.full(len(songs), np.nan)
    found[songs > 0] = summed[songs > 0] / songs[songs > 0]
    return found


def _pairs(scores: Scores, truth: Bools) -> tuple[Numbers, Numbers]:
    """Realistic rank and precision at the score of every true pair."""
    song, genre = np.nonzero(truth)
    ranks, precisions = np.empty(len(song)), np.empty(len(song))
    block = max(1, _BLOCK // max(1, truth.shape[1]))
    for start in range(0, len(song), block):
        part = slice(start, start + block)
        rows, is_true = scores[song[part]], truth[song[part]]
        own = rows[np.arange(len(rows)), genre[part]][:, None]
        above = ((rows > own) & ~is_true).sum(axis=1)
        beside = ((rows == own) & ~is_true).sum(axis=1)
        true = ((rows >= own) & is_true).sum(axis=1)
        ranks[part] = 1 + above + beside / 2
        precisions[part] = true / (true + above + beside)
    return ranks, precisions


def compare(
    truth: Bools,
    classifiers: Mapping[str, Sequence[Scores]],
    artists: Sequence[str | None],
    *,
    multi_label: bool = False,
    seed: int = 0,
) -> tuple[list[Score], list[Difference]]:
    """Measure classifiers on the same songs, and the first one against each of the others.

    Intervals are those of the expanded percentile bootstrap over artists; a song by nobody known
    stands for itself. With fewer than 10 artists, or where all resamples agree, the interval is
    Wilson's with an artist for a trial, and that of a difference is put together from the two
    (Newcombe 1998, without their correlation, which is the wider choice).

    Args:
        truth: bool [n, g], at least one genre a song.
        classifiers: Scores [n, g] of each, by name; several runs (seeds) count as their mean.
        artists: Artist of each song.
        multi_label: Songs may have several genres.
        seed: Seed of the resampling.

    Returns:
        A score each, and a difference for each but the first.
    """
    group = artist_groups(artists)
    groups, songs = int(group.max()) + 1, len(group)
    by_artist = csr_array((np.ones(songs), (group, np.arange(songs))), shape=(groups, songs))
    runs = [scores for each in classifiers.values() for scores in each]
    tallies = [_tally_truth(truth), *(_tally(scores, truth, multi_label) for scores in runs)]
    # Sums over each artist's songs are all that a resample needs.
    sums = csr_array(by_artist @ csr_array(hstack(tallies)))
    measured = _measures(np.ones((1, groups)), sums, len(runs))[:, 0]  # [run, measure]
    resampled = np.concatenate(
        [_measures(weights, sums, len(runs)) for weights in _resamples(groups, seed)], axis=1
    )  # [run, resample, measure]
    ends = np.cumsum([len(each) for each in classifiers.values()])[:-1]
    values, draws = np.split(measured, ends), np.split(resampled, ends)
    scores = [
        Score(name, *_estimates(own, drawn.mean(axis=0), groups))
        for name, own, drawn in zip(classifiers, values, draws, strict=True)
    ]
    differences = []
    for row, other in enumerate(scores[1:], start=1):
        gaps = draws[0].mean(axis=0) - draws[row].mean(axis=0)
        accuracy = _difference(scores[0].accuracy, other.accuracy, gaps[:, 0], groups)
        macro_f1 = _difference(scores[0].macro_f1, other.macro_f1, gaps[:, 1], groups)
        differences.append(Difference(other.name, accuracy, macro_f1))
    return scores, differences


def artist_groups(artists: Sequence[str | None]) -> Rows:
    """A number for the artist of each song: [n], from 0; a song by nobody known has its own."""
    keys = [artist_key(artist) or f"\0{row}" for row, artist in enumerate(artists)]
    numbers: Rows = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    return numbers


def by_genre(
    truth: Bools, scores: Scores, genres: Sequence[str], *, multi_label: bool = False
) -> list[GenreScore]:
    """Precision, recall and F1 of every genre that occurs.

    Args:
        truth: bool [n, g].
        scores: [n, g].
        genres: Names, g of them.
        multi_label: Songs may have several genres.
    """
    chosen = chosen_genres(scores, multi_label)
    hits, said, true = (each.sum(axis=0) for each in (chosen & truth, chosen, truth))
    return [
        GenreScore(
            genre,
            songs=int(true[row]),
            precision=float(hits[row] / said[row]) if said[row] else None,
            recall=float(hits[row] / true[row]),
            f1=float(2 * hits[row] / (said[row] + true[row])),
        )
        for row, genre in enumerate(genres)
        if true[row]
    ]


def confusions(truth: Bools, scores: Scores, genres: Sequence[str]) -> list[Confusion]:
    """How often a song of one genre was first of all taken for another, the most frequent first.

    A song of several genres counts for each, unless the first predicted one is among them.
    """
    first = scores.argmax(axis=1)
    wrong = ~truth[np.arange(len(truth)), first]
    song, genre = np.nonzero(truth[wrong])
    counted = Counter(zip(genre.tolist(), first[wrong][song].tolist(), strict=True))
    found = [Confusion(genres[a], genres[b], songs) for (a, b), songs in counted.items()]
    return sorted(found, key=lambda each: (-each.songs, each.genre, each.heard_as))


def _tally_truth(truth: Bools) -> csr_array:
    """What each song adds to: songs, true pairs, true pairs by genre."""
    size = truth.sum(axis=1)
    return csr_array(hstack([csr_array(np.stack([size > 0, size], axis=1)), csr_array(truth)]))


def _tally(scores: Scores, truth: Bools, multi_label: bool) -> csr_array:
    """What each song adds to: right, sum of 1 / rank, ranks up to 3, average precision; and hits
    and predictions by genre.
    """
    song = np.nonzero(truth)[0]
    ranks, precisions = _pairs(scores, truth)
    pairs = np.maximum(truth.sum(axis=1), 1)
    right = truth[np.arange(len(truth)), scores.argmax(axis=1)]
    plain = [
        right,
        np.bincount(song, weights=1 / ranks, minlength=len(truth)),
        np.bincount(song, weights=ranks <= HITS_AT, minlength=len(truth)),
        np.bincount(song, weights=precisions, minlength=len(truth)) / pairs,
    ]
    chosen = chosen_genres(scores, multi_label)
    parts = [np.stack(plain, axis=1), chosen & truth, chosen]
    return csr_array(hstack([csr_array(part.astype(np.float64)) for part in parts]))


def _measures(weights: Numbers, sums: csr_array, runs: int) -> Numbers:
    """All measures of every run in weighted sums over artists.

    Args:
        weights: How often each artist is taken, [resamples, artists].
        sums: Tallies by artist, first the truth's, then those of the runs.
        runs: How many.

    Returns:
        [run, resample, measure], in the order of `Score`.
    """
    total = (sums.T @ weights.T).T  # [resamples, columns]
    genres = (total.shape[1] - 2 - 4 * runs) // (1 + 2 * runs)
    songs, pairs, true = total[:, 0], total[:, 1], total[:, 2 : 2 + genres]
    measured = []
    for own in np.split(total[:, 2 + genres :], runs, axis=1):
        right, reciprocal, high, precision = own[:, :4].T
        hits, said = own[:, 4 : 4 + genres], own[:, 4 + genres :]
        # A genre without a song in the resample has no F1.
        f1 = np.where(true > 0, 2 * hits / np.maximum(said + true, 1), 0).sum(axis=1)
        macro = f1 / (true > 0).sum(axis=1)
        shares = [right / songs, macro, reciprocal / pairs, high / pairs, precision / songs]
        measured.append(np.stack(shares, axis=1))
    return np.stack(measured)


def _resamples(groups: int, seed: int) -> Iterator[Numbers]:
    """How often each of so many artists is drawn, in all resamples: [some resamples, artists]."""
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK // groups)
    for start in range(0, RESAMPLES, block):
        count = min(block, RESAMPLES - start)
        drawn = generator.integers(groups, size=(count, groups))
        drawn += groups * np.arange(count)[:, None]
        taken = np.bincount(drawn.ravel(), minlength=count * groups)
        yield taken.reshape(count, groups).astype(np.float64)


def _estimates(values: Numbers, resampled: Numbers, groups: int) -> list[Estimate]:
    """Every measure of one classifier, from its runs [runs, measures] and resampled means."""
    found = []
    for own, drawn in zip(values.T, resampled.T, strict=True):
        value = float(own.mean())
        low, high = middle(drawn, groups)
        if groups < FEW_GROUPS or low == high:
            low, high = wilson(value, groups)
        spread = float(own.std(ddof=1)) if len(own) > 1 else None
        found.append(Estimate(value, low, high, spread))
    return found


def _difference(one: Estimate, other: Estimate, resampled: Numbers, groups: int) -> Estimate:
    gap = one.value - other.value
    low, high = middle(resampled, groups)
    if groups < FEW_GROUPS or low == high:
        low = gap - np.hypot(one.value - one.low, other.high - other.value)
        high = gap + np.hypot(one.high - one.value, other.value - other.low)
    return Estimate(gap, float(low), float(high))


def middle(resampled: Numbers, groups: int) -> tuple[float, float]:
    """The percentiles between which the true value lies 95 times in 100.

    The plain ones are too narrow where few are resampled; these are expanded (Hesterberg 2015,
    eq. 9): Student's t for the normal's 1.96, and n / (n - 1) for the variance.
    """
    degrees = max(groups - 1, 1)
    tail = 100 * norm.cdf(-np.sqrt(groups / degrees) * t.ppf(0.975, degrees))
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return float(low), float(high)


def wilson(value: float, trials: int) -> tuple[float, float]:
    """The score interval of Wilson (1927) for a share of so many trials: wide where they are few,
    where resampling them only ever finds what was found.
    """
    square = 1.96**2 / trials
    centre = (value + square / 2) / (1 + square)
    half = np.sqrt(value * (1 - value) * square + square**2 / 4) / (1 + square)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def caution(test_songs: int, scores: Sequence[Score]) -> str | None:
    """Plain words for a number that means little, None where it means something or isn't there."""
    if 0 < test_songs < FEW_SONGS:
        widest = max(scores, key=lambda s: s.accuracy.high - s.accuracy.low).accuracy
        return (
            f"Only {test_songs} test song{'s' if test_songs > 1 else ''}: too few for these "
            "numbers to mean much. One song more or less moves accuracy by "
            f"{100 / test_songs:.0f} points "
            f"and an interval spans up to {100 * (widest.high - widest.low):.0f}; rows whose "
            "intervals overlap can't be told apart."
        )
    return None
