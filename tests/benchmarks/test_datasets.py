"""The data sets' benchmark keeps albums together, and measures what it says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets import (
    FEWEST,
    FOLDS,
    Songs,
    labels_alone,
    measured,
    read_audioset,
    read_fma,
    read_msd,
    runs,
    same,
)


def made_up(count: int = 120) -> Songs:
    """Two genres that one column tells apart; each third song shares its group with the next."""
    chance = np.random.default_rng(0)
    genre = np.arange(count) % 2
    x = chance.normal(size=(count, 4)).astype(np.float32)
    x[:, 0] += 4 * genre
    return Songs(
        "made up",
        x,
        {"low": slice(0, 2), "high": slice(2, 4)},
        [("ab"[own],) for own in genre],
        [f"g{row // 3}" for row in range(count)],
    )


def test_neighbours_and_songs_of_an_artist_are_one_group() -> None:
    artists = ["A", None, None, "The A", None, None]
    groups = runs([10, 21, 25, 100, 111, 40], artists, near=10)
    # 21 and 25 are near each other, A's are one artist's, the others stand alone.
    assert groups[1] == groups[2]
    assert groups[0] == groups[3]
    assert len(set(groups)) == 4
    assert runs([1, 5, 9], [None] * 3, near=4) == ["group 0"] * 3
    assert same(np.array([[1, 2], [3, 4], [1, 2]], dtype=np.float32)) == [
        "group 0", "group 1", "group 0",
    ]  # fmt: skip


def test_no_group_is_on_both_sides_and_rare_genres_are_left_out() -> None:
    songs = made_up()
    rare = [("c",) if row < 3 * (FEWEST - 1) else own for row, own in enumerate(songs.genres)]
    material = replace(songs, genres=rare).material()
    assert material.genres == ["a", "b"]
    assert len(material.songs) == 120 - 3 * (FEWEST - 1)
    material = songs.material()
    for fold in material.folds(FOLDS, "by artist", 0):
        learned = {*material.group[fold.train], *material.group[fold.valid]}
        assert learned.isdisjoint(material.group[fold.told])


def test_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    models = ["r-gcn", "logistic", "label-propagation"]
    found = measured(made_up(), [0], models, {"epochs_unvalidated": 30})
    assert (found["songs"], found["groups"], found["genres"], found["folds"]) == (120, 40, 2, 5)
    assert [score["name"] for score in found["scores"]][1:] == [
        "logistic regression", "label propagation",
    ]  # fmt: skip
    assert all(score["accuracy"]["value"] > 0.8 for score in found["scores"])
    assert "120 songs, 2 genres, 40 groups, 1 seeds, 5 of 5 folds" in capsys.readouterr().out
    some = measured(made_up(), [0], ["logistic"], {}, most=2)
    assert 40 <= some["songs"] <= 56
    with pytest.raises(ValueError, match="take all folds, or a seed"):
        measured(made_up(), [0, 1], ["logistic"], {}, most=2)


def test_the_data_sets(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracks = read_fma(data_dir).material()
    assert len(tracks.songs) == 6161  # all 14 of Experimental are by two groups
    assert len(tracks.genres) == 11
    assert len(read_msd(data_dir).material().genres) == 18
    clips = read_audioset(data_dir).material()
    assert clips.truth.shape == (2490, 52)
    assert clips.truth.sum(axis=1).max() > 3
    found = labels_alone(data_dir)
    assert found["tracks"] == found["whole"] == 25_000
    assert "151 genres, 16 of them on top" in capsys.readouterr().out
