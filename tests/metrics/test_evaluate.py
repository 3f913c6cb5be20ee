"""Metrics against scikit-learn, intervals against what is known of them, plain words."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from kg.metrics.evaluate import (
    Bools,
    Estimate,
    Score,
    Scores,
    average_precisions,
    by_genre,
    caution,
    chosen_genres,
    compare,
    confusions,
    realistic_ranks,
)


def one_each(genres: list[int] | np.ndarray, count: int | None = None) -> Bools:
    """A genre each as bool [n, g]."""
    listed = np.asarray(genres)
    return np.eye(count or int(listed.max()) + 1, dtype=np.bool_)[listed]


def several(seed: int = 0, songs: int = 200, genres: int = 7) -> tuple[Bools, Scores]:
    """Songs of one to three genres, and scores with many ties."""
    random = np.random.default_rng(seed)
    truth = np.zeros((songs, genres), dtype=np.bool_)
    for row in range(songs):
        truth[row, random.choice(genres, random.integers(1, 4), replace=False)] = True
    return truth, random.integers(-3, 4, size=truth.shape) + truth.astype(np.float64)


def score(truth: Bools, scores: Scores, artists: list[str | None] | None = None) -> Score:
    found, _ = compare(truth, {"x": [scores]}, artists or [None] * len(truth))
    return found[0]


def sure(predicted: list[int] | np.ndarray, genres: int) -> Scores:
    return one_each(predicted, genres).astype(np.float64)


def test_ranks_are_the_mean_of_the_optimistic_and_the_pessimistic_one() -> None:
    scores = np.array([[3.0, 2.0, 2.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    truth = one_each([2, 0], 5)
    # Two beside it: from 2 to 4. Four beside it: from 1 to 5.
    assert realistic_ranks(scores, truth).tolist() == [3.0, 3.0]


def test_ranks_leave_a_songs_other_genres_out() -> None:
    truth = np.array([[True, True, False, True]])
    scores = np.array([[4.0, 3.0, 2.0, 1.0]])
    assert realistic_ranks(scores, truth).tolist() == [1.0, 1.0, 2.0]


def test_ranks_equal_those_found_by_trying_every_order_of_equals() -> None:
    truth, scores = several()
    found = iter(realistic_ranks(scores, truth))
    for row in range(len(truth)):
        for genre in np.flatnonzero(truth[row]):
            rivals = scores[row][~truth[row]]
            best = 1 + np.sum(rivals > scores[row, genre])
            worst = 1 + np.sum(rivals >= scores[row, genre])
            assert next(found) == (best + worst) / 2


def test_average_precision_is_scikit_learns() -> None:
    truth, scores = several()
    truth[0] = False
    found = average_precisions(scores, truth)
    assert np.isnan(found[0])
    expected = [average_precision_score(truth[row], scores[row]) for row in range(1, len(truth))]
    assert found[1:] == pytest.approx(expected)


def test_measures_of_one_genre_a_song_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    genres, predicted = random.integers(0, 7, 200), random.integers(0, 9, 200)
    scores = sure(predicted, 9) + random.uniform(0, 0.5, (200, 9))
    found = score(one_each(genres, 9), scores)
    expected = f1_score(genres, predicted, labels=np.unique(genres), average="macro")
    assert found.macro_f1.value == pytest.approx(expected)
    assert found.accuracy.value == pytest.approx(np.mean(genres == predicted))
    # Without ties and with one genre each, a genre's precision is 1 / its rank.
    ranks = np.array([1 + np.sum(scores[row] > scores[row, genres[row]]) for row in range(200)])
    assert found.mrr.value == pytest.approx(np.mean(1 / ranks))
    assert found.mean_average_precision.value == pytest.approx(np.mean(1 / ranks))
    assert found.hits_at_3.value == pytest.approx(np.mean(ranks <= 3))


def test_measures_of_several_genres_a_song() -> None:
    truth, scores = several()
    (found,), _ = compare(truth, {"x": [scores]}, [None] * 200, multi_label=True)
    chosen = chosen_genres(scores, True)
    assert chosen.any(axis=1).all()
    assert ((scores > 0) <= chosen).all()
    assert found.macro_f1.value == pytest.approx(f1_score(truth, chosen, average="macro"))
    first = truth[np.arange(200), scores.argmax(axis=1)]
    assert found.accuracy.value == pytest.approx(first.mean())
    assert found.mrr.value == pytest.approx(np.mean(1 / realistic_ranks(scores, truth)))
    assert found.mean_average_precision.value == pytest.approx(
        np.mean([average_precision_score(truth[row], scores[row]) for row in range(200)])
    )


def test_a_classifier_that_knows_nothing_is_not_credited_with_ties() -> None:
    truth = one_each(np.arange(1000) % 10)
    found = score(truth, np.zeros((1000, 10)))
    assert found.mrr.value == pytest.approx(1 / 5.5)
    assert found.hits_at_3.value == 0
    assert found.mean_average_precision.value == pytest.approx(0.1)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, scores = several()
    ranks, whole = realistic_ranks(scores, truth), score(truth, scores)
    monkeypatch.setattr("kg.metrics.evaluate._BLOCK", 1000)
    assert (realistic_ranks(scores, truth) == ranks).all()
    assert score(truth, scores) == whole


def test_interval_has_the_width_of_the_binomial_without_artists() -> None:
    found = score(one_each([0] * 400, 2), sure([0] * 300 + [1] * 100, 2)).accuracy
    assert found.value == 0.75
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 400), rel=0.15)


def test_interval_is_wider_where_songs_of_an_artist_fail_together() -> None:
    truth, scores = one_each([0] * 400, 2), sure(([0] * 30 + [1] * 10) * 10, 2)
    alone = score(truth, scores).accuracy
    together = score(truth, scores, [f"artist {i // 10}" for i in range(400)]).accuracy
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        right = random.random(20) < 0.7
        found = score(one_each([0] * 20, 2), sure(np.where(right, 0, 1), 2)).accuracy
        held += found.low <= 0.7 <= found.high
    assert held >= 0.92 * 200


def test_the_same_songs_give_the_same_interval() -> None:
    truth, scores = several()
    assert score(truth, scores) == score(truth, scores)
    (found,), _ = compare(truth, {"x": [scores]}, [None] * 200, seed=1)
    assert found.accuracy.value == score(truth, scores).accuracy.value
    assert found.mrr.low != score(truth, scores).mrr.low


def test_a_paired_difference_is_narrower_than_the_two_intervals() -> None:
    random = np.random.default_rng(0)
    genres = random.integers(0, 4, 400)
    right = random.random(400) < 0.6
    other = np.where(right, genres, (genres + 1) % 4)
    ours = np.where(right | (random.random(400) < 0.1), genres, (genres + 1) % 4)
    (mine, its), (difference,) = compare(
        one_each(genres), {"ours": [sure(ours, 4)], "other": [sure(other, 4)]}, [None] * 400
    )
    assert difference.against == "other"
    gap = difference.accuracy
    assert gap.value == pytest.approx(mine.accuracy.value - its.accuracy.value)
    assert mine.accuracy.low < its.accuracy.high  # the intervals overlap ...
    assert 0 < gap.low < gap.value < gap.high  # ... and it is better all the same
    assert difference.macro_f1.value == pytest.approx(mine.macro_f1.value - its.macro_f1.value)


def test_no_difference_between_few_is_no_certainty() -> None:
    truth, same = one_each([0, 1] * 4), sure([0, 1, 0, 1, 0, 1, 1, 0], 2)
    _, (difference,) = compare(truth, {"a": [same], "b": [same]}, [None] * 8)
    assert difference.accuracy.value == 0
    assert difference.accuracy.low < -0.2
    assert difference.accuracy.high > 0.2


def test_several_runs_count_as_their_mean() -> None:
    truth = one_each([0] * 100, 2)
    runs = [sure([0] * right + [1] * (100 - right), 2) for right in (60, 70, 80)]
    (found, other), (difference,) = compare(truth, {"x": runs, "y": runs[:1]}, [None] * 100)
    assert found.accuracy.value == pytest.approx(0.7)
    assert found.accuracy.spread == pytest.approx(0.1)
    assert other.accuracy.spread is None
    assert difference.accuracy.value == pytest.approx(0.1)


def test_genres_one_by_one_are_scikit_learns() -> None:
    truth, scores = several()
    truth[:, 3] = False
    chosen = chosen_genres(scores, True)
    found = by_genre(truth, scores, list("abcdefg"), multi_label=True)
    assert [each.genre for each in found] == list("abcefg")
    for each, column in zip(found, [0, 1, 2, 4, 5, 6], strict=True):
        own, said = truth[:, column], chosen[:, column]
        assert each.songs == own.sum()
        assert each.precision == pytest.approx(precision_score(own, said))
        assert each.recall == pytest.approx(recall_score(own, said))
        assert each.f1 == pytest.approx(f1_score(own, said))


def test_a_genre_that_is_never_predicted_has_no_precision() -> None:
    never, _ = by_genre(one_each([0, 1]), sure([1, 1], 2), ["a", "b"])
    assert (never.precision, never.recall, never.f1) == (None, 0.0, 0.0)


def test_confusions_are_counted_and_sorted() -> None:
    truth = one_each([0, 0, 0, 1, 2, 2])
    truth[5, 1] = True  # of two genres, one of them heard
    found = confusions(truth, sure([1, 1, 2, 0, 1, 1], 3), ["blues", "jazz", "rock"])
    assert [(each.genre, each.heard_as, each.songs) for each in found] == [
        ("blues", "jazz", 2), ("blues", "rock", 1), ("jazz", "blues", 1), ("rock", "jazz", 1),
    ]  # fmt: skip


def test_plain_words_for_few_songs() -> None:
    few = score(one_each([0, 1, 0]), sure([0, 1, 1], 2))
    assert "Only 3 test songs" in (caution(3, [few]) or "")
    assert caution(0, []) is None
    many = score(one_each([0] * 500, 2), sure([0] * 500, 2))
    assert caution(500, [many]) is None


def test_one_song_is_no_certainty() -> None:
    one = score(one_each([0], 2), sure([0], 2))
    assert one.accuracy.value == 1
    assert one.accuracy.low < 0.3
    assert "spans up to 79" in (caution(1, [one]) or "")
    all_right = score(one_each([0] * 50, 2), sure([0] * 50, 2)).accuracy
    assert 0.9 < all_right.low < 0.95
    assert all_right.high == 1


def test_an_artist_is_one_however_the_name_is_written() -> None:
    written = ["Nina Simone", "nina simone "] * 200
    scores = sure(np.arange(400) % 4 // 3, 2)
    as_one = score(one_each([0] * 400, 2), scores, written).accuracy
    assert as_one.high - as_one.low > 0.5


def test_an_estimate_prints_with_its_interval() -> None:
    assert str(Estimate(0.5, 0.25, 0.75)) == "0.500 [0.250, 0.750]"
