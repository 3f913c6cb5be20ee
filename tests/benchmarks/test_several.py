"""The benchmark of several genres says what it measures, on songs that nothing was set by."""

from pathlib import Path

import pytest
import torch

from benchmarks.several import Fold, answered, calibrations, errors, of_audioset, one_sigmoid
from models.calibration import Calibration
from models.hierarchy import lift

IMPLIED = [(3, [0, 1, 2])]


def drawn(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, and genres that hang together: who is a kind of the fourth is the fourth."""
    chance = torch.Generator().manual_seed(seed)
    scores = lift(2 * torch.randn(count, 5, generator=chance) - 1, IMPLIED)
    said = Calibration(True, 1.3, bias=-0.3, rivalry=0.2, lead=0.6).probabilities(scores)
    # One lot a song, so that whoever is a kind is what it is a kind of.
    truth = torch.rand(count, 1, generator=chance) < said
    return scores, truth


@pytest.fixture(scope="module")
def fold() -> Fold:
    valid, told = drawn(6000, 0), drawn(6000, 1)
    return Fold(valid, told, float(valid[1].float().mean()), IMPLIED)


def test_what_knows_of_rivals_is_nearer_than_one_sigmoid(fold: Fold) -> None:
    found = {
        name: errors(each.probabilities(fold.told[0]), fold.told[1])
        for name, each in calibrations(fold).items()
    }
    assert list(found) == ["uncalibrated", "one sigmoid", "kg"]
    for other in ("one sigmoid", "uncalibrated"):
        assert found["kg"][0] < found[other][0]
        assert found["kg"][2] < found[other][2]
    assert found["kg"][0] < 0.05


def test_a_known_sigmoid_is_found() -> None:
    chance = torch.Generator().manual_seed(0)
    scores = 2 * torch.randn(2000, 5, generator=chance)
    truth = torch.rand(2000, 5, generator=chance) < (scores / 2 - 1).sigmoid()
    found = one_sigmoid(scores, truth)
    assert found.temperature == pytest.approx(2, rel=0.1)
    assert found.bias == pytest.approx(-1, abs=0.1)


@pytest.mark.parametrize("precision", [0.6, 0.8])
def test_the_precision_asked_for_holds_at_all_levels(fold: Fold, precision: float) -> None:
    given, right, deeper, error = answered(fold, precision, IMPLIED)
    assert right == pytest.approx(precision, abs=0.06) or right > precision
    assert 0 < given <= 1
    assert deeper > 0
    assert error < 0.06
    # The top genres alone are right more often, and say less.
    top = answered(fold, precision, ())
    assert top[2] == 0
    assert top[0] >= given


def test_genres_bring_what_they_are_kinds_of(data_dir: Path) -> None:
    songs, tree = of_audioset(data_dir)
    assert tree
    known = {name for names in songs.genres for name in names}
    for names in songs.genres:
        assert tree.with_above(names) & known == set(names)
