"""Enclosing subgraphs of (head, class) pairs, and what their nodes are labelled.

Zhang and Chen 2018, Link prediction based on graph neural networks: around a pair (x, y) the nodes
within h hops of either, all edges among them but the pair's own, and by double-radius node
labelling (DRNL) a number that tells a node's part in the pair,

    f(i) = 1 + min(d_x, d_y) + floor(d / 2) (floor(d / 2) + d mod 2 - 1),    d = d_x + d_y

with d_x the distance from i to x where y isn't there, and d_y the other way round; x and y are 1,
what doesn't reach both is 0.

What differs: each node brings at most so many neighbours, seen from the pair always the same ones;
and not only the pair's own edge is missing but all target edges of its head, as a head that is to
be told has none: its edge to one class would say no to all others.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.baselines.joined import JoinedGraph

# Distances beyond this count as not reached: subgraphs of h hops hold few that far.
_FARTHEST = 8


@dataclass(frozen=True, eq=False)
class Subgraphs:
    """Enclosing subgraphs of many pairs, filled up to the same number of nodes.

    Attributes:
        nodes: int64 [b, k], joined numbers; the head first, then the class; -1: no node.
        links: bool [b, k, k], which are linked; symmetric, no loops.
        labels: uint8 [b, k], DRNL.
    """

    nodes: Tensor
    links: Tensor
    labels: Tensor

    def __getitem__(self, which: Tensor | slice) -> "Subgraphs":
        return Subgraphs(self.nodes[which], self.links[which], self.labels[which])

    def to(self, device: torch.device) -> "Subgraphs":
        """Move them to a device."""
        return Subgraphs(self.nodes.to(device), self.links.to(device), self.labels.to(device))


class Extractor:
    """Cuts enclosing subgraphs out of a graph.

    Args:
        graph: what is cut from.
        neighbours: how many each node brings at most, one number a hop.
        seed: of the chance by which they are picked.
    """

    def __init__(self, graph: JoinedGraph, neighbours: tuple[int, ...], seed: int) -> None:
        self._graph, self._neighbours, self._seed = graph, neighbours, seed
        edges = graph.edges()
        self._keys = (edges[0] * graph.nodes + edges[1]).sort().values
        # each node's neighbours stand in a row of their own, shuffled
        chance = torch.Generator().manual_seed(seed)
        shuffled = edges[:, torch.randperm(edges.size(1), generator=chance)]
        shuffled = shuffled[:, torch.argsort(shuffled[0], stable=True)]
        self._beside = shuffled[1]
        self._degree = torch.bincount(shuffled[0], minlength=graph.nodes)
        self._start = self._degree.cumsum(0) - self._degree

    def cut(self, heads: Tensor, classes: Tensor) -> Subgraphs:
        """Cut the enclosing subgraphs of pairs: heads [b] with classes [b] (from 0)."""
        graph = self._graph
        pairs = torch.stack([heads, classes + graph.heads], dim=1)
        nodes, frontier = pairs, pairs
        for count in self._neighbours:
            frontier = self._around(frontier, pairs, count)
            nodes = _distinct(torch.cat([nodes, frontier], dim=1))
        links = self._links(nodes)
        return Subgraphs(nodes, links, drnl(links))

    def cut_all(self, heads: Tensor, classes: Tensor, batch: int) -> Subgraphs:
        """The same, so many at a time, as cutting takes more memory than what is cut."""
        parts = [
            self.cut(some, one)
            for some, one in zip(
                torch.split(heads, batch), torch.split(classes, batch), strict=True
            )
        ]
        k = max(part.nodes.size(1) for part in parts)
        gaps = [k - part.nodes.size(1) for part in parts]
        return Subgraphs(
            torch.cat([F.pad(p.nodes, (0, g), value=-1) for p, g in zip(parts, gaps, strict=True)]),
            torch.cat([F.pad(p.links, (0, g, 0, g)) for p, g in zip(parts, gaps, strict=True)]),
            torch.cat([F.pad(p.labels, (0, g)) for p, g in zip(parts, gaps, strict=True)]),
        )

    def _around(self, of: Tensor, pairs: Tensor, count: int) -> Tensor:
        """Up to `count` neighbours of each node in [b, f]: [b, f * count], -1 where there is none.

        They begin anywhere in the node's shuffled row, by what pair asks.
        """
        there = of >= 0
        node = of.clamp(min=0)
        degree = self._degree[node] * there
        # small odd multipliers scatter well enough, and never overflow
        mixed = (pairs[:, :1] * 7919 + pairs[:, 1:] * 104729 + node * 31 + self._seed) % 1000003
        step = torch.arange(count)
        place = (mixed * 613 % degree.clamp(min=1))[..., None] + step
        place = self._start[node][..., None] + place % degree.clamp(min=1)[..., None]
        if not self._beside.numel():
            return torch.full((len(of), of.size(1) * count), -1)
        found = self._beside[place.clamp(max=self._beside.numel() - 1)]
        found = torch.where(step < degree[..., None], found, -1)
        # the head's own target edges aren't there, either way
        from_head = (of == pairs[:, :1])[..., None]
        is_class = (found >= self._graph.heads) & (found < self._graph.heads + self._graph.classes)
        return torch.where(from_head & is_class, -1, found).flatten(1)

    def _links(self, nodes: Tensor) -> Tensor:
        """Edges among the nodes of each subgraph, without target edges of the first one."""
        graph = self._graph
        wanted = nodes[:, :, None] * graph.nodes + nodes[:, None, :]
        if self._keys.numel():
            place = torch.searchsorted(self._keys, wanted).clamp(max=self._keys.numel() - 1)
            linked = self._keys[place] == wanted
        else:
            linked = torch.zeros_like(wanted, dtype=torch.bool)
        there = nodes >= 0
        linked &= there[:, :, None] & there[:, None, :]
        is_class = (nodes >= graph.heads) & (nodes < graph.heads + graph.classes)
        linked[:, 0, :] &= ~is_class
        linked[:, :, 0] &= ~is_class
        return linked


def drnl(links: Tensor) -> Tensor:
    """Label the nodes of subgraphs, bool [b, k, k], whose pair are the nodes 0 and 1: uint8 [b, k].

    Distances are counted up to 8 on either side; the largest label is 64.
    """
    d_x, d_y = _distances(links, 0, without=1), _distances(links, 1, without=0)
    d = d_x + d_y
    half = d // 2
    labels = 1 + torch.minimum(d_x, d_y) + half * (half + d % 2 - 1)
    labels[(d_x < 0) | (d_y < 0)] = 0
    labels[:, :2] = 1
    return labels.to(torch.uint8)


def _distances(links: Tensor, source: int, *, without: int) -> Tensor:
    """Distances from one node where another isn't there: int64 [b, k], -1: not reached."""
    b, k, _ = links.shape
    found = torch.full((b, k), -1)
    found[:, source] = 0
    weights = links.float()
    reached = found[:, :, None] == 0
    for distance in range(1, _FARTHEST + 1):
        new = (weights @ reached.float() > 0).squeeze(2) & (found < 0)
        new[:, without] = False
        if not bool(new.any()):
            break
        found[new] = distance
        reached = new[:, :, None]
    return found


def _distinct(nodes: Tensor) -> Tensor:
    """Keep each node of a row [b, k] once, at its first place, gaps (-1) last.

    The first two stay where they are; the result is no wider than needed.
    """
    by_node = torch.argsort(nodes, dim=1, stable=True)
    ordered = nodes.gather(1, by_node)
    again = torch.zeros_like(ordered, dtype=torch.bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    twice = torch.zeros_like(again).scatter(1, by_node, again)
    kept = torch.where(twice, -1, nodes)
    kept = kept.gather(1, torch.argsort((kept < 0).int(), dim=1, stable=True))
    return kept[:, : max(2, int((kept >= 0).sum(dim=1).max()))]
