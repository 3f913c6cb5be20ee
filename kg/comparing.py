"""`kg compare` and `kg tune` on a library: its songs from the graph, its sounds from the cache."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kg.compare.material import Material
from kg.compare.runs import CompareOptions, Comparison, compare
from kg.compare.tuning import Tuned, TuneOptions, tune
from kg.frames import frames_of
from kg.graph.experiments import write as write_experiments
from kg.graph.store import GraphStore
from kg.learning import InTurn, refuse_unlearnable
from kg.progress import SILENT, Progress

if TYPE_CHECKING:
    from kg.records import FeatureSet


def compare_models(
    store: GraphStore,
    kinds: "FeatureSet",
    folder: Path,
    cache_dir: Path,
    options: CompareOptions | None = None,
    progress: Progress = SILENT,
    *,
    workers: int | None = None,
    in_turn: InTurn,
) -> Comparison:
    """Compare models on the songs of a graph, and keep a row each in it as `Experiment` nodes.

    Args:
        store: The graph.
        kinds: What its features mean.
        folder: Where what the comparison has come to is kept until it is done.
        cache_dir: Where frame sequences are kept.
        options: What the user chose.
        progress: Told how far it is.
        workers: Processes that extract frame sequences; None: one a core.
        in_turn: Runs the steps that others must not disturb.

    Raises:
        NotReadyError: there are too few songs, or nothing was ingested.
        WrongUsageError: an option can't be used, or an unfinished comparison of other settings is
            there.
        KgError: something can't be kept on disk.
    """
    build, material = _read(store, kinds, progress, in_turn)
    frames = frames_of(store, material, cache_dir, workers, progress)

    def looks(training: str) -> None:
        # Each counts as a model that has seen the test songs, and counts once.
        songs, now = len(material.side("test")), datetime.now(UTC)
        in_turn(lambda: store.open_test_split(material.test_split, songs, [training], now))

    def keep(found: Comparison) -> None:
        in_turn(
            lambda: write_experiments(
                store.connection,
                found.run,
                found.created_at,
                found.figures,
                found.missing,
                folds=found.folds,
                feature_version=material.kinds.version,
                build=build,
            )
        )

    return compare(material, folder, frames, options, progress, keep=keep, looks=looks)


def tune_model(
    store: GraphStore,
    kinds: "FeatureSet",
    folder: Path,
    cache_dir: Path,
    options: TuneOptions | None = None,
    progress: Progress = SILENT,
    *,
    workers: int | None = None,
    in_turn: InTurn,
) -> Tuned:
    """Look for better settings of a model on the songs of a graph, which isn't changed.

    Args:
        store: The graph.
        kinds: What its features mean.
        folder: Where the trials are kept.
        cache_dir: Where frame sequences are kept.
        options: What the user chose.
        progress: Told how far it is.
        workers: Processes that extract frame sequences; None: one a core.
        in_turn: Runs the steps that others must not disturb.

    Raises:
        NotReadyError: there are too few songs, or nothing was ingested.
        WrongUsageError: an option can't be used.
        KgError: Optuna is missing, or something can't be kept on disk.
    """
    _, material = _read(store, kinds, progress, in_turn)
    frames = frames_of(store, material, cache_dir, workers, progress)
    return tune(material, folder, frames, options, progress)


def _read(
    store: GraphStore, kinds: "FeatureSet", progress: Progress, in_turn: InTurn
) -> tuple[str, Material]:
    """The build of the graph, and its songs.

    Raises:
        NotReadyError: there is nothing to learn from.
    """
    with progress.stage("Reading the graph", None):
        rows, keys = in_turn(lambda: (store.read_graph(), store.read_keys()))
        refuse_unlearnable(rows)
        return rows.build, Material(rows.songs, keys, store.feature_set() or kinds)
