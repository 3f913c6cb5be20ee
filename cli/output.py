"""What is printed: tables for people, JSON and CSV for programs. Data goes to stdout."""

import base64
import csv
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from kg.text import printable

if TYPE_CHECKING:
    from kg.graph.rows import Guess
    from kg.intake.rejects import Reason
    from kg.records import Rejected

# Rejected files that are named one by one; more are summed up by reason.
LISTED = 10
# `0.700 [0.640, 0.880] ± 0.020`: a number with its interval, and perhaps a spread.
_ESTIMATE = re.compile(r"([-+]?\d+\.\d+) (\[[^\[\]]{1,30}\].{0,12})")


@dataclass(frozen=True, slots=True)
class Stacked:
    """A cell of several lines."""

    lines: Sequence[str]


def print_json(document: Any, *, line: bool = False) -> None:
    """One JSON document on stdout, or one on a `line`; in ASCII where that isn't UTF-8."""
    ascii_only = not takes("é♯𝄞", sys.stdout)
    indent = None if line else 2
    text = json.dumps(_finite(document), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    # A file name may hold what isn't Unicode; the document has to be.
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def takes(text: str, stream: TextIO) -> bool:
    """Whether a stream's encoding has these characters."""
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Comma-separated values on stdout, with a header."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell_for_csv(value) for value in row] for row in rows)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    header: bool = True,
    unfolded: str | None = None,
    to: TextIO | None = None,
) -> None:
    """A table on stdout (or `to` another stream); numbers stand to the right.

    In a narrow terminal cells are folded, but not those of the `unfolded` column; intervals go to a
    line of their own.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    listed = [list(row) for row in rows]
    # A pipe has no width: nothing must be folded there that a program may read.
    stream = to or sys.stdout
    width = None if stream.isatty() else 10_000
    console = Console(width=width, highlight=False, file=stream)

    def drawn(*, narrow: bool) -> Table:
        table = Table(
            title=title,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            show_header=header,
        )
        for index, column in enumerate(columns):
            values = [row[index] for row in listed]
            numeric = bool(listed) and all(
                isinstance(value, int | float | None) and not isinstance(value, bool)
                for value in values
            )
            whole = column == unfolded or (narrow and _are_estimates(values))
            table.add_column(
                _text(column.replace(" [", "\n[") if narrow else column),
                justify="right" if numeric else "left",
                overflow="fold",
                no_wrap=whole,
            )
        for row in listed:
            cells = (_in_two_lines(value) if narrow else show(value) for value in row)
            table.add_row(*(_text(cell) for cell in cells))
        return table

    table = drawn(narrow=False)
    endless = console.options.update(width=10_000)
    fits = console.measure(table, options=endless).maximum <= console.width
    console.print(table if fits else drawn(narrow=True))


def _are_estimates(values: Sequence[Any]) -> bool:
    """Whether all of a column are numbers with intervals, or nothing."""
    told = [value for value in values if value not in (None, "")]
    return bool(told) and all(isinstance(v, str) and _ESTIMATE.fullmatch(v) for v in told)


def _in_two_lines(value: Any) -> str:
    """A value as people read it; of an estimate the interval stands below the number."""
    return _ESTIMATE.sub("\\1\n\\2", value) if _are_estimates([value]) else show(value)


def show(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = f"{value:.4g}"
        # 0.99998 is not 1: rounding must not claim certainty.
        return repr(value) if short in ("0", "1") and value != float(short) else short
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, Stacked):
        return "\n".join(map(printable, value.lines))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(show(item) for item in value) + "]"
    return printable(str(value))


def shortened(path: str, width: int) -> str:
    """The end of a path, in at most so many characters: `.../jazz/so-what.flac`.

    Of a name that is longer than that, beginning and end.
    """
    if len(path) <= width:
        return path
    *_, name = path.rsplit("/", 1)
    if len(name) + 4 > width:
        kept = max(width - 3, 2)
        return f"{name[: kept // 2]}...{name[-(kept - kept // 2) :]}"
    end = path[-(width - 4) :]
    return f".../{end[end.index('/') + 1 :]}" if "/" in end else f".../{name}"


def terminal_width() -> int | None:
    """Columns of the terminal; None: stdout is none, and everything fits."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if sys.stdout.isatty() else None


def local(moment: datetime | None) -> str:
    """A moment as the clock on the wall showed it."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"


def size(bytes: int) -> str:
    """How large a file is, as people read it."""
    return f"{bytes / 1e6:.1f} MB" if bytes >= 100_000 else f"{max(1, round(bytes / 1000))} kB"


def percent(probability: float) -> str:
    """A probability for people; rounding never makes it certain."""
    if 0 < probability < 0.01:
        return "<1%"
    if 0.99 < probability < 1:
        return ">99%"
    return f"{probability:.0%}"


def doubted(guesses: "Sequence[Guess]", doubt: str | None) -> str:
    """Guesses with their probabilities, and before them why the song is unknown, where it is."""
    told = ", ".join(f"{guess.genre} {percent(guess.probability)}" for guess in guesses)
    return f"unknown ({doubt}): {told}" if doubt else told


def print_rejected(
    rejected: "Sequence[Rejected]",
    reasons: "Sequence[Reason]",
    listed_in: Path | None = None,
    unlisted: str | None = None,
) -> None:
    """Say on stderr which files were left out and why: a few by name, many by reason.

    Args:
        rejected: The files.
        reasons: The same summed up.
        listed_in: Where all are listed.
        unlisted: Why they aren't, in a sentence.
    """
    if unlisted is not None:
        click.echo(f"Warning: {unlisted}", err=True)
    if not rejected:
        return
    if len(rejected) <= LISTED or unlisted is not None:
        for reject in rejected:
            click.echo(f"rejected: {printable(reject.path)}: {printable(reject.reason)}", err=True)
    else:
        # The end of a path is enough to know it by, and leaves room for the reason.
        rows = [(one.files, one.reason, Path(*one.example.parts[-2:])) for one in reasons]
        click.echo(f"{len(rejected)} files could not be taken in:", err=True)
        print_table(["files", "reason", "for example"], rows, to=sys.stderr)
    if listed_in is not None:
        click.echo(f"Rejected files are listed with reasons in {printable(listed_in)}", err=True)


def _text(value: str) -> Any:
    """Text that rich shows as it stands: titles may hold [brackets]."""
    from rich.text import Text

    return Text(value)


def _finite(value: Any) -> Any:
    """What JSON can hold: no NaN, no infinity, no types of ours."""
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return _finite(_plain(value))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Path):
        return printable(value)
    return str(value)


def _cell_for_csv(value: Any) -> Any:
    if isinstance(value, list | tuple | Mapping | bytes | datetime):
        return json.dumps(_finite(value), ensure_ascii=False).strip('"')
    return value
