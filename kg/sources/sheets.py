"""Files with a row a song - CSV, TSV, Parquet, NPZ - as one kind of sheet, read in batches.

CSV is read by Arrow: it hands over the same arrays as for Parquet, keeps cells as they are written
until somebody knows what they mean, and names the rows that it passes over. CSV files of published
data sets are read by `kg.sources.csv_file`, which says why.
"""

import codecs
import csv
import io
import math
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kg.files import QuietFile
from kg.sources.npz import SAVE, ZIP_DAMAGE, Array, read_blocks, read_header, read_texts
from kg.sources.parquet import BUFFER, describe_columns, parquet_damage, read_columns
from kg.sources.reading import (
    AGAIN,
    UnfitError,
    damaged_file,
    file_state,
    listed_fields,
    opened,
    pickled_field,
    quoted,
    shortened,
    undamaged,
)

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES: Final = frozenset({".csv", ".tsv", ".tab", ".parquet", ".pq", ".npz"})
"""What tables are called."""

_HEAD: Final = 1 << 18  # bytes that tell how a CSV is written
_BLOCK: Final = 8 << 20  # bytes of a CSV that are taken apart at once
_CELLS: Final = 1 << 20  # values of a Parquet or NPZ file that are decoded at once
_ROWS: Final = 1 << 16  # rows at once, at most
_SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_LINES: Final = 1000  # line breaks in one cell: no title or lyrics are that long
_CLOSE: Final = 'close it, or write "" for a quotation mark within quotation marks'
_LINE_END = re.compile(r"\r\n|\r|\n")
_BLANK_LINE = re.compile(r"[ \t]*(\r\n|\r|\n)")
_NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True, slots=True)
class Ragged:
    """A line of a CSV with more or fewer cells than the header."""

    line: int | None
    text: str
    cells: int


