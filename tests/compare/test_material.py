"""Which songs a fold learns from, and that nothing of the others flows into it."""

from dataclasses import replace

import numpy as np
import pytest

from kg.compare.contestants import Given, contestants, told_by
from kg.compare.material import ALL, SHARES, Fold, Material, Task, restricted
from kg.errors import NotReadyError, WrongUsageError
from kg.graph.rows import Linked, SongTable
from kg.schema import ARTIST_NODE, GENRE_EDGE, SONG_NODE
from kg.splits import SplitSong
from tests.compare.songs import material


def test_every_song_is_told_once_by_models_that_know_none_of_its_artist() -> None:
    songs = material()
    for seed in range(3):
        folds = songs.folds(5, "by artist", seed)
        told = np.concatenate([fold.told for fold in folds])
        assert sorted(told) == songs.taking_part.tolist()
        for fold in folds:
            assert not set(fold.told) & (set(fold.train) | set(fold.valid))
            by = np.array(songs.songs.artists)
            assert not set(by[fold.told]) & set(by[fold.train])
            assert set(songs.truth[fold.told].argmax(axis=1)) == {0, 1, 2}


def test_test_songs_are_neither_learned_from_nor_told() -> None:
    songs = material()
    test = set(songs.side("test").tolist())
    assert test
    for fold in songs.folds(3, "by artist", 0) + songs.folds(3, "random", 0):
        assert not test & {*fold.train.tolist(), *fold.valid.tolist(), *fold.told.tolist()}


def test_random_folds_put_artists_on_both_sides() -> None:
    songs = material()
    by = np.array(songs.songs.artists)
    fold = songs.folds(3, "random", 0)[0]
    assert set(by[fold.told]) & set(by[fold.train])


def test_copies_of_a_recording_are_told_together() -> None:
    songs = material(songs=60, artists=60)
    keys = [
        SplitSong(id, names, artist, side, recording="r" if row in (0, 3) else None)
        for row, (id, names, artist, side) in enumerate(
            zip(
                songs.songs.ids,
                songs.songs.genres,
                songs.songs.artists,
                songs.songs.splits,
                strict=True,
            )
        )
    ]
    with_copies = Material(songs.songs, keys, songs.kinds)
    sides = np.full(60, -1)
    for number, fold in enumerate(with_copies.folds(5, "by artist", 0)):
        sides[fold.told] = number
    assert sides[0] == sides[3] >= 0


def test_songs_that_choose_the_epoch_are_set_aside_where_they_are_enough() -> None:
    few = material(songs=90).folds(3, "by artist", 0)[0]
    assert len(few.valid) == 0
    songs = material(songs=1200)
    many = songs.folds(3, "by artist", 0)[0]
    by = np.array(songs.songs.artists)
    assert len(many.valid) >= 100
    assert not set(by[many.valid]) & set(by[many.train])
    assert not set(many.valid) & set(many.told)


def test_one_split_is_the_library_s_own() -> None:
    songs = material()
    (fold,) = songs.one_split("test", 1)
    assert fold.told.tolist() == songs.side("test").tolist()
    assert fold.train.tolist() == songs.side("train").tolist()
    assert fold.valid.tolist() == songs.side("valid").tolist()


def test_validation_songs_that_are_measured_on_choose_nothing() -> None:
    songs = material(songs=1200)
    (fold,) = songs.one_split("valid", 1)
    assert fold.told.tolist() == songs.side("valid").tolist()
    assert len(fold.valid) >= 100
    assert sorted([*fold.train, *fold.valid]) == songs.side("train").tolist()
    graph = Task(songs, fold, "all", 0).graph
    assert not set(graph.in_genre[0]) & set(fold.told)
    (few,) = material().one_split("valid", 1)
    assert few.valid.tolist() == []


