"""From an audio file to mono samples: soundfile for what libsndfile reads, PyAV for the rest."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.levels import Meter
from kg.audio.suspects import LOCKED, encrypted, explain
from kg.errors import AudioError
from kg.excerpt import EXCERPT, MOST
from kg.files import CHANGED, QuietFile, open_file, why_unreadable

if TYPE_CHECKING:
    import av
    import soundfile
    import soxr

Samples = NDArray[np.float32]

SAMPLE_RATE: Final = 22_050
"""Hz of every signal that features are computed from."""

SHORTEST: Final = 0.06
"""Seconds below which a file is no song: there is too little for a single spectrum."""

SILENCE: Final = 2.0**-15
"""What doesn't move by more than this, one step of 16-bit audio, is silent."""

LONGEST: Final = MOST
"""Seconds of the longest song that is listened to as a whole: 9 GB of memory."""

_LOUDEST: Final = 16.0  # float files that go beyond were scaled as integers
_ABSURD: Final = 2.0**48  # beyond any integer scale
_RATES: Final = (500, 12_000_000)  # Hz; what claims another sample rate is broken
_BLOCK: Final = 1 << 16  # samples handled at once
_PREROLL: Final = 0.5  # seconds decoded before an excerpt, so that codecs have settled
_SHORTFALL: Final = 0.9  # an excerpt that ends before this share of it shows a wrong header
_PLANES: Final = 8  # channels that are too many for PyAV, if each has a plane of its own
_FULL: Final = 4 * 3600  # seconds that room is made for at once; a header may claim anything
_UNSURE: Final = 0.02  # an excerpt whose bit rate is off by more belies a length got from bit rate
_GUESSED: Final = frozenset({"aac", "ac3", "amr", "dts", "eac3", "loas", "mp3"})  # lengths


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """The decoded part of a song.

    Attributes:
        samples: float32 [n], mono, at `SAMPLE_RATE`, finite, not silent, at least `SHORTEST`.
        duration: Seconds of the whole file.
        sample_rate: Hz of the file itself.
        clipping: Share of the decoded part's samples that are cut off at its peak, 0 to 1.
        imbalance: By how many dB one of two channels is louder.
        moved: Whether the middle is silent, so that this is the beginning.
    """

    samples: Samples
    duration: float
    sample_rate: int
    clipping: float = 0.0
    imbalance: float = 0.0
    moved: bool = False


@dataclass(frozen=True, slots=True)
class _Wish:
    """What to take from a file.

    Attributes:
        seconds: How much; None: all.
        where: From where, if there is more: 0.5 is the middle, 0 the beginning.
        mixed: Whether channels are averaged; else the first one is taken.
    """

    seconds: float | None
    where: float = 0.5
    mixed: bool = True


class CannotReadError(Exception):
    """This reader makes nothing of the file, another may; the message, if any, says why."""


def decode(path: Path, excerpt: float | None = EXCERPT) -> Audio:
    """Decode the middle `excerpt` seconds of a file (None: all of it), mixed down to mono.

    Where the middle is silent (a hidden track after minutes of nothing), the beginning is taken;
    where the channels cancel each other out, the first of them.

    Raises:
        AudioError: the file is missing, unreadable, empty, not audio, broken, encrypted, too
            short, silent, holds samples that are no numbers, changed meanwhile, or is longer than
            `LONGEST` where all of it is wanted.
    """
    try:
        with open_file(path) as file:
            before = _stamp(file)
            audio = _decode(file, excerpt)
            if _stamp(file) != before:
                raise AudioError(CHANGED)
            return audio
    except OSError as error:
        raise AudioError(why_unreadable(error)) from error
    except MemoryError as error:
        raise AudioError("needs more memory than there is") from error


