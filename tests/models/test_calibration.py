"""Calibration: what is fitted, what is measured, and what stays as it was."""

import math

import pytest
import torch

from models.calibration import (
    FEWEST_TO_CALIBRATE,
    USUAL_EVEN,
    USUAL_TEMPERATURE,
    Calibration,
    brier_score,
    expected_calibration_error,
    fit,
    reliability,
    reliability_curve,
)


def drawn(count: int, tails: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, and true tails drawn from their softmax: these scores are calibrated as they are."""
    chance = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(count, tails, generator=chance)
    rows = torch.multinomial(scores.softmax(dim=1), 1, generator=chance)[:, 0]
    return scores, torch.nn.functional.one_hot(rows, tails).bool()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    scores, truth = drawn(20_000)
    found = fit(temperature * scores, truth, multi_label=False)
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert found.even < 0.02  # nobody's label is wrong
    told = reliability(found.probabilities(temperature * scores), truth)
    before = reliability((temperature * scores).softmax(dim=1), truth)
    assert told.ece < 0.02
    assert told.brier <= before.brier + 1e-3


def test_wrong_labels_are_told_from_a_temperature() -> None:
    scores, truth = drawn(20_000)
    chance = torch.Generator().manual_seed(1)
    wrong = torch.rand(len(truth), generator=chance) < 0.2
    truth[wrong] = torch.nn.functional.one_hot(
        torch.randint(6, (int(wrong.sum()),), generator=chance), 6
    ).bool()
    found = fit(2 * scores, truth, multi_label=False)
    assert found.temperature == pytest.approx(2, rel=0.1)
    assert found.even == pytest.approx(0.2, abs=0.03)


def test_a_known_scale_and_shift_of_several_tails_are_found() -> None:
    chance = torch.Generator().manual_seed(0)
    scores = 2 * torch.randn(4000, 5, generator=chance)
    truth = torch.rand(4000, 5, generator=chance) < (scores / 2 - 1).sigmoid()
    found = fit(scores, truth, multi_label=True, base_rate=0.5)
    assert found.temperature == pytest.approx(2, rel=0.06)
    assert found.bias == pytest.approx(-1, abs=0.1)
    assert found.probabilities(scores).mean() == pytest.approx(
        float(truth.float().mean()), abs=0.01
    )


def test_few_heads_say_little_and_none_nothing() -> None:
    scores, truth = drawn(8)
    none = fit(scores[:0], truth[:0], multi_label=False)
    assert none.temperature == pytest.approx(USUAL_TEMPERATURE)
    assert none.even == pytest.approx(USUAL_EVEN)
    few = fit(5 * scores, truth, multi_label=False)
    alone = fit(5 * torch.cat([scores] * 200), torch.cat([truth] * 200), multi_label=False)
    assert USUAL_TEMPERATURE < few.temperature < alone.temperature
    assert (none.few, few.few) == (True, True)
    assert not fit(*drawn(FEWEST_TO_CALIBRATE), multi_label=False).few
    # The usual shift takes back that the loss weighs true pairs up by the root of their odds.
    rare = fit(scores[:0], truth[:0], multi_label=True, base_rate=0.1)
    assert rare.bias == pytest.approx(0.5 * math.log(0.1 / 0.9))


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_order_of_tails_stays_and_probabilities_are_some(multi_label: bool) -> None:
    scores, truth = drawn(200)
    scores[0] = torch.tensor([1e4, -1e4, 0, 3, -3, 1e3])
    calibration = fit(scores, truth, multi_label, base_rate=0.2)
    told = calibration.probabilities(scores)
    assert told.min() >= 0
    assert told.max() <= 1
    if not multi_label:
        torch.testing.assert_close(told.sum(dim=1), torch.ones(200))
    by_score = told.gather(1, scores.argsort(dim=1))
    assert (by_score.diff(dim=1) >= 0).all()
    bare = Calibration(multi_label).probabilities(scores)
    torch.testing.assert_close(bare, scores.sigmoid() if multi_label else scores.softmax(dim=1))


def test_calibration_error_by_hand() -> None:
    # Two bins of 50: 0.6 said and 0.5 right; 0.9 said and 1.0 right.
    confidence = torch.tensor([0.6, 0.9]).repeat_interleave(50)
    correct = torch.tensor([True, False] * 25 + [True] * 50)
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.1)
    shuffled = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    assert expected_calibration_error(confidence[shuffled], correct[shuffled]) == pytest.approx(0.1)
    # Too few for two bins: what is too much here makes up for what is too little there.
    assert expected_calibration_error(confidence[::2], correct[::2]) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="no answer"):
        expected_calibration_error(confidence[:0], correct[:0])


def test_brier_score_by_hand() -> None:
    told = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])
    truth = torch.tensor([[True, False, False], [False, False, True]])
    assert brier_score(told, truth) == pytest.approx((0.09 + 0.04 + 0.01 + 0.25 + 0.25 + 1) / 2)


@pytest.mark.parametrize(
    "values", [{"temperature": 0.0}, {"temperature": math.nan}, {"even": 1.1}, {"bias": math.inf}]
)
def test_values_that_make_no_probabilities_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Calibration(False, **values)


def test_a_reliability_diagram_has_bins_of_equal_mass() -> None:
    confidence = torch.linspace(0.2, 0.9, 95)
    correct = torch.arange(95) >= 48
    points = reliability_curve(confidence, correct)
    assert [songs for _, _, songs in points] == [11] * 5 + [10] * 4
    assert [said for said, _, _ in points] == sorted(said for said, _, _ in points)
    assert points[0][1] == 0
    assert points[-1] == (pytest.approx(float(confidence[-10:].mean())), 1.0, 10)
    shuffled = torch.randperm(95, generator=torch.Generator().manual_seed(0))
    again = reliability_curve(confidence[shuffled], correct[shuffled])
    assert again == [pytest.approx(point) for point in points]
    assert reliability_curve(confidence[:9], correct[:9]) == []
