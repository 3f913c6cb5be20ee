import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from models import training
from models.calibration import Calibration
from models.devices import DeviceError, pick_device
from models.link_model import GraphShape, LinkModel, reverse_of
from models.losses import LinkLoss
from models.message_graph import MessageGraph
from models.negatives import DrawnBy, TruePairs
from models.rgcn import EncoderConfig, RGCNEncoder
from models.sparse import MeanAdjacency
from models.training import (
    FEWEST_TO_VALIDATE,
    TrainConfig,
    layer_outputs,
    macro_f1,
    predict,
    train,
)
from tests.models.graphs import GROUPS, TARGET, class_graph, classes_of, multi_graph

# Items of each of the four classes, of which a fifth are held out to validate on.
ENOUGH = FEWEST_TO_VALIDATE // 4 * 5
SMALL = EncoderConfig(hidden=16, layers=2)
# Few epochs have to be enough here: longer steps, and a graph that carries half of the answers.
SHORT = TrainConfig(
    epochs=40, patience=40, epochs_unvalidated=40, learning_rate=5e-3, hidden_share=0.5
)


def _without_validation(data: HeteroData) -> HeteroData:
    data["item"].val_mask[:] = False
    return data


@pytest.mark.parametrize(
    "loss", [{}, {"negatives": 2}, {"negatives": 2, "drawn_by": "frequency"}, {"balance": 1.0}]
)
def test_training_is_clearly_better_than_chance(loss: dict[str, Any]) -> None:
    data = class_graph(per_class=ENOUGH)
    config = dataclasses.replace(SHORT, **loss)
    result = train(data, TARGET, groups=GROUPS, encoder=SMALL, config=config)
    test = data["item"].test_mask
    right = predict(result.model, data).argmax(dim=1) == classes_of(data)
    assert right[test].float().mean() > 0.7  # chance is 0.25
    assert result.selected_by == "validation"
    assert result.validation_score is not None
    assert result.validation_score > 0.6
    assert 1 <= result.best_epoch <= result.epochs == len(result.losses) == len(result.scores)
    assert result.losses[-1] < result.losses[0]


@pytest.mark.parametrize("negatives", ["all", 2])
def test_several_tails_a_head(negatives: int | str) -> None:
    data = multi_graph(per_class=ENOUGH)
    config = dataclasses.replace(SHORT, negatives=negatives)
    result = train(data, TARGET, groups=GROUPS, encoder=SMALL, config=config)
    assert result.model.shape.multi_label
    truth = torch.zeros(4 * ENOUGH, 4, dtype=torch.bool)
    truth[tuple(data[TARGET].edge_index)] = True
    test = data["item"].test_mask
    scores = predict(result.model, data)
    chance = macro_f1(torch.ones_like(scores[test]), truth[test], multi_label=True)
    assert macro_f1(scores[test], truth[test], multi_label=True) > chance
    assert Calibration(multi_label=True).probabilities(scores).gt(0.5).equal(scores > 0)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("negatives", ["all", 3])
def test_balance_finds_more_of_the_rare(multi_label: bool, negatives: int | str) -> None:
    """Features say little, so that the loss decides how often the rare class is named."""
    data = multi_graph() if multi_label else class_graph(per_class=60, signal=0.3)
    edges = data[TARGET].edge_index
    rare = (edges[1] == 0).nonzero().flatten()
    edges = edges[:, torch.cat([(edges[1] != 0).nonzero().flatten(), rare[::4]])]
    data[TARGET].edge_index = edges
    data["class", "rev_has_class", "item"].edge_index = edges.flip(0)
    named = []
    for balance in (0.0, 1.0):
        config = dataclasses.replace(SHORT, balance=balance, negatives=negatives)
        scores = predict(train(data, TARGET, encoder=SMALL, config=config).model, data)
        named.append(Calibration(multi_label).probabilities(scores)[:, 0].mean())
    assert named[1] > 1.1 * named[0]


