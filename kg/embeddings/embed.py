"""Vectors of many songs: decoded in processes, heard by one network, cached by content."""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition

from kg.audio.cache import FeatureCache, Row
from kg.audio.extract import outcomes_of
from kg.audio.requests import Formed, Outcome, Request
from kg.audio.spectrum import Matrix
from kg.audio.table import FeatureTable
from kg.audio.workers import cores
from kg.embeddings.ears import Ear, Floats
from kg.errors import AudioError
from kg.excerpt import EXCERPT
from kg.files import CHANGED
from kg.progress import SILENT, Progress
from kg.records import Embedding, Rejected


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What a network hears in those songs that could be read, in the order they were given.

    Attributes:
        ids: n content ids, each once.
        vectors: float32 [n, columns of the embedding]; memory-mapped where they are many.
        rejected: The files that could not be heard.
    """

    ids: list[str]
    vectors: Matrix
    rejected: list[Rejected]


def embed(
    songs: Sequence[tuple[str, Path]],
    embedding: Embedding,
    open_ear: Callable[[], Ear],
    cache_dir: Path,
    *,
    modified: Mapping[str, int] | None = None,
    workers: int | None = None,
    excerpt: float | None = EXCERPT,
    dask: str | None = None,
    progress: Progress = SILENT,
) -> Embedded:
    """Let a network hear songs given as (content id, path).

    What was heard before is read from the cache, and then the network isn't even loaded. Songs are
    decoded by as many processes, and heard by as many threads, as there are cores.

    Args:
        songs: Content ids and paths; an id that comes twice is heard once.
        embedding: What the network gives.
        open_ear: Loads it.
        cache_dir: Holds the cache, under `embeddings/<family>-<hash>/`.
        modified: When files were last changed as their content was hashed, in ns, by content id.
        workers: Processes and threads (None: one a core).
        excerpt: Seconds listened to from the middle of each song (None: all of it).
        dask: Address of a Dask scheduler, whose workers decode instead.
        progress: Told of every song that is done.

    Raises:
        KgError: the network can't be loaded, the cache can't be written to, processes can't be
            started, or the Dask cluster can't be used.
    """
    paths = dict(reversed(songs))
    order = {song: at for at, song in enumerate(dict.fromkeys(song for song, _ in songs))}
    rejected: dict[str, Rejected] = {}
    folder = cache_dir / "embeddings" / _cache_name(embedding, excerpt)
    width = len(embedding.columns)
    with FeatureCache(folder, width) as cache:
        table = FeatureTable(len(order), width, folder)
        for rows in cache.find(order):
            table.put_many(rows)
        missing = [song for song, at in order.items() if not table.filled[at]]
        # Loaded before the stage begins: what it has to say must not fall into a progress bar.
        ear = open_ear() if missing else None
        with progress.stage(f"Listening with {embedding.name}", len(order)) as advance:
            advance(len(order) - len(missing))
            if ear is not None:
                known = modified or {}
                requests = [
                    Request(song, paths[song], excerpt, modified=known.get(song), form=ear.form)
                    for song in missing
                ]
                with closing(_heard(ear, requests, workers, dask)) as heard:
                    for request, outcome in heard:
                        if isinstance(outcome, AudioError):
                            rejected[request.song] = Rejected(request.path, outcome.reason)
                        else:
                            row = Row(outcome, 0.0, 0)
                            cache.add(request.song, row)
                            table.put(order[request.song], row)
                        advance(1, rejected=isinstance(outcome, AudioError))
    ids = [song for song, at in order.items() if table.filled[at]]
    table.close_gaps()
    return Embedded(ids, table.features, [rejected[song] for song in order if song in rejected])


def _cache_name(embedding: Embedding, excerpt: float | None) -> str:
    told = f"{embedding.name} {embedding.identity} {len(embedding.columns)} {excerpt}"
    return f"{embedding.family}-{hashlib.blake2b(told.encode(), digest_size=6).hexdigest()}"


def _heard(
    ear: Ear, requests: Sequence[Request], workers: int | None, dask: str | None
) -> Generator[tuple[Request, Floats | AudioError], None, None]:
    """What a network hears in each file, as they come."""
    count = min(workers or cores(), len(requests))
    # As many songs as keep everybody busy: decoding is faster than hearing, and a million decoded
    # songs would fill the memory.
    throttle = _Throttle(requests, 4 * count)
    waiting: deque[tuple[Request, Future[Floats]]] = deque()
    # A cluster's songs are asked for and heard in one thread, which must not wait for itself.
    asked: Iterable[Request] = requests if dask else throttle
    threads = ThreadPoolExecutor(count)
    outcomes = outcomes_of(
        asked, len(requests), workers, dask, warm=ear.form, release=throttle.close
    )
    try:
        # What waits for its turn is let go first, and then the processes can end.
        with _one_thread_each(), closing(outcomes), closing(throttle):
            for request, outcome in outcomes:
                formed = _unless_changed(request, outcome)
                if isinstance(formed, AudioError):
                    throttle.done()
                    yield request, formed
                else:
                    waiting.append((request, threads.submit(ear.hear, formed.values)))
                while waiting and (waiting[0][1].done() or len(waiting) > 2 * count):
                    first, told = waiting.popleft()
                    vector = told.result()
                    throttle.done()
                    yield first, vector
            while waiting:
                first, told = waiting.popleft()
                yield first, told.result()
    finally:
        threads.shutdown(cancel_futures=True)


def _unless_changed(request: Request, outcome: Outcome) -> Formed | AudioError:
    if isinstance(outcome, AudioError):
        return outcome
    assert isinstance(outcome, Formed)
    return AudioError(CHANGED) if request.changed() else outcome


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Threads share the cores by songs: sharing them within a song as well costs more than it
    gives.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Throttle:
    """Hands out requests, never more than `most` that aren't done."""

    def __init__(self, requests: Iterable[Request], most: int) -> None:
        self._left = iter(requests)
        self._free = most
        self._changed = Condition()

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0)
            self._free -= 1
            return next(self._left)

    def done(self) -> None:
        """Say that one of them is."""
        with self._changed:
            self._free += 1
            self._changed.notify()

    def close(self) -> None:
        """Hand out no more, and let nobody wait."""
        with self._changed:
            self._left = iter(())
            self._free = 1 << 60
            self._changed.notify_all()
