"""Training on a level of the tree, and all that follows: predictions, new songs, explanations."""

from pathlib import Path
from typing import Any

import pytest

from kg import Library
from kg.audio.synth import GENRES as ALL
from kg.audio.synth import write_song
from kg.errors import NotReadyError, WrongUsageError
from kg.learning.training import TrainOptions

GENRES = ALL[:4]  # those of the fixture
TREE = {name: ["fast" if row % 2 else "slow"] for row, name in enumerate(GENRES)}
TOP = TrainOptions(epochs=20, genre_level="top")
PREDICTED = """
MATCH (s:Song)-[r:PREDICTED_GENRE]->(g:Genre)
RETURN s.id AS song, g.name AS genre, r.probability AS probability, r.rank AS rank
ORDER BY song, rank
"""


@pytest.fixture
def treed(library: Library, music: Path) -> Library:
    library.ingest(music)
    library.store.write_tree(TREE)
    return library


def write(library: Library, cypher: str, **parameters: Any) -> None:
    library.connection.write(lambda tx: tx.run(cypher, parameters).consume())


def predicted(library: Library) -> list[list[Any]]:
    return library.ask(PREDICTED).rows


def test_the_top_level_is_learned_and_labels_stay(treed: Library, tmp_path: Path) -> None:
    labels = treed.store.genres()
    report = treed.train(TOP)
    assert (report.genre_level, report.genres, report.off_level) == ("top", 2, 0)
    assert {row[1] for row in predicted(treed)} == {"fast", "slow"}
    assert treed.store.genres() == labels == sorted(GENRES)
    assert not treed.status().stale
    (saved,) = treed.models()
    assert saved.misfit is None
    assert saved.metrics["genreLevel"] == "top"

    before = predicted(treed)
    treed.predict()
    assert [row[:2] for row in predicted(treed)] == [row[:2] for row in before]

    new = write_song(tmp_path / "new.flac", GENRES[0], seconds=2.0, seed=99)
    (added,) = treed.add(new).added
    assert {guess.genre for guess in added.guesses} == {"fast", "slow"}

    song = treed.ask("MATCH (s:Song {split: 'train'}) RETURN s.id ORDER BY s.id LIMIT 1").rows[0][0]
    explained = treed.explain(song).explained
    assert {told.genre for told in explained} == {"fast", "slow"}
    assert "fast" in str(explained) or "slow" in str(explained)


def test_songs_around_count_with_their_subgenres(treed: Library) -> None:
    treed.train(TOP)
    song, genre = treed.ask(
        "MATCH (s:Song {split: 'test'})-[:PREDICTED_GENRE {rank: 1}]->(g:Genre) "
        "RETURN s.id, g.name ORDER BY s.id LIMIT 1"
    ).rows[0]
    first = treed.explain(song, named=99).explained[0]
    assert first.genre == genre
    rows = treed.ask(first.cypher).rows
    keys = treed.ask(first.cypher).keys
    clusters = [dict(zip(keys, row, strict=True)) for row in rows if row[0] == "HAS_FEATURE"]
    expected = treed.ask(
        "MATCH (o:Song)-[:IN_GENRE]->(:Genre)-[:SUBGENRE_OF]->(:Genre {name: $genre}) "
        "MATCH (o)-[:HAS_FEATURE]->(c:FeatureCluster) WHERE o.id <> $song "
        "RETURN c.id, count(DISTINCT o)",
        {"genre": genre, "song": song},
    ).rows
    counted = dict(expected)
    assert clusters
    assert {row["key"]: row["othersOfGenre"] for row in clusters} == {
        row["key"]: counted.get(row["key"], 0) for row in clusters
    }
    for piece in first.evidence:
        if piece.relationship == "HAS_FEATURE" and counted.get(piece.key):
            assert str(counted[piece.key]) in piece.words


def test_another_tree_makes_the_model_old(treed: Library) -> None:
    treed.train(TOP)
    treed.store.write_tree({GENRES[0]: ["slower"], "slower": []})
    assert any("genre tree has changed" in line for line in treed.status().stale)
    with pytest.raises(NotReadyError, match="since then came slower"):
        treed.predict()
    treed.store.write_tree({"x": []}, replace=True)
    (saved,) = treed.models()
    assert saved.misfit is not None
    assert "there is none now" in saved.misfit
    with pytest.raises(WrongUsageError, match="no genre tree"):
        treed.train(TOP)


