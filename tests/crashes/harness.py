"""Real `kg` commands killed with SIGKILL at chosen moments, and the graph they leave behind.

The commands write 4 songs a transaction instead of 1000: a small library then takes as many
transactions as one of ten thousand songs, and a kill lands between any two of them.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kg.graph import embedded
from kg.graph.connection import Connection
from tests.waiting import DEADLINE

Victim = Literal["client", "server", "both"]

KG = (
    "import kg.graph.transactions; kg.graph.transactions.BATCH = 4; "
    "from cli.main import main; import sys; sys.argv[0] = 'kg'; main()"
)
# What differs from run to run although nothing went wrong: when, which process, which folder.
VOLATILE = {"createdAt", "testOpenedAt", "openedAt", "builder", "checkpoint"}

NODES = "MATCH (n) RETURN labels(n), properties(n)"
RELATIONSHIPS = """
MATCH (a)-[r]->(b)
RETURN labels(a), coalesce(a.id, a.name, a.version), type(r),
       labels(b), coalesce(b.id, b.name, b.version), properties(r)
"""
SPOKEN_FOR_BY = """
MATCH (s:Song)-[r:PREDICTED_GENRE]->(:Genre)
RETURN s.id, collect(DISTINCT r.model) AS models
"""
DOUBLES = """
MATCH (a)-[r]->(b)
WITH a, b, type(r) AS type, count(r) AS n
WHERE n > 1
RETURN type, n
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended; `code` is negative where a signal ended it."""

    code: int
    out: str
    err: str
    seconds: float


class Command:
    """A `kg` command in a process group of its own, with its output in files."""

    def __init__(self, environment: dict[str, str], *arguments: str | Path) -> None:
        self._out, self._err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-c", KG, *arguments],
            env=environment,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
        )

    def runs(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        """What it has written to stderr so far."""
        return os.pread(self._err.fileno(), 1 << 20, 0).decode()

    def kill(self) -> None:
        """Kill it with all it started, but for the server, which has a group of its own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, seconds: float = 3 * DEADLINE) -> Ended:
        try:
            code = self._process.wait(seconds)
        finally:
            self.kill()
            self._process.wait()
        took = time.monotonic() - self._started
        texts = []
        for file in (self._out, self._err):
            with file:
                file.seek(0)
                texts.append(file.read())
        assert "Traceback" not in texts[1], texts[1]
        return Ended(code, texts[0], texts[1], took)


def run(environment: dict[str, str], *arguments: str | Path) -> Ended:
    """Run a `kg` command to its end."""
    return Command(environment, *arguments).wait()


def run_and_kill(
    environment: dict[str, str],
    arguments: Sequence[str | Path],
    server_dir: Path,
    victim: Victim,
    after: float,
) -> tuple[Ended, bool]:
    """Run a command and kill it, its embedded server or both after some seconds.

    Returns:
        How the command ended, and whether it was still at work then.
    """
    command = Command(environment, *arguments)
    deadline = time.monotonic() + after
    # Neither can be killed before it is there.
    while command.runs() and (
        time.monotonic() < deadline
        or (victim != "client" and not embedded.status(server_dir).running)
    ):
        time.sleep(0.005)
    hit = command.runs()
    if victim != "server":
        command.kill()
    if victim != "client":
        embedded.kill(server_dir)
    return command.wait(), hit


def contents(connection: Connection) -> list[str]:
    """Every node with its properties and every relationship with its, one a line, sorted."""
    lines = []
    for labels, properties in connection.ask(NODES).rows:
        lines.append(_line(labels, properties))
    for *ends, properties in connection.ask(RELATIONSHIPS).rows:
        lines.append(_line(ends, properties))
    return sorted(lines)


def _line(what: list[object], properties: dict[str, object]) -> str:
    kept = {name: value for name, value in properties.items() if name not in VOLATILE}
    return json.dumps([what, kept], sort_keys=True, default=repr)


def check_whole(connection: Connection) -> None:
    """What must hold at any moment, also before the command is run again."""
    mixed = [row for row in connection.ask(SPOKEN_FOR_BY).rows if len(row[1]) > 1]
    assert mixed == [], "songs with predictions of two models"
    assert connection.ask(DOUBLES).rows == []


def differences(found: list[str], expected: list[str]) -> str:
    """Some of the lines that only one of two graphs has; empty where they are equal."""
    only = [f"+ {line[:300]}" for line in found if line not in set(expected)]
    missing = [f"- {line[:300]}" for line in expected if line not in set(found)]
    if not only and not missing and len(found) != len(expected):
        return f"{len(found)} lines instead of {len(expected)}"
    return "\n".join([*only[:5], *missing[:5]])
