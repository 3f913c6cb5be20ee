"""From songs to a connected graph: splits, feature space, clusters and similar songs.

The build is a function of which songs there are and which are held out. Its fingerprint is kept
in the graph: an unchanged library costs nothing, and a run that was cut off is noticed and redone.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from kg.clusters import Assignment, FeatureSpace, fit_space
from kg.errors import KgError
from kg.graph.rows import Links, SongTable
from kg.graph.store import GraphStore
from kg.neighbours import NeighbourIndex, Neighbours
from kg.progress import SILENT, Progress
from kg.records import FeatureSet
from kg.schema import cluster_id
from kg.splits import assign_splits

# Raised when the same songs give other clusters or neighbours than before.
REVISION = 1
NEIGHBOURS = 10


def build_graph(
    store: GraphStore, kinds: FeatureSet, folder: Path, progress: Progress = SILENT
) -> bool:
    """Bring splits, clusters and similar songs up to date with the songs in the graph.

    Args:
        store: The graph.
        kinds: What its features mean.
        folder: Where the neighbour index is kept.
        progress: Told how far it is.

    Returns:
        Whether anything had to be done.
    """
    _, build = planned_build(store, kinds)
    if store.build() == build:
        return False

    # From here on nobody else's half of a build can mix with ours, nor ours with theirs.
    builder = store.begin_build(kinds)
    splits, build = planned_build(store, kinds)
    songs = store.read_songs()
    held_out = np.array([splits.get(id) in ("valid", "test") for id in songs.ids], dtype=bool)
    with progress.stage("Clustering", None):
        space = fit_space(
            songs.features,
            # A library that only has held-out songs (an official test set) is all there is.
            ~held_out if not held_out.all() else held_out,
            kinds,
        )
        standard = space.standardise(songs.features)
        assigned = space.assign(standard)
    with progress.stage("Finding similar songs", None):
        index = NeighbourIndex(songs.ids, space.metric(standard), build)
        similar = index.of_members(NEIGHBOURS)
        _save(index, folder)
    sizes: Counter[str] = Counter()
    for family, assignment in assigned.items():
        counted = np.bincount(assignment.index)
        sizes.update({cluster_id(family, i): int(n) for i, n in enumerate(counted)})
    store.write_build(
        space,
        links(songs.ids, assigned, index.ids, similar, splits),
        builder=builder,
        songs=len(songs),
        sizes=sizes,
        build=build,
        progress=progress,
    )
    return True


def planned_build(store: GraphStore, kinds: FeatureSet) -> tuple[dict[str, str], str]:
    """Splits of the songs that are there now, and the fingerprint of the build they ask for."""
    keys = store.read_keys()
    splits = assign_splits(keys)
    return splits, fingerprint(kinds.version, {song.id: splits.get(song.id) for song in keys})


def links(
    ids: Sequence[str],
    assigned: Mapping[str, Assignment],
    index_ids: Sequence[str],
    similar: Neighbours,
    splits: Mapping[str, str],
) -> Iterator[Links]:
    """How each of these songs hangs in the graph: nearest cluster by family, similar songs."""
    for row, id in enumerate(ids):
        clusters = [
            (cluster_id(family, int(a.index[row])), family, float(a.weight[row]))
            for family, a in assigned.items()
        ]
        near = [
            (index_ids[other], float(cosine))
            for other, cosine in zip(similar.index[row], similar.similarity[row], strict=True)
            if other >= 0 and cosine > 0  # what points the other way is nobody's neighbour
        ]
        yield Links(id, splits.get(id), clusters, near)


def neighbour_index(
    store: GraphStore, space: FeatureSpace, build: str, folder: Path
) -> NeighbourIndex:
    """The index of this build from disk, or made anew from the graph where it isn't there."""
    index = NeighbourIndex.load(folder, build)
    if index is None:
        songs: SongTable = store.read_songs()
        index = NeighbourIndex(songs.ids, space.metric(space.standardise(songs.features)), build)
        _save(index, folder)
    return index


def _save(index: NeighbourIndex, folder: Path) -> None:
    try:
        index.save(folder)
    except OSError as error:
        raise KgError(
            f"The index of similar songs can't be written to {folder} ({error.strerror}): make "
            "room there, or choose another home with --home DIR or KG_HOME."
        ) from error


def fingerprint(version: str, splits: Mapping[str, str | None]) -> str:
    """Hash of everything that decides clusters and similar songs."""
    digest = hashlib.blake2b(f"{REVISION}\n{version}\n{NEIGHBOURS}\n".encode(), digest_size=8)
    for id in sorted(splits):
        digest.update(f"{id} {splits[id]}\n".encode())
    return digest.hexdigest()
