"""Trained models, kept as checkpoints on disk and as `Model` nodes in the graph."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kg.errors import KgError, NotReadyError
from kg.graph.rows import ModelRow
from kg.graph.store import GraphStore
from kg.hetero import IdMaps, require_our_models
from kg.settings import make_writable
from kg.splits import SplitSong

if TYPE_CHECKING:
    from torch import Tensor

    from models.checkpoint import Checkpoint
    from models.link_model import LinkModel


def label_fingerprint(songs: Iterable[SplitSong]) -> str:
    """Hash of what the owner says of every song: a model that learned something else is stale."""
    digest = hashlib.blake2b(digest_size=8)
    for song in songs:
        if song.genres:
            digest.update(f"{song.id} {song.genres!r}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def latest_model(store: GraphStore) -> ModelRow | None:
    """The model in use: the newest one that is not superseded."""
    return next((m for m in store.read_models() if m.state != "superseded"), None)


def load_checkpoint(model: ModelRow, models_dir: Path) -> "tuple[Checkpoint, Path]":
    """Read a model's checkpoint from where it was written, or from this home's models.

    Raises:
        NotReadyError: it isn't on this machine, or is damaged.
    """
    require_our_models()
    from models import checkpoint

    folder = Path(model.checkpoint)
    if not folder.is_dir():
        folder = models_dir / model.id
    try:
        return checkpoint.load(folder), folder
    except checkpoint.CheckpointError as error:
        raise NotReadyError(
            f"Model {model.id} can't be used here. {error} Use the KG_HOME it was trained with, "
            "or run `kg train`."
        ) from error


def save_checkpoint(
    folder: Path, model: "LinkModel", layers: "list[dict[str, Tensor]]", extra: Mapping[str, Any]
) -> None:
    """Write a checkpoint.

    Raises:
        KgError: it can't be written there.
    """
    from models import checkpoint

    try:
        checkpoint.save(folder, model, layers, extra)
    except checkpoint.CheckpointError as error:
        raise KgError(str(error)) from error


def description(model: ModelRow, maps: IdMaps, seed: int) -> dict[str, Any]:
    """What a checkpoint says of itself beside the weights."""
    from kg._version import __version__

    return {
        "model": model.id,
        "kg": __version__,
        "created_at": model.created_at.isoformat(),
        "feature_version": maps.feature_version,
        "genres": list(maps.genres),
        "seed": seed,
        "metrics": dict(model.metrics),
        **graph_rows(maps),
    }


def graph_rows(maps: IdMaps) -> dict[str, Any]:
    """Which graph the kept layer outputs are of, and what their rows stand for in it."""
    return {"build": maps.build, "clusters": list(maps.clusters), "songs": list(maps.songs)}


def check_writable(folder: Path) -> None:
    """Notice before the training, not after it, that its result can't be kept.

    Raises:
        KgError: the folder can't be written to.
    """
    try:
        make_writable(folder)
    except OSError as error:
        raise KgError(
            f"The folder for checkpoints, {folder}, can't be written to ({error.strerror}): mend "
            "that, or choose another home with --home DIR or KG_HOME."
        ) from error


def new_model_id() -> str:
    """An id that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
