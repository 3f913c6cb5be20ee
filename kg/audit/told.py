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
from kg.evaluate import Bools, Rows
from kg.graph.rows import Floats
from kg.progress import SILENT, Progress

if TYPE_CHECKING:
    from torch import Tensor

MODEL: Final = "logistic regression"
"""Who says it."""

FOLDS: Final = 5
# Inverse strengths of the penalty: the one is taken that gives the labels as they are filed the
# highest likelihood, out of fold and calibrated, on as many songs as tell it in seconds.
STRENGTHS: Final = (0.01, 0.03, 0.1, 0.3, 1.0)
MOST_TO_CHOOSE_BY: Final = 2_000
# Songs that one fit learns from at most: more change little, and cost minutes.
MOST_TO_FIT: Final = 20_000
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
        some = _some(np.arange(len(x)), MOST_TO_CHOOSE_BY, seed)
        best, most = STRENGTHS[0], -np.inf
        for strength in STRENGTHS:
            scores = _scores(x[some], truth[some], part[some], strength, several, seed)
            likelihood = _likelihood(_calibrated(scores, truth[some], several), truth[some])
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
        learned = _some(np.flatnonzero(part != number), MOST_TO_FIT, seed)
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


def _some(rows: Rows, most: int, seed: int) -> Rows:
    """At most so many of these, ascending."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


@contextmanager
def _unconverged_is_fine() -> Iterator[None]:
    """A fit that hasn't fully converged still tells songs."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
