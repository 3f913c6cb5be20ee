"""What a report is made of, whoever writes it out: sections of sentences, tables and charts.

Text from the library (titles, names) stands in these as it is; whoever writes a page or Markdown
makes it harmless there. In sentences of our own, `...` is code.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

CODE: Final = r"(`[\w .|-]+`)"
"""What is code in a sentence: commands of ours. A name may hold backticks too."""


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Missing:
    """What isn't there yet, and the command that brings it."""

    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A number in a table with a bar behind it.

    Attributes:
        text: The number.
        share: Length of the bar, 0 to 1.
    """

    text: str
    share: float


Cell = str | Bar


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        columns: Headings.
        rows: As many cells each.
        numbers: Which columns are numbers, by place.
        more: What isn't in it, in a sentence; empty where all is.
        cards: Whether a row is a card of its own on a narrow screen: it says much.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: Collection[int] = ()
    more: str = ""
    cards: bool = False


@dataclass(frozen=True, slots=True)
class Matrix:
    """Counts by row and column: what is true, and what was said.

    Attributes:
        caption: What it shows.
        names: Of the rows.
        heard_as: Of the columns.
        counts: Songs, row by row.
    """

    caption: str
    names: Sequence[str]
    heard_as: Sequence[str]
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture to be drawn by plotly.js (see `kg.report.charts`).

    Attributes:
        name: Key on its page.
        words: What it shows, for those who don't see it.
        figure: `data` and `layout` of plotly.js; "@..." are colours of the page.
        height: In pixels.
        hint: What can be done with it where it is drawn, in a sentence.
    """

    name: str
    words: str
    figure: Mapping[str, Any]
    height: int = 360
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Tiles:
    """The most important numbers: each with what it is."""

    tiles: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Beside:
    """Narrow parts that stand side by side where there is room."""

    parts: Sequence[Table | Matrix]


Part = Words | Missing | Table | Matrix | Chart | Tiles | Beside


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Attributes:
        key: To link to.
        title: Its heading.
        parts: What it shows.
        protocol: How its numbers were come by: on which songs, by which split; empty: by counting.
        cypher: Where they are in the graph.
    """

    key: str
    title: str
    parts: Sequence[Part]
    protocol: str = ""
    cypher: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All of it.

    Attributes:
        made: When, as people write it.
        summary: In a sentence or two.
        sections: In their order.
        about: What made it and where from, in small print.
        remarks: What is out of date, each with the command that mends it.
    """

    made: str
    summary: str
    sections: Sequence[Section] = field(default_factory=tuple)
    about: str = ""
    remarks: Sequence[str] = ()