def test_a_smaller_share_knows_whole_artists_of_every_genre_that_larger_ones_know_too() -> None:
    songs = material(songs=1200)
    by = np.array(songs.songs.artists)
    dealt = {share: songs.folds(3, "by artist", 1, share) for share in (1.0, *SHARES)}
    for number, whole in enumerate(dealt[1.0]):
        known = sorted([*whole.train, *whole.valid])
        more = set(known)
        for share in reversed(SHARES):
            fold = dealt[share][number]
            own = {*fold.train.tolist(), *fold.valid.tolist()}
            assert fold.told.tolist() == whole.told.tolist()
            assert own < more
            assert len(own) == pytest.approx(share * len(known), rel=0.1)
            others = sorted(set(known) - own)
            assert not set(by[sorted(own)]) & set(by[others])
            assert set(songs.truth[fold.train].argmax(axis=1)) == {0, 1, 2}
            in_genre = Task(songs, fold, "all", 0).graph.in_genre
            assert set(in_genre[0].tolist()) == own
            more = own
    assert [fold.share for fold in dealt[0.25]] == [0.25] * 3


def test_a_share_of_the_library_s_own_split() -> None:
    songs = material(songs=1200)
    (fold,) = songs.one_split("test", 1, 0.5)
    assert set(fold.train) < set(songs.side("train"))
    assert set(fold.valid) < set(songs.side("valid"))
    assert fold.told.tolist() == songs.side("test").tolist()
    nobody = Material(songs.songs, (), songs.kinds)
    (fold,) = nobody.one_split("test", 1, 0.25)
    assert len(fold.train) == pytest.approx(0.25 * len(nobody.side("train")), abs=3)


def test_test_songs_have_a_fingerprint() -> None:
    assert material().test_split == material(seed=5).test_split != ""
    assert material().test_split != material(songs=60).test_split


def test_too_few_artists_are_refused_with_the_number_of_folds_that_would_do() -> None:
    songs = material(songs=60, artists=9)
    with pytest.raises(WrongUsageError, match=r"'blues' has 3: give --folds 3"):
        songs.folds(5, "by artist", 0)
    assert len(songs.folds(3, "by artist", 0)) == 3


def test_a_genre_of_one_artist_takes_no_part() -> None:
    songs = material(songs=60)
    genres = [("solo",) if a == "artist 0" else g for a, g in _each(songs)]
    table = replace(songs.songs, genres=genres)
    keys = [
        SplitSong(id, names, artist, side)
        for id, names, artist, side in zip(
            table.ids, genres, table.artists, table.splits, strict=True
        )
    ]
    with_solo = Material(table, keys, songs.kinds)
    assert with_solo.left_out == ["solo"]
    assert not with_solo.truth[with_solo.taking_part, with_solo.genres.index("solo")].any()


def test_nothing_to_compare_by_says_what_is_missing() -> None:
    songs = material(songs=30, artists=2)
    with pytest.raises(NotReadyError, match="at least two genres need songs by two artists"):
        songs.folds(2, "by artist", 0)


def test_one_family_is_what_its_columns_say() -> None:
    songs = material()
    kinds, columns = restricted(songs.kinds, "bad")
    assert list(kinds.families) == ["bad"]
    assert columns.tolist() == [4, 5, 6, 7]
    assert kinds.columns == ("c4", "c5", "c6", "c7")
    assert restricted(songs.kinds, ALL)[0] is songs.kinds
    with pytest.raises(WrongUsageError, match="no features called 'good1': it has good, bad, and"):
        restricted(songs.kinds, "good1")


def test_the_graph_of_a_fold_knows_no_genre_of_the_songs_that_are_told() -> None:
    songs = material()
    fold = songs.folds(3, "by artist", 0)[0]
    data, maps = Task(songs, fold, ALL, 0).hetero
    labelled = set(data[GENRE_EDGE].edge_index[0].tolist())
    assert labelled == set(fold.train.tolist())
    assert data[SONG_NODE].train_mask.nonzero().flatten().tolist() == fold.train.tolist()
    assert list(maps.families) == ["good", "bad"]


