"""What the rows of mel, chroma and contrast stand for: hertz and pitch classes."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import numpy as np

from kg.audio.decode import SAMPLE_RATE
from kg.audio.filters import N_MELS

PITCHES: Final = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")

OCTAVES: Final = (0, 200, 400, 800, 1600, 3200, 6400, SAMPLE_RATE // 2)
"""Edges of the bands of spectral contrast, in Hz."""


def mel(hertz: float) -> float:
    """Slaney's scale, librosa's default: even up to 1000 Hz, logarithmic above."""
    linear = min(hertz, 1000.0) * 3 / 200
    return float(linear + np.log(max(hertz, 1000.0) / 1000.0) * 27 / np.log(6.4))


def mel_rows(hertz: Iterable[float]) -> list[float]:
    """Where frequencies lie among the rows of a mel spectrogram; rows count from 0."""
    rows = np.arange(N_MELS)
    return [float(np.interp(mel(each), _centres(), rows)) for each in hertz]


def mel_hertz() -> list[float]:
    """The frequency in the middle of each mel band, in Hz."""
    linear = np.minimum(_centres(), 15.0) * 200 / 3
    beyond = np.maximum(_centres() - 15.0, 0.0)
    return [float(each) for each in linear * np.exp(beyond * np.log(6.4) / 27)]


def octave_names() -> list[str]:
    """The bands of spectral contrast: `0-200 Hz` and so on."""
    return [f"{low}-{high} Hz" for low, high in pairwise(OCTAVES)]


def _centres() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.linspace(0.0, mel(SAMPLE_RATE / 2), N_MELS + 2)[1:-1]
