"""`kg compare` on a library: its songs from the graph, its sounds from the cache, its rows kept."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kg.compare.material import Material
from kg.compare.runs import CompareOptions, Comparison, compare
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
    with progress.stage("Reading the graph", None):
        rows, keys = in_turn(lambda: (store.read_graph(), store.read_keys()))
        refuse_unlearnable(rows)
        there = store.feature_set() or kinds
    material = Material(rows.songs, keys, there)
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
                feature_version=there.version,
                build=rows.build,
            )
        )

    return compare(material, folder, frames, options, progress, keep=keep, looks=looks)
