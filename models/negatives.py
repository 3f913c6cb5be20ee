"""Negative tails for true (head, tail) pairs of one relation: typed, filtered, uniform."""

import torch
from torch import Tensor

from models.sparse import all_within


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

    def sample(self, heads: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """Draw k false tails for each head, uniformly and with replacement.

        Every draw is a false pair at once: number j of a head's false tails is found by
        stepping over its true ones, so nothing is rejected and drawn again.

        Args:
            heads: [b].
            k: how many for each.
            generator: source of chance.

        Returns:
            [b, k] tails; -1 in the rows of heads for which every tail is true.

        Raises:
            ValueError: k is below 1.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        false_count = self.num_tails - self.degree[heads]
        chance = torch.rand(
            heads.numel(), k, dtype=torch.float64, generator=generator, device=generator.device
        )
        number = (chance.to(heads.device) * false_count[:, None]).long()
        tails, present = self._tails(heads)
        # the i-th true tail t has t - i false tails before it: at or below j, it is stepped over
        before = tails - torch.arange(tails.size(1), device=heads.device)
        before = before.where(present, self.num_tails)
        drawn = number + torch.searchsorted(before, number, right=True)
        return drawn.where(false_count[:, None] > 0, -1)
