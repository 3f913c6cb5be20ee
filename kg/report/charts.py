"""Charts as plotly.js takes them; colours are "@" and what the page calls them (`report.js`)."""

import html
from collections.abc import Sequence
from typing import Any, Final

from kg.metrics.evaluate import Estimate, wilson
from kg.text import printable

# Colours and shapes that a page has for genres; more of them could not be told apart.
COLOURS: Final = 12
_SHAPES: Final = ("circle", "square", "diamond", "triangle-up")

Figure = dict[str, Any]
# Where a song lies, and what is shown of it, lines apart by newlines.
Point = tuple[float, float, str]
Series = tuple[str, Sequence[Point]]


def plain(text: str) -> str:
    """Text that plotly.js shows as it stands: it reads tags and entities in what it is given."""
    return html.escape(printable(text), quote=False)


def shortened(text: str, most: int = 32) -> str:
    """Text that fits beside an axis."""
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def axis(title: str, **more: Any) -> Figure:
    """An axis with a title."""
    return {"title": {"text": title}, **more}


def dots(rows: Sequence[tuple[str, Estimate]], title: str, groups: Sequence[str] = ()) -> Figure:
    """Numbers with their intervals, one under the other.

    Args:
        rows: What each is called, and the number.
        title: What the numbers are.
        groups: Of each row: which series it belongs to; none: all to one.
    """
    names = [name for name, _ in rows]
    lines = list(dict.fromkeys(names))
    listed = list(groups) or [title] * len(rows)
    kinds = list(dict.fromkeys(listed))
    series = []
    for number, group in enumerate(kinds):
        own = [row for row, of in enumerate(listed) if of == group]
        values = [rows[row][1] for row in own]
        series.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(group),
                "x": [round(each.value, 4) for each in values],
                "y": [
                    round(lines.index(names[row]) + 0.18 * (number - (len(kinds) - 1) / 2), 2)
                    for row in own
                ],
                "text": [plain(names[row]) for row in own],
                "customdata": [[round(e.low, 3), round(e.high, 3)] for e in values],
                "error_x": _intervals(values, f"@{number}"),
                "marker": {"size": 9, "color": f"@{number}", "symbol": _SHAPES[number % 4]},
                "hovertemplate": "%{text}: %{x:.3f} [%{customdata[0]}, %{customdata[1]}]"
                "<extra></extra>",
            }
        )
    return {
        "data": series,
        "layout": {
            "xaxis": axis(title, range=[0, 1]),
            "yaxis": {
                "tickvals": list(range(len(lines))),
                "ticktext": [plain(shortened(name)) for name in lines],
                "range": [len(lines) - 0.4, -0.6],
                "automargin": True,
                "showgrid": False,
                "zeroline": False,
            },
            "showlegend": len(series) > 1,
        },
    }


