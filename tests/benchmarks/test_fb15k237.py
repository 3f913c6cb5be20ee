"""The benchmark as a user starts it, on a graph of a few entities."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.waiting import DEADLINE

REPOSITORY = Path(__file__).parents[2]
SIDES = ("tail", "head", "both")


@pytest.fixture
def triples(tmp_path: Path) -> Path:
    """40 entities on a ring: relation r leads r + 1 steps on."""
    heads, relations = np.divmod(np.arange(160), 4)
    everything = np.stack([heads, relations, (heads + relations + 1) % 40], axis=1)
    everything = np.random.default_rng(0).permutation(everything).astype(np.int32)
    path = tmp_path / "triples.npz"
    np.savez(path, train=everything[:140], valid=everything[140:150], test=everything[150:])
    return path


def benchmark(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "benchmarks/fb15k237.py", "--data", str(data), *arguments],
        **{"cwd": REPOSITORY, "capture_output": True, "text": True},
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("model", "loss"), [("rgcn", "1vsall"), ("distmult", "sampled")])
def test_every_seed_is_trained_and_ranked(
    triples: Path, tmp_path: Path, model: str, loss: str
) -> None:
    out = tmp_path / "found.json"
    options = ["--model", model, "--loss", loss, "--seeds", "3,4,3", "--steps", "6"]
    ran = benchmark(*options, "--json", str(out), data=triples)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(out.read_text())
    assert [row["seed"] for row in rows] == [3, 4, 3]
    for row in rows:
        assert (row["model"], row["loss"], row["steps"]) == (model, loss, 6)
        for side in SIDES:
            # of 40 entities the answer is one, so no rank is below 40
            assert 1 / 40 <= row[side]["mrr"] <= 1
            assert row[side]["hits@1"] <= row[side]["hits@3"] <= row[side]["hits@10"]
        mean = (row["tail"]["mrr"] + row["head"]["mrr"]) / 2
        assert row["both"]["mrr"] == pytest.approx(mean)
        assert min(row["seconds"], row["cpu_seconds"], row["megabytes"]) > 0
    # the same seed, the same numbers
    numbers = [{name: row[name] for name in ("valid_mrr", *SIDES)} for row in rows]
    assert numbers[0] == numbers[2] != numbers[1]
    assert "mean" in ran.stdout


@pytest.mark.slow
def test_a_layer_is_timed_beside_its_peer(triples: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    ran = benchmark("--layer", "--json", str(out), data=triples)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(out.read_text())
    assert [(row["weights"], row["peer"]) for row in rows] == [
        (weights, peer) for weights in ("blocks", "whole") for peer in ("ours", "RGCNConv")
    ]
    assert all(row["seconds"] > 0 and row["megabytes"] >= 0 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "none.npz"], "there are no triples at none.npz"),
        (["--layer", "--peers", "ours,Nobody"], "peers are ours, singly, RGCNConv, not Nobody"),
    ],
)
def test_wrong_usage_is_named(triples: Path, arguments: list[str], message: str) -> None:
    ran = benchmark(*arguments, data=triples)
    assert ran.returncode == 2
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
