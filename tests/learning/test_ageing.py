"""How far a model has aged: songs that were added since, and whether they are other ones."""

from pathlib import Path

import numpy as np
import pytest

from kg import Library
from kg.build import build_graph
from kg.graph.connection import Connection
from kg.graph.store import GraphStore
from kg.intake.audio import attach
from kg.learning.ageing import LARGE_DRIFT, MOST_READ, OLD_SHARE, ageing_of
from kg.records import Embedding, FeatureSet, NewSong, SongRecord
from kg.settings import Settings
from tests.test_library import QUICK

KINDS = FeatureSet("v", {"loud": slice(0, 3), "bright": slice(3, 8)}, tuple("abcdefgh"))


def songs(count: int, seed: int, *, off: float = 0.0, width: int = 8) -> list[NewSong]:
    """Made-up songs; `bright` lies `off` standard deviations away from that of others."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(count, width)).astype(np.float32)
    x[:, 3:] += off
    return [NewSong(SongRecord(id=chance.bytes(16).hex()), vector, 30.0, 22_050) for vector in x]


@pytest.fixture
def store(connection: Connection, tmp_path: Path) -> GraphStore:
    store = GraphStore(connection)
    store.prepare()
    store.write_songs(songs(400, 0), builder=store.begin_build(KINDS))
    build_graph(store, KINDS, tmp_path / "neighbours")
    return store


def build_of(store: GraphStore) -> str:
    build = store.build()
    assert build is not None
    return build


def test_nothing_was_added(store: GraphStore) -> None:
    found = ageing_of(store, KINDS, build_of(store), 400, trained=True)
    assert (found.since, found.added, found.share, found.drift) == ("training", 0, 0.0, None)
    assert not found.retrain


@pytest.mark.parametrize(
    ("count", "off", "drifted", "many"),
    [
        (80, 0.0, False, False),
        (80, 2.0, True, False),
        (5, 1.0, False, False),
        (150, 0, False, True),
    ],
)
def test_what_is_said_of_songs_that_were_added(
    store: GraphStore, server: Settings, count: int, off: float, drifted: bool, many: bool
) -> None:
    new = songs(count, 1, off=off)
    attach(store, new, server)
    found = ageing_of(store, KINDS, build_of(store), 400 + count, trained=False)
    assert (found.since, found.added) == ("build", count)
    assert found.share == pytest.approx(count / (400 + count))
    mean, scale = store.scaler() or pytest.fail("no scaler")
    off_by = np.mean([(song.features - mean) / scale for song in new], axis=0)
    assert found.drift == pytest.approx(np.sqrt(np.mean(off_by**2)), abs=1e-4)
    assert found.chance == pytest.approx(count**-0.5)
    said = " ".join(found.retrain)
    assert ("sound unlike" in said) == drifted
    assert ("anew with them" in said) == many
    if drifted:
        assert found.family == "bright"
        assert found.family_drift == pytest.approx(off, abs=0.5)
        assert "in bright" in said


def test_chance_alone_is_no_drift(store: GraphStore, server: Settings) -> None:
    attach(store, songs(4, 3), server)
    found = ageing_of(store, KINDS, build_of(store), 404, trained=True)
    assert found.drift is not None
    assert found.drift > LARGE_DRIFT / 2  # four songs' mean is anywhere
    assert not found.retrain


def test_of_very_many_a_sample_is_read(
    store: GraphStore, server: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach(store, songs(90, 4, off=1.0), server)
    whole = ageing_of(store, KINDS, build_of(store), 490, trained=True)
    monkeypatch.setattr("kg.learning.ageing.MOST_READ", 30)
    read: list[int] = []
    features_of = GraphStore.features_of

    def counted(self: GraphStore, ids: list[str], kinds: FeatureSet) -> object:
        read.append(len(ids))
        return features_of(self, ids, kinds)

    monkeypatch.setattr(GraphStore, "features_of", counted)
    found = ageing_of(store, KINDS, build_of(store), 490, trained=True)
    assert (sum(read), found.added) == (30, 90)
    assert found.drift == pytest.approx(whole.drift, abs=0.2)
    assert MOST_READ > 30


def test_a_family_that_new_songs_lack_has_not_drifted(
    connection: Connection, server: Settings
) -> None:
    embedding = Embedding("file:told", "", "told", ("t1", "t2"))
    kinds = FeatureSet(
        "v", {**KINDS.families, "told": slice(8, 10)}, (*KINDS.columns, "t1", "t2"), 30.0,
        (embedding,),
    )  # fmt: skip
    store = GraphStore(connection)
    store.prepare()
    there = [
        NewSong(s.record, s.features, 30.0, 22_050, None, {"told": s.features[:2] + 5})
        for s in songs(100, 0)
    ]
    store.write_songs(there, builder=store.begin_build(kinds))
    build_graph(store, kinds, server.neighbours_dir)
    attach(store, songs(60, 1), server)
    found = ageing_of(store, kinds, build_of(store), 160, trained=True)
    assert found.drift is not None
    assert found.drift < 0.3


def test_status_tells_it(library: Library, music: Path, tmp_path: Path) -> None:
    genres = sorted(music.iterdir())
    library.ingest(genres[:3], genres_from="folder")
    assert library.status().ageing is not None
    library.train(QUICK)
    assert library.status().stale == []
    library.add(genres[3])
    status = library.status()
    ageing = status.ageing
    assert ageing is not None
    assert (ageing.since, ageing.added, ageing.share) == ("training", 6, 0.25)
    assert ageing.share > OLD_SHARE
    assert list(ageing.retrain) == list(status.stale)
    assert "25 % of the songs" in status.stale[0]
    library.train(QUICK)
    after = library.status()
    assert after.stale == []
    assert after.ageing is not None
    assert after.ageing.added == 0
