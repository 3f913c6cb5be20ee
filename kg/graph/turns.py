"""Commands take turns at a graph, wherever they run: one writes to it, or reads it as a whole.

A `Turn` node says whose turn it is, and is there only as long. Its holder renews it with every
transaction and, while it computes, every few seconds, in the server's time: so a holder that lives
is waited for, and one that died is taken over from. Every write of the holder begins with a look at
the node, so one that only seemed dead (its machine slept) can't write any more after that.
"""

import contextlib
import random
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from kg.errors import GraphError, RebuiltError
from kg.graph import queries
from kg.graph.connection import Connection, Transaction
from kg.graph.driver import neo4j
from kg.graph.locks import name_if_free
from kg.progress import SILENT, Progress

RENEW_SECONDS: Final = 2.0
# A living holder renews its turn ten times in this time.
DEAD_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class _Holder:
    """Whose turn it is, as the node says."""

    holder: str
    home: str | None
    renewed: int
    idle: float


class Turn:
    """The turn of one command, from the beginning of a `with` statement to its end.

    Args:
        connection: To the graph; all it writes within the statement is checked.
        home: What nobody else's turn can bear while ours is asked for: a turn that bears it is a
            dead one's, and is taken over without waiting. None: there is no such thing.
        progress: Told when there is somebody to wait for.

    Raises:
        GraphError: the database can't be reached.
    """

    def __init__(
        self, connection: Connection, home: str | None, progress: Progress = SILENT
    ) -> None:
        self._connection = connection
        self._home = home
        self._progress = progress
        self._token = secrets.token_hex(8)
        self._renewed = 0.0
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="turn", daemon=True)

    def __enter__(self) -> "Turn":
        self._wait()
        self._connection.guard = self._renew
        self._keeper.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._keeper.join()
        self._connection.guard = None
        # All is written by now. A server that has gone can't be told that we are done: who comes
        # next waits a moment longer, as after one that died.
        with contextlib.suppress(GraphError):
            self._connection.write_once(self._give_back)

    def _wait(self) -> None:
        """Wait for a living holder's end, then take the turn."""
        said = False
        while True:
            there = self._connection.read(_look)
            if there is None or self._is_dead(there):
                with contextlib.suppress(_TakenError):
                    self._connection.write(self._take, there)
                    return
            elif not said:
                self._progress.say("Waiting for another kg command that works on this graph.")
                said = True
            time.sleep(random.uniform(0.5, 1.5) * POLL_SECONDS)

    def _is_dead(self, there: _Holder) -> bool:
        ours = there.home is not None and there.home == self._home
        return ours or there.idle > DEAD_SECONDS

    def _take(self, tx: neo4j.ManagedTransaction, there: _Holder | None) -> None:
        # Locks the node before it is looked at: of two who want it, one finds the other's token.
        row = _one(tx, queries.ASK_FOR_TURN, token=self._token)
        if row["holder"] == self._token:  # committed before its answer got lost
            return
        if (row["holder"], row["renewed"]) != (
            (None, None) if there is None else (there.holder, there.renewed)
        ):
            raise _TakenError
        _one(tx, queries.TAKE_TURN, token=self._token, home=self._home)
        self._renewed = time.monotonic()

    def _renew(self, tx: Transaction) -> None:
        if not _one(tx, queries.RENEW_TURN, token=self._token)["n"]:
            raise RebuiltError
        self._renewed = time.monotonic()

    def _give_back(self, tx: Transaction) -> None:
        tx.run(queries.GIVE_TURN_BACK, {"token": self._token}).consume()

    def _keep(self) -> None:
        """Renew the turn while the command computes."""
        while not self._over.wait(RENEW_SECONDS):
            if time.monotonic() - self._renewed < RENEW_SECONDS:
                continue
            # A write of the command renews the turn itself, and must find the node as it was: the
            # embedded server refuses who comes second, however often it tries again.
            if not self._connection.at_work.acquire(blocking=False):
                continue
            try:
                # The command's own next write meets whatever is wrong, and says it.
                with contextlib.suppress(GraphError):
                    self._connection.write_once(self._renew)
            finally:
                self._connection.at_work.release()


class _TakenError(Exception):
    """Somebody else was faster."""


def is_taken(connection: Connection, lock: Path | None = None) -> bool:
    """Whether a command is at work on the graph.

    Args:
        connection: The graph.
        lock: File that a command of our home holds as long as its turn lasts: one that was killed
            is known by that at once. None: only by its silence, after a while.
    """
    there = connection.read(_look)
    if there is None or there.idle > DEAD_SECONDS:
        return False
    return there.home is None or lock is None or there.home != name_if_free(lock)


def _look(tx: neo4j.ManagedTransaction) -> _Holder | None:
    found = tx.run(queries.WHOSE_TURN).single()
    if found is None:
        return None
    return _Holder(found["holder"], found["home"], found["renewed"], found["idle"] / 1000)


def _one(tx: Transaction, text: str, **parameters: Any) -> dict[str, Any]:
    return tx.run(text, parameters).single(strict=True).data()
