"""`kg inspect`."""

import sys
from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import App, json_option, pass_app, policy_option

if TYPE_CHECKING:
    from kg.asking.inspection import FeatureTable, Inspection

# A family with more rows than this is drawn as a line, unless it is asked for.
ROWS = 12
# Characters of such a line.
WIDTH = 64
BARS = "▁▂▃▄▅▆▇█"
# The same where the output's encoding has no blocks.
ASCII_BARS = ".:-=+*#@"


@click.command()
@click.argument("song")
@click.option("--family", metavar="NAME", help="Show this family of features only, and all of it.")
@click.option("--all", "everything", is_flag=True, help="Show every value, however many.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw waveform, log-mel, MFCC and chroma into a .png, .pdf or .svg.",
)
@policy_option
@json_option
@pass_app
def inspect(
    app: App,
    song: str,
    family: str | None,
    everything: bool,
    plot: Path | None,
    genre_policy: Path | None,
    as_json: bool,
) -> None:
    """Look at one song: its tags, its file, its features by family.

    SONG is an audio file, which needs no library, or a song of the library: its title, its path,
    or its id (four digits are enough). A file is shown as it is; a song of the library with its
    genres and predictions in the graph.

    \b
    Example:
      kg inspect song.mp3 --plot song.png
      kg inspect "So What" --family mfcc
    """
    from cli.output import print_json
    from kg.asking.inspection import family_tables

    with app.library(genre_policy) as library:
        found = library.inspect(song, family=family, plot=plot)
    if as_json:
        print_json(found)
    else:
        if family is None:
            _print_facts(found)
        for name, values in found.features.items():
            for table in family_tables(name, values, given=found.given):
                _print_features(table, shortened=family is None and not everything)
    if plot is not None:
        app.remark(f"Drawn: {plot}")


def _print_facts(found: "Inspection") -> None:
    from cli.output import doubted, print_table, show

    duration, heard = found.duration, None
    if found.heard is not None and duration is not None:
        whole = found.heard >= duration - 0.1
        heard = "all of it" if whole else f"the middle {found.heard:.0f} s"
    rows = [
        ("title", found.title),
        ("artist", found.artist),
        ("album", found.album),
        ("year", found.year),
        ("genres", ", ".join(f"{genre.name} ({genre.source})" for genre in found.genres)),
        ("predicted genres", doubted(found.guesses, found.doubt)),
        ("split", found.split),
        ("file", found.path),
        ("also in", ", ".join(map(str, found.copies))),
        ("from", f"{found.source}: {found.key}" if found.source and found.key else found.source),
        ("id", found.id),
        ("duration", None if duration is None else f"{duration:.1f} s"),
        ("sample rate", None if found.sample_rate is None else f"{found.sample_rate} Hz"),
        ("listened to", heard),
        ("tempo", None if found.tempo is None else f"{found.tempo:.0f} BPM"),
    ]
    print_table(["", ""], [(name, show(value)) for name, value in rows if value], header=False)


def _print_features(table: "FeatureTable", *, shortened: bool) -> None:
    from cli.output import print_table

    units = any(row.unit for row in table.rows)
    alike = all(None not in row.values and row.unit == table.rows[0].unit for row in table.rows)
    if shortened and alike and len(table.rows) > ROWS:
        unit = f" {table.rows[0].unit}" if units else ""
        first, last = table.rows[0].name, table.rows[-1].name
        rows = [(name, *_line(values, unit)) for name, values in _by_statistic(table)]
        columns = [table.name, f"{first} to {last}", "range"]
        print_table(columns, rows)
        return
    print_table(
        [table.name, *(["unit"] if units else []), *table.statistics],
        [
            (row.name, *([row.unit] if units else []), *map(_rounded, row.values))
            for row in table.rows
        ],
    )


def _by_statistic(table: "FeatureTable") -> Iterator[tuple[str, list[float]]]:
    for column, statistic in enumerate(table.statistics):
        said = [row.values[column] for row in table.rows]
        yield statistic, [0.0 if value is None else value for value in said]


def _line(values: Sequence[float], unit: str) -> tuple[str, str]:
    """Bars for at most `WIDTH` values, gaps for missing ones; what lowest and highest stand for."""
    from cli.output import show, takes

    levels = BARS if takes(BARS, sys.stdout) else ASCII_BARS
    step = -(-len(values) // WIDTH)
    parts = [values[at : at + step] for at in range(0, len(values), step)]
    there = [[value for value in part if not isnan(value)] for part in parts]
    means = [sum(part) / len(part) if part else None for part in there]
    known = [mean for mean in means if mean is not None]
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    bars = "".join(
        " " if mean is None else levels[round((mean - low) / span * (len(levels) - 1))]
        for mean in means
    )
    known = [value for part in there for value in part]
    return bars, f"{show(_rounded(min(known)))} to {show(_rounded(max(known)))}{unit}"


def _rounded(value: float | None) -> float | int | None:
    """Hertz by the thousand without decimals, where a table would say 1.2e+04; None if missing."""
    if value is None or isnan(value):
        return None
    return round(value) if abs(value) >= 1000 else value
