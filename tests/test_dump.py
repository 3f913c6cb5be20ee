"""A library moves between servers with nothing changed, and what can't be loaded writes nothing."""

import hashlib
import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.build import build_graph
from kg.errors import GraphError, KgError, NotReadyError, WrongUsageError
from kg.graph import dump as dumping
from kg.graph import load as loading
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.dump import write_dump
from kg.graph.lines import node_line, read_node, read_relationship, relationship_line
from kg.graph.load import load_dump, refuse_half_loaded
from kg.graph.manifest import FORMAT, MANIFEST
from kg.graph.rows import Guess, ModelRow
from kg.graph.store import GraphStore
from kg.learning.training import TrainOptions
from kg.schema import KEYS, RELATIONSHIPS
from kg.settings import Settings
from tests.conftest import empty
from tests.graph.test_store import KINDS, NOW
from tests.graph.test_store import library as small_songs

NODES = "MATCH (n) RETURN labels(n)[0] AS label, properties(n) AS node"
RELATIONSHIPS_OF_ALL = """
MATCH (a)-[r]->(b)
RETURN type(r) AS type, coalesce(a.id, a.name) AS head, coalesce(b.id, b.name) AS tail,
       properties(r) AS properties
"""


def everything(connection: Connection) -> list[str]:
    """Nodes and relationships with all their properties, as the driver hands them out."""

    def read(tx: neo4j.ManagedTransaction) -> list[str]:
        return [
            repr([sorted(v.items()) if isinstance(v, dict) else v for v in record.values()])
            for text in (NODES, RELATIONSHIPS_OF_ALL)
            for record in tx.run(text)
        ]

    return sorted(connection.read(read))


def run(connection: Connection, text: str, **parameters: Any) -> None:
    connection.write(lambda tx: tx.run(text, parameters).consume())


def fill(connection: Connection, scratch: Path) -> GraphStore:
    """A small finished graph with a bit of everything in it."""
    store = GraphStore(connection)
    store.prepare()
    store.write_songs(small_songs())
    build_graph(store, KINDS, scratch / "neighbours")
    store.write_model(
        ModelRow(
            "m1", NOW, "current", "/elsewhere/m1", "v1", store.build() or "", {"accuracy": 0.1}
        )
    )
    store.write_predictions("m1", NOW, [("blues0", [Guess("jazz", 1 / 3, -1e-300, 1)])])
    store.open_test_split("t1", 3, ["m0", "m1"], NOW)
    run(connection, "MATCH (a:Genre {name: 'jazz'}) MERGE (b:Genre {name: 'músic \"♯\\n'}) "
        "CREATE (a)-[:SUBGENRE_OF]->(b)")  # fmt: skip
    run(connection, "MATCH (s:Song {id: 'jazz1'}) SET s += $odd", odd={
        "heardAt": neo4j.time.DateTime(2026, 1, 2, 3, 4, 5, 123456789, tzinfo=UTC),
        "bought": neo4j.time.Date(1999, 12, 31), "stars": [1, 2], "moods": ["\u2028", "𝄞"],
        "gain": float("-inf"), "tiny": 5e-324, "loved": True, "plays": 2**62, "raw": b"\0\xff",
    })  # fmt: skip
    return store


@pytest.fixture
def filled(connection: Connection, tmp_path: Path) -> Connection:
    fill(connection, tmp_path)
    return connection


@pytest.fixture
def dumped(filled: Connection, tmp_path: Path) -> Path:
    file = tmp_path / "library.kg.zip"
    write_dump(filled, file, {})
    return file


def fresh(connection: Connection) -> Connection:
    empty(connection)
    GraphStore(connection).prepare()
    return connection


