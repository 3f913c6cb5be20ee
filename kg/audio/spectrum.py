"""One pass over a song's STFT, in blocks that stay in the processor's cache.

Nothing here holds the whole spectrogram: a song of three hours costs no more memory for it than
one of three minutes.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE, Samples
from kg.audio.filters import N_FFT

HOP: Final = 512
BINS: Final = 1 + N_FFT // 2

_BLOCK: Final = 64  # frames: their spectrum fits in a megabyte

Matrix = NDArray[np.float32]


class Spectrum:
    """The STFT of some successive frames of a song.

    Every matrix is float32 [frames, BINS]; `librosa.stft` with its defaults gives the same values.
    """

    frequencies: Final = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    """Hz of every bin."""

    def __init__(self, frames: Matrix) -> None:
        import scipy.fft

        stft = scipy.fft.rfft(frames, axis=1)
        power: Matrix = np.square(stft.real)
        power += np.square(stft.imag)
        self.power = power

    @cached_property
    def magnitude(self) -> Matrix:
        """The absolute values."""
        return np.sqrt(self.power)


Measure = Callable[[Spectrum], NDArray[np.floating]]
"""What is measured in every frame: [frames, BINS] in, [frames, k] out."""


def measure(samples: Samples, measures: Mapping[str, Measure]) -> dict[str, Matrix]:
    """Measure every frame of a song.

    Args:
        samples: float32 [n].
        measures: What to measure, by name.

    Returns:
        float32 [1 + n // HOP, k] for each name.
    """
    found: dict[str, Matrix] = {}
    count = frame_count(samples)
    begin = 0
    for block in windowed(samples):
        spectrum = Spectrum(block)
        for name, function in measures.items():
            values = function(spectrum)
            if not begin:
                found[name] = np.empty((count, values.shape[1]), np.float32)
            found[name][begin : begin + len(values)] = values
        begin += len(block)
    return found


def frame_count(samples: Samples) -> int:
    """Count the frames of a song: they are centred on every `HOP`th sample."""
    return 1 + len(samples) // HOP


def windowed(samples: Samples, n_fft: int = N_FFT, hop: int = HOP) -> Iterator[Matrix]:
    """Cut a song into frames, padded with silence at its ends, under a Hann window.

    Args:
        samples: float32 [n].
        n_fft: Samples of a frame.
        hop: Samples from one to the next.

    Yields:
        Blocks of frames, float32 [at most _BLOCK, n_fft], 1 + n // hop frames in all.
    """
    # The window is periodic, as a spectrum wants it; NumPy's own is symmetric.
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    count = 1 + len(samples) // hop
    for begin in range(0, count, _BLOCK):
        frames = min(_BLOCK, count - begin)
        first = begin * hop - n_fft // 2
        last = first + (frames - 1) * hop + n_fft
        part = samples[max(0, first) : last]
        missing = (max(0, -first), last - max(0, first) - len(part))
        if any(missing):
            part = np.pad(part, missing)
        yield np.lib.stride_tricks.sliding_window_view(part, n_fft)[::hop] * window
