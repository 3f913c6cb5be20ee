from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.negatives import DrawnBy, TruePairs


@st.composite
def pairs(draw: st.DrawFn) -> tuple[set[tuple[int, int]], int, int]:
    heads, tails = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    pair = st.tuples(st.integers(0, heads - 1), st.integers(0, tails - 1))
    return draw(st.sets(pair)), heads, tails


def _known(true: set[tuple[int, int]], heads: int, tails: int) -> TruePairs:
    edges = torch.tensor(sorted(true), dtype=torch.long).reshape(-1, 2).T
    return TruePairs(torch.cat([edges, edges], dim=1), heads, tails)  # duplicates change nothing


@given(pairs(), st.integers(1, 5), st.integers(0, 999), st.sampled_from(get_args(DrawnBy)))
def test_no_negative_is_ever_a_true_pair(
    case: tuple[set[tuple[int, int]], int, int], k: int, seed: int, by: DrawnBy
) -> None:
    true, heads, tails = case
    asked = torch.arange(heads).repeat(2)
    drawn = _known(*case).sample(asked, k, torch.Generator().manual_seed(seed), by)
    assert drawn.shape == (2 * heads, k)
    for head, row in zip(asked.tolist(), drawn.tolist(), strict=True):
        full = all((head, tail) in true for tail in range(tails))
        for tail in row:
            assert tail == -1 if full else (0 <= tail < tails and (head, tail) not in true)


@given(pairs())
def test_mask_holds_exactly_the_true_pairs(case: tuple[set[tuple[int, int]], int, int]) -> None:
    true, heads, _ = case
    mask = _known(*case).mask(torch.arange(heads))
    assert {(h, t) for h, t in mask.nonzero().tolist()} == true


def test_draws_are_uniform_over_the_false_tails() -> None:
    known = TruePairs(torch.tensor([[0, 0], [1, 4]]), 2, 6)
    drawn = known.sample(torch.tensor([0]), 8000, torch.Generator().manual_seed(1))
    share = torch.bincount(drawn.flatten(), minlength=6) / 8000
    expected = torch.tensor([0.25, 0, 0.25, 0.25, 0, 0.25])
    torch.testing.assert_close(share, expected, atol=0.02, rtol=0)
    assert known.chance(torch.tensor([0]), torch.tensor([[0, 5]])).tolist() == [[0.25, 0.25]]


def test_draws_by_frequency_follow_how_often_a_tail_is_true() -> None:
    # head 0 has the tails 1 and 4; the others make tail 0 true once, 2 three times, 5 never
    edges = torch.tensor([[0, 0, 1, 1, 2, 3, 2], [1, 4, 0, 2, 2, 2, 3]])
    known = TruePairs(edges, 4, 6)
    head = torch.tensor([0])
    drawn = known.sample(head, 8000, torch.Generator().manual_seed(1), "frequency")
    share = torch.bincount(drawn.flatten(), minlength=6) / 8000
    expected = torch.tensor([1, 0, 3, 1, 0, 1]) / 6
    torch.testing.assert_close(share, expected, atol=0.02, rtol=0)
    false = torch.tensor([[0, 2, 3, 5]])
    torch.testing.assert_close(known.chance(head, false, "frequency"), expected[false])


def test_same_seed_same_negatives() -> None:
    known = TruePairs(torch.tensor([[0, 1], [1, 4]]), 2, 6)
    heads = torch.tensor([0, 1, 1])
    draws = [known.sample(heads, 9, torch.Generator().manual_seed(s)) for s in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        TruePairs(torch.tensor([[0], [6]]), 2, 6)
    with pytest.raises(ValueError, match="outside"):
        TruePairs(torch.tensor([[2], [0]]), 2, 6)
    with pytest.raises(ValueError, match="at least 1"):
        TruePairs(torch.tensor([[0], [0]]), 2, 6).sample(torch.tensor([0]), 0, torch.Generator())
    with pytest.raises(ValueError, match="frequency"):
        TruePairs(torch.tensor([[0], [0]]), 2, 6).sample(
            torch.tensor([0]),
            1,
            torch.Generator(),
            "size",  # type: ignore[arg-type]
        )
