"""Compiled loops over a graph of many relations whose weights are block-diagonal.

A vector of B blocks of i values is laid out [i, B] here, so that the innermost loop runs over the
blocks, side by side in memory. Arrays are contiguous: float32, or int32 where they number things.
Numba is imported with this module: nothing but `models.stacked` imports it, and only when needed.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

# "contract" lets a product and a sum be one instruction; it reorders nothing
_compiled: Any = njit(nogil=True, cache=True, fastmath={"contract"})


@_compiled  # type: ignore[untyped-decorator]
def forward(
    h: Floats,
    weights: Floats,
    starts: Ints,
    senders: Ints,
    values: Floats,
    node_starts: Ints,
    groups: Ints,
    relation: Ints,
    out: Floats,
    first: int,
    last: int,
) -> None:
    """Write rows first..last-1 of out: what those receivers get.

    Args:
        h: [n_from, i * B], the senders' vectors.
        weights: [R, i, o, B].
        starts: [groups + 1], where each group's cells begin.
        senders: [cells].
        values: [cells], the weight of each sender in its group's mean.
        node_starts: [n_to + 1], where each receiver's entries in `groups` begin.
        groups: [groups], the groups of each receiver.
        relation: [groups], the relation of each group.
        out: [n_to, o * B].
        first: the first receiver.
        last: the receiver after the last.
    """
    width, blocks = h.shape[1], weights.shape[3]
    mean = np.empty(width, np.float32)
    for node in range(first, last):
        row = out[node]
        row[:] = 0
        for position in range(node_starts[node], node_starts[node + 1]):
            group = groups[position]
            mean[:] = 0
            for cell in range(starts[group], starts[group + 1]):
                value, sender = values[cell], h[senders[cell]]
                for k in range(width):
                    mean[k] += value * sender[k]
            matrix = weights[relation[group]]
            for i in range(matrix.shape[0]):
                part = mean[i * blocks : (i + 1) * blocks]
                for o in range(matrix.shape[1]):
                    target, line = row[o * blocks : (o + 1) * blocks], matrix[i, o]
                    for b in range(blocks):
                        target[b] += part[b] * line[b]


@_compiled  # type: ignore[untyped-decorator]
def backward(
    grad_out: Floats,
    h: Floats,
    weights: Floats,
    starts: Ints,
    groups: Ints,
    values: Floats,
    receiver: Ints,
    relation: Ints,
    grad_h: Floats,
    grad_weights: Floats,
    first: int,
    last: int,
) -> None:
    """Write rows first..last-1 of grad_h; add what those senders give to grad_weights.

    Args:
        grad_out: [n_to, o * B], the gradient of the output.
        h: [n_from, i * B], the senders' vectors.
        weights: [R, i, o, B].
        starts: [n_from + 1], where each sender's cells begin.
        groups: [cells], the groups each sender is in, ascending: those of a relation are adjacent.
        values: [cells], the sender's weight in the group's mean.
        receiver: [groups].
        relation: [groups].
        grad_h: [n_from, i * B].
        grad_weights: [R, i, o, B].
        first: the first sender.
        last: the sender after the last.
    """
    width, blocks = grad_out.shape[1], weights.shape[3]
    total = np.empty(width, np.float32)
    for node in range(first, last):
        row, own = grad_h[node], h[node]
        row[:] = 0
        cell, end = starts[node], starts[node + 1]
        while cell < end:
            current = relation[groups[cell]]
            total[:] = 0
            # what comes back by one relation is summed before it meets the relation's weight
            while cell < end and relation[groups[cell]] == current:
                value, back = values[cell], grad_out[receiver[groups[cell]]]
                for k in range(width):
                    total[k] += value * back[k]
                cell += 1
            matrix, grad_matrix = weights[current], grad_weights[current]
            for i in range(matrix.shape[0]):
                part = own[i * blocks : (i + 1) * blocks]
                target = row[i * blocks : (i + 1) * blocks]
                for o in range(matrix.shape[1]):
                    back = total[o * blocks : (o + 1) * blocks]
                    line, grad_line = matrix[i, o], grad_matrix[i, o]
                    for b in range(blocks):
                        target[b] += back[b] * line[b]
                        grad_line[b] += part[b] * back[b]
