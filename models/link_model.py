"""Encoder and decoder as one model: what is trained, saved and asked."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models.distmult import DistMult
from models.kinship import joined
from models.pyg import HeteroData
from models.rgcn import EncoderConfig, RGCNEncoder
from models.sparse import EdgeType, MeanAdjacency


def reverse_of(edge_type: EdgeType) -> EdgeType:
    """Name the twin that carries messages the other way, as PyG's `ToUndirected` does."""
    head, relation, tail = edge_type
    return (tail, f"rev_{relation}", head)


@dataclass(frozen=True)
class GraphShape:
    """What a model must know of a graph before it sees one; a graph of another shape is refused.

    Attributes:
        target: the edge type that is predicted.
        relations: all edge types that may carry messages, in the order of their weights.
        features: {node type: feature columns} of the types with `x`.
        learned: {node type: number of nodes} of the types without that learn a vector for each.
        groups: {family: (start, stop)} of the feature columns.
        multi_label: some head of the training split has more than one target edge.
        silent: edge types that a graph may have and that carry nothing.
        gathering: edge types into the types that are neither: such a node is the mean of those who
            send to it, so that a graph may have any number of them.
    """

    target: EdgeType
    relations: tuple[EdgeType, ...]
    features: Mapping[str, int]
    learned: Mapping[str, int]
    groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    multi_label: bool = False
    silent: tuple[EdgeType, ...] = ()
    gathering: tuple[EdgeType, ...] = ()

    @classmethod
    def of(
        cls,
        data: HeteroData,
        target: EdgeType,
        groups: Mapping[str, tuple[int, int]] | None = None,
        silent: Collection[EdgeType] = (),
        gathered: Collection[str] = (),
    ) -> "GraphShape":
        """Read the shape off a graph. Without `groups` all columns are one family.

        Raises:
            ValueError: the graph has no target edges, or a type is gathered by several edge types.
        """
        if target not in data.edge_types or data[target].num_edges == 0:
            raise ValueError(f"the graph has no {target} edges to learn from")
        features = {t: int(data[t].x.size(1)) for t in data.node_types if "x" in data[t]}
        columns = max(features.values(), default=0)
        heads = torch.unique(data[target].edge_index, dim=1)[0]
        if "train_mask" in data[target[0]]:
            # what held-out heads look like must not choose the loss
            heads = heads[data[target[0]].train_mask.to(heads.device)[heads]]
        carrying = {tuple(t) for t in data.edge_types} - set(silent) | {reverse_of(target)}
        gathering = {t for t in carrying if t[2] in gathered}
        receivers = [receiver for _, _, receiver in sorted(gathering)]
        if twice := sorted({each for each in receivers if receivers.count(each) > 1}):
            raise ValueError(f"{twice[0]} is gathered by several edge types: {sorted(gathering)}")
        own = {*features, *gathered}
        return cls(
            target=target,
            relations=tuple(sorted(carrying - gathering)),
            features=features,
            learned={t: int(data[t].num_nodes) for t in data.node_types if t not in own},
            groups=dict(groups or ({"x": (0, columns)} if columns else {})),
            multi_label=bool(heads.numel() > torch.unique(heads).numel()),
            silent=tuple(sorted(silent)),
            gathering=tuple(sorted(gathering)),
        )

    @property
    def gathered(self) -> frozenset[str]:
        """The node types that are the means of others."""
        return frozenset(receiver for _, _, receiver in self.gathering)

    def check(self, data: HeteroData) -> None:
        """Refuse a graph that doesn't fit.

        Raises:
            ValueError: other columns, another number of learned nodes, an unknown relation, or
                a feature that isn't a finite number.
        """
        for node_type, columns in self.features.items():
            x = data[node_type].x if "x" in data[node_type] else None
            if x is None or x.size(1) != columns:
                found = "none" if x is None else x.size(1)
                raise ValueError(
                    f"the model takes {columns} columns of {node_type}, the graph has {found}"
                )
            if not bool(torch.isfinite(x).all()):
                bad = (~torch.isfinite(x).all(dim=1)).nonzero().flatten()
                raise ValueError(
                    f"{bad.numel()} of {node_type} have a feature that is not a finite number "
                    f"(the first is number {int(bad[0])})"
                )
        for node_type, count in self.learned.items():
            if data[node_type].num_nodes != count:
                raise ValueError(
                    f"the model knows {count} of {node_type}, the graph has "
                    f"{data[node_type].num_nodes}"
                )
        known = {*self.relations, *self.silent, *self.gathering}
        unknown = {tuple(t) for t in data.edge_types} - known
        if unknown:
            raise ValueError(f"the model was not trained with the relations {sorted(unknown)}")


