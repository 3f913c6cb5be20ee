"""A model beside its baselines on the test songs, which are looked at here and only here."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kg.evaluate import Score, score
from kg.graph.rows import Floats, GraphRows

if TYPE_CHECKING:
    from torch import Tensor

    from models.pyg import HeteroData

Rows = NDArray[np.int64]

R_GCN, LOGISTIC, MAJORITY = "R-GCN + DistMult", "logistic regression", "majority"


def measure(rows: GraphRows, data: "HeteroData", scores: "Tensor", seed: int) -> list[Score]:
    """The model and its baselines on the test songs, which are looked at here and only here."""
    from models.baselines.tabular import logistic_regression, majority
    from models.training import FEWEST_TO_VALIDATE

    genre_row = {name: row for row, name in enumerate(rows.genres)}
    truth = [[genre_row[name] for name in names] for names in rows.songs.genres]
    sides = np.array([side or "" for side in rows.songs.splits])
    has = np.array([bool(names) for names in truth])
    train, valid, test = (np.flatnonzero((sides == s) & has) for s in ("train", "valid", "test"))
    if len(test) == 0:
        return []
    x = data["song"].x.numpy()

    def pairs(which: Rows) -> tuple[Floats, Rows]:
        """A row for each genre of each song: the baselines learn what the graph network learns."""
        listed = [(row, genre) for row in which for genre in truth[row]]
        rows, genres = np.array(listed, dtype=np.int64).reshape(-1, 2).T
        return x[rows], genres

    x_train, y_train = pairs(train)
    validation = pairs(valid) if len(valid) >= FEWEST_TO_VALIDATE else None
    guesses = {
        R_GCN: scores[test].argmax(dim=1).numpy(),
        LOGISTIC: logistic_regression(x_train, y_train, x[test], validation=validation),
        MAJORITY: majority(y_train, len(test)),
    }
    return [
        score(
            name,
            [truth[row] for row in test],
            predicted,
            [rows.songs.artists[row] for row in test],
            seed=seed,
        )
        for name, predicted in guesses.items()
    ]


def metrics(
    measured: Sequence[Score],
    split_sizes: Mapping[str, int],
    validation_f1: float | None,
    seed: int,
) -> dict[str, Any]:
    """The numbers that a `Model` node keeps."""
    metrics: dict[str, Any] = {f"{name}Songs": count for name, count in split_sizes.items()}
    metrics["seed"] = seed
    if validation_f1 is not None:
        metrics["validMacroF1"] = validation_f1
    for found in measured:
        if found.name == R_GCN:
            metrics["accuracy"] = found.accuracy.value
            metrics["macroF1"] = found.macro_f1.value
        metrics[found.name] = {
            measure: [estimate.value, estimate.low, estimate.high]
            for measure, estimate in (("accuracy", found.accuracy), ("macroF1", found.macro_f1))
        }
    return metrics
