"""Pieces of long sequences, all of one length: what nets that learn from sequences are given.

Sequences may be memory-mapped, many and of any length: no more is read than the pieces that are
asked for.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Sequences that means and deviations are taken from: more of them don't change these.
MOST_TO_SCALE_BY = 1_000
# Bands that are the same everywhere stay 0.
_LEAST_DEVIATION = 1e-3

Frames = Sequence[NDArray[np.float16]]


class Patches:
    """Patches of sequences, each band scaled to mean 0 and deviation 1 over the training rows.

    Args:
        frames: one array [steps, bands] a row.
        train: int64 [m], rows that means and deviations are taken from.
        length: steps of a patch. A shorter sequence is repeated until it is as long.
        most: patches that stand for a whole sequence, evenly spaced.

    Attributes:
        bands: how many there are.

    Raises:
        ValueError: a sequence is empty, has other bands than the others, or values that are no
            numbers.
    """

    def __init__(self, frames: Frames, train: Tensor, length: int, most: int) -> None:
        self._frames, self._length, self._most = frames, length, most
        self.bands = 0
        self.bands = self._sequence(int(train[0])).shape[1]
        if self.bands == 0:
            raise ValueError(f"sequence {int(train[0])} has no bands to learn from")
        self._mean, self._deviation = self._scale(train)

    def drawn(self, rows: Tensor, chance: torch.Generator) -> Tensor:
        """One patch of each row, from anywhere in it: float32 [b, length, bands]."""
        patches = []
        for row, share in zip(rows.tolist(), torch.rand(len(rows), generator=chance), strict=True):
            sequence = self._sequence(row)
            places = max(1, len(sequence) - self._length + 1)
            # rounded up to 1, a share would lie one place behind the last one
            patches.append(self._cut(sequence, min(int(share * places), places - 1)))
        return self._ready(patches, rows)

    def covering(self, row: int) -> Tensor:
        """Evenly spaced patches of a row, from its begin to its end: float32 [p, length, bands]."""
        patches = self._spaced(row)
        return self._ready(patches, torch.full((len(patches),), row))

    def _spaced(self, row: int) -> list[NDArray[np.float32]]:
        sequence = self._sequence(row)
        spare = max(0, len(sequence) - self._length)
        count = min(self._most, math.ceil(max(len(sequence), 1) / self._length))
        starts = np.linspace(0, spare, count) if count > 1 else np.array([spare / 2])
        return [self._cut(sequence, int(start)) for start in starts]

    def _sequence(self, row: int) -> NDArray[np.float16]:
        sequence = self._frames[row]
        if sequence.ndim != 2 or len(sequence) == 0:
            raise ValueError(f"sequence {row} must be [steps, bands], not {list(sequence.shape)}")
        if self.bands and sequence.shape[1] != self.bands:
            raise ValueError(
                f"sequence {row} has {sequence.shape[1]} bands and others have {self.bands}"
            )
        return sequence

    def _cut(self, sequence: NDArray[np.float16], start: int) -> NDArray[np.float32]:
        patch = np.asarray(sequence[start : start + self._length], dtype=np.float32)
        return patch[np.arange(self._length) % len(patch)] if len(patch) < self._length else patch

    def _ready(self, patches: list[NDArray[np.float32]], rows: Tensor) -> Tensor:
        batch = torch.from_numpy(np.stack(patches))
        numbers = batch.isfinite().flatten(1).all(dim=1)
        if not bool(numbers.all()):
            raise ValueError(f"sequence {int(rows[~numbers][0])} has values that are no numbers")
        return (batch - self._mean) / self._deviation

    def _scale(self, train: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of every band: [bands] each."""
        self._mean, self._deviation = torch.zeros(self.bands), torch.ones(self.bands)
        step = math.ceil(len(train) / MOST_TO_SCALE_BY)
        count = 0
        total, squares = torch.zeros(2, self.bands, dtype=torch.float64)
        for row in train[::step].tolist():
            values = self.covering(row).flatten(0, 1).double()
            count += len(values)
            total += values.sum(dim=0)
            squares += values.square().sum(dim=0)
        mean = total / count
        deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
        return mean.float(), deviation.clamp(min=_LEAST_DEVIATION).float()
