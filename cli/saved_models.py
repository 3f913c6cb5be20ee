"""`kg models`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli.learning import REBUILT
from cli.options import App, json_option, pass_app

if TYPE_CHECKING:
    from kg.learning.saved_models import SavedModel

MEGABYTE = 1e6


@click.group()
def models() -> None:
    """List, choose and remove trained models.

    Every `kg train` keeps its model: a folder below KG_HOME/models and a node in the graph. None
    is removed unless you say so.

    \b
    Example:
      kg models list
      kg models use 20260102-101500-3fa2
    """


@models.command("list")
@json_option
@pass_app
def list_models(app: App, as_json: bool) -> None:
    """Show all models, and whether they fit the graph.

    The newest comes first; an id begins with when its model was trained (UTC). Numbers are those
    on test songs.

    \b
    Example:
      kg models list
    """
    from cli.output import print_json, print_table

    with app.library() as library:
        found = library.models()
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("There are no models yet: `kg train` makes one.")
        return
    columns = ["model", "state", "accuracy", "macro-F1", "seed", "MB", "fits"]
    print_table(columns, [_row(model) for model in found], unfolded="model")
    for model in found:
        if model.misfit is not None:
            click.echo(f"{model.id} doesn't fit the graph: it {model.misfit}.")
    total = sum(model.bytes for model in found) / MEGABYTE
    click.echo(f"Numbers are those on test songs. All checkpoints take {total:.1f} MB.")


@models.command()
@click.argument("model", metavar="ID")
@json_option
@pass_app
def use(app: App, model: str, as_json: bool) -> None:
    """Let another model speak: write its predictions.

    ID may be shortened to what the id begins or ends with.

    \b
    Example:
      kg models use 20260102-101500-3fa2
      kg models use 3fa2
    """
    from cli.output import print_json
    from kg.learning.saved_models import ANOTHER_TREE

    with app.library() as library:
        report = library.use_model(model)
    if as_json:
        print_json(report)
    else:
        click.echo(f"Model {report.model.id} predicted genres for {report.predicted} songs.")
        if report.rebuilt_since:
            app.remark(REBUILT)
        if report.another_tree:
            app.remark(ANOTHER_TREE)


@models.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Even the model in use, and its predictions.")
@json_option
@pass_app
def remove(app: App, ids: Sequence[str], force: bool, as_json: bool) -> None:
    """Delete models: checkpoints and what the graph knows.

    The model in use stays, unless --force is given. That test songs have been measured by a model
    stays on record.

    \b
    Example:
      kg models remove 3fa2 91bc
    """
    from cli.output import print_json

    with app.library() as library:
        removed = library.remove_models(ids, force=force)
    if as_json:
        print_json(removed)
        return
    for model in removed:
        click.echo(f"Removed model {model.id} ({model.bytes / MEGABYTE:.1f} MB).")


def _row(model: "SavedModel") -> tuple[object, ...]:
    numbers = [model.metrics.get(name) for name in ("accuracy", "macroF1")]
    shown = ["" if number is None else f"{number:.3f}" for number in numbers]
    seed = model.metrics.get("seed")
    size = round(model.bytes / MEGABYTE, 2)
    return (model.id, model.state, *shown, seed, size, "no" if model.misfit else "yes")
