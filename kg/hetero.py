"""Graph rows become PyG `HeteroData`, and `HeteroData` becomes files and back."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kg.embeddings.choice import is_file
from kg.errors import KgError
from kg.graph.rows import Edges, GraphRows
from kg.records import FeatureSet
from kg.schema import (
    CLUSTER_NODE,
    FURTHER,
    GENRE_EDGE,
    GENRE_NODE,
    SIMILAR_EDGE,
    SONG_NODE,
    SPLITS,
    TAG_NODE,
    EdgeType,
    feature_edge,
    reverse_edge,
)

if TYPE_CHECKING:
    from models.pyg import HeteroData

MASKS = {"train": "train_mask", "valid": "val_mask", "test": "test_mask"}
_TENSORS, _IDS = "hetero.safetensors", "ids.json"


@dataclass(frozen=True, slots=True)
class IdMaps:
    """What the rows of the node types stand for in the database.

    Attributes:
        songs: `Song.id` by row.
        clusters: `FeatureCluster.id` by row.
        genres: `Genre.name` by row.
        families: First and last (exclusive) column of each feature family in `x`.
        columns: Name of each column of `x`.
        feature_version: Version of the feature set.
        build: Build of the graph.
        further: Keys by row of what else songs hang on (`kg.schema.FURTHER`), by node type; types
            without a node are left out.
        silent: Edge types that models let carry nothing; see `silent_edges`.
    """

    songs: tuple[str, ...]
    clusters: tuple[str, ...]
    genres: tuple[str, ...]
    families: dict[str, tuple[int, int]]
    columns: tuple[str, ...]
    feature_version: str
    build: str
    further: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    silent: tuple[EdgeType, ...] = ()

    @property
    def gathered(self) -> tuple[str, ...]:
        """Node types whose nodes are the means of their songs."""
        return tuple(node for node in self.further if FURTHER[node].gathered)


def silent_edges(kinds: FeatureSet) -> tuple[EdgeType, ...]:
    """The relations that models let carry nothing: our own families' clusters, where a network
    listens.

    They are in the graph all the same. Six relations that say little beside a network's one cost
    a point of macro-F1 (docs/evaluation.md). Vectors from a file silence nothing: songs may lack
    them.
    """
    heard = {each.family for each in kinds.embeddings}
    if all(is_file(each) for each in kinds.embeddings):
        return ()
    edges = [feature_edge(family) for family in kinds.families if family not in heard]
    return (*edges, *map(reverse_edge, edges))


def to_hetero(rows: GraphRows) -> "tuple[HeteroData, IdMaps]":
    """Turn the graph into `HeteroData`.

    `song.x` [n, d] holds the standardised features (an embedding's are louder than ours, see
    `FeatureSpace.inputs`), `feature_cluster.x` [c, d] each centroid in the columns of its own
    family and zeros (the mean) elsewhere: both live in one space and share their projections.
    `genre` has no `x`, nor have the types of `kg.schema.FURTHER`, which are there where they have
    nodes: `tag` where a network has listened, `artist` and `album` where tags name them, `playlist`
    where some were taken in. Each family is an edge type of its own, every edge
    type has its `rev_` twin, and `song` carries `train_mask`, `val_mask` and `test_mask` [n].

    Raises:
        ValueError: the result does not validate.
    """
    import torch

    require_our_models()
    from models.pyg import HeteroData

    data = HeteroData()
    data[SONG_NODE].x = torch.from_numpy(
        rows.space.inputs(rows.space.standardise(rows.songs.features))
    )
    for split in SPLITS:
        sides = [side == split for side in rows.songs.splits]
        data[SONG_NODE][MASKS[split]] = torch.tensor(sides, dtype=torch.bool)
    data[CLUSTER_NODE].x = torch.from_numpy(rows.space.inputs(_cluster_features(rows)))
    data[GENRE_NODE].num_nodes = len(rows.genres)

    edges: dict[EdgeType, Edges] = {
        **{feature_edge(family): pairs for family, pairs in rows.has_feature.items()},
        SIMILAR_EDGE: rows.similar_to,
        GENRE_EDGE: rows.in_genre,
    }
    for node, linked in rows.further.items():
        data[node].num_nodes = len(linked.keys)
        from_song = FURTHER[node].edge != FURTHER[node].to_song
        edges[FURTHER[node].edge] = linked.edges if from_song else linked.edges[::-1].copy()
    for edge_type, pairs in edges.items():
        index = torch.from_numpy(pairs)
        data[edge_type].edge_index = index
        data[reverse_edge(edge_type)].edge_index = index.flip(0).contiguous()
    data.validate(raise_on_error=True)

    maps = IdMaps(
        songs=tuple(rows.songs.ids),
        clusters=tuple(rows.cluster_ids),
        genres=tuple(rows.genres),
        families={name: (part.start, part.stop) for name, part in rows.space.families.items()},
        columns=rows.space.columns,
        feature_version=rows.space.version,
        build=rows.build,
        further={node: tuple(linked.keys) for node, linked in rows.further.items()},
        silent=silent_edges(rows.space.kinds),
    )
    return data, maps


def save_hetero(data: "HeteroData", maps: IdMaps, folder: Path) -> None:
    """Write the graph as `hetero.safetensors` and `ids.json`; `load_hetero` reads them.

    Raises:
        KgError: the folder can't be written to.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {}
    for node_type in data.node_types:
        for name, value in data[node_type].items():
            if name != "num_nodes":
                tensors[f"{node_type}/{name}"] = value.contiguous()
    for edge_type in data.edge_types:
        tensors["/".join(edge_type)] = data[edge_type].edge_index.contiguous()
    ids = {
        "format": 1,
        "nodes": {node_type: data[node_type].num_nodes for node_type in data.node_types},
        "songs": list(maps.songs),
        "clusters": list(maps.clusters),
        "genres": list(maps.genres),
        "further": {node: list(keys) for node, keys in maps.further.items()},
        "families": {name: list(part) for name, part in maps.families.items()},
        "columns": list(maps.columns),
        "feature_version": maps.feature_version,
        "build": maps.build,
        "silent": [list(edge) for edge in maps.silent],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The ids come last: without them an older pair can't be taken for this one.
        (folder / _IDS).unlink(missing_ok=True)
        save_file(tensors, folder / _TENSORS)
        (folder / _IDS).write_text(json.dumps(ids, indent=1, ensure_ascii=False), encoding="utf-8")
        # safetensors writes files that nobody else may read; an export is for whoever may the ids.
        shutil.copymode(folder / _IDS, folder / _TENSORS)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise KgError(f"The export can't be written to {folder} ({why}).") from error


def load_hetero(folder: str | Path) -> "tuple[HeteroData, IdMaps]":
    """Read what `kg export` wrote: the graph, and what its rows stand for.

    Raises:
        KgError: the folder doesn't hold an export, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    require_our_models()
    from models.pyg import HeteroData

    folder = Path(folder)
    try:
        ids = json.loads((folder / _IDS).read_text(encoding="utf-8"))
        tensors = load_file(folder / _TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise KgError(
            f"{folder} does not hold an export ({error}): write one with `kg export {folder}`."
        ) from error
    try:
        data = HeteroData()
        for node_type, count in ids["nodes"].items():
            data[node_type].num_nodes = count
        for name, tensor in tensors.items():
            parts = name.split("/")
            if len(parts) == 2:
                data[parts[0]][parts[1]] = tensor
            else:
                data[tuple(parts)].edge_index = tensor
        data.validate(raise_on_error=True)
        maps = IdMaps(
            songs=tuple(ids["songs"]),
            clusters=tuple(ids["clusters"]),
            genres=tuple(ids["genres"]),
            families={name: (part[0], part[1]) for name, part in ids["families"].items()},
            columns=tuple(ids["columns"]),
            feature_version=ids["feature_version"],
            build=ids["build"],
            # older exports have tags at most, and no word on what is silent
            further={node: tuple(keys) for node, keys in _further(ids).items() if keys},
            silent=tuple((a, b, c) for a, b, c in ids.get("silent", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KgError(
            f"{folder} holds an export that doesn't fit together ({error!r}): write it again with "
            f"`kg export {folder}`."
        ) from error
    return data, maps


def _further(ids: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    own: Mapping[str, Sequence[str]] = ids.get("further", {TAG_NODE: ids.get("tags", ())})
    if not own.keys() <= FURTHER.keys():
        raise ValueError(f"unknown node types {sorted(own.keys() - FURTHER.keys())}")
    return own


def require_our_models() -> None:
    """Import our `models`, or say whose it is that lies in the way of it.

    Raises:
        KgError: another package called `models` comes first on the path.
    """
    import models

    ours = Path(__file__).resolve().parent.parent / "models"
    found = Path(str(models.__file__)).resolve().parent
    if found != ours:
        raise KgError(
            f"Another package called `models` ({found}) hides the one kg needs ({ours}): run kg "
            "from another folder, or take that one off PYTHONPATH."
        )


def _cluster_features(rows: GraphRows) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    x = np.zeros((len(rows.cluster_ids), len(rows.space.columns)), dtype=np.float32)
    start = 0
    for family, centroids in rows.space.centroids.items():
        x[start : start + len(centroids), rows.space.families[family]] = centroids
        start += len(centroids)
    return x
