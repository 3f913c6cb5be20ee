"""Pages of the explorer from their templates. Text from the library can't become markup in them."""

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from kg.report.words import count, percent
from kg.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment


def page(name: str, **values: Any) -> str:
    """Write one of the templates as HTML; control characters are shown and not obeyed."""
    return _environment().get_template(name).render(values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup, escape

    templates = files("kg.explore") / "templates"

    def code(text: str) -> Markup:
        """A sentence of ours, in which `...` is code."""
        return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(printable(text)))))

    def lines(text: str) -> Markup:
        """Text of several lines, which stay apart."""
        return Markup("\n").join(escape(printable(line)) for line in text.splitlines())

    def exact(text: str) -> Markup:
        """Text that comes back as it is: what a form sends, which nobody reads."""
        return escape(text)

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(lambda name: (templates / name).read_text("utf-8")),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= {"code": code, "lines": lines, "exact": exact, "percent": percent}
    # Jinja's own makes markup of it, which is shown as it is.
    environment.filters["join"] = lambda values, between: between.join(map(str, values))
    environment.globals |= {"count": count}
    return environment
