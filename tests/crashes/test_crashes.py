"""kill -9 of the client, of the embedded server and of both, while graphs are written.

After the same command ran again, the graph is the one of an undisturbed run. CI kills 10 times;
`pytest -m full tests/crashes` kills 50 times for each victim, which takes hours on a busy machine
(KG_KILLS changes the number).
"""

import random
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from pathlib import Path
from typing import NoReturn

import pytest

from kg import Library
from kg.audio.extract import extract
from kg.audio.synth import GENRES, write_song
from kg.errors import GraphError
from kg.graph import embedded
from kg.graph.connection import Connection
from kg.learning.training import TrainOptions
from kg.settings import Settings
from kg.sources.folder import scan
from tests.conftest import ENVIRONMENT, empty, environment_of
from tests.crashes.harness import (
    Ended,
    Victim,
    check_whole,
    contents,
    differences,
    run,
    run_and_kill,
)

SEED = 6
FULL_KILLS = int(ENVIRONMENT.get("KG_KILLS") or 50)
FIRST_GUESS_SECONDS = 3.0  # how long a command takes, until one has been watched
SOONEST_SECONDS = 0.01  # by then no command has got anywhere
ALL: tuple[Victim, ...] = ("client", "server", "both")
# On a real Neo4j only the client is killed: that server is everybody's.
VICTIMS: dict[str, tuple[Victim, ...]] = {"embedded": ALL, "neo4j": ("client",)}


@dataclass
class Scene:
    """A library of its own, and what is known of the commands that are killed in it."""

    settings: Settings
    environment: dict[str, str]
    victims: Sequence[Victim]
    new_songs: Path
    rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    seconds: dict[str, float] = field(default_factory=dict)
    killed: int = 0

    def kill_and_repeat(
        self,
        name: str,
        arguments: Sequence[str | Path],
        victim: Victim,
        moment: float,
        prepare: Callable[[Connection], object] = lambda connection: None,
    ) -> list[str]:
        """Kill a command at a moment (0 to 1) of its time, run it again; the graph it left.

        One that was done by then, as the machine was busier before, is prepared for and killed
        anew, in half the time.
        """
        after = moment * self.seconds.get(name, FIRST_GUESS_SECONDS)
        while True:
            with Connection.open(self.settings) as connection:
                prepare(connection)
            ended, hit = run_and_kill(
                self.environment, arguments, self.settings.server_dir, victim, after
            )
            if hit or after < SOONEST_SECONDS:
                break
            after /= 2
        self.killed += hit
        told = f"{name}, {victim} after {after:.2f} s ({ended.code}: {ended.err.strip()[-300:]!r})"
        print(("killed" if hit else "too late:"), told)
        if victim == "server":
            assert ended.code in (0, 1), told
        with Connection.open(self.settings) as connection:
            check_whole(connection)
            again = run(self.environment, *arguments)
            assert finished(again), f"{told}; then {again.code}: {again.err}"
            self.seconds[name] = again.seconds
            check_whole(connection)
            return contents(connection)


def finished(ended: Ended) -> bool:
    return ended.code == 0 or "is already in the library" in ended.err


@pytest.fixture(scope="session")
def new_songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    for number in range(10):
        path = folder / f"{number}.flac"
        write_song(path, GENRES[number % 4], seconds=2.0, seed=80 + number, artist=20 + number)
    return folder


@pytest.fixture(params=sorted(VICTIMS))
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, heard: Path, new_songs: Path
) -> Iterator[Scene]:
    """A cold home with a server of its own, or one on a real Neo4j; all songs are heard."""
    home = tmp_path / "home"
    settings = Settings(kg_home=home)
    if request.param == "neo4j":
        address = request.getfixturevalue("real_neo4j")
        settings = Settings(
            kg_home=home,
            neo4j_uri=address.uri,
            neo4j_username=address.username,
            neo4j_password=address.password,
            neo4j_database=address.database,
        )
    shutil.copytree(heard, settings.cache_dir)
    songs = [(r.id, r.path) for r in scan([new_songs], "none").records if r.path is not None]
    extract(songs, settings.cache_dir)
    yield Scene(settings, environment_of(settings), VICTIMS[request.param], new_songs)
    if settings.embedded:
        embedded.kill(settings.server_dir)


