import errno
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import pytest
import soundfile

from kg.audio import cache as cache_module
from kg.audio import table as table_module
from kg.audio import workers as workers_module
from kg.audio.cache import FeatureCache, Row
from kg.audio.decode import decode
from kg.audio.extract import extract
from kg.audio.features import columns, feature_version, features
from kg.audio.requests import Identify, Outcome, ReadTags, Request
from kg.errors import AudioError, KgError, WrongUsageError
from kg.progress import Advance
from tests.audio.sounds import noise, write
from tests.waiting import DEADLINE, ended, until

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
    with pytest.raises(AudioError) as why:
        decode(text)
    assert [(each.path, each.reason) for each in result.rejected] == [(text, str(why.value))]
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


# What the processes run: files by these names do to their decoder what broken ones may do.
ODD = """
import ctypes, os, time
import kg.audio.decode

real = kg.audio.decode.decode


def odd(path, excerpt):
    if "crash" in path.name:
        ctypes.string_at(0)
    if "hang" in path.name:
        path.with_name("hanging").touch()
        while True:
            time.sleep(60)
    if "odd" in path.name:
        raise ValueError("odd\\nin two lines")
    if "greedy" in path.name:
        bytes(3 << 30)
    return real(path, excerpt)


kg.audio.decode.decode = odd
"""


@pytest.fixture
def odd_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(ODD)
    monkeypatch.syspath_prepend(folder)


@pytest.mark.usefixtures("odd_decoder")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("odd", "can't be decoded (ValueError: odd in two lines)"),
        ("crash", "decoding crashed (SIGSEGV)"),
        pytest.param(
            "greedy",
            "needs more memory than there is",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="no such limit here"),
        ),
        pytest.param("hang", "decoding did not end within 2 s", marks=pytest.mark.slow),
    ],
)
def test_an_odd_file_costs_itself_only(
    songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    # However slow the machine is, only what hangs takes too long.
    monkeypatch.setattr(
        workers_module, "patience", lambda asked: 2.0 if "hang" in asked.path.name else DEADLINE
    )
    odd = songs[0][1].rename(songs[0][1].with_name(f"{name}.wav"))
    # One alone, then with others.
    for more in ([], songs[1:4]):
        result = extract([("odd", odd), *more], cache, workers=1 if more else None)
        assert result.ids == [song for song, _ in more]
        assert [(each.path, each.reason) for each in result.rejected] == [(odd, reason)]


@pytest.mark.slow
@pytest.mark.usefixtures("odd_decoder")
def test_a_child_that_hangs_does_not_outlive_a_killed_run(songs: Songs, cache: Path) -> None:
    hang = songs[0][1].rename(songs[0][1].with_name("hang.wav"))
    code = (
        "import sys; from pathlib import Path; from kg.audio import child, workers; "
        "workers.PATIENCE = 0.0; workers._Deadline._kill = lambda self: None; "
        "from kg.audio.extract import extract; "
        "extract([('hang', Path(sys.argv[1]))], Path(sys.argv[2]))"
    )
    path = os.pathsep.join(sys.path)
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(hang), str(cache)],
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        until(hang.with_name("hanging").exists)
        [child] = psutil.Process(run.pid).children()
    finally:
        run.kill()
        run.wait()
    until(lambda: ended(child.pid), "an orphan hangs for ever")


