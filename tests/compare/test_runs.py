"""The comparison: who takes part, what a row says, and what one that breaks costs."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kg.compare import contestants as registry
from kg.compare import runs
from kg.compare.contestants import Contestant, chosen, contestants, heard_as
from kg.compare.runs import CompareOptions, Comparison, NoFramesError, compare
from kg.errors import KgError, WrongUsageError
from tests.compare.songs import material

QUICK = CompareOptions(models=("knn", "majority"), features=("good", "bad"), seeds=2, folds=3)


def no_frames(kind: str) -> Sequence[NDArray[np.float16]]:
    raise NoFramesError(f"there are no {kind} frames of a table")


def noisy_frames(kind: str) -> Sequence[NDArray[np.float16]]:
    songs = material()
    chance = np.random.default_rng(0)
    bands = {"mfcc": 20, "log_mel": 128}[kind]
    loud = songs.truth.argmax(axis=1)
    return [
        (chance.normal(size=(140, bands)) + np.arange(bands) % 3 * loud[row]).astype(np.float16)
        for row in range(len(songs.songs))
    ]


def rows(found: Comparison) -> dict[tuple[str, str, str], float]:
    return {(r.protocol, r.model, r.features): r.macro_f1.value for r in found.figures}


def test_features_that_tell_the_genre_are_told_from_those_that_do_not(tmp_path: Path) -> None:
    found = compare(material(), tmp_path / "c", no_frames, QUICK)
    by = rows(found)
    assert by["by artist", "k nearest neighbours", "good"] > 0.9
    assert by["by artist", "k nearest neighbours", "bad"] < 0.6
    assert set(by) == {
        ("by artist", "k nearest neighbours", "good"),
        ("by artist", "k nearest neighbours", "bad"),
        ("by artist", "majority", "none"),
    }
    best, *others = found.figures
    assert (best.features, best.behind, best.p) == ("good", None, None)
    assert all(row.p is not None and row.p < 0.05 for row in others)
    assert (found.songs, found.seeds, found.folds) == (81, 2, 3)
    assert not (tmp_path / "c").exists()


def test_random_folds_stand_beside_those_by_artist(tmp_path: Path) -> None:
    options = replace(QUICK, models=("knn",), features=("good",), show_inflation=True)
    found = compare(material(), tmp_path / "c", no_frames, options)
    assert {row.protocol for row in found.figures} == {"by artist", "random"}


def test_a_learning_curve_learns_from_less_and_is_measured_on_the_same(tmp_path: Path) -> None:
    options = replace(QUICK, features=("good",), learning_curve=True, show_inflation=True)
    found = compare(material(songs=300), tmp_path / "c", no_frames, options)
    shares = [r.share for r in found.figures if r.model != "majority"]
    assert shares == [1, 0.5, 0.25, 0.125, 1]  # random folds, which come last, know all
    known = {row.share: row.learned_from for row in found.figures}
    assert known[1] == 180
    assert known[0.125] < known[0.25] < known[0.5] < known[1]
    assert {row.songs for row in found.figures} == {270}


def test_the_library_s_own_split_can_be_measured_on(tmp_path: Path) -> None:
    options = replace(QUICK, models=("knn",), on="valid")
    songs = material()
    found = compare(songs, tmp_path / "c", no_frames, options)
    assert found.songs == len(songs.side("valid"))
    assert {row.protocol for row in found.figures} == {"valid"}
    with pytest.raises(WrongUsageError, match="leave out --on"):
        compare(songs, tmp_path / "c", no_frames, replace(options, show_inflation=True))


def test_one_that_breaks_costs_its_own_row_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise MemoryError("9 GB are needed and 2 GB are free")

    def wrong(*_: object) -> None:
        raise ValueError("a shape doesn't fit")

    listed = {
        **contestants(),
        "hungry": Contestant("hungry", "hungry", "features", breaks),  # type: ignore[arg-type]
        "wrong": Contestant("wrong", "wrong", "features", wrong),  # type: ignore[arg-type]
    }
    monkeypatch.setattr(registry, "contestants", lambda: listed)
    options = replace(QUICK, models=("hungry", "wrong", "knn", "cnn"), features=("good", "mel"))
    songs = material()
    with pytest.raises(WrongUsageError, match="no features called 'mel'"):
        compare(songs, tmp_path / "c", no_frames, options)
    options = replace(options, features=("good", "all"))
    found = compare(songs, tmp_path / "c", no_frames, options)
    assert {row.model for row in found.figures} == {"k nearest neighbours"}
    missing = {(each.model, each.features): each for each in found.missing}
    assert missing["hungry", "good"].reason.startswith("there is too little memory (9 GB")
    assert missing["wrong", "all"].reason == "ValueError: a shape doesn't fit"
    assert all(each.failed for each in found.missing if each.model in ("hungry", "wrong"))
    assert not missing["CNN", "mel"].failed
    assert "no log_mel frames of a table" in missing["CNN", "mel"].reason


def test_a_comparison_that_is_cut_off_goes_on_and_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compare(material(), tmp_path / "whole", no_frames, QUICK)
    train = runs._Trainings._train
    done: list[tuple[str, str]] = []

    def interrupted(self: object, contestant: Contestant, features: str, task: object) -> object:
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append((contestant.name, features))
        return train(self, contestant, features, task)  # type: ignore[arg-type]

    monkeypatch.setattr(runs._Trainings, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(material(), tmp_path / "cut", no_frames, QUICK)
    with pytest.raises(WrongUsageError, match="seeds 2, now 3"):
        compare(material(), tmp_path / "cut", no_frames, replace(QUICK, seeds=3))

    again: list[tuple[str, str]] = []

    def counted(self: object, contestant: Contestant, features: str, task: object) -> object:
        again.append((contestant.name, features))
        return train(self, contestant, features, task)  # type: ignore[arg-type]

    monkeypatch.setattr(runs._Trainings, "_train", counted)
    found = compare(material(), tmp_path / "cut", no_frames, QUICK)
    assert found.resumed
    assert len(again) == 2 * 3 * 3 - 7
    assert rows(found) == rows(whole)


def test_nothing_is_lost_where_its_rows_cannot_be_kept(tmp_path: Path) -> None:
    kept: list[Comparison] = []

    def gone(_: Comparison) -> None:
        raise KgError("the server is gone")

    with pytest.raises(KgError, match="the server is gone"):
        compare(material(), tmp_path / "c", no_frames, QUICK, keep=gone)
    found = compare(material(), tmp_path / "c", unasked, QUICK, keep=kept.append)
    assert found.resumed
    assert kept == [found]
    assert not (tmp_path / "c").exists()


def unasked(kind: str) -> Sequence[NDArray[np.float16]]:
    raise AssertionError(f"{kind} frames were asked for")


def test_a_look_at_the_test_songs_is_told_before_anything_is_known_of_them(tmp_path: Path) -> None:
    looks: list[str] = []
    options = replace(QUICK, models=("knn", "majority"), features=("good",), on="test")

    def refused(look: str) -> None:
        if len(looks) == 2:
            raise KgError("the server is gone")
        looks.append(look)

    with pytest.raises(KgError, match="the server is gone"):
        compare(material(), tmp_path / "c", no_frames, options, looks=refused)
    assert len(list((tmp_path / "c").glob("*.npz"))) == 2
    again: list[str] = []
    found = compare(material(), tmp_path / "c", no_frames, options, looks=again.append)
    assert found.test_split == material().test_split
    # two models, two seeds, each counted once
    assert len({*looks, *again}) == len(looks) + len(again) == 4
    assert {look.split(":")[0] for look in (*looks, *again)} == {found.run}
    compare(material(), tmp_path / "c", no_frames, replace(options, on="valid"), looks=again.append)
    assert len(again) == 2


def test_one_that_runs_away_costs_its_own_row_only(tmp_path: Path) -> None:
    wild = {"mlp": {"learning_rate": 1e6, "weight_decay": 1e6}}
    options = replace(QUICK, models=("mlp", "knn"), features=("good",), settings=wild)
    found = compare(material(), tmp_path / "c", no_frames, replace(options, epochs=30))
    assert [row.model for row in found.figures] == ["k nearest neighbours"]
    (missing,) = found.missing
    assert "scores that are no numbers" in missing.reason


def test_defaults_are_no_other_settings(tmp_path: Path) -> None:
    plain = replace(QUICK, models=("lightgcn",), features=("good",), epochs=2)
    named = replace(plain, settings={"lightgcn": {"dim": 64, "layers": 3}})
    for options in (plain, named):
        (row,) = compare(material(), tmp_path / "c", no_frames, options).figures
        assert row.settings == {}


def test_settings_of_a_model_can_be_others_than_its_defaults(tmp_path: Path) -> None:
    options = replace(QUICK, models=("label-propagation", "lightgcn"), features=("good",), epochs=5)
    narrow = replace(options, settings={"lightgcn": {"dim": 16}})
    plain, tuned = (
        {row.model: row for row in compare(material(), tmp_path / "c", no_frames, each).figures}
        for each in (options, narrow)
    )
    assert tuned["LightGCN"].parameters < plain["LightGCN"].parameters
    assert tuned["LightGCN"].settings == {"dim": 16}
    assert tuned["label propagation"].settings == {}
    assert tuned["label propagation"].macro_f1 == plain["label propagation"].macro_f1
    for settings, words in (
        ({"cnn": {"blocks": 3}}, "settings of cnn, which takes no part"),
        ({"lightgcn": {"dims": 16}}, "unknown setting 'dims': did you mean dim"),
        ({"lightgcn": {"dim": 10**20}}, "dim must be at most 2,147,483,647"),
    ):
        with pytest.raises(WrongUsageError, match=words):
            compare(material(), tmp_path / "c", no_frames, replace(options, settings=settings))
    assert not (tmp_path / "c").exists()


def test_one_that_needs_more_memory_than_there_is_costs_its_own_row_only(tmp_path: Path) -> None:
    vast = {"lightgcn": {"dim": 2**31 - 1}}
    options = replace(QUICK, models=("lightgcn", "knn"), features=("good",), settings=vast)
    found = compare(material(), tmp_path / "c", no_frames, options)
    assert [row.model for row in found.figures] == ["k nearest neighbours"]
    (missing,) = found.missing
    assert missing.model == "LightGCN"
    assert missing.failed
    assert missing.reason.startswith("there is too little memory")


def test_models_are_known_by_name_and_the_nearest_are_offered() -> None:
    assert [each.name for each in chosen(None)] == list(contestants())
    assert [each.name for each in chosen(["svm", "tabular"])] == [
        *("svm", "majority", "knn", "logistic", "boosting")
    ]
    with pytest.raises(WrongUsageError, match=r"no model 'lightgnc': did you mean lightgcn"):
        chosen(["lightgnc"])
    with pytest.raises(WrongUsageError, match=r"no model 'zzz': take r-gcn, mlp"):
        chosen(["zzz"])
    with pytest.raises(WrongUsageError, match="Name a model"):
        chosen([])


def test_who_listens_to_frames_hears_what_there_are_frames_of() -> None:
    by_name = contestants()
    assert heard_as(by_name["cnn"], "all") == "mel"
    assert heard_as(by_name["rnn"], "all") == "mfcc"
    assert heard_as(by_name["cnn"], "mfcc") == "mfcc"
    assert heard_as(by_name["cnn"], "chroma") is None
    assert heard_as(by_name["svm"], "chroma") == "chroma"
    assert heard_as(by_name["majority"], "chroma") == "none"


def test_features_that_nobody_asked_can_hear_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUsageError, match="None of these models can learn from good"):
        compare(
            material(), tmp_path, no_frames, replace(QUICK, models=("cnn",), features=("good",))
        )


def test_numbers_of_seeds_and_folds_are_checked(tmp_path: Path) -> None:
    with pytest.raises(WrongUsageError, match="at least 1 seed and 2 folds"):
        compare(material(), tmp_path, no_frames, replace(QUICK, folds=1))


def test_a_full_disk_ends_it_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KgError, match=r"can't be kept in .*No space left"):
        compare(material(), tmp_path / "c", no_frames, QUICK)


@pytest.mark.slow
def test_every_model_that_kg_has_beats_chance(tmp_path: Path) -> None:
    options = CompareOptions(features=("all",), seeds=1, folds=3)
    found = compare(material(), tmp_path / "c", noisy_frames, options)
    assert found.missing == []
    assert {row.model for row in found.figures} == {each.title for each in chosen(None)}
    for row in found.figures:
        assert row.train_seconds > 0
        assert row.predict_seconds > 0
        if row.model == "majority":
            assert row.accuracy.value < 0.45
        else:
            assert row.accuracy.low > 1 / 3, f"{row.model}: {row.accuracy}"
            trained = row.model not in ("k nearest neighbours", "label propagation")
            assert (row.parameters > 0) == trained
