"""A model beside what it has to beat: which songs, which words, and what is kept of it."""

import json
from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from kg.clusters import FeatureSpace
from kg.graph.rows import GraphRows, SongTable
from kg.metrics.evaluate import Difference, Estimate
from kg.metrics.measuring import (
    MAJORITY,
    R_GCN,
    WITHOUT_GRAPH,
    Labelled,
    Side,
    metrics,
    recorded,
    verdict,
)
from kg.records import FeatureSet


def graph(songs: int = 300, *, several: bool = False) -> GraphRows:
    """Songs of three genres that their two features tell, by an artist for every three songs."""
    random = np.random.default_rng(0)
    genre = np.arange(songs) % 3
    features = np.stack([np.cos(2 * genre), np.sin(2 * genre)], axis=1)
    features = (features + 0.3 * random.normal(size=features.shape)).astype(np.float32)
    names = ["blues", "jazz", "rock"]
    said = [(names[g], *(["rock"] if several and g == 0 else [])) for g in genre]
    pairs = [(row, names.index(name)) for row, listed in enumerate(said) for name in listed]
    space = FeatureSpace(
        kinds=FeatureSet("v", {"f": slice(0, 2)}, ("a", "b")),
        mean=np.zeros(2, np.float32),
        scale=np.ones(2, np.float32),
        centroids={"f": np.zeros((1, 2), np.float32)},
    )
    none = np.zeros((2, 0), dtype=np.int64)
    sides = ["train"] * 7 + ["valid", "test", "test"]
    table = SongTable(
        ids=[f"s{row:03}" for row in range(songs)],
        features=features,
        genres=[tuple(sorted(listed)) for listed in said],
        artists=[f"artist {row // 3}" for row in range(songs)],
        splits=[sides[row // 3 % 10] for row in range(songs)],
    )
    edges = np.array(pairs, dtype=np.int64).T
    return GraphRows(table, space, "b", names, ["f:00"], {"f": none}, none, edges)


SIDES: Final[tuple[Side, Side]] = ("test", "valid")


def gap(value: float, low: float, high: float, against: str) -> Difference:
    estimate = Estimate(value, low, high)
    return Difference(against, estimate, estimate)


@pytest.mark.parametrize(
    ("low", "high", "graph", "tabular"),
    [
        (0.01, 0.07, "The graph helped: +4.0 points [+1.0, +7.0]", "It is better than SVM"),
        (-0.01, 0.09, "Whether the graph helped can't be told: ", "It can't be told apart from"),
        (0.0, 0.08, "Whether the graph helped can't be told: ", "It can't be told apart from"),
        (-0.09, -0.01, "The graph did harm: ", "It is worse than SVM"),
    ],
)
def test_the_verdict_claims_no_more_than_the_interval(
    low: float, high: float, graph: str, tabular: str
) -> None:
    value = (low + high) / 2
    said = verdict([gap(value, low, high, name) for name in (WITHOUT_GRAPH, "SVM", MAJORITY)])
    assert len(said) == 2
    assert said[0].startswith(graph)
    assert said[0].endswith("of macro-F1 against the same net without it.")
    assert said[1].startswith(tabular)
    assert "best of the tabular models" in said[1]


@pytest.mark.parametrize("several", [False, True])
def test_a_model_is_measured_beside_its_rivals_and_remembered(several: bool) -> None:
    rows = graph(1200, several=several)
    labelled = Labelled(rows)
    assert labelled.multi_label is several
    assert [len(labelled.rows[side]) for side in ("train", "valid", "test")] == [840, 120, 240]
    choice, sides = labelled.tabular(rows.songs.features, seed=0)
    told = sides["test"]
    assert (len(sides["valid"]), len(told)) == (120, 240)
    assert choice.chosen_by == "validation"
    assert set(choice.tried) == {"logistic regression", "SVM", "gradient boosting"}
    assert (choice.songs, choice.of) == (840, 840)
    truth = labelled.truth[labelled.rows["test"]]
    ours = truth.astype(np.float64) - 0.5
    measured = labelled.measure(
        "test", {R_GCN: [ours], choice.kind: [told], MAJORITY: [labelled.majority("test")]}, seed=0
    )
    ideal, tabular, majority = measured.scores
    assert ideal.accuracy.value == ideal.macro_f1.value == ideal.mrr.value == 1
    assert tabular.macro_f1.value > 0.9
    assert majority.macro_f1.value < 0.5
    assert [each.against for each in measured.differences] == [choice.kind, MAJORITY]
    assert measured.confusions == []
    assert [(each.genre, each.f1) for each in measured.genres] == [
        ("blues", 1), ("jazz", 1), ("rock", 1),
    ]  # fmt: skip
    valid = labelled.measure("valid", {R_GCN: [np.zeros((120, 3))]}, seed=0)
    kept = metrics(measured, valid, {"test": 240}, 0.5, 3)
    assert (kept["accuracy"], kept["testSongs"], kept["seed"], kept["validMacroF1"]) == (
        1, 240, 3, 0.5,
    )  # fmt: skip
    # As the graph keeps it.
    back = json.loads(json.dumps(kept, sort_keys=True))
    assert recorded(back, "test") == measured
    assert recorded(back, "valid") == valid
    assert recorded({"accuracy": 0.5}, "test") is None


def test_every_classifier_has_a_threshold_of_its_own_set_in_the_same_way() -> None:
    """What is shifted as a whole says the same, whoever it is: no row is read more kindly."""
    labelled = Labelled(graph(1200, several=True))
    random = np.random.default_rng(1)

    def told(side: str, shift: float) -> list[np.ndarray]:
        truth = labelled.truth[labelled.rows[side]]
        noise = random.normal(size=truth.shape)
        return [truth + 0.3 * noise + shift]

    shifts = {R_GCN: 0.0, "SVM": -3.0, MAJORITY: 5.0}
    test, valid = ({name: told(side, by) for name, by in shifts.items()} for side in SIDES)
    several = labelled.measure("test", test, seed=0, validation=valid).several
    for each in several:
        assert each.fitted
        assert each.threshold == pytest.approx(0.5 + shifts[each.name], abs=0.3)
        assert each.macro_f1.value > 0.9
    unset = labelled.measure("test", test, seed=0).several
    assert {(each.threshold, each.fitted) for each in unset} == {(0.0, False)}
    assert unset[2].macro_f1.value < 0.8  # above 0 it says every genre of every song
    with pytest.raises(ValueError, match="other songs"):
        labelled.measure("valid", valid, seed=0, validation=valid)
    with pytest.raises(ValueError, match="every classifier"):
        labelled.measure("test", test, seed=0, validation={R_GCN: valid[R_GCN]})


def test_too_few_validation_songs_set_no_threshold() -> None:
    labelled = Labelled(graph(90, several=True))
    scores = {side: {R_GCN: [labelled.truth[labelled.rows[side]] - 0.9]} for side in SIDES}
    (found,) = labelled.measure("test", scores["test"], seed=0, validation=scores["valid"]).several
    assert (found.threshold, found.fitted) == (0.0, False)


def test_the_gain_of_the_graph_can_be_asked_for() -> None:
    labelled = Labelled(graph())
    truth = labelled.truth[labelled.rows["test"]].astype(np.float64)
    measured = labelled.measure(
        "test", {R_GCN: [truth], WITHOUT_GRAPH: [np.zeros_like(truth)]}, seed=0
    )
    kept = metrics(measured, measured, {}, None, 0)
    assert kept["graphGain"] == pytest.approx(1 - 1 / 6)
    assert "validMacroF1" not in kept


def test_too_few_validation_songs_choose_nothing() -> None:
    rows = graph(90)  # nine of them for validation
    choice, _ = Labelled(rows).tabular(rows.songs.features, seed=0)
    assert choice.chosen_by == "cross-validation"


def test_a_held_out_song_of_several_genres_does_not_change_how_scores_are_read() -> None:
    """What is trained on songs of one genre each gives one genre, whatever test songs have."""
    rows = graph()
    song = rows.songs.splits.index("test")  # a blues song
    rows = replace(rows, in_genre=np.hstack([rows.in_genre, [[song], [2]]]))
    labelled = Labelled(rows)
    truth = labelled.truth[labelled.rows["test"]]
    scores = 1.0 + truth  # a softmax's scores have no zero point: all are above 0
    (score,) = labelled.measure("test", {R_GCN: [scores]}, seed=0).scores
    assert score.macro_f1.value > 0.95
    _, told = labelled.tabular(rows.songs.features, seed=0)
    (score,) = labelled.measure("test", {R_GCN: [told["test"]]}, seed=0).scores
    assert score.macro_f1.value > 0.9


def test_nothing_is_measured_without_songs() -> None:
    labelled = Labelled(graph(21))
    assert len(labelled.rows["test"]) == 0
    measured = labelled.measure("test", {R_GCN: [np.zeros((0, 3))]}, seed=0)
    assert (measured.songs, measured.scores, verdict(measured.differences)) == (0, [], [])


def test_the_test_split_is_known_by_its_songs() -> None:
    rows = graph()
    split = Labelled(rows).test_split()
    assert Labelled(graph()).test_split() == split
    rows.songs.splits[rows.songs.splits.index("test")] = "train"
    assert Labelled(rows).test_split() != split
