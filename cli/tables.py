"""`kg ingest features.csv`: what its columns are, shown and asked about before it is taken in."""

import functools
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from cli.options import App, F
from cli.removing import removal_prompt
from cli.table_report import report_on_table
from kg.text import printable

if TYPE_CHECKING:
    from kg.genres.files import TreeFile
    from kg.sources.layout import Asked
    from kg.sources.table import Preview

# Columns, genres and reasons that are named one by one; --json names them all.
LISTED = 20
NAMED = 5
FEW = 4

_ROLES = {
    "id": "what names each song",
    "title": "titles",
    "artist": "artists",
    "album": "albums",
    "genre": "genres, one or several in a cell",
    "split": "sides (train, valid, test)",
}


def table_options(command: F) -> F:
    """`--id`, `--genre`, `--features` and the like, handed on together as `columns`."""

    @functools.wraps(command)
    def bundled(*args: Any, features: tuple[str, ...], **others: Any) -> Any:
        columns = {role: others.pop(f"{role}_column") for role in _ROLES}
        return command(*args, columns={**columns, "features": features}, **others)

    decorated: Any = click.option(
        "--features",
        multiple=True,
        metavar="PATTERN",
        help="Of a table: columns that say how songs sound, such as 'mfcc*'; may be given several "
        "times. Default: those that look so.",
    )(bundled)
    for role, what in reversed(_ROLES.items()):
        no = "" if role == "id" else "; none: no column"
        decorated = click.option(
            f"--{role}", f"{role}_column", metavar="COLUMN", help=f"Of a table: {what}{no}."
        )(decorated)
    return decorated  # type: ignore[no-any-return]


def table_among(sources: Sequence[str]) -> Path | None:
    """The table that is to be taken in; None: these are folders and audio files.

    Raises:
        click.UsageError: it isn't alone.
    """
    from kg.files import expanded
    from kg.sources.table import is_table

    paths = [expanded(source) for source in sources]
    tables = [path for path in paths if is_table(path) and not path.is_dir()]
    if tables and len(paths) > 1:
        raise click.UsageError(
            f"{printable(tables[0])} is a table: take in tables one at a time, and without folders."
        )
    return tables[0] if tables else None


def refuse_options(fitting: Sequence[str], why: str) -> None:
    """Refuse options on the command line that don't fit what is taken in.

    Raises:
        click.UsageError: one was given.
    """
    context = click.get_current_context()
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name not in fitting and source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option.opts[0]} {why}")


TABLE_ONLY = (*(f"{role}_column" for role in _ROLES), "features")


def ingest_table(
    app: App,
    file: Path,
    columns: dict[str, Any],
    families: Sequence[str],
    *,
    tree: "TreeFile | None",
    prune: bool,
    yes: bool,
    dry_run: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Show what a table would become, ask where somebody is there to answer, and take it in.

    Args:
        app: The command line.
        file: The table.
        columns: What `table_options` hands on.
        families: `PATTERN=NAME` each.
        tree: The owner's genre tree.
        prune: Remove songs that an earlier table of this name had and this one hasn't.
        yes: Don't ask.
        dry_run: Only show.
        strict: Fail where a row was left out.
        as_json: Print one document.
    """
    from cli.output import print_json

    if yes and dry_run:
        raise click.UsageError("--yes goes on and --dry-run doesn't: choose one of them.")
    asked = _asked(columns, families)
    confirm = None
    if prune:
        nothing = "No song's row is gone."
        confirm = removal_prompt(yes=yes, dry_run=dry_run, as_json=as_json, nothing=nothing)
    with app.library() as library:
        opened = library.open_table(file, asked)
        if dry_run and as_json and not prune:
            print_json(opened.preview)
        elif dry_run or not app.quiet:
            show_preview(opened.preview, sys.stdout if dry_run and not as_json else sys.stderr)
        if dry_run and not prune:
            return
        if not (yes or dry_run or app.quiet or as_json) and _somebody_is_there():
            _ask()
        report = library.ingest_table(opened.source, prune=confirm, genre_tree=tree)
    report_on_table(
        app,
        report,
        as_json=as_json,
        strict=strict,
        beside={"table": asdict(opened.preview)},
        told=not app.quiet,
    )


def _asked(columns: dict[str, Any], families: Sequence[str]) -> "Asked":
    from kg.schema import check_family_name
    from kg.sources.layout import Asked

    pairs = []
    for given in families:
        pattern, equals, family = given.rpartition("=")
        if not (equals and pattern and family):
            raise click.UsageError(
                f"--family {printable(given)} says of no column what it is: write "
                "--family 'mfcc*=mfcc'."
            )
        pairs.append((pattern, check_family_name(family)))
    return Asked(**columns, families=tuple(pairs))


def _somebody_is_there() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask() -> None:
    if not click.confirm("Take the songs in like this?", default=True, err=True):
        click.echo(
            "Nothing was changed. Options like --genre COLUMN and --features 'mfcc*' say what "
            "columns are.",
            err=True,
        )
        raise click.exceptions.Exit(1)


def show_preview(preview: "Preview", to: TextIO) -> None:
    """What each column of a table is for, and what a reader should know of it."""
    from cli.output import print_table

    said = [use for use in preview.columns if use.use not in ("features", "nothing")]
    said.sort(key=lambda use: [*_ROLES, "year", "duration"].index(use.use))
    rows: list[Sequence[object]] = [
        (use.use, use.name, _holds(preview, use.use, use.holds, use.missing)) for use in said
    ]
    first: dict[str, list[str]] = {}
    for use in preview.columns:
        if use.family is not None:
            first.setdefault(use.family, []).append(use.name)
    rows += [
        (f"features {family}", _from_to(first[family]), _width(len(names)))
        for family, names in preview.families.items()
    ]
    unused = [use for use in preview.columns if use.use == "nothing"]
    rows += [("not used", use.name, use.why) for use in unused[:LISTED]]
    if len(unused) > LISTED:
        more = f"{len(unused) - LISTED:,} more columns"
        rows.append(("not used", more, "--dry-run --json names them all"))
    rows += [
        ("left out", f"{count:,} row{'s' if count > 1 else ''}", why)
        for why, count in preview.left_out.items()
    ]
    many = "one song" if preview.songs == 1 else f"{preview.songs:,} songs"
    title = f"{Path(preview.file).name}: {many} ({preview.form})"
    print_table(["as", "column", ""], rows, title=title, to=to)
    for remark in preview.remarks:
        click.echo(printable(remark), file=to)


def _holds(preview: "Preview", use: str, example: str, missing: int) -> str:
    counts = {"genre": preview.genres, "split": preview.splits}.get(use)
    if counts is None:
        text = example
    else:
        named = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:NAMED])
        more = f", {len(counts) - NAMED:,} more" if len(counts) > NAMED else ""
        text = f"{len(counts):,}: {named}{more}" if use == "genre" else named
    return f"{text}; {missing:,} without" if missing else text


def _from_to(names: Sequence[str]) -> str:
    if len(names) <= FEW:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} \u2026 {names[-1]}"


def _width(count: int) -> str:
    return "one value" if count == 1 else f"{count:,} values"
