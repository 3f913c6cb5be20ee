"""What a head's scores come from, held against passes over graphs in which it isn't there."""

import copy

import pytest
import torch
from torch import Tensor

from models import attribution
from models.attribution import Neighbour, attribute
from models.link_model import GraphShape, LinkModel, reverse_of
from models.pyg import HeteroData
from models.rgcn import EncoderConfig
from models.sparse import EdgeType
from models.training import TrainConfig, layer_outputs, predict, train
from tests.models.graphs import GROUPS, TARGET, class_graph, multi_graph

SIMILAR = ("item", "similar", "item")
NEAR = ("item", "near_0", "centroid")
HEAD, TEST_HEAD = 0, 16  # place 0: trained on; place 4: held out


def heard_by(data: HeteroData, head: int) -> dict[EdgeType, Tensor]:
    found = {}
    for edge_type in map(tuple, data.edge_types):
        if edge_type[2] == "item" and edge_type != reverse_of(TARGET):
            senders, receivers = data[edge_type].edge_index
            found[edge_type] = senders[receivers == head]
    return found


def lacking(data: HeteroData, head: int, gone: set[Neighbour], *, both_ways: bool) -> HeteroData:
    """The graph without edges of `head`: those to it, or those from it too."""
    left = copy.copy(data)
    for edge_type in map(tuple, data.edge_types):
        senders, receivers = data[edge_type].edge_index
        stays = torch.ones(senders.numel(), dtype=torch.bool)
        for each in gone:
            if edge_type == reverse_of(each.relation) or edge_type == each.relation == SIMILAR:
                stays &= (senders != each.number) | (receivers != head)
            if both_ways and edge_type in (each.relation, reverse_of(each.relation)):
                stays &= (senders != head) | (receivers != each.number)
        left[edge_type].edge_index = data[edge_type].edge_index[:, stays]
    return left


@pytest.fixture(params=[0.0, 0.4])
def trained(request: pytest.FixtureRequest) -> tuple[LinkModel, HeteroData]:
    data = class_graph()
    config = TrainConfig(epochs=30, epochs_unvalidated=30)
    model = train(
        data, TARGET, groups=GROUPS, encoder=EncoderConfig(hidden=16), config=config
    ).model
    model.smoothing.fill_(request.param)
    return model, data


@pytest.mark.parametrize("head", [HEAD, TEST_HEAD])
def test_the_score_with_everything_is_the_predicted_one(
    trained: tuple[LinkModel, HeteroData], head: int
) -> None:
    model, data = trained
    layers = layer_outputs(model, data, scored=head)
    found = attribute(model, data["item"].x[head], heard_by(data, head), layers)
    torch.testing.assert_close(found.scores, predict(model, data)[head], rtol=1e-5, atol=1e-5)


def test_a_head_that_was_not_trained_on_is_scored_from_what_is_kept(
    trained: tuple[LinkModel, HeteroData],
) -> None:
    model, data = trained
    kept = layer_outputs(model, data)
    for mine, theirs in zip(kept, layer_outputs(model, data, scored=TEST_HEAD), strict=True):
        assert all(torch.equal(mine[t], theirs[t]) for t in mine)
    # What is kept knows the answer of a head that was trained on.
    of_its_pass = layer_outputs(model, data, scored=HEAD)
    assert not torch.allclose(kept[-1]["item"][HEAD], of_its_pass[-1]["item"][HEAD], atol=1e-3)


def test_in_one_layer_nothing_comes_back_and_it_is_the_whole_pass() -> None:
    data = class_graph()
    model = LinkModel(GraphShape.of(data, TARGET, GROUPS), EncoderConfig(hidden=16, layers=1))
    layers = layer_outputs(model, data)
    head = TEST_HEAD
    found = attribute(model, data["item"].x[head], heard_by(data, head), layers)
    assert {each.relation for each in found.without_neighbour} == set(found.without_relation)
    assert set(found.without_relation) == {SIMILAR, NEAR, ("item", "near_1", "centroid")}
    for each, scores in found.without_neighbour.items():
        left = predict(model, lacking(data, head, {each}, both_ways=True))[head]
        torch.testing.assert_close(scores, left, rtol=1e-4, atol=1e-5)
    for relation, scores in found.without_relation.items():
        gone = {each for each in found.without_neighbour if each.relation == relation}
        left = predict(model, lacking(data, head, gone, both_ways=True))[head]
        torch.testing.assert_close(scores, left, rtol=1e-4, atol=1e-5)


def test_messages_to_the_head_are_what_is_left_out(
    trained: tuple[LinkModel, HeteroData],
) -> None:
    model, data = trained
    model.smoothing.fill_(0)  # who is averaged over is asked both ways
    head = TEST_HEAD
    found = attribute(model, data["item"].x[head], heard_by(data, head), layer_outputs(model, data))
    # A head that says nothing itself: then nothing can come back, in however many layers.
    silent = lacking(data, head, set(found.without_neighbour), both_ways=True)
    for edge_type, senders in heard_by(data, head).items():
        added = torch.stack([senders, torch.full_like(senders, head)])
        silent[edge_type].edge_index = torch.cat([silent[edge_type].edge_index, added], dim=1)
    layers = layer_outputs(model, silent)
    found = attribute(model, data["item"].x[head], heard_by(data, head), layers)
    assert len(found.without_neighbour) > 4
    for each, scores in found.without_neighbour.items():
        left = predict(model, lacking(silent, head, {each}, both_ways=False))[head]
        torch.testing.assert_close(scores, left, rtol=1e-4, atol=1e-5)


