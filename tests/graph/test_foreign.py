"""Somebody else's data: refused where ours would mix with it, never touched where it lies by."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kg import Library
from kg.build import build_graph
from kg.errors import GraphError
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.rows import Guess
from kg.graph.store import GraphStore
from kg.removal import remove_songs
from kg.schema import KEYS, RELATIONSHIPS
from kg.settings import Settings
from tests.conftest import empty
from tests.graph.test_store import KINDS, NOW, library, model

ALL = (
    "MATCH (n) OPTIONAL MATCH (n)-[r]->(m) RETURN labels(n), properties(n), type(r), properties(m)"
)


def run(connection: Connection, text: str, **parameters: Any) -> None:
    connection.write(lambda tx: tx.run(text, parameters).consume())


def constraints(connection: Connection) -> list[list[Any]]:
    return connection.ask("SHOW CONSTRAINTS YIELD name RETURN name").rows


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ("CREATE (:Song {title: 'Theirs'}), (:Song), (:Genre {name: 'rock'})", "2 Song nodes; 1 G"),
        ("CREATE (:Model {id: 'T', state: 'sold'})", "1 Model nodes"),
        ("CREATE (:KgSchema {id: 'x'})", "1 KgSchema nodes"),
    ],
)
def test_nodes_of_our_labels_that_are_not_ours(
    server: Settings, connection: Connection, there: str, words: str
) -> None:
    run(connection, there)
    before = connection.ask(ALL).rows
    with Library(server) as songs, pytest.raises(GraphError) as caught:
        songs.status()
    message = str(caught.value)
    assert words in message
    assert ("--home" if server.embedded else "NEO4J_DATABASE") in message
    assert message.endswith("or remove that first. Nothing was changed.")
    assert connection.ask(ALL).rows == before
    assert constraints(connection) == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE CONSTRAINT theirs FOR (s:Song) REQUIRE s.title IS UNIQUE", "constraint theirs on"),
        ("CREATE CONSTRAINT Song_id FOR (b:Book) REQUIRE b.isbn IS UNIQUE", "Song_id on Book.isbn"),
        ("CREATE INDEX theirs FOR (s:Song) ON (s.id)", "the index theirs on Song.id"),
    ],
)
def test_constraints_that_would_meet_ours(
    connection: Connection, statement: str, words: str
) -> None:
    connection.schema(statement)
    before = constraints(connection)
    if connection.server.kind == "embedded" and "INDEX" in statement:
        words = "the index"
    with pytest.raises(GraphError, match=words):
        GraphStore(connection).prepare()
    assert constraints(connection) == before


def test_what_is_beside_us_or_says_the_same_is_welcome(connection: Connection) -> None:
    connection.schema("CREATE CONSTRAINT same FOR (s:Song) REQUIRE s.id IS UNIQUE")
    connection.schema("CREATE CONSTRAINT beside FOR (b:Book) REQUIRE b.isbn IS UNIQUE")
    connection.schema("CREATE INDEX years FOR (s:Song) ON (s.year)")
    run(connection, "CREATE (:Book {isbn: 1})-[:SIMILAR_TO]->(:Book {isbn: 2})")
    GraphStore(connection).prepare()
    GraphStore(connection).prepare()


def test_a_first_command_that_was_cut_off_is_no_stranger(connection: Connection) -> None:
    for statement in (*queries.CONSTRAINTS[:3], queries.INDEXES[0]):
        connection.schema(statement)
    GraphStore(connection).prepare()


# Their labels and properties, some of which look like ours.
LABELS = ("Book", "Shelf", "Songs", "Ghost")
values = st.one_of(st.integers(-5, 5), st.sampled_from(["blues", "jazz", "blues0", "v1", "m"]))
properties = st.dictionaries(
    st.sampled_from(["id", "name", "version", "state", "model", "rank", "split"]), values
)
nodes = st.tuples(st.sampled_from(LABELS), properties)
edges = st.tuples(
    st.integers(0, 99), st.sampled_from(RELATIONSHIPS), st.integers(0, 99), properties
)
MARK = "theirs"


def settle(
    connection: Connection,
    theirs: list[tuple[str, dict[str, Any]]],
    links: list[tuple[int, str, int, dict[str, Any]]],
) -> None:
    for i, (label, props) in enumerate(theirs):
        run(connection, f"CREATE (n:{label}) SET n = $p", p={**props, MARK: i})
    for head, type, tail, props in links:
        run(
            connection,
            f"MATCH (a {{{MARK}: $a}}), (b {{{MARK}: $b}}) CREATE (a)-[r:{type}]->(b) SET r = $p",
            a=head % len(theirs),
            b=tail % len(theirs),
            p=props,
        )


def of_theirs(connection: Connection) -> Counter[str]:
    rows = connection.ask(f"MATCH (n) WHERE n.{MARK} IS NOT NULL RETURN labels(n), properties(n)")
    links = connection.ask(
        f"MATCH (a)-[r]->(b) WHERE a.{MARK} IS NOT NULL OR b.{MARK} IS NOT NULL "
        f"RETURN type(r), properties(r), a.{MARK}, b.{MARK}, a.id, b.id"
    )
    return Counter(
        repr(sorted(cell.items()) if isinstance(cell, dict) else cell)
        for row in (*rows.rows, *links.rows)
        for cell in [[sorted(c.items()) if isinstance(c, dict) else c for c in row]]
    )


def live(connection: Connection, folder: Path) -> list[Any]:
    """A library's life in short; what we say of it after each step."""
    store = GraphStore(connection)
    said: list[Any] = []

    def tell() -> None:
        counts = store.counts()
        said.append((counts, store.genres(), [song.id for song in store.read_keys()]))
        moved = (queries.COUNT_OUR_NODES, queries.COUNT_OUR_RELATIONSHIPS)
        said.extend(connection.ask(text).rows for texts in moved for text in texts.values())

    store.write_songs(library())
    build_graph(store, KINDS, folder)
    tell()
    store.write_model(model("m", "current"))
    guesses = [(song.record.id, [Guess("jazz", 0.9, 1.5, 1)]) for song in library()]
    store.write_predictions("m", NOW, guesses)
    tell()
    store.write_model(model("n", "current"))
    said.append([(m.id, m.state) for m in store.read_models()])
    store.delete_model("m")
    tell()
    store.write_songs([*library(), *library(16)[12:]])
    build_graph(store, KINDS, folder)
    tell()
    remove_songs(connection, ["blues0", "jazz1"])
    tell()
    return said


