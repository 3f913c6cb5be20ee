"""A real Neo4j for the tests: the one given, a container, or one from Maven Central."""

import contextlib
import gc
import hashlib
import re
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
from kg.graph.locks import FileLock

HERE = Path(__file__).parent
IMAGE = "neo4j:5.26-community"
LTS = "5.26.30"
NEWEST = "2026.09.0"
NEWEST_JAVA = 21  # what it asks for
START_SECONDS = 600.0
MAVEN_SECONDS = 600.0
PRIVATE_KEY, CERTIFICATE = "private.key", "public.crt"


class UnavailableError(Exception):
    """No real Neo4j can be had here; the message says what was tried."""


@dataclass(frozen=True)
class Address:
    uri: str
    username: str
    password: str
    database: str = "neo4j"
    certificate: Path | None = None  # of one that speaks TLS


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
def from_maven(
    scratch: Path,
    heap: str | None = None,
    *,
    version: str = LTS,
    java: str = "java",
    certificates: Path | None = None,
) -> Iterator[Address]:
    """Start the Neo4j of this version; with certificates (see `certify`) it speaks TLS too."""
    lib = fetch_jars(version)
    # Held until the server listens there: nobody else is given this port meanwhile.
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    lines = [
        "server.bolt.enabled=true",
        f"server.bolt.listen_address=127.0.0.1:{port}",
        f"server.bolt.advertised_address=127.0.0.1:{port}",
        "dbms.security.auth_enabled=true",
        "dbms.usage_report.enabled=false",
        "server.memory.pagecache.size=64m",
    ]
    if certificates is not None:
        lines += [
            "server.bolt.tls_level=OPTIONAL",
            "dbms.ssl.policy.bolt.enabled=true",
            f"dbms.ssl.policy.bolt.base_directory={certificates}",
            f"dbms.ssl.policy.bolt.private_key={PRIVATE_KEY}",
            f"dbms.ssl.policy.bolt.public_certificate={CERTIFICATE}",
            "dbms.ssl.policy.bolt.client_auth=NONE",
        ]
    configuration = scratch / "neo4j.conf"
    configuration.write_text("\n".join(lines) + "\n")
    log = scratch / "neo4j.log"
    # The source launcher compiles in memory; C1 alone starts a third faster.
    options = [f"-Xmx{heap}"] if heap else ["-Xmx512m", "-XX:TieredStopAtLevel=1"]
    command = [java, *options, "-cp", f"{lib}/*"]
    command += [str(HERE / "Server.java"), str(scratch / "home"), str(configuration)]
    with (
        contextlib.closing(probe),
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


def certify(folder: Path) -> Path:
    """Make a key and a certificate that nobody but itself vouches for, good for this machine."""
    if shutil.which("openssl") is None:
        raise UnavailableError("no openssl to make a certificate with")
    for name in ("trusted", "revoked"):  # Neo4j looks for them
        (folder / name).mkdir(parents=True)
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    make += ["-keyout", str(folder / PRIVATE_KEY), "-out", str(folder / CERTIFICATE)]
    make += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = subprocess.run(make, capture_output=True, text=True)
    if made.returncode != 0:
        raise UnavailableError(f"openssl makes no certificate: {made.stderr[-300:]}")
    return folder


def find_java(least: int, environment: Mapping[str, str]) -> str:
    """A JDK of at least this version: the one that is used anyway, or another on this machine."""
    homes = [Path(value) for name, value in environment.items() if name.startswith("JAVA_HOME")]
    homes += Path("/usr/lib/jvm").glob("*")
    homes += Path("/Library/Java/JavaVirtualMachines").glob("*/Contents/Home")
    if tool := shutil.which("java_home") or shutil.which("/usr/libexec/java_home"):
        asked = subprocess.run([tool, "-v", f"{least}+"], capture_output=True, text=True)
        homes += [Path(line) for line in asked.stdout.split() if asked.returncode == 0]
    found = {}
    for java in [shutil.which("java"), *(str(home / "bin" / "java") for home in homes)]:
        # Only a JDK can run Server.java as it is.
        if java and Path(java).is_file() and Path(java).resolve().with_name("javac").is_file():
            said = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
            if version := re.search(r'version "(\d+)', said):
                found[java] = int(version[1])
                if found[java] >= least:
                    return java
    raise UnavailableError(f"it needs a JDK {least} or newer, and here is {found or 'none'}")


def fetch_jars(version: str = LTS) -> Path:
    """Copy Neo4j's jars from Maven Central into a cache, whole or not at all."""
    pom = HERE / "pom.xml"
    cache = Path(platformdirs.user_cache_dir("kg-tests", appauthor=False))
    mark = hashlib.sha256(pom.read_bytes() + version.encode()).hexdigest()[:12]
    lib = cache / f"neo4j-{mark}"
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
    copy = ["mvn", "-q", "-B", "-f", str(pom), f"-Dneo4j.version={version}"]
    copy += ["dependency:copy-dependencies"]
    # Two Mavens at once spoil each other's downloads.
    with FileLock(cache / "maven.lock"), tempfile.TemporaryDirectory(dir=cache) as partial:
        if lib.is_dir():
            return lib
        maven = subprocess.run(
            [*copy, f"-DoutputDirectory={partial}/lib"],
            capture_output=True,
            text=True,
            timeout=MAVEN_SECONDS,
        )
        if maven.returncode != 0:
            raise UnavailableError(f"Maven can't fetch Neo4j: {maven.stdout[-500:]}")
        Path(partial, "lib").replace(lib)
    return lib
