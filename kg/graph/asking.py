"""The user's own queries: read, refused where they do more, given up where they take too long."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from kg.errors import GraphError
from kg.graph.driver import neo4j
from kg.graph.sentences import ServerInfo, explain_query, only_reads
from kg.graph.values import plain

Neo4jError = neo4j.exceptions.Neo4jError

# EXPLAIN or PROFILE in front of a query, behind comments.
_ASKS_FOR_PLAN: Final = re.compile(r"(?:\s|//[^\n]*\n|/\*.*?\*/)*(EXPLAIN|PROFILE)\b", re.I | re.S)
# Of the procedures that a READ transaction may call some act on the server, or read files.
_READING_PROCEDURES: Final = re.compile(
    r"db\.(labels|relationshipTypes|propertyKeys|info|ping|schema\.\w+"
    r"|index\.(fulltext|vector)\.query\w+|index\.fulltext\.listAvailableAnalyzers)$"
    r"|dbms\.(components|functions|procedures|info)$"
)
_EXPLAIN: Final = "EXPLAIN "
_PLACE: Final = re.compile(r"\(line 1, column (\d+) \(offset: (\d+)\)\)")
# Steps of a plan that only read the graph, and reach beyond it all the same.
_REACH_OUT: Final = {
    "LoadCSV": "it reads files or addresses of the server",
    "TerminateTransactions": "it ends what others do",
}


@dataclass(frozen=True)
class Answer:
    """The rows of a query as plain Python values (see kg.graph.values), one list a row.

    Attributes:
        keys: Names of the columns.
        rows: Of as many values.
        more: Whether there were more rows than the caller wanted.
    """

    keys: list[str]
    rows: list[list[Any]]
    more: bool = False


def ask(
    driver: neo4j.Driver,
    server: ServerInfo,
    cypher: str,
    parameters: Mapping[str, Any],
    timeout: float | None,
    most: int | None = None,
) -> Answer:
    """Run a query that may only read.

    A real Neo4j refuses writes in READ mode, and its plan shows what else the statement does. The
    embedded server's reader has no right to write; that a statement would have is known afterwards.

    Args:
        driver: Logged in as who may only read, where the server knows such users.
        server: What is at the other end.
        cypher: One statement.
        parameters: Values of its $names.
        timeout: Seconds it may take; a real Neo4j only.
        most: Rows that are read; None: all.

    Raises:
        GraphError: the query is wrong, does more than read, or takes too long.
    """
    with driver.session(database=server.database, default_access_mode=neo4j.READ_ACCESS) as session:
        try:
            if server.kind == "Neo4j":
                _refuse_by_plan(session, server, cypher, parameters, timeout)
            result = session.run(neo4j.Query(cypher, timeout=timeout), dict(parameters))
            keys = list(result.keys())
            rows = [[plain(value) for value in row] for row in islice(result, most)]
            more = most is not None and len(rows) == most and result.peek() is not None
            if server.kind == "embedded":
                kind = result.consume().query_type or ""
                asked = _ASKS_FOR_PLAN.match(cypher)
                if "w" in kind and not (asked and asked[1].upper() == "EXPLAIN"):
                    raise GraphError(only_reads("it would write"))
                keys = keys or _planned_keys(session, cypher, parameters)
            return Answer(keys, rows, more)
        except (neo4j.exceptions.DriverError, Neo4jError) as error:
            raise GraphError(explain_query(error, server)) from error


def _refuse_by_plan(
    session: neo4j.Session,
    server: ServerInfo,
    cypher: str,
    parameters: Mapping[str, Any],
    timeout: float | None,
) -> None:
    prefix = _ASKS_FOR_PLAN.match(cypher)
    start = prefix.end() if prefix else 0
    query = neo4j.Query(_EXPLAIN + cypher[start:], timeout=timeout)
    try:
        summary = session.run(query, dict(parameters)).consume()
    except Neo4jError as error:
        told = explain_query(error, server)
        raise GraphError(_moved(told, start - len(_EXPLAIN))) from error
    steps = {step.partition("@")[0] for step in _steps(summary.plan)}
    for step, reason in _REACH_OUT.items():
        if step in steps:
            raise GraphError(only_reads(reason))
    for name in _procedures(summary.plan):
        if not _READING_PROCEDURES.match(name):
            raise GraphError(
                only_reads(f"it calls {name}, which isn't known to read only the graph")
            )
    if "w" in (summary.query_type or ""):
        raise GraphError(only_reads("it would write"))
    if summary.query_type == "s" and not any(
        step.startswith(("Show", "ProcedureCall")) for step in steps
    ):
        raise GraphError(only_reads("it is about the server, not the graph"))


def _steps(plan: Any) -> Iterator[str]:
    if plan:
        yield plan["operatorType"]
        for child in plan.get("children", ()):
            yield from _steps(child)


def _procedures(plan: Any) -> Iterator[str]:
    """Names of the procedures that a plan calls."""
    if plan:
        if plan["operatorType"].startswith("ProcedureCall"):
            yield re.split(r"[(\s:]", plan["args"]["Details"], maxsplit=1)[0]
        for child in plan.get("children", ()):
            yield from _procedures(child)


def _moved(message: str, by: int) -> str:
    """Let a place in the first line count from where the user's own text begins."""

    def move(place: re.Match[str]) -> str:
        column, offset = (int(number) + by for number in place.groups())
        return f"(line 1, column {column} (offset: {offset}))"

    return _PLACE.sub(move, message)


def _planned_keys(session: neo4j.Session, cypher: str, parameters: Mapping[str, Any]) -> list[str]:
    """Column names of a query without rows: the embedded server tells them in its plan only.

    Empty where the plan doesn't tell, or leaves open where a name ends.
    """
    with contextlib.suppress(Neo4jError):
        plan = session.run(f"EXPLAIN {cypher}", dict(parameters)).consume().plan or {}
        text = plan.get("args", {}).get("string-representation", "")
        projections = re.findall(r"^ *\+ FINAL PROJECTION \[(.+)\]$", text, re.MULTILINE)
        names: list[str] = projections[-1].split(", ") if projections else []
        # `a, b` in backticks is one name, and so is coalesce(a, b): half of it doesn't balance.
        if "`" not in cypher and all(map(_balanced, names)):
            return names
    return []


def _balanced(name: str) -> bool:
    brackets = (("(", ")"), ("[", "]"), ("{", "}"))
    return all(name.count(opening) == name.count(closing) for opening, closing in brackets) and all(
        name.count(quote) % 2 == 0 for quote in "'\""
    )
