"""Extraction on a real Dask scheduler with worker processes, all on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import distributed
import numpy as np
import pytest

from kg._version import __version__
from kg.audio import on_dask
from kg.audio.cache import FeatureCache
from kg.audio.extract import extract
from kg.audio.features import columns, feature_version
from kg.errors import KgError
from kg.progress import Advance
from tests.audio.sounds import noise, write
from tests.audio.test_extract import ODD, Recorder
from tests.waiting import DEADLINE, until

Songs = list[tuple[str, Path]]
Start = Callable[..., subprocess.Popen[bytes]]


class Cluster:
    """A scheduler, and the processes of its workers."""

    def __init__(self, start: Start, folder: Path) -> None:
        self._start, self._folder = start, folder
        told = folder / "scheduler.json"
        self.scheduler = start(
            *("scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard"),
            *("--scheduler-file", str(told)),
        )
        self.address = ""
        until(lambda: self._read_address(told))

    def _read_address(self, told: Path) -> bool:
        assert self.scheduler.poll() is None
        with suppress(OSError, ValueError):
            self.address = json.loads(told.read_text())["address"]
        return bool(self.address)

    def has(self, workers: int) -> None:
        """Wait until the scheduler knows of so many workers."""
        with distributed.Client(self.address, set_as_default=False) as client:
            until(lambda: len(client.scheduler_info()["workers"]) == workers)

    def add_worker(self, *path: Path) -> subprocess.Popen[bytes]:
        """Start a worker with one thread, which finds modules on `path` first."""
        return self._start(
            *("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard"),
            *("--local-directory", str(self._folder)),
            path=path,
        )


@contextmanager
def started(folder: Path, **environment: str) -> Iterator[Cluster]:
    with ExitStack() as stack:

        def start(*command: str, path: tuple[Path, ...] = ()) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(map(str, path))},
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield Cluster(start, folder)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers, whose decoder hangs on and crashes on files of certain names."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(ODD)
    with started(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.add_worker(site)
        cluster.add_worker(site)
        cluster.has(workers=2)
        yield cluster


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "dask"
    folder.mkdir()
    with started(folder) as cluster:
        yield cluster


@pytest.fixture
def songs(tmp_path: Path) -> Songs:
    return [(f"id{i}", write(tmp_path / f"{i}.wav", noise(1.1, seed=i))) for i in range(12)]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.mark.slow
def test_the_same_table_bit_for_bit(
    cluster: Cluster, songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "AHEAD", 1)  # songs wait until others are done
    silent = write(songs[0][1].with_name("silent.wav"), np.zeros(40_000, np.float32))
    text = songs[0][1].with_name("text.mp3")
    text.write_text("no music")
    odd = "café\udcff.wav"  # a name that is no UTF-8
    given = [
        ("text", text),
        *songs[6:],
        ("gone", text.with_name("gone.mp3")),
        ("silent", silent),
        (songs[0][0], songs[0][1].rename(songs[0][1].with_name(odd))),
        *songs[1:6],
    ]
    progress = Recorder()
    there = extract(given, cache / "dask", dask=cluster.address, progress=progress)
    here = extract(given, cache / "local", workers=2)
    assert there.ids == here.ids
    assert len(there.ids) == 12
    assert there.features.tobytes() == here.features.tobytes()
    assert there.duration.tobytes() == here.duration.tobytes()
    assert there.sample_rate.tobytes() == here.sample_rate.tobytes()
    assert there.rejected == here.rejected
    assert [rejected.path for rejected in there.rejected] == [text, given[7][1], silent]
    assert (progress.done, progress.rejected) == (15, 3)
    # What is cached needs no cluster.
    assert extract(given[1:7], cache / "dask", dask="tcp://localhost:1").cached == 6


@pytest.mark.slow
def test_a_crash_costs_its_file_and_never_the_worker(
    cluster: Cluster, songs: Songs, cache: Path
) -> None:
    crash = songs[0][1].rename(songs[0][1].with_name("crash.wav"))
    result = extract([("crash", crash), *songs[1:]], cache, dask=cluster.address)
    assert result.ids == [song for song, _ in songs[1:]]
    assert [each.reason for each in result.rejected] == ["decoding crashed (SIGSEGV)"]


@pytest.mark.slow
def test_a_folder_that_only_this_machine_sees(
    cluster: Cluster, songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class HerePath(type(songs[0][1])):  # type: ignore[misc]
        """A path that leads elsewhere on the workers."""

        def __reduce__(self) -> tuple[type[Path], tuple[str]]:
            return Path, (f"/elsewhere{self}",)

    here = HerePath(songs[0][1])
    result = extract([("id0", here), songs[1]], cache, dask=cluster.address)
    assert result.ids == ["id1"]
    [rejected] = result.rejected
    assert "not found on the Dask worker tcp://127.0.0.1:" in rejected.reason
    assert "visible on all machines under the same path" in rejected.reason


@pytest.mark.slow
def test_no_song_is_lost_while_workers_are_gone(
    cluster: Cluster, songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([2])
    monkeypatch.setattr(on_dask, "NO_WORKERS_SECONDS", DEADLINE)
    monkeypatch.setattr(on_dask, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(on_dask, "_threads", lambda client, address: next(told, 0))
    assert len(extract(songs, cache, dask=cluster.address).ids) == len(songs)


class Waiter(Recorder):
    """Lets something happen after the first song."""

    def __init__(self, event: Callable[[], None]) -> None:
        super().__init__()
        self._event: Callable[[], None] | None = event

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        with super().stage(name, total) as count:

            def advance(steps: int, rejected: int = 0) -> None:
                count(steps, rejected)
                if steps and self._event is not None:
                    event, self._event = self._event, None
                    event()

            yield advance


@pytest.mark.slow
def test_scheduler_lost_on_the_way(own_cluster: Cluster, songs: Songs, cache: Path) -> None:
    own_cluster.add_worker()
    own_cluster.has(workers=1)
    with pytest.raises(KgError, match=r"scheduler at tcp://.* was lost.*again to go on"):
        extract(songs, cache, dask=own_cluster.address, progress=Waiter(own_cluster.scheduler.kill))
    with FeatureCache(cache / "features" / feature_version(), len(columns())) as opened:
        kept = sum(len(rows.at) for rows in opened.find(dict.fromkeys(dict(songs), 0)))
    assert kept > 0
    result = extract(songs, cache)
    assert (len(result.ids), result.cached) == (len(songs), kept)


@pytest.mark.slow
def test_workers_come_and_go(
    own_cluster: Cluster, songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "NO_WORKERS_SECONDS", 2.0)
    monkeypatch.setattr(on_dask, "_LOOK_SECONDS", 0.2)
    with pytest.raises(KgError, match=r"has no workers: start some with `dask worker tcp"):
        extract(songs, cache, dask=own_cluster.address)
    workers = [own_cluster.add_worker()]
    monkeypatch.setattr(on_dask, "NO_WORKERS_SECONDS", DEADLINE)

    def replace() -> None:
        workers[0].kill()
        workers.append(own_cluster.add_worker())

    result = extract(songs[:6], cache, dask=own_cluster.address, progress=Waiter(replace))
    assert len(result.ids) == 6
    monkeypatch.setattr(on_dask, "NO_WORKERS_SECONDS", 1.0)
    with pytest.raises(KgError, match="has no workers"):
        extract(songs[6:], cache, dask=own_cluster.address, progress=Waiter(workers[1].kill))


@pytest.mark.slow
def test_another_version_on_a_worker(own_cluster: Cluster, songs: Songs, cache: Path) -> None:
    other = cache.parent / "other"
    version = other / "kg" / "_version.py"
    for path in (version.with_name("__init__.py"), version, other / "kg/audio/__init__.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("__version__ = '0.0.1'\n")
    (other / "kg/audio/features.py").write_text("def feature_version(): return 'abc'\n")
    first = own_cluster.add_worker(other)
    own_cluster.has(workers=1)
    begin = rf"worker tcp://\S+ has kg 0.0.1 with features abc, but here it is {__version__}"
    with pytest.raises(KgError, match=begin):
        extract(songs, cache, dask=own_cluster.address)
    first.kill()
    own_cluster.has(workers=0)
    version.write_text("raise ImportError('no such thing')")
    own_cluster.add_worker(other)
    own_cluster.has(workers=1)
    with pytest.raises(KgError, match=r"can't run kg \(ImportError: no such thing\): install kg"):
        extract(songs, cache, dask=own_cluster.address)


@pytest.mark.slow
def test_another_version_on_a_worker_that_came_later(
    cluster: Cluster, songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "_checked", lambda client, address: 2)  # it wasn't there
    monkeypatch.setattr(on_dask, "_versions", lambda: ("9.9", "abc"))
    with pytest.raises(KgError, match=rf"has kg {__version__} with .* but here it is 9.9 with abc"):
        extract(songs, cache, dask=cluster.address)


@pytest.mark.slow
def test_what_fails_on_a_worker_is_told(
    cluster: Cluster, songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no more threads")

    monkeypatch.setattr(on_dask, "_perform_there", broken)
    with pytest.raises(KgError, match=r"failed to read .*wav: RuntimeError: no more threads"):
        extract(songs, cache, dask=cluster.address)


@pytest.mark.slow
def test_a_file_whose_workers_die_is_rejected(
    tmp_path: Path, songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "NO_WORKERS_SECONDS", DEADLINE)
    for folder in ("dask", "site"):
        (tmp_path / folder).mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ODD)
    # The worker hangs on the second file: it certainly has work when it dies.
    songs[1] = ("hang", songs[1][1].rename(songs[1][1].with_name("hang.wav")))
    with started(tmp_path / "dask", DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as cluster:
        first = cluster.add_worker(tmp_path / "site")
        cluster.has(workers=1)

        def replace() -> None:
            first.kill()
            cluster.add_worker()

        result = extract(songs, cache, dask=cluster.address, progress=Waiter(replace))
    assert {rejected.reason for rejected in result.rejected} == {
        "the Dask workers that read it died"
    }
    assert songs[1][1] in {rejected.path for rejected in result.rejected}
    assert len(result.ids) + len(result.rejected) == len(songs)
    assert len(result.ids) >= len(songs) - on_dask.AHEAD


@pytest.mark.slow
def test_interruption_cancels_what_is_queued(
    cluster: Cluster, songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "AHEAD", 6)
    for at in (1, 2):  # both workers are held up
        path = songs[at][1]
        songs[at] = (f"hang{at}", path.rename(path.with_name(f"hang{at}.wav")))
    with pytest.raises(KeyboardInterrupt):
        extract(songs, cache, dask=cluster.address, progress=Recorder(stop_after=1))
    with distributed.Client(cluster.address, set_as_default=False) as client:
        until(lambda: not any(client.processing().values()))
    assert 1 <= extract(songs[:1] + songs[3:], cache, workers=2).cached < 10


@pytest.mark.slow
def test_children_are_ended_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_dask, "_IDLE_SECONDS", DEADLINE)
    crew = on_dask._Crew()
    with crew.worker(None) as first, crew.worker(None) as second:
        assert first is not second
    with crew.worker(None) as again:
        assert again in (first, second)
        monkeypatch.setattr(on_dask, "_IDLE_SECONDS", 0.05)
        with crew.worker(None) as other:
            assert {again, other} == {first, second}
        until(lambda: other.ended)
        assert not again.ended  # in use all the while
    until(lambda: again.ended)


def test_no_scheduler(songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_dask, "CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:1", "nonsense://x", "tcp://127.0.0.1"):
        with pytest.raises(KgError, match="No Dask scheduler answers at"):
            extract(songs, cache, dask=address)


def test_dask_that_is_not_installed(
    songs: Songs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(KgError, match=r"pip install 'kg-music\[dask\]'"):
        extract(songs, cache, dask="tcp://localhost:8786")
