import pytest
import torch
import torch_geometric.backend
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.nn import RGCNConv

from models.link_model import GraphShape, LinkModel
from models.message_graph import MessageGraph
from models.messages import Messages
from models.rgcn import EncoderConfig, RGCNEncoder, RGCNLayer
from models.sparse import EdgeType, MeanAdjacency
from tests.models.graphs import GROUPS, TARGET, class_graph, dense

SIZES = {"a": 5, "b": 3, "c": 1}
RELATIONS: list[EdgeType] = [("a", "r", "a"), ("a", "s", "b"), ("b", "t", "a"), ("b", "u", "c")]


@st.composite
def graphs(draw: st.DrawFn) -> dict[EdgeType, Tensor]:
    """Random edges; empty relations, isolated nodes and duplicates all come up."""
    edges = {}
    for relation in RELATIONS:
        senders, receivers = SIZES[relation[0]], SIZES[relation[2]]
        pair = st.tuples(st.integers(0, senders - 1), st.integers(0, receivers - 1))
        pairs = draw(st.lists(pair, max_size=12))
        edges[relation] = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    return edges


@pytest.fixture(autouse=True)
def _mean_per_relation(monkeypatch: pytest.MonkeyPatch) -> None:
    # with pyg-lib the oracle's mean can run over all neighbours instead
    monkeypatch.setattr(torch_geometric.backend, "use_segment_matmul", False)


@pytest.mark.parametrize(("bases", "blocks"), [(None, None), (2, None), (None, 2)])
@settings(deadline=None, max_examples=40)
@given(edges=graphs(), seed=st.integers(0, 99))
def test_layer_equals_rgcn_conv(
    bases: int | None, blocks: int | None, edges: dict[EdgeType, Tensor], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    ours = RGCNLayer(4, 6, RELATIONS, bases, blocks)
    oracle = RGCNConv(4, 6, len(RELATIONS), num_bases=bases, num_blocks=blocks, aggr="mean")
    with torch.no_grad():
        oracle.weight.copy_(ours.weights.matrices)
        if bases:
            oracle.comp.copy_(ours.weights.mixing)
        oracle.root.copy_(ours.self_loop)
        oracle.bias.copy_(ours.bias.normal_(generator=generator))

    offset = {"a": 0, "b": 5, "c": 8}
    x = torch.randn(9, 4, generator=generator)
    to_score = torch.randn(9, 6, generator=generator)
    x_ours, x_oracle = x.clone().requires_grad_(), x.clone().requires_grad_()
    h = {t: x_ours[offset[t] : offset[t] + n] for t, n in SIZES.items()}
    adjacency = {r: MeanAdjacency.from_edges(e, SIZES[r[0]], SIZES[r[2]]) for r, e in edges.items()}
    out = torch.cat(list(ours(h, Messages.of(adjacency)).values()))
    joined = torch.cat(
        [e + torch.tensor([[offset[r[0]]], [offset[r[2]]]]) for r, e in edges.items()], dim=1
    )
    kinds = torch.cat(
        [torch.full((e.size(1),), i, dtype=torch.long) for i, e in enumerate(edges.values())]
    )
    expected = oracle(x_oracle, joined, kinds)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)

    (out * to_score).sum().backward()
    (expected * to_score).sum().backward()
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(x_ours.grad, x_oracle.grad, **close)
    torch.testing.assert_close(ours.self_loop.grad, oracle.root.grad, **close)
    torch.testing.assert_close(ours.bias.grad, oracle.bias.grad, **close)
    # where no relation has an edge ours has no gradient and the oracle's is zero
    for mine, theirs in [
        (ours.weights.matrices, oracle.weight),
        *([(ours.weights.mixing, oracle.comp)] if bases else []),
    ]:
        gradient = torch.zeros_like(mine) if mine.grad is None else mine.grad
        other = torch.zeros_like(mine) if theirs.grad is None else theirs.grad
        torch.testing.assert_close(gradient, other, **close)


@pytest.mark.parametrize(("bases", "blocks"), [(None, None), (2, None), (None, 2)])
def test_gradients_are_exact(bases: int | None, blocks: int | None) -> None:
    torch.manual_seed(0)
    layer = RGCNLayer(4, 6, RELATIONS, bases, blocks).double()
    edges = {
        ("a", "r", "a"): [[0, 1, 1, 4, 4], [1, 0, 2, 2, 2]],
        ("b", "t", "a"): [[0, 2, 1], [3, 3, 0]],
        ("a", "s", "b"): [[3, 3], [0, 0]],
    }
    adjacency = {
        r: MeanAdjacency.from_edges(torch.tensor(e), SIZES[r[0]], SIZES[r[2]], torch.float64)
        for r, e in edges.items()
    }
    h = [torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in SIZES.values()]
    parameters = dict(layer.named_parameters())

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(SIZES, values[: len(SIZES)], strict=True))
        weights = dict(zip(parameters, values[len(SIZES) :], strict=True))
        return tuple(
            torch.func.functional_call(layer, weights, (given, Messages.of(adjacency))).values()
        )

    assert torch.autograd.gradcheck(run, (*h, *parameters.values()))


