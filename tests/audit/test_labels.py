"""Planted wrong labels are found, by models that know nothing of the artist."""

from itertools import pairwise

import numpy as np
import pytest

from kg.audit import told
from kg.audit.folds import deal, groups_of
from kg.audit.labels import (
    TIMES,
    Disputed,
    disputes,
    judgeable,
    related,
    with_others,
)
from kg.audit.told import FOLDS, out_of_fold
from kg.genres.tree import Tree
from kg.graph.rows import Floats
from kg.metrics.evaluate import Bools, Rows
from kg.splits import SplitSong
from kg.splits.assign import CHAIN_SONGS

NO_KIN: Bools = np.eye(4, dtype=np.bool_)


def one_hot(genres: Rows, count: int = 4) -> Bools:
    return np.eye(count, dtype=np.bool_)[genres]


def songs(count: int = 240, seed: int = 0) -> tuple[Floats, Rows, Rows]:
    """Features that tell four genres apart, the genres, and groups of three songs of one genre."""
    chance = np.random.default_rng(seed)
    group = np.arange(count) // 3
    genre = group % 4
    centres = np.eye(4, 8) * 4
    return (centres[genre] + chance.normal(size=(count, 8))).astype(np.float32), genre, group


def test_groups_stay_together_and_genres_are_even() -> None:
    _, genre, group = songs(600)
    truth = one_hot(genre)
    part = deal(truth, group, 5, seed=1)
    assert all(len(set(part[group == each])) == 1 for each in set(group.tolist()))
    counts = np.array([truth[part == number].sum(axis=0) for number in range(5)])
    assert counts.min() == counts.max() == 30
    assert (part == deal(truth, group, 5, seed=1)).all()
    assert (part != deal(truth, group, 5, seed=2)).any()


def test_groups_of_artists_and_recordings() -> None:
    keys = [
        SplitSong("a", ("x",), "One"),
        SplitSong("b", ("x",), "The One"),
        SplitSong("c", ("x",), "Two", recording="r"),
        SplitSong("d", ("x",), "Three", recording="r"),
        SplitSong("e", (), "One"),
        SplitSong("f", ("x",)),
        SplitSong("g", ("x",)),
    ]
    ids = [key.id for key in keys]
    group = groups_of(ids, keys)
    assert group[0] == group[1]
    assert group[2] == group[3]
    assert group[4] == -1  # without a genre
    assert len({*group.tolist()}) == 5
    # Copies that an audit found are one group too, as are songs that hang on one together.
    joined = groups_of(ids, keys, [("f", "c"), ("g", "f"), ("e", "a"), ("a", "gone")])
    assert joined[2] == joined[3] == joined[5] == joined[6]
    assert joined[4] == -1
    assert len({*joined.tolist()}) == 3


def test_copies_chain_no_library_together() -> None:
    keys = [SplitSong(f"{number:03}", ("x",), f"Artist {number}") for number in range(120)]
    ids = [key.id for key in keys]
    chained = groups_of(ids, keys, list(pairwise(ids)))
    # As many as may join one stay with it, and the others aren't judged.
    assert np.bincount(chained[chained >= 0]).tolist()[0] == 1 + CHAIN_SONGS
    assert (chained == -1).sum() == 120 - 1 - CHAIN_SONGS


def test_a_copy_is_held_together_with_an_artist_of_many_songs() -> None:
    keys = [SplitSong(f"{number:03}", ("x",), "Johann") for number in range(300)]
    keys += [SplitSong("copy", ("y",)), SplitSong("between", ()), SplitSong("other", ("y",))]
    ids = [key.id for key in keys]
    copies = [("000", "copy"), ("001", "between"), ("between", "other")]
    group = dict(zip(ids, groups_of(ids, keys, copies).tolist(), strict=True))
    assert group["copy"] == group["000"]
    assert group["between"] == -1
    # A song without a genre links its copies, too.
    assert group["other"] == group["001"] == group["000"]


def test_two_artists_of_many_songs_stay_two() -> None:
    keys = [SplitSong(f"{n:03}", ("x",), "One" if n < 100 else "Two") for n in range(200)]
    keys += [SplitSong(f"3{n}", ("x",), "Three") for n in range(9)]
    ids = [key.id for key in keys]
    # A copy that stays out isn't taken in again with its artist's other songs.
    group = groups_of(ids, keys, [("000", "100"), ("101", "30"), ("31", "102")])
    assert group[0] == group[99] != group[101]
    assert group[100] == -1  # told by neither
    assert group[101] == group[102] == group[208]


def test_a_genre_of_few_artists_is_not_judged() -> None:
    truth = one_hot(np.array([0, 0, 0, 1, 1, 1, 2, 2, 0]))
    group = np.array([0, 1, 2, 3, 4, 5, 6, 6, -1])
    rows, columns = judgeable(truth, group)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert columns.tolist() == [0, 1]
    rows, columns = judgeable(truth, np.full(9, -1))
    assert len(rows) == len(columns) == 0


def test_planted_labels_are_found_and_nothing_else() -> None:
    x, genre, group = songs()
    planted = np.array([0, 50, 100, 151, 200])
    filed = genre.copy()
    filed[planted] = (filed[planted] + 1) % 4
    truth = one_hot(filed)
    heard = out_of_fold(x, truth, group, several=False)
    assert heard.shape == (240, 4)
    assert heard.sum(axis=1) == pytest.approx(1, abs=1e-5)
    own = heard[np.arange(240), filed]
    assert {*np.argsort(own)[:5].tolist()} == {*planted.tolist()}
    found = disputes(heard, truth, NO_KIN, several=False)
    assert 3 <= len(found) <= 5
    assert {each.row for each in found} <= {*planted.tolist()}
    for each in found:
        assert (each.kind, each.genre) == ("wrong", genre[each.row])
        assert each.replaces == (filed[each.row],)
        assert each.strength >= TIMES * each.filed_strength
    sure = [each.strength - each.filed_strength for each in found]
    assert sure == sorted(sure, reverse=True)


