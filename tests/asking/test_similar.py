"""Songs like a song: by embedding, by features where there is no model, and what they share."""

from pathlib import Path

import numpy as np
import pytest

from kg import Library
from kg.asking.similar import SimilarSongs
from kg.asking.wording import shared_in_words
from kg.audio.synth import GENRES, write_song
from kg.errors import KgError, NotReadyError
from kg.learning.saved_models import latest_model, load_checkpoint
from kg.learning.training import TrainOptions

TRAINED = TrainOptions(epochs=40)


def ids(library: Library) -> list[str]:
    return [id for (id,) in library.ask("MATCH (s:Song) RETURN s.id ORDER BY s.id").rows]


def is_shown_in_cypher(library: Library, found: SimilarSongs) -> None:
    answer = library.ask(found.cypher)
    rows = {row[0]: dict(zip(answer.keys, row, strict=True)) for row in answer.rows}
    assert list(rows) == [song.id for song in found.songs]
    for song in found.songs:
        row = rows[song.id]
        for name in ("genres", "clusters", "tags"):
            assert sorted(row[name]) == getattr(song, name)
        assert (row["title"], row["artist"], row["linked"]) == (
            *(song.title, song.artist),
            song.linked,
        )


def test_the_nearest_by_embedding(library: Library, music: Path) -> None:
    library.ingest(music)
    library.train(TRAINED)
    model = latest_model(library.store)
    assert model is not None
    loaded, _ = load_checkpoint(model, library.settings.models_dir)
    z = loaded.layers[-1]["song"].numpy()
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    songs = list(loaded.names["song"])
    for id in ids(library)[:3]:
        found = library.similar(id, 5)
        cosine = z @ z[songs.index(id)]
        order = [songs[row] for row in np.argsort(-cosine) if songs[row] != id][:5]
        assert [song.id for song in found.songs] == order
        assert [song.similarity for song in found.songs] == pytest.approx(
            [cosine[songs.index(other)] for other in order], abs=1e-5
        )
        assert (found.id, found.by, found.why_not_embedding) == (id, "embedding", None)
        is_shown_in_cypher(library, found)
    everything = library.similar(ids(library)[0], 100)
    assert len(everything.songs) == 23
    assert {song.linked for song in everything.songs} == {True, False}
    own = next(song for song in everything.songs if song.same_artist)
    assert "the artist" in own.words
    assert own.genres[0] in own.words

    # One that is gone isn't among them, though the checkpoint knows it.
    gone = everything.songs[0].id
    library.forget(gone)
    assert gone not in [song.id for song in library.similar(ids(library)[0], 100).songs]


def test_a_song_that_came_later(library: Library, music: Path, tmp_path: Path) -> None:
    library.ingest(music)
    library.train(TRAINED)
    new = write_song(tmp_path / "new.flac", GENRES[2], seconds=2.0, seed=7, artist=9, title="New")
    library.add(new)
    found = library.similar("New", 3)
    assert found.by == "embedding"
    assert len(found.songs) == 3
    is_shown_in_cypher(library, found)
    before = [(song.id, song.similarity) for song in found.songs]
    assert "New" not in [song.title for song in library.similar(before[0][0], 100).songs]

    # A whole pass gives it the same embedding; only its neighbours hear it now.
    library.predict()
    after = {song.id: song.similarity for song in library.similar("New", 100).songs}
    assert [after[id] for id, _ in before] == pytest.approx([c for _, c in before], abs=0.05)
    assert "New" in [song.title for song in library.similar(before[0][0], 100).songs]


def test_without_a_model_by_features(library: Library, music: Path, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="kg ingest"):
        library.similar("anything")
    library.ingest(music)
    id = ids(library)[0]
    found = library.similar(id)
    assert found.by == "features"
    assert "no model yet: run `kg train`" in (found.why_not_embedding or "")
    linked = library.ask(
        "MATCH (:Song {id: $id})-[r:SIMILAR_TO]-(o) RETURN o.id, max(r.weight) AS w "
        "ORDER BY w DESC, o.id LIMIT 10",
        {"id": id},
    ).rows
    assert [[song.id, song.similarity] for song in found.songs] == linked
    assert all(song.linked for song in found.songs)
    is_shown_in_cypher(library, found)

    library.train(TRAINED)
    assert library.similar(id).by == "embedding"
    write_song(tmp_path / GENRES[0] / "new.flac", GENRES[0], seconds=2.0, seed=30, artist=9)
    library.ingest(tmp_path / GENRES[0], genres_from="folder")
    found = library.similar(id)
    assert found.by == "features"
    assert "was rebuilt after model" in (found.why_not_embedding or "")
    with pytest.raises(KgError, match="no song of the library"):
        library.similar("nothing like it")


def test_what_they_share_in_words() -> None:
    networks = {"clap": "owner/clap"}
    families = ["mfcc", "chroma", "tonnetz", "clap"]
    assert shared_in_words(["jazz"], families, ["sax", "slow"], networks, same_artist=True) == (
        "jazz; the artist; alike in timbre, harmony and how owner/clap hears them; "
        "heard in both: sax, slow"
    )
    assert shared_in_words([], [], [], {}, same_artist=False) == ""
