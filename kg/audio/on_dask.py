"""The same extraction on a Dask cluster, for libraries that outgrow one machine.

Each file is read by a child process of the Dask worker, so that a decoder that hangs or crashes
costs its file and never the worker.
"""

import logging
import os
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from kg._version import __version__
from kg.audio.child import FEATURES, perform
from kg.audio.features import feature_version
from kg.audio.requests import Outcome, Request
from kg.audio.workers import Worker
from kg.errors import AudioError, KgError

if TYPE_CHECKING:
    import distributed

CONNECT_SECONDS: Final = 15.0
"""How long a scheduler may take to answer."""

NO_WORKERS_SECONDS: Final = 30.0
"""How long a cluster may be without workers, at the start or on the way."""

AHEAD: Final = 3
"""Tasks that the scheduler holds for each thread of the workers: a million would choke it."""

_LOOK_SECONDS: Final = 2.0  # how often the cluster is looked at
_IDLE_SECONDS: Final = 20.0  # after which a Dask worker ends its child processes


def perform_on_dask(
    requests: Iterable[Request], address: str
) -> Generator[tuple[Request, Outcome], None, None]:
    """Perform requests on the workers of the scheduler at `address`, as `perform_in_workers` does.

    Closing the iterator, or an exception where it is consumed, cancels what is queued.

    Raises:
        KgError: Dask isn't installed; the scheduler can't be reached or is lost on the way; there
            are no workers; a worker has another version of kg.
    """
    with _connected(address) as client:
        threads = _checked(client, address)
        yield from _stream(client, address, iter(requests), threads)


def _stream(
    client: "distributed.Client", address: str, requests: Iterator[Request], threads: int
) -> Generator[tuple[Request, Outcome], None, None]:
    import distributed

    run = uuid4().hex
    waiting: dict[distributed.Future, Request] = {}
    completed = distributed.as_completed(with_results=True, raise_errors=False, loop=client.loop)
    looked = seen = time.monotonic()
    while True:
        free = max(1, AHEAD * threads) - len(waiting)
        for request in islice(requests, max(0, free)):
            key = f"kg-{run}-{request.song}"
            future = client.submit(_perform_there, request, _versions(), key=key, pure=False)
            waiting[future] = request
            completed.add(future)
        if not waiting:
            return
        for future, result in completed.next_batch(block=False):
            request = waiting.pop(future)
            yield request, _outcome(request, future, result, address)
        now = time.monotonic()
        if now - looked > _LOOK_SECONDS:
            looked, threads = now, _threads(client, address)
            seen = now if threads else seen
            if now - seen > NO_WORKERS_SECONDS:
                raise _no_workers(address)
        if not completed.has_ready():
            _check(client, address)
            time.sleep(0.01)


def _outcome(request: Request, future: "distributed.Future", result: Any, address: str) -> Outcome:
    if future.status == "cancelled":
        raise _lost(address)
    if future.status == "error":
        error = result[1]
        if isinstance(error, KgError):
            raise error
        # Dask's own words for a task whose workers died one after the other.
        if type(error).__name__ == "KilledWorker":
            return AudioError("the Dask workers that read it died")
        raise KgError(
            f"The Dask cluster at {address} failed to read {request.path}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if isinstance(result, _NotFound):
        if request.path.exists():
            return AudioError(
                f"not found on the Dask worker {result.worker}: "
                "the folder must be visible on all machines under the same path"
            )
        return perform(request)  # gone here too: this says so in the same words as ever
    outcome: Outcome = result
    return outcome


# -- the connection --------------------------------------------------------------------------


@contextmanager
def _connected(address: str) -> Iterator["distributed.Client"]:
    try:
        import distributed
    except ImportError as error:
        raise KgError(
            "Extraction on a Dask cluster needs Dask: pip install 'kg-music[dask]'"
        ) from error
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it has to say, the errors here say shorter
    try:
        try:
            client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise KgError(
                f"No Dask scheduler answers at {address}: start one with `dask scheduler`, "
                "or correct the address (tcp://HOST:PORT)."
            ) from error
        try:
            yield client
        finally:
            client.close(timeout=5)  # the scheduler forgets what a client that left had queued
    finally:
        logger.setLevel(level)


def _checked(client: "distributed.Client", address: str) -> int:
    """Wait for the first worker, then see that all workers run this version: their threads."""
    try:
        client.wait_for_workers(1, timeout=NO_WORKERS_SECONDS)
    except TimeoutError as error:
        raise _no_workers(address) from error
    except OSError as error:
        raise _lost(address) from error

    def versions() -> tuple[str, str]:
        # Inside a function, so that it is sent as a whole and runs where kg is missing.
        import kg._version
        import kg.audio.features

        return kg._version.__version__, kg.audio.features.feature_version()

    try:
        answers = client.run(versions, on_error="return")
    except OSError as error:
        raise _lost(address) from error
    for worker, answer in answers.items():
        if isinstance(answer, OSError):  # it left while it was asked
            continue
        if isinstance(answer, Exception):
            raise KgError(
                f"The Dask worker {worker} can't run kg ({type(answer).__name__}: {answer}): "
                f"install kg-music {__version__} there."
            ) from answer
        _compare(worker, tuple(answer), _versions())
    return _threads(client, address)


def _versions() -> tuple[str, str]:
    return __version__, feature_version()


def _compare(worker: str, there: tuple[str, str], here: tuple[str, str]) -> None:
    if there != here:
        raise KgError(
            f"The Dask worker {worker} has kg {there[0]} with features {there[1]}, but here it is "
            f"{here[0]} with {here[1]}: features of two versions don't mix; install kg-music "
            f"{here[0]} there."
        )


def _threads(client: "distributed.Client", address: str) -> int:
    _check(client, address)
    try:
        return sum(client.nthreads().values())
    except OSError as error:
        raise _lost(address) from error


def _check(client: "distributed.Client", address: str) -> None:
    if client.status != "running":
        raise _lost(address)


def _lost(address: str) -> KgError:
    return KgError(
        f"The Dask scheduler at {address} was lost. What was extracted so far is kept: "
        "run the command again to go on."
    )


def _no_workers(address: str) -> KgError:
    return KgError(
        f"The Dask scheduler at {address} has no workers: start some with `dask worker {address}`."
    )


# -- what runs on the Dask workers -----------------------------------------------------------


class _NotFound:
    """A file that is not where the request says, on this worker."""

    def __init__(self, worker: str) -> None:
        self.worker = worker


class _Crew:
    """Child processes of this Dask worker, which are ended when nobody needs them."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    @contextmanager
    def worker(self, form: str | None) -> Iterator[Worker]:
        with self._lock:
            worker = self._idle.pop() if self._idle else Worker(warm=form or FEATURES)
        try:
            yield worker
        finally:
            with self._lock:
                self._idle.append(worker)
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = threading.Timer(_IDLE_SECONDS, self._end_idle)
                self._timer.daemon = True
                self._timer.start()

    def _end_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()


_CREW: Final = _Crew()


def _perform_there(request: Request, versions: tuple[str, str]) -> Outcome | _NotFound:
    import distributed

    address = distributed.get_worker().address
    _compare(address, _versions(), versions)  # workers may come at any time
    if not os.path.lexists(request.path):
        return _NotFound(address)
    with _CREW.worker(request.form) as worker:
        return worker.perform(request)
