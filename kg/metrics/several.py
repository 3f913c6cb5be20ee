"""What a classifier is worth where songs have several genres: by genre, by rank, by threshold.

Artists are resampled for intervals, not songs, as in `kg.metrics.evaluate`. A resample holds songs
twice and lacks rare genres, which flatters what is ranked: intervals are shifted by what that adds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kg.genres.tree import Tree
from kg.metrics.evaluate import (
    Bools,
    Estimate,
    Numbers,
    Scores,
    artist_groups,
    average_precisions,
    middle,
)

# Resamples: fewer than elsewhere, as each takes a pass over all scores in their order.
RESAMPLES: Final = 200
_FEWEST_RESAMPLES: Final = 40
_BUDGET: Final = 200_000_000
# With fewer validation songs than this a threshold says more about them than about the model.
FEWEST_TO_THRESHOLD: Final = 20
# Steps between which a threshold is looked for.
_STEPS: Final = 200


@dataclass(frozen=True, slots=True)
class SeveralScore:
    """How one classifier does on songs that have several genres.

    Attributes:
        name: What is measured.
        genre_average_precision: Mean over the genres that occur of their average precision
            (scikit-learn's `average_precision_score`, macro).
        roc_auc: Mean over these genres of the area under the ROC curve: how often a song of the
            genre is above one that isn't. Genres that all songs have are left out.
        label_ranking: Mean over songs of the average precision of their genres.
        micro_f1: F1 over all pairs of song and genre above the threshold.
        macro_f1: Mean over the genres that occur of F1 above the threshold.
        hierarchical_f1: F1 over all pairs, where each genre brings all that it is a kind of
            (Kiritchenko et al. 2005); None without a genre tree.
        threshold: Score from which a song gets a genre. A song's first genre is its genre in any
            case.
        fitted: Whether validation songs set the threshold, by this classifier's scores, for the
            highest macro-F1; otherwise it is 0 (a raw probability of 1/2). None where a model kept
            this before every classifier had one of its own.
    """

    name: str
    genre_average_precision: Estimate
    roc_auc: Estimate
    label_ranking: Estimate
    micro_f1: Estimate
    macro_f1: Estimate
    hierarchical_f1: Estimate | None
    threshold: float
    fitted: bool | None = None


def measure_several(
    truth: Bools,
    classifiers: Mapping[str, Scores],
    artists: Sequence[str | None],
    genres: Sequence[str],
    tree: Tree,
    *,
    thresholds: Mapping[str, float] | None = None,
    seed: int = 0,
) -> list[SeveralScore]:
    """Measure classifiers on songs that may have several genres.

    Args:
        truth: bool [n, g], at least one genre a song.
        classifiers: Scores [n, g] of each, by name.
        artists: Artist of each song.
        genres: Names, g of them.
        tree: What is a kind of what.
        thresholds: Of each, by name, from `best_threshold`; None: 0 for all.
        seed: Seed of the resampling.
    """
    group = artist_groups(artists)
    weights = np.concatenate([np.ones((1, len(group))), _draws(group, truth.size, seed)])
    upward, groups = _upward(genres, tree), int(group.max()) + 1
    found = []
    for name, scores in classifiers.items():
        threshold = 0.0 if thresholds is None else thresholds[name]
        chosen = above_threshold(scores, threshold)
        precision, area = _by_genre(scores, truth, weights)
        micro, macro = _f1(chosen, truth, weights)
        ranking = _mean(average_precisions(scores, truth), weights)
        wide = None
        if upward is not None:
            wide = _f1((chosen @ upward) > 0, (truth @ upward) > 0, weights)[0]
        found.append(
            SeveralScore(
                name=name,
                genre_average_precision=_estimate(precision, groups),
                roc_auc=_estimate(area, groups),
                label_ranking=_estimate(ranking, groups),
                micro_f1=_estimate(micro, groups),
                macro_f1=_estimate(macro, groups),
                hierarchical_f1=None if wide is None else _estimate(wide, groups),
                threshold=threshold,
                fitted=thresholds is not None,
            )
        )
    return found


def genre_figures(scores: Scores, truth: Bools) -> tuple[list[float | None], list[float | None]]:
    """Average precision and area under the ROC curve of every genre, None where there is none.

    Args:
        scores: [n, g].
        truth: bool [n, g].
    """
    ones = np.ones((1, len(truth)))
    precisions: list[float | None] = []
    areas: list[float | None] = []
    for genre in range(truth.shape[1]):
        precision, area = _curves(scores[:, genre], truth[:, genre], ones)
        precisions.append(_number(precision[0]))
        areas.append(_number(area[0]))
    return precisions, areas


def above_threshold(scores: Scores, threshold: float) -> Bools:
    """Genres whose score is above the threshold, and the first one of each song: bool [n, g]."""
    chosen: Bools = scores > threshold
    chosen[np.arange(len(scores)), scores.argmax(axis=1)] = True
    return chosen


def best_threshold(scores: Scores, truth: Bools) -> float:
    """The threshold with the highest macro-F1 on these songs, the one nearest 0 among equals.

    Args:
        scores: [n, g] of songs that nothing was learned from.
        truth: bool [n, g].
    """
    if len(scores) < FEWEST_TO_THRESHOLD:
        return 0.0
    told = scores[np.isfinite(scores)]  # of a genre that nothing was learned of: -inf
    steps = np.quantile(told, np.linspace(0, 1, _STEPS)).tolist() if len(told) else []
    tried = np.unique([0.0, *steps])
    ones = np.ones((1, len(truth)))
    rated = [
        (float(_f1(above_threshold(scores, each), truth, ones)[1][0]), -abs(each), each)
        for each in tried.tolist()
    ]
    return float(max(rated)[2])


def _by_genre(scores: Scores, truth: Bools, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Mean over genres of average precision and of the area, [resamples] each."""
    sums = np.zeros((2, len(weights)))
    counts = np.zeros((2, len(weights)))
    for genre in np.flatnonzero(truth.any(axis=0)).tolist():
        for row, figure in enumerate(_curves(scores[:, genre], truth[:, genre], weights)):
            there = np.isfinite(figure)
            sums[row, there] += figure[there]
            counts[row, there] += 1
    with np.errstate(invalid="ignore"):
        means = sums / counts
    return means[0], means[1]


def _curves(scores: Scores, truth: Bools, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Average precision and area under the ROC curve of one genre, [resamples] each; NaN where
    there is no song of it, or no other.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_, is_true = scores[order], truth[order]
    # Songs of one score are judged together: at the last of them.
    last = np.searchsorted(-sorted_, -sorted_, side="right") - 1
    drawn = weights[:, order]
    true = np.cumsum(drawn * is_true, axis=1)
    false = np.cumsum(drawn * ~is_true, axis=1)
    all_true, all_false = true[:, -1], false[:, -1]
    own = drawn[:, is_true]
    at = last[is_true]
    hits, misses = true[:, at], false[:, at]
    first = np.searchsorted(-sorted_, -sorted_, side="left")[is_true]
    before = np.where(first > 0, false[:, first - 1], 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nansum(own * hits / (hits + misses), axis=1) / all_true
        below = all_false[:, None] - (misses + before) / 2
        area = (own * below).sum(axis=1) / (all_true * all_false)
    return precision, area


def _f1(chosen: Bools, truth: Bools, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Micro- and macro-F1, [resamples] each; a genre without a song has none."""
    hits, said, true = (
        weights @ each.astype(np.float64) for each in (chosen & truth, chosen, truth)
    )
    micro = 2 * hits.sum(axis=1) / np.maximum((said + true).sum(axis=1), 1)
    f1 = np.where(true > 0, 2 * hits / np.maximum(said + true, 1), 0).sum(axis=1)
    return micro, f1 / np.maximum((true > 0).sum(axis=1), 1)


def _mean(values: Numbers, weights: Numbers) -> Numbers:
    mean: Numbers = (weights @ values) / weights.sum(axis=1)
    return mean


def _draws(group: Numbers | np.ndarray, size: int, seed: int) -> Numbers:
    """How often each song is drawn, artist by artist: [resamples, n]."""
    groups = int(group.max()) + 1
    count = int(np.clip(_BUDGET // max(size, 1), _FEWEST_RESAMPLES, RESAMPLES))
    generator = np.random.default_rng(seed)
    return np.stack(
        [
            np.bincount(generator.integers(groups, size=groups), minlength=groups)[group]
            for _ in range(count)
        ]
    ).astype(np.float64)


def _upward(genres: Sequence[str], tree: Tree) -> Numbers | None:
    """Which genres and those above them each brings, [g, all]; None without a tree."""
    if not any(tree.above(name) for name in genres):
        return None
    names = sorted(tree.with_above(genres))
    column = {name: row for row, name in enumerate(names)}
    upward = np.zeros((len(genres), len(names)))
    for row, name in enumerate(genres):
        upward[row, [column[each] for each in tree.with_above([name])]] = 1
    return upward


def _estimate(values: Numbers, groups: int) -> Estimate:
    drawn = values[1:][np.isfinite(values[1:])]
    value = float(values[0])
    if len(drawn) == 0:
        return Estimate(value, value, value)
    low, high = middle(drawn - (drawn.mean() - value), groups)
    return Estimate(value, float(np.clip(low, 0, value)), float(np.clip(high, value, 1)))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
