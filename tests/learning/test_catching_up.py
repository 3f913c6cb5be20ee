"""`kg predict --new`: songs without predictions get some, and nobody else is touched."""

import shutil
from pathlib import Path

import pytest

from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.errors import NotReadyError
from kg.learning.training import TrainOptions
from tests.test_library import QUICK

TOLD = """
MATCH (s:Song)-[r:PREDICTED_GENRE]->(g:Genre)
RETURN s.id, r.model, r.rank, g.name, r.probability, r.createdAt ORDER BY s.id, r.rank
"""


@pytest.fixture
def trained(library: Library, music: Path) -> Library:
    library.ingest(music)
    library.train(QUICK)
    return library


def new_songs(folder: Path, count: int) -> Path:
    for number in range(count):
        write_song(folder / f"{number}.flac", GENRES[number % 4], seconds=2.0, seed=80 + number)
    return folder


def take_away(library: Library, ids: list[str]) -> None:
    library.connection.write(
        lambda tx: tx.run(
            "UNWIND $ids AS id MATCH (:Song {id: id})-[r:PREDICTED_GENRE]->() DELETE r", ids=ids
        ).consume()
    )


def test_it_says_what_add_said_and_touches_nobody_else(trained: Library, tmp_path: Path) -> None:
    added = [song.id for song in trained.add(new_songs(tmp_path / "new", 5)).added]
    before = trained.ask(TOLD).rows
    take_away(trained, added)
    (line,) = (line for line in trained.status().stale if "no prediction" in line)
    assert "5 songs have no prediction" in line
    assert "`kg predict --new`" in line
    checkpoint = Path(trained.store.read_models()[0].checkpoint) / "layers.safetensors"
    kept = checkpoint.stat().st_mtime_ns
    report = trained.predict_new()
    assert report.predicted == 5
    assert not report.rebuilt_since
    after = trained.ask(TOLD).rows
    assert [row[:4] for row in after] == [row[:4] for row in before]
    for now, then in zip(after, before, strict=True):
        assert now[4] == pytest.approx(then[4], abs=1e-4)
    others = [row for row in after if row[0] not in added]
    assert others == [row for row in before if row[0] not in added]
    assert checkpoint.stat().st_mtime_ns == kept
    assert not any("no prediction" in line for line in trained.status().stale)
    assert trained.predict_new().predicted == 0


def test_predictions_of_an_older_model_are_replaced(trained: Library, tmp_path: Path) -> None:
    """As where a song was added while a training ran."""
    added = [song.id for song in trained.add(new_songs(tmp_path / "new", 2)).added]
    trained.connection.write(
        lambda tx: tx.run(
            "UNWIND $ids AS id MATCH (:Song {id: id})-[r:PREDICTED_GENRE]->() SET r.model = 'old'",
            ids=added,
        ).consume()
    )
    assert trained.predict_new().predicted == 2
    models = trained.ask("MATCH ()-[r:PREDICTED_GENRE]->() RETURN DISTINCT r.model").rows
    assert models == [[trained.store.read_models()[0].id]]


def test_a_song_that_lost_them_otherwise_is_found_too(trained: Library) -> None:
    (one, *_) = trained.ask("MATCH (s:Song) RETURN s.id ORDER BY s.id").rows
    take_away(trained, one)
    assert trained.predict_new().predicted == 1


def test_many_go_in_batches(
    trained: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = [song.id for song in trained.add(new_songs(tmp_path / "new", 5)).added]
    take_away(trained, added)
    monkeypatch.setattr("kg.graph.transactions.BATCH", 2)
    assert trained.predict_new().predicted == 5
    assert not any("no prediction" in line for line in trained.status().stale)


def test_it_is_refused_where_it_can_not_be(library: Library, music: Path, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="kg ingest FOLDER"):
        library.predict_new()
    library.ingest(music)
    with pytest.raises(NotReadyError, match="no model to predict with"):
        library.predict_new()
    library.train(TrainOptions(epochs=3))
    set_state = "MATCH (m:Model) SET m.state = $state"
    library.connection.write(lambda tx: tx.run(set_state, state="writing").consume())
    with pytest.raises(NotReadyError, match="`kg predict` without --new"):
        library.predict_new()
    library.connection.write(lambda tx: tx.run(set_state, state="current").consume())
    shutil.copytree(music / GENRES[0], tmp_path / "more" / GENRES[0])
    new_songs(tmp_path / "more" / GENRES[0], 1)
    library.ingest(tmp_path / "more", genres_from="folder")
    with pytest.raises(NotReadyError, match=r"rebuilt .* run `kg train`, or `kg predict`"):
        library.predict_new()
    library.predict()
    assert library.predict_new().predicted == 0
    library.connection.write(
        lambda tx: tx.run("MATCH (f:FeatureSpace) SET f.state = 'building'").consume()
    )
    with pytest.raises(NotReadyError, match="not finished"):
        library.predict_new()
