"""Trained models, kept as checkpoints on disk and as `Model` nodes in the graph."""

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kg.errors import KgError, NotReadyError, WrongUsageError
from kg.genres.levels import GIVEN, Level, tree_fingerprint
from kg.genres.tree import Tree
from kg.graph.rows import GraphRows, ModelRow
from kg.graph.store import GraphStore
from kg.hetero import IdMaps, require_our_models
from kg.progress import Progress
from kg.schema import FURTHER, SONG_NODE, TAG_NODE
from kg.settings import make_writable
from kg.splits import SplitSong

if TYPE_CHECKING:
    from torch import Tensor

    from models.checkpoint import Checkpoint
    from models.link_model import LinkModel
    from models.names import Names
    from models.pyg import HeteroData

Models = Literal["current", "all", "none"]

ELSEWHERE = "of another graph"
# Where older checkpoints name the songs of their outputs, and the tags.
OLD_SONGS, OLD_TAGS = "songs", "tags"
# Where checkpoints say which level of the genre tree they learned; older ones say nothing.
LEVEL = "genre_level"
# Before the names of the tensors by which they say who knows of one song alone.
_ONLY = "only."
ANOTHER_TREE = "The genre tree has changed since the training: run `kg train`."


@dataclass(frozen=True, slots=True)
class Kept:
    """Checkpoints that are kept, and what they take on disk."""

    models: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A trained model.

    Attributes:
        id: Its id, and the name of its folder.
        created_at: When it was trained; None: nobody knows.
        state: `current`, `superseded`, `writing` (its predictions were cut off), or
            `of another graph`: a checkpoint here that this graph knows nothing of.
        metrics: Its numbers; see `kg.metrics.measuring.metrics`.
        checkpoint: Folder of its checkpoint; None where it isn't on this machine.
        bytes: What that takes on disk.
        misfit: Why it can't be used on the graph; None: it can.
    """

    id: str
    created_at: datetime | None
    state: str
    metrics: Mapping[str, Any]
    checkpoint: Path | None
    bytes: int
    misfit: str | None


def label_fingerprint(songs: Iterable[SplitSong]) -> str:
    """Hash of what the owner says of every song: a model that learned something else is stale."""
    digest = hashlib.blake2b(digest_size=8)
    for song in songs:
        if song.genres:
            digest.update(f"{song.id} {song.genres!r}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def latest_model(store: GraphStore) -> ModelRow | None:
    """The model in use: the newest one whose predictions were cut off, else the current one."""
    models = [model for model in store.read_models() if model.state != "superseded"]
    return next((model for model in models if model.state == "writing"), next(iter(models), None))


def learned_another_tree(model: ModelRow, tree: Callable[[], Tree]) -> bool:
    """Whether a model speaks by another genre tree than there is now.

    Args:
        model: The model.
        tree: Gives the tree that is there; one that learned of no tree doesn't ask.
    """
    learned = model.metrics.get("genreTree", "")
    by_tree = model.metrics.get("genreLevel", GIVEN) != GIVEN or model.metrics.get("severalGenres")
    return bool(by_tree) and tree_fingerprint(tree()) != learned


def none_in_use(store: GraphStore) -> str | None:
    """What to do where models are kept and none of them speaks; None where there is no model."""
    if not store.read_models():
        return None
    return (
        "No model is in use: choose a kept one with `kg models list` and `kg models use ID`, or "
        "run `kg train`."
    )


def list_models(store: GraphStore, models_dir: Path) -> list[SavedModel]:
    """All models of the graph, the newest first, then checkpoints that it knows nothing of."""
    kinds = store.feature_set()
    genres = _Genres(store)
    version = kinds.version if kinds else ""
    found = []
    for model in store.read_models():
        folder = _folder(model, models_dir)
        config, there = _description_in(folder), folder.is_dir()
        found.append(
            SavedModel(
                id=model.id,
                created_at=model.created_at,
                state=model.state,
                metrics=model.metrics,
                checkpoint=folder if there else None,
                bytes=_size(folder),
                misfit=_misfit_of(model, config, there, genres.at, version),
            )
        )
    known = {model.id for model in found}
    for folder in _folders(models_dir):
        if folder.name not in known:
            config = _description_in(folder) or {}
            found.append(
                SavedModel(
                    id=folder.name,
                    created_at=_when(config.get("created_at")),
                    state=ELSEWHERE,
                    metrics=config.get("metrics") or {},
                    checkpoint=folder,
                    bytes=_size(folder),
                    misfit="was trained on another library",
                )
            )
    return found


def checkpoint_trouble(model: ModelRow, models_dir: Path) -> str | None:
    """What is wrong with a model's files, as the end of a sentence; None: nothing.

    Whether they fit the graph is another question: `misfit`.
    """
    folder = _folder(model, models_dir)
    return _trouble(model, _description_in(folder), folder.is_dir())


def find_model(store: GraphStore, models_dir: Path, wanted: str) -> SavedModel:
    """The model whose id is `wanted`, or the only one whose id begins or ends with it.

    Raises:
        WrongUsageError: there is none, or several.
    """
    models = list_models(store, models_dir)
    same = [model for model in models if model.id == wanted]
    near = [m for m in models if wanted and (m.id.startswith(wanted) or m.id.endswith(wanted))]
    found = same or near
    if len(found) > 1:
        raise WrongUsageError(
            f"{wanted!r} fits {len(found)} models ({', '.join(m.id for m in found[:5])}"
            f"{', ...' if len(found) > 5 else ''}): write more of the id."
        )
    if not found:
        raise WrongUsageError(f"There is no model {wanted!r}: `kg models list` shows them.")
    return found[0]


def usable_model(store: GraphStore, models_dir: Path, wanted: str) -> ModelRow:
    """A model that can speak on this graph.

    Raises:
        WrongUsageError: there is no such model, or several.
        NotReadyError: its checkpoint isn't here, or doesn't fit the graph.
    """
    found = find_model(store, models_dir, wanted)
    if found.misfit is not None:
        raise NotReadyError(
            f"Model {found.id} can't be used: it {found.misfit}. `kg models list` shows which "
            "ones fit, and `kg train` makes one that does."
        )
    return next(model for model in store.read_models() if model.id == found.id)


def remove_models(
    store: GraphStore, models_dir: Path, wanted: Sequence[str], *, force: bool = False
) -> list[SavedModel]:
    """Delete models: checkpoint and `Model` node. All are looked up before one is deleted.

    Args:
        store: The graph.
        models_dir: Folder of the checkpoints.
        wanted: Their ids, or what these begin or end with.
        force: Delete even the model in use, and its predictions with it.

    Returns:
        What was deleted.

    Raises:
        WrongUsageError: there is no such model, or several; or it is in use.
        KgError: a checkpoint can't be deleted.
    """
    listed = {m.id: m for m in (find_model(store, models_dir, each) for each in wanted)}
    in_use = latest_model(store)
    if in_use is not None and in_use.id in listed and not force:
        raise WrongUsageError(
            f"Model {in_use.id} is in use: put another in its place with `kg models use ID`, or "
            "remove it with --force, and its predictions go too. Nothing was removed."
        )
    for model in listed.values():
        # The node goes last: a removal that was cut off can be repeated.
        if model.checkpoint is not None and _is_ours(model.checkpoint, model.id, models_dir):
            try:
                shutil.rmtree(model.checkpoint)
            except OSError as error:
                raise KgError(
                    f"The checkpoint {model.checkpoint} can't be deleted ({error.strerror})."
                ) from error
        if model.state != ELSEWHERE:
            store.delete_model(model.id)
    return list(listed.values())


def misfit(extra: Mapping[str, Any], genres: Sequence[str], version: str) -> str | None:
    """Why a checkpoint can't be used on a graph, as the end of a sentence; None: it can.

    Args:
        extra: What the checkpoint says of itself.
        genres: Genres that songs of the graph have, sorted.
        version: Version of the graph's features.
    """
    if extra.get("feature_version") != version:
        return (
            f"was trained on other features (version {extra.get('feature_version')}, the graph's "
            f"are {version})"
        )
    learned = extra.get("genres")
    if not isinstance(learned, list) or learned == genres:
        return None if isinstance(learned, list) else "doesn't say which genres it learned"
    came, went = sorted(set(genres) - set(learned)), sorted(set(learned) - set(genres))
    changes = [
        f"{what} {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        for what, names in (("since then came", came), ("gone are", went))
        if names
    ]
    return f"was trained on other genres than the graph now has ({'; '.join(changes)})"


def level_of(extra: Mapping[str, Any]) -> Level:
    """Which level of the genre tree a checkpoint learned."""
    level: Level = extra.get(LEVEL, GIVEN)
    return level


def load_checkpoint(model: ModelRow, models_dir: Path) -> "tuple[Checkpoint, Path]":
    """Read a model's checkpoint from where it was written, or from this home's models.

    Raises:
        NotReadyError: it isn't on this machine, or is damaged.
    """
    require_our_models()
    from models import checkpoint
    from models.description import CheckpointError

    folder = _folder(model, models_dir)
    if not folder.is_dir():
        raise NotReadyError(
            f"Model {model.id} has no checkpoint on this machine ({folder} isn't there): use the "
            "KG_HOME it was trained with, or run `kg train`."
        )
    try:
        loaded = checkpoint.load(folder)
    except CheckpointError as error:
        raise NotReadyError(
            f"Model {model.id} can't be used. {error} Run `kg train`, or choose another model with "
            "`kg models use ID`."
        ) from error
    if loaded.extra.get("model") != model.id:
        raise NotReadyError(
            f"The checkpoint in {folder} is not that of model {model.id} but of "
            f"{loaded.extra.get('model')}: put the right one there, or run `kg train`."
        )
    return loaded, folder


def restore_checkpoints(models_dir: Path) -> None:
    """Put back a checkpoint that had just stepped aside for a newer one when its writer died."""
    for aside in models_dir.glob(".*/old"):
        # `.ID-RANDOM/old`, as models.checkpoint moves them; of the newer one nothing is sure.
        folder = models_dir / aside.parent.name[1:].rpartition("-")[0]
        if not folder.exists() and (aside / "config.json").is_file():
            with contextlib.suppress(FileNotFoundError):  # its writer lives, and was faster
                aside.rename(folder)


def checkpoints_of(
    store: GraphStore, models_dir: Path, models: Models, progress: Progress
) -> dict[str, Path]:
    """Folders of the checkpoints that move with a library, by model; says which are missing.

    Args:
        store: The graph.
        models_dir: Folder of the checkpoints.
        models: Of the model in use (`current`), of `all`, or of `none`.
        progress: Told which are missing.
    """
    in_use = latest_model(store)
    wanted = {
        "current": [in_use] if in_use else [], "all": store.read_models(), "none": [],
    }[models]  # fmt: skip
    found = {}
    for model in wanted:
        trouble = checkpoint_trouble(model, models_dir)
        if trouble is None:
            found[model.id] = _folder(model, models_dir)
        else:
            progress.say(f"Model {model.id} {trouble}: the dump goes without it.")
    return found


def save_checkpoint(
    folder: Path,
    model: "LinkModel",
    layers: "list[dict[str, Tensor]]",
    extra: Mapping[str, Any],
    maps: IdMaps,
    tensors: "Mapping[str, Tensor] | None" = None,
) -> None:
    """Write a checkpoint.

    Args:
        folder: Where to.
        model: The trained model.
        layers: Its kept layer outputs.
        extra: From `description`, or that of an older checkpoint with `graph_rows` of the graph.
        maps: What the rows of the layer outputs stand for.
        tensors: More of them, by name.

    Raises:
        KgError: it can't be written there.
    """
    from models import checkpoint
    from models.description import CheckpointError

    try:
        names = {SONG_NODE: maps.songs, **maps.further}
        checkpoint.save(folder, model, layers, extra, names, tensors)
    except CheckpointError as error:
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
    """Which graph the kept layer outputs are of, and what their rows stand for in it.

    Songs are as many as the library has, and are named beside their outputs; so is what else they
    hang on.
    """
    return {"build": maps.build, "clusters": list(maps.clusters)}


def song_names(loaded: "Checkpoint") -> "Names":
    """`Song.id` by row of a checkpoint's layer outputs; older ones name them in their description.

    Raises:
        NotReadyError: it doesn't say.
    """
    from models.names import Names

    try:
        return loaded.names.get(SONG_NODE) or Names.of(loaded.extra[OLD_SONGS])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotReadyError(
            f"The checkpoint of model {loaded.extra.get('model')} doesn't say of which songs its "
            "outputs are: run `kg predict`."
        ) from error


def further_names(loaded: "Checkpoint") -> "dict[str, Names]":
    """Keys by row of what songs hang on beside clusters, by node type (`kg.schema.FURTHER`)."""
    from models.names import Names

    # Older checkpoints have tags at most, and name them in their description.
    tags = loaded.extra.get(OLD_TAGS)
    old = {TAG_NODE: Names.of(tags)} if tags else {}
    return old | {node: names for node, names in loaded.names.items() if node in FURTHER}


def echo_tensors(model: "LinkModel", data: "HeteroData") -> "dict[str, Tensor]":
    """Of which song alone artists, albums and playlists know, as a checkpoint keeps it."""
    from models.echoes import only_heads

    return {f"{_ONLY}{node}": only for node, only in only_heads(data, model.shape).items()}


def echoes_of(loaded: "Checkpoint") -> "dict[str, Tensor]":
    """The only song's row by row of what knows of no other, else -1, by node type.

    Older checkpoints don't say: there such nodes have spoken.
    """
    return {
        name.removeprefix(_ONLY): only
        for name, only in loaded.tensors.items()
        if name.startswith(_ONLY)
    }


def known_nodes(model: "LinkModel") -> frozenset[str]:
    """The node types that a model was trained with."""
    shape = model.shape
    return frozenset({*shape.features, *shape.learned, *shape.gathered})


def changes_heard(rows: GraphRows, model: "LinkModel") -> dict[str, int]:
    """`GraphRows.changes` of the node types that a model knows: others don't move it."""
    known = known_nodes(model)
    return {node: count for node, count in rows.changes.items() if node in known}


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


