"""Similar songs: exact and approximate, saved and found again."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kg import Library, cells
from kg.audio.synth import GENRES, write_song
from kg.build import near_songs
from kg.cells import DamagedError
from kg.neighbours import NeighbourIndex, Neighbours, SavedIndex


def unit(count: int, dimensions: int = 16, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def ids(count: int) -> list[str]:
    return [f"song {i}" for i in range(count)]


def loaded_from(folder: Path) -> SavedIndex:
    index = SavedIndex.load(folder, "b", 16)
    assert index is not None
    return index


def called(index: NeighbourIndex | SavedIndex, found: Neighbours) -> list[list[str]]:
    """Keys of neighbours, nearest first."""
    return [[index.ids[other] for other in row if other >= 0] for row in found.index]


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


@pytest.mark.parametrize("count", [3, 500, cells.CANDIDATES, cells.CANDIDATES + 1])
def test_saved_and_loaded_it_finds_what_is_nearest(tmp_path: Path, count: int) -> None:
    x, new = unit(count), unit(7, seed=1)
    index = NeighbourIndex(ids(count), x, "b")
    index.save(tmp_path / "index")
    index.save(tmp_path / "index")  # replaces what is there
    loaded = loaded_from(tmp_path / "index")
    assert sorted(loaded.ids) == sorted(ids(count))
    assert called(loaded, loaded.nearest(new, 4)) == called(index, index.nearest(new, 4))
    assert np.allclose(index.nearest(new, 4).similarity, loaded.nearest(new, 4).similarity)
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_of_many_songs_it_looks_at_some_and_finds_nearly_all(tmp_path: Path) -> None:
    around, chance = unit(300), np.random.default_rng(2)
    x = np.repeat(around, 40, axis=0) + 0.2 * chance.normal(size=(12_000, 16)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    index = NeighbourIndex(ids(12_000), x, "b")
    index.save(tmp_path / "index")
    loaded = loaded_from(tmp_path / "index")
    new = x[::60] + 0.05 * chance.normal(size=(200, 16)).astype(np.float32)
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    exact, quick = (called(each, each.nearest(new, 10)) for each in (index, loaded))
    assert np.mean([len(set(a) & set(b)) for a, b in zip(exact, quick, strict=True)]) > 9.8
    looked_at = loaded._cells._seen
    one = loaded_from(tmp_path / "index")
    assert called(one, one.nearest(new[:1], 10)) == quick[:1]
    assert one._cells._seen.sum() < looked_at.sum() / 2


def test_many_copies_of_few_songs_are_saved_too(tmp_path: Path) -> None:
    x = np.repeat(unit(3), 1000, axis=0)
    NeighbourIndex(ids(3000), x, "b").save(tmp_path / "index")
    assert np.allclose(loaded_from(tmp_path / "index").nearest(unit(3), 10).similarity, 1)


def test_saved_by_several_at_once_it_is_whole(tmp_path: Path) -> None:
    index = NeighbourIndex(ids(50), unit(50), "b")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: index.save(tmp_path / "index"), range(40)))
    assert called(index, loaded_from(tmp_path / "index").nearest(unit(3), 4))
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


FILES = ["index.json", "vectors.npy", "ids.npy", "centres.npy", "starts.npy", "sums.npy"]


def test_of_another_build_or_width_it_is_not_used(tmp_path: Path) -> None:
    assert SavedIndex.load(tmp_path / "index", "b", 16) is None
    NeighbourIndex(ids(5), unit(5), "b").save(tmp_path / "index")
    assert sorted(p.name for p in (tmp_path / "index").iterdir()) == sorted(FILES)
    assert SavedIndex.load(tmp_path / "index", "other", 16) is None
    assert SavedIndex.load(tmp_path / "index", "b", 17) is None
    assert SavedIndex.load(tmp_path / "index", "b", 16) is not None


@pytest.mark.parametrize("name", FILES)
def test_damaged_it_is_never_believed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "index"
    NeighbourIndex(ids(50), unit(50), "b").save(folder)
    whole = (folder / name).read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    for damage in (whole[: len(whole) // 2], whole[:-1], b"", b"\xff" * 200, bytes(flipped)):
        (folder / name).write_bytes(damage)
        index = SavedIndex.load(folder, "b", 16)
        if index is not None:
            with pytest.raises(DamagedError):
                index.nearest(unit(1), 4)
    (folder / name).unlink()
    assert SavedIndex.load(folder, "b", 16) is None


def test_parts_of_two_indexes_are_not_taken_for_one(tmp_path: Path) -> None:
    """As where one is read while another takes its place."""
    for name, seed in (("one", 1), ("two", 2)):
        NeighbourIndex(ids(50), unit(50, seed=seed), "b").save(tmp_path / name)
    shutil.copy(tmp_path / "two" / "vectors.npy", tmp_path / "one" / "vectors.npy")
    with pytest.raises(DamagedError):
        loaded_from(tmp_path / "one").nearest(unit(1), 4)


def test_hnsw_finds_the_same_every_time() -> None:
    x = unit(2000)
    first, second = (
        NeighbourIndex(ids(2000), x, "b", exact_songs=100).of_members(10) for _ in range(2)
    )
    assert np.array_equal(first.index, second.index)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "gone", "old"])
def test_an_index_that_can_not_be_believed_is_made_anew_from_the_graph(
    library: Library, music: Path, tmp_path: Path, damage: str
) -> None:
    library.ingest(music)
    store, folder = library.store, library.settings.neighbours_dir
    space, build = store.read_space()
    vectors = space.metric(space.standardise(store.read_songs().features))
    index_ids, found = near_songs(store, space, build, folder, vectors)
    before = [[index_ids[row] for row in near] for near in found.index]
    written = folder / "vectors.npy"
    whole = written.read_bytes()
    if damage == "truncated":
        written.write_bytes(whole[:-400])
    elif damage == "flipped":
        written.write_bytes(whole[:-9] + bytes([whole[-9] ^ 64]) + whole[-8:])
    elif damage == "foreign":  # another library's, which claims to be of this build
        other = NeighbourIndex(ids(24), unit(24, vectors.shape[1]), build)
        other.save(tmp_path / "other")
        for name in ("vectors.npy", "ids.npy"):
            shutil.copy(tmp_path / "other" / name, folder / name)
    elif damage == "gone":
        shutil.rmtree(folder)
    else:  # as it was before there were cells
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "songs.json").write_text(json.dumps({"build": build, "ids": before[0]}))
        np.save(folder / "vectors.npy", vectors)
    index_ids, found = near_songs(store, space, build, folder, vectors)
    assert [[index_ids[row] for row in near] for near in found.index] == before
    assert written.read_bytes() == whole
    write_song(tmp_path / "new" / "a.flac", GENRES[0], seconds=2.0, seed=99)
    assert len(library.add(tmp_path / "new").added) == 1
