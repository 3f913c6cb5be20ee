"""The neighbour index on disk: songs by cells, mapped into memory and looked at cell by cell.

An inverted file (Sivic and Zisserman 2003; Jégou et al. 2011, IVF): songs lie in cells around
k-means centres, and a new song is compared with those of the nearest cells until there are enough.
So what is read doesn't grow with the library but for the centres, four times the square root of the
songs. An HNSW index of voyager can't be mapped: all of it is read to ask for one song.

Recall of the ten nearest among 4,000 candidates: 0.997 of 24,900 AudioSet vectors, 1.0 of 12,415
musicnn patches, 0.99 of 100,000 made-up songs in kg's 574 columns (2,000 candidates: 0.92 to 1.0;
half the cells: 0.986; `benchmarks/add.py` measures it on the library it makes).
"""

import json
import math
import tokenize
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

# A new song is compared with at least so many, or with all where there are no more.
CANDIDATES: Final = 4_000
# Raised when an index that lies on disk can't be read any more.
FORMAT: Final = 1
_BLOCK: Final = 1_024
# Songs for each centre that k-means is fitted on, and its rounds: more find no more neighbours.
_FIT_SONGS, _FIT_ROUNDS = 20, 10


class DamagedError(Exception):
    """What lies on disk isn't what was written."""


class _Ids(Sequence[str]):
    """Keys as they lie on disk, one decoded when it is asked for."""

    def __init__(self, raw: NDArray[np.bytes_]) -> None:
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        if isinstance(row, slice):
            return _Ids(self._raw[row])
        key: bytes = self._raw[row]
        return key.decode()


class Cells:
    """An index on disk, of which only what is asked for is read; see `write` and `open`.

    Attributes:
        ids: Key of each song, in the order of the cells.
    """

    def __init__(
        self,
        ids: NDArray[np.bytes_],
        vectors: Floats,
        centres: Floats,
        starts: Rows,
        sums: NDArray[np.uint32],
    ) -> None:
        self.ids: Sequence[str] = _Ids(ids)
        self._raw_ids = ids
        self._vectors = vectors
        self._centres = centres
        self._starts = starts
        self._sums = sums
        self._seen = np.zeros(len(sums), dtype=np.bool_)

    def __len__(self) -> int:
        return len(self.ids)

    def nearest(self, vectors: Floats, k: int) -> tuple[Rows, Floats]:
        """The k nearest songs of each of these unit vectors, float32 [n, d].

        Returns:
            Rows of the songs, int64 [n, k], nearest first and -1 where there are fewer, and their
            cosine, float32 [n, k].

        Raises:
            DamagedError: a cell that had to be looked at isn't as it was written.
        """
        index = np.full((len(vectors), k), -1, dtype=np.int64)
        similarity = np.zeros((len(vectors), k), dtype=np.float32)
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK]
            for row, (rows, cosines) in enumerate(self._candidates(block, k), start=start):
                # Stable, and rows ascend: ties (duplicates) fall the same way on every run.
                first = np.argsort(-cosines, kind="stable")[:k]
                index[row, : len(first)] = rows[first]
                similarity[row, : len(first)] = cosines[first]
        return index, similarity

    def _candidates(self, vectors: Floats, k: int) -> list[tuple[Rows, Floats]]:
        """Rows of the songs in the nearest cells of each vector, ascending, and their cosine."""
        sizes = np.diff(self._starts)
        asking: dict[int, list[int]] = {}
        if len(sizes) == 1:
            asking[0] = list(range(len(vectors)))
        else:
            order = np.argsort(-(vectors @ self._centres.T), axis=1, kind="stable")
            there = np.cumsum(sizes[order], axis=1)
            enough = np.argmax(there >= min(max(CANDIDATES, k), len(self)), axis=1)
            for row, last in enumerate(enough):
                for cell in order[row, : last + 1].tolist():
                    asking.setdefault(cell, []).append(row)
        found: list[list[tuple[Rows, Floats]]] = [[] for _ in vectors]
        for cell in sorted(asking):
            rows = np.arange(self._starts[cell], self._starts[cell + 1])
            products = vectors[asking[cell]] @ self._cell(cell).T
            for row, cosines in zip(asking[cell], products, strict=True):
                found[row].append((rows, cosines))
        return [
            (np.concatenate([r for r, _ in each]), np.concatenate([c for _, c in each]))
            for each in found
        ]

    def _cell(self, cell: int) -> Floats:
        """Vectors of the songs in a cell, after a look whether they and their keys are whole."""
        part = slice(int(self._starts[cell]), int(self._starts[cell + 1]))
        vectors: Floats = self._vectors[part]
        if not self._seen[cell]:
            if _sum(vectors, self._raw_ids[part]) != self._sums[cell]:
                raise DamagedError
            self._seen[cell] = True
        return vectors


