"""musicnn: a convolutional network that tags music by how it sounds.

Pons, Nieto, Prockup, Schmidt, Ehmann, Serra 2018, "End-to-end learning for music audio tagging at
scale"; Pons and Serra 2019, "musicnn: Pre-trained convolutional neural networks for music audio
tagging". A front end of filters as wide as timbres (7 frames, 0.4 and 0.7 of the bands) and as
long as rhythms (32 to 128 frames), three residual convolutions over time, pooling over time, and
two dense layers. It was trained in TensorFlow; this is the same in evaluation mode.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BANDS, TAGS = 96, 50
_TIMBRAL, _TEMPORAL = (38, 67), (128, 64, 32)  # bands; frames
_TIMBRAL_CHANNELS, _TEMPORAL_CHANNELS = 204, 51
_MIDDLE, _DENSE = 64, 200
FRONT = len(_TIMBRAL) * _TIMBRAL_CHANNELS + len(_TEMPORAL) * _TEMPORAL_CHANNELS
POOLED = 2 * (FRONT + 3 * _MIDDLE)
_EPSILON = 1e-3  # of TensorFlow's batch normalisation


@dataclass(frozen=True)
class Heard:
    """What the network hears in p patches.

    Attributes:
        tags: [p, 50], how likely each tag is.
        penultimate: [p, 200], what the tags are told from.
        pooled: [p, 1506], front and middle over time: each channel's maximum beside its mean.
    """

    tags: Tensor
    penultimate: Tensor
    pooled: Tensor


class Musicnn(nn.Module):
    """The network; its weights come from a state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.BatchNorm2d(1, eps=_EPSILON)
        self.timbral = nn.ModuleList(_Block((7, width), _TIMBRAL_CHANNELS) for width in _TIMBRAL)
        self.temporal = nn.ModuleList(
            _Block((length, 1), _TEMPORAL_CHANNELS) for length in _TEMPORAL
        )
        self.middle = nn.ModuleList(
            nn.Conv1d(width, _MIDDLE, 7, padding=3) for width in (FRONT, _MIDDLE, _MIDDLE)
        )
        self.middle_norm = nn.ModuleList(nn.BatchNorm1d(_MIDDLE, eps=_EPSILON) for _ in range(3))
        self.pooled_norm = nn.BatchNorm1d(POOLED, eps=_EPSILON)
        self.dense = nn.Linear(POOLED, _DENSE)
        self.dense_norm = nn.BatchNorm1d(_DENSE, eps=_EPSILON)
        self.output = nn.Linear(_DENSE, TAGS)

    def forward(self, patches: Tensor) -> Heard:
        """Listen to patches.

        Args:
            patches: [p, frames, 96], log-mel spectra; trained on 187 frames.
        """
        x = self.input(patches.unsqueeze(1))
        front = torch.cat([block(x) for block in (*self.timbral, *self.temporal)], dim=1)
        layers = [front]
        for number, (convolution, norm) in enumerate(
            zip(self.middle, self.middle_norm, strict=True)
        ):
            heard = norm(F.relu(convolution(layers[-1])))
            layers.append(heard if number == 0 else heard + layers[-1])
        joined = torch.cat(layers, dim=1)
        # Maximum and mean of a channel stand side by side: so TensorFlow flattens them.
        pooled = torch.stack([joined.amax(dim=2), joined.mean(dim=2)], dim=2).flatten(1)
        penultimate = self.dense_norm(F.relu(self.dense(self.pooled_norm(pooled))))
        return Heard(torch.sigmoid(self.output(penultimate)), penultimate, pooled)


class _Block(nn.Module):
    """A convolution over a window of frames and bands, and its maximum over the bands."""

    def __init__(self, kernel: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, channels, kernel)
        self.norm = nn.BatchNorm2d(channels, eps=_EPSILON)
        # TensorFlow pads an even kernel with one frame less in front than behind.
        self._before, self._after = (kernel[0] - 1) // 2, kernel[0] // 2

    def forward(self, x: Tensor) -> Tensor:
        """[p, 1, frames, bands] to [p, channels, frames]."""
        heard = self.convolution(F.pad(x, (0, 0, self._before, self._after)))
        # The maximum over the bands of what is rectified and normalised, found before both: they
        # keep the order of a channel's values, or turn it round where its scale is negative.
        upright = (self.norm.weight >= 0)[:, None]
        best = torch.where(upright, heard.amax(dim=3), heard.amin(dim=3))
        normalised: Tensor = self.norm(F.relu(best).unsqueeze(3)).squeeze(3)
        return normalised


def from_tensorflow(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of `Musicnn` from the variables of the TensorFlow checkpoint.

    Args:
        weights: By TensorFlow's names; what the optimiser kept is left aside.

    Raises:
        KeyError: one is missing.
    """
    found: dict[str, Tensor] = {}

    def norm(name: str, number: int) -> None:
        own = "batch_normalization" + (f"_{number}" if number else "")
        for ours, theirs in (
            ("weight", "gamma"),
            ("bias", "beta"),
            ("running_mean", "moving_mean"),
            ("running_var", "moving_variance"),
        ):
            found[f"{name}.{ours}"] = weights[f"{own}/{theirs}"]
        found[f"{name}.num_batches_tracked"] = torch.tensor(0)

    def convolution(name: str, number: int, *, flat: bool = False) -> None:
        own = "conv2d" + (f"_{number}" if number else "")
        kernel = weights[f"{own}/kernel"].permute(3, 2, 0, 1)  # [out, in, frames, bands]
        # In the middle, what TensorFlow calls bands are the channels below.
        found[f"{name}.weight"] = (
            kernel.squeeze(1).transpose(1, 2) if flat else kernel
        ).contiguous()
        found[f"{name}.bias"] = weights[f"{own}/bias"]

    def dense(name: str, own: str) -> None:
        found[f"{name}.weight"] = weights[f"{own}/kernel"].T.contiguous()
        found[f"{name}.bias"] = weights[f"{own}/bias"]

    norm("input", 0)
    blocks = [f"timbral.{n}" for n in range(2)] + [f"temporal.{n}" for n in range(3)]
    for number, block in enumerate(blocks):
        convolution(f"{block}.convolution", number)
        norm(f"{block}.norm", number + 1)
    for number in range(3):
        convolution(f"middle.{number}", number + 5, flat=True)
        norm(f"middle_norm.{number}", number + 6)
    norm("pooled_norm", 9)
    dense("dense", "dense")
    norm("dense_norm", 10)
    dense("output", "dense_1")
    return found
