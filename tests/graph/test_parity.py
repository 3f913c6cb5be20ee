"""Both servers hold the same after every step of a library's life, and answer the same."""

import math
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.graph.connection import Connection
from kg.settings import Settings
from tests.conftest import REPOSITORY, empty, settings_of
from tests.graph.scenario import content, cookbook, steps
from tests.neo4j import starter


@pytest.fixture
def both(
    embedded_server: Path, real_neo4j: starter.Address, heard: Path, tmp_path: Path
) -> Iterator[list[Library]]:
    """The same empty library on the embedded server and on a real Neo4j."""
    homes = [tmp_path / "embedded", tmp_path / "neo4j"]
    for home in homes:
        home.mkdir()
    (homes[0] / "server").symlink_to(embedded_server)
    with ExitStack() as opened:
        libraries = []
        for settings in (Settings(kg_home=homes[0]), settings_of(real_neo4j, homes[1])):
            shutil.copytree(heard, settings.cache_dir)
            with Connection.open(settings) as connection:
                empty(connection)
            libraries.append(opened.enter_context(Library(settings)))
        yield libraries


def same(one: Any, other: Any) -> bool:
    """Equal, but for the last bits of sums that were added up in another order."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, _sorted(one), _sorted(other)))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return type(one) is type(other) and bool(one == other)


def _sorted(values: list[Any]) -> list[Any]:
    # No order was asked for within a list; floats last, as their last bits may differ.
    if all(isinstance(value, list) for value in values):
        return sorted(values, key=lambda row: repr([c for c in row if not isinstance(c, float)]))
    return sorted(values, key=repr) if all(isinstance(v, str) for v in values) else values


@pytest.mark.slow
def test_same_graph_after_every_step(both: list[Library], music: Path, tmp_path: Path) -> None:
    new_song = write_song(tmp_path / "new" / "unseen.flac", GENRES[1], seconds=2.0, seed=99)
    texts = cookbook(REPOSITORY)
    assert len(texts) >= 5
    done = []
    for here, there in zip(*(steps(one, music, new_song) for one in both), strict=True):
        assert here == there
        done.append(here)
        embedded, neo4j = (content(one.connection, one.settings.kg_home) for one in both)
        for kind in embedded:
            only_here = set(embedded[kind]) - set(neo4j[kind])
            assert not only_here, (here, kind, only_here, set(neo4j[kind]) - set(embedded[kind]))
        assert embedded == neo4j, here
        assert both[0].status().counts == _with_models_of(both[0], both[1])
        if here in ("train", "label by hand", "remove the model in use"):
            title = both[0].ask("MATCH (s:Song) RETURN min(s.title)").rows[0][0]
            for text in texts:
                answers = [one.ask(text, {"title": title}) for one in both]
                assert answers[0].keys == answers[1].keys
                assert same(answers[0].rows, answers[1].rows), (here, text)
    assert len(done) == 10


def _with_models_of(one: Library, other: Library) -> Any:
    """What the other counts, its models called as ours are."""
    counts = other.status().counts
    names = [sorted(m.id for m in library.store.read_models()) for library in (one, other)]
    called = dict(zip(names[1], names[0], strict=True))
    by_model = {called[id]: songs for id, songs in counts.predicted_by_model.items()}
    return replace(counts, predicted_by_model=by_model)
