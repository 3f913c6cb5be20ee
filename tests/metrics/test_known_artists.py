"""A song by a known artist and a song by a new one: two questions, and what artists are worth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kg.asking.explaining import explain
from kg.build import build_graph
from kg.graph.rows import GraphRows, Linked
from kg.graph.store import GraphStore
from kg.learning.guessing import NewSongs
from kg.learning.seeds import evaluate
from kg.learning.training import TrainOptions, at_once, predict, train
from kg.metrics.known_artists import (
    ANY,
    ARTISTS_GENRE,
    KNOWN,
    NEW,
    artists_genre,
    of_known_artists,
    question_of,
)
from kg.metrics.measuring import R_GCN, WITHOUT_GRAPH, Labelled
from kg.records import NewSong
from kg.splits import SplitSong
from tests.graph.test_store import KINDS, song, store
from tests.metrics.test_measuring import graph

__all__ = ["store"]  # a fixture


def with_albums(rows: GraphRows, per_album: int) -> GraphRows:
    """Every artist's three songs, of three genres, on albums of so many."""
    songs = np.arange(len(rows.songs))
    albums = songs // 3 * 3 + songs % 3 // per_album
    keys, nodes = np.unique(albums, return_inverse=True)
    linked = Linked([f"album {key:03}" for key in keys], np.stack([songs, nodes]))
    return replace(rows, further={"album": linked})


def keys_of(rows: GraphRows, **recordings: str) -> list[SplitSong]:
    return [replace(s, recording=recordings.get(s.id)) for s in rows.songs.split_songs()]


def test_the_question_is_told_by_the_songs() -> None:
    artists = ["A", "The A feat. B", "B", None]
    learned = np.array([0])
    assert question_of(artists, learned, np.array([2])) == NEW
    assert question_of(artists, learned, np.array([1])) == KNOWN
    assert question_of(artists, learned, np.array([1, 2])) == ANY
    assert question_of(artists, learned, np.array([2, 3])) == ANY  # nobody knows


@pytest.mark.parametrize("per_album", [1, 2])
def test_whole_albums_are_held_out_and_never_an_artists_last(per_album: int) -> None:
    rows = with_albums(graph(), per_album)
    asked = of_known_artists(rows, keys_of(rows))
    assert asked is not None
    before, after = rows.songs.splits, asked.songs.splits
    assert [s for s in after if s == "valid"] == [s for s in before if s == "valid"]
    held = [row for row, side in enumerate(after) if side == "test"]
    assert 0.15 * before.count("train") < len(held) <= 0.2 * before.count("train")
    # Those that were tested before are learned from no more than they were.
    assert all(before[row] == "train" for row in held)
    assert all(after[row] is None for row, side in enumerate(before) if side == "test")
    labelled = Labelled(asked)
    learned, told = labelled.rows["train"], labelled.rows["test"]
    assert question_of(asked.songs.artists, learned, told) == KNOWN
    album = dict(rows.further["album"].edges.T.tolist())
    assert {album[row] for row in held}.isdisjoint({album[row] for row in learned})
    assert of_known_artists(rows, keys_of(rows), seed=1).songs.splits != after  # type: ignore[union-attr]


def test_artists_of_one_album_are_not_asked_for() -> None:
    rows = with_albums(graph(), 3)
    assert of_known_artists(rows, keys_of(rows)) is None
    nobody = replace(graph(), songs=replace(graph().songs, artists=[None] * 300))
    assert of_known_artists(nobody, keys_of(nobody)) is None


def test_a_copy_of_what_is_learned_from_is_not_measured_on() -> None:
    rows = graph()
    free = of_known_artists(rows, keys_of(rows))
    assert free is not None
    held = free.songs.splits.index("test")
    learned = free.songs.splits.index("train")
    copies = {rows.songs.ids[held]: "one", rows.songs.ids[learned]: "one"}
    asked = of_known_artists(rows, keys_of(rows, **copies))
    assert asked is not None
    assert asked.songs.splits[held] is None


