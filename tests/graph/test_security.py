"""Nothing that a name, a value or a query says becomes more than a value, or gets out."""

import contextlib
import os
import stat
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as how
from hypothesis import strategies as st

from kg.errors import GraphError, KgError, WrongUsageError
from kg.genres.names import genre_key
from kg.graph import embedded
from kg.graph.connection import Connection
from kg.graph.lookup import find_song
from kg.graph.store import GraphStore
from kg.settings import Settings
from kg.text import LONGEST, indexable
from tests.conftest import environment_of
from tests.graph.test_store import KINDS, song
from tests.neo4j import starter
from tests.waiting import DEADLINE, ENDLESS, ended, until

KG = Path(sysconfig.get_path("scripts")) / "kg"

HOSTILE = (
    "'",
    '"',
    "`",
    "\\",
    "\\'",
    "{id: 1}",
    "}",
    "$id",
    "${id}",
    "\x00",
    "a\nb\r\u2028",
    "' OR 1=1 //",
    "'}) DETACH DELETE s //",
    "`) MATCH (n) DETACH DELETE n //",
    "\\u0027}) MATCH (n) DETACH DELETE n RETURN ({x:\\u0027",
    "*/ MATCH (n) DETACH DELETE n /*",
    "; DROP CONSTRAINT Song_id",
    "\u202egnp.exe\u2066",
    "e\u0301\ufeff\U0001f3b5",
    "../../etc/passwd",
    "~nobody'",
    "%s %d {0} %(x)s",
    "x" * 10_000,
)
SURROGATES = ("\ud800", "Caf\udce9", "\udfff'`")
hostile = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.lists(st.sampled_from(HOSTILE[:-1]), min_size=2, max_size=4).map("".join),
)
any_text = st.one_of(hostile, st.sampled_from(SURROGATES), st.text(min_size=1, max_size=20))
# One database for all examples is what is meant, and how slow it is says nothing.
IGNORED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


@given(texts=st.lists(hostile, min_size=1, max_size=8, unique=True), tag=any_text)
@example(texts=list(HOSTILE), tag=SURROGATES[2])
@how(max_examples=12, suppress_health_check=IGNORED)
def test_names_stay_names(connection: Connection, texts: list[str], tag: str) -> None:
    """Ids, titles, artists, file names and genres come back letter by letter, and nothing else.

    Names of genres that differ by punctuation or case alone are one genre, spelled as one of them.
    """
    connection.write(lambda tx: tx.run("MATCH (n:Song|Genre) DETACH DELETE n").consume())
    store = GraphStore(connection)
    store.prepare()
    texts = sorted({text[: 2 * LONGEST] for text in texts})  # a hash is far from 8 kB
    songs = []
    for text in texts:
        plain = song("a", text)
        path = Path("/music") / text.replace("\x00", "0")
        record = replace(plain.record, id=text, path=path, title=text, artist=tag)
        songs.append(replace(plain, record=record))
    store.write_songs(songs, builder=store.begin_build(KINDS))
    store.write_songs(songs)  # the other way: they are there now

    keys = store.read_keys()
    cut = {text: indexable(text) for text in texts}
    spelled: dict[str, set[str | None]] = {}
    for name in cut.values():
        spelled.setdefault(genre_key(str(name)), set()).add(name)
    own = {key.id: key.genres for key in keys}
    assert own.keys() == cut.keys()
    for text, name in cut.items():
        (genre,) = own[text]
        assert genre in spelled[genre_key(str(name))]
    assert {key.title for key in keys} == set(cut.values())
    assert {key.artist for key in keys} == {indexable(tag)}
    assert store.known(texts) == cut
    count = "MATCH (n) WHERE n:Song OR n:Genre RETURN count(n)"
    assert connection.ask(count).rows == [[len(texts) + len(spelled)]]
    for text, title in cut.items():
        found = connection.ask("MATCH (s:Song {title: $t}) RETURN s.id", {"t": title})
        assert found.rows == [[text]]


@given(value=any_text, name=hostile)
@how(max_examples=25, suppress_health_check=IGNORED)
def test_parameters_stay_values(connection: Connection, value: str, name: str) -> None:
    values = {"value": value, name: 1} if name != "value" else {"value": value}
    try:
        value.encode()
    except UnicodeEncodeError:
        with pytest.raises(GraphError, match="can't take this value"):
            connection.ask("RETURN $value", values)
    else:
        assert connection.ask("RETURN $value", values).rows == [[value]]


