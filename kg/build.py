"""From songs to a connected graph: splits, feature space, clusters and similar songs.

The build is a function of which songs there are and which are held out. Its fingerprint is kept
in the graph: an unchanged library costs nothing, and a run that was cut off is noticed and redone.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kg.cells import DamagedError
from kg.clusters import NOWHERE, Assignment, FeatureSpace, fit_space, lacking
from kg.errors import KgError
from kg.graph.rows import Links
from kg.graph.store import GraphStore
from kg.neighbours import Floats, NeighbourIndex, Neighbours, SavedIndex
from kg.progress import SILENT, Progress
from kg.records import FeatureSet
from kg.schema import cluster_id
from kg.splits import SplitSong
from kg.splits.duplicates import recordings
from kg.splits.leaks import find_leaks, refuse_leaks
from kg.splits.protocol import Asked, SplitRule, settle_rule, split_songs

# Raised when the same songs give other clusters, neighbours or recordings than before.
REVISION = 2
NEIGHBOURS = 10

# A song that came between two looks at the library: the next build puts it somewhere.
_NO_SIDE = SplitSong("", ())


@dataclass(frozen=True, slots=True)
class Plan:
    """What the songs that are there ask for.

    Attributes:
        songs: All songs, on the sides they are to have.
        rule: By which they are split.
        compared: Fingerprint of the songs among which recordings were looked for.
        build: Fingerprint of clusters and similar songs.
    """

    songs: Sequence[SplitSong]
    rule: SplitRule
    compared: str
    build: str


def build_graph(
    store: GraphStore,
    kinds: FeatureSet,
    folder: Path,
    progress: Progress = SILENT,
    *,
    split: Asked | None = None,
    allow_leaks: bool = True,
) -> bool:
    """Bring splits, clusters and similar songs up to date with the songs in the graph.

    Args:
        store: The graph.
        kinds: What its features mean.
        folder: Where the neighbour index is kept.
        progress: Told how far it is.
        split: Rule to split by from now on; None: as until now.
        allow_leaks: Whether an artist or a recording may be on several sides.

    Returns:
        Whether anything had to be done.

    Raises:
        WrongUsageError: the songs can't be split by that rule.
        KgError: the split leaks; nothing was changed.
    """
    plan = plan_build(store, kinds, split, progress)
    if not allow_leaks:
        refuse_leaks(find_leaks(plan.songs))
    if store.build() == plan.build:
        store.write_rule(kinds.version, plan.rule)
        return False

    # From here on nobody else's half of a build can mix with ours, nor ours with theirs.
    builder = store.begin_build(kinds)
    plan = plan_build(store, kinds, split, progress, known=plan)
    sides = {song.id: song for song in plan.songs}
    songs = store.read_songs()
    held_out = np.array(
        [sides.get(id, _NO_SIDE).split in ("valid", "test") for id in songs.ids], dtype=bool
    )
    with progress.stage("Clustering", None):
        space = fit_space(
            songs.features,
            # A library that only has held-out songs (an official test set) is all there is.
            ~held_out if not held_out.all() else held_out,
            kinds,
        )
        standard = space.standardise(songs.features)
        assigned = space.assign(standard, lacking(kinds, songs.features))
    with progress.stage("Finding similar songs", None):
        index = NeighbourIndex(songs.ids, space.metric(standard), plan.build)
        similar = index.of_members(NEIGHBOURS)
        _save(index, folder)
    sizes: Counter[str] = Counter()
    for family, assignment in assigned.items():
        counted = np.bincount(assignment.index[assignment.index != NOWHERE])
        sizes.update({cluster_id(family, i): int(n) for i, n in enumerate(counted)})
    store.write_build(
        space,
        links(songs.ids, assigned, index.ids, similar, sides),
        builder=builder,
        songs=len(songs),
        sizes=sizes,
        build=plan.build,
        rule=plan.rule,
        compared=plan.compared,
        progress=progress,
    )
    return True


def plan_build(
    store: GraphStore,
    kinds: FeatureSet,
    split: Asked | None = None,
    progress: Progress = SILENT,
    *,
    known: Plan | None = None,
) -> Plan:
    """Look at the songs that are there now; changes nothing.

    Which songs are one recording depends on the songs alone, and is looked for only where others
    have come since the last build.

    Args:
        store: The graph.
        kinds: What its features mean.
        split: Rule to split by; None: as until now.
        progress: Told how far it is.
        known: An earlier plan, whose recordings hold as long as the songs are the same.
    """
    keys = store.read_keys()
    # What a table gives may change and mean the same.
    values = f"{kinds.version} {kinds.given}" if kinds.given else kinds.version
    compared = fingerprint(values, (song.id for song in keys))
    if known is not None and known.compared == compared:
        shared = {song.id: song.recording for song in known.songs if song.recording}
    elif store.compared() == compared:
        shared = {song.id: song.recording for song in keys if song.recording}
    else:
        with progress.stage("Finding copies", None):
            there = store.read_songs()
            shared = recordings(there.ids, there.features, kinds)
    keys = [replace(song, recording=shared.get(song.id)) for song in keys]
    now = store.split_rule()
    rule = settle_rule(keys, split, now, measured=bool(store.read_models()))
    sides = split_songs(keys, rule, now, mend=split is not None)
    # Vectors from files may change and mean the same: these have an identity beside the version.
    vectors = "".join(f" {each.identity}" for each in kinds.embeddings)
    build = fingerprint(
        f"{values} {NEIGHBOURS} {rule.protocol}{vectors}",
        (f"{song.id} {sides.get(song.id)} {song.recording}" for song in keys),
    )
    return Plan([replace(s, split=sides.get(s.id)) for s in keys], rule, compared, build)


def links(
    ids: Sequence[str],
    assigned: Mapping[str, Assignment],
    index_ids: Sequence[str],
    similar: Neighbours,
    sides: Mapping[str, SplitSong],
) -> Iterator[Links]:
    """How each of these songs hangs in the graph: nearest cluster by family, similar songs."""
    for row, id in enumerate(ids):
        clusters = [
            (cluster_id(family, int(a.index[row])), family, float(a.weight[row]))
            for family, a in assigned.items()
            if a.index[row] != NOWHERE
        ]
        near = [
            (index_ids[other], float(cosine))
            for other, cosine in zip(similar.index[row], similar.similarity[row], strict=True)
            if other >= 0 and cosine > 0  # what points the other way is nobody's neighbour
        ]
        song = sides.get(id, _NO_SIDE)
        yield Links(id, song.split, clusters, near, song.recording)


def near_songs(
    store: GraphStore, space: FeatureSpace, build: str, folder: Path, vectors: Floats
) -> tuple[Sequence[str], Neighbours]:
    """The nearest songs of the graph of each of these unit vectors, float32 [n, d].

    The index on disk may hold songs that have been forgotten since. Where they leave somebody with
    fewer neighbours than there are, or where it turns out to be damaged, it is made anew.

    Returns:
        Keys of the songs in the index, and the neighbours as rows of it.
    """
    index = neighbour_index(store, space, build, folder)
    try:
        found = _among_those_there(store, index, vectors)
    except DamagedError:
        found = None
    if found is not None:
        return index.ids, found
    index = _new_index(store, space, build, folder)
    try:
        return index.ids, index.nearest(vectors, NEIGHBOURS)
    except DamagedError as error:
        raise _bad_disk(folder) from error


def _among_those_there(store: GraphStore, index: SavedIndex, vectors: Floats) -> Neighbours | None:
    """The nearest in the index of those that are in the graph; None where these are too few."""
    for width in (NEIGHBOURS, 4 * NEIGHBOURS):
        found = index.nearest(vectors, width)
        near = np.unique(found.index[found.index >= 0])
        there = store.known([index.ids[row] for row in near])
        gone = [int(row) for row in near if index.ids[row] not in there]
        kept = found.without(gone, NEIGHBOURS)
        if not gone or width >= len(index) or (kept.index >= 0).all():
            return kept
    return None


def neighbour_index(store: GraphStore, space: FeatureSpace, build: str, folder: Path) -> SavedIndex:
    """The index of this build from disk, or made anew from the graph where it isn't there."""
    index = SavedIndex.load(folder, build, len(space.columns))
    return _new_index(store, space, build, folder) if index is None else index