def test_scaler_and_clusters_are_fitted_on_the_songs_that_are_learned_from() -> None:
    songs = material()
    fold = songs.folds(3, "by artist", 0)[0]
    before = Task(songs, fold, "good", 0).graph.space
    held_out = np.setdiff1d(np.arange(len(songs.songs)), fold.train)
    changed = songs.songs.features.copy()
    changed[held_out] += 100.0
    elsewhere = Material(
        SongTable(
            songs.songs.ids,
            changed,
            songs.songs.genres,
            songs.songs.artists,
            songs.songs.splits,
        ),
        [],
        songs.kinds,
    )
    after = Task(elsewhere, fold, "good", 0).graph.space
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.scale, after.scale)
    np.testing.assert_array_equal(before.centroids["good"], after.centroids["good"])


def _each(songs: Material) -> list[tuple[str | None, tuple[str, ...]]]:
    return list(zip(songs.songs.artists, songs.songs.genres, strict=True))


def test_songs_of_a_table_may_lack_values() -> None:
    whole = material()
    x = whole.songs.features.copy()
    x[::5, 1] = np.nan
    x[4, :4] = np.nan
    kinds = replace(whole.kinds, given="token")
    keys = whole.songs.split_songs()
    songs = Material(replace(whole.songs, features=x), keys, kinds)
    assert songs.fingerprint != whole.fingerprint
    fold = songs.folds(3, "by artist", 0)[0]
    for features, columns in ((ALL, 8), ("good", 4), ("bad", 4)):
        task = Task(songs, fold, features, seed=0)
        told = task.hetero[0][SONG_NODE].x
        assert told.shape == (90, columns)
        assert bool(told.isfinite().all())
        if features != "bad":
            assert 4 not in task.graph.has_feature["good"][0]


def with_artists(songs: Material) -> Material:
    """The same songs, hanging on their artists."""
    artists = sorted({name for name in songs.songs.artists if name})
    edges = [(row, artists.index(name)) for row, name in enumerate(songs.songs.artists) if name]
    keys = [
        SplitSong(id, names, artist, side)
        for id, names, artist, side in zip(
            songs.songs.ids,
            songs.songs.genres,
            songs.songs.artists,
            songs.songs.splits,
            strict=True,
        )
    ]
    linked = Linked(artists, np.array(edges, dtype=np.int64).T.copy())
    return Material(songs.songs, keys, songs.kinds, {ARTIST_NODE: linked})


def told_right(songs: Material, fold: Fold) -> float:
    """The share of the measured songs that the R-GCN tells by noise and what else there is."""
    fitted = contestants()["r-gcn"].fit(Task(songs, fold, "bad", 0), Given(epochs=40))
    told = told_by(fitted, fold.told)
    return float((told.argmax(axis=1) == songs.truth[fold.told].argmax(axis=1)).mean())


def test_known_artists_are_heard() -> None:
    plain = material(150, artists=12)
    songs = with_artists(plain)
    assert songs.fingerprint != plain.fingerprint
    fold = songs.folds(3, "random", 0)[0]
    assert told_right(songs, fold) > 0.8
    assert told_right(plain, fold) < 0.6


def test_nothing_of_a_told_song_comes_back_through_its_artist() -> None:
    songs = with_artists(material(90, artists=9))
    fold = songs.folds(3, "random", 0)[0]
    turned = [*songs.songs.genres]
    for row in fold.told:
        turned[row] = (next(name for name in songs.genres if name not in turned[row]),)
    other = with_artists(material(90, artists=9))
    other.truth[fold.told] = [[name in turned[row] for name in other.genres] for row in fold.told]
    first, second = (
        told_by(contestants()["r-gcn"].fit(Task(each, fold, ALL, 0), Given(epochs=5)), fold.told)
        for each in (songs, other)
    )
    assert (songs.truth[fold.told] != other.truth[fold.told]).any(axis=1).all()
    assert np.array_equal(first, second)
