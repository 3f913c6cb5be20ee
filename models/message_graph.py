"""A graph ready for message passing, in which no head hears of its own answer."""

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor

from models.echoes import only_senders, without_echoes
from models.kinship import Kin, in_blocks, joined
from models.link_model import reverse_of
from models.messages import Messages
from models.pyg import HeteroData
from models.sparse import EdgeType, MeanAdjacency


class MessageGraph:
    """A graph ready for message passing: fixed relations built once, the target's on demand.

    A node that is the mean of one head alone tells it nothing (`models.echoes`).

    Args:
        data: the graph.
        target: the edge type that is predicted.
        device: where its tensors go.
        silent: edge types that are left out.
        gathering: edge types whose receivers are the means of their senders.

    Raises:
        ValueError: no train mask, or no training head has a target edge.
    """

    def __init__(
        self,
        data: HeteroData,
        target: EdgeType,
        device: torch.device | str = "cpu",
        *,
        silent: Collection[EdgeType] = (),
        gathering: Collection[EdgeType] = (),
    ) -> None:
        self.target = target
        self.count = {t: int(data[t].num_nodes) for t in data.node_types}
        self.x = {t: data[t].x.to(device) for t in data.node_types if "x" in data[t]}
        edges = {
            tuple(t): data[t].edge_index.to(device)
            for t in data.edge_types
            if tuple(t) not in {target, reverse_of(target), *silent}
        }
        gathered = {t[2] for t in gathering}
        for gathers in (t for t in gathering if t in edges and t[0] == target[0]):
            only = only_senders(edges[gathers], self.count[gathers[2]])
            for t in edges:
                if (t[0], t[2]) == (gathers[2], target[0]):
                    edges[t] = without_echoes(edges[t], only)
        fixed = {t: self._matrix(t, pairs) for t, pairs in edges.items()}
        # apart, as heads may be deaf to them
        self._from_gathered = {
            t: fixed.pop(t) for t in list(fixed) if t[0] in gathered and t[2] == target[0]
        }
        whole = {t: fixed.pop(t) for t in gathering if t in fixed}
        self._fixed = Messages.of(fixed) + Messages(gathering=whole)
        self._peer_edges = [
            data[t].edge_index.to(device) for t in fixed if t[0] == t[2] == target[0]
        ]
        # both directions come from this one list, so hiding an edge hides its twin
        self.edges = torch.unique(data[target].edge_index.to(device), dim=1)
        if "train_mask" not in data[target[0]]:
            raise ValueError(f"{target[0]} has no train_mask")
        self.is_train: Tensor = data[target[0]].train_mask.to(device)
        self.train_edges = self.edges[:, self.is_train[self.edges[0]]]
        if self.train_edges.size(1) == 0:
            raise ValueError(f"no {target[0]} of the training split has a {target} edge")

        self.kin = Kin.of(
            {t: data[t].edge_index.to(device) for t in whole},
            self.count,
            self.train_edges,
            target,
            multi_label=bool((torch.bincount(self.train_edges[0]) > 1).any()),
        )
        twin = reverse_of(target)
        self._target = {
            target: self._matrix(target, self.train_edges),
            twin: self._matrix(twin, self.train_edges.flip(0)),
        }

    @cached_property
    def peers(self) -> MeanAdjacency | None:
        """Who is linked to which head among the heads themselves, by any relation, either way."""
        if not self._peer_edges:
            return None
        return self._matrix(
            (self.target[0], "peers", self.target[0]), torch.cat(self._peer_edges, dim=1)
        )

    def evidence(
        self, concentration: Mapping[str, float], heads: Tensor, hidden: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What is said of heads by the nodes they hang on, some heads at a time.

        Args:
            concentration: how alike the heads of a node are, by its type.
            heads: whom it is asked of, [b].
            hidden: bool [n_head], heads whose answers nobody knows (default: none).

        Yields:
            Places in `heads` [c], and what is said of these, [c, n_tail]; nothing where heads hang
            on no such nodes.
        """
        said = self.kin.evidence(concentration, hidden)
        hangs = {t[0]: matrix for t, matrix in self._from_gathered.items() if t[0] in said}
        for places in in_blocks(torch.arange(len(heads), device=heads.device), self.kin.tails):
            asked = {kind: matrix.into(heads[places]) for kind, matrix in hangs.items()}
            found = joined(
                {kind: (said[kind].of(nodes), own) for kind, (own, nodes) in asked.items()}
            )
            if found is not None:
                yield places, found

    def heads(self, mask: Tensor) -> Tensor:
        """Heads in a mask [n_head] that have a target edge: their numbers, ascending."""
        heads: Tensor = torch.unique(self.edges[0])
        return heads[mask.to(heads.device)[heads]]

    @property
    def has_gathered(self) -> bool:
        """Whether heads hear from nodes that are the means of others."""
        return bool(self._from_gathered)

    def messages(self, hidden: Tensor | None = None, deaf: Tensor | None = None) -> Messages:
        """All relations; of the target's edges those of training heads that aren't hidden.

        Args:
            hidden: bool [n_head], heads whose target edges carry nothing (default: none).
            deaf: bool [n_head], heads that hear nothing of nodes that are the means of others
                (default: none).
        """
        gathered = self._from_gathered
        if deaf is not None:
            gathered = {t: m.keeping(~deaf[m.matrix.rows()]) for t, m in gathered.items()}
        target, twin = self._target.values()
        if hidden is not None:
            target = target.keeping(~hidden[target.matrix.columns])
            twin = twin.keeping(~hidden[twin.matrix.rows()])
        carrying = dict(zip(self._target, (target, twin), strict=True))
        return self._fixed + Messages.of({**gathered, **carrying})

    def _matrix(self, edge_type: EdgeType, edges: Tensor) -> MeanAdjacency:
        return MeanAdjacency.from_edges(edges, self.count[edge_type[0]], self.count[edge_type[2]])
