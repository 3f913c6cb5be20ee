"""A Neo4j that is too old for our Cypher is refused by its name, before anything is asked of it."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kg.errors import GraphError
from kg.graph.connection import Connection
from kg.settings import Settings

SUCCESS, GOODBYE = b"\xb1\x70", 0x02
NO_VERSION = bytes(4)


def success(agent: str) -> bytes:
    """Bolt's SUCCESS, one chunk: {server: agent, connection_id: "b-1", fields: ["1"]}."""
    text = agent.encode()
    message = SUCCESS + b"\xa3" + b"\x86server" + b"\xd0" + bytes([len(text)]) + text
    message += b"\x8dconnection_id" + b"\x83b-1" + b"\x86fields" + b"\x91\x811"
    return struct.pack(">H", len(message)) + message + b"\0\0"


def converse(client: socket.socket, version: bytes, agent: str) -> None:
    """Shake hands, and answer every message with SUCCESS until the client says goodbye."""
    with client, client.makefile("rb") as stream:
        stream.read(20)  # Bolt's magic number and the four versions that the client knows
        client.sendall(version)
        while version != NO_VERSION and (head := stream.read(2)):
            size = struct.unpack(">H", head)[0]
            message = stream.read(size)
            if size and message[1] != GOODBYE:
                client.sendall(success(agent))


@pytest.fixture
def old_server() -> Iterator[Callable[[bytes, str], str]]:
    """Make a server that speaks Bolt as an old Neo4j does, and has nothing behind it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(version: bytes, agent: str) -> str:
            def run() -> None:
                try:
                    while True:
                        converse(listener.accept()[0], version, agent)
                except OSError:
                    return  # the test is over

            threading.Thread(target=run, daemon=True).start()
            return f"bolt://127.0.0.1:{listener.getsockname()[1]}"

        yield serve
        listener.shutdown(socket.SHUT_RDWR)


def sentence(home: Path, uri: str) -> str:
    with pytest.raises(GraphError) as caught:
        Connection.open(Settings(kg_home=home, neo4j_uri=uri, neo4j_password="secret"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("bolt", "agent"),
    [
        (b"\0\0\x04\x04", "Neo4j/4.4.38"),
        (b"\0\0\x02\x04", "Neo4j/4.2.19"),
        (b"\0\0\0\x03", "Neo4j/3.5.35"),
        (NO_VERSION, ""),  # older ones speak no Bolt that the driver knows
    ],
)
def test_old_ones_are_refused(
    old_server: Callable[[bytes, str], str], tmp_path: Path, bolt: bytes, agent: str
) -> None:
    uri = old_server(bolt, agent)
    assert sentence(tmp_path, uri) == (
        f"{uri} is too old for kg, or no Neo4j: upgrade it to Neo4j 5.26 or newer, name another by "
        "NEO4J_URI, or unset NEO4J_URI to use the embedded server."
    )
