"""The learning half: export, train, measure, write predictions back.

The modules of `kg` that import `models` do so on first need.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from kg.chance import check_seed
from kg.errors import KgError, NotReadyError, WrongUsageError
from kg.genres.levels import GIVEN, Level, at_level, tree_fingerprint
from kg.graph.rows import GraphRows, Looks, ModelRow
from kg.graph.store import GraphStore
from kg.hetero import IdMaps, to_hetero
from kg.learning.doubt import PRECISION, Judge, check_precision, judge_of, on_graph, settle
from kg.learning.saved_models import (
    LEVEL,
    OLD_SONGS,
    OLD_TAGS,
    Kept,
    changes_heard,
    check_writable,
    description,
    echo_tensors,
    graph_rows,
    kept_checkpoints,
    known_nodes,
    label_fingerprint,
    latest_model,
    learned_another_tree,
    level_of,
    load_checkpoint,
    misfit,
    new_model_id,
    none_in_use,
    save_checkpoint,
)
from kg.learning.trust import DoubtReport, measure
from kg.metrics.evaluate import Difference, Score, Scores, caution
from kg.metrics.known_artists import question_of
from kg.metrics.measuring import (
    MAJORITY,
    R_GCN,
    WITHOUT_GRAPH,
    Labelled,
    Side,
    TabularChoice,
    metrics,
    verdict,
)
from kg.metrics.several import SeveralScore
from kg.progress import SILENT, Progress
from kg.schema import GENRE_EDGE, SONG_NODE, SPLITS
from kg.splits import artist_key
from kg.splits.leaks import Leaks, find_leaks
from kg.splits.protocol import Asked, SplitRule, caution_of, why_untested

if TYPE_CHECKING:
    from torch import Tensor

    from models.pyg import HeteroData
    from models.rgcn import EncoderConfig
    from models.training import TrainConfig, TrainResult


T = TypeVar("T")

# Points of the learning curve that a model remembers.
EPOCHS_KEPT = 150

Sides = Mapping[Side, Scores]
"""What a classifier says of the validation songs [v, g] and of the test songs [t, g]."""


class InTurn(Protocol):
    """How a step is run that writes to the graph, or reads it as a whole."""

    def __call__(self, step: Callable[[], T]) -> T:
        """Run it while no other command does the same; it may be run several times."""
        ...


def at_once(step: Callable[[], T]) -> T:
    """Run a step without waiting for anybody: for a graph that nobody else uses."""
    return step()


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What a user may choose about training; the rest was chosen by cross-validation.

    Attributes:
        epochs: The most epochs; None: the default of `models`.
        negatives: False genres drawn for each true one, or `all` of them; None: the default.
        seed: Of all chance.
        device: Where it is trained: `cpu`, `cuda` (`cuda:1`), or `auto`: a GPU where there is one.
        split: Rule by which songs are split from now on; None: as until now.
        allow_leaks: Whether to train where an artist or a recording is on several sides.
        hidden: Width of the net's layers; None: the default of `models`.
        settings: Settings of the R-GCN that are to be other than its defaults, as `kg tune` finds
            them; what is chosen above wins.
        precision: The share of songs given a genre that is to be right; others are `unknown`.
        genre_level: Level of the genre tree that is learned; None: genres as they are given (for
            the fresh models of `kg evaluate` as the model in use learned them).
    """

    epochs: int | None = None
    negatives: int | Literal["all"] | None = None
    seed: int = 0
    device: str = "auto"
    split: Asked | None = None
    allow_leaks: bool = False
    hidden: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    precision: float = PRECISION
    genre_level: Level | None = None


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training came to.

    Attributes:
        model: The new model.
        songs: Labelled songs by split.
        split: By which rule they were split.
        unsplit: Labelled songs that this rule leaves out: neither learned from nor measured on.
        by_artist: Labelled songs whose artist is known, so that the split keeps artists apart.
        leaking: Artists and recordings on several sides: the numbers are too good.
        split_caution: The same in plain words, and what a random split flatters by.
        untested: Genres that no test song has.
        epochs: How many were run, and which one's weights were kept.
        interrupted: Ctrl-C ended the training: the best epoch so far was kept, and what it has to
            beat was left out.
        device: Where it was trained.
        settings: Those that were chosen by the user or for them, where they aren't the defaults.
        selected_by: `validation`, or `epochs` where too few songs could be held out to choose by.
        validation_f1: Macro-F1 of the kept epoch on the validation songs.
        question: What the test songs are: `a song by a new artist`, for one; see
            `kg.metrics.known_artists`.
        scores: The model and what it has to beat on the test songs; empty without any.
        several: Where songs have several genres: the same by genre, by rank and above a threshold.
        differences: The model against each of the others, on the same songs and resamples.
        verdict: The same in plain words: whether the graph helped; and what Ctrl-C left out.
        tabular: Which tabular model is the best one, and how it was chosen.
        caution: Plain words where the numbers mean little.
        looks: How many models have been measured on these test songs; None without any.
        checkpoints: Checkpoints that are kept, and what they take on disk.
        predicted: Songs that got predictions.
        genre_level: Level of the genre tree that was learned.
        genres: How many genres were learned.
        off_level: Labelled songs whose genres say nothing of that level: they were left out.
        doubt: What probabilities and `unknown` are worth.
    """

    model: ModelRow
    songs: Mapping[str, int]
    split: SplitRule
    unsplit: int
    by_artist: int
    leaking: Leaks
    split_caution: str | None
    untested: Sequence[str]
    epochs: tuple[int, int]
    interrupted: bool
    device: str
    settings: Mapping[str, Any]
    selected_by: str
    validation_f1: float | None
    question: str
    scores: Sequence[Score]
    several: Sequence[SeveralScore]
    differences: Sequence[Difference]
    verdict: Sequence[str]
    tabular: TabularChoice | None
    caution: str | None
    looks: Looks | None
    checkpoints: Kept
    predicted: int
    genre_level: str
    genres: int
    off_level: int
    doubt: DoubtReport


@dataclass(frozen=True, slots=True)
class PredictReport:
    """What writing back came to.

    Attributes:
        model: Whose predictions they are.
        predicted: Songs that got some.
        rebuilt_since: Whether the graph was rebuilt after the training.
        calibrated: Whether its probabilities are; those of an older model aren't.
        another_tree: Whether it learned by another genre tree than there is now.
    """

    model: ModelRow
    predicted: int
    rebuilt_since: bool
    calibrated: bool
    another_tree: bool = False


def train(
    store: GraphStore,
    models_dir: Path,
    options: TrainOptions | None = None,
    progress: Progress = SILENT,
    *,
    before: Callable[[], None] = lambda: None,
    in_turn: InTurn = at_once,
) -> TrainReport:
    """Train on the graph's labelled songs, measure on its test songs, write predictions back.

    The test songs are opened once for the model and what it has to beat, and the graph remembers
    that.

    Args:
        store: A graph whose clusters and similar songs are finished.
        models_dir: Folder of the checkpoints.
        options: What the user chose.
        progress: Told how far it is.
        before: Brings the graph up to date, before it is read and in the same turn.
        in_turn: Runs the steps that others must not disturb.

    Raises:
        NotReadyError: there is nothing to learn from.
        WrongUsageError: there is no such device, or a setting can't be used.
        KgError: the checkpoint can't be written, or the training ran away.
    """
    options = options or TrainOptions()
    check_precision(options.precision)
    _configs(options, messages=True)  # a wrong setting is said before anything is read

    def read() -> tuple[GraphRows, SplitRule, Leaks]:
        before()
        with progress.stage("Reading the graph", None):
            keys = [song for song in store.read_keys() if song.genres]
            return store.read_graph(), store.split_rule() or SplitRule("artist"), find_leaks(keys)

    given, rule, leaks = in_turn(read)
    level = options.genre_level or GIVEN
    refuse_unlearnable(given)
    rows = at_level(given, level)
    refuse_unlearnable(rows)
    data, maps = to_hetero(rows)

    from models import training

    check_writable(models_dir)
    result = fit(data, maps, options, progress)
    labelled, x = Labelled(rows), data[SONG_NODE].x
    with progress.stage("Predicting", None):
        scores = labelled.consistent(told_by(result, data))
    judge = settle(rows, labelled, scores, x, precision=options.precision, seed=options.seed)
    in_test = labelled.rows["test"]
    said: dict[str, Sides] = {R_GCN: sides_of(labelled, scores.numpy())}
    choice: TabularChoice | None = None
    cut_short: list[str] = []
    if len(in_test) and not result.interrupted:
        rivals, choice, cut_short = _rivals(labelled, data, maps, options, progress)
        said |= rivals

    id, created_at = new_model_id(), datetime.now(UTC)
    looks, split = None, ""
    if len(in_test):
        split = labelled.test_split()
        looks = in_turn(lambda: store.open_test_split(split, len(in_test), [id], created_at))
    with progress.stage("Measuring", None):
        test = labelled.measure(
            "test",
            {name: [each["test"]] for name, each in said.items()},
            seed=options.seed,
            validation={name: [each["valid"]] for name, each in said.items()},
        )
        valid = labelled.measure("valid", {R_GCN: [said[R_GCN]["valid"]]}, seed=options.seed)
        doubt = measure(judge, rows, labelled, scores, x)
    songs = [song for song in given.songs.split_songs() if song.genres]
    question = question_of(rows.songs.artists, labelled.rows["train"], in_test)
    split_sizes = {side: len(labelled.rows[side]) for side in SPLITS}
    folder = models_dir / id
    model = ModelRow(
        id=id,
        created_at=created_at,
        state="writing",
        checkpoint=str(folder),
        feature_version=maps.feature_version,
        build=maps.build,
        metrics=metrics(test, valid, split_sizes, result.validation_score, options.seed)
        | doubt.metrics()
        | {
            "genreLevel": str(level),
            "genreTree": tree_fingerprint(rows.tree),
            "severalGenres": labelled.multi_label,
            "splitRule": rule.protocol,
            "question": question,
        }
        | course(result),
        labels=label_fingerprint(songs),
        test_opened_at=created_at if split else None,
        test_split=split,
        changes=changes_heard(rows, result.model),
    )
    layers = training.layer_outputs(result.model, data)
    about = {**description(model, maps, options.seed), **judge.description(), LEVEL: level}
    kept = judge.tensors() | echo_tensors(result.model, data)
    save_checkpoint(folder, result.model, layers, about, maps, kept)
    trained = model
    model, predicted = in_turn(
        lambda: _write_back(store, trained, maps, judge, scores, x, progress)
    )
    tested = {each.genre for each in test.genres}
    return TrainReport(
        model=model,
        songs=split_sizes,
        split=rule,
        unsplit=sum(1 for song in songs if song.split is None),
        by_artist=sum(1 for song in songs if artist_key(song.artist)),
        leaking=leaks,
        split_caution=caution_of(rule, leaks),
        untested=[name for name in maps.genres if name not in tested],
        epochs=(result.epochs, result.best_epoch),
        interrupted=result.interrupted,
        device=result.device,
        settings=_chosen(options),
        selected_by=result.selected_by,
        validation_f1=result.validation_score,
        question=question,
        scores=test.scores,
        several=test.several,
        differences=test.differences,
        verdict=[*verdict(test.differences), *cut_short],
        tabular=choice,
        caution=caution(len(in_test), test.scores) if len(in_test) else why_untested(rule),
        looks=looks,
        checkpoints=kept_checkpoints(models_dir),
        predicted=predicted,
        genre_level=str(level),
        genres=len(rows.genres),
        off_level=len(songs) - sum(1 for names in rows.songs.genres if names),
        doubt=doubt,
    )


def fit(
    data: "HeteroData",
    maps: IdMaps,
    options: TrainOptions,
    progress: Progress = SILENT,
    *,
    messages: bool = True,
    name: str = "Training",
) -> "TrainResult":
    """Train one net.

    Args:
        data: The graph.
        maps: What its rows stand for.
        options: What the user chose.
        progress: Told how far it is.
        messages: False: the same net with all relations removed.
        name: What the progress is called.

    Raises:
        WrongUsageError: there is no such device, or a setting can't be used.
        KgError: there is too little memory.
    """
    from models import training
    from models.devices import DeviceError
    from models.link_model import GraphShape
    from models.memory import OutOfMemoryError

    config, encoder = _configs(options, messages=messages)
    shape = GraphShape.of(data, GENRE_EDGE)
    most = config.most_epochs(
        training.validation_heads(data, GENRE_EDGE), multi_label=shape.multi_label
    )
    with progress.stage(name, most) as advance:
        try:
            return training.train(
                data,
                GENRE_EDGE,
                groups=maps.families,
                silent=maps.silent,
                gathered=maps.gathered,
                encoder=encoder,
                config=config,
                device=options.device,
                on_epoch=lambda _, loss, score: advance(1, note=_standing(loss, score)),
            )
        except DeviceError as error:
            raise WrongUsageError(str(error)) from error
        except OutOfMemoryError as error:
            narrower = f" (`kg train --hidden {error.hidden}`)" if error.hidden else ""
            raise KgError(f"There is too little memory: {error}{narrower}.") from error


class RanAwayError(KgError):
    """A training came to scores that are no numbers."""


def course(result: "TrainResult") -> dict[str, Any]:
    """How a training went, as a `Model` node keeps it: `learningCurve` has, of up to `EPOCHS_KEPT`
    epochs, number, training loss and macro-F1 on validation songs.
    """
    points = [*zip(range(1, result.epochs + 1), result.losses, result.scores, strict=False)]
    step = -(-len(points) // EPOCHS_KEPT)
    kept = [each for each in points if each[0] % step == 0 or each[0] in (1, result.best_epoch)]
    return {
        "epochs": result.epochs,
        "bestEpoch": result.best_epoch,
        "selectedBy": result.selected_by,
        "learningCurve": [list(each) for each in kept],
    }


def told_by(result: "TrainResult", data: "HeteroData", name: str = "The training") -> "Tensor":
    """What a net says of every song: scores, float32 [n, g].

    Args:
        result: From `fit`.
        data: The graph.
        name: What a sentence calls the training.

    Raises:
        RanAwayError: they are no numbers; said before anybody looks at a test song.
    """
    from models import training

    scores = training.predict(result.model, data)
    if not bool(scores.isfinite().all()):
        raise RanAwayError(
            f"{name} ran away: its scores are no numbers. Train without --config, or with a lower "
            "learning_rate."
        )
    return scores


def _standing(loss: float, score: float | None) -> str:
    """How an epoch came out, for the progress."""
    return f"loss {loss:.3f}" + ("" if score is None else f", validation macro-F1 {score:.3f}")


def predict(
    store: GraphStore,
    models_dir: Path,
    progress: Progress = SILENT,
    *,
    model: ModelRow | None = None,
) -> PredictReport:
    """Score every song again by a model and write the predictions back.

    Finishes a write-back that was cut off, and gives predictions to songs that came later.

    Args:
        store: The graph.
        models_dir: Folder of the checkpoints.
        progress: Told how far it is.
        model: The model that speaks from now on; default: the latest one.

    Raises:
        NotReadyError: there is no model, or its genres or features are not the graph's.
    """
    model = model or latest_model(store)
    if model is None:
        raise NotReadyError(
            none_in_use(store) or "There is no model to predict with: run `kg train` first."
        )
    with progress.stage("Reading the graph", None):
        loaded, folder = load_checkpoint(model, models_dir)
        judge = judge_of(loaded)
        rows = store.read_graph().known_to(known_nodes(loaded.model))
        rows = at_level(rows, level_of(loaded.extra))
        reason = misfit(loaded.extra, rows.genres, rows.space.version)
        if reason is not None:
            raise NotReadyError(
                f"Model {model.id} {reason}: run `kg train` to learn from the graph as it is."
            )
        data, maps = to_hetero(rows)

    from models import training

    with progress.stage("Predicting", None):
        try:
            scores = training.predict(loaded.model, data)
        except ValueError as error:
            raise NotReadyError(
                f"Model {model.id} doesn't fit the graph ({error}): run `kg train`."
            ) from error
        layers = training.layer_outputs(loaded.model, data)
        x = data[SONG_NODE].x
        if loaded.extra["build"] != maps.build:
            judge = on_graph(judge, rows, x)
        about = {
            key: told for key, told in loaded.extra.items() if key not in (OLD_SONGS, OLD_TAGS)
        }
        about |= {**graph_rows(maps), **judge.description()}
        kept = judge.tensors() | echo_tensors(loaded.model, data)
        save_checkpoint(folder, loaded.model, layers, about, maps, kept)
    model = replace(model, checkpoint=str(folder), changes=changes_heard(rows, loaded.model))
    model, predicted = _write_back(store, model, maps, judge, scores, x, progress)
    return PredictReport(
        model,
        predicted,
        rebuilt_since=model.build != maps.build,
        calibrated=judge.calibrated,
        another_tree=learned_another_tree(model, lambda: rows.tree),
    )


def refuse_unlearnable(rows: GraphRows) -> None:
    """Say what is missing before anything is learned.

    Raises:
        NotReadyError: no song to learn from has a genre, or all have the same.
    """
    labelled = sum(1 for names in rows.songs.genres if names)
    if labelled == 0:
        raise NotReadyError(
            "No song in the graph has a genre to learn from: put the music into one folder a "
            "genre and run `kg ingest FOLDER --genres-from folder`, or use tags with "
            "`--genres-from tag`."
        )
    if len(rows.genres) < 2:
        raise NotReadyError(
            f"All {labelled} labelled songs are {rows.genres[0]!r}, so there is nothing to "
            "tell apart: ingest songs of at least one more genre."
        )
    sides = zip(rows.songs.splits, rows.songs.genres, strict=True)
    if not any(side == "train" and names for side, names in sides):
        raise NotReadyError("No labelled song is in the training split: there is nothing to learn.")


def sides_of(labelled: Labelled, scores: Scores) -> Sides:
    """Of what is said of all songs [n, g] what is said of the songs of either side."""
    return {"valid": scores[labelled.rows["valid"]], "test": scores[labelled.rows["test"]]}


def _rivals(
    labelled: Labelled,
    data: "HeteroData",
    maps: IdMaps,
    options: TrainOptions,
    progress: Progress,
) -> tuple[dict[str, Sides], TabularChoice | None, list[str]]:
    """What the model has to beat, what each says of either side, and what Ctrl-C left out.

    The model is there by now, and Ctrl-C must not cost it: half a rival is none.
    """
    found: dict[str, Sides] = {}
    plain = fit(data, maps, options, progress, messages=False, name="Training without the graph")
    said: list[str] = []
    if plain.interrupted:
        said.append("Ctrl-C ended the training without the graph: whether it helped isn't known.")
    else:
        try:
            bare = labelled.consistent(told_by(plain, data))
            found[WITHOUT_GRAPH] = sides_of(labelled, bare.numpy())
        except RanAwayError:
            said.append("The training without the graph ran away: whether it helped isn't known.")
    choice = None
    try:
        with progress.stage("Fitting tabular models", None):
            choice, told = labelled.tabular(data[SONG_NODE].x.numpy(), seed=options.seed)
        found[choice.kind] = told
    except KeyboardInterrupt:
        said.append("Ctrl-C ended the fitting of tabular models: none stands beside it.")
    found[MAJORITY] = {"valid": labelled.majority("valid"), "test": labelled.majority("test")}
    return found, choice, said


def _chosen(options: TrainOptions) -> dict[str, Any]:
    """Settings that are other than the defaults, by name.

    Raises:
        WrongUsageError: a setting is unknown or can't be as it is.
    """
    from kg.compare.settings_file import others

    said = {
        "epochs": options.epochs,
        "epochs_unvalidated": options.epochs,
        "negatives": options.negatives,
        "hidden": options.hidden,
    }
    wanted = {**options.settings, **{name: own for name, own in said.items() if own is not None}}
    return others("r-gcn", wanted)


def _configs(options: TrainOptions, *, messages: bool) -> "tuple[TrainConfig, EncoderConfig]":
    """How the net is trained and what it looks like.

    Raises:
        WrongUsageError: a setting is unknown or can't be as it is.
    """
    from kg.compare.settings_file import configured

    check_seed(options.seed)
    config, encoder = configured("r-gcn", _chosen(options))
    return replace(config, seed=options.seed), replace(encoder, messages=messages)


def _write_back(
    store: GraphStore,
    model: ModelRow,
    maps: IdMaps,
    judge: Judge,
    scores: "Tensor",
    x: "Tensor",
    progress: Progress,
) -> tuple[ModelRow, int]:
    """Write what is said of every song; the model is `current` only when all is there.

    Returns:
        The model's node, and how many songs got predictions: some may have left meanwhile.
    """
    store.write_model(replace(model, state="writing"))
    answers = judge.answers(maps.genres, maps.songs, scores, x)
    there = store.known(maps.songs)
    told = {id: each for id, each in zip(maps.songs, answers, strict=True) if id in there}
    guesses = [(id, each.guesses) for id, each in told.items()]
    verdicts = {id: each.verdict for id, each in told.items()}
    store.write_predictions(model.id, model.created_at, guesses, progress, verdicts)
    model = replace(model, state="current")
    store.write_model(model)
    return model, len(told)
