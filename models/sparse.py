"""The mean over the neighbours of one relation, as a product with a sparse matrix."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class MeanAdjacency:
    """One relation as the matrix A whose row i averages over the neighbours of node i.

    A[i, j] is the number of edges j -> i over the number of edges into i, so a duplicate edge
    counts twice and a node without neighbours has a row of zeros. The transpose is kept beside
    it: the backward pass needs it, and transposing a CSR matrix costs as much as building one.

    Attributes:
        matrix: A, sparse CSR [n_to, n_from].
        transposed: A^T, sparse CSR [n_from, n_to].
        order: int32 [cells], where each cell of the transpose lies among those of A.
    """

    matrix: Tensor
    transposed: Tensor
    order: Tensor

    @classmethod
    def from_edges(
        cls,
        edge_index: Tensor,
        num_from: int,
        num_to: int,
        dtype: torch.dtype = torch.float32,
    ) -> "MeanAdjacency":
        """Build A from edges [2, e], row 0 the senders and row 1 the receivers.

        Raises:
            ValueError: `edge_index` isn't [2, e] or names a node that isn't there.
        """
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(f"edges must have the shape [2, e], not {list(edge_index.shape)}")
        senders, receivers = edge_index.long()
        for name, nodes, count in (("from", senders, num_from), ("to", receivers, num_to)):
            if not all_within(nodes, count):
                raise ValueError(f"an edge leads {name} a node outside 0..{count - 1}")

        degree = torch.bincount(receivers, minlength=num_to)
        # one number per (receiver, sender), sorted by receiver: duplicates meet and are counted
        cells, count_in_cell = torch.unique(
            receivers * max(num_from, 1) + senders, return_counts=True
        )
        rows = cells // max(num_from, 1)
        columns = cells % max(num_from, 1)
        values = (count_in_cell.double() / degree[rows]).to(dtype)
        by_column = torch.argsort(columns, stable=True)
        return cls(
            matrix=_csr(rows, columns, values, (num_to, num_from)),
            transposed=_csr(
                columns[by_column], rows[by_column], values[by_column], (num_from, num_to)
            ),
            order=by_column.int(),
        )

    @property
    def num_edges(self) -> int:
        """Number of distinct (sender, receiver) pairs."""
        return int(self.matrix.values().numel())

    def mean(self, h: Tensor) -> Tensor:
        """Average the senders' vectors h [n_from, d] at each receiver: [n_to, d]."""
        product: Tensor = _Product.apply(self.matrix, self.transposed, h)
        return product

    def dropped(self, share: float) -> "MeanAdjacency":
        """Leave out a random share of the cells: the mean is then over the senders that are left.

        Duplicates of an edge stay or go together; a node all of whose senders go has a row of
        zeros. Chance comes from torch's global generator.
        """
        starts, values = self.matrix.crow_indices(), self.matrix.values()
        values = values * (torch.rand_like(values) >= share)
        rows = torch.repeat_interleave(starts.diff().long(), output_size=values.numel())
        total = torch.zeros(self.matrix.size(0), dtype=values.dtype, device=values.device)
        total.index_add_(0, rows, values)
        values = values / total.where(total > 0, 1)[rows]
        return MeanAdjacency(
            _with_values(self.matrix, values),
            _with_values(self.transposed, values[self.order.long()]),
            self.order,
        )


def all_within(nodes: Tensor, count: int) -> bool:
    """Tell whether all node numbers are 0..count-1."""
    return not nodes.numel() or (int(nodes.min()) >= 0 and int(nodes.max()) < count)


def _csr(rows: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Make a CSR matrix of cells that are sorted by row, then column, and distinct."""
    starts = torch.zeros(size[0] + 1, dtype=torch.int32, device=rows.device)
    starts[1:] = torch.bincount(rows, minlength=size[0]).cumsum(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(
            starts,
            columns.int(),  # what MKL takes: 64-bit indices would be converted in every product
            values,
            size=size,
            check_invariants=True,
        )


def _with_values(matrix: Tensor, values: Tensor) -> Tensor:
    """Give a CSR matrix other values in the same cells."""
    return torch.sparse_csr_tensor(
        matrix.crow_indices(),
        matrix.col_indices(),
        values,
        size=matrix.shape,
        check_invariants=False,  # the cells were checked when the matrix was built
    )


class _Product(torch.autograd.Function):
    """A h, with the kept transpose for the backward pass: d(A h)/dh applied to g is A^T g."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, h: Tensor) -> Tensor:
        # an attribute, not save_for_backward: the transpose is neither input nor output
        ctx.transposed = transposed
        return matrix @ h

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transposed @ gradients[0].contiguous()
