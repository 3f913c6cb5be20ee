"""Training a net on patches of sequences, and the votes of a sequence's patches.

An epoch takes a few patches from anywhere in each training sequence, so neither time nor memory
grows with how long sequences are. Whole sequences are told by evenly spaced patches: the mean of
their log-probabilities, or of their logits where rows may have several classes. What is kept is a
running mean of the weights, as with the R-GCN.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.baselines.fitting import Epochs, Labels, OnEpoch, Schedule, count_parameters
from models.baselines.patches import Frames, Patches
from models.devices import pick_device
from models.losses import full_loss

# Values of a batch, below which handing out the work takes longer than doing it.
ONE_THREAD_BELOW = 200_000


@dataclass(frozen=True)
class PatchConfig:
    """How a net is trained on patches.

    Attributes:
        epochs: the most epochs, where validation rows choose one.
        patience: stop after so many epochs without a better one.
        epochs_unvalidated: exactly how many, where too few rows could choose.
        length: steps of a patch.
        patches: how many of each training sequence an epoch takes.
        votes: how many tell a whole sequence, at most.
        batch: patches that are computed at once.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        averaging: how slowly the weights that are kept follow those that are trained: after each
            step they move 1 - `averaging` of the way, more in the first ones; 0: at once.
        dropout: share of the values dropped while training.
    """

    epochs: int = 100
    patience: int = 20
    epochs_unvalidated: int = 40
    length: int = 129
    patches: int = 1
    votes: int = 10
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    averaging: float = 0.9
    dropout: float = 0.2

    def __post_init__(self) -> None:
        _ = self.schedule
        for name in ("length", "patches", "votes", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must be at least 0, not {self.weight_decay}")
        for name in ("averaging", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 0 and below 1, not {getattr(self, name)}"
                )

    @property
    def schedule(self) -> Schedule:
        """How long the net is trained."""
        return Schedule(self.epochs, self.patience, self.epochs_unvalidated)


class PatchNet:
    """A net that was trained on patches.

    Attributes:
        parameters: trained numbers.
        epochs: how many were run.
        best_epoch: the one that was kept.
    """

    def __init__(self, net: nn.Module, vote: Callable[[Tensor], Tensor], epochs: Epochs) -> None:
        self.parameters = count_parameters(net)
        self.epochs = epochs.count
        self.best_epoch = epochs.best
        self._vote = vote

    def scores(self, rows: Tensor) -> Tensor:
        """Score rows int64 [b] against every class: float32 [b, c].

        The higher the likelier; where rows may have several classes, above 0 is likelier than not.

        Raises:
            ValueError: there is no sequence of a row, or it can't be learned from.
        """
        return self._vote(rows)


def fit_patches(
    make: Callable[[int, int], nn.Module],
    frames: Frames,
    labels: Labels,
    config: PatchConfig,
    *,
    seed: int,
    device: torch.device | str,
    on_epoch: OnEpoch | None,
    threads: int | None = None,
) -> PatchNet:
    """Train a net on patches of sequences.

    Same arguments, same numbers (on one machine and device); torch's global source of chance is
    left as it was.

    Args:
        make: makes the net for so many bands and classes: patches float32 [b, length, bands]
            become logits [b, c].
        frames: one array [steps, bands] a row of `labels.truth`.
        labels: what is learned, and from which rows.
        config: how.
        seed: of all chance.
        device: where; "auto": on a GPU where there is one.
        on_epoch: called after each epoch, see `Epochs`.
        threads: that the CPU computes with; None: one for small batches, else as torch has it.

    Raises:
        ValueError: sequences and labels don't fit together, or a sequence can't be learned from.
        DeviceError: there is no such device.
    """
    if len(frames) != len(labels.truth):
        raise ValueError(f"there are {len(frames)} sequences for {len(labels.truth)} rows")
    device = pick_device(device)
    patches = Patches(frames, labels.train, config.length, config.votes)
    if config.batch * config.length * patches.bands < ONE_THREAD_BELOW:
        threads = 1
    forked = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked), _threads(threads):
        torch.manual_seed(seed)
        chance = torch.Generator().manual_seed(seed)
        net = make(patches.bands, labels.truth.size(1)).to(device)
        averaged = copy.deepcopy(net)
        optimiser = torch.optim.AdamW(
            net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        weight = labels.weight().to(device)

        def vote(rows: Tensor) -> Tensor:
            if rows.numel() == 0:
                return torch.zeros(0, labels.truth.size(1))
            with _threads(threads):
                return votes(averaged, patches, rows, config.batch, device, labels.multi_label)

        epochs = Epochs(averaged, labels, config.schedule, vote, on_epoch)
        step = 0
        for _ in epochs:
            net.train()
            losses = []
            order = torch.randperm(labels.train.numel() * config.patches, generator=chance)
            # as even as can be: what batch normalisation makes of one patch is worth little
            for part in order.tensor_split(-(-order.numel() // config.batch)):
                rows = labels.train[part % labels.train.numel()]
                scores = net(patches.drawn(rows, chance).to(device))
                truth = labels.truth[rows].to(device)
                loss = full_loss(scores, truth, labels.multi_label, weight)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                losses.append(loss.detach())
                step += 1
                # a mean that starts from chance forgets it: at first it follows more quickly
                _follow(averaged, net, 1 - min(config.averaging, step / (step + 9)))
            epochs.loss = float(torch.stack(losses).mean())
    return PatchNet(averaged, vote, epochs)


@torch.no_grad()
def votes(
    net: nn.Module,
    patches: Patches,
    rows: Tensor,
    batch: int,
    device: torch.device,
    multi_label: bool,
) -> Tensor:
    """Mean of what a net says of the patches of each row: [b, c], on the CPU."""
    said: list[Tensor] = []
    for some in _filled(patches, rows, batch):
        logits = net(torch.cat(some).to(device))
        each = logits if multi_label else logits.log_softmax(dim=1)
        said += [part.mean(dim=0) for part in each.cpu().split([len(one) for one in some])]
    return torch.stack(said)


def _filled(patches: Patches, rows: Tensor, batch: int) -> Iterator[list[Tensor]]:
    """Patches of so many rows at a time as a batch holds, of one at least."""
    some: list[Tensor] = []
    for row in rows.tolist():
        one = patches.covering(row)
        if some and sum(map(len, some)) + len(one) > batch:
            yield some
            some = []
        some.append(one)
    if some:
        yield some


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def _follow(averaged: nn.Module, net: nn.Module, share: float) -> None:
    """Move weights, and what batch normalisation measured, that share of the way to the net's."""
    for mean, now in zip(averaged.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, share)
        else:
            mean.copy_(now)
