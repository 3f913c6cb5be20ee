"""Kinds of tabular classifier, each fitted with the settings that it is given (scikit-learn)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from models.baselines.quantiles import Quantiles

LOGISTIC, SVM, BOOSTING = "logistic regression", "SVM", "gradient boosting"
KNN, MAJORITY = "k nearest neighbours", "majority"

Features = NDArray[np.float32] | NDArray[np.float64]
Bools = NDArray[np.bool_]
Scores = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A kind of classifier with its settings.

    Attributes:
        kind: what it is.
        settings: its own.
        balance: power of a class's rarity by which its rows weigh more; 0: all rows alike.
    """

    kind: str
    settings: Mapping[str, Any]
    balance: float = 0.0


class Classifier:
    """A candidate fitted on rows x [n, d] of classes bool [n, c].

    Args:
        candidate: what to fit.
        x: [n, d] standardised features.
        truth: bool [n, c], at least one class a row.
        multi_label: rows may have several classes; each is learned against the rest.

    Trees are grown on levels of the columns, found once for all classes (`quantiles`).
    """

    def __init__(self, candidate: Candidate, x: Features, truth: Bools, multi_label: bool) -> None:
        self._classes = truth.shape[1]
        self._multi_label = multi_label
        self._always: Rows = np.flatnonzero(truth.all(axis=0)) if multi_label else np.arange(0)
        self._quantiles = Quantiles(x) if candidate.kind == BOOSTING else None
        x = self._seen(x)
        if multi_label:
            some = np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))
            self._by = {int(c): _fitted(candidate, x, truth[:, c]) for c in some}
        else:
            classes = truth.argmax(axis=1)
            self._present = np.unique(classes)
            one = len(self._present) == 1
            self._by = {} if one else {0: _fitted(candidate, x, classes)}

    @property
    def parameters(self) -> int:
        """Numbers that were fitted."""
        return sum(_size(each) for each in self._by.values())

    def scores(self, x: Features) -> Scores:
        """Score x [m, d]: [m, c]; -inf for a class without a row to learn from."""
        x = self._seen(x)
        scores = np.full((len(x), self._classes), -np.inf)
        if self._multi_label:
            scores[:, self._always] = 1.0
            for column, fitted in self._by.items():
                scores[:, column] = _decided(fitted, x)
        elif not self._by:
            scores[:, self._present] = 0.0
        else:
            decided = _decided(self._by[0], x)
            if len(self._present) == 2:
                decided = np.stack([-decided, decided], axis=1)
            scores[:, self._present] = decided
        return scores

    def _seen(self, x: Features) -> Features:
        """Rows as what is fitted sees them."""
        return x if self._quantiles is None else self._quantiles.levels(x)


def _decided(fitted: Any, x: Features) -> Scores:
    """The decision of an estimator: [m] for two classes (above 0: the second), [m, c] for more."""
    if not isinstance(fitted, KNeighborsClassifier):
        decided: Scores = fitted.decision_function(x)
        return decided
    shares = fitted.predict_proba(x)
    # no neighbour of a class: as unlikely as a share of one in a million
    logs: Scores = np.log(np.maximum(shares, 1e-6))
    return logs[:, 1] - logs[:, 0] if logs.shape[1] == 2 else logs


def _size(fitted: Any) -> int:
    if isinstance(fitted, LogisticRegression):
        return int(fitted.coef_.size + fitted.intercept_.size)
    if isinstance(fitted, SVC):
        held = fitted.support_vectors_.size + fitted.dual_coef_.size + fitted.intercept_.size
        return int(held)
    if isinstance(fitted, HistGradientBoostingClassifier):
        # a leaf is a value, every other node a threshold
        trees = (tree for stage in fitted._predictors for tree in stage)
        return sum(len(tree.nodes) for tree in trees)
    return 0


def _fitted(candidate: Candidate, x: Features, y: Rows | Bools) -> Any:
    settings = dict(candidate.settings)
    if candidate.balance:
        classes, count = np.unique(y, return_counts=True)
        weights = (len(y) / (len(classes) * count)) ** candidate.balance
        settings["class_weight"] = dict(zip(classes.tolist(), weights.tolist(), strict=True))
    if candidate.kind == LOGISTIC:
        return LogisticRegression(max_iter=2000, **settings).fit(x, y)
    if candidate.kind == SVM:
        # the width of the kernel, in units of what is usual for so many columns
        spread = x.shape[1] * float(x.var()) or 1.0
        return SVC(gamma=settings.pop("width") / spread, **settings).fit(x, y)
    if candidate.kind == KNN:
        settings["n_neighbors"] = min(settings["n_neighbors"], len(x))
        return KNeighborsClassifier(**settings).fit(x, y)
    return HistGradientBoostingClassifier(
        max_iter=100,
        min_samples_leaf=10,
        max_features=0.3,
        early_stopping=False,
        random_state=0,
        **settings,
    ).fit(x, y)
