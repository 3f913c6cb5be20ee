import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from kg.audio import cache as cache_module
from kg.audio import workers as workers_module
from kg.audio.cache import FeatureCache, Row
from kg.audio.decode import Audio, decode
from kg.audio.extract import extract
from kg.audio.features import columns, feature_version, features
from kg.audio.workers import Outcome
from kg.errors import KgError, WrongUsageError
from kg.progress import Advance
from tests.audio.sounds import noise, write

Songs = list[tuple[str, Path]]


@pytest.fixture
def songs(tmp_path: Path) -> Songs:
    return [(f"id{i}", write(tmp_path / f"{i}.wav", noise(1.1, seed=i))) for i in range(5)]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


class Recorder:
    """Counts what a stage reports; interrupts it after `stop_after` steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.total: int | None = None
        self.done = self.rejected = 0
        self.stop_after = stop_after

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        self.total = total

        def advance(steps: int, rejected: int = 0) -> None:
            self.done += steps
            self.rejected += rejected
            if self.stop_after is not None and self.done >= self.stop_after:
                raise KeyboardInterrupt

        yield advance

    def say(self, message: str) -> None: ...


def test_workers_and_the_order_of_results(songs: Songs, cache: Path) -> None:
    progress = Recorder()
    text = songs[0][1].with_name("text.mp3")
    text.write_text("no music")
    given = [songs[3], songs[0], ("text", text), *songs[1:3], songs[4], songs[0]]
    result = extract(given, cache, workers=2, progress=progress)
    assert result.ids == ["id3", "id0", "id1", "id2", "id4"]
    assert [(each.path, each.reason) for each in result.rejected] == [
        (text, "not an audio file, or too broken to decode")
    ]
    assert result.cached == 0
    assert progress.done == progress.total == 6
    assert progress.rejected == 1
    assert result.features.shape == (5, len(columns()))
    assert result.features.dtype == np.float32
    np.testing.assert_allclose(result.duration, 1.1, atol=1e-4)
    assert (result.sample_rate == 22_050).all()
    # The processes and this one agree, in the order that was asked for.
    np.testing.assert_allclose(
        result.features[0], features(decode(songs[3][1]).samples), rtol=1e-5, atol=1e-5
    )

    again = extract(given, cache)
    assert again.cached == 5
    assert again.ids == result.ids
    np.testing.assert_array_equal(again.features, result.features)


def test_a_renamed_file_costs_nothing(songs: Songs, cache: Path) -> None:
    extract(songs[:1], cache)
    moved = songs[0][1].rename(songs[0][1].with_name("other.wav"))
    assert extract([("id0", moved)], cache).cached == 1


def test_another_version_has_its_own_cache(songs: Songs, cache: Path) -> None:
    extract(songs[:1], cache)
    assert extract(songs[:1], cache, excerpt=None).cached == 0
    assert {path.name for path in (cache / "features").iterdir()} == {
        feature_version(),
        feature_version(None),
    }


@pytest.mark.parametrize("workers", [None, 1])
def test_an_odd_file_costs_itself_only(
    songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch, workers: int | None
) -> None:
    if workers is None:
        real = workers_module.decode

        def odd(path: Path, excerpt: float | None) -> Audio:
            if path == songs[0][1]:
                raise ValueError("odd\nin two lines")
            return real(path, excerpt)

        monkeypatch.setattr(workers_module, "decode", odd)
    else:  # garbled replies count as a crash
        real_outcome, replies = workers_module._outcome, []

        def garbled(pipe: IO[bytes]) -> Outcome:
            outcome = real_outcome(pipe)
            replies.append(outcome)
            return json.loads("no JSON") if len(replies) == 1 else outcome

        monkeypatch.setattr(workers_module, "_outcome", garbled)
    result = extract(songs[:2], cache, workers=workers)
    assert result.ids == ["id1"]
    [rejected] = result.rejected
    assert rejected.path == songs[0][1]
    assert rejected.reason.startswith(
        ("can't be decoded (ValueError: odd in two", "decoding crash")
    )


def test_a_bug_in_a_worker_ends_the_run(
    songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(pipe: IO[bytes]) -> Outcome:
        raise KeyError("our own bug")

    monkeypatch.setattr(workers_module, "_outcome", bug)
    with pytest.raises(KeyError, match="our own bug"):
        extract(songs[:2], cache, workers=2)


def test_nothing_to_do(cache: Path) -> None:
    result = extract([], cache)
    assert result.ids == []
    assert result.features.shape == (0, len(columns()))


def test_interrupted_run_goes_on(songs: Songs, cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(songs, cache, workers=1, progress=Recorder(stop_after=2))
    assert extract(songs[:2], cache).cached == 2


@pytest.mark.slow
def test_killed_run_goes_on(tmp_path: Path, cache: Path) -> None:
    songs = [(f"id{i}", write(tmp_path / f"{i}.wav", noise(20.0, seed=i))) for i in range(60)]
    code = (
        "import sys; from pathlib import Path; import kg.audio.cache; "
        "kg.audio.cache.FLUSH_SECONDS = 0.2; from kg.audio.extract import extract; "
        "extract([(p.stem, p) for p in sorted(Path(sys.argv[1]).glob('*.wav'))], "
        "Path(sys.argv[2]), workers=1)"
    )
    folder = cache / "features" / feature_version()
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(cache)])
    try:
        deadline = time.monotonic() + 60
        while not list(folder.glob("*.parquet")) and time.monotonic() < deadline:
            assert run.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
    finally:
        run.kill()
        run.wait()
    stems = [(path.stem, path) for _, path in songs]
    with FeatureCache(folder, len(columns())) as opened:
        saved = opened.load([song for song, _ in stems])
    assert 0 < len(saved) < len(songs)
    some = [
        *(pair for pair in stems if pair[0] in saved),
        next(p for p in stems if p[0] not in saved),
    ]
    result = extract(some, cache)
    assert result.cached == len(saved)
    assert len(result.ids) == len(some)


def test_damaged_part(songs: Songs, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = extract(songs[:1], cache)
    [part] = (cache / "features" / feature_version()).glob("*.parquet")
    for damage in (b"", b"PAR1 nonsense", part.read_bytes()[:-30] + b"x" * 26 + b"PAR1"):
        part.write_bytes(damage)
        with caplog.at_level(logging.WARNING):
            again = extract(songs[:1], cache)
        assert again.cached == 0
        assert "damaged" in caplog.text
        caplog.clear()
        np.testing.assert_array_equal(again.features, first.features)
        [part] = (cache / "features" / feature_version()).glob("*.parquet")


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_a_part_that_cannot_be_read_now_stays(
    songs: Songs,
    cache: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fails(*args: object, **options: object) -> None:
        raise error if isinstance(error, OSError) else pyarrow.ArrowMemoryError("malloc failed")

    extract(songs[:1], cache)
    opened = FeatureCache(cache / "features" / feature_version(), len(columns()))
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(pyarrow.parquet, "read_table", fails)
        assert opened.load(["id0"]) == {}
    assert "can't be read now" in caplog.text
    assert opened.load(["id0"]).keys() == {"id0"}


def test_rows_reach_the_disk_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "FLUSH_SECONDS", 0.2)
    opened = FeatureCache(tmp_path, 4)
    for number in range(2):
        opened.add(f"id{number}", Row(np.zeros(4, np.float32), 1.0, 8_000))
        # Nothing is added any more: the next song may take a minute.
        deadline = time.monotonic() + 10
        while len(list(tmp_path.glob("*.parquet"))) <= number:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert len(FeatureCache(tmp_path, 4).load(["id0", "id1"])) == 2


def test_many_parts_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MOST_PARTS", 3)
    leftover = tmp_path / "killed.tmp"
    leftover.touch()
    os.utime(leftover, (0, 0))
    rows = {f"id{i}": Row(np.full(4, i, np.float32), float(i), 8_000) for i in range(6)}
    for _ in range(2):  # the second time round, every song is there twice
        for song, row in rows.items():
            opened = FeatureCache(tmp_path, 4)
            opened.add(song, row)
            opened.flush()
    assert len(list(tmp_path.glob("*.parquet"))) == 12
    with FeatureCache(tmp_path, 4):
        pass
    assert len(list(tmp_path.iterdir())) == 1
    loaded = FeatureCache(tmp_path, 4).load([*rows, "other"])
    assert loaded.keys() == rows.keys()
    for song, row in rows.items():
        np.testing.assert_array_equal(loaded[song].features, row.features)
        assert (loaded[song].duration, loaded[song].sample_rate) == (row.duration, 8_000)


def test_cache_that_cannot_be_written(songs: Songs, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(KgError, match=r"can't be written to .*--home"):
        extract(songs[:1], tmp_path / "cache")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module.time, "time_ns", lambda: 1)
    (tmp_path / f"{1:020d}-{os.getpid()}.tmp").symlink_to("/dev/full")
    opened = FeatureCache(tmp_path, 4)
    opened.add("id", Row(np.zeros(4, np.float32), 1.0, 8_000))
    with pytest.raises(KgError, match="No space left on device"):
        opened.flush()
    # One that is met by the clock is told when the next row comes.
    monkeypatch.setattr(cache_module, "FLUSH_SECONDS", 0.0)
    (tmp_path / f"{1:020d}-{os.getpid()}.tmp").symlink_to("/dev/full")
    opened.add("id", Row(np.zeros(4, np.float32), 1.0, 8_000))
    with pytest.raises(KgError, match="No space left on device"):  # noqa: PT012
        for _ in range(500):
            time.sleep(0.01)
            opened.add("id", Row(np.zeros(4, np.float32), 1.0, 8_000))
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no way to stop a process here")
def test_a_crash_and_a_hang_cost_one_file_each(
    songs: Songs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "PATIENCE", 1.5)
    worker = workers_module._Worker(30.0)
    try:
        assert isinstance(worker.extract(songs[0][1]), Row)
        for action, says in (
            (signal.SIGSEGV, "decoding crashed (SIGSEGV)"),
            (signal.SIGSTOP, "did not end within"),
        ):
            assert worker._process is not None
            os.kill(worker._process.pid, action)
            time.sleep(0.3)
            assert says in str(worker.extract(songs[1][1]))
            assert isinstance(worker.extract(songs[2][1]), Row)
    finally:
        worker.end()


def test_no_workers(songs: Songs, cache: Path) -> None:
    with pytest.raises(WrongUsageError):
        extract(songs, cache, workers=0)
