"""Centroids on disk: those of the build that is asked for, whole, or none."""

from pathlib import Path

import numpy as np
import pytest

from kg import Library
from kg.graph import kept_centroids
from kg.graph.store import GraphStore

# One is called what `np.savez` calls a parameter of its own.
WIDTHS = {"loud": 3, "file": 5}
CENTROIDS = {
    family: np.arange(4 * width, dtype=np.float32).reshape(4, width)
    for family, width in WIDTHS.items()
}


def test_kept_and_found_again(tmp_path: Path) -> None:
    kept_centroids.save(tmp_path / "c", "one", CENTROIDS)
    found = kept_centroids.load(tmp_path / "c", "one", WIDTHS)
    assert found is not None
    assert list(found) == list(WIDTHS)
    assert all(np.array_equal(found[family], CENTROIDS[family]) for family in WIDTHS)
    assert kept_centroids.load(tmp_path / "c", "two", WIDTHS) is None
    assert kept_centroids.load(tmp_path / "c", "one", {"loud": 4}) is None
    assert kept_centroids.load(tmp_path / "c", "one", {"other": 3}) is None
    kept_centroids.save(tmp_path / "c", "two", CENTROIDS)
    assert [file.name for file in (tmp_path / "c").iterdir()] == ["two.npz"]


def test_damaged_they_are_none(tmp_path: Path) -> None:
    kept_centroids.save(tmp_path, "one", CENTROIDS)
    file = tmp_path / "one.npz"
    whole = file.read_bytes()
    at = whole.index(CENTROIDS["file"].tobytes())
    flipped = whole[: at + 9] + bytes([whole[at + 9] ^ 64]) + whole[at + 10 :]
    for damage in (whole[: len(whole) // 2], b"", b"\xff" * 200, flipped):
        file.write_bytes(damage)
        assert kept_centroids.load(tmp_path, "one", WIDTHS) is None
    for at in range(200):  # names, flags and headers
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 34]) + whole[at + 1 :])
        found = kept_centroids.load(tmp_path, "one", WIDTHS)
        assert found is None or all(np.array_equal(found[f], CENTROIDS[f]) for f in WIDTHS)


def test_where_there_is_no_room_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept_centroids.save(tmp_path / "file" / "c", "one", CENTROIDS)
    assert kept_centroids.load(tmp_path / "file" / "c", "one", WIDTHS) is None


def test_a_space_is_the_same_from_disk_and_never_that_of_an_earlier_build(
    library: Library, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genres = sorted(music.iterdir())
    library.ingest(genres[:3])
    read: list[str] = []
    from_graph = GraphStore._centroids

    def counted(store: GraphStore, *args: object) -> object:
        read.append("graph")
        return from_graph(store, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(GraphStore, "_centroids", counted)

    def same() -> None:
        kept, _ = library.store.read_space(tmp_path / "c")
        there, _ = library.store.read_space()
        assert list(kept.centroids) == list(there.centroids)
        for family, own in there.centroids.items():
            assert np.array_equal(kept.centroids[family], own)

    same()
    same()
    assert len(read) == 3  # twice to compare with, and once to be kept
    library.ingest(music)
    same()
    assert len(read) == 5
