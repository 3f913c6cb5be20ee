"""Whether a file ends where it says: a download that broke off sounds well until then.

Only what a file says of itself counts: a raw MP3 or AAC stream says nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from kg.audio.decode import SHORTEST, CannotReadError, frame_after_tag, opened, says_length
from kg.files import QuietFile, open_file

if TYPE_CHECKING:
    import av

LEAST: Final = 0.5
"""Seconds: encoders add and headers round, and what lacks less sounds whole."""

LEAST_OF_WMA: Final = 4.0
"""Seconds: the length that its header says counts what a player reads ahead, and packets say none.
"""

NO_END: Final = 0.001
"""What an Ogg stream lacks whose last page isn't marked so: it doesn't say how much followed."""

_TAIL: Final = 1.0  # seconds before the end from which on packets are looked for
_PAGES: Final = 1 << 17  # bytes that hold an Ogg page at least, whatever its size
_LAST_PAGE: Final = 4
_STREAMED: Final = 0x7FFF_0000  # sizes from here on were written by who didn't know the size yet
_FIRST_FRAME: Final = 4096  # bytes, as many as `says_length` reads
_SAY_NOTHING: Final = frozenset({"aac", "ac3", "amr", "dts", "eac3", "loas"})


def missing_seconds(path: Path) -> float:
    """Seconds at the end of a file that its header promises and that aren't there.

    An Ogg stream without its last page lacks `NO_END`.

    Raises:
        OSError: the file can't be read.
    """
    with open_file(path) as file:
        head = file.read(12)
        size = file.seek(0, 2)
        if head[:4] in (b"RIFF", b"FORM"):
            order = "little" if head[:4] == b"RIFF" else "big"
            return _missing_of_chunk(file, size, int.from_bytes(head[4:8], order))  # type: ignore[arg-type]
        if head[:4] == b"OggS":
            return 0.0 if _has_last_page(file, size) else NO_END
        return _missing_packets(file)


def _missing_of_chunk(file: QuietFile, size: int, said: int) -> float:
    """Of WAV and AIFF, whose first chunk is the whole file."""
    share = 1 - size / (said + 8)
    if not 0 < said < _STREAMED or share <= 0:
        return 0.0
    import soundfile

    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:  # counts what is there
            seconds = sound.frames / sound.samplerate * share / (1 - share)
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError, ValueError):
        return 0.0
    return seconds if seconds >= LEAST else 0.0


def _has_last_page(file: QuietFile, size: int) -> bool:
    file.seek(max(0, size - _PAGES))
    tail = file.read(_PAGES)
    at = tail.rfind(b"OggS")
    # Streams that follow each other in one file have an end each: the last one counts.
    return at >= 0 and len(tail) > at + 5 and bool(tail[at + 5] & _LAST_PAGE)


def _missing_packets(file: QuietFile) -> float:
    """Of all others: how far the last packet is from the end that the header says."""
    import av

    # Asked first: nobody else may move in a file that is open as a container.
    whole = not _may_lack_frames(file)
    try:
        with opened(file) as container:
            stream = container.streams.audio[0]
            name = container.format.name
            if stream.duration is None or stream.time_base is None or name in _SAY_NOTHING:
                return 0.0
            if name == "mp3" and whole:
                return 0.0
            start = (stream.start_time or 0) * stream.time_base
            end = float(start + stream.duration * stream.time_base)
            if end < SHORTEST:
                return 0.0
            # Within an MP3 times are estimates, and only a walk from the beginning tells.
            reached = _reached(container, 0.0 if name == "mp3" else end)
    except (av.error.FFmpegError, CannotReadError):
        return 0.0
    seconds = end - reached
    return seconds if seconds >= (LEAST_OF_WMA if name == "asf" else LEAST) else 0.0


def _may_lack_frames(file: QuietFile) -> bool:
    """Whether an MP3 is shorter than the bytes that its first frame says, or doesn't say them."""
    if not says_length(file):
        return False
    begin = frame_after_tag(file)
    frame = file.read(_FIRST_FRAME)
    for mark in (b"Xing", b"Info"):
        at = frame.find(mark)
        if at >= 0 and len(frame) >= at + 16 and frame[at + 7] & 3 == 3:  # frames and bytes
            said = int.from_bytes(frame[at + 12 : at + 16], "big")
            # What a tag before it takes up, a cover mostly, is none of them.
            return file.seek(0, 2) - begin < said
    return True


def _reached(container: "av.container.InputContainer", end: float) -> float:
    """Where the last packet ends, in the stream's own seconds; nothing is decoded."""
    import av

    stream = container.streams.audio[0]
    try:
        container.seek(int(max(0.0, end - _TAIL) * 1_000_000))
    except av.error.FFmpegError:
        container.seek(0)
    reached = _last(container)
    if reached is None:
        # Nothing there: it ends before, and only a walk from the beginning tells where.
        container.seek(0)
        reached = _last(container)
    return float(reached * stream.time_base) if reached and stream.time_base else 0.0


def _last(container: "av.container.InputContainer") -> int | None:
    import av

    reached: int | None = None
    packets = container.demux(container.streams.audio[0])
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return reached
        if packet.size and packet.pts is not None:
            reached = max(reached or 0, packet.pts + (packet.duration or 0))
