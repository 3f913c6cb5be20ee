import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.sparse import MeanAdjacency
from tests.models.graphs import dense


@st.composite
def edges(draw: st.DrawFn) -> tuple[torch.Tensor, int, int]:
    num_from, num_to = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    pair = st.tuples(st.integers(0, num_from - 1), st.integers(0, num_to - 1))
    pairs = draw(st.lists(pair, max_size=15))
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T, num_from, num_to


@settings(deadline=None)
@given(edges())
def test_mean_is_that_of_a_loop(case: tuple[torch.Tensor, int, int]) -> None:
    edge_index, num_from, num_to = case
    h = torch.randn(num_from, 3, dtype=torch.float64)
    adjacency = MeanAdjacency.from_edges(edge_index, num_from, num_to, torch.float64)
    expected = torch.zeros(num_to, 3, dtype=torch.float64)
    for node in range(num_to):
        senders = edge_index[0][edge_index[1] == node]
        if senders.numel():
            expected[node] = h[senders].mean(dim=0)
    torch.testing.assert_close(adjacency.mean(h), expected)
    torch.testing.assert_close(dense(adjacency.transposed), dense(adjacency.matrix).T)


def test_gradient_is_right() -> None:
    edge_index = torch.tensor([[0, 0, 1, 4, 4], [2, 2, 2, 0, 1]])  # a duplicate, an empty row
    adjacency = MeanAdjacency.from_edges(edge_index, 5, 4, torch.float64)
    h = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(adjacency.mean, (h,))


def test_no_edges_and_no_nodes() -> None:
    none = torch.empty(2, 0, dtype=torch.long)
    assert MeanAdjacency.from_edges(none, 3, 2).mean(torch.ones(3, 4)).tolist() == [[0.0] * 4] * 2
    assert MeanAdjacency.from_edges(none, 0, 2).num_edges == 0


@pytest.mark.parametrize("edge", [[[3], [0]], [[0], [2]], [[-1], [0]]])
def test_nodes_that_are_not_there_are_refused(edge: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="outside"):
        MeanAdjacency.from_edges(torch.tensor(edge), 3, 2)


def test_edges_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        MeanAdjacency.from_edges(torch.zeros(3, 2, dtype=torch.long), 3, 2)
