"""Queries that nobody waits for any more, ended on the embedded server.

It knows no time limit for a query, and a few that run on leave no place for others. Its HTTP port,
on loopback as well, lists what runs and ends what a login may see; the reader's is enough.
"""

import base64
import json
import urllib.request
from http import HTTPStatus
from typing import Any, Final

import psutil

from kg.graph.embedded import Endpoint

# The server waits itself for a query's next look at whether it shall end, up to 5 s.
REQUEST_SECONDS: Final = 6.0


def end_query(endpoint: Endpoint, mark: str) -> bool:
    """End the queries whose text holds `mark`.

    Args:
        endpoint: The server.
        mark: What nobody else's query holds.

    Returns:
        Whether none runs any more. Work inside a single row (a nested reduce) looks at nothing
        and goes on.
    """
    try:
        port = _http_port(endpoint)
        for query in _running(endpoint, port, mark):
            _command(endpoint, port, f"terminate query {query['id']}")
        return not _running(endpoint, port, mark)
    except (OSError, psutil.Error, ValueError, LookupError):
        return False  # and the user is told that it goes on


def _running(endpoint: Endpoint, port: int, mark: str) -> list[dict[str, Any]]:
    listed = _command(endpoint, port, "list queries")["result"]
    return [query for query in listed if mark in query["text"]]


def _command(endpoint: Endpoint, port: int, command: str) -> dict[str, Any]:
    login = f"{endpoint.reader_username}:{endpoint.reader_password}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/server",
        json.dumps({"command": command}).encode(),
        {
            "Authorization": "Basic " + base64.b64encode(login.encode()).decode(),
            "Content-Type": "application/json",
        },
    )
    # Loopback is reached directly, whatever proxy the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=REQUEST_SECONDS) as response:
        assert response.status == HTTPStatus.OK
        answer: dict[str, Any] = json.load(response)
        return answer


def _http_port(endpoint: Endpoint) -> int:
    """Find where the server listens besides Bolt: it chooses that port itself.

    Raises:
        LookupError: nowhere.
    """
    bolt = int(endpoint.uri.rpartition(":")[2])
    for connection in psutil.Process(endpoint.pid).net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port != bolt:
            return int(connection.laddr.port)
    raise LookupError("no HTTP port")
