"""What a head's scores come from: the same scores without a neighbour, a relation, a family.

Nothing is estimated by gradients: each piece is left out and the head is scored again. All variants
of a head are scored at once, as heads that the graph doesn't hold (`LinkModel.score_new`): they
hear from the same neighbours, whose layer outputs stay as they are. So what is left out are the
messages to the head. What the head itself then says to its neighbours, which comes back to it, is
not followed; `benchmarks/explain.py` holds that against passes over the whole graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.hierarchy import Implied, lift
from models.link_model import LinkModel, reverse_of
from models.sparse import EdgeType

# Edges that are looked at together: variants of a head with many neighbours are scored in turns.
EDGES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Neighbour:
    """Who sends messages to the head.

    Attributes:
        relation: the edge type by which; of an edge type and its reverse the one that isn't `rev_`.
        number: which node of the other type.
    """

    relation: EdgeType
    number: int


@dataclass(frozen=True)
class Attribution:
    """Scores of one head against every tail, [n_tail] each, with all and without some of it.

    Attributes:
        scores: with everything.
        without_neighbour: without one neighbour's messages; the mean of its relation is then over
            the others. One that is linked in both directions goes with both.
        without_relation: without all of a relation's.
        alone: without any message: what the head's own features say.
        without_group: with the columns of one family of features at 0, which is the mean, and all
            messages.
        unheard: with all columns at 0, and all messages.
    """

    scores: Tensor
    without_neighbour: Mapping[Neighbour, Tensor]
    without_relation: Mapping[EdgeType, Tensor]
    alone: Tensor
    without_group: Mapping[str, Tensor]
    unheard: Tensor


def lifted(found: Attribution, implied: Implied) -> Attribution:
    """The same where a tail's score is at least those of tails that imply it (`hierarchy.lift`)."""
    if not implied:
        return found
    return Attribution(
        lift(found.scores, implied),
        {key: lift(scores, implied) for key, scores in found.without_neighbour.items()},
        {key: lift(scores, implied) for key, scores in found.without_relation.items()},
        lift(found.alone, implied),
        {key: lift(scores, implied) for key, scores in found.without_group.items()},
        lift(found.unheard, implied),
    )


def attribute(
    model: LinkModel,
    x: Tensor,
    neighbours: Mapping[EdgeType, Tensor],
    layers: Sequence[Mapping[str, Tensor]],
) -> Attribution:
    """Score a head with all it has, and without each single piece of it.

    Smoothing is part of it: a neighbour that is left out isn't averaged over either.

    Args:
        model: a trained model.
        x: [d], the head's standardised features.
        neighbours: {edge type that ends in the head type: [e]}, numbers of the existing senders.
            Those of the target relation are the head's own answer, and don't belong here.
        layers: layer outputs of the graph, from `training.layer_outputs`; for a head that was
            trained on those of the pass that scores it (`scored=`), as in all others its neighbours
            and the tails have heard its answer.

    Returns:
        The scores; those with everything are what `training.predict` gives.

    Raises:
        ValueError: target edges are among the neighbours, or these don't fit the graph.
    """
    named = (*model.shape.relations, *model.shape.gathering)
    relation_of = {reverse_of(relation): relation for relation in named}
    if model.shape.target in map(relation_of.get, neighbours):
        raise ValueError(f"{model.shape.target} is what is scored: it can't be heard from")
    place: dict[Neighbour, int] = {}
    heard = {}
    for edge_type, senders in neighbours.items():
        relation = relation_of.get(edge_type, edge_type)
        sending = [Neighbour(relation, number) for number in senders.tolist()]
        heard[edge_type] = torch.tensor(
            [place.setdefault(each, len(place)) for each in sending]
        ).long()
    relations = list(dict.fromkeys(each.relation for each in place))
    families = model.shape.groups

    n = len(place)
    every_relation = [relations.index(each.relation) for each in place]
    of_relation = torch.tensor(every_relation, dtype=torch.long)
    whole_relation = of_relation == torch.arange(len(relations))[:, None]
    # which neighbours each variant lacks: none, all, one, those of a relation, and again none
    gone = torch.cat([
        torch.zeros(1, n).bool(),
        torch.ones(1, n).bool(),
        torch.eye(n).bool(),
        whole_relation,
        torch.zeros(1 + len(families), n).bool(),
    ])  # fmt: skip
    features = x.repeat(gone.size(0), 1)
    features[-1 - len(families)] = 0
    for row, columns in enumerate(families.values(), start=-len(families)):
        features[row, slice(*columns)] = 0

    found = _scored(model, features, neighbours, heard, gone, layers)
    (scores, alone), single, whole, (unheard, *groups) = torch.split(
        found, [2, n, len(relations), 1 + len(families)]
    )
    return Attribution(
        scores=scores,
        without_neighbour=dict(zip(place, single, strict=True)),
        without_relation=dict(zip(relations, whole, strict=True)),
        alone=alone,
        without_group=dict(zip(families, groups, strict=True)),
        unheard=unheard,
    )


def _scored(
    model: LinkModel,
    features: Tensor,
    neighbours: Mapping[EdgeType, Tensor],
    heard: Mapping[EdgeType, Tensor],
    gone: Tensor,
    layers: Sequence[Mapping[str, Tensor]],
) -> Tensor:
    """Score the variants of a head: [variants, n_tail].

    Args:
        model: the model.
        features: [variants, d].
        neighbours: as in `attribute`.
        heard: which neighbour each of these edges comes from, [e].
        gone: bool [variants, n], which neighbours each lacks.
        layers: as in `attribute`.
    """
    edges = sum(senders.numel() for senders in neighbours.values())
    scores = []
    pieces = _pieces(model, neighbours, layers)
    at_once = max(1, EDGES_AT_ONCE // max(edges, 1))
    for some in torch.split(torch.arange(gone.size(0)), at_once):
        left: dict[EdgeType, Tensor] = {}
        said: Tensor | None = None
        for edge_type, senders in neighbours.items():
            receivers, edge = (~gone[some][:, heard[edge_type]]).nonzero().unbind(1)
            left[edge_type] = torch.stack([senders[edge], receivers])
            if edge_type in pieces:
                own = (~gone[some][:, heard[edge_type]]).float() @ pieces[edge_type]
                said = own if said is None else said + own
        scores.append(model.score_new(features[some], left, layers, said))
    return torch.cat(scores)


def _pieces(
    model: LinkModel,
    neighbours: Mapping[EdgeType, Tensor],
    layers: Sequence[Mapping[str, Tensor]],
) -> dict[EdgeType, Tensor]:
    """What each gathered neighbour adds to the mean of `kinship.joined`: [e, n_tail] by relation.

    The mean of fewer would be another one: without the weaker of two that agree it is higher, and
    the weaker one would seem to speak against what it speaks for.
    """
    found: dict[EdgeType, Tensor] = {}
    for edge_type, senders in neighbours.items():
        if edge_type[0] in model.shape.gathered:
            said = layers[-1][edge_type[0]][senders]
            speaking = int((said != 0).any(dim=1).sum())
            if speaking:
                found[edge_type] = said / speaking
    return {edge_type: said / len(found) for edge_type, said in found.items()}
