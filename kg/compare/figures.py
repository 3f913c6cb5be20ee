"""The rows of a comparison: how good, how certainly, how far behind the best, and at what cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

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
        share: Of the songs that there were to learn from, so much was known.
        learned_from: So many songs, on average.
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
    share: float
    learned_from: int
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
        share: Of the songs that there were to learn from, so much was known.
        learned_from: How many songs a training knew on average, those that chose its epoch among
            them.
        accuracy: With its interval.
        macro_f1: With its interval.
        behind: Macro-F1 of this minus that of the best, paired; None for the best itself.
        p: Of the paired randomisation test against the best, corrected after Holm for all rows of
            the protocol and share; None for the best itself.
        gained: Macro-F1 of this minus that of the same from the next smaller share, paired; None
            where there is none.
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
    share: float
    learned_from: int
    accuracy: Estimate
    macro_f1: Estimate
    behind: Estimate | None
    p: float | None
    gained: Estimate | None
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
    """Make a row of each outcome, by protocol and share, the best macro-F1 first.

    Args:
        truth: Genres of the songs, bool [n, g].
        outcomes: What was said of them.
        artists: Of the songs; what is resampled and exchanged.
        multi_label: Songs may have several genres.
        seed: Of resampling.
    """
    found = []
    for kind in dict.fromkeys((each.protocol, each.share) for each in outcomes):
        own = [each for each in outcomes if (each.protocol, each.share) == kind]
        found += _beside_each_other(truth, own, outcomes, artists, multi_label, seed)
    return found


# Macro-F1 that isn't worth labelling as many songs again.
LITTLE: Final = 0.02


def curves(figures: Sequence[Figure]) -> list[list[Figure]]:
    """Learning curves: the rows of each contestant by share, the smallest first; best one first."""
    found = [
        sorted((row for row in figures if _same(row, whole)), key=lambda row: row.share)
        for whole in figures
        if whole.share == 1
    ]
    return [curve for curve in found if len(curve) > 1]


def step_in_words(name: str, songs: tuple[int, int], gained: Estimate) -> str:
    """What a contestant gained by knowing more songs, and whether more would help.

    Args:
        name: What it is called.
        songs: How many songs it learned from before and after.
        gained: Macro-F1 that this brought.
    """
    said = (
        f"From {songs[0]} to {songs[1]} songs {name} gained {100 * gained.value:+.1f} points of "
        f"macro-F1 [{100 * gained.low:+.1f}, {100 * gained.high:+.1f}]"
    )
    if gained.low > 0:
        return f"{said}: more songs with genres would probably help."
    if gained.high < LITTLE:
        return f"{said}: more songs of the same kind would help little."
    return f"{said}, perhaps by chance: whether more would help can't be told."


def _beside_each_other(
    truth: Bools,
    outcomes: Sequence[Outcome],
    everything: Sequence[Outcome],
    artists: Sequence[str | None],
    multi_label: bool,
    seed: int,
) -> list[Figure]:
    def measured(listed: Sequence[Outcome]) -> tuple[list[Score], list[Difference]]:
        named = {str(number): each.scores for number, each in enumerate(listed)}
        return compare(truth, named, artists, multi_label=multi_label, seed=seed)

    def gained(each: Outcome) -> Estimate | None:
        less = _from_less(each, everything)
        return None if less is None else measured([each, less])[1][0].macro_f1

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
            share=each.share,
            learned_from=each.learned_from,
            accuracy=score.accuracy,
            macro_f1=score.macro_f1,
            behind=gap,
            p=p,
            gained=gained(each),
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


def _from_less(outcome: Outcome, everything: Sequence[Outcome]) -> Outcome | None:
    """The same contestant, as it learned from the next smaller share."""
    smaller = [each for each in everything if _same(each, outcome) and each.share < outcome.share]
    return max(smaller, key=lambda each: each.share, default=None)


def _same(one: Outcome | Figure, other: Outcome | Figure) -> bool:
    """Whether two are of one contestant, representation and protocol."""
    return (one.model, one.features, one.protocol) == (other.model, other.features, other.protocol)


def _turned(gap: Estimate) -> Estimate:
    """The same difference, seen from the other side."""
    return Estimate(-gap.value, -gap.high, -gap.low)
