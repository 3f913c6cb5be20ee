"""A song cut into frames: the matrices over time that the feature families summarise.

Where a value has librosa's name it is librosa's value; `tests/audio/test_features.py` says how
exactly.
"""

from collections.abc import Mapping
from functools import cache, cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE, Samples
from kg.audio.filters import N_CHROMA, N_FFT, N_MELS, filters
from kg.audio.spectrum import BINS, HOP, Matrix, Measure, Spectrum, frame_count, measure

N_MFCC: Final = 20
N_CONTRAST: Final = 7
LAGS: Final = 344
"""Frames that the tempogram looks back: 8 s, as `librosa.feature.tempo` does."""

_AMIN: Final = 1e-10  # power below which librosa hears nothing
_TOP_DB: Final = 80.0
_TINY: Final = np.finfo(np.float32).tiny
_BLOCK: Final = 32  # frames of the tempogram that stay in the processor's cache
_DELTA_WIDTH: Final = 9


class Frames:
    """A song cut into frames: what several families share is computed once, when first asked for.

    Every matrix has one column a frame; there are 1 + n // `HOP` frames.

    Args:
        samples: float32 [n], mono, at `SAMPLE_RATE`.
        extra: Measured in the same pass over the STFT, beside `MEASURES`; found in `measured`.
    """

    def __init__(self, samples: Samples, extra: Mapping[str, Measure] | None = None) -> None:
        self.samples = samples
        self.measured = measure(samples, {**MEASURES, **(extra or {})})

    @cached_property
    def log_mel(self) -> Matrix:
        """Mel spectrogram in dB [N_MELS, frames]: the vectored mel spectrogram."""
        return _decibels(self.measured["mel"]).T

    @cached_property
    def mfcc(self) -> Matrix:
        """Mel-frequency cepstral coefficients [N_MFCC, frames]."""
        mfcc: Matrix = (self.log_mel.T @ _cosines()).T
        return mfcc

    @cached_property
    def chroma(self) -> Matrix:
        """Pitch classes from C to B, the strongest of a frame 1 [N_CHROMA, frames]."""
        return self.measured["chroma"].T

    @cached_property
    def tonnetz(self) -> Matrix:
        """Tonal centroids (Harte et al. 2006) of the chroma [6, frames].

        An x and a y on the circles of fifths, minor thirds and major thirds.
        """
        tonnetz: Matrix = _circles() @ (self.chroma / _or_one(self.chroma.sum(axis=0)))
        return tonnetz

    @cached_property
    def valleys(self) -> Matrix:
        """The faintest bins of each octave in dB [N_CONTRAST, frames]."""
        return _decibels(self.measured["contrast"][:, :N_CONTRAST]).T

    @cached_property
    def contrast(self) -> Matrix:
        """Spectral contrast in dB: peaks above valleys in each octave [N_CONTRAST, frames]."""
        return _decibels(self.measured["contrast"][:, N_CONTRAST:]).T - self.valleys

    @cached_property
    def shape(self) -> Matrix:
        """Spectral centroid, bandwidth and rolloff in Hz, and flatness from 0 to 1 [4, frames]."""
        return self.measured["shape"].T

    @cached_property
    def crossings(self) -> Matrix:
        """Zero-crossing rate: share of samples at which the signal changes its sign [frames]."""
        negative = self.samples < -1e-10
        changed = np.zeros(len(self.samples), np.float32)
        changed[1:] = negative[1:] != negative[:-1]
        total = _sum_around(changed)
        # A change between a frame and the sample before it is none of its own.
        starts = np.arange(len(total)) * HOP - N_FFT // 2
        inside = (starts >= 0) & (starts < len(changed))
        total[inside] -= changed[starts[inside]]
        return total / np.float32(N_FFT)

    @cached_property
    def loudness(self) -> Matrix:
        """Root mean square of the samples [frames]."""
        loudness: Matrix = np.sqrt(_sum_around(np.square(self.samples)) / np.float32(N_FFT))
        return loudness

    @cached_property
    def onsets(self) -> Matrix:
        """Onset strength [frames]: how much louder the mel bands got, on average."""
        log_mel = self.log_mel.T
        rise = np.maximum(np.diff(log_mel, axis=0), 0.0).mean(axis=1)
        # As librosa does, shifted by half a window so that onsets stand where they are heard.
        shift = 1 + N_FFT // (2 * HOP)
        return np.pad(rise, (shift, 0))[: len(log_mel)]

    @cached_property
    def tempogram(self) -> Matrix:
        """Mean over time of librosa's tempogram: autocorrelation of onsets by lag [LAGS].

        The mean of the frames' autocorrelations is the autocorrelation of the mean power, which
        saves a transform a frame.
        """
        import scipy.fft

        half = LAGS // 2
        padded = np.pad(self.onsets, half, mode="linear_ramp", end_values=0)
        frames = np.lib.stride_tricks.sliding_window_view(padded, LAGS)[: len(self.onsets)]
        # float64: where nothing beats, rounding errors would choose the tempo.
        window = np.hanning(LAGS + 1)[:-1]
        length = scipy.fft.next_fast_len(2 * LAGS, real=True)
        total = np.zeros(1 + length // 2)
        for begin in range(0, len(frames), _BLOCK):
            windowed = frames[begin : begin + _BLOCK] * window
            energy = np.square(windowed).sum(axis=1)
            spectrum = scipy.fft.rfft(windowed, length, axis=1)
            power = np.square(spectrum.real) + np.square(spectrum.imag)
            # Librosa scales every autocorrelation to 1 at lag 0.
            total += (1.0 / _or_one(energy)) @ power
        correlation: Matrix = scipy.fft.irfft(total / len(frames), length).astype(np.float32)
        return correlation[:LAGS]

    @cached_property
    def tempo(self) -> float:
        """Beats per minute, as librosa estimates them from the tempogram."""
        bpm = _bpm_of_lags()
        log_prior = -0.5 * np.square(np.log2(bpm[1:]) - np.log2(120.0))
        log_prior[bpm[1:] >= 320.0] = -np.inf
        return float(bpm[1 + np.argmax(np.log1p(1e6 * self.tempogram[1:]) + log_prior)])


def delta(matrix: Matrix, order: int = 1) -> Matrix:
    """Local slope (order 1) or curvature (order 2) over nine frames, as `librosa.feature.delta`.

    Args:
        matrix: [rows, frames]; fewer than nine frames are continued by their first and last.
        order: 1 or 2.

    Returns:
        float32 [rows, frames].
    """
    missing = max(0, _DELTA_WIDTH - matrix.shape[1])
    padded = np.pad(matrix, ((0, 0), (missing - missing // 2, missing // 2)), mode="edge")
    at = np.arange(_DELTA_WIDTH) - _DELTA_WIDTH // 2
    # Savitzky and Golay: the derivative of the least-squares line or parabola in the middle.
    weights = np.linalg.pinv(np.vander(at, order + 1, increasing=True))[order] * order
    windows = np.lib.stride_tricks.sliding_window_view(padded, _DELTA_WIDTH, axis=1)
    slopes = windows @ weights.astype(np.float32)
    # The ends keep the slope of the last nine frames that are there.
    short = matrix.shape[1] - slopes.shape[1]
    return np.pad(slopes, ((0, 0), (short - short // 2, short // 2)), mode="edge")


# -- in every frame --------------------------------------------------------------------------


def _mel_power(spectrum: Spectrum) -> Matrix:
    return spectrum.power @ filters().mel


def _chroma_of(spectrum: Spectrum) -> Matrix:
    chroma: Matrix = spectrum.power @ filters().chroma
    chroma /= _or_one(chroma.max(axis=1, keepdims=True))
    return chroma


def _valleys_and_peaks(spectrum: Spectrum) -> Matrix:
    """Mean of the faintest and of the strongest 2 % of bins of each octave: [frames, 2 * bands]."""
    valleys, peaks = [], []
    for begin, end, count in _octaves():
        band = spectrum.magnitude[:, begin:end]
        if count == 1:
            valleys.append(band.min(axis=1))
            peaks.append(band.max(axis=1))
        else:
            ordered = np.sort(band, axis=1)
            valleys.append(ordered[:, :count].mean(axis=1))
            peaks.append(ordered[:, -count:].mean(axis=1))
    return np.stack([*valleys, *peaks], axis=1)


def _shape_of(spectrum: Spectrum) -> NDArray[np.float64]:
    """Centroid, bandwidth, rolloff in Hz, and flatness: [frames, 4]."""
    hz = Spectrum.frequencies
    # Of power sums the variance is a difference: float64 keeps that of a pure tone.
    total, first, second = (
        spectrum.magnitude.astype(np.float64) @ np.stack([np.ones(BINS), hz, hz**2], axis=1)
    ).T
    total = _or_one(total)
    centroid = first / total
    bandwidth = np.sqrt(np.maximum(second / total - centroid**2, 0.0))
    power = np.maximum(spectrum.power, np.float32(_AMIN))
    flatness = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
    return np.stack([centroid, bandwidth, hz[_rolloff(spectrum.magnitude)], flatness], axis=1)


def _rolloff(magnitude: Matrix, share: float = 0.85) -> NDArray[np.intp]:
    """The bin below which `share` of the magnitude lies, in every frame.

    By sums of 32 bins first, and then within the one that matters.
    """
    frames, width = len(magnitude), 32
    parts = magnitude[:, : BINS - 1].reshape(frames, -1, width)
    sums = np.cumsum(parts.sum(axis=2), axis=1)
    target = share * (sums[:, -1] + magnitude[:, -1])
    part = np.minimum((sums < target[:, None]).sum(axis=1), parts.shape[1] - 1)
    row = np.arange(frames)
    before = np.where(part > 0, sums[row, part - 1], 0.0)
    within = np.cumsum(parts[row, part], axis=1) + before[:, None]
    rolloff: NDArray[np.intp] = part * width + (within < target[:, None]).sum(axis=1)
    return rolloff


MEASURES: Final[Mapping[str, Measure]] = {
    "mel": _mel_power,
    "chroma": _chroma_of,
    "contrast": _valleys_and_peaks,
    "shape": _shape_of,
}
"""What is taken from the spectrum for `Frames`."""


# -- both ------------------------------------------------------------------------------------


def _sum_around(values: Samples) -> Matrix:
    """Sums of the `N_FFT` values around every `HOP`th: [frames]."""
    count, per_frame = frame_count(values), N_FFT // HOP
    padded = np.zeros((count - 1 + per_frame) * HOP, np.float32)
    begin = N_FFT // 2
    padded[begin : begin + len(values)] = values[: len(padded) - begin]
    hops = padded.reshape(-1, HOP).sum(axis=1)
    sums: Matrix = np.lib.stride_tricks.sliding_window_view(hops, per_frame).sum(axis=1)
    return sums


def _or_one(sums: NDArray[Any]) -> NDArray[Any]:
    """Replace sums of silence, so that they can be divided by; librosa leaves silence as it is."""
    return np.where(sums < _TINY, np.ones_like(sums), sums)


def _decibels(power: Matrix) -> Matrix:
    """Power in dB, nothing fainter than 80 dB below the loudest: `librosa.power_to_db`."""
    decibels = 10.0 * np.log10(np.maximum(power, np.float32(_AMIN)))
    loud: Matrix = np.maximum(decibels, decibels.max() - np.float32(_TOP_DB))
    return loud


# -- constants -------------------------------------------------------------------------------


@cache
def _cosines() -> Matrix:
    """The orthonormal DCT-II that makes cepstral coefficients of mel bands [N_MELS, N_MFCC]."""
    band, order = np.ogrid[:N_MELS, :N_MFCC]
    cosines = np.sqrt(2 / N_MELS) * np.cos(np.pi * order * (2 * band + 1) / (2 * N_MELS))
    cosines[:, 0] /= np.sqrt(2)
    weights: Matrix = cosines.astype(np.float32)
    return weights


@cache
def _circles() -> Matrix:
    """Pitch classes on the circles of fifths, minor and major thirds [6, N_CHROMA]."""
    pitch = np.arange(N_CHROMA)
    rows = [
        radius * wave(np.pi * step * pitch)
        for step, radius in ((7 / 6, 1.0), (3 / 2, 1.0), (2 / 3, 0.5))
        for wave in (np.sin, np.cos)
    ]
    return np.array(rows, np.float32)


@cache
def _octaves() -> tuple[tuple[int, int, int], ...]:
    """The bands of spectral contrast: first bin, last bin + 1, how many bins are a peak."""
    edges = [0.0, *(200.0 * 2.0**i for i in range(N_CONTRAST))]
    bands = []
    for number, (low, high) in enumerate(pairwise(edges)):
        inside = np.flatnonzero((Spectrum.frequencies >= low) & (Spectrum.frequencies <= high))
        last = number == N_CONTRAST - 1
        begin = int(inside[0]) - (number > 0)
        end = BINS if last else int(inside[-1]) + 1
        count = max(1, int(np.rint(0.02 * (end - begin))))
        bands.append((begin, end if last else end - 1, count))
    return tuple(bands)


@cache
def _bpm_of_lags() -> NDArray[np.float64]:
    lags = np.arange(LAGS, dtype=np.float64)
    lags[0] = np.nan
    return 60.0 * SAMPLE_RATE / (HOP * lags)
