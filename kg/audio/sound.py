"""What is kept of a song's sound beside its features: what may be wrong with it, and its print.

None of it is a feature: no model sees it, and it comes and goes without a new feature version.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE, SILENCE, Audio, Samples
from kg.audio.ending import missing_seconds
from kg.audio.frames import Frames
from kg.audio.prints import MOST, STEP, WIDTH, Print, make_print
from kg.audio.spectrum import Matrix

REVISION: Final = 2
"""Raised by whoever changes what the numbers mean."""

MEASURES: Final = ("clipping", "silence", "missing", "imbalance")
"""Properties of a `Song`, in the order of a row."""

COLUMNS: Final = len(MEASURES) + MOST * WIDTH
"""Length of a row in the cache."""

_WINDOW: Final = SAMPLE_RATE // 10
_PADDING: Final = 3  # windows at either end: encoders add up to a third of a second
_QUIET: Final = 1e-3  # 60 dB below the loudest sample of the song


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A song's sound, as far as it was listened to.

    Attributes:
        clipping: Share of its samples that are cut off at its peak, or were before it was
            encoded, 0 to 1; see `kg.audio.levels`.
        silence: Share of its tenths of a second that are 60 dB fainter than its loudest sample, or
            don't sound at all, without what encoders add at its ends; 1 where the middle is silent
            and its beginning was heard instead.
        missing: Seconds at the end that the file says it has and that aren't there; see
            `kg.audio.ending`.
        imbalance: By how many dB one of two channels is louder, at most 120; 0 for mono.
        print: See `kg.audio.prints`.
    """

    clipping: float
    silence: float
    missing: float
    imbalance: float
    print: Print

    def row(self) -> Matrix:
        """As the cache keeps it: float32 [COLUMNS], NaN where the print is shorter."""
        row = np.full(COLUMNS, np.nan, np.float32)
        row[: len(MEASURES)] = [getattr(self, name) for name in MEASURES]
        row[len(MEASURES) :][: self.print.size] = self.print.ravel()
        return row

    @classmethod
    def of_row(cls, row: Matrix) -> Self | None:
        """The other way round; None of a row of NaN: nobody looked."""
        if np.isnan(row[0]):
            return None
        clipping, silence, missing, imbalance = map(float, row[: len(MEASURES)])
        values = row[len(MEASURES) :]
        steps = values[~np.isnan(values)].astype(np.uint8).reshape(-1, WIDTH)
        return cls(clipping, silence, missing, imbalance, steps)


def sound_of(audio: Audio, frames: Frames, path: Path) -> Sound:
    """Look at a song that was decoded.

    Args:
        audio: From `kg.audio.decode.decode`.
        frames: Of its samples.
        path: Its file.

    Raises:
        OSError: the file can't be read any more.
    """
    return Sound(
        clipping=audio.clipping,
        silence=1.0 if audio.moved else silent_share(audio.samples),
        missing=missing_seconds(path),
        imbalance=audio.imbalance,
        print=make_print(frames),
    )


def silent_share(samples: Samples) -> float:
    """Share of tenths of a second, or of what is left, without a sound; see `Sound.silence`."""
    if len(samples) < _WINDOW:
        return 0.0
    loudness = np.abs(samples[: len(samples) // _WINDOW * _WINDOW]).reshape(-1, _WINDOW)
    peaks: NDArray[np.float32] = loudness.max(axis=1)
    loud = np.flatnonzero(peaks > max(SILENCE, _QUIET * float(peaks.max())))
    if not len(loud):
        return 1.0
    begin, end = min(int(loud[0]), _PADDING), len(peaks) - 1 - int(loud[-1])
    heard = len(peaks) - begin - min(end, _PADDING)
    return 1.0 - len(loud) / heard


def sound_version(excerpt: float | None) -> str:
    """Hash of what a row depends on: 12 hex digits, the name of its cache."""
    configuration = [REVISION, None if excerpt is None else float(excerpt), MEASURES, STEP, MOST]
    text = json.dumps(configuration)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