def test_balanced_weights_are_sklearns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    classes = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
    known = TruePairs(torch.stack([torch.arange(8), classes]), 8, 4)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=classes.numpy())
    balanced = LinkLoss(known, False, balance=1.0).weight
    torch.testing.assert_close(balanced[:3], torch.from_numpy(expected).float())
    assert LinkLoss(known, False).weight.tolist() == [1, 1, 1, 1]
    # binary: a true one of a class that 1 of 8 has weighs as much as the 7 false ones
    torch.testing.assert_close(
        LinkLoss(known, True, balance=1.0).true_weight[:3], torch.tensor([3 / 5, 3.0, 7.0])
    )


@pytest.mark.parametrize("drawn_by", ["uniform", "frequency"])
def test_sampled_softmax_estimates_the_loss_over_all(drawn_by: DrawnBy) -> None:
    data = class_graph(num_classes=12, per_class=10)
    model = LinkModel(GraphShape.of(data, TARGET), SMALL).eval()
    graph = MessageGraph(data, TARGET)
    h = {t: v.detach() for t, v in model.encoder(graph.x, graph.messages())[-1].items()}
    known = TruePairs(graph.train_edges, 120, 12)
    chance = torch.Generator().manual_seed(0)
    heads = graph.heads(graph.is_train)
    model.requires_grad_(False)
    exact = float(LinkLoss(known, False)(model, h, heads, chance))
    sampled = LinkLoss(known, False, negatives=400, drawn_by=drawn_by)
    assert float(sampled(model, h, heads, chance)) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("validated", [True, False])
def test_ctrl_c_keeps_the_best_epoch_so_far(validated: bool) -> None:
    data = class_graph(per_class=ENOUGH)
    if not validated:
        _without_validation(data)

    def stop_after(epoch: int, loss: float, score: float | None) -> None:
        if epoch == 7:
            raise KeyboardInterrupt

    result = train(data, TARGET, encoder=SMALL, config=SHORT, on_epoch=stop_after)
    assert result.interrupted
    assert result.epochs == 7
    config = dataclasses.replace(SHORT, epochs=7, epochs_unvalidated=7)
    whole = train(data, TARGET, encoder=SMALL, config=config)
    assert not whole.interrupted
    assert result.best_epoch == whole.best_epoch
    assert torch.equal(predict(result.model, data), predict(whole.model, data))


def test_ctrl_c_before_the_first_epoch_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LinkLoss, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(class_graph(), TARGET, encoder=SMALL, config=SHORT)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match=r"'cuda:99'.*cpu.*auto"):
        train(class_graph(), TARGET, device="cuda:99")
    with pytest.raises(DeviceError, match="'nonsense'"):
        train(class_graph(), TARGET, device="nonsense")
    # a GPU that torch knows and can't train on is refused before it starts
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: torch.ones(1))
    with pytest.raises(DeviceError, match="'mps'"):
        pick_device("mps")
    monkeypatch.undo()
    result = train(class_graph(), TARGET, config=TrainConfig(epochs_unvalidated=1), device="auto")
    assert result.device == ("cuda" if torch.cuda.is_available() else "cpu")


def test_same_seed_same_numbers_and_chance_is_left_alone() -> None:
    data = class_graph(per_class=25)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    config = dataclasses.replace(SHORT, epochs=8, negatives=3)
    one = train(data, TARGET, encoder=SMALL, config=config)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    torch.manual_seed(123)
    two = train(data, TARGET, encoder=SMALL, config=config)
    other = train(data, TARGET, encoder=SMALL, config=dataclasses.replace(config, seed=1))
    assert one.losses == two.losses
    assert torch.equal(predict(one.model, data), predict(two.model, data))
    assert one.losses != other.losses


def test_best_weights_are_restored() -> None:
    data = class_graph(per_class=ENOUGH, signal=0.6)
    seen: list[float] = []
    result = train(
        data,
        TARGET,
        encoder=SMALL,
        config=SHORT,
        on_epoch=lambda epoch, loss, score: seen.append(score or 0.0),
    )
    assert result.validation_score == max(seen)
    val = data["item"].val_mask
    truth = torch.eye(4, dtype=torch.bool)[classes_of(data)]
    score = macro_f1(predict(result.model, data)[val], truth[val], multi_label=False)
    assert score == pytest.approx(result.validation_score)


