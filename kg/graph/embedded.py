"""The server inside the arcadedb-embedded wheel, shared by every command that works on one home.

Three locks in the server's folder decide everything, so that nothing hangs on a command's tidy
end: `start.lock` (held alone while a command finds or starts the server), `clients.lock` (shared
by all who use it; whoever can take it alone on leaving is the last and stops the server) and
`alive.lock` (inherited by the server: free means that it is gone). `server.json` says where the
server is; it counts only while `alive.lock` is held.
"""

import atexit
import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Final

from kg.errors import GraphError
from kg.graph import java
from kg.graph.driver import neo4j, open_driver
from kg.graph.locks import FileLock

USERNAME: Final = "root"  # the server insists on this name
READER: Final = "reader"
DATABASE: Final = "neo4j"  # the driver's default on a real Neo4j too
START_SECONDS: Final = 30.0  # for each of two tries
STOP_SECONDS: Final = 60.0
NOTE_SECONDS: Final = 15.0  # a child takes some milliseconds to write down its pid, or its turn
POLL_SECONDS: Final = 0.03
KEPT_LOGS: Final = 5  # of each kind that the server begins anew with every start
# The passwords are 192 random bits: stretching them would only slow the login down.
HASH_ROUNDS: Final = 1000


@dataclass(frozen=True)
class Endpoint:
    """Where the running server is, and the two ways in: everything, or reading only."""

    uri: str
    username: str
    password: str = field(repr=False)
    reader_username: str
    reader_password: str = field(repr=False)
    pid: int
    database: str = DATABASE


@dataclass(frozen=True)
class ServerStatus:
    """What `kg server status` tells; `uri` and `pid` are None while nothing runs.

    `kept`: it stays up after the last command, until `stop` or the machine's end.
    """

    running: bool
    kept: bool
    uri: str | None
    username: str
    password_file: Path
    pid: int | None


@dataclass(frozen=True)
class _State:
    """Content of `server.json`."""

    pid: int
    port: int
    ready: bool = False
    kept: bool = False
    stopping: bool = False

    @property
    def uri(self) -> str:
        return f"bolt://127.0.0.1:{self.port}"


