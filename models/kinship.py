"""What the answers of others say of a head that hangs on the same nodes: an artist's other songs.

An encoder learns little of it. Its features tell nearly every head that is trained on, so that
nothing is left for the answers of others to explain; and in training most of these are hidden. So
they are counted: n_g of a node's n heads have tail g. With a Dirichlet prior whose mean is how
frequent tails are, p, and whose concentration a is the likeliest for the nodes at hand (each head
told by the others), the next head has tail g with (n_g + a p_g) / (n + a). Over p_g, that is what
Bayes' rule multiplies the odds by which features give: its logarithm is added to the scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.sparse import EdgeType, MeanAdjacency

# Concentrations that are tried: from "all heads of a node are alike" to "a node tells nothing".
CONCENTRATIONS = tuple(float(10 ** (power / 4)) for power in range(-8, 17))


@dataclass(frozen=True)
class Kin:
    """Heads, the nodes they hang on, and the answers that are known.

    Attributes:
        edges: by node type, heads and nodes: [2, e].
        count: by node type, how many nodes there are.
        answers: [2, t], heads and tails that are known, sorted by head.
        starts: [n_head + 1], where each head's answers begin.
        tails: how many tails there are.
        multi_label: a head may have several.
    """

    edges: Mapping[str, Tensor]
    count: Mapping[str, int]
    answers: Tensor
    starts: Tensor
    tails: int
    multi_label: bool

    @classmethod
    def of(
        cls,
        gathering: Mapping[EdgeType, Tensor],
        count: Mapping[str, int],
        answers: Tensor,
        target: EdgeType,
        *,
        multi_label: bool,
    ) -> "Kin":
        """Sort answers [2, t] by head; of gathering edges those from the target's heads count."""
        answers = answers[:, torch.argsort(answers[0], stable=True)]
        degree = torch.bincount(answers[0], minlength=count[target[0]])
        starts = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
        edges = {t[2]: pairs for t, pairs in gathering.items() if t[0] == target[0]}
        return cls(
            edges, {t: count[t] for t in edges}, answers, starts, count[target[2]], multi_label
        )

    def fitted(self) -> dict[str, float]:
        """The likeliest concentration of each node type, each head told by the node's others."""
        found = {}
        for kind in self.edges:
            counts, heads = self._counts(kind, None)
            nodes, tails = self._pairs(kind, None)
            others = heads[nodes] > 1
            nodes, tails = nodes[others], tails[others]
            prior = self._prior()[tails]
            own, n = counts[nodes, tails] - 1, heads[nodes] - 1
            gains = [
                float(((own + a * prior) / (n + a)).clamp(min=1e-12).log().sum())
                for a in CONCENTRATIONS
            ]
            # where no node has two heads nothing is known, and nothing is said
            best = max(range(len(gains)), key=gains.__getitem__) if nodes.numel() else -1
            found[kind] = CONCENTRATIONS[best]
        return found

    def evidence(
        self, concentration: Mapping[str, float], hidden: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What each node says of each tail, by type: [k, n_tail], 0 where no answer is known.

        Args:
            concentration: from `fitted`.
            hidden: bool [n_head], heads whose answers aren't counted (default: none).
        """
        prior = self._prior()
        found = {}
        for kind in self.edges:
            counts, heads = self._counts(kind, hidden)
            a = concentration[kind]
            share = (counts + a * prior) / (heads + a)[:, None]
            if self.multi_label:
                said = torch.logit(share, 1e-6) - torch.logit(prior, 1e-6)
            else:
                said = share.log() - prior.log()
            # rounding must not make a node speak of which nothing is known
            found[kind] = torch.where((heads > 0)[:, None], said, 0.0)
        return found

    def _prior(self) -> Tensor:
        """How frequent tails are, each seen once more than it was: [n_tail]."""
        seen = torch.bincount(self.answers[1], minlength=self.tails).float() + 1
        heads = int((self.starts.diff() > 0).sum())
        return seen / (heads + 2 if self.multi_label else float(seen.sum()))

    def _told(self, kind: str, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Heads and nodes of the edges whose head has a known answer."""
        heads, nodes = self.edges[kind]
        told = self.starts.diff() > 0
        if hidden is not None:
            told = told & ~hidden
        return heads[told[heads]], nodes[told[heads]]

    def _pairs(self, kind: str, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Nodes and the tails of each of their heads."""
        heads, nodes = self._told(kind, hidden)
        degree = self.starts.diff()[heads]
        first = torch.repeat_interleave(self.starts[heads], degree)
        ends = degree.cumsum(0)
        within = torch.arange(int(degree.sum()), device=degree.device) - torch.repeat_interleave(
            ends - degree, degree
        )
        return torch.repeat_interleave(nodes, degree), self.answers[1][first + within]

    def _counts(self, kind: str, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """How many heads of a node have each tail [k, n_tail], and how many it has [k]."""
        nodes, tails = self._pairs(kind, hidden)
        size = self.count[kind] * self.tails
        counts = torch.bincount(nodes * self.tails + tails, minlength=size).float()
        _, told = self._told(kind, hidden)
        heads = torch.bincount(told, minlength=self.count[kind]).float()
        return counts.view(self.count[kind], self.tails), heads


def joined(evidence: Mapping[str, tuple[Tensor, MeanAdjacency]]) -> Tensor | None:
    """What all nodes that a head hangs on say together: [n, n_tail]; None: there are no types.

    The mean over a type's nodes and then over types, as an album's songs are its artist's too; of
    those alone that say something.

    Args:
        evidence: by type, what nodes say [k, n_tail], and which of them each head hangs on.
    """
    total: Tensor | None = None
    types: Tensor | None = None
    for said, hangs in evidence.values():
        speaks = (said != 0).any(dim=1, keepdim=True).to(said.dtype)
        heard = hangs.mean(torch.cat([said, speaks], dim=1))
        share = heard[:, -1:]
        own = heard[:, :-1] / share.clamp(min=1e-12)
        total = own if total is None else total + own
        types = (share > 0).to(own.dtype) if types is None else types + (share > 0).to(own.dtype)
    return None if total is None or types is None else total / types.clamp(min=1)
