"""What is said of every labelled song by a model that learned none of its artist's songs.

Chosen on labels that were planted in GTZAN (`benchmarks/audit.py`, docs/audit.md): of logistic
regression, an SVM, nearest neighbours, the R-GCN and their means, what ranks planted wrong labels
first. A model that fits closely repeats the wrong labels that it learned.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from kg.audit.folds import deal
from kg.evaluate import Bools, Rows
from kg.graph.rows import Floats
from kg.progress import SILENT, Progress

MODEL: Final = "logistic regression"
"""Who says it."""

FOLDS: Final = 5
# Inverse strength of the penalty.
STRENGTH: Final = 0.03
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
    import torch
    from threadpoolctl import threadpool_limits

    from models import calibration
    from models.baselines.classifiers import LOGISTIC, Candidate, Classifier

    by = Candidate(LOGISTIC, {"C": STRENGTH})
    scores = np.full(truth.shape, LOWEST, dtype=np.float32)
    part = deal(truth, group, FOLDS, seed)
    with progress.stage("Telling songs by others", FOLDS) as advance, threadpool_limits(1):
        for number in range(FOLDS):
            told = np.flatnonzero(part == number)
            learned = _some(np.flatnonzero(part != number), seed)
            if len(told) and len(learned):
                with _unconverged_is_fine():
                    fitted = Classifier(by, x[learned], truth[learned], several)
                scores[told] = np.clip(fitted.scores(x[told]), LOWEST, -LOWEST)
            advance(1)
    share = float(np.clip(truth.mean(), 1e-6, 1 - 1e-6))
    said = torch.from_numpy(scores)
    fit = calibration.fit(said, torch.from_numpy(truth), several, base_rate=share)
    probabilities: Floats = fit.probabilities(said).numpy()
    return probabilities


def _some(rows: Rows, seed: int) -> Rows:
    """As many of these as one fit learns from, ascending."""
    if len(rows) <= MOST_TO_FIT:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, MOST_TO_FIT, replace=False))


@contextmanager
def _unconverged_is_fine() -> Iterator[None]:
    """A fit that hasn't fully converged still tells songs."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
