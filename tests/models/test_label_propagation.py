"""Label propagation: against hand-computed cases, and on graphs where it has to tell something."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from models.baselines.fitting import Labels
from models.baselines.label_propagation import LabelPropagationConfig, fit, normalised, spread
from tests.models.baseline_graphs import baseline_labels, right
from tests.models.graphs import TARGET, class_graph, multi_graph


def test_spreading_is_the_closed_form_of_the_paper() -> None:
    """A path 0 - 1 - 2 of which 0 is known: F = (1 - alpha) (I - alpha S)^-1 Y."""
    links = csr_array(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=np.float64))
    known = np.array([[1.0], [0.0], [0.0]])
    matrix = normalised(links, "symmetric")
    root = 1 / np.sqrt(2)
    np.testing.assert_allclose(matrix.toarray(), [[0, root, 0], [root, 0, root], [0, root, 0]])
    found = spread(matrix, known, 0.5, tolerance=1e-12, steps=200)
    # by hand: F = [7/12, sqrt(2)/6, 1/12]
    np.testing.assert_allclose(found.ravel(), [7 / 12, np.sqrt(2) / 6, 1 / 12])
    rows = normalised(links, "rows").toarray()
    np.testing.assert_allclose(rows, [[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]])


@pytest.mark.parametrize("validated", [False, True])
def test_it_tells_held_out_heads(validated: bool) -> None:
    data = class_graph(per_class=100 if validated else 20)
    labels = baseline_labels(data, with_validation=validated)
    assert labels.validated == validated
    model = fit(data, TARGET, labels)
    assert right(model, data) > 0.7  # of four classes
    assert (model.parameters, model.epochs, model.best_epoch) == (0, 0, 0)
    assert torch.isfinite(model.said).all()


def test_several_classes() -> None:
    data = multi_graph(per_class=60)
    labels = baseline_labels(data)
    assert labels.multi_label
    truth = baseline_labels(data, all_rows=True).truth
    test = data["item"].test_mask.nonzero().flatten()
    said = fit(data, TARGET, labels).scores(test) > 0
    assert float((said == truth[test]).float().mean()) > 0.75
    assert said.any()
    assert not said.all()


def test_held_out_classes_and_the_targets_own_edges_never_enter() -> None:
    data = class_graph()
    labels = baseline_labels(data)
    told = fit(data, TARGET, labels).said
    everything = labels.truth.clone()
    held = ~data["item"].train_mask
    everything[held] = ~everything[held]
    other = class_graph()
    other[TARGET].edge_index = other[TARGET].edge_index.flip(1).roll(1, 1) * 0
    turned = Labels(everything, labels.train, labels.valid, False)
    assert torch.equal(fit(other, TARGET, turned).said, told)


def test_who_nothing_reaches_gets_the_most_frequent_class() -> None:
    data = class_graph()
    for name in ("similar", "rev_similar"):
        data["item", name, "item"].edge_index = torch.zeros(2, 0, dtype=torch.long)
    labels = baseline_labels(data)
    kept = labels.train[: labels.train.numel() - 1]  # one of the last class less
    one_less = Labels(labels.truth, torch.cat([kept, labels.train[2:3]]), labels.valid, False)
    model = fit(data, TARGET, one_less)
    assert set(model.scores(data["item"].test_mask.nonzero().flatten()).argmax(1).tolist()) == {2}


def test_bad_input() -> None:
    data = class_graph()
    labels = baseline_labels(data)
    with pytest.raises(ValueError, match="alphas must be above 0"):
        LabelPropagationConfig(alphas=(1.0,))
    with pytest.raises(ValueError, match="shape"):
        fit(data, TARGET, Labels(labels.truth[:, :3], labels.train, labels.valid, False))
    for name in ("similar", "rev_similar"):
        del data["item", name, "item"]
    with pytest.raises(ValueError, match="no relation links nodes of the type 'item'"):
        fit(data, TARGET, labels)
