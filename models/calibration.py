"""Scores become probabilities that come true as often as they say.

What is fitted are two numbers, four where heads have several tails, on heads that nothing was
learned from. With few of them a fit says more about these heads than about the model, so it is
drawn towards what suited other graphs.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# With fewer heads than this the usual values say more than they do.
FEWEST_TO_CALIBRATE = 20
# What suited GTZAN's tables, in folds by artist: exp(0.5) for the temperature, and one head in
# twenty that nobody can tell. How sure that is: standard deviations of their log and logit. The
# first weighs as much as some sixty heads; half and twice of it came to the same.
USUAL_TEMPERATURE = math.exp(0.5)
USUAL_EVEN = 0.05
# Of several tails: what suited AudioSet's clips and the Million Song Dataset's tracks.
USUAL_RIVALRY = 0.3
USUAL_LEAD = 0.5
_SPREAD_OF_TEMPERATURE = 60**-0.5
_SPREAD_OF_EVEN = 0.5
_SPREAD_OF_BIAS = 2 * 60**-0.5
_SPREAD_OF_RIVALRY = 1.0
_SPREAD_OF_LEAD = 0.5
# Bins of the calibration error: at most so many, each of at least so many heads.
MOST_BINS, FEWEST_IN_A_BIN = 15, 50
# A diagram's points, and the fewest answers at one.
MOST_POINTS, FEWEST_AT_A_POINT = 10, 10
# Parts in which heads are dealt where none is left to measure a calibration on.
FOLDS = 10


@dataclass(frozen=True)
class Calibration:
    """How scores become probabilities. The order of a head's tails is that of its scores.

    One tail a head: p = (1 - e) softmax(s / T) + e / n, the temperature of Guo et al. 2017, eq. 9,
    with the even share of Zhang et al. 2020 (Mix-n-Match), which keeps wrong labels from deciding
    the temperature. Several tails: p = sigmoid((s - r log sum exp s) / T + b + l [s is the
    highest]), Platt 1999, one for all tails, with two facts of the head: what all its tails score,
    and which is first. Each tail for itself (r = 0) says too little of the first one, which a head
    with at least one tail mostly has; r = 1 is a softmax.

    Attributes:
        multi_label: a head may have several tails.
        temperature: T.
        even: e; 0 where heads have several tails.
        bias: b; 0 where heads have one.
        heads: how many it was fitted on.
        rivalry: r, how far a head's tails exclude one another; 0 where heads have one.
        lead: l; 0 where heads have one.
    """

    multi_label: bool
    temperature: float = 1.0
    even: float = 0.0
    bias: float = 0.0
    heads: int = 0
    rivalry: float = 0.0
    lead: float = 0.0

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature must be above 0, not {self.temperature}")
        if not 0 <= self.even <= 1:
            raise ValueError(f"even must be 0 to 1, not {self.even}")
        if not math.isfinite(self.bias):
            raise ValueError(f"bias must be a number, not {self.bias}")
        if not 0 <= self.rivalry <= 1:
            raise ValueError(f"rivalry must be 0 to 1, not {self.rivalry}")
        if not 0 <= self.lead < math.inf:
            raise ValueError(f"lead can't be below 0 or without end, as {self.lead} is")

    @property
    def few(self) -> bool:
        """Whether so few heads were there that the usual values decide more than they do."""
        return self.heads < FEWEST_TO_CALIBRATE

    def highest(self, tails: int) -> float:
        """No probability among so many tails is above this."""
        return 1 - self.even + self.even / tails

    def probabilities(self, scores: Tensor) -> Tensor:
        """Turn scores [b, n] into probabilities [b, n]."""
        if self.multi_label:
            rivals, first = _among(scores)
            own = (scores - self.rivalry * rivals) / self.temperature
            return (own + self.bias + self.lead * first).sigmoid()
        scaled = scores / self.temperature
        return (1 - self.even) * scaled.softmax(dim=1) + self.even / scores.size(1)


def fit(scores: Tensor, truth: Tensor, multi_label: bool, *, base_rate: float = 0.5) -> Calibration:
    """Fit a calibration on heads that nothing was learned from.

    The likelihood of their tails decides, together with what suited other graphs (maximum a
    posteriori): without any heads that alone.

    Args:
        scores: [b, n].
        truth: bool [b, n], at least one true tail a head.
        multi_label: a head may have several tails.
        base_rate: several tails: the share of true pairs among all of the training split. The
            usual bias takes back that the loss weighs them up by the root of their odds.

    Raises:
        ValueError: a base rate of 0 or 1.
    """
    if not 0 < base_rate < 1:
        raise ValueError(f"base_rate must be above 0 and below 1, not {base_rate}")
    scores, target = scores.double(), truth.double()
    if multi_label:
        usual = [0.0, 0.5 * _logit(base_rate), _logit(USUAL_RIVALRY), math.log(USUAL_LEAD)]
        spread = [_SPREAD_OF_TEMPERATURE, _SPREAD_OF_BIAS, _SPREAD_OF_RIVALRY, _SPREAD_OF_LEAD]
    else:
        usual = [math.log(USUAL_TEMPERATURE), _logit(USUAL_EVEN)]
        spread = [_SPREAD_OF_TEMPERATURE, _SPREAD_OF_EVEN]
    middle, width = torch.tensor(usual).double(), torch.tensor(spread).double()
    found = middle.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([found], max_iter=200, line_search_fn="strong_wolfe")
    rivals, first = _among(scores)

    def step() -> Tensor:
        optimiser.zero_grad()
        loss = 0.5 * ((found - middle) / width).square().sum()
        if multi_label:
            own = (scores - found[2].sigmoid() * rivals) / found[0].exp()
            loss = loss + F.binary_cross_entropy_with_logits(
                own + found[1] + found[3].exp() * first, target, reduction="sum"
            )
        else:
            scaled, even = scores / found[0].exp(), found[1].sigmoid()
            mixed = (1 - even) * scaled.softmax(dim=1) + even / scores.size(1)
            loss = loss - (target * mixed.log()).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    if len(scores):
        optimiser.step(step)  # type: ignore[no-untyped-call]
    values = found.detach().tolist()
    temperature, second = math.exp(values[0]), values[1]
    if multi_label:
        return Calibration(
            True,
            temperature,
            bias=second,
            heads=len(scores),
            rivalry=_sigmoid(values[2]),
            lead=math.exp(values[3]),
        )
    return Calibration(False, temperature, even=_sigmoid(second), heads=len(scores))


def _among(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Of scores [b, n] the log of the sum of their exponents [b, 1], and which are the highest."""
    return scores.logsumexp(dim=1, keepdim=True), scores == scores.amax(dim=1, keepdim=True)


