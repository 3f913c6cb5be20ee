"""The learning half: export, train, measure, write predictions back, and guess for new songs.

This and `kg.hetero` are the only modules of `kg` that import `models`, on first need.
"""

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from kg.errors import KgError, NotReadyError
from kg.evaluate import Score, caution, score
from kg.graph.rows import Floats, GraphRows, Guess, ModelRow
from kg.graph.store import GraphStore
from kg.hetero import IdMaps, require_our_models, to_hetero
from kg.progress import SILENT, Progress
from kg.schema import (
    CLUSTER_NODE,
    GENRE_EDGE,
    SIMILAR_EDGE,
    SONG_NODE,
    SPLITS,
    feature_edge,
    reverse_edge,
)
from kg.settings import make_writable
from kg.splits import SplitSong, artist_key, shared_artists

if TYPE_CHECKING:
    from torch import Tensor

    from models.checkpoint import Checkpoint
    from models.link_model import LinkModel
    from models.pyg import HeteroData
    from models.training import TrainConfig


Writing = Callable[[], AbstractContextManager[None]]

Rows = NDArray[np.int64]

TOP_K = 3
R_GCN, LOGISTIC, MAJORITY = "R-GCN + DistMult", "logistic regression", "majority"


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What a user may choose about training; the rest was chosen by cross-validation.

    Attributes:
        epochs: The most epochs; None: the default of `models`.
        negatives: False genres drawn for each true one, or `all` of them; None: the default.
        seed: Of all chance.
    """

    epochs: int | None = None
    negatives: int | Literal["all"] | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training came to.

    Attributes:
        model: The new model.
        songs: Labelled songs by split.
        by_artist: Labelled songs whose artist is known, so that the split keeps artists apart.
        leaking: Artists that a given split has on both sides: the numbers are too good.
        untested: Genres that no test song has.
        epochs: How many were run, and which one's weights were kept.
        selected_by: `validation`, or `epochs` where too few songs could be held out to choose by.
        validation_f1: Macro-F1 of the kept epoch on the validation songs.
        scores: The model and its baselines on the test songs; empty without any.
        caution: Plain words where the numbers mean little.
        predicted: Songs that got predictions.
    """

    model: ModelRow
    songs: Mapping[str, int]
    by_artist: int
    leaking: Sequence[str]
    untested: Sequence[str]
    epochs: tuple[int, int]
    selected_by: str
    validation_f1: float | None
    scores: Sequence[Score]
    caution: str | None
    predicted: int


@dataclass(frozen=True, slots=True)
class PredictReport:
    """What writing back came to."""

    model: ModelRow
    predicted: int
    rebuilt_since: bool


def train(
    store: GraphStore,
    models_dir: Path,
    options: TrainOptions | None = None,
    progress: Progress = SILENT,
    *,
    writing: Writing = nullcontext,
) -> TrainReport:
    """Train on the graph's labelled songs, measure on its test songs, write predictions back.

    Args:
        store: A graph whose clusters and similar songs are finished.
        models_dir: Folder of the checkpoints.
        options: What the user chose.
        progress: Told how far it is.
        writing: Entered while the graph is written to.

    Raises:
        NotReadyError: there is nothing to learn from.
        KgError: the checkpoint can't be written.
    """
    options = options or TrainOptions()
    with progress.stage("Reading the graph", None):
        rows = store.read_graph()
        _refuse_unlearnable(rows)
        data, maps = to_hetero(rows)

    from models import training

    _check_writable(models_dir)
    config = _train_config(options)
    with progress.stage("Training", config.epochs) as advance:
        result = training.train(
            data,
            GENRE_EDGE,
            groups=maps.families,
            config=config,
            on_epoch=lambda *_: advance(1),
        )
    with progress.stage("Measuring", None):
        scores = training.predict(result.model, data)
        probabilities = training.probabilities(scores, result.model.shape.multi_label)
        measured = _measure(rows, data, scores, options.seed)
    labelled = [song for song in rows.songs.split_songs() if song.genres]
    sides = Counter(song.split for song in labelled)
    split_sizes = {split: sides[split] for split in SPLITS}
    id = _new_model_id()
    folder = models_dir / id
    model = ModelRow(
        id=id,
        created_at=datetime.now(UTC),
        state="writing",
        checkpoint=str(folder),
        feature_version=maps.feature_version,
        build=maps.build,
        metrics=_metrics(measured, split_sizes, result.validation_score, options.seed),
        labels=label_fingerprint(labelled),
    )
    layers = training.layer_outputs(result.model, data)
    _save_checkpoint(folder, result.model, layers, _description(model, maps, options))
    with writing():
        model = _write_back(store, model, maps, scores, probabilities, progress)
    in_test = {name for song in labelled if song.split == "test" for name in song.genres}
    return TrainReport(
        model=model,
        songs=split_sizes,
        by_artist=sum(1 for song in labelled if artist_key(song.artist)),
        leaking=shared_artists(labelled),
        untested=[name for name in maps.genres if name not in in_test],
        epochs=(result.epochs, result.best_epoch),
        selected_by=result.selected_by,
        validation_f1=result.validation_score,
        scores=measured,
        caution=caution(split_sizes["test"], measured),
        predicted=len(maps.songs),
    )


