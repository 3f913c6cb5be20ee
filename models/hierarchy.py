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

LIKELY: Final = 0.5
"""One goes on to a kind that is at least so probable as what it is a kind of: likelier than not, if
that is right. Of AudioSet's clips 38 in 100 get a kind so, and 56 of the first genres are right; by
0.3 it is 60 and 46, by 0.7 it is 21 and 60, with the top genres alone 0 and 62."""


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


def next_kinds(scores: Tensor, probabilities: Tensor, implied: Implied) -> Tensor:
    """To which kind one goes on from each tail, if that is so: the most probable, where likely.

    Args:
        scores: [b, n], from `lift`, so that the kinds of a kind come after it.
        probabilities: [b, n], in their order.
        implied: which tails imply which.

    Returns:
        int32 [b, n]: a tail, or -1 where one goes no further.
    """
    following = scores.new_full(scores.shape, -1, dtype=torch.int32)
    for above, below in implied:
        kind = torch.tensor(list(below))[scores[:, list(below)].argmax(dim=1)]
        share = probabilities.gather(1, kind[:, None])[:, 0]
        likely = share >= LIKELY * probabilities[:, above]
        following[:, above] = torch.where(likely, kind, -1).to(torch.int32)
    return following


def ways_down(scores: Tensor, probabilities: Tensor, implied: Implied) -> Tensor:
    """From the highest tail of each head to ever more specific ones, as far as they are likely.

    Args:
        scores: see `next_kinds`.
        probabilities: see `next_kinds`.
        implied: see `next_kinds`.

    Returns:
        int64 [b, steps]: tails, -1 where a way has ended.
    """
    if not len(scores):
        return torch.zeros(0, 1, dtype=torch.long)
    at = scores.argmax(dim=1)
    way = [at]
    following = next_kinds(scores, probabilities, implied).long() if implied else None
    while following is not None:
        on = following.gather(1, at.clamp(min=0)[:, None])[:, 0]
        at = torch.where(at >= 0, on, -1)
        if not bool((at >= 0).any()):
            break
        way.append(at)
    return torch.stack(way, dim=1)