def _intervals(values: Sequence[Estimate], colour: str) -> Figure:
    """Bars from the lower to the upper end of each number's interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [round(max(0.0, each.high - each.value), 4) for each in values],
        "arrayminus": [round(max(0.0, each.value - each.low), 4) for each in values],
        "color": colour,
        "thickness": 1.5,
        "width": 4,
    }


def reliability(points: Sequence[tuple[float, float, int]]) -> Figure:
    """Mean probability against the share that is right, and the diagonal where both are equal."""
    low, high = zip(*(wilson(share, songs) for _, share, songs in points), strict=True)
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": "as good as its word",
                "x": [0, 1],
                "y": [0, 1],
                "line": {"color": "@muted", "dash": "dot", "width": 1.5},
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": "measured",
                "x": [round(said, 4) for said, _, _ in points],
                "y": [round(share, 4) for _, share, _ in points],
                "customdata": [songs for _, _, songs in points],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [
                        round(top - share, 4)
                        for top, (_, share, _) in zip(high, points, strict=True)
                    ],
                    "arrayminus": [
                        round(share - bottom, 4)
                        for bottom, (_, share, _) in zip(low, points, strict=True)
                    ],
                    "color": "@0",
                    "thickness": 1.2,
                    "width": 4,
                },
                "marker": {"size": 8, "color": "@0"},
                "line": {"color": "@0", "width": 2},
                "hovertemplate": "said %{x:.0%}, right %{y:.0%}, %{customdata} songs"
                "<extra></extra>",
            },
        ],
        "layout": {
            "xaxis": axis("probability of the first genre", range=[0, 1], tickformat=".0%"),
            "yaxis": axis("share that is right", range=[0, 1.02], tickformat=".0%"),
        },
    }


def coverage(points: Sequence[tuple[float, float]], here: tuple[float, float] | None) -> Figure:
    """Share of songs that get a genre against the share of these genres that is wrong.

    Args:
        points: Coverage and risk.
        here: Where the model stands with its threshold; None: it gives none a genre.
    """
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "by probability",
            "x": [round(x, 4) for x, _ in points],
            "y": [round(y, 4) for _, y in points],
            "line": {"color": "@0", "width": 2},
            "hovertemplate": "%{x:.0%} get a genre, %{y:.0%} of them a wrong one<extra></extra>",
        }
    ]
    if here is not None:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "cliponaxis": False,
                "name": "where the model stands",
                "x": [round(here[0], 4)],
                "y": [round(here[1], 4)],
                "marker": {"size": 12, "color": "@1", "symbol": "diamond"},
                "hovertemplate": "%{x:.0%} get a genre, %{y:.0%} of them a wrong one"
                "<extra></extra>",
            }
        )
    return {
        "data": data,
        "layout": {
            "xaxis": axis("songs that get a genre", range=[0, 1.02], tickformat=".0%"),
            "yaxis": axis("share of these that is wrong", rangemode="tozero", tickformat=".0%"),
        },
    }


def by_songs(curves: Sequence[tuple[str, Sequence[tuple[int, Estimate]]]], title: str) -> Figure:
    """Numbers with their intervals by how many songs were learned from, a line each.

    Args:
        curves: What each is called, and its points from the fewest songs on.
        title: What the numbers are.
    """
    sizes = sorted({songs for _, points in curves for songs, _ in points})
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain(shortened(name)),
                "x": [songs for songs, _ in points],
                "y": [round(each.value, 4) for _, each in points],
                "customdata": [[round(each.low, 3), round(each.high, 3)] for _, each in points],
                "error_y": _intervals([each for _, each in points], f"@{number % COLOURS}"),
                "line": {"color": f"@{number % COLOURS}", "width": 2},
                "marker": {
                    "size": 8,
                    "color": f"@{number % COLOURS}",
                    "symbol": _SHAPES[number % len(_SHAPES)],
                },
                "hovertemplate": "%{x} songs: %{y:.3f} [%{customdata[0]}, %{customdata[1]}]",
            }
            for number, (name, points) in enumerate(curves)
        ],
        "layout": {
            "xaxis": axis(
                "songs learned from", type="log", tickvals=sizes, ticktext=[f"{n:,}" for n in sizes]
            ),
            "yaxis": axis(title, rangemode="tozero"),
            "showlegend": True,
        },
    }


def learning(points: Sequence[tuple[int, float, float | None]], best: int) -> Figure:
    """Loss on what is learned and macro-F1 on validation songs, by epoch."""
    epochs = [epoch for epoch, _, _ in points]
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "training loss",
            "x": epochs,
            "y": [round(loss, 4) for _, loss, _ in points],
            "line": {"color": "@muted", "width": 2, "dash": "dash"},
            "hovertemplate": "epoch %{x}: loss %{y:.3f}<extra></extra>",
        }
    ]
    layout: Figure = {"xaxis": axis("epoch"), "yaxis": axis("training loss", rangemode="tozero")}
    if any(score is not None for _, _, score in points):
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "macro-F1 on validation songs",
                "x": epochs,
                "y": [None if score is None else round(score, 4) for _, _, score in points],
                "yaxis": "y2",
                "line": {"color": "@0", "width": 2},
                "hovertemplate": "epoch %{x}: macro-F1 %{y:.3f}<extra></extra>",
            }
        )
        layout["yaxis2"] = axis(
            "macro-F1", overlaying="y", side="right", range=[0, 1], showgrid=False
        )
    layout["shapes"] = [
        {
            "type": "line",
            "x0": best,
            "x1": best,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": "@1", "width": 1.5, "dash": "dot"},
        }
    ]
    return {"data": data, "layout": layout}


def song_map(coloured: Sequence[Series], grey: Sequence[Series]) -> Figure:
    """Songs as points.

    Args:
        coloured: Genres that have a colour of their own, `COLOURS` at most.
        grey: What the other songs are under; they lie beneath.
    """
    data = [
        _points(name, songs, number, f"@{number}", _SHAPES[number % 4])
        for number, (name, songs) in enumerate(coloured)
    ]
    beneath = [
        _points(name, songs, COLOURS + number, "@muted", "circle-open")
        for number, (name, songs) in enumerate(grey)
    ]
    # A page makes it as high as it has to be for its width.
    places = [(x, y) for _, songs in (*coloured, *grey) for x, y, _ in songs]
    x, y = (max((abs(place[axis]) for place in places), default=0) + 0.05 for axis in (0, 1))
    return {
        "data": [*beneath, *data],
        "layout": {
            "xaxis": {"visible": False, "range": [-x, x]},
            "yaxis": {"visible": False, "range": [-y, y], "scaleanchor": "x", "scaleratio": 1},
            "dragmode": "pan",
            "hovermode": "closest",
            "showlegend": True,
            "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
        },
    }


def _points(name: str, songs: Sequence[Point], rank: int, colour: str, shape: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plain(shortened(name, 24)),
        "legendrank": rank,
        "x": [round(x, 3) for x, _, _ in songs],
        "y": [round(y, 3) for _, y, _ in songs],
        "text": [_lines(text) for _, _, text in songs],
        "marker": {
            "size": 7 if len(songs) < 200 else 5,
            "color": colour,
            "symbol": shape,
            "opacity": 0.9,
        },
        "hovertemplate": "%{text}<extra></extra>",
    }


def _lines(text: str) -> str:
    return "<br>".join(plain(shortened(line, 70)) for line in text.split("\n"))