@given(text=any_text)
@example("'}) DETACH DELETE s //")
@how(max_examples=12, suppress_health_check=IGNORED)
def test_a_song_that_nobody_has_is_only_looked_for(connection: Connection, text: str) -> None:
    GraphStore(connection).prepare()
    connection.write(lambda tx: tx.run("MERGE (:Song {id: 'kept'})").consume())
    with pytest.raises(KgError) as caught:
        find_song(connection, text)
    assert "\n" not in str(caught.value)
    assert connection.ask("MATCH (n:Song) RETURN n.id").rows == [["kept"]]


@pytest.mark.parametrize(
    "cypher",
    [
        # These change nothing as it happens, and are no reading all the same.
        "MATCH (n:Nope) SET n.x = 1",
        "MATCH (n:Nope) DETACH DELETE n",
        "MATCH (n:Nope) REMOVE n.x",
        "MATCH (n:Nope) CREATE (:Song)",
        "MERGE (s:Song {id: 'a'}) RETURN s.id",
        "UNWIND [] AS x MERGE (:Song {id: x})",
        "FOREACH (x IN [] | CREATE (:Song))",
        "PROFILE MATCH (n:Nope) SET n.x = 1",
        "/* MATCH */ MATCH (n:Nope) // RETURN\nSET n.x = 1",
        # What they read isn't the graph.
        "LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
        "LOAD CSV FROM 'http://127.0.0.1:1/' AS line RETURN line",
        "/* c */ LOAD /**/ CSV FROM 'file:///etc/passwd' AS line RETURN line",
        "CALL { LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line } RETURN line",
        "SHOW USERS",
    ],
)
def test_a_query_only_reads(connection: Connection, cypher: str) -> None:
    connection.write(lambda tx: tx.run("CREATE (:Song {id: 'a'})").consume())
    with pytest.raises(GraphError, match="kg query only reads"):
        connection.ask(cypher)
    assert connection.ask("MATCH (n) RETURN n.id").rows == [["a"]]


@pytest.mark.parametrize(
    "cypher",
    [
        "TERMINATE TRANSACTIONS 'neo4j-transaction-1'",
        "CALL dbms.killConnection('bolt-1')",
        "CALL db.clearQueryCaches()",
        "CALL db.prepareForReplanning()",
        "PROFILE LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
        " // PROFILE\n PROFILE LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
        "CYPHER runtime=slotted LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
    ],
)
def test_a_query_of_neo4j_is_about_the_graph(neo4j_connection: Connection, cypher: str) -> None:
    with pytest.raises(GraphError, match="kg query only reads"):
        neo4j_connection.ask(cypher)


@pytest.fixture
def neo4j_connection(real_neo4j: starter.Address, tmp_path: Path) -> Iterator[Connection]:
    settings = Settings(
        kg_home=tmp_path,
        neo4j_uri=real_neo4j.uri,
        neo4j_username=real_neo4j.username,
        neo4j_password=real_neo4j.password,
        neo4j_database=real_neo4j.database,
    )
    with Connection.open(settings) as connection:
        yield connection


@pytest.mark.parametrize(
    "cypher",
    [
        "RETURN 'CREATE (n) SET n.x = 1' AS text",
        "MATCH (n:Song) WHERE n.title = 'LOAD CSV' RETURN 1 AS `SET`",
        "// DELETE\nRETURN 1 /* MERGE */ AS n",
        "CALL db.labels() YIELD label RETURN count(label) AS n",
        "EXPLAIN MATCH (n) RETURN n",
        "SHOW INDEXES",
    ],
)
def test_reading_is_not_mistaken(connection: Connection, cypher: str) -> None:
    connection.ask(cypher)


def test_a_mistake_is_told_where_the_user_made_it(neo4j_connection: Connection) -> None:
    for prefix in ("", "PROFILE ", "  EXPLAIN "):
        with pytest.raises(GraphError) as caught:
            neo4j_connection.ask(f"{prefix}MATCH (s:Song RETURN s")
        wrong = len(prefix) + len("MATCH (s:Song ")
        assert f"(line 1, column {wrong + 1} (offset: {wrong}))" in str(caught.value)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("-inf")])
