"""What is so of a kind is so of what it is a kind of."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.hierarchy import MARGIN, lift

# 0 and 1 are kinds of 2, which is one of 3; 4 stands alone.
IMPLIED = [(2, [0, 1]), (3, [0, 1, 2])]


def test_a_kind_raises_all_above_it_and_nothing_else() -> None:
    scores = torch.tensor([[3.0, -1.0, 0.0, 1.0, -5.0], [-2.0, -1.0, 2.0, -3.0, 4.0]])
    lifted = lift(scores, IMPLIED)
    assert lifted[0].tolist()[:2] == [3.0, -1.0]
    assert torch.allclose(lifted[0, 2:4], torch.tensor([3 + MARGIN, 3 + 2 * MARGIN]))
    assert lifted[1, 2] == 2.0
    assert torch.allclose(lifted[1, 3], torch.tensor(2 + MARGIN))
    assert torch.equal(lifted[:, 4], scores[:, 4])
    assert scores[0, 2] == 0  # a copy


def test_nothing_implied_nothing_changed() -> None:
    scores = torch.randn(3, 4)
    assert lift(scores, ()) is scores


@given(st.lists(st.floats(-50, 50, width=32), min_size=5, max_size=5))
def test_the_first_is_never_a_tie_and_twice_is_once(values: list[float]) -> None:
    lifted = lift(torch.tensor(values), IMPLIED)
    assert torch.equal(lift(lifted, IMPLIED), lifted)
    for above, below in IMPLIED:
        assert (lifted[above] > lifted[below]).all()