def test_dropped_edges_leave_a_mean_over_the_others() -> None:
    torch.manual_seed(0)
    edges = torch.stack([torch.arange(200) % 50, torch.arange(200) // 8])
    whole = MeanAdjacency.from_edges(edges, 50, 30)
    dropped = whole.dropped(0.4)
    left = dense(dropped.matrix)
    kept = (left > 0).sum() / (dense(whole.matrix) > 0).sum()
    assert 0.5 < kept < 0.7
    assert not ((left > 0) & (dense(whole.matrix) == 0)).any()
    torch.testing.assert_close(left.sum(1), (left > 0).any(1).float())
    torch.testing.assert_close(dense(dropped.transposed), left.T)
    assert not torch.equal(left, dense(whole.dropped(0.4).matrix))
    torch.testing.assert_close(dense(whole.dropped(0.0).matrix), dense(whole.matrix))


def test_each_of_joined_relations_keeps_a_mean_of_its_own() -> None:
    torch.manual_seed(0)
    counts = (4, 3, 5)
    parts = [
        MeanAdjacency.from_edges(torch.stack([torch.randint(n, (40,)), torch.arange(40) % 9]), n, 9)
        for n in counts
    ]
    left = MeanAdjacency.side_by_side(parts).dropped(0.5)
    for part in dense(left.matrix).split(counts, dim=1):
        assert 0 < (part > 0).sum() < 9 * part.size(1)
        torch.testing.assert_close(part.sum(1), (part > 0).any(1).float())
    torch.testing.assert_close(dense(left.transposed), dense(left.matrix).T)
    below = MeanAdjacency.below([MeanAdjacency.from_edges(torch.randint(9, (2, 40)), 9, 9)] * 2)
    left_below = dense(below.dropped(0.5).matrix)
    torch.testing.assert_close(left_below.sum(1), (left_below > 0).any(1).float())


def test_edges_are_dropped_in_training_only() -> None:
    data = class_graph()
    config = EncoderConfig(hidden=8, dropout=0.0, edge_dropout=0.5)
    encoder = LinkModel(GraphShape.of(data, TARGET), config).encoder
    graph = MessageGraph(data, TARGET)
    first, second = (encoder.train()(graph.x, graph.messages())[-1]["item"] for _ in range(2))
    assert not torch.equal(first, second)
    first, second = (encoder.eval()(graph.x, graph.messages())[-1]["item"] for _ in range(2))
    assert torch.equal(first, second)


def test_output_can_be_limited_to_some_node_types() -> None:
    layer = RGCNLayer(4, 4, RELATIONS)
    h = {t: torch.randn(n, 4) for t, n in SIZES.items()}
    adjacency = {("b", "t", "a"): MeanAdjacency.from_edges(torch.tensor([[0, 2], [1, 1]]), 3, 5)}
    messages = Messages.of(adjacency)
    everything, some = layer(h, messages), layer(h, messages, only={"a"})
    assert set(everything) == set(SIZES)
    assert set(some) == {"a"}
    assert torch.equal(some["a"], everything["a"])


def test_projections_are_summed_over_families() -> None:
    shape = GraphShape.of(class_graph(), TARGET, GROUPS)
    inputs = LinkModel(shape, EncoderConfig()).encoder.inputs
    x = torch.randn(5, 8)
    expected = inputs.type_bias["item"] + sum(
        x[:, start:stop] @ inputs.projection[start:stop] for start, stop in GROUPS.values()
    )
    torch.testing.assert_close(inputs.project("item", x), expected)


@pytest.mark.parametrize(
    "config",
    [
        EncoderConfig(hidden=16, layers=1),
        EncoderConfig(hidden=16, layers=2, residual=False, bases=3),
        EncoderConfig(hidden=16, layers=3, residual=True, normalise=True),
        EncoderConfig(hidden=16, layers=2, blocks=4, edge_dropout=0.5),
    ],
)
def test_new_nodes_are_embedded_as_if_they_had_been_there(config: EncoderConfig) -> None:
    data = class_graph()
    n = data["item"].num_nodes
    model = LinkModel(GraphShape.of(data, TARGET, GROUPS), config).eval()
    x = torch.randn(2, 8)
    neighbours = {
        ("centroid", "rev_near_0", "item"): torch.tensor([[1, 1], [0, 1]]),
        ("item", "rev_similar", "item"): torch.tensor([[7, 3, 9, 7], [0, 0, 0, 1]]),
        ("item", "similar", "item"): torch.tensor([[12], [1]]),
        ("class", "rev_has_class", "item"): torch.tensor([[2], [1]]),
    }
    with torch.no_grad():
        graph = MessageGraph(data, TARGET)
        kept = model.encoder(graph.x, graph.messages())
        new = model.encoder.embed_new("item", x, neighbours, kept)

        # the oracle: a pass over a graph that holds the new items, which send nothing
        grown = {t: data[t].edge_index for t in data.edge_types}
        train = data["item"].train_mask[grown[TARGET][0]]
        grown[TARGET] = grown[TARGET][:, train]
        grown["class", "rev_has_class", "item"] = grown[TARGET].flip(0)
        for edge_type, edges in neighbours.items():
            added = edges + torch.tensor([[0], [n]])
            grown[edge_type] = torch.cat([grown[edge_type], added], dim=1)
        count = graph.count | {"item": n + 2}
        adjacency = {
            t: MeanAdjacency.from_edges(e, count[t[0]], count[t[2]]) for t, e in grown.items()
        }
        inputs = graph.x | {"item": torch.cat([graph.x["item"], x])}
        expected = model.encoder(inputs, Messages.of(adjacency))[-1]["item"]
    torch.testing.assert_close(new, expected[n:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(kept[-1]["item"], expected[:n], rtol=1e-5, atol=1e-5)


def test_without_messages_neighbours_change_nothing() -> None:
    data = class_graph()
    config = EncoderConfig(hidden=8, edge_dropout=0.5, messages=False)
    model = LinkModel(GraphShape.of(data, TARGET), config).eval()
    graph = MessageGraph(data, TARGET)
    kept = model.encoder(graph.x, graph.messages())
    alone = model.encoder(graph.x, Messages())
    assert all(torch.equal(kept[-1][t], alone[-1][t]) for t in graph.count)
    neighbours = {("item", "similar", "item"): torch.tensor([[3, 4], [0, 0]])}
    new = model.encoder.embed_new("item", graph.x["item"][:1], neighbours, kept)
    torch.testing.assert_close(new, kept[-1]["item"][:1])
    # the same net all the same: every weight is there
    whole = LinkModel(GraphShape.of(data, TARGET), EncoderConfig(hidden=8))
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in whole.state_dict().items()
    }


def test_a_new_node_needs_no_neighbours() -> None:
    data = class_graph()
    model = LinkModel(GraphShape.of(data, TARGET), EncoderConfig(hidden=8)).eval()
    graph = MessageGraph(data, TARGET)
    kept = model.encoder(graph.x, graph.messages())
    none = {("item", "similar", "item"): torch.empty(2, 0, dtype=torch.long)}
    x = torch.randn(1, 8)
    alone = model.encoder.embed_new("item", x, {}, kept)
    assert torch.isfinite(alone).all()
    assert torch.equal(alone, model.encoder.embed_new("item", x, none, kept))


def test_new_nodes_that_do_not_fit_are_refused() -> None:
    data = class_graph()
    model = LinkModel(GraphShape.of(data, TARGET), EncoderConfig(hidden=8)).eval()
    graph = MessageGraph(data, TARGET)
    kept = model.encoder(graph.x, graph.messages())
    x = torch.randn(1, 8)
    edge = torch.tensor([[0], [0]])
    with pytest.raises(ValueError, match="no features"):
        model.encoder.embed_new("class", x, {}, kept)
    with pytest.raises(ValueError, match="can't receive"):
        model.encoder.embed_new("item", x, {("item", "unheard", "item"): edge}, kept)
    with pytest.raises(ValueError, match="can't receive"):
        model.encoder.embed_new("item", x, {TARGET: edge}, kept)
    with pytest.raises(ValueError, match="outside"):
        model.encoder.embed_new("item", x, {("item", "similar", "item"): edge + 999}, kept)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"hidden": 0}, {"layers": 0}, {"layers": 4}, {"bases": 0}, {"dropout": 1.0}),
        *({"blocks": 0}, {"hidden": 10, "blocks": 4}, {"bases": 2, "blocks": 2}),
        {"edge_dropout": -0.1},
    ],
)
def test_encoder_config_is_checked(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EncoderConfig(**wrong)


def test_columns_and_groups_must_fit() -> None:
    with pytest.raises(ValueError, match="share"):
        RGCNEncoder({"a": 3, "b": 4}, {}, [], {"x": (0, 4)}, EncoderConfig())
    for groups in ({"x": (0, 3)}, {"x": (0, 3), "y": (2, 4)}, {"x": (0, 5)}):
        with pytest.raises(ValueError, match="cover"):
            RGCNEncoder({"a": 4}, {}, [], groups, EncoderConfig())
