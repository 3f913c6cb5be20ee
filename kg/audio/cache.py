"""The feature cache: Parquet parts in a folder of their own for each feature version."""

import logging
import os
import time
from collections.abc import Collection, Iterable
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
        self._flushed = time.monotonic()
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
        """Keep a row; it is on disk some seconds later, at the latest when the cache is closed."""
        self._pending[song] = row
        waited = time.monotonic() - self._flushed
        if waited > FLUSH_SECONDS or len(self._pending) >= FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that aren't on disk yet, as one part."""
        if self._pending:
            import pyarrow as pa

            rows = self._pending.values()
            table = pa.table(
                [
                    list(self._pending),
                    [row.duration for row in rows],
                    [row.sample_rate for row in rows],
                    pa.FixedSizeListArray.from_arrays(
                        np.concatenate([row.features for row in rows]), self.width
                    ),
                ],
                schema=self._schema(),
            )
            self._write([table])
            self._pending.clear()
        self._flushed = time.monotonic()

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
        """Read every part that can be read; one that can't is dropped, so its songs come anew."""
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
                log.warning(
                    "A part of the feature cache is damaged; its songs are extracted again: "
                    "%s (%s)",
                    part,
                    str(error).splitlines()[0],
                )
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
