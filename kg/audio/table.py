"""The feature table while it is being filled: in memory, or in a file once it is large."""

import mmap
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.cache import Row, Rows, cannot_write
from kg.audio.spectrum import Matrix

IN_MEMORY: Final = 64 << 20
"""Bytes up to which features are kept in memory; a larger table is memory-mapped."""

_CHUNK: Final = 4_096  # rows moved, or written to the mapping, at once


class FeatureTable:
    """Rows for `count` songs, put in any order.

    Args:
        count: Rows there will be at most.
        width: Length of a feature vector.
        folder: Where a large table's file lies. It has no name there and ends with the process.

    Attributes:
        filled: bool [count], which rows were put.
        features: float32 [count, width].
        duration: float64 [count].
        sample_rate: int64 [count].

    Raises:
        KgError: there is no room for the file.
    """

    def __init__(self, count: int, width: int, folder: Path) -> None:
        self.filled = np.zeros(count, bool)
        self.duration = np.zeros(count, np.float64)
        self.sample_rate = np.zeros(count, np.int64)
        self._map: mmap.mmap | None = None
        self._dirty = 0
        size = 4 * count * width
        if size <= IN_MEMORY:
            self.features: Matrix = np.zeros((count, width), np.float32)
        else:
            self._map = _mapped(size, folder)
            self.features = np.frombuffer(self._map, np.float32).reshape(count, width)

    def put(self, at: int, row: Row) -> None:
        """Fill one row."""
        self.features[at] = row.features
        self.duration[at], self.sample_rate[at] = row.duration, row.sample_rate
        self.filled[at] = True
        self._wrote(1)

    def put_many(self, rows: Rows) -> None:
        """Fill the rows `rows.at`."""
        self.features[rows.at] = rows.features
        self.duration[rows.at], self.sample_rate[rows.at] = rows.duration, rows.sample_rate
        self.filled[rows.at] = True
        self._wrote(len(rows.at))

    def put_unknown(self, rows: NDArray[np.bool_]) -> None:
        """Fill rows of which nothing is known, bool [count], with NaN."""
        places = np.flatnonzero(rows)
        for begin in range(0, len(places), _CHUNK):
            part = places[begin : begin + _CHUNK]
            self.features[part] = np.nan
            self.filled[part] = True
            self._wrote(len(part))

    def close_gaps(self) -> None:
        """Leave out the rows that weren't filled; the others keep their order."""
        kept = np.flatnonzero(self.filled)
        if len(kept) < len(self.filled):
            for begin in range(0, len(kept), _CHUNK):
                part = kept[begin : begin + _CHUNK]
                self.features[begin : begin + len(part)] = self.features[part]
                self._wrote(len(part))
            self.features = self.features[: len(kept)]
            self.duration, self.sample_rate = self.duration[kept], self.sample_rate[kept]
            self.filled = self.filled[kept]

    def _wrote(self, rows: int) -> None:
        self._dirty += rows
        if self._dirty >= _CHUNK:
            self._dirty = 0
            # What was written stays in the file, and needn't stay in this process's memory.
            if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
                self._map.madvise(mmap.MADV_DONTNEED)


def _mapped(size: int, folder: Path) -> mmap.mmap:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            # Room is taken now: a disk that is full when a mapped page is written ends the process.
            zeros = bytes(1 << 20)
            for begin in range(0, size, len(zeros)):
                file.write(zeros[: size - begin])
            file.flush()
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise cannot_write(f"The feature table in {folder}", error) from error
