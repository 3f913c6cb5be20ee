import numpy as np
import pytest

from models.baselines.tabular import logistic_regression, majority


def _blobs(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    y = np.repeat(np.arange(3), per_class)
    return 3 * np.eye(3)[y] + chance.normal(size=(y.size, 3)), y


def test_majority_takes_the_most_frequent_and_the_lowest_of_equals() -> None:
    assert majority(np.array([2, 1, 2]), 3).tolist() == [2, 2, 2]
    assert majority(np.array([2, 1, 2, 1]), 2).tolist() == [1, 1]
    with pytest.raises(ValueError, match="no class"):
        majority(np.array([], dtype=np.int64), 2)


@pytest.mark.parametrize("with_validation", [True, False])
def test_logistic_regression_learns_and_repeats_itself(with_validation: bool) -> None:
    x, y = _blobs(20, 0)
    x_test, y_test = _blobs(20, 1)
    validation = _blobs(5, 2) if with_validation else None
    predicted = logistic_regression(x, y, x_test, validation=validation)
    assert (predicted == y_test).mean() > 0.8
    again = logistic_regression(x, y, x_test, validation=validation)
    assert (predicted == again).all()


def test_small_and_odd_training_splits() -> None:
    x, y = _blobs(1, 0)  # one song a class
    assert logistic_regression(x, y, x).shape == (3,)
    assert logistic_regression(x, np.ones(3, dtype=np.int64), x).tolist() == [1, 1, 1]
    x, y = _blobs(2, 0)
    assert set(logistic_regression(x, y, x)) <= {0, 1, 2}
    empty = (x[:0], y[:0])
    assert logistic_regression(x, y, x, validation=empty).shape == (6,)


def test_slow_convergence_is_no_warning() -> None:
    chance = np.random.default_rng(0)
    x = 1e4 * chance.normal(size=(40, 30))
    assert logistic_regression(x, np.arange(40) % 2, x[:3]).shape == (3,)
