"""`kg server`, `kg export`, `kg dump`, `kg load`."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cli.options import App, json_option, pass_app

if TYPE_CHECKING:
    from kg.graph.dump import Dump
    from kg.graph.embedded import ServerStatus


@click.group()
def server() -> None:
    """Keep the embedded server up, so that any Neo4j driver can connect.

    Without this it starts when a command needs it and stops with the last one.

    \b
    Example:
      kg server start
    """


@server.command()
@json_option
@pass_app
def start(app: App, as_json: bool) -> None:
    """Start the embedded server and keep it up; prints how to connect.

    \b
    Example:
      kg server start
    """
    from kg.graph import embedded

    _show(embedded.start(_server_dir(app, make=True)), as_json)


@server.command()
@json_option
@pass_app
def stop(app: App, as_json: bool) -> None:
    """Stop the embedded server, once commands that use it are done.

    \b
    Example:
      kg server stop
    """
    from kg.graph import embedded

    ran = embedded.status(_server_dir(app)).running
    left = embedded.stop(_server_dir(app))
    if left.running and not as_json:
        click.echo("The embedded server is still in use: it stops with the last command.")
    elif ran and not as_json:
        click.echo("The embedded server was stopped.")
    else:
        _show(left, as_json)


@server.command("status")
@json_option
@pass_app
def server_status(app: App, as_json: bool) -> None:
    """Say whether the embedded server runs, and how to connect.

    \b
    Example:
      kg server status
    """
    from kg.graph import embedded

    _show(embedded.status(_server_dir(app)), as_json)


def _server_dir(app: App, *, make: bool = False) -> Path:
    from kg.errors import WrongUsageError

    settings = app.settings()
    if not settings.embedded:
        raise WrongUsageError(
            f"NEO4J_URI is set ({settings.neo4j_uri}), so that server is used and no embedded one: "
            "unset NEO4J_URI first."
        )
    if make:
        settings.make_home()
    return settings.server_dir


def _show(found: "ServerStatus", as_json: bool) -> None:
    from cli.output import print_json

    if as_json:
        print_json(found)
        return
    if not found.running:
        click.echo("The embedded server is not running.")
        return
    how = "kept up until `kg server stop`" if found.kept else "up while commands use it"
    click.echo(f"The embedded server is running ({how}).")
    click.echo(f"  URI       {found.uri}")
    click.echo(f"  user      {found.username}")
    click.echo(f"  password  in {found.password_file}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
@pass_app
def export(app: App, folder: Path, as_json: bool) -> None:
    """Write the graph for PyTorch Geometric: safetensors and JSON id maps.

    `kg.hetero.load_hetero(FOLDER)` reads it as HeteroData.

    \b
    Example:
      kg export my-graph/
    """
    from cli.output import print_json, print_table

    with app.library() as library:
        data, _ = library.export(folder)
    nodes = {node_type: data[node_type].num_nodes for node_type in data.node_types}
    edges = {"/".join(edge): data[edge].num_edges for edge in data.edge_types}
    if as_json:
        print_json({"folder": folder, "nodes": nodes, "edges": edges})
    else:
        print_table(
            ["type", "count"], [*nodes.items(), *edges.items()], title=f"Exported to {folder}"
        )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option(
    "--models",
    type=click.Choice(["current", "all", "none"]),
    default="current",
    show_default=True,
    help="Whose checkpoints come along: that of the model in use, all, or none.",
)
@json_option
@pass_app
def dump(
    app: App, file: Path, force: bool, models: Literal["current", "all", "none"], as_json: bool
) -> None:
    """Write the whole library to one file, to move it.

    `kg load FILE` brings it into another database, Neo4j or embedded, with nothing changed. The
    file holds paths, tags and features of your songs, but no music.

    \b
    Example:
      kg dump library.kg.zip
    """
    with app.library() as library:
        written = library.dump(file, models=models, force=force)
    _print_moved(written, "Dumped to", as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_app
def load(app: App, file: Path, as_json: bool) -> None:
    """Bring a dumped library into an empty database.

    A load that was cut off goes on when it is run again with the same file.

    \b
    Example:
      NEO4J_URI=neo4j://localhost:7687 kg load library.kg.zip
    """
    with app.library() as library:
        loaded = library.load(file)
    _print_moved(loaded, "Loaded from", as_json)
    if loaded.nodes.get("Model") and not loaded.models:
        app.remark("No checkpoint came along: `kg train` learns anew, or copy KG_HOME/models.")


def _print_moved(moved: "Dump", how: str, as_json: bool) -> None:
    from cli.output import print_json, print_table, size
    from kg.text import printable

    if as_json:
        print_json(moved)
        return
    rows = [*moved.nodes.items(), *moved.relationships.items(), ("checkpoints", len(moved.models))]
    click.echo(f"{how} {printable(moved.file)} ({size(moved.bytes)}).")
    print_table(["", "count"], rows)
