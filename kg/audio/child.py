"""What a child process does: one file at a time, asked for on stdin and answered on stdout."""

import logging
import os
import signal
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final

from kg.audio.requests import (
    FRAME_DTYPE,
    READY,
    AnyRequest,
    Formed,
    Identify,
    Identity,
    Outcome,
    ReadTags,
    ReadTracks,
    Request,
    Written,
    read_request,
    send,
    send_outcome,
)
from kg.audio.tags import read_tags
from kg.errors import AudioError, KgError
from kg.excerpt import MOST
from kg.files import CHANGED, content_id, why_unreadable

if TYPE_CHECKING:
    from kg.audio.decode import Audio

log = logging.getLogger(__name__)

FEATURES: Final = "features"
"""Argument of a child that is to hear songs: it does what takes long the first time at once, for
features or for the form that is named instead. Imports that are slow (a new installation, a busy
machine) would count as the first file's else."""

_GRACE: Final = 5.0  # seconds a child outlives its deadline when nobody is left to end it
_ROOM: Final = 2 << 30  # bytes of address space; a quarter of a GB is what a child starts with
_ROOM_PER_SECOND: Final = 1 << 20  # more for what is listened to; 0.4 MB of it are used


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
        if isinstance(request, ReadTracks):
            from kg.sources.msd_file import read_tracks

            return read_tracks(request.path)
        return _hear(request)
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


def _hear(request: Request) -> Outcome:
    # Imported here: whoever only reads tags need not wait for it.
    from kg.audio.cache import Row
    from kg.audio.decode import decode
    from kg.audio.features import cut, features_of
    from kg.audio.sound import sound_of

    audio = decode(request.path, request.excerpt)
    if request.form is not None:
        from kg.embeddings.forms import in_form

        return Formed(in_form(request.form, audio.samples))
    if request.sequence is None:
        frames = cut(audio.samples)
        sound = sound_of(audio, frames, request.path).row()
        return Row(features_of(frames), audio.duration, audio.sample_rate, sound)
    return _write_sequence(request, audio)


def _warm_up(form: str) -> None:
    import numpy as np

    from kg.audio.decode import SAMPLE_RATE

    noise = np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32)
    if form == FEATURES:
        from kg.audio.features import features

        features(noise)
    else:
        from kg.embeddings.forms import in_form

        in_form(form, noise)


def _write_sequence(request: Request, audio: "Audio") -> Written:
    import numpy as np

    from kg.audio.cache import cannot_write
    from kg.audio.frames import Frames

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


def _answer(pipe: IO[bytes], request: AnyRequest) -> None:
    try:
        outcome = perform(request)
    except KgError as error:
        send(pipe, {"failure": str(error)})
    else:
        send_outcome(pipe, outcome)


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
        seconds = MOST if request.excerpt is None else request.excerpt
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
    for form in sys.argv[1:]:
        _warm_up(form)
    send(replies, READY)
    for line in requests:
        request, patience = read_request(line)
        _limit_memory(request)
        _alarm(patience + _GRACE)
        _answer(replies, request)
        _alarm(0)


if __name__ == "__main__":
    main()
