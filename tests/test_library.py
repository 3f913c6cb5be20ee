"""The library on both servers: the whole way from audio to predictions, and what it refuses."""

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from kg import Library
from kg.audio.features import FAMILIES, feature_set
from kg.audio.synth import GENRES, write_song
from kg.errors import GraphError, KgError, NotReadyError, RebuiltError, WrongUsageError
from kg.graph.store import GraphStore
from kg.hetero import load_hetero
from kg.intake import audio
from kg.intake.rejects import read_rejects
from kg.learning.training import TrainOptions
from kg.records import FeatureSet, NewSong, SongRecord
from kg.settings import Settings
from kg.splits.protocol import SplitRule
from tests.conftest import empty

EVERYTHING = """
MATCH (n) OPTIONAL MATCH (n)-[r]->(m)
RETURN labels(n)[0] AS label, properties(n) AS node, type(r) AS type,
       coalesce(m.id, m.name) AS target, properties(r) AS relationship
"""
QUICK = TrainOptions(epochs=15)


def everything(library: Library) -> list[str]:
    return sorted(repr(row) for row in library.ask(EVERYTHING).rows)


def counted(library: Library, pattern: str) -> int:
    return int(library.ask(f"MATCH {pattern} RETURN count(*)").rows[0][0])


@pytest.fixture
def new_song(tmp_path: Path) -> Path:
    return write_song(tmp_path / "new" / "unseen.flac", GENRES[1], seconds=2.0, seed=99, artist=9)


def test_from_folder_to_predictions(library: Library, music: Path, new_song: Path) -> None:
    report = library.ingest(music)
    assert (report.taken, report.cached, report.genres_from) == (24, 24, "folder")
    assert report.rejected == []
    assert report.rejects_file is None
    assert report.counts is not None
    assert (report.counts.songs, report.counts.genres) == (24, 4)
    assert report.counts.relationships["HAS_FEATURE"] == 24 * len(FAMILIES)
    assert counted(library, "(s:Song) WHERE s.artist IS NOT NULL AND s.features IS NOT NULL") == 24
    tempi = [row[0] for row in library.ask("MATCH (s:Song) RETURN s.tempo").rows]
    assert all(30 < tempo < 320 for tempo in tempi), tempi
    split = library.query("MATCH (s:Song) RETURN s.artist AS artist, s.split AS split")
    assert isinstance(split, pd.DataFrame)
    assert split.groupby("artist")["split"].nunique().max() == 1
    assert set(split["split"]) == {"train", "valid", "test"}

    before = everything(library)
    again = library.ingest(music)
    assert not again.rebuilt
    assert everything(library) == before

    trained = library.train(QUICK)
    assert trained.by_artist == 24
    assert not trained.leaking
    assert trained.predicted == 24
    assert trained.songs == {"train": 8, "valid": 8, "test": 8}
    assert trained.tabular is not None
    assert [s.name for s in trained.scores] == [
        "R-GCN + DistMult", "the same without the graph", trained.tabular.kind, "majority",
    ]  # fmt: skip
    assert "Only 8 test songs" in (trained.caution or "")
    predicted = library.query(
        "MATCH (s:Song)-[p:PREDICTED_GENRE]->(g:Genre) "
        "RETURN s.id AS id, g.name AS genre, p.rank AS rank, p.probability AS probability, "
        "p.model AS model"
    )
    assert len(predicted) == 24 * 3
    assert predicted.groupby("id")["rank"].apply(sorted).apply(list).tolist() == [[1, 2, 3]] * 24
    assert set(predicted["model"]) == {trained.model.id}
    assert predicted.groupby("id")["probability"].sum().max() <= 1 + 1e-6
    wide = predicted.pivot_table(index="id", columns="rank", values="probability")
    assert ((wide[1] >= wide[2]) & (wide[2] >= wide[3])).all()
    assert counted(library, "(:Song)-[r:IN_GENRE {source: 'folder'}]->(:Genre)") == 24
    assert library.status().stale == []

    others = [row for row in everything(library) if "unseen" not in row]
    added = library.add(new_song)
    (song,) = added.added
    assert [guess.rank for guess in song.guesses] == [1, 2, 3]
    assert added.without_model is None
    rows = library.query(
        "MATCH (s:Song {id: $id})-[p:PREDICTED_GENRE]->(g) "
        "RETURN g.name AS genre, p.probability AS probability ORDER BY p.rank",
        {"id": song.id},
    )
    assert rows["genre"].tolist() == [guess.genre for guess in song.guesses]
    assert counted(library, f"(s:Song {{id: '{song.id}'}})-[:HAS_FEATURE]->()") == len(FAMILIES)
    assert counted(library, f"(s:Song {{id: '{song.id}'}})-[:SIMILAR_TO]->()") > 0
    # What was there before the song came is as it was; its artist and album are new.
    own = library.ask("MATCH (:Song {id: $id})-[:BY|ON]->(n) RETURN n.id", {"id": song.id}).rows
    assert len(own) == 2
    came = [song.id, *(repr(key) for (key,) in own)]
    assert [r for r in everything(library) if not any(key in r for key in came)] == others

    full = library.predict()
    assert full.predicted == 25
    assert full.model.id == trained.model.id


