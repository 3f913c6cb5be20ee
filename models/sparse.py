"""The mean over the neighbours of one relation, as a product with a sparse matrix."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

EdgeType = tuple[str, str, str]


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

    def rows(self) -> Tensor:
        """Tell which row each cell lies in: int64 [cells]."""
        return torch.repeat_interleave(self.starts.diff().long(), output_size=self.values.numel())

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
        joints: columns at which another relation begins, where several stand side by side.
    """

    matrix: SparseRows
    transposed: SparseRows
    order: Tensor
    joints: tuple[int, ...] = ()

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
        return cls._of_cells(rows, columns, values, num_to, num_from)

    @classmethod
    def side_by_side(cls, parts: Sequence["MeanAdjacency"]) -> "MeanAdjacency":
        """Join relations into one node type: [A_1 | A_2 | ...], over all their senders."""
        if len(parts) == 1:
            return parts[0]
        starts = [0, *accumulate(part.num_from for part in parts)]
        rows = torch.cat([part.matrix.rows() for part in parts])
        columns = torch.cat(
            [part.matrix.columns + start for part, start in zip(parts, starts, strict=False)]
        )
        by_row = torch.argsort(rows, stable=True)
        values = torch.cat([part.matrix.values for part in parts])[by_row]
        return cls._of_cells(
            rows[by_row],
            columns[by_row],
            values,
            parts[0].num_to,
            starts[-1],
            (*starts[1:-1],),
        )

    @classmethod
    def below(cls, parts: Sequence["MeanAdjacency"]) -> "MeanAdjacency":
        """Join relations out of one node type: A_1 above A_2 above ..., to all their receivers."""
        if len(parts) == 1:
            return parts[0]
        starts = [0, *accumulate(part.num_to for part in parts)]
        return cls._of_cells(
            torch.cat([p.matrix.rows() + start for p, start in zip(parts, starts, strict=False)]),
            torch.cat([part.matrix.columns for part in parts]),
            torch.cat([part.matrix.values for part in parts]),
            starts[-1],
            parts[0].num_from,
        )

    @classmethod
    def _of_cells(
        cls,
        rows: Tensor,
        columns: Tensor,
        values: Tensor,
        num_to: int,
        num_from: int,
        joints: tuple[int, ...] = (),
    ) -> "MeanAdjacency":
        """Build A and its transpose from cells that are sorted by row."""
        by_column = torch.argsort(columns, stable=True)
        return cls(
            matrix=SparseRows(_starts(rows, num_to), columns.int(), values, num_from),
            transposed=SparseRows(
                _starts(columns, num_from), rows[by_column].int(), values[by_column], num_to
            ),
            order=by_column.int(),
            joints=joints,
        )

    @property
    def num_from(self) -> int:
        """Number of senders."""
        return self.matrix.num_columns

    @property
    def num_to(self) -> int:
        """Number of receivers."""
        return self.transposed.num_columns

    @property
    def num_edges(self) -> int:
        """Number of distinct (sender, receiver) pairs."""
        return self.matrix.values.numel()

    def mean(self, h: Tensor) -> Tensor:
        """Average the senders' vectors h [n_from, d] at each receiver: [n_to, d]."""
        product: Tensor = _Product.apply(self.matrix, self.transposed, h)
        return product

    def into(self, receivers: Tensor) -> tuple["MeanAdjacency", Tensor]:
        """The same into some receivers [b], from those alone who send to them.

        Returns:
            A matrix [b, s], and who its s senders are, ascending.
        """
        starts = self.matrix.starts.long()
        degree = starts.diff()[receivers]
        rows = torch.repeat_interleave(degree)
        first = torch.repeat_interleave(starts[receivers] - (degree.cumsum(0) - degree), degree)
        cells = first + torch.arange(len(rows), device=rows.device)
        senders, local = torch.unique(self.matrix.columns[cells].long(), return_inverse=True)
        values = self.matrix.values[cells]
        return self._of_cells(rows, local, values, len(receivers), len(senders)), senders

    def dropped(self, share: float) -> "MeanAdjacency":
        """Leave out a random share of the cells: the mean is then over the senders that are left.

        Duplicates of an edge stay or go together; a node all of whose senders go has a row of
        zeros. Chance comes from torch's global generator.
        """
        return self.keeping(torch.rand_like(self.matrix.values) >= share)

    def keeping(self, kept: Tensor) -> "MeanAdjacency":
        """Leave out all other cells than these, bool [cells] in the order of A's rows.

        The mean is then over the senders that are left; a node without any has a row of zeros.
        """
        matrix, transposed = self.matrix, self.transposed
        values = matrix.values * kept
        # a mean is over the senders of one relation: which is each column's?
        columns = torch.arange(self.num_from, device=values.device)
        relation = torch.bucketize(
            columns, torch.tensor(self.joints, dtype=torch.long, device=values.device), right=True
        )
        relations = len(self.joints) + 1
        # what is left of each row, by relation; not index_add_: on a GPU its order is chance
        total = replace(matrix, values=values).times(
            functional.one_hot(relation, relations).to(values.dtype)
        )
        group = matrix.rows() * relations + relation[matrix.columns.long()]
        values = values / total.where(total > 0, 1).flatten()[group]
        return replace(
            self,
            matrix=replace(matrix, values=values),
            transposed=replace(transposed, values=values[self.order.long()]),
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
