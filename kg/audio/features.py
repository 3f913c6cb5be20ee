"""Named feature families, each a vector a song, all computed from one STFT.

`FAMILIES` is the one place: a family is added by adding its entry there.
Librosa is imported on first use only; names, columns and versions are known without it.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import EXCERPT, SAMPLE_RATE, Samples
from kg.records import FeatureSet

N_FFT: Final = 2048
HOP: Final = 512
N_MELS: Final = 128
N_MFCC: Final = 20
N_CHROMA: Final = 12
N_CONTRAST: Final = 7

REVISION: Final = 1
"""Raised by whoever changes what a family computes without changing its columns."""

Matrix = NDArray[np.float32]


class Frames:
    """A song cut into frames: what several families share is computed once, when first asked for.

    Every matrix has one column a frame; there are 1 + n // `HOP` frames.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    @cached_property
    def magnitude(self) -> Matrix:
        """Magnitude spectrogram [1 + N_FFT / 2, frames]."""
        import librosa

        stft = librosa.stft(self.samples, n_fft=N_FFT, hop_length=HOP)
        magnitude: Matrix = np.abs(stft)
        return magnitude

    @cached_property
    def power(self) -> Matrix:
        """Power spectrogram [1 + N_FFT / 2, frames]."""
        return np.square(self.magnitude)

    @cached_property
    def log_mel(self) -> Matrix:
        """Mel spectrogram in dB [N_MELS, frames]: the vectored mel spectrogram."""
        import librosa

        mel = librosa.feature.melspectrogram(S=self.power, sr=SAMPLE_RATE, n_mels=N_MELS)
        log_mel: Matrix = librosa.power_to_db(mel)
        return log_mel

    @cached_property
    def mfcc(self) -> Matrix:
        """Mel-frequency cepstral coefficients [N_MFCC, frames]."""
        import librosa

        mfcc: Matrix = librosa.feature.mfcc(S=self.log_mel, n_mfcc=N_MFCC)
        return mfcc

    @cached_property
    def onsets(self) -> Matrix:
        """Onset strength [frames]."""
        import librosa

        onsets: Matrix = librosa.onset.onset_strength(
            S=self.log_mel, sr=SAMPLE_RATE, hop_length=HOP
        )
        return onsets


@dataclass(frozen=True, slots=True)
class Family:
    """A feature family: `compute` gives one value for each of `columns`."""

    name: str
    columns: tuple[str, ...]
    compute: Callable[[Frames], Matrix]


def _mfcc(frames: Frames) -> Matrix:
    import librosa

    delta = librosa.feature.delta(frames.mfcc)
    return np.concatenate([_mean_std(frames.mfcc), delta.std(axis=1)])


def _mel(frames: Frames) -> Matrix:
    return _mean_std(frames.log_mel)


def _chroma(frames: Frames) -> Matrix:
    import librosa

    # tuning=0.0: librosa's estimate of it costs more than all of the other families' filters.
    chroma = librosa.feature.chroma_stft(
        S=frames.power, sr=SAMPLE_RATE, tuning=0.0, n_chroma=N_CHROMA
    )
    return _mean_std(chroma)


def _contrast(frames: Frames) -> Matrix:
    import librosa

    return _mean_std(
        librosa.feature.spectral_contrast(
            S=frames.magnitude, sr=SAMPLE_RATE, n_bands=N_CONTRAST - 1
        )
    )


def _spectral(frames: Frames) -> Matrix:
    import librosa

    centroid = librosa.feature.spectral_centroid(S=frames.magnitude, sr=SAMPLE_RATE)
    return _mean_std(
        np.concatenate(
            [
                centroid,
                librosa.feature.spectral_bandwidth(
                    S=frames.magnitude, sr=SAMPLE_RATE, centroid=centroid
                ),
                librosa.feature.spectral_rolloff(S=frames.magnitude, sr=SAMPLE_RATE),
                librosa.feature.spectral_flatness(S=frames.magnitude),
                librosa.feature.zero_crossing_rate(
                    frames.samples, frame_length=N_FFT, hop_length=HOP
                ),
                librosa.feature.rms(y=frames.samples, frame_length=N_FFT, hop_length=HOP),
            ]
        )
    )


def _rhythm(frames: Frames) -> Matrix:
    import librosa

    onsets = frames.onsets
    tempogram = librosa.feature.tempogram(onset_envelope=onsets, sr=SAMPLE_RATE, hop_length=HOP)
    tempo = float(librosa.feature.tempo(tg=tempogram, sr=SAMPLE_RATE, hop_length=HOP)[0])
    mean = tempogram.mean(axis=1)
    # The autocorrelation at multiples of the beat tells straight from swing, four from three.
    lag = 60.0 * SAMPLE_RATE / HOP / tempo
    at = np.interp([ratio * lag for ratio in _BEATS.values()], np.arange(len(mean)), mean)
    return np.array([np.log2(tempo), onsets.mean(), onsets.std(), *at], dtype=np.float32)


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


def _mean_std(matrix: Matrix) -> Matrix:
    """Mean of each row, then standard deviation of each row: [2 * rows]."""
    return np.concatenate([matrix.mean(axis=1), matrix.std(axis=1)])


def _columns(*names: str, statistics: Iterable[str] = ("mean", "std")) -> tuple[str, ...]:
    """Name the values of `_mean_std`: all means, then all standard deviations."""
    return tuple(f"{name}_{statistic}" for statistic in statistics for name in names)


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}_{i:0{len(str(count))}d}" for i in range(1, count + 1)]


FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        Family(
            "mfcc",
            _columns(*_numbered("mfcc", N_MFCC), statistics=("mean", "std", "delta_std")),
            _mfcc,
        ),
        Family("mel", _columns(*_numbered("mel", N_MELS)), _mel),
        Family("chroma", _columns(*_numbered("chroma", N_CHROMA)), _chroma),
        Family("contrast", _columns(*_numbered("contrast", N_CONTRAST)), _contrast),
        Family(
            "spectral",
            _columns("centroid", "bandwidth", "rolloff", "flatness", "zero_crossing_rate", "rms"),
            _spectral,
        ),
        Family(
            "rhythm",
            (
                "tempo_log2",
                "onset_strength_mean",
                "onset_strength_std",
                *(f"tempogram_beats_{name}" for name in _BEATS),
            ),
            _rhythm,
        ),
    )
}


def features(samples: Samples) -> Matrix:
    """Compute every family of one song: float32 [d], in the order of `columns()`, finite.

    Args:
        samples: Mono, at `SAMPLE_RATE`, at least a second, as `kg.audio.decode.decode` gives them.
    """
    frames = Frames(samples)
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
        "excerpt": excerpt,
        "n_fft": N_FFT,
        "hop": HOP,
        "beats": list(_BEATS.values()),
        # A list: the order of the families is the order of the columns.
        "families": [[name, family.columns] for name, family in FAMILIES.items()],
    }
    text = json.dumps(configuration, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
