"""The audit's benchmark plants what it says."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.audit import plant_all, planted
from benchmarks.gtzan import Clips
from kg.audio.synth import write_song
from kg.records import FeatureSet


def songs() -> Clips:
    """Forty artists of five songs, and one nobody knows."""
    count = 201
    return Clips(
        ids=[f"{row}" for row in range(count)],
        x=np.zeros((count, 2), np.float32),
        kinds=FeatureSet("made up", {"one": slice(0, 2)}, ("a", "b")),
        genre=np.arange(count) % 4,
        genres=["a", "b", "c", "d"],
        artists=[*(f"Artist {row // 5}" for row in range(count - 1)), None],
    )


def test_labels_are_planted_song_by_song_or_artist_by_artist() -> None:
    before = songs()
    filed, wrong = planted(before, 0.1, 0, by_artist=False)
    assert wrong.sum() == 20
    assert ((filed.genre != before.genre) == wrong).all()
    again, _ = planted(before, 0.1, 0, by_artist=False)
    assert (again.genre == filed.genre).all()
    same = replace(before, genre=np.arange(201) // 5 % 4)
    filed, wrong = planted(same, 0.1, 1, by_artist=True)
    assert wrong.sum() == 20
    assert {*wrong[:200].reshape(40, 5).sum(axis=1).tolist()} == {0, 5}
    assert ((filed.genre != same.genre) == wrong).all()


def test_faults_are_planted_among_clips(tmp_path: Path) -> None:
    for genre in ("dub", "rock"):
        for number in range(2):
            path = tmp_path / "clips" / genre / f"{genre}-{number}.flac"
            write_song(path, genre, seconds=20.0, seed=number)
    made = plant_all(tmp_path / "clips", tmp_path / "music")
    there = {path.name: path.parent.name for path in (tmp_path / "music").rglob("*.*")}
    assert len(there) == 4 + len(made)
    assert list(made.values()).count("relabelled") == 2
    for name, kind in made.items():
        own = there[f"{name.split('+')[0]}.flac"]
        assert (there[name] != own) == (kind == "relabelled")
    # The same bytes twice would be one song.
    assert len({path.read_bytes() for path in (tmp_path / "music").rglob("*.*")}) == len(there)
