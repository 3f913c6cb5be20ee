"""Several real `kg` commands at once, from one home and from many, on a graph that they share."""

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from kg import Library, status
from kg.audio.synth import GENRES, write_song
from kg.errors import GraphError, RebuiltError
from kg.graph import embedded, turns
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.locks import FileLock
from kg.graph.store import GraphStore
from kg.graph.turns import Turn, is_taken
from kg.learning import training
from kg.learning.training import TrainOptions
from kg.progress import SILENT
from kg.settings import Settings
from kg.writers import home_lock
from tests.conftest import empty, environment_of
from tests.crashes.harness import Command, contents, differences
from tests.test_library import QUICK
from tests.waiting import DEADLINE, until

COUNT = "MATCH (s:Song) RETURN count(s) AS n"


def library_alone(lines: list[str]) -> list[str]:
    """Without what trainings leave: how many there were is no difference between libraries."""
    return [
        _unsaid(line)
        for line in lines
        if not any(name in line for name in ('"Model"', '"TestSplit"', '"PREDICTED_GENRE"'))
    ]


def _unsaid(line: str) -> str:
    """A song's node without what a model said of it."""
    told = json.loads(line)
    if told[0] != ["Song"] or len(told) != 2:
        return line
    said = ("predicted", "doubt", "novelty")
    return json.dumps([told[0], {key: own for key, own in told[1].items() if key not in said}])


def at_once(
    new_settings: Callable[[], Settings],
    server: Settings,
    heard: Path,
    music: Path,
    *,
    writers: int,
    homes: int,
) -> None:
    """Let commands ingest parts of `music` that overlap while others query and one trains."""
    genres = sorted(music.iterdir())
    places = [server, *(new_settings() for _ in range(homes - 1))]
    for place in places:
        shutil.copytree(heard, place.cache_dir)
    with Library(server) as library:
        library.ingest(music, genres_from="folder")
        alone = contents(library.connection)
        empty(library.connection)
    with Library(server) as library:
        library.ingest(genres[:2], genres_from="folder")  # something to ask for and to learn
    environments = [environment_of(place) for place in places]
    commands = []
    for number in range(writers):
        first = number % len(genres)
        part = [genres[first], genres[(first + 1) % len(genres)]]
        environment = environments[number % homes]
        commands.append(Command(environment, "ingest", *part, "--genres-from", "folder"))
    commands.append(Command(environments[-1], "train", "--epochs", "3"))
    queries = [Command(environments[0], "query", COUNT, "--json") for _ in range(2)]
    for query in queries:
        ended = query.wait()
        assert ended.code == 0, ended.err
        assert 12 <= json.loads(ended.out)[0]["n"] <= 24
    for command in commands:
        ended = command.wait()
        assert ended.code == 0, ended.err
        assert "Error" not in ended.err
    with Connection.open(server) as connection:
        together = contents(connection)
        assert not differences(library_alone(together), alone)
        spoken = connection.ask("MATCH (:Song)-[r:PREDICTED_GENRE]->() RETURN DISTINCT r.model")
        assert len(spoken.rows) == 1
        assert not is_taken(connection)


@pytest.mark.slow
def test_few_commands_at_once(
    new_settings: Callable[[], Settings], server: Settings, heard: Path, music: Path
) -> None:
    at_once(new_settings, server, heard, music, writers=3, homes=2)


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("homes", [1, 8])
def test_eight_writers_at_once(
    new_settings: Callable[[], Settings], server: Settings, heard: Path, music: Path, homes: int
) -> None:
    at_once(new_settings, server, heard, music, writers=8, homes=homes)


