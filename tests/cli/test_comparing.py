"""`kg compare`: its table, its files, its exit codes."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kg.compare import runs
from tests.cli.conftest import Kg
from tests.tables import made_up

QUICK = ("compare", "--models", "knn,majority,logistic", "--folds", "2", "--seeds", "1")


def test_a_table_a_picture_json_and_csv(kg: Kg, music: Path, tmp_path: Path) -> None:
    kg("ingest", music)
    picture = tmp_path / "models.svg"
    printed = kg(*QUICK, "--features", "mfcc,mel", "--show-inflation", "--plot", picture)
    assert printed.code == 0
    for words in ("16 songs of 4 genres, 2 folds, 1 seed.", "on both sides: these flatter"):
        assert words in printed.out
    assert "Best: " in printed.out
    assert "Only 16 songs were measured on" in printed.out
    assert f"Drawn: {picture}" in printed.err
    assert picture.read_text().startswith("<?xml")

    document = json.loads(kg(*QUICK, "--json").out)
    assert [row["model"] for row in document["figures"]][-1] == "majority"
    assert document["missing"] == []
    rows = list(csv.DictReader(io.StringIO(kg(*QUICK, "--csv").out)))
    assert [row["model"] for row in rows] == [row["model"] for row in document["figures"]]
    assert float(rows[0]["macro_f1"]) == document["figures"][0]["macro_f1"]["value"]

    asked = kg("query", "MATCH (e:Experiment) RETURN count(DISTINCT e.run) AS runs", "--json")
    assert json.loads(asked.out) == [{"runs": 3}]


def test_a_learning_curve(kg: Kg, music: Path, tmp_path: Path) -> None:
    records, features = made_up(240)
    pd.DataFrame(features, columns=[f"f{n}" for n in range(9)]).assign(
        id=[record.key for record in records],
        artist=[record.artist for record in records],
        genre=[record.genres[0] for record in records],
    ).to_csv(tmp_path / "songs.csv", index=False)
    kg("ingest", tmp_path / "songs.csv", "--yes")
    printed = kg(*QUICK, "--learning-curve")
    assert printed.code == 0
    assert "macro-F1 by songs learned from" in printed.out
    assert "last step" in printed.out
    best = printed.out.split("Best: ")[1].split(")")[0] + ")"
    assert f" songs {best} gained " in " ".join(printed.out.split())
    asked = "MATCH (e:Experiment) WHERE e.model = 'majority' RETURN e.share, e.learnedFrom AS known"
    rows = json.loads(kg("query", f"{asked} ORDER BY e.share", "--json").out)
    assert [row["e.share"] for row in rows] == [0.125, 0.25, 0.5, 1]
    assert [row["known"] for row in rows] == sorted({row["known"] for row in rows})
    (whole,) = json.loads(kg("experiments", "list", "--json").out)
    assert whole["rows"] == 12
    best = "MATCH (e:Experiment {share: 1}) RETURN max(e.macroF1) AS best"
    assert json.loads(kg("query", best, "--json").out) == [{"best": whole["macro_f1"]}]
    found = list(csv.DictReader(io.StringIO(kg(*QUICK, "--learning-curve", "--csv").out)))
    assert {row["gained"] == "" for row in found if row["share"] == "0.125"} == {True}
    assert {row["gained"] == "" for row in found if row["share"] == "1.0"} == {False}


def test_there_is_no_learning_curve_of_too_few_artists(kg: Kg, music: Path) -> None:
    kg("ingest", music)
    printed = kg("compare", "--models", "knn", "--folds", "2", "--seeds", "1", "--learning-curve")
    assert printed.code == 0
    assert "No learning curve: some genres have too few artists" in printed.out
    assert [each["rows"] for each in json.loads(kg("experiments", "list", "--json").out)] == [1]


def test_a_picture_that_cannot_be_drawn_after_all_costs_no_table(
    kg: Kg, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kg("ingest", music)
    folder = tmp_path / "gone"
    folder.mkdir()
    real = runs._Trainings.run_all

    def gone(self: Any, *given: Any) -> None:
        real(self, *given)
        folder.rmdir()

    monkeypatch.setattr(runs._Trainings, "run_all", gone)
    printed = kg(*QUICK, "--plot", folder / "a.png", "--json")
    assert printed.code == 1
    assert len(json.loads(printed.out)["figures"]) == 3
    assert f"There is no folder {folder} for the picture" in printed.err
    assert "The rows are in the graph: `kg experiments list`." in printed.err
    assert len(json.loads(kg("experiments", "list", "--json").out)) == 1


def test_settings_from_files(kg: Kg, music: Path, tmp_path: Path) -> None:
    kg("ingest", music)
    file, other = tmp_path / "gcn.json", tmp_path / "other.json"
    file.write_text(json.dumps({"model": "lightgcn", "settings": {"dim": 16}}))
    other.write_text(json.dumps({"model": "svm", "settings": {}}))
    quick = ("compare", "--models", "lightgcn,knn", "--folds", "2", "--seeds", "1", "--epochs", "2")
    printed = kg(*quick, "--config", file)
    assert printed.code == 0
    assert "With other settings than the defaults: LightGCN; where `kg tune`" in printed.out
    assert printed.err.count("Careful") == 0
    asked = kg(
        "query", "MATCH (e:Experiment) RETURN e.model, e.settings ORDER BY e.model", "--json"
    )
    assert json.loads(asked.out) == [
        {"e.model": "LightGCN", "e.settings": '{"dim": 16}'},
        {"e.model": "k nearest neighbours", "e.settings": None},
    ]
    chosen = {"model": "lightgcn", "settings": {"dim": 16}, "features": "mel", "testSplit": "x"}
    file.write_text(json.dumps(chosen))
    printed = kg(*quick, "--config", file, "--features", "mfcc,mel")
    assert "settings of lightgcn were chosen for mel, and here it learns from mfcc." in printed.err
    assert "other songs were test songs" not in printed.err
    on_test = ("compare", "--models", "lightgcn", "--features", "mel", "--epochs", "2")
    printed = kg(*on_test, "--on", "test", "--config", file)
    assert "With other settings than the defaults: LightGCN.\n" in printed.out
    (said,) = [line for line in printed.err.splitlines() if "Careful" in line]
    assert said.startswith("Careful: the settings of lightgcn were chosen when other songs were")
    for arguments, words in (
        (("--config", file, "--config", file), "Two files hold settings of lightgcn"),
        (("--config", other), "svm has no settings to choose: take r-gcn"),
        (("--config", tmp_path / "none"), "is not there"),
        (("--config", file, "--models", "knn"), "settings of lightgcn, which takes no part"),
    ):
        refused = kg(*quick, *arguments)
        assert refused.code == 2, arguments
        assert words in refused.err
        assert refused.out == ""


def test_comparisons_are_listed_and_removed(kg: Kg, music: Path) -> None:
    assert "no comparisons yet: `kg compare`" in kg("experiments", "list").out
    kg("ingest", music)
    knn = ("compare", "--models", "knn", "--folds", "2", "--seeds", "1")
    kg(*knn, "--features", "mfcc,mel", "--show-inflation")
    kg(*knn)
    last, first = listed = json.loads(kg("experiments", "list", "--json").out)
    assert [each["rows"] for each in listed] == [1, 4]
    assert first["protocol"] == "by artist"
    assert first["songs"] == 16
    best = json.loads(
        kg(
            "query", f"{ROWS} RETURN max(e.macroF1) AS best", "-p", f"run={first['run']}", "--json"
        ).out
    )
    assert best == [{"best": first["macro_f1"]}]
    shown = kg("experiments", "list").out
    assert first["run"] in shown
    assert "k nearest neighbours" in shown

    for name, words in (("zzz", "no comparison 'zzz'"), ("", "no comparison ''")):
        refused = kg("experiments", "remove", first["run"], name)
        assert refused.code == 2
        assert words in refused.err
    assert len(json.loads(kg("experiments", "list", "--json").out)) == 2
    assert (
        f"Removed comparison {first['run']} (4 rows)."
        in kg("experiments", "remove", first["run"][:11]).out
    )
    document = json.loads(kg("experiments", "list", "--json").out)
    assert document == [last]
    assert json.loads(kg("experiments", "remove", last["run"], "--json").out) == [last]


ROWS = "MATCH (e:Experiment {run: $run, protocol: 'by artist'})"


def test_refusals(kg: Kg, music: Path, tmp_path: Path) -> None:
    assert "kg ingest" in kg(*QUICK).err
    kg("ingest", music)
    for arguments, words in (
        (("--models", "ligthgcn"), "no model 'ligthgcn': did you mean lightgcn"),
        (("--features", "mffc"), "no features called 'mffc': it has mfcc"),
        (("--folds", "9"), "give --folds 2"),
        (("--on", "valid"), "--folds and --on exclude each other"),
        (("--csv", "--json"), "--csv and --json exclude each other"),
        (("--plot", str(tmp_path / "a.txt")), "ends in .png, .pdf or .svg"),
        (("--device", "tpu"), "tpu"),
    ):
        printed = kg(*QUICK, *arguments)
        assert printed.code == 2, arguments
        assert words in printed.err
        assert printed.out == ""


def test_an_unfinished_comparison_is_not_mixed_with_another(kg: Kg, music: Path) -> None:
    kg("ingest", music)
    folder = Path(os.environ["KG_HOME"]) / "comparison"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps({"run": "a", "settings": {"seeds": 9}}))
    printed = kg(*QUICK)
    assert printed.code == 2
    assert "seeds 9, now 1" in printed.err
    printed = kg(*QUICK, "--restart")
    assert printed.code == 0
    assert not folder.exists()
