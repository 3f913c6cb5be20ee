"""Child processes that decode and extract, one file at a time.

Not `multiprocessing`: a decoder that hangs or crashes takes its own process with it and nothing
else, is known by name, and the caller's script isn't imported again in every child.
"""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import numpy as np

from kg.audio.cache import Row
from kg.audio.decode import EXCERPT, SAMPLE_RATE, decode
from kg.audio.features import features
from kg.errors import AudioError, KgError

log = logging.getLogger(__name__)

PATIENCE: Final = 60.0
"""Seconds a file may take before its decoder counts as hanging."""

START_PATIENCE: Final = 120.0
"""Seconds a process may take to start; importing numba on a busy machine is slow."""

_ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}

Outcome = Row | AudioError


def extract_one(path: Path, excerpt: float | None = EXCERPT) -> Outcome:
    """Decode a file and compute its features; what can't become a song is returned, not raised."""
    try:
        audio = decode(path, excerpt)
        return Row(features(audio.samples), audio.duration, audio.sample_rate)
    except AudioError as error:
        return error
    except Exception as error:
        log.debug("%s can't be decoded", path, exc_info=True)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return AudioError(f"can't be decoded ({reason.removesuffix(':')})")


def extract_in_workers(
    paths: Sequence[Path], workers: int, excerpt: float | None = EXCERPT
) -> Generator[tuple[int, Outcome], None, None]:
    """Extract in `workers` processes; yields (index of path, outcome) in order of completion.

    Closing the iterator, or an exception where it is consumed, ends the processes at once.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(paths)):
        todo.put(index)
    done: queue.SimpleQueue[tuple[int, Outcome] | Exception] = queue.SimpleQueue()
    crew = [_Worker(excerpt) for _ in range(workers)]
    threads = [
        threading.Thread(target=_serve, args=(worker, paths, todo, done), daemon=True)
        for worker in crew
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in paths:
            while True:
                with suppress(queue.Empty):
                    # A wait without end can't be interrupted by Ctrl-C everywhere.
                    result = done.get(timeout=0.5)
                    break
            if isinstance(result, Exception):
                raise result
            yield result
    finally:
        for worker in crew:
            worker.end()
        for thread in threads:
            thread.join()


def _serve(
    worker: "_Worker",
    paths: Sequence[Path],
    todo: "queue.SimpleQueue[int]",
    done: "queue.SimpleQueue[tuple[int, Outcome] | Exception]",
) -> None:
    while not worker.ended:
        try:
            index = todo.get_nowait()
        except queue.Empty:
            worker.end()
            return
        try:
            done.put((index, worker.extract(paths[index])))
        except Exception as error:  # noqa: BLE001 - raised again by the consumer's thread
            done.put(error)
            return


class _Worker:
    """One child process, started when first needed and again after a crash.

    `extract` is called by one thread; `end` by any.
    """

    def __init__(self, excerpt: float | None) -> None:
        self.ended = False
        self._excerpt = excerpt
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def extract(self, path: Path) -> Outcome:
        if self._process is None:
            self._start()
        process = self._process
        if process is None:  # ended meanwhile
            return AudioError("not read: the run was stopped")
        assert process.stdin is not None
        assert process.stdout is not None
        with _Deadline(process, PATIENCE) as deadline:
            try:
                _send(process.stdin, {"path": str(path)})
                return _outcome(process.stdout)
            except (OSError, EOFError, ValueError):  # ValueError: a closed pipe, a garbled reply
                pass
        status = self._stop()
        if deadline.passed:
            return AudioError(f"decoding did not end within {PATIENCE:.0f} s")
        return AudioError(f"decoding crashed ({_how(status)})")

    def end(self) -> None:
        self.ended = True
        self._stop()

    def _start(self) -> None:
        with self._lock:
            if self.ended:
                return
            # -P: a folder called `kg` or `numpy` where the user stands is none of ours.
            command = [sys.executable, "-P", "-m", __name__, json.dumps(self._excerpt)]
            path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # decoders written in C print what nobody asked for
                env=os.environ | _ONE_THREAD | {"PYTHONPATH": path},
            )
            self._process = process
        assert process.stdout is not None
        with _Deadline(process, START_PATIENCE):
            ready = process.stdout.readline()
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


def _how(status: int | None) -> str:
    if status is not None and status < 0:
        with suppress(ValueError):
            return signal.Signals(-status).name
    return f"exit status {status}"


# The protocol: a line of JSON in; a line of JSON out, followed by the features as float32.


def _send(pipe: IO[bytes], message: dict[str, object], tail: bytes = b"") -> None:
    pipe.write(json.dumps(message).encode() + b"\n" + tail)
    pipe.flush()


def _outcome(pipe: IO[bytes]) -> Outcome:
    line = pipe.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    reply = json.loads(line)
    if "reason" in reply:
        return AudioError(reply["reason"])
    values = pipe.read(4 * reply["size"])
    if len(values) < 4 * reply["size"]:
        raise EOFError
    return Row(np.frombuffer(values, np.float32), reply["duration"], reply["sample_rate"])


def main() -> None:
    """Serve requests from stdin until it is closed: the child's side."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    requests = sys.stdin.buffer
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints can't garble the replies
    excerpt = json.loads(sys.argv[1])
    features(np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32))  # warm up
    _send(replies, {"ready": True})
    for line in requests:
        outcome = extract_one(Path(json.loads(line)["path"]), excerpt)
        if isinstance(outcome, AudioError):
            _send(replies, {"reason": outcome.reason})
        else:
            reply: dict[str, object] = {
                "duration": outcome.duration,
                "sample_rate": outcome.sample_rate,
                "size": len(outcome.features),
            }
            _send(replies, reply, outcome.features.tobytes())


if __name__ == "__main__":
    main()
