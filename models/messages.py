"""Who sends to whom in a step of message passing, relations joined into few products.

A song hears through a dozen relations. A product for each goes a dozen times over all songs, which
costs more than the edges do, so relations are joined: those from few nodes into many side by side,
[A_1 | A_2 | ...] times the mixed vectors of all their senders; those from many nodes into few below
one another, and their means are mixed afterwards. Either way it is the smaller side that is
multiplied by a relation's weight: (A h) W = A (h W).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from models.sparse import EdgeType, MeanAdjacency
from models.stacked import StackedRelations


@dataclass(frozen=True)
class Joined:
    """Relations that are averaged by one product.

    Attributes:
        relations: they share their receivers' type (side by side) or their senders' (below).
        adjacency: their matrices, joined.
        sizes: how many columns, or rows, of it each has.
    """

    relations: tuple[EdgeType, ...]
    adjacency: MeanAdjacency
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Messages:
    """All relations of a graph that carry messages.

    Attributes:
        mixed_first: relations from no more nodes than they lead to, joined by receiver.
        averaged_first: relations from more nodes than they lead to, joined by sender.
        stacked: relations that are too many to go through one by one.
        gathering: who the nodes are that are the means of others.
    """

    mixed_first: tuple[Joined, ...] = ()
    averaged_first: tuple[Joined, ...] = ()
    stacked: tuple[StackedRelations, ...] = ()
    gathering: Mapping[EdgeType, MeanAdjacency] = field(default_factory=dict)

    @classmethod
    def of(cls, adjacency: Mapping[EdgeType, MeanAdjacency]) -> "Messages":
        """Join the relations of a graph; one without edges carries nothing."""
        mixed: dict[str, dict[EdgeType, MeanAdjacency]] = defaultdict(dict)
        averaged: dict[str, dict[EdgeType, MeanAdjacency]] = defaultdict(dict)
        for edge_type, matrix in adjacency.items():
            if not matrix.num_edges:
                continue
            if matrix.num_from <= matrix.num_to:
                mixed[edge_type[2]][edge_type] = matrix
            else:
                averaged[edge_type[0]][edge_type] = matrix
        return cls(
            tuple(
                Joined(
                    tuple(group),
                    MeanAdjacency.side_by_side(list(group.values())),
                    tuple(matrix.num_from for matrix in group.values()),
                )
                for group in mixed.values()
            ),
            tuple(
                Joined(
                    tuple(group),
                    MeanAdjacency.below(list(group.values())),
                    tuple(matrix.num_to for matrix in group.values()),
                )
                for group in averaged.values()
            ),
        )

    def __add__(self, other: "Messages") -> "Messages":
        """Both: what one carries and what the other does."""
        return Messages(
            self.mixed_first + other.mixed_first,
            self.averaged_first + other.averaged_first,
            self.stacked + other.stacked,
            {**self.gathering, **other.gathering},
        )

    def dropped(self, share: float) -> "Messages":
        """Leave out a random share of the edges, see `MeanAdjacency.dropped`."""
        mixed, averaged = (
            tuple(replace(j, adjacency=j.adjacency.dropped(share)) for j in joined)
            for joined in (self.mixed_first, self.averaged_first)
        )
        stacked = tuple(stack.dropped(share) for stack in self.stacked)
        return Messages(mixed, averaged, stacked, self.gathering)
