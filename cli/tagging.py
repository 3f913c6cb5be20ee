"""`kg write-tags`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import App, json_option, pass_app, policy_option
from kg.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kg.records import Rejected
    from kg.tagging.writing import TagReport, UndoReport

# Files that are named one by one; --json names them all.
SHOWN = 50


@click.command("write-tags")
@click.argument("songs", nargs=-1, metavar="[SONG]...")
@click.option("--write", is_flag=True, help="Write; without it, only what would change is shown.")
@click.option(
    "--predicted",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="PROBABILITY",
    help="Also what the model says of songs without a genre, if it is at least so sure: 0.9.",
)
@click.option("--undo", is_flag=True, help="Make the files of the last run what they were.")
@policy_option
@json_option
@pass_app
def write_tags(
    app: App,
    songs: tuple[str, ...],
    write: bool,
    predicted: float | None,
    undo: bool,
    genre_policy: Path | None,
    as_json: bool,
) -> None:
    """Write the genres that you decided into the tags of your files.

    The only command that changes your files, and of these the genre alone. Without --write it
    shows what would change. Written are the genres of songs of which you accepted one (`kg
    review`, `kg accept`), or of each SONG among these; --predicted adds the model's word. A file is
    replaced as a whole, and only by a copy whose sound and other tags are the same; what leads back
    to it is kept in the home folder, and --undo restores it byte by byte. The library knows the
    file as the same song afterwards, and never reads as yours what kg wrote.

    \b
    Example:
      kg write-tags
      kg write-tags --write
      kg write-tags --undo
    """
    from cli.output import print_json

    if undo and (songs or write or predicted is not None):
        raise click.UsageError("--undo restores all files of the last run: leave the rest out.")
    with app.library(genre_policy) as library:
        if undo:
            _undo(app, library.undo_tags(), as_json)
            return
        report = library.write_tags(songs or None, predicted=predicted, dry_run=not write)
    if as_json:
        print_json(report)
    else:
        _print(app, report)
    if write and report.left_out and not report.changes and not report.same:
        raise click.exceptions.Exit(1)


def _print(app: App, report: "TagReport") -> None:
    from cli.output import percent, print_table

    if report.changes:
        rows = [
            (
                each.path,
                ", ".join(each.before),
                ", ".join(each.after),
                "you" if each.strength is None else f"the model, {percent(each.strength)}",
            )
            for each in report.changes[:SHOWN]
        ]
        heading = ["file", "genre before", "genre now" if report.written else "genre", "says"]
        print_table(heading, rows)
    if len(report.changes) > SHOWN:
        app.remark(f"{len(report.changes)} files; the first {SHOWN} are shown, --json has all.")
    _print_left_out(report.left_out)
    if report.same:
        app.remark(f"Files whose tags say so already: {report.same}.")
    if report.without_file:
        app.remark(f"Songs without a file, as they are rows of tables: {report.without_file}.")
    if not report.changes:
        nothing = "" if report.same or report.left_out else " `kg review` decides about genres."
        app.remark(f"No file {'was' if report.written else 'is to be'} written.{nothing}")
    elif report.written:
        many = "1 file" if len(report.changes) == 1 else f"{len(report.changes)} files"
        app.remark(
            f"Wrote {many}; what was there before is kept in {report.backup}. "
            "`kg write-tags --undo` restores it."
        )
    else:
        app.remark("Nothing was written. --write does it.")


def _undo(app: App, report: "UndoReport | None", as_json: bool) -> None:
    from cli.output import print_json
    from kg.tagging.writing import UndoReport

    found = UndoReport((), ()) if report is None else report
    if as_json:
        print_json(found)
    elif report is None:
        app.remark("There is nothing to undo: no tags were written, or all were undone.")
    elif not found.restored and not found.left_out:
        app.remark("The files of the last run are what they were before it already.")
    else:
        for path in found.restored:
            click.echo(f"restored: {printable(path)}")
        _print_left_out(found.left_out)
    if found.left_out:
        raise click.exceptions.Exit(1)


def _print_left_out(rejected: "Sequence[Rejected]") -> None:
    for each in rejected[:SHOWN]:
        click.echo(f"left out: {printable(each.path)}: {printable(each.reason)}", err=True)
    if len(rejected) > SHOWN:
        click.echo(f"and {len(rejected) - SHOWN} more (--json has all)", err=True)
