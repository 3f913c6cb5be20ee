"""A convolutional net on patches of spectra, as music is usually told apart.

Choi, Fazekas, Sandler 2016, Automatic tagging using deep convolutional neural networks: blocks of
3 x 3 convolutions over time and bands, batch normalisation, a nonlinearity, max pooling and
dropout, until one value a channel is left; no dense layers but the last one,

    x_(l+1) = ELU(BN(maxpool(W_l * x_l))),    scores = W mean over time of x_L + b

What differs, since a library may be small and a CPU all there is: patches of about 3 s that vote
instead of 29 s at once, 4 blocks of up to 48 channels instead of up to 2048, ELU as in their later
convolutional recurrent net, and the mean of the last steps instead of another pooling. Pooling
comes right after the convolution: ELU and a normalisation that only shifts and stretches leave the
largest value the largest, and have an eighth of the values to go through. Poolings over bands
follow from how many there are, so that the same net takes 20 MFCCs and 128 mel bands.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from models.baselines.fitting import Labels, OnEpoch
from models.baselines.patch_training import PatchConfig, PatchNet, fit_patches
from models.baselines.patches import Frames

# Each block but the last one halves the steps: 129 become 16.
_MOST_CHANNELS = 4


@dataclass(frozen=True)
class CNNConfig(PatchConfig):
    """How the net looks, beside how it is trained.

    Attributes:
        blocks: convolutions, one after the other.
        channels: of the first one; each further one has twice as many, up to four times.
    """

    batch: int = 16
    learning_rate: float = 3e-3
    dropout: float = 0.1
    blocks: int = 4
    channels: int = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.blocks, self.channels) < 1:
            raise ValueError("blocks and channels must be at least 1")
        if self.length < 2 ** (self.blocks - 1):
            raise ValueError(
                f"length must be at least {2 ** (self.blocks - 1)} for {self.blocks} blocks, "
                f"not {self.length}"
            )


class Front(nn.Module):
    """The convolutions: patches [b, length, bands] become [b, steps, channels].

    Args:
        bands: of the patches.
        config: how the net looks.

    Attributes:
        channels: of the last convolution.
    """

    def __init__(self, bands: int, config: CNNConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.channels = 1
        pools = poolings(bands, config.blocks)
        for block, pool in enumerate(pools):
            wider = config.channels * min(2**block, _MOST_CHANNELS)
            layers += [
                # batch normalisation has a bias of its own
                nn.Conv2d(self.channels, wider, 3, padding=1, bias=False),
                nn.MaxPool2d((1 if block == len(pools) - 1 else 2, pool), ceil_mode=True),
                nn.BatchNorm2d(wider),
                nn.ELU(),
                nn.Dropout2d(config.dropout),
            ]
            self.channels = wider
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve patches."""
        found: Tensor = self.layers(x.unsqueeze(1))  # [b, channels, steps, 1]
        return found.squeeze(3).transpose(1, 2)


class CNN(nn.Module):
    """Convolutions, the mean over time, and a linear layer: [b, length, bands] to [b, c]."""

    def __init__(self, bands: int, classes: int, config: CNNConfig) -> None:
        super().__init__()
        self.front = Front(bands, config)
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Linear(self.front.channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score patches against every class."""
        return cast(Tensor, self.last(self.dropout(self.front(x).mean(dim=1))))


def fit(
    frames: Frames,
    labels: Labels,
    *,
    config: CNNConfig | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_epoch: OnEpoch | None = None,
) -> PatchNet:
    """Train the net. Arguments and errors are those of `patch_training.fit_patches`."""
    chosen = config or CNNConfig()
    return fit_patches(
        lambda bands, classes: CNN(bands, classes, chosen),
        frames,
        labels,
        chosen,
        seed=seed,
        device=device,
        on_epoch=on_epoch,
    )


def poolings(bands: int, blocks: int) -> list[int]:
    """Split the pooling of so many bands into one evenly over the blocks."""
    pools = []
    for left in range(blocks, 0, -1):
        # rounded, as 125 ** (1 / 3) is a little above 5
        pools.append(math.ceil(round(bands ** (1 / left), 9)))
        bands = math.ceil(bands / pools[-1])
    return pools
