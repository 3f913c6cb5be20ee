"""Training a link model on one target relation, and scoring with it.

The trap, and how it is avoided: a head's own target edges must not carry messages while that
head is scored, or the model learns to read the answer off the graph. So each epoch hides a random
share of the training heads' target edges, both ways, and scores only those; prediction scores
training heads in folds, each with its own edges hidden; and the target edges of heads outside the
training split never carry anything.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from models.devices import pick_device
from models.kinship import kin_bytes
from models.link_model import GraphShape, LinkModel
from models.losses import LinkLoss, Negatives, full_loss
from models.memory import within_memory
from models.message_graph import MessageGraph
from models.negatives import DrawnBy, TruePairs
from models.pyg import HeteroData
from models.rgcn import EncoderConfig
from models.sparse import EdgeType, MeanAdjacency

OnEpoch = Callable[[int, float, float | None], None]
# Places among heads, and what is said of these: see `MessageGraph.evidence`.
Evidence = Iterable[tuple[Tensor, Tensor]]

# With fewer labelled validation heads than this the score is a lottery: it selects nothing.
# Measured with 60: an epoch chosen by them is worse than a fixed number of epochs.
FEWEST_TO_VALIDATE = 100

# How much of a head's score may come from its neighbours' embeddings; validation heads choose.
SMOOTHINGS = (0.0, 0.25, 0.5)

# Passes in which training heads are scored, each with the target edges of one share of them hidden.
FOLDS = 10

EPOCHS, EPOCHS_OF_SEVERAL = 300, 1500
"""The most epochs by default; the second where heads have several tails. There each tail is asked
for by itself, and most answers are no: on AudioSet's clips macro-F1 on songs that chose nothing was
0.35 after 300 epochs and 0.39 after 640, without messages 0.27 and 0.34 (docs/evaluation.md)."""

# The share of the epochs that are run at least in which no epoch is chosen: a fifth.
UNTRAINED = 5

# Nodes and edges together, below which one thread is faster than several.
ONE_THREAD_BELOW = 50_000


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Attributes:
        epochs: the most epochs (default: `EPOCHS`, or `EPOCHS_OF_SEVERAL`).
        patience: stop after so many epochs without a better validation score; where heads have
            several tails not before `EPOCHS`, as at first hardly any score says yes.
        epochs_unvalidated: how many epochs where there is too little to validate on.
        learning_rate: of Adam.
        weight_decay: of AdamW.
        averaging: how slowly the weights that are kept follow those that are trained: after
            each epoch they move 1 - `averaging` of the way, more in the first ones; 0: at once.
        smoothing: share of a head's embedding that comes from its neighbours' when it is scored
            (see `LinkModel`); chosen among `SMOOTHINGS` where there is enough to validate on.
        kinship: how much the nodes that a head hangs on and that are the means of others say when
            it is scored (see `models.kinship`). 1 is what Bayes' rule gives; more makes scores
            surer than they may be, where a node's heads aren't all alike.
        hidden_share: share of the training heads that is hidden and scored each epoch.
        deaf_share: share of the heads that hear nothing, in an epoch, of nodes that are the means
            of others: a model must know heads that hang on none.
        negatives: false tails drawn for each true one, or "all" of them.
        drawn_by: how they are drawn: every false tail alike, or by how frequent it is.
        balance: how far rare tails weigh up, 0 to 1 (see `LinkLoss`).
        seed: of all chance.
    """

    epochs: int | None = None
    patience: int = 60
    epochs_unvalidated: int = 120
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    averaging: float = 0.97
    smoothing: float = 0.5
    hidden_share: float = 0.9
    deaf_share: float = 0.5
    kinship: float = 1.0
    negatives: Negatives = "all"
    drawn_by: DrawnBy = "uniform"
    balance: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs or 1, self.patience, self.epochs_unvalidated) < 1 or self.epochs == 0:
            raise ValueError("epochs, patience and epochs_unvalidated must be at least 1")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must be at least 0 and below 1, not {self.averaging}")
        if not 0 <= self.smoothing <= 1:
            raise ValueError(f"smoothing must be between 0 and 1, not {self.smoothing}")
        if not 0 < self.hidden_share <= 1:
            raise ValueError(f"hidden_share must be above 0 and at most 1, not {self.hidden_share}")
        if self.kinship < 0:
            raise ValueError(f"kinship can't be below 0 as {self.kinship} is")
        if not 0 <= self.deaf_share <= 1:
            raise ValueError(f"deaf_share must be between 0 and 1, not {self.deaf_share}")
        if self.negatives != "all" and self.negatives < 1:
            raise ValueError(f'negatives must be at least 1 or "all", not {self.negatives}')
        if not 0 <= self.balance <= 1:
            raise ValueError(f"balance must be 0 to 1, not {self.balance}")

    def most_epochs(self, validation_heads: Tensor, *, multi_label: bool) -> int:
        """How many epochs are run at most; where too few heads validate, exactly so many."""
        if validation_heads.numel() < FEWEST_TO_VALIDATE:
            return self.epochs_unvalidated
        return self.epochs or (EPOCHS_OF_SEVERAL if multi_label else EPOCHS)