def _stamp(file: QuietFile) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _decode(file: QuietFile, excerpt: float | None) -> Audio:
    mixed, first = (True, False)
    for mix in (mixed, first):
        for where in (0.5, 0.0):
            heard = _read(file, _Wish(excerpt, where, mix))
            seconds = heard.seconds
            if not np.isfinite((heard.low, heard.high)).all():
                raise AudioError("holds samples that are not numbers (NaN or infinity)")
            if max(-heard.low, heard.high) > _ABSURD:
                raise AudioError("holds samples beyond all bounds: damaged")
            if seconds < SHORTEST:
                raise AudioError(f"only {1000 * seconds:.0f} ms of sound: too short for a song")
            if heard.high - heard.low > SILENCE:
                return _audio(heard, moved=where != 0.5)
            if excerpt is None or heard.duration <= excerpt:
                break
        if heard.channels == 1:
            break
    raise AudioError("silent: there is no sound in it")


def _audio(heard: "_Heard", *, moved: bool) -> Audio:
    samples = heard.samples()
    peak = max(-heard.low, heard.high)
    if peak > _LOUDEST:
        samples /= np.float32(peak)
    meter = heard.meter
    return Audio(samples, heard.duration, heard.rate, meter.clipping, meter.imbalance, moved=moved)


def _read(file: QuietFile, wish: _Wish) -> "_Heard":
    """Read what is wished for with the first reader that can.

    libsndfile comes first where its words are more exact; not for MPEG audio, where its decoder
    prints on stderr and can't be told not to, nor for Ogg, where FFmpeg is two to three times
    faster.
    """
    file.seek(0)
    head = file.read(64)
    if file.error is not None:
        raise file.error
    if not head:
        raise AudioError("empty file (0 bytes)")
    mpeg = head.startswith(b"ID3") or (len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0)
    mpeg = mpeg or (head[8:16] == b"WAVEfmt " and head[20:22] in (b"\x50\0", b"\x55\0"))
    readers = [_read_av] if mpeg else [_read_soundfile, _read_av]
    if head.startswith(b"OggS"):
        readers.reverse()
    reasons = []
    for reader in readers:
        try:
            return reader(file, wish)
        except CannotReadError as error:
            reasons.append(str(error))
        if file.error is not None:
            raise file.error
    raise AudioError(next(filter(None, reasons), "") or explain(file))


# -- what both readers fill ------------------------------------------------------------------


