"""Features of many songs: parallel, cached by content, and able to go on after any interruption."""

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.cache import FeatureCache, Row
from kg.audio.decode import EXCERPT
from kg.audio.features import Matrix, columns, feature_version
from kg.audio.workers import Outcome, extract_in_workers, extract_one
from kg.errors import KgError, WrongUsageError
from kg.progress import SILENT, Progress
from kg.records import Rejected

_FEW: Final = 2  # songs for which starting processes isn't worth while


@dataclass(frozen=True, slots=True, eq=False)
class Extraction:
    """The feature table of those songs that could be read, in the order they were given.

    Attributes:
        ids: n content ids, each once.
        features: float32 [n, d], finite; the columns are `kg.audio.features.columns()`.
        duration: float64 [n], seconds of the whole file.
        sample_rate: int64 [n], Hz of the file.
        rejected: The files that did not become a song, in the order they were given.
        cached: How many of the n came from the cache.
    """

    ids: list[str]
    features: Matrix
    duration: NDArray[np.float64]
    sample_rate: NDArray[np.int64]
    rejected: list[Rejected]
    cached: int


def extract(
    songs: Sequence[tuple[str, Path]],
    cache_dir: Path,
    *,
    workers: int | None = None,
    excerpt: float | None = EXCERPT,
    dask: str | None = None,
    progress: Progress = SILENT,
) -> Extraction:
    """Extract the features of songs given as (content id, path).

    What was extracted before is read from the cache, whatever the file was called then. Rows
    reach the cache every few seconds and also when the run is interrupted.

    Args:
        songs: Content ids and paths; an id that comes twice is extracted once.
        cache_dir: Holds the cache, under `features/<feature version>/`.
        workers: Processes (None: one a core, and none for a few songs).
        excerpt: Seconds decoded from the middle of each song (None: all of it).
        dask: Address of a Dask scheduler, `tcp://HOST:PORT`, whose workers extract instead.
        progress: Told of every song that is done.

    Raises:
        KgError: the cache can't be written to, or processes can't be started.
        WrongUsageError: `workers` is less than one.
    """
    if workers is not None and workers < 1:
        raise WrongUsageError(f"{workers} processes can't extract anything: at least 1 is needed.")
    if dask is not None:
        raise KgError("Extraction on a Dask cluster is being built: leave --dask out.")
    paths = dict(reversed(songs))  # of paths with the same content, the first
    order = list(dict.fromkeys(song for song, _ in songs))
    rejected: dict[str, Rejected] = {}

    folder = cache_dir / "features" / feature_version(excerpt)
    with FeatureCache(folder, len(columns())) as cache:
        rows = cache.load(order)
        cached = len(rows)
        missing = [song for song in order if song not in rows]
        with progress.stage("Extracting features", len(order)) as advance:
            advance(cached)
            outcomes = _outcomes([paths[song] for song in missing], workers, excerpt)
            with closing(outcomes):  # an exception ends the processes here and now
                for index, outcome in outcomes:
                    song = missing[index]
                    if isinstance(outcome, Row):
                        rows[song] = outcome
                        cache.add(song, outcome)
                    else:
                        rejected[song] = Rejected(paths[song], outcome.reason)
                    advance(1, rejected=song in rejected)

    found = [song for song in order if song in rows]
    table = np.empty((len(found), len(columns())), np.float32)
    for i, song in enumerate(found):
        table[i] = rows[song].features
    return Extraction(
        ids=found,
        features=table,
        duration=np.array([rows[song].duration for song in found], np.float64),
        sample_rate=np.array([rows[song].sample_rate for song in found], np.int64),
        rejected=[rejected[song] for song in order if song in rejected],
        cached=cached,
    )


def _outcomes(
    paths: list[Path], workers: int | None, excerpt: float | None
) -> Generator[tuple[int, Outcome], None, None]:
    if workers is None and len(paths) <= _FEW:
        return ((index, extract_one(path, excerpt)) for index, path in enumerate(paths))
    count = min(workers or os.cpu_count() or 1, len(paths))
    return extract_in_workers(paths, count, excerpt)
