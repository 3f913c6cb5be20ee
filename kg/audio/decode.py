"""From an audio file to mono samples: soundfile for what libsndfile reads, PyAV for the rest."""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from kg.errors import AudioError

if TYPE_CHECKING:
    import av
    import soundfile

Samples = NDArray[np.float32]

SAMPLE_RATE: Final = 22_050
"""Hz of every signal that features are computed from."""

EXCERPT: Final = 30.0
"""Seconds decoded from the middle of a song, unless told otherwise."""

SHORTEST: Final = 1.0
"""Seconds below which a file is no song."""

_SILENCE: Final = 2.0**-15  # one step of 16-bit audio, peak to peak
_LOUDEST: Final = 16.0  # float files that go beyond were scaled as integers
_BROKEN: Final = "not an audio file, or too broken to decode"
_BLOCK: Final = 1 << 16  # frames read at once
_PREROLL: Final = 0.5  # seconds decoded before an excerpt, so that codecs have settled
_SHORTFALL: Final = 0.9  # an excerpt that ends before this share of it shows a wrong header


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """The decoded part of a song.

    Attributes:
        samples: float32 [n], mono, at `SAMPLE_RATE`, finite, not silent, at least a second.
        duration: Seconds of the whole file.
        sample_rate: Hz of the file itself.
    """

    samples: Samples
    duration: float
    sample_rate: int


@dataclass(frozen=True, slots=True, eq=False)
class _Excerpt:
    """Mono samples at `SAMPLE_RATE`, the whole file's seconds, the file's own sample rate."""

    samples: Samples
    duration: float
    sample_rate: int


class _CannotReadError(Exception):
    """This reader can't make anything of the file; another may."""


def decode(path: Path, excerpt: float | None = EXCERPT) -> Audio:
    """Decode the middle `excerpt` seconds of a file (None: all of it), mixed down to mono.

    Where the middle is silent (a hidden track after minutes of nothing), the beginning is taken.

    Raises:
        AudioError: the file is missing, unreadable, empty, not audio, broken, shorter than a
            second, silent, or holds samples that are no numbers.
    """
    head = _first_bytes(path)
    for where in (0.5, 0.0):
        found = _read(path, head, excerpt, where)
        if not np.isfinite(found.samples).all():
            raise AudioError("holds samples that are not numbers (NaN or infinity)")
        if len(found.samples) < SHORTEST * SAMPLE_RATE:
            raise AudioError("shorter than a second")
        low, high = float(found.samples.min()), float(found.samples.max())
        if high - low > _SILENCE:
            peak = max(-low, high)
            samples = found.samples / np.float32(peak) if peak > _LOUDEST else found.samples
            return Audio(samples, found.duration, found.sample_rate)
        if excerpt is None or found.duration <= excerpt:
            break
    raise AudioError("silent: there is no sound in it")


def _first_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise AudioError("not a regular file" if path.exists() else "no longer there")
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise AudioError(f"can't be read ({error.strerror})") from error
    if not head:
        raise AudioError("empty file (0 bytes)")
    return head


def _read(path: Path, head: bytes, excerpt: float | None, where: float) -> _Excerpt:
    # libsndfile reads MP3 too, but its decoder prints on stderr and can't be told not to.
    mpeg = head.startswith(b"ID3") or (len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0)
    readers: tuple[Callable[[Path, float | None, float], _Excerpt], ...]
    readers = (_read_av,) if mpeg else (_read_soundfile, _read_av)
    reason = ""
    for reader in readers:
        try:
            return reader(path, excerpt, where)
        except _CannotReadError as error:
            reason = str(error)
        except OSError as error:
            raise AudioError(f"can't be read ({error.strerror or error})") from error
        except MemoryError as error:
            raise AudioError("its header asks for more memory than there is") from error
    raise AudioError(reason)


# -- libsndfile ------------------------------------------------------------------------------


def _read_soundfile(path: Path, excerpt: float | None, where: float) -> _Excerpt:
    import soundfile

    try:
        # An open file, not a name: names needn't be text that libsndfile can encode.
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            rate, frames = sound.samplerate, sound.frames
            if excerpt is None or frames <= excerpt * rate:
                return _joined([(rate, block) for block in _blocks(sound)], None)
            wanted = int(excerpt * rate)
            sound.seek(int((frames - wanted) * where))
            taken = list(_taken(_blocks(sound), 0, wanted))
            if sum(map(len, taken)) < wanted * _SHORTFALL:
                # The header promised more than there is: count, then take from what there is.
                sound.seek(0)
                frames = sum(map(len, _blocks(sound)))
                sound.seek(0)
                skip = max(0, int((frames - wanted) * where))
                taken = list(_taken(_blocks(sound), skip, wanted))
            return _joined([(rate, block) for block in taken], frames / rate)
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError, ValueError) as error:
        raise _CannotReadError(_BROKEN) from error


def _blocks(sound: "soundfile.SoundFile") -> Iterator[Samples]:
    """Mono blocks from where the file stands to its end; frame counts in headers may be wrong."""
    while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
        yield block.mean(axis=1)


# -- FFmpeg ----------------------------------------------------------------------------------


