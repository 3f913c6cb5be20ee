"""The rows of a comparison as a picture: a dot and an interval each, the best ones on top."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kg.compare.figures import Figure
from kg.pictures import check_picture, save_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

# Colours that people with any colour vision tell apart (Okabe and Ito 2008).
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS: Final = {"random": "D"}
_INCHES_A_ROW: Final = 0.34
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

    lines = list(dict.fromkeys((row.model, row.features) for row in figures))
    kinds = sorted({row.features for row in figures})
    protocols = list(dict.fromkeys(row.protocol for row in figures))
    drawn = Picture(figsize=(9, 1.4 + _INCHES_A_ROW * len(lines)), layout="constrained")
    axes = drawn.add_subplot()
    for row in figures:
        place = lines.index((row.model, row.features)) + 0.22 * protocols.index(row.protocol)
        value = row.macro_f1
        axes.errorbar(
            value.value,
            place,
            xerr=[[max(0.0, value.value - value.low)], [max(0.0, value.high - value.value)]],
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
