import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from models import checkpoint
from models.description import CheckpointError, describe
from models.link_model import GraphShape, LinkModel
from models.rgcn import EncoderConfig
from models.training import layer_outputs, predict
from tests.models.graphs import GROUPS, TARGET, class_graph

NAMES = [f"item {n:02}" for n in range(60)]
EXTRA = {"genres": ["blues", "ça"], "seed": 3, "metrics": {"accuracy": 0.5}}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, LinkModel]:
    data = class_graph()
    shape = GraphShape.of(data, TARGET, GROUPS, [("item", "near_0", "centroid")])
    model = LinkModel(shape, EncoderConfig(hidden=8, bases=2))
    model.smoothing.fill_(0.3)
    folder = tmp_path / "models" / "one"
    checkpoint.save(folder, model, layer_outputs(model, data), EXTRA, {"item": NAMES})
    return folder, model


def test_round_trip_gives_the_same_scores(saved: tuple[Path, LinkModel]) -> None:
    folder, model = saved
    data = class_graph()
    back = checkpoint.load(folder)
    assert torch.equal(predict(back.model, data), predict(model, data))
    assert back.extra == EXTRA
    assert list(back.names["item"]) == NAMES
    assert back.names["item"].find(["item 07", "item 7"]).tolist() == [7, -1]
    assert back.model.shape == model.shape
    assert not back.model.training
    for mine, theirs in zip(back.layers, layer_outputs(model, data), strict=True):
        assert set(mine) == set(theirs)
        assert all(torch.equal(mine[t], theirs[t]) for t in mine)


def test_saving_again_replaces_and_leaves_nothing_behind(saved: tuple[Path, LinkModel]) -> None:
    folder, model = saved
    checkpoint.save(folder, model, layer_outputs(model, class_graph()), {"seed": 4})
    assert checkpoint.load(folder).extra == {"seed": 4}
    assert [p.name for p in folder.parent.iterdir()] == ["one"]
    files = {p.name for p in folder.iterdir()}
    assert files == {"model.safetensors", "layers.safetensors", "config.json"}


def test_a_failed_save_leaves_the_old_one(
    saved: tuple[Path, LinkModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, model = saved

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint.save(folder, model, [], {})
    assert checkpoint.load(folder).extra == EXTRA
    assert [p.name for p in folder.parent.iterdir()] == ["one"]


def test_what_is_not_json_is_refused(saved: tuple[Path, LinkModel]) -> None:
    folder, model = saved
    for extra in ({"seed": {1, 2}}, {"loss": float("nan")}):
        with pytest.raises(CheckpointError, match="JSON"):
            checkpoint.save(folder, model, [], extra)


@pytest.mark.parametrize("name", ["model.safetensors", "layers.safetensors", "config.json"])
def test_missing_and_damaged_files_are_named(saved: tuple[Path, LinkModel], name: str) -> None:
    folder, _ = saved
    file = folder / name
    whole = file.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"\xff" * 200):
        file.write_bytes(damage)
        with pytest.raises(CheckpointError, match="damaged"):
            checkpoint.load(folder)
    file.unlink()
    for read in (checkpoint.load, describe):
        with pytest.raises(CheckpointError, match=f"{name} is missing"):
            read(folder)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no complete checkpoint"):
        checkpoint.load(tmp_path / "none")


def test_weights_that_do_not_fit_their_description(saved: tuple[Path, LinkModel]) -> None:
    folder, _ = saved
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["encoder"]["hidden"] = 16
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match="damaged") as refused:
        checkpoint.load(folder)
    assert "\n" not in str(refused.value)


def test_tensors_of_the_caller_lie_beside_the_weights(saved: tuple[Path, LinkModel]) -> None:
    folder, model = saved
    assert checkpoint.load(folder).tensors == {}
    own = {"far.away": torch.arange(6.0).view(2, 3), "near": torch.ones(2, 2).T}
    checkpoint.save(folder, model, layer_outputs(model, class_graph()), EXTRA, tensors=own)
    back = checkpoint.load(folder)
    assert back.tensors.keys() == own.keys()
    assert all(torch.equal(back.tensors[name], own[name]) for name in own)
    assert torch.equal(predict(back.model, class_graph()), predict(model, class_graph()))


@pytest.mark.parametrize("older", [2, 3])
def test_the_formats_before_that_are_read(saved: tuple[Path, LinkModel], older: int) -> None:
    folder, model = saved
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["format"] == 4
    config["format"] = older
    del config["shape"]["gathering"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    back = checkpoint.load(folder)
    assert back.tensors == {}
    assert torch.equal(predict(back.model, class_graph()), predict(model, class_graph()))


@pytest.mark.parametrize("other", [1, 99])
def test_another_format_is_refused(saved: tuple[Path, LinkModel], other: int) -> None:
    folder, _ = saved
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["format"] = other
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"format {other}"):
        checkpoint.load(folder)


def test_a_checkpoint_from_before_rows_had_names_is_read(saved: tuple[Path, LinkModel]) -> None:
    folder, model = saved
    checkpoint.save(folder, model, layer_outputs(model, class_graph()), EXTRA)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["format"] = 2
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    back = checkpoint.load(folder)
    assert (back.extra, back.names) == (EXTRA, {})


def test_kept_outputs_are_mapped_and_not_read(saved: tuple[Path, LinkModel]) -> None:
    folder, model = saved
    layers = layer_outputs(model, class_graph())
    wide = [{t: v.repeat(20_000, 1) for t, v in layer.items()} for layer in layers]
    checkpoint.save(folder, model, wide, EXTRA)
    size = (folder / "layers.safetensors").stat().st_size
    process = psutil.Process()
    before = process.memory_info().rss
    back = checkpoint.load(folder)
    assert torch.equal(back.layers[1]["item"][-60:], layers[1]["item"])
    assert process.memory_info().rss - before < size / 4


def test_what_a_checkpoint_says_is_read_without_pytorch(saved: tuple[Path, LinkModel]) -> None:
    # Whoever asks which models there are would wait seconds for that.
    program = (
        "import sys; from pathlib import Path; from models.description import describe; "
        "print(describe(Path(sys.argv[1]))); sys.exit('torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(saved[0])], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == str(describe(saved[0]))
