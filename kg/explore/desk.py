"""What waits for the owner, and what is decided about it; one decision at a time."""

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kg.errors import KgError
from kg.graph.proposals import DecidedError, Decision, Kind, Proposal

if TYPE_CHECKING:
    from kg.library import Library

# Seconds for which a list is believed: another command may decide, or audit. One that takes long to
# read is believed for longer, by this factor.
_BELIEVED: Final = 15.0
_TIMES: Final = 20
# Seconds of reading that no page notices, and that the last one is given at the end.
_QUICK: Final = 1.0
_LAST: Final = 2.0
# Seconds that a page waits for another page's decision, or its look at the whole graph.
_PATIENCE: Final = 5.0


class BusyError(KgError):
    """Somebody else works on the graph, maybe for long: a page doesn't wait for it."""


class Desk:
    """The queue of proposals, as it was read last, and the decisions of this explorer."""

    def __init__(self, library: "Library") -> None:
        self._library = library
        # Library methods that write are for one thread at a time.
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._waiting: list[Proposal] = []
        self._known = False
        self._stale = self._took = 0.0
        self._preparing = threading.Lock()
        self._reader: threading.Thread | None = None
        self._closed = False
        # Songs that were decided about since the list was asked for.
        self._settled: set[str] = set()

    def waiting(self) -> list[Proposal]:
        """What waits, the surest first; it may be some seconds old.

        Where reading it takes long, the old one is told while a new one is read; the first one is
        waited for.

        Raises:
            GraphError: the server doesn't answer.
        """
        if not self._known or (time.monotonic() >= self._stale and self._took < _QUICK):
            self._read()
        elif time.monotonic() >= self._stale:
            self.prepare()
        return [each for each in self._waiting if each.song not in self._settled]

    def prepare(self) -> None:
        """Read what waits beside the answers."""
        with self._preparing:
            if self._closed or (self._reader is not None and self._reader.is_alive()):
                return
            self._reader = threading.Thread(target=self._read_quietly, daemon=True, name="queue")
            self._reader.start()

    def close(self) -> None:
        """Read nothing more; what is being read may end."""
        with self._preparing:
            self._closed, reader = True, self._reader
        if reader is not None:
            reader.join(_LAST)

    def _read_quietly(self) -> None:
        with contextlib.suppress(Exception):  # who looks next, or decides, meets it, and is told
            self._read()

    def _read(self) -> None:
        with self._reading:
            began = time.monotonic()
            if began < self._stale:  # another page has read it while this one waited
                return
            before = set(self._settled)
            self._stale = math.inf
            try:
                self._waiting = self._library.proposals()
            except BaseException:
                self._stale = 0.0
                raise
            self._known, self._took = True, time.monotonic() - began
            if self._stale == math.inf:  # and nothing was undone meanwhile
                self._stale = began + max(_BELIEVED, _TIMES * self._took)
            self._settled -= before

    def accept(
        self, song: str, genre: str, seen: Sequence[str], *, beside: bool, new: bool = False
    ) -> Decision:
        """Accept a genre: proposed, or the owner's own idea.

        Args:
            song: Id.
            genre: In any spelling.
            seen: The song's genres on the page that was looked at.
            beside: The song keeps its other genres.
            new: The genre may be one that nobody has named so far.

        Raises:
            UnknownGenreError: nobody has named the genre so far; it may be misspelled.
            DecidedError: they are others meanwhile, or this was decided.
            BusyError: somebody else works on the graph.
        """
        return self._decide(song, genre, seen, accept=True, beside=beside, new=new)

    def reject(self, song: str, genre: str, seen: Sequence[str]) -> Decision:
        """Never propose a genre for a song again; see `accept`."""
        return self._decide(song, genre, seen, accept=False)

    def undo(self, song: str | None) -> Decision:
        """Take back the last decision, of all or about a song.

        Raises:
            KgError: nothing was decided, or the song's genres have changed since.
            BusyError: somebody else works on the graph.
        """
        with self.alone():
            done = self._library.undo(song)
        self._settled.discard(done.song)
        self._stale = 0.0
        return done

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold other threads off from what only one may do.

        Raises:
            BusyError: one of them does it, or another command holds the graph.
        """
        if not self._writing.acquire(timeout=_PATIENCE):
            raise BusyError(
                "Another page of this explorer reads the whole graph right now: try again when it "
                "is done. Nothing was changed."
            )
        try:
            _refuse_busy(self._library)
            yield
        finally:
            self._writing.release()

    def _decide(
        self,
        song: str,
        genre: str,
        seen: Sequence[str],
        *,
        accept: bool,
        beside: bool = False,
        new: bool = False,
    ) -> Decision:
        proposal = self._looked_at(song, genre, seen)
        try:
            with self.alone():
                if accept:
                    replaces = () if beside else None
                    done = self._library.accept(
                        song, genre, proposal=proposal, replaces=replaces, new=new
                    )
                else:
                    done = self._library.reject(song, genre, proposal=proposal)
        except DecidedError:
            # By somebody else: what the list says of it is old.
            self._stale = 0.0
            raise
        self._settled.add(song)
        return done

    def _looked_at(self, song: str, genre: str, seen: Sequence[str]) -> Proposal:
        """The proposal of a page, with the genres that stood there."""
        for each in self._waiting:
            if (each.song, each.genre) == (song, genre):
                return replace(each, filed=tuple(seen))
        hand: Kind = "hand"
        return Proposal(song, None, None, None, (), genre, tuple(seen), (), hand, 1.0)


def _refuse_busy(library: "Library") -> None:
    """Raise where a command of this home writes now: it may train for an hour."""
    import sys

    if sys.platform == "win32":  # no such locks
        return
    from kg.graph.locks import FileLock

    lock = FileLock(library.settings.lock_file)
    try:
        if not lock.take(wait=False):
            raise BusyError(
                "Another kg command works on this library right now: try again when it is done. "
                "Nothing was changed."
            )
    finally:
        lock.release()
