"""`kg evaluate`."""

from typing import TYPE_CHECKING, Literal

import click

from cli.options import (
    App,
    allow_leaks_option,
    device_option,
    hidden_option,
    json_option,
    negatives_option,
    pass_app,
)

if TYPE_CHECKING:
    from kg.learning.seeds import EvaluateReport, SeedsReport

SONGS = {"valid": "validation songs", "test": "test songs"}


@click.command()
@click.option(
    "--seeds",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Train so many fresh models and measure those too.",
)
@click.option(
    "--on",
    "side",
    type=click.Choice(["valid", "test"]),
    default="valid",
    show_default=True,
    help="Whose songs: validation, to develop with; test, for the last word.",
)
@click.option(
    "--known-artists/--no-known-artists",
    default=True,
    show_default=True,
    help="With --seeds: train as many more for songs by artists who were learned from.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="The most epochs of a fresh model.")
@allow_leaks_option
@negatives_option
@hidden_option
@device_option
@json_option
@pass_app
def evaluate(
    app: App,
    seeds: int,
    side: str,
    known_artists: bool,
    epochs: int | None,
    negatives: int | Literal["all"] | None,
    hidden: int | None,
    allow_leaks: bool,
    device: str,
    as_json: bool,
) -> None:
    """Show how good the model is, genre by genre, and how much of that is chance.

    What the model in use came to is read from the graph: `kg train` measured it, once, and
    nothing is measured again. --seeds N trains N fresh models with seeds 0 to N-1, with and
    without the graph, prints means with their spread, and throws them away; they have the default
    settings, also where the model in use was trained with --config.

    Two questions are told apart: a song by a new artist, as the library's split holds whole artists
    out; and a song by a known artist, for which fresh models are trained without some albums of
    artists of whom others are learned from, and measured on these: no test song is looked at. What
    an artist's other songs are tells nothing in the first, and a lot in the second, where the
    obvious answer stands beside the others: the artist's commonest genre.

    Numbers on validation songs flatter a little, as epochs were chosen by them. Test songs are
    for the last word: whoever looks at them often begins to choose by them. The graph remembers
    how many models have been measured on them; with --on test each seed counts as one.

    \b
    Example:
      kg evaluate
      kg evaluate --seeds 10
      kg evaluate --seeds 10 --on test --json
    """
    from cli.output import print_json
    from kg.learning.training import TrainOptions

    with app.library() as library:
        report = library.evaluate(
            seeds,
            "test" if side == "test" else "valid",
            TrainOptions(
                epochs=epochs,
                negatives=negatives,
                hidden=hidden,
                device=device,
                allow_leaks=allow_leaks,
            ),
            known_artists=known_artists,
        )
    if as_json:
        print_json(report)
    else:
        _print(report)


def _print_seeds(found: "SeedsReport", songs: str) -> None:
    from cli.scores import print_scores, print_several, print_tabular

    plural = "s" if found.seeds > 1 else ""
    count = f"{found.measured.songs} {songs}"
    click.echo(
        f"{found.question[0].upper()}{found.question[1:]}: "
        f"{found.seeds} fresh model{plural}, on {count}:"
    )
    print_scores(found.measured.scores, f"mean of {found.seeds} seed{plural}")
    print_several(found.measured.several, "several genres a song, seed 0")
    for sentence in found.verdict:
        click.echo(sentence)
    print_tabular(found.tabular)


def _print(report: "EvaluateReport") -> None:
    from cli.output import local
    from cli.scores import print_genres, print_looks, print_scores, print_several

    songs = SONGS[report.side]
    if report.model is not None:
        trained = f"Model {report.model.id}, trained {local(report.model.created_at)}"
        opened = report.model.test_opened_at
        if report.side == "test" and opened is not None:
            trained += f", was measured on the test songs {local(opened)} and not again"
        click.echo(f"{trained}.")
        if report.recorded is None:
            click.echo("An older kg trained it and kept no details: a new `kg train` keeps them.")
        elif report.recorded.songs == 0:
            click.echo(f"There were no {songs} to measure it on.")
        else:
            count = f"{report.recorded.songs} {songs}"
            print_scores(report.recorded.scores, f"on {count}")
            print_several(report.recorded.several, "several genres a song")
            print_genres(report.recorded, f"on {count}")
    if report.seeds is not None:
        _print_seeds(report.seeds, songs)
        if report.model is None:
            print_genres(report.seeds.measured, "seed 0")
    if report.known is not None:
        _print_seeds(report.known, "training songs that these didn't learn from")
    if report.why_unknown is not None:
        click.echo(report.why_unknown)
    if report.side == "test":
        print_looks(report.looks)
