"""Child processes that read audio, one file at a time.

Not `multiprocessing`: a decoder that hangs or crashes takes its own process with it and nothing
else, is known by name, and the caller's script isn't imported again in every child.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Generic, TypeVar

from kg.audio.child import FEATURES
from kg.audio.requests import (
    READY,
    AnyRequest,
    Identify,
    Outcome,
    ReadTags,
    Request,
    receive_outcome,
    send_request,
)
from kg.errors import AudioError, KgError

PATIENCE: Final = 20.0
"""Seconds a file may take before its decoder counts as hanging."""

PATIENCE_PER_MB: Final = 4.0
"""Seconds more for each megabyte of a file that is decoded as a whole."""

HASHED_PER_SECOND: Final = 10e6
"""Bytes a second at which a file has to come, for its hash: a slow network's speed."""

START_PATIENCE: Final = 300.0
"""Seconds a process may take to start: half a second, but not on a busy machine's cold disk, nor
where librosa compiles for the first time."""

Asked = TypeVar("Asked", bound=AnyRequest)

_ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}


def cores() -> int:
    """Count the cores that this process may use: by affinity and by its control group's quota."""
    count: float = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    with suppress(OSError, ValueError):  # no control groups, or "max"
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        count = min(count, int(quota) / int(period))
    return max(1, int(count))


def patience(request: AnyRequest) -> float:
    """Say how many seconds a request may take."""
    if isinstance(request, ReadTags):
        return PATIENCE
    if isinstance(request, Request) and request.excerpt is not None:
        return PATIENCE
    try:
        size = request.path.stat().st_size
    except OSError:  # the child says what is wrong with it
        size = 0
    if isinstance(request, Identify):
        return PATIENCE + size / HASHED_PER_SECOND
    return PATIENCE + PATIENCE_PER_MB * size / 1e6


def perform_in_workers(
    requests: Iterable[Asked],
    workers: int,
    *,
    warm: str | None = FEATURES,
    release: Callable[[], None] = lambda: None,
) -> Generator[tuple[Asked, Outcome], None, None]:
    """Perform requests in `workers` processes; yields them with their outcomes as they end.

    Requests are taken one by one, when a process is free. Closing the iterator, or an exception
    where it is consumed, ends the processes at once. They are `warm` for the features or the form
    that songs are asked for in; None: they start faster. Where handing out a request may wait for
    an outcome to be consumed, `release` ends that wait: it is called before the processes' threads
    are waited for.

    Raises:
        KgError: processes can't be started, or what they are to write can't be written.
    """
    todo = _Shared(requests)
    done: queue.SimpleQueue[tuple[Asked, Outcome] | Exception | None] = queue.SimpleQueue()
    crew = [Worker(warm=warm) for _ in range(workers)]
    threads = [
        threading.Thread(target=_serve, args=(worker, todo, done), daemon=True) for worker in crew
    ]
    try:
        for thread in threads:
            thread.start()
        working = workers
        while working:
            try:
                # A wait without end can't be interrupted by Ctrl-C everywhere.
                result = done.get(timeout=0.5)
            except queue.Empty:
                continue
            if result is None:
                working -= 1
            elif isinstance(result, Exception):
                raise result
            else:
                yield result
    finally:
        release()
        for worker in crew:
            worker.end()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


class _Shared(Generic[Asked]):
    """An iterable that several threads take from."""

    def __init__(self, requests: Iterable[Asked]) -> None:
        self._left: Iterator[Asked] = iter(requests)
        self._lock = threading.Lock()

    def take(self) -> Asked | None:
        with self._lock:
            return next(self._left, None)


def _serve(
    worker: "Worker",
    todo: _Shared[Asked],
    done: "queue.SimpleQueue[tuple[Asked, Outcome] | Exception | None]",
) -> None:
    try:
        while not worker.ended and (request := todo.take()) is not None:
            done.put((request, worker.perform(request)))
    except Exception as error:  # noqa: BLE001 - raised again by the consumer's thread
        done.put(error)
    else:
        done.put(None)
    finally:
        worker.end()


class Worker:
    """One child process, started when first needed and again after a crash.

    `perform` is called by one thread at a time; `end` by any. It is `warm` for the features or
    the form that songs are asked for in; None: it starts faster, and hears the first song slower.
    """

    def __init__(self, *, warm: str | None = FEATURES) -> None:
        self.ended = False
        self._warm = warm
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Number of the process, where there is one."""
        process = self._process
        return None if process is None else process.pid

    def perform(self, request: AnyRequest) -> Outcome:
        """Have a file read; one whose decoder hangs or crashes is rejected like any other.

        Raises:
            KgError: the process can't be started, or can't write a frame sequence.
        """
        if self._process is None or self._process.poll() is not None:
            self._stop()  # one that died while idle costs no file
            self._start()
        process = self._process
        if process is None:  # ended meanwhile
            return AudioError("not read: the run was stopped")
        assert process.stdin is not None
        assert process.stdout is not None
        seconds = patience(request)
        with _Deadline(process, seconds) as deadline:
            try:
                send_request(process.stdin, request, seconds)
                return receive_outcome(process.stdout)
            except (OSError, EOFError, ValueError):  # ValueError: a closed pipe, a garbled reply
                pass
        status = self._stop()
        work = "decoding" if isinstance(request, Request) else "reading"
        if deadline.passed:
            return AudioError(f"{work} did not end within {seconds:.0f} s")
        return AudioError(f"{work} crashed ({_how(status)})")

    def end(self) -> None:
        """End the process now, whatever it is doing; there will be no other."""
        self.ended = True
        self._stop()

    def _start(self) -> None:
        with self._lock:
            if self.ended:
                return
            # -P: a folder called `kg` or `numpy` where the user stands is none of ours.
            command = [sys.executable, "-P", "-m", "kg.audio.child"]
            if self._warm is not None:
                command.append(self._warm)
            path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # decoders in C print what nobody asked for
                    env=os.environ | _ONE_THREAD | {"PYTHONPATH": path},
                )
            except OSError as error:
                raise KgError(
                    f"A process for reading audio can't be started ({error.strerror or error}): "
                    "try with fewer of them, --workers 1."
                ) from error
            self._process = process
        assert process.stdout is not None
        with _Deadline(process, START_PATIENCE):
            ready = any(map(_is_ready, process.stdout))
        if not ready and not self.ended:
            status = self._stop()
            raise KgError(
                f"A process for reading audio did not start ({_how(status)}): "
                f"`{' '.join(command)}` shows why."
            )

    def _stop(self) -> int | None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return None
        with suppress(OSError):
            process.kill()
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()
        return status


class _Deadline:
    """Kills a process that takes longer than `seconds` for what is done inside."""

    def __init__(self, process: "subprocess.Popen[bytes]", seconds: float) -> None:
        self.passed = False
        self._process = process
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.daemon = True

    def __enter__(self) -> "_Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _kill(self) -> None:
        self.passed = True
        with suppress(OSError):
            self._process.kill()


def _is_ready(line: bytes) -> bool:
    try:
        return bool(json.loads(line) == READY)
    except ValueError:  # something that Python was told to import at its start prints
        return False


def _how(status: int | None) -> str:
    if status is not None and status < 0:
        with suppress(ValueError):
            return signal.Signals(-status).name
    return f"exit status {status}"