def test_a_song_is_not_told_by_its_artist() -> None:
    # The artist is told by a column of their own, and is the only one of the genre with it.
    x, genre, group = songs()
    x = np.hstack([x, np.zeros((len(x), 1), np.float32)])
    mine = group == 0
    x[mine, :8] = 0
    x[mine, 8] = 6
    heard = out_of_fold(x, one_hot(genre), group, several=False)
    assert heard[mine, genre[0]].max() < 0.6
    alone = out_of_fold(x, one_hot(genre), np.arange(len(x)), several=False)
    assert (alone[mine, genre[0]] > heard[mine, genre[0]] + 0.2).all()


def test_fewer_groups_than_folds_do() -> None:
    x, genre, _ = songs(24)
    group = np.arange(24) // 12
    assert FOLDS > 2
    heard = out_of_fold(x, one_hot(genre), group, several=False)
    assert np.isfinite(heard).all()


def test_rare_genres_of_a_large_library_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MOST_TO_FIT": 200, "FEWEST_TO_FIT": 100, "MOST_TO_CHOOSE_BY": 150}.items():
        monkeypatch.setattr(told, name, value)
    monkeypatch.setattr(told, "GENRES_TO_CHOOSE_BY", 3)
    x, genre, group = songs(1200)
    rare = (genre != 3) | (np.arange(1200) % 60 < 12)
    x, genre, group = x[rare], genre[rare], group[rare]
    heard = out_of_fold(x, one_hot(genre), group, several=False)
    assert (heard.argmax(axis=1) == genre)[genre == 3].mean() > 0.8


def test_other_songs_of_the_artist_count() -> None:
    truth = one_hot(np.array([0, 0, 0, 1, 2, 2, 3]))
    heard = np.tile(truth.mean(axis=0), (7, 1)).astype(np.float32)  # sound tells nothing
    group = np.array([0, 0, 0, 0, 7, 8, 9])
    said = with_others(heard, truth, group, several=False)
    assert said.sum(axis=1) == pytest.approx(1)
    assert said[3].argmax() == 0
    assert said[3, 1] < said[0, 0]  # out of place among them
    # Who is alone, or unknown, is told by sound.
    assert said[[4, 5, 6]] == pytest.approx(heard[[4, 5, 6]], abs=1e-6)


def test_an_artist_filed_wrongly_as_a_whole_does_not_vouch_for_its_songs() -> None:
    truth = one_hot(np.array([0] * 4 + [1] * 4))
    group = np.array([0, 0, 0, 0, 1, 2, 3, 4])
    heard = np.full((8, 4), 0.02, np.float32)
    heard[:, 1] = 0.94  # all of them sound like the second genre
    alone = with_others(heard, truth, np.arange(8), several=False)
    said = with_others(heard, truth, group, several=False)
    assert said[:4].argmax(axis=1).tolist() == [1] * 4
    assert (said[:4, 0] < 0.2).all()
    assert alone[:4] == pytest.approx(heard[:4], abs=1e-6)


def test_subgenres_dispute_nothing() -> None:
    names = ["electronic", "jazz", "rock", "techno"]
    kin = related(names, Tree({"techno": ["electronic"]}))
    assert kin[0, 3]
    assert kin[3, 0]
    assert not kin[1, 3]
    said = np.array([[0.01, 0.01, 0.01, 0.97], [0.01, 0.01, 0.97, 0.01]], np.float32)
    found = disputes(said, one_hot(np.array([0, 0])), kin, several=False)
    assert [(each.row, each.genre) for each in found] == [(1, 2)]


def test_one_genre_too_many_or_too_few() -> None:
    truth = np.array(
        [[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0]], dtype=np.bool_
    )
    said = np.array(
        [
            [0.9, 0.8, 0.1, 0.1],  # right
            [0.9, 0.01, 0.1, 0.1],  # one too many
            [0.9, 0.1, 0.1, 0.95],  # one missing
            [0.9, 0.01, 0.1, 0.7],  # one for another
            [0.1, 0.01, 0.1, 0.1],  # wrong, and nobody knows what else
        ],
        np.float32,
    )
    found = disputes(said, truth, NO_KIN, several=True)
    near = {
        each.row: (each.kind, each.genre, each.replaces, round(each.strength, 2)) for each in found
    }
    assert near == {
        1: ("extra", 0, (1,), 0.99),
        2: ("missing", 3, (), 0.95),
        3: ("wrong", 3, (1,), 0.7),
    }
    assert isinstance(found[0], Disputed)


def test_several_genres_a_song_are_told_one_by_one() -> None:
    x, genre, group = songs(480)
    truth = one_hot(genre)
    truth[:, 3] |= x[:, 7] > 1  # a second genre, which a column tells
    right = truth.copy()
    planted = np.flatnonzero(right[:, 3] & (genre != 3))[:5]
    truth[planted, 3] = False
    truth[planted, (genre[planted] + 1) % 3] = True
    heard = out_of_fold(x, truth, group, several=True)
    assert (heard[:, :3] >= 0).all()
    assert (heard[:, :3] <= 1).all()
    found = disputes(heard, truth, NO_KIN, several=True)
    rows = [each.row for each in found]
    assert len(rows) == len(set(rows))
    assert len({*planted.tolist()} & {*rows}) >= 4
    assert len(rows) <= 10
