"""The export: shapes, masks, twins, and the way to disk and back."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kg.clusters import fit_space
from kg.errors import KgError
from kg.graph.rows import GraphRows, Linked, SongTable
from kg.hetero import load_hetero, save_hetero, silent_edges, to_hetero
from kg.records import Embedding, FeatureSet
from kg.schema import GENRE_EDGE, SIMILAR_EDGE, feature_edge, reverse_edge

ROOT = Path(__file__).parent.parent
FAMILIES = {"low": slice(0, 2), "high": slice(2, 5)}


def rows() -> GraphRows:
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    kinds = FeatureSet("v1", FAMILIES, ("a", "b", "c", "d", "e"))
    space = fit_space(x, np.ones(8, bool), kinds)
    assigned = space.assign(space.standardise(x))
    offset = {"low": 0, "high": len(space.centroids["low"])}
    return GraphRows(
        songs=SongTable(
            ids=[f"s{i}" for i in range(8)],
            features=x,
            genres=[("blues",), ("jazz",)] * 3 + [("blues", "jazz"), ()],
            artists=[None] * 8,
            splits=["train"] * 4 + ["valid", "test", "train", None],
        ),
        space=space,
        build="b",
        genres=["blues", "jazz"],
        cluster_ids=[f"{f}:{i:02d}" for f in FAMILIES for i in range(len(space.centroids[f]))],
        has_feature={f: np.stack([np.arange(8), assigned[f].index + offset[f]]) for f in FAMILIES},
        similar_to=np.array([[0, 1, 2], [1, 0, 5]]),
        in_genre=np.array([[0, 1, 6, 6], [0, 1, 0, 1]]),
    )


def test_a_graph_of_some_of_its_songs() -> None:
    graph = rows()
    assert graph.only(set(graph.songs.ids)) is graph
    part = graph.only({"s1", "s2", "s5", "s6", "unknown"})
    assert part.songs.ids == ["s1", "s2", "s5", "s6"]
    assert part.songs.splits == ["train", "train", "test", "train"]
    assert part.songs.genres == [graph.songs.genres[row] for row in (1, 2, 5, 6)]
    np.testing.assert_array_equal(part.songs.features, graph.songs.features[[1, 2, 5, 6]])
    assert part.similar_to.tolist() == [[1], [2]]  # s2 to s5
    assert part.in_genre.tolist() == [[0, 3, 3], [1, 0, 1]]
    for family, edges in part.has_feature.items():
        assert edges.tolist() == [[0, 1, 2, 3], graph.has_feature[family][1, [1, 2, 5, 6]].tolist()]
    assert part.cluster_ids == graph.cluster_ids
    assert to_hetero(part)[0].validate()


def test_types_shapes_and_masks() -> None:
    graph = rows()
    data, maps = to_hetero(graph)
    assert data.validate()
    assert data["song"].x.shape == (8, 5)
    assert data["genre"].num_nodes == 2
    assert data["song"].train_mask.sum() == 5
    assert data["song"].val_mask.nonzero().flatten().tolist() == [4]
    assert data["song"].test_mask.nonzero().flatten().tolist() == [5]
    expected = {feature_edge("low"), feature_edge("high"), SIMILAR_EDGE, GENRE_EDGE}
    assert set(data.edge_types) == expected | {reverse_edge(edge) for edge in expected}
    for edge in expected:
        assert torch.equal(data[edge].edge_index.flip(0), data[reverse_edge(edge)].edge_index)
    assert maps.families == {"low": (0, 2), "high": (2, 5)}


def test_a_centroid_lies_in_the_columns_of_its_family_only() -> None:
    graph = rows()
    data, maps = to_hetero(graph)
    for row, id in enumerate(maps.clusters):
        family, _, index = id.partition(":")
        part = FAMILIES[family]
        x = data["feature_cluster"].x[row].clone()
        assert np.array_equal(x[part].numpy(), graph.space.centroids[family][int(index)])
        x[part] = 0
        assert not x.any()


def test_beside_a_network_our_own_clusters_are_silent() -> None:
    columns = ("c", "d", "e")
    for name, silent in (("musicnn", True), ("hf:a/b", True), ("file:high", False)):
        kinds = FeatureSet("v", FAMILIES, ("a", "b", *columns))
        heard = replace(kinds, embeddings=(Embedding(name, "1", "high", columns),))
        low = feature_edge("low")
        assert silent_edges(heard) == ((low, reverse_edge(low)) if silent else ())
        assert silent_edges(kinds) == ()


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    data, maps = to_hetero(rows())
    save_hetero(data, maps, tmp_path / "export")
    again, ids = load_hetero(str(tmp_path / "export"))
    assert ids == maps
    modes = {file.stat().st_mode for file in (tmp_path / "export").iterdir()}
    assert len(modes) == 1  # who may read the one may read the other
    assert again.node_types == data.node_types
    assert set(again.edge_types) == set(data.edge_types)
    for node_type in data.node_types:
        assert again[node_type].num_nodes == data[node_type].num_nodes
        for name, value in data[node_type].items():
            if name != "num_nodes":
                assert torch.equal(again[node_type][name], value)
    for edge_type in data.edge_types:
        assert torch.equal(again[edge_type].edge_index, data[edge_type].edge_index)


def test_a_foreign_models_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").touch()
    program = "from pathlib import Path; from kg.hetero import load_hetero; load_hetero(Path('x'))"
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "KgError: Another package called `models`" in done.stderr
    assert str(tmp_path / "models") in done.stderr


def test_a_folder_without_an_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KgError, match="does not hold an export"):
        load_hetero(tmp_path)
    data, maps = to_hetero(rows())
    save_hetero(data, maps, tmp_path)
    (tmp_path / "hetero.safetensors").write_bytes(b"cut")
    with pytest.raises(KgError, match="does not hold an export"):
        load_hetero(tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    data, maps = to_hetero(rows())
    with pytest.raises(KgError, match="can't be written"):
        save_hetero(data, maps, tmp_path / "file" / "export")


def with_further() -> GraphRows:
    return replace(
        rows(),
        further={
            "tag": Linked(["guitar", "slow"], np.array([[0, 3], [1, 1]])),
            "artist": Linked(["a", "b", "c"], np.array([[0, 1, 2, 7], [0, 0, 1, 2]])),
            "playlist": Linked(["p"], np.array([[4, 5], [0, 0]])),
        },
    )


def test_what_else_songs_hang_on_whichever_way_it_points(tmp_path: Path) -> None:
    data, maps = to_hetero(with_further())
    assert data["song", "by", "artist"].edge_index.tolist() == [[0, 1, 2, 7], [0, 0, 1, 2]]
    assert data["artist", "rev_by", "song"].edge_index.tolist() == [[0, 0, 1, 2], [0, 1, 2, 7]]
    assert data["playlist", "contains", "song"].edge_index.tolist() == [[0, 0], [4, 5]]
    assert data["song", "rev_contains", "playlist"].edge_index.tolist() == [[4, 5], [0, 0]]
    assert maps.gathered == ("artist", "playlist")
    save_hetero(data, maps, tmp_path)
    back, ids = load_hetero(tmp_path)
    assert ids == maps
    assert back["artist"].num_nodes == 3


def test_of_some_songs_only_their_artists_are_left_but_every_tag() -> None:
    part = with_further().only({"s1", "s2", "s3"}).further
    assert set(part) == {"tag", "artist"}
    assert (part["tag"].keys, part["tag"].edges.tolist()) == (["guitar", "slow"], [[2], [1]])
    assert (part["artist"].keys, part["artist"].edges.tolist()) == (["a", "b"], [[0, 1], [0, 1]])
    assert set(with_further().known_to({"song", "tag"}).further) == {"tag"}


def test_an_export_from_before_there_were_artists_is_read(tmp_path: Path) -> None:
    data, maps = to_hetero(with_further().known_to({"tag"}))
    save_hetero(data, maps, tmp_path)
    ids = json.loads((tmp_path / "ids.json").read_text(encoding="utf-8"))
    ids["tags"] = ids.pop("further")["tag"]
    (tmp_path / "ids.json").write_text(json.dumps(ids), encoding="utf-8")
    assert load_hetero(tmp_path)[1] == maps
    ids["further"] = {"shelf": ["mine"]}
    (tmp_path / "ids.json").write_text(json.dumps(ids), encoding="utf-8")
    with pytest.raises(KgError, match=r"doesn't fit together .*unknown node types \['shelf'\]"):
        load_hetero(tmp_path)
