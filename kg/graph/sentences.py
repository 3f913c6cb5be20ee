"""The driver's exceptions turned into sentences that say what, where and how to mend it."""

import re
import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from kg.errors import GraphError
from kg.graph.driver import neo4j

AuthError = neo4j.exceptions.AuthError
DriverError = neo4j.exceptions.DriverError
Forbidden = neo4j.exceptions.Forbidden
Neo4jError = neo4j.exceptions.Neo4jError
ServiceUnavailable = neo4j.exceptions.ServiceUnavailable
SessionExpired = neo4j.exceptions.SessionExpired

# What the driver says of Neo4j 4 and older; it has no class of its own for that.
_OLD_BOLT = re.compile(r"not supported for the Bolt Protocol|not support communication with this")

SLOW_QUERY = "The query took longer than it may: ask for less, or give it more time."
STILL_AT_WORK = (
    "The embedded server can't be stopped at it and works on, until the last kg command ends or "
    "`kg server stop`."
)


# With less room than this, what the embedded server can't do is for want of room.
FULL_BYTES: Final = 4 << 20


@dataclass(frozen=True)
class ServerInfo:
    """The server at the other end: what it is, where, and as whom we came in.

    `folder`: of an embedded server's files.
    """

    kind: Literal["Neo4j", "embedded"]
    version: str
    uri: str
    username: str
    database: str
    folder: Path | None = None


@contextmanager
def clear_errors(server: ServerInfo) -> Iterator[None]:
    """Turn what the driver raises inside into GraphError; Ctrl-C and SIGTERM stay what they are.

    The driver reacts to an interruption by tidying up a connection that it was reading from, which
    can fail in turn (BufferError, a protocol error) and would hide what happened.
    """
    try:
        yield
    except Exception as error:
        stopped = next(
            (e for e in _causes(error) if isinstance(e, KeyboardInterrupt | SystemExit)), None
        )
        if stopped is not None:
            raise stopped from None
        _raise_clearly(error, server)
        raise


def _raise_clearly(error: Exception, server: ServerInfo) -> None:
    if isinstance(error, DriverError | Neo4jError):
        raise GraphError(explain(error, server)) from error
    # The driver raises these for values that Bolt can't carry; our own bugs stay tracebacks.
    unusable = isinstance(error, OverflowError | TypeError | ValueError)
    if unusable and _raised_by_driver(error):
        raise GraphError(f"The database can't take this value: {error}.") from error


def explain(error: DriverError | Neo4jError, server: ServerInfo) -> str:
    """Say in one sentence what happened, where, and how to mend it."""
    code = getattr(error, "code", None) or ""
    if full := _full_disk(server):
        return full
    if isinstance(error, AuthError) or code.endswith("AuthenticationRateLimit"):
        return _refused(code, server)
    if code.endswith("CredentialsExpired"):
        return (
            f"{server.uri} wants a new password for {server.username} first: run ALTER CURRENT "
            "USER SET PASSWORD FROM 'old' TO 'new' on its system database, then set "
            "NEO4J_PASSWORD."
        )
    if isinstance(error, Neo4jError) and server.database.lower() == "system":
        return (
            f"The system database of {server.uri} can't hold a graph: set NEO4J_DATABASE to "
            "another (Neo4j's default is neo4j)."
        )
    if code.endswith("DatabaseNotFound"):
        return (
            f"{server.uri} has no database called {server.database}: set NEO4J_DATABASE to one "
            "that it has (Neo4j's default is neo4j)."
        )
    if isinstance(error, ServiceUnavailable | SessionExpired):
        return _unreachable(error, server)
    if isinstance(error, Neo4jError):
        return f"{server.uri} refuses a statement: {server_message(error)}"
    if _OLD_BOLT.search(str(error)):
        return (
            f"{server.uri} is too old for kg, or no Neo4j: upgrade it to Neo4j 5.26 or newer, name "
            "another by NEO4J_URI, or unset NEO4J_URI to use the embedded server."
        )
    return f"{server.uri} can't be used: {_sentence(_without_password(str(error)))}"


def unusable_address(error: ValueError, server: ServerInfo) -> str:
    """Say that an address isn't one."""
    return (
        f"NEO4J_URI={server.uri} can't be used ({_without_password(str(error))}): write it as "
        "neo4j://HOST:7687 or bolt://HOST:7687, or unset NEO4J_URI to use the embedded server."
    )


