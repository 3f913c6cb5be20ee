"""Tables of what classifiers came to, shared by `kg train` and `kg evaluate`."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kg.graph.rows import Looks
    from kg.learning.trust import DoubtReport
    from kg.metrics.evaluate import Estimate, Score
    from kg.metrics.measuring import Measured, TabularChoice
    from kg.metrics.several import SeveralScore

# Confusions that are printed.
LISTED = 8
# Below this many songs a calibration error is mostly chance: some ten points by itself.
FEW_SONGS = 100


def print_scores(scores: "Sequence[Score]", heading: str) -> None:
    """One row a classifier; rank measures stand in --json."""
    from cli.output import print_table

    if not scores:
        return
    seeds = any(score.accuracy.spread is not None for score in scores)
    rows = [(s.name, _shown(s.accuracy), _shown(s.macro_f1), f"{s.mrr.value:.3f}") for s in scores]
    interval = "[95 %]" + (" ± over seeds" if seeds else "")
    print_table([heading, f"accuracy {interval}", f"macro-F1 {interval}", "MRR"], rows)


def print_several(scores: "Sequence[SeveralScore]", heading: str) -> None:
    """One row a classifier where songs have several genres; intervals stand in --json."""
    from cli.output import print_table

    if not scores:
        return
    tree = any(score.hierarchical_f1 is not None for score in scores)
    rows = [
        (
            s.name,
            str(s.genre_average_precision),
            *(
                f"{each.value:.3f}"
                for each in (s.roc_auc, s.label_ranking, s.micro_f1, s.macro_f1, s.hierarchical_f1)
                if each is not None
            ),
        )
        for s in scores
    ]
    columns = [heading, "genre AP [95 %]", "ROC-AUC", "LRAP", "micro-F1", "macro-F1 *"]
    print_table([*columns, "hierarchical F1"] if tree else columns, rows)
    click.echo(f"* {_thresholds(scores)}")


def _thresholds(scores: "Sequence[SeveralScore]") -> str:
    """By which threshold songs got their genres, as it was done."""
    first = scores[0]
    if first.fitted:
        return (
            "A song gets its first genre, and each whose score is above a threshold, set on "
            f"validation songs for every row in the same way ({first.name}: {first.threshold:.2f})."
        )
    said = "A song gets its first genre, and each whose score is above 0"
    if first.fitted is None and first.threshold:
        return (
            f"{said}; {first.name}'s above {first.threshold:.2f}, set on validation songs: an "
            "older kg set only the model's, which flatters it."
        )
    return f"{said}, in every row: no threshold was set on validation songs."


def print_tabular(choice: "TabularChoice | None") -> None:
    """How the best tabular model was chosen, and what it was spared."""
    if choice is None:
        return
    tried = ", ".join(f"{kind} {score:.3f}" for kind, score in choice.tried.items())
    if choice.tried:
        click.echo(f"Tabular models by {choice.chosen_by} (macro-F1): {tried}.")
    if choice.songs < choice.of:
        click.echo(
            f"Of the {choice.of} songs to learn from, {choice.kind} was fitted on {choice.songs}: "
            "more would take too long."
        )


def print_genres(measured: "Measured", whose: str) -> None:
    """The model by genre, and what it takes for what."""
    from cli.output import print_table

    several = bool(measured.several)
    rows = [
        (
            *(each.genre, each.songs, _short(each.precision), _short(each.recall)),
            _short(each.f1),
            *((_short(each.average_precision), _short(each.roc_auc)) if several else ()),
        )
        for each in measured.genres
    ]
    columns = [f"{whose}, by genre", "songs", "precision", "recall", "F1"]
    print_table([*columns, "AP", "ROC-AUC"] if several else columns, rows)
    if measured.confusions:
        shown = measured.confusions[:LISTED]
        print_table(
            ["genre", "heard as", "songs"],
            [(each.genre, each.heard_as, each.songs) for each in shown],
        )


def print_looks(looks: "Looks | None") -> None:
    """How worn the test songs are."""
    if looks is None or looks.here == 0:
        return
    count = f"{looks.here} model{'s' if looks.here != 1 else ''}"
    other = f" (and {looks.elsewhere} when they were others)" if looks.elsewhere else ""
    click.echo(f"Measured on these test songs so far: {count}{other}.")


def print_doubt(report: "DoubtReport") -> None:
    """What probabilities and `unknown` are worth, in a line each."""
    for sentence in report.remarks:
        click.echo(sentence)
    if report.ece is None:
        return
    count = f"{report.songs} {{}} song{'s' if report.songs != 1 else ''}"
    songs = count.format("test")
    if report.side == "valid":
        songs = f"{count.format('validation')}, each told by what the others set,"
    few = " So few songs tell little of that." if report.songs < FEW_SONGS else ""
    click.echo(
        f"Probabilities on the {songs} are off by {_points(report.ece)} on average (expected "
        f"calibration error), before calibration by {_points(report.ece_uncalibrated)}; Brier "
        f"score {report.brier:.3f}, before {report.brier_uncalibrated:.3f}.{few}"
    )
    given = round((report.coverage or 0) * report.songs)
    right = "" if report.precision is None else f", {report.precision:.0%} of them the right one"
    click.echo(
        f"Of these songs {given or 'none'} {'gets' if given == 1 else 'get'} a genre{right} (asked "
        f"for: {report.asked:.0%}); the others are unknown."
    )


def _points(share: float | None) -> str:
    points = round(100 * (share or 0))
    return f"{points} point{'s' if points != 1 else ''}"


def _shown(estimate: "Estimate") -> str:
    spread = "" if estimate.spread is None else f" ± {estimate.spread:.3f}"
    return f"{estimate}{spread}"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
