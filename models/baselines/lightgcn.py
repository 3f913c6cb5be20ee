"""Collaborative filtering on the graph: embeddings that are nothing but averaged over neighbours.

He, Deng, Wang, Li, Zhang, Wang 2020, LightGCN: every node has a trained vector e^0, and

    e_u^(k+1) = sum over neighbours i of u: e_i^(k) / sqrt(|N_u| |N_i|)
    e_u = mean over k = 0..K of e_u^(k),    score(u, c) = e_u . e_c
    loss = -sum ln sigmoid(score(u, c) - score(u, c')) + lambda |E^0|^2,    c' a random false class

(BPR, Rendle et al. 2009). Users and items are heads and classes here. Beside the training heads'
class edges all other edges of the graph carry messages, or heads without a class would hang in
nothing.

What differs from the paper: there each user's own edges carry messages while they are learned; a
head that is to be told has none, so a random share of the heads is hidden each epoch and only
those are learned from. Where heads have one class, rare classes weigh up as in all baselines. Where
they may have several, each class has a slope and an offset, so that above 0 is likelier than not:
those of a logistic regression of the hidden heads' answers on their inner products (Platt 1999),
fitted anew each epoch, true pairs of rare classes weighing up.
"""

import inspect
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.baselines.fitting import Epochs, Labels, OnEpoch, Schedule, count_parameters
from models.baselines.joined import JoinedGraph, threads_for
from models.devices import pick_device
from models.pyg import HeteroData
from models.sparse import EdgeType, SparseRows

_NEWTON_STEPS, _RIDGE = 20, 1.0


@dataclass(frozen=True)
class LightGCNConfig:
    """How it looks and how it is trained.

    Attributes:
        epochs: the most epochs, where validation rows choose one.
        patience: stop after so many epochs without a better one.
        epochs_unvalidated: exactly how many, where too few rows could choose.
        dim: of the embeddings.
        layers: K.
        learning_rate: of Adam.
        regularisation: lambda.
        negatives: false classes drawn for each true one.
        hidden_share: share of the training heads that is hidden and learned from each epoch.
        spread: standard deviation of the first embeddings.
    """

    epochs: int = 300
    patience: int = 50
    epochs_unvalidated: int = 150
    dim: int = 64
    layers: int = 3
    learning_rate: float = 0.01
    regularisation: float = 1e-4
    negatives: int = 4
    hidden_share: float = 0.5
    spread: float = 0.1

    def __post_init__(self) -> None:
        _ = self.schedule
        for name in ("dim", "layers", "negatives"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "spread"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if self.regularisation < 0:
            raise ValueError(f"regularisation must be at least 0, not {self.regularisation}")
        if not 0 < self.hidden_share <= 1:
            raise ValueError(f"hidden_share must be above 0 and at most 1, not {self.hidden_share}")

    @property
    def schedule(self) -> Schedule:
        """How long it is trained."""
        return Schedule(self.epochs, self.patience, self.epochs_unvalidated)


class _Symmetric(torch.autograd.Function):
    """A product with a symmetric matrix, which is its own transpose in the backward pass."""

    @staticmethod
    def forward(ctx: Any, matrix: SparseRows, h: Tensor) -> Tensor:
        ctx.matrix = matrix
        return matrix.times(h)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.matrix.times(gradients[0].contiguous())


def _convolution() -> nn.Module:
    """PyG's LGConv, with a product that needs no memory by edge and a fifth of the time."""
    from torch_geometric.nn import LGConv

    class Convolution(LGConv):  # type: ignore[misc]  # PyG has no types
        def message_and_aggregate(self, adj_t: Tensor, x: Tensor) -> Tensor:
            matrix = SparseRows(
                adj_t.crow_indices(), adj_t.col_indices(), adj_t.values(), adj_t.size(1)
            )
            product: Tensor = _Symmetric.apply(matrix, x)
            return product

    made = Convolution(normalize=False)
    # PyG writes the code of a layer's `propagate` into a file of its own, and leaves it there.
    written = Path(inspect.getfile(made.propagate))
    if written.parent == Path(tempfile.gettempdir()):
        written.unlink(missing_ok=True)
    return made


class Embeddings(nn.Module):
    """Trained vectors of all nodes, and what K layers of averaging make of them.

    Attributes:
        first: E^0.
        slope, offset: [classes], what makes log-odds of inner products.
    """

    def __init__(self, graph: JoinedGraph, config: LightGCNConfig) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(graph.nodes, config.dim).normal_(0, config.spread))
        self.layers = nn.ModuleList(_convolution() for _ in range(config.layers))
        self.register_buffer("offset", torch.zeros(graph.classes))
        self.register_buffer("slope", torch.ones(graph.classes))
        self.offset: Tensor
        self.slope: Tensor
        self._heads, self._classes = graph.heads, graph.classes

    def forward(self, adjacency: Tensor) -> Tensor:
        """Mean of the layers: [nodes, dim].

        Args:
            adjacency: `normalised_adjacency`.
        """
        layer: Tensor = self.first
        total = layer
        for convolution in self.layers:
            layer = convolution(layer, adjacency)
            total = total + layer
        return total / (len(self.layers) + 1)

    def raw(self, h: Tensor, rows: Tensor) -> Tensor:
        """Inner products of heads [b] with every class: [b, c]."""
        classes = h[self._heads : self._heads + self._classes]
        return h[rows] @ classes.T

    def score(self, h: Tensor, rows: Tensor) -> Tensor:
        """Score heads [b] against every class: [b, c]."""
        return self.slope * self.raw(h, rows) + self.offset

    @torch.no_grad()
    def calibrate(self, raw: Tensor, truth: Tensor, weight: Tensor) -> None:
        """Fit slope and offset to inner products [b, c] of heads whose classes are bool [b, c]."""
        slope, offset = platt(raw, truth, weight)
        self.slope.copy_(slope)
        self.offset.copy_(offset)


