"""`kg tune`, and `kg train --config`: the file between them, what is printed, exit codes."""

import json
import shlex
from pathlib import Path

import pytest

from kg import Library
from kg.compare.spaces import defaults_of
from kg.compare.tuning import TuneOptions
from kg.errors import WrongUsageError
from kg.learning.training import TrainOptions
from tests.cli.conftest import Kg

QUICK = ("tune", "--trials", "3", "--folds", "2", "--epochs", "4")


def test_what_is_tuned_is_trained(
    kg: Kg, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kg("ingest", music)
    printed = kg(*QUICK)
    assert printed.code == 0
    assert "on all: 16 songs of 4 genres, 2 folds by artist, 3 trials (0 ended" in printed.out
    assert "Written to r-gcn.json: kg train --config r-gcn.json" in printed.out
    assert "Tuning: 3, best macro-F1" in printed.err
    file = tmp_path / "r-gcn.json"
    written = json.loads(file.read_text())
    assert (written["model"], written["trials"], written["folds"]) == ("r-gcn", 3, 2)
    assert written["macroF1"] >= written["defaults"]["macroF1"]

    again = kg(*QUICK, "--json")  # from what is kept, over the file that it wrote before
    document = json.loads(again.out)
    assert document["resumed"] == 3
    assert document["macro_f1"] == written["macroF1"]
    assert document["file"] == "r-gcn.json"
    assert "Going on with a tuning of 3 trials." in again.err
    assert json.loads(file.read_text()) == written

    document = json.loads(kg("train", "--config", file, "--json").out)
    others = {n: v for n, v in written["settings"].items() if defaults_of("r-gcn")[n] != v}
    assert document["settings"] == others
    assert document["epochs"][0] == 4
    assert encoder(document)["hidden"] == written["settings"]["hidden"]

    written["settings"] |= {"hidden": 48, "layers": 1, "learning_rate": 0.003}
    written["features"] = "mfcc"
    file.write_text(json.dumps(written))
    printed = kg("train", "--config", file, "--epochs", "2")
    assert printed.code == 0
    assert f"Settings of {file}: " in printed.out
    assert "hidden 48" in printed.out
    assert "Given otherwise on the command line: epochs, epochs_unvalidated." in printed.out
    assert "were chosen for mfcc, and here it learns from all." in printed.err
    assert "other songs were test songs" not in printed.err
    assert "Trained 2 epochs" in printed.out
    written["testSplit"] = "another"
    file.write_text(json.dumps(written))
    kept = kg("train", "--config", file, "--hidden", "32", "--json")
    assert "chosen when other songs were test songs" in kept.err
    document = json.loads(kept.out)
    assert document["settings"]["hidden"] == 32
    assert (encoder(document)["hidden"], encoder(document)["layers"]) == (32, 1)


def test_the_command_that_is_printed_can_be_typed(
    kg: Kg, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kg("ingest", music)
    quick = ("tune", "--trials", "2", "--folds", "2", "--epochs", "1")
    printed = kg(*quick, "--out", "my settings.json")
    command = printed.out.strip().splitlines()[-1].partition(": ")[2]
    assert command == "kg train --config 'my settings.json'"
    printed = kg(*quick, "--model", "lightgcn", "--features", "mfcc", "--out", "-a;b.json")
    command = printed.out.strip().splitlines()[-1].partition(": ")[2]
    assert shlex.split(command)[1:] == [
        *("compare", "--models", "lightgcn,r-gcn", "--features", "mfcc"),
        *("--config", "./-a;b.json"),
    ]
    again = kg(*shlex.split(command)[1:], "--folds", "2", "--seeds", "1", "--epochs", "1")
    assert again.code == 0
    assert "Careful" not in again.err


def encoder(document: dict[str, dict[str, str]]) -> dict[str, int]:
    """What a trained net's checkpoint says that it looks like."""
    config = json.loads((Path(document["model"]["checkpoint"]) / "config.json").read_text())
    found: dict[str, int] = config["encoder"]
    return found


def test_from_python(library: Library, music: Path) -> None:
    library.ingest(music)
    found = library.tune(TuneOptions("rnn", trials=2, folds=2, epochs=1))
    assert (found.features, found.trials) == ("mfcc", 2)
    assert found.songs == 16
    with pytest.raises(WrongUsageError, match="settings has an unknown setting 'hiden'"):
        library.train(TrainOptions(settings={"hiden": 3}))
    with pytest.raises(WrongUsageError, match="settings: blocks must divide hidden = 5, not 4"):
        library.train(TrainOptions(settings={"blocks": 4}, hidden=5))


def test_refusals(run: Kg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r-gcn.json").write_text("notes")
    (tmp_path / "other.json").write_text('{"model": "cnn", "settings": {}}')
    (tmp_path / "wrong.json").write_text('{"model": "r-gcn", "settings": {"hidden": "wide"}}')
    for arguments, words in (
        (("tune",), "r-gcn.json is there already and holds no settings of r-gcn"),
        (("tune", "--model", "svm"), "nothing to tune about svm"),
        (("tune", "--model", "ligthgcn"), "no model 'ligthgcn': did you mean lightgcn"),
        (("tune", "--trials", "1"), "--trials"),
        (("tune", "--out", "none/a.json"), "There is no folder none"),
        (("tune", "--out", "."), "is a folder: name a file"),
        (("tune", "--out", "n" * 256), "name another file for the settings"),
        (("tune", "--out", "/dev/null", "--force"), "is no file but a device or pipe"),
        (("tune", "--seed", "4294967296"), "--seed"),
        (("train", "--seed", "-1"), "--seed"),
        (("train", "--config", "r-gcn.json"), "r-gcn.json isn't JSON"),
        (("train", "--config", "other.json"), "settings of cnn, and those of r-gcn are wanted"),
        (("train", "--config", "wrong.json"), "hidden must be a whole number, not 'wide'"),
        (("train", "--config", "none.json"), "The settings file none.json is not there"),
    ):
        printed = run(*arguments)
        assert printed.code == 2, arguments
        assert words in printed.err
        assert printed.out == ""
    assert (tmp_path / "r-gcn.json").read_text() == "notes"
    assert not (tmp_path / "home").exists()
