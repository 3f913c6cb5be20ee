"""A lock on a file that ends with the process that holds it, however that process ends."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from kg.errors import GraphError, KgError

if sys.platform != "win32":
    import fcntl


class FileLock:
    """One open description of a lock file; several holders share it or one has it alone.

    As a context manager it is held alone.

    Raises:
        GraphError: on Windows, which has no such locks.
        OSError: the file can't be opened.
    """

    def __init__(self, path: Path) -> None:
        if sys.platform == "win32":
            raise GraphError(
                "The embedded server doesn't run on Windows yet: start Neo4j "
                "(docker compose up -d) and set NEO4J_URI, or use WSL."
            )
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def share(self, *, wait: bool) -> bool:
        """Hold it with others; False (and nothing held) if one has it alone and `wait` is off."""
        return self._lock("LOCK_SH", wait=wait)

    def take(self, *, wait: bool) -> bool:
        """Hold it alone; False (and nothing held any more) if others hold it and `wait` is off."""
        return self._lock("LOCK_EX", wait=wait)

    def release(self) -> None:
        """Hold nothing any more; safe to call twice."""
        if self._fd < 0:
            return
        # Explicitly: a forked child may still have this description open.
        self._lock("LOCK_UN")
        self.drop()

    def drop(self) -> None:
        """Close our copy; whoever inherited the description keeps the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        """File descriptor, for a child process that is to inherit the lock."""
        return self._fd

    def name(self) -> str:
        """What no other lock file is called as long as this one is open, on any machine."""
        file = os.fstat(self._fd)
        return f"{platform.node()}:{file.st_dev}:{file.st_ino}"

    def _lock(self, operation: str, *, wait: bool = True) -> bool:
        if sys.platform != "win32":
            try:
                fcntl.flock(self._fd, getattr(fcntl, operation) | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                return False
        return True

    def __enter__(self) -> "FileLock":
        self.take(wait=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def name_if_free(path: Path) -> str | None:
    """What a lock is called, if nobody holds it alone; None: somebody does, or nobody can tell."""
    if sys.platform == "win32" or not path.exists():
        return None
    try:
        lock = FileLock(path)
    except OSError:  # a home that is only read
        return None
    try:
        return lock.name() if lock.share(wait=False) else None
    finally:
        lock.release()


@contextmanager
def held_alone(path: Path, busy: str) -> Iterator[None]:
    """Keep other commands from something for as long as a `with` statement; on Windows nothing is.

    Args:
        path: The lock file.
        busy: What is said where another command holds it.

    Raises:
        KgError: another command holds it.
        OSError: the file can't be opened.
    """
    if sys.platform == "win32":  # no such locks
        yield
        return
    lock = FileLock(path)
    try:
        if not lock.take(wait=False):
            raise KgError(busy)
        yield
    finally:
        lock.release()
