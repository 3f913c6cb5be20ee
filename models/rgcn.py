"""R-GCN encoder: Schlichtkrull et al. 2017, "Modeling Relational Data with Graph Convolutional
Networks", over any heterogeneous graph.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.dropout import dropout
from models.messages import Messages
from models.sparse import EdgeType, MeanAdjacency, all_within
from models.stacked import relational_mean

# One message passing into a node type: the relation, the senders' vectors, who sends to whom.
Incoming = tuple[EdgeType, Tensor, MeanAdjacency]


@dataclass(frozen=True)
class EncoderConfig:
    """What an encoder looks like.

    Attributes:
        hidden: width of every layer's output.
        layers: how many hops messages travel, 1 to 3.
        bases: number of basis matrices shared by all relations; None: a weight for each.
        blocks: number of blocks on the diagonal of each relation's weight; None: no such limit.
        dropout: share of each layer's input that is dropped in training.
        edge_dropout: share of the edges that carry nothing in a training step.
        residual: add each layer's input to its output.
        normalise: layer normalisation of each layer's output.
        messages: False: no relation carries anything. The same net, without the graph: what is
            left of eq. 2 is W_0 h_i, and a graph's worth is measured against it.
    """

    hidden: int = 64
    layers: int = 2
    bases: int | None = None
    blocks: int | None = None
    dropout: float = 0.5
    edge_dropout: float = 0.0
    residual: bool = True
    normalise: bool = True
    messages: bool = True

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, not {self.hidden}")
        if not 1 <= self.layers <= 3:
            raise ValueError(f"layers must be 1, 2 or 3, not {self.layers}")
        if self.bases is not None and self.bases < 1:
            raise ValueError(f"bases must be at least 1 or None, not {self.bases}")
        if self.blocks is not None and (self.blocks < 1 or self.hidden % self.blocks):
            raise ValueError(f"blocks must divide hidden = {self.hidden}, not {self.blocks}")
        if self.bases is not None and self.blocks is not None:
            raise ValueError("weights are decomposed into bases or into blocks, not into both")
        for name, share in (("dropout", self.dropout), ("edge_dropout", self.edge_dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, not {share}")


class RelationWeights(nn.Module):
    """The matrices W_r: free, by basis decomposition (eq. 3) or block-diagonal (eq. 4).

    Eq. 3: W_r = sum_b a_rb V_b, the V_b shared by all relations. Eq. 4: W_r = diag(Q_1r .. Q_Br).
    """

    def __init__(
        self,
        num_relations: int,
        size_in: int,
        size_out: int,
        bases: int | None = None,
        blocks: int | None = None,
    ) -> None:
        super().__init__()
        size: tuple[int, ...] = (bases or num_relations, size_in, size_out)
        if blocks:
            size = (num_relations, blocks, size_in // blocks, size_out // blocks)
        self.matrices = nn.Parameter(torch.empty(size))
        self.mixing = nn.Parameter(torch.empty(num_relations, bases)) if bases else None
        for matrix in self.matrices.flatten(0, -3):
            # a gain below 1: a node sums over many relations, and its own vector should lead
            nn.init.xavier_uniform_(matrix, gain=0.3)
        if self.mixing is not None:
            nn.init.xavier_uniform_(self.mixing)

    def forward(self) -> tuple[Tensor, ...]:
        """Return W_r of every relation: [size_in, size_out], or its blocks [B, in / B, out / B]."""
        if self.mixing is None:
            return self.matrices.unbind()
        return torch.einsum("rb,bio->rio", self.mixing, self.matrices).unbind()


def transform(h: Tensor, weight: Tensor) -> Tensor:
    """Multiply vectors h [n, size_in] by a relation's weight, whole or in blocks: [n, size_out]."""
    if weight.dim() == 2:
        return h @ weight
    parts = h.view(h.size(0), weight.size(0), weight.size(1))
    return torch.einsum("nbi,bio->nbo", parts, weight).flatten(1)