def kept_checkpoints(models_dir: Path) -> Kept:
    """What the checkpoints of this home take."""
    folders = _folders(models_dir)
    return Kept(len(folders), sum(_size(folder) for folder in folders))


def new_model_id() -> str:
    """An id that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _misfit_of(
    model: ModelRow,
    config: Mapping[str, Any] | None,
    there: bool,
    genres_at: Callable[[Level], Sequence[str]],
    version: str,
) -> str | None:
    trouble = _trouble(model, config, there)
    if trouble or config is None:
        return trouble
    try:
        genres = genres_at(level_of(config))
    except WrongUsageError:
        return f"was trained on a level of a genre tree ({level_of(config)}), and there is none now"
    return misfit(config, genres, version)


class _Genres:
    """The genres of the graph at levels of its tree, each read once."""

    def __init__(self, store: GraphStore) -> None:
        self._store = store
        self._known: dict[Level, Sequence[str]] = {}

    def at(self, level: Level) -> Sequence[str]:
        if level not in self._known:
            self._known[level] = self._store.genres(level)
        return self._known[level]


def _trouble(model: ModelRow, config: Mapping[str, Any] | None, there: bool) -> str | None:
    if not there:
        return "has no checkpoint on this machine"
    if config is None:
        return "has a damaged checkpoint, or one of another version of kg"
    if config.get("model") != model.id:
        return f"has the checkpoint of another model ({config.get('model')})"
    return None


def _is_ours(folder: Path, id: str, models_dir: Path) -> bool:
    """Whether a folder may be deleted: its path comes from a database that others write to."""
    return folder == models_dir / id or (_description_in(folder) or {}).get("model") == id


def _folder(model: ModelRow, models_dir: Path) -> Path:
    folder = Path(model.checkpoint)
    return folder if folder.is_dir() else models_dir / model.id


def _folders(models_dir: Path) -> list[Path]:
    """Checkpoints of this home, the newest first; a hidden one is still being written."""
    if not models_dir.is_dir():
        return []
    there = [path for path in models_dir.iterdir() if (path / "config.json").is_file()]
    return sorted((path for path in there if not path.name.startswith(".")), reverse=True)


def _size(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())


def _description_in(folder: Path) -> dict[str, Any] | None:
    """What a checkpoint says of itself, read without its tensors; None: there is none."""
    require_our_models()
    from models.description import CheckpointError, describe  # without torch: `kg status` asks

    try:
        return describe(folder)
    except CheckpointError:
        return None


def _when(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
