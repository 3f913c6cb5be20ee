"""`kg query`."""

import json
import sys
from typing import Any

import click

from cli.options import App, json_option, pass_app


def _values(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    """Read NAME=VALUE; a value that is JSON (a number, a list, true) is taken as such."""
    values: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{each!r} is not NAME=VALUE, as in -p genre=jazz.")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


@click.command()
@click.argument("cypher")
@click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_values,
    help="Value of a $NAME in the query; JSON or plain text.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@json_option
@pass_app
def query(
    app: App,
    cypher: str,
    parameters: dict[str, Any],
    timeout: float,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Ask the graph in Cypher. Reads only; `-` reads the query from standard input.

    \b
    Example:
      kg query "MATCH (g:Genre)<-[:IN_GENRE]-(s) RETURN g.name, count(s) AS songs"
      kg query "MATCH (s:Song {artist: $artist}) RETURN s.title" -p artist="Nina Simone"
    """
    from cli.output import print_csv, print_json, print_table

    if as_csv and as_json:
        raise click.UsageError("Choose one of --csv and --json.")
    if cypher == "-":
        try:
            cypher = sys.stdin.read()
        except UnicodeDecodeError as error:
            raise click.UsageError(
                f"The query on standard input is not text in {error.encoding}: save it so."
            ) from error
    with app.library() as library:
        answer = library.ask(cypher, parameters, timeout=timeout)
        if as_json:
            print_json([dict(zip(answer.keys, row, strict=True)) for row in answer.rows])
        elif as_csv:
            print_csv(answer.keys, answer.rows)
        else:
            if answer.keys:
                print_table(answer.keys, answer.rows)
            app.remark(f"{len(answer.rows)} rows" if len(answer.rows) != 1 else "1 row")
