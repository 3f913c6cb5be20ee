"""Link prediction over many relations at once: queries, their losses and their ranks.

A query is (head, relation, ?); with an inverse of every relation, (?, relation, tail) is one too.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.distmult import DistMult
from models.negatives import TruePairs


def with_inverses(triples: Tensor, num_relations: int) -> Tensor:
    """Append to triples [t, 3] of (head, relation, tail) their inverses: [2 t, 3].

    Relation r's inverse has the number r + num_relations.
    """
    head, relation, tail = triples.unbind(dim=1)
    return torch.cat([triples, torch.stack([tail, relation + num_relations, head], dim=1)])


class Queries:
    """The distinct (head, relation) queries of triples, numbered, and the tails that answer them.

    Args:
        triples: [t, 3], (head, relation, tail); duplicates count once.
        num_entities: how many nodes may be heads and tails.

    Raises:
        ValueError: there are no triples, or they name an entity that isn't there.

    Attributes:
        heads: [q].
        relations: [q].
        answers: true pairs of a query's number and a tail.
    """

    def __init__(self, triples: Tensor, num_entities: int) -> None:
        if not triples.size(0):
            raise ValueError("there are no triples")
        self.num_entities = num_entities
        self._keys, number = torch.unique(self._key(triples), return_inverse=True)
        self.heads, self.relations = self._keys % num_entities, self._keys // num_entities
        self.answers = TruePairs(
            torch.stack([number, triples[:, 2]]), self._keys.numel(), num_entities
        )
        self._starts = self.answers.degree.cumsum(0) - self.answers.degree
        self._pairs = self.answers.edges[0] * num_entities + self.answers.edges[1]

    def __len__(self) -> int:
        return len(self.heads)

    def of(self, triples: Tensor) -> Tensor:
        """Number of the query of each triple [t, 3]: [t].

        Raises:
            ValueError: a triple asks what none of the queries does.
        """
        keys = self._key(triples)
        number = torch.searchsorted(self._keys, keys).clamp(max=len(self) - 1)
        if not torch.equal(self._keys[number], keys):
            raise ValueError("a triple asks what none of these queries does")
        return number

    def tails(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """True tails of queries [b], one after the other: [m], and before it whose: 0..b-1, [m]."""
        degree = self.answers.degree[numbers]
        row = torch.repeat_interleave(torch.arange(numbers.numel(), device=degree.device), degree)
        nth = torch.arange(row.numel(), device=degree.device) - (degree.cumsum(0) - degree)[row]
        return row, self.answers.edges[1][self._starts[numbers][row] + nth]

    def answered_by(self, numbers: Tensor, tails: Tensor) -> Tensor:
        """Tell for queries [b] which of their tails [b, k] are true: bool [b, k]."""
        pairs = numbers[:, None] * self.num_entities + tails
        place = torch.searchsorted(self._pairs, pairs).clamp(max=self._pairs.numel() - 1)
        return torch.eq(self._pairs[place], pairs)

    def scores(
        self, decoder: DistMult, z: Tensor, numbers: Tensor, tails: Tensor | None = None
    ) -> Tensor:
        """Score tails [b, k], default all, as answers of queries [b]: [b, k].

        Args:
            decoder: has a vector for each relation.
            z: [n, d] embeddings of the entities.
            numbers: [b].
            tails: [b, k].
        """
        # embedding, not z[tails]: the same, with a gradient that is made in a third of the time
        candidates = z if tails is None else F.embedding(tails, z)
        scored: Tensor = decoder(z[self.heads[numbers]], self.relations[numbers], candidates)
        return scored

    def _key(self, triples: Tensor) -> Tensor:
        heads, relations, _ = triples.unbind(dim=1)
        if int(heads.min()) < 0 or int(heads.max()) >= self.num_entities:
            raise ValueError(f"a triple names an entity outside 0..{self.num_entities - 1}")
        return relations.long() * self.num_entities + heads


def all_loss(queries: Queries, decoder: DistMult, z: Tensor, numbers: Tensor) -> Tensor:
    """1-vs-all softmax cross-entropy of all true tails of queries [b], summed: a scalar.

    Every true triple counts once, as it does where ranks are averaged (the full multiclass
    log-softmax of Lacroix et al. 2018, "Canonical Tensor Decomposition for Knowledge Base
    Completion"); a query's scores are made once for all its answers.
    """
    row, tails = queries.tails(numbers)
    loss: Tensor = _CrossEntropy.apply(queries.scores(decoder, z, numbers), row, tails)
    return loss


class _CrossEntropy(torch.autograd.Function):
    """Softmax cross-entropy of some cells of scores [b, n], each at most once, summed.

    The gradient is made where the probabilities lie: torch's own takes two more matrices of that
    size and twice the time.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, row: Tensor, column: Tensor) -> Tensor:
        logs = F.log_softmax(scores, dim=1)
        ctx.save_for_backward(logs, row, column)
        return -logs[row, column].sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        logs, row, column = ctx.saved_tensors
        count = torch.bincount(row, minlength=logs.size(0)).to(logs.dtype)
        gradient = logs.exp_().mul_(count[:, None])
        gradient[row, column] -= 1
        return gradient.mul_(gradients[0]), None, None


