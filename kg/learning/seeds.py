"""Several trainings that differ by their seed only: how much of a number is chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from kg.errors import NotReadyError, WrongUsageError
from kg.genres.levels import GIVEN, as_level, at_level
from kg.graph.rows import GraphRows, Looks, ModelRow
from kg.graph.store import GraphStore
from kg.hetero import to_hetero
from kg.learning.saved_models import latest_model, new_model_id, none_in_use
from kg.learning.training import (
    InTurn,
    Sides,
    TrainOptions,
    fit,
    refuse_unlearnable,
    sides_of,
    told_by,
)
from kg.metrics.evaluate import Scores
from kg.metrics.known_artists import (
    ARTISTS_GENRE,
    KNOWN,
    artists_genre,
    of_known_artists,
    question_of,
)
from kg.metrics.measuring import (
    MAJORITY,
    R_GCN,
    WITHOUT_GRAPH,
    Labelled,
    Measured,
    Side,
    TabularChoice,
    recorded,
    verdict,
)
from kg.progress import SILENT, Progress
from kg.schema import SONG_NODE
from kg.splits import SplitSong
from kg.splits.leaks import find_leaks, refuse_leaks


@dataclass(frozen=True, slots=True)
class SeedsReport:
    """What trainings with several seeds came to.

    Attributes:
        question: What songs they were measured on: `a song by a new artist`, for one.
        seeds: How many; they run from 0.
        measured: Means over the seeds, with interval and spread; genres and confusions are those
            of seed 0.
        verdict: In plain words whether the graph helped.
        tabular: Which tabular model is the best one.
    """

    question: str
    seeds: int
    measured: Measured
    verdict: Sequence[str]
    tabular: TabularChoice


@dataclass(frozen=True, slots=True)
class EvaluateReport:
    """How good the model is.

    Attributes:
        side: `valid` or `test`: whose songs it was measured on.
        model: The model in use; None where there is none.
        recorded: What that came to on these songs when it was trained; None: that isn't known.
        looks: How many models have been measured on the test songs.
        seeds: What fresh trainings came to; None where none was asked for.
        known: What others came to on songs by artists who were learned from, of which none is a
            test song; None where none was asked for, or there are too few.
        why_unknown: Why there is no `known`, in plain words; None where that wasn't asked for.
    """

    side: Side
    model: ModelRow | None
    recorded: Measured | None
    looks: Looks
    seeds: SeedsReport | None
    known: SeedsReport | None = None
    why_unknown: str | None = None


def evaluate(
    store: GraphStore,
    seeds: int = 0,
    side: Side = "valid",
    options: TrainOptions | None = None,
    progress: Progress = SILENT,
    *,
    known_artists: bool = True,
    in_turn: InTurn,
) -> EvaluateReport:
    """Show what the model in use came to, and train `seeds` fresh ones to see how much is chance.

    The numbers of the model in use are those of its training: nothing is measured again. The
    fresh models are thrown away; measured on test songs, each counts as one that has seen them.

    Args:
        store: The graph.
        seeds: How many to train, with seeds from 0.
        side: `valid`, or `test`.
        options: How they are trained; the seed is left aside.
        progress: Told how far it is.
        known_artists: Whether to train as many more for the other question: a song by an artist who
            was learned from (see `kg.metrics.known_artists`).
        in_turn: Runs the steps that others must not disturb.

    Raises:
        NotReadyError: there is no model and none is asked for; nothing can be learned; or no song
            is on that side.
        WrongUsageError: a negative number of seeds, or no such device.
        KgError: the split leaks, and that isn't allowed.
    """
    if seeds < 0:
        raise WrongUsageError(f"The number of seeds can't be {seeds}: give 0 or more.")
    model = latest_model(store)
    if model is None and not seeds:
        raise NotReadyError(
            none_in_use(store)
            or "There is no model to show: run `kg train` first, or `kg evaluate --seeds 5`."
        )
    split = model.test_split if model else ""
    found = known = why = None
    if seeds:
        options = options or TrainOptions()
        if options.genre_level is None and model is not None:
            options = replace(options, genre_level=as_level(model.metrics.get("genreLevel", GIVEN)))
        rows, keys = _read(store, options, progress, in_turn)
        found, split = _several(store, rows, seeds, side, options, progress, in_turn)
        if known_artists:
            known, why = _known(rows, keys, seeds, options, progress)
    return EvaluateReport(
        side=side,
        model=model,
        recorded=recorded(model.metrics, side) if model else None,
        looks=store.looks(split),
        seeds=found,
        known=known,
        why_unknown=why,
    )


def _read(
    store: GraphStore, options: TrainOptions, progress: Progress, in_turn: InTurn
) -> tuple[GraphRows, list[SplitSong]]:
    with progress.stage("Reading the graph", None):
        rows, keys = in_turn(lambda: (store.read_graph(), store.read_keys()))
        rows = at_level(rows, options.genre_level or GIVEN)
        refuse_unlearnable(rows)
        if not options.allow_leaks:
            refuse_leaks(find_leaks(song for song in keys if song.genres))
    return rows, keys


def _several(
    store: GraphStore,
    rows: GraphRows,
    seeds: int,
    side: Side,
    options: TrainOptions,
    progress: Progress,
    in_turn: InTurn,
) -> tuple[SeedsReport, str]:
    """What fresh trainings came to, and the fingerprint of the test songs."""
    labelled = Labelled(rows)
    if len(labelled.rows[side]) == 0:
        raise NotReadyError(
            f"No song is on the {'validation' if side == 'valid' else 'test'} side, so nothing can "
            "be measured: ingest more songs, by more artists."
        )
    classifiers, choice = _classifiers(rows, labelled, seeds, options, progress)
    split = labelled.test_split()
    if side == "test":
        now, run = datetime.now(UTC), new_model_id()
        names = [f"{run}:{seed}" for seed in range(seeds)]
        opened = len(labelled.rows["test"])
        in_turn(lambda: store.open_test_split(split, opened, names, now))
    with progress.stage("Measuring", None):
        measured = _measure(labelled, classifiers, side)
    question = question_of(rows.songs.artists, labelled.rows["train"], labelled.rows[side])
    return SeedsReport(question, seeds, measured, verdict(measured.differences), choice), split


def _known(
    rows: GraphRows,
    keys: Sequence[SplitSong],
    seeds: int,
    options: TrainOptions,
    progress: Progress,
) -> tuple[SeedsReport | None, str | None]:
    """What fresh trainings come to on songs of artists they know; or why nobody can tell."""
    rows_of_known = of_known_artists(rows, keys)
    if rows_of_known is None:
        return None, (
            "No training song could be held out whose artist is known by another album, so nobody "
            "can tell how well such songs are recognised."
        )
    labelled = Labelled(rows_of_known)
    classifiers, choice = _classifiers(rows_of_known, labelled, seeds, options, progress)
    by_artist = artists_genre(rows_of_known, labelled.truth, np.arange(len(labelled.truth)))
    classifiers[ARTISTS_GENRE] = [sides_of(labelled, by_artist)]
    with progress.stage("Measuring", None):
        measured = _measure(labelled, classifiers, "test")
    return SeedsReport(KNOWN, seeds, measured, verdict(measured.differences), choice), None


def _classifiers(
    rows: GraphRows,
    labelled: Labelled,
    seeds: int,
    options: TrainOptions,
    progress: Progress,
) -> tuple[dict[str, Sequence[Sides]], TabularChoice]:
    """Everything that is to be measured, with what each seed says of the songs of either side."""
    data, maps = to_hetero(rows)
    found: dict[str, list[Sides]] = {R_GCN: [], WITHOUT_GRAPH: []}
    for seed in range(seeds):
        for name, messages in ((R_GCN, True), (WITHOUT_GRAPH, False)):
            called = f"Seed {seed}" if messages else f"Seed {seed} without the graph"
            own = replace(options, seed=seed)
            result = fit(data, maps, own, progress, messages=messages, name=called)
            if result.interrupted:  # a mean over fewer or worse seeds is not what was asked for
                raise KeyboardInterrupt
            scores = labelled.consistent(told_by(result, data, called))
            found[name].append(sides_of(labelled, scores.numpy()))
    with progress.stage("Fitting tabular models", None):
        choice, told = labelled.tabular(data[SONG_NODE].x.numpy(), seed=0)
    frequent: Sides = {"valid": labelled.majority("valid"), "test": labelled.majority("test")}
    return {**found, choice.kind: [told], MAJORITY: [frequent]}, choice


def _measure(
    labelled: Labelled, classifiers: Mapping[str, Sequence[Sides]], side: Side
) -> Measured:
    """Measure on one side; on test songs by thresholds that validation songs set."""

    def on(side: Side) -> dict[str, list[Scores]]:
        return {name: [run[side] for run in runs] for name, runs in classifiers.items()}

    validation = on("valid") if side == "test" else None
    return labelled.measure(side, on(side), seed=0, validation=validation)
