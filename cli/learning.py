"""`kg train`, `kg predict`."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cli.options import (
    App,
    allow_leaks_option,
    config_option,
    device_option,
    genre_level_option,
    hidden_option,
    json_option,
    negatives_option,
    pass_app,
    seed_option,
)
from kg.text import printable

if TYPE_CHECKING:
    from kg.compare.settings_file import Settings
    from kg.genres.levels import Level
    from kg.learning.training import TrainReport
    from kg.splits.protocol import Asked

# Above this, what kept models take on disk is said.
MANY_MODELS, MANY_BYTES = 10, 1_000_000_000
UNCALIBRATED = (
    "This model is from before probabilities were calibrated: they are surer than they should be, "
    "and no song is called unknown. `kg train` makes one that knows its limits."
)
REBUILT = "The graph was rebuilt after this model was trained: `kg train` fits it better."
RULES = {
    "artist": "artist by artist",
    "given": "as the data says",
    "gtzan": "by GTZAN's fault-filtered lists",
    "random": "song by song, at random",
}


@click.command()
@click.option("--epochs", type=click.IntRange(min=1), help="The most epochs.")
@negatives_option
@seed_option
@click.option(
    "--split",
    type=click.Choice(["auto", "artist", "given", "gtzan", "random"]),
    help="From now on split artist by artist, as the data says, by GTZAN's fault-filtered lists, "
    "or song by song; auto: by the lists or the data where they name nearly all songs and leave "
    "some to test, else artist by artist. Default: as until now, at first auto.",
)
@allow_leaks_option
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="The share of songs given a genre that is to be right; the others become `unknown`.",
)
@genre_level_option
@hidden_option
@config_option
@device_option
@json_option
@pass_app
def train(
    app: App,
    epochs: int | None,
    negatives: int | Literal["all"] | None,
    seed: int,
    split: "Asked | None",
    allow_leaks: bool,
    precision: float,
    genre_level: "Level | None",
    hidden: int | None,
    config: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Learn the genres, measure on held-out songs, predict for every song.

    Songs of one artist, and copies of one recording, stay on one side of the split; a split that
    isn't so is refused. Another --split deals all songs anew, and kg remembers it. The same command
    gives the same numbers.

    Beside the model stands what it has to beat on the same test songs: the same net without the
    graph, and the best of logistic regression, SVM and gradient boosting. Test songs are opened
    once for each model, and the graph counts how often. Every model is kept (`kg models list`).
    Ctrl-C ends the training and keeps the best epoch so far.

    Probabilities are calibrated on validation songs. A song whose first genre is too improbable for
    --precision, or that is unlike all songs learned from, is `unknown`; its guesses stay.

    Where songs have several genres and there is a genre tree (`kg genres`), a song of a genre is
    one of its parents too, and a parent is never less probable than its subgenres.

    \b
    Example:
      kg train
      kg train --precision 0.9
      kg train --genre-level top
      kg train --seed 1 --negatives 5
      kg tune && kg train --config r-gcn.json
      kg train --split random --allow-leaks
    """
    from cli.output import print_json
    from kg.learning.training import TrainOptions

    tuned = None
    if config is not None:
        from kg.compare.settings_file import read

        tuned = read(config, "r-gcn")
    settings = {} if tuned is None else tuned.settings
    options = TrainOptions(
        epochs,
        negatives,
        seed,
        device,
        split,
        allow_leaks,
        hidden,
        settings,
        precision,
        genre_level,
    )
    with app.library() as library:
        report = library.train(options)
    if tuned is not None:
        for caution in tuned.caution(["all"], report.model.test_split):
            click.echo(f"Careful: {caution}", err=True)
    if as_json:
        print_json(report)
        return
    if tuned is not None and config is not None:
        _print_settings(config, tuned, report)
    _print_training(report)


def _print_settings(file: Path, tuned: "Settings", report: "TrainReport") -> None:
    """What a settings file changed, and what won over it."""
    from kg.compare.spaces import defaults_of

    used = {**defaults_of(tuned.model), **report.settings}
    told = ", ".join(f"{name} {_setting(used[name])}" for name in tuned.settings)
    click.echo(f"Settings of {printable(file)}: {told or 'none'}.")
    over = [name for name, value in tuned.settings.items() if used[name] != value]
    if over:
        click.echo(f"Given otherwise on the command line: {', '.join(over)}.")


