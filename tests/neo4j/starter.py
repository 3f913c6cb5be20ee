"""A real Neo4j for the tests: the one given, a container, or one from Maven Central."""

import contextlib
import gc
import hashlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from kg.graph.driver import neo4j

HERE = Path(__file__).parent
IMAGE = "neo4j:5.26-community"
START_SECONDS = 120.0
MAVEN_SECONDS = 600.0


class UnavailableError(Exception):
    """No real Neo4j can be had here; the message says what was tried."""


@dataclass(frozen=True)
class Address:
    uri: str
    username: str
    password: str
    database: str = "neo4j"


@contextlib.contextmanager
def serve(
    environment: Mapping[str, str], scratch: Path, *, heap: str | None = None
) -> Iterator[Address]:
    """Give a Neo4j that the tests may empty, and end it afterwards if we started it.

    With a `heap`, one from Maven runs as fast as it can; without, it is there as soon as it can.
    """
    if environment.get("NEO4J_URI"):
        if environment.get("KG_TEST_WIPE_NEO4J") != "1":
            raise RuntimeError(
                f"The tests would EMPTY the database at NEO4J_URI={environment['NEO4J_URI']}: "
                "set KG_TEST_WIPE_NEO4J=1 if that is wanted, or unset NEO4J_URI."
            )
        yield Address(
            environment["NEO4J_URI"],
            environment.get("NEO4J_USERNAME", "neo4j"),
            environment.get("NEO4J_PASSWORD", ""),
            environment.get("NEO4J_DATABASE", "neo4j"),
        )
    elif docker_runs():
        with in_container() as address:
            yield address
    else:
        with from_maven(scratch, heap) as address:
            yield address


def docker_runs() -> bool:
    try:
        import docker
    except ImportError:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            docker.from_env(timeout=5).close()  # asks the engine for its version
        except docker.errors.DockerException:
            return False
        finally:
            gc.collect()  # the client leaves sockets open, which would warn in some test
    return True


@contextlib.contextmanager
def in_container() -> Iterator[Address]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from testcontainers.neo4j import Neo4jContainer

        container = Neo4jContainer(IMAGE, password=secrets.token_urlsafe(12)).start()
    try:
        yield Address(container.get_connection_url(), container.username, container.password)
    finally:
        container.stop()


@contextlib.contextmanager
def from_maven(scratch: Path, heap: str | None = None) -> Iterator[Address]:
    lib = fetch_jars()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = scratch / "neo4j.conf"
    configuration.write_text(
        "server.bolt.enabled=true\n"
        f"server.bolt.listen_address=127.0.0.1:{port}\n"
        f"server.bolt.advertised_address=127.0.0.1:{port}\n"
        "dbms.security.auth_enabled=true\n"
        "dbms.usage_report.enabled=false\n"
        "server.memory.pagecache.size=64m\n"
    )
    log = scratch / "neo4j.log"
    # The source launcher compiles in memory; C1 alone starts a third faster.
    options = [f"-Xmx{heap}"] if heap else ["-Xmx512m", "-XX:TieredStopAtLevel=1"]
    command = ["java", *options, "-cp", f"{lib}/*"]
    command += [str(HERE / "Server.java"), str(scratch / "home"), str(configuration)]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, cwd=scratch
        ) as server,
    ):
        try:
            yield _first_login(f"bolt://127.0.0.1:{port}", server, log)
        finally:
            server.kill()  # its files are the tests' own: nothing to save


def _first_login(uri: str, server: subprocess.Popen[bytes], log: Path) -> Address:
    """Wait until it answers and replace the password it is born with."""
    password = secrets.token_urlsafe(12)
    deadline = time.monotonic() + START_SECONDS
    error: Exception | None = None
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with (
                neo4j.GraphDatabase.driver(uri, auth=("neo4j", "neo4j")) as driver,
                driver.session(database="system") as session,
            ):
                session.run(
                    "ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $password", password=password
                ).consume()
            return Address(uri, "neo4j", password)
        except (neo4j.exceptions.DriverError, neo4j.exceptions.Neo4jError) as reason:
            error = reason
            time.sleep(0.1)
    raise UnavailableError(f"Neo4j didn't start ({error}): {log.read_text()[-500:]}")


def fetch_jars() -> Path:
    """Copy Neo4j's jars from Maven Central into a cache, whole or not at all."""
    pom = HERE / "pom.xml"
    cache = Path(platformdirs.user_cache_dir("kg-tests", appauthor=False))
    lib = cache / f"neo4j-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    for tool in ("java", "mvn"):
        if tool == "mvn" and lib.is_dir():
            break
        if shutil.which(tool) is None:
            raise UnavailableError(
                f"no NEO4J_URI, no Docker engine, and no {tool} for Neo4j from Maven Central"
            )
    if lib.is_dir():
        return lib
    cache.mkdir(parents=True, exist_ok=True)
    copy = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    with tempfile.TemporaryDirectory(dir=cache) as partial:
        maven = subprocess.run(
            [*copy, f"-DoutputDirectory={partial}/lib"],
            capture_output=True,
            text=True,
            timeout=MAVEN_SECONDS,
        )
        if maven.returncode != 0:
            raise UnavailableError(f"Maven can't fetch Neo4j: {maven.stdout[-500:]}")
        with contextlib.suppress(OSError):  # another run was quicker
            Path(partial, "lib").replace(lib)
    return lib
