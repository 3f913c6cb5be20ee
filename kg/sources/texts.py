"""Cells of tables as what they mean: text or nothing, numbers, lists of numbers, genres."""

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

# What people write where there is nothing, in any case.
NOTHING: Final = ("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", "<na>")

_POINT: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_COMMA: Final = r"^[+-]?(\d*,\d+)([eE][+-]?\d+)?$"
_THOUSANDS: Final = r"^[+-]?[1-9]\d{0,2}(,\d{3})+$"
_ENDLESS: Final = r"^[+-]?inf(inity)?$"

_SEPARATED = re.compile(r"\s*[|;]\s*")
_COMMAS = re.compile(r"\s*,\s*")
_POINT_ZERO = re.compile(r"\d+\.0")
_ADJACENT = re.compile(r"['\"]\s+['\"]")
_LONGEST: Final = 10_000  # characters of a cell that is read as a list


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column's cells as numbers.

    Attributes:
        values: float64 [n]; NaN where there is none.
        missing: Cells in which nothing is, bool [n].
        bad: Cells in which something else is, bool [n].
        commas: How many are written with a decimal comma.
        thousands: In how many of these it may be a thousands separator instead: `1,500`.
        points: Whether beside other text any is written with a decimal point.
    """

    values: NDArray[np.float64]
    missing: NDArray[np.bool_]
    bad: NDArray[np.bool_]
    commas: int = 0
    thousands: int = 0
    points: bool = False


def as_texts(column: "pa.Array") -> "pa.Array":
    """Any column of single values as text, null where nothing is."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    kind = column.type
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        cells = column.to_pylist()
        read = (None if one is None else one.decode("utf-8", "backslashreplace") for one in cells)
        column = pa.array(read, pa.string())
    elif types.is_floating(kind):
        # 21.0 is the 21 of a column of integers in which some are missing.
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        column = pa.array([_number_as_text(value) for value in values.tolist()], pa.string())
    elif not types.is_string(kind):
        column = column.cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(column)
    nothing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(NOTHING))
    return pc.if_else(nothing, pa.scalar(None, pa.string()), trimmed)


def _number_as_text(value: float | None) -> str | None:
    if value is None or value != value:
        return None
    return str(int(value)) if value.is_integer() else repr(value)


def as_numbers(column: "pa.Array", *, comma: bool = True) -> Numbers:
    """A column as numbers, with what isn't one.

    Args:
        column: Numbers, or text.
        comma: Whether there are decimal commas.
    """
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return _plain(column.cast(pa.float64(), safe=False))
    if types.is_boolean(kind):
        return _plain(column.cast(pa.uint8()).cast(pa.float64()))
    if types.is_string(kind) and not column.null_count:
        try:
            return _plain(column.cast(pa.float64()))
        except pa.ArrowInvalid:
            pass
    return _odd_numbers(as_texts(column), comma=comma)


def _plain(column: "pa.Array") -> Numbers:
    values = column.to_numpy(zero_copy_only=False).astype(np.float64)
    missing = np.isnan(values)
    return Numbers(values, missing, np.zeros(len(values), bool))


def _odd_numbers(texts: "pa.Array", *, comma: bool) -> Numbers:
    """Numbers among cells of which some are missing, written with a comma, or anything else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def mask(answers: Any) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = pc.fill_null(answers, False).to_numpy(zero_copy_only=False)
        return found

    missing = mask(pc.is_null(texts))
    number = mask(pc.match_substring_regex(texts, _POINT))
    points = bool((number & mask(pc.match_substring(texts, "."))).any())
    number = number | mask(pc.match_substring_regex(texts, _ENDLESS, ignore_case=True))
    commas = np.zeros(len(texts), bool)
    thousands = 0
    if comma:
        commas = mask(pc.match_substring_regex(texts, _COMMA))
        thousands = int((commas & mask(pc.match_substring_regex(texts, _THOUSANDS))).sum())
    if commas.any():
        texts = pc.replace_substring(texts, ",", ".")
    kept = pc.if_else(pa.array(number | commas), texts, pa.scalar(None, pa.string()))
    values = kept.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    bad = ~(missing | number | commas)
    return Numbers(values, missing, bad, int(commas.sum()), thousands, points)


def as_vectors(column: "pa.Array") -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """A column of lists of numbers, or of text like `[0.1, 0.2]`.

    Returns:
        How long each list is, int64 [n], -1 where there is none; and all their numbers one after
        the other, float64, NaN where one is missing. None: these are no lists of numbers.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_string(column.type):
        texts = as_texts(column)
        # As numpy 2 writes itself within lists.
        texts = pc.replace_substring_regex(texts, r"np\.\w+\(([^()]*)\)", r"\1")
        inner = pc.utf8_trim(texts, "[]() \t\r\n")
        inner = pc.replace_substring_regex(inner, r"[\s,;]+", ",")
        bracketed = pc.match_substring_regex(texts, r"(?s)^[\[(].*[\])]$")
        if not pc.all(pc.fill_null(bracketed, True)).as_py() or texts.null_count == len(texts):
            return None
        column = pc.split_pattern(pc.if_else(pc.equal(inner, ""), None, inner), ",")
    lengths = pc.list_value_length(column).cast(pa.int64())
    flat = column.flatten()
    if types.is_string(flat.type):
        numbers = (
            _odd_numbers(as_texts(flat), comma=False)
            if len(flat)
            else _plain(pa.array([], pa.float64()))
        )
        if numbers.bad.any():
            return None
        values = numbers.values
    else:
        values = flat.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    counted = pc.fill_null(lengths, -1).to_numpy(zero_copy_only=False)
    return counted.astype(np.int64), values


@lru_cache(maxsize=65_536)
def genres_of(cell: str | None, commas: bool = False) -> tuple[str, ...]:
    """The genres that a cell names, each once: `a|b`, `a; b`, `['a', 'b']`, `[21, 17]`.

    Args:
        cell: Its text; None: nothing.
        commas: Whether commas are between genres, too.
    """
    if cell is None:
        return ()
    if cell.startswith(("[", "(", "{")) and cell.endswith(("]", ")", "}")):
        parts = _listed(cell)
    elif "|" in cell or ";" in cell:
        parts = _SEPARATED.split(cell)
    else:
        parts = _COMMAS.split(cell) if commas else [cell]
    named = (" ".join(part.split()) for part in parts)
    # 21.0 is the 21 of a column of integers in which some are missing.
    whole = (name[:-2] if _POINT_ZERO.fullmatch(name) else name for name in named)
    return tuple(dict.fromkeys(name for name in whole if name.lower() not in NOTHING))


def _listed(cell: str) -> list[str]:
    """What a list of Python's, of JSON's or of numpy's names."""
    try:
        # numpy's have no commas, and Python would make one text of them.
        usable = len(cell) <= _LONGEST and not _ADJACENT.search(cell)
        read = ast.literal_eval(cell) if usable else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        read = None
    if isinstance(read, list | tuple | set) and not any(
        isinstance(one, list | tuple | set | dict) for one in read
    ):
        return [str(one) for one in read]
    inner = cell.strip("[](){}")
    quoted = re.findall(r"'([^']*)'|\"([^\"]*)\"", inner)
    if quoted:
        return [one or other for one, other in quoted]
    return re.split(r"[,|;]", inner)
