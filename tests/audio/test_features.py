import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest

from kg.audio import features as module
from kg.audio.decode import SAMPLE_RATE, decode
from kg.audio.features import FAMILIES, columns, family_slices, feature_version, features
from tests.audio.sounds import noise, sine

CLICK = np.eye(1, 2 * SAMPLE_RATE, SAMPLE_RATE, dtype=np.float32)[0]
SOUNDS = {
    "noise": noise(2.0),
    "sine": sine(2.0),
    "click": CLICK,
    "one second": noise(1.0),
    "silence": np.zeros(SAMPLE_RATE, np.float32),
    "constant": np.full(SAMPLE_RATE, 0.5, np.float32),
    "loud": noise(2.0) * 50,
}


def reference(y: np.ndarray) -> dict[str, np.ndarray]:
    """The same values by librosa alone, each function computing its own spectrogram."""
    tempo = librosa.feature.tempo(y=y, sr=SAMPLE_RATE)
    onsets = librosa.onset.onset_strength(y=y, sr=SAMPLE_RATE)
    frames = {
        "mfcc": librosa.feature.mfcc(y=y, sr=SAMPLE_RATE, n_mfcc=20),
        "mel": librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SAMPLE_RATE)),
        "chroma": librosa.feature.chroma_stft(y=y, sr=SAMPLE_RATE, tuning=0.0),
        "contrast": librosa.feature.spectral_contrast(y=y, sr=SAMPLE_RATE),
        "spectral": np.concatenate(
            [
                librosa.feature.spectral_centroid(y=y, sr=SAMPLE_RATE),
                librosa.feature.spectral_bandwidth(y=y, sr=SAMPLE_RATE),
                librosa.feature.spectral_rolloff(y=y, sr=SAMPLE_RATE),
                librosa.feature.spectral_flatness(y=y),
                librosa.feature.zero_crossing_rate(y),
                librosa.feature.rms(y=y),
            ]
        ),
    }
    values = {name: np.concatenate([m.mean(1), m.std(1)]) for name, m in frames.items()}
    delta = librosa.feature.delta(frames["mfcc"]).std(1)
    values["mfcc"] = np.concatenate([values["mfcc"], delta])
    values["rhythm"] = np.array([np.log2(tempo[0]), onsets.mean(), onsets.std()])
    return values


def assert_equals_librosa(samples: np.ndarray) -> None:
    ours = features(samples)
    for name, theirs in reference(samples).items():
        mine = ours[family_slices()[name]][: len(theirs)]
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("sound", ["noise", "sine", "click", "one second"])
def test_equal_librosas_own(sound: str) -> None:
    assert_equals_librosa(SOUNDS[sound])


def test_equal_librosas_own_on_music(data_dir: Path) -> None:
    for genre in ("blues", "metal"):
        clip = next(iter(sorted((data_dir / "gtzan" / "audio" / genre).iterdir())))
        assert_equals_librosa(decode(clip, excerpt=5.0).samples)


@pytest.mark.parametrize("sound", SOUNDS)
def test_finite_and_named(sound: str) -> None:
    values = features(SOUNDS[sound])
    assert values.dtype == np.float32
    assert values.shape == (len(columns()),)
    assert np.isfinite(values).all()


def test_columns_are_unique_and_families_tile_them() -> None:
    assert len(set(columns())) == len(columns())
    assert {"mfcc_01_mean", "mel_017_std", "chroma_12_mean", "tempo_log2"} <= set(columns())
    covered = [i for part in family_slices().values() for i in range(part.start, part.stop)]
    assert covered == list(range(len(columns())))
    for name, part in family_slices().items():
        assert columns()[part] == FAMILIES[name].columns


def test_values_stand_in_their_columns() -> None:
    values = dict(zip(columns(), features(sine(2.0, 440.0)), strict=True))
    assert values["centroid_mean"] == pytest.approx(440, abs=20)
    assert values["rms_mean"] == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert values["zero_crossing_rate_mean"] == pytest.approx(2 * 440 / SAMPLE_RATE, rel=0.1)
    chroma = [values[f"chroma_{i:02d}_mean"] for i in range(1, 13)]
    assert int(np.argmax(chroma)) == 9  # A, counted from C
    beats = np.zeros(10 * SAMPLE_RATE, np.float32)
    beats[:: SAMPLE_RATE // 2] = 1.0
    values = dict(zip(columns(), features(beats), strict=True))
    assert 2 ** values["tempo_log2"] == pytest.approx(120, rel=0.03)


def test_version_follows_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    version = feature_version()
    assert len(version) == 12
    assert int(version, 16) >= 0
    assert feature_version() == version
    assert feature_version(excerpt=None) != version
    with monkeypatch.context() as patch:
        patch.setattr(module, "REVISION", 2)
        assert feature_version() != version
    without = {name: family for name, family in FAMILIES.items() if name != "chroma"}
    for families in (without, without | {"chroma": FAMILIES["chroma"]}):  # one less, another order
        with monkeypatch.context() as patch:
            patch.setattr(module, "FAMILIES", families)
            assert feature_version() != version
    assert feature_version() == version


def test_names_and_versions_come_without_librosa() -> None:
    code = (
        "import sys; from kg.audio.features import columns, feature_version; "
        "columns(), feature_version(); assert not {'librosa', 'soundfile', 'av'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
