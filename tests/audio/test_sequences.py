import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kg.audio.decode import decode
from kg.audio.frames import Frames
from kg.audio.sequences import KINDS, Kind, sequences
from kg.errors import KgError, WrongUsageError
from kg.files import CHANGED
from tests.audio.sounds import noise, sine, write
from tests.audio.test_extract import Recorder, kill_with_children, odd_decoder
from tests.waiting import DEADLINE, until

__all__ = ["odd_decoder"]  # a fixture

Songs = list[tuple[str, Path]]


@pytest.fixture
def songs(tmp_path: Path) -> Songs:
    return [
        (f"{i}{i}id", write(tmp_path / f"{i}.wav", noise(1.1 + 0.3 * i, seed=i))) for i in range(4)
    ]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def own(path: Path, kind: Kind) -> np.ndarray:
    return getattr(Frames(decode(path).samples), kind).T


@pytest.mark.parametrize(("kind", "bands"), [("mfcc", 20), ("log_mel", 128)])
def test_values_are_those_of_frames(songs: Songs, cache: Path, kind: Kind, bands: int) -> None:
    songs.append(("sine", write(songs[0][1].with_name("sine.wav"), sine(2.0))))
    text = songs[0][1].with_name("text.mp3")
    text.write_text("no music")
    progress = Recorder()
    given = [songs[2], ("text", text), *songs[:2], *songs[3:], songs[2]]
    result = sequences(given, cache, kind, workers=2, progress=progress)
    assert list(result) == ["22id", "00id", "11id", "33id", "sine"]
    assert len(result) == 5
    assert result.cached == 0
    assert [rejected.path for rejected in result.rejected] == [text]
    assert (progress.done, progress.total, progress.rejected) == (6, 6, 1)
    for song, path in songs:
        frames, expected = result[song], own(path, kind)
        assert frames.shape == (1 + len(decode(path).samples) // 512, bands)
        assert isinstance(frames, np.memmap)
        # Half precision has 11 binary digits.
        np.testing.assert_allclose(frames, expected, rtol=2.0**-11, atol=1e-6)
    with pytest.raises(KeyError):
        result["text"]
    with pytest.raises(KeyError):
        result["other"]


def test_a_file_that_was_replaced_since_leaves_nothing(songs: Songs, cache: Path) -> None:
    modified = {song: path.stat().st_mtime_ns for song, path in songs}
    write(songs[1][1], noise(1.5, seed=9))
    os.utime(songs[1][1], ns=(0, modified["11id"] + 1))
    result = sequences(songs, cache, "mfcc", modified=modified)
    assert result.ids == ("00id", "22id", "33id")
    [rejected] = result.rejected
    assert (rejected.path, rejected.reason) == (songs[1][1], CHANGED)
    assert len(list(result.folder.glob("*/*"))) == 3
    modified["11id"] += 1
    assert sequences(songs, cache, "mfcc", modified=modified).cached == 3


def test_real_music_loses_nothing_that_is_heard(data_dir: Path, cache: Path) -> None:
    paths = sorted((data_dir / "gtzan" / "audio").rglob("*.flac"))[::10]
    songs = [(path.stem, path) for path in paths]
    as_text = [(song, str(path)) for song, path in songs]
    log_mel, mfcc = (sequences(as_text, str(cache), kind) for kind in KINDS[::-1])
    for song, path in songs:
        frames = Frames(decode(path).samples)
        assert np.abs(log_mel[song] - frames.log_mel.T).max() < 0.02  # dB
        error = np.abs(mfcc[song] - frames.mfcc.T) / frames.mfcc.T.std(axis=0)
        assert error.max() < 0.01  # of a coefficient's standard deviation


def test_a_run_goes_on_where_it_was(songs: Songs, cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        sequences(songs, cache, "mfcc", workers=1, progress=Recorder(stop_after=2))
    assert sequences(songs[:2], cache, "mfcc").cached >= 2
    first = sequences(songs, cache, "mfcc")
    [path] = first.folder.glob("22/*")
    files = {each: each.stat().st_mtime_ns for each in first.folder.glob("*/*")}
    assert len(files) == 4
    # What is cut off, empty or of other values is made anew; the rest isn't touched.
    whole = path.read_bytes()
    for damage in (whole[:-1], b"", b"no array", whole.replace(b"<f2", b"<i2")):
        path.write_bytes(damage)
        with pytest.raises(KgError, match=r"22id\.npy is missing or damaged"):
            first["22id"]
        again = sequences(songs, cache, "mfcc")
        assert again.cached == 3
        assert path.read_bytes() == whole
    assert {each: each.stat().st_mtime_ns for each in first.folder.glob("*/*") if each != path} == {
        each: time_ns for each, time_ns in files.items() if each != path
    }
    # A moved file, and another kind.
    moved = songs[0][1].rename(songs[0][1].with_name("other.wav"))
    assert sequences([("00id", moved)], cache, "mfcc").cached == 1
    assert sequences([("00id", moved)], cache, "log_mel").cached == 0
    assert sequences([("00id", moved)], cache, "mfcc", excerpt=None).cached == 0


def test_leftovers_of_killed_processes_go(songs: Songs, cache: Path) -> None:
    folder = sequences(songs[:1], cache, "mfcc").folder / "00"
    old, new = folder / "a.npy.1.tmp", folder / "b.npy.2.tmp"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    sequences(songs[:1], cache, "mfcc")
    assert not old.exists()
    assert new.exists()  # of a run that goes on, perhaps


@pytest.mark.slow
@pytest.mark.usefixtures("odd_decoder")
def test_a_killed_run_leaves_whole_files(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One hangs: the run certainly goes on when it is killed, and the others are being written.
    names = [*(f"{i:02}" for i in range(20)), "hang"]
    songs = [
        (f"{name}-id", write(tmp_path / f"{name}.wav", noise(20.0, seed=i)))
        for i, name in enumerate(names)
    ]
    code = (
        "import sys; from pathlib import Path; from kg.audio import workers; "
        f"workers.PATIENCE = {DEADLINE}; from kg.audio.sequences import sequences; "
        "sequences([(f'{p.stem}-id', p) for p in Path(sys.argv[1]).glob('*.wav')], "
        "Path(sys.argv[2]), 'log_mel', workers=2)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(cache)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        until(lambda: len(list(cache.rglob("*.npy"))) >= 3)
        assert run.poll() is None, "it ended before it could be killed"
    finally:
        kill_with_children(run)
    monkeypatch.undo()
    result = sequences(songs, cache, "log_mel")
    assert 3 <= result.cached < len(songs)
    for song in result:
        assert np.isfinite(result[song]).all()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_full_disk(songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = cache.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "from pathlib import Path\n"
        "real = Path.open\n"
        "Path.open = lambda self, *rest, **options: real(\n"
        "    Path('/dev/full') if self.suffix == '.tmp' and '22id' in self.name else self,\n"
        "    *rest, **options)\n"
    )
    monkeypatch.syspath_prepend(site)
    with pytest.raises(KgError, match=r"22id\.npy can't be written to \(No space left.*make room"):
        sequences(songs, cache, "mfcc", workers=1)
    monkeypatch.undo()
    result = sequences(songs, cache, "mfcc")
    assert (result.cached, len(result)) == (2, 4)  # those before it are there


def test_wrong_usage(songs: Songs, cache: Path) -> None:
    with pytest.raises(WrongUsageError, match="'chroma'"):
        sequences(songs, cache, "chroma")  # type: ignore[arg-type]
    with pytest.raises(WrongUsageError, match="at least 1"):
        sequences(songs, cache, "mfcc", workers=0)


def test_a_folder_that_cannot_be_made(songs: Songs, cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(KgError, match=r"can't be written to .*--home"):
        sequences(songs, cache, "mfcc")


def test_nothing_to_do(cache: Path) -> None:
    result = sequences([], cache, "mfcc")
    assert dict(result) == {}
