"""Patches of sequences: what is cut out, how it is scaled, what is refused."""

import numpy as np
import pytest
import torch

from models.baselines.patches import Patches


def _counted(steps: int, bands: int = 2) -> np.ndarray:
    return np.repeat(np.arange(steps, dtype=np.float16)[:, None], bands, axis=1)


def _raw(patches: Patches, scaled: torch.Tensor) -> torch.Tensor:
    """Undo the scaling."""
    return scaled * patches._deviation + patches._mean


def test_patches_cover_a_sequence_from_end_to_end() -> None:
    patches = Patches([_counted(25)], torch.tensor([0]), 4, 10)
    found = _raw(patches, patches.covering(0))[:, :, 0].round()
    assert found.shape == (7, 4)
    assert found[0].tolist() == [0, 1, 2, 3]
    assert found[-1].tolist() == [21, 22, 23, 24]
    few = Patches([_counted(25)], torch.tensor([0]), 4, 3)
    assert _raw(few, few.covering(0))[:, 0, 0].round().tolist() == [0, 10, 21]
    # one patch stands in the middle
    one = Patches([_counted(24)], torch.tensor([0]), 4, 1)
    assert _raw(one, one.covering(0))[:, 0, 0].round().tolist() == [10]


def test_a_short_sequence_is_repeated() -> None:
    patches = Patches([_counted(3), _counted(1)], torch.tensor([0]), 8, 10)
    assert _raw(patches, patches.covering(0))[0, :, 1].round().tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    drawn = patches.drawn(torch.tensor([1, 0]), torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 8, 2)
    assert _raw(patches, drawn)[0, :, 0].round().tolist() == [0] * 8


def test_patches_are_drawn_from_everywhere() -> None:
    patches = Patches([_counted(10)], torch.tensor([0]), 4, 10)
    drawn = patches.drawn(torch.zeros(300, dtype=torch.int64), torch.Generator().manual_seed(0))
    starts = _raw(patches, drawn)[:, 0, 0].round()
    assert sorted(set(starts.tolist())) == [0, 1, 2, 3, 4, 5, 6]


def test_bands_are_scaled_by_training_rows_only() -> None:
    chance = np.random.default_rng(0)
    own = [(chance.normal(size=(50, 3)) * [1, 5, 0] + [0, -30, 7]).astype("f2") for _ in range(4)]
    patches = Patches([*own, np.full((50, 3), 1000, "f2")], torch.arange(4), 10, 5)
    seen = torch.cat([patches.covering(row) for row in range(4)]).flatten(0, 1)
    assert torch.allclose(seen.mean(dim=0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(seen.std(dim=0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-3)


def test_no_more_of_a_sequence_is_read_than_is_asked_for() -> None:
    class Watched(np.ndarray):
        read = 0

        def __getitem__(self, key: object) -> np.ndarray:
            assert isinstance(key, slice)
            Watched.read += key.stop - key.start
            return np.asarray(self)[key]

    sequence = _counted(2000).view(Watched)
    patches = Patches([sequence], torch.tensor([0]), 16, 4)
    patches.drawn(torch.tensor([0]), torch.Generator().manual_seed(0))
    assert Watched.read == 5 * 16


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([_counted(9, 0)], "sequence 0 has no bands"),
        ([_counted(9), _counted(9, 3)], "sequence 1 has 3 bands and others have 2"),
        ([_counted(9), _counted(0)], r"sequence 1 must be \[steps, bands\], not \[0, 2\]"),
        ([np.zeros(9, "f2")], r"sequence 0 must be \[steps, bands\], not \[9\]"),
        ([_counted(9), np.full((9, 2), np.nan, "f2")], "sequence 1 has values that are no numbers"),
    ],
)
def test_sequences_that_cannot_be_learned_from_are_named(
    frames: list[np.ndarray], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Patches(frames, torch.arange(len(frames)), 4, 10)
