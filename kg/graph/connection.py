"""An open way to the graph database, whichever server it is."""

import contextlib
import random
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypeVar

from kg.errors import GraphError, WrongUsageError
from kg.graph import embedded
from kg.graph.asking import Answer, ask
from kg.graph.driver import neo4j, open_driver
from kg.graph.interruption import held_back
from kg.graph.runaways import end_query
from kg.graph.sentences import (
    SLOW_QUERY,
    STILL_AT_WORK,
    ServerInfo,
    clear_errors,
    shown,
    unusable_address,
)
from kg.settings import Settings

Neo4jError = neo4j.exceptions.Neo4jError

P = ParamSpec("P")
T = TypeVar("T")
Transaction = neo4j.ManagedTransaction | neo4j.Transaction

MERGE_ATTEMPTS: Final = 6
SCHEMA_ATTEMPTS: Final = 20  # about 8 s: an index over many songs holds its lock for seconds
FIRST_PAUSE_SECONDS: Final = 0.04
LONGEST_PAUSE_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 3.2e7  # of a query: a year
LOOK_SECONDS: Final = 0.05
UNWANTED_SECONDS: Final = 0.2  # after which a query is ended that nobody waits for
ARRIVAL_SECONDS: Final = 10.0  # in which a query that was given up has come to the server