def repack(
    file: Path,
    new: Path,
    change: Callable[[str, bytes], bytes | None] = lambda name, data: data,
    **extra: bytes,
) -> Path:
    """Write the dump again with other contents, checksums as they were."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as changed:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                changed.writestr(name, data)
        for name, data in extra.items():
            changed.writestr(name, data)
    return new


def test_every_label_and_type_is_moved() -> None:
    assert set(queries.ENDS) == set(RELATIONSHIPS)
    assert set(queries.LOAD_NODES) == set(queries.READ_NODES) == set(KEYS)


def test_there_and_back_again_nothing_changes(
    filled: Connection,
    dumped: Path,
    request: pytest.FixtureRequest,
    new_settings: Callable[[], Settings],
    tmp_path: Path,
) -> None:
    before = everything(filled)
    assert len(before) > 100
    other = _other_server(request, filled, tmp_path)
    with Connection.open(other) as there:
        fresh(there)
        loaded = load_dump(there, dumped, tmp_path / "models")
        assert everything(there) == before
        assert loaded.nodes["Song"] == 12
        assert loaded.relationships["SUBGENRE_OF"] == 1
        back = tmp_path / "back.kg.zip"
        write_dump(there, back, {})
        empty(there)
    load_dump(fresh(filled), back, tmp_path / "models")
    assert everything(filled) == before
    assert _sorted_lines(back) == _sorted_lines(dumped)
    # The graph works as it did: nothing is to be built anew.
    store = GraphStore(filled)
    assert not build_graph(store, KINDS, tmp_path / "neighbours")
    assert store.read_space()[0].version == "v1"


def _other_server(
    request: pytest.FixtureRequest, connection: Connection, tmp_path: Path
) -> Settings:
    home = tmp_path / "other"
    home.mkdir()
    if connection.server.kind == "Neo4j":
        (home / "server").symlink_to(request.getfixturevalue("embedded_server"))
        return Settings(kg_home=home)
    address = request.getfixturevalue("real_neo4j")
    return Settings(
        kg_home=home,
        neo4j_uri=address.uri,
        neo4j_username=address.username,
        neo4j_password=address.password,
        neo4j_database=address.database,
    )


def _sorted_lines(file: Path) -> dict[str, list[str]]:
    with zipfile.ZipFile(file) as archive:
        return {
            name: sorted(
                json.dumps(json.loads(line), sort_keys=True)
                for line in archive.read(name).splitlines()
            )
            for name in archive.namelist()
            if name != MANIFEST
        }


def test_a_moved_library_predicts_and_takes_in_songs_as_before(
    library: Library, music: Path, new_settings: Callable[[], Settings], tmp_path: Path
) -> None:
    library.ingest(music)
    model = library.train(TrainOptions(epochs=5)).model.id
    file = tmp_path / "library.kg.zip"
    written = library.dump(file)
    assert written.models == [model]
    assert len(library.dump(tmp_path / "all.zip", models="all").models) == 1
    assert library.dump(tmp_path / "none.zip", models="none").models == []
    before = everything(library.connection)
    shutil.rmtree(library.settings.models_dir)
    empty(library.connection)

    with Library(new_settings()) as moved:
        assert moved.load(file).models == [model]
        assert everything(moved.connection) == before
        assert moved.status().stale == []
        assert moved.predict().model.id == model
        new = write_song(tmp_path / "new.flac", GENRES[1], seconds=2.0, seed=99, artist=9)
        (song,) = moved.add(new).added
        assert len(song.guesses) == 3
        counted = moved.ask(
            "MATCH (:Song {id: $id})-[r:SIMILAR_TO]->() RETURN count(r)", {"id": song.id}
        )
        assert counted.rows == [[10]]
        with pytest.raises(GraphError, match=r"holds a library already \(25 Song, "):
            moved.load(file)


def test_a_dump_is_private_and_replaces_nothing_unasked(
    filled: Connection, dumped: Path, tmp_path: Path
) -> None:
    assert stat.S_IMODE(dumped.stat().st_mode) == 0o600
    before = dumped.read_bytes()
    with pytest.raises(WrongUsageError, match="--force"):
        write_dump(filled, dumped, {})
    assert dumped.read_bytes() == before
    write_dump(filled, dumped, {}, force=True)
    for target, words in ((tmp_path, "is a folder"), (tmp_path / "no" / "x", "There is no folder")):
        with pytest.raises(WrongUsageError, match=words):
            write_dump(filled, target, {}, force=True)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_an_empty_and_an_unfinished_graph_are_not_dumped(
    connection: Connection, tmp_path: Path
) -> None:
    store = GraphStore(connection)
    store.prepare()
    file = tmp_path / "library.kg.zip"
    with pytest.raises(NotReadyError, match="holds no songs"):
        write_dump(connection, file, {})
    store.begin_build(KINDS)
    store.write_songs(small_songs())
    with pytest.raises(NotReadyError, match="not finished"):
        write_dump(connection, file, {})
    assert not file.exists()


def test_a_graph_that_changes_meanwhile_is_dumped_again_or_not_at_all(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, copy, changes = tmp_path / "library.kg.zip", dumping._copy_rows, 0

    def copy_and_change(connection: Connection, text: str, *rest: Any) -> Any:
        nonlocal changes
        if "SIMILAR_TO" in text and changes < often:
            changes += 1
            # A song that came after the songs were read hangs on to others.
            run(
                connection,
                "MATCH (o:Song {id: 'jazz1'}) CREATE (:Song {id: $id})-[:SIMILAR_TO]->(o)",
                id=f"new{changes}",
            )
        return copy(connection, text, *rest)

    monkeypatch.setattr(dumping, "_copy_rows", copy_and_change)
    often = 3
    with pytest.raises(GraphError, match="changed each of the 3 times"):
        write_dump(filled, file, {})
    assert not file.exists()
    assert list(tmp_path.glob(".*")) == []
    often = 4
    assert write_dump(filled, file, {}).nodes["Song"] == 12 + 4


def test_a_load_that_was_cut_off_is_noticed_and_goes_on(
    filled: Connection, dumped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(filled)
    fresh(filled)
    monkeypatch.setattr(loading, "BATCH", 5)
    write, written = loading._write_batch, 0

    def cut_off(*arguments: Any) -> None:
        nonlocal written
        written += 1
        if written in (4, 9, 20):
            raise KeyboardInterrupt
        write(*arguments)
        if written == 12:  # committed, but the answer is lost: the driver tries again
            write(*arguments)

    monkeypatch.setattr(loading, "_write_batch", cut_off)
    with pytest.raises(KeyboardInterrupt):
        load_dump(filled, dumped, tmp_path / "models")
    with pytest.raises(NotReadyError, match="run it again with the same file"):
        refuse_half_loaded(filled)
    another = repack(dumped, tmp_path / "another.zip", lambda name, data: (
        data.replace(b'"createdAt": "20', b'"createdAt": "19') if name == MANIFEST else data
    ))  # fmt: skip
    with pytest.raises(GraphError, match="Half of another dump"):
        load_dump(filled, another, tmp_path / "models")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            load_dump(filled, dumped, tmp_path / "models")
    load_dump(filled, dumped, tmp_path / "models")
    assert everything(filled) == before
    refuse_half_loaded(filled)


def test_no_command_takes_half_a_library_for_a_whole_one(server: Settings, tmp_path: Path) -> None:
    with Library(server) as library:
        fresh(library.connection)
        run(library.connection, queries.BEGIN_LOAD, version="v1", load="abc")
        for command in (
            library.status, library.predict, library.train, lambda: library.ingest(tmp_path),
            lambda: library.ask("MATCH (s:Song) RETURN s"), lambda: library.dump(tmp_path / "x"),
        ):  # fmt: skip
            with pytest.raises(NotReadyError, match="kg load"):
                command()


def _newer_form(line: bytes) -> bytes:
    return json.dumps(json.loads(line) | {"version": 99}, sort_keys=True).encode() + b"\n"


def _change(what: str) -> Callable[[str, bytes], bytes | None]:
    def change(name: str, data: bytes) -> bytes | None:
        if what == "row" and name == "nodes/Genre.jsonl":
            return data.replace(b"jazz", b"jizz")
        if what == "form" and name == "nodes/KgSchema.jsonl":
            return _newer_form(data)
        if what == "missing" and name == "relationships/SIMILAR_TO.jsonl":
            return None
        if name != MANIFEST:
            return data
        document = json.loads(data)
        if what == "form":
            (part,) = (file for file in document["files"] if file["name"] == "nodes/KgSchema.jsonl")
            newer = _newer_form(b'{"id":"kg","version":1}')
            part |= {"bytes": len(newer), "sha256": hashlib.sha256(newer).hexdigest()}
        if what == "newer":
            document["format"] = FORMAT + 1
        if what == "label":
            document["files"][0]["name"] = "nodes/Shelf.jsonl"
        if what == "path":
            document["files"][-1]["name"] = "models/../config.json"
        if what == "size":
            document["files"][0]["bytes"] += 1
        if what == "kind":
            document["kind"] = "holiday pictures"
        return json.dumps(document).encode() if what != "garbage" else b"\xff{"

    return change


DAMAGED = {
    "row": "nodes/Genre.jsonl: it is not what was dumped",
    "missing": "other files than its manifest says",
    "newer": f"format {FORMAT + 1} and this kg reads {FORMAT}. Upgrade kg",
    "label": "this kg knows no Shelf. Upgrade kg",
    "path": "a file that isn't part of one",
    "size": "has another size than its manifest says",
    "kind": "isn't a dump of kg",
    "garbage": "its manifest can't be read",
    "form": "its graph's form is 99",
}


def test_what_is_damaged_newer_or_no_dump_writes_nothing(
    dumped: Path, filled: Connection, tmp_path: Path
) -> None:
    before = everything(filled)
    with pytest.raises(GraphError, match=r"holds a library already \(12 Song, .*--home DIR"):
        load_dump(filled, dumped, tmp_path / "models")
    assert everything(filled) == before

    untouched = everything(fresh(filled))
    for what, words in DAMAGED.items():
        bad = repack(dumped, tmp_path / f"{what}.zip", _change(what))
        with pytest.raises(KgError) as refused:
            load_dump(filled, bad, tmp_path / "models")
        assert words in str(refused.value)
    whole = dumped.read_bytes()
    half, flipped = tmp_path / "half.zip", tmp_path / "flipped.zip"
    half.write_bytes(whole[: len(whole) // 2])
    flipped.write_bytes(whole[:500] + bytes([whole[500] ^ 0xFF]) + whole[501:])
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    (tmp_path / "empty").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("letter.txt", "dear")
    more = repack(dumped, tmp_path / "more.zip", **{"../../evil": b"x"})
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        zeros = bytes(50_000_000)
        part = {"name": "nodes/FeatureSpace.jsonl", "rows": 1, "bytes": len(zeros), "sha256": ""}
        archive.writestr(part["name"], zeros)
        archive.writestr(MANIFEST, json.dumps(
            {"kind": "kg dump", "format": 1, "kg": "", "createdAt": "", "features": "v",
             "files": [part]}
        ))  # fmt: skip
    for file, words in (
        (tmp_path / "nothing", "There is no file"),
        (tmp_path, "There is no file"),
        (tmp_path / "song.mp3", "not a dump of kg"),
        (tmp_path / "empty", "not a dump of kg"),
        (tmp_path / "other.zip", "no dump of kg: manifest.json is missing"),
        (half, "its end is missing"),
        (flipped, "can't be loaded"),
        (more, "other files than its manifest says"),
        (bomb, "unpacks to far more"),
    ):
        with pytest.raises(KgError, match=words):
            load_dump(filled, file, tmp_path / "models")
    assert everything(filled) == untouched
    assert not (tmp_path / "models").exists()


def test_other_peoples_nodes_stay_where_they_are(filled: Connection, tmp_path: Path) -> None:
    run(filled, "MATCH (s:Song {id: 'jazz1'}) CREATE (:Shelf {name: 'mine'})-[:HOLDS]->(s)")
    run(filled, "CREATE (:Model {name: 'T'})-[:SIMILAR_TO]->(:Car {id: 1})")
    written = write_dump(filled, tmp_path / "library.kg.zip", {})
    assert written.nodes["Model"] == 1
    fresh(filled)
    run(filled, "CREATE (:Shelf {name: 'theirs'})")
    load_dump(filled, tmp_path / "library.kg.zip", tmp_path / "models")
    assert filled.ask("MATCH (p:Shelf) RETURN p.name").rows == [["theirs"]]
    assert filled.ask("MATCH (c:Car) RETURN count(c)").rows == [[0]]


@pytest.mark.parametrize(
    "value",
    [
        0.1, -0.0, 1e308, 5e-324, 2**63 - 1, -(2**63), True, "", "\0\u2028\"\\{}$name`", b"", [],
        [1, 2], ["a"], [0.1, 2.0], float("inf"), datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        neo4j.time.DateTime(2026, 7, 1, 2, 3, 4, 5, tzinfo=UTC),
        neo4j.time.DateTime(2026, 7, 1), neo4j.time.Date(1, 1, 1), neo4j.time.Time(1, 2, 3, 4),
        neo4j.time.Duration(months=1, days=-2, seconds=3, nanoseconds=4),
    ],
)  # fmt: skip
def test_values_come_back_as_they_were(value: Any) -> None:
    line = node_line({"id": "x", "v": value})
    assert line.count(b"\n") == 1
    _, properties = read_node(line, "id")
    assert repr(properties["v"]) == repr(value)
    _, _, properties = read_relationship(relationship_line("a", "b", {"v": value}))
    assert repr(properties["v"]) == repr(value)


@pytest.mark.parametrize("text", [
    b"[]", b"{", b"null", b'{"id": 1}', b'{"id": "a", "v": null}', b'{"id": "a", "v": NaN}',
    b'{"id": "a", "v": 9223372036854775808}', b'{"id": "a", "v": {"bytes": "?"}}',
    b'{"id": "a", "v": {"pickle": "gASV"}}', b'{"id": "a", "v": {"datetime": "yesterday"}}',
    b'{"id": "a", "v": {"datetime": "2026-01-01T00:00:00", "zone": "../etc"}}',
    b'{"id": "a", "v": ' + b"[" * 100_000,
])  # fmt: skip
def test_lines_that_nobody_wrote(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_node(text, "id")
