"""Java's start-up cache for the embedded server: with it a cold start takes 0.8 s instead of 2 s.

Java writes the cache (about 50 MB) when a server ends that was told to watch itself, which takes
some seconds. So that nobody waits for it, a server of its own is started for it, once for each
installation, at low priority: `python -m kg.graph.aot`.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Final, LiteralString

from kg.graph import java
from kg.graph.driver import neo4j, open_driver
from kg.graph.embedded import acquire, kill
from kg.graph.locks import FileLock

DUMP_SECONDS: Final = 180.0
KEPT_CACHES: Final = 3
SCRATCH_PREFIX: Final = "aot-"
ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
CONSTRAINT: Final = "CREATE CONSTRAINT IF NOT EXISTS FOR (s:Song) REQUIRE s.id IS UNIQUE"
# What a command typically asks for, so that its classes are in the cache.
WORKLOAD: Final = (
    "UNWIND range(1, 50) AS i MERGE (s:Song {id: toString(i)}) SET s += {title: 'a', year: i}",
    "MATCH (a:Song), (b:Song {year: a.year + 1}) MERGE (a)-[r:SIMILAR_TO]->(b) SET r.weight = 1.0",
    "MATCH (a:Song)-[r:SIMILAR_TO]->(b) RETURN b.id, avg(r.weight) AS w ORDER BY w DESC LIMIT 5",
    "MATCH (s:Song) WHERE s.title CONTAINS 'a' RETURN count(*), collect(s)[..2]",
    "MATCH (s:Song) DETACH DELETE s",
)


def build(cache: Path) -> bool:
    """Make the cache unless it is there or being made; True if it was made.

    Raises:
        GraphError: the server for it can't be started.
        OSError: the folder can't be written to.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache.parent / "aot.lock")
    try:
        if not lock.take(wait=False):
            return False
        _remove_leftovers(cache.parent)
        if cache.exists():
            return False
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix=SCRATCH_PREFIX) as scratch:
            made = Path(scratch) / "new.aot"
            _run_server(Path(scratch) / "server", f"-XX:AOTCacheOutput={made}")
            # Nothing made: an empty file says so, or every command would try again.
            (made if made.exists() else _empty(made)).replace(cache)
        _remove_old(cache.parent)
        return True
    finally:
        lock.release()


def _run_server(server_dir: Path, option: str) -> None:
    try:
        with acquire(server_dir, jvm_options=(option,)) as lease:
            endpoint = lease.endpoint
            with (
                open_driver(endpoint.uri, endpoint.username, endpoint.password) as driver,
                driver.session(database=endpoint.database) as session,
            ):
                session.run(CONSTRAINT).consume()
                for statement in WORKLOAD:
                    session.execute_write(_run, statement)
        alive = FileLock(server_dir / "alive.lock")
        deadline = time.monotonic() + DUMP_SECONDS
        while not alive.share(wait=False) and time.monotonic() < deadline:
            time.sleep(0.1)
        alive.release()
    finally:
        kill(server_dir)  # where the end above didn't come


def _run(transaction: neo4j.ManagedTransaction, statement: LiteralString) -> None:
    transaction.run(statement).consume()


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _remove_leftovers(folder: Path) -> None:
    """Clear up after builders that were killed: nobody builds but us, who hold aot.lock."""
    for scratch in folder.glob(f"{SCRATCH_PREFIX}*/"):
        kill(scratch / "server")
        shutil.rmtree(scratch, ignore_errors=True)


def _end(number: int, frame: FrameType | None) -> None:
    """End on a signal as on an exception, so that the server and its folder go too."""
    for other in ENDING_SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # once is enough
    sys.exit(128 + number)


def _remove_old(folder: Path) -> None:
    caches = sorted(folder.glob("java-*.aot"), key=lambda path: path.stat().st_mtime)
    for path in caches[:-KEPT_CACHES]:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    for number in ENDING_SIGNALS:
        signal.signal(number, _end)
    with contextlib.suppress(OSError):
        os.nice(19)
    build(java.find_wheel().aot_cache)
