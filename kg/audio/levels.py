"""What shows in a file's own samples only, before channels are mixed: clipping, a dead channel."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

QUIETEST: Final = -120.0
"""dB; no channel counts as quieter beside another one."""

_FLAT: Final = np.float32(1 - 1e-4)  # of the peak: 3 steps of 16 bits
_RUN: Final = 3  # samples in a row; two of them a wave may well have at its peak
# A round top that is flat for three samples has neighbours no lower than 4e-4, or two and a half of
# the steps that samples are counted in; what is cut off comes from further below.
_EDGE: Final = 1 - 1e-3
_STEPS: Final = 4
_SAMPLE: Final = 4096  # samples that tell these steps
_COARSEST: Final = 0.02  # of the peak: 8 bits; what meets fewer levels is a wave that repeats

# Whatever was cut off and then encoded has no flat tops any more, but samples crowd below the peak.
_BINS: Final = 4096  # of levels from 0 to 1
_LOUDEST: Final = 2.0  # decoders of what was cut off overshoot
_EVERY: Final = 7  # samples, of which one tells how levels are spread
_ENOUGH: Final = 40_000  # of these
_SLICES: Final = 200  # of levels from 0 to the peak
_HALF: Final = _SLICES // 2
_CROWD: Final = 4.5  # times as many samples as at some lower level: of limited music 3 at most
_WIDE: Final = 1.2  # times as many at low levels: of a sine fewer than in its valley
_MET: Final = 0.9  # of the slices below, as a sine that fits the sample rate meets few levels


class Meter:
    """Takes blocks of a file in as they are decoded.

    A wave that is louder than there is room for is cut off at one level: several samples in a row
    lie at the peak of the file, where music that fits has single ones. Encoded as MP3 or AAC
    afterwards it has peaks again, and still more samples just below them than at half their level,
    where music that fits has the fewer the louder.
    """

    def __init__(self) -> None:
        self._peak = np.float32(0)
        self._flat = 0
        self._samples = 0
        self._levels = np.zeros(int(_LOUDEST * _BINS) + 1, np.int64)
        self._power = np.zeros(0)

    @property
    def clipping(self) -> float:
        """Share of the samples of all channels that lie cut off at the peak, or crowd just below it
        as what was cut off and encoded does, 0 to 1.
        """
        return max(self._flat / self._samples, self._crowded()) if self._samples else 0.0

    @property
    def imbalance(self) -> float:
        """By how many dB the louder one of two channels is louder; 0 where there aren't two."""
        if len(self._power) != 2 or not self._power.max():
            return 0.0
        quiet = self._power.min() / self._power.max()
        return float(-max(QUIETEST, 10 * np.log10(max(quiet, np.finfo(float).tiny))))

    def add(self, values: NDArray[Any]) -> None:
        """Take in [channels, n], floats or integers of any width."""
        block = _scaled(values)
        top = max(block.max(), -block.min())
        if not np.isfinite(top):  # whoever decodes refuses it
            return
        if self._peak < top * _FLAT:
            self._flat = 0  # what seemed the peak until now was none
        self._peak = max(self._peak, top)
        if top and top >= self._peak * _FLAT:
            self._flat += sum(_in_runs(channel, self._peak) for channel in np.abs(block))
        self._samples += block.size
        levels = np.minimum(np.abs(block[:, ::_EVERY]), np.float32(_LOUDEST)).ravel()
        levels = (levels * np.float32(_BINS)).astype(np.intp)
        self._levels += np.bincount(levels, minlength=len(self._levels))
        with np.errstate(over="ignore"):  # whoever decodes refuses what is beyond all bounds
            power = np.array([channel @ channel for channel in block], np.float64)
        if len(power) != len(self._power):
            self._power = np.zeros(len(power))  # the file changes its channels on the way
        self._power += power

    def _crowded(self) -> float:
        """Share of the samples that are too many at the peak; 0 where these may be music."""
        count = int(self._levels.sum())
        if count < _ENOUGH or self._peak >= _LOUDEST:
            return 0.0
        below = np.concatenate([[0], self._levels.cumsum()])
        levels = np.linspace(0, float(self._peak) * _BINS, _SLICES + 1)
        slices = np.diff(np.interp(levels, np.arange(len(below)), below))
        smooth = np.convolve(slices, np.full(5, 0.2), "same")[: _SLICES - 2]
        valley = np.minimum.accumulate(smooth[_HALF:]) + 2e-5 * count
        rise = smooth[_HALF:] / valley
        top = int(rise.argmax())
        low = float(smooth[_SLICES // 20 : _SLICES // 5].mean())
        met = float((slices[: _HALF + top] > 0).mean())
        if rise[top] < _CROWD or low < _WIDE * valley[top] or met < _MET:
            return 0.0
        begin = _HALF + int(smooth[_HALF : _HALF + top + 1].argmin())
        return float((slices[begin:] - valley[top]).clip(min=0).sum()) / count


def _scaled(values: NDArray[Any]) -> NDArray[np.float32]:
    """Floats of the same shape, around 0; integers become -1 to 1."""
    block = values.astype(np.float32, copy=False)
    if values.dtype.kind == "f":
        return block
    whole = np.float32(2 ** (8 * values.itemsize - 1))
    return (block - whole if values.dtype.kind == "u" else block) / whole


def _in_runs(levels: NDArray[np.float32], peak: np.float32) -> int:
    """How many samples [n] lie at a peak in runs of `_RUN` at least, and come there abruptly."""
    there = np.flatnonzero(levels >= peak * _FLAT)
    if len(there) < _RUN:
        return 0
    gaps = np.flatnonzero(np.diff(there) > 1)
    first = there[np.concatenate([[0], gaps + 1])]
    last = there[np.concatenate([gaps, [len(there) - 1]])]
    lengths = last - first + 1
    if lengths.max() < _RUN:
        return 0
    some = np.unique(levels[:_SAMPLE])
    step = float(np.diff(some).min()) if len(some) > 1 else 0.0
    edge = float(peak) * _EDGE
    if step < _COARSEST * peak:
        edge = min(edge, float(peak) - _STEPS * step)
    # Where a block begins or ends nobody knows what is beside it.
    around = np.concatenate([[0], levels, [0]])
    abrupt = np.minimum(around[first], around[last + 2]) < edge
    return int(lengths[abrupt & (lengths >= _RUN)].sum())