@pytest.fixture
def alone(connection: Connection, tmp_path: Path) -> list[Any]:
    GraphStore(connection).prepare()
    said = live(connection, tmp_path / "alone")
    empty(connection)
    return said


def test_other_labels_are_never_read_counted_changed_or_deleted(
    connection: Connection, alone: list[Any], tmp_path: Path
) -> None:
    runs = iter(range(99))

    @hypothesis_settings(max_examples=2, deadline=None)
    @given(st.lists(nodes, min_size=2, max_size=6), st.lists(edges, min_size=4, max_size=12))
    def check(theirs: Any, links: Any) -> None:
        empty(connection)
        settle(connection, theirs, links)
        GraphStore(connection).prepare()
        before = of_theirs(connection)
        assert live(connection, tmp_path / str(next(runs))) == alone
        assert of_theirs(connection) == before

    check()


def test_their_relationships_on_our_nodes_stay(connection: Connection, tmp_path: Path) -> None:
    store = GraphStore(connection)
    store.prepare()
    store.write_songs(library())
    build_graph(store, KINDS, tmp_path / "first")
    counts = store.counts()
    run(
        connection,
        f"MATCH (s:Song {{id: 'jazz0'}}), (g:Genre {{name: 'jazz'}}) "
        f"CREATE (b:Book {{{MARK}: 1, name: 'jazz', id: 'jazz1'}}) "
        "CREATE (s)-[:SIMILAR_TO {weight: 1}]->(b), (b)-[:SIMILAR_TO]->(s), "
        "(s)-[:HAS_FEATURE]->(b), (s)-[:IN_GENRE]->(b), (b)-[:IN_GENRE]->(g), "
        "(s)-[:PREDICTED_GENRE {rank: 1, model: 'm'}]->(b), "
        "(:Model {theirs: 2, id: 'x', state: 'sold'})-[:PREDICTED_GENRE]->(g)",
    )
    before = of_theirs(connection)
    assert store.counts() == counts
    store.write_songs(library(16))  # new songs: all is built again
    build_graph(store, KINDS, tmp_path / "second")
    store.write_model(model("m", "current"))
    store.write_predictions("m", NOW, [("jazz0", [Guess("jazz", 0.9, 1.5, 1)])])
    store.delete_model("m")
    assert of_theirs(connection) == before
    assert store.counts().models == 0
    assert [m.id for m in store.read_models()] == []


def test_labels_of_the_property_test_are_not_ours() -> None:
    assert not set(LABELS) & set(KEYS)