def test_add_agrees_with_the_full_recomputation(
    library: Library, music: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    library.train(TrainOptions(epochs=40))
    for number in range(8):
        genre = GENRES[number % 4]
        write_song(tmp_path / "new" / f"{number}.flac", genre, seconds=2.0, seed=50 + number)
    report = library.add(tmp_path / "new")
    quick = {song.id: song.guesses[0].genre for song in report.added}
    library.predict()
    first = library.query("MATCH (s:Song)-[:PREDICTED_GENRE {rank: 1}]->(g) RETURN s.id, g.name")
    full = dict(first.itertuples(index=False))
    assert len(quick) == 8
    assert sum(full[id] == genre for id, genre in quick.items()) >= 7


def test_the_same_command_gives_the_same_numbers(library: Library, music: Path) -> None:
    library.ingest(music)
    runs = []
    for _ in range(2):
        report = library.train(QUICK)
        rows = library.ask(
            "MATCH (s:Song)-[p:PREDICTED_GENRE]->(g) "
            "RETURN s.id, g.name, p.probability ORDER BY s.id, p.rank"
        ).rows
        runs.append((report.scores, rows))
    assert runs[0] == runs[1]
    other = library.train(TrainOptions(epochs=15, seed=1))
    assert other.model.metrics["seed"] == 1
    states = library.query("MATCH (m:Model) RETURN m.state AS state")["state"]
    assert sorted(states) == ["current", "superseded", "superseded"]


def test_export_is_the_graph_and_loads_again(library: Library, music: Path, tmp_path: Path) -> None:
    library.ingest(music)
    data = library.hetero()
    library.export(tmp_path / "export")
    loaded, maps = load_hetero(tmp_path / "export")
    assert torch.equal(loaded["song"].x, data["song"].x)
    rows = library.ask("MATCH (s:Song)-[:IN_GENRE]->(g) RETURN s.id, g.name").rows
    edges = loaded["song", "in_genre", "genre"].edge_index
    assert sorted([maps.songs[s], maps.genres[g]] for s, g in edges.T.tolist()) == sorted(rows)
    train = loaded["song"].train_mask.numpy()
    assert np.abs(loaded["song"].x.numpy()[train].mean(axis=0)).max() < 0.5


def test_a_cut_off_write_back_shows_and_is_finished_by_predict(
    library: Library, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.ingest(music)
    first = library.train(QUICK)
    monkeypatch.setattr("kg.graph.transactions.BATCH", 5)
    write = GraphStore.write_predictions

    def cut_off(self: GraphStore, model: str, created_at, guesses, *more) -> None:
        write(self, model, created_at, guesses[:10], *more)
        raise KeyboardInterrupt

    monkeypatch.setattr(GraphStore, "write_predictions", cut_off)
    with pytest.raises(KeyboardInterrupt):
        library.train(TrainOptions(epochs=15, seed=1))
    monkeypatch.setattr(GraphStore, "write_predictions", write)
    status = library.status()
    assert any("cut off" in line and "kg predict" in line for line in status.stale)
    per_song = library.query(
        "MATCH (s:Song)-[p:PREDICTED_GENRE]->() RETURN s.id AS id, count(DISTINCT p.model) AS n"
    )
    assert set(per_song["n"]) == {1}
    finished = library.predict()
    assert finished.model.id != first.model.id
    assert library.status().counts.predicted_by_model == {finished.model.id: 24}
    assert library.status().stale == []


def test_what_the_owner_says_in_cypher_is_learned(library: Library, music: Path) -> None:
    library.ingest(music, genres_from="none")
    assert library.ask("MATCH (g:Genre) RETURN count(g)").rows == [[0]]
    with pytest.raises(NotReadyError, match="No song in the graph has a genre"):
        library.train(QUICK)
    library.connection.write(
        lambda tx: tx.run(
            "UNWIND $genres AS name MERGE (:Genre {name: name})", genres=list(GENRES[:4])
        ).consume()
    )
    library.connection.write(
        lambda tx: tx.run(
            "MATCH (s:Song), (g:Genre) WHERE split(s.path, '/')[-2] = g.name "
            "MERGE (s)-[:IN_GENRE {source: 'user'}]->(g)"
        ).consume()
    )
    report = library.train(QUICK)
    assert sum(report.songs.values()) == 24
    library.ingest(music)  # the folders say the same, but the owner has spoken
    assert counted(library, "()-[r:IN_GENRE {source: 'user'}]->()") == 24


def test_genres_from_tags(library: Library, music: Path) -> None:
    report = library.ingest([music], genres_from="tag")
    assert report.counts is not None
    assert report.counts.genres == 4
    assert counted(library, "()-[r:IN_GENRE {source: 'tag'}]->()") == 24


def test_steps_before_their_turn(library: Library, music: Path, new_song: Path) -> None:
    for step in (library.train, library.predict, library.hetero):
        with pytest.raises(NotReadyError, match="kg ingest"):
            step()
    with pytest.raises(NotReadyError, match="kg ingest"):
        library.add(new_song)
    assert "The graph is empty" in library.status().stale[0]
    library.ingest(music)
    with pytest.raises(NotReadyError, match="kg train"):
        library.predict()
    assert "kg train" in library.status().stale[0]
    report = library.add(new_song)
    assert report.added[0].guesses == []
    assert "kg train" in (report.without_model or "")


def test_adding_a_song_that_is_there(library: Library, music: Path) -> None:
    library.ingest(music)
    before = everything(library)
    there = sorted(music.rglob("*.flac"))[0]
    report = library.add(there)
    assert report.added == ()
    assert "already in the library" in report.rejected[0].reason
    assert everything(library) == before


def test_one_genre_only(library: Library, music: Path) -> None:
    report = library.ingest(music / GENRES[0], genres_from="folder")
    assert report.counts is not None
    assert report.counts.genres == 1
    with pytest.raises(NotReadyError, match="nothing to tell apart"):
        library.train(QUICK)


def test_genres_with_one_song_are_learned_and_not_measured(
    library: Library, music: Path, tmp_path: Path
) -> None:
    for genre in GENRES[:3]:
        (tmp_path / "few" / genre).mkdir(parents=True)
        shutil.copy(music / genre / f"{genre}-0.flac", tmp_path / "few" / genre)
    report = library.ingest(tmp_path / "few", genres_from="folder")
    assert list(report.few) == sorted(GENRES[:3])
    trained = library.train(QUICK)
    assert trained.scores == []
    assert "nothing was measured" in (trained.caution or "")
    assert trained.predicted == 3


def test_no_file_could_be_taken(library: Library, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "words.mp3").write_text("this is not music, it is a text file")
    (tmp_path / "bad" / "empty.flac").touch()
    (tmp_path / "bad" / "empty too.flac").touch()  # a copy: named like the others
    report = library.ingest(tmp_path / "bad")
    assert report.taken == 0
    assert report.counts is None
    assert len(report.rejected) == 3
    assert report.rejects_file is not None
    lines = report.rejects_file.read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == sorted(str(r.path) for r in report.rejected)


def test_folders_that_are_not_there_or_hold_no_audio(library: Library, tmp_path: Path) -> None:
    with pytest.raises(WrongUsageError, match="nowhere"):
        library.ingest(tmp_path / "nowhere")
    with pytest.raises(KgError, match="No audio"):
        library.ingest(tmp_path)
    with pytest.raises(WrongUsageError, match="at least one"):
        library.ingest([])


def test_features_of_another_version_are_refused(
    library: Library, music: Path, new_song: Path
) -> None:
    library.store.begin_build(FeatureSet("older", {"mfcc": slice(0, 1)}, ("x",)))
    with pytest.raises(KgError, match=r"version older.*can't be mixed"):
        library.ingest(music)
    with pytest.raises(KgError, match="can't be mixed"):
        library.add(new_song)
    with pytest.raises(KgError, match="can't be mixed"):
        library.train()


def test_the_first_ingest_decides_how_much_is_heard(
    library: Library, music: Path, new_song: Path, tmp_path: Path
) -> None:
    assert library.status().excerpt is None
    report = library.ingest(music / GENRES[0], excerpt="full")
    assert (report.taken, report.cached, report.excerpt) == (6, 0, "full")
    assert library.status().excerpt == "full"
    assert library.ask("MATCH (f:FeatureSpace) RETURN f.excerpt").rows == [["full"]]
    with pytest.raises(
        WrongUsageError, match=r"listens to the whole of each song, .* --excerpt 30: leave that out"
    ):
        library.ingest(music, excerpt=30)
    with pytest.raises(WrongUsageError, match="can't be 'half'"):
        library.ingest(music, excerpt="half")  # type: ignore[arg-type]
    assert library.status().counts.songs == 6

    # What comes later is heard as what is there, whether asked for or not.
    assert library.ingest(music, excerpt="full").excerpt == "full"
    assert library.ingest(music).excerpt == "full"
    library.add(new_song)
    library.train(QUICK)
    status = library.status()
    assert (status.counts.songs, status.excerpt, status.stale) == (25, "full", [])
    assert status.feature_version == feature_set(None).version


def test_an_excerpt_of_seconds_is_kept(library: Library, music: Path) -> None:
    report = library.ingest(music / GENRES[0], excerpt=10)
    assert (report.cached, report.excerpt) == (0, 10.0)
    assert library.ask("MATCH (f:FeatureSpace) RETURN f.excerpt").rows == [[10.0]]
    assert library.ingest(music / GENRES[0]).cached == 6
    assert library.status().feature_version == feature_set(10.0).version


def test_a_library_from_before_excerpts_were_said_heard_30_seconds(
    library: Library, music: Path
) -> None:
    assert library.ingest(music).excerpt == 30.0
    library.connection.write(lambda tx: tx.run("MATCH (f:FeatureSpace) REMOVE f.excerpt").consume())
    assert library.status().excerpt == 30.0
    assert library.status().feature_version == feature_set().version
    assert library.ingest(music, excerpt=30).cached == 24
    with pytest.raises(
        WrongUsageError, match=r"the middle 30 s of each song, .* --excerpt full: leave"
    ):
        library.ingest(music, excerpt="full")


def test_of_two_first_ingests_at_once_one_decides(
    library: Library, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = audio.hear

    def slowly(*args: Any, **kwargs: Any) -> audio.Heard:
        with monkeypatch.context() as undisturbed:
            undisturbed.setattr(audio, "hear", listen)
            with Library(library.settings) as other:
                other.ingest(music / GENRES[1], excerpt="full")
        return listen(*args, **kwargs)

    monkeypatch.setattr(audio, "hear", slowly)
    with pytest.raises(WrongUsageError, match="listens to the whole of each song"):
        library.ingest(music / GENRES[0])
    assert library.status().counts.songs == 6
    assert library.status().excerpt == "full"


def test_rejected_files_stay_listed_until_their_folder_is_clean(
    library: Library, music: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "words.mp3").write_text("this is not music, it is a text file")
    (bad / "empty.flac").touch()
    report = library.ingest([bad, music])
    assert [(reason.files, reason.example.name) for reason in report.rejected_by_reason] == [
        (1, reject.path.name) for reject in report.rejected
    ]
    status = library.status()
    assert status.rejected == 2
    assert status.paths["rejected files"] == report.rejects_file
    assert library.ingest(music).rejects_file is None
    assert library.status().rejected == 2  # nobody has looked at those again
    (bad / "empty.flac").unlink()
    library.ingest([bad, music])
    assert library.status().rejected == 1
    shutil.copy(music / GENRES[0] / f"{GENRES[0]}-0.flac", bad / "words.mp3")
    library.ingest(bad)
    assert library.status().rejected == 0
    assert "rejected files" not in library.status().paths
    assert not library.settings.rejects_file.exists()


def test_without_a_list_of_rejected_files_the_songs_come_in_all_the_same(
    library: Library, music: Path, new_song: Path, tmp_path: Path
) -> None:
    library.settings.rejects_file.mkdir()
    (tmp_path / "bad.flac").touch()
    report = library.ingest([music, tmp_path / "bad.flac"])
    assert (report.taken, len(report.rejected), report.rejects_file) == (24, 1, None)
    assert "rejects.txt" in (report.unlisted or "")
    added = library.add([new_song, tmp_path / "bad.flac"])
    assert (len(added.added), len(added.rejected), added.rejects_file) == (1, 1, None)
    assert "rejects.txt" in (added.unlisted or "")
    with pytest.raises(KgError, match="No audio"):
        library.ingest(tmp_path / "home1")


def test_what_is_gone_leaves_the_list_even_where_nothing_is_left(
    library: Library, music: Path, tmp_path: Path
) -> None:
    listed = library.settings.rejects_file
    bad, worse = tmp_path / "bad", tmp_path / "worse"
    for folder in (bad, worse):
        folder.mkdir()
        (folder / "bad.flac").write_text(f"not music but {folder.name}")
    library.ingest([music, bad, worse])
    (bad / "bad.flac").unlink()
    with pytest.raises(KgError, match="No audio"):
        library.ingest(bad)
    assert list(read_rejects(listed)) == [str(worse / "bad.flac")]
    with pytest.raises(WrongUsageError, match="nowhere"):  # worse wasn't looked at
        library.ingest([worse, tmp_path / "nowhere"])
    assert list(read_rejects(listed)) == [str(worse / "bad.flac")]
    shutil.rmtree(worse)
    with pytest.raises(WrongUsageError, match="worse"):
        library.add(worse)
    assert not listed.exists()


def test_add_lists_what_can_not_be_taken_in(
    library: Library, music: Path, new_song: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    shutil.copytree(music / GENRES[0], tmp_path / "mixed")
    (tmp_path / "mixed" / "empty.flac").touch()
    report = library.add([tmp_path / "mixed", new_song])
    assert (len(report.added), len(report.rejected)) == (1, 7)
    assert report.rejects_file == library.settings.rejects_file
    # Songs that are there already are fine.
    assert list(read_rejects(report.rejects_file)) == [str(tmp_path / "mixed" / "empty.flac")]
    shutil.copy(sorted(music.rglob("*.flac"))[0], tmp_path / "mixed" / "empty.flac")
    report = library.add(tmp_path / "mixed")
    assert (len(report.rejected), report.rejects_file) == (6, None)
    assert read_rejects(library.settings.rejects_file) == {}


def test_a_checkpoint_that_is_gone(library: Library, music: Path, new_song: Path) -> None:
    library.ingest(music)
    trained = library.train(QUICK)
    shutil.rmtree(trained.model.checkpoint)
    with pytest.raises(NotReadyError, match="KG_HOME it was trained with"):
        library.predict()
    report = library.add(new_song)  # the song comes in all the same
    assert report.added[0].guesses == []
    assert trained.model.id in (report.without_model or "")


def test_a_model_and_a_graph_that_grew_apart(
    library: Library, music: Path, new_song: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    trained = library.train(QUICK)
    config = json.loads((Path(trained.model.checkpoint) / "config.json").read_text())
    assert config["extra"]["genres"] == sorted(GENRES[:4])
    shutil.copytree(music / GENRES[0], tmp_path / "more" / GENRES[0])
    moved = write_song(tmp_path / "more" / GENRES[0] / "x.flac", GENRES[0], seconds=2.0, seed=77)
    library.ingest(tmp_path / "more", genres_from="folder")
    assert any("Labelled songs have come" in line for line in library.status().stale)
    report = library.add(new_song)
    assert "kg predict" in (report.without_model or "")
    assert library.predict().rebuilt_since
    write_song(tmp_path / "more" / "polka" / "y.flac", GENRES[0], seconds=2.0, seed=78)
    library.ingest(tmp_path / "more", genres_from="folder")
    with pytest.raises(NotReadyError, match="other genres"):
        library.predict()
    assert moved.exists()


def test_add_after_the_library_grew_and_predict_caught_up(
    library: Library, music: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    for genre in GENRES[:4]:
        shutil.copytree(music / genre, few / genre, ignore=lambda _, names: sorted(names)[2:])
    library.ingest(few)
    library.train(QUICK)
    library.ingest(music)  # more songs, more clusters in every family
    library.predict()
    for number in range(4):
        write_song(
            tmp_path / "new" / f"{number}.flac", GENRES[number], seconds=2.0, seed=60 + number
        )
    report = library.add(tmp_path / "new")
    assert report.without_model is None
    quick = {song.id: song.guesses[0].genre for song in report.added}
    library.predict()
    rows = library.ask("MATCH (s:Song)-[:PREDICTED_GENRE {rank: 1}]->(g) RETURN s.id, g.name").rows
    full = {id: genre for id, genre in rows if id in quick}
    assert sum(full[id] == genre for id, genre in quick.items()) >= 3


def test_an_ingest_cut_off_before_the_clusters_is_noticed(
    library: Library, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.ingest(music)
    undisturbed = everything(library)
    write_song(tmp_path / "more" / GENRES[0] / "x.flac", GENRES[0], seconds=2.0, seed=71)

    def cut_off(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr("kg.build.build_graph", cut_off)
        with pytest.raises(KeyboardInterrupt):
            library.ingest(tmp_path / "more", genres_from="folder")
    assert "cut off" in library.status().stale[0]
    with pytest.raises(NotReadyError, match="finished"):
        library.add(tmp_path / "more")
    library.ingest(tmp_path / "more", genres_from="folder")
    assert counted(library, "(s:Song)-[:HAS_FEATURE]->()") == 25 * len(FAMILIES)
    assert len(everything(library)) > len(undisturbed)


def test_a_build_that_another_took_over_writes_nothing(library: Library, music: Path) -> None:
    library.ingest(music)
    kinds = feature_set()
    songs = library.store.read_songs()
    space, build = library.store.read_space()
    earlier = library.store.begin_build(kinds)
    library.store.begin_build(kinds)
    before = everything(library)
    with pytest.raises(RebuiltError):
        library.store.write_build(
            space,
            [],
            builder=earlier,
            songs=len(songs),
            sizes={},
            build=build,
            rule=SplitRule("artist"),
            compared="",
        )
    new = NewSong(SongRecord(id="new"), songs.features[0], 1.0, 8000)
    with pytest.raises(RebuiltError):
        library.store.write_songs([new], builder=earlier)
    assert everything(library) == before


def test_two_ingests_at_once_make_the_graph_of_one(
    new_settings: Callable[[], Settings], server: Settings, heard: Path, music: Path
) -> None:
    shutil.copytree(heard, server.cache_dir)

    def ingest(folders: list[Path]) -> None:
        with Library(server) as library:
            library.ingest(folders, genres_from="folder")

    genres = sorted(music.iterdir())
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(ingest, part) for part in (genres[:2], genres[1:3], genres)]:
            done.result()
    with Library(server) as library:
        ingest(genres)
        together = everything(library)
        empty(library.connection)
    ingest(genres)
    with Library(server) as library:
        alone = everything(library)

    def without_token(rows: list[str]) -> list[str]:
        return [re.sub(r"'builder': '\w+'", "", row) for row in rows]

    assert without_token(together) == without_token(alone)


def test_folder_labels_are_not_replaced_by_tags_that_nobody_asked_for(
    library: Library, music: Path, tmp_path: Path
) -> None:
    for genre in GENRES[:2]:
        shutil.copytree(music / genre, tmp_path / "mine" / f"my {genre}")
    assert library.ingest(tmp_path / "mine").genres_from == "folder"
    one = tmp_path / "mine" / f"my {GENRES[0]}"
    assert library.ingest(one).genres_from == "tag"  # one folder alone is no genre layout
    assert set(library.store.genres()) == {f"my {genre}" for genre in GENRES[:2]}
    library.ingest(one, genres_from="tag")
    assert set(library.store.genres()) == {GENRES[0], f"my {GENRES[1]}"}


def test_genres_changed_after_the_training_show(
    library: Library, music: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    library.train(QUICK)
    assert library.status().stale == []
    (tmp_path / "moved" / GENRES[1]).mkdir(parents=True)
    shutil.copy(music / GENRES[0] / f"{GENRES[0]}-0.flac", tmp_path / "moved" / GENRES[1])
    library.ingest(tmp_path / "moved", genres_from="folder")
    assert any("Labelled songs have come or changed" in line for line in library.status().stale)


def test_folders_that_cannot_be_written_are_named_before_the_work(
    library: Library, music: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    library.settings.models_dir.write_text("in the way")
    with pytest.raises(KgError, match="folder for checkpoints"):
        library.train(QUICK)
    (tmp_path / "file").touch()
    with pytest.raises(KgError, match="can't be written"):
        library.export(tmp_path / "file" / "export")
    shutil.rmtree(library.settings.neighbours_dir)
    library.settings.neighbours_dir.write_text("in the way")
    new = write_song(tmp_path / "new.flac", GENRES[0], seconds=2.0, seed=81)
    with pytest.raises(KgError, match="index of similar songs can't be written"):
        library.add(new)


def test_queries_read_and_do_not_write(library: Library, music: Path) -> None:
    library.ingest(music)
    before = everything(library)
    for cypher in (
        "CREATE (:Song {id: 'x'})",
        "MATCH (s:Song) SET s.title = 'x'",
        "MATCH (n) DETACH DELETE n",
        "MERGE (g:Genre {name: 'new'})",
    ):
        with pytest.raises(GraphError):
            library.query(cypher)
    assert everything(library) == before
    with pytest.raises(GraphError, match=r"(?i)syntax|input|parse|mismatched"):
        library.query("MATCH (s:Song RETURN s")


@pytest.mark.parametrize(
    "uri", ["http://localhost:7474", "bolt://", "bolt://[::1", "bolt://host:abc", "bolt://host:0"]
)
def test_addresses_that_cannot_be_used(tmp_path: Path, uri: str) -> None:
    with pytest.raises(WrongUsageError, match="is not a Neo4j address"):
        Library.open(tmp_path, neo4j_uri=uri)


@pytest.mark.parametrize("scheme", ["bolt", "http"])
def test_a_password_in_the_address_is_not_repeated(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(WrongUsageError) as refused:
        Library.open(tmp_path, neo4j_uri=f"{scheme}://me:SECRET@host:7687")
    assert "SECRET" not in str(refused.value)


def test_empty_variables_are_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    home = Settings().kg_home
    monkeypatch.setenv("KG_HOME", "")
    monkeypatch.setenv("NEO4J_URI", "")
    assert Settings().kg_home == home
    assert Settings().embedded


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WrongUsageError, match="can't be written to"):
        Library.open(tmp_path / "file" / "home")