class Connection:
    """The database of one run; close it, or use it as a context manager.

    Attributes:
        server: What is at the other end.
        guard: Called first in every transaction of `write`; what it raises undoes that (see
            kg.graph.turns).
        at_work: Held as long as a write goes on.
    """

    def __init__(
        self,
        server: ServerInfo,
        driver: neo4j.Driver,
        lease: embedded.Lease | None,
    ) -> None:
        self.server = server
        self.guard: Callable[[Transaction], None] | None = None
        self.at_work = threading.Lock()
        self._driver = driver
        self._lease = lease

    @classmethod
    def open(cls, settings: Settings) -> "Connection":
        """Connect to NEO4J_URI, or to the embedded server of this home, and check that it works.

        Raises:
            GraphError: it doesn't; the message says what to do. Within about 10 s.
        """
        if settings.neo4j_uri is None:
            lease = embedded.acquire(settings.server_dir)
            endpoint = lease.endpoint
            uri, database = endpoint.uri, endpoint.database
            username, password = endpoint.username, endpoint.password
        else:
            lease = None
            uri, database = settings.neo4j_uri, settings.neo4j_database
            username = settings.neo4j_username
            password = settings.neo4j_password.get_secret_value()
        kind: Literal["embedded", "Neo4j"] = "embedded" if lease else "Neo4j"
        folder = settings.server_dir if lease else None
        server = ServerInfo(kind, "", shown(uri), username, database, folder)
        try:
            with clear_errors(server), _clear_address_errors(server):
                driver = open_driver(uri, username, password)
                try:
                    with driver.session(database=database) as session:
                        agent = session.run("RETURN 1").consume().server.agent
                except BaseException:
                    driver.close()
                    raise
        except BaseException:
            if lease:
                lease.release()
            raise
        return cls(replace(server, version=_version(agent)), driver, lease)

    def write(
        self,
        work: Callable[Concatenate[neo4j.ManagedTransaction, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work(transaction, ...)` in one write transaction; it may be run several times.

        Raises:
            GraphError: the server refuses it or doesn't answer.
        """

        with (
            clear_errors(self.server),
            held_back() as interrupt,
            self.at_work,
            self._session() as session,
        ):

            def attempt(tx: neo4j.ManagedTransaction) -> T:
                interrupt()
                if self.guard is not None:
                    self.guard(tx)
                return work(tx, *args, **kwargs)

            return _again(lambda: session.execute_write(attempt), _lost_merge, MERGE_ATTEMPTS)

    def write_once(self, work: Callable[[Transaction], object]) -> None:
        """Run `work(transaction)` unguarded in one attempt: a server that is gone costs no wait.

        Raises:
            GraphError: the server refuses it or doesn't answer.
        """
        with (
            clear_errors(self.server),
            held_back(),
            self._session() as session,
            session.begin_transaction() as tx,
        ):
            work(tx)
            tx.commit()

    def read(
        self,
        work: Callable[Concatenate[neo4j.ManagedTransaction, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work(transaction, ...)` in one read transaction; it may be run several times.

        Raises:
            GraphError: the server refuses it or doesn't answer.
        """
        with clear_errors(self.server), self._session() as session:
            return session.execute_read(work, *args, **kwargs)

    def schema(self, statement: str) -> None:
        """Run a schema statement, which no transaction of ours may hold.

        Raises:
            GraphError: the server refuses it or doesn't answer.
        """
        with clear_errors(self.server), held_back(), self._session() as session:
            _again(lambda: session.run(statement).consume(), _lost_schema_race, SCHEMA_ATTEMPTS)

    def _session(self) -> neo4j.Session:
        return self._driver.session(database=self.server.database)

    def ask(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        *,
        most: int | None = None,
        unwanted: threading.Event | None = None,
    ) -> Answer:
        """Run the user's own query, which can only read; several threads may ask at once.

        Args:
            cypher: One statement.
            parameters: Values of its $names.
            timeout: Seconds it may take; None, or more than a year: as long as it likes.
            most: Rows that are read; None: all.
            unwanted: Set once nobody waits for the answer any more. The embedded server then ends a
                query that has a timeout; a real Neo4j ends it by that.

        Raises:
            GraphError: the query is wrong, would write, takes too long, or the server is gone.
            WrongUsageError: the timeout is no time.
        """
        if timeout is not None and not timeout > 0:
            raise WrongUsageError(f"A query can't be given {timeout:g} seconds: say more than 0.")
        if timeout is not None and timeout > LONGEST_SECONDS:
            timeout = None
        if not cypher.strip():
            raise GraphError(
                "The query is empty: write one, such as MATCH (s:Song) RETURN s.title."
            )
        with clear_errors(self.server):
            if timeout is not None and self._lease is not None:
                return self._ask_in_thread(
                    cypher, parameters or {}, timeout, most, unwanted or threading.Event()
                )
            with self._reading_driver() as driver:
                return ask(driver, self.server, cypher, parameters or {}, timeout, most)

    def _ask_in_thread(
        self,
        cypher: str,
        parameters: Mapping[str, Any],
        timeout: float,
        most: int | None,
        unwanted: threading.Event,
    ) -> Answer:
        """Stop waiting after `timeout` seconds: the embedded server knows no such limit."""
        outcome: list[Answer | BaseException] = []
        mark = secrets.token_hex(8)
        marked = f"{cypher}\n/* {mark} */"

        def run() -> None:
            try:
                with self._reading_driver() as driver:
                    outcome.append(ask(driver, self.server, marked, parameters, None, most))
            except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
                outcome.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        deadline = time.monotonic() + timeout
        ended = True
        try:
            while thread.is_alive() and not unwanted.is_set():
                if (left := deadline - time.monotonic()) <= 0:
                    break
                thread.join(min(left, UNWANTED_SECONDS))
        finally:  # Ctrl-C too
            late = not outcome
            if late:
                ended = self._end(mark, thread)
        if late:
            raise GraphError(SLOW_QUERY if ended else f"{SLOW_QUERY} {STILL_AT_WORK}")
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    def _end(self, mark: str, thread: threading.Thread) -> bool:
        """End the query that a thread asks: whether none runs any more."""
        assert self._lease is not None
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while ended := end_query(self._lease.endpoint, mark):
            # It may only be on its way there: it would begin when nobody looks any more.
            thread.join(LOOK_SECONDS)
            if not thread.is_alive() or time.monotonic() > deadline:
                break
        return ended

    @contextlib.contextmanager
    def _reading_driver(self) -> Iterator[neo4j.Driver]:
        """Neo4j refuses writes in READ mode; the embedded server needs its read-only user.

        Each question to that has a driver of its own: one that is given up keeps it busy.
        """
        if self._lease is None:
            yield self._driver
            return
        endpoint = self._lease.endpoint
        with open_driver(
            endpoint.uri, endpoint.reader_username, endpoint.reader_password
        ) as driver:
            yield driver

    def close(self) -> None:
        """Disconnect, and give the embedded server back; safe to call twice."""
        try:
            with clear_errors(self.server):
                self._driver.close()
        finally:
            if self._lease is not None:
                self._lease.release()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextlib.contextmanager
def _clear_address_errors(server: ServerInfo) -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # only the address is a value here
        raise GraphError(unusable_address(error, server)) from error


def _again(work: Callable[[], T], lost: Callable[[Neo4jError], bool], attempts: int) -> T:
    """Run `work`, and run it again while what it raises shows that another writer won a race."""
    for attempt in range(attempts - 1):
        try:
            return work()
        except Neo4jError as error:
            if not lost(error):
                raise
        pause = min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS)
        time.sleep(random.uniform(0.25, 0.75) * pause)
    return work()


def _lost_merge(error: Neo4jError) -> bool:
    """Two writers that MERGE the same new key: the driver doesn't retry this."""
    return isinstance(error, neo4j.exceptions.ConstraintError)


def _lost_schema_race(error: Neo4jError) -> bool:
    """Two that create the same schema at once, in spite of IF NOT EXISTS."""
    return error.is_retryable() or (error.code or "").endswith("AlreadyExists")


def _version(agent: str) -> str:
    """Read "5.26.30" from "Neo4j/5.26.30", "26.10.2" from "Neo4j/... (ArcadeDB 26.10.2)"."""
    match = re.search(r"ArcadeDB ([\w.-]+)", agent) or re.search(r"/([\w.-]+)", agent)
    return match.group(1) if match else agent
