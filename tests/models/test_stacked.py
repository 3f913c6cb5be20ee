import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch_geometric.backend
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.nn import RGCNConv

from models import block_kernels
from models.messages import Messages
from models.rgcn import EncoderConfig, RGCNEncoder, RGCNLayer
from models.sparse import EdgeType, MeanAdjacency
from models.stacked import StackedRelations, by_torch, relational_mean
from tests.waiting import DEADLINE

NODES = 6
RELATIONS: list[EdgeType] = [("n", f"r{i}", "n") for i in range(4)]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
Edges = dict[EdgeType, Tensor]


@st.composite
def graphs(draw: st.DrawFn, num_from: int = NODES, num_to: int = NODES) -> Edges:
    """Random edges; empty relations, isolated nodes and duplicates all come up."""
    pair = st.tuples(st.integers(0, num_from - 1), st.integers(0, num_to - 1))
    return {
        relation: torch.tensor(draw(st.lists(pair, max_size=12)), dtype=torch.long).reshape(-1, 2).T
        for relation in RELATIONS
    }


@pytest.fixture(autouse=True)
def _mean_per_relation(monkeypatch: pytest.MonkeyPatch) -> None:
    # with pyg-lib the oracle's mean can run over all neighbours instead
    monkeypatch.setattr(torch_geometric.backend, "use_segment_matmul", False)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(("bases", "blocks"), [(None, None), (2, None), (None, 2)])
