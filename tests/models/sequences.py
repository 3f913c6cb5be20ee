"""Small made-up sequences for the tests of nets that learn from sequences."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.baselines.fitting import Labels

CLASSES = 3


def striped(
    per_class: int, *, bands: int = 12, seed: int = 0
) -> tuple[list[NDArray[np.float16]], NDArray[np.int64]]:
    """Noise with a stripe that goes up, down, or stays, and lies as often in each band.

    The mean over time tells nothing of the class: only how it goes on does. Lengths differ, and
    bands have a level of their own, as those of spectra do.
    """
    chance = np.random.default_rng(seed)
    y = np.arange(CLASSES * per_class) % CLASSES
    level = np.linspace(-40, 20, bands)
    frames = []
    for kind in y:
        steps = int(chance.integers(40, 200))
        place = (
            np.array([1, -1, 0])[kind] * np.arange(steps) // 2 + chance.integers(bands)
        ) % bands
        sequence = level + chance.normal(scale=2, size=(steps, bands))
        sequence[np.arange(steps), place] += 12
        frames.append(sequence.astype(np.float16))
    return frames, y


def labels_of(
    y: NDArray[np.int64], train: Sequence[int] | range, valid: Sequence[int] | range = ()
) -> Labels:
    """One class a row."""
    return Labels(
        torch.eye(CLASSES, dtype=torch.bool)[torch.from_numpy(y)],
        torch.tensor(list(train), dtype=torch.int64),
        torch.tensor(list(valid), dtype=torch.int64),
        multi_label=False,
    )
