"""What a song's page lets one hear and see: its file, what kg heard of it, and a spectrogram."""

import io
import os
import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE, Audio, decode
from kg.audio.frames import Frames
from kg.audio.scales import mel_rows
from kg.files import content_id
from kg.text import unstored

# What browsers may play, by suffix; nothing else that a graph names as a song's path is handed out.
PLAYED: Final = {
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "audio/mp4",
    ".aac": "audio/aac",
    ".webm": "audio/webm",
}
# Columns of a spectrogram's picture, and rows that a band gets.
_COLUMNS: Final = 1200
_ROWS: Final = 2
# dB below the loudest that is drawn as nothing.
_DEEPEST: Final = 80.0
_HERTZ: Final = (256, 1024, 4096)
# From nothing to the loudest, as in matplotlib's magma.
_MAGMA: Final = (
    (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
    (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heard:
    """The part of a song that kg listened to.

    Attributes:
        start: Seconds into the song where it begins.
        seconds: How long it is.
        wave: The same as a WAV file: mono, 16 bit.
        picture: Its log-mel spectrogram as a PNG, low bands below.
    """

    start: float
    seconds: float
    wave: bytes
    picture: bytes


def there(paths: Sequence[str]) -> Path | None:
    """The first of a song's files that is still there."""
    names = (name for path in paths for name in dict.fromkeys((path, unstored(path))))
    return next((Path(name) for name in names if os.path.isfile(name)), None)  # noqa: PTH113


def is_another(file: Path, contents: Collection[str]) -> bool:
    """Whether a song's file is another one now than kg heard, or has other tags.

    Args:
        file: What lies there.
        contents: Hashes of the bytes that it may have (`kg.files.content_id`); none: nobody knows.
    """
    if not contents:
        return False
    try:
        return content_id(file) not in contents
    except OSError:
        return False  # its player says it


def hear(path: Path, excerpt: float | None) -> Heard:
    """Listen to a song as an ingest does.

    Args:
        path: Its file.
        excerpt: Seconds from its middle; None: all of it.

    Raises:
        AudioError: it can't be read.
    """
    audio = decode(path, excerpt)
    seconds = len(audio.samples) / SAMPLE_RATE
    return Heard(
        start=max(0.0, (audio.duration - seconds) / 2),
        seconds=seconds,
        wave=_wave(audio),
        picture=_picture(Frames(audio.samples).log_mel),
    )


def marks() -> list[tuple[str, float]]:
    """Frequencies beside a spectrogram: what they are called, and their height from 0 to 1."""
    bands = mel_rows((SAMPLE_RATE / 2,))[0] + 1
    rows = mel_rows(_HERTZ)
    return [(f"{hertz} Hz", (row + 0.5) / bands) for hertz, row in zip(_HERTZ, rows, strict=True)]


def _wave(audio: Audio) -> bytes:
    import wave

    samples = np.round(np.clip(audio.samples, -1.0, 1.0) * 32767).astype("<i2")
    kept = io.BytesIO()
    with wave.open(kept, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
    return kept.getvalue()


def _picture(log_mel: NDArray[np.float32]) -> bytes:
    """A PNG of decibels [bands, frames]."""
    count = log_mel.shape[1]
    width = max(1, -(-count // _COLUMNS))
    starts = np.arange(0, count, width)
    sizes = np.diff(np.append(starts, count))
    columns = np.add.reduceat(log_mel, starts, axis=1) / sizes
    shown = 1 + np.clip((columns - columns.max()) / _DEEPEST, -1.0, 0.0)
    pixels = np.repeat(np.round(255 * shown[::-1]).astype(np.uint8), _ROWS, axis=0)
    return _png(pixels, _palette())


def _palette() -> NDArray[np.uint8]:
    places = np.linspace(0, 255, len(_MAGMA))
    colours = np.array(_MAGMA, dtype=np.float64).T
    each = [np.interp(np.arange(256), places, channel) for channel in colours]
    return np.round(np.stack(each, axis=1)).astype(np.uint8)


def _png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """An indexed PNG of pixels [height, width]; palette: [256, 3]."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_)

    height, width = pixels.shape
    # Each line says how it is filtered: not at all.
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", palette.tobytes())
        + chunk(b"IDAT", zlib.compress(lines.tobytes(), 6))
        + chunk(b"IEND", b"")
    )
