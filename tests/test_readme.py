"""README and cookbook are true: their queries and Python run, and their commands exist."""

import re
from pathlib import Path

import click
import pytest

from cli.main import cli
from kg import Library
from kg.audio.synth import GENRES
from kg.learning.training import TrainOptions
from tests.embeddings.ears import write_weights

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
COOKBOOK = (Path(__file__).parent.parent / "docs" / "cookbook.md").read_text(encoding="utf-8")
CYPHER = re.compile(r"```cypher\n(.*?)```", re.DOTALL)
QUERIES = CYPHER.findall(README)


def test_its_queries_run(library: Library, music: Path) -> None:
    library.ingest(music)
    library.train(TrainOptions(epochs=5))
    assert len(QUERIES) == 8
    title = library.ask("MATCH (s:Song) RETURN s.title ORDER BY s.title LIMIT 1").rows[0][0]
    answers = [library.query(cypher, {"title": title}) for cypher in QUERIES]
    assert len(answers[5]) >= 10  # what sounds like a song


def test_the_cookbooks_queries_run(library: Library, music: Path, tmp_path: Path) -> None:
    write_weights(library.settings.embeddings_dir)
    library.ingest(music)
    (tmp_path / "all.m3u").write_text("\n".join(map(str, sorted(music.rglob("*.flac"))[1:])))
    library.add_playlists(tmp_path / "all.m3u")
    library.train(TrainOptions(epochs=5))
    # Two genres are kinds of one that no song has.
    library.store.write_tree({name: ["loud"] for name in GENRES[:2]} | {"loud": ["music"]})
    title = library.ask("MATCH (s:Song) RETURN s.title ORDER BY s.title LIMIT 1").rows[0][0]
    library.audit()
    given = {"title": title, "genre": "music"}
    answers = {
        heading: [len(library.query(cypher, given)) for cypher in CYPHER.findall(part)]
        for heading, _, part in (part.partition("\n") for part in COOKBOOK.split("\n## ")[1:])
    }
    # Filed wrong, copies and what made-up weights hear are whatever they are.
    assert answers["What is this song?"][0] >= 10
    assert all(count > 0 for count in answers["What is this song?"])
    assert answers["Is my library filed right?"][1:3] == [20, 20]
    assert 0 < answers["Is my library filed right?"][3] <= 10
    assert answers["Is my library filed right?"][-1] == 1
    assert [bool(count) for count in answers["What does the model not know?"]] == [True] * 3
    of_loud, heard, tops, kinds, _ = answers["Genres and their subgenres"]
    assert of_loud == 12
    assert heard <= 20
    assert tops == 3  # "music" and two that are kinds of nothing
    assert kinds == 3
    assert len(answers["By tags"]) == 3
    assert answers["By tags"][1] > 0
    assert answers["By playlists"][:1] + answers["By playlists"][2:] == [20, 4, 1]


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
