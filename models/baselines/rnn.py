"""A recurrent net on sequences of frames.

Hochreiter, Schmidhuber 1997, Long short-term memory, over MFCCs as in Tang, Chui, Yu, Zeng, Wong
2018, Music genre classification using a hierarchical long short-term memory (LSTM) model,

    h_t, c_t = LSTM(h_(t-1), c_(t-1), x_t),    scores = W mean over t of h_t + b

What differs: one net for all classes instead of a tree of them; a step is not one frame but mean
and deviation of a few (8, a fifth of a second), so that a recurrent net, which can't go through
time in parallel, has an eighth of the way to go and remember; all outputs count instead of the
last one.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from models.baselines.fitting import Labels, OnEpoch
from models.baselines.patch_training import PatchConfig, PatchNet, fit_patches
from models.baselines.patches import Frames


@dataclass(frozen=True)
class RNNConfig(PatchConfig):
    """How the net looks, beside how it is trained.

    Attributes:
        step: frames that are summed up to one step; the rest of a patch is left out.
        hidden: width of the LSTM.
        layers: of the LSTM.
    """

    epochs: int = 200
    patience: int = 40
    epochs_unvalidated: int = 80
    length: int = 256
    learning_rate: float = 3e-3
    step: int = 8
    hidden: int = 64
    layers: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.step, self.hidden, self.layers) < 1:
            raise ValueError("step, hidden and layers must be at least 1")
        if self.length < self.step:
            raise ValueError(f"length must be at least step, {self.step}, not {self.length}")


class RNN(nn.Module):
    """An LSTM over summed up frames, and a linear layer: [b, length, bands] to [b, c]."""

    def __init__(self, bands: int, classes: int, config: RNNConfig) -> None:
        super().__init__()
        self.step = config.step
        self.lstm = nn.LSTM(2 * bands, config.hidden, config.layers, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Linear(config.hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score patches against every class."""
        steps = x.size(1) // self.step
        parts = x[:, : steps * self.step].reshape(len(x), steps, self.step, x.size(2))
        deviations, means = torch.std_mean(parts, dim=2, correction=0)
        outputs, _ = self.lstm(self.dropout(torch.cat([means, deviations], dim=2)))
        return cast(Tensor, self.last(self.dropout(outputs.mean(dim=1))))


def fit(
    frames: Frames,
    labels: Labels,
    *,
    config: RNNConfig | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_epoch: OnEpoch | None = None,
) -> PatchNet:
    """Train the net. Arguments and errors are those of `patch_training.fit_patches`."""
    chosen = config or RNNConfig()
    return fit_patches(
        lambda bands, classes: RNN(bands, classes, chosen),
        frames,
        labels,
        chosen,
        seed=seed,
        device=device,
        on_epoch=on_epoch,
        # a step is so little work that handing it out takes longer than doing it
        threads=1,
    )
