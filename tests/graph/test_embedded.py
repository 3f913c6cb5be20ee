"""The embedded server: started once, shared, stopped by the last one out, found after a crash."""

import contextlib
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kg.errors import GraphError
from kg.graph import aot, embedded, java
from kg.graph.connection import Connection
from kg.graph.driver import neo4j, open_driver
from kg.graph.embedded import Endpoint
from kg.settings import Settings
from tests.waiting import DEADLINE, ended, until

# A shell's background jobs, this test run may be one, start with Ctrl-C ignored.
CLIENT = """
import signal, sys
from pathlib import Path
from kg.graph import embedded
signal.signal(signal.SIGINT, signal.default_int_handler)
lease = embedded.acquire(Path(sys.argv[1]))
print(lease.endpoint.pid, flush=True)
sys.stdin.read()
lease.release()
"""


@pytest.fixture
def server_dir(tmp_path: Path) -> Iterator[Path]:
    """A cold server folder; whatever still runs there at the end is stopped."""
    path = tmp_path / "my music ü" / "server"
    yield path
    if path.exists():
        embedded.stop(path)


def client(server_dir: Path) -> subprocess.Popen[str]:
    """Another process that holds a lease until its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(server_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def pid_of(client: subprocess.Popen[str]) -> int:
    assert client.stdout is not None
    return int(client.stdout.readline())


def run(endpoint: Endpoint, cypher: str, *, reader: bool = False) -> list[list[object]]:
    username = endpoint.reader_username if reader else endpoint.username
    password = endpoint.reader_password if reader else endpoint.password
    with (
        open_driver(endpoint.uri, username, password) as driver,
        driver.session(database=endpoint.database) as session,
    ):
        return session.execute_write(lambda tx: tx.run(cypher).values())


def never(*_: object) -> None:
    """Stands for what isn't to happen."""
    pytest.fail("this wasn't to happen")


def stops(server_dir: Path) -> None:
    """Wait until no server of this folder can be used."""
    until(lambda: not embedded.status(server_dir).running)


def quiet_port() -> int:
    """A free port, none of those that the system hands out by itself: it stays free."""
    for port in random.sample(range(10_000, 32_000), 1000):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail("no port is free")


linux_only = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads /proc")


