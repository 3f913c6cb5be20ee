"""What a child process does: one file at a time, asked for on stdin and answered on stdout."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np

from kg.audio.cache import Row, cannot_write
from kg.audio.decode import EXCERPT, LONGEST, SAMPLE_RATE, Audio, decode
from kg.audio.features import features
from kg.audio.frames import Frames
from kg.audio.tags import Tags, read_tags
from kg.errors import AudioError, KgError
from kg.files import CHANGED, content_id, why_unreadable

log = logging.getLogger(__name__)

FRAME_DTYPE: Final = np.float16
"""Half precision halves the disk at an error of 0.05 % at most: 0.02 dB in a log-mel."""

WARM: Final = "warm"
"""Argument of a child that is to hear songs: it does what takes long the first time at once."""

READY: Final[dict[str, object]] = {"ready": True}
"""What a child says when it has started."""

_GRACE: Final = 5.0  # seconds a child outlives its deadline when nobody is left to end it
_ROOM: Final = 2 << 30  # bytes of address space; a quarter of a GB is what a child starts with
_ROOM_PER_SECOND: Final = 1 << 20  # more for what is listened to; 0.4 MB of it are used


@dataclass(frozen=True, slots=True)
class Request:
    """One song to be heard.

    Attributes:
        song: Its content id.
        path: Where it lies.
        excerpt: Seconds decoded from its middle (None: all of it).
        sequence: Kind of frame sequence that is to be written (None: its features are wanted).
        target: The file that a frame sequence goes to.
        modified: When the file was last changed as its content was hashed, in ns, where known.
    """

    song: str
    path: Path
    excerpt: float | None = EXCERPT
    sequence: str | None = None
    target: Path | None = None
    modified: int | None = None

    def changed(self) -> bool:
        """Whether the file was changed since: what is heard isn't what was hashed."""
        try:
            return self.modified not in (None, self.path.stat().st_mtime_ns)
        except OSError:  # gone: what was heard of it is right
            return False


@dataclass(frozen=True, slots=True)
class Identify:
    """A file that is to be known by its content."""

    path: Path


@dataclass(frozen=True, slots=True)
class ReadTags:
    """A file whose tags are wanted. They are read for themselves: if that fails, nothing else."""

    path: Path


AnyRequest = Request | Identify | ReadTags


@dataclass(frozen=True, slots=True)
class Written:
    """A frame sequence, which lies in its file now."""

    frames: int


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is.

    Attributes:
        content: Its content id.
        modified: When it was last changed before it was hashed, in ns.
    """

    content: str
    modified: int


Outcome = Row | Written | Identity | Tags | AudioError


def perform(request: AnyRequest) -> Outcome:
    """Do what is asked for; a file that can't become a song is returned as error, not raised.

    Raises:
        KgError: a frame sequence can't be written.
    """
    try:
        if isinstance(request, ReadTags):
            return read_tags(request.path)
        if isinstance(request, Identify):
            modified = request.path.stat().st_mtime_ns
            return Identity(content_id(request.path), modified)
        audio = decode(request.path, request.excerpt)
        if request.sequence is None:
            return Row(features(audio.samples), audio.duration, audio.sample_rate)
        return _write_sequence(request, audio)
    except AudioError as error:
        return error
    except KgError:
        raise
    except OSError as error:
        return AudioError(why_unreadable(error))
    except MemoryError:
        return AudioError("needs more memory than there is")
    except Exception as error:
        log.debug("%s can't be decoded", request.path, exc_info=True)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return AudioError(f"can't be decoded ({reason.removesuffix(':')})")


def _write_sequence(request: Request, audio: Audio) -> Written:
    assert request.sequence is not None
    assert request.target is not None
    if request.changed():
        raise AudioError(CHANGED)
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


def send_request(pipe: IO[bytes], request: AnyRequest, patience: float) -> None:
    """Ask a child to do something within `patience` seconds."""
    told = {key: str(it) if isinstance(it, Path) else it for key, it in asdict(request).items()}
    _send(pipe, {"kind": type(request).__name__, "told": told, "patience": patience})


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
    try:
        if "failure" in reply:
            raise KgError(reply["failure"])
        if "reason" in reply:
            return AudioError(reply["reason"])
        if "frames" in reply:
            return Written(reply["frames"])
        if "content" in reply:
            return Identity(reply["content"], reply["modified"])
        if "tags" in reply:
            return Tags(**reply["tags"] | {"genres": tuple(reply["tags"]["genres"])})
        values = pipe.read(4 * reply["size"])
        if len(values) < 4 * reply["size"]:
            raise EOFError
        return Row(np.frombuffer(values, np.float32), reply["duration"], reply["sample_rate"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"a reply of another kind: {line!r}") from error


def _send(pipe: IO[bytes], message: dict[str, object], tail: bytes = b"") -> None:
    pipe.write(json.dumps(message).encode() + b"\n" + tail)
    pipe.flush()


def _answer(pipe: IO[bytes], request: AnyRequest) -> None:
    try:
        outcome = perform(request)
    except KgError as error:
        _send(pipe, {"failure": str(error)})
        return
    if isinstance(outcome, AudioError):
        _send(pipe, {"reason": outcome.reason})
    elif isinstance(outcome, Written):
        _send(pipe, {"frames": outcome.frames})
    elif isinstance(outcome, Identity):
        _send(pipe, asdict(outcome))
    elif isinstance(outcome, Tags):
        _send(pipe, {"tags": asdict(outcome)})
    else:
        reply: dict[str, object] = {
            "duration": outcome.duration,
            "sample_rate": outcome.sample_rate,
            "size": len(outcome.features),
        }
        _send(pipe, reply, outcome.features.tobytes())


def _request(line: bytes) -> tuple[AnyRequest, float]:
    asked = json.loads(line)
    kinds: dict[str, Callable[..., AnyRequest]] = {
        kind.__name__: kind for kind in (Request, Identify, ReadTags)
    }
    paths = {key: Path(asked["told"][key]) for key in ("path", "target") if asked["told"].get(key)}
    return kinds[asked["kind"]](**asked["told"] | paths), asked["patience"]


def _alarm(seconds: float) -> None:
    # A signal that nothing handles ends a process wherever it hangs, its parent dead or alive.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(request: AnyRequest) -> None:
    """Let what a file claims to need, beyond all reason, be a `MemoryError`, nobody else's loss."""
    if sys.platform == "win32":
        return
    import resource

    seconds = 0.0
    if isinstance(request, Request):
        seconds = LONGEST if request.excerpt is None else request.excerpt
    room = _ROOM + int(seconds * _ROOM_PER_SECOND)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        room = min(room, most)
    with suppress(OSError, ValueError):  # some systems know the limit but not how to set it
        resource.setrlimit(resource.RLIMIT_AS, (room, most))


def main() -> None:
    """Serve requests from stdin until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    requests = sys.stdin.buffer
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints can't garble the replies
    if WARM in sys.argv[1:]:
        features(np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32))
    _send(replies, READY)
    for line in requests:
        request, patience = _request(line)
        _limit_memory(request)
        _alarm(patience + _GRACE)
        _answer(replies, request)
        _alarm(0)


if __name__ == "__main__":
    main()
