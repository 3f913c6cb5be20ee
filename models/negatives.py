"""Negative tails for true (head, tail) pairs of one relation: typed and filtered."""

from typing import Literal, get_args

import torch
from torch import Tensor

from models.sparse import all_within

# How negatives are drawn: every false tail alike, or by how many heads it truly has.
DrawnBy = Literal["uniform", "frequency"]


class TruePairs:
    """The true (head, tail) pairs of one relation, to keep negatives clear of them.

    Args:
        edges: [2, e], row 0 heads, row 1 tails; duplicates count once.
        num_heads: number of nodes of the heads' type.
        num_tails: number of nodes of the tails' type.

    Raises:
        ValueError: an edge names a node that isn't there.
    """

    def __init__(self, edges: Tensor, num_heads: int, num_tails: int) -> None:
        for nodes, count in ((edges[0], num_heads), (edges[1], num_tails)):
            if not all_within(nodes, count):
                raise ValueError(f"a pair names a node outside 0..{count - 1}")
        self.num_tails = num_tails
        # sorted by head, then tail
        self.edges = torch.unique(edges, dim=1)
        self.degree = torch.bincount(self.edges[0], minlength=num_heads)
        self._start = self.degree.cumsum(0) - self.degree

    def mask(self, heads: Tensor) -> Tensor:
        """Tell for heads [b] which tails are true: bool [b, num_tails]; all others are negative."""
        tails, present = self._tails(heads)
        true = torch.zeros(heads.numel(), self.num_tails + 1, dtype=torch.bool, device=heads.device)
        true.scatter_(1, tails.where(present, self.num_tails), True)
        return true[:, :-1]

    def _tails(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        """True tails of heads [b], ascending, padded to the longest: [b, m], and what is real."""
        degree = self.degree[heads]
        slot = torch.arange(int(degree.max()) if heads.numel() else 0, device=heads.device)
        present = slot < degree[:, None]
        position = (self._start[heads][:, None] + slot).where(present, 0)
        return self.edges[1][position], present

    def sample(
        self, heads: Tensor, k: int, generator: torch.Generator, by: DrawnBy = "uniform"
    ) -> Tensor:
        """Draw k false tails for each head, with replacement.

        Every draw is a false pair at once: number j of a head's false tails (each counted as often
        as its weight says) is found by stepping over its true ones, so nothing is rejected and
        drawn again.

        Args:
            heads: [b].
            k: how many for each.
            generator: source of chance.
            by: "uniform", or "frequency": as often as a tail is true of some head; one that never
                is counts as if it were once.

        Returns:
            [b, k] tails; -1 in the rows of heads for which every tail is true.

        Raises:
            ValueError: k is below 1, or `by` is neither.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        stops, weights = self._weights(by)
        tails, present = self._tails(heads)
        own = weights[tails].where(present, 0)
        false_weight = weights.sum() - own.sum(dim=1)
        chance = torch.rand(
            heads.numel(), k, dtype=torch.float64, generator=generator, device=generator.device
        )
        number = (chance.to(heads.device) * false_weight[:, None]).long()
        # all false tails before a true one weigh together: at or below j, it is stepped over
        before = stops[tails] - own.cumsum(dim=1)
        before = before.where(present, weights.sum() + 1)
        passed = torch.searchsorted(before, number, right=True)
        skipped = torch.cat([own.new_zeros(heads.numel(), 1), own.cumsum(dim=1)], dim=1)
        drawn = torch.searchsorted(stops, number + skipped.gather(1, passed), right=True)
        return drawn.where(false_weight[:, None] > 0, -1)

    def chance(self, heads: Tensor, tails: Tensor, by: DrawnBy = "uniform") -> Tensor:
        """Tell how likely each false tail [b, k] of heads [b] is to be drawn: float [b, k]."""
        _, weights = self._weights(by)
        own, present = self._tails(heads)
        false_weight = weights.sum() - weights[own].where(present, 0).sum(dim=1)
        return weights[tails] / false_weight[:, None]

    def _weights(self, by: DrawnBy) -> tuple[Tensor, Tensor]:
        """Whole numbers, so that no rounding makes a true pair: their running sum, and they."""
        if by not in get_args(DrawnBy):
            raise ValueError(f"negatives are drawn by {get_args(DrawnBy)}, not by {by!r}")
        weights = torch.ones(self.num_tails, dtype=torch.long, device=self.edges.device)
        if by == "frequency":
            weights = torch.bincount(self.edges[1], minlength=self.num_tails).clamp(min=1)
        return weights.cumsum(0), weights
