"""Every matrix of `Frames` against librosa's own function on the same signal, frame by frame."""

from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest

from kg.audio import filters as bank
from kg.audio.decode import SAMPLE_RATE, decode
from kg.audio.frames import LAGS, N_CONTRAST, N_MFCC, Frames, delta
from kg.audio.spectrum import BINS, HOP, Spectrum
from tests.audio.sounds import noise, sine

SR = SAMPLE_RATE


def as_in_a_file(samples: np.ndarray) -> np.ndarray:
    """Rounded to 16 bits."""
    return (np.round(samples * 2**15) / 2**15).astype(np.float32)


SOUNDS = {
    "silence": np.zeros(SR, np.float32),
    "sine": as_in_a_file(sine(2.0)),
    "click": np.eye(1, 2 * SR, SR, dtype=np.float32)[0],
    "noise": noise(2.0),
    "loud": noise(2.0) * 16,
    "short": noise(0.1),
}


def tonnetz(y: np.ndarray) -> np.ndarray:
    chroma = librosa.feature.chroma_stft(y=y, sr=SR, tuning=0.0)
    return librosa.feature.tonnetz(chroma=chroma, sr=SR)


def shape(y: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [
            librosa.feature.spectral_centroid(y=y, sr=SR),
            librosa.feature.spectral_bandwidth(y=y, sr=SR),
            librosa.feature.spectral_flatness(y=y),
        ]
    )


def tempogram(y: np.ndarray) -> np.ndarray:
    onsets = librosa.onset.onset_strength(y=y, sr=SR)
    return librosa.feature.tempogram(onset_envelope=onsets, sr=SR, win_length=LAGS).mean(axis=1)


# name: (ours, librosa's own, the largest difference of a value in a frame, in its own unit)
MATRICES: dict[str, tuple[Callable[..., object], Callable[..., object], float]] = {
    "log-mel, dB": (
        lambda f: f.log_mel,
        lambda y: librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SR)),
        1e-3,
    ),
    "MFCC": (lambda f: f.mfcc, lambda y: librosa.feature.mfcc(y=y, sr=SR, n_mfcc=20), 5e-3),
    "chroma": (
        lambda f: f.chroma,
        lambda y: librosa.feature.chroma_stft(y=y, sr=SR, tuning=0.0),
        2e-5,
    ),
    "tonnetz": (lambda f: f.tonnetz, tonnetz, 1e-5),
    "contrast, dB": (
        lambda f: f.contrast,
        lambda y: librosa.feature.spectral_contrast(y=y, sr=SR),
        0.5,  # of a tone, where valleys are rounding errors; of music below 0.05
    ),
    "centroid and bandwidth, Hz; flatness": (lambda f: f.shape[[0, 1, 3]], shape, 0.05),
    "zero crossings": (
        lambda f: f.crossings[None],
        lambda y: librosa.feature.zero_crossing_rate(y),
        1e-7,
    ),
    "RMS": (lambda f: f.loudness[None], lambda y: librosa.feature.rms(y=y), 1e-6),
    "onset strength": (
        lambda f: f.onsets,
        lambda y: librosa.onset.onset_strength(y=y, sr=SR),
        1e-3,
    ),
    "tempogram": (lambda f: f.tempogram, tempogram, 1e-4),
    "tempo, BPM": (lambda f: f.tempo, lambda y: librosa.feature.tempo(y=y, sr=SR)[0], 1e-6),
}


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("sound", SOUNDS)
def test_equals_librosas_own(sound: str, matrix: str) -> None:
    ours, theirs, tolerance = MATRICES[matrix]
    y = SOUNDS[sound]
    np.testing.assert_allclose(ours(Frames(y)), theirs(y), rtol=1e-5, atol=tolerance)


@pytest.mark.parametrize("genre", ["blues", "metal", "classical"])
def test_equals_librosas_own_on_music(data_dir: Path, genre: str) -> None:
    clip = min((data_dir / "gtzan" / "audio" / genre).iterdir())
    y = decode(clip).samples
    frames = Frames(y)
    for name, (ours, theirs, tolerance) in MATRICES.items():
        np.testing.assert_allclose(ours(frames), theirs(y), rtol=1e-5, atol=tolerance, err_msg=name)
    assert_same_rolloff(frames, y)


def test_tempo_is_librosas_on_all_clips(data_dir: Path) -> None:
    for clip in sorted((data_dir / "gtzan" / "audio").glob("*/*")):
        frames = Frames(decode(clip).samples)
        theirs = librosa.feature.tempo(onset_envelope=frames.onsets, sr=SR)[0]
        assert frames.tempo == pytest.approx(theirs), clip.name


