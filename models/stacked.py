"""Many relations from one node type to another in one structure.

A relation at a time, as `models.rgcn` goes through a music graph's dozen, hundreds of small
relations cost more in calls than in work. Here the senders of one relation to one receiver are a
group, and a step goes once over all groups: average the group, mix the mean by the relation's
weight, sum over the receiver's groups.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.sparse import EdgeType, MeanAdjacency, all_within


@dataclass(frozen=True)
class StackedRelations:
    """All relations from one node type to another, for `relational_mean`.

    Attributes:
        relations: the edge types; number r in `relation` and in the weights is the r-th.
        means: A [groups, n_from], whose row averages over the senders of one group.
        relation: int32 [groups], ascending.
        receiver: int32 [groups], ascending within a relation.
        starts: int32 [n_to + 1], where each receiver's groups begin in `groups`.
        groups: int32 [groups], sorted by receiver.
    """

    relations: tuple[EdgeType, ...]
    means: MeanAdjacency
    relation: Tensor
    receiver: Tensor
    starts: Tensor
    groups: Tensor

    @classmethod
    def from_edges(
        cls,
        edges: Mapping[EdgeType, Tensor],
        num_from: int,
        num_to: int,
        dtype: torch.dtype = torch.float32,
    ) -> "StackedRelations":
        """Build from {edge type: [2, e]}, row 0 the senders and row 1 the receivers.

        A duplicate edge counts twice in its mean; a relation may be empty.

        Raises:
            ValueError: there are no relations, they don't share their two node types, edges
                aren't [2, e] or name a node that isn't there.
        """
        if len({(edge_type[0], edge_type[2]) for edge_type in edges}) != 1:
            raise ValueError("stacked relations must lead from one node type to one node type")
        for edge_type, pairs in edges.items():
            if pairs.dim() != 2 or pairs.size(0) != 2:
                raise ValueError(f"edges must have the shape [2, e], not {list(pairs.shape)}")
            for name, nodes, count in (("from", pairs[0], num_from), ("to", pairs[1], num_to)):
                if not all_within(nodes, count):
                    raise ValueError(
                        f"an edge of {edge_type} leads {name} a node outside 0..{count - 1}"
                    )
        senders, receivers = torch.cat(list(edges.values()), dim=1).long()
        device = senders.device
        sizes = torch.tensor([pairs.size(1) for pairs in edges.values()], device=device)
        kinds = torch.repeat_interleave(torch.arange(len(edges), device=device), sizes)
        # one number per (relation, receiver), by relation first: a relation's groups are adjacent
        keys, group = torch.unique(kinds * max(num_to, 1) + receivers, return_inverse=True)
        receiver = keys % max(num_to, 1)
        ordered, groups = torch.sort(receiver, stable=True)
        starts = torch.searchsorted(ordered, torch.arange(num_to + 1, device=device))
        return cls(
            relations=tuple(edges),
            means=MeanAdjacency.from_edges(
                torch.stack([senders, group]), num_from, keys.numel(), dtype
            ),
            relation=(keys // max(num_to, 1)).int(),
            receiver=receiver.int(),
            starts=starts.int(),
            groups=groups.int(),
        )

    @property
    def num_edges(self) -> int:
        """Number of distinct (relation, sender, receiver) triples."""
        return self.means.num_edges

    def dropped(self, share: float) -> "StackedRelations":
        """Leave out a random share of the edges, see `MeanAdjacency.dropped`."""
        return replace(self, means=self.means.dropped(share))


def relational_mean(h: Tensor, stack: StackedRelations, weights: Tensor) -> Tensor:
    """Sum over relations r of 1/|N_r(i)| sum over j in N_r(i) of W_r h_j, the sum in eq. 2.

    Block-diagonal weights on the CPU go through compiled loops, which hold little beside input
    and output; whole matrices (work for a matrix product), other devices and other types of
    number go through torch.

    Args:
        h: [n_from, size_in].
        stack: who sends to whom by which relation.
        weights: [R, size_in, size_out], or their blocks [R, B, size_in / B, size_out / B].

    Returns:
        [n_to, size_out]
    """
    if weights.dim() == 4 and h.device.type == "cpu" and h.dtype == torch.float32:
        mixed: Tensor = _Blocks.apply(h, stack, weights)
        return mixed
    return by_torch(h, stack, weights)


def by_torch(h: Tensor, stack: StackedRelations, weights: Tensor) -> Tensor:
    """Compute `relational_mean` by torch's own operations, on any device."""
    sizes = torch.bincount(stack.relation, minlength=len(stack.relations)).tolist()
    means = torch.split(stack.means.mean(h), sizes)
    mixed = torch.cat([_mix(m, w) for m, w in zip(means, weights.unbind(), strict=True)])
    # each group is in one receiver's sum: an embedding bag of rows that each occur once
    return functional.embedding_bag(
        stack.groups, mixed, stack.starts, mode="sum", include_last_offset=True
    )


