"""Vectors of many songs: cached by content, never more in memory than are being heard."""

import threading
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from kg.audio import workers as workers_module
from kg.audio.requests import AnyRequest, Outcome
from kg.audio.workers import Worker
from kg.embeddings import embed as module
from kg.embeddings.ears import Ear, Floats
from kg.embeddings.embed import embed
from kg.errors import KgError
from kg.files import content_id
from tests.audio.sounds import noise, write
from tests.embeddings.ears import Loudness


def songs_in(folder: Path, count: int) -> list[tuple[str, Path]]:
    paths = [
        write(folder / f"{n}.wav", noise(seconds=0.5, seed=n) * (n + 1) / count)
        for n in range(count)
    ]
    return [(content_id(path), path) for path in paths]


def closed_ear() -> Ear:
    pytest.fail("everything is known: no network is to be loaded")


def test_songs_are_heard_once(tmp_path: Path) -> None:
    songs = songs_in(tmp_path, 5)
    found = embed(songs, Loudness.embedding, Loudness, tmp_path / "cache", workers=2)
    assert found.ids == [song for song, _ in songs]
    assert found.rejected == []
    loud = found.vectors[:, 0]
    assert (np.diff(loud) > 0).all()
    np.testing.assert_allclose(found.vectors[:, 1], 0.5, atol=1e-3)

    again = embed(songs[::-1], Loudness.embedding, closed_ear, tmp_path / "cache")
    np.testing.assert_array_equal(again.vectors, found.vectors[::-1])
    # Another excerpt is another thing to hear.
    short = embed(songs, Loudness.embedding, Loudness, tmp_path / "cache", excerpt=0.25)
    np.testing.assert_allclose(short.vectors[:, 1], 0.25, atol=1e-2)


def test_files_that_cannot_be_heard_cost_themselves_alone(tmp_path: Path) -> None:
    songs = songs_in(tmp_path, 3)
    songs[1][1].write_bytes(b"no song")
    found = embed(songs, Loudness.embedding, Loudness, tmp_path / "cache", workers=1)
    assert found.ids == [songs[0][0], songs[2][0]]
    (rejected,) = found.rejected
    assert rejected.path == songs[1][1]

    changed = embed(
        songs[:1],
        Loudness.embedding,
        Loudness,
        tmp_path / "other",
        modified={songs[0][0]: 1},
        workers=1,
    )
    assert changed.ids == []
    assert "changed while" in changed.rejected[0].reason


def test_what_is_slow_the_first_time_costs_no_song(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where a new installation compiles: what is imported takes longer than a song may.
    (tmp_path / "slow").mkdir()
    imported = tmp_path / "imported"
    (tmp_path / "slow" / "soxr.py").write_text(
        "import importlib, sys\n"
        "from pathlib import Path\n"
        f"Path({str(imported)!r}).touch()\n"
        f"sys.path = [entry for entry in sys.path if entry != {str(tmp_path / 'slow')!r}]\n"
        "del sys.modules['soxr']\n"
        "sys.modules['soxr'] = importlib.import_module('soxr')\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "slow")
    ask, asked = workers_module.send_request, []

    def watched(pipe: IO[bytes], request: AnyRequest, patience: float) -> None:
        asked.append(imported.exists())
        ask(pipe, request, patience)

    monkeypatch.setattr(workers_module, "send_request", watched)
    songs = songs_in(tmp_path, 2)
    found = embed(songs, Loudness.embedding, Loudness, tmp_path / "cache", workers=1)
    assert found.rejected == []
    assert asked == [True, True]  # before a song's time begins


@pytest.mark.parametrize("workers", [1, 3])
def test_a_network_that_fails_ends_it_and_keeps_what_was_heard(
    tmp_path: Path, workers: int
) -> None:
    songs = songs_in(tmp_path, 8)

    class Failing(Loudness):
        heard = 0

        def hear(self, song: Floats) -> Floats:
            Failing.heard += 1
            if Failing.heard == 5:
                raise RuntimeError("out of memory")
            return super().hear(song)

    with pytest.raises(RuntimeError, match="out of memory"):
        embed(songs, Loudness.embedding, Failing, tmp_path / "cache", workers=workers)
    calls: list[Floats] = []

    class Counting(Loudness):
        def hear(self, song: Floats) -> Floats:
            calls.append(song)
            return super().hear(song)

    found = embed(songs, Loudness.embedding, Counting, tmp_path / "cache", workers=1)
    assert len(found.ids) == 8
    assert len(calls) < 8


def test_processes_that_cannot_be_started_again_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = songs_in(tmp_path, 40)
    failed = threading.Event()
    perform = Worker.perform
    count = iter(range(1000))

    def failing(self: Worker, request: AnyRequest) -> Outcome:
        if next(count) == 10:
            failed.set()
            raise KgError("can't be started")
        return perform(self, request)

    class Slow(Loudness):
        def hear(self, song: Floats) -> Floats:
            failed.wait(60)
            return super().hear(song)

    monkeypatch.setattr(Worker, "perform", failing)
    with pytest.raises(KgError, match="can't be started"):
        embed(songs, Loudness.embedding, Slow, tmp_path / "cache", workers=4)


def test_decoding_waits_for_a_slow_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    songs = songs_in(tmp_path, 12)
    asked: list[str] = []
    released = threading.Event()

    class Throttle(module._Throttle):
        def __next__(self) -> module.Request:
            request = super().__next__()
            asked.append(request.song)
            if len(asked) == 4:  # as many as one thread's worth
                threading.Timer(1.0, released.set).start()
            return request

    class Slow(Loudness):
        def hear(self, song: Floats) -> Floats:
            if not released.is_set():
                released.wait(60)
                assert len(asked) <= 4
            return super().hear(song)

    monkeypatch.setattr(module, "_Throttle", Throttle)
    found = embed(songs, Loudness.embedding, Slow, tmp_path / "cache", workers=1)
    assert len(found.ids) == len(asked) == 12
