"""The feature cache: Parquet parts in a folder of their own for each feature version."""

import logging
import os
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from kg.audio.features import Matrix
from kg.errors import KgError

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 3.0
"""At most this much work is lost when a run is killed."""

FLUSH_ROWS: Final = 5_000
"""Rows held in memory before a part is written, whatever the clock says."""

MOST_PARTS: Final = 32
"""More parts than this are made one when the cache is closed."""

_STALE_SECONDS: Final = 3600.0  # a temporary file this old was left by a run that was killed


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What is kept of a song: its features and what decoding told of the file."""

    features: Matrix
    duration: float
    sample_rate: int


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
            self.compact()

    def load(self, ids: Collection[str]) -> dict[str, Row]:
        """Find the rows of those `ids` that are cached."""
        import pyarrow as pa
        import pyarrow.compute as pc

        rows: dict[str, Row] = {}
        wanted = pa.array(list(ids), pa.string())
        for _, table in self._tables():
            table = table.filter(pc.is_in(table["id"], wanted))
            if not len(table):
                continue
            features = table["features"].combine_chunks()
            matrix = features.flatten().to_numpy().reshape(-1, self.width)
            rows.update(
                (song, Row(vector, duration, rate))
                for song, vector, duration, rate in zip(
                    table["id"].to_pylist(),
                    matrix,
                    table["duration"].to_pylist(),
                    table["sample_rate"].to_pylist(),
                    strict=True,
                )
            )
        return rows

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
            if self._pending:
                self._write([self._table(self._pending)])
                self._pending.clear()

    def _flush_in_time(self) -> None:
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - raised again by the next `add`
            self._failure = error

    def compact(self) -> None:
        """Make one part of many; a song that is in several of them is kept once."""
        for leftover in self.folder.glob("*.tmp"):
            if time.time() - _modified(leftover) > _STALE_SECONDS:
                _remove(leftover)
        if len(list(self.folder.glob("*.parquet"))) <= MOST_PARTS:
            return
        import pyarrow as pa
        import pyarrow.compute as pc

        parts, tables = [], []
        seen = pa.array([], pa.string())
        for part, table in self._tables():
            parts.append(part)
            tables.append(table.filter(pc.invert(pc.is_in(table["id"], seen))))
            seen = pa.concat_arrays([seen, *tables[-1]["id"].chunks])
        self._write(tables)
        for part in parts:
            _remove(part)

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

    def _tables(self) -> "Iterable[tuple[Path, pa.Table]]":
        """Read every part that can be read; a damaged one is removed: its songs come anew."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for part in sorted(self.folder.glob("*.parquet")):
            try:
                table = pq.read_table(part, partitioning=None)
                if table.schema != self._schema():
                    raise pa.ArrowInvalid("its columns aren't those of a feature table")
            except FileNotFoundError:  # another run has made one part of many
                continue
            except (pa.ArrowException, OSError) as error:
                # Arrow raises OSError for damage too, but then without a number.
                damaged = not isinstance(error, MemoryError) and not getattr(error, "errno", None)
                log.warning(
                    "A part of the feature cache %s; its songs are extracted again: %s (%s)",
                    "is damaged" if damaged else "can't be read now",
                    part,
                    str(error).splitlines()[0],
                )
                if damaged:
                    _remove(part)
            else:
                yield part, table

    def _write(self, tables: "list[pa.Table]") -> None:
        import pyarrow.parquet as pq

        name = f"{time.time_ns():020d}-{os.getpid()}"
        temporary, part = self.folder / f"{name}.tmp", self.folder / f"{name}.parquet"
        try:
            with pq.ParquetWriter(temporary, self._schema(), compression="zstd") as writer:
                for table in tables:
                    writer.write_table(table)
            temporary.replace(part)
        except OSError as error:
            _remove(temporary)
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> KgError:
        reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
        return KgError(
            f"The feature cache {self.folder} can't be written to ({reason}): make room there, "
            "or choose another home with --home DIR or KG_HOME."
        )


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile
        return time.time()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # in use or read-only: it is in nobody's way
        log.debug("%s stays: %s", path, error)
