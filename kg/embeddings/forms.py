"""The forms in which networks listen to songs, made by the processes that decode them.

`musicnn` is its log-mel spectrum, `wave@16000` the samples at so many Hz.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE, Samples

MUSICNN: Final = "musicnn"
_WAVE: Final = "wave@"


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
        from kg.embeddings.musicnn import log_mel

        return log_mel(samples)
    return wave_at(samples, int(form.removeprefix(_WAVE)))


def wave_at(samples: Samples, rate: int) -> Samples:
    """A song at a rate in Hz; librosa's `resample` gives the same samples."""
    import soxr

    return np.asarray(soxr.resample(samples, SAMPLE_RATE, rate, "HQ"), np.float32)
