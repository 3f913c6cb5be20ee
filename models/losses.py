"""What training makes smaller: how badly the scored heads' true tails stand among all others."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from models.link_model import LinkModel
from models.negatives import DrawnBy, TruePairs

Negatives = int | Literal["all"]


class LinkLoss:
    """Softmax cross-entropy over tails, or a binary one where heads have several.

    Args:
        known: true pairs of the training split.
        multi_label: some head has more than one tail.
        negatives: false tails drawn for each true one, or "all" of them.
        drawn_by: how they are drawn.
        balance: power of a tail's rarity by which its heads weigh more; 0: all heads weigh the
            same, 1: all tails do. Binary, against all: power of false over true heads by which a
            true one weighs more.
    """

    def __init__(
        self,
        known: TruePairs,
        multi_label: bool,
        *,
        negatives: Negatives = "all",
        drawn_by: DrawnBy = "uniform",
        balance: float = 0.0,
    ) -> None:
        self.known = known
        self.multi_label = multi_label
        self.negatives = negatives
        self.drawn_by = drawn_by
        true = torch.bincount(known.edges[1], minlength=known.num_tails).double()
        heads = int((known.degree > 0).sum())
        rarity = true.clamp(min=1).reciprocal() ** balance
        # on average over the true pairs 1, so that the step stays as long as it was
        self.weight = (rarity * true.sum() / (rarity * true).sum()).float()
        self.true_weight = ((heads - true).clamp(min=1) * true.clamp(min=1).reciprocal()) ** balance
        self.true_weight = self.true_weight.float()

    def __call__(
        self,
        model: LinkModel,
        h: dict[str, Tensor],
        heads: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Compute the loss of heads [b], each with at least one known tail: a scalar.

        Args:
            model: gives the scores.
            h: the last layer's output.
            heads: [b].
            generator: source of chance for the negatives.
        """
        if self.negatives != "all":
            return self._sampled(model, h, heads, self.negatives, generator)
        weight = self.true_weight if self.multi_label else self.weight
        scores = model.score_all(h, heads)
        return full_loss(scores, self.known.mask(heads), self.multi_label, weight)

    def _sampled(
        self,
        model: LinkModel,
        h: dict[str, Tensor],
        heads: Tensor,
        k: int,
        generator: torch.Generator,
    ) -> Tensor:
        known = self.known
        head_type, _, tail_type = model.shape.target
        chosen = torch.zeros_like(known.degree, dtype=torch.bool)
        chosen[heads] = True
        pairs = known.edges[:, chosen[known.edges[0]]]
        false = known.sample(pairs[0], k, generator, self.drawn_by)
        drawn = false >= 0
        tails = torch.cat([pairs[1][:, None], false.clamp(min=0)], dim=1)
        scores = model.decoder(h[head_type][pairs[0]], 0, h[tail_type][tails])  # [pairs, 1 + k]
        weight = self.weight[pairs[1]]
        if self.multi_label:
            truth = torch.zeros_like(scores)
            truth[:, 0] = 1
            real = torch.cat([torch.ones_like(drawn[:, :1]), drawn], dim=1)
            each = weight[:, None].expand_as(scores)[real]
            return F.binary_cross_entropy_with_logits(scores[real], truth[real], each)
        # a draw stands for 1 / (k chance) tails, so the loss estimates that over all tails
        chance = known.chance(pairs[0], tails[:, 1:], self.drawn_by)
        correction = F.pad(-(k * chance).log(), (1, 0))
        answer = torch.zeros(scores.size(0), dtype=torch.long, device=scores.device)
        each = F.cross_entropy(scores + correction, answer, reduction="none")
        return (weight * each).sum() / weight.sum()


def full_loss(
    scores: Tensor, truth: Tensor, multi_label: bool, weight: Tensor | None = None
) -> Tensor:
    """Loss over all tails: softmax or binary cross-entropy.

    Args:
        scores: [b, n].
        truth: bool [b, n].
        multi_label: a head may have several tails.
        weight: [n] of a head by its tail; binary: of a true one against a false one.

    Returns:
        A scalar.
    """
    if multi_label:
        return F.binary_cross_entropy_with_logits(scores, truth.to(scores.dtype), pos_weight=weight)
    return F.cross_entropy(scores, truth.long().argmax(dim=1), weight)
