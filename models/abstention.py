"""When it is better not to answer: thresholds for a stated precision, and the risk that is left."""

from dataclasses import dataclass

import torch
from torch import Tensor

# With fewer answers than this the share of right ones is a lottery: they set no threshold.
FEWEST_TO_DECIDE = 20


@dataclass(frozen=True)
class Threshold:
    """From which confidence on an answer is given.

    Attributes:
        value: the least confidence.
        precision: the share of right answers that was asked for.
        reached: whether held-out answers reach it; else `value` is that precision itself.
        answers: how many there were to set it by.
    """

    value: float
    precision: float
    reached: bool
    answers: int

    @property
    def few(self) -> bool:
        """Whether there were too few to set it by."""
        return self.answers < FEWEST_TO_DECIDE


def set_threshold(
    confidence: Tensor, correct: Tensor, precision: float, replaces: Tensor | None = None
) -> Threshold:
    """The lowest confidence from which on as many answers are right as asked for.

    Both the share that was right and the mean confidence have to come to it: the one is the truth
    on a few answers, the other says the same with less chance in it where confidence is calibrated.
    Where that can't be reached, or isn't known, each answer for itself must be as probable.

    Args:
        confidence: [b] calibrated probability of each held-out answer.
        correct: bool [b].
        precision: above 0, at most 1.
        replaces: [b] the answer, as its row, that each one takes the place of if it is given too;
            -1: none. That one is at least as confident: the more specific the less sure.

    Raises:
        ValueError: there is no such precision.
    """
    if not 0 < precision <= 1:
        raise ValueError(f"precision must be above 0 and at most 1, not {precision}")
    if replaces is None:
        replaces = torch.full((confidence.numel(),), -1)
    answers = int((replaces < 0).sum())
    careful = Threshold(precision, precision, False, answers)
    if answers < FEWEST_TO_DECIDE:
        return careful
    shares = _running_means(confidence, correct, replaces)
    ordered = confidence.double().sort(descending=True).values
    # of equally confident answers all are given, or none
    last = torch.cat([ordered[:-1] > ordered[1:], torch.tensor([True])])
    enough = last & (shares.min(dim=0).values >= precision)
    if not bool(enough.any()):
        return careful
    return Threshold(float(ordered[int(enough.nonzero().max())]), precision, True, answers)


@dataclass(frozen=True)
class RiskCoverage:
    """What is wrong of the answers that are given, by how many are given.

    Attributes:
        coverage: [b] share of heads that get an answer: 1 / b, ..., 1.
        risk: [b] share of these answers that is wrong, the most confident first.
    """

    coverage: Tensor
    risk: Tensor

    @property
    def area(self) -> float:
        """Mean risk over all coverages (AURC: Geifman, Uziel and El-Yaniv 2019); 0 is best."""
        return float(self.risk.mean())

    def at(self, points: int) -> list[tuple[float, float]]:
        """So many (coverage, risk) of the curve, evenly spread."""
        rows = torch.linspace(0, len(self.risk) - 1, min(points, len(self.risk))).round().long()
        return [(float(self.coverage[row]), float(self.risk[row])) for row in rows]


def risk_coverage(confidence: Tensor, correct: Tensor) -> RiskCoverage:
    """The risk-coverage curve (El-Yaniv and Wiener 2010) of answers.

    Args:
        confidence: [b], at least one.
        correct: bool [b].
    """
    replaces = torch.full((confidence.numel(),), -1)
    risk = 1 - _running_means(confidence, correct, replaces)[0]
    return RiskCoverage(torch.arange(1, len(risk) + 1) / len(risk), risk)


def _running_means(confidence: Tensor, correct: Tensor, replaces: Tensor) -> Tensor:
    """Share of right answers and mean confidence where the 1, 2, ... most confident ones are given
    [2, b], each in place of the one that it replaces.
    """
    order = confidence.argsort(descending=True, stable=True)
    both = torch.stack([correct.double(), confidence.double()])
    before = torch.where(replaces >= 0, both[:, replaces.clamp(min=0)], 0.0)
    given = (replaces < 0).double()[order].cumsum(dim=0)
    return (both - before)[:, order].cumsum(dim=1) / given
