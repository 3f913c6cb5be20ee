"""Librosa's filter banks, computed by librosa once a machine and then read from the user's cache.

Importing librosa compiles and loads for some three seconds, in every worker and every `kg add`;
what the feature families and musicnn need of it are three constant matrices.
"""

import logging
import os
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
import platformdirs
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE

log = logging.getLogger(__name__)

N_FFT: Final = 2048
N_MELS: Final = 128
N_CHROMA: Final = 12
MUSICNN_RATE: Final = 16_000
MUSICNN_FFT: Final = 512
MUSICNN_MELS: Final = 96


@dataclass(frozen=True, slots=True, eq=False)
class Filters:
    """Weights of the bins of an STFT for each band, float32.

    Attributes:
        mel: Slaney's mel bands [1 + N_FFT / 2, N_MELS].
        chroma: Pitch classes from C to B, for A at 440 Hz [1 + N_FFT / 2, N_CHROMA].
        musicnn: Slaney's mel bands of MUSICNN_RATE [1 + MUSICNN_FFT / 2, MUSICNN_MELS].
    """

    mel: NDArray[np.float32]
    chroma: NDArray[np.float32]
    musicnn: NDArray[np.float32]


@cache
def filters() -> Filters:
    """Read the filter banks, or compute them where this machine has not yet."""
    file = cache_file()
    try:
        with file.open("rb") as stream, np.load(stream) as stored:
            found = Filters(stored["mel"], stored["chroma"], stored["musicnn"])
        bins = 1 + N_FFT // 2
        wanted = ((bins, N_MELS), (bins, N_CHROMA), (1 + MUSICNN_FFT // 2, MUSICNN_MELS))
        if (found.mel.shape, found.chroma.shape, found.musicnn.shape) == wanted:
            return found
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        log.debug("No filter banks in %s: %s", file, error)
    computed = compute()
    _keep(computed, file)
    return computed


def compute() -> Filters:
    """Compute the filter banks with librosa."""
    import librosa

    mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, dtype=np.float32)
    # tuning 0: librosa's estimate of it costs more than all families together.
    chroma = librosa.filters.chroma(
        sr=SAMPLE_RATE, n_fft=N_FFT, tuning=0.0, n_chroma=N_CHROMA, dtype=np.float32
    )
    musicnn = librosa.filters.mel(
        sr=MUSICNN_RATE, n_fft=MUSICNN_FFT, n_mels=MUSICNN_MELS, dtype=np.float32
    )
    return Filters(*(np.ascontiguousarray(each.T) for each in (mel, chroma, musicnn)))


def cache_file() -> Path:
    """Where they are kept: one file a librosa version, for all homes."""
    folder = Path(platformdirs.user_cache_dir("kg", appauthor=False))
    numbers = f"{SAMPLE_RATE}-{N_FFT}-{N_MELS}-{N_CHROMA}-{MUSICNN_RATE}-{MUSICNN_FFT}"
    return folder / f"filters-librosa-{version('librosa')}-{numbers}.npz"


def _keep(found: Filters, file: Path) -> None:
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            np.savez(stream, mel=found.mel, chroma=found.chroma, musicnn=found.musicnn)
        temporary.replace(file)
    except OSError as error:  # they are computed again next time
        log.debug("The filter banks can't be kept: %s", error)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
