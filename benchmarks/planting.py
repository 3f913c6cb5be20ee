"""Copies of clips with a fault or a change planted in each: what an audit has to find.

Every function writes one file beside nothing else, from the samples of a clip (float32 [n], mono).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Planted = Callable[[Samples, int, Path], Path]


def encoded(samples: Samples, rate: int, path: Path, codec: str, bit_rate: int | None) -> Path:
    """Write samples with one of FFmpeg's encoders; the suffix of `path` names the container."""
    import av

    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )  # fmt: skip
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def lossless(samples: Samples, rate: int, path: Path) -> Path:
    """Write 16-bit FLAC."""
    import soundfile

    target = path.with_suffix(".flac")
    soundfile.write(target, np.clip(samples, -1, 1), rate, subtype="PCM_16")
    return target


def mp3(samples: Samples, rate: int, path: Path) -> Path:
    """As an MP3 of 64 kbit/s."""
    return encoded(samples, rate, path.with_suffix(".mp3"), "libmp3lame", 64_000)


def opus(samples: Samples, rate: int, path: Path) -> Path:
    """At 48 kHz, as Opus of 48 kbit/s."""
    import soxr

    at_48 = np.asarray(soxr.resample(samples, rate, 48_000), np.float32)
    return encoded(at_48, 48_000, path.with_suffix(".opus"), "libopus", 48_000)


def cut_start(samples: Samples, rate: int, path: Path) -> Path:
    """Without its first 5 s."""
    return lossless(samples[5 * rate :], rate, path)


def cut_end(samples: Samples, rate: int, path: Path) -> Path:
    """Without its last 5 s, and as an MP3."""
    return mp3(samples[: -5 * rate], rate, path)


def _shifted(samples: Samples, rate: int, path: Path, semitones: float) -> Path:
    import librosa

    moved = librosa.effects.pitch_shift(samples, sr=rate, n_steps=semitones)
    return lossless(0.9 * moved / max(1.0, np.abs(moved).max()), rate, path)


def higher(samples: Samples, rate: int, path: Path) -> Path:
    """A semitone higher, as fast as before."""
    return _shifted(samples, rate, path, 1.0)


def lower(samples: Samples, rate: int, path: Path) -> Path:
    """Two semitones lower, as fast as before."""
    return _shifted(samples, rate, path, -2.0)


def _sped(samples: Samples, rate: int, path: Path, speed: float) -> Path:
    import soxr

    return lossless(np.asarray(soxr.resample(samples, rate * speed, rate), np.float32), rate, path)


def faster(samples: Samples, rate: int, path: Path) -> Path:
    """Played 4 % faster, and higher for it: PAL, or a tape that runs too fast."""
    return _sped(samples, rate, path, 1.04)


def slower(samples: Samples, rate: int, path: Path) -> Path:
    """Played 6 % slower, a semitone lower for it."""
    return _sped(samples, rate, path, 1 / 1.06)


def clipped(samples: Samples, rate: int, path: Path) -> Path:
    """12 dB louder than there is room for."""
    return lossless(4 * samples / np.abs(samples).max(), rate, path)


def clipped_mp3(samples: Samples, rate: int, path: Path) -> Path:
    """12 dB louder than there is room for, and then an MP3 of 128 kbit/s, which has peaks again."""
    loud = np.clip(4 * samples / np.abs(samples).max(), -1, 1)
    return encoded(loud, rate, path.with_suffix(".mp3"), "libmp3lame", 128_000)


def silenced(samples: Samples, rate: int, path: Path) -> Path:
    """With 5 s of nothing in it."""
    changed = samples.copy()
    changed[12 * rate : 17 * rate] = 0
    return lossless(changed, rate, path)


def truncated(samples: Samples, rate: int, path: Path) -> Path:
    """Without the last fifth of its bytes."""
    return _without_end(lossless(samples, rate, path))


def truncated_mp3(samples: Samples, rate: int, path: Path) -> Path:
    """An MP3 without the last fifth of its bytes."""
    return _without_end(mp3(samples, rate, path))


def one_sided(samples: Samples, rate: int, path: Path) -> Path:
    """In stereo, with nothing on the right."""
    import soundfile

    target = path.with_suffix(".flac")
    soundfile.write(target, np.stack([samples, np.zeros_like(samples)], axis=1), rate)
    return target


def _without_end(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 4 // 5])
    return path


COPIES: Final[Mapping[str, Planted]] = {
    each.__name__: each for each in (mp3, opus, cut_start, cut_end, higher, lower, faster, slower)
}
"""What makes another file of the same recording."""

FAULTS: Final[Mapping[str, Planted]] = {
    each.__name__: each
    for each in (clipped, clipped_mp3, silenced, truncated, truncated_mp3, one_sided)
}
"""What breaks a file."""


def plant(clip: Path, kind: str, folder: Path) -> Path:
    """Write a copy of a clip with one change or fault, `<clip>-<kind>.<suffix>`."""
    import soundfile

    samples, rate = soundfile.read(clip, dtype="float32", always_2d=True)
    folder.mkdir(parents=True, exist_ok=True)
    make = {**COPIES, **FAULTS}[kind]
    return make(samples.mean(axis=1), rate, folder / f"{clip.stem}-{kind}.x")
