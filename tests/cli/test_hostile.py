"""Whatever is typed stays a value: every argument and option of every command, found by itself."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from unicodedata import category

import click
import pytest

from cli.main import cli
from tests.cli.conftest import Kg

HOSTILE = (
    "'}) DETACH DELETE s //\"",
    "`) MATCH (n) DETACH DELETE n //",
    "*/ MATCH (n) SET n.id = 1 RETURN n /*",
    "\u202egnp.exe\u2066\x1b[31m\x07",
    "a\nb\r\u2028${id} {0} %(x)s \\u0027",
    "Caf\udce9'",
    "x" * 10_000,
)
# What each needs beside the one that is hostile, so that it comes that far, and in no time.
ELSE = {
    "compare": ("--models", "majority", "--folds", "2", "--seeds", "1"),
    "evaluate": ("--epochs", "1", "--seeds", "1"),
    "forget": ("--yes",),
    "ingest": ("MUSIC",),
    "inspect": ("SONG", "--family=rhythm"),
    "query": ("RETURN 1",),
    "train": ("--epochs", "1"),
    "tune": ("--trials", "2", "--folds", "2", "--epochs", "1"),
}


def asked() -> Iterator[tuple[str, str | None]]:
    """Every command with each of its parameters that takes text; None for its arguments."""

    def of(command: click.Command, name: str) -> Iterator[tuple[str, str | None]]:
        if isinstance(command, click.Group):
            for own, each in command.commands.items():
                yield from of(each, f"{name} {own}".strip())
            return
        for parameter in command.params:
            if isinstance(parameter.type, click.Path | click.types.StringParamType):
                named = isinstance(parameter, click.Option)
                yield name, parameter.opts[0] if named else None

    return of(cli, "")


EVERYTHING = """
MATCH (n)
WHERE n:Song OR n:Genre
RETURN labels(n) AS labels, coalesce(n.id, n.name) AS key,
       COUNT { (n)-[:IN_GENRE|SIMILAR_TO|HAS_FEATURE]-() } AS links
ORDER BY key
"""


def arguments_of(name: str, option: str | None, hostile: str, music: Path) -> Sequence[str]:
    there = {"MUSIC": str(music), "SONG": str(next(music.rglob("*.flac")))}
    given = [there.get(part, part) for part in ELSE.get(name, ())]
    if option is None:  # instead of what stands for it there
        options = [part for part in given if part.startswith("--")]
        return [*name.split(), *options, "--", hostile]
    if name == "inspect" and option == "--plot":
        hostile = f"{hostile}.png"
    return [*name.split(), *given, option, hostile]


@pytest.mark.slow
def test_text_stays_text(
    kg: Kg, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert kg("ingest", music).code == 0
    before = kg("query", EVERYTHING, "--json").out
    assert len(json.loads(before)) == 28
    tried = list(asked())
    assert len(tried) > 20
    for name, option in tried:
        for hostile in HOSTILE:
            arguments = arguments_of(name, option, hostile, music)
            printed = kg(*arguments)
            told = f"{name} {option} {hostile[:40]!r}: {printed}"
            assert len(printed.out + printed.err) < 3000, told[:3000]
            assert printed.code in (0, 1, 2), told
            assert printed.code == 0 or printed.err.count("Error: ") == 1, told
            for char in printed.out + printed.err:
                assert char in "\n\t" or category(char) not in ("Cc", "Cs", "Zl", "Zp"), told
        assert kg("query", EVERYTHING, "--json").out == before, (name, option)
    labels = json.loads(
        kg("query", "MATCH (n) UNWIND labels(n) AS l RETURN DISTINCT l", "--json").out
    )
    assert {row["l"] for row in labels} <= {
        *("Song", "Genre", "FeatureCluster", "FeatureSpace", "Model", "KgSchema", "TestSplit"),
        *("Experiment", "Turn", "Artist", "Album", "Audit"),
    }
    assert {path.name for path in tmp_path.iterdir()} == {"here", Path(os.environ["KG_HOME"]).name}