def write(folder: Path, ids: Sequence[str], vectors: Floats, build: str) -> None:
    """Write an index into an empty folder.

    Args:
        folder: Where to.
        ids: Key of each song.
        vectors: Their unit vectors, float32 [n, d].
        build: The build of the graph that they belong to.

    Raises:
        OSError: the folder can't be written to.
    """
    cells, centres = _dealt(vectors)
    order = np.argsort(cells, kind="stable")
    starts = np.searchsorted(cells[order], np.arange(len(centres) + 1)).astype(np.int64)
    raw = np.array([id.encode() for id in ids], dtype=np.bytes_)[order]
    sums = np.zeros(len(centres), dtype=np.uint32)
    # Written and not mapped: on a full disk a mapped file ends the process.
    with (folder / "vectors.npy").open("wb") as file:
        about = {"descr": "<f4", "fortran_order": False, "shape": vectors.shape}
        np.lib.format.write_array_header_1_0(file, about)
        for cell in range(len(centres)):
            part = slice(starts[cell], starts[cell + 1])
            own = np.ascontiguousarray(vectors[order[part]], dtype="<f4")
            sums[cell] = _sum(own, raw[part])
            file.write(own.data)
    small: dict[str, NDArray[Any]] = {"centres": centres, "starts": starts, "sums": sums}
    for name, values in (*small.items(), ("ids", raw)):
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    told = {"format": FORMAT, "build": build, "songs": len(ids), "sum": _sum(*small.values())}
    (folder / "index.json").write_text(json.dumps(told))


def open_cells(folder: Path, build: str, columns: int) -> Cells | None:
    """The index in a folder; None unless it is whole, of this build, and as wide as `columns`."""
    try:
        about = json.loads((folder / "index.json").read_text())
        if (about["format"], about["build"]) != (FORMAT, build):
            return None
        small = {name: _array(folder, name) for name in ("centres", "starts", "sums")}
        ids, vectors = _array(folder, "ids", mapped=True), _array(folder, "vectors", mapped=True)
        songs = about["songs"]
        if (
            _sum(*small.values()) != about["sum"]
            or vectors.dtype != np.float32
            or ids.dtype.kind != "S"
            or [vectors.shape, ids.shape] != [(songs, columns), (songs,)]
        ):
            return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, tokenize.TokenError):
        return None  # not there, cut off, or overwritten: it is made anew
    return Cells(ids, vectors, **small)


def _array(folder: Path, name: str, *, mapped: bool = False) -> NDArray[Any]:
    # Mapped, a file that is shorter than it says is refused when it is opened.
    found: NDArray[Any] = np.load(
        folder / f"{name}.npy", mmap_mode="r" if mapped else None, allow_pickle=False
    )
    return found


def _sum(*arrays: NDArray[Any]) -> int:
    total = 0
    for values in arrays:
        total = zlib.crc32(np.ascontiguousarray(values).view(np.uint8).data, total)
    return total


def _dealt(vectors: Floats) -> tuple[Rows, Floats]:
    """The cell of each vector, int64 [n], and the cells' centres, unit vectors [c, d].

    As many as are looked at anyway are one cell, so that what is found is exact.
    """
    count, columns = vectors.shape
    if count <= CANDIDATES:
        return np.zeros(count, dtype=np.int64), np.zeros((1, columns), dtype=np.float32)
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    wanted = 4 * round(math.sqrt(count))
    chance = np.random.default_rng(0)
    fit = np.sort(chance.choice(count, min(count, _FIT_SONGS * wanted), replace=False))
    # Copies fill fewer cells than there are; what k-means would warn of is no harm here.
    points = np.unique(vectors[fit], axis=0)
    means = KMeans(
        min(wanted, len(points)), init="random", n_init=1, max_iter=_FIT_ROUNDS, random_state=0
    )
    with threadpool_limits(1):  # sums over several threads come out in another order each time
        centres = means.fit(points).cluster_centers_.astype(np.float32)
    length = np.linalg.norm(centres, axis=1, keepdims=True)
    centres /= np.where(length > 0, length, np.float32(1))
    cells = np.empty(count, dtype=np.int64)
    for start in range(0, count, _BLOCK):
        part = slice(start, start + _BLOCK)
        cells[part] = np.argmax(vectors[part] @ centres.T, axis=1)
    return cells, centres
