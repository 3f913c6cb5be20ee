"""`kg compare` and `kg tune` on a library: its songs from the graph, its sounds from the cache."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kg.compare.frames import frames_of
from kg.compare.material import Material
from kg.compare.runs import CompareOptions, Comparison, FramesOf, compare
from kg.genres.levels import GIVEN, at_level
from kg.graph.experiments import write as write_experiments
from kg.graph.store import GraphStore
from kg.learning.training import InTurn, refuse_unlearnable
from kg.progress import SILENT, Progress


@dataclass(frozen=True, slots=True)
class Songs:
    """What models are compared and tuned on.

    Attributes:
        build: Build of the graph that they were read from.
        material: The songs of the graph.
        frames_of: Their frame sequences, where a model asks for them.
    """

    build: str
    material: Material
    frames_of: FramesOf


def read_songs(
    store: GraphStore,
    cache_dir: Path,
    progress: Progress = SILENT,
    *,
    workers: int | None = None,
    in_turn: InTurn,
) -> Songs:
    """Read the songs of a graph.

    Args:
        store: The graph.
        cache_dir: Where frame sequences are kept.
        progress: Told how far it is.
        workers: Processes that extract frame sequences; None: one a core.
        in_turn: Runs the steps that others must not disturb.

    Raises:
        NotReadyError: there is nothing to learn from.
    """
    with progress.stage("Reading the graph", None):
        rows, keys = in_turn(lambda: (store.read_graph(), store.read_keys()))
        refuse_unlearnable(rows)
        songs = at_level(rows, GIVEN).songs
        material = Material(songs, keys, rows.space.kinds, rows.further)
    return Songs(rows.build, material, frames_of(store, material, cache_dir, workers, progress))


def compare_models(
    store: GraphStore,
    songs: Songs,
    folder: Path,
    options: CompareOptions | None = None,
    progress: Progress = SILENT,
    *,
    in_turn: InTurn,
) -> Comparison:
    """Compare models on the songs of a graph, and keep a row each in it as `Experiment` nodes.

    Args:
        store: The graph.
        songs: From `read_songs`.
        folder: Where what the comparison has come to is kept until it is done.
        options: What the user chose.
        progress: Told how far it is.
        in_turn: Runs the steps that others must not disturb.

    Raises:
        NotReadyError: there are too few songs.
        WrongUsageError: an option can't be used, or an unfinished comparison of other settings is
            there.
        KgError: something can't be kept on disk.
    """
    material = songs.material

    def looks(training: str) -> None:
        # Each counts as a model that has seen the test songs, and counts once.
        count, now = len(material.side("test")), datetime.now(UTC)
        in_turn(lambda: store.open_test_split(material.test_split, count, [training], now))

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
                build=songs.build,
            )
        )

    return compare(material, folder, songs.frames_of, options, progress, keep=keep, looks=looks)
