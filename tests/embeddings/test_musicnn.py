"""musicnn's weights: the right wheel, whole, once; and what it hears in real music."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from kg.audio.decode import SAMPLE_RATE, decode
from kg.embeddings import musicnn
from kg.embeddings.forms import log_mel
from kg.embeddings.musicnn import PATCH, TAGS, install, listen, load, patches
from kg.errors import KgError, WrongUsageError
from tests.audio.sounds import noise, sine
from tests.embeddings.bundles import write_bundle
from tests.models.test_musicnn import tensorflow_weights
from tests.waiting import DEADLINE

INDEX, DATA = (f"musicnn/MSD_musicnn/{name}" for name in (".index", ".data-00000-of-00001"))


def wheel(path: Path, monkeypatch: pytest.MonkeyPatch, *, without: str = "") -> Path:
    """A wheel with made-up weights, taken for the right one."""
    weights = {name: value.numpy() for name, value in tensorflow_weights().items()}
    weights = {name: value for name, value in weights.items() if name != without}
    index, data = write_bundle(weights)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(INDEX, index)
        archive.writestr(DATA, data)
    monkeypatch.setattr(musicnn, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_weights_are_kept_and_read_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = wheel(tmp_path / "a.whl", monkeypatch)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing is to be fetched"))
    kept = install(tmp_path / "home" / "weights", given)
    assert [file.name for file in kept.parent.iterdir()] == ["msd-musicnn-0.1.0.safetensors"]
    given.unlink()
    assert install(tmp_path / "home" / "weights") == kept
    network = load(kept)
    assert not network.training
    heard = listen(network, log_mel(sine(7.0)))
    assert heard.tags.shape == (2, len(TAGS))
    assert bool(torch.isfinite(heard.pooled).all())

    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(KgError, match="missing or damaged: delete that file"):
        load(kept)


def test_wrong_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = wheel(tmp_path / "good.whl", monkeypatch)
    (tmp_path / "short.whl").write_bytes(good.read_bytes()[:-1])
    for path, words in (
        (tmp_path / "short.whl", "not the wheel of musicnn==0.1.0, or it is cut short or changed"),
        (tmp_path / "none.whl", "can't be used: no longer there"),
        (tmp_path, "can't be used: a folder"),
    ):
        with pytest.raises(WrongUsageError, match=words):
            install(tmp_path / "weights", path)
    incomplete = wheel(tmp_path / "less.whl", monkeypatch, without="dense/bias")
    with pytest.raises(KgError, match=r"holds no such weights .*dense/bias"):
        install(tmp_path / "weights", incomplete)
    assert not (tmp_path / "weights").exists()
    (tmp_path / "file").touch()
    with pytest.raises(KgError, match=r"can't be kept in .*: make room there"):
        install(tmp_path / "file" / "weights", wheel(tmp_path / "good.whl", monkeypatch))


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(KgError, match=r"pip download --no-deps musicnn==0\.1\.0.*name the wheel"):
        install(tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("seconds", [0.06, 1.0, 7.3])
def test_the_spectrum_is_librosas(seconds: float) -> None:
    import librosa

    song = noise(seconds=seconds, seed=1)
    slow = librosa.resample(song, orig_sr=SAMPLE_RATE, target_sr=16_000, res_type="soxr_hq")
    power = librosa.feature.melspectrogram(y=slow, sr=16_000, n_fft=512, hop_length=256, n_mels=96)
    theirs = np.log10(1 + 10_000 * power.T)
    ours = log_mel(song)
    assert ours.dtype == np.float32
    frames = min(len(ours), len(theirs))  # a sample that rounding gives or takes may be a frame
    assert abs(len(ours) - len(theirs)) <= 1
    np.testing.assert_allclose(ours[: frames - 1], theirs[: frames - 1], atol=2e-4)


def test_songs_shorter_than_a_patch_are_repeated() -> None:
    short = log_mel(sine(1.0))
    assert short.shape == (63, 96)
    (patch,) = patches(short)
    np.testing.assert_array_equal(patch, np.concatenate([short] * 3)[:PATCH])
    long = log_mel(sine(30.0))
    assert patches(long).shape == (10, PATCH, 96)
    assert patches(long, 62).shape == (28, PATCH, 96)


@pytest.fixture(scope="session")
def real_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real weights, where pip can fetch them."""
    folder = tmp_path_factory.mktemp("musicnn")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "1"]
    try:
        command += ["--dest", str(folder), musicnn.REQUIREMENT]
        subprocess.run(command, check=True, timeout=DEADLINE)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("the wheel of musicnn can't be fetched")
    (found,) = folder.glob("*.whl")
    return install(folder / "weights", found)


@pytest.mark.slow
def test_tags_of_real_music_are_those_that_were_published(
    real_weights: Path, data_dir: Path
) -> None:
    table = np.load(data_dir / "gtzan" / "musicnn_taggram_train.npz", allow_pickle=False)
    songs = [Path(str(name)).stem for name in table["IDS"]]
    network = load(real_weights)
    gaps, same = [], []
    clips = sorted((data_dir / "gtzan" / "audio").rglob("*.flac"))
    for clip in [clip for clip in clips if clip.stem in songs][::4]:
        theirs = table["X"][[song == clip.stem for song in songs]]
        audio = decode(clip)
        assert audio.samples.shape[-1] / SAMPLE_RATE > 29
        ours = listen(network, log_mel(audio.samples), hop=62).tags.numpy()
        gaps.append(np.abs(ours - theirs).mean())
        same.append(ours.mean(axis=0).argmax() == theirs.mean(axis=0).argmax())
    assert len(gaps) >= 6
    # the published ones came through another resampler
    assert np.mean(gaps) < 0.008
    assert all(same)