@contextmanager
def servers_of(home: Path) -> Iterator[set[int]]:
    """Collect the ids of all server processes that work on a home."""
    pids: set[int] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            for process in psutil.process_iter(["pid", "cmdline"]):
                command = process.info["cmdline"] or [""]
                # The shells that start it carry its command line too.
                if (
                    Path(command[0]).name == "java"
                    and f"-Darcadedb.server.rootPath={home / 'server'}" in command
                ):
                    pids.add(process.info["pid"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield pids
    finally:
        over.set()
        watcher.join()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the embedded server needs file locks")
def test_two_commands_on_a_cold_home_share_one_server(tmp_path: Path) -> None:
    settings = Settings(kg_home=tmp_path / "home")
    settings.server_dir.mkdir(parents=True)
    environment = environment_of(settings)
    # As if somebody else used the server: the first to be done isn't the last one out.
    other = FileLock(settings.server_dir / "clients.lock")
    other.share(wait=True)
    try:
        with servers_of(tmp_path / "home") as pids:
            for ended in [one.wait() for one in [Command(environment, "status") for _ in range(2)]]:
                assert ended.code == 0, ended.err
            until(lambda: pids)
        assert pids == {embedded.status(settings.server_dir).pid}
    finally:
        other.release()
        embedded.stop(settings.server_dir)


def test_a_living_command_is_waited_for(
    new_settings: Callable[[], Settings], connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(turns, "DEAD_SECONDS", DEADLINE)
    GraphStore(connection).prepare()
    done: list[str] = []
    waits = Says()

    def later() -> None:
        with Connection.open(new_settings()) as other, Turn(other, "another home", waits):
            done.append("later")

    def renewed() -> bool:
        """Whether it has been silent for less time than it lasts: only then somebody renews it."""
        lasts = time.monotonic() - began
        there = connection.read(turns._look)
        assert there is not None
        return there.idle < lasts

    thread = threading.Thread(target=later)
    with Turn(connection, "this home"):
        began = time.monotonic()
        thread.start()
        until(lambda: waits.said)
        for _ in range(5):  # and it computes on
            until(renewed)
            began = time.monotonic()
        assert is_taken(connection)
        done.append("first")
        connection.write(lambda tx: tx.run("CREATE (:Song {id: 'a'})").consume())
    thread.join()
    assert done == ["first", "later"]
    assert not is_taken(connection)
    assert connection.ask("MATCH (t:Turn) RETURN t").rows == []


class Says:
    """A progress that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.say = self.said.append
        self.stage = SILENT.stage


def test_status_tells_a_command_at_work_from_one_that_was_cut_off(
    server: Settings, connection: Connection, heard: Path, music: Path
) -> None:
    shutil.copytree(heard, server.cache_dir)
    GraphStore(connection).prepare()
    with Library(server) as library:
        with Turn(connection, "another home"):
            assert library.status().busy
            assert library.status().stale == []
        assert library.status().stale == ["The graph is empty: run `kg ingest FOLDER`."]
        library.ingest(music)
        connection.write(lambda tx: tx.run("MATCH (f:FeatureSpace) SET f.state = 'building'"))
        cut_off = "An ingest was cut off: run `kg ingest` again on the same folders."
        assert cut_off in library.status().stale
        with Turn(connection, "another home"):
            assert cut_off not in library.status().stale
            assert library.status().busy
        assert not library.status().busy


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_status_knows_at_once_that_a_command_of_its_home_was_killed(
    server: Settings, connection: Connection
) -> None:
    GraphStore(connection).prepare()
    with Library(server) as library:
        lock = FileLock(server.lock_file)
        lock.take(wait=True)
        with Turn(connection, lock.name()):
            assert library.status().busy
            lock.release()  # as the system does for one that is killed
            assert not library.status().busy
            assert library.status().stale == ["The graph is empty: run `kg ingest FOLDER`."]


def test_status_tells_of_a_command_that_began_while_it_looked(
    server: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    GraphStore(connection).prepare()
    asked: list[bool] = []

    def began(*_: object) -> bool:
        asked.append(True)
        return len(asked) > 1

    monkeypatch.setattr(status, "is_taken", began)
    with Library(server) as library:
        found = library.status()
    assert found.busy
    assert found.stale == []


def test_a_long_write_is_not_disturbed_by_its_own_turn(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "RENEW_SECONDS", 0.1)
    GraphStore(connection).prepare()
    attempts: list[int] = []

    def long(tx: neo4j.ManagedTransaction) -> None:
        attempts.append(1)
        tx.run("CREATE (:Song {id: 'a'})").consume()
        time.sleep(1)

    with Turn(connection, "this home"):
        connection.write(long)
    assert len(attempts) == 1


def test_a_dead_command_is_taken_over_from_and_can_not_write_any_more(
    new_settings: Callable[[], Settings], connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    GraphStore(connection).prepare()
    monkeypatch.setattr(turns, "RENEW_SECONDS", 60.0)  # its machine sleeps
    monkeypatch.setattr(turns, "DEAD_SECONDS", 0.5)
    with (
        Connection.open(new_settings()) as other,
        Turn(connection, "this home"),
        Turn(other, "another home"),
    ):
        with pytest.raises(RebuiltError):
            connection.write(lambda tx: tx.run("CREATE (:Song {id: 'late'})").consume())
        other.write(lambda tx: tx.run("CREATE (:Song {id: 'new'})").consume())
    assert connection.ask("MATCH (s:Song) RETURN s.id").rows == [["new"]]


def test_a_dead_command_of_the_same_home_is_not_waited_for(
    server: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "DEAD_SECONDS", DEADLINE)
    GraphStore(connection).prepare()
    with home_lock(server, SILENT) as home:
        left = Turn(connection, home)
        left._wait()  # and then it was killed
        waits = Says()
        with Turn(connection, home, waits):
            assert waits.said == []


def test_what_was_overtaken_is_done_again(
    library: Library, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command takes over in the middle of an ingest, does all of it, and leaves."""
    write_build, overtaken = GraphStore.write_build, []

    def taken_over(store: GraphStore, *args: object, **options: object) -> None:
        if not overtaken:
            overtaken.append(True)
            store.connection.write_once(lambda tx: tx.run("MATCH (t:Turn) DELETE t").consume())
        write_build(store, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(GraphStore, "write_build", taken_over)
    library.ingest(music)
    assert overtaken
    assert library.status().counts.songs == 24
    assert library.train(QUICK).predicted == 24


def test_a_command_that_is_always_overtaken_says_so(
    library: Library, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken_over(*_: object, **__: object) -> None:
        raise RebuiltError

    monkeypatch.setattr(GraphStore, "write_build", taken_over)
    with pytest.raises(GraphError, match="again and again"):
        library.ingest(music)


def test_a_graph_rebuilt_during_a_training_is_said_and_not_mixed(
    library: Library, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genres = sorted(music.iterdir())
    library.ingest(genres[:3], genres_from="folder")
    fit = training.fit

    def meanwhile(*args: object, **options: object) -> object:
        library.ingest(music, genres_from="folder")
        return fit(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "fit", meanwhile)
    report = library.train(TrainOptions(epochs=3))
    assert report.predicted < 24
    assert report.model.build != library.store.build()
    assert "run `kg train`" in " ".join(library.status().stale)
    songs = (
        "MATCH (s:Song)-[r:PREDICTED_GENRE]->() RETURN count(DISTINCT s), collect(DISTINCT r.model)"
    )
    assert library.ask(songs).rows == [[report.predicted, [report.model.id]]]


def test_songs_added_while_a_training_runs_are_all_there_and_told_later(
    library: Library, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training computes: nobody waits for it, and its predictions are of the songs it knew."""
    library.ingest(music)
    first = library.train(TrainOptions(epochs=3)).model.id
    new = write_song(tmp_path / "new" / "a.flac", GENRES[0], seconds=2.0, seed=70)
    fit, added = training.fit, []

    def meanwhile(*args: object, **options: object) -> object:
        if not added:
            with Library(library.settings) as other:  # another command's
                added.append(other.add(new))
        return fit(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "fit", meanwhile)
    second = library.train(TrainOptions(epochs=3))
    (report,) = added
    assert report.without_model is None
    (song,) = report.added
    told_by = "MATCH (s:Song {id: $id})-[r:PREDICTED_GENRE]->() RETURN DISTINCT r.model"
    assert library.ask(told_by, {"id": song.id}).rows == [[first]]
    assert second.predicted == 24
    status = library.status()
    assert status.counts.songs == 25
    assert status.stale == ["1 song has no prediction of this model: run `kg predict --new`."]
    assert library.predict_new().predicted == 1
    assert library.ask(told_by, {"id": song.id}).rows == [[second.model.id]]
    assert library.status().stale == []


def test_an_add_waits_while_a_training_writes_and_gets_the_new_model(
    library: Library, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.ingest(music)
    new = write_song(tmp_path / "new" / "a.flac", GENRES[0], seconds=2.0, seed=70)
    write, waiting = GraphStore.write_predictions, []

    def slowly(store: GraphStore, *args: object, **options: object) -> None:
        if not waiting:
            waiting.append(Command(environment_of(library.settings), "add", new, "--json"))
            until(lambda: "Waiting" in waiting[0].said() or not waiting[0].runs())
            assert waiting[0].runs()
        write(store, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(GraphStore, "write_predictions", slowly)
    model = library.train(TrainOptions(epochs=3)).model.id
    ended = waiting[0].wait()
    assert ended.code == 0, ended.err
    assert ended.err.count("Waiting for another kg command that works on this graph.") == 1
    assert "Error" not in ended.err
    (song,) = json.loads(ended.out)["added"]
    told_by = "MATCH (s:Song {id: $id})-[r:PREDICTED_GENRE]->() RETURN DISTINCT r.model"
    assert library.ask(told_by, {"id": song["id"]}).rows == [[model]]
    assert library.status().stale == []
    assert library.status().counts.songs == 25


def test_songs_added_by_several_at_once_are_all_there(
    library: Library, music: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    library.train(TrainOptions(epochs=3))
    commands = []
    for number in range(3):
        new = write_song(tmp_path / f"{number}.flac", GENRES[number], seconds=2.0, seed=70 + number)
        commands.append(Command(environment_of(library.settings), "add", new, "--json"))
    for command in commands:
        ended = command.wait()
        assert ended.code == 0, ended.err
        (song,) = json.loads(ended.out)["added"]
        assert len(song["guesses"]) == 3
    assert library.status().counts.songs == 27
    assert library.status().stale == []
