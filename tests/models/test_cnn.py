"""The convolutional nets: they learn what only the shape over time tells, and repeat themselves."""

from types import ModuleType

import numpy as np
import pytest
import torch

from models.baselines import cnn, crnn
from models.baselines.cnn import CNN, CNNConfig, poolings
from models.baselines.crnn import CRNN, CRNNConfig
from models.baselines.fitting import Labels
from models.training import macro_f1
from tests.models.sequences import CLASSES, labels_of, striped

SMALL = {"length": 32, "blocks": 3, "dropout": 0.0, "learning_rate": 5e-3, "patches": 2}


def _config(net: ModuleType, **changed: object) -> CNNConfig:
    kind = CRNNConfig if net is crnn else CNNConfig
    return kind(**{**SMALL, "epochs_unvalidated": 20, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize("net", [cnn, crnn])
def test_the_shape_over_time_is_learned_and_repeated(net: ModuleType) -> None:
    frames, y = striped(30)
    before = torch.random.get_rng_state(), torch.get_num_threads()
    labels = labels_of(y, range(60))
    told = []
    fitted = net.fit(
        frames,
        labels,
        config=_config(net),
        seed=1,
        on_epoch=lambda epoch, loss, score: told.append((epoch, loss, score)),
    )
    scores = fitted.scores(torch.arange(60, 90))
    assert scores.shape == (30, CLASSES)
    assert scores.dtype == torch.float32
    # chance is a third
    assert float((scores.argmax(dim=1).numpy() == y[60:]).mean()) > 0.8
    assert (fitted.epochs, fitted.best_epoch, len(told)) == (20, 20, 20)
    assert told[-1][1] < 0.5 * told[0][1]
    assert all(score is None for _, _, score in told)

    once, again, other = (
        net.fit(frames, labels, config=_config(net, epochs_unvalidated=2), seed=seed).scores(
            torch.arange(60, 90)
        )
        for seed in (1, 1, 2)
    )
    assert torch.equal(again, once)
    assert not torch.equal(other, once)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


def test_scores_of_a_row_do_not_depend_on_the_others() -> None:
    frames, y = striped(10)
    fitted = cnn.fit(frames, labels_of(y, range(20)), config=_config(cnn, epochs_unvalidated=2))
    together = fitted.scores(torch.arange(30))
    alone = torch.cat([fitted.scores(torch.tensor([row])) for row in range(30)])
    assert torch.allclose(together, alone, atol=1e-5)
    # mean of log-probabilities: no class is likelier than certain
    assert bool((together.exp().sum(dim=1) <= 1 + 1e-5).all())
    assert fitted.scores(torch.arange(0)).shape == (0, CLASSES)


def test_the_best_epoch_on_the_validation_rows_is_kept() -> None:
    frames, y = striped(60)
    labels = labels_of(y, range(60), range(60, 180))
    scores: dict[int, float] = {}
    fitted = cnn.fit(
        frames,
        labels,
        # steps this long end in ruin now and then: the best epoch is seldom the last one
        config=_config(cnn, epochs=12, patience=3, learning_rate=2e-2, averaging=0.0),
        on_epoch=lambda epoch, _, score: scores.update({epoch: score or 0.0}),
    )
    assert fitted.epochs == len(scores)
    assert scores[fitted.best_epoch] == max(scores.values())
    assert fitted.epochs == 12 or fitted.epochs == fitted.best_epoch + 3
    kept = macro_f1(fitted.scores(labels.valid), labels.truth[labels.valid], False)
    assert kept == pytest.approx(scores[fitted.best_epoch])


def test_rows_may_have_several_classes() -> None:
    """Two stripes' directions at once: a row has each class whose stripe it carries."""
    chance = np.random.default_rng(0)
    truth = chance.random((90, CLASSES)) < 0.5
    truth[~truth.any(axis=1), 0] = True
    frames = []
    for row in truth:
        sequence = chance.normal(scale=2, size=(80, 12))
        for kind in np.flatnonzero(row):
            sequence[np.arange(80), 4 * kind + np.arange(80) % 4] += 12
        frames.append(sequence.astype(np.float16))
    labels = Labels(torch.from_numpy(truth), torch.arange(60), torch.arange(0), multi_label=True)
    fitted = cnn.fit(frames, labels, config=_config(cnn))
    said = fitted.scores(torch.arange(60, 90)) > 0
    assert float((said.numpy() == truth[60:]).mean()) > 0.9


@pytest.mark.parametrize("bands", [1, 2, 20, 128])
@pytest.mark.parametrize("make", [CNN, CRNN])
def test_any_number_of_bands_is_taken(make: type[CNN] | type[CRNN], bands: int) -> None:
    net = make(bands, 7, CRNNConfig())
    assert net(torch.randn(2, 129, bands)).shape == (2, 7)


def test_poolings_share_the_bands_out() -> None:
    assert poolings(128, 4) == [4, 4, 3, 3]
    assert poolings(20, 4) == [3, 2, 2, 2]
    assert poolings(125, 3) == [5, 5, 5]
    assert poolings(1, 2) == [1, 1]
    for bands in range(1, 200):
        left = bands
        for pool in poolings(bands, 4):
            left = -(-left // pool)
        assert left == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": 0}, "epochs"),
        ({"length": 0}, "length must be at least 1, not 0"),
        ({"length": 3, "blocks": 3}, "length must be at least 4 for 3 blocks, not 3"),
        ({"votes": 0}, "votes must be at least 1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"averaging": -0.1}, "averaging must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"channels": 0}, "blocks and channels"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _config(cnn, **changed)


def test_sequences_must_fit_the_labels() -> None:
    frames, y = striped(3)
    with pytest.raises(ValueError, match="there are 8 sequences for 9 rows"):
        cnn.fit(frames[:8], labels_of(y, range(6)))
    frames[7] = frames[7][:, :3]
    fitted = cnn.fit(frames, labels_of(y, range(6)), config=_config(cnn, epochs_unvalidated=1))
    with pytest.raises(ValueError, match="sequence 7 has 3 bands and others have 12"):
        fitted.scores(torch.tensor([7]))
    with pytest.raises(ValueError, match="hidden and layers"):
        CRNNConfig(hidden=0)
