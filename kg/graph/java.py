"""The Java and the server inside the arcadedb-embedded wheel: where they lie, how they start."""

import hashlib
import os
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import platformdirs
import psutil

from kg.errors import GraphError

MEBIBYTE = 1 << 20
# The heap of an empty library, which may become a large one before the server is started again:
# Java's own choice, a quarter of the memory, within these bounds. It is taken as it is needed.
LEAST_HEAP, MOST_EMPTY_HEAP = 1024 * MEBIBYTE, 4096 * MEBIBYTE
# How many bytes of heap a byte of a library needs: its hot part is kept there, and what a query
# collects.
HEAP_PER_BYTE = 1.0
# Parts of the wheel that we never call; fewer jars start faster and open fewer doors.
UNUSED_JARS = ("mcp", "postgresw", "redisw", "graphql", "console", "python-bridge")
# Options and secrets of the caller that are none of the server's business.
FOREIGN_VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
JVM_OPTIONS = (
    "--enable-native-access=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
    "--add-opens=java.base/java.nio.channels.spi=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "-Djava.awt.headless=true",
)
SERVER_OPTIONS = {
    "server.mode": "development",  # production hides the texts of errors
    "server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
    "server.defaultDatabases": "neo4j[root]",
    "server.httpIncomingHost": "127.0.0.1",
    "server.httpIncomingPort": "0",
    "bolt.host": "127.0.0.1",
    "bolt.defaultDatabase": "neo4j",
    "bolt.maxMessageSize": "268435456",  # a longer message would hang the driver
    "queryMaxHeapElementsAllowedPerOp": "100000000",
    "dateTimeImplementation": "java.time.ZonedDateTime",  # others lose the zone
    "txWalFlush": "2",  # fsync: what was committed survives a crash
    "serverMetrics": "false",
    "polyglotEngineEnabled": "false",
    "opencypher.loadCsv.allowFileUrls": "false",
    "opencypher.loadCsv.allowRemoteUrls": "false",
}


@dataclass(frozen=True)
class Wheel:
    """The installed wheel: its Java, the jars the server needs, and a name for the two."""

    java: Path
    classpath: str
    fingerprint: str

    @property
    def aot_cache(self) -> Path:
        """Where Java's own start-up cache for this server lies (see kg.graph.aot)."""
        return aot_dir() / f"java-{self.fingerprint}.aot"


def aot_dir() -> Path:
    """Folder of the start-up caches; one for all homes, as they hold nothing of a home."""
    return Path(platformdirs.user_cache_dir("kg", appauthor=False))


def find_wheel() -> Wheel:
    """Find the wheel without importing it: that would load Java into this process.

    Raises:
        GraphError: it isn't installed; there is no wheel for some machines.
    """
    spec = find_spec("arcadedb_embedded")
    root = Path(spec.origin).parent if spec and spec.origin else None
    java = root / "jre" / "bin" / "java" if root else None
    if root is None or java is None or not java.exists():
        raise GraphError(
            "The embedded server isn't installed (arcadedb-embedded has no wheel for this "
            "machine): start Neo4j (docker compose up -d) and set NEO4J_URI, NEO4J_USERNAME "
            "and NEO4J_PASSWORD."
        )
    jars = sorted(
        jar
        for jar in (root / "jars").glob("*.jar")
        if not any(f"arcadedb-{part}" in jar.name for part in UNUSED_JARS)
    )
    installed = (root / "jre" / "release").stat().st_mtime_ns
    name = f"{root} {installed} {JVM_OPTIONS} {[jar.name for jar in jars]}"
    fingerprint = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return Wheel(java, os.pathsep.join(map(str, jars)), fingerprint)


def heap_bytes(database: Path, memory: int) -> int:
    """Choose the most heap that a server of this database may take, in bytes.

    Args:
        database: Folder of its files; it needn't exist yet.
        memory: Of the machine, in bytes.

    Returns:
        A quarter of the memory (1 to 4 GiB), more for a larger library, but never more than half
        of the memory.
    """
    files = database.rglob("*") if database.is_dir() else ()
    size = sum(file.stat().st_size for file in files if file.is_file())
    empty = min(max(LEAST_HEAP, memory // 4), MOST_EMPTY_HEAP)
    return min(empty + int(HEAP_PER_BYTE * size), memory // 2)


def server_command(
    wheel: Wheel, server_dir: Path, port: int, *, password_file: Path, jvm_options: tuple[str, ...]
) -> list[str]:
    """Build the command that serves `server_dir` over Bolt on `port` of loopback."""
    heap = heap_bytes(server_dir / "databases", psutil.virtual_memory().total)
    options = SERVER_OPTIONS | {
        "server.rootPath": str(server_dir),
        "server.rootPasswordPath": str(password_file),
        "server.logsDirectory": str(server_dir / "log"),
        "bolt.port": str(port),
    }
    return [
        str(wheel.java),
        f"-Xmx{heap // MEBIBYTE}m",
        *JVM_OPTIONS,
        *jvm_options,
        "-cp",
        wheel.classpath,
        *(f"-Darcadedb.{name}={value}" for name, value in options.items()),
        "com.arcadedb.server.ArcadeDBServer",
    ]


def detach(
    command: list[str],
    *,
    cwd: Path,
    output: IO[bytes] | int,
    inherit: tuple[int, ...] = (),
    note: tuple[Path, str] | None = None,
) -> int:
    """Run a command that outlives us, in a session of its own; return its pid.

    The shell between us hands the child to init, so it never becomes our zombie, and Ctrl-C in
    the terminal doesn't reach it.

    Args:
        command: Program and arguments.
        cwd: Where it runs.
        output: Where it writes.
        inherit: File descriptors that it keeps.
        note: A file and a text with %d: before it runs, the child writes the text there with its
            pid for %d, so that it is known even if we are killed before we return.

    Raises:
        OSError: it can't be run.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN_VARIABLES and not name.startswith("NEO4J_")
    }
    if note is not None:
        file, text = note
        write = '(umask 077 && printf "$1" $$ >"$2") && shift 2 && exec "$@"'
        command = ["/bin/sh", "-c", write, "sh", text, str(file), *command]
    shell = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=output,
        cwd=cwd,
        env=environment,
        pass_fds=inherit,
        start_new_session=True,
        check=True,
    )
    return int(shell.stdout)
