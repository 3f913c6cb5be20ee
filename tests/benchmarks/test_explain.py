"""The deletion test takes out of the graph what it says, and nothing else."""

import numpy as np
import torch

from benchmarks.explain import Case, cases_of, deletions, without
from kg.compare.material import graph_of
from kg.hetero import to_hetero
from kg.records import FeatureSet
from kg.schema import GENRE_EDGE, SIMILAR_EDGE, feature_edge, reverse_edge
from models.attribution import Neighbour
from models.pyg import HeteroData
from models.training import TrainConfig, train


def made_up() -> HeteroData:
    chance = np.random.default_rng(0)
    genre = np.arange(24) % 3
    x = (chance.normal(size=(24, 4)) + 2 * np.eye(3, 4)[genre]).astype(np.float32)
    kinds = FeatureSet("v", {"low": slice(0, 2), "high": slice(2, 4)}, ("a", "b", "c", "d"))
    fit = np.arange(24) < 18
    sides = ["train" if learned else "test" for learned in fit]
    truth = np.eye(3, dtype=bool)[genre] & fit[:, None]
    ids = [f"s{row:02d}" for row in range(24)]
    return to_hetero(graph_of(ids, x, kinds, fit, sides, ["a", "b", "c"], truth, 0))[0]


def test_only_what_links_the_two_is_gone() -> None:
    data = made_up()
    heads, tails = data[SIMILAR_EDGE].edge_index
    song, other = int(heads[0]), int(tails[0])
    cluster = int(data[feature_edge("low")].edge_index[1, song])
    for relation, number in ((SIMILAR_EDGE, other), (feature_edge("low"), cluster)):
        left = without(data, song, Neighbour(relation, number))
        for edge_type in map(tuple, data.edge_types):
            before, after = data[edge_type].edge_index, left[edge_type].edge_index
            if edge_type not in (relation, reverse_edge(relation)):
                assert torch.equal(before, after)
        pairs = set(map(tuple, left[relation].edge_index.T.tolist()))
        gone = set(map(tuple, data[relation].edge_index.T.tolist())) - pairs
        assert (song, number) in gone
        assert gone <= {(song, number), (number, song)}
        twins = left[reverse_edge(relation)].edge_index
        assert torch.equal(left[relation].edge_index.flip(0), twins)


def test_the_first_is_held_against_others() -> None:
    data = made_up()
    config = TrainConfig(epochs=20, epochs_unvalidated=20)
    model = train(data, GENRE_EDGE, groups={"low": (0, 2), "high": (2, 4)}, config=config).model
    cases = list(cases_of(model, data, [0, 20]))
    assert [(case.song, case.rank) for case in cases] == [(0, 1), (0, 2), (20, 1), (20, 2)]
    rows = deletions("right", model, data, cases, draws=3, seed=0)
    assert len(rows) == 12
    assert sum(first > other for _, _, first, other in rows) >= 11
    # The order turned round is told from the right one.
    turned = [Case(case.song, case.genre, case.rank, case.order[::-1]) for case in cases]
    rows = deletions("wrong", model, data, turned, draws=3, seed=0)
    assert sum(first > other for _, _, first, other in rows) <= 1
