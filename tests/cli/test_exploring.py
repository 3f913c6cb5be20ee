"""`kg explore` as a command: its address, its port, its end."""

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli.conftest import Kg
from tests.waiting import ENDLESS

COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "--quiet", "explore"]


@contextmanager
def exploring(environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and its address once that answers."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--no-browser"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_serves_until_it_is_told_to_stop(
    kg: Kg, music: Path, server_environment: dict[str, str], number: signal.Signals, code: int
) -> None:
    kg("ingest", music)
    with exploring(server_environment) as (process, address):
        opened = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opened.open(address, timeout=120) as answer:
            assert "24 songs" in answer.read().decode()
        bare = address.partition("?")[0]
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(bare, timeout=120)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err) == (code, "", "")
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(bare, timeout=10)


def test_it_ends_while_a_query_runs(
    kg: Kg, music: Path, server_environment: dict[str, str]
) -> None:
    kg("ingest", music)
    with exploring(server_environment) as (process, address):
        opened = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        opened.open(address, timeout=120).close()
        begun = f"{address.partition('?')[0]}ask?cypher={quote(ENDLESS)}"

        def ask() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                opened.open(begun, timeout=120)

        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(2)  # nobody can tell when a query has begun
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err) == (0, "", "")
        asking.join()


def test_a_port_in_use_is_said(kg: Kg, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kg("ingest", music)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        printed = kg("explore", "--no-browser", "--port", str(port))
        assert (printed.code, printed.out) == (2, "")
        assert f"Port {port} is in use by another program: name another one" in printed.err
        # Without one that is named any free one is taken.
        monkeypatch.setattr("kg.explore.server.PORT", port)
        from kg.explore.server import listen

        with listen(None) as own:
            assert own.getsockname()[0] == "127.0.0.1"
            assert own.getsockname()[1] != port


def test_without_songs_or_the_extra(kg: Kg, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = kg("explore", "--no-browser")
    assert printed.code == 1
    assert "run `kg ingest FOLDER` first" in printed.err
    kg("ingest", music)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    printed = kg("explore", "--no-browser")
    assert printed.code == 1
    assert "install it with pip install 'kg-music[explore]'" in printed.err
