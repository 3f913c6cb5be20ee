"""What shows in a file's own samples only, before channels are mixed: clipping, a dead channel."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

QUIETEST: Final = -120.0
"""dB; no channel counts as quieter beside another one."""

_FLAT: Final = np.float32(1 - 1e-4)  # of the peak: 3 steps of 16 bits; a slow sine is rounder
_RUN: Final = 3  # samples in a row; two of them a wave may well have at its peak


class Meter:
    """Takes blocks of a file in as they are decoded.

    A wave that is louder than there is room for is cut off at one level: several samples in a row
    lie at the peak of the file, where music that fits has single ones.
    """

    def __init__(self) -> None:
        self._peak = np.float32(0)
        self._flat = 0
        self._samples = 0
        self._power = np.zeros(0)

    @property
    def clipping(self) -> float:
        """Share of the samples of all channels that lie cut off at the peak, 0 to 1."""
        return self._flat / self._samples if self._samples else 0.0

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
            self._flat += _in_runs(np.abs(block) >= self._peak * _FLAT)
        self._samples += block.size
        with np.errstate(over="ignore"):  # whoever decodes refuses what is beyond all bounds
            power = np.einsum("ij,ij->i", block, block).astype(np.float64)
        if len(power) != len(self._power):
            self._power = np.zeros(len(power))  # the file changes its channels on the way
        self._power += power


def _scaled(values: NDArray[Any]) -> NDArray[np.float32]:
    """Floats of the same shape, around 0; integers become -1 to 1."""
    block = values.astype(np.float32, copy=False)
    if values.dtype.kind == "f":
        return block
    whole = np.float32(2 ** (8 * values.itemsize - 1))
    return (block - whole if values.dtype.kind == "u" else block) / whole


def _in_runs(there: NDArray[np.bool_]) -> int:
    """How many of [channels, n] are true in runs of `_RUN` at least."""
    if there.shape[1] < _RUN:
        return 0
    width = there.shape[1] - _RUN + 1
    whole = np.logical_and.reduce([there[:, at : at + width] for at in range(_RUN)])
    inside = np.zeros_like(there)
    for at in range(_RUN):
        inside[:, at : at + width] |= whole
    return int(inside.sum())
