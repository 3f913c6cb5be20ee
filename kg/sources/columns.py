"""What the columns of a sheet hold, from one look at every cell: numbers, text, lists, nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from kg.progress import Advance
from kg.sources.reading import shortened
from kg.sources.sheets import Ragged, Sheet
from kg.sources.texts import as_numbers, as_texts, as_vectors

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["number", "text", "list", "labels", "empty", "dull"]

FEW: Final = 256  # different numbers that are remembered
_MANY: Final = 10_000  # different texts that are counted
_ODD: Final = 0.05  # of a column of numbers, cells that may hold something else
_DIGITS: Final = 12  # of a number, so many are shown as they are
_EXACT: Final = 2.0**53  # above, doubles pass over whole numbers
_LONG: Final = 15  # digits, which such numbers have more of
_SURE: Final = 200  # cells that tell numbers from text


@dataclass(frozen=True, slots=True)
class Column:
    """What a column holds.

    Attributes:
        name: As the file says it.
        kind: Numbers, text, lists of numbers of one length, lists of several things (or of
            numbers, of different lengths), nothing at all, or what can't be used.
        why: Why it can't be used.
        rows: Of the sheet.
        missing: Cells in which nothing is.
        example: The first cell in which something is.
        distinct: How many different texts or integers; 0 where they aren't counted.
        counts: Of each text, where these are few.
        integers: Whether all numbers are whole, those in lists too.
        low: The least number.
        high: The greatest number.
        values: The different numbers in order, where these are few.
        sequence: Whether each number is the one before plus one.
        width: Numbers a list.
        comma: Whether decimal commas are used.
        bad: Cells of a column of numbers that hold something else, and the first of them: its row
            and its text.
        endless: Infinite numbers, and the row of the first.
    """

    name: str
    kind: Kind
    why: str = ""
    rows: int = 0
    missing: int = 0
    example: str = ""
    distinct: int = 0
    counts: "Counter[str] | None" = None
    integers: bool = False
    low: float = 0.0
    high: float = 0.0
    values: tuple[float, ...] | None = None
    sequence: bool = False
    width: int = 0
    comma: bool = False
    bad: tuple[int, int, str] = (0, 0, "")
    endless: tuple[int, int] = (0, 0)

    @property
    def present(self) -> int:
        """Cells in which something is."""
        return self.rows - self.missing


@dataclass(frozen=True, slots=True)
class Survey:
    """All columns of a sheet.

    Attributes:
        columns: By name, in their order.
        rows: How many there are.
        ragged: Lines of a CSV that were passed over.
    """

    columns: dict[str, Column]
    rows: int
    ragged: Sequence[Ragged]


def survey(sheet: Sheet, advance: Advance) -> Survey:
    """Look at every cell of a sheet once, a batch at a time.

    The memory needed is that of a batch, and of 8 bytes for each different text or integer of a
    column.

    Raises:
        WrongUsageError: the file is damaged, or was changed meanwhile.
    """
    names = [name for name in sheet.columns if name not in sheet.dull]
    looks = [_Look(name) for name in names]
    rows, ragged = 0, list[Ragged]()
    for batch in sheet.batches(names) if names else ():
        ragged += batch.ragged
        rows += len(batch)
        advance(len(batch))
        if len(batch):
            for look, column in zip(looks, batch.columns, strict=True):
                look.add(column, batch.at)
    found = {look.name: look.result(rows) for look in looks}
    dull = {
        name: Column(name, "dull", why=why, rows=rows, missing=rows)
        for name, why in sheet.dull.items()
    }
    return Survey({name: (found | dull)[name] for name in sheet.columns}, rows, ragged)


class _Distinct:
    """Counts different values, by 64 bits of each."""

    def __init__(self) -> None:
        self._merged = np.empty(0, np.uint64)
        self._pieces: list[NDArray[np.uint64]] = []

    def add(self, values: NDArray[np.uint64]) -> None:
        self._pieces.append(values)
        if sum(map(len, self._pieces)) > len(self._merged) + 100_000:
            self._merge()

    def count(self) -> int:
        self._merge()
        return len(self._merged)

    def _merge(self) -> None:
        self._merged = np.unique(np.concatenate([self._merged, *self._pieces]))
        self._pieces = []


@dataclass(slots=True)
class _Look:
    """One column while it is looked at."""

    name: str
    kind: Kind | None = None
    missing: int = 0
    seen: int = 0
    example: str = ""
    distinct: _Distinct | None = field(default_factory=_Distinct)
    counts: "Counter[str] | None" = field(default_factory=Counter)
    integers: bool = True
    low: float = np.inf
    high: float = -np.inf
    values: NDArray[np.float64] | None = field(default_factory=lambda: np.empty(0))
    last: float | None = None
    sequence: bool = True
    width: int = 0
    commas: int = 0
    thousands: int = 0
    points: bool = False
    bad: int = 0
    first_bad: tuple[int, str] = (0, "")
    endless: int = 0
    first_endless: int = 0
    why: str = ""

    def add(self, column: "pa.Array", at: int) -> None:
        """Take in the cells of a batch that comes after `at` rows."""
        from pyarrow import types

        self.seen += len(column)
        kind = column.type
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            self._add_lists(column)
        elif types.is_null(kind):
            self.missing += len(column)
        elif types.is_string(kind) or types.is_binary(kind) or types.is_large_binary(kind):
            self._add_cells(column, at)
        else:
            self.kind = "number"
            self._add_numbers(column, at)

    def _add_cells(self, column: "pa.Array", at: int) -> None:
        """Text, which may be numbers or lists."""
        if self.kind in (None, "list", "labels"):
            texts = as_texts(column)
            first = next((cell for cell in texts.to_pylist() if cell is not None), None)
            if first is None:
                self.missing += len(column)
                return
            bracketed = first.startswith("[") and first.endswith("]")
            if (bracketed or self.kind is not None) and self._add_written_lists(column, texts):
                return
        if self.kind in (None, "number") and self._add_numbers(column, at):
            self.kind = "number"
            return
        self.kind = "text" if self.kind in (None, "number") else self.kind
        self._add_texts(as_texts(column))

    def _add_written_lists(self, column: "pa.Array", texts: "pa.Array") -> bool:
        found = as_vectors(column) if self.kind != "labels" else None
        if found is None:
            self.kind = "labels"
        else:
            self._measure(found[0], found[1])
        self._add_texts(texts)
        return True

    def _add_lists(self, column: "pa.Array") -> None:
        from pyarrow import types

        value = column.type.value_type
        if types.is_integer(value) or types.is_floating(value):
            found = as_vectors(column)
            if found is not None:
                self._measure(*found)
                self.missing += int((found[0] < 0).sum())
        else:
            self.kind = "labels"
            self.missing += column.null_count
        if not self.example:
            self.example = next((shortened(str(c)) for c in column.to_pylist() if c), "")

    def _measure(self, lengths: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Whether lists are of one length; if not, they list several things."""
        widths = np.unique(lengths[lengths >= 0])
        if len(widths) and self.kind is None:
            self.kind, self.width = "list", int(widths[0])
        if self.kind == "list" and (widths != self.width).any():
            self.kind = "labels"
        whole = values[np.isfinite(values)]
        self.endless += int(np.isinf(values).sum())
        self.integers = self.integers and bool((whole == np.trunc(whole)).all())
        if len(whole):
            self.low, self.high = min(self.low, whole.min()), max(self.high, whole.max())

    def _add_texts(self, texts: "pa.Array") -> None:
        from pandas.util import hash_array

        encoded = texts.dictionary_encode()
        self.missing += texts.null_count
        names = np.array(encoded.dictionary.to_pylist(), object)
        if not len(names):
            return
        self.example = self.example or shortened(str(names[0]))
        if self.distinct is not None:
            self.distinct.add(hash_array(names, categorize=False))
        if self.counts is not None:
            places = encoded.indices.drop_null().to_numpy()
            for name, count in zip(names, np.bincount(places, minlength=len(names)), strict=True):
                self.counts[name] += int(count)
            if len(self.counts) > _MANY:
                self.counts = None

    def _add_numbers(self, column: "pa.Array", at: int) -> bool:
        """Take in numbers; False: these are none."""
        numbers = as_numbers(column)
        present = int((~numbers.missing).sum())
        bad = int(numbers.bad.sum())
        if bad and self.kind is None and bad > _ODD * present:
            if 2 * bad < present:
                self.why = self._not_numbers(column, numbers.bad, at)
            return False
        before = self.seen - len(column) - self.missing
        if bad and before + present > _SURE and self.bad + bad > _ODD * (before + present):
            # Text after all: what was counted of it so far are the numbers.
            self.kind, self.why = "text", self._not_numbers(column, numbers.bad, at)
            return False
        if bad and not self.bad:
            row = int(np.argmax(numbers.bad))
            self.first_bad = (at + row + 1, shortened(str(column[row].as_py())))
        self.missing += int(numbers.missing.sum())
        self.bad += bad
        self.commas += numbers.commas
        self.thousands += numbers.thousands
        self.points = self.points or numbers.points
        endless = np.isinf(numbers.values)
        if endless.any() and not self.endless:
            self.first_endless = at + int(np.argmax(endless)) + 1
        self.endless += int(endless.sum())
        whole = numbers.values[np.isfinite(numbers.values)]
        if len(whole):
            if self.distinct is not None and np.abs(whole).max() > _EXACT:
                self._add_long(column)
            if self.commas and not numbers.commas:
                self.points = self.points or bool((whole != np.trunc(whole)).any())
            self._note(whole, gap=bool(bad or numbers.missing.any() or endless.any()))
            if not self.example:
                first = int(np.argmax(np.isfinite(numbers.values)))
                self.example = shortened(_shown(column[first].as_py()))
        return True

    def _add_long(self, column: "pa.Array") -> None:
        """Count whole numbers that doubles can't tell apart by their digits: ids of 64 bits."""
        from pandas.util import hash_array

        texts = as_texts(column).drop_null().to_pylist()
        long = np.array([each for each in texts if len(each) > _LONG], object)
        if self.distinct is not None and len(long):
            self.distinct.add(hash_array(long, categorize=False))

    def _not_numbers(self, column: "pa.Array", bad: NDArray[np.bool_], at: int) -> str:
        row = int(np.argmax(bad))
        return f"holds text, {shortened(str(column[row].as_py()))!r} in row {at + row + 1:,}"

    def _note(self, whole: NDArray[np.float64], *, gap: bool) -> None:
        """What is known of numbers: bounds, whether whole, different ones, in which order."""
        self.low, self.high = min(self.low, whole.min()), max(self.high, whole.max())
        if self.integers and (whole != np.trunc(whole)).any():
            self.integers, self.sequence, self.distinct = False, False, None
            self.points = self.points or not self.commas
        if self.values is not None:
            values = np.unique(np.concatenate([self.values, np.unique(whole)]))
            self.values = values if len(values) <= FEW else None
        if self.distinct is not None:
            exact = whole[np.abs(whole) <= _EXACT]
            self.distinct.add(exact.view(np.uint64))
        if self.sequence:
            steps = np.diff(whole, prepend=whole[0] - 1 if self.last is None else self.last)
            self.sequence = not gap and bool((steps == 1).all())
            self.last = float(whole[-1])

    def result(self, rows: int) -> Column:
        """What the column holds."""
        bounded = self.high >= self.low
        number = self.kind == "number" and bounded
        mixed = bool(self.commas and self.points)
        unclear = self.commas > 0 and self.thousands == self.commas
        why, kind = self.why, self.kind or "empty"
        if self.missing >= rows and rows:
            kind = "empty"
        elif kind == "number" and not number:
            kind = "empty" if not self.bad else "text"
        if kind == "number" and mixed:
            kind, why = "text", "decimal commas and decimal points are mixed in it"
        elif kind == "number" and unclear:
            kind = "text"
            why = f"a comma as in {self.example} may be a decimal comma or part thousands"
        return Column(
            name=self.name,
            kind=kind,
            why=why,
            rows=rows,
            missing=self.missing,
            example=self.example,
            distinct=0 if self.distinct is None else self.distinct.count(),
            counts=self.counts if self.counts else None,
            integers=bounded and self.integers,
            low=float(self.low) if bounded else 0.0,
            high=float(self.high) if bounded else 0.0,
            values=None if self.values is None else tuple(self.values.tolist()),
            sequence=number and self.sequence and rows > 2,
            width=self.width,
            comma=self.commas > 0,
            bad=(self.bad, *self.first_bad),
            endless=(self.endless, self.first_endless),
        )


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _DIGITS else f"{float(text.replace(',', '.')):.6g}"