def kill_ingests(scene: Scene, music: Path, victims: Sequence[Victim]) -> None:
    arguments = ("ingest", music, "--genres-from", "folder")
    with Library(scene.settings) as library:
        empty(library.connection)
        library.ingest(music, genres_from="folder")
        expected = contents(library.connection)
    for number, victim in enumerate(victims):
        moment = (number + scene.rng.random()) / len(victims)
        found = scene.kill_and_repeat("ingest", arguments, victim, moment, empty)
        assert not differences(found, expected)


def kill_write_backs(scene: Scene, victims: Sequence[Victim]) -> None:
    """Two models take turns: whoever speaks at the end must speak of every song."""
    expected = {}
    with Library(scene.settings) as library:
        models = [library.train(TrainOptions(epochs=3, seed=s)).model.id for s in (0, 1)]
        for model in models:
            library.use_model(model)
            expected[model] = contents(library.connection)
    for number, (victim, model) in enumerate(zip(victims, cycle(models), strict=False)):
        moment = (number + scene.rng.random()) / len(victims)
        arguments = ("models", "use", model)
        found = scene.kill_and_repeat("use", arguments, victim, moment)
        assert not differences(found, expected[model])


FORGET = "MATCH (s:Song) WHERE s.id IN $ids DETACH DELETE s"


def kill_adds(scene: Scene, victims: Sequence[Victim]) -> None:
    with Library(scene.settings) as library:
        report = library.add(scene.new_songs)
        assert report.without_model is None
        ids = [song.id for song in report.added]
        assert len(ids) == 10
        expected = contents(library.connection)

    def forget(connection: Connection) -> None:
        connection.write(lambda tx: tx.run(FORGET, ids=ids).consume())

    for number, victim in enumerate(victims):
        moment = (number + scene.rng.random()) / len(victims)
        found = scene.kill_and_repeat("add", ("add", scene.new_songs), victim, moment, forget)
        assert not differences(found, expected)


def kill(scene: Scene, music: Path, ingests: int, write_backs: int, adds: int) -> None:
    victims = cycle(scene.victims)
    kill_ingests(scene, music, list(islice(victims, ingests)))
    kill_write_backs(scene, list(islice(victims, write_backs)))
    kill_adds(scene, list(islice(victims, adds)))
    kills = ingests + write_backs + adds
    print(f"{scene.killed} of {kills} kills hit a running command")
    assert scene.killed == kills


@pytest.mark.slow
def test_some_kills(scene: Scene, music: Path) -> None:
    each = 2 if scene.settings.embedded else 1
    kill(scene, music, each, each, each)


@pytest.mark.slow
@pytest.mark.full
def test_many_kills(scene: Scene, music: Path) -> None:
    kills = FULL_KILLS * len(scene.victims)
    kill(scene, music, kills - 2 * (kills // 3), kills // 3, kills // 3)


WRITE_PAIR = "CREATE (a:Song {id: $a})-[:SIMILAR_TO {weight: 1.0}]->(b:Song {id: $b})"


def write_pairs(
    connection: Connection, acknowledged: list[str], begun: Callable[[], None]
) -> NoReturn:
    for number in count():
        if number == 1:
            begun()
        name = secrets.token_hex(8)
        ends = {"a": f"{name}a", "b": f"{name}b"}
        connection.write_once(lambda tx, ends=ends: tx.run(WRITE_PAIR, ends).consume())
        acknowledged.append(name)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, pytest.param(FULL_KILLS, marks=pytest.mark.full)])
def test_nothing_acknowledged_is_lost(tmp_path: Path, kills: int) -> None:
    """The server dies while transactions of two songs and a relationship go in, one by one."""
    settings = Settings(kg_home=tmp_path / "home")
    settings.make_home()
    rng = random.Random(SEED)
    acknowledged: list[str] = []
    for _ in range(kills):
        with Connection.open(settings) as connection:
            killer = threading.Timer(
                rng.uniform(0.2, 1.5), embedded.kill, args=[settings.server_dir]
            )
            with pytest.raises(GraphError, match="stopped answering"):
                write_pairs(connection, acknowledged, begun=killer.start)
            killer.join()
    with Connection.open(settings) as connection:
        pairs = "MATCH (a:Song)-[:SIMILAR_TO]->(b:Song) RETURN a.id, b.id"
        found = connection.ask(pairs).rows
        assert all(a[:-1] == b[:-1] for a, b in found)
        assert set(acknowledged) <= {a[:-1] for a, _ in found}
        # Nobody said whether the last one before each kill is in: both is right.
        assert len(found) <= len(acknowledged) + kills
        nodes = connection.ask("MATCH (s:Song) RETURN count(s)").rows[0][0]
        assert nodes == 2 * len(found)
    assert acknowledged
