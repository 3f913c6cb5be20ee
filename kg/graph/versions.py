"""The version of a graph's form: older graphs are migrated in place, newer ones are refused.

A `KgSchema` node says which form a graph has. It is written when a database is prepared for the
first time, and only where nothing of somebody else's is in our way.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from kg.errors import GraphError
from kg.excerpt import EXCERPT
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.sentences import ServerInfo
from kg.graph.transactions import read_rows
from kg.progress import SILENT, Progress
from kg.schema import KEYS, RELATIONSHIPS, TURN
from kg.text import printable

# What brings a graph of version n to n + 1 stands at n: statements that may be run again. They
# and the new version are written in one transaction, so a crash leaves one version or the other.
Migrations = Sequence[Sequence[tuple[str, Mapping[str, Any]]]]
MIGRATIONS: Final[Migrations] = (
    # 0: written before graphs had a version.
    (
        (queries.GIVE_EXCERPT, {"excerpt": EXCERPT}),
        (queries.GIVE_PATHS, {}),
        (queries.GIVE_MODEL_FINGERPRINTS, {}),
    ),
    # 1: no tags yet, so that such nodes are somebody else's.
    (),
    # 2: no artists, albums and playlists yet; the next ingest or training makes what tags name.
    ((queries.ASK_FOR_CREDITS, {}),),
    # 3: audits left no node yet.
    (),
)
VERSION: Final = len(MIGRATIONS)
# Labels that came with a version.
_SINCE: Final = {2: ("Tag",), 3: ("Artist", "Album", "Playlist"), 4: ("Audit",)}

_KEYS: Final = {**KEYS, TURN: "id"}


def prepare(
    connection: Connection, progress: Progress = SILENT, migrations: Migrations = MIGRATIONS
) -> None:
    """Make a database ready for this kg: constraints and indexes, and the form it knows.

    Args:
        connection: The database.
        progress: Told when an older graph is migrated.
        migrations: The way from version 0 to this kg's.

    Raises:
        GraphError: a newer kg wrote the graph; or we have never been here, and what somebody else
            keeps there would mix with ours.
    """
    rows = read_rows(connection, queries.SCHEMA)
    there = rows[0]["version"]
    if there is None and not rows[0]["ours"]:
        _refuse_foreign(connection)
        there = len(migrations)
    elif (there or 0) < len(migrations):
        _refuse_foreign_labels(connection, there or 0)
    _refuse_newer(there or 0, len(migrations), connection.server)
    # Before any data: the embedded server types an index by the data it finds.
    for statement in (*queries.CONSTRAINTS, *queries.INDEXES):
        connection.schema(statement)
    if rows[0]["version"] != len(migrations):
        _bring_up(connection, there or 0, migrations, progress)


def _refuse_newer(version: int, known: int, server: ServerInfo) -> None:
    if version > known:
        raise GraphError(
            f"The graph at {server.uri} was written by a newer kg (its form is {version}, this kg "
            f"knows {known}): upgrade kg. Nothing was changed."
        )


def _bring_up(
    connection: Connection, version: int, migrations: Migrations, progress: Progress
) -> None:
    """Give the graph its version, and migrate it step by step."""
    current = connection.write(_claim, version)
    if current < len(migrations):
        progress.say(
            f"Migrating the graph from form {current} to {len(migrations)}, which this kg writes."
        )
    while current < len(migrations):
        current = connection.write(_step, current, migrations[current])
    # Somebody's newer kg may have come between.
    _refuse_newer(current, len(migrations), connection.server)


def _claim(tx: neo4j.ManagedTransaction, version: int) -> int:
    return int(tx.run(queries.CLAIM_SCHEMA, version=version).single(strict=True)["version"])


def _step(
    tx: neo4j.ManagedTransaction,
    version: int,
    statements: Iterable[tuple[str, Mapping[str, Any]]],
) -> int:
    """One migration, unless another command has done it meanwhile: the version after it."""
    # Locks the node before its version is read: of two commands the second finds the work done.
    there = int(tx.run(queries.LOCK_SCHEMA).single(strict=True)["version"])
    if there != version:
        return there
    for text, parameters in statements:
        tx.run(text, dict(parameters)).consume()
    tx.run(queries.SET_SCHEMA, version=version + 1).consume()
    return version + 1


def _refuse_foreign_labels(connection: Connection, version: int) -> None:
    """Look at a graph of an older version for somebody else's nodes with labels newer than it.

    Raises:
        GraphError: there are some.
    """
    labels = {label for since, these in _SINCE.items() if since > version for label in these}
    found = [
        f"{row['n']} {row['label']} nodes"
        for row in read_rows(connection, queries.LABELLED)
        if row["label"] in labels
    ]
    if found:
        raise _mixed(connection, found)


def _refuse_foreign(connection: Connection) -> None:
    """Look at a database where we have never been for what our constraints or data would meet.

    Raises:
        GraphError: nodes with our labels are there, or constraints or indexes that forbid ours.
    """
    found = [f"{row['n']} {row['label']} nodes" for row in read_rows(connection, queries.LABELLED)]
    names = {f"{label}_{key}" for label, key in _KEYS.items()} | set(queries.INDEX_NAMES)
    for kind, text in (("constraint", queries.ALL_CONSTRAINTS), ("index", queries.ALL_INDEXES)):
        found += [
            f"the {kind} {row['name']} on {row['labels'][0]}.{','.join(row['properties'])}"
            for row in read_rows(connection, text)
            if row["labels"] and _in_the_way(kind, row, names)
        ]
    if found:
        raise _mixed(connection, found)


def _mixed(connection: Connection, found: Iterable[str]) -> GraphError:
    server = connection.server
    elsewhere = (
        "use another home (--home DIR)"
        if server.kind == "embedded"
        else "name another database by NEO4J_DATABASE or NEO4J_URI"
    )
    return GraphError(
        f"The database {server.database} at {server.uri} holds what kg didn't write "
        f"({printable('; '.join(found))}) and would mix with its own: {elsewhere}, or remove "
        "that first. Nothing was changed."
    )


def _in_the_way(kind: str, row: Mapping[str, Any], names: set[str]) -> bool:
    """Whether a constraint or index keeps ours from being made, or our data from being written."""
    label, properties = row["labels"][0], row["properties"]
    if row["entity"] == "RELATIONSHIP":
        return kind == "constraint" and not set(row["labels"]).isdisjoint(RELATIONSHIPS)
    on_our_key = row["labels"] == [label] and properties == [_KEYS.get(label)]
    if kind == "constraint":
        # One that says the same under another name serves as well as ours.
        same = on_our_key and "UNIQUE" in row["type"]
        return not same and (row["name"] in names or not set(row["labels"]).isdisjoint(_KEYS))
    if row["owner"] is not None:
        return False
    ours = row["labels"] == ["Song"] and f"song_{'_'.join(properties)}" == row["name"]
    return (on_our_key and row["type"] == "RANGE") or (row["name"] in names and not ours)
