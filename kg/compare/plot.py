"""The rows of a comparison as a picture: a dot and an interval each, the best ones on top.

Below them learning curves, where there are any.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kg.compare.figures import Figure, curves
from kg.metrics.evaluate import Estimate
from kg.pictures import check_picture, save_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

# Colours that people with any colour vision tell apart (Okabe and Ito 2008).
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: Final = ("-", "--", ":")
_MARKERS: Final = {"random": "D"}
_INCHES_A_ROW: Final = 0.34
_INCHES_OF_CURVES: Final = 3.6
_MAJORITY: Final = "majority"


def draw(figures: Sequence[Figure], file: Path) -> None:
    """Draw macro-F1 of every row with its interval.

    Rows are in the order of the honest protocol; where random folds stand beside it, they are
    drawn as diamonds in the same line.

    Raises:
        KgError: matplotlib is missing, or the file can't be written.
        WrongUsageError: its suffix names no format that is known.
    """
    save_picture(picture(figures), check_picture(file))


def picture(figures: Sequence[Figure]) -> "Picture":
    """The picture as matplotlib holds it."""
    from matplotlib.figure import Figure as Picture

    learning = curves(figures)
    figures = [row for row in figures if row.share == 1]
    lines = list(dict.fromkeys((row.model, row.features) for row in figures))
    kinds = sorted({row.features for row in figures})
    protocols = list(dict.fromkeys(row.protocol for row in figures))
    heights = [1.4 + _INCHES_A_ROW * len(lines), *([_INCHES_OF_CURVES] if learning else [])]
    drawn = Picture(figsize=(9, sum(heights)), layout="constrained")
    axes, *below = drawn.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    if learning:
        _draw_curves(below[0], learning)
    for row in figures:
        place = lines.index((row.model, row.features)) + 0.22 * protocols.index(row.protocol)
        value = row.macro_f1
        axes.errorbar(
            value.value,
            place,
            xerr=_reach([value]),
            fmt=_MARKERS.get(row.protocol, "o"),
            color=_COLOURS[kinds.index(row.features) % len(_COLOURS)],
            markersize=6,
            capsize=3,
            markerfacecolor="white" if row.protocol == "random" else None,
        )
    chance = [row.macro_f1.value for row in figures if row.model == _MAJORITY]
    if chance:
        axes.axvline(min(chance), color="grey", linestyle=":", linewidth=1)
        axes.text(min(chance), -0.6, " majority", color="grey", fontsize=8, va="center")
    axes.set_yticks(range(len(lines)), [f"{model} ({features})" for model, features in lines])
    axes.set_ylim(len(lines) - 0.4, -0.9)
    axes.set_xlim(0, 1)
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    seeds = figures[0].seeds
    said = f"{figures[0].songs} songs, {seeds} seed{'s' if seeds > 1 else ''}"
    axes.set_xlabel("macro-F1 with its 95 % interval over artists")
    if len(protocols) > 1:
        said += "; diamonds: random folds"
    axes.set_title(f"Held out {protocols[0]}: {said}", loc="left", fontsize=10)
    return drawn


def _reach(values: Sequence[Estimate]) -> list[list[float]]:
    """How far the intervals of numbers reach below and above them."""
    return [
        [max(0.0, each.value - each.low) for each in values],
        [max(0.0, each.high - each.value) for each in values],
    ]


def _draw_curves(axes: "Axes", learning: Sequence[Sequence[Figure]]) -> None:
    """Macro-F1 by how many songs were learned from, a line a contestant and representation."""
    sizes = [row.learned_from for row in learning[0]]
    for number, curve in enumerate(learning):
        values = [row.macro_f1 for row in curve]
        axes.errorbar(
            [row.learned_from for row in curve],
            [each.value for each in values],
            yerr=_reach(values),
            label=f"{curve[0].model} ({curve[0].features})",
            color=_COLOURS[number % len(_COLOURS)],
            linestyle=_DASHES[number // len(_COLOURS) % len(_DASHES)],
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.5,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(0, min(1.0, 1.1 * max(row.macro_f1.high for curve in learning for row in curve)))
    axes.grid(color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("songs learned from")
    axes.set_ylabel("macro-F1 [95 %]")
    axes.set_title("Learning curve", loc="left", fontsize=10)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