class LightGCN:
    """A trained LightGCN.

    Attributes:
        parameters: trained numbers: so many for every node.
        epochs: how many were run.
        best_epoch: the one that was kept.
    """

    def __init__(self, net: Embeddings, h: Tensor, epochs: Epochs) -> None:
        self.parameters = count_parameters(net)
        self.epochs, self.best_epoch = epochs.count, epochs.best
        self._net, self._h = net, h

    @torch.no_grad()
    def scores(self, rows: Tensor) -> Tensor:
        """Score rows int64 [b] against every class: float32 [b, c].

        Those of training heads know their own class.
        """
        return self._net.score(self._h, rows.to(self._h.device)).cpu()


def fit(
    data: HeteroData,
    target: EdgeType,
    labels: Labels,
    *,
    config: LightGCNConfig | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_epoch: OnEpoch | None = None,
) -> LightGCN:
    """Train the embeddings; of the target's edges only those of `labels.train` are there.

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
    config = config or LightGCNConfig()
    device = pick_device(device)
    graph = JoinedGraph.of(data, target, labels)
    with threads_for(graph):
        return _trained(graph, labels, config, seed, device, on_epoch)


def _trained(
    graph: JoinedGraph,
    labels: Labels,
    config: LightGCNConfig,
    seed: int,
    device: torch.device,
    on_epoch: OnEpoch | None,
) -> LightGCN:
    chance = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        net = Embeddings(graph, config).to(device)
    optimiser = torch.optim.Adam(net.parameters(), lr=config.learning_rate)
    everything = normalised_adjacency(graph.edges(), graph.nodes).to(device)
    weight = labels.weight()

    def judged(rows: Tensor) -> Tensor:
        return net.score(net(everything), rows.to(device)).cpu()

    epochs = Epochs(net, labels, config.schedule, judged, on_epoch)
    for _ in epochs:
        count = max(1, round(config.hidden_share * labels.train.numel()))
        scored = labels.train[torch.randperm(labels.train.numel(), generator=chance)[:count]]
        h = net(_without(graph, scored).to(device))
        scores = net.raw(h, scored.to(device)).cpu()
        truth = labels.truth[scored]
        pairs, false = _drawn(truth, config.negatives, chance)
        gaps = scores[pairs[0], pairs[1]][:, None] - scores[pairs[0][:, None], false.clamp(min=0)]
        each = (F.softplus(-gaps) * (false >= 0)).mean(dim=1)
        if not labels.multi_label:
            each = each * weight[pairs[1]]
        # a mean over the pairs of what each of them is about, as in BPR
        classes = net.first[graph.heads : graph.heads + graph.classes]
        heads = net.first[scored.to(device)]
        size = heads.square().sum(dim=1).mean() + classes.square().sum(dim=1).mean()
        loss = each.sum() / max(pairs.size(1), 1) + config.regularisation * size.cpu()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        epochs.loss = float(loss.detach())
        if labels.multi_label:
            net.calibrate(scores.detach(), truth, weight)
    with torch.no_grad():
        h = net(everything)
    return LightGCN(net, h, epochs)


def normalised_adjacency(edges: Tensor, nodes: int) -> Tensor:
    """D^-1/2 A D^-1/2 of edges [2, e] that are there both ways, as a CSR tensor [nodes, nodes]."""
    order = torch.argsort(edges[0] * nodes + edges[1])
    rows, columns = edges[:, order]
    degree = torch.bincount(rows, minlength=nodes)
    root = degree.clamp(min=1).float().rsqrt()
    starts = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    with warnings.catch_warnings():
        # torch calls them a beta of which it may change the interface
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        return torch.sparse_csr_tensor(
            starts.int(),
            columns.int(),
            root[rows] * root[columns],
            size=(nodes, nodes),
            check_invariants=False,  # they hold, and torch warns where nobody says
        )


def platt(raw: Tensor, truth: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Fit log-odds slope * raw + offset by class, with Newton's method and a ridge on the slope.

    Args:
        raw: [b, c], the higher the likelier.
        truth: bool [b, c].
        weight: [c] of a true pair against a false one.

    Returns:
        slope [c], above 0, and offset [c].
    """
    mean, deviation = raw.mean(dim=0), raw.std(dim=0, correction=0).clamp(min=1e-6)
    x = ((raw - mean) / deviation).double()
    y = truth.double()
    own = torch.where(truth, weight.double(), 1.0)
    a, b = torch.zeros_like(x[0]), torch.zeros_like(x[0])
    for _ in range(_NEWTON_STEPS):
        p = torch.sigmoid(a * x + b)
        off, bent = own * (p - y), own * p * (1 - p)
        grad_a, grad_b = (off * x).sum(dim=0) + _RIDGE * a, off.sum(dim=0) + 0.1 * _RIDGE * b
        aa, bb = (bent * x * x).sum(dim=0) + _RIDGE, bent.sum(dim=0) + 0.1 * _RIDGE
        ab = (bent * x).sum(dim=0)
        determinant = aa * bb - ab * ab
        # short steps at first: a full one can leap beyond where the curve is flat
        a = a - ((bb * grad_a - ab * grad_b) / determinant).clamp(-1, 1)
        b = b - ((aa * grad_b - ab * grad_a) / determinant).clamp(-1, 1)
    slope = a.clamp(min=1e-3) / deviation
    return slope.float(), (b - slope * mean).float()


def _without(graph: JoinedGraph, heads: Tensor) -> Tensor:
    hidden = torch.zeros(graph.heads, dtype=torch.bool)
    hidden[heads] = True
    return normalised_adjacency(graph.edges(hidden), graph.nodes)


def _drawn(truth: Tensor, count: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """True pairs of truth [b, c], and so many false classes for each; -1 where there are none.

    Returns:
        int64 [2, p] and int64 [p, count].
    """
    pairs = truth.nonzero().T
    false = torch.full((pairs.size(1), count), -1)
    some = ~truth[pairs[0]]
    there = some.any(dim=1)
    if bool(there.any()):
        false[there] = torch.multinomial(
            some[there].float(), count, replacement=True, generator=chance
        )
    return pairs, false
