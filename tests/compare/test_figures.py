"""Rows of a comparison: the best first, and all others measured against it."""

import itertools

import numpy as np
import pytest

from kg.compare.figures import Outcome, curves, figures, step_in_words
from kg.metrics.evaluate import Estimate
from tests.metrics.test_significance import songs, told


def outcome(
    model: str, right: float, seeds: int = 2, protocol: str = "by artist", share: float = 1.0
) -> Outcome:
    truth, _ = songs(90)
    first = int(100 * right)
    scores = [told(truth, right, first + seed) for seed in range(seeds)]
    return Outcome(model, "all", scores, 1.0, 0.5, 2.0, 3, protocol, share, int(60 * share))


def test_the_best_comes_first_and_the_others_are_behind_it() -> None:
    truth, artists = songs(90)
    rows = figures(
        truth, [outcome("poor", 0.1), outcome("good", 0.9), outcome("fair", 0.85)], artists
    )
    assert [row.model for row in rows] == ["good", "fair", "poor"]
    best, fair, poor = rows
    assert (best.behind, best.p) == (None, None)
    assert fair.behind is not None
    assert poor.behind is not None
    assert fair.behind.value == pytest.approx(fair.macro_f1.value - best.macro_f1.value)
    assert poor.behind.low < poor.behind.value < poor.behind.high < 0
    assert fair.p is not None
    assert poor.p is not None
    assert poor.p < 0.01 < fair.p
    assert (best.songs, best.seeds, best.train_seconds, best.predict_seconds) == (90, 2, 1.0, 0.5)
    assert (best.megabytes, best.parameters) == (2.0, 3)


def test_protocols_are_not_measured_against_each_other() -> None:
    truth, artists = songs(90)
    rows = figures(
        truth,
        [outcome("a", 0.3), outcome("b", 0.6), outcome("a", 0.9, protocol="random")],
        artists,
    )
    assert [(row.protocol, row.model) for row in rows] == [
        ("by artist", "b"),
        ("by artist", "a"),
        ("random", "a"),
    ]
    assert rows[2].behind is None


def test_p_is_corrected_for_the_number_of_rows() -> None:
    truth, artists = songs(90)
    few = figures(truth, [outcome("good", 0.9), outcome("fair", 0.7)], artists)
    many = figures(
        truth,
        [outcome("good", 0.9), outcome("fair", 0.7), *(outcome(f"x{n}", 0.69) for n in range(5))],
        artists,
    )
    corrected = {row.model: row.p for row in many}["fair"]
    assert few[1].p is not None
    assert corrected is not None
    assert corrected > few[1].p


def test_one_row_has_nothing_to_be_measured_against() -> None:
    truth, artists = songs(90)
    (row,) = figures(truth, [outcome("alone", 0.5)], artists)
    assert row.p is None
    assert np.isfinite(row.macro_f1.value)


def test_a_learning_curve_says_what_more_songs_brought() -> None:
    truth, artists = songs(90)
    rows = figures(
        truth,
        [
            outcome("good", 0.9),
            outcome("flat", 0.5),
            outcome("good", 0.5, share=0.5),
            outcome("flat", 0.5, share=0.5),
            outcome("good", 0.2, share=0.25),
            outcome("good", 0.9, protocol="random"),
        ],
        artists,
    )
    good, flat = curves(rows)
    assert [(row.share, row.learned_from) for row in good] == [(0.25, 15), (0.5, 30), (1, 60)]
    assert good[0].gained is None
    for less, more in itertools.pairwise(good):
        assert more.gained is not None
        assert more.gained.value == pytest.approx(more.macro_f1.value - less.macro_f1.value)
        assert more.gained.low > 0
    assert good[1].behind is None  # the best of those that knew half of the songs
    assert flat[1].gained is not None
    assert (flat[1].gained.value, flat[1].gained.low <= 0) == (0, True)
    assert "more songs with genres would probably help" in step_in_words(
        "good", (30, 60), good[2].gained
    )
    unsure = Estimate(0.01, -0.02, 0.05)
    assert "perhaps by chance: whether more would help" in step_in_words("it", (30, 60), unsure)
    assert "would help little" in step_in_words("it", (30, 60), Estimate(0.0, -0.01, 0.01))
    assert "gained +0.0 points" in step_in_words("flat", (30, 60), flat[1].gained)
    assert curves([row for row in rows if row.share == 1]) == []
