"""Parquet files: what their columns hold, and some of them read in batches."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kg.sources.reading import KEYS, Field, Kind, shortened, undamaged

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BUFFER: Final = 1 << 16  # bytes of each column that are read at once


def read_columns(
    file: "pq.ParquetFile", wanted: list[str], rows: int
) -> "Iterator[list[pa.Array]]":
    """Read some columns, so many rows at once or fewer, but never none.

    Raises:
        UnfitError: the file is damaged.
    """
    batches = file.iter_batches(rows, columns=wanted, use_threads=False)
    while True:
        with undamaged("Parquet", *parquet_damage()):
            batch = next(batches, None)
            if batch is None:
                return
            # By name: for `a` Arrow reads `a.b`, too.
            columns = [batch.column(batch.schema.get_field_index(name)) for name in wanted]
        if len(batch):
            yield columns


def parquet_damage() -> tuple[type[Exception], ...]:
    """What pyarrow raises on broken bytes."""
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError, LookupError, TypeError)


def describe_columns(schema: "pa.Schema", songs: int) -> list[Field]:
    """Describe the columns."""
    index = index_of_pandas(schema)
    return [
        Field(
            name=column.name,
            kind="other" if column.name in index else kind_of_column(column.type),
            type=shortened(str(column.type)),
            rows=songs,
        )
        for column in schema
    ]


def kind_of_column(kind: "pa.DataType") -> Kind:
    """What values of a type are to us."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    elif is_number(kind):
        return "numbers"
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return "vectors" if is_number(kind.value_type) else "other"
    texts = (
        *(types.is_string, types.is_large_string, types.is_string_view),
        *(types.is_binary, types.is_large_binary, types.is_binary_view),
    )
    return "text" if any(is_text(kind) for is_text in texts) else "other"


def is_number(kind: "pa.DataType") -> bool:
    """Whether values of a type are integers or floats."""
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind))


def index_of_pandas(schema: "pa.Schema") -> frozenset[str]:
    """Columns of integers that are a data frame's index, and called like no ids."""
    from pyarrow import types

    try:
        index = schema.pandas_metadata["index_columns"]
    except (TypeError, ValueError, LookupError, RecursionError):  # no data frame's, or broken JSON
        return frozenset()
    named = {name for name in index if isinstance(name, str)} if isinstance(index, list) else set()
    return frozenset(
        column.name
        for column in schema
        if column.name in named
        and column.name.lower() not in KEYS
        and types.is_integer(column.type)
    )


def as_float32(column: "pa.Array") -> NDArray[np.float32]:
    """Numbers of a column; what is too large becomes infinite."""
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = column.to_numpy(zero_copy_only=False).astype(np.float32)
    return values
