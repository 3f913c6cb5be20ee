"""What is so of a kind is so of what it is a kind of."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.hierarchy import LIKELY, MARGIN, lift, next_kinds, ways_down

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


def test_one_goes_down_as_far_as_kinds_are_likely() -> None:
    shares = torch.tensor(
        [
            [0.5, 0.1, 0.8, 0.9, 0.3],  # 3, 2 and 0
            [0.2, 0.3, 0.8, 0.9, 0.3],  # neither kind of 2 is likely
            [0.3, 0.3, 0.4, 0.9, 0.3],  # nor is 2
            [0.4, 0.1, 0.5, 0.6, 0.9],  # 4 has no kinds
        ]
    )
    ways = ways_down(shares.logit(), shares, IMPLIED)
    assert ways.tolist() == [[3, 2, 0], [3, 2, -1], [3, -1, -1], [4, -1, -1]]
    following = next_kinds(shares.logit(), shares, IMPLIED)
    assert following[3].tolist() == [-1, -1, 0, 2, -1]
    assert ways_down(shares.logit(), shares, ()).tolist() == [[3], [3], [3], [4]]
    exactly = torch.tensor([[0.0, 0.0, LIKELY * 0.9, 0.9, 0.0]])
    assert ways_down(exactly, exactly, IMPLIED)[0, :2].tolist() == [3, 2]


def test_where_probabilities_are_alike_scores_tell_what_is_nearer() -> None:
    scores = lift(torch.tensor([[90.0, 0.0, 0.0, 0.0, 0.0]]), IMPLIED)
    shares = scores.sigmoid()
    assert len(set(shares[0, [0, 2, 3]].tolist())) == 1
    assert ways_down(scores, shares, IMPLIED).tolist() == [[3, 2, 0]]
