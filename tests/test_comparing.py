"""`kg compare` on a library: its sounds from the cache, its rows and looks kept in the graph."""

import shutil
import sys
from pathlib import Path

import pytest

from kg import Library, comparing
from kg.compare.runs import CompareOptions
from kg.errors import GraphError, KgError, NotReadyError, WrongUsageError
from kg.graph.locks import held_alone

QUICK = CompareOptions(models=("knn", "majority", "rnn"), seeds=1, folds=2, epochs=3)


def test_rows_stay_in_the_graph_and_can_be_asked_for(library: Library, music: Path) -> None:
    library.ingest(music)
    found = library.compare(QUICK)
    assert found.missing == []
    assert found.songs == 24 - len(library.query(TEST_SONGS))
    asked = library.ask("MATCH (e:Experiment) RETURN e.model, e.features, e.macroF1").rows
    kept = [(row.model, row.features, row.macro_f1.value) for row in found.figures]
    assert sorted(map(tuple, asked)) == sorted(kept)
    assert {(model, features) for model, features, _ in kept} == {
        ("k nearest neighbours", "all"),
        ("majority", "none"),
        ("RNN (LSTM)", "mfcc"),
    }


def test_frames_are_extracted_once(library: Library, music: Path) -> None:
    library.ingest(music)
    library.compare(QUICK)
    frames = sorted((library.settings.cache_dir / "sequences").rglob("*.npy"))
    assert len(frames) == 24
    made = [file.stat().st_mtime_ns for file in frames]
    library.compare(QUICK)
    assert [file.stat().st_mtime_ns for file in frames] == made


def test_who_listens_is_left_out_where_there_is_no_audio(
    library: Library, music: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "music"
    shutil.copytree(music, moved)
    library.ingest(moved)
    shutil.rmtree(moved)
    found = library.compare(QUICK)
    (missing,) = found.missing
    assert (missing.model, missing.failed) == ("RNN (LSTM)", False)
    assert "24 of 24 songs: each has no audio file here" in missing.reason
    assert len(found.figures) == 2


def test_each_training_that_sees_the_test_songs_is_on_record(library: Library, music: Path) -> None:
    library.ingest(music)
    library.compare(CompareOptions(models=("knn", "majority"), seeds=2, on="test"))
    (looks,) = library.query("MATCH (t:TestSplit) RETURN size(t.looks) AS n")["n"]
    assert looks == 4
    library.compare(CompareOptions(models=("knn",), seeds=1, folds=2))
    (looks,) = library.query("MATCH (t:TestSplit) RETURN size(t.looks) AS n")["n"]
    assert looks == 4


def test_a_comparison_whose_rows_could_not_be_kept_is_finished_and_looks_once(
    library: Library, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.ingest(music)
    options = CompareOptions(models=("knn", "majority"), seeds=1, on="test")

    def gone(*_: object, **__: object) -> None:
        raise GraphError("the server is gone")

    with monkeypatch.context() as patched:
        patched.setattr(comparing, "write_experiments", gone)
        with pytest.raises(GraphError):
            library.compare(options)
    assert len(library.query(EXPERIMENTS)) == 0
    cut_off = "A comparison was cut off: give the same `kg compare` again, or --restart to drop it."
    assert cut_off in library.status().stale
    (looks,) = library.query("MATCH (t:TestSplit) RETURN size(t.looks) AS n")["n"]
    assert looks == 2
    found = library.compare(options)
    assert found.resumed
    assert cut_off not in library.status().stale
    assert list(library.query(EXPERIMENTS)["run"]) == [found.run] * 2
    (looks,) = library.query("MATCH (t:TestSplit) RETURN size(t.looks) AS n")["n"]
    assert looks == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_two_comparisons_at_once_do_not_mix(library: Library, music: Path) -> None:
    library.ingest(music)
    with (
        held_alone(library.settings.kg_home / "comparison.lock", "busy"),
        pytest.raises(KgError, match="Another kg command compares models in this home"),
    ):
        library.compare(QUICK)


EXPERIMENTS = "MATCH (e:Experiment) RETURN e.run AS run"


def test_what_cannot_be_compared_is_said(library: Library, music: Path) -> None:
    with pytest.raises(NotReadyError, match="holds no songs yet"):
        library.compare(QUICK)
    library.ingest(music)
    with pytest.raises(WrongUsageError, match="give --folds"):
        library.compare(CompareOptions(models=("knn",), folds=20))


TEST_SONGS = "MATCH (s:Song {split: 'test'})-[:IN_GENRE]->() RETURN DISTINCT s.id AS id"
