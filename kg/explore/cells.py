"""Values of an answer as a table shows them to people."""

import json
from typing import Any, Final

# Characters of a value that are shown: a page isn't for reading megabytes.
LONGEST: Final = 2_000


def cell(value: Any) -> str:
    """A value (see `kg.graph.values`), cut where it is long."""
    text = _text(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\N{HORIZONTAL ELLIPSIS}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=_text)
    return str(value)
