"""A song's print: how its harmony and loudness move, small enough to be kept for every song.

Two files of one recording move alike, whatever they were encoded with; one that is a little higher
has its pitch classes turned, one that was cut is shifted. `kg.audit.copies` compares prints.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE
from kg.audio.filters import N_CHROMA, N_MELS
from kg.audio.frames import Frames
from kg.audio.spectrum import HOP

Print = NDArray[np.uint8]
"""uint8 [n, `WIDTH`]: in every step 12 pitch classes from C on, and bands from low to high."""

STEP: Final = 16
"""Frames of the spectrum that are one step of a print: 0.37 s."""

SECONDS: Final = STEP * HOP / SAMPLE_RATE
"""How long a step is."""

N_BANDS: Final = 4
WIDTH: Final = N_CHROMA + N_BANDS

MOST: Final = 80
"""Steps: the middle 30 s, however much of the song is listened to."""

DECIBELS: Final = np.float32(80 / 255)
"""What one unit of a band is."""


def make_print(frames: Frames) -> Print:
    """The print of a song; shorter than a step, it has none: [0, WIDTH]."""
    count = min(MOST, frames.chroma.shape[1] // STEP)
    begin = (frames.chroma.shape[1] - count * STEP) // 2
    middle = slice(begin, begin + count * STEP)
    chroma = frames.chroma[:, middle].reshape(N_CHROMA, count, STEP).mean(axis=2)
    mel = frames.log_mel[:, middle].reshape(N_BANDS, N_MELS // N_BANDS, count, STEP)
    # The faintest that `Frames` keeps is 80 dB below the loudest.
    bands = (mel.mean(axis=(1, 3)) - frames.log_mel.max()) / DECIBELS + 255
    values = np.concatenate([255 * chroma, bands]).T
    made: Print = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return made