def test_life_of_a_server(server_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_dir.mkdir(parents=True)
    port = quiet_port()  # that of last time
    (server_dir / "server.json").write_text(f'{{"pid": 1, "port": {port}}}')
    with embedded.acquire(server_dir) as lease:
        assert lease.endpoint.uri == f"bolt://127.0.0.1:{port}"
        pid = lease.endpoint.pid
        assert run(lease.endpoint, "CREATE (s:Song {id: 'a'}) RETURN s.id") == [["a"]]
        status = embedded.status(server_dir)
        assert (status.running, status.kept, status.pid) == (True, False, pid)
        assert status.uri == lease.endpoint.uri
        assert status.password_file.read_text() == lease.endpoint.password
        with monkeypatch.context() as patch:
            patch.setattr(embedded, "_wait_until_gone", never)  # leaving waits for nobody
            lease.release()
    assert not embedded.status(server_dir).running
    lease.release()  # twice does no harm
    with embedded.acquire(server_dir) as again:  # at once: waits for the old one's end
        assert again.endpoint.pid != pid
        assert again.endpoint.uri == lease.endpoint.uri
        assert run(again.endpoint, "MATCH (s:Song) RETURN s.id") == [["a"]]
    until(lambda: ended(again.endpoint.pid))


@linux_only
def test_secrets_and_sockets(server_dir: Path) -> None:
    with embedded.acquire(server_dir) as lease:
        endpoint = lease.endpoint
        for name in ("password", "reader-password", "config/server-users.jsonl", "server.json"):
            assert stat.S_IMODE((server_dir / name).stat().st_mode) == 0o600
        assert stat.S_IMODE(server_dir.stat().st_mode) == 0o700

        passwords = (endpoint.password, endpoint.reader_password)
        assert len(set(passwords)) == 2
        process = Path(f"/proc/{endpoint.pid}")
        logs = [path.read_bytes() for path in (server_dir / "log").iterdir()]
        public = [(process / "cmdline").read_bytes(), (process / "environ").read_bytes(), *logs]
        for password in passwords:
            assert password not in repr(lease.endpoint)
            assert not any(password.encode() in text for text in public)

        inodes = set()
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(str(descriptor.readlink()).partition("socket:[")[2].rstrip("]"))
        listening = []
        for table in ("tcp", "tcp6"):
            for line in (process / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[9] in inodes:
                    listening.append(fields[1].partition(":")[0])
        loopback = {"0100007F", "0000000000000000FFFF00000100007F", f"{1 << 24:032X}"}
        assert len(listening) >= 1
        assert set(listening) <= loopback


def test_reader_reads_and_no_more(server_dir: Path) -> None:
    with embedded.acquire(server_dir) as lease:
        run(lease.endpoint, "CREATE (s:Song {id: 'a'})")
        assert run(lease.endpoint, "MATCH (s:Song) RETURN s.id", reader=True) == [["a"]]
        for write in (
            "CREATE (:Song)",
            "MATCH (s) DELETE s",
            "MATCH (s) SET s.x = 1",
            "CREATE (:X)",
        ):
            with pytest.raises(neo4j.exceptions.Forbidden):
                run(lease.endpoint, write, reader=True)
        assert run(lease.endpoint, "MATCH (s) RETURN s.id, s.x") == [["a", None]]


def test_last_one_out_stops_it(server_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = embedded.acquire(server_dir)
    monkeypatch.setattr(embedded, "_wait_until_ready", never)  # it is found as it is
    second = embedded.acquire(server_dir)
    assert second.endpoint == first.endpoint
    first.release()
    assert run(second.endpoint, "RETURN 1") == [[1]]
    assert embedded.status(server_dir).running
    second.release()
    assert not embedded.status(server_dir).running


def test_commands_at_the_same_instant_share_one(server_dir: Path) -> None:
    clients = [client(server_dir) for _ in range(3)]
    pids = {pid_of(one) for one in clients}
    assert len(pids) == 1
    for one in clients:
        one.communicate()
        assert one.returncode == 0
    assert not embedded.status(server_dir).running


def test_survives_a_killed_client(server_dir: Path) -> None:
    one = client(server_dir)
    pid = pid_of(one)
    one.kill()
    one.communicate()
    assert embedded.status(server_dir).pid == pid
    with embedded.acquire(server_dir) as lease:
        assert lease.endpoint.pid == pid
    assert not embedded.status(server_dir).running


def test_starter_killed_while_it_boots(server_dir: Path) -> None:
    one = client(server_dir)
    until((server_dir / "server.json").exists)
    one.kill()
    one.communicate()
    with embedded.acquire(server_dir) as lease:
        assert run(lease.endpoint, "RETURN 1") == [[1]]


def test_ctrl_c_while_it_boots(server_dir: Path) -> None:
    one = client(server_dir)
    until((server_dir / "server.json").exists)
    one.send_signal(signal.SIGINT)
    one.communicate()
    assert one.returncode != 0
    stops(server_dir)


def test_ctrl_c_before_its_pid_is_known(server_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, pids = java.detach, []

    def interrupted(*args: Any, **options: Any) -> int:
        pids.append(real(*args, **options))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(java, "detach", interrupted)
        with pytest.raises(KeyboardInterrupt):
            embedded.acquire(server_dir)
    until(lambda: ended(pids[0]))
    with embedded.acquire(server_dir) as lease:
        assert run(lease.endpoint, "RETURN 1") == [[1]]


def test_old_logs_go(server_dir: Path) -> None:
    folder = server_dir / "log"
    folder.mkdir(parents=True)
    for number in range(20):
        for name in (
            f"server-event-log-20260101-0000{number:02}.0.jsonl",
            f"arcadedb.log.{number}",
        ):
            (folder / name).touch()
    with embedded.acquire(server_dir):
        assert len(list(folder.iterdir())) <= 2 * (embedded.KEPT_LOGS + 1) + 2


def test_killed_server_is_replaced_and_keeps_what_was_committed(server_dir: Path) -> None:
    lease = embedded.acquire(server_dir)
    run(lease.endpoint, "UNWIND range(1, 500) AS i CREATE (:Song {id: toString(i)})")
    os.kill(lease.endpoint.pid, signal.SIGKILL)
    stops(server_dir)
    with embedded.acquire(server_dir) as again:
        assert again.endpoint.pid != lease.endpoint.pid
        assert run(again.endpoint, "MATCH (s:Song) RETURN count(s)") == [[500]]
    lease.release()
    assert not embedded.status(server_dir).running


def test_state_of_another_process_is_not_believed(server_dir: Path) -> None:
    server_dir.mkdir(parents=True)
    state = f'{{"pid": {os.getpid()}, "port": 1, "ready": true, "kept": true, "stopping": false}}'
    (server_dir / "server.json").write_text(state)
    assert not embedded.status(server_dir).running
    with embedded.acquire(server_dir) as lease:
        assert lease.endpoint.pid != os.getpid()
        assert not embedded.status(server_dir).kept


def test_kept_until_stopped(server_dir: Path) -> None:
    assert not embedded.stop(server_dir).running  # nothing there yet: nothing happens
    assert not server_dir.exists()
    status = embedded.start(server_dir)
    assert (status.running, status.kept) == (True, True)
    assert embedded.start(server_dir) == status
    with embedded.acquire(server_dir) as lease:
        assert lease.endpoint.pid == status.pid
        assert embedded.status(server_dir) == status
        in_use = embedded.stop(server_dir)
        assert (in_use.running, in_use.kept) == (True, False)
        embedded.start(server_dir)
    assert embedded.status(server_dir) == status
    assert not embedded.stop(server_dir).running
    assert not embedded._ServerDir(server_dir).alive()  # stop has waited


def test_taken_port_is_avoided(server_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server_dir.mkdir(parents=True)
        port = other.getsockname()[1]
        (server_dir / "server.json").write_text(f'{{"pid": 1, "port": {port}}}')
        with embedded.acquire(server_dir) as lease:
            assert not lease.endpoint.uri.endswith(f":{port}")


def test_lost_in_the_middle(server_dir: Path) -> None:
    settings = Settings(kg_home=server_dir.parent)
    with Connection.open(settings) as connection:
        pid = embedded.status(server_dir).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(GraphError, match="stopped answering"):
            connection.ask("RETURN 1")
    with Connection.open(settings) as connection:
        assert connection.ask("RETURN 1").rows == [[1]]


@pytest.mark.slow
def test_broken_database_is_told_with_the_log(
    server_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_dir.mkdir(parents=True)
    (server_dir / "databases").write_text("not a folder")
    monkeypatch.setattr(embedded, "START_SECONDS", 15.0)
    with pytest.raises(GraphError, match="doesn't start") as caught:
        embedded.acquire(server_dir)
    assert str(server_dir / "log" / "server.log") in str(caught.value)
    assert not embedded.status(server_dir).running


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GraphError, match="KG_HOME"):
        embedded.acquire(tmp_path / "file" / "server")


def test_without_the_wheel_neo4j_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_spec", lambda name: None)
    with pytest.raises(GraphError, match="NEO4J_URI"):
        embedded.acquire(tmp_path / "server")


BUILDER = """
import runpy, sys
from pathlib import Path
from kg.graph import java
java.aot_dir = lambda: Path(sys.argv[1])
runpy.run_module("kg.graph.aot", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_killed_builder_of_the_startup_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    cache = tmp_path / "cache"
    builder = subprocess.Popen([sys.executable, "-c", BUILDER, str(cache)])
    try:
        until(lambda: list(cache.glob("aot-*/server/server.json")))
        [state_file] = cache.glob("aot-*/server/server.json")
        until(state_file.read_text)  # it is made before it is written to
        pid = json.loads(state_file.read_text())["pid"]
        until(lambda: psutil.Process(pid).name() == "java")  # it is on its way up
    finally:
        builder.send_signal(number)
        builder.wait(DEADLINE)
    if number == signal.SIGKILL:  # the next builder clears up
        monkeypatch.setattr(aot, "_run_server", lambda server_dir, option: None)
        assert aot.build(cache / "new.aot")
        (cache / "new.aot").unlink()
    until(lambda: ended(pid))
    assert [path.name for path in cache.iterdir()] == ["aot.lock"]


@pytest.mark.slow
def test_startup_cache(server_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = server_dir.parent / "cache"
    monkeypatch.setattr(java, "aot_dir", lambda: cache)
    monkeypatch.setattr(aot, "DUMP_SECONDS", DEADLINE)
    file = java.find_wheel().aot_cache
    assert aot.build(file)
    assert file.stat().st_size > 1_000_000
    assert sorted(path.name for path in cache.iterdir()) == ["aot.lock", file.name]
    assert not aot.build(file)
    with embedded.acquire(server_dir) as lease:
        assert run(lease.endpoint, "RETURN 1") == [[1]]
    # A damaged one is thrown away, not died of.
    file.write_bytes(b"damaged" * 1000)
    with embedded.acquire(server_dir) as lease:
        assert run(lease.endpoint, "RETURN 1") == [[1]]


def test_heap_grows_with_the_library_up_to_half_the_memory(tmp_path: Path) -> None:
    gibibyte = 1 << 30
    database = tmp_path / "databases"
    # A first ingest may bring a million songs: measured, 1 GiB ends that with an error.
    assert java.heap_bytes(database, 64 * gibibyte) == 4 * gibibyte
    assert java.heap_bytes(database, 8 * gibibyte) == 2 * gibibyte
    assert java.heap_bytes(database, 3 * gibibyte) == gibibyte
    (database / "neo4j").mkdir(parents=True)
    with (database / "neo4j" / "Song_0.bucket").open("wb") as file:
        file.truncate(3 * gibibyte)  # takes no room
    assert java.heap_bytes(database, 64 * gibibyte) >= 7 * gibibyte
    assert java.heap_bytes(database, 4 * gibibyte) == 2 * gibibyte
    command = java.server_command(
        java.find_wheel(), tmp_path, 1, password_file=tmp_path / "password", jvm_options=()
    )
    heap = java.heap_bytes(database, psutil.virtual_memory().total) >> 20
    assert f"-Xmx{heap}m" in command
