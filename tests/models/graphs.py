"""Small graphs for the tests of `models`."""

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from models.sparse import SparseRows

TARGET = ("item", "has_class", "class")
GROUPS = {"left": (0, 4), "right": (4, 8)}


def dense(matrix: SparseRows) -> Tensor:
    """Write out all cells: [rows, columns]."""
    return matrix.times(torch.eye(matrix.num_columns, dtype=matrix.values.dtype))


def _both_ways(data: HeteroData, edge_type: tuple[str, str, str], edges: Tensor) -> None:
    head, relation, tail = edge_type
    data[head, relation, tail].edge_index = edges
    data[tail, f"rev_{relation}", head].edge_index = edges.flip(0)


def class_graph(
    num_classes: int = 4, per_class: int = 15, signal: float = 1.0, seed: int = 0
) -> HeteroData:
    """Items with noisy features around their class's centre, centroids, neighbours, classes.

    With `signal` 0 neither features nor neighbours tell anything of the class. Three fifths of
    the items are for training, a fifth each for validation and test.
    """
    chance = torch.Generator().manual_seed(seed)
    n = num_classes * per_class
    classes = torch.arange(n) % num_classes
    centres = torch.randn(num_classes, 8, generator=chance)
    noise = torch.randn(n, 8, generator=chance)
    x = signal * centres[classes] + (0.7 if signal else 1.0) * noise

    data = HeteroData()
    data["item"].x = x
    data["centroid"].x = torch.zeros(6, 8)
    for family, (start, stop) in enumerate(GROUPS.values()):
        own = slice(3 * family, 3 * family + 3)
        data["centroid"].x[own, start:stop] = x[:3, start:stop]
        nearest = torch.cdist(x[:, start:stop], x[:3, start:stop]).argmin(dim=1) + 3 * family
        edges = torch.stack([torch.arange(n), nearest])
        _both_ways(data, ("item", f"near_{family}", "centroid"), edges)
    distance = torch.cdist(x, x)
    distance.fill_diagonal_(float("inf"))
    nearest = distance.topk(3, largest=False).indices
    edges = torch.stack([torch.arange(n).repeat_interleave(3), nearest.flatten()])
    _both_ways(data, ("item", "similar", "item"), edges)
    data["class"].num_nodes = num_classes
    _both_ways(data, TARGET, torch.stack([torch.arange(n), classes]))
    place = torch.arange(n) // num_classes % 5
    data["item"].train_mask = place < 3
    data["item"].val_mask = place == 3
    data["item"].test_mask = place == 4
    return data


def multi_graph(per_class: int = 15, seed: int = 0) -> HeteroData:
    """The same with a second class for every item whose first feature is high."""
    data = class_graph(per_class=per_class, seed=seed)
    more = (data["item"].x[:, 0] > 0).nonzero().flatten()
    edges = data[TARGET].edge_index
    second = torch.stack([more, (edges[1][more] + 1) % 4])
    _both_ways(data, TARGET, torch.cat([edges, second], dim=1))
    return data


def classes_of(data: HeteroData) -> Tensor:
    """The class of every item of a single-label graph: [n]."""
    return data[TARGET].edge_index[1]
