"""Features of many songs: parallel, cached by content, and able to go on after any interruption."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.cache import FeatureCache, Row
from kg.audio.child import FEATURES
from kg.audio.features import columns, feature_version
from kg.audio.requests import Outcome, Request
from kg.audio.sound import COLUMNS, sound_version
from kg.audio.spectrum import Matrix
from kg.audio.table import FeatureTable
from kg.audio.workers import cores, perform_in_workers
from kg.errors import AudioError, WrongUsageError
from kg.excerpt import EXCERPT
from kg.files import CHANGED
from kg.progress import SILENT, Progress
from kg.records import Rejected

_SOME: Final = 500  # songs whose sound is handed out at once


@dataclass(frozen=True, slots=True, eq=False)
class Extraction:
    """The feature table of those songs that could be read, in the order they were given.

    Attributes:
        ids: n content ids, each once.
        features: float32 [n, d], finite; the columns are `kg.audio.features.columns()`. A large
            table is memory-mapped, so that a million songs don't fill the memory.
        duration: float64 [n], seconds of the whole file.
        sample_rate: int64 [n], Hz of the file.
        sound: float32 [n, `kg.audio.sound.COLUMNS`]; a row of NaN where an older kg listened.
        rejected: The files that did not become a song, in the order they were given.
        cached: How many of the n came from the cache.
    """

    ids: list[str]
    features: Matrix
    duration: NDArray[np.float64]
    sample_rate: NDArray[np.int64]
    sound: Matrix
    rejected: list[Rejected]
    cached: int


def extract(
    songs: Sequence[tuple[str, Path]],
    cache_dir: Path,
    *,
    modified: Mapping[str, int] | None = None,
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
        modified: When files were last changed as their content was hashed, in ns, by content id.
            One that changed since is rejected: what is heard isn't what was hashed.
        workers: Processes (None: one a core).
        excerpt: Seconds decoded from the middle of each song (None: all of it).
        dask: Address of a Dask scheduler, `tcp://HOST:PORT`, whose workers extract instead.
        progress: Told of every song that is done.

    Raises:
        KgError: the cache can't be written to, processes can't be started, or the Dask cluster
            can't be used.
        WrongUsageError: `workers` is less than one, or comes with `dask`.
    """
    if workers is not None and workers < 1:
        raise WrongUsageError(f"{workers} processes can't extract anything: at least 1 is needed.")
    if workers is not None and dask is not None:
        raise WrongUsageError(
            "Songs are extracted by processes on this machine or on a Dask cluster, not by both: "
            "leave one of the two out."
        )
    paths = dict(reversed(songs))  # of paths with the same content, the first
    order = {song: at for at, song in enumerate(dict.fromkeys(song for song, _ in songs))}
    rejected: dict[str, Rejected] = {}

    folder = cache_dir / "features" / feature_version(excerpt)
    with FeatureCache(folder, len(columns())) as cache, sound_cache(cache_dir, excerpt) as sounds:
        table = FeatureTable(len(order), len(columns()), folder)
        for rows in cache.find(order):
            table.put_many(rows)
        heard = FeatureTable(len(order), COLUMNS, sounds.folder)
        for rows in sounds.find(order):
            heard.put_many(rows)
        cached = int(table.filled.sum())
        missing = [song for song, at in order.items() if not table.filled[at]]
        modified = modified or {}
        requests = (
            Request(song, paths[song], excerpt, modified=modified.get(song)) for song in missing
        )
        with progress.stage("Extracting features", len(order)) as advance:
            advance(cached)
            outcomes = outcomes_of(requests, len(missing), workers, dask)
            with closing(outcomes):  # an exception ends the processes here and now
                for request, outcome in outcomes:
                    # Asked here: another machine may see another clock's times.
                    if isinstance(outcome, Row) and request.changed():
                        outcome = AudioError(CHANGED)
                    if isinstance(outcome, Row):
                        cache.add(request.song, outcome)
                        table.put(order[request.song], outcome)
                        if (sound := sound_row(outcome)) is not None:
                            sounds.add(request.song, sound)
                            heard.put(order[request.song], sound)
                    elif isinstance(outcome, AudioError):
                        rejected[request.song] = Rejected(request.path, outcome.reason)
                    advance(1, rejected=isinstance(outcome, AudioError))

    ids = [song for song, at in order.items() if table.filled[at]]
    heard.put_unknown(table.filled & ~heard.filled)
    heard.filled &= table.filled
    table.close_gaps()
    heard.close_gaps()
    return Extraction(
        ids=ids,
        features=table.features,
        duration=table.duration,
        sample_rate=table.sample_rate,
        sound=heard.features,
        rejected=[rejected[song] for song in order if song in rejected],
        cached=cached,
    )


