"""Levels that columns are cut into before trees are grown: the trees are the same, sooner."""

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from models.baselines import classifiers
from models.baselines.classifiers import BOOSTING, Bools, Candidate, Classifier, Features
from models.baselines.quantiles import LEVELS, Quantiles
from models.baselines.tabular import BALANCE


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the tabular models are fitted."""
    with threadpool_limits(1):
        yield


def _table(count: int, seed: int) -> tuple[Features, Bools]:
    """Rows of up to four classes that some of 12 columns tell; one has few values, one has one."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(count, 12)).astype(np.float32)
    x[:, 0] = np.round(x[:, 0])
    x[:, 11] = 3.0
    noise = chance.normal(size=(count, 4))
    return x, x[:, :4] + x[:, 4:8] + 0.5 * noise > np.array([0.0, 0.5, 1.0, 1.5])


def _boosted(x: Features, y: Bools, new: Features) -> np.ndarray:
    """What scikit-learn says without our help."""
    said: np.ndarray = (
        HistGradientBoostingClassifier(
            max_iter=100,
            min_samples_leaf=10,
            max_features=0.3,
            early_stopping=False,
            random_state=0,
            max_leaf_nodes=7,
        )
        .fit(x, y)
        .decision_function(new)
    )
    return said


def test_values_keep_their_order_and_few_of_them_their_place() -> None:
    x, _ = _table(2000, 0)
    quantiles = Quantiles(x)
    levels = quantiles.levels(x)
    assert levels.min() == 0
    assert [len(np.unique(column)) for column in levels.T[1:11]] == [LEVELS] * 10
    _, rows = np.unique(levels[:, 5], return_counts=True)
    assert rows.max() - rows.min() <= 2
    assert (np.unique(x[:, 0], return_inverse=True)[1] == levels[:, 0]).all()
    assert (levels[:, 11] == 0).all()
    order = np.argsort(x[:, 5])
    assert (np.diff(levels[order, 5]) >= 0).all()
    far = np.full((1, 12), 1e30, np.float32)
    assert quantiles.levels(far)[0, 5] == LEVELS - 1
    assert quantiles.levels(-far)[0, 5] == 0


@pytest.mark.parametrize("count", [200, 1500])
def test_the_trees_are_those_of_the_raw_columns(count: int) -> None:
    x, truth = _table(count, 0)
    new, _ = _table(500, 1)
    candidate = Candidate(BOOSTING, {"max_leaf_nodes": 7})
    several = Classifier(candidate, x, truth, multi_label=True).scores(new)
    one = Classifier(candidate, x, np.eye(2, dtype=np.bool_)[truth[:, 2].astype(int)], False)
    for column in range(4):
        expected = _boosted(x, truth[:, column], new)
        assert np.corrcoef(several[:, column], expected)[0, 1] > 0.9999
        assert ((several[:, column] > 0) == (expected > 0)).mean() > 0.995
    np.testing.assert_array_equal(one.scores(new)[:, 1], several[:, 2])


def test_where_rare_classes_weigh_more_they_are_told_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """scikit-learn weighs the rows for its bins, too: ours are those without."""

    class Raw:
        def __init__(self, x: Features) -> None: ...

        def levels(self, x: Features) -> Features:
            return x

    x, truth = _table(1000, 0)
    new, told = _table(1000, 1)
    candidate = Candidate(BOOSTING, {"max_leaf_nodes": 7}, BALANCE)
    ours = Classifier(candidate, x, truth[:, 2:], multi_label=True).scores(new)
    monkeypatch.setattr(classifiers, "Quantiles", Raw)
    plain = Classifier(candidate, x, truth[:, 2:], multi_label=True).scores(new)
    right = [((scores > 0) == told[:, 2:]).mean() for scores in (ours, plain)]
    assert min(right) > 0.85
    assert right[0] == pytest.approx(right[1], abs=0.015)
