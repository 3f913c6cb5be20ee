"""What the answers of others say of a head that hangs on the same nodes: an artist's other songs.

An encoder learns little of it. Its features tell nearly every head that is trained on, so that
nothing is left for the answers of others to explain; and in training most of these are hidden. So
they are counted: n_g of a node's n heads have tail g. With a Dirichlet prior whose mean is how
frequent tails are, p, and whose concentration a is the likeliest for the nodes at hand (each head
told by the others), the next head has tail g with (n_g + a p_g) / (n + a). Over p_g, that is what
Bayes' rule multiplies the odds by which features give: its logarithm is added to the scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.sparse import EdgeType, MeanAdjacency

# Concentrations that are tried: from "all heads of a node are alike" to "a node tells nothing".
CONCENTRATIONS = tuple(float(10 ** (power / 4)) for power in range(-8, 17))
# Heads times tails that are looked at together: a block's tables take some 16 MB each.
CELLS_AT_ONCE = 1 << 22
# Measured by benchmarks/kinship.py: what an answer takes while all are counted, and how many tables
# of a block are there at once.
_BYTES_A_PAIR, _TABLES, _FLOAT = 110, 6, 4


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
            nodes, tails = self._pairs(kind, None)
            heads = self._heads(kind, None)
            others = heads[nodes] > 1
            nodes, tails = nodes[others], tails[others]
            _, cell, count = torch.unique(
                nodes * self.tails + tails, return_inverse=True, return_counts=True
            )
            prior = self._prior()[tails]
            own, n = count[cell].float() - 1, heads[nodes] - 1
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
    ) -> dict[str, "Evidence"]:
        """What each node says of each tail, by type.

        Args:
            concentration: from `fitted`.
            hidden: bool [n_head], heads whose answers aren't counted (default: none).
        """
        found = {}
        for kind in self.edges:
            nodes, tails = self._pairs(kind, hidden)
            cells, counts = torch.unique(nodes * self.tails + tails, return_counts=True)
            rows = torch.bincount(cells // self.tails, minlength=self.count[kind])
            found[kind] = Evidence(
                starts=torch.cat([rows.new_zeros(1), rows.cumsum(0)]),
                tails=(cells % self.tails).int(),
                counts=counts.float(),
                heads=self._heads(kind, hidden),
                prior=self._prior(),
                concentration=concentration[kind],
                multi_label=self.multi_label,
            )
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
        return _each_with(nodes, self.starts, heads, self.answers[1])

    def _heads(self, kind: str, hidden: Tensor | None) -> Tensor:
        """How many heads with a known answer each node has: [k]."""
        _, nodes = self._told(kind, hidden)
        return torch.bincount(nodes, minlength=self.count[kind]).float()


@dataclass(frozen=True)
class Evidence:
    """What the k nodes of a type say of tails, kept as what they have counted.

    Nodes times tails would be many, and nearly all of their counts are 0: rows are written out for
    the nodes that somebody asks.

    Attributes:
        starts: [k + 1], where the cells of each node begin.
        tails: int32 [cells], the tails that its heads have.
        counts: [cells], how many of them.
        heads: [k], how many heads with a known answer a node has.
        prior: [n_tail], how frequent tails are.
        concentration: how alike the heads of a node are.
        multi_label: a head may have several tails.
    """

    starts: Tensor
    tails: Tensor
    counts: Tensor
    heads: Tensor
    prior: Tensor
    concentration: float
    multi_label: bool

    def of(self, nodes: Tensor) -> Tensor:
        """What nodes [b] say: [b, n_tail], 0 where no answer is known."""
        at = torch.arange(len(nodes), device=nodes.device)
        cells = torch.arange(len(self.tails), device=nodes.device)
        rows, cell = _each_with(at, self.starts, nodes, cells)
        share = self.counts.new_zeros(len(nodes), len(self.prior))
        share[rows, self.tails[cell].long()] = self.counts[cell]
        heads, a = self.heads[nodes], self.concentration
        share += a * self.prior
        share /= (heads + a)[:, None]
        if self.multi_label:
            said = torch.logit(share, 1e-6) - torch.logit(self.prior, 1e-6)
        else:
            said = share.log_() - self.prior.log()
        # rounding must not make a node speak of which nothing is known
        return torch.where((heads > 0)[:, None], said, 0.0)

    def all(self) -> Tensor:
        """What every node says: [k, n_tail], written out block by block."""
        every = torch.arange(len(self.heads), device=self.heads.device)
        found = self.counts.new_empty(len(self.heads), len(self.prior))
        for some in in_blocks(every, len(self.prior)):
            found[some] = self.of(some)
        return found


def in_blocks(rows: Tensor, columns: int) -> Sequence[Tensor]:
    """Split rows [b] so that a table of a part with so many columns has `CELLS_AT_ONCE` at most."""
    return torch.split(rows, max(1, CELLS_AT_ONCE // max(columns, 1)))


def _each_with(
    values: Tensor, starts: Tensor, rows: Tensor, listed: Tensor
) -> tuple[Tensor, Tensor]:
    """Each value [b] beside all that lies in its row of a list of lists: two of [m].

    Args:
        values: [b].
        starts: where each row begins in `listed`, and where the last one ends.
        rows: [b], the row of each value.
        listed: what lies in the rows, one after the other.
    """
    degree = starts.diff()[rows]
    first = torch.repeat_interleave(starts[rows], degree)
    ends = degree.cumsum(0)
    within = torch.arange(int(degree.sum()), device=degree.device) - torch.repeat_interleave(
        ends - degree, degree
    )
    return torch.repeat_interleave(values, degree), listed[first + within]


def kin_bytes(pairs: int, heads: int, tails: int) -> int:
    """Estimate what fitting and asking takes at once beyond the graph.

    Args:
        pairs: answers of heads, once for each node that a head hangs on.
        heads: how many heads' evidence is held.
        tails: how many tails there are.
    """
    return _BYTES_A_PAIR * pairs + _FLOAT * (heads * tails + _TABLES * CELLS_AT_ONCE)


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