class RGCNLayer(nn.Module):
    """One layer before its activation, eq. 2.

    h_i' = W_0 h_i + b + sum over r of 1/|N_r(i)| sum over j in N_r(i) of W_r h_j

    W_0 is one for all node types, as in the paper; relations differ by their edge type.
    """

    def __init__(
        self,
        size_in: int,
        size_out: int,
        relations: Sequence[EdgeType],
        bases: int | None = None,
        blocks: int | None = None,
    ) -> None:
        super().__init__()
        self.index = {relation: i for i, relation in enumerate(relations)}
        self.weights = RelationWeights(len(relations), size_in, size_out, bases, blocks)
        self.self_loop = nn.Parameter(torch.empty(size_in, size_out))
        self.bias = nn.Parameter(torch.zeros(size_out))
        nn.init.xavier_uniform_(self.self_loop)

    def forward(
        self,
        h: Mapping[str, Tensor],
        messages: Messages,
        only: Collection[str] | None = None,
    ) -> dict[str, Tensor]:
        """Update the node types in `only` (default: all): {type: [n, size_out]}.

        Args:
            h: {node type: [n, size_in]}.
            messages: the relations that carry messages.
            only: node types whose output is wanted.
        """
        weights = self.weights()
        gathered = {t[2] for t in messages.gathering}
        heard: dict[str, list[Tensor]] = {
            t: [] for t in h if (only is None or t in only) and t not in gathered
        }
        for joined in messages.mixed_first:
            receiver = joined.relations[0][2]
            if receiver in heard:
                mixed = [transform(h[r[0]], weights[self.index[r]]) for r in joined.relations]
                heard[receiver].append(joined.adjacency.mean(torch.cat(mixed)))
        for joined in messages.averaged_first:
            if any(r[2] in heard for r in joined.relations):
                means = torch.split(
                    joined.adjacency.mean(h[joined.relations[0][0]]), list(joined.sizes)
                )
                for r, mean in zip(joined.relations, means, strict=True):
                    if r[2] in heard:
                        heard[r[2]].append(transform(mean, weights[self.index[r]]))
        for stack in messages.stacked:
            sender, _, receiver = stack.relations[0]
            if receiver in heard:
                stacked = torch.stack([weights[self.index[r]] for r in stack.relations])
                heard[receiver].append(relational_mean(h[sender], stack, stacked))
        return {t: self._with_self(h[t], parts) for t, parts in heard.items()}

    def _with_self(self, own: Tensor, parts: Sequence[Tensor]) -> Tensor:
        """Sum up what nodes with vectors `own` [n, size_in] heard, their own part and the bias."""
        if not parts:
            return torch.addmm(self.bias, own, self.self_loop)
        # in place: the sum is as large as all songs' vectors, and nobody else needs it
        return torch.addmm(sum(parts[1:], parts[0]), own, self.self_loop).add_(self.bias)

    def update(self, own: Tensor, incoming: Iterable[Incoming]) -> Tensor:
        """Apply eq. 2 to nodes with vectors `own` [n, size_in] and what they receive."""
        weights = self.weights()
        return self._with_self(
            own,
            [
                transform(adjacency.mean(senders), weights[self.index[edge_type]])
                for edge_type, senders, adjacency in incoming
            ],
        )


