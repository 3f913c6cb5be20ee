"""The newest Neo4j: a library's life on it, over TLS too, and what it refuses."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.errors import GraphError
from kg.graph import versions
from kg.graph.connection import Connection
from kg.settings import Settings
from tests.conftest import REPOSITORY, empty, settings_of
from tests.graph.scenario import content, cookbook, steps
from tests.neo4j import starter

pytestmark = pytest.mark.newest

WRITES = (
    "CREATE (:Song {id: 'x'})",
    "MATCH (s:Song) DETACH DELETE s",
    "MATCH (s:Song) SET s.title = 'x' RETURN s",
    "CREATE INDEX unseen IF NOT EXISTS FOR (s:Song) ON (s.title)",
)


@pytest.fixture
def newest(newest_neo4j: starter.Address, tmp_path: Path) -> Settings:
    """Settings for the newest Neo4j, emptied."""
    settings = settings_of(newest_neo4j, tmp_path / "home")
    settings.make_home()
    with Connection.open(settings) as connection:
        empty(connection)
    return settings


@pytest.fixture
def library(newest: Settings, heard: Path) -> Iterator[Library]:
    shutil.copytree(heard, newest.cache_dir)
    with Library(over(newest, "neo4j+ssc")) as library:
        yield library


def over(settings: Settings, scheme: str, host: str = "127.0.0.1") -> Settings:
    address = str(settings.neo4j_uri).partition("://")[2].replace("127.0.0.1", host)
    return Settings(**(settings.model_dump() | {"neo4j_uri": f"{scheme}://{address}"}))


def test_a_librarys_life(library: Library, music: Path, tmp_path: Path) -> None:
    assert library.connection.server.version == starter.NEWEST
    new_song = write_song(tmp_path / "new" / "unseen.flac", GENRES[1], seconds=2.0, seed=99)
    for step in steps(library, music, new_song):
        counts = library.status().counts
        assert counts.songs == (25 if step in WITH_NEW_SONG else 24), step
        if step in ("train", "add", "use the first again"):
            assert sum(counts.predicted_by_model.values()) == counts.songs, step
        if step == "train":
            title = library.ask("MATCH (s:Song) RETURN min(s.title)").rows[0][0]
            for text in cookbook(REPOSITORY):
                library.ask(text, {"title": title})
    assert counts.models == 0
    assert counts.relationships["PREDICTED_GENRE"] == 0
    held = content(library.connection, library.settings.kg_home)
    assert f"'version': {versions.VERSION}" in "".join(held["nodes"])
    for write in WRITES:
        with pytest.raises(GraphError, match="kg query only reads"):
            library.ask(write)
    assert content(library.connection, library.settings.kg_home) == held


WITH_NEW_SONG = (
    "add", "label by hand", "another model", "use the first again", "remove the other model",
)  # fmt: skip


def test_whose_database_it_is(newest: Settings) -> None:
    with Connection.open(newest) as connection:
        connection.write(lambda tx: tx.run("CREATE (:Song {title: 'Theirs'})").consume())
        with pytest.raises(GraphError, match="1 Song nodes"):
            versions.prepare(connection)
        connection.write(lambda tx: tx.run("MATCH (n) DELETE n").consume())
        connection.schema("CREATE CONSTRAINT theirs FOR (s:Song) REQUIRE s.title IS UNIQUE")
        connection.schema("CREATE INDEX plain FOR (g:Genre) ON (g.name)")
        with pytest.raises(GraphError, match=r"constraint theirs on Song.title; the index plain"):
            versions.prepare(connection)


@pytest.mark.parametrize("scheme", ["bolt+ssc", "neo4j+ssc"])
def test_a_certificate_nobody_vouches_for(newest: Settings, scheme: str) -> None:
    with Connection.open(over(newest, scheme)) as connection:
        assert connection.ask("RETURN 1").rows == [[1]]
        assert connection.server.uri.startswith(f"{scheme}://127.0.0.1:")
    strict = over(newest, scheme.replace("ssc", "s"))
    with pytest.raises(GraphError, match=r"over TLS: .* \+ssc for a self-signed certificate"):
        Connection.open(strict)


@pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s"])
def test_a_certificate_that_is_trusted(
    newest: Settings,
    newest_neo4j: starter.Address,
    scheme: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(newest_neo4j.certificate))
    with Connection.open(over(newest, scheme)) as connection:
        assert connection.ask("RETURN 1").rows == [[1]]


def test_wrong_password_over_tls(newest: Settings) -> None:
    wrong = Settings(**(over(newest, "neo4j+ssc").model_dump() | {"neo4j_password": "wrong-one"}))
    with pytest.raises(GraphError, match="NEO4J_PASSWORD") as caught:
        Connection.open(wrong)
    assert "wrong-one" not in str(caught.value)


def test_no_such_database(newest: Settings) -> None:
    elsewhere = Settings(**(newest.model_dump() | {"neo4j_database": "elsewhere"}))
    with pytest.raises(GraphError, match="no database called elsewhere: set NEO4J_DATABASE"):
        Connection.open(elsewhere)
