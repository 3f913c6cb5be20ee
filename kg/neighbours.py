"""Similar songs: the nearest by cosine, exact up to 20,000 songs and by HNSW above.

The index lies on disk beside the feature cache (see `kg.cells`), so that a new song finds its
neighbours without reading the library. It says which build of the graph it belongs to and is made
anew when that isn't the graph's, or when it isn't as it was written.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kg.cells import Cells, open_cells, write

Floats = NDArray[np.float32]

EXACT_SONGS = 20_000
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The k nearest of each of n songs, nearest first.

    Attributes:
        index: Rows of the neighbours in the index, int64 [n, k]; -1 where there are fewer.
        similarity: Their cosine, float32 [n, k].
    """

    index: NDArray[np.int64]
    similarity: Floats

    def without(self, rows: Collection[int], k: int) -> "Neighbours":
        """The first k that aren't among these rows of the index."""
        index = np.full((len(self.index), k), -1, dtype=np.int64)
        similarity = np.zeros((len(self.index), k), dtype=np.float32)
        stays = (self.index >= 0) & ~np.isin(self.index, list(rows))
        for row, kept in enumerate(stays):
            first = np.flatnonzero(kept)[:k]
            index[row, : len(first)] = self.index[row, first]
            similarity[row, : len(first)] = self.similarity[row, first]
        return Neighbours(index, similarity)


class NeighbourIndex:
    """Unit vectors of songs, and their nearest.

    Args:
        ids: Key of each song.
        vectors: Unit vectors, float32 [n, d] (`FeatureSpace.metric`).
        build: The build of the graph that the vectors belong to.
        exact_songs: Above this many songs HNSW answers, below it exact products.
    """

    def __init__(
        self, ids: list[str], vectors: Floats, build: str, *, exact_songs: int = EXACT_SONGS
    ) -> None:
        self.ids = ids
        self.build = build
        self.vectors = vectors
        self._exact = len(ids) <= exact_songs

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _hnsw(self) -> Any:
        import voyager

        index = voyager.Index(
            voyager.Space.InnerProduct,
            num_dimensions=self.vectors.shape[1],
            M=16,
            ef_construction=200,
            random_seed=0,
        )
        # One thread: several build another graph, and find other neighbours, each time.
        index.add_items(self.vectors, num_threads=1)
        return index

    def of_members(self, k: int) -> Neighbours:
        """The k nearest of every song in the index, itself left out."""
        found = self.nearest(self.vectors, k + 1)
        index = np.full((len(self), k), -1, dtype=np.int64)
        similarity = np.zeros((len(self), k), dtype=np.float32)
        for row in range(len(self)):
            others = found.index[row] != row
            kept = found.index[row][others][:k]
            index[row, : len(kept)] = kept
            similarity[row, : len(kept)] = found.similarity[row][others][: len(kept)]
        return Neighbours(index, similarity)

    def nearest(self, vectors: Floats, k: int) -> Neighbours:
        """The k nearest songs of each of these unit vectors, float32 [n, d]."""
        width = min(k, len(self))
        index = np.full((len(vectors), k), -1, dtype=np.int64)
        similarity = np.zeros((len(vectors), k), dtype=np.float32)
        if width == 0 or len(vectors) == 0:
            return Neighbours(index, similarity)
        if not self._exact:
            found, distance = self._hnsw.query(
                vectors, k=width, query_ef=max(4 * width, 64), num_threads=-1
            )
            index[:, :width] = found.astype(np.int64)
            similarity[:, :width] = 1 - distance
            return Neighbours(index, similarity)
        for start in range(0, len(vectors), _BLOCK):
            block = slice(start, min(start + _BLOCK, len(vectors)))
            products = vectors[block] @ self.vectors.T
            # Stable, so that ties (duplicates) fall the same way on every run.
            order = np.argsort(-products, axis=1, kind="stable")[:, :width]
            index[block, :width] = order
            similarity[block, :width] = np.take_along_axis(products, order, axis=1)
        return Neighbours(index, similarity)

    def save(self, folder: Path) -> None:
        """Write the index so that `SavedIndex.load` finds it whole or not at all.

        Raises:
            OSError: the folder can't be written to.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".neighbours-", dir=folder.parent))
        try:
            write(part, self.ids, self.vectors, self.build)
            _replace(folder, part)
        finally:
            shutil.rmtree(part, ignore_errors=True)


class SavedIndex:
    """The index on disk: what one song costs in it doesn't grow with the library.

    Attributes:
        ids: Key of each song; their order is the index's own.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self.ids: Sequence[str] = cells.ids

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def load(cls, folder: Path, build: str, columns: int) -> "SavedIndex | None":
        """The saved index; None unless it is whole and of that build and width."""
        cells = open_cells(folder, build, columns)
        return None if cells is None else cls(cells)

    def nearest(self, vectors: Floats, k: int) -> Neighbours:
        """The k nearest songs of each of these unit vectors, float32 [n, d].

        Raises:
            DamagedError: the index isn't as it was written.
        """
        return Neighbours(*self._cells.nearest(vectors, k))


def _replace(folder: Path, new: Path) -> None:
    """Move `new` to `folder`, whatever others put there meanwhile: the last one stays."""
    aside = new.with_name(f"{new.name}-old")
    for _ in range(100):
        try:
            new.replace(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
        # A full folder can't be replaced in one step, but it can step aside in one.
        with suppress(FileNotFoundError):
            folder.rename(aside)
            shutil.rmtree(aside)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(folder))