@dataclass(frozen=True)
class TrainResult:
    """A trained model and how it came about.

    Attributes:
        model: in evaluation mode, with the weights of `best_epoch`, on the CPU.
        epochs: how many were run, counted from 1.
        best_epoch: the one whose weights were kept.
        selected_by: "validation" (macro-F1, ties by loss) or "epochs" (their number was fixed
            because fewer than `FEWEST_TO_VALIDATE` validation heads have a target edge).
        validation_score: macro-F1 of the best epoch; None without validation heads.
        losses: training loss of every epoch.
        scores: macro-F1 on the validation heads after every epoch; None without any.
        interrupted: Ctrl-C ended the training; what it had come to was kept.
        device: where it was trained.
    """

    model: LinkModel
    epochs: int
    best_epoch: int
    selected_by: Literal["validation", "epochs"]
    validation_score: float | None
    losses: tuple[float, ...]
    scores: tuple[float | None, ...]
    interrupted: bool
    device: str


@dataclass(frozen=True)
class _Kept:
    """The best so far. Replaced as a whole: Ctrl-C never finds half of it."""

    epoch: int
    score: float | None
    loss: float
    state: dict[str, Tensor]


def train(
    data: HeteroData,
    target: EdgeType,
    *,
    groups: dict[str, tuple[int, int]] | None = None,
    silent: Collection[EdgeType] = (),
    gathered: Collection[str] = (),
    encoder: EncoderConfig | None = None,
    config: TrainConfig | None = None,
    device: torch.device | str = "cpu",
    on_epoch: OnEpoch | None = None,
) -> TrainResult:
    """Train an encoder and a decoder to tell the tails of the target relation.

    Same arguments, same numbers (on one machine and device); torch's global source of chance is
    left as it was. Ctrl-C ends the training with the best epoch so far; before the first epoch is
    done it is passed on.

    Args:
        data: node types with `x` [n, d] share their columns; the target's head type has
            `train_mask` and, where there is a validation split, `val_mask` [n].
        target: (head type, relation, tail type).
        groups: {family: (start, stop)} of the feature columns; default: one family.
        silent: edge types of the graph that are to carry nothing.
        gathered: node types without features whose nodes are the means of those that send to them.
        encoder: what the encoder looks like.
        config: how it is trained.
        device: where it is trained; "auto": on a GPU where there is one.
        on_epoch: called after each epoch with its number from 1, the training loss and the
            validation score (None without validation heads).

    Raises:
        ValueError: nothing to learn from, fewer than two tails, or features that don't fit.
        DeviceError: there is no such device.
        OutOfMemoryError: the training needs more memory than there is.
    """
    encoder = encoder or EncoderConfig()
    config = config or TrainConfig()
    device = pick_device(device)
    shape = GraphShape.of(data, target, groups, silent, gathered)
    shape.check(data)
    forked = [device] if device.type == "cuda" else []
    losses: list[float] = []
    scores: list[float | None] = []
    kept: _Kept | None = None
    interrupted = False
    size = _size(data)
    with (
        within_memory(*size, encoder, device, _kin_bytes(data, shape)),
        torch.random.fork_rng(devices=forked),
        _threads_for(*size),
    ):
        graph = MessageGraph(data, target, device, silent=silent, gathering=shape.gathering)
        head_type, _, tail_type = target
        if graph.count[tail_type] < 2:
            raise ValueError(f"there must be at least two of {tail_type} to tell apart")

        known = TruePairs(graph.train_edges, graph.count[head_type], graph.count[tail_type])
        link_loss = LinkLoss(
            known,
            shape.multi_label,
            negatives=config.negatives,
            drawn_by=config.drawn_by,
            balance=config.balance,
        )
        all_true = TruePairs(graph.edges, graph.count[head_type], graph.count[tail_type])
        train_heads = graph.heads(graph.is_train)
        val_heads = validation_heads(data, target).to(device)
        validated = val_heads.numel() >= FEWEST_TO_VALIDATE
        most = config.most_epochs(val_heads, multi_label=shape.multi_label)
        least = EPOCHS if shape.multi_label else 0
        # A net that has learned nothing says yes to half of all tails, and by macro-F1 that can be
        # more than a trained one comes to: as long as it is one, the last epoch is the best.
        untrained = min(least, most) // UNTRAINED
        all_carrying = graph.messages()
        smoothings: tuple[float, ...] = SMOOTHINGS if validated else (config.smoothing,)
        peers = graph.peers if encoder.messages and max(smoothings) > 0 else None
        if peers is None:
            smoothings = (0.0,)
        gathered_types = sorted(shape.gathered)
        num_hidden = max(1, round(config.hidden_share * train_heads.numel()))
        wanted = {head_type, tail_type}

        torch.manual_seed(config.seed)
        chance = torch.Generator().manual_seed(config.seed)
        model = LinkModel(shape, encoder).to(device)
        # single epochs are noisy: what is judged and kept is a running mean of their weights
        averaged = copy.deepcopy(model).eval()
        averaged.smoothing.fill_(smoothings[0])
        alike = graph.kin.fitted() if encoder.messages else {}
        for tensor in (model, averaged):
            tensor.kinship.fill_(config.kinship if alike else 0.0)
            tensor.concentration.copy_(torch.tensor([alike.get(t, 1.0) for t in gathered_types]))
        evidence = list(graph.evidence(alike, val_heads)) if alike else []
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        try:
            for epoch in range(1, 1 + most):
                # hide a share of the training heads' target edges and score exactly those heads
                shuffled = torch.randperm(train_heads.numel(), generator=chance).to(device)
                scored = train_heads[shuffled[:num_hidden]]
                hidden = torch.zeros_like(graph.is_train)
                hidden[scored] = True

                deaf = None
                if graph.has_gathered and config.deaf_share > 0:
                    drawn = torch.rand(hidden.numel(), generator=chance) < config.deaf_share
                    deaf = drawn.to(device)

                model.train()
                h = model.encoder(graph.x, graph.messages(hidden, deaf), only=wanted)[-1]
                loss = link_loss(model, h, scored, chance)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                losses.append(float(loss.detach()))
                # a mean that starts from chance forgets it: at first it follows more quickly
                _follow(averaged, model, 1 - min(config.averaging, epoch / (epoch + 9)))

                score, val_loss = None, 0.0
                if val_heads.numel():
                    with torch.no_grad():
                        h = averaged.encoder(graph.x, all_carrying, only=wanted)[-1]
                        truth = all_true.mask(val_heads)
                        score, val_loss = _judge(
                            averaged, h, val_heads, truth, peers, evidence, smoothings
                        )
                scores.append(score)
                newest = not validated or epoch <= untrained
                if newest or kept is None or (score, -val_loss) > (kept.score, -kept.loss):
                    state = {k: v.clone() for k, v in averaged.state_dict().items()}
                    kept = _Kept(epoch, score, val_loss, state)
                if on_epoch is not None:
                    on_epoch(epoch, losses[-1], score)
                if validated and epoch >= least and epoch - kept.epoch >= config.patience:
                    break
        except KeyboardInterrupt:
            if kept is None:
                raise
            interrupted = True

    assert kept is not None  # at least one epoch was run
    model.load_state_dict(kept.state)
    return TrainResult(
        model=model.cpu().eval(),
        epochs=len(losses),
        best_epoch=kept.epoch,
        selected_by="validation" if validated else "epochs",
        validation_score=kept.score,
        losses=tuple(losses),
        scores=tuple(scores),
        interrupted=interrupted,
        device=str(device),
    )


