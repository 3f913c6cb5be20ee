"""An open connection on both servers, and the sentences for one that can't be had."""

import datetime as dt
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kg.errors import GraphError
from kg.graph import driver
from kg.graph.asking import Answer
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.store import GraphStore
from kg.settings import Settings
from tests.waiting import DEADLINE, ENDLESS

CONSTRAINT = "CREATE CONSTRAINT song IF NOT EXISTS FOR (s:Song) REQUIRE s.id IS UNIQUE"


def merge_song(tx: neo4j.ManagedTransaction, song: str, **properties: Any) -> int:
    cypher = "MERGE (s:Song {id: $id}) SET s += $properties RETURN count(*)"
    return int(tx.run(cypher, id=song, properties=properties).single(strict=True)[0])


def songs(connection: Connection) -> int:
    return int(connection.ask("MATCH (s:Song) RETURN count(s)").rows[0][0])


def variant(settings: Settings, **changes: Any) -> Settings:
    return Settings(**(settings.model_dump() | changes))


def test_says_what_server_it_is(connection: Connection, server: Settings) -> None:
    info = connection.server
    assert info.kind == ("embedded" if server.embedded else "Neo4j")
    assert info.version.split(".")[0].isdecimal()
    assert info.uri.startswith("bolt://127.0.0.1:")
    assert info.database == "neo4j"


def test_writes_and_reads(connection: Connection) -> None:
    assert connection.write(merge_song, "a", title="First") == 1
    rows = connection.read(lambda tx: tx.run("MATCH (s:Song) RETURN s.title").values())
    assert rows == [["First"]]


def test_a_failing_write_leaves_nothing(connection: Connection) -> None:
    def half(tx: neo4j.ManagedTransaction) -> None:
        merge_song(tx, "a")
        raise KeyError("our own bug")

    with pytest.raises(KeyError):
        connection.write(half)
    assert songs(connection) == 0


