"""`kg report`."""

from pathlib import Path
from typing import Literal

import click

from cli.options import App, json_option, pass_app


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["html", "md"]),
    help="What is written; default: what the file's suffix says.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there and is no report.")
@json_option
@pass_app
def report(
    app: App, file: Path, as_format: Literal["html", "md"] | None, force: bool, as_json: bool
) -> None:
    """Write a page about the library: what is in it, and how far its model is to be believed.

    One file that needs no network: the songs and a map of them, the split, accuracy with its
    intervals, what is taken for what, what probabilities are worth, the last comparison, songs that
    the model doubts, disputed labels and duplicates. It shows what there is, and says what to run
    for the rest. Numbers are those in the graph; nothing is measured anew.

    \b
    Example:
      kg report library.html
      kg report library.md
    """
    from cli.output import print_json, size
    from kg.report import write_report

    with app.library() as library:
        written = write_report(library, file, as_format, force=force)
    if as_json:
        print_json(written)
        return
    click.echo(str(written.path))
    app.remark(f"A report of {size(written.bytes)}.")
    if written.missing:
        app.remark(
            f"Not all is there yet (the report says what to run): {'; '.join(written.missing)}."
        )
