"""`unknown` on the command line: what training says of it, and where it stands beside guesses."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kg.audio.decode import SAMPLE_RATE
from kg.audio.synth import GENRES
from tests.cli.conftest import Kg


def test_unknown_is_told_with_its_reason(kg: Kg, music: Path, tmp_path: Path) -> None:
    assert kg("ingest", music).code == 0
    printed = kg("train", "--epochs", "5", "--precision", "0.01")
    assert printed.code == 0
    assert "There are 8 validation songs, too few to calibrate by" in printed.out
    assert "Probabilities on the 8 test songs are off by" in printed.out
    assert "Of these songs " in printed.out
    assert "(asked for: 1%); the others are unknown." in printed.out

    noise = np.random.default_rng(0).normal(0, 0.3, 2 * SAMPLE_RATE).clip(-1, 1)
    soundfile.write(tmp_path / "hiss.flac", noise.astype(np.float32), SAMPLE_RATE)
    printed = kg("add", tmp_path / "hiss.flac")
    assert printed.code == 0
    assert "unknown (unlike the library): " in printed.out
    assert any(genre in printed.out for genre in GENRES[:4])  # the guesses stay beside it
    assert "uncalibrated" not in printed.err
    assert "unknown (unlike the library): " in kg("inspect", "hiss").out
    printed = kg("status")
    assert "songs it calls unknown" in printed.out
    assert "uncalibrated" not in printed.out
    document = json.loads(kg("status", "--json").out)
    assert document["counts"]["unknown"] >= 1
    document = json.loads(kg("inspect", "hiss", "--json").out)
    assert (document["doubt"], document["novelty"]) == ("unlike the library", 1)

    document = json.loads(kg("train", "--epochs", "5", "--json").out)
    assert document["doubt"]["asked"] == 0.8
    assert document["doubt"]["ece"] == document["model"]["metrics"]["ece"]


@pytest.mark.parametrize("precision", ["0", "-0.1", "1.1", "nan", "most"])
def test_a_precision_that_is_none(kg: Kg, music: Path, precision: str) -> None:
    if precision == "nan":
        kg("ingest", music)
    printed = kg("train", "--precision", precision)
    assert printed.code == 2
    assert "precision" in printed.err


def test_a_model_from_before_is_said_to_be_uncalibrated(kg: Kg, music: Path) -> None:
    assert kg("ingest", music).code == 0
    assert kg("train", "--epochs", "5").code == 0
    status = json.loads(kg("status", "--json").out)
    folder = Path(status["paths"]["checkpoints"]) / status["model"]["id"]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["extra"]["doubt"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    printed = kg("predict")
    assert printed.code == 0
    assert "from before probabilities were calibrated" in printed.err
    assert "kg train" in printed.err
