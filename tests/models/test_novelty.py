"""Novelty: what is near, what is far, and what it costs."""

import pytest
import torch

from models import novelty
from models.novelty import fit


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_by_hand() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [6.0], [10.0]])
    found, kept = fit(x, torch.arange(5), torch.ones(1), chance())
    assert kept.tolist() == [0, 1, 2, 3, 4]
    # to the third nearest: 0 -> 6, 1 -> 6, 3 -> 0 and 6, 6 -> 1, 10 -> 1
    assert found.held_out.tolist() == pytest.approx([3, 5, 5, 6, 9], rel=1e-3)
    # 2 is 2 from 0 (third nearest); 7 is 4 from 3; -4 is 7 from 3; 100 is further than all
    new = torch.tensor([[2.0], [7.0], [-4.0], [100.0]])
    assert found.of(new).tolist() == pytest.approx([0, 0.2, 0.8, 1])


def test_what_was_learned_from_is_not_compared_with_itself() -> None:
    x = torch.randn(50, 4, generator=chance())
    found, _ = fit(x, torch.arange(50), torch.ones(4), chance())
    themselves = found.of(x, range(50))
    assert (themselves.sort().values - torch.arange(50) / 50).abs().max() < 0.05  # some are equal
    assert (found.of(x) <= themselves).all()
    assert float(found.of(x).mean()) < float(themselves.mean()) - 0.05


def test_distances_are_to_others_than_ones_own_group() -> None:
    centres = 10 * torch.randn(10, 4, generator=chance())
    x = centres.repeat_interleave(5, dim=0) + 0.1 * torch.randn(50, 4, generator=chance(1))
    groups = torch.arange(10).repeat_interleave(5)
    apart, _ = fit(x, groups, torch.ones(4), chance())
    together, _ = fit(x, torch.arange(50), torch.ones(4), chance())
    assert apart.held_out.min() > 5 * together.held_out.max()
    alone, _ = fit(x, torch.zeros(50), torch.ones(4), chance())  # all by one artist
    torch.testing.assert_close(alone.held_out, together.held_out)


def test_among_few_only_what_is_clearly_further_is_new() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [6.0], [10.0]])
    found, _ = fit(x, torch.arange(5), torch.ones(1), chance())
    # 9 is the furthest of their own distances; 17.9 to the third nearest isn't clearly further
    assert found.of(torch.tensor([[20.9], [21.3]])).tolist() == pytest.approx([0.8, 1])


def test_weights_say_which_columns_count() -> None:
    x = torch.randn(60, 2, generator=chance())
    found, _ = fit(x, torch.arange(60), torch.tensor([1.0, 0.0]), chance())
    assert found.of(torch.tensor([[0.0, 99.0], [99.0, 0.0]])).tolist()[1] == 1
    assert found.of(torch.tensor([[0.0, 99.0]])).item() < 1


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "MOST_REFERENCES", 20)
    x = torch.randn(300, 3, generator=chance())
    found, kept = fit(x, torch.arange(300), torch.ones(3), chance())
    assert len(kept) == len(found.references) == len(found.held_out) == 20
    assert torch.equal(found.references, x[kept])
    again, same = fit(x, torch.arange(300), torch.ones(3), chance())
    assert torch.equal(kept, same)
    assert torch.equal(found.held_out, again.held_out)
    # far is far, however many are kept
    assert found.of(torch.full((1, 3), 50.0)).item() == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_heads(count: int) -> None:
    x = torch.randn(count, 3, generator=chance())
    found, _ = fit(x, torch.arange(count), torch.ones(3), chance())
    told = found.of(torch.full((2, 3), 1e6))
    assert told.tolist() == [float(count > 1)] * 2
    assert found.of(x, range(count)).isfinite().all()
    assert found.of(x[:0]).shape == (0,)
