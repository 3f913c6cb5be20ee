"""Tabular baselines: what they learn, how the best is chosen, what they are spared."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from models.baselines import tabular
from models.baselines.fitting import Labels
from models.baselines.tabular import (
    BOOSTING,
    CANDIDATES,
    LOGISTIC,
    SVM,
    Bools,
    Candidate,
    Features,
    best_tabular,
    majority,
)


def _blobs(per_class: int, seed: int, signal: float = 3.0) -> tuple[Features, Bools]:
    chance = np.random.default_rng(seed)
    truth = np.eye(3, dtype=np.bool_)[np.repeat(np.arange(3), per_class)]
    return signal * truth + chance.normal(size=(len(truth), 3)), truth


def _rings(count: int, seed: int) -> tuple[Features, Bools]:
    """Two classes that no straight line parts."""
    chance = np.random.default_rng(seed)
    y = np.arange(count) % 2
    angle = chance.uniform(0, 2 * np.pi, count)
    radius = 1.0 + 1.5 * y + chance.normal(scale=0.2, size=count)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return x, np.eye(2, dtype=np.bool_)[y]


def _right(scores: np.ndarray, truth: Bools) -> float:
    return float((scores.argmax(axis=1) == truth.argmax(axis=1)).mean())


def test_majority_takes_the_most_frequent_and_the_lowest_of_equals() -> None:
    truth = np.eye(3, dtype=np.bool_)
    assert majority(truth[[2, 1, 2]], 3).argmax(axis=1).tolist() == [2, 2, 2]
    assert majority(truth[[2, 1, 2, 1]], 2).argmax(axis=1).tolist() == [1, 1]
    both = np.array([[True, True, False], [True, False, False]])
    assert (majority(both, 1) > 0).tolist() == [[True, False, False]]
    with pytest.raises(ValueError, match="no class"):
        majority(truth[:0], 2)


@pytest.mark.parametrize("kind", [LOGISTIC, SVM, BOOSTING])
@pytest.mark.parametrize("with_validation", [True, False])
def test_every_kind_learns_and_repeats_itself(kind: str, with_validation: bool) -> None:
    candidates = [each for each in tabular.CANDIDATES if each.kind == kind][:2]
    x, truth = _blobs(80, 0)
    x_test, truth_test = _blobs(40, 1)
    validation = _blobs(10, 2) if with_validation else None
    found = best_tabular(x, truth, x_test, validation=validation, candidates=candidates)
    assert (found.kind, found.rows) == (kind, 240)
    assert found.chosen_by == ("validation" if with_validation else "cross-validation")
    assert _right(found.scores, truth_test) > 0.9
    again = best_tabular(x, truth, x_test, validation=validation, candidates=candidates)
    assert (again.scores == found.scores).all()


def test_the_best_kind_is_chosen_by_what_is_held_out() -> None:
    x, truth = _rings(300, 0)
    found = best_tabular(x, truth, _rings(100, 1)[0], validation=_rings(60, 2))
    assert set(found.tried) == {LOGISTIC, SVM, BOOSTING}
    assert found.kind != LOGISTIC
    assert found.tried[LOGISTIC] < 0.7 < found.tried[found.kind]
    assert _right(found.scores, _rings(100, 1)[1]) > 0.9


def test_rare_classes_may_weigh_more() -> None:
    """One class of ten times fewer rows, which overlap with the others'."""
    x, truth = _blobs(400, 0, signal=1.2)
    kept = np.concatenate([np.arange(800), np.arange(800, 1200, 10)])
    candidate = [Candidate(LOGISTIC, {"C": 1.0})]
    validation = _blobs(300, 2, signal=1.2)
    found = best_tabular(x[kept], truth[kept], x, validation=validation, candidates=candidate)
    assert found.settings == {"C": 1.0, "balance": tabular.BALANCE}
    plain = LogisticRegression(C=1.0).fit(x[kept], truth[kept].argmax(axis=1)).predict(x)
    assert (found.scores.argmax(axis=1) == 2).sum() > (plain == 2).sum()
    # the weights are scikit-learn's, of which a power is taken
    weights = compute_class_weight("balanced", classes=np.arange(3), y=truth[kept].argmax(axis=1))
    fitted = LogisticRegression(
        C=1.0, max_iter=2000, class_weight=dict(enumerate(weights**tabular.BALANCE))
    ).fit(x[kept], truth[kept].argmax(axis=1))
    assert np.allclose(fitted.decision_function(x), found.scores)


def test_rows_of_several_classes_are_learned_one_against_the_rest() -> None:
    chance = np.random.default_rng(0)
    x = chance.normal(size=(300, 4))
    truth = np.stack([x[:, 0] > 0, x[:, 1] > 0, x[:, 0] < 0, np.ones(300)], axis=1).astype(bool)
    new = chance.normal(size=(200, 4))
    for candidate in tabular.CANDIDATES[4], tabular.CANDIDATES[-1]:
        found = best_tabular(x, truth, new, candidates=[candidate])
        chosen = found.scores > 0
        assert (chosen[:, 0] == (new[:, 0] > 0)).mean() > 0.9
        assert (chosen[:, 1] == (new[:, 1] > 0)).mean() > 0.9
        assert chosen[:, 3].all()  # what all rows have is what a new one has