def _mix(means: Tensor, weight: Tensor) -> Tensor:
    """Multiply the means [n, size_in] of a relation's groups by its weight, whole or in blocks."""
    if weight.dim() == 2:
        return means @ weight
    parts = means.view(means.size(0), weight.size(0), weight.size(1))
    return torch.einsum("nbi,bio->nbo", parts, weight).flatten(1)


class _Blocks(torch.autograd.Function):
    """`relational_mean` with block-diagonal weights, by the loops of `models.block_kernels`."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, stack: StackedRelations, weights: Tensor) -> Tensor:
        from models import block_kernels  # compiles, or loads what was compiled before

        blocks = weights.size(1)
        h, weights = _blocks_last(h, blocks), weights.permute(0, 2, 3, 1).contiguous()
        out = h.new_empty(stack.starts.numel() - 1, weights[0, 0].numel())
        matrix = stack.means.matrix
        arrays = _arrays(
            h, weights, matrix.starts, matrix.columns, matrix.values,
            stack.starts, stack.groups, stack.relation, out,
        )  # fmt: skip
        _in_parts(lambda _, first, last: block_kernels.forward(*arrays, first, last), stack.starts)
        # an attribute, not save_for_backward: the graph is neither input nor output
        ctx.stack, ctx.blocks = stack, blocks
        ctx.save_for_backward(h, weights)
        return _blocks_first(out, blocks)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor]:
        from models import block_kernels

        stack: StackedRelations = ctx.stack
        h, weights = ctx.saved_tensors
        matrix = stack.means.transposed
        grad_h = torch.empty_like(h)
        arrays = _arrays(
            _blocks_last(gradients[0], ctx.blocks), h, weights,
            matrix.starts, matrix.columns, matrix.values,
            stack.receiver, stack.relation, grad_h,
        )  # fmt: skip
        # a sum for each part, added up in their order: the same threads give the same numbers
        sums = [np.zeros(weights.shape, np.float32) for _ in range(torch.get_num_threads())]
        _in_parts(
            lambda part, first, last: block_kernels.backward(*arrays, sums[part], first, last),
            matrix.starts,
        )
        grad_weights = torch.from_numpy(sum(sums[1:], sums[0])).permute(0, 3, 1, 2)
        return _blocks_first(grad_h, ctx.blocks), None, grad_weights


def _in_parts(work: Callable[[int, int, int], None], starts: Tensor) -> None:
    """Call work(part, first row, last row + 1) for as many parts as torch has threads.

    The parts hold about as many cells each, by where the rows' cells start: [rows + 1].
    """
    parts = torch.get_num_threads()
    rows, cells = starts.numel() - 1, int(starts[-1])
    if parts == 1:
        work(0, 0, rows)
        return
    shares = torch.arange(1, parts, device=starts.device) * cells // parts
    bounds = [0, *torch.searchsorted(starts.long(), shares).tolist(), rows]
    with ThreadPoolExecutor(parts) as pool:
        # list: an error in a part is raised here
        list(pool.map(work, range(parts), bounds[:-1], bounds[1:]))


def _blocks_last(h: Tensor, blocks: int) -> Tensor:
    """Lay vectors [n, B * i] out as the kernels want them: [n, i * B]."""
    return h.reshape(h.size(0), blocks, -1).transpose(1, 2).reshape(h.shape)


def _blocks_first(h: Tensor, blocks: int) -> Tensor:
    """Undo `_blocks_last`."""
    return h.view(h.size(0), -1, blocks).transpose(1, 2).reshape(h.shape)


def _arrays(*tensors: Tensor) -> list[NDArray[Any]]:
    """See tensors as NumPy arrays, which is what compiled loops take."""
    return [tensor.detach().numpy() for tensor in tensors]