def _new_index(store: GraphStore, space: FeatureSpace, build: str, folder: Path) -> SavedIndex:
    songs = store.read_songs()
    # As the build left it: whoever was added since is nobody's neighbour.
    added = set(store.added_to(build))
    rows = [row for row, id in enumerate(songs.ids) if id not in added]
    vectors = space.metric(space.standardise(songs.features[rows]))
    _save(NeighbourIndex([songs.ids[row] for row in rows], vectors, build), folder)
    index = SavedIndex.load(folder, build, len(space.columns))
    if index is None:
        raise _bad_disk(folder)
    return index


def _bad_disk(folder: Path) -> KgError:
    return KgError(
        f"The index of similar songs in {folder} isn't what was just written there: run this "
        "command again, and look after that disk if it says so again."
    )


def _save(index: NeighbourIndex, folder: Path) -> None:
    try:
        index.save(folder)
    except OSError as error:
        raise KgError(
            f"The index of similar songs can't be written to {folder} ({error.strerror}): make "
            "room there, or choose another home with --home DIR or KG_HOME."
        ) from error


def fingerprint(of: str, songs: Iterable[str]) -> str:
    """Hash of what something was made from, in the order of the songs."""
    digest = hashlib.blake2b(f"{REVISION}\n{of}\n".encode(), digest_size=8)
    for song in songs:
        digest.update(f"{song}\n".encode())
    return digest.hexdigest()
