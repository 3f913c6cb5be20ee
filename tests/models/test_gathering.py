"""Nodes that are the mean of those who send to them: artists of songs, for one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from models import checkpoint
from models.attribution import Neighbour, attribute
from models.echoes import only_heads
from models.link_model import GraphShape, LinkModel
from models.message_graph import MessageGraph
from models.rgcn import EncoderConfig
from models.training import TrainConfig, layer_outputs, predict, train
from tests.models.graphs import GROUPS, TARGET, class_graph, classes_of

MADE = ("item", "made_by", "maker")
CARRYING = ("maker", "rev_made_by", "item")


def maker_graph(*, signal: float = 0.0, makers: int = 12, seed: int = 0) -> HeteroData:
    """Items of which the features tell nothing, but the maker: each makes one class."""
    data = class_graph(per_class=30, signal=signal, seed=seed)
    classes = classes_of(data)
    drawn = torch.randint(makers // 4, classes.shape, generator=torch.Generator().manual_seed(seed))
    link(data, 4 * drawn + classes, makers)
    return data


def link(data: HeteroData, makers: Tensor, count: int) -> None:
    items = torch.arange(len(makers))
    known = makers >= 0
    data["maker"].num_nodes = count
    data[MADE].edge_index = torch.stack([items, makers])[:, known]
    data[CARRYING].edge_index = torch.stack([makers, items])[:, known]


def accuracy(model: LinkModel, data: HeteroData) -> float:
    told = predict(model, data).argmax(dim=1) == classes_of(data)
    return float(told[data["item"].test_mask].float().mean())


CONFIG = TrainConfig(epochs=60, patience=60, epochs_unvalidated=60, learning_rate=5e-3)
SMALL = EncoderConfig(hidden=16)


def test_the_answers_of_a_makers_other_items_tell() -> None:
    data = maker_graph()
    with_makers = train(
        data, TARGET, groups=GROUPS, gathered=["maker"], encoder=SMALL, config=CONFIG
    )
    silent = [MADE, CARRYING]
    without = train(
        data, TARGET, groups=GROUPS, gathered=["maker"], silent=silent, encoder=SMALL, config=CONFIG
    )
    assert accuracy(with_makers.model, data) > 0.9
    assert accuracy(without.model, data) < 0.6
    assert "maker" not in with_makers.model.encoder.inputs.learned


def test_it_is_the_mean_of_those_who_send_to_it() -> None:
    data = maker_graph(signal=1.0)
    model = LinkModel(GraphShape.of(data, TARGET, GROUPS, gathered=["maker"]), SMALL).eval()
    graph = MessageGraph(data, TARGET, gathering=model.shape.gathering)
    hidden = torch.zeros(data["item"].num_nodes, dtype=torch.bool)
    hidden[:40] = True
    with torch.no_grad():
        outputs = model.encoder(graph.x, graph.messages(hidden))
    items, makers = data[MADE].edge_index
    for layer in outputs:
        for maker in range(12):
            expected = layer["item"][items[makers == maker]].mean(dim=0)
            torch.testing.assert_close(layer["maker"][maker], expected, rtol=1e-5, atol=1e-5)


def test_a_hidden_answer_is_not_heard_through_the_maker() -> None:
    data = maker_graph()
    model = LinkModel(GraphShape.of(data, TARGET, GROUPS, gathered=["maker"]), SMALL).eval()
    item = int(data["item"].train_mask.nonzero()[0])
    before = predict(model, data)
    edges = data[TARGET].edge_index.clone()
    edges[1, edges[0] == item] = (edges[1, edges[0] == item] + 1) % 4
    other = data.clone()
    other[TARGET].edge_index = edges
    other["class", "rev_has_class", "item"].edge_index = edges.flip(0)
    shape = GraphShape.of(data, TARGET, GROUPS, gathered=["maker"])
    graphs = [MessageGraph(d, TARGET, gathering=shape.gathering) for d in (data, other)]
    hidden = torch.zeros(data["item"].num_nodes, dtype=torch.bool)
    hidden[item] = True
    with torch.no_grad():
        one, two = (model.encoder(g.x, g.messages(hidden))[-1]["item"] for g in graphs)
    torch.testing.assert_close(one, two)
    assert before.shape == (data["item"].num_nodes, 4)


def test_makers_may_come_and_go_without_another_training() -> None:
    data = maker_graph()
    model = train(
        data, TARGET, groups=GROUPS, gathered=["maker"], encoder=SMALL, config=CONFIG
    ).model
    grown = maker_graph()
    link(grown, torch.cat([grown[MADE].edge_index[1]]), 20)
    torch.testing.assert_close(predict(model, grown), predict(model, data))
    bare = class_graph(per_class=30, signal=0.0)
    assert predict(model, bare).shape == (120, 4)


def test_a_new_item_hears_its_maker_and_that_is_evidence() -> None:
    data = maker_graph()
    model = train(
        data, TARGET, groups=GROUPS, gathered=["maker"], encoder=SMALL, config=CONFIG
    ).model
    layers = layer_outputs(model, data)
    heard = {CARRYING: torch.tensor([[5], [0]])}
    scores = model.score_new(torch.zeros(1, 8), heard, layers)
    assert int(scores.argmax()) == 5 % 4
    found = attribute(model, torch.zeros(8), {CARRYING: torch.tensor([5])}, layers)
    torch.testing.assert_close(found.scores, scores[0])
    left = found.without_neighbour[Neighbour(MADE, 5)]
    assert left[1] < found.scores[1]


def with_hermits() -> HeteroData:
    """Items 0 and 1 each have a maker of their own (0 and 1); nobody knows the others' from 90."""
    data = maker_graph(signal=1.0)
    makers = 2 + data[MADE].edge_index[1]
    makers[:2] = torch.arange(2)
    makers[90:] = -1
    link(data, makers, 14)
    return data


