"""A trained model on disk: safetensors and JSON, no pickles.

A folder holds `model.safetensors` (the weights), `layers.safetensors` (the layer outputs kept for
new nodes, and what the rows of large node types are called) and `config.json` (shape of the graph,
encoder, and what the caller adds). `layers.safetensors` is mapped into memory: of what grows with
the graph only those rows are read that somebody asks for.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.description import FORMAT, CheckpointError, read_config, reading
from models.link_model import GraphShape, LinkModel
from models.names import Names
from models.rgcn import EncoderConfig

_NAMES = "names"
_CALLERS = "caller."  # before the names of their tensors


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint folder holds.

    Attributes:
        model: in evaluation mode.
        layers: h^0, ..., h^L of the graph it was trained on: dicts {node type: [n, hidden]}, mapped
            and not read.
        extra: the caller's own part, as it was saved.
        names: what the rows of node types are called, of those that were saved with names.
        tensors: the caller's own tensors, by name.
    """

    model: LinkModel
    layers: list[dict[str, Tensor]]
    extra: dict[str, Any]
    names: dict[str, Names] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)


def save(
    folder: Path,
    model: LinkModel,
    layers: Sequence[Mapping[str, Tensor]],
    extra: Mapping[str, Any],
    names: Mapping[str, Sequence[str]] | None = None,
    tensors: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint; `folder` appears complete or not at all, and replaces an older one.

    Args:
        folder: where to; its parents are made.
        model: the trained model.
        layers: kept layer outputs, from `training.layer_outputs`.
        extra: anything JSON can hold: names of the tails, feature version, split, metrics, seed.
        names: {node type: what its rows are called, ascending}, of types that have too many nodes
            for `extra`.
        tensors: more tensors of the caller's, by name.

    Raises:
        CheckpointError: it can't be written there, or `extra` isn't JSON.
        ValueError: names aren't ascending.
    """
    shape = model.shape
    config = {
        "format": FORMAT,
        "encoder": asdict(model.config),
        "shape": {
            "target": shape.target,
            "relations": shape.relations,
            "features": dict(shape.features),
            "learned": dict(shape.learned),
            "groups": dict(shape.groups),
            "multi_label": shape.multi_label,
            "silent": shape.silent,
            "gathering": shape.gathering,
        },
        "extra": dict(extra),
    }
    try:
        text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"The checkpoint's description can't be JSON: {error}.") from error
    own = {f"{_CALLERS}{name}": v.contiguous() for name, v in (tensors or {}).items()}
    kept = {f"{i}.{t}": v.contiguous() for i, layer in enumerate(layers) for t, v in layer.items()}
    kept |= {f"{_NAMES}.{t}": Names.of(listed).as_tensor() for t, listed in (names or {}).items()}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            save_file({**model.state_dict(), **own}, new / "model.safetensors")
            save_file(kept, new / "layers.safetensors")
            (new / "config.json").write_text(text + "\n", encoding="utf-8")
            _replace(folder, new)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"The checkpoint can't be written to {folder}: {error}.") from error


def _replace(folder: Path, new: Path) -> None:
    """Move `new` to `folder`; a folder can't be renamed over a full one, so that steps aside."""
    new.chmod(0o777 & ~_umask())  # mkdtemp's folders are private
    if not folder.exists():
        new.rename(folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        folder.rename(old / "old")
        try:
            new.rename(folder)
        except OSError:
            (old / "old").rename(folder)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is missing, damaged or of another format.
    """
    with reading(folder):
        config = read_config(folder)
        shape = config["shape"]
        model = LinkModel(
            GraphShape(
                target=_edge_type(shape["target"]),
                relations=tuple(_edge_type(r) for r in shape["relations"]),
                features=shape["features"],
                learned=shape["learned"],
                groups={name: (start, stop) for name, (start, stop) in shape["groups"].items()},
                multi_label=shape["multi_label"],
                # checkpoints from before there were any have none
                silent=tuple(_edge_type(r) for r in shape.get("silent", ())),
                gathering=tuple(_edge_type(r) for r in shape.get("gathering", ())),
            ),
            EncoderConfig(**config["encoder"]),
        )
        weights = load_file(folder / "model.safetensors")
        own = {name: weights.pop(name) for name in list(weights) if name.startswith(_CALLERS)}
        tensors = {name.removeprefix(_CALLERS): value for name, value in own.items()}
        # older ones have no such nodes
        weights = {"kinship": torch.zeros(()), "concentration": torch.ones(0), **weights}
        model.load_state_dict(weights)
        layers: list[dict[str, Tensor]] = [{} for _ in range(model.config.layers + 1)]
        names: dict[str, Names] = {}
        for name, values in load_file(folder / "layers.safetensors").items():
            depth, _, node_type = name.partition(".")
            if depth == _NAMES:
                names[node_type] = Names.from_tensor(values)
            else:
                layers[int(depth)][node_type] = values
        return Checkpoint(model.eval(), layers, config["extra"], names, tensors)


def _edge_type(names: Sequence[str]) -> tuple[str, str, str]:
    head, relation, tail = names
    return (head, relation, tail)