class NodeInputs(nn.Module):
    """h^0 of every node: projected features where a type has them, else a learned vector.

    There is a projection per group of columns, and they are summed: x P = sum_g x_g P_g. Types
    with features share the projections, so a centroid and the songs around it start out alike.
    """

    def __init__(
        self,
        features: Mapping[str, int],
        learned: Mapping[str, int],
        groups: Mapping[str, tuple[int, int]],
        hidden: int,
    ) -> None:
        super().__init__()
        columns = max(features.values(), default=0)
        self.projection = nn.Parameter(torch.zeros(columns, hidden))
        self.type_bias = nn.ParameterDict({t: torch.zeros(hidden) for t in features})
        self.learned = nn.ParameterDict({t: torch.empty(n, hidden) for t, n in learned.items()})
        for start, stop in groups.values():
            # every family speaks equally loud, however many columns it has
            nn.init.normal_(
                self.projection.data[start:stop], std=((stop - start) * len(groups)) ** -0.5
            )
        for table in self.learned.values():
            # not Xavier: for a tall table its values are so small that training stands still
            nn.init.normal_(table, std=0.1)

    def project(self, node_type: str, x: Tensor) -> Tensor:
        """Project features x [n, d] of a node type: [n, hidden]."""
        return torch.addmm(self.type_bias[node_type], x, self.projection)

    def forward(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return h^0 of all node types from the features {type: [n, d]} of those that have them."""
        return {t: self.project(t, x[t]) for t in self.type_bias} | dict(self.learned.items())


class RGCNEncoder(nn.Module):
    """Node inputs, then layers of eq. 2; ReLU between the layers, none after the last.

    Args:
        features: {node type: number of feature columns d}, the same d for all.
        learned: {node type: number of nodes} of the types without features.
        relations: all edge types that may carry messages.
        groups: {family: (start, stop)} of the feature columns, covering all of them.
        config: sizes and options.

    Raises:
        ValueError: the columns differ between types or the groups don't cover them.
    """

    def __init__(
        self,
        features: Mapping[str, int],
        learned: Mapping[str, int],
        relations: Sequence[EdgeType],
        groups: Mapping[str, tuple[int, int]],
        config: EncoderConfig,
    ) -> None:
        super().__init__()
        if len(set(features.values())) > 1:
            raise ValueError(f"node types must share their feature columns, not {dict(features)}")
        columns = max(features.values(), default=0)
        covered = [c for start, stop in groups.values() for c in range(start, stop)]
        if sorted(covered) != list(range(columns)):
            raise ValueError(
                f"groups must cover each of the {columns} columns once: {dict(groups)}"
            )
        self.config = config
        self.relations = frozenset(relations)
        self.inputs = NodeInputs(features, learned, groups, config.hidden)
        self.layers = nn.ModuleList(
            RGCNLayer(config.hidden, config.hidden, relations, config.bases, config.blocks)
            for _ in range(config.layers)
        )
        self.norms = nn.ModuleList(
            nn.LayerNorm(config.hidden) if config.normalise else nn.Identity()
            for _ in range(config.layers)
        )

    def forward(
        self,
        x: Mapping[str, Tensor],
        messages: Messages,
        only: Collection[str] | None = None,
    ) -> list[dict[str, Tensor]]:
        """Return the outputs of every layer: h^0, h^1, ..., h^L.

        Args:
            x: {node type: [n, d]}, standardised.
            messages: the relations that carry messages; one that is absent carries none.
            only: node types wanted from the last layer (default: all).

        Returns:
            L + 1 dicts {node type: [n, hidden]}; the last holds the embeddings. Nodes that are the
            means of others are so in each.
        """
        if not self.config.messages:
            messages = Messages()
        if self.training and self.config.edge_dropout:
            messages = messages.dropped(self.config.edge_dropout)
        outputs = [_with_gathered(self.inputs(x), messages)]
        for depth, layer in enumerate(self.layers):
            last = depth == len(self.layers) - 1
            h = {t: self._dropped(v) for t, v in outputs[-1].items()}
            out = layer(h, messages, only if last else None)
            finished = {t: self._finished(depth, v, outputs[-1][t]) for t, v in out.items()}
            outputs.append(_with_gathered(finished, messages))
        return outputs

    def embed_new(
        self,
        node_type: str,
        x: Tensor,
        neighbours: Mapping[EdgeType, Tensor],
        kept: Sequence[Mapping[str, Tensor]],
    ) -> Tensor:
        """Embed nodes the graph doesn't hold, from their neighbours' kept layer outputs.

        Equal to encoding a graph in which the new nodes exist and only receive messages; the
        cost depends on their degree, not on the graph.

        Args:
            node_type: what the new nodes are; a type with features.
            x: [m, d] features of the new nodes.
            neighbours: {edge type that ends in `node_type`: [2, e]}, row 0 the existing
                senders' numbers, row 1 the new receivers' (0..m-1).
            kept: the outputs of every layer, as `forward` returns them.

        Returns:
            [m, hidden] embeddings.

        Raises:
            ValueError: the node type has no features, or an edge type is unknown, ends
                elsewhere or names a node that isn't there.
        """
        if node_type not in self.inputs.type_bias:
            raise ValueError(f"a new {node_type} can't be embedded: its type has no features")
        senders: dict[EdgeType, Tensor] = {}
        adjacency: dict[EdgeType, MeanAdjacency] = {}
        for edge_type, edges in neighbours.items():
            if edge_type not in self.relations or edge_type[2] != node_type:
                raise ValueError(f"a new {node_type} can't receive messages by {edge_type}")
            count = kept[0][edge_type[0]].size(0)
            if not all_within(edges[0], count):
                raise ValueError(f"{edge_type} names a neighbour outside 0..{count - 1}")
            senders[edge_type], local = torch.unique(edges[0], return_inverse=True)
            adjacency[edge_type] = MeanAdjacency.from_edges(
                torch.stack([local, edges[1]]), senders[edge_type].numel(), x.size(0), x.dtype
            )

        h: Tensor = self.inputs.project(node_type, x)
        for depth, layer in enumerate(cast("Iterable[RGCNLayer]", self.layers)):
            incoming = (
                (edge_type, kept[depth][edge_type[0]][senders[edge_type]], matrix)
                for edge_type, matrix in adjacency.items()
                if self.config.messages
            )
            h = self._finished(depth, layer.update(self._dropped(h), incoming), h)
        return h

    def _dropped(self, h: Tensor) -> Tensor:
        return dropout(h, self.config.dropout, self.training)

    def _finished(self, depth: int, out: Tensor, before: Tensor) -> Tensor:
        out = self.norms[depth](out)
        if depth < len(self.layers) - 1:
            out = F.relu(out)
        return out + before if self.config.residual else out


def _with_gathered(h: dict[str, Tensor], messages: Messages) -> dict[str, Tensor]:
    """Add the nodes that are the means of others, h_a = 1/|S(a)| sum over j in S(a) of h_j.


    What such a node tells its senders in the next layer it has heard from them in this one: both
    steps of a hyperedge in one layer, as in Huang & Yang 2021 ("UniGNN", eq. 4). Two layers so
    reach the genres of an artist's other songs, for which messages by eq. 2 would need three.
    """
    found = {t[2]: m.mean(h[t[0]]) for t, m in messages.gathering.items() if t[0] in h}
    return h | found
