"""What is said of every labelled song by a model that learned none of its artist's songs.

Chosen on labels that were planted in GTZAN (`benchmarks/audit.py`, docs/audit.md): of logistic
regression, an SVM, nearest neighbours, the R-GCN and their means, what ranks planted wrong labels
first. A model that fits closely repeats the wrong labels that it learned.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from kg.audit.folds import deal
from kg.graph.rows import Floats
from kg.metrics.evaluate import Bools, Rows
from kg.progress import SILENT, Progress

if TYPE_CHECKING:
    from torch import Tensor

MODEL: Final = "logistic regression"
"""Who says it."""

FOLDS: Final = 5
# Inverse strengths of the penalty: the one is taken that gives the labels as they are filed the
# highest likelihood, out of fold and calibrated, on as many songs as tell it in seconds.
STRENGTHS: Final = (0.01, 0.03, 0.1, 0.3, 1.0)
MOST_TO_CHOOSE_BY, GENRES_TO_CHOOSE_BY = 2_000, 20
# Songs that one fit learns from: at most so many, fewer where there are many genres, each of
# which costs as much; at least so many, and so many of each genre that has them.
MOST_TO_FIT, FEWEST_TO_FIT, FEWEST_OF_GENRE = 20_000, 5_000, 30
MOST_CELLS: Final = 400_000
# Scores of genres that nobody was learned from; -inf is no number to calibrate.
LOWEST: Final = -30.0


def out_of_fold(
    x: Floats,
    truth: Bools,
    group: Rows,
    *,
    several: bool,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Floats:
    """Probabilities of genres, each song's by a model that saw none of its group: float32 [n, g].

    They are calibrated on the labels themselves, so that they count wrong labels as possible.

    Args:
        x: What models are given of the songs, float32 [n, d].
        truth: Genres of each song as they are filed, bool [n, g].
        group: Songs of one number stay together, int64 [n].
        several: Whether songs may have several genres: each is a question of its own then.
        seed: Of folds, and of the songs that are drawn where there are many.
        progress: Told how far it is.
    """
    from threadpoolctl import threadpool_limits

    part = deal(truth, group, FOLDS, seed)
    steps = FOLDS * (1 + len(STRENGTHS))
    # One thread: sums over several may differ in the last bit.
    with progress.stage("Telling songs by others", steps) as advance, threadpool_limits(1):
        some, known = _few(truth, seed)
        best, most = STRENGTHS[0], -np.inf
        for strength in STRENGTHS:
            scores = _scores(x[some], known, part[some], strength, several, seed)
            likelihood = _likelihood(_calibrated(scores, known, several), known)
            if likelihood > most:
                best, most = strength, likelihood
            advance(FOLDS)
        scores = _scores(x, truth, part, best, several, seed)
        advance(FOLDS)
    found: Floats = _calibrated(scores, truth, several).numpy()
    return found


def _scores(
    x: Floats, truth: Bools, part: Rows, strength: float, several: bool, seed: int
) -> Floats:
    """Scores [n, g] of every song by a model that learned none of its part."""
    from models.baselines.classifiers import LOGISTIC, Candidate, Classifier

    by = Candidate(LOGISTIC, {"C": strength})
    scores = np.full(truth.shape, LOWEST, dtype=np.float32)
    for number in range(FOLDS):
        told = np.flatnonzero(part == number)
        learned = np.flatnonzero(part != number)
        if not several:  # the few that have two genres teach neither
            learned = learned[truth[learned].sum(axis=1) == 1]
        most = max(FEWEST_TO_FIT, min(MOST_TO_FIT, MOST_CELLS // truth.shape[1]))
        learned = learned[_some(truth[learned], most, seed)]
        if len(told) and len(learned):
            with _unconverged_is_fine():
                fitted = Classifier(by, x[learned], truth[learned], several)
            scores[told] = np.clip(fitted.scores(x[told]), LOWEST, -LOWEST)
    return scores


def _calibrated(scores: Floats, truth: Bools, several: bool) -> "Tensor":
    """Scores as probabilities [n, g]."""
    import torch

    from models import calibration

    share = float(np.clip(truth.mean(), 1e-6, 1 - 1e-6))
    said = torch.from_numpy(scores)
    fit = calibration.fit(said, torch.from_numpy(truth), several, base_rate=share)
    return fit.probabilities(said)


def _likelihood(probabilities: "Tensor", truth: Bools) -> float:
    """Of the labels as they are filed: the mean over songs and genres of its logarithm."""
    import torch

    there = torch.where(torch.from_numpy(truth), probabilities, 1 - probabilities)
    return float(there.clamp(min=1e-9).log().mean())


def _few(truth: Bools, seed: int) -> tuple[Rows, Bools]:
    """Songs that choose between strengths, and their genres: some of either if there are many."""
    common = np.argsort(-truth.sum(axis=0), kind="stable")[:GENRES_TO_CHOOSE_BY]
    rows = np.flatnonzero(truth[:, common].any(axis=1))
    rows = rows[_some(truth[rows][:, common], MOST_TO_CHOOSE_BY, seed)]
    return rows, truth[np.ix_(rows, common)]


def _some(truth: Bools, most: int, seed: int) -> Rows:
    """About so many rows of these by lot, and the first few of every genre, ascending."""
    if len(truth) <= most:
        return np.arange(len(truth))
    order = np.random.default_rng(seed).permutation(len(truth))
    kept = np.zeros(len(truth), dtype=np.bool_)
    kept[order[:most]] = True
    for column in range(truth.shape[1]):
        kept[order[truth[order, column]][:FEWEST_OF_GENRE]] = True
    return np.flatnonzero(kept)


@contextmanager
def _unconverged_is_fine() -> Iterator[None]:
    """A fit that hasn't fully converged still tells songs."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
