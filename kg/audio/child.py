"""What a child process does: one file at a time, asked for on stdin and answered on stdout."""

import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np

from kg.audio.cache import Row, cannot_write
from kg.audio.decode import EXCERPT, SAMPLE_RATE, Audio, decode
from kg.audio.features import features
from kg.audio.frames import Frames
from kg.errors import AudioError, KgError

log = logging.getLogger(__name__)

FRAME_DTYPE: Final = np.float16
"""Half precision halves the disk at an error of 0.05 % at most: 0.02 dB in a log-mel."""

_GRACE: Final = 5.0  # seconds a child outlives its deadline when nobody is left to end it


@dataclass(frozen=True, slots=True)
class Request:
    """One song to be heard.

    Attributes:
        song: Its content id.
        path: Where it lies.
        excerpt: Seconds decoded from its middle (None: all of it).
        sequence: Kind of frame sequence that is to be written (None: its features are wanted).
        target: The file that a frame sequence goes to.
    """

    song: str
    path: Path
    excerpt: float | None = EXCERPT
    sequence: str | None = None
    target: Path | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A frame sequence, which lies in its file now."""

    frames: int


Outcome = Row | Written | AudioError


def perform(request: Request) -> Outcome:
    """Do what is asked for; a file that can't become a song is returned as error, not raised.

    Raises:
        KgError: a frame sequence can't be written.
    """
    try:
        audio = decode(request.path, request.excerpt)
        if request.sequence is None:
            return Row(features(audio.samples), audio.duration, audio.sample_rate)
        return _write_sequence(request, audio)
    except AudioError as error:
        return error
    except KgError:
        raise
    except Exception as error:
        log.debug("%s can't be decoded", request.path, exc_info=True)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return AudioError(f"can't be decoded ({reason.removesuffix(':')})")


def _write_sequence(request: Request, audio: Audio) -> Written:
    assert request.sequence is not None
    assert request.target is not None
    matrix = getattr(Frames(audio.samples), request.sequence)
    frames = np.ascontiguousarray(matrix.T, FRAME_DTYPE)
    temporary = request.target.with_name(f"{request.target.name}.{os.getpid()}.tmp")
    try:
        request.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                np.save(file, frames)
            temporary.replace(request.target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(f"The frame sequence {request.target}", error) from error
    return Written(len(frames))


# -- the protocol: a line of JSON in; a line of JSON out, followed by features as float32 ------


def send_request(pipe: IO[bytes], request: Request, patience: float) -> None:
    """Ask a child to do something within `patience` seconds."""
    _send(
        pipe,
        {
            "song": request.song,
            "path": str(request.path),
            "excerpt": request.excerpt,
            "sequence": request.sequence,
            "target": None if request.target is None else str(request.target),
            "patience": patience,
        },
    )


def receive_outcome(pipe: IO[bytes]) -> Outcome:
    """Wait for a child's answer.

    Raises:
        EOFError, ValueError: there is none, or it is garbled.
        KgError: the child can't go on, and no other could.
    """
    line = pipe.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    reply = json.loads(line)
    if "failure" in reply:
        raise KgError(reply["failure"])
    if "reason" in reply:
        return AudioError(reply["reason"])
    if "frames" in reply:
        return Written(reply["frames"])
    values = pipe.read(4 * reply["size"])
    if len(values) < 4 * reply["size"]:
        raise EOFError
    return Row(np.frombuffer(values, np.float32), reply["duration"], reply["sample_rate"])


def _send(pipe: IO[bytes], message: dict[str, object], tail: bytes = b"") -> None:
    pipe.write(json.dumps(message).encode() + b"\n" + tail)
    pipe.flush()


def _answer(pipe: IO[bytes], request: Request) -> None:
    try:
        outcome = perform(request)
    except KgError as error:
        _send(pipe, {"failure": str(error)})
        return
    if isinstance(outcome, AudioError):
        _send(pipe, {"reason": outcome.reason})
    elif isinstance(outcome, Written):
        _send(pipe, {"frames": outcome.frames})
    else:
        reply: dict[str, object] = {
            "duration": outcome.duration,
            "sample_rate": outcome.sample_rate,
            "size": len(outcome.features),
        }
        _send(pipe, reply, outcome.features.tobytes())


def _request(line: bytes) -> tuple[Request, float]:
    told = json.loads(line)
    target = None if told["target"] is None else Path(told["target"])
    request = Request(told["song"], Path(told["path"]), told["excerpt"], told["sequence"], target)
    return request, told["patience"]


def _alarm(seconds: float) -> None:
    # A signal that nothing handles ends a process wherever it hangs, its parent dead or alive.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def main() -> None:
    """Serve requests from stdin until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    requests = sys.stdin.buffer
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints can't garble the replies
    features(np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32))  # warm up
    _send(replies, {"ready": True})
    for line in requests:
        request, patience = _request(line)
        _alarm(patience + _GRACE)
        _answer(replies, request)
        _alarm(0)


if __name__ == "__main__":
    main()