def test_the_obvious_baseline() -> None:
    rows = graph(9)
    sides = ["train", "train", "test", *["train"] * 4, "test", "test"]
    artists = ["A", "A", "the a", "B", "B", "B", "B", None, "C"]
    rows = replace(rows, songs=replace(rows.songs, splits=sides, artists=artists))
    scores = artists_genre(rows, Labelled(rows).truth, np.array([2, 7, 8]))
    # A's are blues and jazz, and blues is the commoner one among what is learned from.
    assert rows.genres[scores[0].argmax()] == "blues"
    assert scores[0].argsort().tolist() == [2, 1, 0]
    np.testing.assert_array_equal(scores[1], scores[2])


def test_the_obvious_baseline_says_genres_that_most_songs_of_the_artist_have() -> None:
    truth = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]], dtype=bool)
    rows = graph(5)
    sides = ["train", "train", "train", "test", "train"]
    rows = replace(rows, songs=replace(rows.songs, splits=sides, artists=["A"] * 4 + ["B"]))
    scores = artists_genre(rows, truth, np.array([3]))
    assert (scores > 0).tolist() == [[True, True, False]]
    assert scores[0].argsort()[::-1].tolist() == [0, 1, 2]


def made_up(count: int = 20) -> list[NewSong]:
    """Artists who play one genre each, on two albums of three songs; how it sounds is chance."""
    songs = []
    for number in range(6 * count):
        artist, genre = number // 6, ("blues", "jazz")[number // 6 % 2]
        plain = song(f"s{number:03}", genre)
        credited = replace(
            plain.record, artist=f"Artist {artist}", album=f"Album {number // 3}", path=None
        )
        songs.append(replace(plain, record=credited))
    return songs


QUICK = TrainOptions(epochs=40)


def test_artists_who_decide_the_genre_help_with_their_songs_and_not_with_others(
    store: GraphStore, tmp_path: Path
) -> None:
    store.write_songs(made_up())
    build_graph(store, KINDS, tmp_path / "neighbours")
    report = evaluate(store, 1, "valid", QUICK, in_turn=at_once)
    assert report.seeds is not None
    assert report.known is not None
    assert (report.seeds.question, report.known.question) == (NEW, KNOWN)
    assert report.looks.here == report.looks.elsewhere == 0  # nobody looked at a test song
    new = {each.name: each.accuracy.value for each in report.seeds.measured.scores}
    known = {each.name: each.accuracy.value for each in report.known.measured.scores}
    assert known[R_GCN] > 0.9
    assert known[WITHOUT_GRAPH] < 0.75
    assert known[ARTISTS_GENRE] == 1.0
    assert new[R_GCN] < 0.8
    assert any(ARTISTS_GENRE in said for said in report.known.verdict)
    assert evaluate(store, 1, "valid", QUICK, known_artists=False, in_turn=at_once).known is None


def test_a_new_song_by_a_known_artist_and_why(store: GraphStore, tmp_path: Path) -> None:
    store.write_songs(made_up())
    build_graph(store, KINDS, tmp_path / "neighbours")
    model = train(store, tmp_path / "models", QUICK).model
    guesser = NewSongs(model, tmp_path / "models", store.build())
    learned = {s.artist: s.genres[0] for s in store.read_keys() if s.split == "train"}
    wanted = [("artist 0", "blues"), ("artist 1", "jazz")]
    assert all(learned.get(key.capitalize(), genre) == genre for key, genre in wanted)
    known = [(key.casefold(), genre) for key, genre in learned.items() if key][:6]
    x = np.zeros((len(known), 5), dtype=np.float32)
    none: list[list[tuple[str, float]]] = [[] for _ in known]
    told = guesser.guess(x, [[] for _ in known], none, {"artist": [[key] for key, _ in known]})
    assert [each.guesses[0].genre for each in told] == [genre for _, genre in known]
    # Of an artist nobody knows nothing is said.
    strange = guesser.guess(x, [[] for _ in known], none, {"artist": [["nobody"] for _ in known]})
    silent = guesser.guess(x, [[] for _ in known], none)
    assert [each.guesses for each in strange] == [each.guesses for each in silent]

    first = next(s for s in store.read_keys() if s.split == "train")
    found = explain(store, tmp_path / "models", first.id)
    assert found.explained[0].genre == first.genres[0]
    words = {piece.relationship: piece for piece in found.explained[0].evidence}
    said = f"by {first.artist}, 5 of whose 5 other songs are {first.genres[0]}"
    assert words["BY"].words == said
    assert words["BY"].contribution > 0
    assert words["ON"].contribution > 0
    assert words["ON"].words.startswith("on the album Album ")
    assert words["ON"].words.endswith(f", 2 of whose 2 other songs are {first.genres[0]}")