def validation_heads(data: HeteroData, target: EdgeType) -> Tensor:
    """Validation heads that have a target edge: their numbers, ascending."""
    head = data[target[0]]
    heads: Tensor = torch.unique(data[target].edge_index[0])
    if "val_mask" not in head:
        return heads[:0]
    held_out: Tensor = (head.val_mask & ~head.train_mask)[heads]
    return heads[held_out]


def _judge(
    model: LinkModel,
    h: dict[str, Tensor],
    heads: Tensor,
    truth: Tensor,
    peers: MeanAdjacency | None,
    evidence: Evidence,
    smoothings: Sequence[float],
) -> tuple[float, float]:
    """Leave the model with the smoothing that suits these heads best: macro-F1 and loss with it."""
    judged = []
    for smoothing in smoothings:
        model.smoothing.fill_(smoothing)
        scores = model.score_all(h, heads, peers, evidence)
        loss = float(full_loss(scores, truth, model.shape.multi_label))
        judged.append((macro_f1(scores, truth, model.shape.multi_label), -loss, -smoothing))
    score, gain, least = max(judged)  # of equals the least smoothing
    model.smoothing.fill_(-least)
    return score, -gain


@torch.no_grad()
def _follow(averaged: LinkModel, model: LinkModel, share: float) -> None:
    """Move the averaged weights that share of the way towards the model's."""
    for mean, now in zip(averaged.parameters(), model.parameters(), strict=True):
        mean.lerp_(now, share)