def test_a_neighbour_in_both_directions_is_one(trained: tuple[LinkModel, HeteroData]) -> None:
    model, data = trained
    layers = layer_outputs(model, data)
    x = data["item"].x[TEST_HEAD]
    both = {SIMILAR: torch.tensor([3, 5]), reverse_of(SIMILAR): torch.tensor([5, 7])}
    found = attribute(model, x, both, layers)
    assert set(found.without_neighbour) == {Neighbour(SIMILAR, n) for n in (3, 5, 7)}
    left = {SIMILAR: torch.tensor([3]), reverse_of(SIMILAR): torch.tensor([7])}
    expected = attribute(model, x, left, layers)
    torch.testing.assert_close(found.without_neighbour[Neighbour(SIMILAR, 5)], expected.scores)
    torch.testing.assert_close(found.alone, expected.alone)
    torch.testing.assert_close(found.without_relation[SIMILAR], found.alone)


def test_smoothing_is_part_of_it() -> None:
    data = class_graph()
    config = EncoderConfig(hidden=8, messages=True)
    model = LinkModel(GraphShape.of(data, TARGET, GROUPS), config)
    for layer in model.encoder.layers:
        layer.weights.matrices.data.zero_()  # no message means anything: only smoothing is left
    model.smoothing.fill_(0.5)
    layers = layer_outputs(model, data)
    heard = {SIMILAR: torch.tensor([3, 4])}
    found = attribute(model, data["item"].x[TEST_HEAD], heard, layers)
    one, other = (found.without_neighbour[Neighbour(SIMILAR, n)] for n in (3, 4))
    torch.testing.assert_close((one + other) / 2, found.scores)
    assert not torch.allclose(one, other)


def test_families_and_what_is_left_without_a_message(
    trained: tuple[LinkModel, HeteroData],
) -> None:
    model, data = trained
    layers, heard = layer_outputs(model, data), heard_by(data, TEST_HEAD)
    x = data["item"].x[TEST_HEAD]
    found = attribute(model, x, heard, layers)
    assert list(found.without_group) == list(GROUPS)
    for family, (start, stop) in GROUPS.items():
        without = x.clone()
        without[start:stop] = 0
        expected = attribute(model, without, heard, layers).scores
        torch.testing.assert_close(found.without_group[family], expected)
    mean = torch.zeros_like(x)
    torch.testing.assert_close(found.unheard, attribute(model, mean, heard, layers).scores)
    torch.testing.assert_close(found.alone, model.score_new(x[None], {}, layers)[0])


def test_a_head_without_neighbours(trained: tuple[LinkModel, HeteroData]) -> None:
    model, data = trained
    layers = layer_outputs(model, data)
    for nothing in ({}, {SIMILAR: torch.empty(0, dtype=torch.long)}):
        found = attribute(model, data["item"].x[0], nothing, layers)
        assert found.without_neighbour == {}
        assert torch.equal(found.scores, found.alone)


def test_variants_are_scored_in_turns_where_there_are_many(
    trained: tuple[LinkModel, HeteroData], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = trained
    layers, x = layer_outputs(model, data), data["item"].x[TEST_HEAD]
    heard = heard_by(data, TEST_HEAD)
    at_once = attribute(model, x, heard, layers)
    monkeypatch.setattr(attribution, "EDGES_AT_ONCE", 1)
    in_turns = attribute(model, x, heard, layers)
    torch.testing.assert_close(in_turns.scores, at_once.scores)
    for each, scores in at_once.without_neighbour.items():
        torch.testing.assert_close(in_turns.without_neighbour[each], scores)


def test_several_classes() -> None:
    data = multi_graph()
    model = LinkModel(GraphShape.of(data, TARGET, GROUPS), EncoderConfig(hidden=8))
    layers = layer_outputs(model, data, scored=HEAD)
    found = attribute(model, data["item"].x[HEAD], heard_by(data, HEAD), layers)
    torch.testing.assert_close(found.scores, predict(model, data)[HEAD], rtol=1e-5, atol=1e-5)


def test_the_answer_is_no_evidence(trained: tuple[LinkModel, HeteroData]) -> None:
    model, data = trained
    layers, x = layer_outputs(model, data), data["item"].x[HEAD]
    with pytest.raises(ValueError, match="is what is scored"):
        attribute(model, x, {reverse_of(TARGET): torch.tensor([0])}, layers)
    with pytest.raises(ValueError, match="outside"):
        attribute(model, x, {SIMILAR: torch.tensor([9999])}, layers)


def test_a_planted_reason_comes_first() -> None:
    """Features that say nothing, and one neighbour that knows: it, and by the relation it is in."""
    data = class_graph(signal=2.0)
    config = TrainConfig(epochs=60, epochs_unvalidated=60)
    model = train(
        data, TARGET, groups=GROUPS, encoder=EncoderConfig(hidden=16), config=config
    ).model
    layers = layer_outputs(model, data)
    neutral = torch.zeros(8)
    for planted in range(4):  # of another class each
        others = [planted + 1, planted + 5, planted + 9]  # of the next class
        heard = {
            reverse_of(SIMILAR): torch.tensor([planted, *others]),
            reverse_of(NEAR): torch.tensor([0]),
        }
        found = attribute(model, neutral, heard, layers)
        lost = {
            n: float(found.scores[planted] - s[planted]) for n, s in found.without_neighbour.items()
        }
        assert max(lost, key=lost.__getitem__) == Neighbour(SIMILAR, planted)
        assert lost[Neighbour(SIMILAR, planted)] > 0
