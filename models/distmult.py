"""DistMult decoder: Yang et al. 2015, "Embedding Entities and Relations for Learning and
Inference in Knowledge Bases".
"""

import torch
from torch import Tensor, nn


class DistMult(nn.Module):
    """score(s, r, o) = <z_s, R_r, z_o> = sum over i of z_s[i] R_r[i] z_o[i]."""

    def __init__(self, num_relations: int, hidden: int) -> None:
        super().__init__()
        # training starts near the scaled dot product, whose scores neither saturate nor vanish
        scale = hidden**-0.5
        self.relations = nn.Parameter(scale * (1 + 0.1 * torch.randn(num_relations, hidden)))

    def forward(self, heads: Tensor, relation: int | Tensor, tails: Tensor) -> Tensor:
        """Score heads [b, d] against candidate tails: [b, k].

        Args:
            heads: [b, d] embeddings.
            relation: one relation's number, or [b], a number for each head.
            tails: [k, d], candidates that all heads share (1-vs-all), or [b, k, d], each
                head's own (pairs: k = 1; sampled negatives: k of them).
        """
        query = (heads * self.relations[relation]).unsqueeze(-2)
        return (query @ tails.transpose(-1, -2)).squeeze(-2)