def sampled_loss(
    queries: Queries,
    decoder: DistMult,
    z: Tensor,
    pairs: Tensor,
    k: int,
    generator: torch.Generator,
) -> Tensor:
    """Binary cross-entropy of true pairs and of k random tails for each, summed: a scalar.

    A random tail that is true is left out.

    Args:
        queries: what is true.
        decoder: scores.
        z: [n, d] embeddings of the entities.
        pairs: [2, b], row 0 queries, row 1 a true tail of each.
        k: how many.
        generator: source of chance.
    """
    numbers, true = pairs
    drawn = torch.randint(queries.num_entities, (numbers.numel(), k), generator=generator)
    drawn = drawn.to(z.device)
    scores = queries.scores(decoder, z, numbers, torch.cat([true[:, None], drawn], dim=1))
    false = ~queries.answered_by(numbers, drawn)
    return F.softplus(scores[:, 1:])[false].sum() + F.softplus(-scores[:, 0]).sum()


def backward_in_chunks(
    z: Tensor, chunks: Iterable[Tensor], loss_of: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """Add up gradients of losses that share embeddings z, one chunk's at a time.

    Only one chunk's scores are held at once, and what made z is gone through once.

    Args:
        z: [n, d], not a leaf.
        chunks: what each loss is of.
        loss_of: gives the loss of (z, chunk), a scalar.

    Returns:
        The sum of the losses.
    """
    leaf = z.detach().requires_grad_()
    total = 0.0
    for chunk in chunks:
        loss = loss_of(leaf, chunk)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    z.backward(leaf.grad)  # type: ignore[no-untyped-call]
    return total


def realistic_ranks(scores: Tensor, answer: Tensor, true: Tensor) -> Tensor:
    """Filtered rank of an answer among all tails that aren't true: [b], from 1.

    The mean of the optimistic and the pessimistic rank: of tails that score the same as the
    answer, half count as better. A score that isn't a number is better than the answer's.

    Args:
        scores: [b, n].
        answer: [b], the tail that is asked for.
        true: bool [b, n], all true tails, the answer among them.
    """
    own = scores.gather(1, answer[:, None])
    others = scores.masked_fill(true, torch.nan)  # neither below nor the same
    # bytes are summed several times faster than truth values
    below = (others < own).view(torch.uint8).sum(dim=1, dtype=torch.int32)
    same = (others == own).view(torch.uint8).sum(dim=1, dtype=torch.int32)
    return 1 + (~true).sum(dim=1) - below - same.double() / 2


@torch.no_grad()
def filtered_ranks(
    decoder: DistMult, z: Tensor, triples: Tensor, known: Queries, chunk: int = 256
) -> Tensor:
    """Rank the tail of each triple [t, 3] among the tails that aren't true: [t].

    Args:
        decoder: scores.
        z: [n, d] embeddings of the entities.
        triples: [t, 3].
        known: the queries of all true triples, of all splits.
        chunk: how many are scored at once.
    """
    ranks = []
    for some in torch.split(triples, chunk):
        numbers = known.of(some)
        scores = known.scores(decoder, z, numbers)
        ranks.append(realistic_ranks(scores, some[:, 2], known.answers.mask(numbers)))
    return torch.cat(ranks)