def predict(
    store: GraphStore,
    models_dir: Path,
    progress: Progress = SILENT,
    *,
    writing: Writing = nullcontext,
) -> PredictReport:
    """Score every song again by the latest model and write the predictions back.

    Finishes a write-back that was cut off, and gives predictions to songs that came later.

    Raises:
        NotReadyError: there is no model, or its genres or features are not the graph's.
    """
    model = latest_model(store)
    if model is None:
        raise NotReadyError("There is no model to predict with: run `kg train` first.")
    with progress.stage("Reading the graph", None):
        loaded, folder = load_checkpoint(model, models_dir)
        if list(loaded.extra["genres"]) != store.genres():
            raise NotReadyError(
                f"Model {model.id} was trained on other genres than the graph now has: run "
                "`kg train` to learn the new ones."
            )
        data, maps = to_hetero(store.read_graph())

    from models import training

    with progress.stage("Predicting", None):
        try:
            scores = training.predict(loaded.model, data)
        except ValueError as error:
            raise NotReadyError(
                f"Model {model.id} doesn't fit the graph ({error}): run `kg train`."
            ) from error
        probabilities = training.probabilities(scores, loaded.model.shape.multi_label)
        layers = training.layer_outputs(loaded.model, data)
        _save_checkpoint(folder, loaded.model, layers, {**loaded.extra, **_rows(maps)})
    model = replace(model, checkpoint=str(folder))
    with writing():
        model = _write_back(store, model, maps, scores, probabilities, progress)
    return PredictReport(model, len(maps.songs), rebuilt_since=model.build != maps.build)


class NewSongs:
    """Guesses the genres of songs that came after the training, from their neighbours alone.

    The kept layer outputs of the checkpoint stand for the library, so the cost depends on how
    many neighbours a song has and not on how many songs there are.
    """

    def __init__(self, model: ModelRow, models_dir: Path, build: str | None) -> None:
        self.model = model
        self._loaded, _ = load_checkpoint(model, models_dir)
        extra = self._loaded.extra
        if extra["build"] != build:
            raise NotReadyError(
                f"The graph was rebuilt after model {model.id} last saw it, so these songs got no "
                "genres: run `kg train`, or `kg predict` if the genres are the same."
            )
        sizes = {kind: len(rows) for kind, rows in self._loaded.layers[0].items()}
        if sizes.get(SONG_NODE) != len(extra["songs"]) or sizes.get(CLUSTER_NODE) != len(
            extra["clusters"]
        ):
            raise NotReadyError(
                f"The checkpoint of model {model.id} doesn't hold together: run `kg train`."
            )
        self._genres: Sequence[str] = extra["genres"]
        self._song_row = {id: row for row, id in enumerate(extra["songs"])}
        self._cluster_row = {id: row for row, id in enumerate(extra["clusters"])}

    def guess(
        self,
        standard: Floats,
        clusters: Sequence[Sequence[tuple[str, str, float]]],
        similar: Sequence[Sequence[tuple[str, float]]],
    ) -> list[list[Guess]]:
        """The first genres of m new songs.

        Args:
            standard: Standardised features, float32 [m, d].
            clusters: (cluster id, family, weight) of each song.
            similar: (song id, cosine) of each song.
        """
        import torch

        from models import training

        pairs: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
        for row, (near_clusters, near_songs) in enumerate(zip(clusters, similar, strict=True)):
            for id, family, _ in near_clusters:
                edge = reverse_edge(feature_edge(family))
                pairs.setdefault(edge, []).append((self._cluster_row[id], row))
            for id, _ in near_songs:
                # A neighbour that came after the last full pass has no kept output to send.
                if id in self._song_row:
                    edge = reverse_edge(SIMILAR_EDGE)
                    pairs.setdefault(edge, []).append((self._song_row[id], row))
        scores = self._loaded.model.score_new(
            torch.from_numpy(standard),
            {edge: torch.tensor(found).T.contiguous() for edge, found in pairs.items()},
            self._loaded.layers,
        )
        probabilities = training.probabilities(scores, self._loaded.model.shape.multi_label)
        return [
            _ranked(self._genres, scores[row].numpy(), probabilities[row].numpy())
            for row in range(len(standard))
        ]


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


def _refuse_unlearnable(rows: GraphRows) -> None:
    labelled = sum(1 for names in rows.songs.genres if names)
    if labelled == 0:
        raise NotReadyError(
            "No song in the graph has a genre to learn from: put the music into one folder a "
            "genre and run `kg ingest FOLDER --genres-from folder`, or use tags with "
            "`--genres-from tag`."
        )
    if len(rows.genres) < 2:
        raise NotReadyError(
            f"All {labelled} labelled songs are {rows.genres[0]!r}: nothing to tell apart: "
            "ingest songs of at least one more genre."
        )
    if "train" not in rows.songs.splits:
        raise NotReadyError("No labelled song is in the training split: there is nothing to learn.")


