"""Which prints are of one recording: candidates from an index, each then laid over the other.

Candidates are near in what neither a shift in time nor one in pitch changes: the magnitude of the
two-dimensional Fourier transform of chroma (Bertin-Mahieux and Ellis 2012, "Large-scale cover song
recognition using the 2D Fourier transform magnitude"), and that of the loudness of bands. Then the
normalised cross-correlation over lags, turns of the pitch classes and speeds tells how alike two
prints are where they overlap. Nothing is fitted but `ALIKE`; benchmarks/copies.py shows how.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.filters import N_CHROMA
from kg.audio.prints import DECIBELS, MOST, SECONDS
from kg.audio.workers import cores
from kg.neighbours import NeighbourIndex
from kg.progress import SILENT, Progress

Floats = NDArray[np.float32]

ALIKE: Final = 0.65
"""Similarity from which on two songs are one recording."""

SPEEDS: Final = (1.0, 0.98, 1.02, 0.96, 1.04, 0.94, 1.06)
"""How much faster the one may be; a semitone is 5.9 %."""

CANDIDATES: Final = 10
"""Songs that each is laid over."""

NEAR: Final = 0.75
"""Cosine from which on a song is a candidate."""

LEAST_STEPS: Final = 27
"""Steps that two prints share at least: 10 s."""

_WINDOW, _HOP = 48, 4  # steps of the transform: 18 s, every 1.5 s
_SLOWEST: Final = 8  # frequencies in time that are kept: up to 0.45 Hz
# Similarities at the same speed from which on, and up to which, no other speed is tried.
_SURE, _HOPELESS = 0.9, 0.38
# Movements below these are no movement but noise: of chroma, and in dB.
_CHROMA_FLOOR, _BAND_FLOOR = 0.005, 0.3
_LENGTH: Final = 168  # of a transform that holds two prints one after the other
_SONGS, _PAIRS = 512, 512  # handled at once


@dataclass(frozen=True, slots=True, eq=False)
class Prints:
    """Prints of n songs.

    Attributes:
        values: uint8 [n, MOST, WIDTH], zeros after the end of each.
        lengths: Steps of each, int64 [n].
    """

    values: NDArray[np.uint8]
    lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Match:
    """Two songs that are alike.

    Attributes:
        first: Row of a song.
        second: Row of the other one.
        similarity: From `ALIKE` to 1.
        semitones: How much higher the second one is, from -5 to 6.
        later: By how many seconds its print begins later in the recording.
        speed: How many times as fast it is.
    """

    first: int
    second: int
    similarity: float
    semitones: int
    later: float
    speed: float


def matches(prints: Prints, progress: Progress = SILENT) -> list[Match]:
    """Find the pairs of songs that are one recording, in the order of their rows.

    Songs of less than `LEAST_STEPS` are left out.
    """
    rows = np.flatnonzero(prints.lengths >= LEAST_STEPS)
    if len(rows) < 2:
        return []
    with progress.stage("Looking for copies", None):
        pairs = rows[candidates(Prints(prints.values[rows], prints.lengths[rows]))]
    found: list[Match] = []
    with progress.stage("Comparing copies", len(pairs)) as advance:
        parts = [pairs[start : start + _PAIRS] for start in range(0, len(pairs), _PAIRS)]
        with ThreadPoolExecutor(cores()) as threads:
            for some, told in zip(
                parts, threads.map(partial(_compare, prints), parts), strict=True
            ):
                found += [each for each in told if each.similarity >= ALIKE]
                advance(len(some))
    return found


def candidates(prints: Prints) -> NDArray[np.int64]:
    """Pairs of rows [p, 2] that are worth comparing, each once and sorted."""
    vectors = np.concatenate(
        [
            signatures(
                prints.values[start : start + _SONGS], prints.lengths[start : start + _SONGS]
            )
            for start in range(0, len(prints.lengths), _SONGS)
        ]
    )
    ids = list(map(str, range(len(vectors))))
    near = NeighbourIndex(ids, vectors, "").of_members(CANDIDATES)
    heads, at = np.nonzero((near.index >= 0) & (near.similarity >= NEAR))
    pairs = np.sort(np.stack([heads, near.index[heads, at]], axis=1), axis=1)
    return np.unique(pairs, axis=0) if len(pairs) else pairs.reshape(0, 2)


def signatures(values: NDArray[np.uint8], lengths: NDArray[np.int64]) -> Floats:
    """What a shift in time or pitch leaves as it is: unit vectors, float32 [n, d].

    Args:
        values: uint8 [n, MOST, WIDTH].
        lengths: int64 [n].
    """
    found: Floats | None = None
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        chroma, bands = _parts(values[rows, :length])
        chroma = chroma - chroma.mean(axis=2, keepdims=True)
        own = np.concatenate(
            [_unit(_chroma_magnitudes(chroma)), _unit(_band_magnitudes(bands))], axis=1
        )
        if found is None:
            found = np.empty((len(lengths), own.shape[1]), np.float32)
        found[rows] = own
    assert found is not None
    return found


def _windows(moving: Floats) -> Iterator[Floats]:
    """Windows of [n, steps, k] under a Hann window."""
    steps = moving.shape[1]
    width = min(_WINDOW, steps)
    hann = np.hanning(width + 2)[1:-1].astype(np.float32)[:, None]
    for begin in range(0, steps - width + 1, _HOP):
        yield moving[:, begin : begin + width] * hann


def _chroma_magnitudes(chroma: Floats) -> Floats:
    import scipy.fft

    total: Floats | None = None
    for window in _windows(chroma):
        spectrum = np.abs(scipy.fft.fft2(window, (_WINDOW, N_CHROMA), axes=(1, 2)))
        # Chroma is real: half of the pitch frequencies say all, at positive and negative times.
        half = spectrum[:, :, 1 : N_CHROMA // 2 + 1]
        kept = np.concatenate([half[:, : _SLOWEST + 1], half[:, -_SLOWEST:]], axis=1)
        total = kept if total is None else total + kept
    assert total is not None
    return np.sqrt(total).reshape(len(total), -1)


def _band_magnitudes(bands: Floats) -> Floats:
    import scipy.fft

    total: Floats | None = None
    for window in _windows(bands - bands.mean(axis=1, keepdims=True)):
        kept = np.abs(scipy.fft.fft(window, _WINDOW, axis=1))[:, 1 : _SLOWEST + 1]
        total = kept if total is None else total + kept
    assert total is not None
    return np.sqrt(total).reshape(len(total), -1)


def _unit(values: Floats) -> Floats:
    """Without the mean of each, which all music has, and of length 1 for both halves together."""
    values = values - values.mean(axis=1, keepdims=True)
    length = np.sqrt(2) * np.linalg.norm(values, axis=1, keepdims=True)
    unit: Floats = values / np.maximum(length, np.float32(1e-6))
    return unit


def _parts(values: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Chroma from 0 to 1 [..., N_CHROMA], and bands in dB [..., bands]."""
    chroma = values[..., :N_CHROMA].astype(np.float32) / np.float32(255)
    return chroma, values[..., N_CHROMA:].astype(np.float32) * DECIBELS


