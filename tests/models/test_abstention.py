"""Thresholds for a stated precision, and the risk-coverage curve."""

import pytest
import torch

from models.abstention import FEWEST_TO_DECIDE, risk_coverage, set_threshold


def answers(count: int = 4000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidences from 0.2 to 1, and answers that are right as often as they say."""
    chance = torch.Generator().manual_seed(seed)
    confidence = 0.2 + 0.8 * torch.rand(count, generator=chance)
    return confidence, torch.rand(count, generator=chance) < confidence


@pytest.mark.parametrize("precision", [0.7, 0.8, 0.9])
def test_other_answers_come_to_the_precision_asked_for(precision: float) -> None:
    found = set_threshold(*answers(), precision)
    assert found.reached
    # of answers between t and 1 the mean is (t + 1) / 2
    assert found.value == pytest.approx(2 * precision - 1, abs=0.08)
    confidence, correct = answers(seed=1)
    assert float(correct[confidence >= found.value].float().mean()) == pytest.approx(
        precision, abs=0.02
    )
    lower = set_threshold(*answers(), precision - 0.1)
    assert lower.value < found.value


def test_neither_luck_nor_confidence_is_enough() -> None:
    confidence = torch.linspace(0.3, 0.6, 50)
    lucky = set_threshold(confidence, torch.ones(50, dtype=torch.bool), 0.9)
    assert (lucky.reached, lucky.value) == (False, 0.9)
    boasting = set_threshold(torch.full((50,), 0.99), torch.arange(50) % 2 == 0, 0.9)
    assert (boasting.reached, boasting.value) == (False, 0.9)


def test_too_few_answers_set_no_threshold() -> None:
    confidence = torch.ones(FEWEST_TO_DECIDE)
    right = confidence.bool()
    assert set_threshold(confidence, right, 0.8).reached
    few = set_threshold(confidence[1:], right[1:], 0.8)
    assert (few.reached, few.value, few.few) == (False, 0.8, True)
    assert set_threshold(confidence[:0], right[:0], 0.8).value == 0.8


def test_of_equally_confident_answers_all_are_given_or_none() -> None:
    confidence = torch.tensor([1.0] * 20 + [0.85] * 20)
    correct = torch.tensor([True] * 30 + [False] * 10)
    # 20 of 20, and down to the ninth of the others 29 of 29: but these are 10 right of 20
    assert set_threshold(confidence, correct, 0.9).value == 1.0
    assert set_threshold(confidence, correct, 0.75).value == pytest.approx(0.85)


def test_an_answer_may_take_the_place_of_a_surer_one() -> None:
    # 40 answers of 0.95, all right; each can be made more specific, half of which are wrong.
    confidence = torch.tensor([0.95] * 40 + [0.8] * 40)
    correct = torch.tensor([True] * 60 + [False] * 20)
    replaces = torch.tensor([-1] * 40 + list(range(40)))
    found = set_threshold(confidence, correct, 0.9, replaces)
    assert (found.reached, found.answers, found.value) == (True, 40, pytest.approx(0.95))
    # As answers of their own 60 of 80 would be right; in place of the others it is 20 of 40.
    assert set_threshold(confidence, correct, 0.7).value == pytest.approx(0.8)
    assert set_threshold(confidence, correct, 0.7, replaces).value == pytest.approx(0.95)
    assert set_threshold(confidence, correct, 0.5, replaces).value == pytest.approx(0.8)
    few = set_threshold(confidence[:20], correct[:20], 0.9, torch.tensor([-1, 0] * 10))
    assert (few.few, few.answers) == (True, 10)


@pytest.mark.parametrize("precision", [0.0, -0.5, 1.01, float("nan")])
def test_what_is_no_precision_is_refused(precision: float) -> None:
    with pytest.raises(ValueError, match="precision"):
        set_threshold(*answers(30), precision)


def test_risk_coverage_by_hand() -> None:
    confidence = torch.tensor([0.2, 0.9, 0.8, 0.4])
    curve = risk_coverage(confidence, torch.tensor([False, True, True, False]))
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert curve.area == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert curve.at(2) == [(0.25, 0.0), (1.0, 0.5)]
    assert len(curve.at(21)) == 4