def test_where_songs_have_several_genres_parents_are_never_less_probable(treed: Library) -> None:
    # Some songs are filed under a parent too, and some under two genres.
    treed.store.write_tree({name: [GENRES[0]] for name in GENRES[1:]}, replace=True)
    write(
        treed,
        "MATCH (s:Song)-[:IN_GENRE]->(:Genre {name: $one}) MATCH (g:Genre {name: $other}) "
        "CREATE (s)-[:IN_GENRE {source: 'user'}]->(g)",
        one=GENRES[1],
        other=GENRES[2],
    )
    report = treed.train(TrainOptions(epochs=20))
    assert report.genre_level == "given"
    assert report.model.metrics["severalGenres"] is True
    shares: dict[str, dict[str, float]] = {}
    for song, genre, probability, _ in predicted(treed):
        shares.setdefault(song, {})[genre] = probability
    for own in shares.values():
        # Whatever is predicted, the genre above all is, and at least as probable.
        assert own[GENRES[0]] >= max(own.values())
    # The song's own filing and its parent's are both right.
    assert report.model.metrics["accuracy"] == 1.0
    song = next(iter(shares))
    first = treed.store.tree().above(predicted(treed)[0][1])
    told = treed.explain(song).explained
    assert all(each.evidence for each in told)
    if first:
        # It is one of its genres whatever else is, so that this one is no rival.
        assert all(piece.rank <= len(GENRES) - 1 for piece in told[0].together)
    treed.train(TrainOptions(epochs=2))
    assert treed.evaluate(1, options=TrainOptions(epochs=2)).seeds is not None
    treed.store.write_tree({GENRES[1]: []})
    assert any("genre tree has changed" in line for line in treed.status().stale)


def test_the_first_genre_is_as_specific_as_it_is_sure(treed: Library, tmp_path: Path) -> None:
    treed.store.write_tree({name: ["music"] for name in GENRES}, replace=True)
    write(
        treed,
        "MATCH (s:Song)-[:IN_GENRE]->(:Genre) MATCH (g:Genre {name: 'music'}) "
        "MERGE (s)-[:IN_GENRE {source: 'user'}]->(g)",
    )

    def told() -> dict[str, list[tuple[str, float]]]:
        found: dict[str, list[tuple[str, float]]] = {}
        for song, genre, probability, _ in predicted(treed):
            found.setdefault(song, []).append((genre, probability))
        return found

    report = treed.train(TrainOptions(epochs=20, precision=0.05))
    assert report.model.metrics["severalGenres"] is True
    named = dict(treed.ask("MATCH (s:Song) WHERE s.doubt IS NULL RETURN s.id, s.predicted").rows)
    careless = told()
    for song, own in careless.items():
        genres, share = [genre for genre, _ in own], dict(own)
        # All is music, which takes a place where it is hard to say of what kind.
        assert share["music"] == max(share.values())
        likely = max(share[name] for name in GENRES if name in share) >= share["music"] / 2
        assert len(genres) == (4 if likely else 3)
        assert genres[-1 if likely else 0] == "music"
        assert named.get(song, genres[0]) == genres[0]
    assert any(own[0][0] != "music" for own in careless.values())
    new = write_song(tmp_path / "new.flac", GENRES[1], seconds=2.0, seed=9, artist=1)
    (added,) = treed.add(new).added
    assert [(guess.genre, guess.probability) for guess in added.guesses] == told()[added.id]
    assert added.verdict is not None
    assert added.verdict.predicted in (added.guesses[0].genre, "unknown")
    explained = treed.explain(added.id).explained
    assert [each.genre for each in explained] == [g.genre for g in added.guesses][: len(explained)]
    # Asked for more certainty, the model says less of a song, not of fewer songs.
    treed.train(TrainOptions(epochs=20, precision=0.9))
    for song, own in told().items():
        if song in careless:
            share = dict(own)
            assert own[0][0] == "music" or share[own[0][0]] >= 0.9


def test_fresh_models_learn_the_level_of_the_model_in_use(treed: Library) -> None:
    treed.train(TOP)
    found = treed.evaluate(1, "test", TrainOptions(epochs=2)).seeds
    assert found is not None
    assert {each.genre for each in found.measured.genres} <= {"fast", "slow"}
