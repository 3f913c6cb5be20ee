"""The version of a graph: written once, migrated from older ones, refused where it is newer."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from kg import Library
from kg.errors import GraphError, KgError
from kg.graph import queries, versions
from kg.graph.connection import Connection
from kg.graph.store import GraphStore
from kg.progress import Advance
from kg.settings import Settings
from tests.conftest import empty
from tests.graph.test_store import KINDS, library, model


class Heard:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        return nullcontext(lambda steps, rejected=0, note=None: None)

    def say(self, message: str) -> None:
        self.said.append(message)


def run(connection: Connection, text: str, **parameters: Any) -> None:
    connection.write(lambda tx: tx.run(text, parameters).consume())


def schemas(connection: Connection) -> list[list[Any]]:
    return connection.ask("MATCH (k:KgSchema) RETURN k.id, k.version").rows


def test_an_empty_database_gets_the_version_of_this_kg(connection: Connection) -> None:
    progress = Heard()
    for _ in range(2):
        GraphStore(connection).prepare(progress)
        assert schemas(connection) == [["kg", versions.VERSION]]
    assert progress.said == []


def test_a_prepared_graph_costs_one_small_read(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    GraphStore(connection).prepare()
    read, reads = connection.read, []

    def counting(*args: Any) -> Any:
        reads.append(args)
        return read(*args)

    def never(*_: Any) -> None:
        raise AssertionError("a prepared graph is written to")

    monkeypatch.setattr(connection, "read", counting)
    monkeypatch.setattr(connection, "write", never)
    GraphStore(connection).prepare()
    assert len(reads) == 1


def as_the_first_kg_wrote_it(connection: Connection) -> None:
    """Songs, features and a model without what later versions added."""
    store = GraphStore(connection)
    store.prepare()
    store.begin_build(KINDS)
    store.write_songs(library())
    store.write_model(model("m", "current"))
    run(connection, "MATCH (k:KgSchema) DELETE k")
    run(connection, "MATCH (f:FeatureSpace) REMOVE f.excerpt, f.builder")
    run(connection, "MATCH (s:Song) REMOVE s.paths, s.albumArtist, s.splitGiven")
    run(connection, "MATCH (m:Model) REMOVE m.labels, m.testSplit")


def test_an_older_graph_is_migrated_in_place(connection: Connection) -> None:
    as_the_first_kg_wrote_it(connection)
    before = connection.ask("MATCH (s:Song) RETURN s.id, s.title, s.path ORDER BY s.id").rows
    progress = Heard()
    store = GraphStore(connection)
    store.prepare(progress)
    assert schemas(connection) == [["kg", versions.VERSION]]
    assert progress.said == [
        f"Migrating the graph from form 0 to {versions.VERSION}, which this kg writes."
    ]
    kinds = store.feature_set()
    assert kinds is not None
    assert kinds.excerpt == 30.0
    assert [(m.id, m.labels, m.test_split) for m in store.read_models()] == [("m", "", "")]
    after = connection.ask("MATCH (s:Song) RETURN s.id, s.title, s.paths[0] ORDER BY s.id").rows
    assert after == before
    store.prepare(progress)
    assert len(progress.said) == 1


@pytest.mark.parametrize(("version", "label"), [(1, "Tag"), (3, "Audit")])
def test_nodes_of_somebody_else_in_an_older_graph(
    connection: Connection, version: int, label: str
) -> None:
    as_the_first_kg_wrote_it(connection)
    run(connection, "MERGE (k:KgSchema {id: 'kg'}) SET k.version = $n", n=version)
    run(connection, f"CREATE (:{label} {{colour: 'red'}})")
    theirs = rf"1 {label} nodes.*would mix with its own.*Nothing was cha"
    with pytest.raises(GraphError, match=theirs):
        GraphStore(connection).prepare()
    assert schemas(connection) == [["kg", version]]
    run(connection, f"MATCH (t:{label}) DELETE t")
    GraphStore(connection).prepare()
    assert schemas(connection) == [["kg", versions.VERSION]]


def test_a_newer_graph_is_refused_and_left_alone(server: Settings, connection: Connection) -> None:
    GraphStore(connection).prepare()
    run(connection, "MATCH (k:KgSchema) SET k.version = $n", n=versions.VERSION + 1)
    with Library(server) as songs:
        for command in (songs.status, songs.train, songs.predict, songs.models, songs.hetero):
            with pytest.raises(GraphError, match=r"by a newer kg .*: upgrade kg\. Nothing"):
                command()
    assert schemas(connection) == [["kg", versions.VERSION + 1]]


def test_features_of_another_kg_are_refused_by_every_command(
    server: Settings, connection: Connection, music: Path, tmp_path: Path
) -> None:
    as_the_first_kg_wrote_it(connection)
    song = next(music.rglob("*.flac"))
    with Library(server) as songs:
        for command in (
            lambda: songs.ingest(music),
            lambda: songs.add(song),
            songs.train,
            songs.predict,
            lambda: songs.evaluate(1),
            lambda: songs.use_model("m"),
            lambda: songs.export(tmp_path / "out"),
        ):
            with pytest.raises(KgError, match=r"holds features of version v1, .* into a new home"):
                command()
        assert any("another version of kg" in line for line in songs.status().stale)
    assert not (tmp_path / "out").exists()


# A made-up chain; each step makes what the next one needs.
CHAIN: versions.Migrations = (
    ((queries.GIVE_PATHS, {}),),
    (("MATCH (s:Song) SET s.first = coalesce(s.first, 0) + $n", {"n": 1}),),
    (("MATCH (s:Song) SET s.second = s.first + 10 REMOVE s.first", {}),),
)


@pytest.fixture
def old(connection: Connection) -> Iterator[Connection]:
    as_the_first_kg_wrote_it(connection)
    yield connection
    empty(connection)


def numbers(connection: Connection) -> list[list[Any]]:
    return connection.ask("MATCH (s:Song) RETURN DISTINCT s.first, s.second").rows


def test_migrations_are_run_in_order_and_once(old: Connection) -> None:
    for _ in range(2):
        versions.prepare(old, migrations=CHAIN)
        assert schemas(old) == [["kg", 3]]
        assert numbers(old) == [[None, 11]]
    with pytest.raises(GraphError, match="its form is 3, this kg knows 2"):
        versions.prepare(old, migrations=CHAIN[:2])


def test_a_migration_that_was_cut_off_goes_on(old: Connection) -> None:
    # The second statement fails: what the first has done is undone with it.
    broken = (CHAIN[0], (*CHAIN[1], ("MATCH (s:Song) SET s.second = 1 / $n", {"n": 0})), CHAIN[2])
    with pytest.raises(GraphError):
        versions.prepare(old, migrations=broken)
    assert schemas(old) == [["kg", 1]]
    assert numbers(old) == [[None, None]]
    progress = Heard()
    versions.prepare(old, progress, CHAIN)
    assert numbers(old) == [[None, 11]]
    assert progress.said == ["Migrating the graph from form 1 to 3, which this kg writes."]


def test_two_that_migrate_at_once_do_it_once(old: Connection, server: Settings) -> None:
    versions.prepare(old, migrations=CHAIN[:1])
    with Connection.open(server) as other:
        # Both have read version 1; whoever comes second finds the work done.
        first = old.write(versions._step, 1, CHAIN[1])
        second = other.write(versions._step, 1, CHAIN[1])
    assert (first, second) == (2, 2)
    assert numbers(old) == [[1, None]]