class _Heard:
    """Takes mono blocks in and resamples them to `SAMPLE_RATE` on the way.

    Args:
        limit: Seconds that are taken; None: all that come.
        expected: Seconds that will probably come.

    Attributes:
        rate: Hz of the file, by the first block.
        channels: Of the file, by its reader.
        seconds: What was taken in.
        duration: Seconds of the whole file; the reader's word, else what was taken in.
        low: Lowest sample, before resampling.
        high: Highest sample, before resampling.
        meter: What shows before channels are mixed.
    """

    def __init__(self, limit: float | None, expected: float | None = None) -> None:
        self.rate = 0
        self.channels = 1
        self.seconds = 0.0
        self.low, self.high = np.inf, -np.inf
        self.meter = Meter()
        self._declared: float | None = None
        self._limit = limit
        self._at_rate = 0  # of the blocks that come now
        self._resampler: soxr.ResampleStream | None = None
        # One array that is never copied: hours of music fit in memory once, but not twice.
        room = min(_FULL if limit is None else limit, 60.0 if expected is None else expected)
        self._buffer: Samples = np.empty(int(room * 1.02 * SAMPLE_RATE) + _BLOCK, np.float32)
        self._size = 0

    @property
    def duration(self) -> float:
        return self.seconds if self._declared is None else max(self._declared, self.seconds)

    @duration.setter
    def duration(self, seconds: float) -> None:
        self._declared = seconds

    @property
    def full(self) -> bool:
        """Whether nothing more is wanted."""
        left = None if self._limit is None else self._limit - self.seconds
        return left is not None and left * max(1, self._at_rate) < 1

    def add(self, rate: int, values: NDArray[Any], *, mixed: bool) -> None:
        """Take in samples [channels, n] of `rate` Hz, averaged or the first channel of them."""
        if not _RATES[0] <= rate <= _RATES[1]:
            raise CannotReadError(f"its header claims {rate} samples a second: damaged")
        if self._limit is not None:
            values = values[:, : max(0, round((self._limit - self.seconds) * rate))]
        if not values.shape[1]:
            return
        block = _mono(values, mixed)
        self.rate = self.rate or rate
        if rate != self._at_rate:
            self._flush()
            self._start(rate)
        self.seconds += len(block) / rate
        if self._limit is None and self.seconds > LONGEST:
            raise AudioError(
                f"longer than {LONGEST / 3600:.0f} hours: too much to listen to as a whole; "
                "use --excerpt SECONDS"
            )
        self.low = min(self.low, float(block.min()))  # a NaN stays
        self.high = max(self.high, float(block.max()))
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            self.low = self.high = np.nan
        self.meter.add(values)
        self._append(block if self._resampler is None else self._resampler.resample_chunk(block))

    def samples(self) -> Samples:
        """All of it; nothing can be added afterwards."""
        self._flush()
        found = self._buffer[: self._size]
        return found if 2 * len(found) > len(self._buffer) else found.copy()

    def _start(self, rate: int) -> None:
        import soxr

        self._at_rate = rate
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float32", "HQ")

    def _flush(self) -> None:
        if self._resampler is not None:
            self._append(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            self._resampler = None

    def _append(self, block: Samples) -> None:
        size = self._size + len(block)
        if size > len(self._buffer):
            self._buffer.resize(size + size // 8 + _BLOCK, refcheck=False)
        self._buffer[self._size : size] = block
        self._size = size


def _mono(values: NDArray[Any], mixed: bool) -> Samples:
    """Average channels ([channels, n], floats or integers of any width) to [n], -1 to 1."""
    wide = values.itemsize > 2 and values.dtype.kind == "i"
    first = values[0].astype(np.float64 if wide else np.float32, copy=False)
    total = first if len(values) == 1 or not mixed else first + values[1]
    for channel in values[2:] if mixed else ():
        total += channel
    count = len(values) if mixed else 1
    if values.dtype.kind == "u":
        total = total - np.float32(count * 2 ** (8 * values.itemsize - 1))
    scale = count * (1 if values.dtype.kind == "f" else 2 ** (8 * values.itemsize - 1))
    mono: Samples = (total if scale == 1 else total * total.dtype.type(1 / scale)).astype(
        np.float32, copy=False
    )
    return mono


# -- libsndfile ------------------------------------------------------------------------------


def _read_soundfile(file: QuietFile, wish: _Wish) -> _Heard:
    import soundfile

    file.seek(0)
    try:
        # An open file, not a name: names needn't be text that libsndfile can encode.
        with soundfile.SoundFile(file) as sound:
            rate, frames = sound.samplerate, sound.frames
            if wish.seconds is None or frames <= wish.seconds * rate:
                heard = _heard(sound, 0, wish)
            else:
                wanted = int(wish.seconds * rate)
                heard = _heard(sound, int((frames - wanted) * wish.where), wish)
                if heard.seconds < wish.seconds * _SHORTFALL:
                    # The header promised more than there is: count, then take from what there is.
                    sound.seek(0)
                    frames = sum(len(block) for block in _blocks(sound))
                    heard = _heard(sound, int(max(0, frames - wanted) * wish.where), wish)
                heard.duration = frames / rate
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError, ValueError) as error:
        raise CannotReadError from error
    if not heard.seconds:
        raise CannotReadError
    return heard


def _heard(sound: "soundfile.SoundFile", start: int, wish: _Wish) -> _Heard:
    heard = _Heard(wish.seconds, sound.frames / sound.samplerate)
    heard.channels = sound.channels
    sound.seek(start)
    for block in _blocks(sound):
        heard.add(sound.samplerate, block.T, mixed=wish.mixed)
        if heard.full:
            break
    return heard


def _blocks(sound: "soundfile.SoundFile") -> Iterator[NDArray[np.float32]]:
    """Blocks [n, channels] to the end, each good until the next; counts in headers may be wrong."""
    out = np.empty((max(1, _BLOCK // sound.channels), sound.channels), np.float32)
    while len(block := sound.read(out=out)):
        yield block


# -- FFmpeg ----------------------------------------------------------------------------------


def _read_av(file: QuietFile, wish: _Wish) -> _Heard:
    import av

    try:
        with opened(file) as container:
            known = _duration(container)
            heard, bit_rate = _take(container, known, wish)
            guessed = container.format.name in _GUESSED and not says_length(file)
            doubtful = guessed and _differ(bit_rate, container.bit_rate)
        if wish.seconds is None:
            return _with_sound(heard)
        if known is None:
            wrong = heard.full
        elif known > wish.seconds:
            wrong = doubtful or heard.seconds < wish.seconds * _SHORTFALL
        else:
            wrong = heard.full
        if wrong:
            with opened(file) as container:
                known = _count(container)
            with opened(file) as container:
                again, _ = _take(container, known, wish)
            heard = again if again.seconds else heard
        if known is not None and known > wish.seconds:
            heard.duration = known
        return _with_sound(heard)
    except av.error.DecoderNotFoundError as error:
        raise CannotReadError("a kind of audio that kg has no decoder for") from error
    except av.error.FFmpegError as error:
        raise CannotReadError from error


def _with_sound(heard: _Heard) -> _Heard:
    if not heard.seconds:
        raise CannotReadError
    return heard


@contextmanager
def opened(file: QuietFile) -> Iterator["av.container.InputContainer"]:
    """Open a file as a container with audio in it; nobody else may move in the file meanwhile.

    Raises:
        av.error.FFmpegError: FFmpeg can't make anything of it.
        CannotReadError: there is no audio in it that can be decoded.
    """
    import av

    file.seek(0)
    # An open file instead of a name, and no protocols: a playlist called .mp3 opens nothing else.
    options = {"protocol_whitelist": "none"}
    with av.open(file, "r", metadata_errors="replace", options=options) as container:
        if not container.streams.audio:
            raise CannotReadError(
                "holds a picture or video, but no audio" if container.streams.video else ""
            )
        stream = container.streams.audio[0]
        if encrypted(stream):
            raise CannotReadError(LOCKED)
        if stream.codec_context is None:
            raise CannotReadError("a kind of audio that kg has no decoder for")
        stream.codec_context.thread_count = 1  # songs are read in parallel as it is
        yield container


def _duration(container: "av.container.InputContainer") -> float | None:
    """Seconds by the header; None where it doesn't say, or says nonsense."""
    stream = container.streams.audio[0]
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (container.duration or 0) / 1_000_000
    return seconds if seconds > 0 else None


def says_length(file: QuietFile) -> bool:
    """Whether the first frame of an MP3 tells how many there are, so that no length is guessed."""
    frame_after_tag(file)
    frame = file.read(4096)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def frame_after_tag(file: QuietFile) -> int:
    """Go to where an MP3's first frame begins, behind an ID3v2 tag: its place in bytes."""
    file.seek(0)
    head = file.read(10)
    if head.startswith(b"ID3") and len(head) == 10:
        size = sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
        return file.seek(10 + size)
    return file.seek(0)


def _differ(bit_rate: float, guess: int | None) -> bool:
    return not guess or abs(bit_rate / guess - 1) > _UNSURE


def _count(container: "av.container.InputContainer") -> float | None:
    """Add up the packets of a stream, without decoding: a second for three hours of music."""
    import av

    stream = container.streams.audio[0]
    total = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            break
        total += packet.duration or 0
    return float(total * stream.time_base) if total and stream.time_base else None


def _take(
    container: "av.container.InputContainer", known: float | None, wish: _Wish
) -> tuple[_Heard, float]:
    """Decode what is wished for; also gives the bits a second of what was decoded."""
    import av

    stream = container.streams.audio[0]
    start = 0.0
    if wish.seconds is not None and known is not None:
        start = max(0.0, known - wish.seconds) * wish.where
    heard = _Heard(wish.seconds, known)
    begin = start
    if stream.start_time is not None and stream.time_base is not None:
        begin += float(stream.start_time * stream.time_base)
    if start > _PREROLL:
        try:
            container.seek(int((begin - _PREROLL) * 1_000_000))
        except av.error.FFmpegError:  # not seekable: decoding from the start gets there too
            container.seek(0)
    frames = _Frames(container)
    for rate, values in frames.blocks(begin):
        heard.channels = len(values)
        heard.add(rate, values, mixed=wish.mixed)
        if heard.full:
            break
    return heard, 8 * frames.bytes / frames.seconds if frames.seconds else 0.0


class _Frames:
    """Decoded audio of a container's first audio stream, joined to blocks.

    Attributes:
        bytes: Size of the packets that were decoded.
        seconds: Their length.
    """

    def __init__(self, container: "av.container.InputContainer") -> None:
        self._container = container
        self.bytes = 0
        self.seconds = 0.0

    def blocks(self, begin: float) -> Iterator[tuple[int, NDArray[Any]]]:
        """Blocks of (rate, [channels, n]) from `begin` on, in the stream's own seconds."""
        import av

        queue = av.AudioFifo()  # frames are small: one by one, numpy would take longer than FFmpeg
        kind: tuple[object, ...] = ()
        at: float | None = None
        skip: int | None = None
        for frame in self._frames():
            time = frame.time if frame.time is not None else at
            at = (time or 0.0) + frame.samples / frame.sample_rate
            if skip is None:
                if at <= begin:
                    continue
                skip = max(0, round((begin - (time or 0.0)) * frame.sample_rate))
            now = (frame.sample_rate, frame.format.name, frame.layout.name)
            if now != kind or queue.samples >= _BLOCK:
                if queue.samples:
                    yield _values(queue, skip)
                    skip = 0
                if now != kind:
                    queue, kind = av.AudioFifo(), now
            frame.pts = None  # gaps are closed, not refused
            queue.write(frame)
        if queue.samples:
            yield _values(queue, skip or 0)

    def _frames(self) -> Iterator["av.AudioFrame"]:
        import av

        packets = self._container.demux(self._container.streams.audio[0])
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.FFmpegError):  # cut off: keep what came before
                return
            if packet.has_sidedata("encryption_info"):  # decoded, it is noise now and then
                raise CannotReadError(LOCKED)
            try:
                frames = packet.decode()
            except av.error.FFmpegError:  # one damaged packet is a crackle, not a broken song
                continue
            self.bytes += packet.size
            for frame in frames:
                if isinstance(frame, av.AudioFrame) and frame.sample_rate and frame.samples:
                    self.seconds += frame.samples / frame.sample_rate
                    yield from _packed(frame) if frame.layout.nb_channels >= _PLANES else [frame]


def _packed(frame: "av.AudioFrame") -> list["av.AudioFrame"]:
    """Lay many channels out as one plane: PyAV looks for their end beyond them, and crashes."""
    import av

    return av.AudioResampler(format="flt").resample(frame)


def _values(queue: "av.AudioFifo", skip: int) -> tuple[int, NDArray[Any]]:
    """Empty a queue: its rate and the values [channels, n] after the first `skip`."""
    frame = queue.read(queue.samples)
    assert frame is not None
    channels = frame.layout.nb_channels
    values: NDArray[Any]
    if frame.format.name.startswith("s64"):  # PyAV makes no array of it
        values = np.stack([np.frombuffer(bytes(plane), np.int64) for plane in frame.planes])
        per_plane = 1 if frame.format.is_planar else channels
        values = values[:, : frame.samples * per_plane]  # the rest is padding
    else:
        values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    return frame.sample_rate, values[:, skip:]
