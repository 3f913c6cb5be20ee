"""A report as Markdown: the same sections and numbers; charts are told in words."""

import re
from collections.abc import Collection, Sequence

from kg.report.parts import (
    CODE,
    Bar,
    Beside,
    Cell,
    Chart,
    Matrix,
    Missing,
    Part,
    Report,
    Section,
    Table,
    Tiles,
    Words,
)
from kg.text import printable


def markdown(report: Report) -> str:
    """Write a report as Markdown. Text from the library is neither markup nor HTML in it."""
    lines = [
        "<!-- kg report -->",
        "",
        "# Music library report",
        "",
        f"{report.made}. {_sentence(report.summary)}",
    ]
    for remark in report.remarks:
        lines += ["", f"> {_sentence(remark)}"]
    for section in report.sections:
        lines += ["", *_section(section)]
    return "\n".join([*lines, "", "---", "", _sentence(report.about), ""])


def _section(section: Section) -> list[str]:
    lines = [f"## {section.title}"]
    if section.protocol:
        lines += ["", f"*{_sentence(section.protocol)}*"]
    for part in section.parts:
        lines += ["", *_part(part)]
    if section.cypher:
        lines += ["", "```cypher", section.cypher, "```"]
    return lines


def _part(part: Part) -> list[str]:
    match part:
        case Words(text):
            return [_sentence(text)]
        case Missing(text):
            return [f"> {_sentence(text)}"]
        case Tiles(tiles):
            return [f"- **{_text(value)}** {_text(what)}" for value, what in tiles]
        case Chart():
            return [_sentence(part.words)]
        case Beside(parts):
            return [line for each in parts for line in ("", *_part(each))][1:]
        case Table():
            table = _table(part.columns, part.rows, part.numbers)
            more = ["", _sentence(part.more)] if part.more else []
            return [f"**{_sentence(part.caption)}**", "", *table, *more]
        case Matrix():
            rows = [
                [name, *(str(songs) if songs else "" for songs in row)]
                for name, row in zip(part.names, part.counts, strict=True)
            ]
            numbers = range(1, len(part.heard_as) + 1)
            return [
                f"**{_sentence(part.caption)}**",
                "",
                *_table(["", *part.heard_as], rows, numbers),
            ]


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], numbers: Collection[int]
) -> list[str]:
    under = ["---:" if place in numbers else "---" for place in range(len(columns))]
    listed = [[_text(name) for name in columns], under, *([_cell(c) for c in row] for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in listed]


def _text(text: str) -> str:
    """Text that stays text: no markup, no HTML, no entity, no link, no end of a table's cell."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~$!&])", r"\\\1", printable(text))
    # Addresses become links by themselves on GitHub.
    return re.sub(r"(?i)(\bwww)\.", r"\1\\.", escaped.replace("://", "\\://"))


def _sentence(text: str) -> str:
    """A sentence of ours, in which `...` is code."""
    parts = re.split(CODE, printable(text))
    # Every other one is code.
    return "".join(part if at % 2 else _text(part) for at, part in enumerate(parts))


def _cell(cell: Cell) -> str:
    return _text(cell.text if isinstance(cell, Bar) else cell)