def test_an_artist_of_one_song_is_no_evidence_for_it_but_for_the_next(
    store: GraphStore, tmp_path: Path
) -> None:
    hermits = [f"s{number:03}" for number in range(0, 120, 6)]
    songs = [
        replace(each, record=replace(each.record, artist=f"Hermit {row}", album=f"Cell {row}"))
        if each.record.id in hermits
        else each
        for row, each in enumerate(made_up())
    ]
    store.write_songs(songs)
    build_graph(store, KINDS, tmp_path / "neighbours")
    model = train(store, tmp_path / "models", QUICK).model
    # One that was learned from and one that wasn't: neither hears its own echo.
    sides = {s.id: s.split for s in store.read_keys()}
    genres = {s.id: s.genres[0] for s in store.read_keys()}
    learned, unlearned = (
        next(id for id in hermits if (sides[id] == "train") is told) for told in (True, False)
    )
    for id in (learned, unlearned):
        found = explain(store, tmp_path / "models", id).explained[0]
        assert {piece.relationship for piece in found.evidence}.isdisjoint({"BY", "ON"})
        assert not any("none has a genre" in piece.words for piece in found.evidence)
    # Others still have their artists and albums, and after another pass nothing is different.
    predict(store, tmp_path / "models")
    others = explain(store, tmp_path / "models", "s001").explained[0]
    assert {"BY", "ON"} < {piece.relationship for piece in others.evidence}
    found = explain(store, tmp_path / "models", learned).explained[0]
    assert {piece.relationship for piece in found.evidence}.isdisjoint({"BY", "ON"})
    # To a second song of theirs the first is news.
    guesser = NewSongs(model, tmp_path / "models", store.build())
    x = np.zeros((1, 5), dtype=np.float32)
    key = f"hermit {int(learned[1:])}"
    told = guesser.guess(x, [[]], [[]], {"artist": [[key]]})[0].guesses
    plain = guesser.guess(x, [[]], [[]])[0].guesses
    score = {
        name: {g.genre: g.score for g in found}[genres[learned]]
        for name, found in (("told", told), ("plain", plain))
    }
    assert score["told"] != pytest.approx(score["plain"], abs=1e-3)


def test_a_model_from_before_there_were_artists_still_speaks(
    store: GraphStore, tmp_path: Path
) -> None:
    nameless = [
        replace(each, record=replace(each.record, artist=None, album=None)) for each in made_up()
    ]
    store.write_songs(nameless)
    build_graph(store, KINDS, tmp_path / "neighbours")
    model = train(store, tmp_path / "models", QUICK).model
    before = explain(store, tmp_path / "models", "s000")
    store.write_songs(made_up())
    assert set(store.read_graph().further) == {"artist", "album"}
    assert predict(store, tmp_path / "models").model.id == model.id
    after = explain(store, tmp_path / "models", "s000")
    assert {piece.relationship for piece in after.explained[0].evidence}.isdisjoint({"BY", "ON"})
    assert after.explained[0].score == pytest.approx(before.explained[0].score, abs=1e-3)
