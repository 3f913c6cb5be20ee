"""Similar songs: exact and approximate, saved and found again."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kg.neighbours import NeighbourIndex


def unit(count: int, dimensions: int = 16, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def ids(count: int) -> list[str]:
    return [f"song {i}" for i in range(count)]


def test_exact_neighbours_are_the_nearest_without_itself() -> None:
    x = unit(300)
    found = NeighbourIndex(ids(300), x, "b").of_members(5)
    products = x @ x.T
    np.fill_diagonal(products, -2)
    assert np.array_equal(found.index, np.argsort(-products, axis=1)[:, :5])
    assert np.allclose(found.similarity, np.sort(products, axis=1)[:, ::-1][:, :5], atol=1e-5)


def test_hnsw_finds_nearly_all_that_are_nearest() -> None:
    x = unit(3000)
    exact = NeighbourIndex(ids(3000), x, "b").of_members(10)
    quick = NeighbourIndex(ids(3000), x, "b", exact_songs=100).of_members(10)
    shared = [
        len(set(a) & set(b))
        for a, b in zip(exact.index.tolist(), quick.index.tolist(), strict=True)
    ]
    assert np.mean(shared) > 9.5
    assert not (quick.index == np.arange(3000)[:, None]).any()
    assert np.abs(quick.similarity).max() <= 1 + 1e-5


def test_copies_do_not_crowd_out_the_song_itself() -> None:
    x = np.repeat(unit(2), 20, axis=0)
    found = NeighbourIndex(ids(40), x, "b").of_members(10)
    assert not (found.index == np.arange(40)[:, None]).any()
    assert np.allclose(found.similarity, 1)


def test_fewer_songs_than_neighbours() -> None:
    found = NeighbourIndex(ids(3), unit(3), "b").of_members(10)
    assert (found.index[:, :2] >= 0).all()
    assert (found.index[:, 2:] == -1).all()
    alone = NeighbourIndex(ids(1), unit(1), "b").of_members(10)
    assert (alone.index == -1).all()


@pytest.mark.parametrize("exact_songs", [10_000, 100])
def test_saved_and_loaded_it_answers_the_same(tmp_path: Path, exact_songs: int) -> None:
    x, new = unit(500), unit(7, seed=1)
    index = NeighbourIndex(ids(500), x, "b", exact_songs=exact_songs)
    index.save(tmp_path / "index")
    index.save(tmp_path / "index")  # replaces what is there
    loaded = NeighbourIndex.load(tmp_path / "index", "b")
    assert loaded is not None
    assert loaded.ids == ids(500)
    before, after = index.nearest(new, 4), loaded.nearest(new, 4)
    assert np.array_equal(before.index, after.index)
    assert np.allclose(before.similarity, after.similarity)
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_saved_by_several_at_once_it_is_whole(tmp_path: Path) -> None:
    index = NeighbourIndex(ids(50), unit(50), "b")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: index.save(tmp_path / "index"), range(40)))
    assert NeighbourIndex.load(tmp_path / "index", "b") is not None
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_of_another_build_or_damaged_it_is_not_used(tmp_path: Path) -> None:
    assert NeighbourIndex.load(tmp_path / "index", "b") is None
    NeighbourIndex(ids(5), unit(5), "b").save(tmp_path / "index")
    assert NeighbourIndex.load(tmp_path / "index", "other") is None
    (tmp_path / "index" / "vectors.npy").write_bytes(b"cut off")
    assert NeighbourIndex.load(tmp_path / "index", "b") is None


def test_hnsw_finds_the_same_every_time() -> None:
    x = unit(2000)
    first, second = (
        NeighbourIndex(ids(2000), x, "b", exact_songs=100).of_members(10) for _ in range(2)
    )
    assert np.array_equal(first.index, second.index)