# -- laying one print over another ----------------------------------------------------------------


def _compare(prints: Prints, pairs: NDArray[np.int64]) -> list[Match]:
    """How each of these pairs [p, 2] matches best."""
    first, second = pairs.T
    best = _laid_over(prints, first, second, SPEEDS[0])
    unsure = np.flatnonzero((best[:, 0] < _SURE) & (best[:, 0] > _HOPELESS))
    for speed in SPEEDS[1:]:
        told = _laid_over(prints, first[unsure], second[unsure], speed)
        better = told[:, 0] > best[unsure, 0]
        best[unsure[better]] = told[better]
    return [
        Match(int(a), int(b), float(similarity), int(turn), float(later), float(speed))
        for (a, b), (similarity, turn, later, speed) in zip(pairs, best, strict=True)
    ]


def _laid_over(
    prints: Prints, first: NDArray[np.int64], second: NDArray[np.int64], speed: float
) -> NDArray[np.float64]:
    """Similarity, semitones, seconds, and speed of pairs, at one speed: [p, 4]."""
    import scipy.fft

    if not len(first):
        return np.empty((0, 4))
    ours = _Moving(prints.values[first], prints.lengths[first], 1.0)
    theirs = _Moving(prints.values[second], prints.lengths[second], speed)
    size, axes = (_LENGTH, N_CHROMA), (1, 2)
    chroma = scipy.fft.irfftn(
        scipy.fft.rfftn(ours.chroma, size, axes)
        * np.conj(scipy.fft.rfftn(theirs.chroma, size, axes)),
        size,
        axes,
    )
    bands = scipy.fft.irfft(
        (
            scipy.fft.rfft(ours.bands, _LENGTH, 1)
            * np.conj(scipy.fft.rfft(theirs.bands, _LENGTH, 1))
        ).sum(axis=2),
        _LENGTH,
        1,
    )
    shared = _correlated(ours.there, theirs.there)
    alike = np.full(chroma.shape, -1.0, np.float32)
    enough = shared >= np.maximum(
        LEAST_STEPS, np.minimum(ours.lengths, theirs.lengths)[:, None] / 2
    )
    for part, energies, floor in (
        (chroma, (ours.chroma, theirs.chroma), N_CHROMA * _CHROMA_FLOOR**2),
        (bands[:, :, None], (ours.bands, theirs.bands), ours.bands.shape[2] * _BAND_FLOOR**2),
    ):
        left = _correlated((energies[0] ** 2).sum(axis=2), theirs.there) + floor * shared
        right = _correlated(ours.there, (energies[1] ** 2).sum(axis=2)) + floor * shared
        scale = np.sqrt(np.maximum(left * right, 1e-6))
        alike += np.where(enough[:, :, None], 0.5 + 0.5 * part / scale[:, :, None], 0.0)
    flat = alike.reshape(len(alike), -1)
    at = flat.argmax(axis=1)
    lag, turn = np.divmod(at, N_CHROMA)
    lag = np.where(lag > _LENGTH // 2, lag - _LENGTH, lag)
    # A turn of ours by so many pitch classes brings them onto theirs.
    higher = (5 - turn) % N_CHROMA  # placed so that 0 to 11 stand for 6 to -5
    semitones = higher - 5
    similarity = flat[np.arange(len(at)), at]
    return np.stack([similarity, semitones, lag * SECONDS, np.full(len(at), speed)], axis=1)


class _Moving:
    """How some prints move, each around its own mean, with zeros after its end.

    Attributes:
        chroma: float32 [n, steps, N_CHROMA].
        bands: float32 [n, steps, bands].
        there: float32 [n, steps], 1 up to the end of each.
        lengths: float32 [n].
    """

    def __init__(self, values: NDArray[np.uint8], lengths: NDArray[np.int64], speed: float) -> None:
        chroma, bands = _parts(values)
        # Whoever is played so many times as fast is that much shorter: stretched to the other.
        stretched = np.minimum(np.rint(lengths * speed), _LENGTH - MOST).astype(np.int64)
        self.lengths = stretched.astype(np.float32)
        steps = np.arange(stretched.max())
        self.there = (steps < stretched[:, None]).astype(np.float32)
        at = steps * ((lengths - 1) / np.maximum(stretched - 1, 1))[:, None]
        at = np.clip(at, 0, (lengths - 1)[:, None])
        before = np.minimum(at.astype(np.int64), np.maximum(lengths - 2, 0)[:, None])
        weight = (at - before).astype(np.float32)[:, :, None]
        self.chroma = self._centred(_smooth(chroma, lengths), before, weight)
        self.chroma -= self.chroma.mean(axis=2, keepdims=True)
        self.bands = self._centred(_smooth(bands, lengths), before, weight)

    def _centred(self, values: Floats, before: NDArray[np.int64], weight: Floats) -> Floats:
        at = before[:, :, None]
        low = np.take_along_axis(values, at, axis=1)
        high = np.take_along_axis(values, np.minimum(at + 1, values.shape[1] - 1), axis=1)
        there = self.there[:, :, None]
        moved = (low * (1 - weight) + high * weight) * there
        mean = moved.sum(axis=1, keepdims=True) / self.lengths[:, None, None]
        centred: Floats = (moved - mean) * there
        return centred


def _smooth(values: Floats, lengths: NDArray[np.int64]) -> Floats:
    """Weights 1, 2, 1 over time: prints whose steps begin elsewhere move alike then."""
    steps = np.arange(values.shape[1])
    last = (lengths - 1)[:, None]
    after = np.take_along_axis(values, np.minimum(steps + 1, last)[:, :, None], axis=1)
    before = values[:, np.maximum(steps - 1, 0)]
    smooth: Floats = (before + 2 * values + after) / np.float32(4)
    return smooth


def _correlated(left: Floats, right: Floats) -> Floats:
    """Sum over time of left(t + lag) right(t) by lag: [n, _LENGTH]."""
    import scipy.fft

    product = scipy.fft.rfft(left, _LENGTH, 1) * np.conj(scipy.fft.rfft(right, _LENGTH, 1))
    correlated: Floats = scipy.fft.irfft(product, _LENGTH, 1)
    return correlated
