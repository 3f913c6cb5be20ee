"""What every baseline is given and gives back, and which of its epochs is kept.

All of them learn from the same training heads, weigh rare classes alike, and are stopped by the
rule that stops the R-GCN: so what differs between two rows of a comparison is the model.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from models.losses import full_loss
from models.training import FEWEST_TO_VALIDATE, macro_f1

# Power of a class's rarity by which its heads weigh more, as in the R-GCN's loss.
BALANCE = 0.5

OnEpoch = Callable[[int, float, float | None], None]


@dataclass(frozen=True, eq=False)
class Labels:
    """Which songs have which genres, and which of them are learned from.

    Attributes:
        truth: bool [n, c]; rows that are neither in `train` nor in `valid` are never looked at.
        train: int64 [m], rows to learn from, each with a class.
        valid: int64 [v], rows that choose the epoch where they are many enough, each with a class.
        multi_label: a training row may have several classes.
    """

    truth: Tensor
    train: Tensor
    valid: Tensor
    multi_label: bool

    def __post_init__(self) -> None:
        if self.train.numel() == 0:
            raise ValueError("there is no class to learn from")

    @property
    def validated(self) -> bool:
        """Whether validation rows choose the epoch: few of them would be a lottery."""
        return self.valid.numel() >= FEWEST_TO_VALIDATE

    def weight(self) -> Tensor:
        """Weights of the classes for `models.losses.full_loss`, as the R-GCN's loss has them.

        Returns:
            [c] of a row by its class, 1 on average over the training rows; where rows may have
            several classes, of a true pair against a false one.
        """
        true = self.truth[self.train].sum(dim=0).double()
        common = true.clamp(min=1)
        if self.multi_label:
            return (((self.train.numel() - true).clamp(min=1) / common) ** BALANCE).float()
        rarity = common.reciprocal() ** BALANCE
        return (rarity * true.sum() / (rarity * true).sum()).float()


class Fitted(Protocol):
    """A trained baseline."""

    @property
    def parameters(self) -> int:
        """Trained numbers; for models without any, 0."""
        ...

    @property
    def epochs(self) -> int:
        """How many epochs were run; for models without any, 0."""
        ...

    @property
    def best_epoch(self) -> int:
        """The epoch that was kept."""
        ...

    def scores(self, rows: Tensor) -> Tensor:
        """Score rows int64 [b] against every class: float32 [b, c].

        The higher the likelier; where rows may have several classes, above 0 is likelier than not.
        """
        ...


@dataclass(frozen=True)
class Schedule:
    """How long a net is trained.

    Attributes:
        epochs: the most epochs, where validation rows choose one.
        patience: stop after so many epochs without a better one.
        epochs_unvalidated: exactly how many, where too few rows could choose.
    """

    epochs: int
    patience: int
    epochs_unvalidated: int

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience, self.epochs_unvalidated) < 1:
            raise ValueError("epochs, patience and epochs_unvalidated must be at least 1")


class Epochs:
    """The epochs of one training: counted, judged, and the best one's weights kept.

        epochs = Epochs(net, labels, schedule, scores, on_epoch)
        for _ in epochs:
            ...one pass over the training rows...
            epochs.loss = float(loss)

    After the last one `net` is in evaluation mode with the weights of `best`: the epoch of the
    highest macro-F1 on the validation rows (of equals the smallest loss there), or the last one
    where there are too few of them, as `models.training.train` has it.

    Args:
        net: what is trained.
        labels: whose validation rows choose.
        schedule: how long.
        scores: scores of rows by `net` as it is, [b, c]; called in evaluation mode without
            gradients.
        on_epoch: called after each epoch with its number from 1, the training loss and macro-F1
            on the validation rows (None without any).

    Attributes:
        count: epochs that were run.
        best: the one whose weights are kept.
        loss: of the current one; the training sets it.
    """

    def __init__(
        self,
        net: nn.Module,
        labels: Labels,
        schedule: Schedule,
        scores: Callable[[Tensor], Tensor],
        on_epoch: OnEpoch | None = None,
    ) -> None:
        self.count = self.best = 0
        self.loss = float("nan")
        self._net, self._labels, self._schedule = net, labels, schedule
        self._scores, self._on_epoch = scores, on_epoch

    def __iter__(self) -> Iterator[int]:
        schedule, validated = self._schedule, self._labels.validated
        most = schedule.epochs if validated else schedule.epochs_unvalidated
        kept: tuple[float, float] | None = None
        state: dict[str, Tensor] = {}
        while self.count < most:
            self._net.train()
            yield self.count + 1
            self.count += 1
            self._net.eval()
            judged = self._judge() if self._labels.valid.numel() else None
            if validated and judged is not None and (kept is None or judged > kept):
                kept, self.best = judged, self.count
                state = copy.deepcopy(self._net.state_dict())
            if self._on_epoch is not None:
                self._on_epoch(self.count, self.loss, judged and judged[0])
            if validated and self.count - self.best >= schedule.patience:
                break
        if validated:
            self._net.load_state_dict(state)
        else:
            self.best = self.count
        self._net.eval()

    @torch.no_grad()
    def _judge(self) -> tuple[float, float]:
        """Macro-F1 and the negative loss on the validation rows."""
        labels = self._labels
        scores, truth = self._scores(labels.valid), labels.truth[labels.valid]
        loss = float(full_loss(scores, truth, labels.multi_label))
        return macro_f1(scores, truth, labels.multi_label), -loss


def count_parameters(net: nn.Module) -> int:
    """Trained numbers of a net."""
    return sum(each.numel() for each in net.parameters() if each.requires_grad)
