"""The watchdog library's observer: a thread of its own that puts into a queue where to look.

What it tells are hints only. Everything is looked at again by whoever reads the queue, so a hint
that comes twice, late or in another order does no harm.
"""

import contextlib
import errno
import logging
import os
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kg.errors import KgError
from kg.text import printable

# After so many hints in one go the system's own queue may have been too short for them all.
BURST: Final = 5_000

# Whether the system tells of files that are closed after writing.
_CLOSES: Final = sys.platform == "linux"
_COUNTS: Final = 5
_COUNT_SECONDS: Final = 0.2
_PROC: Final = Path("/proc/self/fdinfo")


@dataclass(frozen=True, slots=True)
class Hint:
    """Something happened at a path.

    Attributes:
        path: Where.
        folder: It is, or was, a folder, as far as the system tells.
        written: Somebody writes to a file there, who will be seen to close it.
        closed: They have closed it.
    """

    path: str
    folder: bool
    written: bool = False
    closed: bool = False


class Eyes:
    """Watches folders until it is closed; best in a `with` statement.

    Args:
        folders: Real paths of folders that are watched with all below them, but not what links
            lead to.
        expected: Counts these folders with all below them, as far as they can be read.
        spelled: Real paths of folders, and what they are called instead.

    Raises:
        KgError: there are more folders than the system lets anybody watch.
    """

    def __init__(
        self, folders: Iterable[Path], expected: Callable[[], int], spelled: Mapping[str, str]
    ) -> None:
        from watchdog import events
        from watchdog.observers import Observer

        # It logs and warns of what is seen to here: threads that end, queues that were too short,
        # folders that are moved out and in again.
        logging.getLogger("watchdog").addHandler(logging.NullHandler())
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        self._hints: queue.SimpleQueue[Hint] = queue.SimpleQueue()
        before = set(threading.enumerate())
        with _clear_limits():
            self._observer = Observer()
        handler: Any = _Handler(self._hints, spelled)
        wanted = [
            *(events.DirCreatedEvent, events.DirMovedEvent, events.DirDeletedEvent),
            *(events.FileCreatedEvent, events.FileMovedEvent, events.FileDeletedEvent),
            *(events.FileModifiedEvent, events.FileAttribEvent, events.FileClosedEvent),
        ]
        try:
            with _clear_limits():
                self._observer.start()
                for folder in folders:
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                        self._observer.schedule(
                            handler, os.fspath(folder), recursive=True, event_filter=wanted
                        )
            self._require_all(expected)
        except BaseException:
            self.close()
            raise
        self._threads = [each for each in threading.enumerate() if each not in before]

    def __enter__(self) -> "Eyes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def open(self) -> bool:
        """Whether all its threads live: one ends where a watched folder goes."""
        return all(each.is_alive() for each in self._threads)

    def _require_all(self, expected: Callable[[], int]) -> None:
        """Folders that can't be watched are left out without a word: they have to be counted."""
        for _ in range(_COUNTS):
            watched, wanted = _watches(), expected()
            if watched is None or watched >= wanted:
                return
            time.sleep(_COUNT_SECONDS)  # folders may come and go meanwhile
        raise _too_many(f"{watched} of {wanted} folders")

    def hints(self, seconds: float) -> Iterator[Hint]:
        """What has been told by now, after waiting for the first for so long at most."""
        try:
            yield self._hints.get(timeout=max(seconds, 0))
            for _ in range(BURST):
                yield self._hints.get_nowait()
        except queue.Empty:
            return

    def close(self) -> None:
        """End its threads; safe to call twice."""
        # One that hasn't been started has nothing to end but its own descriptors.
        self._observer.stop()
        if self._observer.is_alive():
            self._observer.join()


class _Handler:
    """What the observer calls, in its own thread."""

    def __init__(self, hints: "queue.SimpleQueue[Hint]", spelled: Mapping[str, str]) -> None:
        self._hints = hints
        # The longest first: a folder that a link leads to may lie below another one.
        self._spelled = sorted(spelled.items(), key=lambda pair: -len(pair[0]))

    def dispatch(self, event: Any) -> None:
        for path in {event.src_path, event.dest_path} - {"", b""}:
            kind = event.event_type if _CLOSES else ""
            self._hints.put(
                Hint(
                    self._spell(os.fsdecode(path)),
                    # Elsewhere nobody knows of what is gone.
                    event.is_directory or not _CLOSES,
                    written=kind == "modified",
                    closed=kind == "closed",
                )
            )

    def _spell(self, path: str) -> str:
        for real, called in self._spelled:
            if path == real or path.startswith(f"{real}{os.sep}"):
                return called + path[len(real) :]
        return path


def _watches() -> int | None:
    """How many folders this process has the system watch; None where nobody knows."""
    if not _PROC.is_dir():
        return None
    count = 0
    for file in _PROC.iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            count += file.read_text("ascii").count("inotify wd:")
    return count


@contextlib.contextmanager
def _clear_limits() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _too_many("not all folders") from error
        if error.errno == errno.EMFILE:
            raise KgError(
                "The system lets nobody watch folders any more, as too many programs do: end one "
                "of them, raise the limit (sudo sysctl fs.inotify.max_user_instances=512), or use "
                "--poll."
            ) from error
        where = f" {printable(error.filename)}" if error.filename else ""
        raise KgError(
            f"The folder{where} can't be watched ({error.strerror or error}): use --poll."
        ) from error


def _too_many(what: str) -> KgError:
    return KgError(
        f"The system lets you watch {what} only: raise its limit "
        "(sudo sysctl fs.inotify.max_user_watches=1048576), or use --poll."
    )
