"""What features alone tell, without a graph: the numbers a graph model has to beat."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

Classes = NDArray[np.int64]
Features = NDArray[np.float32] | NDArray[np.float64]


def majority(y_train: Classes, count: int) -> Classes:
    """Predict the most frequent class of y_train [n] (the lowest of equals) `count` times.

    Raises:
        ValueError: y_train is empty.
    """
    classes, frequency = np.unique(y_train, return_counts=True)
    if classes.size == 0:
        raise ValueError("there is no class to learn from")
    return np.full(count, classes[frequency.argmax()], dtype=np.int64)


def logistic_regression(
    x_train: Features,
    y_train: Classes,
    x: Features,
    *,
    validation: tuple[Features, Classes] | None = None,
) -> Classes:
    """Predict classes by multinomial logistic regression; the same input gives the same output.

    The strength C is chosen by macro-F1 on the validation split, or without one by
    cross-validation inside the training split (the weakest of equals wins).

    Args:
        x_train: [n, d] standardised features.
        y_train: [n] classes.
        x: [m, d] what to predict.
        validation: features [v, d] and classes [v].

    Returns:
        [m] classes.

    Raises:
        ValueError: there is nothing to learn from, or a feature isn't finite.
    """
    if np.unique(y_train).size < 2:
        return majority(y_train, len(x))
    # one thread: these tables are small, and sums over several threads may differ in the last bit
    with warnings.catch_warnings(), threadpool_limits(1):
        # one strength of many that hasn't fully converged is still a fair candidate
        warnings.simplefilter("ignore", ConvergenceWarning)
        strength = _strength(x_train, y_train, validation)
        fitted = _model(strength).fit(x_train, y_train)
    predicted: Classes = fitted.predict(x).astype(np.int64)
    return predicted


def _model(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=2000)


def _strength(
    x_train: Features, y_train: Classes, validation: tuple[Features, Classes] | None
) -> float:
    if validation is not None and len(validation[1]):
        x_check, y_check = validation
        guesses = {c: _model(c).fit(x_train, y_train).predict(x_check) for c in STRENGTHS}
    else:
        y_check = y_train
        folds = int(min(5, np.unique(y_train, return_counts=True)[1].min()))
        if folds < 2:  # a class with one member can't be on both sides
            return 0.1
        split = StratifiedKFold(folds, shuffle=True, random_state=0)
        guesses = {c: cross_val_predict(_model(c), x_train, y_train, cv=split) for c in STRENGTHS}
    scores = {c: f1_score(y_check, guesses[c], average="macro") for c in STRENGTHS}
    return max(STRENGTHS, key=lambda c: scores[c])
