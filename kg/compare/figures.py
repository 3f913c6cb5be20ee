"""The rows of a comparison: how good, how certainly, how far behind the best, and at what cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kg.metrics.evaluate import Bools, Difference, Estimate, Score, Scores, compare
from kg.metrics.significance import holm, randomisation_p


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one contestant came to on one representation.

    Attributes:
        model: Its title.
        features: What songs were represented by.
        scores: Of all songs, [n, g] a seed; those of all folds together.
        train_seconds: Mean of a training.
        predict_seconds: Of a song.
        megabytes: Most memory beyond what there was at the start.
        parameters: Trained numbers.
        protocol: How songs were held out.
        settings: Those that were other than the defaults.
    """

    model: str
    features: str
    scores: Sequence[Scores]
    train_seconds: float
    predict_seconds: float
    megabytes: float
    parameters: int
    protocol: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of a comparison.

    Attributes:
        model: Title of the contestant.
        features: What songs were represented by.
        protocol: How songs were held out.
        songs: How many were measured on.
        seeds: How many runs the numbers are means of.
        accuracy: With its interval.
        macro_f1: With its interval.
        behind: Macro-F1 of this minus that of the best, paired; None for the best itself.
        p: Of the paired randomisation test against the best, corrected after Holm for all rows of
            the protocol; None for the best itself.
        train_seconds: Mean of a training.
        predict_seconds: Of a song.
        megabytes: Most memory beyond what there was at the start.
        parameters: Trained numbers.
        settings: Those that were other than the defaults.
    """

    model: str
    features: str
    protocol: str
    songs: int
    seeds: int
    accuracy: Estimate
    macro_f1: Estimate
    behind: Estimate | None
    p: float | None
    train_seconds: float
    predict_seconds: float
    megabytes: float
    parameters: int
    settings: Mapping[str, Any] = field(default_factory=dict)


def figures(
    truth: Bools,
    outcomes: Sequence[Outcome],
    artists: Sequence[str | None],
    *,
    multi_label: bool = False,
    seed: int = 0,
) -> list[Figure]:
    """Make a row of each outcome, protocol by protocol, the best macro-F1 first.

    Args:
        truth: Genres of the songs, bool [n, g].
        outcomes: What was said of them.
        artists: Of the songs; what is resampled and exchanged.
        multi_label: Songs may have several genres.
        seed: Of resampling.
    """
    found = []
    for protocol in dict.fromkeys(each.protocol for each in outcomes):
        own = [each for each in outcomes if each.protocol == protocol]
        found += _of_protocol(truth, own, artists, multi_label, seed)
    return found


def _of_protocol(
    truth: Bools,
    outcomes: Sequence[Outcome],
    artists: Sequence[str | None],
    multi_label: bool,
    seed: int,
) -> list[Figure]:
    def measured(listed: Sequence[Outcome]) -> tuple[list[Score], list[Difference]]:
        named = {str(number): each.scores for number, each in enumerate(listed)}
        return compare(truth, named, artists, multi_label=multi_label, seed=seed)

    scores, _ = measured(outcomes)
    order = sorted(range(len(outcomes)), key=lambda row: -scores[row].macro_f1.value)
    best, *others = (outcomes[row] for row in order)
    scores, gaps = measured([best, *others])
    p_values = holm(
        [
            randomisation_p(
                truth, best.scores, each.scores, artists, multi_label=multi_label, seed=seed
            )
            for each in others
        ]
    )
    behind = [None, *(_turned(gap.macro_f1) for gap in gaps)]
    return [
        Figure(
            model=each.model,
            features=each.features,
            protocol=each.protocol,
            songs=len(truth),
            seeds=len(each.scores),
            accuracy=score.accuracy,
            macro_f1=score.macro_f1,
            behind=gap,
            p=p,
            train_seconds=each.train_seconds,
            predict_seconds=each.predict_seconds,
            megabytes=each.megabytes,
            parameters=each.parameters,
            settings=each.settings,
        )
        for each, score, gap, p in zip(
            [best, *others], scores, behind, [None, *p_values], strict=True
        )
    ]


def _turned(gap: Estimate) -> Estimate:
    """The same difference, seen from the other side."""
    return Estimate(-gap.value, -gap.high, -gap.low)
