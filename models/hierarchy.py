"""Scores that keep to a hierarchy of tails: what is so of a kind is so of what it is a kind of."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

Implied = Sequence[tuple[int, Sequence[int]]]
"""Tails with the tails that imply them, each after all that imply it."""

MARGIN: Final = 1e-3
"""How far a tail stays above those that imply it, so that no tie decides which is first; as a
logit, a probability of 0.00025 at most."""


def lift(scores: Tensor, implied: Implied) -> Tensor:
    """Raise each tail's score to those of the tails that imply it.

    The max constraint of Giunchiglia and Lukasiewicz 2020 (C-HMCNN, eq. 2): s_a = max(s_a, max over
    b below a of s_b). Doing it again changes nothing.

    Args:
        scores: [..., n].
        implied: which tails imply which.

    Returns:
        [..., n], a copy where something is implied.
    """
    if not implied:
        return scores
    lifted = scores.clone()
    for above, below in implied:
        highest = lifted[..., list(below)].amax(dim=-1) + MARGIN
        lifted[..., above] = torch.maximum(lifted[..., above], highest)
    return lifted
