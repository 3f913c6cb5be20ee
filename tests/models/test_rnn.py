"""The recurrent net: it learns what only the order of frames tells."""

import numpy as np
import pytest
import torch

from models.baselines import rnn
from models.baselines.fitting import Labels
from models.baselines.rnn import RNN, RNNConfig
from tests.models.sequences import CLASSES, labels_of, striped

SMALL = RNNConfig(
    length=48, step=2, hidden=32, learning_rate=1e-2, patches=2, epochs_unvalidated=40, dropout=0.0
)


def test_the_order_of_frames_is_learned_and_repeated() -> None:
    frames, y = striped(50)
    before = torch.random.get_rng_state(), torch.get_num_threads()
    labels = labels_of(y, range(120))
    fitted = rnn.fit(frames, labels, config=SMALL, seed=1)
    scores = fitted.scores(torch.arange(120, 150))
    assert scores.shape == (30, CLASSES)
    # chance is a third
    assert float((scores.argmax(dim=1).numpy() == y[120:]).mean()) > 0.7
    assert (fitted.epochs, fitted.best_epoch) == (40, 40)

    again = rnn.fit(frames, labels, config=SMALL, seed=1)
    assert torch.equal(again.scores(torch.arange(120, 150)), scores)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


def test_rows_may_have_several_classes() -> None:
    chance = np.random.default_rng(0)
    truth = chance.random((90, CLASSES)) < 0.5
    truth[~truth.any(axis=1), 0] = True
    frames = [(chance.normal(size=(80, CLASSES)) + 2 * row).astype(np.float16) for row in truth]
    labels = Labels(torch.from_numpy(truth), torch.arange(60), torch.arange(0), multi_label=True)
    fitted = rnn.fit(frames, labels, config=SMALL)
    said = fitted.scores(torch.arange(60, 90)) > 0
    assert float((said.numpy() == truth[60:]).mean()) > 0.9


def test_a_step_is_mean_and_deviation_of_its_frames() -> None:
    net = RNN(2, 3, RNNConfig(length=9, step=4, dropout=0.0)).eval()
    seen: list[torch.Tensor] = []
    net.lstm.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.tensor([[1.0, 0], [3, 0], [1, 0], [3, 0], [5, 1], [5, 1], [5, 1], [5, 1], [99, 99]])
    net(x[None])
    assert seen[0].tolist() == [[[2, 0, 1, 0], [5, 1, 0, 0]]]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"step": 0}, "step, hidden and layers must be at least 1"),
        ({"length": 4, "step": 8}, "length must be at least step, 8, not 4"),
        ({"patience": 0}, "patience"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RNNConfig(**changed)  # type: ignore[arg-type]