@pytest.mark.parametrize("line", [b"no JSON\n", b"[]\n", b"7\n", b"{}\n", b'{"tags": {}}\n'])
def test_a_garbled_reply_counts_as_a_crash(
    songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    real, replies = workers_module.receive_outcome, []

    def garbled(pipe: IO[bytes]) -> Outcome:
        outcome = real(pipe)
        replies.append(outcome)
        return real(io.BytesIO(line)) if len(replies) == 1 else outcome

    monkeypatch.setattr(workers_module, "receive_outcome", garbled)
    result = extract(songs[:2], cache, workers=1)
    assert result.ids == ["id1"]
    [rejected] = result.rejected
    assert rejected.reason.startswith("decoding crashed")


def test_what_python_prints_at_its_start_is_no_answer(
    songs: Songs, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text('print("hello")\nprint("[1, {}]")')
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert extract(songs[:2], cache, workers=1).ids == ["id0", "id1"]


def test_a_bug_in_a_worker_ends_the_run(
    songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(pipe: IO[bytes]) -> Outcome:
        raise KeyError("our own bug")

    monkeypatch.setattr(workers_module, "receive_outcome", bug)
    with pytest.raises(KeyError, match="our own bug"):
        extract(songs[:2], cache, workers=2)


def test_processes_that_cannot_be_started(
    songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "no python"))
        with pytest.raises(KgError, match="can't be started"):
            extract(songs[:2], cache)
    false = tmp_path / "false"
    false.write_text("#!/bin/sh\nexit 3\n")
    false.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(false))
    with pytest.raises(KgError, match=r"did not start \(exit status 3\)"):
        extract(songs[:2], cache)


def test_a_process_that_died_idle_costs_no_file(songs: Songs) -> None:
    worker = workers_module.Worker()
    try:
        assert isinstance(worker.perform(Request(*songs[0])), Row)
        first = worker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: ended(first))
        assert isinstance(worker.perform(Request(*songs[1])), Row)
        assert worker.pid != first
    finally:
        worker.end()
    assert worker.pid is None
    outcome = worker.perform(Request(*songs[1]))
    assert isinstance(outcome, AudioError)
    assert "stopped" in outcome.reason


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no high-water marks here")
def test_a_process_needs_little_memory(data_dir: Path, tmp_path: Path) -> None:
    clips = sorted((data_dir / "gtzan" / "audio").rglob("*.flac"))[::6]
    long = tmp_path / "long.flac"
    with soundfile.SoundFile(long, "w", 44_100, 2) as file:
        minute = np.stack([noise(60.0, rate=44_100)] * 2, axis=1)
        for _ in range(60):
            file.write(minute)
    worker = workers_module.Worker()
    try:
        for path in [*clips, long]:
            assert isinstance(worker.perform(Request("id", path)), Row)
        status = Path(f"/proc/{worker.pid}/status").read_text()
    finally:
        worker.end()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(f"peak {peak:.0f} MB")
    assert peak < 400


def test_patience_grows_with_a_file_that_is_read_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "song"
    path.write_bytes(bytes(3_000_000))
    assert workers_module.patience(Request("id", path)) == workers_module.PATIENCE
    whole = workers_module.patience(Request("id", path, excerpt=None))
    assert whole == workers_module.PATIENCE + 3 * workers_module.PATIENCE_PER_MB
    assert workers_module.patience(ReadTags(path)) == workers_module.PATIENCE
    assert workers_module.patience(Identify(path)) == pytest.approx(workers_module.PATIENCE + 0.3)
    gone = Request("id", tmp_path / "gone", excerpt=None)
    assert workers_module.patience(gone) == workers_module.PATIENCE


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_cores_are_those_this_process_may_use() -> None:
    code = "from kg.audio.workers import cores; print(cores())"
    one = next(iter(os.sched_getaffinity(0)))
    command = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{one}}}); {code}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"
    assert 1 <= workers_module.cores() <= len(os.sched_getaffinity(0))


def test_nothing_to_do(cache: Path) -> None:
    result = extract([], cache)
    assert result.ids == []
    assert result.features.shape == (0, len(columns()))