def test_training_stops_when_nothing_improves() -> None:
    data = class_graph(per_class=ENOUGH, signal=0)
    config = TrainConfig(epochs=200, patience=3)
    result = train(data, TARGET, encoder=SMALL, config=config)
    assert result.epochs == result.best_epoch + 3 < 200


@pytest.mark.parametrize("validation", ["tiny", "empty", "absent"])
def test_too_little_validation_means_a_fixed_number_of_epochs(validation: str) -> None:
    data = class_graph(per_class=5)
    if validation == "empty":
        _without_validation(data)
    if validation == "absent":
        del data["item"].val_mask
    config = TrainConfig(epochs_unvalidated=12)
    assert FEWEST_TO_VALIDATE > 4
    result = train(data, TARGET, encoder=SMALL, config=config)
    assert (result.selected_by, result.epochs, result.best_epoch) == ("epochs", 12, 12)
    assert (result.validation_score is None) == (validation != "tiny")


# --- the trap: a scored head's own target edges must not carry messages ---


def _dependence(model: LinkModel, graph: MessageGraph, hidden: torch.Tensor) -> torch.Tensor:
    """How much each head's scores change with the classes' input vectors: [n]."""
    table = model.encoder.inputs.learned["class"]
    h = model.encoder(graph.x, graph.messages(hidden))[-1]["item"]
    changes = [torch.autograd.grad(row.sum(), table, retain_graph=True)[0] for row in h]
    return torch.stack([c.abs().sum() for c in changes])


def test_hidden_edges_carry_nothing_in_either_direction() -> None:
    data = class_graph(per_class=5)
    for edge_type in data.edge_types:  # nothing but the target's edges and their twins
        if "has_class" not in edge_type[1]:
            data[edge_type].edge_index = torch.empty(2, 0, dtype=torch.long)
    model = LinkModel(GraphShape.of(data, TARGET), SMALL).eval()
    graph = MessageGraph(data, TARGET)
    hidden = torch.zeros(20, dtype=torch.bool)
    hidden[:6] = True
    depends = _dependence(model, graph, hidden) > 0
    # of the others only training heads may hear of their class
    assert depends.equal(data["item"].train_mask & ~hidden)

    # and no class hears of a hidden head, nor of one outside the training split
    x = {t: v.clone().requires_grad_() for t, v in graph.x.items()}
    model.encoder(x, graph.messages(hidden))[-1]["class"].sum().backward()
    heard = x["item"].grad.abs().sum(dim=1) > 0
    assert heard.equal(data["item"].train_mask & ~hidden)


def test_each_epoch_scores_exactly_the_heads_it_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    data = class_graph(per_class=10)
    hidden: list[set[int]] = []
    scored: list[set[int]] = []
    messages, loss = MessageGraph.messages, LinkLoss.__call__

    def spy_messages(graph: MessageGraph, mask: torch.Tensor | None = None, *rest):  # type: ignore[no-untyped-def]
        if mask is not None:
            hidden.append(set(mask.nonzero().flatten().tolist()))
        return messages(graph, mask, *rest)

    def spy_loss(self, model, h, heads, *rest):  # type: ignore[no-untyped-def]
        scored.append(set(heads.tolist()))
        return loss(self, model, h, heads, *rest)

    monkeypatch.setattr(MessageGraph, "messages", spy_messages)
    monkeypatch.setattr(LinkLoss, "__call__", spy_loss)
    train(data, TARGET, encoder=SMALL, config=TrainConfig(epochs_unvalidated=6))
    assert hidden == scored
    assert len(scored) == 6
    assert len({frozenset(s) for s in scored}) > 1
    train_heads = set(data["item"].train_mask.nonzero().flatten().tolist())
    assert all(s < train_heads for s in scored)


