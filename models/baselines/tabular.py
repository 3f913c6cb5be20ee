"""What features alone tell, without a graph: the numbers a graph model has to beat.

Three kinds of classifier with a few settings each; the best one by macro-F1 on the validation
split, or by cross-validation inside the training split, is what a graph is measured against.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch import Tensor

from models.baselines.classifiers import (
    BOOSTING,
    KNN,
    LOGISTIC,
    MAJORITY,
    SVM,
    Bools,
    Candidate,
    Classifier,
    Features,
    Rows,
    Scores,
)
from models.baselines.fitting import Labels
from models.training import macro_f1

# Rows that settings are tried on, learned and told; rows that a kind can learn from in minutes.
MOST_TO_CHOOSE_BY = 5_000
MOST_TO_TELL = 2_000
# An SVM takes four times as long for twice the rows, and there are eight to try.
MOST_TO_TRY = {LOGISTIC: 5_000, SVM: 2_000, BOOSTING: 5_000, KNN: 5_000}
MOST_TO_FIT = {LOGISTIC: 50_000, SVM: 5_000, BOOSTING: 20_000, KNN: 50_000}
# Trees that part fewer rows than this are guesswork.
FEWEST_TO_BOOST = 200
# A classifier for each class: more of them leave time for fewer rows.
MOST_BOOSTED = 100_000
FOLDS = 5

Groups = Sequence[str] | NDArray[np.int64]


@dataclass(frozen=True)
class Tabular:
    """The best tabular classifier and what it says.

    Attributes:
        kind: what it is.
        settings: the chosen ones.
        chosen_by: "validation" or "cross-validation"; "nothing" where neither was possible.
        tried: the best macro-F1 of each kind there.
        rows: how many training rows it was fitted on: all, or as many as it can take.
        scores: [m, c] of what was to be predicted; above 0 is likelier than not where rows may
            have several classes; -inf for a class without a training row.
    """

    kind: str
    settings: Mapping[str, Any]
    chosen_by: str
    tried: Mapping[str, float]
    rows: int
    scores: Scores


CANDIDATES = (
    *(Candidate(LOGISTIC, {"C": c}) for c in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)),
    *(
        Candidate(SVM, {"C": c, "width": width})
        for width in (0.3, 1.0)
        for c in (0.3, 1.0, 3.0, 10.0)
    ),
    *(Candidate(BOOSTING, {"max_leaf_nodes": leaves}) for leaves in (7, 15)),
)
# Power of a class's rarity by which its rows weigh more, as the net's loss weighs them: tried with
# the best settings of each kind.
BALANCE = 0.5
# Measured against a graph one by one only: what `best_tabular` chooses from stays as it is.
NEIGHBOURS = tuple(
    Candidate(KNN, {"n_neighbors": k, "weights": "distance"}) for k in (1, 3, 5, 9, 15, 25)
)
# What is fitted where nothing can be tried.
UNTRIED = Candidate(LOGISTIC, {"C": 0.1})


def majority(truth_train: Bools, count: int) -> Scores:
    """Score classes by how frequent they are in truth_train [n, c]: [count, c], all rows alike.

    Where rows may have several classes, above 0 are those that most rows have.

    Raises:
        ValueError: there are no rows.
    """
    if len(truth_train) == 0:
        raise ValueError("there is no class to learn from")
    return np.tile(truth_train.mean(axis=0) - 0.5, (count, 1))


def best_tabular(
    x_train: Features,
    truth_train: Bools,
    x: Features,
    *,
    groups: Groups | None = None,
    validation: tuple[Features, Bools] | None = None,
    candidates: Sequence[Candidate] = CANDIDATES,
    seed: int = 0,
) -> Tabular:
    """Choose the best classifier and predict; the same input gives the same output.

    Rows of several classes are learned one class against the rest. Many rows are thinned out
    (`MOST_TO_CHOOSE_BY`, `MOST_TO_TELL`, `MOST_TO_FIT`), by lot and class by class.

    Args:
        x_train: [n, d] standardised features.
        truth_train: bool [n, c], at least one class a row.
        x: [m, d] what to predict.
        groups: group of each training row; cross-validation keeps groups together.
        validation: features [v, d] and classes bool [v, c]; without them settings are chosen by
            cross-validation.
        candidates: what may be chosen; of equals the first.
        seed: of the lot.

    Raises:
        ValueError: there is nothing to learn from, or a feature isn't finite.
    """
    classifier, chosen = _best(x_train, truth_train, groups, validation, candidates, seed)
    with threadpool_limits(1):
        return replace(chosen, scores=classifier.scores(x))


def fit(
    kind: str, x: Features, labels: Labels, *, groups: Groups | None = None, seed: int = 0
) -> "FittedTable":
    """Fit one kind of classifier, its settings chosen as `best_tabular` chooses.

    Args:
        kind: `MAJORITY`, or the kind of a candidate.
        x: [n, d] standardised features of all rows.
        labels: which rows are learned from; validation rows choose where they are enough.
        groups: group of each row in `labels.train`.
        seed: of the lot by which many rows are thinned out.

    Raises:
        ValueError: there is no such kind, or a feature isn't finite.
    """
    train, valid = labels.train.numpy(), labels.valid.numpy()
    truth = labels.truth.numpy()
    if kind == MAJORITY:
        return FittedTable(x, majority(truth[train], 1))
    candidates = [each for each in (*CANDIDATES, *NEIGHBOURS) if each.kind == kind]
    if not candidates:
        raise ValueError(f"there is no tabular model called {kind!r}")
    classifier, _ = _best(
        x[train],
        truth[train],
        groups,
        (x[valid], truth[valid]) if labels.validated else None,
        candidates,
        seed,
    )
    return FittedTable(x, classifier)


class FittedTable:
    """A fitted classifier over rows of a table.

    Attributes:
        parameters: numbers that were fitted: coefficients and intercepts; support vectors and
            their weights; leaves and thresholds. 0 for neighbours and majority, which fit nothing.
        epochs: 0.
        best_epoch: 0.
    """

    def __init__(self, x: Features, by: Classifier | Scores) -> None:
        self._x, self._by = x, by
        self.parameters = by.parameters if isinstance(by, Classifier) else 0
        self.epochs = self.best_epoch = 0

    def scores(self, rows: Tensor) -> Tensor:
        """Score rows int64 [b] against every class: float32 [b, c]."""
        if isinstance(self._by, Classifier):
            with threadpool_limits(1):
                said = self._by.scores(self._x[rows.numpy()])
        else:
            said = np.repeat(self._by, rows.numel(), axis=0)
        return torch.from_numpy(said).float()


def _best(
    x_train: Features,
    truth_train: Bools,
    groups: Groups | None,
    validation: tuple[Features, Bools] | None,
    candidates: Sequence[Candidate],
    seed: int,
) -> tuple[Classifier, Tabular]:
    """Choose the best candidate and fit it; what it says of what is still to be filled in."""
    if len(x_train) == 0:
        raise ValueError("there is no class to learn from")
    multi_label = bool((truth_train.sum(axis=1) > 1).any())
    only_boosting = all(each.kind == BOOSTING for each in candidates)
    fitting = [
        each
        for each in candidates
        if each.kind != BOOSTING or len(x_train) >= FEWEST_TO_BOOST or only_boosting
    ]
    # one thread: sums over several threads may differ in the last bit
    with warnings.catch_warnings(), threadpool_limits(1):
        # one strength of many that hasn't fully converged is still a fair candidate
        warnings.simplefilter("ignore", ConvergenceWarning)
        kept = _thinned(truth_train, MOST_TO_CHOOSE_BY, seed)
        if validation is not None:
            told = _thinned(validation[1], MOST_TO_TELL, seed)
            validation = (validation[0][told], validation[1][told])
        trial = _Trial.of(
            x_train[kept],
            truth_train[kept],
            None if groups is None else np.asarray(groups)[kept],
            validation,
        )
        results: list[tuple[Candidate, float]] = []
        # so few rows part no better by one setting than by another, and trees take longest
        guesswork = only_boosting and len(x_train) < FEWEST_TO_BOOST
        if trial.parts and not guesswork:
            results = [(each, trial.run(each, multi_label, seed)) for each in fitting]
            balanced = [
                replace(each, balance=BALANCE)
                for each in _best_of_kinds(results)
                if each.kind != KNN  # which has no weights for rows
            ]
            results += [(each, trial.run(each, multi_label, seed)) for each in balanced]
        untried = fitting[0] if len({each.kind for each in fitting}) == 1 else UNTRIED
        best = max(results, key=lambda result: result[1])[0] if results else untried
        rows = _thinned(truth_train, _most(best.kind, truth_train.shape[1]), seed)
        classifier = Classifier(best, x_train[rows], truth_train[rows], multi_label)
    return classifier, Tabular(
        kind=best.kind,
        settings={**best.settings, **({"balance": best.balance} if best.balance else {})},
        chosen_by=trial.chosen_by if results else "nothing",
        tried={each.kind: dict(results)[each] for each in _best_of_kinds(results)},
        rows=len(rows),
        scores=np.empty((0, truth_train.shape[1])),
    )


def _best_of_kinds(results: Sequence[tuple[Candidate, float]]) -> list[Candidate]:
    """The best candidate of each kind, of equals the first."""
    best: dict[str, tuple[Candidate, float]] = {}
    for candidate, result in results:
        if candidate.kind not in best or result > best[candidate.kind][1]:
            best[candidate.kind] = candidate, result
    return [candidate for candidate, _ in best.values()]


@dataclass(frozen=True)
class _Trial:
    """What candidates are tried on.

    Attributes:
        x: [n, d] training rows.
        truth: bool [n, c].
        x_check: [v, d] rows to tell.
        check: bool [v, c].
        parts: (training rows to fit on, rows to tell by that) until all are told.
        chosen_by: a name for it.
    """

    x: Features
    truth: Bools
    x_check: Features
    check: Bools
    parts: list[tuple[Rows, Rows]]
    chosen_by: str

    @classmethod
    def of(
        cls,
        x: Features,
        truth: Bools,
        groups: Groups | None,
        validation: tuple[Features, Bools] | None,
    ) -> "_Trial":
        """Take the validation split, or folds of the training split where there is none."""
        if validation is not None and len(validation[1]):
            everything = (np.arange(len(x)), np.arange(len(validation[1])))
            return cls(x, truth, *validation, [everything], "validation")
        folds = _folds(truth, np.arange(len(x)) if groups is None else groups)
        return cls(x, truth, x, truth, folds, "cross-validation" if folds else "nothing")

    def run(self, candidate: Candidate, multi_label: bool, seed: int) -> float:
        """Macro-F1 of a candidate."""
        scores = np.empty(self.check.shape)
        for fitted, told in self.parts:
            limit = min(_most(candidate.kind, self.truth.shape[1]), MOST_TO_TRY[candidate.kind])
            rows = fitted[_thinned(self.truth[fitted], limit, seed)]
            classifier = Classifier(candidate, self.x[rows], self.truth[rows], multi_label)
            scores[told] = classifier.scores(self.x_check[told])
        return macro_f1(torch.from_numpy(scores), torch.from_numpy(self.check), multi_label)


def _folds(truth: Bools, groups: Groups) -> list[tuple[Rows, Rows]]:
    """Deal groups out class by class, so that no fold takes all groups of one."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    by_class = np.argsort(truth[first].argmax(axis=1), kind="stable")
    fold_of = np.empty(len(first), dtype=np.int64)
    fold_of[by_class] = np.arange(len(first)) % FOLDS
    folds = [np.flatnonzero(fold_of[group] == fold) for fold in range(min(FOLDS, len(first)))]
    if len(folds) < 2:
        return []
    return [(np.setdiff1d(np.arange(len(truth)), told), told) for told in folds]


def _most(kind: str, classes: int) -> int:
    """How many rows a kind of classifier can learn from."""
    return min(
        MOST_TO_FIT[kind], MOST_BOOSTED // classes if kind == BOOSTING else MOST_TO_FIT[kind]
    )


def _thinned(truth: Bools, most: int, seed: int) -> Rows:
    """Rows that stand for all: the same share of every (first) class, ascending."""
    if len(truth) <= most:
        return np.arange(len(truth))
    order = np.random.default_rng(seed).permutation(len(truth))
    by_class = order[np.argsort(truth[order].argmax(axis=1), kind="stable")]
    places = np.linspace(0, len(truth) - 1, most).round().astype(np.int64)
    return np.sort(by_class[places])
