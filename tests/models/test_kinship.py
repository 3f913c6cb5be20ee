"""What the answers of a node's other heads say: counts, a prior, and nobody's own answer."""

import math

import pytest
import torch
from torch import Tensor

from models import kinship
from models.kinship import CONCENTRATIONS, Kin, joined
from models.message_graph import MessageGraph
from models.sparse import MeanAdjacency
from tests.models.graphs import TARGET, class_graph

MADE = ("item", "made_by", "maker")


def kin(makers: list[int], answers: list[tuple[int, int]], *, multi_label: bool = False) -> Kin:
    edges = torch.tensor([[i, m] for i, m in enumerate(makers) if m >= 0]).T
    count = {"item": len(makers), "maker": 1 + max(makers), "class": 3}
    told = torch.tensor(answers).T
    return Kin.of({MADE: edges}, count, told, TARGET, multi_label=multi_label)


def test_it_is_bayes_rule() -> None:
    # Maker 0: two of class 0, one of class 1; maker 1: one of class 2; maker 2: nothing known.
    found = kin([0, 0, 0, 1, 2, -1], [(2, 1), (0, 0), (1, 0), (3, 2), (5, 1)])
    said = found.evidence({"maker": 2.0})["maker"].all()
    prior = torch.tensor([3.0, 3.0, 2.0]) / 8
    expected = ((torch.tensor([2.0, 1.0, 0.0]) + 2 * prior) / 5 / prior).log()
    torch.testing.assert_close(said[0], expected)
    # Not by rounding either: who is silent isn't averaged.
    assert said[2].tolist() == [0.0, 0.0, 0.0]


def test_a_hidden_answer_is_not_counted() -> None:
    hidden = torch.tensor([True, False, False])
    whole = kin([0, 0, 0], [(0, 2), (1, 0), (2, 0)])
    other = kin([0, 0, 0], [(0, 2), (1, 0), (2, 0)])
    without = whole.evidence({"maker": 1.0}, hidden)["maker"].all()
    # The node's counts are those of the other two; the prior stays that of all.
    prior = torch.tensor([3.0, 1.0, 2.0]) / 6
    expected = ((torch.tensor([2.0, 0.0, 0.0]) + prior) / 3 / prior).log()
    torch.testing.assert_close(without[0], expected)
    everybody = other.evidence({"maker": 1.0}, torch.ones(3, dtype=torch.bool))["maker"].all()
    torch.testing.assert_close(everybody, torch.zeros(1, 3), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("pure", "low", "high"), [(True, 0.0, 0.2), (False, 20.0, 1e5)])
