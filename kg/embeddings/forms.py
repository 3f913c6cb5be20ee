"""The forms in which networks listen to songs, made by the processes that decode them.

`musicnn` is its log-mel spectrum, `wave@16000` the samples at so many Hz.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE, Samples
from kg.audio.filters import MUSICNN_FFT, MUSICNN_RATE, filters
from kg.audio.spectrum import windowed

MUSICNN: Final = "musicnn"
_WAVE: Final = "wave@"
_MUSICNN_HOP: Final = 256


def wave(rate: int) -> str:
    """Name the form of samples at a rate in Hz."""
    return f"{_WAVE}{rate}"


def in_form(form: str, samples: Samples) -> NDArray[Any]:
    """Bring a song into a network's form.

    Args:
        form: `MUSICNN`, or from `wave`.
        samples: Mono, at `kg.audio.decode.SAMPLE_RATE`.

    Returns:
        float32: [frames, 96], or [samples].
    """
    if form == MUSICNN:
        return log_mel(samples)
    return wave_at(samples, int(form.removeprefix(_WAVE)))


def wave_at(samples: Samples, rate: int) -> Samples:
    """A song at a rate in Hz; librosa's `resample` gives the same samples."""
    import soxr

    return np.asarray(soxr.resample(samples, SAMPLE_RATE, rate, "HQ"), np.float32)


def log_mel(samples: Samples) -> NDArray[np.float32]:
    """The spectrum that musicnn hears, as it was trained: float32 [frames, 96].

    log10(1 + 10000 S), S the mel power spectrum of windows of 512 samples every 256 at 16 kHz.

    Args:
        samples: Mono, at `kg.audio.decode.SAMPLE_RATE`.
    """
    import scipy.fft

    mel = filters().musicnn
    heard = []
    for frames in windowed(wave_at(samples, MUSICNN_RATE), MUSICNN_FFT, _MUSICNN_HOP):
        stft = scipy.fft.rfft(frames, axis=1)
        power = np.square(stft.real) + np.square(stft.imag)
        heard.append(np.log10(1 + 10_000 * (power @ mel)).astype(np.float32))
    return np.concatenate(heard)
