"""`kg tune`."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import App, device_option, json_option, pass_app, seed_option
from kg.text import printable

if TYPE_CHECKING:
    from kg.compare.tuning import Tuned


@click.command()
@click.option(
    "--model",
    default="r-gcn",
    show_default=True,
    metavar="NAME",
    help="Which model: r-gcn, mlp, label-propagation, lightgcn, seal, rnn, cnn, crnn.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=2),
    default=30,
    show_default=True,
    help="How many settings to try in all; the defaults are the first.",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    default=3,
    show_default=True,
    help="Measure each song in one of so many folds, artists kept together.",
)
@click.option(
    "--features",
    default="all",
    show_default=True,
    metavar="NAME",
    help="What songs are represented by: a family such as mfcc or mel, or all of them.",
)
@seed_option
@click.option("--epochs", type=click.IntRange(min=1), help="The most epochs of every training.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the best settings into this file.  [default: NAME.json in this folder]",
)
@click.option("--force", is_flag=True, help="Replace whatever file is there.")
@device_option
@json_option
@pass_app
def tune(
    app: App,
    model: str,
    trials: int,
    folds: int,
    features: str,
    seed: int,
    epochs: int | None,
    out: Path | None,
    force: bool,
    device: str,
    as_json: bool,
) -> None:
    """Find better settings of a model, for `kg train` and `kg compare` to take.

    Every trial is trained on folds by artist, as in `kg compare`, and ends early where it is worse
    than most were; test songs are never looked at. The defaults are the first trial, so the result
    says how much was gained over them. Models that choose their own settings at every training
    (knn, logistic, svm, boosting) need none of this.

    As in `kg compare`, the songs to be told are by new artists, and no genre is raised to those
    that are kinds of it: the settings are the best ones for that.

    Ctrl-C keeps what is done: the same command goes on, and a higher --trials goes further. Needs
    pip install 'kg-music[tune]'.

    \b
    Example:
      kg tune && kg train --config r-gcn.json
      kg tune --model cnn --trials 50 --out cnn-settings.json
    """
    from cli.output import print_json
    from kg.compare.settings_file import check_target, write
    from kg.compare.tuning import TuneOptions, tunable

    name = tunable(model).name
    path = check_target(Path(f"{name}.json") if out is None else out, name, force=force)
    options = TuneOptions(name, trials, folds, features, seed, epochs, device)
    with app.library() as library:
        found = library.tune(options)
    write(path, found.document())
    if as_json:
        print_json({**asdict(found), "file": path})
    else:
        print_tuned(found, path)


def print_tuned(found: "Tuned", path: Path) -> None:
    """The best settings beside the defaults, what both came to, and what that is worth."""
    from cli.output import print_table

    click.echo(
        f"{found.title} on {found.features}: {found.songs} songs of {len(found.genres)} genres, "
        f"{found.folds} folds by artist, {found.trials} trials ({_endings(found)})."
    )
    if found.left_out:
        click.echo(f"Left out, as one artist only has songs of it: {', '.join(found.left_out)}.")
    print_table(
        ["setting", "best", "default"],
        [
            *(
                (name, _shown(value), _shown(found.defaults[name]))
                for name, value in found.settings.items()
            ),
            ("macro-F1", f"{found.macro_f1:.3f}", f"{found.defaults_macro_f1:.3f}"),
        ],
    )
    gain = 100 * (found.macro_f1 - found.defaults_macro_f1)
    if gain > 0:
        click.echo(
            f"{gain:.1f} points of macro-F1 over the defaults, on the very songs that chose these "
            "settings: on others expect less, or nothing."
        )
    else:
        click.echo("Nothing that was tried is better than the defaults.")
    for reason in sorted(set(found.broke)):
        click.echo(f"Could not be trained ({found.broke.count(reason)}): {reason}", err=True)
    click.echo(f"Written to {printable(path)}: {_use(found, path)}")


def _use(found: "Tuned", path: Path) -> str:
    """The command that takes the settings, as it is typed into a shell."""
    file = f"./{path}" if str(path).startswith("-") else str(path)
    if found.model == "r-gcn" and found.features == "all":
        command = ["kg", "train"]
    else:
        models = dict.fromkeys([found.model, "r-gcn"])
        command = ["kg", "compare", "--models", ",".join(models), "--features", found.features]
    return printable(shlex.join([*command, "--config", file]))


def _endings(found: "Tuned") -> str:
    parts = [f"{found.pruned} ended early"]
    if found.broke:
        parts.append(f"{len(found.broke)} could not be trained")
    if found.resumed:
        parts.append(f"{found.resumed} of an earlier run")
    return ", ".join(parts)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(map(_shown, value)) if isinstance(value, tuple) else str(value)
