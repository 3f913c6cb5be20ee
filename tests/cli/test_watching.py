"""`kg watch` as a user runs it: a process of its own that is ended by a signal."""

import json
import os
import shutil
import signal
import subprocess
import sysconfig
import threading
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from cli.watching import _words
from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.graph.rows import Guess
from kg.learning.training import TrainOptions
from kg.watching.events import WatchEvent
from tests.cli.conftest import Kg
from tests.waiting import DEADLINE

KG = Path(sysconfig.get_path("scripts")) / "kg"


class Running:
    """A `kg watch` whose lines are read as they come."""

    def __init__(self, environment: dict[str, str], *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [KG, "watch", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lines: dict[str, SimpleQueue[str]] = {}
        self._threads = []
        for name in ("stdout", "stderr"):
            self._lines[name] = SimpleQueue()
            thread = threading.Thread(target=self._read, args=(name,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _read(self, name: str) -> None:
        for line in getattr(self.process, name):
            self._lines[name].put(line)

    def line(self, stream: str = "stdout") -> str:
        try:
            return self._lines[stream].get(timeout=DEADLINE)
        except Empty:
            pytest.fail(f"nothing on {stream}; left: {self.rest()}")

    def rest(self) -> str:
        found = []
        for queue in self._lines.values():
            while not queue.empty():
                found.append(queue.get())
        return "".join(found)

    def end(self, number: int) -> int:
        os.killpg(self.process.pid, number)
        code = self.process.wait(DEADLINE)
        for thread in self._threads:
            thread.join(DEADLINE)
        self.process.stdout.close()  # type: ignore[union-attr]
        self.process.stderr.close()  # type: ignore[union-attr]
        return code


@pytest.fixture
def trained(library: Library, music: Path, tmp_path: Path) -> Path:
    """A folder whose songs a model has learned."""
    folder = tmp_path / "mine"
    shutil.copytree(music, folder)
    library.ingest(folder, genres_from="folder")
    library.train(TrainOptions(epochs=5))
    library.close()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "as_json"), [("SIGINT", False), ("SIGTERM", True)])
def test_a_line_a_song_until_a_signal_ends_it(
    trained: Path, server_environment: dict[str, str], tmp_path: Path, ending: str, as_json: bool
) -> None:
    new = write_song(tmp_path / "new.flac", GENRES[0], seconds=2.0, seed=31, artist=7, title="[é]")
    running = Running(server_environment, trained, *["--json"] * as_json, "--settle", "0.5")
    try:
        assert running.line("stderr").startswith(f"Watching {trained}")
        shutil.copy(new, trained / "new.flac")
        first = running.line()
        (trained / "new.flac").rename(trained / "renamed.flac")
        second = running.line()
    finally:
        code = running.end(getattr(signal, ending))
    assert code == 0
    assert running.rest() == ""
    if as_json:
        added, moved = json.loads(first), json.loads(second)
        assert (added["what"], added["title"]) == ("added", "[é]")
        assert [each["rank"] for each in added["genres"]] == [1, 2, 3]
        assert (moved["before"], moved["path"]) == (
            str(trained / "new.flac"),
            str(trained / "renamed.flac"),
        )
        assert added["id"] == moved["id"]
    else:
        assert first.startswith("added      [é]  ")
        assert first.count("%") == 3
        paths = f"{trained / 'new.flac'} -> {trained / 'renamed.flac'}"
        assert second == f"moved      [é]  {paths}\n"


def test_what_can_not_be_watched_is_said_in_one_line(kg: Kg, tmp_path: Path) -> None:
    printed = kg("watch", tmp_path / "none")
    assert (printed.code, printed.out) == (2, "")
    assert "isn't there: name folders to watch" in printed.err
    printed = kg("watch", tmp_path)
    assert (printed.code, printed.out) == (1, "")
    assert "kg ingest" in printed.err
    assert kg("watch", tmp_path, "--settle", "0").code == 2


def test_how_events_are_told() -> None:
    path, other = Path("/m/a.mp3"), Path("/m/b.mp3")
    guesses = [Guess("jazz", 0.71, 1.0, 1), Guess("blues", 0.12, 0.5, 2)]
    added = WatchEvent("added", path, id="x", title="A", genres=guesses)
    assert _words(added) == ["A", "jazz 71%, blues 12%"]
    assert _words(WatchEvent("moved", other, path, "x", "A")) == ["A", "/m/a.mp3 -> /m/b.mp3"]
    assert _words(WatchEvent("removed", path, title="A")) == ["A", "/m/a.mp3"]
    assert _words(WatchEvent("left out", path, reason="noise")) == ["/m/a.mp3", "noise"]
    assert _words(WatchEvent("waiting", reason="no server")) == ["no server"]
    assert _words(WatchEvent("going on")) == []