@dataclass(slots=True)
class Rows:
    """Some rows of a sheet.

    Attributes:
        columns: One array for each column that was asked for.
        at: Rows before these.
        ragged: Lines that were passed over, of a CSV.
    """

    columns: "list[pa.Array]"
    at: int
    ragged: list[Ragged] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.columns[0])


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table as it lies on disk.

    Attributes:
        path: Where.
        form: In which form, for people: `CSV, separated by commas, UTF-8`.
        columns: Their names in order, each once.
        dull: Columns that can't be used at all, and why.
        rows: How many; None: nobody knows before they are read.
        batches: Reads some columns, by their names, from the first row.
    """

    path: Path
    form: str
    columns: tuple[str, ...]
    dull: dict[str, str]
    rows: int | None
    batches: Callable[[Sequence[str]], Iterator[Rows]]


def open_sheet(path: Path) -> Sheet:
    """Find out how a table is written: CSV (whatever separates its cells), Parquet or NPZ.

    The file is told by its first bytes, whatever it is called. It is opened again whenever its
    rows are read.

    Raises:
        WrongUsageError: it can't be read, or is no table.
    """
    with _opened(path) as stream:
        before = file_state(stream)
        magic = stream.read(8)
        if not magic:
            raise UnfitError("it is empty", AGAIN)
        if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return _of_npz(path, stream, before)
        if magic.startswith(b"PAR1"):
            return _of_parquet(path, stream, before)
        refuse_another_format(magic)
        stream.seek(0)
        return _of_csv(path, stream, before)


def refuse_another_format(magic: bytes) -> None:
    """Name what is no table by its first bytes.

    Raises:
        UnfitError: it is some known other format.
    """
    others = {
        b"\x93NUMPY": ("an NPY file, which has no room for names", f"save it with {SAVE}"),
        b"\x89HDF": ("an HDF5 file", "save its table as CSV or Parquet"),
        b"\x1f\x8b": ("packed by gzip", "unpack it first"),
        b"BZh": ("packed by bzip2", "unpack it first"),
        b"\xfd7zXZ": ("packed by xz", "unpack it first"),
        b"\x28\xb5\x2f\xfd": ("packed by zstd", "unpack it first"),
        b"\xd0\xcf\x11\xe0": ("an old Excel file", "save it as CSV"),
        b"SQLite f": ("an SQLite database", "save its table as CSV or Parquet"),
        b"ARROW1": ("an Arrow (Feather) file", "save it as Parquet"),
        b"\x80\x04": ("a pickle, which may run any code and is never opened", "save it as Parquet"),
        b"\x80\x05": ("a pickle, which may run any code and is never opened", "save it as Parquet"),
    }
    for start, (what, mend) in others.items():
        if magic.startswith(start):
            raise UnfitError(f"it is {what}", mend)


def _opened(path: Path) -> Any:
    return opened(path, "table", "a CSV, TSV, Parquet or NPZ file", "with a row a song")


@contextmanager
def _reopened(path: Path, before: tuple[int, int]) -> Iterator[QuietFile]:
    """The file again, and only if it is the one that was looked at."""
    with _opened(path) as stream:
        if file_state(stream) != before:
            raise _changed()
        yield stream
        if file_state(stream) != before:
            raise _changed()


def _changed() -> UnfitError:
    return UnfitError("it was written to while it was being read", "try again after that")


def _require_names(names: Sequence[str], noun: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UnfitError(
            f"{'two' if names.count(twice[0]) == 2 else names.count(twice[0])} of its {noun}s are "
            f"called {quoted(twice[0])}",
            "give each a name of its own, in one row of names",
        )


# ---- CSV


def _of_csv(path: Path, stream: QuietFile, before: tuple[int, int]) -> Sheet:
    encoding = _encoding(stream)
    stream.seek(0)
    reader = io.TextIOWrapper(io.BytesIO(stream.read(_HEAD)), encoding, "replace", newline="")
    head = reader.read().removeprefix("\ufeff")
    skipped = 0
    separator = None
    if head.lower().startswith("sep=") and len(head) > 4:  # Excel's own line
        separator = head[4]
        head, skipped = head.partition("\n")[2], 1
    while (rest := _BLANK_LINE.match(head)) is not None:
        head, skipped = head[rest.end() :], skipped + 1
    separator = separator or _separator(head, path.suffix.lower(), whole=before[0] <= _HEAD)
    given = next(
        (row for row in csv.reader(io.StringIO(head, newline=""), delimiter=separator) if row), []
    )
    names = tuple(name.strip() or f"column {n}" for n, name in enumerate(given, start=1))
    if sum(bool(_NUMBER.fullmatch(name)) for name in given) > len(given) / 2:
        raise UnfitError(
            f"its first row holds numbers ({quoted(given[-1])}), not the names of columns",
            "put a row of names above it",
        )
    _require_names(names, "column")
    place = {name: at for at, name in enumerate(names)}

    def batches(wanted: Sequence[str]) -> Iterator[Rows]:
        with _reopened(path, before) as again:
            yield from _csv_rows(
                again, separator, encoding, skipped, names, [place[name] for name in wanted]
            )

    said = {"utf-8": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252", "latin-1": "Latin-1"}
    kind = _SEPARATORS.get(separator, repr(separator))
    form = f"CSV, separated by {kind}, {said.get(encoding, encoding.upper())}"
    return Sheet(path, form, names, {}, None, batches)


def _encoding(stream: QuietFile) -> str:
    """UTF-8 where all of it is, UTF-16 where it looks so; else Western European."""
    start = stream.read(4096)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in start:
        for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
            if zeros.count(0) > 0.6 * len(zeros):
                return encoding
        raise UnfitError("it holds bytes that no text has", "save it as CSV, Parquet or NPZ")
    decode = codecs.getincrementaldecoder("utf-8")().decode
    western = codecs.getincrementaldecoder("cp1252")().decode
    encoding, chunk = "utf-8", start
    while chunk:
        try:
            if encoding == "utf-8":
                decode(chunk)
            western(chunk) if encoding == "cp1252" else None
        except UnicodeDecodeError:
            encoding = "cp1252" if encoding == "utf-8" else "latin-1"
            if encoding == "latin-1":
                return encoding
            stream.seek(0)
        chunk = stream.read(_BLOCK)
    try:
        if encoding == "utf-8":
            decode(b"", True)
    except UnicodeDecodeError:  # it ends within a letter
        return "cp1252"
    return encoding


def _separator(head: str, suffix: str, *, whole: bool) -> str:
    """What most evenly cuts the first lines into as many cells as the header has.

    Raises:
        UnfitError: nothing does.
    """
    found: list[tuple[float, int, bool, str]] = []
    for separator in _SEPARATORS:
        try:
            rows = [
                row for row in csv.reader(io.StringIO(head, newline=""), delimiter=separator) if row
            ]
        except csv.Error:
            continue
        rows = rows if whole or len(rows) < 3 else rows[:-1]  # the last is cut
        if not rows or len(rows[0]) < 2:
            continue
        even = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        usual = separator == "\t" if suffix in (".tsv", ".tab") else separator == ","
        found.append((round(even, 1), len(rows[0]), usual, separator))
    if not found:
        raise UnfitError(
            "its first line has one name only: no comma, semicolon, tab or bar is between columns",
            "save it with commas between the columns",
        )
    return max(found)[3]


def _csv_rows(
    stream: QuietFile,
    separator: str,
    encoding: str,
    skipped: int,
    names: Sequence[str],
    wanted: Sequence[int],
) -> Iterator[Rows]:
    """Rows of a CSV as text, the columns called for by their places."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    ragged: list[Ragged] = []
    places = [str(place) for place in range(len(names))]  # names may be written in odd ways

    swallowed: list[tuple[str, int]] = []

    def pass_over(row: Any) -> str:
        begin, *lines = _LINE_END.split((row.text or "").rstrip("\r\n"))
        if 2 * sum(line.count(separator) == len(names) - 1 for line in lines) > len(lines):
            swallowed.append((begin, len(lines)))
        ragged.append(Ragged(row.number, shortened(row.text), row.actual_columns))
        return "skip"

    try:
        reader = arrow.open_csv(
            pa.PythonFile(stream, mode="r"),
            arrow.ReadOptions(
                block_size=_BLOCK,
                encoding=encoding,
                column_names=places,
                skip_rows=skipped,
                skip_rows_after_names=1,
            ),
            arrow.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=pass_over
            ),
            arrow.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()), strings_can_be_null=False
            ),
        )
        at, passed = 0, list[Ragged]()
        while (batch := _next(reader)) is not None:
            if swallowed:
                raise _never_closed(*swallowed[0])
            passed, ragged[:] = list(ragged), []
            columns = [batch.column(place) for place in wanted]
            _require_closed(columns, at, names, wanted, separator)
            yield Rows(columns, at, passed)
            at += len(batch)
        if swallowed:
            raise _never_closed(*swallowed[0])
        if not at and (first := (passed + ragged)[:1]):
            raise UnfitError(
                f"its rows have other numbers of cells than its first row has names: {len(names):,}"
                f" names, {first[0].cells:,} cells",
                "name every column, in one row",
            )
        if ragged:
            yield Rows([pa.array([], pa.string()) for _ in wanted], at, ragged)
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise UnfitError("it holds no songs, only names of columns", "add a row a song") from (
                error
            )
        if "straddl" in str(error):
            raise UnfitError("a quotation mark in it is never closed", _CLOSE) from error
        raise UnfitError(
            f"as CSV it can't be taken apart ({shortened(str(error))})",
            "mend it there, or save it again",
        ) from error
    except UnicodeError as error:
        raise damaged_file("text") from error


