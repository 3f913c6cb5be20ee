"""Nodes that are the mean of one head alone: what they would tell it is its own echo.

An artist of one song is that song. Its message would be the song's own sound over again, through
other weights, and would look like evidence from elsewhere. So it says nothing to that song. To
another one that comes later it has something to say: to it the first song is news.
"""

import torch
from torch import Tensor

from models.link_model import GraphShape
from models.pyg import HeteroData

NOBODY_ALONE = -1


def only_senders(gathering: Tensor, count: int) -> Tensor:
    """Who each of `count` nodes is the mean of, where that is one alone: int64 [count]; else -1.

    Args:
        gathering: edges [2, e], senders and the nodes that are their means.
        count: how many nodes there are.
    """
    senders, nodes = gathering.long()
    none = senders.new_full((count,), NOBODY_ALONE)
    lowest, highest = (
        none.scatter_reduce(0, nodes, senders, how, include_self=False) for how in ("amin", "amax")
    )
    return torch.where(lowest == highest, lowest, NOBODY_ALONE)


def without_echoes(edges: Tensor, only: Tensor) -> Tensor:
    """Of edges [2, e], nodes and the heads that hear them, those that tell a head of others."""
    return edges[:, only[edges[0]] != edges[1]]


def only_heads(data: HeteroData, shape: GraphShape) -> dict[str, Tensor]:
    """Which head each node that is the mean of heads is no more than: int64 [k], by type; -1: none.

    Args:
        data: the graph.
        shape: what a model knows of it.
    """
    return {
        t[2]: only_senders(data[t].edge_index, int(data[t[2]].num_nodes))
        for t in shape.gathering
        if t in data.edge_types and t[0] == shape.target[0]
    }