def test_second_classes_of_validation_rows_do_not_change_what_is_learned() -> None:
    x, truth = _blobs(40, 0)
    told, second = _blobs(10, 2)
    second[0] = True
    candidates = tabular.CANDIDATES[4:6]
    found = best_tabular(x, truth, x, validation=(told, second), candidates=candidates)
    fitted = LogisticRegression(**found.settings, max_iter=2000).fit(x, truth.argmax(axis=1))
    np.testing.assert_allclose(found.scores, fitted.decision_function(x))


def test_a_class_without_a_training_row_comes_last() -> None:
    x, truth = _blobs(20, 0)
    for held in (0, 1):
        rows = ~truth[:, held]
        found = best_tabular(x[rows], truth[rows], x)
        assert np.isneginf(found.scores[:, held]).all()
        assert _right(found.scores[rows], truth[rows]) > 0.9


def test_groups_stay_together_in_cross_validation() -> None:
    # Each group has a class and a place of its own: who has seen the group knows the class,
    # who hasn't can't tell.
    chance = np.random.default_rng(0)
    classes = np.arange(40) % 2
    centres = 10 * chance.normal(size=(40, 5))
    group = np.repeat(np.arange(40), 8)
    x = centres[group] + 0.1 * chance.normal(size=(320, 5))
    truth = np.eye(2, dtype=np.bool_)[classes[group]]
    candidates = [Candidate(SVM, {"C": 10.0, "width": 1.0})]
    apart = best_tabular(x, truth, x[:1], groups=group, candidates=candidates)
    mixed = best_tabular(x, truth, x[:1], candidates=candidates)
    assert mixed.tried[SVM] > 0.95
    assert apart.tried[SVM] < 0.75


def test_small_and_odd_training_splits() -> None:
    x, truth = _blobs(1, 0)  # one row a class
    assert best_tabular(x, truth, x).scores.shape == (3, 3)
    alone = best_tabular(x[:1], truth[:1], x)
    assert (alone.chosen_by, alone.scores.argmax(axis=1).tolist()) == ("nothing", [0, 0, 0])
    one_class = best_tabular(x, truth[[1, 1, 1]], x)
    assert one_class.scores.argmax(axis=1).tolist() == [1, 1, 1]
    empty = (x[:0], truth[:0])
    assert best_tabular(x, truth, x, validation=empty).chosen_by == "cross-validation"
    assert best_tabular(x, truth, x, groups=["a"] * 3).chosen_by == "nothing"
    trees = [each for each in CANDIDATES if each.kind == BOOSTING]  # none may try so few rows
    fallback = best_tabular(x, truth, x, candidates=trees)
    assert (fallback.chosen_by, fallback.tried) == ("nothing", {})
    with pytest.raises(ValueError, match="no class"):
        best_tabular(x[:0], truth[:0], x)


def test_many_rows_are_thinned_out_class_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tabular.MOST_TO_FIT, SVM, 60)
    monkeypatch.setattr(tabular, "MOST_TO_CHOOSE_BY", 100)
    monkeypatch.setattr(tabular, "MOST_TO_TELL", 12)
    x, truth = _blobs(80, 0)
    candidates = [each for each in tabular.CANDIDATES if each.kind == SVM]
    found = best_tabular(x, truth, x, validation=_blobs(10, 2), candidates=candidates)
    assert found.rows == 60
    assert _right(found.scores, truth) > 0.9
    kept = tabular._thinned(truth, 60, 0)
    assert truth[kept].sum(axis=0).tolist() == [20, 20, 20]
    assert (np.diff(kept) > 0).all()


def test_slow_convergence_is_no_warning() -> None:
    chance = np.random.default_rng(0)
    x = 1e4 * chance.normal(size=(40, 30))
    assert best_tabular(x, np.eye(2, dtype=bool)[np.arange(40) % 2], x[:3]).scores.shape == (3, 2)


KINDS = [tabular.MAJORITY, tabular.KNN, tabular.LOGISTIC, tabular.SVM, tabular.BOOSTING]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_by_itself_tells_rows_it_has_not_seen(kind: str, several: bool) -> None:
    chance = np.random.default_rng(0)
    classes = np.arange(240) % 4
    x = (np.eye(4)[classes] @ chance.normal(size=(4, 6)) * 2 + chance.normal(size=(240, 6))).astype(
        np.float32
    )
    truth = np.eye(4, dtype=bool)[classes]
    if several:
        truth[:, 0] |= classes == 1
    labels = Labels(
        torch.from_numpy(truth), torch.arange(200), torch.arange(0), multi_label=several
    )
    fitted = tabular.fit(kind, x, labels, groups=np.arange(200) // 2)
    scores = fitted.scores(torch.arange(200, 240))
    assert scores.shape == (40, 4)
    right = truth[200:][np.arange(40), scores.argmax(dim=1).numpy()].mean()
    if kind == tabular.MAJORITY:
        assert (scores == scores[0]).all()
        assert fitted.parameters == 0
    else:
        assert right > 0.7
        assert (fitted.parameters > 0) == (kind != tabular.KNN)
    if several and kind != tabular.MAJORITY:
        # above 0 is likelier than not
        assert ((scores > 0).numpy() == truth[200:]).mean() > 0.8
    again = tabular.fit(kind, x, labels, groups=np.arange(200) // 2)
    assert torch.equal(again.scores(torch.arange(200, 240)), scores)


def test_a_kind_that_does_not_exist_is_refused() -> None:
    labels = Labels(torch.eye(2).bool(), torch.arange(2), torch.arange(0), multi_label=False)
    with pytest.raises(ValueError, match="no tabular model called 'magic'"):
        tabular.fit("magic", np.zeros((2, 1), np.float32), labels)