def test_where_only_the_own_edge_tells_training_heads_stay_at_chance() -> None:
    """Features and neighbours are noise: the answer can only be read off hidden edges."""
    right = []
    for seed in range(3):
        data = _without_validation(class_graph(per_class=ENOUGH, signal=0, seed=seed))
        config = dataclasses.replace(SHORT, seed=seed)
        model = train(data, TARGET, encoder=SMALL, config=config).model
        guessed = predict(model, data).argmax(dim=1) == classes_of(data)
        # held-out heads: training heads' noise is learned by heart through their features
        right.append(guessed[data["item"].test_mask].float().mean())
    assert sum(right) / 3 < 0.45  # chance is 0.25


def _scores_without_edge(model: LinkModel, data: HeteroData, heads: torch.Tensor) -> torch.Tensor:
    """Score each head in a copy of the graph from which its own target edges were deleted."""
    rows = []
    for head in heads:
        copy = data.clone()
        edges = copy[TARGET].edge_index
        copy[TARGET].edge_index = edges[:, edges[0] != head]
        copy["class", "rev_has_class", "item"].edge_index = copy[TARGET].edge_index.flip(0)
        rows.append(model.score_all(layer_outputs(model, copy)[-1], head[None])[0])
    return torch.stack(rows).detach()


def test_identical_features_leave_only_the_own_edge_and_it_does_not_help() -> None:
    data = class_graph(per_class=20)
    data["item"].x[:] = 1.0
    for edge_type in data.edge_types:
        if "has_class" not in edge_type[1]:
            data[edge_type].edge_index = torch.empty(2, 0, dtype=torch.long)
    model = train(_without_validation(data), TARGET, encoder=SMALL, config=SHORT).model
    right = predict(model, data).argmax(dim=1) == classes_of(data)
    assert right[data["item"].train_mask].float().mean() <= 0.3  # chance is 0.25
    assert right[data["item"].test_mask].float().mean() <= 0.3


def test_labels_outside_the_training_split_change_nothing() -> None:
    data, other = class_graph(), class_graph()
    edges = other[TARGET].edge_index
    outside = ~other["item"].train_mask[edges[0]]
    edges[1][outside] = (edges[1][outside] + 1) % 4
    other["class", "rev_has_class", "item"].edge_index = edges.flip(0)
    config = TrainConfig(epochs_unvalidated=5)
    one, two = (train(d, TARGET, encoder=SMALL, config=config).model for d in (data, other))
    assert torch.equal(predict(one, data), predict(two, other))


# scores come from each head's own embedding alone
UNMIXED = TrainConfig(epochs_unvalidated=5, smoothing=0.0)


def test_prediction_hides_own_edges_by_folds() -> None:
    data = class_graph(per_class=5)
    model = train(data, TARGET, encoder=SMALL, config=UNMIXED).model
    scores = predict(model, data, folds=12)  # twelve training heads: one a fold
    own = data["item"].train_mask.nonzero().flatten()
    torch.testing.assert_close(scores[own], _scores_without_edge(model, data, own))
    rest = (~data["item"].train_mask).nonzero().flatten()
    full = model.score_all(layer_outputs(model, data)[-1]).detach()
    torch.testing.assert_close(scores[rest], full[rest])
    assert not torch.allclose(scores[own], full[own])


def test_kept_layer_outputs_score_new_heads() -> None:
    data = class_graph()
    model = train(data, TARGET, encoder=SMALL, config=UNMIXED).model
    layers = layer_outputs(model, data)
    assert [set(layer) for layer in layers] == [{"item", "centroid", "class"}] * 3
    assert all(layer["item"].shape == (60, 16) for layer in layers)
    neighbours = {("item", "rev_similar", "item"): torch.tensor([[3, 4], [0, 0]])}
    scores = model.score_new(torch.randn(1, 8), neighbours, layers)
    assert scores.shape == (1, 4)
    shares = Calibration(multi_label=False).probabilities(scores)
    torch.testing.assert_close(shares.sum(), torch.tensor(1.0))


