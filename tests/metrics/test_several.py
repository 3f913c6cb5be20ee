"""Measures of several genres a song, held against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    label_ranking_average_precision_score,
    roc_auc_score,
)

from kg.genres.tree import Tree
from kg.metrics.several import above_threshold, best_threshold, genre_figures, measure_several

GENRES = ["a", "b", "c", "d"]
NO_TREE = Tree({})


def songs(count: int = 80, *, ties: bool = False, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Scores that know something of the truth."""
    random = np.random.default_rng(seed)
    truth = random.random((count, len(GENRES))) < 0.3
    truth[np.arange(count), random.integers(len(GENRES), size=count)] = True
    scores = (random.normal(size=truth.shape) + 1.5 * truth - 0.7).astype(np.float32)
    return (np.round(scores) if ties else scores), truth


@pytest.mark.parametrize("ties", [False, True])
def test_the_figures_are_those_of_scikit_learn(ties: bool) -> None:
    scores, truth = songs(ties=ties)
    artists = [f"artist {row // 3}" for row in range(len(truth))]
    (found,) = measure_several(truth, {"one": scores}, artists, GENRES, NO_TREE)
    chosen = above_threshold(scores, 0.0)
    assert found.genre_average_precision.value == pytest.approx(
        average_precision_score(truth, scores, average="macro")
    )
    assert found.roc_auc.value == pytest.approx(roc_auc_score(truth, scores, average="macro"))
    assert found.label_ranking.value == pytest.approx(
        label_ranking_average_precision_score(truth, scores)
    )
    assert found.micro_f1.value == pytest.approx(f1_score(truth, chosen, average="micro"))
    assert found.macro_f1.value == pytest.approx(f1_score(truth, chosen, average="macro"))
    assert found.hierarchical_f1 is None
    for each in (found.genre_average_precision, found.roc_auc, found.micro_f1, found.macro_f1):
        assert each.low < each.value < each.high
        assert each.high - each.low < 0.5
    precisions, areas = genre_figures(scores, truth)
    assert precisions == pytest.approx(list(average_precision_score(truth, scores, average=None)))
    assert areas == pytest.approx(list(roc_auc_score(truth, scores, average=None)))


def test_a_resample_is_what_repeating_songs_would_be() -> None:
    from kg.metrics.several import _curves

    scores, truth = songs(30, ties=True)
    drawn = np.random.default_rng(0).integers(0, 3, size=(1, 30)).astype(np.float64)
    again = np.repeat(np.arange(30), drawn[0].astype(int))
    precision, area = _curves(scores[:, 0], truth[:, 0], drawn)
    assert precision[0] == pytest.approx(average_precision_score(truth[again, 0], scores[again, 0]))
    assert area[0] == pytest.approx(roc_auc_score(truth[again, 0], scores[again, 0]))


def test_the_hierarchy_forgives_what_is_near() -> None:
    tree = Tree({"a": ["x"], "b": ["x"], "c": ["y"], "d": ["y"]})
    truth = np.eye(4, dtype=bool)
    artists = [None] * 4
    near = np.eye(4, dtype=np.float32)[[1, 0, 3, 2]] - 0.5  # a for b, c for d
    far = np.eye(4, dtype=np.float32)[[2, 3, 0, 1]] - 0.5
    one, other = measure_several(truth, {"near": near, "far": far}, artists, GENRES, tree)
    assert one.hierarchical_f1 is not None
    assert other.hierarchical_f1 is not None
    assert one.micro_f1.value == other.micro_f1.value == 0
    assert one.hierarchical_f1.value == pytest.approx(0.5)  # of genre and parent the parent
    assert other.hierarchical_f1.value == 0


def test_the_threshold_is_the_best_on_the_songs_that_set_it() -> None:
    scores, truth = songs(200)
    threshold = best_threshold(scores, truth)
    own = f1_score(truth, above_threshold(scores, threshold), average="macro")
    for other in np.linspace(-3, 3, 61):
        assert own >= f1_score(truth, above_threshold(scores, other), average="macro") - 0.01
    shifted = best_threshold(scores + 5, truth)
    assert shifted == pytest.approx(threshold + 5, abs=0.2)
    assert best_threshold(scores[:19], truth[:19]) == 0.0
    scores[:, 3] = -np.inf  # a genre that nothing was learned of
    assert np.isfinite(best_threshold(scores, truth))
    assert best_threshold(np.full_like(scores, -np.inf), truth) == 0.0


def test_genres_that_nobody_or_everybody_has() -> None:
    scores, truth = songs()
    truth[:, 0], truth[:, 1] = False, True
    precisions, areas = genre_figures(scores, truth)
    assert precisions[0] is None
    assert precisions[1] == pytest.approx(1.0)
    assert areas[:2] == [None, None]
    (found,) = measure_several(truth, {"x": scores}, [None] * len(truth), GENRES, NO_TREE)
    expected = [precisions[row] for row in (1, 2, 3)]
    assert found.genre_average_precision.value == pytest.approx(np.mean(expected))
    assert found.roc_auc.value == pytest.approx(np.mean(areas[2:]))