def test_a_timeout_that_is_no_time(connection: Connection, seconds: float) -> None:
    with pytest.raises(WrongUsageError, match="more than 0"):
        connection.ask("RETURN 1", timeout=seconds)


@pytest.mark.parametrize("seconds", [float("inf"), 1e300, 1e-6])
def test_an_odd_timeout(connection: Connection, seconds: float) -> None:
    if seconds < 1:  # Neo4j looks every two seconds who has had his time
        with pytest.raises(GraphError, match="longer than it may"):
            connection.ask(ENDLESS, timeout=seconds)
    else:
        assert connection.ask("RETURN 1", timeout=seconds).rows == [[1]]


def test_queries_that_ran_away_leave_room_for_others(tmp_path: Path) -> None:
    """The embedded server runs a few at once, so those that nobody waits for have to end."""
    with Connection.open(Settings(kg_home=tmp_path)) as connection:
        for _ in range(6):
            with pytest.raises(GraphError, match=r"ask for less, or give it more time\.$"):
                connection.ask(ENDLESS, timeout=0.3)
        assert connection.ask("RETURN 1", timeout=DEADLINE).rows == [[1]]


def test_a_query_that_can_not_be_ended_is_told_of(tmp_path: Path) -> None:
    within_a_row = "reduce(t = 0, y IN range(1, 1000) | t + y)"
    # Three thousand million sums in one row: minutes, and it is killed with its server.
    stuck = f"RETURN reduce(s = 0, x IN range(1, 3000000) | s + {within_a_row})"
    with Connection.open(Settings(kg_home=tmp_path)) as connection:
        with pytest.raises(GraphError, match="works on, until the last kg command ends"):
            connection.ask(stuck, timeout=0.3)
        assert connection.ask("RETURN 1", timeout=DEADLINE).rows == [[1]]


def test_an_embedded_server_ends_with_queries_that_ran_away(tmp_path: Path) -> None:
    settings = Settings(kg_home=tmp_path)
    with Connection.open(settings) as connection:
        pid = embedded.status(settings.server_dir).pid
        for _ in range(3):
            with pytest.raises(GraphError, match="longer than it may"):
                connection.ask(ENDLESS, timeout=0.5)
        connection.write(lambda tx: tx.run("CREATE (:Song {id: 'a'})").consume())
        assert connection.ask("MATCH (s:Song) RETURN s.id", timeout=DEADLINE).rows == [["a"]]
    assert pid is not None
    until(lambda: ended(pid))


def test_the_embedded_server_listens_on_loopback_only(embedded_server: Path) -> None:
    pid = embedded.status(embedded_server).pid
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_passwords_are_seen_nowhere(server: Settings) -> None:
    """Not in process lists, output, logs, or files that others may read."""
    secrets = {server.neo4j_password.get_secret_value()} - {""}
    if server.embedded:
        files = {server.server_dir / "password", server.server_dir / "reader-password"}
        secrets = {file.read_text().strip() for file in files}
    assert secrets
    environment = environment_of(server)
    told = []
    for arguments in (
        ["--verbose", "query", "RETURN 1"],
        ["--verbose", "query", "RETURN nothing(1)"],
        ["status", "--json"],
        *([["server", "status"]] if server.embedded else []),
    ):
        done = subprocess.run(
            [KG, *arguments], env=environment, capture_output=True, text=True, timeout=DEADLINE
        )
        told.append(done.stdout + done.stderr)
    with Connection.open(server) as connection:
        told += [
            " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
        ]
        told += [repr(connection), repr(connection.server), repr(server), str(server)]
    assert not [secret for secret in secrets if any(secret in text for text in told)]

    for folder, _, names in os.walk(server.kg_home, followlinks=True):
        for file in (Path(folder, name) for name in names):
            with contextlib.suppress(FileNotFoundError):  # the server works, and tidies up
                content, mode = file.read_bytes(), stat.S_IMODE(file.stat().st_mode)
                assert mode == 0o600 or not any(s.encode() in content for s in secrets), file


def test_a_wrong_password_is_not_repeated(neo4j_connection: Connection, tmp_path: Path) -> None:
    wrong = Settings(
        kg_home=tmp_path,
        neo4j_uri=neo4j_connection.server.uri,
        neo4j_password="sesame-open-wide",
    )
    done = subprocess.run(
        [KG, "--verbose", "status"],
        env=environment_of(wrong),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 1
    assert "sesame" not in done.stdout + done.stderr