def listen(
    songs: Sequence[tuple[str, Path]],
    cache_dir: Path,
    *,
    workers: int | None = None,
    excerpt: float | None = EXCERPT,
    progress: Progress = SILENT,
) -> Generator[list[tuple[str, Matrix]], None, None]:
    """Look at the sound of songs whose features are known: what is in no cache is listened to.

    Args:
        songs: Content ids and paths.
        cache_dir: Holds the cache.
        workers: Processes (None: one a core).
        excerpt: Seconds decoded from the middle of each song (None: all of it).
        progress: Told of every song that is done.

    Yields:
        Content ids and rows of `kg.audio.sound`, float32 [COLUMNS], some at a time; songs that
        can't be listened to are left out.

    Raises:
        KgError: the cache can't be written to, or processes can't be started.
    """
    paths = dict(reversed(songs))
    order = {song: at for at, song in enumerate(paths)}
    ids = list(order)
    with sound_cache(cache_dir, excerpt) as cache:
        left = dict(paths)
        with progress.stage("Listening to sound", len(paths)) as advance:
            for rows in cache.find(order):
                known = [(ids[at], row) for at, row in zip(rows.at, rows.features, strict=True)]
                new = [(id, row) for id, row in known if left.pop(id, None) is not None]
                advance(len(new))
                yield new
            requests = [Request(song, path, excerpt) for song, path in left.items()]
            some: list[tuple[str, Matrix]] = []
            with closing(outcomes_of(requests, len(requests), workers, None)) as outcomes:
                for request, outcome in outcomes:
                    heard = sound_row(outcome) if isinstance(outcome, Row) else None
                    if heard is not None:
                        cache.add(request.song, heard)
                        some.append((request.song, heard.features))
                    advance(1, rejected=heard is None)
                    if len(some) >= _SOME:
                        yield some
                        some = []
            yield some


def sound_cache(cache_dir: Path, excerpt: float | None) -> FeatureCache:
    """Where rows of `kg.audio.sound` are kept.

    Raises:
        KgError: the cache can't be written to.
    """
    return FeatureCache(cache_dir / "sound" / sound_version(excerpt), COLUMNS)


def sound_row(row: Row) -> Row | None:
    """What goes into that cache; None where nobody looked: a Dask worker of an older kg."""
    return None if row.sound is None else Row(row.sound, row.duration, row.sample_rate)


def outcomes_of(
    requests: Iterable[Request],
    count: int,
    workers: int | None,
    dask: str | None,
    *,
    warm: str | None = FEATURES,
    release: Callable[[], None] = lambda: None,
) -> Generator[tuple[Request, Outcome], None, None]:
    """Perform requests here or on a cluster; yields them with their outcomes as they end.

    Args:
        requests: What is asked.
        count: How many there are.
        workers: Processes (None: one a core).
        dask: Address of a Dask scheduler whose workers do it instead.
        warm: What processes had better prepare for: features, or a form.
        release: See `perform_in_workers`.

    Raises:
        KgError: processes can't be started, or the Dask cluster can't be used.
    """
    if dask is not None and count:
        from kg.audio.on_dask import perform_on_dask

        return perform_on_dask(requests, dask)
    return perform_in_workers(requests, min(workers or cores(), count), warm=warm, release=release)
