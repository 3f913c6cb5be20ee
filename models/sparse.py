"""The mean over the neighbours of one relation, as a product with a sparse matrix."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class SparseRows:
    """A matrix in compressed rows.

    Attributes:
        starts: int32 [rows + 1], where the cells of each row begin; the last is how many there are.
        columns: int32 [cells].
        values: [cells].
        num_columns: how wide the matrix is.
    """

    starts: Tensor
    columns: Tensor
    values: Tensor
    num_columns: int

    def times(self, h: Tensor) -> Tensor:
        """Multiply by h [num_columns, d]: [rows, d]; no gradient goes through it."""
        if not self.columns.numel():
            return h.new_zeros(self.starts.numel() - 1, h.size(1))
        # A weighted sum of rows of a table: torch's kernel for it is several times faster than
        # its product with a CSR tensor.
        product: Tensor = functional.embedding_bag(
            self.columns,
            h.detach(),
            self.starts,
            mode="sum",
            per_sample_weights=self.values,
            include_last_offset=True,
        )
        return product


@dataclass(frozen=True)
class MeanAdjacency:
    """One relation as the matrix A whose row i averages over the neighbours of node i.

    A[i, j] is the number of edges j -> i over the number of edges into i, so a duplicate edge
    counts twice and a node without neighbours has a row of zeros. The transpose is kept beside
    it for the backward pass: making one costs as much as building the matrix.

    Attributes:
        matrix: A [n_to, n_from].
        transposed: A^T [n_from, n_to].
        order: int32 [cells], where each cell of the transpose lies among those of A.
    """

    matrix: SparseRows
    transposed: SparseRows
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
            matrix=SparseRows(_starts(rows, num_to), columns.int(), values, num_from),
            transposed=SparseRows(
                _starts(columns, num_from), rows[by_column].int(), values[by_column], num_to
            ),
            order=by_column.int(),
        )

    @property
    def num_edges(self) -> int:
        """Number of distinct (sender, receiver) pairs."""
        return self.matrix.values.numel()

    def mean(self, h: Tensor) -> Tensor:
        """Average the senders' vectors h [n_from, d] at each receiver: [n_to, d]."""
        product: Tensor = _Product.apply(self.matrix, self.transposed, h)
        return product

    def dropped(self, share: float) -> "MeanAdjacency":
        """Leave out a random share of the cells: the mean is then over the senders that are left.

        Duplicates of an edge stay or go together; a node all of whose senders go has a row of
        zeros. Chance comes from torch's global generator.
        """
        matrix, transposed = self.matrix, self.transposed
        values = matrix.values * (torch.rand_like(matrix.values) >= share)
        rows = torch.repeat_interleave(matrix.starts.diff().long(), output_size=values.numel())
        total = values.new_zeros(matrix.starts.numel() - 1).index_add_(0, rows, values)
        values = values / total.where(total > 0, 1)[rows]
        return MeanAdjacency(
            SparseRows(matrix.starts, matrix.columns, values, matrix.num_columns),
            SparseRows(
                transposed.starts,
                transposed.columns,
                values[self.order.long()],
                transposed.num_columns,
            ),
            self.order,
        )


def all_within(nodes: Tensor, count: int) -> bool:
    """Tell whether all node numbers are 0..count-1."""
    return not nodes.numel() or (int(nodes.min()) >= 0 and int(nodes.max()) < count)


def _starts(rows: Tensor, count: int) -> Tensor:
    """Where each row begins, of cells that are sorted by row."""
    starts = torch.zeros(count + 1, dtype=torch.int32, device=rows.device)
    starts[1:] = torch.bincount(rows, minlength=count).cumsum(0)
    return starts


class _Product(torch.autograd.Function):
    """A h, with the kept transpose for the backward pass: d(A h)/dh applied to g is A^T g."""

    @staticmethod
    def forward(ctx: Any, matrix: SparseRows, transposed: SparseRows, h: Tensor) -> Tensor:
        # an attribute, not save_for_backward: the transpose is neither input nor output
        ctx.transposed = transposed
        return matrix.times(h)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        transposed: SparseRows = ctx.transposed
        return None, None, transposed.times(gradients[0].contiguous())