def expected_calibration_error(confidence: Tensor, correct: Tensor) -> float:
    """How far confidence is from the share that is right, on average over bins of equal mass.

    Adaptive bins (Nguyen and O'Connor 2015; Nixon et al. 2019): the answers in the order of their
    confidence, in up to 15 bins of at least 50 answers each, fewer where there are fewer. Chance
    alone leaves something: some 0.04 with 400 answers.

    Args:
        confidence: [b] probability of each answer.
        correct: bool [b], whether it is right.

    Raises:
        ValueError: there is no answer.
    """
    if confidence.numel() == 0:
        raise ValueError("there is no answer to measure calibration on")
    bins = max(1, min(MOST_BINS, confidence.numel() // FEWEST_IN_A_BIN))
    order = confidence.argsort(stable=True)
    gaps = [
        len(rows) * (confidence[rows].double().mean() - correct[rows].double().mean()).abs()
        for rows in order.tensor_split(bins)
    ]
    return float(torch.stack(gaps).sum() / confidence.numel())


def reliability_curve(confidence: Tensor, correct: Tensor) -> list[tuple[float, float, int]]:
    """Confidence against the share that is right, in bins of equal mass: a reliability diagram.

    Up to `MOST_POINTS` bins of at least `FEWEST_AT_A_POINT` answers each, so that a point is no
    single answer; none where there are fewer answers than that.

    Args:
        confidence: [b] probability of each answer.
        correct: bool [b], whether it is right.

    Returns:
        Mean confidence, share that is right, and how many answers, from the least confident on.
    """
    bins = min(MOST_POINTS, confidence.numel() // FEWEST_AT_A_POINT)
    if bins == 0:
        return []
    order = confidence.argsort(stable=True)
    return [
        (
            float(confidence[rows].double().mean()),
            float(correct[rows].double().mean()),
            len(rows),
        )
        for rows in order.tensor_split(bins)
    ]


def brier_score(probabilities: Tensor, truth: Tensor) -> float:
    """Mean over heads of the sum over tails of (p - y)^2 (Brier 1950): 0 at best, 2 at worst.

    Args:
        probabilities: [b, n].
        truth: bool [b, n].
    """
    return float((probabilities.double() - truth.double()).square().sum(dim=1).mean())


@dataclass(frozen=True)
class Reliability:
    """How far probabilities can be trusted.

    Attributes:
        ece: expected calibration error of the first tails.
        brier: Brier score over all tails.
    """

    ece: float
    brier: float


def reliability(probabilities: Tensor, truth: Tensor) -> Reliability:
    """Measure probabilities [b, n] on heads with their true tails, bool [b, n]."""
    confidence, first = probabilities.max(dim=1)
    correct = truth[torch.arange(len(truth)), first]
    return Reliability(
        expected_calibration_error(confidence, correct), brier_score(probabilities, truth)
    )


def cross_fitted(
    scores: Tensor, truth: Tensor, groups: Tensor, multi_label: bool, *, base_rate: float = 0.5
) -> Tensor:
    """Probabilities [b, n] of heads, each by a calibration that saw none of its group.

    Args:
        scores: [b, n].
        truth: bool [b, n].
        groups: [b] heads that belong together, such as songs of one artist.
        multi_label: see `fit`.
        base_rate: see `fit`.
    """
    found = torch.empty_like(scores)
    numbers = torch.unique(groups, return_inverse=True)[1]
    for fold in range(min(FOLDS, int(numbers.max()) + 1) if len(scores) else 0):
        out = numbers % FOLDS == fold
        fitted = fit(scores[~out], truth[~out], multi_label, base_rate=base_rate)
        found[out] = fitted.probabilities(scores[out])
    return found


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))