def failures_at_once(function: Callable[[], None], threads: int) -> list[BaseException]:
    """Run a function in several threads at once: what they raised."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return failures


def test_concurrent_writers_of_one_key(connection: Connection, server: Settings) -> None:
    connection.schema(CONSTRAINT)
    connection.write(merge_song, "first")  # the label and its columns exist

    def writer() -> None:
        with Connection.open(server) as own:
            for number in range(20):
                own.write(merge_song, f"song {number}")

    assert failures_at_once(writer, 3) == []
    assert songs(connection) == 21


def test_first_commands_at_the_same_instant(server: Settings) -> None:
    ready = threading.Barrier(4)

    def prepare() -> None:
        with Connection.open(server) as own:
            ready.wait(DEADLINE)
            GraphStore(own).prepare()

    assert failures_at_once(prepare, 4) == []


def test_ctrl_c_while_the_server_answers(
    connection: Connection, request: pytest.FixtureRequest
) -> None:
    """It stays Ctrl-C wherever it hits, and the connection can be used again."""
    # Whoever runs the tests in the background may have them ignore it.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, handler))
    main = threading.main_thread().ident
    assert main is not None
    chance = random.Random(0)
    rows = [{"text": "x" * 1000} for _ in range(400)]

    def work(tx: neo4j.ManagedTransaction) -> None:
        tx.run("UNWIND $rows AS row CREATE (n:Song {id: row.text}) DELETE n", rows=rows).consume()
        tx.run("UNWIND $rows AS row RETURN row.text", rows=rows).fetch(400)

    def work_on() -> None:
        moment = chance.uniform(0.005, 0.08)
        threading.Timer(moment, signal.pthread_kill, (main, signal.SIGINT)).start()
        while True:
            connection.write(work)

    connection.write(work)
    for _ in range(25):
        with pytest.raises(KeyboardInterrupt):
            work_on()
    connection.write(work)


def test_constraint_is_kept(connection: Connection) -> None:
    connection.schema(CONSTRAINT)
    connection.write(merge_song, "a")
    with pytest.raises(GraphError, match="refuses a statement"):
        connection.write(lambda tx: tx.run("CREATE (:Song {id: 'a'})").consume())


def test_ask_takes_parameters(connection: Connection) -> None:
    answer = connection.ask(
        "UNWIND $list AS x RETURN x, $name AS name", {"list": [1, 2], "name": "ü"}
    )
    assert answer.keys == ["x", "name"]
    assert answer.rows == [[1, "ü"], [2, "ü"]]


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("MATCH (s:Song) WHERE false RETURN s.title, count(*) + 1 AS n, s", ["s.title", "n", "s"]),
        ("MATCH (s:Song {id: $id}) RETURN s.id AS id ORDER BY id", ["id"]),
        ("MATCH (s:Song) RETURN DISTINCT s.id AS id UNION MATCH (g:Genre) RETURN g.name AS id", 0),
        ("UNWIND [] AS x RETURN x", ["x"]),
    ],
)
def test_columns_of_no_rows(connection: Connection, query: str, keys: list[str] | int) -> None:
    answer = connection.ask(query, {"id": "nobody"}, timeout=DEADLINE)
    assert (answer.keys, answer.rows) == (keys or ["id"], [])


def test_columns_of_no_rows_are_never_wrong(connection: Connection) -> None:
    query = "MATCH (s:Song) RETURN coalesce(s.a, s.b), s.a + ', ' + s.b, s.a AS `a, b`"
    answer = connection.ask(query)
    assert len(answer.keys) in (0, 3)  # the embedded server's plan doesn't tell where they end


def test_ask_returns_plain_values(connection: Connection) -> None:
    connection.write(
        lambda tx: tx.run(
            "CREATE (a:Song {id: 'a', features: $bytes, year: 1999})"
            "-[:SIMILAR_TO {weight: 0.5}]->(b:Song {id: 'b'})",
            bytes=b"\x00\xff",
        ).consume()
    )
    [[node, relationship, path, missing, inner]] = connection.ask(
        "MATCH p = (a:Song {id: 'a'})-[r]->(b) RETURN a, r, p, null, {list: [b]}"
    ).rows
    a = {"labels": ["Song"], "id": "a", "features": b"\x00\xff", "year": 1999}
    b = {"labels": ["Song"], "id": "b"}
    similar = {"type": "SIMILAR_TO", "weight": 0.5}
    assert node == a
    assert relationship == similar
    assert path == [a, similar, b]
    assert missing is None
    assert inner == {"list": [b]}


def test_ask_returns_times(connection: Connection) -> None:
    moment = dt.datetime(2026, 5, 1, 12, 30, 0, 250, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    connection.write(merge_song, "a", createdAt=moment, day=moment.date())
    [[created, day, span, point]] = connection.ask(
        "MATCH (s:Song) RETURN s.createdAt, s.day, duration('P1DT2H'), point({x: 1, y: 2})"
    ).rows
    assert created == moment
    assert day == dt.date(2026, 5, 1)
    assert span == "P1DT2H"
    assert (point["x"], point["y"]) == (1.0, 2.0)


@pytest.mark.parametrize(
    "write",
    [
        "CREATE (s:Song {id: 'b'})",
        "MERGE (s:Song {id: 'b'})",
        "MATCH (s:Song) SET s.title = 'changed'",
        "MATCH (s:Song) REMOVE s.title",
        "MATCH (s:Song) SET s:Liked",
        "MATCH (s:Song) SET s += {title: 'changed'}",
        "MERGE (s:Song {id: 'a'}) ON MATCH SET s.title = 'changed'",
        "MATCH (s:Song) DETACH DELETE s",
        "CREATE (:Unseen)",
        "MATCH (s:Song) CREATE (s)-[:UNSEEN]->(s)",
        "CREATE INDEX unseen IF NOT EXISTS FOR (s:Song) ON (s.title)",
        "CREATE USER mallory SET PASSWORD 'mallory-mallory'",
    ],
)
def test_ask_refuses_to_write(connection: Connection, write: str) -> None:
    connection.write(merge_song, "a", title="kept")
    with pytest.raises(GraphError, match="kg query only reads") as caught:
        connection.ask(write)
    assert "Error executing" not in str(caught.value)
    assert "'reader'" not in str(caught.value)
    assert connection.ask("MATCH (n) RETURN n.title").rows == [["kept"]]
    assert connection.ask("SHOW INDEXES YIELD name WHERE name = 'unseen'").rows == []


@pytest.mark.parametrize(
    ("cypher", "words"),
    [
        ("MATCH (s:Song RETURN s", "input"),
        ("FOO BAR", "FOO"),
        ("MATCH (s) RETURN t", "not defined"),
        ("RETURN $name", "name"),
        ("RETURN nothing(1)", "nothing"),
        ("CALL no.such()", "no.such"),
        ("RETURN 1; RETURN 2", ""),
        (" \n", "empty"),
        (";", ""),
    ],
)
def test_ask_tells_what_is_wrong(connection: Connection, cypher: str, words: str) -> None:
    with pytest.raises(GraphError) as caught:
        connection.ask(cypher)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert "gql_status" not in message
    assert "\tat " not in message
    assert connection.ask("RETURN 1").rows == [[1]]  # and the connection goes on


@pytest.mark.parametrize("value", [{1, 2}, 2**70, object(), {1: 2}])
def test_ask_refuses_values_that_bolt_lacks(connection: Connection, value: object) -> None:
    with pytest.raises(GraphError, match="can't take this value"):
        connection.ask("RETURN $value", {"value": value})


def test_ask_stops_in_time(connection: Connection) -> None:
    with pytest.raises(GraphError, match="longer than it may"):
        connection.ask(ENDLESS, timeout=0.3)
    assert connection.ask("RETURN 1", timeout=DEADLINE).rows == [[1]]


def test_a_query_that_is_given_up_takes_no_other_with_it(connection: Connection) -> None:
    said: list[str] = []

    def ask(timeout: float) -> None:
        with pytest.raises(GraphError) as caught:
            connection.ask(ENDLESS, timeout=timeout)
        said.append(str(caught.value))

    threads = [threading.Thread(target=ask, args=(timeout,)) for timeout in (1.0, 4.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(said) == 2
    assert all("longer than it may" in each for each in said)


def test_ask_reads_no_more_rows_than_are_wanted(connection: Connection) -> None:
    answer = connection.ask("UNWIND range(1, 5000) AS n RETURN n", most=3)
    assert (answer.rows, answer.more) == ([[1], [2], [3]], True)
    for most in (3, 4, None):
        answer = connection.ask("UNWIND [1, 2, 3] AS n RETURN n", most=most, timeout=DEADLINE)
        assert (answer.rows, answer.more) == ([[1], [2], [3]], False)
    assert connection.ask("MATCH (n:Nope) RETURN n", most=3) == Answer(["n"], [])


def test_a_query_that_nobody_waits_for_any_more_ends(connection: Connection) -> None:
    if connection.server.kind == "Neo4j":
        pytest.skip("ends it by its timeout")
    unwanted = threading.Event()
    threading.Timer(0.5, unwanted.set).start()
    with pytest.raises(GraphError, match="longer than it may"):  # long before these minutes are up
        connection.ask(ENDLESS, timeout=10 * DEADLINE, unwanted=unwanted)


def test_unknown_names_are_silent(
    connection: Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    assert connection.ask("MATCH (n:Nope) RETURN n.nope").rows == []
    assert capfd.readouterr() == ("", "")


def test_close_twice(server: Settings) -> None:
    connection = Connection.open(server)
    connection.close()
    connection.close()


@pytest.fixture
def neo4j_settings(real_neo4j: Any, tmp_path: Path) -> Settings:
    return Settings(
        kg_home=tmp_path,
        neo4j_uri=real_neo4j.uri,
        neo4j_username=real_neo4j.username,
        neo4j_password=real_neo4j.password,
    )


def sentence(settings: Settings) -> str:
    """What opening says; nothing embedded may have been started."""
    with pytest.raises(GraphError) as caught:
        Connection.open(settings)
    assert not settings.server_dir.exists()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_wrong_password(neo4j_settings: Settings) -> None:
    message = sentence(variant(neo4j_settings, neo4j_password="wrong-password"))
    assert "NEO4J_PASSWORD" in message
    assert neo4j_settings.neo4j_uri in message
    assert "wrong-password" not in message


def test_no_password(neo4j_settings: Settings) -> None:
    assert "NEO4J_PASSWORD" in sentence(variant(neo4j_settings, neo4j_password=""))


def test_no_user(neo4j_settings: Settings) -> None:
    message = sentence(variant(neo4j_settings, neo4j_username=""))
    assert "NEO4J_USERNAME" in message
    assert "  " not in message


@pytest.mark.parametrize("name", ["system", "System"])
def test_the_system_database(neo4j_settings: Settings, name: str) -> None:
    message = sentence(variant(neo4j_settings, neo4j_database=name))
    assert "can't hold a graph" in message
    assert "NEO4J_DATABASE" in message


@pytest.mark.parametrize(
    "uri",
    [
        "bolt://me:S3CRET@127.0.0.1:1",
        "neo4j://me:S3C@R3T@127.0.0.1:1",
        "neo4j+s://me:S3C%2FR3T@127.0.0.1:1",
        "bolt://me:S3CRET@127.0.0.1:port",
        "bolt://127.0.0.1:port",
        "bolt://me:S3CRET@[::1",
        f"bolt://{'a' * 70}.example:7687",
        "bolt://127.0.0.1:1/?policy=near",
    ],
)
def test_odd_addresses(tmp_path: Path, uri: str) -> None:
    # Settings refuse most of these before a connection sees them.
    settings = Settings(kg_home=tmp_path).model_copy(update={"neo4j_uri": uri})
    message = sentence(settings)
    assert "S3C" not in message
    assert "R3T" not in message
    assert "database can't take this value" not in message


def test_no_such_database(neo4j_settings: Settings) -> None:
    assert "NEO4J_DATABASE" in sentence(variant(neo4j_settings, neo4j_database="elsewhere"))


@pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s", "neo4j+ssc"])
def test_no_encryption_there(neo4j_settings: Settings, scheme: str) -> None:
    address = str(neo4j_settings.neo4j_uri).partition("://")[2]
    assert "TLS" in sentence(variant(neo4j_settings, neo4j_uri=f"{scheme}://{address}"))


@pytest.mark.parametrize("scheme", ["bolt", "neo4j"])
def test_nobody_listens(tmp_path: Path, scheme: str, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and kept: nobody else may come to listen there
        uri = f"{scheme}://127.0.0.1:{closed.getsockname()[1]}"
        message = sentence(Settings(kg_home=tmp_path, neo4j_uri=uri))
    assert f"No Neo4j answers at {uri}" in message
    assert "docker compose up -d" in message
    assert "unset NEO4J_URI" in message
    assert capfd.readouterr() == ("", "")


def test_no_such_host(tmp_path: Path) -> None:
    uri = "neo4j://no-such-host.invalid:7687"
    assert "No Neo4j answers" in sentence(Settings(kg_home=tmp_path, neo4j_uri=uri))


@pytest.fixture
def listener() -> Iterator[Callable[[bytes], str]]:
    """Make a server that says something that isn't Bolt, or nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(reply: bytes) -> str:
            def run() -> None:
                held = []
                try:
                    while True:
                        connection, _ = server.accept()
                        held.append(connection)
                        if reply:
                            connection.recv(1024)
                            connection.sendall(reply)
                except OSError:
                    for connection in held:
                        connection.close()

            threading.Thread(target=run, daemon=True).start()
            return f"bolt://127.0.0.1:{server.getsockname()[1]}"

        yield serve
        server.shutdown(socket.SHUT_RDWR)


def test_web_server_answers(listener: Callable[[bytes], str], tmp_path: Path) -> None:
    uri = listener(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert "Bolt port" in sentence(Settings(kg_home=tmp_path, neo4j_uri=uri))


@pytest.mark.slow
def test_silent_server(listener: Callable[[bytes], str], tmp_path: Path) -> None:
    uri = listener(b"")
    assert uri in sentence(Settings(kg_home=tmp_path, neo4j_uri=uri))
    assert max(driver.CONNECT_SECONDS, driver.ACQUIRE_SECONDS) <= 10  # as `open` promises


def test_import_is_light() -> None:
    code = (
        "import sys, kg.graph.connection; "
        "print([m for m in ('pandas', 'torch', 'librosa', 'jpype') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "[]"


def test_pandas_still_comes_afterwards() -> None:
    code = "import kg.graph.connection, pandas; print(pandas.DataFrame({'a': [1]}).shape)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "(1, 1)"
