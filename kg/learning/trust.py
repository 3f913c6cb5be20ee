"""What probabilities and `unknown` are worth, measured on songs that set neither."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kg.graph.rows import GraphRows
from kg.learning.doubt import UNLIKE_ABOVE, Judge, set_on
from kg.learning.ranking import first_genres

if TYPE_CHECKING:
    from torch import Tensor

    from kg.metrics.evaluate import Bools
    from kg.metrics.measuring import Labelled

# Points of the risk-coverage curve that a model remembers.
POINTS = 21
# Parts in which validation songs are dealt where there are no test songs to measure on.
_PARTS = 10


@dataclass(frozen=True, slots=True)
class DoubtReport:
    """What probabilities and `unknown` are worth, on songs that set neither.

    Attributes:
        side: Whose songs these are: `test`; or `valid`, parted so that each is told by what the
            others set.
        songs: How many.
        calibrated_on: Validation songs that set calibration and threshold.
        ece: Expected calibration error of the first genres' probabilities; None without songs.
        ece_uncalibrated: The same before the calibration.
        brier: Brier score.
        brier_uncalibrated: The same before the calibration.
        asked: The share of given genres that was asked to be right.
        threshold: From which probability on a song gets a genre.
        reached: Whether validation songs reach what was asked for with that.
        coverage: Share of these songs that get a genre.
        precision: Share of the given genres that is right; None where none is given.
        unlike: Share of these songs that are unlike the library.
        aurc: Area under the risk-coverage curve by probability.
        curve: (coverage, risk) along it.
        remarks: Plain sentences where these numbers are not what was asked for.
        reliability: (mean probability of the first genre, share that is right, songs), from the
            least probable on; empty with few songs.
    """

    side: str
    songs: int
    calibrated_on: int
    ece: float | None
    ece_uncalibrated: float | None
    brier: float | None
    brier_uncalibrated: float | None
    asked: float
    threshold: float
    reached: bool
    coverage: float | None
    precision: float | None
    unlike: float | None
    aurc: float | None
    curve: Sequence[tuple[float, float]]
    remarks: Sequence[str]
    reliability: Sequence[tuple[float, float, int]] = ()

    def metrics(self) -> dict[str, Any]:
        """What a `Model` node keeps of it: numbers, flat, and the curve."""
        kept = {
            "calibrationSongs": self.calibrated_on,
            "ece": self.ece,
            "eceUncalibrated": self.ece_uncalibrated,
            "brier": self.brier,
            "brierUncalibrated": self.brier_uncalibrated,
            "precisionAsked": self.asked,
            "probabilityThreshold": self.threshold,
            "coverage": self.coverage,
            "precision": self.precision,
            "aurc": self.aurc,
        }
        told = {name: value for name, value in kept.items() if value is not None}
        return told | {
            "doubtMeasuredOn": self.side,
            "doubtSongs": self.songs,
            "riskCoverage": [list(point) for point in self.curve],
            "reliability": [list(point) for point in self.reliability],
            "doubtRemarks": list(self.remarks),
        }


def measure(
    judge: Judge, rows: GraphRows, labelled: "Labelled", scores: "Tensor", x: "Tensor"
) -> DoubtReport:
    """Measure a judge on test songs, or without any on validation songs that didn't set it.

    Args:
        judge: From `settle`.
        rows: The graph.
        labelled: The same songs' genres.
        scores: What the model says of every song, [n, g].
        x: Standardised features of every song, [n, d].
    """
    import torch

    from models import abstention, calibration

    assert judge.threshold is not None
    assert judge.novelty is not None
    side = "test" if len(labelled.rows["test"]) else "valid"
    told = labelled.rows[side]
    threshold = judge.threshold
    bare = DoubtReport(
        side, len(told), judge.calibration.heads, None, None, None, None,
        threshold.precision, threshold.value, threshold.reached,
        None, None, None, None, (), _remarks(judge, labelled.truth.shape[1]),
    )  # fmt: skip
    if len(told) == 0:
        return bare
    truth = torch.from_numpy(labelled.truth[told])
    if side == "test":
        shares = judge.calibration.probabilities(scores[told])
        least = torch.full((len(told),), threshold.value)
    else:
        shares, least = _cross_fitted(rows, labelled, scores, threshold.precision)
    first, confidence, correct = first_genres(scores[told], shares, truth, judge.implied, least)
    before = calibration.Calibration(labelled.multi_label).probabilities(scores[told])
    said_before = before.gather(1, first[:, None])[:, 0]
    unlike = judge.novelty.of(x[told]) > UNLIKE_ABOVE
    given = (confidence >= least) & ~unlike
    curve = abstention.risk_coverage(confidence, correct)
    return replace(
        bare,
        ece=calibration.expected_calibration_error(confidence, correct),
        ece_uncalibrated=calibration.expected_calibration_error(said_before, correct),
        brier=calibration.brier_score(shares, truth),
        brier_uncalibrated=calibration.brier_score(before, truth),
        coverage=float(given.float().mean()),
        precision=float(correct[given].float().mean()) if bool(given.any()) else None,
        unlike=float(unlike.float().mean()),
        aurc=curve.area,
        curve=curve.at(POINTS),
        reliability=calibration.reliability_curve(confidence, correct),
    )


def _cross_fitted(
    rows: GraphRows, labelled: "Labelled", scores: "Tensor", precision: float
) -> "tuple[Tensor, Tensor]":
    """Probabilities [v, g] and thresholds [v] of the validation songs, set by other artists'."""
    import torch

    from kg.metrics.evaluate import artist_groups

    valid = labelled.rows["valid"]
    part = artist_groups([rows.songs.artists[row] for row in valid]) % _PARTS
    shares, least = torch.empty_like(scores[valid]), torch.empty(len(valid))
    for number in range(_PARTS):
        out: Bools = part == number
        judge = set_on(labelled, scores, valid[~out], precision)
        assert judge.threshold is not None
        shares[out] = judge.calibration.probabilities(scores[valid[out]])
        least[out] = judge.threshold.value
    return shares, least


def _remarks(judge: Judge, genres: int) -> list[str]:
    said = []
    songs = judge.calibration.heads
    count = f"{songs or 'no'} validation song{'s' if songs != 1 else ''}"
    threshold = judge.threshold
    assert threshold is not None
    careful = (
        f"a song gets a genre only where its probability is {threshold.value:.0%} or more, "
        "which is careful"
    )
    if judge.calibration.highest(genres) < threshold.value:
        careful = "no song can be told with that certainty here, and all are unknown"
    if judge.calibration.few:
        said.append(
            f"There {'is' if songs == 1 else 'are'} {count}, too few to calibrate by: "
            "probabilities follow what suited other libraries, and " + careful + "."
        )
    elif not threshold.reached:
        said.append(
            f"A precision of {threshold.precision:.0%} can't be reached on the {count}, so "
            + careful
            + ": a lower --precision gives more songs a genre."
        )
    return said
