"""SEAL: labels and subgraphs by hand, and on graphs where it has to tell something."""

import pytest
import torch

from models.baselines.fitting import Labels
from models.baselines.joined import JoinedGraph
from models.baselines.seal import SEALConfig, fit, training_pairs
from models.baselines.seal_subgraphs import Extractor, drnl
from tests.models.baseline_graphs import baseline_labels, right
from tests.models.graphs import TARGET, class_graph, multi_graph

SMALL = SEALConfig(neighbours=(8,), negatives=3, epochs=12, patience=6, epochs_unvalidated=12)


def _links(k: int, edges: list[tuple[int, int]]) -> torch.Tensor:
    links = torch.zeros(1, k, k, dtype=torch.bool)
    for one, other in edges:
        links[0, one, other] = links[0, other, one] = True
    return links


def test_labels_by_hand() -> None:
    """Pair 0, 1; 2 beside both; 3 behind 2; 4 beside 0 and 3; 5 beside 0 only; 6 alone."""
    links = _links(7, [(0, 2), (1, 2), (2, 3), (0, 4), (3, 4), (0, 5)])
    # distances to 0 without 1: 2: 1, 3: 2, 4: 1, 5: 1; to 1 without 0: 2: 1, 3: 2, 4: 3, 5: none
    # 2: d = 2, 1 + 1 + 1 (1 + 0 - 1) = 2; 3: d = 4, 1 + 2 + 2 (2 + 0 - 1) = 5
    # 4: d = 4, 1 + 1 + 2 (2 + 0 - 1) = 4
    assert drnl(links).tolist() == [[1, 1, 2, 5, 4, 0, 0]]
    # an odd sum: 2 beside 0, 3 between 2 and 1: d(2) = 1 + 2 = 3, 1 + 1 + 1 (1 + 1 - 1) = 3
    assert drnl(_links(4, [(0, 2), (2, 3), (3, 1)])).tolist() == [[1, 1, 3, 3]]


def _graph() -> JoinedGraph:
    """Heads 0..3, classes 4 and 5, another node 6; heads 0 and 1 have class 4, 2 and 3 class 5."""
    fixed = torch.tensor([[0, 1, 0, 6, 2, 3], [1, 0, 6, 0, 3, 2]])
    answers = torch.tensor([[0, 1, 2, 3], [4, 4, 5, 5]])
    return JoinedGraph(4, 2, 7, fixed, answers, None)


def test_enclosing_subgraphs_by_hand() -> None:
    extractor = Extractor(_graph(), (10,), 0)
    cut = extractor.cut(torch.tensor([0, 0]), torch.tensor([0, 1]))
    assert cut.nodes[:, :2].tolist() == [[0, 4], [0, 5]]
    assert set(cut.nodes[0].tolist()) - {-1} == {0, 4, 1, 6}
    assert set(cut.nodes[1].tolist()) - {-1} == {0, 5, 1, 6, 2, 3}
    for nodes, links in zip(cut.nodes.tolist(), cut.links, strict=True):
        found = {(nodes[a], nodes[b]) for a, b in links.nonzero().tolist()}
        expected = (
            {(0, 1), (0, 6), (1, 4)} if nodes[1] == 4 else {(0, 1), (0, 6), (2, 5), (3, 5), (2, 3)}
        )
        # 0 has class 4, and that edge is nowhere, neither where it is asked for nor where 5 is
        assert found == expected | {(b, a) for a, b in expected}
    at = cut.nodes[0].tolist().index(1)
    assert int(cut.labels[0, at]) == 2  # beside both


def test_neighbours_are_capped_and_always_the_same() -> None:
    data = class_graph(per_class=30)
    graph = JoinedGraph.of(data, TARGET, baseline_labels(data))
    heads, classes = torch.arange(20), torch.arange(20) % 4
    cut = Extractor(graph, (3,), 1).cut(heads, classes)
    assert cut.nodes.size(1) <= 2 + 2 * 3
    alone = Extractor(graph, (3,), 1).cut(heads[7:8], classes[7:8])
    width = alone.nodes.size(1)
    assert torch.equal(alone.nodes[0], cut.nodes[7, :width])
    kept = cut.nodes[cut.nodes >= 0]
    assert kept.numel() > 20 * 4
    for row in cut.nodes.tolist():
        real = [node for node in row if node >= 0]
        assert len(real) == len(set(real))


def test_false_pairs_stand_beside_true_ones() -> None:
    truth = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]).bool()
    labels = Labels(truth, torch.arange(3), torch.zeros(0, dtype=torch.long), True)
    chance = torch.Generator().manual_seed(0)
    heads, classes, true = training_pairs(labels, 1, 100, chance)
    assert torch.equal(truth[heads, classes], true)
    assert (int(true.sum()), int((~true).sum())) == (4, 4)
    assert len(set(zip(heads.tolist(), classes.tolist(), strict=True))) == 8
    assert training_pairs(labels, 1, 4, chance)[0].numel() <= 4


@pytest.mark.parametrize("validated", [False, True])
def test_it_tells_held_out_heads_and_repeats_itself(validated: bool) -> None:
    data = class_graph(per_class=60 if validated else 20)
    labels = baseline_labels(data, with_validation=validated)
    before, threads, seen = torch.random.get_rng_state(), torch.get_num_threads(), []
    model = fit(data, TARGET, labels, config=SMALL, on_epoch=lambda *each: seen.append(each))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert right(model, data) > 0.6  # of four classes
    assert model.epochs == len(seen)
    if validated:
        assert seen[model.best_epoch - 1][2] == max(score for _, _, score in seen)
    else:
        again, rows = fit(data, TARGET, labels, config=SMALL), torch.arange(5)
        assert torch.equal(model.scores(rows), again.scores(rows))


def test_several_classes() -> None:
    data = multi_graph(per_class=40)
    labels = baseline_labels(data)
    truth = baseline_labels(data, all_rows=True).truth
    test = data["item"].test_mask.nonzero().flatten()
    said = fit(data, TARGET, labels, config=SMALL).scores(test) > 0
    assert float((said == truth[test]).float().mean()) > 0.7
    assert said.any()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="neighbours must be one number a hop"):
        SEALConfig(neighbours=())
    with pytest.raises(ValueError, match="sorted_nodes must be at least 10"):
        SEALConfig(sorted_nodes=5)
    data = class_graph()
    labels = baseline_labels(data)
    with pytest.raises(ValueError, match="shape"):
        fit(data, TARGET, Labels(labels.truth[:, :3], labels.train, labels.valid, False))
