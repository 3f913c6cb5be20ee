import pytest
import torch

from models.dropout import dropout


def test_the_right_share_is_dropped_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    ones = torch.ones(1001, 101)
    for share in (0.1, 0.5, 0.9):
        out = dropout(ones, share, training=True)
        kept = out > 0
        assert float(kept.float().mean()) == pytest.approx(1 - share, abs=0.005)
        scaled = torch.full_like(out[kept], 1 / (1 - share))
        torch.testing.assert_close(out[kept], scaled, rtol=1e-3, atol=0)
        # neighbours, which share a draw, are dropped apart from each other
        both = kept.flatten()[:-1] & kept.flatten()[1:]
        assert float(both.float().mean()) == pytest.approx((1 - share) ** 2, abs=0.01)


def test_outside_training_and_without_a_share_nothing_changes() -> None:
    h = torch.randn(3, 4)
    assert dropout(h, 0.5, training=False) is h
    assert dropout(h, 0.0, training=True) is h


def test_almost_everything_may_be_dropped() -> None:
    out = dropout(torch.ones(100_000), 0.9999999, training=True)
    assert torch.isfinite(out).all()
    assert int((out > 0).sum()) < 30


def test_gradients_flow_through_what_was_kept() -> None:
    h = torch.randn(50, 8, requires_grad=True)
    out = dropout(h, 0.5, training=True)
    out.sum().backward()
    assert torch.equal(h.grad, torch.where(out != 0, 2.0, 0.0))


def test_same_seed_same_values() -> None:
    h = torch.randn(64, 3)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(h, 0.5, training=True))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
