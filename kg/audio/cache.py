"""The feature cache: Parquet parts in a folder of their own for each feature version."""

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from kg.audio.spectrum import Matrix
from kg.errors import KgError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 3.0
"""At most this much work is lost when a run is killed."""

FLUSH_ROWS: Final = 5_000
"""Rows held in memory before a part is written, whatever the clock says."""

MOST_PARTS: Final = 32
"""More small parts than this are made one."""

SMALL_PART: Final = 16 << 20
"""Bytes below which a part is small; larger ones aren't copied any more."""

_GROUP: Final = 4_096  # rows of a part that are read at once, some 8 MB
_STALE_SECONDS: Final = 3600.0  # a temporary file this old was left by a run that was killed


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What is kept of a song: its features and what decoding told of the file.

    `sound` goes into a cache of its own (`kg.audio.sound`), so that features outlive it.
    """

    features: Matrix
    duration: float
    sample_rate: int
    sound: Matrix | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some cached songs.

    Attributes:
        at: int64 [k], where each was wanted.
        features: float32 [k, d].
        duration: float64 [k].
        sample_rate: int64 [k].
    """

    at: NDArray[np.int64]
    features: Matrix
    duration: NDArray[np.float64]
    sample_rate: NDArray[np.int64]


class FeatureCache:
    """Rows by content id; any number of runs may share them, as parts are written whole or not.

    Args:
        folder: Where the parts lie; created if it is missing.
        width: Length of a feature vector.

    Raises:
        KgError: the folder can't be created or written to (by any method that writes).
    """

    def __init__(self, folder: Path, width: int) -> None:
        self.folder = folder
        self.width = width
        self._pending: dict[str, Row] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._failure: Exception | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot_write(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()
        if kind is None:
            remove_leftovers(self.folder)

    def find(self, wanted: Mapping[str, int]) -> Iterator[Rows]:
        """Read those songs that are cached, some thousand at a time; a song may come twice.

        Args:
            wanted: Content ids, and what the caller numbers each with.
        """
        import pyarrow as pa

        seen: set[Path] = set()
        # Listed again until nothing is new: another run may make one part of several meanwhile.
        while parts := [part for part in self._parts() if part not in seen]:
            seen.update(parts)
            for part in parts:
                try:
                    yield from self._read_wanted(part, wanted)
                except (pa.ArrowException, OSError) as error:
                    _unreadable(part, error)

    def add(self, song: str, row: Row) -> None:
        """Keep a row; it is on disk `FLUSH_SECONDS` later, whatever happens meanwhile."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            self._pending[song] = row
            full = len(self._pending) >= FLUSH_ROWS
            if self._timer is None:
                self._timer = threading.Timer(FLUSH_SECONDS, self._flush_in_time)
                self._timer.daemon = True
                self._timer.start()
        if full:
            self.flush()

    def flush(self) -> None:
        """Write the rows that aren't on disk yet, as one part."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if not self._pending:
                return
            try:
                self._write([self._table(self._pending)])
            except OSError as error:
                raise self._cannot_write(error) from error
            self._pending.clear()
            self._compact()

    def _flush_in_time(self) -> None:
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - raised again by the next `add`
            self._failure = error

    def _compact(self) -> None:
        """Make one part of many small ones; a song that is in several of them is kept once."""
        small = [part for part in self._parts() if _size(part) < SMALL_PART]
        if len(small) <= MOST_PARTS:
            return
        read: list[Path] = []
        try:
            self._write(self._once(small, read))
        except OSError as error:
            # All rows are on disk: it is only that they lie in more files than they need.
            log.warning("The feature cache %s can't be tidied: %s", self.folder, _why(error))
        else:
            for part in read:
                _remove(part)

    def _once(self, parts: list[Path], read: list[Path]) -> "Iterator[pa.Table]":
        """Give the rows of `parts`, each song once; adds to `read` what was read to its end."""
        import pyarrow as pa

        seen: set[str] = set()
        for part in parts:
            try:
                with self._open(part) as file:
                    for group in range(file.num_row_groups):
                        table = file.read_row_group(group)
                        ids = table["id"].to_pylist()
                        yield table.filter(pa.array([song not in seen for song in ids]))
                        seen.update(ids)
                read.append(part)
            except (pa.ArrowException, OSError) as error:
                _unreadable(part, error)

    def _table(self, songs: Mapping[str, Row]) -> "pa.Table":
        import pyarrow as pa

        rows = songs.values()
        return pa.table(
            [
                list(songs),
                [row.duration for row in rows],
                [row.sample_rate for row in rows],
                pa.FixedSizeListArray.from_arrays(
                    np.concatenate([row.features for row in rows]), self.width
                ),
            ],
            schema=self._schema(),
        )

    def _schema(self) -> "pa.Schema":
        import pyarrow as pa

        return pa.schema(
            [
                ("id", pa.string()),
                ("duration", pa.float64()),
                ("sample_rate", pa.int32()),
                ("features", pa.list_(pa.float32(), self.width)),
            ]
        )

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def _open(self, part: Path) -> "pq.ParquetFile":
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = pq.ParquetFile(part, page_checksum_verification=True)
        if file.schema_arrow != self._schema():
            file.close()
            raise pa.ArrowInvalid("its columns aren't those of a feature table")
        return file

    def _read_wanted(self, part: Path, wanted: Mapping[str, int]) -> Iterator[Rows]:
        with self._open(part) as file:
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["id"])["id"].to_pylist()
                at = np.fromiter((wanted.get(song, -1) for song in ids), np.int64, len(ids))
                hits = at >= 0
                if not hits.any():  # the rest of the group is never read
                    continue
                rest = file.read_row_group(group, columns=["features", "duration", "sample_rate"])
                values = rest["features"].combine_chunks().flatten().to_numpy()
                yield Rows(
                    at=at[hits],
                    features=values.reshape(-1, self.width)[hits],
                    duration=rest["duration"].to_numpy()[hits],
                    sample_rate=rest["sample_rate"].to_numpy()[hits].astype(np.int64),
                )

    def _write(self, tables: "Iterable[pa.Table]") -> None:
        import pyarrow.parquet as pq

        name = f"{time.time_ns():020d}-{os.getpid()}"
        temporary, part = self.folder / f"{name}.tmp", self.folder / f"{name}.parquet"
        options = {"compression": "zstd", "write_page_checksum": True}
        try:
            with pq.ParquetWriter(temporary, self._schema(), **options) as writer:
                for table in _grouped(tables):
                    writer.write_table(table, row_group_size=_GROUP)
            temporary.replace(part)
        except BaseException:
            _remove(temporary)
            raise

    def _cannot_write(self, error: OSError) -> KgError:
        return cannot_write(f"The feature cache {self.folder}", error)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that runs left which were killed long ago, subfolders included."""
    for leftover in folder.rglob("*.tmp"):
        with suppress(OSError):  # gone meanwhile
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                _remove(leftover)


def cannot_write(what: str, error: OSError) -> KgError:
    """Say that something below the home can't be written to, and how to mend it."""
    return KgError(
        f"{what} can't be written to ({_why(error)}): make room there, "
        "or choose another home with --home DIR or KG_HOME."
    )


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error).splitlines()[0]


def _grouped(tables: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    """Join small tables, so that a part isn't made of crumbs."""
    import pyarrow as pa

    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= _GROUP:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _unreadable(part: Path, error: Exception) -> None:
    """Remove a part that is damaged: its songs come anew."""
    if isinstance(error, FileNotFoundError):  # another run has made one part of many
        return
    # Arrow raises OSError for damage too, but then without a number.
    damaged = not isinstance(error, MemoryError) and not getattr(error, "errno", None)
    log.warning(
        "A part of the feature cache %s; its songs are extracted again: %s (%s)",
        "is damaged" if damaged else "can't be read now",
        part,
        _why(error),
    )
    if damaged:
        _remove(part)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone meanwhile
        return 0


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # in use or read-only: it is in nobody's way
        log.debug("%s stays: %s", path, error)