def test_a_maker_of_one_item_says_nothing_to_it() -> None:
    data = with_hermits()
    shape = GraphShape.of(data, TARGET, GROUPS, gathered=["maker"])
    assert only_heads(data, shape)["maker"].tolist() == [0, 1, *[-1] * 12]
    model = LinkModel(shape, SMALL).eval()
    bare = data.clone()
    makers = bare[MADE].edge_index[1].clone()
    link(bare, torch.cat([torch.tensor([-1, -1]), makers[2:], torch.full((30,), -1)]), 14)
    told, untold = (layer_outputs(model, each) for each in (data, bare))
    # The same as if it had none; but others may still ask what this maker knows.
    for mine, theirs in zip(told, untold, strict=True):
        torch.testing.assert_close(mine["item"], theirs["item"])
    torch.testing.assert_close(told[0]["maker"][:2], told[0]["item"][:2])
    assert bool((untold[0]["maker"][:2] == 0).all())


def test_to_another_item_a_maker_of_one_speaks() -> None:
    data = with_hermits()
    model = LinkModel(GraphShape.of(data, TARGET, GROUPS, gathered=["maker"]), SMALL).eval()
    layers = layer_outputs(model, data)
    x = torch.randn(1, 8, generator=torch.Generator().manual_seed(1))
    embedded = model.encoder.embed_new("item", x, {CARRYING: torch.tensor([[0], [0]])}, layers)
    # The whole graph with that item in it: it hears the maker, and the maker doesn't hear it.
    grown = data.clone()
    last = data["item"].num_nodes
    grown["item"].x = torch.cat([data["item"].x, x])
    grown["item"].train_mask = torch.cat([data["item"].train_mask, torch.tensor([False])])
    carrying = torch.cat([data[CARRYING].edge_index, torch.tensor([[0], [last]])], dim=1)
    grown[CARRYING].edge_index = carrying
    graph = MessageGraph(grown, TARGET, gathering=model.shape.gathering)
    with torch.no_grad():
        whole = model.encoder(graph.x, graph.messages())[-1]["item"]
    torch.testing.assert_close(whole[last:], embedded)
    torch.testing.assert_close(whole[:last], layers[-1]["item"])
    alone = model.encoder.embed_new("item", x, {}, layers)
    assert not torch.allclose(embedded, alone)


def test_what_is_evidence_adds_up_without_echoes() -> None:
    data = with_hermits()
    model = train(
        data, TARGET, groups=GROUPS, gathered=["maker"], encoder=SMALL, config=CONFIG
    ).model
    scores = predict(model, data)
    for item in (0, 20):
        layers = layer_outputs(model, data, scored=item)
        heard = {
            tuple(t): data[t].edge_index[0, data[t].edge_index[1] == item]
            for t in data.edge_types
            if t[2] == "item" and t != ("class", "rev_has_class", "item")
        }
        only = only_heads(data, model.shape)["maker"]
        heard[CARRYING] = heard[CARRYING][only[heard[CARRYING]] != item]
        found = attribute(model, data["item"].x[item], heard, layers)
        torch.testing.assert_close(found.scores, scores[item], rtol=1e-4, atol=1e-4)
        assert any(each.relation == MADE for each in found.without_neighbour) == (item == 20)


def test_the_share_of_the_deaf_is_checked_and_heeded() -> None:
    with pytest.raises(ValueError, match="deaf_share must be between 0 and 1"):
        TrainConfig(deaf_share=1.5)
    data = maker_graph()
    shape = GraphShape.of(data, TARGET, GROUPS, gathered=["maker"])
    graph = MessageGraph(data, TARGET, gathering=shape.gathering)
    everybody = torch.ones(data["item"].num_nodes, dtype=torch.bool)
    model = LinkModel(shape, SMALL).eval()
    silent = GraphShape.of(data, TARGET, GROUPS, [MADE, CARRYING], ["maker"])
    without = MessageGraph(data, TARGET, silent=[MADE, CARRYING], gathering=silent.gathering)
    with torch.no_grad():
        deaf = model.encoder(graph.x, graph.messages(deaf=everybody))[-1]["item"]
        alone = model.encoder(graph.x, without.messages())[-1]["item"]
    torch.testing.assert_close(deaf, alone)


def test_two_ways_to_be_gathered_are_refused() -> None:
    data = maker_graph()
    data["item", "liked_by", "maker"].edge_index = data[MADE].edge_index
    with pytest.raises(ValueError, match="maker is gathered by several"):
        GraphShape.of(data, TARGET, GROUPS, gathered=["maker"])


def test_it_is_kept_in_the_checkpoint(tmp_path: Path) -> None:
    data = maker_graph()
    model = LinkModel(GraphShape.of(data, TARGET, GROUPS, gathered=["maker"]), SMALL).eval()
    folder = tmp_path / "model"
    checkpoint.save(folder, model, layer_outputs(model, data), {})
    back = checkpoint.load(folder)
    assert back.model.shape == model.shape
    assert torch.equal(predict(back.model, data), predict(model, data))
    assert back.layers[0]["maker"].shape == (12, 16)
