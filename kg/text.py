"""Text from outside, which may hold anything, made fit for where it goes."""

import re
from pathlib import Path
from typing import Final
from unicodedata import category

# What turns the direction of all text behind it, beyond its own end.
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Control characters, lone surrogates, line and paragraph separators.
_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def printable(text: Path | str) -> str:
    """Text that any terminal and any file takes on one line: control characters, such as turn
    what follows around, and bytes that aren't Unicode (file names hold all of them) become escapes.
    """
    return "".join(_escaped(char) if _unprintable(char) else char for char in str(text))


def _unprintable(char: str) -> bool:
    return category(char) in _UNPRINTABLE or char in _TURNING


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte of a file name, as Python holds it
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


LONGEST: Final = 2000
_NO_BYTE: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def storable(text: str | None) -> str | None:
    """Text that a database takes: what isn't Unicode (odd file names) becomes `\\xff` escapes."""
    if text is None:
        return None
    # Surrogates that don't stand for a byte come from broken UTF-16 in tags.
    whole = _NO_BYTE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)
    return whole.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def indexable(text: str | None) -> str | None:
    """Storable text that fits into an index too, where Neo4j takes 8 kB: what is longer is cut."""
    text = storable(text)
    return text if text is None or len(text) <= LONGEST else f"{text[: LONGEST - 1]}\u2026"


def unstored(text: str) -> str:
    """A file's name again, as Python holds it, from what `storable` made of it.

    A name may also read like an escape by itself: try both.
    """
    return re.sub(r"\\x([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), text)