def test_interrupted_run_goes_on(songs: Songs, cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(songs, cache, workers=1, progress=Recorder(stop_after=2))
    assert extract(songs[:2], cache).cached == 2


def kill_with_children(run: subprocess.Popen[bytes]) -> None:
    """Kill a run, and what hangs on after it."""
    children = psutil.Process(run.pid).children()
    run.kill()
    run.wait()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _cached(opened: FeatureCache, ids: list[str]) -> set[str]:
    found = opened.find({song: at for at, song in enumerate(ids)})
    return {ids[at] for rows in found for at in rows.at}


@pytest.mark.slow
@pytest.mark.usefixtures("odd_decoder")
def test_killed_run_goes_on(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The last one hangs: the run certainly goes on when it is killed.
    names = [*(f"{i:02}" for i in range(6)), "hang"]
    songs = [(name, write(tmp_path / f"{name}.wav", noise(seed=i))) for i, name in enumerate(names)]
    code = (
        "import sys; from pathlib import Path; import kg.audio.cache; "
        f"from kg.audio import workers; workers.PATIENCE = {DEADLINE}; "
        "kg.audio.cache.FLUSH_SECONDS = 0.2; from kg.audio.extract import extract; "
        "extract([(p.stem, p) for p in sorted(Path(sys.argv[1]).glob('*.wav'))], "
        "Path(sys.argv[2]), workers=1)"
    )
    folder = cache / "features" / feature_version()
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(cache)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        until(lambda: list(folder.glob("*.parquet")))
        assert run.poll() is None, "it ended before it could be killed"
    finally:
        kill_with_children(run)
    with FeatureCache(folder, len(columns())) as opened:
        saved = _cached(opened, names)
    assert 0 < len(saved) < len(songs)
    monkeypatch.undo()
    result = extract(songs, cache)
    assert result.cached == len(saved)
    assert len(result.ids) == len(songs)


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


def test_a_flipped_bit_is_no_feature(
    songs: Songs, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = extract(songs[:1], cache)
    [part] = (cache / "features" / feature_version()).glob("*.parquet")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1  # in the middle of the features
    part.write_bytes(data)
    again = extract(songs[:1], cache)
    assert again.cached == 0
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(again.features, first.features)


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_a_part_that_cannot_be_read_now_stays(
    songs: Songs,
    cache: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    import pyarrow

    def fails(*args: object) -> None:
        raise error if isinstance(error, OSError) else pyarrow.ArrowMemoryError("malloc failed")

    extract(songs[:1], cache)
    opened = FeatureCache(cache / "features" / feature_version(), len(columns()))
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(FeatureCache, "_open", fails)
        assert _cached(opened, ["id0"]) == set()
        patch.setattr(cache_module, "MOST_PARTS", 0)
        opened.add("id1", Row(np.zeros(len(columns()), np.float32), 1.0, 8_000))
        opened.flush()  # makes one part of those that can be read: of none
    assert "can't be read now" in caplog.text
    assert _cached(opened, ["id0", "id1"]) == {"id0", "id1"}


def test_rows_reach_the_disk_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "FLUSH_SECONDS", 0.2)
    opened = FeatureCache(tmp_path, 4)
    for number in range(2):
        opened.add(f"id{number}", Row(np.zeros(4, np.float32), 1.0, 8_000))
        # Nothing is added any more: the next song may take a minute.
        until(lambda count=number: len(list(tmp_path.glob("*.parquet"))) > count)
    assert _cached(FeatureCache(tmp_path, 4), ["id0", "id1"]) == {"id0", "id1"}


def test_many_rows_are_written_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "FLUSH_ROWS", 3)
    monkeypatch.setattr(cache_module, "FLUSH_SECONDS", DEADLINE)
    opened = FeatureCache(tmp_path, 4)
    for number in range(3):
        assert not list(tmp_path.glob("*.parquet"))
        opened.add(f"id{number}", Row(np.zeros(4, np.float32), 1.0, 8_000))
    assert _cached(FeatureCache(tmp_path, 4), ["id0", "id1", "id2"]) == {"id0", "id1", "id2"}


def test_many_parts_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_GROUP", 4)
    leftover = tmp_path / "killed.tmp"
    leftover.touch()
    os.utime(leftover, (0, 0))
    rows = {f"id{i}": Row(np.full(4, i, np.float32), float(i), 8_000) for i in range(6)}
    for _ in range(2):  # the second time round, every song is there twice
        for song, row in rows.items():
            with FeatureCache(tmp_path, 4) as opened:
                opened.add(song, row)
    assert not leftover.exists()
    assert len(list(tmp_path.iterdir())) == 12
    monkeypatch.setattr(cache_module, "MOST_PARTS", 12)
    with FeatureCache(tmp_path, 4) as opened:
        opened.add("id0", rows["id0"])
    assert len(list(tmp_path.iterdir())) == 1
    wanted = {song: at for at, song in enumerate([*rows, "other"])}
    found = list(FeatureCache(tmp_path, 4).find(wanted))
    assert [list(part.at) for part in found] == [[0, 1, 2, 3], [4, 5]]
    features = np.concatenate([part.features for part in found])
    np.testing.assert_array_equal(features, np.stack([row.features for row in rows.values()]))
    assert [duration for part in found for duration in part.duration] == list(range(6))
    assert {rate for part in found for rate in part.sample_rate} == {8_000}
    # A large part isn't copied again.
    monkeypatch.setattr(cache_module, "MOST_PARTS", 0)
    monkeypatch.setattr(cache_module, "SMALL_PART", 1)
    [before] = tmp_path.iterdir()
    with FeatureCache(tmp_path, 4) as opened:
        opened.add("other", rows["id0"])
    assert before.exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_tidying_while_another_run_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row(np.ones(4, np.float32), 1.0, 8_000)
    for number in range(3):
        with FeatureCache(tmp_path, 4) as opened:
            opened.add(f"id{number}", row)
    ids = {f"id{number}": number for number in range(4)}
    reading = FeatureCache(tmp_path, 4).find(ids)
    found = list(next(reading).at)
    monkeypatch.setattr(cache_module, "MOST_PARTS", 1)
    with FeatureCache(tmp_path, 4) as other:
        other.add("id3", row)
    assert len(list(tmp_path.glob("*.parquet"))) == 1  # the other two it knew of are gone
    found += [at for rows in reading for at in rows.at]
    assert set(found) == {0, 1, 2, 3}


def test_a_full_disk_leaves_parts_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row = Row(np.ones(4, np.float32), 1.0, 8_000)
    real = FeatureCache._write

    def full(self: FeatureCache, tables: object) -> None:
        if not isinstance(tables, list):  # many parts, to be made one
            raise OSError(errno.ENOSPC, "full")
        real(self, tables)

    monkeypatch.setattr(cache_module, "MOST_PARTS", 1)
    monkeypatch.setattr(FeatureCache, "_write", full)
    for number in range(3):
        with FeatureCache(tmp_path, 4) as opened:
            opened.add(f"id{number}", row)
    assert "can't be tidied: No space left" in caplog.text
    ids = [f"id{number}" for number in range(3)]
    assert _cached(FeatureCache(tmp_path, 4), ids) == set(ids)


def test_a_large_table_lies_in_a_file_without_name(
    songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = songs[0][1].with_name("text.mp3")
    text.write_text("no music")
    small = extract(songs, cache)
    monkeypatch.setattr(table_module, "IN_MEMORY", 0)
    monkeypatch.setattr(table_module, "_CHUNK", 2)
    large = extract([("text", text), *songs], cache)  # a gap to be closed
    assert large.cached == 5
    np.testing.assert_array_equal(large.features, small.features)
    np.testing.assert_array_equal(large.duration, small.duration)
    assert isinstance(large.features.base, np.ndarray)
    large.features[0] = 0.0  # it may be written to, and nobody else sees it
    np.testing.assert_array_equal(extract(songs, cache).features, small.features)
    assert all(path.suffix == ".parquet" for path in (cache / "features").glob("*/*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_no_room_for_a_large_table(
    songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "IN_MEMORY", 0)
    full = Path("/dev/full").open("wb")  # noqa: SIM115 - it is closed by who gets it
    monkeypatch.setattr(table_module.tempfile, "TemporaryFile", lambda dir: full)
    with pytest.raises(KgError, match=r"feature table .*No space left on device.*make room"):
        extract(songs[:1], cache)


# Fills a cache with rows of its own making, then reads them as `extract` does.
MANY = """
import resource, sys
from pathlib import Path
import numpy as np
import pyarrow, pyarrow.parquet
from kg.audio.cache import FeatureCache, Row
from kg.audio.extract import extract
from kg.audio.features import columns, feature_version

count, cache = int(sys.argv[1]), Path(sys.argv[2])
folder = cache / "features" / feature_version()
width = len(columns())


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


with FeatureCache(folder, width) as opened:
    opened.add("warm", Row(np.zeros(width, np.float32), 1.0, 1))
songs = [(f"{number:032x}", Path("song")) for number in range(count)]
rng = np.random.default_rng(0)
start = peak()
with FeatureCache(folder, width) as opened:
    for number, (song, _) in enumerate(songs):
        features = rng.random(width, np.float32)  # as hard to compress as real ones
        features[0] = number
        opened.add(song, Row(features, number, 8_000))
written = peak()
result = extract(songs, cache)
read = peak()  # before the mapped table is looked at
assert result.cached == count and not result.rejected
assert (result.duration == np.arange(count)).all()
assert (result.features[:, 0] == np.arange(count)).all()
print(width, round(start), round(written - start), round(read - start))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_memory_does_not_grow_with_the_library(tmp_path: Path) -> None:
    count = 120_000
    run = subprocess.run(
        [sys.executable, "-c", MANY, str(count), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    width, _, written, read = map(int, run.stdout.split())
    table = 4 * width * count / 2**20
    print(f"table {table:.0f} MB; peak grew by {written} MB writing, {read} MB with reading")
    assert table > 180
    assert read < 180  # holding all rows, twice on the way, takes 470


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
    until(lambda: opened._failure is not None)
    with pytest.raises(KgError, match="No space left on device"):
        opened.add("id", Row(np.zeros(4, np.float32), 1.0, 8_000))
    assert not list(tmp_path.glob("*.parquet"))


def test_no_workers(songs: Songs, cache: Path) -> None:
    with pytest.raises(WrongUsageError):
        extract(songs, cache, workers=0)
    with pytest.raises(WrongUsageError, match="Dask"):
        extract(songs, cache, workers=1, dask="tcp://localhost:8786")
