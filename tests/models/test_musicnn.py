"""musicnn's network: shapes, and each layer against a plain sum."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from models.musicnn import BANDS, POOLED, TAGS, Musicnn, from_tensorflow

TIMBRAL, TEMPORAL = ((7, 38), (7, 67)), ((128, 1), (64, 1), (32, 1))


def tensorflow_weights() -> dict[str, Tensor]:
    """Weights under TensorFlow's names and in its shapes."""
    chance = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}

    def numbered(name: str, number: int) -> str:
        return f"{name}_{number}" if number else name

    def norm(number: int, width: int) -> None:
        for part in ("gamma", "beta", "moving_mean"):
            found[f"{numbered('batch_normalization', number)}/{part}"] = torch.randn(
                width, generator=chance
            )
        variance = torch.rand(width, generator=chance) + 0.5
        found[f"{numbered('batch_normalization', number)}/moving_variance"] = variance

    kernels = [(*size, 1, 204) for size in TIMBRAL] + [(*size, 1, 51) for size in TEMPORAL]
    kernels += [(7, width, 1, 64) for width in (561, 64, 64)]
    norm(0, 1)
    for number, kernel in enumerate(kernels):
        scale = torch.tensor(kernel[:-1]).prod() ** -0.5
        found[f"{numbered('conv2d', number)}/kernel"] = scale * torch.randn(
            kernel, generator=chance
        )
        found[f"{numbered('conv2d', number)}/bias"] = torch.randn(kernel[-1], generator=chance)
        norm(number + 1, kernel[-1])
    norm(9, POOLED)
    for name, size in (("dense", (POOLED, 200)), ("dense_1", (200, TAGS))):
        found[f"{name}/kernel"] = 0.05 * torch.randn(size, generator=chance)
        found[f"{name}/bias"] = torch.randn(size[1], generator=chance)
    norm(10, 200)
    return found


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return tensorflow_weights()


@pytest.fixture(scope="module")
def network(weights: dict[str, Tensor]) -> Musicnn:
    net = Musicnn()
    net.load_state_dict(from_tensorflow(weights))
    return net.eval()


def normalised(weights: dict[str, Tensor], number: int, x: Tensor) -> Tensor:
    """Over the last axis, as TensorFlow lays it out."""
    own = f"batch_normalization_{number}" if number else "batch_normalization"
    mean, variance = weights[f"{own}/moving_mean"], weights[f"{own}/moving_variance"]
    scaled = (x - mean) / (variance + 1e-3).sqrt()
    return scaled * weights[f"{own}/gamma"] + weights[f"{own}/beta"]


def as_tensorflow_says(weights: dict[str, Tensor], patch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One patch [frames, 96] through the network as its source reads, with plain sums."""
    x = normalised(weights, 0, patch[..., None])[..., 0]
    front = []
    for number, (length, width) in enumerate((*TIMBRAL, *TEMPORAL)):
        own = f"conv2d_{number}" if number else "conv2d"
        kernel, bias = weights[f"{own}/kernel"][:, :, 0], weights[f"{own}/bias"]
        padded = pad(x, (0, 0, (length - 1) // 2, length // 2))
        windows = padded.unfold(0, length, 1).unfold(1, width, 1)  # [frames, bands', l, w]
        heard = torch.einsum("tblw,lwc->tbc", windows, kernel) + bias
        front.append(normalised(weights, number + 1, heard.relu()).amax(dim=1))
    layers = [torch.cat(front, dim=1)]
    for number in range(3):
        kernel = weights[f"conv2d_{number + 5}/kernel"][:, :, 0]
        windows = pad(layers[-1], (0, 0, 3, 3)).unfold(0, 7, 1)  # [frames, channels, 7]
        heard = torch.einsum("tcl,lcd->td", windows, kernel)
        heard = normalised(
            weights, number + 6, (heard + weights[f"conv2d_{number + 5}/bias"]).relu()
        )
        layers.append(heard if number == 0 else heard + layers[-1])
    joined = torch.cat(layers, dim=1)
    pooled = torch.stack([joined.amax(dim=0), joined.mean(dim=0)], dim=1).flatten()
    dense = normalised(weights, 9, pooled) @ weights["dense/kernel"] + weights["dense/bias"]
    penultimate = normalised(weights, 10, dense.relu())
    tags = penultimate @ weights["dense_1/kernel"] + weights["dense_1/bias"]
    return tags.sigmoid(), penultimate, pooled


@pytest.mark.parametrize("frames", [187, 140])
def test_each_layer_is_what_its_source_says(
    weights: dict[str, Tensor], network: Musicnn, frames: int
) -> None:
    patches = torch.rand(2, frames, BANDS, generator=torch.Generator().manual_seed(1)) * 4
    with torch.inference_mode():
        heard = network(patches)
    assert heard.tags.shape == (2, TAGS)
    for number, patch in enumerate(patches):
        tags, penultimate, pooled = as_tensorflow_says(weights, patch)
        torch.testing.assert_close(heard.pooled[number], pooled, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(heard.penultimate[number], penultimate, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(heard.tags[number], tags, rtol=1e-3, atol=1e-3)


def test_a_weight_that_is_missing_is_named(weights: dict[str, Tensor]) -> None:
    with pytest.raises(KeyError, match="conv2d_6/kernel"):
        from_tensorflow({k: v for k, v in weights.items() if k != "conv2d_6/kernel"})