class LinkModel(nn.Module):
    """R-GCN encoder and DistMult decoder over graphs of one shape.

    The decoder has one relation, the target, at number 0. Heads that are linked to each other can
    be scored by a mixture of their own embedding and their neighbours', which no weight is trained
    for: z_i' = (1 - s) z_i + s mean of z_j over the neighbours j. `smoothing` holds s.

    Heads that hang on nodes that are the means of others (`shape.gathering`) are told by the known
    answers of these as well (`models.kinship`): what they say is added to the scores, `kinship`
    times. `concentration` holds how alike the heads of a node are, by type in alphabetical order.
    """

    def __init__(self, shape: GraphShape, config: EncoderConfig) -> None:
        super().__init__()
        self.shape = shape
        self.config = config
        self.encoder = RGCNEncoder(
            shape.features, shape.learned, shape.relations, shape.groups, config
        )
        self.decoder = DistMult(1, config.hidden)
        self.smoothing: Tensor
        # a buffer, so that it is kept wherever the weights are
        self.register_buffer("smoothing", torch.zeros(()))
        self.kinship: Tensor
        self.register_buffer("kinship", torch.zeros(()))
        self.concentration: Tensor
        self.register_buffer("concentration", torch.ones(len(shape.gathered)))

    def score_all(
        self,
        h: Mapping[str, Tensor],
        heads: Tensor | None = None,
        peers: MeanAdjacency | None = None,
        evidence: Iterable[tuple[Tensor, Tensor]] = (),
    ) -> Tensor:
        """Score heads (numbers [b]; default: all) against every tail: [b, n_tail].

        Args:
            h: the last layer's output.
            heads: which nodes of the target's head type.
            peers: who is averaged over; None: nobody, each head is scored by its own embedding.
            evidence: what the nodes say that heads hang on: places among the heads that are
                scored, and what is said of these, from `MessageGraph.evidence`.
        """
        head_type, _, tail_type = self.shape.target
        z = h[head_type]
        if peers is not None and float(self.smoothing) > 0:
            z = self._smoothed(z, peers.mean(z), peers)
        z = z if heads is None else z[heads]
        scores: Tensor = self.decoder(z, 0, h[tail_type])
        for places, said in evidence:
            scores[places] += self.kinship * said
        return scores

    @torch.no_grad()
    def score_new(
        self,
        x: Tensor,
        neighbours: Mapping[EdgeType, Tensor],
        layers: Sequence[Mapping[str, Tensor]],
        said: Tensor | None = None,
    ) -> Tensor:
        """Score heads the graph doesn't hold, from their neighbours' kept layer outputs.

        Args:
            x: [m, d] their standardised features.
            neighbours: {edge type that ends in the head type: [2, e]}, see
                `RGCNEncoder.embed_new`.
            layers: kept layer outputs, from `training.layer_outputs`.
            said: [m, n_tail] what the nodes say that they hang on (default: `kinship.joined`).

        Returns:
            [m, n_tail] scores.

        Raises:
            ValueError: the neighbours don't fit the graph the outputs were kept of.
        """
        self.eval()
        head_type, _, tail_type = self.shape.target
        neighbours = {t: e for t, e in neighbours.items() if t not in self.shape.silent}
        z = self.encoder.embed_new(head_type, x, neighbours, layers)
        links = [e for (head, _, tail), e in neighbours.items() if head == tail == head_type]
        if links and self.config.messages and float(self.smoothing) > 0:
            edges = torch.cat(links, dim=1)
            # only the neighbours' rows: the cost must not depend on how many heads there are
            senders, local = torch.unique(edges[0], return_inverse=True)
            near = layers[-1][head_type][senders]
            peers = MeanAdjacency.from_edges(
                torch.stack([local, edges[1]]), near.size(0), z.size(0), z.dtype
            )
            z = self._smoothed(z, peers.mean(near), peers)
        scores: Tensor = self.decoder(z, 0, layers[-1][tail_type])
        if said is None:
            said = joined(
                {
                    kind: (
                        layers[-1][kind][senders],
                        MeanAdjacency.from_edges(ends, len(senders), len(z)),
                    )
                    for (kind, _, _), edges in neighbours.items()
                    if kind in self.shape.gathered
                    for senders, local in [torch.unique(edges[0], return_inverse=True)]
                    for ends in [torch.stack([local, edges[1]])]
                }
            )
        return scores if said is None else scores + self.kinship * said

    def concentrations(self) -> dict[str, float]:
        """How alike the heads of a node are, by its type."""
        return dict(zip(sorted(self.shape.gathered), self.concentration.tolist(), strict=True))

    def _smoothed(self, z: Tensor, near: Tensor, peers: MeanAdjacency) -> Tensor:
        """Mix embeddings z [n, d] with their peers' mean [n, d]; who has no peer stays as it is."""
        has_peers = (peers.matrix.starts.diff() > 0)[:, None]
        return torch.where(has_peers, torch.lerp(z, near, self.smoothing), z)
