"""Fixtures: `kg` in this process, by itself and on an emptied database."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import main
from kg.settings import Settings


@dataclass
class Printed:
    code: int
    out: str
    err: str


Kg = Callable[..., Printed]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kg:
    """Run `kg` in this process, through the function that the console script calls."""

    def run(*arguments: str | Path) -> Printed:
        monkeypatch.setattr(sys, "argv", ["kg", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Printed(int(left.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def kg(
    run: Kg,
    server: Settings,
    heard: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Kg:
    """`kg` on an emptied database, which need not listen to `music` again."""
    shutil.copytree(heard, server.cache_dir)
    monkeypatch.setenv("KG_HOME", str(server.kg_home))
    if server.neo4j_uri:
        monkeypatch.setenv("NEO4J_URI", server.neo4j_uri)
        monkeypatch.setenv("NEO4J_USERNAME", server.neo4j_username)
        monkeypatch.setenv("NEO4J_PASSWORD", server.neo4j_password.get_secret_value())
        monkeypatch.setenv("NEO4J_DATABASE", server.neo4j_database)
    return run
