"""What rows are called: keys of one width, ascending, of which a few are found without the rest."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Names(Sequence[str]):
    """Names of n rows, found by bisection: in a mapped file that reads log n of them.

    Args:
        raw: UTF-8, ascending, bytes [n].
    """

    def __init__(self, raw: NDArray[np.bytes_]) -> None:
        self._raw = raw

    @classmethod
    def of(cls, names: Sequence[str]) -> "Names":
        """Keep names.

        Raises:
            ValueError: they aren't ascending.
        """
        if any(a >= b for a, b in pairwise(names)):
            raise ValueError("names of rows must ascend")
        # An empty name would have no width, and an array of none has a width of 1 in any case.
        return cls(np.array([name.encode() for name in names] or [b"\0"], "S")[: len(names)])

    @classmethod
    def from_tensor(cls, values: Tensor) -> "Names":
        """Read what `as_tensor` gave, uint8 [n, width], without a copy."""
        raw = values.numpy()
        return cls(raw.view(f"S{raw.shape[1]}").reshape(len(raw)))

    def as_tensor(self) -> Tensor:
        """The names as uint8 [n, width], padded with zeros."""
        width = self._raw.dtype.itemsize
        return torch.from_numpy(self._raw.view(np.uint8).reshape(-1, width).copy())

    def find(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Rows that are called so, int64 [len(names)]; -1 where there is none."""
        width = self._raw.dtype.itemsize
        told = [name.encode() for name in names]
        # A longer key would make numpy copy all names to its own width.
        fits = np.array([0 < len(key) <= width for key in told], dtype=np.bool_)
        keys = np.array([key[:width] for key in told], dtype=f"S{width}")
        rows = np.searchsorted(self._raw, keys)
        there = fits & (rows < len(self))
        there[there] = self._raw[rows[there]] == keys[there]
        return np.where(there, rows, -1).astype(np.int64)

    def __len__(self) -> int:
        return len(self._raw)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> "Names": ...
    def __getitem__(self, row: "int | slice") -> "str | Names":
        if isinstance(row, slice):
            return Names(self._raw[row])
        name: bytes = self._raw[row]
        return name.decode()

    def __iter__(self) -> Iterator[str]:
        return (name.decode() for name in self._raw)