def test_how_alike_the_items_of_a_maker_are(pure: bool, low: float, high: float) -> None:
    chance = torch.Generator().manual_seed(0)
    makers = [i // 5 for i in range(600)]
    drawn = torch.randint(3, (600,), generator=chance).tolist()
    answers = [(i, i // 5 % 3 if pure else drawn[i]) for i in range(600)]
    found = kin(makers, answers).fitted()["maker"]
    assert low < found < high


def test_where_no_maker_has_two_items_next_to_nothing_is_said() -> None:
    lonely = kin([0, 1, 2], [(0, 0), (1, 1), (2, 2)])
    fitted = lonely.fitted()
    assert fitted == {"maker": CONCENTRATIONS[-1]}
    assert lonely.evidence(fitted)["maker"].all().abs().max() < 1e-3


def test_several_classes_an_item() -> None:
    both = kin([0, 0, 1], [(0, 0), (0, 1), (1, 0), (2, 2)], multi_label=True)
    said = both.evidence({"maker": 1.0})["maker"].all()[0]
    prior = torch.tensor([3.0, 2.0, 2.0]) / 5
    share = (torch.tensor([2.0, 1.0, 0.0]) + prior) / 3
    torch.testing.assert_close(said, torch.logit(share) - torch.logit(prior))
    assert said[0] > 0 > said[2]


def dense(found: Kin, concentration: float, hidden: Tensor) -> Tensor:
    """What is said of every head, by a table of nodes x tails that is counted answer by answer."""
    heads, nodes = found.edges["maker"]
    told = (found.starts.diff() > 0) & ~hidden
    table = torch.zeros(found.count["maker"], found.tails)
    many = torch.zeros(found.count["maker"])
    for head, node in zip(heads.tolist(), nodes.tolist(), strict=True):
        if told[head]:
            many[node] += 1
            for answer in range(int(found.starts[head]), int(found.starts[head + 1])):
                table[node, found.answers[1, answer]] += 1
    seen = torch.bincount(found.answers[1], minlength=found.tails).float() + 1
    heads_told = int((found.starts.diff() > 0).sum())
    prior = seen / (heads_told + 2 if found.multi_label else seen.sum())
    share = (table + concentration * prior) / (many + concentration)[:, None]
    if found.multi_label:
        said = share.logit(1e-6) - prior.logit(1e-6)
    else:
        said = share.log() - prior.log()
    said[many == 0] = 0
    hangs = MeanAdjacency.from_edges(found.edges["maker"].flip(0), len(many), len(hidden))
    whole = joined({"maker": (said, hangs)})
    assert whole is not None
    return whole


@pytest.mark.parametrize("several", [False, True])
def test_what_is_counted_sparsely_and_asked_in_blocks_is_what_a_table_says(
    several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = torch.Generator().manual_seed(3)
    data = class_graph(per_class=60)
    items = data["item"].num_nodes
    makers = torch.randint(40, (2, items), generator=chance)
    edges = torch.stack([torch.arange(items).repeat(2), makers.flatten()])
    edges = torch.unique(edges[:, torch.rand(2 * items, generator=chance) < 0.6], dim=1)
    data["maker"].num_nodes = 45
    data[MADE].edge_index = edges
    data["maker", "rev_made_by", "item"].edge_index = edges.flip(0)
    if several:
        classes = data[TARGET].edge_index
        more = classes.clone()
        more[1] = (more[1] + 1) % 4
        data[TARGET].edge_index = torch.cat([classes, more[:, ::3]], dim=1)
    graph = MessageGraph(data, TARGET, gathering=[MADE])
    hidden = torch.rand(items, generator=chance) < 0.3
    asked = torch.randperm(items, generator=chance)[:90]
    expected = dense(graph.kin, 1.5, hidden)
    for at_once in (1 << 22, 4 * 7):  # all in one block, and seven heads in each
        monkeypatch.setattr(kinship, "CELLS_AT_ONCE", at_once)
        told = list(graph.evidence({"maker": 1.5}, asked, hidden))
        assert len(told) == (1 if at_once > 1000 else 13)
        assert torch.cat([places for places, _ in told]).tolist() == list(range(90))
        found = torch.cat([said for _, said in told])
        torch.testing.assert_close(found, expected[asked], rtol=1e-5, atol=1e-5)
        everything = graph.kin.evidence({"maker": 1.5}, hidden)["maker"]
        rows = torch.tensor([3, 44, 3])
        torch.testing.assert_close(everything.of(rows), everything.all()[rows])
    assert bool((expected != 0).any())


def of(edges: list[tuple[int, int]], nodes: int) -> MeanAdjacency:
    pairs = torch.tensor(edges).reshape(-1, 2).T
    return MeanAdjacency.from_edges(pairs, nodes, 3)


def test_only_those_who_know_something_are_averaged() -> None:
    artists = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    albums = torch.tensor([[3.0, -3.0]])
    found = joined(
        {
            "artist": (artists, of([(0, 0), (1, 0), (0, 1)], 2)),
            "album": (albums, of([(0, 0)], 1)),
        }
    )
    assert isinstance(found, Tensor)
    assert found.tolist() == [[2.0, -2.0], [1.0, -1.0], [0.0, 0.0]]
    assert joined({}) is None
    assert math.isclose(CONCENTRATIONS[0], 0.01)
