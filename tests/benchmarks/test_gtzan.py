"""The benchmark on a made-up GTZAN: its tables, and that held-out songs stay held out."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import gtzan

ROOT = Path(__file__).parents[2]
GENRES = ("blues", "jazz", "metal")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three genres, eight artists each, three songs each; every third artist is on `valid`."""
    folder = tmp_path_factory.mktemp("gtzan")
    chance = np.random.default_rng(0)
    stems = [stem for family in gtzan.FAMILIES.values() for stem in family if stem != "tempo"]
    columns = [f"{stem}_{what}" for stem in stems for what in ("mean", "var")] + ["tempo"]
    songs, tags, names = [], [], []
    for number in range(72):
        genre, artist = number % 3, number // 9
        song = {
            "filename": f"{GENRES[genre]}.{number:05d}.wav",
            "genre": GENRES[genre],
            "artist": f"{GENRES[genre]} {artist}" if artist else np.nan,
            "split": "valid" if artist % 3 == 2 else "train",
        }
        songs.append(song | dict(zip(columns, chance.normal(genre, 1, len(columns)), strict=True)))
        tags.append(chance.normal(genre, 0.1, (4, 50)))
        names += [f"{GENRES[genre]}/{GENRES[genre]}.{number:05d}.au"] * 4
    pd.DataFrame(songs).to_csv(folder / "features_30s.csv", index=False)
    np.savez(
        folder / "musicnn_taggram_train.npz",
        X=np.concatenate(tags).astype(np.float32),
        IDS=np.array(names),
    )
    return folder


def test_vectors_belong_to_their_songs(data: Path) -> None:
    songs, sides = gtzan.read_csv(data)
    table = pd.read_csv(data / "features_30s.csv")
    assert songs.ids == list(table["filename"])
    assert songs.kinds.columns == tuple(c for f in gtzan.FAMILIES for c in _columns(f))
    np.testing.assert_allclose(songs.x, table[list(songs.kinds.columns)], rtol=1e-6)
    assert sides.value_counts().to_dict() == {"train": 54, "valid": 18}
    assert songs.artists[0] is None

    tagged = gtzan.read_musicnn(data)
    assert set(tagged.ids) == set(table["filename"][table["split"] == "train"])
    with np.load(data / "musicnn_taggram_train.npz") as file:
        own = file["X"][np.char.find(file["IDS"], "00010") >= 0]
    np.testing.assert_allclose(
        tagged.x[[i.split(".")[1] for i in tagged.ids].index("00010")], own.mean(axis=0), rtol=1e-5
    )


def _columns(family: str) -> list[str]:
    stems = gtzan.FAMILIES[family]
    return ["tempo"] if stems == ["tempo"] else [f"{s}_{k}" for s in stems for k in ("mean", "var")]


def test_folds_keep_artists_together_and_take_every_song_once(data: Path) -> None:
    songs, _ = gtzan.read_csv(data)
    parts = list(gtzan.folds(songs, 4, seed=3))
    assert sorted(np.concatenate(parts)) == list(range(72))
    sides: dict[str, set[int]] = {}
    for number, part in enumerate(parts):
        for row in part:
            if songs.artists[row]:
                sides.setdefault(str(songs.artists[row]), set()).add(number)
    assert all(len(where) == 1 for where in sides.values())


def test_songs_that_are_not_learned_from_decide_nothing(data: Path) -> None:
    songs, sides = gtzan.read_csv(data)
    learn = np.flatnonzero(sides == "train")
    graph = gtzan.graph(songs, learn, seed=0)
    assert set(graph.in_genre[0]) == set(learn)
    assert all(bool(names) == (row in learn) for row, names in enumerate(graph.songs.genres))
    # every song hangs in the graph by one cluster a family, and by similar songs
    assert all(len(edges[0]) == 72 for edges in graph.has_feature.values())
    assert set(graph.similar_to[0]) == set(range(72))

    moved = songs.x.copy()
    moved[sides == "valid"] += 100
    other = gtzan.graph(gtzan.replace(songs, x=moved), learn, seed=0)
    np.testing.assert_array_equal(other.space.mean, graph.space.mean)
    for family, centroids in graph.space.centroids.items():
        np.testing.assert_array_equal(other.space.centroids[family], centroids)


def test_it_prints_and_writes_its_tables(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gtzan.py", "--data", str(data), "--seeds", "1"]
    command += ["--only", "csv,leaks", "--json", str(tmp_path / "out.json")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    tables = json.loads((tmp_path / "out.json").read_text())
    assert [len(table["scores"]) for table in tables] == [5, 4, 4, 2]
    assert tables[0]["songs"] == 18
    for table in tables:
        assert table["title"] in ran.stdout
        for score in table["scores"]:
            assert 0.5 < score["accuracy"]["value"] <= 1  # these genres are easily told apart


def test_an_unknown_part_is_refused(data: Path) -> None:
    command = [sys.executable, "benchmarks/gtzan.py", "--data", str(data), "--only", "csv,what"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "no part 'what'" in ran.stderr