def _train_config(options: TrainOptions) -> "TrainConfig":
    from models.training import TrainConfig

    config = TrainConfig(seed=options.seed)
    if options.epochs is not None:
        config = replace(config, epochs=options.epochs, epochs_unvalidated=options.epochs)
    if options.negatives is not None:
        config = replace(config, negatives=options.negatives)
    return config


def _measure(rows: GraphRows, data: "HeteroData", scores: "Tensor", seed: int) -> list[Score]:
    """The model and its baselines on the test songs, which are looked at here and only here."""
    from models.baselines.tabular import logistic_regression, majority
    from models.training import FEWEST_TO_VALIDATE

    genre_row = {name: row for row, name in enumerate(rows.genres)}
    truth = [[genre_row[name] for name in names] for names in rows.songs.genres]
    sides = np.array([side or "" for side in rows.songs.splits])
    has = np.array([bool(names) for names in truth])
    train, valid, test = (np.flatnonzero((sides == s) & has) for s in ("train", "valid", "test"))
    if len(test) == 0:
        return []
    x = data["song"].x.numpy()

    def pairs(which: Rows) -> tuple[Floats, Rows]:
        """A row for each genre of each song: the baselines learn what the graph network learns."""
        listed = [(row, genre) for row in which for genre in truth[row]]
        rows, genres = np.array(listed, dtype=np.int64).reshape(-1, 2).T
        return x[rows], genres

    x_train, y_train = pairs(train)
    validation = pairs(valid) if len(valid) >= FEWEST_TO_VALIDATE else None
    guesses = {
        R_GCN: scores[test].argmax(dim=1).numpy(),
        LOGISTIC: logistic_regression(x_train, y_train, x[test], validation=validation),
        MAJORITY: majority(y_train, len(test)),
    }
    return [
        score(
            name,
            [truth[row] for row in test],
            predicted,
            [rows.songs.artists[row] for row in test],
            seed=seed,
        )
        for name, predicted in guesses.items()
    ]


def _write_back(
    store: GraphStore,
    model: ModelRow,
    maps: IdMaps,
    scores: "Tensor",
    probabilities: "Tensor",
    progress: Progress,
) -> ModelRow:
    """Write every song's first genres; the model is `current` only when all are there."""
    store.write_model(replace(model, state="writing"))
    raw, shares = scores.numpy(), probabilities.numpy()
    guesses = [
        (id, _ranked(maps.genres, raw[row], shares[row])) for row, id in enumerate(maps.songs)
    ]
    store.write_predictions(model.id, model.created_at, guesses, progress)
    model = replace(model, state="current")
    store.write_model(model)
    return model


def _ranked(genres: Sequence[str], scores: Floats, probabilities: Floats) -> list[Guess]:
    first = np.argsort(-scores, kind="stable")[:TOP_K]
    return [
        Guess(genres[row], float(probabilities[row]), float(scores[row]), rank)
        for rank, row in enumerate(first, start=1)
    ]


def _metrics(
    measured: Sequence[Score],
    split_sizes: Mapping[str, int],
    validation_f1: float | None,
    seed: int,
) -> dict[str, Any]:
    metrics: dict[str, Any] = {f"{name}Songs": count for name, count in split_sizes.items()}
    metrics["seed"] = seed
    if validation_f1 is not None:
        metrics["validMacroF1"] = validation_f1
    for found in measured:
        if found.name == R_GCN:
            metrics["accuracy"] = found.accuracy.value
            metrics["macroF1"] = found.macro_f1.value
        metrics[found.name] = {
            measure: [estimate.value, estimate.low, estimate.high]
            for measure, estimate in (("accuracy", found.accuracy), ("macroF1", found.macro_f1))
        }
    return metrics


def _description(model: ModelRow, maps: IdMaps, options: TrainOptions) -> dict[str, Any]:
    """What a checkpoint says of itself beside the weights."""
    from kg._version import __version__

    return {
        "model": model.id,
        "kg": __version__,
        "created_at": model.created_at.isoformat(),
        "feature_version": maps.feature_version,
        "genres": list(maps.genres),
        "seed": options.seed,
        "metrics": dict(model.metrics),
        **_rows(maps),
    }


def _rows(maps: IdMaps) -> dict[str, Any]:
    """Which graph the kept layer outputs are of, and what their rows stand for in it."""
    return {"build": maps.build, "clusters": list(maps.clusters), "songs": list(maps.songs)}


def _check_writable(folder: Path) -> None:
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


def _save_checkpoint(
    folder: Path, model: "LinkModel", layers: "list[dict[str, Tensor]]", extra: Mapping[str, Any]
) -> None:
    from models import checkpoint

    try:
        checkpoint.save(folder, model, layers, extra)
    except checkpoint.CheckpointError as error:
        raise KgError(str(error)) from error


def _new_model_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
