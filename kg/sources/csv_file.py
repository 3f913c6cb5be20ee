"""CSV files of published data sets: their first rows, and chosen columns of all rows in batches.

Why not `kg.sources.sheets`, which reads any CSV: that one guesses how a file is written, needs one
row of names that are each there once, and passes over rows of another length. Here the form is
known. FMA's headers have two and three rows, whose names repeat, so columns are known by place. A
row with too many cells means a damaged copy, and ends it. One that is cut short is still a row, as
rows of AudioSet's clips stand for those of an array beside them. pandas does all that.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from kg.errors import WrongUsageError
from kg.files import open_file, why_unreadable
from kg.text import printable

if TYPE_CHECKING:
    import pandas as pd

ROWS: Final = 2_000
"""Rows read at once."""

_HEAD: Final = 1 << 19  # bytes looked at for the first rows
# What people and pandas write where a number is missing.
_MISSING: Final = ["", "nan", "NaN", "NA", "N/A", "null", "None"]


def first_rows(path: Path, count: int) -> list[list[str]]:
    """Cells of the first rows of a CSV file; fewer, or none, where there is no such text."""
    try:
        with open_file(path) as stream:
            head = stream.read(_HEAD)
    except OSError:
        return []
    if b"\0" in head:
        return []
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(head.decode("utf-8-sig", "replace"), newline="")):
            rows.append(row)
            if len(rows) == count:
                break
    except csv.Error:
        return []
    return rows


def read_columns(
    path: Path,
    texts: Mapping[str, int],
    numbers: Sequence[int] = (),
    *,
    headers: int = 1,
    rows: int = ROWS,
) -> "Iterator[tuple[list[dict[str, str]], pd.DataFrame]]":
    """Read some columns of a CSV file with commas, in batches.

    Args:
        path: The file, UTF-8 with or without a byte order mark.
        texts: Columns of text by the name that they are to have: where they stand, from 0.
        numbers: Where columns of numbers stand, from 0.
        headers: Rows before the first row of data.
        rows: Rows of a batch.

    Yields:
        The texts of each row by name, as they stand in the file, and the numbers, missing ones as
        NaN. A column with a cell that is no number is of objects.

    Raises:
        WrongUsageError: the file can't be read as such.
    """
    import pandas as pd

    kinds = dict.fromkeys(texts.values(), str)
    missing: Any = dict.fromkeys(numbers, _MISSING)
    try:
        with (
            open_file(path) as stream,
            pd.read_csv(
                stream,
                header=None,
                skiprows=headers,
                # All columns: with some only, pandas takes rows that have a cell too many.
                dtype=kinds,
                keep_default_na=False,
                na_values=missing,
                encoding="utf-8-sig",
                chunksize=rows,
                low_memory=False,
            ) as reader,
        ):
            for frame in reader:
                # A row that is cut short lacks its last cells.
                cells = [frame[column].fillna("").tolist() for column in texts.values()]
                said = [dict(zip(texts, row, strict=True)) for row in zip(*cells, strict=True)]
                yield said, frame[list(numbers)]
            if stream.error is not None:
                raise stream.error
    except pd.errors.EmptyDataError:
        return
    except OSError as error:
        raise WrongUsageError(
            f"The file {printable(path)} can't be used: {why_unreadable(error)}."
        ) from error
    except (ValueError, pd.errors.ParserError) as error:  # UnicodeDecodeError is the former
        why = "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise WrongUsageError(
            f"The file {printable(path)} can't be read as CSV ({' '.join(why.split())}): copy or "
            "unpack it again from where it was published."
        ) from error


def as_features(
    numbers: "pd.DataFrame", names: Sequence[str]
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Numbers as features float32 [n, d], NaN where one is missing, infinite or none.

    Returns:
        The features, and of rows that hold something else why they can't be used, by their place
        in the batch.
    """
    import pandas as pd

    values = np.empty(numbers.shape, dtype=np.float32)
    unfit: dict[int, str] = {}
    for at, (name, (_, column)) in enumerate(zip(names, numbers.items(), strict=True)):
        if not pd.api.types.is_numeric_dtype(column):
            found = pd.to_numeric(column, errors="coerce")
            for row in np.flatnonzero(found.isna().to_numpy() & column.notna().to_numpy()):
                unfit.setdefault(
                    int(row),
                    f"its column {name!r} holds {str(column.iloc[row])[:80]!r} instead of a number",
                )
            column = found
        with np.errstate(over="ignore"):
            values[:, at] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    values[~np.isfinite(values)] = np.nan
    return values, unfit
