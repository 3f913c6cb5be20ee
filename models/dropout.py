"""Dropout whose chance is cheap: on the CPU torch's own draws a number for every value, one after
the other, which was a fifth of a training step.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# A 64-bit draw decides over four values, each with a chance that is exact to 1 / 65,536.
_BITS = 16


def dropout(h: Tensor, share: float, training: bool) -> Tensor:
    """Set a random share of the values of h to 0 and scale the others up; outside training: h.

    Chance comes from torch's global generator.
    """
    if not training or not share:
        return h
    if h.device.type != "cpu":
        return F.dropout(h, share)
    threshold = min(round(share * 2**_BITS), 2**_BITS - 1)  # something is left of any share below 1
    draws = torch.empty((h.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: h.numel()].view(h.shape) >= threshold - 2 ** (_BITS - 1)
    dropped: Tensor = _Kept.apply(h, kept, 1 / (1 - threshold / 2**_BITS))
    return dropped


class _Kept(torch.autograd.Function):
    """The kept values, scaled: only a byte for each is remembered for the way back."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return (h * kept).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return (gradients[0] * kept).mul_(ctx.scale), None, None
