"""How unlike everything that was learned from a head is.

The distance to the k-th nearest of the heads that were learned from (Sun et al. 2022), read as the
share of these that are nearer to the others than that. Only so many of them are kept that the cost
of a new head doesn't grow with the graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NEAREST = 3
MOST_REFERENCES = 2000
_BLOCK = 1024
# With fewer heads than this "further than all" is not rare: it has to be further by 1 / m of that,
# and twice as far among a handful. Of 60 real clips 7, 15, 4, 1 and 3 in 100 are, with 3, 8, 15, 25
# and 40 others learned from (96, 25, 7, 2 and 4 are further than all), and 77 to 100 of noises.
FEWEST_TO_RANK, _HANDFUL = 50, 8


@dataclass(frozen=True, eq=False)
class Novelty:
    """What heads are held against.

    Attributes:
        weights: [d] how much each column counts; they come to 1.
        references: float32 [m, d] features of heads that were learned from.
        held_out: [m] distance of each of these to the others that aren't of its group, ascending.
    """

    weights: Tensor
    references: Tensor
    held_out: Tensor

    def of(self, x: Tensor, own: Sequence[int] | None = None) -> Tensor:
        """Novelty of heads, [b]: 0 nearer than all that was learned from, 1 further than all.

        Where few were learned from, 1 is only what is clearly further.

        Args:
            x: [b, d] their features.
            own: which of the references each head is, -1 for none: nobody is like itself.
        """
        distances = self._distances(x, torch.as_tensor(own) if own is not None else None)
        m = len(self.held_out)
        if m == 0:
            return torch.zeros_like(distances)
        below = torch.searchsorted(self.held_out, distances)
        if m < FEWEST_TO_RANK:
            further = 1 + (1 / m if m >= _HANDFUL else 1)
            clearly = distances > self.held_out[-1] * further
            below = torch.where(clearly, m, below.clamp(max=m - 1))
        return below.to(torch.float32) / m

    def _distances(self, x: Tensor, own: Tensor | None) -> Tensor:
        found = []
        for start in range(0, len(x), _BLOCK):
            block = slice(start, start + _BLOCK)
            apart = _apart(x[block], self.references, self.weights)
            if own is not None:
                mine = own[block]
                rows = (mine >= 0).nonzero().flatten()
                apart[rows, mine[rows]] = torch.inf
            found.append(_nearest(apart))
        return torch.cat(found) if found else torch.zeros(0)


def fit(
    x: Tensor, groups: Tensor, weights: Tensor, generator: torch.Generator
) -> tuple[Novelty, Tensor]:
    """Keep heads to hold others against; of many some by lot.

    Args:
        x: [n, d] features of the heads that were learned from.
        groups: [n] heads that belong together, such as songs of one artist: what is new comes
            from somebody else.
        weights: [d] how much each column counts.
        generator: source of chance.

    Returns:
        The novelty, and which of the heads were kept: [m], ascending.
    """
    kept = torch.arange(len(x))
    if len(x) > MOST_REFERENCES:
        kept = torch.randperm(len(x), generator=generator)[:MOST_REFERENCES].sort().values
    weights = weights / weights.sum()
    references, groups = x[kept], groups[kept]
    if torch.unique(groups).numel() < 2:
        groups = torch.arange(len(groups))  # all by one artist: another song of hers is all we have
    apart = _apart(references, references, weights)
    apart[groups[:, None] == groups[None, :]] = torch.inf
    distances = _nearest(apart)
    return Novelty(weights, references, distances[distances.isfinite()].sort().values), kept


def _apart(x: Tensor, references: Tensor, weights: Tensor) -> Tensor:
    """Weighted root mean square differences, [b, m]."""
    root = weights.sqrt()
    # a product of matrices is many times faster, and exact enough among standardised features
    return torch.cdist(x * root, references * root, compute_mode="use_mm_for_euclid_dist")


def _nearest(apart: Tensor) -> Tensor:
    """Distance to the k-th nearest, [b]; to the furthest where there are fewer."""
    nearest = apart.topk(min(NEAREST, apart.size(1)), dim=1, largest=False).values
    there = nearest.isfinite().sum(dim=1).clamp(min=1)
    found: Tensor = nearest.gather(1, (there - 1)[:, None])[:, 0]
    return found
