"""A convolutional net with a recurrent one on top.

Choi, Fazekas, Sandler, Cho 2017, Convolutional recurrent neural networks for music classification:
convolutions sum up what sounds, two layers of GRU (Cho et al. 2014) how it goes on,

    h_t = GRU(h_(t-1), x_t),    scores = W h_T + b    with x the convolutions' steps

What differs: patches of about 3 s that vote instead of 29 s at once, and the convolutions are those
of `cnn` (12 to 48 channels against the paper's 30 to 169), so that two rows of a comparison differ
by what stands on top of them only.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from models.baselines.cnn import CNNConfig, Front
from models.baselines.fitting import Labels, OnEpoch
from models.baselines.patch_training import PatchNet, fit_patches
from models.baselines.patches import Frames


@dataclass(frozen=True)
class CRNNConfig(CNNConfig):
    """How the net looks, beside how it is trained.

    Attributes:
        hidden: width of the GRU.
        layers: of the GRU.
    """

    epochs_unvalidated: int = 30
    hidden: int = 32
    layers: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.layers) < 1:
            raise ValueError("hidden and layers must be at least 1")


class CRNN(nn.Module):
    """Convolutions, a GRU over their steps, and a linear layer: [b, length, bands] to [b, c]."""

    def __init__(self, bands: int, classes: int, config: CRNNConfig) -> None:
        super().__init__()
        self.front = Front(bands, config)
        self.gru = nn.GRU(self.front.channels, config.hidden, config.layers, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Linear(config.hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score patches against every class."""
        outputs, _ = self.gru(self.front(x))
        return cast(Tensor, self.last(self.dropout(outputs[:, -1])))


def fit(
    frames: Frames,
    labels: Labels,
    *,
    config: CRNNConfig | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_epoch: OnEpoch | None = None,
) -> PatchNet:
    """Train the net. Arguments and errors are those of `patch_training.fit_patches`."""
    chosen = config or CRNNConfig()
    return fit_patches(
        lambda bands, classes: CRNN(bands, classes, chosen),
        frames,
        labels,
        chosen,
        seed=seed,
        device=device,
        on_epoch=on_epoch,
    )
