"""Cypher with its values written in, to be printed, read and run as it stands."""

import re
from collections.abc import Sequence
from typing import Final

Value = str | int | Sequence[str]

_PARAMETER: Final = re.compile(r"\$(\w+)")
# Characters that a terminal acts on, or that would break the line.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def with_literals(text: str, **values: Value) -> str:
    """A statement with each `$name` replaced by its value, whatever characters that holds."""
    return _PARAMETER.sub(lambda name: _literal(values[name[1]]), text.strip())


def _literal(value: Value) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        quoted = _UNPRINTABLE.sub(lambda char: f"\\u{ord(char[0]):04x}", quoted)
        return f"'{quoted}'"
    return f"[{', '.join(map(_literal, value))}]"
