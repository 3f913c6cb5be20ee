"""LightGCN: its propagation by hand, and on graphs where it has to tell something."""

import math
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch_geometric.nn import LGConv

from models.baselines.fitting import Labels
from models.baselines.joined import JoinedGraph
from models.baselines.lightgcn import (
    Embeddings,
    LightGCNConfig,
    fit,
    normalised_adjacency,
    platt,
)
from tests.models.baseline_graphs import baseline_labels, right
from tests.models.graphs import TARGET, class_graph, multi_graph
from tests.waiting import DEADLINE

REPOSITORY = Path(__file__).parent.parent.parent


def test_propagation_by_hand() -> None:
    """Users 0, 1 and items 2, 3; edges 0-2, 1-2, 1-3: degrees 1, 2, 2, 1."""
    edges = torch.tensor([[0, 1, 1, 2, 2, 3], [2, 2, 3, 0, 1, 1]])
    graph = JoinedGraph(2, 2, 4, edges, torch.zeros(2, 0, dtype=torch.long), None)
    net = Embeddings(graph, LightGCNConfig(dim=1, layers=2))
    net.first.data = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    r = 1 / math.sqrt(2)
    one = [3 * r, 1.5 + 4 * r, r + 1, 2 * r]
    two = [one[2] * r, one[2] / 2 + one[3] * r, one[0] * r + one[1] / 2, one[1] * r]
    mean = [(a + b + c) / 3 for a, b, c in zip([1, 2, 3, 4], one, two, strict=True)]
    adjacency = normalised_adjacency(graph.edges(), 4)
    found = net(adjacency)
    torch.testing.assert_close(found.flatten(), torch.tensor(mean))
    raw = net.raw(found, torch.tensor([1]))
    torch.testing.assert_close(raw, torch.tensor([[mean[1] * mean[2], mean[1] * mean[3]]]))

    # PyG's own convolution says the same, and so do its gradients
    convolution, h = LGConv(), net.first
    theirs = (h + convolution(h, edges) + convolution(convolution(h, edges), edges)) / 3
    torch.testing.assert_close(found, theirs)
    (own,) = torch.autograd.grad(found.square().sum(), h)
    (other,) = torch.autograd.grad(theirs.square().sum(), h)
    torch.testing.assert_close(own, other)


@pytest.mark.parametrize("validated", [False, True])
def test_it_tells_held_out_heads_and_repeats_itself(validated: bool) -> None:
    data = class_graph(per_class=100 if validated else 20)
    labels = baseline_labels(data, with_validation=validated)
    config = LightGCNConfig(epochs=60, epochs_unvalidated=60, patience=15)
    before, seen = torch.random.get_rng_state(), []
    model = fit(data, TARGET, labels, config=config, on_epoch=lambda *each: seen.append(each))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert right(model, data) > 0.7  # of four classes
    assert model.epochs == len(seen)
    assert model.parameters >= 64 * int(data["item"].num_nodes)
    if validated:
        best = max(score for _, _, score in seen)
        assert seen[model.best_epoch - 1][2] == best
    else:
        assert model.best_epoch == 60
        again = fit(data, TARGET, labels, config=config)
        rows = torch.arange(5)
        assert torch.equal(model.scores(rows), again.scores(rows))


def test_several_classes() -> None:
    data = multi_graph(per_class=60)
    labels = baseline_labels(data)
    truth = baseline_labels(data, all_rows=True).truth
    test = data["item"].test_mask.nonzero().flatten()
    said = fit(data, TARGET, labels, config=LightGCNConfig(epochs_unvalidated=60)).scores(test) > 0
    assert float((said == truth[test]).float().mean()) > 0.75
    assert said.any()
    assert not said.all()


def test_held_out_classes_never_enter() -> None:
    data = class_graph()
    labels = baseline_labels(data)
    turned = labels.truth.clone()
    turned[~data["item"].train_mask] = ~turned[~data["item"].train_mask]
    data[TARGET].edge_index = data[TARGET].edge_index * 0
    config, rows = LightGCNConfig(epochs_unvalidated=5), torch.arange(60)
    first = fit(class_graph(), TARGET, labels, config=config).scores(rows)
    other = Labels(turned, labels.train, labels.valid, False)
    assert torch.equal(fit(data, TARGET, other, config=config).scores(rows), first)


def test_log_odds_part_what_is_likelier_than_not() -> None:
    chance = torch.Generator().manual_seed(0)
    raw = 0.01 * torch.randn(500, 1, generator=chance) + 5  # hardly any spread, far from 0
    truth = raw > 5.003
    slope, offset = platt(raw, truth, torch.ones(1))
    assert float(((slope * raw + offset > 0) == truth).float().mean()) > 0.95


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="hidden_share must be above 0"):
        LightGCNConfig(hidden_share=0.0)
    with pytest.raises(ValueError, match="dim must be at least 1"):
        LightGCNConfig(dim=0)
    data = class_graph()
    labels = baseline_labels(data)
    with pytest.raises(ValueError, match="shape"):
        fit(data, TARGET, Labels(labels.truth[:, :3], labels.train, labels.valid, False))


def test_no_file_of_pyg_s_is_left_behind() -> None:
    program = (
        "import tempfile, sys; tempfile.tempdir = sys.argv[1]\n"
        "import models.baselines.lightgcn as lightgcn; lightgcn._convolution()"
    )
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-c", program, folder], check=True, cwd=REPOSITORY, timeout=DEADLINE
        )
        assert list(Path(folder).iterdir()) == []