def test_tempo_where_half_is_silent() -> None:
    half = np.concatenate([noise(8.0), np.zeros(8 * SR, np.float32)])
    assert Frames(half).tempo == pytest.approx(librosa.feature.tempo(y=half, sr=SR)[0])


@pytest.mark.parametrize("sound", SOUNDS)
def test_rolloff_is_librosas(sound: str) -> None:
    assert_same_rolloff(Frames(SOUNDS[sound]), SOUNDS[sound])


def assert_same_rolloff(frames: Frames, y: np.ndarray) -> None:
    """A bin: where the sum reaches 85 % to the last digit, rounding decides between neighbours."""
    theirs = librosa.feature.spectral_rolloff(y=y, sr=SR)[0]
    apart = np.abs(frames.shape[2] - theirs) / (SR / bank.N_FFT)
    assert apart.max() < 1.01
    assert (apart > 0.01).mean() < 0.005


@pytest.mark.parametrize("hertz", [0, 440, 9_000])
def test_tones_without_any_noise(hertz: int) -> None:
    """Their quietest bins are float32's rounding errors, 140 dB below: contrast is made of them."""
    y = np.full(SR, 0.5, np.float32) if hertz == 0 else sine(2.0, hertz)
    frames = Frames(y)
    exact = [name for name in MATRICES if not name.startswith(("contrast", "centroid", "tempo"))]
    for name in exact:
        ours, theirs, tolerance = MATRICES[name]
        np.testing.assert_allclose(ours(frames), theirs(y), rtol=1e-5, atol=tolerance, err_msg=name)
    np.testing.assert_allclose(frames.shape[[0, 1, 3]], shape(y), atol=2.0)
    contrast = librosa.feature.spectral_contrast(y=y, sr=SR)
    assert np.abs(frames.contrast - contrast).max() < 20


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("frames", [9, 10, 40, 1292])
def test_delta_is_librosas(order: int, frames: int) -> None:
    matrix = np.random.default_rng(order).normal(size=(20, frames)).astype(np.float32)
    theirs = librosa.feature.delta(matrix, order=order)
    np.testing.assert_allclose(delta(matrix, order), theirs, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 8])
def test_delta_of_few_frames(frames: int) -> None:
    constant = np.ones((3, frames), np.float32)
    assert delta(constant).shape == (3, frames)
    np.testing.assert_allclose(delta(constant), 0.0, atol=1e-6)


@pytest.mark.parametrize("length", [1, HOP - 1, HOP, 3 * bank.N_FFT, 64 * HOP, 64 * HOP + 1])
def test_the_spectrum_is_cut_at_blocks_without_a_seam(length: int) -> None:
    y = noise(4.0)[:length]
    frames = Frames(y, {"power": lambda spectrum: spectrum.power})
    theirs = np.abs(librosa.stft(y)).T ** 2 if length > bank.N_FFT // 2 else None
    assert frames.measured["power"].shape == (1 + length // HOP, BINS)
    if theirs is not None:
        np.testing.assert_allclose(frames.measured["power"], theirs, atol=1e-3, rtol=1e-4)
    assert frames.mfcc.shape == (N_MFCC, 1 + length // HOP)
    assert frames.contrast.shape == (N_CONTRAST, 1 + length // HOP)
    assert frames.tempogram.shape == (LAGS,)


def test_frequencies_are_librosas() -> None:
    theirs = librosa.fft_frequencies(sr=SR, n_fft=bank.N_FFT)
    np.testing.assert_allclose(Spectrum.frequencies, theirs)


def test_filters_are_kept_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    computed = []
    compute = bank.compute
    monkeypatch.setattr(bank, "compute", lambda: computed.append(1) or compute())

    def read() -> bank.Filters:
        bank.filters.cache_clear()
        return bank.filters()

    first, second = read(), read()
    assert len(computed) == 1
    np.testing.assert_array_equal(first.mel, second.mel)
    np.testing.assert_array_equal(
        second.mel, librosa.filters.mel(sr=SR, n_fft=bank.N_FFT, n_mels=bank.N_MELS).T
    )
    for damage in (b"", b"PK\x03\x04 cut off", bank.cache_file().read_bytes()[:5000]):
        bank.cache_file().write_bytes(damage)
        np.testing.assert_array_equal(read().chroma, first.chroma)
    with bank.cache_file().open("wb") as file:
        np.savez(file, mel=first.mel[:5], chroma=first.chroma)
    np.testing.assert_array_equal(read().mel, first.mel)
    assert len(computed) == 5
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [bank.cache_file().name]


def test_filters_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a file where a folder should be"
    file.touch()
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(file))
    bank.filters.cache_clear()
    assert bank.filters().chroma.shape == (BINS, bank.N_CHROMA)
