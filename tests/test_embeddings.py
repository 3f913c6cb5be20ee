"""Libraries that a network listens to, on both servers; vectors from files; suggested genres."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kg import Library
from kg.audio.features import FAMILIES
from kg.audio.synth import GENRES, write_song
from kg.embeddings.musicnn import TAGS
from kg.embeddings.tags import MOST
from kg.errors import KgError, NotReadyError, WrongUsageError
from kg.graph.store import GraphStore
from kg.learning.training import TrainOptions
from kg.schema import TAG_EDGE
from tests.conftest import empty
from tests.embeddings.ears import write_weights
from tests.graph.scenario import content
from tests.test_library import counted, everything

QUICK = TrainOptions(epochs=15)


@pytest.fixture
def new_song(tmp_path: Path) -> Path:
    return write_song(tmp_path / "new" / "unseen.flac", GENRES[1], seconds=2.0, seed=99, artist=9)


def songs(library: Library) -> list[tuple[str, str]]:
    rows = library.ask("MATCH (s:Song) RETURN s.id, s.path ORDER BY s.id").rows
    return [(str(id), str(path)) for id, path in rows]


def vectors_file(path: Path, keys: Sequence[str], width: int = 3, seed: int = 0) -> Path:
    values = np.random.default_rng(seed).normal(size=(len(keys), width)).astype(np.float32)
    np.savez(path, id=np.array(keys), vectors=values)
    return path


@pytest.mark.slow
def test_a_library_that_musicnn_hears(
    library: Library, music: Path, new_song: Path, tmp_path: Path
) -> None:
    write_weights(library.settings.embeddings_dir)
    report = library.ingest(music, offer=lambda: pytest.fail("its weights are here"))
    assert report.embeddings == ["musicnn"]
    assert report.counts is not None
    relationships = report.counts.relationships
    assert relationships["HAS_FEATURE"] == 24 * (len(FAMILIES) + 1)
    assert relationships["HAS_TAG"] == 24 * MOST
    assert counted(library, "(t:Tag)") == len(TAGS)
    weak = "()-[r:HAS_TAG]->() WHERE r.weight > 1 OR r.weight < 0.1"
    assert counted(library, f"{weak}") == 0
    before = everything(library)
    assert not library.ingest(music).rebuilt
    assert not library.ingest(music, embeddings=["musicnn"]).rebuilt
    assert everything(library) == before

    data, maps = library.hetero_with_ids()
    assert maps.further["tag"] == tuple(sorted(TAGS))
    assert data["tag"].num_nodes == len(TAGS)
    assert data[TAG_EDGE].num_edges == 24 * MOST
    heard = library.ask(
        "MATCH (s:Song)-[r:HAS_TAG]->(t:Tag) RETURN s.id, t.name ORDER BY s.id, t.name"
    ).rows
    edges = data[TAG_EDGE].edge_index.T.tolist()
    assert [[maps.songs[s], maps.further["tag"][t]] for s, t in edges] == heard

    library.train(QUICK)
    added = library.add(new_song)
    (song,) = added.added
    assert len(song.guesses) == 3
    assert counted(library, f"(s:Song {{id: '{song.id}'}})-[:HAS_TAG]->(:Tag)") == MOST
    # Guessed from its neighbours and tags as the whole graph would.
    direct = {guess.genre: guess.score for guess in song.guesses}
    library.predict()
    asked = f"MATCH (:Song {{id: '{song.id}'}})-[r:PREDICTED_GENRE]->(g) RETURN g.name, r.score"
    assert {str(name) for name, _ in library.ask(asked).rows} == set(direct)
    shown = library.inspect(song.title)
    assert len(shown.features["musicnn"]) == 250

    status = library.status()
    assert status.embeddings == ["musicnn"]
    with pytest.raises(WrongUsageError, match="can't be left out any more"):
        library.ingest(music, embeddings=["none"])

    home = library.settings.kg_home
    whole = content(library.connection, home)
    library.dump(tmp_path / "library.kg")
    empty(library.connection)
    library.load(tmp_path / "library.kg")
    assert content(library.connection, home) == whole

    library.forget([id for id, _ in songs(library)])
    assert counted(library, "(t:Tag)") == 0


@pytest.mark.slow
def test_an_older_library_gets_an_embedding(
    library: Library, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = write_song(tmp_path / "gone.flac", GENRES[0], seconds=2.0, seed=7)
    library.ingest([music, gone], embeddings=["none"])
    library.train(QUICK)
    old = library.status().feature_version
    ids = songs(library)
    content_of_gone = gone.read_bytes()
    gone.unlink()
    write_weights(library.settings.embeddings_dir)
    assert library.ingest(music).embeddings == []  # nobody asked

    with monkeypatch.context() as patched:
        patched.setattr(GraphStore, "write_vectors", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            library.ingest(music, embeddings=["musicnn"])
    again = "cut off: run `kg ingest` again on the same folders"
    for step in (library.train, lambda: library.add(music), library.predict):
        with pytest.raises(NotReadyError, match=again):
            step()
    assert any(again in line for line in library.status().stale)

    # One folder is named, the others are heard all the same.
    report = library.ingest(next(music.iterdir()))
    assert (report.rebuilt, report.unheard, report.embeddings) == (True, 1, ["musicnn"])
    assert songs(library) == ids
    status = library.status()
    assert status.feature_version != old
    assert any("run `kg train`" in line for line in status.stale)
    hangs = "(s:Song)-[:HAS_FEATURE {family: 'musicnn'}]->()"
    assert counted(library, hangs) == 24
    assert "musicnn" not in library.inspect(str(gone)).features
    with pytest.raises(WrongUsageError, match="Nobody has the features 'musicnn' of this song"):
        library.inspect(str(gone), family="musicnn")
    library.train(QUICK)
    assert library.status().counts.relationships["PREDICTED_GENRE"] == 25 * 3
    assert not library.ingest(music).rebuilt
    gone.write_bytes(content_of_gone)
    assert library.ingest(gone).rebuilt
    assert counted(library, hangs) == 25
    assert not library.ingest(gone).rebuilt


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_vectors_from_a_file(
    library: Library, music: Path, new_song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = vectors_file(tmp_path / "v.npz", ["nobody"])
    with pytest.raises(NotReadyError, match="holds no songs yet"):
        library.ingest_vectors(file, "mine")
    library.ingest(music)
    with pytest.raises(WrongUsageError, match=r"None of the 1 vectors .*'nobody'"):
        library.ingest_vectors(file, "mine")
    there = songs(library)
    # By id, by path, by the end of a path; two are left out, and one is nobody's.
    keys = [there[0][0], there[1][1], "/".join(there[2][1].split("/")[-2:])]
    keys += [id for id, _ in there[3:-2]]
    vectors_file(file, [*keys, "nobody.flac"])
    for family, words in (("mfcc", "already"), ("My Family", "can't be called")):
        with pytest.raises(WrongUsageError, match=words):
            library.ingest_vectors(file, family)
    before = everything(library)

    with monkeypatch.context() as patched:
        patched.setattr(GraphStore, "write_vectors", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            library.ingest_vectors(file, "mine")
    again = r"vectors of 'mine' was cut off: run `kg ingest --vectors FILE --family mine` again"
    for step in (library.train, lambda: library.ingest(music), lambda: library.add(new_song)):
        with pytest.raises(NotReadyError, match=again):
            step()
    with pytest.raises(NotReadyError, match=again):
        library.ingest_vectors(file, "two")
    with monkeypatch.context() as patched:  # all vectors are there, and clusters aren't
        patched.setattr(GraphStore, "write_build", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            library.ingest_vectors(file, "mine")
    report = library.ingest_vectors(file, "mine")
    assert (report.matched, report.songs, report.without, report.width) == (22, 22, 2, 3)
    assert (report.unknown, report.examples, report.rebuilt) == (1, ["nobody.flac"], True)
    assert everything(library) != before
    assert counted(library, "()-[:HAS_FEATURE {family: 'mine'}]->()") == 22
    (raw,) = library.ask(f"MATCH (s:Song {{id: '{there[0][0]}'}}) RETURN s.vector_mine").rows[0]
    with np.load(file) as written:
        np.testing.assert_array_equal(np.frombuffer(raw, "<f4"), written["vectors"][0])

    before = everything(library)
    assert not library.ingest_vectors(file, "mine").rebuilt
    assert not library.ingest(music).rebuilt
    assert everything(library) == before
    with pytest.raises(WrongUsageError, match="have 3 values, those of the file 4"):
        library.ingest_vectors(vectors_file(tmp_path / "w.npz", keys, width=4), "mine")
    with pytest.raises(WrongUsageError, match="are one song, and have different vectors"):
        library.ingest_vectors(vectors_file(tmp_path / "x.npz", list(there[0])), "other")

    library.train(QUICK)
    (added,) = library.add(new_song).added  # it has no such vector, and gets genres all the same
    assert len(added.guesses) == 3
    # The rest comes in another file; a model knows what such vectors mean.
    more = library.ingest_vectors(
        vectors_file(tmp_path / "more.npz", [id for id, _ in there[-2:]], seed=1), "mine"
    )
    assert (more.songs, more.without, more.rebuilt) == (24, 1, True)
    library.predict()
    second = library.ingest_vectors(vectors_file(tmp_path / "second.npz", keys, width=2), "second")
    assert second.songs == 22
    assert library.status().embeddings == ["file:mine", "file:second"]


def test_suggested_genres(library: Library, music: Path, tmp_path: Path) -> None:
    library.ingest(music, genres_from="none")
    with pytest.raises(NotReadyError, match="no song of this library has any"):
        library.suggest_genres()
    write_weights(library.settings.embeddings_dir)
    library.ingest(music / GENRES[0], embeddings=["musicnn"], genres_from="folder")
    labels = "MATCH (s)-[r:IN_GENRE]->(g) RETURN s.id, g.name, r.source ORDER BY s.id"
    owners = library.ask(labels).rows
    assert len(owners) == 6
    report = library.suggest_genres()
    assert report.sources == ["musicnn"]
    assert report.labelled == 6
    assert len(report.songs) + report.untold == 18
    assert report.songs
    for song in report.songs:
        assert [told.weight for told in song.suggestions] == sorted(
            (told.weight for told in song.suggestions), reverse=True
        )
    said = "MATCH (s)-[r:SUGGESTED_GENRE]->(g:Genre) RETURN s.id, g.name, r.rank, r.source"
    rows = sorted(library.ask(said).rows)
    assert rows == sorted(
        [song.id, told.genre, rank, "musicnn"]
        for song in report.songs
        for rank, told in enumerate(song.suggestions, 1)
    )
    library.suggest_genres()
    assert sorted(library.ask(said).rows) == rows
    assert library.ask(labels).rows == owners
    # Nothing learns from them.
    assert library.store.genres() == [GENRES[0]]
    with pytest.raises(NotReadyError, match="nothing to tell apart"):
        library.train(QUICK)
    assert library.suggest_genres(labelled_too=True).labelled == 0
    library.forget_suggestions()
    assert counted(library, "()-[:SUGGESTED_GENRE]->()") == 0
    assert counted(library, "(g:Genre)") == 1
    assert library.ask(labels).rows == owners


def test_what_cannot_listen(library: Library, music: Path, tmp_path: Path) -> None:
    for name, words in (
        ("vggish", "no embedding called 'vggish'"),
        (f"musicnn:{tmp_path / 'no.whl'}", "can't be used: no longer there"),
        (f"hf:{tmp_path / 'nothing'}", "nothing"),
    ):
        with pytest.raises(KgError, match=words):
            library.ingest(music, embeddings=[name])
        assert library.status().counts.songs == 0
    asked: list[str] = []
    report = library.ingest(music, offer=lambda: bool(asked.append("once")))
    assert asked == ["once"]
    assert report.embeddings == []
    library.ingest(music, offer=lambda: pytest.fail("asked twice"))
