"""The README is true: its queries and its Python run, and its commands exist."""

import re
from pathlib import Path

import click
import pytest

from cli.main import cli
from kg import Library
from kg.audio.synth import GENRES
from kg.learning import TrainOptions

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```cypher\n(.*?)```", README, re.DOTALL)


def test_its_queries_run(library: Library, music: Path) -> None:
    library.ingest(music)
    library.train(TrainOptions(epochs=5))
    assert len(QUERIES) == 9
    title = library.ask("MATCH (s:Song) RETURN s.title ORDER BY s.title LIMIT 1").rows[0][0]
    answers = [library.query(cypher, {"title": title}) for cypher in QUERIES]
    between, alike = answers[5], answers[6]
    assert len(between) == 20
    assert 0 < len(alike) <= 10


def test_its_python_runs(
    library: Library,
    music: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    program = program.replace("~/Music", str(music))
    monkeypatch.setattr(Library, "open", lambda: library)
    names: dict[str, object] = {}
    exec(program, names)
    printed = capsys.readouterr().out
    assert all(genre in printed for genre in GENRES[:4])
    assert names["data"]["song"].num_nodes == 24  # type: ignore[index]


def test_its_commands_exist() -> None:
    named = set(re.findall(r"(?:^|`|&& |\$ )kg ([a-z-]+)", README, re.MULTILINE))
    assert len(named) >= 8
    assert named <= set(cli.commands)
    server = cli.commands["server"]
    assert isinstance(server, click.Group)
    assert "start" in server.commands


def test_its_first_commands_are_the_promised_ones() -> None:
    assert "pip install . && kg demo" in README
    assert "pip install -e '.[test]' && pytest" in README