def only_reads(reason: str) -> str:
    """Say that a query does more than it may."""
    return (
        f"kg query only reads the graph, and this statement does more: {reason}. Change the graph "
        "with kg's other commands or with a Neo4j client of your own."
    )


def explain_query(error: DriverError | Neo4jError, server: ServerInfo) -> str:
    """Say what is wrong with the user's own query, in the server's words."""
    code = getattr(error, "code", None) or ""
    if isinstance(error, Forbidden) or code.endswith("Statement.AccessMode"):
        reason = f": {server_message(error)}"
        if re.match(r"Error executing |User '\w+' is not allowed", error.message or ""):
            reason = "."  # the embedded server's: no reason, or rights that nobody can give
        return (
            f"kg query only reads, and the server refuses this statement{reason} Change the "
            "graph with kg's other commands or with a Neo4j client of your own."
        )
    if "TransactionTimedOut" in code:
        return SLOW_QUERY
    if isinstance(error, AuthError) or not isinstance(error, Neo4jError):
        return explain(error, server)
    return f"The query can't be run: {server_message(error)}"


def server_message(error: DriverError | Neo4jError) -> str:
    """Take the server's own words, without its drawing of the query and without codes."""
    message = (getattr(error, "message", None) or str(error)).strip()
    # The embedded server repeats the statement instead of a reason.
    if message.startswith("Error executing Cypher command: "):
        message = "the embedded server can't execute it, and gives no reason"
    first = message.splitlines()[0] if message else type(error).__name__
    return _sentence(first)


def shown(uri: str) -> str:
    """Write an address without a user or password that may stand in it."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{re.split('[/?#]', rest.rpartition('@')[2])[0]}"


def _without_password(text: str) -> str:
    """Leave out what stands before the last @ of an address, in one line."""
    return re.sub(r"://.*@", "://", " ".join(text.split()))


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else text + "."


def _refused(code: str, server: ServerInfo) -> str:
    if code.endswith("AuthenticationRateLimit"):
        return (
            f"{server.uri} was given a wrong password too often and waits: set NEO4J_USERNAME "
            "and NEO4J_PASSWORD rightly and try again in some seconds."
        )
    if server.kind == "embedded":
        return (
            f"The embedded server at {server.uri} doesn't know its own password any more: run "
            "kg server stop, then the command again."
        )
    user = f"the user {server.username}" if server.username else "a user without a name"
    return f"{server.uri} refuses {user} with this password: set NEO4J_USERNAME and NEO4J_PASSWORD."


def _full_disk(server: ServerInfo) -> str | None:
    """The server itself gives no reason when it can't write, or just ends."""
    if server.folder is None or not server.folder.exists():
        return None
    if shutil.disk_usage(server.folder).free >= FULL_BYTES:
        return None
    return (
        f"The disk of the embedded server's folder {server.folder} is full: make room there and "
        "run the command again, what was committed is kept."
    )


def _unreachable(error: BaseException, server: ServerInfo) -> str:
    if server.kind == "embedded":
        return (
            f"The embedded server at {server.uri} stopped answering: run the command again, it "
            "starts a new one and what was committed is kept."
        )
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLError) for cause in causes) or any(
        type(cause).__name__ == "BoltSecurityError" for cause in causes
    ):
        return (
            f"{server.uri} can't be reached over TLS: write NEO4J_URI with neo4j:// or bolt:// "
            "if that server doesn't encrypt, with +ssc for a self-signed certificate."
        )
    texts = [str(cause) for cause in causes]
    if any("looks like HTTP" in text or "Bolt handshake" in text for text in texts):
        return (
            f"What answers at {server.uri} doesn't speak Bolt: give NEO4J_URI the Bolt port "
            "(usually 7687; 7474 is Neo4j's web page)."
        )
    reasons = [
        cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror
    ] or ["no answer in time" for text in texts if "timed out" in text]
    reason = f" ({reasons[0].lower()})" if reasons else ""
    return (
        f"No Neo4j answers at {server.uri}{reason}: start it (docker compose up -d), correct "
        "NEO4J_URI, or unset NEO4J_URI to use the embedded server."
    )


def _causes(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    yield error
    if depth > 8:
        return
    inner = list(error.exceptions) if isinstance(error, BaseExceptionGroup) else []
    for cause in (*inner, error.__cause__, error.__context__):
        if cause is not None:
            yield from _causes(cause, depth + 1)


def _raised_by_driver(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith(
        "neo4j."
    )
