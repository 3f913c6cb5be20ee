"""The learning half: export, train, measure, write predictions back.

The modules of `kg` that import `models` do so on first need.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kg.errors import NotReadyError
from kg.evaluate import Score, caution
from kg.graph.rows import GraphRows, ModelRow
from kg.graph.store import GraphStore
from kg.guessing import ranked
from kg.hetero import IdMaps, to_hetero
from kg.measuring import measure, metrics
from kg.progress import SILENT, Progress
from kg.saved_models import (
    check_writable,
    description,
    graph_rows,
    label_fingerprint,
    latest_model,
    load_checkpoint,
    new_model_id,
    save_checkpoint,
)
from kg.schema import GENRE_EDGE, SPLITS
from kg.splits import artist_key, shared_artists

if TYPE_CHECKING:
    from torch import Tensor

    from models.training import TrainConfig


Writing = Callable[[], AbstractContextManager[None]]


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

    check_writable(models_dir)
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
        measured = measure(rows, data, scores, options.seed)
    labelled = [song for song in rows.songs.split_songs() if song.genres]
    sides = Counter(song.split for song in labelled)
    split_sizes = {split: sides[split] for split in SPLITS}
    id = new_model_id()
    folder = models_dir / id
    model = ModelRow(
        id=id,
        created_at=datetime.now(UTC),
        state="writing",
        checkpoint=str(folder),
        feature_version=maps.feature_version,
        build=maps.build,
        metrics=metrics(measured, split_sizes, result.validation_score, options.seed),
        labels=label_fingerprint(labelled),
    )
    layers = training.layer_outputs(result.model, data)
    save_checkpoint(folder, result.model, layers, description(model, maps, options.seed))
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
        save_checkpoint(folder, loaded.model, layers, {**loaded.extra, **graph_rows(maps)})
    model = replace(model, checkpoint=str(folder))
    with writing():
        model = _write_back(store, model, maps, scores, probabilities, progress)
    return PredictReport(model, len(maps.songs), rebuilt_since=model.build != maps.build)


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
        (id, ranked(maps.genres, raw[row], shares[row])) for row, id in enumerate(maps.songs)
    ]
    store.write_predictions(model.id, model.created_at, guesses, progress)
    model = replace(model, state="current")
    store.write_model(model)
    return model
