"""What an ingest of a table came to, and what `kg status` says of a library that a table made."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.genres import print_tree_report
from cli.options import App
from kg.text import printable

if TYPE_CHECKING:
    from kg.intake.tables import TableReport
    from kg.status import Status

# Rows and genres that are named one by one; --json names more.
NAMED = 10


def report_on_table(
    app: App,
    report: "TableReport",
    *,
    as_json: bool = False,
    strict: bool = False,
    beside: Mapping[str, object] | None = None,
    told: bool = False,
) -> None:
    """Print what came in on stdout, and on stderr what didn't and what a reader should know.

    Args:
        app: The command line.
        report: What the ingest came to.
        as_json: As one JSON document.
        strict: Fail where a row was left out.
        beside: What that document holds, too.
        told: Whether the table's remarks were shown before.

    Raises:
        click.ClickException: no row became a song.
        click.exceptions.Exit: with 1, where `strict` says so.
    """
    from cli.output import print_json, print_table

    for row in report.left_out[:NAMED]:
        click.echo(f"left out: {printable(row.row)}: {printable(row.reason)}", err=True)
    more = report.rows_left_out - NAMED
    if more > 0:
        click.echo(f"left out: {more} more rows (--json lists the first 1000)", err=True)
    if as_json:
        print_json({**asdict(report), **(beside or {})})
    if report.counts is None:
        raise click.ClickException("No row could be taken in.")
    if not as_json:
        counts = report.counts
        rows = [
            ("songs in the library", counts.songs),
            ("  from this table", report.taken),
            ("  of them new", report.new),
            ("  of them changed", report.changed),
            ("genres", counts.genres),
            *((f"features {family}", width) for family, width in report.families.items()),
            ("clusters of songs that are alike", counts.clusters),
            ("links between similar songs", counts.relationships["SIMILAR_TO"]),
            ("rows left out", report.rows_left_out),
            *([("songs removed", report.pruned)] if report.pruned else []),
        ]
        print_table(["", "count"], rows, title=f"Ingested {printable(report.name)}")
        if report.tree is not None:
            print_tree_report(app, report.tree)
    for remark in () if told else report.remarks:
        app.remark(printable(remark))
    _remark(app, report, told=told)
    if strict and report.rows_left_out:
        raise click.exceptions.Exit(1)


def _remark(app: App, report: "TableReport", *, told: bool) -> None:
    if not report.rebuilt:
        app.remark("Nothing new: clusters and similar songs are as they were.")
    if report.missing and not told:
        app.remark(
            f"{_share(report.missing)} of the values are missing: they count as the mean of the "
            "songs that have them."
        )
    if report.bare:
        app.remark(f"Songs without any value, of which nothing can be told: {report.bare}.")
    if report.counts is not None and report.counts.genres < 2:
        none = "No song has a genre" if not report.counts.genres else "All songs are of one genre"
        app.remark(f"{none}: `kg train` needs at least two.")
    if report.few:
        named, more = ", ".join(map(printable, report.few[:NAMED])), len(report.few) - NAMED
        app.remark(
            "Genres with a single song can be learned from but not tested: "
            f"{named}{f' and {more} more' if more > 0 else ''}."
        )


def _share(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "Less than 0.1 %"


def given_by(found: "Status") -> list[tuple[str, str]]:
    """The rows of `kg status` that say what a table gives, and what came beside it."""
    beside = {name.partition(":")[2] for name in found.embeddings}
    own = [family for family in found.families if family not in beside]
    rows = [("given by a table", ", ".join(own))]
    return rows + ([("vectors from files", ", ".join(sorted(beside)))] if beside else [])
