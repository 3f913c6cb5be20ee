"""Real files, the real observer, both servers: what arrives, moves or goes is followed."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.errors import KgError, NotReadyError, WrongUsageError
from kg.graph import embedded
from kg.intake.audio import AddReport
from kg.progress import SILENT
from kg.settings import Settings
from kg.watching import follower, watch
from kg.watching.events import WatchEvent
from kg.watching.eyes import Eyes
from kg.watching.settling import Patience
from tests.waiting import DEADLINE, until

# Short where a test waits for it to pass, and longer than any machine stalls where it must not:
# between two files of a folder that goes, or while a file is copied.
PATIENCE = Patience(quiet=0.3, stalled=DEADLINE, doubtful=DEADLINE, gone=1.0, arriving=60)
HASTY = replace(PATIENCE, doubtful=1.5)


class Ready:
    """A progress that knows when the watch is on."""

    def __init__(self) -> None:
        self.stage = SILENT.stage
        self.said: list[str] = []
        self.on = threading.Event()

    def say(self, message: str) -> None:
        self.said.append(message)
        if message.startswith("Watching "):
            self.on.set()


class Watched:
    """A watch in a thread of its own, with a library of its own."""

    def __init__(
        self,
        settings: Settings,
        *folders: Path,
        poll: bool = False,
        keep: bool = False,
        patience: Patience = PATIENCE,
    ) -> None:
        self.events: list[WatchEvent] = []
        self.progress = Ready()
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._settings = settings
        self._options = {"poll": poll, "keep": keep, "patience": patience}
        self._thread = threading.Thread(target=self._run, args=(folders,))
        self._thread.start()
        self.until(lambda: self.progress.on.is_set())

    def _run(self, folders: tuple[Path, ...]) -> None:
        try:
            with Library(self._settings, self.progress) as library:
                for event in library.watch(folders, stop=self._stop, **self._options):
                    self.events.append(event)
        except BaseException as error:  # noqa: BLE001 - raised again by the test's thread
            self._error = error

    def until(self, done: Callable[[], bool]) -> None:
        def is_done() -> bool:
            assert self._error is None, self._error
            return done()

        until(is_done, f"other events came: {self.events}")

    def next(self, *what: str) -> list[WatchEvent]:
        """The next events, which are these in this order of kinds."""
        self.until(lambda: len(self.events) >= len(what))
        found, self.events = self.events[: len(what)], self.events[len(what) :]
        assert sorted(event.what for event in found) == sorted(what), found
        return found

    def nothing(self, seconds: float) -> None:
        """For so long nothing happens."""
        time.sleep(seconds)
        assert self.events == []

    def nothing_but(self, what: str, *, seconds: float) -> None:
        """For so long nothing else happens."""
        time.sleep(seconds)
        assert {event.what for event in self.events} <= {what}

    def close(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        if error[0] is None:
            assert self._error is None, self._error


@pytest.fixture
def mine(music: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    shutil.copytree(music, folder)
    return folder


@pytest.fixture
def ready(library: Library, mine: Path) -> Library:
    """A library of the songs in `mine`."""
    library.ingest(mine, genres_from="folder")
    return library


def new_song(path: Path, seed: int = 31) -> Path:
    return write_song(path, GENRES[0], seconds=2.0, seed=seed, artist=7)


def elsewhere(folder: Path, seed: int = 31) -> Path:
    """A song in a folder that nobody watches."""
    return new_song(folder / f"new-{seed}.flac", seed)


def paths(library: Library) -> dict[str, list[str]]:
    text = "MATCH (s:Song) RETURN s.id, s.path, s.paths"
    rows = library.ask(text).rows
    assert all(path == places[0] for _, path, places in rows)
    return {id: places for id, _, places in rows}


def test_a_song_arrives_moves_is_copied_changes_and_goes(
    ready: Library, mine: Path, tmp_path: Path
) -> None:
    before = paths(ready)
    with Watched(ready.settings, mine) as watched:
        song = shutil.copy(elsewhere(tmp_path), mine / "new.flac")
        (added,) = watched.next("added")
        assert added.path == song
        assert added.id is not None
        assert len(before) == 24
        assert paths(ready)[added.id] == [str(song)]
        links = ready.ask(
            "MATCH (s:Song {id: $id})-[r]->() RETURN type(r), count(r)", {"id": added.id}
        ).rows
        assert dict(links) == {"HAS_FEATURE": 7, "SIMILAR_TO": 10, "BY": 1, "ON": 1}
        assert any("no model yet" in line for line in watched.progress.said)

        renamed = song.rename(mine / GENRES[1] / "renamed.flac")
        (moved,) = watched.next("moved")
        assert (moved.id, moved.before, moved.path) == (added.id, song, renamed)
        assert paths(ready)[added.id] == [str(renamed)]
        assert ready.ask(
            "MATCH (s:Song {id: $id})-[r]->() RETURN type(r), count(r)", {"id": added.id}
        ).rows == links  # fmt: skip

        copy = shutil.copy(renamed, mine / "copy.flac")
        (copied,) = watched.next("copied")
        assert (copied.id, copied.path) == (added.id, copy)
        assert paths(ready)[added.id] == sorted([str(copy), str(renamed)])
        renamed.unlink()
        (gone,) = watched.next("copy gone")
        assert (gone.id, gone.path) == (added.id, renamed)
        assert paths(ready)[added.id] == [str(copy)]

        shutil.copy(elsewhere(tmp_path, 32), copy)  # in its place
        other, old = watched.next("added", "removed")
        assert (other.path, old.id) == (copy, added.id)
        assert other.id is not None
        assert added.id not in paths(ready)
        copy.unlink()
        (removed,) = watched.next("removed")
        assert removed.id == other.id
        assert paths(ready) == before


def test_a_folder_is_renamed_moved_in_and_moved_to_another_disk(
    ready: Library, mine: Path, tmp_path: Path
) -> None:
    before = paths(ready)
    folder = tmp_path / "album"
    for number in range(3):
        new_song(folder / "cd 1" / f"{number}.flac", 50 + number)
    with Watched(ready.settings, mine) as watched:
        folder.rename(mine / "album")
        added = {event.id for event in watched.next(*["added"] * 3)}
        (mine / "album").rename(mine / "renamed")
        events = watched.next(*["moved"] * 3)
        assert {event.id for event in events} == added
        assert {event.path for event in events} == {
            mine / "renamed" / "cd 1" / f"{number}.flac" for number in range(3)
        }
        # Seen as files that come, and then files that go.
        shutil.copytree(mine / "renamed", mine / "other disk")
        shutil.rmtree(mine / "renamed")
        last = ("moved", "copy gone")  # as it happens to see them
        watched.until(lambda: sum(event.what in last for event in watched.events) == 3)
        assert {event.what for event in watched.events} <= {"copied", *last}
        assert all("other disk" in at for id, (at, *_) in paths(ready).items() if id in added)
        watched.events.clear()
        (mine / "other disk").rename(tmp_path / "away")
        assert {event.id for event in watched.next(*["removed"] * 3)} == added
        assert paths(ready) == before


def test_half_copied_files_are_waited_for(ready: Library, mine: Path, tmp_path: Path) -> None:
    content = elsewhere(tmp_path).read_bytes()
    with Watched(ready.settings, mine, patience=replace(PATIENCE, quiet=1.0)) as watched:
        with (mine / "whole.flac").open("wb") as file:
            file.write(content[: len(content) // 2])
            file.flush()
            watched.nothing(2.5)  # it stands still, but nobody has closed it
            file.write(content[len(content) // 2 :])
        (added,) = watched.next("added")
        assert added.path == mine / "whole.flac"

        content = elsewhere(tmp_path, 33).read_bytes()
        late = mine / "late.flac"
        late.write_bytes(content[:100])  # closed, but nothing that could be read
        watched.until(lambda: ready.settings.rejects_file.exists())
        watched.nothing(1.5)
        late.write_bytes(content)
        (added,) = watched.next("added")
        assert added.path == late

        content = elsewhere(tmp_path, 34).read_bytes()
        (mine / ".a.flac.Xy12").write_bytes(content)  # as rsync does it
        (mine / "b.flac.part").write_bytes(content)  # and a browser
        watched.nothing(2)
        (mine / ".a.flac.Xy12").rename(mine / "a.flac")
        (added,) = watched.next("added")
        assert added.path == mine / "a.flac"
        (mine / "b.flac.part").rename(mine / "b.flac")
        (copied,) = watched.next("copied")
        assert copied.path == mine / "b.flac"


def test_files_that_are_no_songs_are_named_once_until_they_are_mended(
    ready: Library, mine: Path, tmp_path: Path
) -> None:
    with Watched(ready.settings, mine, patience=HASTY) as watched:
        (mine / "empty.mp3").touch()
        (mine / "text.mp3").write_text("no song, " * 500)
        (mine / "cover.jpg").write_text("not looked at")
        left_out = watched.next("left out", "left out")
        assert {event.path for event in left_out} == {mine / "empty.mp3", mine / "text.mp3"}
        assert all(event.reason for event in left_out)
        assert "empty.mp3\t" in ready.settings.rejects_file.read_text()
        elsewhere(tmp_path).replace(mine / "empty.mp3")  # at once: there is little patience
        watched.next("added")
        assert "empty.mp3\t" not in ready.settings.rejects_file.read_text()
        (mine / "text.mp3").unlink()
        watched.nothing(1)

        if os.geteuid() != 0:  # root may read everything
            locked = Path(shutil.copy(elsewhere(tmp_path, 40), tmp_path / "locked.flac"))
            locked.chmod(0)
            locked.rename(mine / "locked.flac")
            watched.next("left out")
            (mine / "locked.flac").chmod(0o600)
            watched.next("added")


def test_a_restart_catches_up_and_reads_only_what_is_new(
    ready: Library, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = follower.read_id
    monkeypatch.setattr(follower, "read_id", lambda path: (read.append(path), real(path))[1])
    old = (mine / GENRES[0]).joinpath
    bad = mine / "bad.mp3"
    bad.write_text("no song")
    os.utime(bad, (1e9, 1e9))
    with Watched(ready.settings, mine) as watched:
        watched.next("left out")
        watched.until(lambda: len(set(read)) == 25)
    before = paths(ready)
    read.clear()
    with Watched(ready.settings, mine) as watched:
        watched.nothing(1.5)
    assert read == []

    gone = old(f"{GENRES[0]}-0.flac")
    (gone_id,) = [id for id, at in before.items() if at == [str(gone)]]
    gone.unlink()
    (mine / GENRES[1]).rename(mine / "renamed")
    new = shutil.copy(elsewhere(tmp_path), mine / "new.flac")
    changed = old(f"{GENRES[0]}-1.flac")
    shutil.copy(elsewhere(tmp_path, 32), changed)
    with Watched(ready.settings, mine) as watched:
        events = watched.next(*["added"] * 2, *["moved"] * 6, *["removed"] * 2)
        assert {e.path for e in events if e.what == "added"} == {new, changed}
        assert gone_id in {e.id for e in events if e.what == "removed"}
        watched.nothing(1)
    renamed = [str(song) for song in (mine / "renamed").iterdir()]
    assert sorted(read) == sorted([str(new), str(changed), *renamed])
    after = paths(ready)
    assert len(after) == 24
    assert sum("renamed" in at[0] for at in after.values()) == 6
    assert all(id in before for id, at in after.items() if "renamed" in at[0])


def test_a_song_that_nobody_may_read_stays(
    ready: Library, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = mine / GENRES[0] / f"{GENRES[0]}-0.flac"
    before = paths(ready)
    closed: set[str] = set()
    real = follower.read_id

    def read(path: str) -> tuple[str | None, str | None]:
        return (None, "no permission") if path in closed else real(path)

    monkeypatch.setattr(follower, "read_id", read)
    with Watched(ready.settings, mine) as watched:
        closed.add(str(song))
        os.utime(song, (1e9, 1e9))
        (out,) = watched.next("left out")
        assert out.path == song
        watched.nothing(1.5)
    assert paths(ready) == before


def test_a_read_that_fails_once_takes_no_song_along(
    ready: Library, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = mine / GENRES[0] / f"{GENRES[0]}-0.flac"
    before = paths(ready)
    failing = [str(song)]
    real = follower.read_id

    def read(path: str) -> tuple[str | None, str | None]:
        if path in failing:
            failing.remove(path)
            return None, "a share that stumbled"
        return real(path)

    with Watched(ready.settings, mine) as watched:
        monkeypatch.setattr(follower, "read_id", read)
        os.utime(song, (1e9, 1e9))
        watched.until(lambda: not failing)
        watched.nothing_but("left out", seconds=1.5)
    assert paths(ready) == before


def test_other_content_at_a_path_keeps_what_its_owner_said(
    ready: Library, mine: Path, tmp_path: Path
) -> None:
    song = mine / GENRES[0] / f"{GENRES[0]}-0.flac"
    with Watched(ready.settings, mine) as watched:
        shutil.copy(elsewhere(tmp_path, 32), song)
        added, removed = sorted(watched.next("added", "removed"), key=lambda event: event.what)
    asked = "MATCH (s:Song {id: $id})-[r:IN_GENRE]->(g) RETURN g.name, r.source"
    assert ready.ask(asked, {"id": added.id}).rows == [[GENRES[0], "folder"]]
    assert ready.ask(asked, {"id": removed.id}).rows == []


def test_a_folder_that_vanishes_takes_nothing_along(
    ready: Library, mine: Path, tmp_path: Path
) -> None:
    before = paths(ready)
    with Watched(ready.settings, mine) as watched:
        watched.until(lambda: (ready.settings.watch_dir).is_dir())
        away = mine.rename(tmp_path / "away")
        (waiting,) = watched.next("waiting")
        assert waiting.path == mine
        watched.nothing(2)
        mine.mkdir()  # as where the disk was mounted
        on, kept = watched.next("going on", "kept")
        assert on.path == kept.path == mine
        assert "24 songs" in (kept.reason or "")
        assert paths(ready) == before
        mine.rmdir()
        watched.next("waiting")
        away.rename(mine)
        watched.next("going on")
        new = shutil.copy(elsewhere(tmp_path), mine / "new.flac")
        (added,) = watched.next("added")
        assert added.path == new
        assert paths(ready).keys() == {*before, added.id}


def test_many_songs_do_not_go_at_once_and_none_with_keep(
    ready: Library, mine: Path, tmp_path: Path
) -> None:
    before = paths(ready)
    # Three folders go one after the other, and count as one.
    with Watched(ready.settings, mine, patience=replace(PATIENCE, gone=5.0)) as watched:
        for genre in GENRES[:3]:
            (mine / genre).rename(tmp_path / genre)
        (kept,) = watched.next("kept")
        assert "18 of 24 songs" in (kept.reason or "")
        assert paths(ready) == before
        for genre in GENRES[:3]:
            (tmp_path / genre).rename(mine / genre)
        watched.nothing(1.5)
        shutil.rmtree(mine / GENRES[0])
        watched.next(*["removed"] * 6)
    with Watched(ready.settings, mine, keep=True) as watched:
        lost = mine / GENRES[1] / f"{GENRES[1]}-0.flac"
        lost.unlink()
        (kept,) = watched.next("kept")
        assert kept.path == lost
    assert len(paths(ready)) == 18


def test_many_songs_at_once_are_added_in_few_batches_while_another_command_takes_them_in(
    ready: Library, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    add = Library.add

    def counted(self: Library, songs: Sequence[Path], **options: bool) -> AddReport:
        sizes.append(len(songs))
        return add(self, songs, **options)

    monkeypatch.setattr(Library, "add", counted)
    monkeypatch.setattr(watch, "MOST", 16)
    folder = tmp_path / "many"
    for number in range(40):
        write_song(folder / f"{number}.flac", GENRES[1], seconds=0.5, seed=number, artist=number)
    with Watched(ready.settings, mine) as watched:
        folder.rename(mine / "many")
        assert len({event.id for event in watched.next(*["added"] * 40)}) == 40
        assert sum(sizes) == 40
        assert max(sizes) <= 16
        assert len(sizes) <= 8
        # Whoever is first, each song comes once.
        both = tmp_path / "both"
        for number in range(3):
            new_song(both / f"{number}.flac", 70 + number)
        both.rename(mine / "both")
        ready.ingest(mine / "both", genres_from="none")
        watched.until(lambda: sum(sizes) >= 40 and len(paths(ready)) == 67)
        new_song(mine / "last.flac", 80)
        watched.until(lambda: any(e.title and e.path == mine / "last.flac" for e in watched.events))
        assert {event.what for event in watched.events} == {"added"}
    assert all(len(at) == 1 for at in paths(ready).values())


def test_links_are_followed(ready: Library, mine: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    root.symlink_to(mine)
    (mine / "linked").symlink_to(outside)
    (mine / "loop").symlink_to(mine)
    with Watched(ready.settings, root) as watched:
        # The songs are known by other paths: they are in these folders too.
        watched.next(*["copied"] * 24)
        shutil.copy(elsewhere(tmp_path), outside / "new.flac")
        (added,) = watched.next("added")
        assert added.path == root / "linked" / "new.flac"
        later = tmp_path / "later"
        new_song(later / "a.flac", 44)
        (mine / "also").symlink_to(later)
        (added,) = watched.next("added")
        assert added.path == root / "also" / "a.flac"
        (mine / "file.flac").symlink_to(elsewhere(tmp_path, 45))
        (added,) = watched.next("added")
        (mine / "also").unlink()
        (removed,) = watched.next("removed")
        assert removed.path == root / "also" / "a.flac"
    with Watched(ready.settings, root, outside):
        pass  # one folder by two names is no folder that can't be watched


def test_polling_needs_nobody_who_tells(
    ready: Library, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.3)
    monkeypatch.setattr(watch, "POLL_QUIET", 0.3)
    monkeypatch.setattr(watch, "Eyes", None)
    with Watched(ready.settings, mine, poll=True) as watched:
        # At once: where nobody tells that a file is open, half of one may be taken for a song.
        song = elsewhere(tmp_path).replace(mine / "new.flac")
        (added,) = watched.next("added")
        song.rename(mine / "renamed.flac")
        (moved,) = watched.next("moved")
        assert moved.id == added.id
        (mine / "renamed.flac").unlink()
        watched.next("removed")
        # What is forgotten while its file stays doesn't come back at the next look.
        ready.forget(str(mine / GENRES[0] / f"{GENRES[0]}-0.flac"))
        watched.nothing(2)
        shutil.rmtree(mine / GENRES[1])
        watched.next(*["removed"] * 6)


def test_what_can_not_be_watched(ready: Library, mine: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUsageError, match=r"isn't there"):
        ready.watch(tmp_path / "none")
    with pytest.raises(WrongUsageError, match=r"is a file"):
        ready.watch([mine, elsewhere(tmp_path)])
    with Watched(ready.settings, mine), pytest.raises(KgError, match=r"Another kg watch follows"):
        next(ready.watch(mine))
    with pytest.raises(KgError, match=r"fs.inotify.max_user_watches=.* or use --poll"):
        Eyes([mine], lambda: 1_000_000, {})


def test_there_has_to_be_a_library(library: Library, mine: Path) -> None:
    with pytest.raises(NotReadyError, match=r"kg ingest"):
        library.watch(mine)


@pytest.fixture
def own_server(heard: Path, tmp_path: Path) -> Iterator[Settings]:
    """Settings for an embedded server that a test may kill."""
    settings = Settings(kg_home=tmp_path / "own")
    settings.make_home()
    shutil.copytree(heard, settings.cache_dir)
    yield settings
    embedded.kill(settings.server_dir)


@pytest.mark.slow
def test_a_server_that_dies_is_started_again(
    own_server: Settings, mine: Path, tmp_path: Path
) -> None:
    with Library(own_server) as library:
        library.ingest(mine, genres_from="folder")
    with Watched(own_server, mine) as watched:
        shutil.copy(elsewhere(tmp_path), mine / "new.flac")
        watched.next("added")
        embedded.kill(own_server.server_dir)
        other = shutil.copy(elsewhere(tmp_path, 32), mine / "other.flac")
        waiting, on, added = watched.next("waiting", "going on", "added")
        assert "stopped answering" in (waiting.reason or "")
        assert on.what == "going on"
        assert added.path == other