def test_scores_are_smoothed_over_the_linked_heads() -> None:
    data = class_graph(per_class=5)
    own = train(data, TARGET, encoder=SMALL, config=UNMIXED).model
    config = dataclasses.replace(UNMIXED, smoothing=0.4)
    mixed = train(data, TARGET, encoder=SMALL, config=config).model
    assert float(mixed.smoothing) == pytest.approx(0.4)
    edges = torch.cat(
        [data["item", name, "item"].edge_index for name in ("similar", "rev_similar")], dim=1
    )
    weight = torch.zeros(20, 20).index_put_(
        (edges[1], edges[0]), torch.ones(edges.size(1)), accumulate=True
    )
    degree = weight.sum(dim=1, keepdim=True)
    scores = own.score_all(layer_outputs(own, data)[-1]).detach()
    expected = 0.6 * scores + 0.4 * (weight @ scores) / degree.clamp(min=1)
    expected = torch.where(degree > 0, expected, scores)  # who has no peer stays as it is
    rest = ~data["item"].train_mask
    torch.testing.assert_close(predict(mixed, data)[rest], expected[rest])


def test_validation_heads_choose_the_smoothing() -> None:
    """Linked heads share their class (then mixing helps), or never do (then it harms)."""
    for step, chosen in ((4, {0.25, 0.5}), (1, {0.0})):
        data = class_graph(per_class=ENOUGH, signal=0.8)
        items = torch.arange(4 * ENOUGH)
        edges = torch.stack([items, (items + 40 + step) % len(items)])  # its class: items % 4
        data["item", "similar", "item"].edge_index = edges
        data["item", "rev_similar", "item"].edge_index = edges.flip(0)
        # hardly anything is heard through links in training, so that the net can't use them itself
        encoder = dataclasses.replace(SMALL, edge_dropout=0.99)
        config = dataclasses.replace(SHORT, epochs=10)
        model = train(data, TARGET, encoder=encoder, config=config).model
        assert float(model.smoothing) in chosen


def test_training_heads_are_smoothed_as_all_others_are() -> None:
    data = class_graph(per_class=5)
    model = train(data, TARGET, encoder=SMALL, config=UNMIXED).model
    model.smoothing.fill_(0.5)
    graph = MessageGraph(data, TARGET)
    for head in data["item"].train_mask.nonzero().flatten()[:3]:
        hidden = torch.zeros_like(graph.is_train)
        hidden[head] = True
        h = model.encoder(graph.x, graph.messages(hidden))[-1]
        expected = model.score_all(h, head[None], graph.peers)[0].detach()
        assert not torch.allclose(expected, model.score_all(h, head[None])[0])
        torch.testing.assert_close(predict(model, data, folds=12)[head], expected)


def test_a_training_head_is_never_a_validation_head_too() -> None:
    data = class_graph(per_class=ENOUGH)
    config = TrainConfig(epochs=3)
    apart = train(data, TARGET, encoder=SMALL, config=config)
    data["item"].val_mask |= data["item"].train_mask
    both = train(data, TARGET, encoder=SMALL, config=config)
    assert both.validation_score == apart.validation_score


def test_smoothing_does_not_bring_a_heads_own_edge_back() -> None:
    data = class_graph(per_class=5)
    config = dataclasses.replace(UNMIXED, smoothing=0.5)
    model = train(data, TARGET, encoder=SMALL, config=config).model
    scores = predict(model, data, folds=12)
    other = data.clone()  # a training head's label is another one: its own scores must not move
    head = int(data["item"].train_mask.nonzero()[0])
    edges = other[TARGET].edge_index
    edges[1][edges[0] == head] = (edges[1][edges[0] == head] + 1) % 4
    other["class", "rev_has_class", "item"].edge_index = edges.flip(0)
    torch.testing.assert_close(predict(model, other, folds=12)[head], scores[head])


def test_the_net_without_messages_is_not_smoothed_either() -> None:
    data = class_graph(per_class=5)
    config = dataclasses.replace(UNMIXED, smoothing=0.5)
    encoder = dataclasses.replace(SMALL, messages=False)
    assert float(train(data, TARGET, encoder=encoder, config=config).model.smoothing) == 0


