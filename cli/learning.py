"""`kg train`, `kg predict`."""

from typing import TYPE_CHECKING, Literal

import click

from cli.options import App, json_option, pass_app

if TYPE_CHECKING:
    from kg.learning import TrainReport


def _negatives(
    ctx: click.Context, param: click.Parameter, given: str | None
) -> int | Literal["all"] | None:
    """Read a number of false genres, or `all`."""
    if given is None:
        return None
    if given == "all":
        return "all"
    if not given.isdecimal() or int(given) < 1:
        raise click.BadParameter(f"{given!r} is neither a number of at least 1 nor `all`.")
    return int(given)


@click.command()
@click.option("--epochs", type=click.IntRange(min=1), help="The most epochs.")
@click.option(
    "--negatives",
    metavar="K|all",
    callback=_negatives,
    help="False genres drawn for each true one, or all of them.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all chance."
)
@json_option
@pass_app
def train(
    app: App, epochs: int | None, negatives: int | Literal["all"] | None, seed: int, as_json: bool
) -> None:
    """Learn the genres, measure on held-out songs, predict for every song.

    Songs of one artist stay on one side of the split. The same command gives the same numbers.

    \b
    Example:
      kg train
      kg train --seed 1 --negatives 5
    """
    from cli.output import print_json
    from kg.learning import TrainOptions

    with app.library() as library:
        report = library.train(TrainOptions(epochs, negatives, seed))
    if as_json:
        print_json(report)
    else:
        _print_training(report)


def _print_training(report: "TrainReport") -> None:
    from cli.output import print_table

    songs = report.songs
    total = sum(songs.values())
    groups = "artist by artist"
    if report.by_artist == 0:
        groups = "song by song (no artist is known)"
    elif report.by_artist < total:
        groups += f", {total - report.by_artist} songs without an artist one by one"
    click.echo(
        f"Split {groups}: learned from {songs['train']} songs, "
        f"chosen on {songs['valid']}, measured on {songs['test']}."
    )
    if report.leaking:
        click.echo(
            "Careful: the given split has songs of one artist on both sides, which flatters: "
            f"{', '.join(report.leaking[:5])}{' ...' if len(report.leaking) > 5 else ''}."
        )
    run, best = report.epochs
    if report.selected_by == "validation":
        click.echo(
            f"Trained {run} epochs, kept epoch {best} "
            f"(validation macro-F1 {report.validation_f1:.3f})."
        )
    else:
        click.echo(f"Trained {run} epochs, a fixed number: too few songs are held out to choose.")
    if report.scores:
        rows = [(score.name, str(score.accuracy), str(score.macro_f1)) for score in report.scores]
        print_table(
            ["on the test songs", "accuracy [95 % interval]", "macro-F1 [95 % interval]"], rows
        )
    if report.caution:
        click.echo(report.caution)
    if report.untested and report.scores:
        click.echo(f"No test song is of: {', '.join(report.untested)}.")
    click.echo(f"Model {report.model.id} predicted genres for {report.predicted} songs.")


@click.command()
@json_option
@pass_app
def predict(app: App, as_json: bool) -> None:
    """Write the latest model's predictions for every song again.

    Finishes what was cut off, and takes in songs and neighbours that came after the training.

    \b
    Example:
      kg predict
    """
    from cli.output import print_json

    with app.library() as library:
        report = library.predict()
    if as_json:
        print_json(report)
        return
    click.echo(f"Model {report.model.id} predicted genres for {report.predicted} songs.")
    if report.rebuilt_since:
        app.remark("The graph was rebuilt after this model was trained: `kg train` fits it better.")
