"""`kg compare`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cli.options import App, device_option, json_option, pass_app
from kg.errors import KgError, WrongUsageError

if TYPE_CHECKING:
    from kg.compare.figures import Figure
    from kg.compare.runs import Comparison
    from kg.compare.settings_file import Settings
    from kg.metrics.evaluate import Estimate


@click.command()
@click.option(
    "--models",
    metavar="A,B,...",
    help="Which models: r-gcn, mlp, majority, knn, logistic, svm, boosting (`tabular`: these "
    "five), label-propagation, lightgcn, seal, rnn, cnn, crnn. Default: all.",
)
@click.option(
    "--features",
    default="all",
    show_default=True,
    metavar="A,B,...",
    help="What songs are represented by: families such as mfcc and mel, or all of them.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Deal and train everything so many times.",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Measure each song in one of so many folds, artists kept together.  [default: 5]",
)
@click.option(
    "--on",
    "side",
    type=click.Choice(["valid", "test"]),
    help="Measure on one side of the library's own split instead; test songs are for the last "
    "word.",
)
@click.option(
    "--show-inflation",
    is_flag=True,
    help="Measure on random folds too, artists on both sides, to see how much they flatter.",
)
@click.option(
    "--learning-curve",
    is_flag=True,
    help="Learn from an eighth, a quarter and a half of the songs, too: would more labels help?",
)
@click.option("--epochs", type=click.IntRange(min=1), help="The most epochs of every net.")
@click.option(
    "--config",
    "configs",
    type=click.Path(path_type=Path),
    metavar="FILE",
    multiple=True,
    help="Take a model's settings from a file that `kg tune` wrote; may be repeated.",
)
@click.option("--restart", is_flag=True, help="Throw away an unfinished comparison.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the rows into this file (.png, .svg or .pdf).",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@device_option
@json_option
@pass_app
def compare(
    app: App,
    models: str | None,
    features: str,
    seeds: int,
    folds: int | None,
    side: Literal["valid", "test"] | None,
    show_inflation: bool,
    learning_curve: bool,
    epochs: int | None,
    configs: tuple[Path, ...],
    restart: bool,
    plot: Path | None,
    as_csv: bool,
    device: str,
    as_json: bool,
) -> None:
    """Compare models and representations on the same held-out songs.

    Every model is trained on every representation, fold and seed, and tells songs by artists that
    it has not heard; the library's test songs stay unseen. Each row has a 95 % interval over
    artists, and how far it is behind the best one: p is of a paired randomisation test, corrected
    after Holm for the number of rows, and says how likely so much would be by chance.

    CNN, CRNN and RNN listen to frames of the sound, mel or MFCC; all others take one vector a
    song. Ctrl-C keeps what is done: the same command goes on. The rows stay in the graph:
    MATCH (e:Experiment) RETURN e.model, e.features, e.macroF1.

    Models on graphs hear artists, albums and playlists. Folds by artist ask for songs by new
    artists, of whom these say little; random folds have most artists on both sides, and albums.
    `kg evaluate --seeds` asks for songs by known artists on a split of its own. No genre is raised
    here to those that are kinds of it, as `kg train` does.

    --learning-curve takes genres away, whole artists' at a time: these songs stay in the graph
    without one, as songs do that nobody has labelled.

    Settings that `kg tune` found on the same songs flatter their model a little here: it chose by
    what is measured.

    \b
    Example:
      kg compare
      kg compare --features mfcc,mel --plot models.png
      kg compare --models r-gcn,mlp,tabular --seeds 10 --show-inflation
      kg compare --models r-gcn,logistic --learning-curve
      kg compare --models cnn,crnn,r-gcn --config cnn.json
    """
    from cli.output import print_csv, print_json
    from kg.compare.runs import CompareOptions

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other: leave one out.")
    if folds is not None and side is not None:
        raise click.UsageError("--folds and --on exclude each other: leave one out.")
    tuned = _tuned(configs)
    options = CompareOptions(
        models=None if models is None else _listed(models),
        features=_listed(features),
        seeds=seeds,
        folds=folds or 5,
        on=side,
        show_inflation=show_inflation,
        learning_curve=learning_curve,
        epochs=epochs,
        device=device,
        restart=restart,
        settings={model: own.settings for model, own in tuned.items()},
    )
    if plot is not None:
        from kg.pictures import check_picture

        plot = check_picture(plot)
    with app.library() as library:
        found = library.compare(options)
    if as_json:
        print_json(found)
    elif as_csv:
        print_csv(_COLUMNS, (_values(row) for row in found.figures))
    else:
        print_comparison(found, learning_curve=learning_curve)
    _print_cautions(tuned, found)
    for each in found.missing:
        what = "broke" if each.failed else "was left out"
        click.echo(f"{each.model} on {each.features} {what}: {each.reason}.", err=True)
    if plot is not None and found.figures:
        _draw(app, found, plot)
    if any(each.failed for each in found.missing) or not found.figures:
        click.get_current_context().exit(1)


def _draw(app: App, found: "Comparison", plot: Path) -> None:
    """Last: the folder may be gone by now, and that must not cost what was printed."""
    from kg.compare.plot import draw

    try:
        draw(found.figures, plot)
    except KgError as error:
        raise KgError(f"{error} The rows are in the graph: `kg experiments list`.") from error
    app.remark(f"Drawn: {plot}")


def _tuned(files: Sequence[Path]) -> "dict[str, Settings]":
    """Settings by model, from files.

    Raises:
        WrongUsageError: a file can't be used, or two are of one model.
    """
    from kg.compare.settings_file import read

    found: dict[str, Settings] = {}
    for file in files:
        own = read(file)
        if own.model in found:
            raise WrongUsageError(
                f"Two files hold settings of {own.model}: name one of them with --config."
            )
        found[own.model] = own
    return found


def _print_cautions(tuned: "Mapping[str, Settings]", found: "Comparison") -> None:
    """What is to be known of settings that were chosen for something else."""
    from kg.compare.contestants import contestants

    titles = {name: each.title for name, each in contestants().items()}
    for model, own in tuned.items():
        rows = [row for row in found.figures if row.model == titles[model] and row.settings]
        if rows:
            features = list(dict.fromkeys(row.features for row in rows))
            for caution in own.caution(features, found.test_split):
                click.echo(f"Careful: {caution}", err=True)


def _listed(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


_COLUMNS = (
    *("model", "features", "protocol", "songs", "seeds", "share", "learned_from"),
    *("accuracy", "accuracy_low", "accuracy_high", "macro_f1", "macro_f1_low", "macro_f1_high"),
    *("behind", "behind_low", "behind_high", "p", "gained", "gained_low", "gained_high"),
    *("train_seconds", "predict_seconds", "megabytes", "parameters"),
)


def _values(row: "Figure") -> list[object]:
    return [
        *(row.model, row.features, row.protocol, row.songs, row.seeds),
        *(row.share, row.learned_from),
        *(row.accuracy.value, row.accuracy.low, row.accuracy.high),
        *(row.macro_f1.value, row.macro_f1.low, row.macro_f1.high),
        *_ends(row.behind),
        row.p,
        *_ends(row.gained),
        *(row.train_seconds, row.predict_seconds, row.megabytes, row.parameters),
    ]


def _ends(estimate: "Estimate | None") -> list[float | None]:
    return [None] * 3 if estimate is None else [estimate.value, estimate.low, estimate.high]


def print_comparison(found: "Comparison", *, learning_curve: bool = False) -> None:
    """A table a protocol, the learning curve, and what they say in plain words."""
    from cli.output import print_table
    from kg.metrics.evaluate import FEW_SONGS

    click.echo(
        f"{found.songs} songs of {len(found.genres)} genres, "
        + (f"{found.folds} folds, " if found.folds > 1 else "")
        + f"{found.seeds} seed{'s' if found.seeds > 1 else ''}."
    )
    if found.left_out:
        click.echo(f"Left out, as one artist only has songs of it: {', '.join(found.left_out)}.")
    for protocol in dict.fromkeys(row.protocol for row in found.figures):
        rows = [row for row in found.figures if row.protocol == protocol and row.share == 1]
        print_table(
            [
                *(f"{_HEADINGS[protocol]}", "features", "accuracy [95 %]", "macro-F1 [95 %]"),
                *("behind the best", "p", "train s", "ms a song", "MB", "parameters"),
            ],
            [
                (
                    *(row.model, row.features, str(row.accuracy), str(row.macro_f1)),
                    "" if row.behind is None else str(row.behind),
                    "" if row.p is None else f"{row.p:.3f}",
                    f"{row.train_seconds:.1f}",
                    f"{1000 * row.predict_seconds:.1f}",
                    f"{row.megabytes:.0f}" if row.megabytes is not None else "",
                    row.parameters,
                )
                for row in rows
            ],
        )
        _print_standing(rows)
    if learning_curve:
        _print_learning_curve(found.figures)
    tuned = dict.fromkeys(row.model for row in found.figures if row.settings)
    if tuned:
        flatters = "" if found.test_split else "; where `kg tune` chose by these songs, it flatters"
        click.echo(f"With other settings than the defaults: {', '.join(tuned)}{flatters}.")
    if found.figures and found.songs < FEW_SONGS:
        click.echo(f"Only {found.songs} songs were measured on: too few to tell models apart.")


def _print_learning_curve(figures: "Sequence[Figure]") -> None:
    """Macro-F1 by how many songs were learned from, and whether more would help."""
    from cli.output import print_table
    from kg.compare.figures import curves, step_in_words

    found = curves(figures)
    if not found:
        click.echo(
            "No learning curve: of some genres there are too few artists to learn from less."
        )
        return
    print_table(
        [
            "macro-F1 by songs learned from",
            "features",
            *(str(row.learned_from) for row in found[0]),
            "last step",
        ],
        [
            (
                *(curve[-1].model, curve[-1].features),
                *(f"{row.macro_f1.value:.3f}" for row in curve),
                str(curve[-1].gained),
            )
            for curve in found
        ],
    )
    *_, less, whole = found[0]
    if whole.gained is not None:
        name = f"{whole.model} ({whole.features})"
        click.echo(step_in_words(name, (less.learned_from, whole.learned_from), whole.gained))


_HEADINGS = {
    "by artist": "songs by new artists",
    "random": "random folds, artists on both sides: these flatter",
    "valid": "on validation songs",
    "test": "on test songs",
}


def _print_standing(rows: "list[Figure]") -> None:
    """Plain words: who can't be told apart from the best."""
    best, others = rows[0], rows[1:]
    equal = [f"{r.model} ({r.features})" for r in others if r.p is not None and r.p >= 0.05]
    name = f"{best.model} ({best.features})"
    if not others:
        return
    if equal:
        click.echo(f"Best: {name}; not to be told apart from it: {', '.join(equal)}.")
    else:
        click.echo(f"Best: {name}, better than all others.")