def test_silent_relations_carry_nothing() -> None:
    data = class_graph()
    one = ("item", "near_0", "centroid")
    silent = (one, reverse_of(one))
    model = train(data, TARGET, encoder=SMALL, config=SHORT, silent=silent).model
    without = class_graph()
    for edge_type in silent:
        del without[edge_type]
    same = train(without, TARGET, encoder=SMALL, config=SHORT).model
    assert model.shape.relations == same.shape.relations
    assert torch.equal(predict(model, data), predict(same, without))
    layers = layer_outputs(model, data)
    assert all(torch.equal(layers[2][t], v) for t, v in layer_outputs(same, without)[2].items())
    near = {("item", "rev_similar", "item"): torch.tensor([[3, 4], [0, 0]])}
    heard = {**near, reverse_of(one): torch.tensor([[1], [0]])}
    x = torch.randn(1, 8)
    assert torch.equal(model.score_new(x, heard, layers), same.score_new(x, near, layers))
    with pytest.raises(ValueError, match="not trained with the relations"):
        predict(same, data)


def test_new_heads_are_smoothed_over_their_neighbours() -> None:
    data = class_graph()
    model = train(data, TARGET, encoder=SMALL, config=UNMIXED).model
    layers, x = layer_outputs(model, data), torch.randn(2, 8)
    neighbours = {("item", "rev_similar", "item"): torch.tensor([[3, 4, 3], [0, 0, 0]])}
    alone = model.score_new(x, neighbours, layers)
    model.smoothing.fill_(0.3)
    smoothed = model.score_new(x, neighbours, layers)
    kept = model.score_all(layers[-1]).detach()
    near = (2 * kept[3] + kept[4]) / 3
    torch.testing.assert_close(smoothed[0], 0.7 * alone[0] + 0.3 * near)
    torch.testing.assert_close(smoothed[1], alone[1])  # it has no neighbour


def test_macro_f1_is_sklearns() -> None:
    from sklearn.metrics import f1_score

    scores = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    classes = torch.arange(50) % 3  # one class never occurs
    ours = macro_f1(scores, torch.eye(4, dtype=torch.bool)[classes], multi_label=False)
    expected = f1_score(classes, scores.argmax(dim=1), labels=[0, 1, 2], average="macro")
    assert ours == pytest.approx(expected)


@pytest.mark.parametrize(("several", "best"), [(True, 4), (False, 1)])
def test_of_several_tails_no_untrained_net_is_kept(
    several: bool, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling = iter(range(10_000, 0, -1))
    monkeypatch.setattr(training, "FEWEST_TO_VALIDATE", 1)
    monkeypatch.setattr(training, "macro_f1", lambda *_: float(next(falling)))
    data = multi_graph() if several else class_graph()
    result = train(data, TARGET, groups=GROUPS, config=TrainConfig(epochs=20))
    assert result.selected_by == "validation"
    assert (result.epochs, result.best_epoch) == (20, best)


def test_macro_f1_of_several_counts_the_best_and_all_above_a_half() -> None:
    scores = torch.tensor([[2.0, 1.0, -1.0], [-3.0, -2.0, -1.0]])
    truth = torch.tensor([[True, True, False], [False, False, True]])
    assert macro_f1(scores, truth, multi_label=True) == 1
    assert macro_f1(scores, truth, multi_label=False) == pytest.approx(2 / 3)


def test_graphs_that_cannot_be_learned_from_are_refused() -> None:
    data = class_graph()
    data[TARGET].edge_index = data[TARGET].edge_index[:, :0]
    with pytest.raises(ValueError, match=r"no .* edges"):
        train(data, TARGET)

    data = class_graph()
    data["item"].train_mask[:] = False
    with pytest.raises(ValueError, match="training split"):
        train(data, TARGET)

    data = class_graph()
    del data["item"].train_mask
    with pytest.raises(ValueError, match="train_mask"):
        train(data, TARGET)

    data = class_graph(num_classes=1)
    with pytest.raises(ValueError, match="at least two"):
        train(data, TARGET)

    data = class_graph()
    data["item"].x[7, 2] = float("nan")
    with pytest.raises(ValueError, match="number 7"):
        train(data, TARGET)


def test_a_model_refuses_a_graph_of_another_shape() -> None:
    model = LinkModel(GraphShape.of(class_graph(), TARGET), SMALL)
    data = class_graph()
    data["item"].x = data["item"].x[:, :5]
    with pytest.raises(ValueError, match="8 columns of item, the graph has 5"):
        predict(model, data)
    with pytest.raises(ValueError, match="knows 4 of class"):
        predict(model, class_graph(num_classes=5))
    data = class_graph()
    data["item", "unheard", "item"].edge_index = torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match="unheard"):
        layer_outputs(model, data)
    with pytest.raises(ValueError, match="folds"):
        predict(model, class_graph(), folds=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"hidden_share": 0.0},
        {"hidden_share": 1.1},
        {"negatives": 0},
        {"balance": -1},
    ],
)
def test_train_config_is_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainConfig(**wrong)  # type: ignore[arg-type]