@settings(deadline=None, max_examples=40)
@given(edges=graphs(), seed=st.integers(0, 99))
def test_stacked_one_by_one_and_rgcn_conv_are_equal(
    bases: int | None, blocks: int | None, edges: Edges, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = RGCNLayer(4, 6, RELATIONS, bases, blocks)
    oracle = RGCNConv(4, 6, len(RELATIONS), num_bases=bases, num_blocks=blocks, aggr="mean")
    with torch.no_grad():
        oracle.weight.copy_(layer.weights.matrices)
        if bases:
            oracle.comp.copy_(layer.weights.mixing)
        oracle.root.copy_(layer.self_loop)
        oracle.bias.copy_(layer.bias.normal_(generator=generator))
    x = torch.randn(NODES, 4, generator=generator)
    to_score = torch.randn(NODES, 6, generator=generator)
    kinds = torch.cat([torch.full((e.size(1),), i) for i, e in enumerate(edges.values())])
    # the order of the stack's relations isn't that of the layer's
    shuffled = dict(reversed(edges.items()))
    stacked = Messages(stacked=(StackedRelations.from_edges(shuffled, NODES, NODES),))
    singly = Messages.of(
        {relation: MeanAdjacency.from_edges(e, NODES, NODES) for relation, e in edges.items()}
    )

    results = []
    for module, run in [
        (layer, lambda h: layer({"n": h}, stacked)["n"]),
        (layer, lambda h: layer({"n": h}, singly)["n"]),
        (oracle, lambda h: oracle(h, torch.cat(list(edges.values()), dim=1), kinds)),
    ]:
        h = x.clone().requires_grad_()
        module.zero_grad()
        out = run(h)
        (out * to_score).sum().backward()
        named = {"matrices": "weight", "mixing": "comp", "self_loop": "root"}
        gradients = {
            named.get(name.rpartition(".")[2], name): torch.zeros_like(p)
            if p.grad is None  # no relation has an edge
            else p.grad.clone()
            for name, p in module.named_parameters()
        }
        results.append({"out": out.detach(), "h": h.grad, **gradients})
    for other in results[1:]:
        assert other.keys() == results[0].keys()
        for name, value in results[0].items():
            torch.testing.assert_close(value, other[name], **CLOSE)


@settings(deadline=None, max_examples=40)
@given(edges=graphs(num_from=5, num_to=7), share=st.sampled_from([0.0, 0.5]))
@pytest.mark.usefixtures("threads")
def test_kernels_equal_torch(edges: Edges, share: float) -> None:
    stack = StackedRelations.from_edges(edges, 5, 7).dropped(share)
    to_score = torch.randn(7, 9)
    results = []
    h, weights = torch.randn(5, 6), torch.randn(len(RELATIONS), 3, 2, 3)
    for compute in (relational_mean, by_torch):
        leaves = h.clone().requires_grad_(), weights.clone().requires_grad_()
        out = compute(leaves[0], stack, leaves[1])
        (out * to_score).sum().backward()
        results.append((out.detach(), leaves[0].grad, leaves[1].grad))
    torch.testing.assert_close(results[0], results[1], **CLOSE)


def test_same_threads_same_numbers(threads: int) -> None:
    torch.manual_seed(0)
    edges = {relation: torch.randint(200, (2, 3000)) for relation in RELATIONS}
    stack = StackedRelations.from_edges(edges, 200, 200)
    h = torch.randn(200, 8, requires_grad=True)
    weights = torch.randn(len(RELATIONS), 4, 2, 2, requires_grad=True)
    runs = []
    for _ in range(3):
        out = relational_mean(h, stack, weights)
        runs.append((out, *torch.autograd.grad((out**2).sum(), (h, weights))))
    assert torch.get_num_threads() == threads
    for run in runs[1:]:
        assert all(map(torch.equal, run, runs[0]))


@pytest.mark.parametrize("weights", [(4, 3, 2, 3), (4, 6, 9)])
def test_gradients_are_exact(weights: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    edges = {
        RELATIONS[0]: torch.tensor([[0, 1, 1, 4, 4], [1, 0, 2, 2, 2]]),
        RELATIONS[1]: torch.empty(2, 0, dtype=torch.long),
        RELATIONS[2]: torch.tensor([[0, 2, 1], [3, 3, 0]]),
        RELATIONS[3]: torch.tensor([[3, 3], [0, 0]]),
    }
    stack = StackedRelations.from_edges(edges, 5, 4, torch.float64)
    h = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    free = torch.randn(weights, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *given: relational_mean(given[0], stack, given[1]), (h, free)
    )


def test_loops_before_they_are_compiled() -> None:
    """The same numbers from the Python the kernels are compiled from."""
    torch.manual_seed(0)
    edges = {relation: torch.randint(5, (2, 9)) for relation in RELATIONS}
    stack = StackedRelations.from_edges(edges, 5, 5)
    h, weights = torch.randn(5, 6), torch.randn(len(RELATIONS), 3, 2, 1)
    h_last = h.view(5, 3, 2).transpose(1, 2).reshape(5, 6).numpy()
    w_last = weights.permute(0, 2, 3, 1).contiguous().numpy()
    grad_out = torch.randn(5, 3)
    leaves = h.clone().requires_grad_(), weights.clone().requires_grad_()
    expected = by_torch(leaves[0], stack, leaves[1])
    (expected * grad_out).sum().backward()

    out = np.empty((5, 3), np.float32)
    there, back = stack.means.matrix, stack.means.transposed
    graph = [t.numpy() for t in (there.starts, there.columns, there.values)]
    graph += [t.numpy() for t in (stack.starts, stack.groups, stack.relation)]
    block_kernels.forward.py_func(h_last, w_last, *graph, out, 0, 5)
    np.testing.assert_allclose(out, expected.detach(), rtol=1e-5, atol=1e-5)

    grad_h, grad_w = np.empty((5, 6), np.float32), np.zeros((4, 2, 1, 3), np.float32)
    graph = [t.numpy() for t in (back.starts, back.columns, back.values)]
    graph += [t.numpy() for t in (stack.receiver, stack.relation)]
    block_kernels.backward.py_func(grad_out.numpy(), h_last, w_last, *graph, grad_h, grad_w, 0, 5)
    expected_h = leaves[0].grad.view(5, 3, 2).transpose(1, 2).reshape(5, 6)
    np.testing.assert_allclose(grad_h, expected_h, rtol=1e-5, atol=1e-5)
    expected_w = leaves[1].grad.permute(0, 2, 3, 1)
    np.testing.assert_allclose(grad_w, expected_w, rtol=1e-5, atol=1e-5)


def test_structure_of_a_small_graph() -> None:
    edges = {
        RELATIONS[0]: torch.tensor([[0, 1, 1], [2, 2, 2]]),  # 1 -> 2 twice
        RELATIONS[1]: torch.empty(2, 0, dtype=torch.long),
        RELATIONS[2]: torch.tensor([[2, 0], [0, 2]]),
    }
    stack = StackedRelations.from_edges(edges, 3, 3)
    assert stack.relations == tuple(RELATIONS[:3])
    assert stack.num_edges == 4  # distinct ones
    assert stack.relation.tolist() == [0, 2, 2]
    assert stack.receiver.tolist() == [2, 0, 2]
    identity = torch.eye(3)
    torch.testing.assert_close(
        stack.means.mean(identity), torch.tensor([[1 / 3, 2 / 3, 0], [0, 0, 1], [1, 0, 0]])
    )


def test_no_edges_at_all() -> None:
    edges = {relation: torch.empty(2, 0, dtype=torch.long) for relation in RELATIONS}
    stack = StackedRelations.from_edges(edges, 3, 2)
    h = torch.randn(3, 4, requires_grad=True)
    for weights in (torch.randn(4, 2, 2, 3), torch.randn(4, 4, 6)):
        out = relational_mean(h, stack, weights.requires_grad_())
        assert torch.equal(out, torch.zeros(2, 6))
        out.sum().backward()
        assert not h.grad.any()
        assert not weights.grad.any()


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ({}, "one node type"),
        ({("a", "r", "a"): [[0], [0]], ("a", "s", "b"): [[0], [0]]}, "one node type"),
        ({("a", "r", "a"): [[3], [0]]}, "from a node outside 0..2"),
        ({("a", "r", "a"): [[0], [3]]}, "to a node outside 0..2"),
        ({("a", "r", "a"): [[0], [-1]]}, "to a node outside 0..2"),
        ({("a", "r", "a"): [[0], [1], [2]]}, "shape"),
    ],
)
def test_edges_that_do_not_fit_are_refused(
    edges: dict[EdgeType, list[list[int]]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        StackedRelations.from_edges({t: torch.tensor(e) for t, e in edges.items()}, 3, 3)


def test_an_encoder_takes_both_kinds_of_relations() -> None:
    """Two types; what leads from type to type is stacked or not, the numbers are the same."""
    torch.manual_seed(0)
    many: Edges = {("a", f"r{i}", "b"): torch.randint(4, (2, 6)) for i in range(3)}
    few: Edges = {("b", "s", "a"): torch.randint(4, (2, 5))}
    config = EncoderConfig(hidden=8, layers=2, blocks=2, edge_dropout=0.5)
    encoder = RGCNEncoder({}, {"a": 4, "b": 4}, [*many, *few], {}, config)
    single = {t: MeanAdjacency.from_edges(e, 4, 4) for t, e in (many | few).items()}
    messages = Messages.of({t: single[t] for t in few}) + Messages(
        stacked=(StackedRelations.from_edges(many, 4, 4),)
    )
    encoder.eval()
    for mine, theirs in zip(encoder({}, messages), encoder({}, Messages.of(single)), strict=True):
        torch.testing.assert_close(mine, theirs, **CLOSE)
    only = encoder({}, messages, only={"a"})[-1]
    torch.testing.assert_close(only, {"a": encoder({}, messages)[-1]["a"]}, **CLOSE)
    encoder.train()
    assert not torch.equal(encoder({}, messages)[-1]["b"], encoder({}, messages)[-1]["b"])


def test_kernels_are_loaded_only_when_needed() -> None:
    code = """if True:
        import sys, torch
        from models import training, rgcn, stacked
        assert "models.block_kernels" not in sys.modules
        edges = {("n", "r", "n"): torch.tensor([[0], [1]])}
        stack = stacked.StackedRelations.from_edges(edges, 2, 2)
        stacked.relational_mean(torch.ones(2, 2), stack, torch.ones(1, 2, 2))
        assert "models.block_kernels" not in sys.modules
        stacked.relational_mean(torch.ones(2, 2), stack, torch.ones(1, 2, 1, 1))
        assert "models.block_kernels" in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE)