def _never_closed(begin: str, lines: int) -> UnfitError:
    return UnfitError(
        f"a quotation mark in its line {shortened(begin)!r} is never closed, or {lines:,} "
        f"{'line' if lines == 1 else 'lines'} later",
        _CLOSE,
    )


def _next(reader: Any) -> "pa.RecordBatch | None":
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None


def _require_closed(
    columns: "Sequence[pa.Array]",
    at: int,
    names: Sequence[str],
    wanted: Sequence[int],
    separator: str,
) -> None:
    """Refuse cells that swallowed other rows: lines of them have as many cells as the header."""
    import pyarrow.compute as pc

    for column, place in zip(columns, wanted, strict=True):
        broken = pc.indices_nonzero(pc.match_substring(column, "\n"))
        for row in broken.to_pylist():
            _, *lines = column[row].as_py().rstrip("\n").split("\n")
            rows = sum(line.count(separator) == len(names) - 1 for line in lines)
            if lines and (len(lines) > _LINES or (len(names) > 2 and 2 * rows > len(lines))):
                raise UnfitError(
                    f"a quotation mark in column {quoted(names[place])} of row {at + row + 1:,} is "
                    "never closed",
                    _CLOSE,
                )


# ---- Parquet


def _of_parquet(path: Path, stream: QuietFile, before: tuple[int, int]) -> Sheet:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import types

    def as_file(stream: QuietFile) -> pq.ParquetFile:
        with undamaged("Parquet", *parquet_damage()):
            return pq.ParquetFile(
                stream, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True
            )

    file = as_file(stream)
    with undamaged("Parquet", *parquet_damage()):
        rows = file.metadata.num_rows
        schema = file.schema_arrow
        fields = describe_columns(schema, rows)
    names = tuple(field.name for field in fields)
    _require_names(names, "column")
    dull: dict[str, str] = {}
    for one in fields:
        kind = schema.field(one.name).type
        readable = (
            one.kind != "other"
            or types.is_boolean(kind)
            or types.is_decimal(kind)
            or types.is_null(kind)
            or (_is_list(kind) and (types.is_string(kind.value_type) or _is_text(kind.value_type)))
        )
        if not readable:
            index = one.kind == "other" and types.is_integer(kind)
            dull[one.name] = "the data frame's index" if index else f"holds {one.type}"
    width = max(1, len(names) - len(dull))

    def batches(wanted: Sequence[str]) -> Iterator[Rows]:
        with _reopened(path, before) as again:
            count = min(_ROWS, max(1, _CELLS // width))
            at = 0
            for columns in read_columns(as_file(again), list(wanted), count):
                yield Rows([_plain(column) for column in columns], at)
                at += len(columns[0])
            if at != rows:
                raise damaged_file("Parquet")

    def _plain(column: "pa.Array") -> "pa.Array":
        with undamaged("Parquet", pa.ArrowException):
            if isinstance(column, pa.DictionaryArray):
                column = column.dictionary_decode()
            if types.is_string(column.type) or _is_text(column.type):
                try:
                    column.validate(full=True)
                except pa.ArrowInvalid:  # text that isn't Unicode is read as bytes
                    return column.cast(pa.binary())
                return column.cast(pa.string())
            if _is_list(column.type):
                column.validate(full=True)
            return column

    return Sheet(path, "Parquet", names, dull, rows, batches)


def _is_list(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_text(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_large_string(kind) or types.is_string_view(kind))


# ---- NPZ


def _of_npz(path: Path, stream: QuietFile, before: tuple[int, int]) -> Sheet:
    with undamaged("NPZ", *ZIP_DAMAGE):
        archive = zipfile.ZipFile(stream)
    with archive:
        arrays = _arrays(archive, before[0])
    names = tuple(array.name for array in arrays)
    _require_names(names, "array")
    # The rows are what most arrays have one of each for.
    counts = Counter(array.rows for array in arrays if array.kind in ("text", "numbers", "vectors"))
    if not counts:
        for array in arrays:
            if array.kind == "pickled":
                raise pickled_field(array)
        raise UnfitError(
            f"no array has a row a song, there is only {listed_fields(arrays)}",
            f"save it with {SAVE}",
        )
    rows = max(counts, key=lambda count: (counts[count], count))
    dull: dict[str, str] = {}
    for array in arrays:
        if array.kind == "pickled":
            dull[array.name] = "holds Python objects, which are never unpickled"
        elif array.kind == "other" or not math.prod(array.shape[1:]):
            dull[array.name] = f"holds {array.type}"
        elif array.rows != rows:
            dull[array.name] = f"has {array.rows:,} rows, others {rows:,}"
    by_name = {array.name: array for array in arrays}

    def batches(wanted: Sequence[str]) -> Iterator[Rows]:
        with _reopened(path, before) as again:
            with undamaged("NPZ", *ZIP_DAMAGE):
                archive = zipfile.ZipFile(again)
            with archive:
                yield from _npz_rows(archive, [by_name[name] for name in wanted])

    return Sheet(path, "NPZ", names, dull, rows, batches)


def _arrays(archive: zipfile.ZipFile, size: int) -> list[Array]:
    members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    if not members:
        raise UnfitError("it is a zip without any array of numpy's", f"save one with {SAVE}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python 2's headers, or of odd literals
        return [read_header(archive, member, size) for member in members]


def _npz_rows(archive: zipfile.ZipFile, arrays: Sequence[Array]) -> Iterator[Rows]:
    """Read arrays in step, so that only some rows of each are in memory."""
    if not arrays[0].rows:
        return
    cells = sum(math.prod(array.shape[1:]) for array in arrays)
    count = min(_ROWS, max(1, _CELLS // cells))
    readers = [_pieces(archive, array, count) for array in arrays]
    for at in range(0, arrays[0].rows, count):
        yield Rows([next(reader) for reader in readers], at)


def _pieces(archive: zipfile.ZipFile, array: Array, count: int) -> "Iterator[pa.Array]":
    import pyarrow as pa

    if array.kind == "text":
        texts = read_texts(archive, array)
        for begin in range(0, len(texts), count):
            piece = [text.encode("utf-8", "surrogatepass") for text in texts[begin : begin + count]]
            yield pa.array(piece, pa.binary())
        return
    for block in _row_blocks(archive, array, count):
        if block.ndim == 1:
            yield pa.array(block.astype(block.dtype.newbyteorder("=")))
            continue
        flat = block.reshape(len(block), -1, block.shape[-1]).mean(axis=1, dtype=np.float64)
        yield pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), max(1, flat.shape[1]))


def _row_blocks(archive: zipfile.ZipFile, array: Array, count: int) -> Iterator[Any]:
    if not array.fortran or array.kind == "numbers":
        yield from read_blocks(archive, array, count)
        return
    whole = np.concatenate(list(read_blocks(archive, array))).T  # its rows lie all over the file
    for begin in range(0, len(whole), count):
        yield whole[begin : begin + count]
