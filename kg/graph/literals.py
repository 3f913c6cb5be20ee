"""Cypher with its values written in, to be printed, read and run as it stands."""

import re
from collections.abc import Sequence
from typing import Final

from kg.text import printable

Value = str | int | Sequence[str]

_PARAMETER: Final = re.compile(r"\$(\w+)")


def with_literals(text: str, **values: Value) -> str:
    """A statement with each `$name` replaced by its value, whatever characters that holds."""
    return _PARAMETER.sub(lambda name: _literal(values[name[1]]), text.strip())


def _literal(value: Value) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{printable(quoted)}'"
    return f"[{', '.join(map(_literal, value))}]"
