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


def set_threshold(confidence: Tensor, correct: Tensor, precision: float) -> Threshold:
    """The lowest confidence from which on as many answers are right as asked for.

    Both the share that was right and the mean confidence have to come to it: the one is the truth
    on a few answers, the other says the same with less chance in it where confidence is calibrated.
    Where that can't be reached, or isn't known, each answer for itself must be as probable.

    Args:
        confidence: [b] calibrated probability of each held-out answer.
        correct: bool [b].
        precision: above 0, at most 1.

    Raises:
        ValueError: there is no such precision.
    """
    if not 0 < precision <= 1:
        raise ValueError(f"precision must be above 0 and at most 1, not {precision}")
    answers = confidence.numel()
    careful = Threshold(precision, precision, False, answers)
    if answers < FEWEST_TO_DECIDE:
        return careful
    shares = _running_means(confidence, correct)
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
    risk = 1 - _running_means(confidence, correct)[0]
    return RiskCoverage(torch.arange(1, len(risk) + 1) / len(risk), risk)


def _running_means(confidence: Tensor, correct: Tensor) -> Tensor:
    """Share of right answers and mean confidence of the 1, 2, ... most confident ones: [2, b]."""
    order = confidence.argsort(descending=True, stable=True)
    both = torch.stack([correct.double()[order], confidence.double()[order]])
    return both.cumsum(dim=1) / torch.arange(1, len(order) + 1)
