"""What the answers of a node's other heads say: counts, a prior, and nobody's own answer."""

import math

import pytest
import torch
from torch import Tensor

from models.kinship import CONCENTRATIONS, Kin, joined
from models.sparse import MeanAdjacency

TARGET = ("item", "has_class", "class")
MADE = ("item", "made_by", "maker")


def kin(makers: list[int], answers: list[tuple[int, int]], *, multi_label: bool = False) -> Kin:
    edges = torch.tensor([[i, m] for i, m in enumerate(makers) if m >= 0]).T
    count = {"item": len(makers), "maker": 1 + max(makers), "class": 3}
    told = torch.tensor(answers).T
    return Kin.of({MADE: edges}, count, told, TARGET, multi_label=multi_label)


def test_it_is_bayes_rule() -> None:
    # Maker 0: two of class 0, one of class 1; maker 1: one of class 2; maker 2: nothing known.
    found = kin([0, 0, 0, 1, 2, -1], [(2, 1), (0, 0), (1, 0), (3, 2), (5, 1)])
    said = found.evidence({"maker": 2.0})["maker"]
    prior = torch.tensor([3.0, 3.0, 2.0]) / 8
    expected = ((torch.tensor([2.0, 1.0, 0.0]) + 2 * prior) / 5 / prior).log()
    torch.testing.assert_close(said[0], expected)
    # Not by rounding either: who is silent isn't averaged.
    assert said[2].tolist() == [0.0, 0.0, 0.0]


def test_a_hidden_answer_is_not_counted() -> None:
    hidden = torch.tensor([True, False, False])
    whole = kin([0, 0, 0], [(0, 2), (1, 0), (2, 0)])
    other = kin([0, 0, 0], [(0, 2), (1, 0), (2, 0)])
    without = whole.evidence({"maker": 1.0}, hidden)["maker"]
    # The node's counts are those of the other two; the prior stays that of all.
    prior = torch.tensor([3.0, 1.0, 2.0]) / 6
    expected = ((torch.tensor([2.0, 0.0, 0.0]) + prior) / 3 / prior).log()
    torch.testing.assert_close(without[0], expected)
    everybody = other.evidence({"maker": 1.0}, torch.ones(3, dtype=torch.bool))["maker"]
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
    assert lonely.evidence(fitted)["maker"].abs().max() < 1e-3


def test_several_classes_an_item() -> None:
    both = kin([0, 0, 1], [(0, 0), (0, 1), (1, 0), (2, 2)], multi_label=True)
    said = both.evidence({"maker": 1.0})["maker"][0]
    prior = torch.tensor([3.0, 2.0, 2.0]) / 5
    share = (torch.tensor([2.0, 1.0, 0.0]) + prior) / 3
    torch.testing.assert_close(said, torch.logit(share) - torch.logit(prior))
    assert said[0] > 0 > said[2]


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
