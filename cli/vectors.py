"""`kg ingest --vectors`: what somebody computed elsewhere becomes a feature family."""

from pathlib import Path

import click

from cli.options import App
from cli.tables import refuse_options


def ingest_vectors(
    app: App,
    sources: tuple[str, ...],
    file: Path | None,
    families: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Give songs of the library vectors that somebody computed elsewhere.

    Args:
        app: The command line.
        sources: Folders that were named as well; there may be none.
        file: The vectors.
        families: What they are called: one name.
        as_json: Print one document.

    Raises:
        click.UsageError: something is missing, or doesn't fit.
    """
    from cli.output import print_json, print_table

    if file is None or not families:
        raise click.UsageError("--vectors FILE and --family NAME belong together: give both.")
    if sources:
        raise click.UsageError(
            "--vectors gives songs of the library vectors, and takes in no folder: ingest the "
            "folders first, without it."
        )
    if len(families) > 1:
        raise click.UsageError("The vectors of a file are one family: give --family NAME once.")
    [family] = families
    refuse_options(
        ("vectors", "families", "as_json"), "is for folders: leave it out with --vectors."
    )
    with app.library() as library:
        report = library.ingest_vectors(file, family)
    if as_json:
        print_json(report)
    else:
        rows = [
            ("songs with these vectors", report.songs),
            ("  of them from this file", report.matched),
            ("songs without", report.without),
            ("values a vector", report.width),
            ("vectors of no song in the library", report.unknown),
        ]
        print_table(["", "count"], rows, title=f"Features {family!r}")
    if report.unknown:
        named, more = ", ".join(report.examples), report.unknown - len(report.examples)
        app.remark(
            f"Left out, as the library has no such song: {named}"
            + (f" and {more} more" if more else "")
            + "."
        )
    if not report.rebuilt:
        app.remark("Nothing new: the library has these vectors already.")
