"""Metrics against scikit-learn, intervals against what is known of them, plain words."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from kg.evaluate import accuracy, caution, macro_f1, score, settle_truth


def test_macro_f1_is_scikit_learns_over_the_true_genres() -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 7, 200), random.integers(0, 9, 200)
    expected = f1_score(truth, predicted, labels=np.unique(truth), average="macro")
    assert macro_f1(truth, predicted) == pytest.approx(expected)
    assert accuracy(truth, predicted) == pytest.approx(np.mean(truth == predicted))


def test_a_song_of_several_genres_counts_as_right_with_any_of_them() -> None:
    assert settle_truth([[0, 2], [1], [1, 0]], np.array([2, 0, 0])).tolist() == [2, 1, 0]


def test_interval_has_the_width_of_the_binomial_without_artists() -> None:
    truth = [[0]] * 400
    predicted = np.array([0] * 300 + [1] * 100)
    found = score("x", truth, predicted, [None] * 400).accuracy
    assert found.value == 0.75
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 400), rel=0.15)


def test_interval_is_wider_where_songs_of_an_artist_fail_together() -> None:
    truth = [[0]] * 400
    predicted = np.array(([0] * 30 + [1] * 10) * 10)
    alone = score("x", truth, predicted, [None] * 400).accuracy
    artists = [f"artist {i // 10}" for i in range(400)]
    together = score("x", truth, predicted, artists).accuracy
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_same_songs_give_the_same_interval() -> None:
    arguments = ("x", [[0], [1], [0]], np.array([0, 1, 1]), [None] * 3)
    assert score(*arguments) == score(*arguments)


def test_plain_words_for_few_songs() -> None:
    few = score("x", [[0], [1], [0]], np.array([0, 1, 1]), [None] * 3)
    assert "Only 3 test songs" in (caution(3, [few]) or "")
    assert "nothing was measured" in (caution(0, []) or "")
    many = score("x", [[0]] * 500, np.zeros(500, dtype=np.int64), [None] * 500)
    assert caution(500, [many]) is None


def test_one_song_is_no_certainty() -> None:
    one = score("x", [[0]], np.array([0]), [None])
    assert one.accuracy.value == 1
    assert one.accuracy.low < 0.3
    assert "spans up to 79" in (caution(1, [one]) or "")
    all_right = score("x", [[0]] * 50, np.zeros(50, dtype=np.int64), [None] * 50).accuracy
    assert 0.9 < all_right.low < 0.95
    assert all_right.high == 1


def test_an_artist_is_one_however_the_name_is_written() -> None:
    written = ["Nina Simone", "nina simone "] * 200
    as_one = score("x", [[0]] * 400, np.arange(400) % 4 // 3, written).accuracy
    assert as_one.high - as_one.low > 0.5
