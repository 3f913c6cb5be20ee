"""What every transaction is made of: statements, batches, arrays as bytes."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.rows import Floats

T = TypeVar("T")

# Rows a transaction: large enough that round trips don't count, small enough that a message
# stays far below the servers' limits.
BATCH = 1000


def run(tx: neo4j.ManagedTransaction, text: str, /, **parameters: Any) -> None:
    """Execute a statement that returns nothing."""
    tx.run(text, parameters).consume()


def fetch(
    tx: neo4j.ManagedTransaction, text: str, parameters: dict[str, Any]
) -> list[dict[str, Any]]:
    """Execute a statement, and read all its rows."""
    result = tx.run(text, parameters)
    keys = result.keys()
    # Not Record.data(): it walks every value, which triples the time of a large read.
    return [dict(zip(keys, record.values(), strict=True)) for record in result]


def read_rows(connection: Connection, text: str, /, **parameters: Any) -> list[dict[str, Any]]:
    """Read all rows of a statement, in a transaction of their own.

    Raises:
        GraphError: the server refuses it or doesn't answer.
    """
    return connection.read(fetch, text, parameters)


def batches(items: Iterable[T], size: int | None = None) -> Iterator[list[T]]:
    """Cut into lists of `size` (default: BATCH); the last one may be shorter."""
    remaining = iter(items)
    while batch := list(islice(remaining, size or BATCH)):
        yield batch


def pack(values: Floats) -> bytes:
    """Write float32 [n] as a property: bytes take a quarter of a list, and no time to decode."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def unpack(raw: bytes) -> Floats:
    """Read what `pack` wrote."""
    return np.frombuffer(raw, dtype="<f4").astype(np.float32)