def _setting(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _print_training(report: "TrainReport") -> None:
    from cli.scores import (
        print_doubt,
        print_looks,
        print_scores,
        print_several,
        print_tabular,
    )

    songs = report.songs
    click.echo(
        f"Split {_split(report)}: learned from {songs['train']} songs, "
        f"{songs['valid']} held out to choose by, {songs['test']} to measure on."
    )
    if report.unsplit:
        click.echo(
            f"Labelled songs that this split leaves out, not learned from and not measured on: "
            f"{report.unsplit}."
        )
    if report.genre_level != "given":
        off = f"; {report.off_level} songs say nothing of it" if report.off_level else ""
        click.echo(
            f"Learned {report.genres} genres of level {report.genre_level} of the genre tree{off}."
        )
    if report.split_caution:
        click.echo(f"Careful: {report.split_caution}")
    run, best = report.epochs
    epochs = f"{run} epoch{'s' if run != 1 else ''}"
    if report.selected_by == "validation":
        click.echo(
            f"Trained {epochs}, kept epoch {best} (validation macro-F1 {report.validation_f1:.3f})."
        )
    elif not report.interrupted:
        click.echo(f"Trained {epochs}, a fixed number: too few songs are held out to choose.")
    if report.interrupted:
        click.echo(
            f"Ctrl-C ended it after {epochs}: epoch {best} was kept, and what it has to beat "
            "was left out."
        )
    if report.scores:
        click.echo(f"Measured: {report.question}.")
    print_scores(report.scores, "on the test songs")
    print_several(report.several, "several genres a song")
    for sentence in report.verdict:
        click.echo(sentence)
    print_tabular(report.tabular)
    if report.caution:
        click.echo(report.caution)
    if report.untested and report.scores:
        click.echo(f"No test song is of: {', '.join(report.untested)}.")
    print_doubt(report.doubt)
    print_looks(report.looks)
    click.echo(f"Model {report.model.id} predicted genres for {report.predicted} songs.")
    kept = report.checkpoints
    if kept.models > MANY_MODELS or kept.bytes > MANY_BYTES:
        click.echo(
            f"{kept.models} models are kept and take {kept.bytes / 1e9:.2f} GB: `kg models list`, "
            "`kg models remove`."
        )


def _split(report: "TrainReport") -> str:
    """Say by which rule songs were split."""
    if report.split.protocol != "artist":
        return RULES[report.split.protocol]
    total = sum(report.songs.values()) + report.unsplit
    if report.by_artist == 0:
        return "song by song (no artist is known)"
    if report.by_artist == total:
        return "artist by artist"
    return f"artist by artist, {total - report.by_artist} songs without an artist one by one"


@click.command()
@click.option(
    "--new",
    is_flag=True,
    help="Only for songs that have none of this model, from what the checkpoint kept of the songs "
    "around them: what it costs depends on how many they are.",
)
@json_option
@pass_app
def predict(app: App, new: bool, as_json: bool) -> None:
    """Write the predictions of the model in use for every song again.

    Finishes what was cut off, and takes in songs and neighbours that came after the training.

    \b
    Example:
      kg predict
      kg predict --new
    """
    from cli.output import print_json
    from kg.learning.saved_models import ANOTHER_TREE

    with app.library() as library:
        report = library.predict_new() if new else library.predict()
    if as_json:
        print_json(report)
        return
    if new and not report.predicted:
        click.echo(f"Every song has a prediction of model {report.model.id} already.")
        return
    songs = "1 song" if report.predicted == 1 else f"{report.predicted} songs"
    click.echo(f"Model {report.model.id} predicted genres for {songs}.")
    if not new and report.rebuilt_since:
        app.remark(REBUILT)
    if report.another_tree:
        app.remark(ANOTHER_TREE)
    if not report.calibrated:
        app.remark(UNCALIBRATED)
