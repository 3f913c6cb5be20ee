"""Links told from the subgraphs around them.

Zhang and Chen 2018, Link prediction based on graph neural networks (SEAL): whether head x has
class y is read off the enclosing subgraph of (x, y) by DGCNN (Zhang, Cui, Neumann, Chen 2018, An
end-to-end deep learning architecture for graph classification). With A the subgraph's edges and Z^0
the nodes' DRNL labels (one-hot) beside their features,

    Z^(t+1) = tanh(D^-1 (A + I) Z^t W^t),    t = 0..3, the last of one channel

nodes are sorted by that channel, the first k of them, all channels side by side, are read by two
1-D convolutions and two dense layers (SortPooling). See `seal_subgraphs` for subgraphs and labels.

Training pairs are the true ones and so many false ones for each, injected among them as negative
links. What the paper calls negative injection, false links put into the graph before node
embeddings are learned on it, has nothing to do here: no embeddings are learned on the graph, and
features know nothing of the classes.

What differs: features go through a linear layer first, a node's kind (head, class, other) is among
them, and pairs weigh so that all true ones together weigh as all false ones, rare classes more.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.baselines.fitting import Epochs, Labels, OnEpoch, Schedule, count_parameters
from models.baselines.joined import JoinedGraph, threads_for
from models.baselines.seal_subgraphs import Extractor, Subgraphs
from models.devices import pick_device
from models.pyg import HeteroData
from models.sparse import EdgeType

_KINDS = 3
# Widths of the convolutions over sorted nodes, and the second one's reach, as in the paper.
_FIRST, _SECOND, _REACH = 16, 32, 5


@dataclass(frozen=True)
class SEALConfig:
    """How it looks and how it is trained.

    Attributes:
        epochs: the most epochs, where validation rows choose one.
        patience: stop after so many epochs without a better one.
        epochs_unvalidated: exactly how many, where too few rows could choose.
        neighbours: how many each node brings into a subgraph at most; one number a hop.
        negatives: false classes for each true one, at most.
        pairs: training pairs at most, picked at random; their subgraphs are kept in memory.
        labels: DRNL labels from this one on are taken for one.
        features: width that features are projected to.
        hidden: channels of the graph convolutions.
        layers: of them, beside the last one of one channel.
        sorted_nodes: k.
        dense: width of the dense layer.
        dropout: share of its values dropped while training.
        learning_rate: of Adam.
        weight_decay: of AdamW.
        batch: pairs that are computed at once.
    """

    epochs: int = 40
    patience: int = 10
    epochs_unvalidated: int = 20
    neighbours: tuple[int, ...] = (20,)
    negatives: int = 9
    pairs: int = 20_000
    labels: int = 16
    features: int = 16
    hidden: int = 32
    layers: int = 3
    sorted_nodes: int = 30
    dense: int = 64
    dropout: float = 0.5
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    batch: int = 128

    def __post_init__(self) -> None:
        _ = self.schedule
        if not self.neighbours or min(self.neighbours) < 1:
            raise ValueError(
                f"neighbours must be one number a hop, at least 1, not {self.neighbours}"
            )
        least = {"sorted_nodes": 2 * _REACH, "pairs": 2, "labels": 2}
        for name in ("negatives", "features", "hidden", "layers", "dense", "batch", *least):
            if getattr(self, name) < least.get(name, 1):
                raise ValueError(
                    f"{name} must be at least {least.get(name, 1)}, not {getattr(self, name)}"
                )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, not {self.dropout}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must be at least 0, not {self.weight_decay}")

    @property
    def schedule(self) -> Schedule:
        """How long it is trained."""
        return Schedule(self.epochs, self.patience, self.epochs_unvalidated)


class DGCNN(nn.Module):
    """Scores subgraphs: [b].

    Args:
        graph: whose nodes they are of.
        config: how the net looks.
    """

    def __init__(self, graph: JoinedGraph, config: SEALConfig) -> None:
        super().__init__()
        self._heads, self._classes = graph.heads, graph.classes
        self._labels, self._k = config.labels, config.sorted_nodes
        self.register_buffer("x", graph.x, persistent=False)
        self.x: Tensor | None
        width = config.labels + _KINDS
        self.project = None
        if graph.x is not None:
            self.project = nn.Linear(graph.x.size(1), config.features, bias=False)
            width += config.features
        widths = [width, *[config.hidden] * config.layers, 1]
        self.convolutions = nn.ModuleList(
            nn.Linear(before, after) for before, after in pairwise(widths)
        )
        channels = sum(widths[1:])
        # the paper's first convolution reads one node at a time: a linear layer, computed faster
        self.first = nn.Linear(channels, _FIRST)
        self.second = nn.Conv1d(_FIRST, _SECOND, _REACH)
        self.dense = nn.Linear(_SECOND * (self._k // 2 - _REACH + 1), config.dense)
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Linear(config.dense, 1)

    def forward(self, of: Subgraphs) -> Tensor:
        """Score subgraphs."""
        there = of.nodes >= 0
        z = self._information(of, there)
        links = of.links.to(z.dtype) + torch.eye(of.links.size(1), device=z.device)
        mean = links / links.sum(dim=2, keepdim=True)
        layers = []
        for convolution in self.convolutions:
            z = torch.tanh(mean @ convolution(z))
            layers.append(z)
        channels = torch.cat(layers, dim=2)
        # gaps come last and are zeros, as with PyG's SortAggregation
        order = (
            channels[:, :, -1]
            .masked_fill(~there, -2.0)
            .argsort(dim=1, descending=True, stable=True)
        )
        channels = channels * there[:, :, None]
        order = order[:, : self._k, None].expand(-1, -1, channels.size(2))
        first = channels.gather(1, order)
        first = F.pad(first, (0, 0, 0, self._k - first.size(1)))
        read = torch.relu(self.first(first)).transpose(1, 2)
        read = torch.relu(self.second(F.max_pool1d(read, 2)))
        dense = self.dropout(torch.relu(self.dense(read.flatten(1))))
        return cast(Tensor, self.last(dense)).squeeze(1)

    def _information(self, of: Subgraphs, there: Tensor) -> Tensor:
        """The node information matrix: [b, k, width]."""
        labels = F.one_hot(of.labels.long().clamp(max=self._labels - 1), self._labels)
        kind = (of.nodes >= self._heads).int() + (of.nodes >= self._heads + self._classes).int()
        parts = [labels.float(), F.one_hot(kind.long(), _KINDS).float()]
        if self.project is not None and self.x is not None:
            parts.append(self.project(self.x[of.nodes.clamp(min=0)]))
        return torch.cat(parts, dim=2) * there[:, :, None]


class SEAL:
    """A trained SEAL.

    Attributes:
        parameters: trained numbers.
        epochs: how many were run.
        best_epoch: the one that was kept.
    """

    def __init__(self, net: DGCNN, extractor: Extractor, batch: int) -> None:
        self.parameters = count_parameters(net)
        self.epochs = self.best_epoch = 0
        self._net, self._extractor, self._batch = net, extractor, batch

    @torch.no_grad()
    def scores(self, rows: Tensor) -> Tensor:
        """Score rows int64 [b] against every class: float32 [b, c].

        Training heads are scored without their own class, as all others are.
        """
        classes, device = self._net._classes, next(self._net.parameters()).device
        heads = rows.cpu().repeat_interleave(classes)
        each = torch.arange(classes).repeat(rows.numel())
        found = [
            self._net(self._extractor.cut(some, one).to(device)).cpu()
            for some, one in zip(
                torch.split(heads, self._batch), torch.split(each, self._batch), strict=True
            )
        ]
        return torch.cat(found).view(rows.numel(), classes)


def fit(
    data: HeteroData,
    target: EdgeType,
    labels: Labels,
    *,
    config: SEALConfig | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_epoch: OnEpoch | None = None,
) -> SEAL:
    """Train on the pairs of training heads; of the target's edges only theirs are there.

    Same arguments, same numbers; torch's global source of chance is left as it was.

    Args:
        data: the graph.
        target: (head type, relation, tail type).
        labels: of the heads.
        config: how it looks and is trained.
        seed: of all chance.
        device: where it is trained.
        on_epoch: see `Epochs`.

    Raises:
        ValueError: the labels aren't those of the graph.
        DeviceError: there is no such device.
    """
    config = config or SEALConfig()
    device = pick_device(device)
    graph = JoinedGraph.of(data, target, labels)
    forked = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(forked), threads_for(graph):
        torch.manual_seed(seed)
        return _trained(graph, labels, config, seed, device, on_epoch)


def _trained(
    graph: JoinedGraph,
    labels: Labels,
    config: SEALConfig,
    seed: int,
    device: torch.device,
    on_epoch: OnEpoch | None,
) -> SEAL:
    net = DGCNN(graph, config).to(device)
    extractor = Extractor(graph, config.neighbours, seed)
    chance = torch.Generator().manual_seed(seed)
    heads, classes, true = training_pairs(labels, config.negatives, config.pairs, chance)
    subgraphs = extractor.cut_all(heads, classes, config.batch)
    weight = _weights(labels, classes, true)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    model = SEAL(net, extractor, 4 * config.batch)
    epochs = Epochs(net, labels, config.schedule, model.scores, on_epoch)
    for _ in epochs:
        losses = []
        for some in torch.split(torch.randperm(true.numel(), generator=chance), config.batch):
            scores = net(subgraphs[some].to(device))
            loss = F.binary_cross_entropy_with_logits(
                scores, true[some].float().to(device), weight[some].to(device)
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.detach())
        epochs.loss = float(torch.stack(losses).mean())
    model.epochs, model.best_epoch = epochs.count, epochs.best
    return model


def training_pairs(
    labels: Labels, negatives: int, most: int, chance: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The true pairs of training rows and so many false ones for each, at most so many in all.

    Returns:
        heads [p], classes [p] (from 0) and whether each pair is true, bool [p].
    """
    rows = labels.train[torch.randperm(labels.train.numel(), generator=chance)]
    count, classes = labels.truth[rows].sum(dim=1), labels.truth.size(1)
    false = torch.minimum(count * negatives, classes - count)
    # whole rows, as long as they fit; one at least
    fitting = max(1, int(((count + false).cumsum(0) <= most).sum()))
    rows, false = rows[:fitting], false[:fitting]
    truth = labels.truth[rows]
    # the false classes of a row in random order, of which the first are taken
    order = torch.rand(truth.shape, generator=chance).masked_fill(truth, 2.0).argsort(dim=1)
    taken = torch.zeros_like(truth).scatter(1, order, torch.arange(classes) < false[:, None])
    row, column = (truth | taken).nonzero(as_tuple=True)
    return rows[row], column, truth[row, column]


def _weights(labels: Labels, classes: Tensor, true: Tensor) -> Tensor:
    """Weight of each pair, 1 on average."""
    weight = torch.ones(true.numel())
    if labels.multi_label:
        weight[true] = labels.weight()[classes[true]]
    else:
        weight = labels.weight()[classes]
        weight[true] *= weight[~true].sum().clamp(min=1) / weight[true].sum()
    return weight / weight.mean()