class _ServerDir:
    """The files of one server; see the module's text for the locks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.password_file = path / "password"
        self.reader_password_file = path / "reader-password"
        self.log_file = path / "log" / "server.log"
        self.state_file = path / "server.json"

    def make(self) -> None:
        """Create the folders, open to their owner only."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("log", "config"):
            (self.path / name).mkdir(exist_ok=True, mode=0o700)

    def lock(self, name: str) -> FileLock:
        return FileLock(self.path / f"{name}.lock")

    def read_state(self) -> _State | None:
        try:
            return _State(**json.loads(self.state_file.read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):  # none, or cut off by a full disk
            return None

    def write_state(self, state: _State) -> None:
        _write_private(self.state_file, json.dumps(asdict(state)))

    def forget_state(self) -> None:
        self.state_file.unlink(missing_ok=True)

    def prune_logs(self) -> None:
        """Remove all but the last logs of earlier starts."""
        for pattern in ("server-event-log-*.jsonl", "arcadedb.log.*"):
            logs = sorted(self.log_file.parent.glob(pattern), key=lambda log: log.stat().st_mtime)
            for log in logs[:-KEPT_LOGS]:
                log.unlink(missing_ok=True)

    def alive(self) -> bool:
        """Whether a server process holds this folder."""
        lock = self.lock("alive")
        try:
            return not lock.share(wait=False)  # not alone: two who ask must not see each other
        finally:
            lock.release()

    def running(self) -> _State | None:
        """The state of the server that runs and may be used."""
        state = self.read_state()
        return state if state and not state.stopping and self.alive() else None

    def password(self, file: Path) -> str:
        """Read a password, made up at first use."""
        with contextlib.suppress(FileNotFoundError):
            if password := file.read_text("utf-8").strip():
                return password
        password = secrets.token_urlsafe(24)
        _write_private(file, password)
        return password

    def endpoint(self, state: _State) -> Endpoint:
        return Endpoint(
            uri=state.uri,
            username=USERNAME,
            password=self.password(self.password_file),
            reader_username=READER,
            reader_password=self.password(self.reader_password_file),
            pid=state.pid,
        )


class Lease:
    """A client's share of the running server, until `release` or the end of a `with`."""

    def __init__(self, home: _ServerDir, clients: FileLock, state: _State, *, warm: bool) -> None:
        self.endpoint = home.endpoint(state)
        self._home = home
        self._clients = clients
        self._warm = warm
        self._owner = os.getpid()
        self._released = False
        atexit.register(self.release)

    def release(self) -> None:
        """Give the share back; the last one out stops the server, without waiting for its end."""
        # A forked child shares the lock, but not the lease.
        if self._released or os.getpid() != self._owner:
            return
        self._released = True
        atexit.unregister(self.release)
        if _leave(self._home, self._clients) and self._warm:
            _speed_up_next_start(self._home)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def acquire(
    server_dir: Path, *, keep: bool = False, jvm_options: tuple[str, ...] | None = None
) -> Lease:
    """Join the server of this folder, starting it if none runs.

    Args:
        server_dir: The server's folder; created if missing.
        keep: Let the server run on after the last client, until `stop`.
        jvm_options: Options for Java instead of those that make it start fast.

    Raises:
        GraphError: it can't be started or the folder can't be used; the message says why.
    """
    home = _ServerDir(server_dir.absolute())
    with _clear_folder_errors(home):
        home.make()
        with home.lock("start"):
            clients = home.lock("clients")
            clients.share(wait=True)
            try:
                state = _find(home) or _start(home, jvm_options)
                if keep and not state.kept:
                    state = replace(state, kept=True)
                    home.write_state(state)
                return Lease(home, clients, state, warm=jvm_options is None)
            except BaseException:  # Ctrl-C too: a server that nobody waits for must not stay
                _leave(home, clients)
                raise


def start(server_dir: Path) -> ServerStatus:
    """Start the server, or find it running, and keep it up without clients.

    Raises:
        GraphError: it can't be started.
    """
    with acquire(server_dir, keep=True):
        return status(server_dir)


def stop(server_dir: Path) -> ServerStatus:
    """Stop the server and wait for its end; while clients use it, the last of them stops it.

    Raises:
        GraphError: the folder can't be used.
    """
    home = _ServerDir(server_dir.absolute())
    if not home.path.is_dir():
        return status(server_dir)
    with _clear_folder_errors(home), home.lock("start"):
        clients = home.lock("clients")
        clients.share(wait=True)
        if (state := home.running()) and state.kept:
            home.write_state(replace(state, kept=False))
        if _leave(home, clients):
            _wait_until_gone(home)
    return status(server_dir)


def kill(server_dir: Path) -> None:
    """End the server of this folder at once, whoever uses it; without effect if none runs."""
    home = _ServerDir(server_dir.absolute())
    if not home.path.is_dir() or not home.alive() or not (state := home.read_state()):
        return
    with contextlib.suppress(ProcessLookupError):
        # The group, which is the server's own: what it started holds alive.lock too.
        os.killpg(os.getpgid(state.pid), signal.SIGKILL)
    _wait_until_gone(home)


def status(server_dir: Path) -> ServerStatus:
    """Tell whether the server runs, where, and whether it is kept up; changes nothing.

    Raises:
        GraphError: the folder can't be read.
    """
    home = _ServerDir(server_dir.absolute())
    with _clear_folder_errors(home):
        state = home.running() if home.path.is_dir() else None
    return ServerStatus(
        running=state is not None,
        kept=state is not None and state.kept,
        uri=state.uri if state else None,
        username=USERNAME,
        password_file=home.password_file,
        pid=state.pid if state else None,
    )


def _leave(home: _ServerDir, clients: FileLock) -> bool:
    """Give up a client's lock and stop the server if it was the last; True if it stops now."""
    try:
        if not clients.take(wait=False):
            return False
        state = home.running()
        if state is None or state.kept:
            return False
        with contextlib.suppress(OSError):  # a full disk must not keep the server running
            home.write_state(replace(state, stopping=True))
        _signal(state.pid, signal.SIGTERM)
        return True
    finally:
        clients.release()


def _find(home: _ServerDir) -> _State | None:
    """Return the usable server that runs; see to it that none runs otherwise."""
    if not home.alive():
        return None
    state = home.read_state()
    if state and not state.stopping:
        if state.ready and _speaks_bolt(state.port):
            return state
        # The command that started it may have died while it was booting.
        if _wait_until_ready(home, state):
            state = replace(state, ready=True)
            home.write_state(state)
            return state
        _signal(state.pid, signal.SIGKILL)
    if not _wait_until_gone(home):
        if state is None:
            raise GraphError(
                f"A server that nobody knows holds {home.path}: end the java process that was "
                "started for this folder."
            )
        _signal(state.pid, signal.SIGKILL)
        _wait_until_gone(home)
    return None


def _start(home: _ServerDir, jvm_options: tuple[str, ...] | None) -> _State:
    """Start the server and wait until it answers; the caller holds start.lock."""
    wheel = java.find_wheel()
    _write_users(home)
    previous = home.read_state()
    port = _free_port(previous.port if previous else 0)
    cached = jvm_options is None and _has_content(wheel.aot_cache)
    if jvm_options is None:
        jvm_options = (f"-XX:AOTCache={wheel.aot_cache}",) if cached else ()
    state = _try_start(home, wheel, port, jvm_options)
    if state is None:
        # Another program may have taken the port, or the start-up cache be damaged.
        crashed = not _failed(home.log_file)
        state = _try_start(home, wheel, _free_port(0), () if cached else jvm_options)
        if state and cached and crashed:
            wheel.aot_cache.unlink(missing_ok=True)
    if state:
        return state
    home.forget_state()
    raise GraphError(
        f"The embedded server doesn't start: {_last_words(home.log_file)} (its log is "
        f"{home.log_file})"
    )


def _try_start(
    home: _ServerDir, wheel: java.Wheel, port: int, jvm_options: tuple[str, ...]
) -> _State | None:
    state = _launch(home, wheel, port, jvm_options)
    if _wait_until_ready(home, state):
        state = replace(state, ready=True)
        home.write_state(state)
        return state
    _signal(state.pid, signal.SIGKILL)
    _wait_until_gone(home)
    return None


def _launch(home: _ServerDir, wheel: java.Wheel, port: int, jvm_options: tuple[str, ...]) -> _State:
    command = java.server_command(
        wheel, home.path, port, password_file=home.password_file, jvm_options=jvm_options
    )
    home.forget_state()
    home.prune_logs()
    alive = home.lock("alive")
    try:
        try:
            alive.take(wait=True)
            if home.log_file.exists():
                home.log_file.replace(home.log_file.with_suffix(".previous.log"))
            with home.log_file.open("wb") as log:
                pid = java.detach(
                    command,
                    cwd=home.path,
                    output=log,
                    inherit=(alive.fileno(),),
                    note=(home.state_file, f'{{"pid": %d, "port": {port}}}'),
                )
        finally:
            alive.drop()  # only closed: the server has inherited the lock
        state = _State(pid, port)
        home.write_state(state)
    except BaseException:  # Ctrl-C, most likely: the caller stops what is in the state
        deadline = time.monotonic() + NOTE_SECONDS
        while home.alive() and not home.read_state() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        raise
    return state


def _wait_until_ready(home: _ServerDir, state: _State) -> bool:
    """Wait until the server answers a query; False if it ended, failed or took too long."""
    endpoint = home.endpoint(state)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _speaks_bolt(state.port):
            break
        if not home.alive() or _failed(home.log_file):
            return False
        time.sleep(POLL_SECONDS)
    driver_errors = (neo4j.exceptions.DriverError, neo4j.exceptions.Neo4jError)
    with open_driver(endpoint.uri, endpoint.username, endpoint.password) as driver:
        while time.monotonic() < deadline:
            # The port opens before the database does.
            with contextlib.suppress(*driver_errors), driver.session(database=DATABASE) as session:
                session.run("RETURN 1").consume()
                return True
            if not home.alive() or _failed(home.log_file):
                return False
            time.sleep(POLL_SECONDS)
    return False


def _wait_until_gone(home: _ServerDir) -> bool:
    """Wait until the old server has let go of the database; False if it takes too long."""
    deadline = time.monotonic() + STOP_SECONDS
    while home.alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _speaks_bolt(port: int) -> bool:
    """Whether a Bolt server accepts us; a tenth of what a login takes."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(bytes.fromhex("6060b017 00000405 00000000 00000000 00000000"))
            return any(connection.recv(4))
    except OSError:
        return False


def _free_port(preferred: int) -> int:
    """Choose a port of loopback: the one of last time, so that addresses stay good, or any."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise GraphError("No port of 127.0.0.1 is free for the embedded server.")


def _write_users(home: _ServerDir) -> None:
    """Write the server's two users and their groups; the second may read records, no more."""

    def user(name: str, databases: dict[str, list[str]], password_file: Path) -> str:
        salt = base64.b64encode(secrets.token_bytes(24)).decode()
        digest = hashlib.pbkdf2_hmac(
            "sha256", home.password(password_file).encode(), salt.encode(), HASH_ROUNDS, 32
        )
        code = f"PBKDF2WithHmacSHA256${HASH_ROUNDS}${salt}${base64.b64encode(digest).decode()}"
        return json.dumps({"name": name, "databases": databases, "password": code})

    def group(access: list[str], records: list[str]) -> dict[str, object]:
        unlimited = {"resultSetLimit": -1, "readTimeout": -1}
        return {**unlimited, "access": access, "types": {"*": {"access": records}}}

    groups = {
        "admin": group(
            ["updateSecurity", "updateSchema", "updateDatabaseSettings"],
            ["createRecord", "readRecord", "updateRecord", "deleteRecord"],
        ),
        "reader": group([], ["readRecord"]),
        "*": group([], []),
    }
    users = (
        user(USERNAME, {"*": ["admin"]}, home.password_file),
        user(READER, {DATABASE: ["reader"]}, home.reader_password_file),
    )
    config = home.path / "config"
    _write_private(config / "server-users.jsonl", "\n".join(users) + "\n")
    _write_private(
        config / "server-groups.json",
        json.dumps({"databases": {"*": {"groups": groups}}, "version": 2}),
    )


def _write_private(path: Path, text: str) -> None:
    """Write a file for its owner's eyes, all of it or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.touch(mode=0o600)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _speed_up_next_start(home: _ServerDir) -> None:
    """Let Java prepare its start-up cache once, behind the user's back (see kg.graph.aot)."""
    if java.find_wheel().aot_cache.exists() or not sys.executable:
        return
    with contextlib.suppress(OSError):
        command = [sys.executable, "-m", "kg.graph.aot"]
        java.detach(command, cwd=home.path, output=subprocess.DEVNULL)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _failed(log_file: Path) -> bool:
    """Whether the server's start failed: its process may go on without serving anybody."""
    with contextlib.suppress(FileNotFoundError):
        return b'Exception in thread "main"' in log_file.read_bytes()
    return False


def _last_words(log_file: Path) -> str:
    """Quote the reason from the log: the innermost exception, or the last lines."""
    text = log_file.read_text("utf-8", "replace") if log_file.exists() else ""
    reasons = re.findall(r'(?:Exception in thread "main"|Caused by:) (?:[\w.$]+: )?(.+)', text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return reasons[-1] if reasons else " / ".join(lines[-3:]) or "it ended without a word"


@contextlib.contextmanager
def _clear_folder_errors(home: _ServerDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GraphError(
            f"The embedded server's folder {home.path} can't be used "
            f"({error.strerror or error}): make room or give yourself the right to write there, "
            "or choose another home with --home DIR or KG_HOME."
        ) from error
