import subprocess
import sys

import numpy as np
import pytest

from kg.audio import features as module
from kg.audio.decode import SAMPLE_RATE
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
    "a tenth of a second": noise(0.1),
    "one sample": noise(1.0)[:1],
}


@pytest.mark.parametrize("sound", SOUNDS)
def test_finite_and_named(sound: str) -> None:
    values = features(SOUNDS[sound])
    assert values.dtype == np.float32
    assert values.shape == (len(columns()),)
    assert np.isfinite(values).all()


def test_columns_are_unique_and_families_tile_them() -> None:
    assert len(set(columns())) == len(columns())
    some = {"mfcc_01_mean", "mfcc_20_modulation_8_hz", "mel_017_std", "chroma_12_change"}
    assert some | {"fifths_x_std", "valley_7_mean", "tempo_log2"} <= set(columns())
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
    assert values["beat_regularity"] > 0.6
    tones = np.concatenate([sine(0.5, 440.0 * 2 ** (i / 3)) for i in range(20)])
    moving = dict(zip(columns(), features(tones), strict=True))
    held = dict(zip(columns(), features(sine(10.0, 440.0)), strict=True))
    for name in ("mfcc_05_modulation_2_hz", "mfcc_05_delta2_std", "chroma_10_change"):
        assert moving[name] > held[name] + 0.01


def test_modulation_finds_how_fast_a_song_pulses() -> None:
    seconds = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    for hertz, own in ((1.0, "0_5"), (3.0, "2"), (6.0, "4"), (12.0, "8")):
        loudness = 1 + 0.9 * np.sin(2 * np.pi * hertz * seconds)
        pulse = (noise(10.0) * loudness / 4).astype(np.float32)
        values = dict(zip(columns(), features(pulse), strict=True))
        bands = {band: values[f"mfcc_01_modulation_{band}_hz"] for band in ("0_5", "2", "4", "8")}
        assert max(bands, key=bands.__getitem__) == own


def test_a_family_may_measure_the_spectrum_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    family = module.Family(
        "brightness",
        ("brightness",),
        lambda frames: frames.measured["brightness"].mean(axis=0),
        lambda spectrum: spectrum.power[:, 140:].sum(axis=1, keepdims=True),
    )
    monkeypatch.setattr(module, "FAMILIES", FAMILIES | {"brightness": family})
    assert columns()[-1] == "brightness"
    assert features(sine(1.0, 3_000.0))[-1] > 1_000 * features(sine(1.0, 300.0))[-1]


def test_version_follows_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    version = feature_version()
    assert len(version) == 12
    assert int(version, 16) >= 0
    assert feature_version() == version
    assert feature_version(excerpt=None) != version
    assert feature_version(excerpt=30) == feature_version(excerpt=30.0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "REVISION", 99)
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
