"""Fixtures: an explorer that serves, and a browser that was let in."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn

from kg import Library
from kg.audio.synth import GENRES
from kg.explore.app import explorer
from kg.explore.server import listen

TOKEN = "a-token"
FIRST, SECOND = GENRES[0], GENRES[1]
LABELS = (
    "MATCH (s:Song)-[r:IN_GENRE]->(g:Genre) RETURN s.id, g.name, r.source ORDER BY s.id, g.name"
)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Visitor:
    """Asks a server; `headers` go with every request."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def address(self, path: str) -> str:
        """An address that lets a browser in."""
        return f"{self.origin}{path}{'&' if '?' in path else '?'}token={TOKEN}"

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, self.headers | named)
        answer = connection.getresponse()
        found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def send(self, **fields: Any) -> Answer:
        """Send a form to /decide, and look at the page that it leads to."""
        sent = self.ask("/decide", "POST", urlencode(fields, doseq=True), origin=self.origin)
        assert sent.status == 303
        return self.ask(sent.headers["location"])


@contextmanager
def serving(make: Any) -> Iterator[Visitor]:
    """Serve the app that `make(port)` makes; the visitor has its cookie."""
    listening = listen(0)
    port = listening.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(make(port), log_config=None, log_level="critical", ws="none")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield Visitor(port, {"cookie": f"kg-explore-{port}={TOKEN}"})
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


@contextmanager
def explored(library: Library) -> Iterator[Visitor]:
    with serving(lambda port: explorer(library, TOKEN, port)) as visitor:
        yield visitor


def until(found: Any, seconds: float = 300) -> Any:
    """What `found()` returns once that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (value := found()) is not None:
            return value
        time.sleep(0.2)
    pytest.fail("it never came")


@pytest.fixture
def filed(library: Library, music: Path) -> Library:
    """A library whose songs are filed under the genres of their folders."""
    library.ingest(music, genres_from="folder")
    return library


@pytest.fixture
def visitor(filed: Library) -> Iterator[Visitor]:
    with explored(filed) as visitor:
        yield visitor


def songs_of(library: Library, genre: str = FIRST) -> list[str]:
    cypher = "MATCH (s:Song)-[:IN_GENRE]->(:Genre {name: $name}) RETURN s.id ORDER BY s.path"
    return [str(row[0]) for row in library.ask(cypher, {"name": genre}).rows]


def rename(library: Library, id: str, title: str) -> None:
    def work(tx: Any) -> None:
        tx.run("MATCH (s:Song {id: $id}) SET s.title = $title", id=id, title=title).consume()

    library.connection.write(work)