def test_an_epoch_is_a_pass_to_learn_and_one_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many heads there are: they are told together, by as many products of matrices."""
    passes: list[bool] = []
    products: list[MeanAdjacency] = []
    forward, mean = RGCNEncoder.forward, MeanAdjacency.mean

    def passed(encoder: RGCNEncoder, *args: Any, **options: Any) -> Any:
        passes.append(encoder.training)
        return forward(encoder, *args, **options)

    def multiplied(adjacency: MeanAdjacency, *args: Any) -> Any:
        products.append(adjacency)
        return mean(adjacency, *args)

    monkeypatch.setattr(RGCNEncoder, "forward", passed)
    monkeypatch.setattr(MeanAdjacency, "mean", multiplied)
    found = []
    for per_class in (50, 100):
        passes.clear()
        products.clear()
        data = class_graph(num_classes=10, per_class=per_class)
        train(data, TARGET, groups=GROUPS, config=TrainConfig(epochs=10, patience=10))
        assert passes == [True, False] * 10
        found.append(len(products))
    assert found[0] == found[1] > 0


def test_second_labels_of_held_out_heads_do_not_choose_the_loss() -> None:
    data = class_graph(per_class=10)
    assert not GraphShape.of(data, TARGET).multi_label
    edges, tails = data[TARGET].edge_index, data[TARGET[2]].num_nodes
    in_training = data[TARGET[0]].train_mask
    for heads, multi_label in ((~in_training, False), (in_training, True)):
        head = int(heads.nonzero()[0])
        other = (int(edges[1][edges[0] == head][0]) + 1) % tails
        data[TARGET].edge_index = torch.cat([edges, torch.tensor([[head], [other]])], dim=1)
        assert GraphShape.of(data, TARGET).multi_label is multi_label


def test_kept_weights_are_the_running_mean_of_the_epochs() -> None:
    data = class_graph(per_class=5)  # too few to validate: the last epoch is kept

    def projection(epochs: int, averaging: float) -> torch.Tensor:
        config = TrainConfig(epochs_unvalidated=epochs, averaging=averaging)
        return train(data, TARGET, encoder=SMALL, config=config).model.encoder.inputs.projection

    first, second = projection(1, 0.0), projection(2, 0.0)  # the weights of the epochs themselves
    assert not torch.allclose(first, second)
    share = 9 / 11  # after the second epoch: 1 - 2 / (2 + 9)
    torch.testing.assert_close(
        projection(2, 0.97), projection(1, 0.97) + share * (second - projection(1, 0.97))
    )


def test_averaging_and_smoothing_are_shares() -> None:
    with pytest.raises(ValueError, match="averaging"):
        TrainConfig(averaging=1.0)
    with pytest.raises(ValueError, match="smoothing"):
        TrainConfig(smoothing=1.5)