@contextmanager
def _threads_for(nodes: int, edges: int) -> Iterator[None]:
    """Run small graphs on one thread: handing out their work takes longer than doing it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if nodes + edges < ONE_THREAD_BELOW else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _size(data: HeteroData) -> tuple[int, int]:
    return sum(int(data[t].num_nodes) for t in data.node_types), data.num_edges


def _kin_bytes(data: HeteroData, shape: GraphShape) -> int:
    """Estimate what counting the answers of heads that hang on the same nodes takes."""
    head_type, _, tail_type = shape.target
    answers = torch.bincount(data[shape.target].edge_index[0], minlength=data[head_type].num_nodes)
    hanging = [t for t in shape.gathering if t[0] == head_type and t in data.edge_types]
    pairs = sum(int(answers[data[t].edge_index[0]].sum()) for t in hanging)
    if not pairs:
        return 0
    return kin_bytes(
        pairs, validation_heads(data, shape.target).numel(), int(data[tail_type].num_nodes)
    )


def macro_f1(scores: Tensor, truth: Tensor, multi_label: bool) -> float:
    """F1 averaged over the tails that are true somewhere.

    Args:
        scores: [b, n].
        truth: bool [b, n].
        multi_label: predicted is, beside the best, what scores above 0 (a probability of 1/2).
    """
    predicted = F.one_hot(scores.argmax(dim=1), scores.size(1)).bool()
    if multi_label:
        predicted |= scores > 0
    hits = (predicted & truth).sum(dim=0)
    total = predicted.sum(dim=0) + truth.sum(dim=0)
    occurring = truth.any(dim=0)
    return float((2 * hits[occurring] / total[occurring]).mean())


@torch.no_grad()
def predict(model: LinkModel, data: HeteroData, *, folds: int = FOLDS) -> Tensor:
    """Score every head against every tail, no head helped by its own target edges.

    Training heads are dealt into folds, evenly over tails; each fold is scored in a pass with
    its own edges hidden and all others carrying. All other heads are scored with all training
    edges carrying.

    Args:
        model: a trained model.
        data: a graph of the model's shape, with `train_mask`.
        folds: passes over the training heads.

    Returns:
        [n_head, n_tail] scores; `models.calibration` turns them into probabilities.

    Raises:
        ValueError: the graph doesn't fit the model, or `folds` is below 2.
    """
    if folds < 2:
        raise ValueError(f"folds must be at least 2, not {folds}")
    model.shape.check(data)
    model.eval()
    graph = _graph_of(model, data)
    wanted = {model.shape.target[0], model.shape.target[2]}
    peers = graph.peers if float(model.smoothing) > 0 else None
    with _threads_for(*_size(data)):
        h = model.encoder(graph.x, graph.messages(), only=wanted)[-1]
        dealt = _folds(graph, folds)
        others = torch.ones_like(graph.is_train)
        others[torch.cat(dealt)] = False
        scores = model.score_all(h, peers=peers)
        rest = others.nonzero().flatten()
        for places, said in _evidence(model, graph, rest):
            scores[rest[places]] += model.kinship * said
        for fold in dealt:
            hidden = torch.zeros_like(graph.is_train)
            hidden[fold] = True
            h = model.encoder(graph.x, graph.messages(hidden), only=wanted)[-1]
            scores[fold] = model.score_all(h, fold, peers, _evidence(model, graph, fold, hidden))
    return scores


@torch.no_grad()
def score_held_out(model: LinkModel, data: HeteroData, heads: Tensor) -> Tensor:
    """Score heads outside the training split, with all training edges carrying: one pass.

    Args:
        model: a trained model.
        data: a graph of the model's shape, with `train_mask`.
        heads: [b], none of them with a training edge.

    Returns:
        [b, n_tail] scores.

    Raises:
        ValueError: the graph doesn't fit the model, or one of the heads is trained on: its own
            edges would carry its answer.
    """
    model.shape.check(data)
    model.eval()
    graph = _graph_of(model, data)
    if bool(graph.is_train[heads].any()):
        raise ValueError("heads that were trained on can't be scored with their own edges there")
    peers = graph.peers if float(model.smoothing) > 0 else None
    with _threads_for(*_size(data)):
        h = model.encoder(graph.x, graph.messages(), only={graph.target[0], graph.target[2]})[-1]
        return model.score_all(h, heads, peers, _evidence(model, graph, heads))


def _evidence(
    model: LinkModel, graph: MessageGraph, heads: Tensor, hidden: Tensor | None = None
) -> Evidence:
    """What the nodes that heads hang on say, in the eyes of a model."""
    if float(model.kinship) == 0:
        return ()
    return graph.evidence(model.concentrations(), heads, hidden)


def _graph_of(model: LinkModel, data: HeteroData) -> MessageGraph:
    shape = model.shape
    return MessageGraph(data, shape.target, silent=shape.silent, gathering=shape.gathering)


def _folds(graph: MessageGraph, folds: int) -> list[Tensor]:
    """Deal the training heads out by their first tail, so that no fold takes all heads of one."""
    tails = TruePairs(graph.train_edges, graph.is_train.numel(), graph.count[graph.target[2]])
    heads = graph.heads(graph.is_train)
    by_tail = heads[torch.argsort(tails.mask(heads).int().argmax(dim=1), stable=True)]
    return [by_tail[i::folds] for i in range(min(folds, heads.numel()))]


@torch.no_grad()
def layer_outputs(
    model: LinkModel, data: HeteroData, *, scored: int | None = None
) -> list[dict[str, Tensor]]:
    """Outputs of every layer with all training edges carrying, to be kept for new heads.

    Args:
        model: a trained model.
        data: a graph of the model's shape, with `train_mask`.
        scored: a head; where it is trained on, the outputs are those of the pass in which
            `predict` scores it: the target edges of its fold carry nothing.

    Returns:
        h^0, ..., h^L: dicts {node type: [n, hidden]}; of nodes that are the means of others the
            last one is what they say of each tail, [n, n_tail].

    Raises:
        ValueError: the graph doesn't fit the model.
    """
    model.shape.check(data)
    model.eval()
    graph = _graph_of(model, data)
    hidden = torch.zeros_like(graph.is_train)
    for fold in _folds(graph, FOLDS):
        hidden[fold] = scored in fold.tolist()
    with _threads_for(*_size(data)):
        outputs: list[dict[str, Tensor]] = model.encoder(graph.x, graph.messages(hidden))
    found = [{t: v.detach().clone() for t, v in layer.items()} for layer in outputs]
    # of the last layer nobody hears: there lies what these nodes say when heads are scored
    said = graph.kin.evidence(model.concentrations(), hidden)
    return [*found[:-1], found[-1] | {kind: each.all() for kind, each in said.items()}]
