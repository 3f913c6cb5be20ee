"""What songs are heard with, on the command line: options, the question, remarks."""

import json
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from cli.listening import MISSED, offer_musicnn
from cli.options import App
from kg.settings import Settings
from tests.cli.conftest import Kg
from tests.embeddings.ears import write_weights


def test_vectors_and_suggestions(kg: Kg, music: Path, tmp_path: Path) -> None:
    printed = kg("ingest", music, "--genres-from", "none")
    assert printed.code == 0
    assert MISSED in printed.err
    assert "heard with" not in printed.out
    assert MISSED not in kg("ingest", music, "--genres-from", "none").err
    refused = kg("suggest-genres")
    assert refused.code == 1
    assert "run `kg ingest FOLDER --embedding musicnn` first" in refused.err

    names = [f"{path.parent.name}/{path.name}" for path in sorted(music.rglob("*.flac"))]
    values = np.random.default_rng(0).normal(size=(len(names) + 4, 6))
    gone = [f"gone-{n}.flac" for n in range(4)]
    np.savez(tmp_path / "v.npz", path=np.array(names + gone), vectors=values)
    printed = kg("ingest", "--vectors", tmp_path / "v.npz", "--family", "mine")
    assert printed.code == 0
    assert "Features 'mine'" in printed.out
    assert "no such song: gone-0.flac, gone-1.flac, gone-2.flac and 1 more." in printed.err
    again = kg("ingest", "--vectors", tmp_path / "v.npz", "--family", "mine", "--json")
    document = json.loads(again.out)
    assert (document["songs"], document["unknown"], document["rebuilt"]) == (24, 4, False)

    write_weights(Path(json.loads(kg("status", "--json").out)["paths"]["home"]) / "embeddings")
    printed = kg("ingest", music, "--genres-from", "none", "--embedding", "musicnn")
    assert "librosa, file:mine, musicnn" in printed.out
    assert "heard with" in kg("status").out
    printed = kg("suggest-genres")
    assert printed.code == 0
    assert "the first 20 are shown" in printed.err
    assert "labels are as they were" in printed.err
    document = json.loads(kg("suggest-genres", "--json").out)
    assert len(document["songs"]) + document["untold"] == 24
    assert "All suggestions are gone" in kg("suggest-genres", "--clear").err
    assert kg("suggest-genres", "--clear", "--all").code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name at least one folder, audio file or table, or give --vectors FILE"),
        (["--vectors", "v.npz"], "belong together"),
        (["--family", "mine"], "belong together"),
        (["music", "--vectors", "v.npz", "--family", "mine"], "ingest the folders first"),
        (["--vectors", "v.npz", "--family", "mine", "--dry-run"], "--dry-run is for folders"),
        (["--vectors", "v.npz", "--family", "mine", "--strict"], "--strict is for folders"),
        ([".", "--embedding", "ears"], "no embedding called 'ears'"),
        ([".", "--embedding", "none", "--embedding", "musicnn"], "can't stand beside"),
    ],
)
def test_options_that_do_not_fit(kg: Kg, arguments: list[str], words: str) -> None:
    printed = kg("ingest", *arguments)
    assert printed.code == 2
    assert words in printed.err


def test_who_is_asked(monkeypatch: pytest.MonkeyPatch, server: Settings) -> None:
    asked: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return True

    monkeypatch.setattr(click, "confirm", confirm)
    assert not offer_musicnn(App(), as_json=False)()  # nobody is there
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert not offer_musicnn(App(quiet=True), as_json=False)()
    assert not offer_musicnn(App(), as_json=True)()
    assert asked == []
    assert offer_musicnn(App(), as_json=False)()
    assert "30 MB" in asked[0]
