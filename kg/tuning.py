"""`kg tune` on a library: its songs from the graph, its sounds from the cache."""

from pathlib import Path
from typing import TYPE_CHECKING

from kg.compare.material import Material
from kg.compare.tuning import Tuned, TuneOptions, tune
from kg.frames import frames_of
from kg.graph.store import GraphStore
from kg.learning import InTurn, refuse_unlearnable
from kg.progress import SILENT, Progress

if TYPE_CHECKING:
    from kg.records import FeatureSet


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
    with progress.stage("Reading the graph", None):
        rows, keys = in_turn(lambda: (store.read_graph(), store.read_keys()))
        refuse_unlearnable(rows)
        there = store.feature_set() or kinds
    material = Material(rows.songs, keys, there)
    frames = frames_of(store, material, cache_dir, workers, progress)
    return tune(material, folder, frames, options, progress)
