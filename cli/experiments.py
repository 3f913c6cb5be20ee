"""`kg experiments`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli.options import App, json_option, pass_app

if TYPE_CHECKING:
    from kg.graph.experiments import Experiment


@click.group()
def experiments() -> None:
    """List and remove comparisons.

    Every `kg compare` leaves its rows in the graph as `Experiment` nodes, until you say otherwise.

    \b
    Example:
      kg experiments list
      kg experiments remove 3fa2
    """


@experiments.command("list")
@json_option
@pass_app
def list_experiments(app: App, as_json: bool) -> None:
    """Show all comparisons with their best row.

    The newest comes first. `kg query` shows all rows of one:
    MATCH (e:Experiment {run: $run}) RETURN e.model, e.features, e.macroF1.

    \b
    Example:
      kg experiments list
    """
    from cli.output import print_json, print_table

    with app.library() as library:
        found = library.experiments()
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("There are no comparisons yet: `kg compare` makes one.")
        return
    columns = ["comparison", "finished (UTC)", "rows", "songs", "best", "features", "macro-F1"]
    print_table(columns, [_row(each) for each in found], unfolded="comparison")


@experiments.command()
@click.argument("runs", metavar="ID...", nargs=-1, required=True)
@json_option
@pass_app
def remove(app: App, runs: Sequence[str], as_json: bool) -> None:
    """Take the rows of comparisons out of the graph.

    ID may be shortened to what the id begins with.

    \b
    Example:
      kg experiments remove 3fa2 91bc
    """
    from cli.output import print_json

    with app.library() as library:
        removed = library.remove_experiments(runs)
    if as_json:
        print_json(removed)
        return
    for each in removed:
        click.echo(f"Removed comparison {each.run} ({each.rows} row{'s' * (each.rows != 1)}).")


def _row(each: "Experiment") -> tuple[object, ...]:
    macro_f1 = "" if each.macro_f1 is None else f"{each.macro_f1:.3f}"
    when = f"{each.created_at:%Y-%m-%d %H:%M}"
    return (each.run, when, each.rows, each.songs, each.model, each.features, macro_f1)
