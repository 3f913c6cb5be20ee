"""A graph of many node types as one: its nodes numbered one after the other, its edges undirected.

Heads come first, then the target's tails (classes), then all other node types. Of the target's
edges only those of the training heads are there; they stand apart, so that a head's own can be
hidden while it is scored.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from models.baselines.fitting import Labels
from models.link_model import reverse_of
from models.pyg import HeteroData
from models.sparse import EdgeType, all_within
from models.training import ONE_THREAD_BELOW


@dataclass(frozen=True, eq=False)
class JoinedGraph:
    """All nodes in one numbering.

    Attributes:
        heads: how many there are: nodes 0..heads-1.
        classes: how many there are: nodes heads..heads+classes-1.
        nodes: how many there are of all types.
        fixed: int64 [2, e], edges of all relations but the target, each once and both ways.
        answers: int64 [2, a], (training head, class node), one way.
        x: float32 [nodes, d], features; zeros for nodes without any. None: no node has any.
    """

    heads: int
    classes: int
    nodes: int
    fixed: Tensor
    answers: Tensor
    x: Tensor | None

    @classmethod
    def of(cls, data: HeteroData, target: EdgeType, labels: Labels) -> "JoinedGraph":
        """Join a graph's node types, with the target edges of `labels.train` only.

        Raises:
            ValueError: the labels aren't those of the graph's heads and classes, or an edge leads
                to a node that isn't there.
        """
        check_labels(data, target, labels)
        head, _, tail = target
        rest = [t for t in data.node_types if t not in (head, tail)]
        start, nodes = {}, 0
        for node_type in (head, tail, *rest):
            start[node_type] = nodes
            nodes += int(data[node_type].num_nodes)

        edges = []
        for each in map(tuple, data.edge_types):
            if each not in (target, reverse_of(target)):
                own = data[each].edge_index.cpu().long()
                check_edges(data, each)
                edges.append(torch.stack([own[0] + start[each[0]], own[1] + start[each[2]]]))
        fixed = torch.cat(edges, dim=1) if edges else torch.zeros(2, 0, dtype=torch.long)
        rows, classes = labels.truth[labels.train].nonzero(as_tuple=True)
        return cls(
            heads=int(data[head].num_nodes),
            classes=int(data[tail].num_nodes),
            nodes=nodes,
            fixed=both_ways(fixed, nodes),
            answers=torch.stack([labels.train[rows], classes + start[tail]]),
            x=_features(data, start, nodes),
        )

    def edges(self, hidden: Tensor | None = None) -> Tensor:
        """All edges, both ways: int64 [2, e].

        Args:
            hidden: bool [heads], heads whose answers are left out (default: none).
        """
        answers = self.answers
        if hidden is not None:
            answers = answers[:, ~hidden[answers[0]]]
        return torch.cat([self.fixed, answers, answers.flip(0)], dim=1)


@contextmanager
def threads_for(graph: JoinedGraph) -> Iterator[None]:
    """Run small graphs on one thread: handing out their work takes longer than doing it."""
    before = torch.get_num_threads()
    if graph.nodes + graph.fixed.size(1) < ONE_THREAD_BELOW:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def both_ways(edges: Tensor, nodes: int) -> Tensor:
    """Each edge once in either direction, sorted, without loops: int64 [2, e]."""
    edges = edges[:, edges[0] != edges[1]]
    keys = torch.unique(torch.cat([edges[0] * nodes + edges[1], edges[1] * nodes + edges[0]]))
    return torch.stack([keys // max(nodes, 1), keys % max(nodes, 1)])


def check_labels(data: HeteroData, target: EdgeType, labels: Labels) -> None:
    """Refuse labels that aren't those of a graph's heads and classes.

    Raises:
        ValueError: they aren't.
    """
    head, _, tail = target
    for name in (head, tail):
        if name not in data.node_types:
            raise ValueError(f"the graph has no nodes of the type {name!r}")
    expected = [int(data[head].num_nodes), int(data[tail].num_nodes)]
    if list(labels.truth.shape) != expected:
        raise ValueError(
            f"the graph has {expected[0]} heads and {expected[1]} classes, "
            f"the labels are of the shape {list(labels.truth.shape)}"
        )
    if expected[1] < 2:
        raise ValueError(f"there must be at least 2 classes to tell apart, not {expected[1]}")
    if not bool(labels.truth[labels.train].any(dim=1).all()):
        raise ValueError("a training row has no class")


def check_edges(data: HeteroData, edge_type: EdgeType) -> None:
    """Refuse edges that lead to nodes that aren't there.

    Raises:
        ValueError: one does.
    """
    for nodes, node_type in zip(
        data[edge_type].edge_index, (edge_type[0], edge_type[2]), strict=True
    ):
        if not all_within(nodes, int(data[node_type].num_nodes)):
            raise ValueError(f"an edge of {edge_type} leads to a {node_type} that isn't there")


def _features(data: HeteroData, start: dict[str, int], nodes: int) -> Tensor | None:
    own = {t: data[t].x.cpu().float() for t in start if "x" in data[t]}
    if not own:
        return None
    widths = {each.size(1) for each in own.values()}
    if len(widths) > 1:
        raise ValueError(f"node types have features of different widths: {sorted(widths)}")
    x = torch.zeros(nodes, widths.pop())
    for node_type, each in own.items():
        x[start[node_type] : start[node_type] + len(each)] = each
    return x
