"""Named feature families, each a vector a song, all computed from one STFT.

`FAMILIES` is the one place: a family is added by adding its entry there.
Where a value has librosa's name it is librosa's value; `tests/audio/test_features.py` says how
exactly. Importing librosa itself is left to `kg.audio.filters`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE, Samples
from kg.audio.filters import N_CHROMA, N_FFT, N_MELS
from kg.audio.frames import LAGS, N_CONTRAST, N_MFCC, Frames, delta
from kg.audio.spectrum import HOP, Matrix, Measure
from kg.excerpt import EXCERPT
from kg.records import FeatureSet

REVISION: Final = 3
"""Raised by whoever changes what a family computes without changing its columns."""


@dataclass(frozen=True, slots=True)
class Family:
    """A feature family: `compute` gives one value for each of `columns`.

    What it needs of the spectrum beside what `Frames` has, it measures itself: `measure` is called
    in the one pass over the STFT, and what it gave is in `Frames.measured` under the family's name.
    """

    name: str
    columns: tuple[str, ...]
    compute: Callable[[Frames], Matrix]
    measure: Measure | None = None


def _mfcc(frames: Frames) -> Matrix:
    return np.concatenate(
        [
            mean_std(frames.mfcc),
            delta(frames.mfcc).std(axis=1),
            delta(frames.mfcc, order=2).std(axis=1),
            modulation(frames.mfcc),
        ]
    )


def _mel(frames: Frames) -> Matrix:
    broad = frames.log_mel.reshape(N_BROAD, N_MELS // N_BROAD, -1).mean(axis=1)
    return np.concatenate([mean_std(frames.log_mel), modulation(broad)])


def _chroma(frames: Frames) -> Matrix:
    change = np.abs(np.diff(frames.chroma, axis=1, prepend=frames.chroma[:, :1]))
    return np.concatenate([mean_std(frames.chroma), change.mean(axis=1)])


def _tonnetz(frames: Frames) -> Matrix:
    return mean_std(frames.tonnetz)


def _contrast(frames: Frames) -> Matrix:
    # The valleys beside their distance from the peaks, as Jiang et al. (2002) keep them.
    return np.concatenate([mean_std(frames.contrast), mean_std(frames.valleys)])


def _spectral(frames: Frames) -> Matrix:
    matrix = np.vstack([frames.shape, frames.crossings, frames.loudness])
    # Hz, and shares in thousandths: what moves is then far above the floor of `modulation`.
    scale = np.array([1, 1, 1, 1000, 1000, 1000], np.float32)[:, None]
    return np.concatenate([mean_std(matrix), modulation(matrix * scale)])


def _rhythm(frames: Frames) -> Matrix:
    onsets, tempogram, tempo = frames.onsets, frames.tempogram, frames.tempo
    # The autocorrelation at multiples of the beat tells straight from swing, four from three.
    lag = 60.0 * SAMPLE_RATE / HOP / tempo
    at = np.interp([ratio * lag for ratio in _BEATS.values()], np.arange(LAGS), tempogram)
    regularity = tempogram[_SHORTEST_BEAT:].max()
    return np.array(
        [np.log2(tempo), onsets.mean(), onsets.std(), regularity, *at], dtype=np.float32
    )


_SHORTEST_BEAT: Final = round(60.0 / 240.0 * SAMPLE_RATE / HOP)  # frames of a beat at 240 a minute
_BEATS: Final = {
    "quarter": 0.25,
    "third": 1 / 3,
    "half": 0.5,
    "two_thirds": 2 / 3,
    "three_quarters": 0.75,
    "one": 1.0,
    "one_and_a_half": 1.5,
    "two": 2.0,
    "three": 3.0,
    "four": 4.0,
}


N_BROAD: Final = 8
"""Broad mel bands of which the modulation is taken."""

_MODULATIONS: Final = {
    "modulation_0_5_hz": (0.5, 2.0),
    "modulation_2_hz": (2.0, 4.0),
    "modulation_4_hz": (4.0, 8.0),
    "modulation_8_hz": (8.0, 16.0),
}


_SHAPE: Final = ("centroid", "bandwidth", "rolloff", "flatness", "zero_crossing_rate", "rms")


def mean_std(matrix: NDArray[np.floating]) -> Matrix:
    """Mean of each row, then standard deviation of each row: [2 * rows]."""
    mean = matrix.mean(axis=1, dtype=np.float64)
    std = matrix.std(axis=1, dtype=np.float64)
    return np.concatenate([mean, std]).astype(np.float32)


def modulation(matrix: Matrix) -> Matrix:
    """How much each row moves, slowly to fast: log power in the bands of `_MODULATIONS`.

    After McKinney and Breebaart (2003): a beat, a tremolo and a held chord have the same mean and
    standard deviation. All rows of the slowest band first: [bands * rows].
    """
    import scipy.fft

    count = matrix.shape[1]
    centred = matrix - matrix.mean(axis=1, keepdims=True)
    window = np.hanning(count + 2)[1:-1].astype(np.float32)
    length = scipy.fft.next_fast_len(count, real=True)
    spectrum = scipy.fft.rfft(centred * window, length, axis=1)
    power = (np.square(spectrum.real) + np.square(spectrum.imag)) / np.square(window).sum()
    hertz = np.fft.rfftfreq(length, HOP / SAMPLE_RATE)
    bands = [
        # A second has few frequencies: the nearest stands for a band that has none of them.
        inside if inside.any() else np.arange(len(hertz)) == np.abs(hertz - low).argmin()
        for low, high in _MODULATIONS.values()
        for inside in [(hertz >= low) & (hertz < high)]
    ]
    means = [power[:, inside].mean(axis=1) for inside in bands]
    return np.log10(np.concatenate(means) + 1e-3).astype(np.float32)


def _columns(*names: str, statistics: Iterable[str] = ("mean", "std")) -> tuple[str, ...]:
    """Name the values of `mean_std`: all means, then all standard deviations."""
    return tuple(f"{name}_{statistic}" for statistic in statistics for name in names)


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}_{i:0{len(str(count))}d}" for i in range(1, count + 1)]


FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        Family(
            "mfcc",
            _columns(
                *_numbered("mfcc", N_MFCC),
                statistics=("mean", "std", "delta_std", "delta2_std", *_MODULATIONS),
            ),
            _mfcc,
        ),
        Family(
            "mel",
            _columns(*_numbered("mel", N_MELS))
            + _columns(*_numbered("mel_broad", N_BROAD), statistics=_MODULATIONS),
            _mel,
        ),
        Family(
            "chroma",
            _columns(*_numbered("chroma", N_CHROMA), statistics=("mean", "std", "change")),
            _chroma,
        ),
        Family(
            "tonnetz",
            _columns(
                *("fifths_x", "fifths_y", "minor_thirds_x", "minor_thirds_y"),
                *("major_thirds_x", "major_thirds_y"),
            ),
            _tonnetz,
        ),
        Family(
            "contrast",
            _columns(*_numbered("contrast", N_CONTRAST))
            + _columns(*_numbered("valley", N_CONTRAST)),
            _contrast,
        ),
        Family(
            "spectral",
            _columns(*_SHAPE) + _columns(*_SHAPE, statistics=_MODULATIONS),
            _spectral,
        ),
        Family(
            "rhythm",
            (
                "tempo_log2",
                "onset_strength_mean",
                "onset_strength_std",
                "beat_regularity",
                *(f"tempogram_beats_{name}" for name in _BEATS),
            ),
            _rhythm,
        ),
    )
}


def features(samples: Samples) -> Matrix:
    """Compute every family of one song: float32 [d], in the order of `columns()`, finite.

    Args:
        samples: Mono, at `SAMPLE_RATE`, as `kg.audio.decode.decode` gives them.
    """
    return features_of(cut(samples))


def cut(samples: Samples) -> Frames:
    """Cut a song into frames, with all that families measure in them."""
    return Frames(samples, {f.name: f.measure for f in FAMILIES.values() if f.measure is not None})


def features_of(frames: Frames) -> Matrix:
    """Compute every family of a song that is `cut` already."""
    values = np.concatenate([family.compute(frames) for family in FAMILIES.values()])
    return np.nan_to_num(values.astype(np.float32, copy=False))


def columns() -> tuple[str, ...]:
    """Name every feature, family by family."""
    return tuple(column for family in FAMILIES.values() for column in family.columns)


def family_slices() -> dict[str, slice]:
    """Say which part of a feature vector each family is."""
    ends = list(accumulate(len(family.columns) for family in FAMILIES.values()))
    return {
        name: slice(begin, end)
        for name, begin, end in zip(FAMILIES, [0, *ends], ends, strict=False)
    }


def feature_set(excerpt: float | None = EXCERPT) -> FeatureSet:
    """Describe what `features` gives for excerpts of this length."""
    return FeatureSet(feature_version(excerpt), family_slices(), columns(), excerpt)


def feature_version(excerpt: float | None = EXCERPT) -> str:
    """Hash what the values depend on: 12 hex digits; vectors of two versions don't mix."""
    configuration = {
        "revision": REVISION,
        "sample_rate": SAMPLE_RATE,
        "excerpt": None if excerpt is None else float(excerpt),
        "n_fft": N_FFT,
        "hop": HOP,
        "beats": list(_BEATS.values()),
        "modulations": list(_MODULATIONS.values()),
        # A list: the order of the families is the order of the columns.
        "families": [[name, family.columns] for name, family in FAMILIES.items()],
    }
    text = json.dumps(configuration, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
