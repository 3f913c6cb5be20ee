"""A report as one HTML file: nothing is fetched, and no script but its own two can run."""

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any, Final

from kg.report.parts import CODE, Chart, Matrix, Report
from kg.text import printable

# Of a matrix's fullest cell: text on it stays readable.
_DEEPEST: Final = 0.55


def page(report: Report) -> str:
    """Write a report as HTML. Text from the library can't become markup anywhere in it."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup, escape

    here = files("kg.report")
    static = here / "static"

    def code(text: str) -> Markup:
        """A sentence of ours, in which `...` is code."""
        parts = re.split(CODE, printable(text))
        # Every other one is code.
        return Markup("").join(
            Markup("<code>{}</code>").format(part.strip("`")) if at % 2 else escape(part)
            for at, part in enumerate(parts)
        )

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(lambda name: (here / "templates" / name).read_text("utf-8")),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        # What control characters a title has is shown, not obeyed.
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["code"] = code
    environment.tests["bar"] = lambda cell: not isinstance(cell, str)
    plotly, own = (
        (static / name).read_text("utf-8") for name in ("plotly-gl2d.min.js", "report.js")
    )
    charts = {
        part.name: {"figure": part.figure, "height": part.height}
        for section in report.sections
        for part in section.parts
        if isinstance(part, Chart)
    }
    return environment.get_template("report.html").render(
        report=report,
        kind=lambda part: type(part).__name__,
        shades=_shades,
        style=Markup((static / "report.css").read_text("utf-8")),
        charts=Markup(_json(charts)),
        plotly=Markup(plotly) if charts else None,
        script=Markup(own),
        hashes=" ".join(_hash(text) for text in ([plotly] if charts else []) + [own]),
    )


def _shades(matrix: Matrix) -> list[list[tuple[int, str]]]:
    """Counts of a matrix, each with how dark its cell is: its share of the row."""
    rows = []
    for row in matrix.counts:
        most = max(sum(row), 1)
        rows.append([(songs, f"{_DEEPEST * songs / most:.3f}") for songs in row])
    return rows


def _json(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends that, or begins another."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