def _read_av(path: Path, excerpt: float | None, where: float) -> _Excerpt:
    import av

    try:
        duration = _av_duration(path)
        if excerpt is None or (duration is not None and duration <= excerpt):
            return _joined(_av_blocks(path, 0.0, None), None)
        if duration is not None:
            blocks = _av_blocks(path, (duration - excerpt) * where, excerpt)
            if _seconds(blocks) >= excerpt * _SHORTFALL:
                return _joined(blocks, duration)
        # No duration, or a wrong one: count, then take from what there is.
        duration = sum(len(block) / rate for rate, block in _av_frames(path, 0.0))
        return _joined(_av_blocks(path, max(0.0, duration - excerpt) * where, excerpt), duration)
    except av.error.DecoderNotFoundError as error:
        raise _CannotReadError("no decoder for what is in it") from error
    except av.error.FFmpegError as error:
        raise _CannotReadError(_BROKEN) from error


class _File(io.FileIO):
    """A file that tells FFmpeg "no" where a broken header sends it to where no byte can be.

    PyAV prints an exception raised by a file's method on stderr, whatever its logging level.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError:
            return -1


@contextmanager
def _av_open(path: Path) -> Iterator["av.container.InputContainer"]:
    import av

    # An open file instead of a name, and no protocols: a playlist called .mp3 opens nothing else.
    options = {"protocol_whitelist": "none"}
    with (
        _File(path) as file,
        av.open(file, "r", metadata_errors="replace", options=options) as container,
    ):
        yield container


def _av_stream(container: "av.container.InputContainer") -> "av.AudioStream":
    if not container.streams.audio:
        raise _CannotReadError("there is no audio in it")
    return container.streams.audio[0]


def _av_duration(path: Path) -> float | None:
    with _av_open(path) as container:
        stream = _av_stream(container)
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        return None if container.duration is None else container.duration / 1_000_000


def _av_blocks(path: Path, start: float, length: float | None) -> list[tuple[int, Samples]]:
    """Blocks of (rate, mono samples) from `start` seconds on, `length` seconds of them."""
    if length is None:
        return list(_av_frames(path, start))
    blocks: list[tuple[int, Samples]] = []
    left = length
    for rate, block in _av_frames(path, start):
        blocks.append((rate, block[: round(left * rate)]))
        left -= len(block) / rate
        if left * rate < 1:
            break
    return blocks


def _av_frames(path: Path, start: float) -> Iterator[tuple[int, Samples]]:
    import av

    with _av_open(path) as container:
        stream = _av_stream(container)
        begin = start
        if stream.start_time is not None and stream.time_base is not None:
            begin += float(stream.start_time * stream.time_base)
        if start > _PREROLL:
            try:
                container.seek(int((begin - _PREROLL) * 1_000_000))
            except av.error.FFmpegError:  # not seekable: decoding from the start gets there too
                container.seek(0)
        at = 0.0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.FFmpegError):  # cut off: keep what came before
                return
            try:
                frames = packet.decode()
            except av.error.FFmpegError:  # one damaged packet is a crackle, not a broken song
                continue
            for frame in frames:
                if not isinstance(frame, av.AudioFrame) or not frame.sample_rate:
                    continue
                rate, block = frame.sample_rate, _av_mono(frame)
                time = at if frame.time is None else frame.time
                at = time + len(block) / rate
                skip = round((begin - time) * rate)
                if skip < len(block):
                    yield rate, block[max(0, skip) :]


def _av_mono(frame: "av.AudioFrame") -> Samples:
    values: NDArray[Any]
    if frame.format.name.startswith("s64"):  # PyAV makes no array of it
        values = np.stack([np.frombuffer(bytes(plane), np.int64) for plane in frame.planes])
        per_plane = 1 if frame.format.is_planar else frame.layout.nb_channels
        values = values[:, : frame.samples * per_plane]  # the rest is padding
    else:
        values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    mono: Samples
    if values.dtype == np.uint8:
        mono = (values.mean(axis=0, dtype=np.float32) - np.float32(128)) / np.float32(128)
    elif np.issubdtype(values.dtype, np.integer):
        mono = values.mean(axis=0, dtype=np.float64) / 2.0 ** (8 * values.itemsize - 1)
    else:
        mono = values.mean(axis=0)
    return mono.astype(np.float32, copy=False)


# -- both ------------------------------------------------------------------------------------


def _taken(blocks: Iterable[Samples], skip: int, wanted: int) -> Iterator[Samples]:
    """Leave out the first `skip` samples of a stream of blocks, then take `wanted`."""
    for block in blocks:
        if skip >= len(block):
            skip -= len(block)
            continue
        part = block[skip : skip + wanted]
        skip, wanted = 0, wanted - len(part)
        yield part
        if not wanted:
            return


def _seconds(blocks: Iterable[tuple[int, Samples]]) -> float:
    return sum(len(block) / rate for rate, block in blocks)


def _joined(blocks: list[tuple[int, Samples]], duration: float | None) -> _Excerpt:
    """Join blocks at `SAMPLE_RATE`; where the rate changes on the way, in parts."""
    import soxr

    if not blocks:
        raise _CannotReadError(_BROKEN)
    parts = []
    for rate, run in groupby(blocks, key=lambda block: block[0]):
        samples = np.concatenate([samples for _, samples in run])
        if rate != SAMPLE_RATE:
            samples = soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")
        parts.append(samples.astype(np.float32, copy=False))
    return _Excerpt(
        np.concatenate(parts) if len(parts) > 1 else parts[0],
        _seconds(blocks) if duration is None else duration,
        blocks[0][0],
    )
