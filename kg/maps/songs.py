"""A map of the songs: a point in the plane for each, near each other where songs sound alike.

It is made of how songs sound alone, of no genre: one that is filed wrongly lies where it sounds.
A map of the model's embeddings would draw labels, as training songs hear their own genre there.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kg.graph import queries
from kg.graph.kept_centroids import DAMAGED
from kg.graph.reading import read_ids, read_similar
from kg.graph.rows import Edges
from kg.graph.transactions import batches
from kg.outputs import appearing
from kg.progress import Progress

if TYPE_CHECKING:
    from kg.graph.store import GraphStore
    from kg.library import Library

Floats = NDArray[np.float32]

# Raised when the same graph gives another map than before.
_FORMAT: Final = 1
# Songs that principal axes are fitted on: more don't turn them.
_FIT_SONGS: Final = 20_000
# How wide a map is before it is unfolded, and by how much copies are moved apart.
_WIDE, _APART = 10.0, 1e-3
# Epochs after which the progress hears of it.
_TOLD: Final = 10
_NOWHERE: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class SongMap:
    """Where songs lie; neither axis means anything, only who is near whom.

    Attributes:
        ids: `Song.id`, n of them, sorted.
        x: From -1 to 1, float32 [n].
        y: From -1 to 1, float32 [n].
        build: Build of the graph that it is made of.
    """

    ids: Sequence[str]
    x: Floats
    y: Floats
    build: str

    def __len__(self) -> int:
        return len(self.ids)


def song_map(library: "Library") -> SongMap:
    """Where each song of a library lies on its map.

    The first two principal axes of what similar songs are found by, then unfolded along SIMILAR_TO
    (`kg.maps.layout`). The map is kept in the home folder and made anew when the graph was rebuilt;
    a song that was added since lies in the middle of the songs it is like, and nobody else moves.

    Args:
        library: The songs; its progress is told how far it is.

    Raises:
        GraphError: clusters and similar songs are not finished, or the server doesn't answer.
        RebuiltError: the graph was rebuilt meanwhile.
    """
    store, file = library.store, library.settings.map_file
    build = store.read_space(library.settings.centroids_dir)[1]
    there = sorted(read_ids(library.connection, queries.SONG_IDS))
    kept = _load(file, build)
    if kept is None:
        kept = _made(store, library.progress)
        _save(kept, file)
    return _as_now(kept, there, store)


def _made(store: "GraphStore", progress: Progress) -> SongMap:
    """The map of the songs of a finished build."""
    space, build = store.read_space()
    songs = store.read_songs()
    with progress.stage("Reading similar songs", None):
        links = read_similar(store.connection, songs.ids)
    places = _principal(space.metric(space.standardise(songs.features)))
    places = _unfolded(places, links, progress)
    return SongMap(songs.ids, places[:, 0].copy(), places[:, 1].copy(), build)


def _principal(vectors: Floats) -> Floats:
    """Places [n, 2] along the first two principal axes of vectors [n, d]."""
    some = vectors[:: max(1, len(vectors) // _FIT_SONGS)]
    mean = some.mean(axis=0)
    off = some - mean
    _, axes = np.linalg.eigh((off.T @ off).astype(np.float64))
    axes = axes[:, ::-1][:, :2]
    # The sign of an axis is an accident: its largest part points up.
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0))
    places = np.zeros((len(vectors), 2), dtype=np.float32)
    places[:, : axes.shape[1]] = (vectors - mean) @ axes
    return places


def _unfolded(places: Floats, links: Edges, progress: Progress) -> Floats:
    """Places [n, 2] after links [2, e] have pulled, from -1 to 1."""
    from kg.maps.layout import EPOCHS, unfold

    chance = np.random.default_rng(0)
    places = _spread(places, _WIDE)
    places += chance.normal(scale=_APART, size=places.shape).astype(np.float32)
    both = np.unique(np.concatenate([links, links[::-1]], axis=1), axis=1)
    heads, tails = both[:, chance.permutation(both.shape[1])].astype(np.int32)
    with progress.stage("Drawing the map, in steps", EPOCHS) as advance:
        for first in range(0, EPOCHS, _TOLD):
            unfold(places, heads, tails, first, _TOLD)
            advance(_TOLD)
    return _spread(places, 1.0)


def _spread(places: Floats, wide: float) -> Floats:
    """Places [n, 2] around 0, the farthest one `wide` away along an axis."""
    centred = places - (places.max(axis=0) + places.min(axis=0)) / 2
    farthest = np.abs(centred).max()
    return np.asarray(centred * np.float32(wide / farthest if farthest > 0 else 1))


def _as_now(kept: SongMap, there: Sequence[str], store: "GraphStore") -> SongMap:
    """The same without songs that are gone, and with those that were added."""
    old = {id: row for row, id in enumerate(kept.ids)}
    rows = np.array([old.get(id, _NOWHERE) for id in there], dtype=np.int64)
    x, y = (np.where(rows == _NOWHERE, np.float32(0), axis[rows]) for axis in (kept.x, kept.y))
    new = {there[row]: row for row in np.flatnonzero(rows == _NOWHERE).tolist()}
    for some in batches(new):
        for song in store.hanging(some):
            if like := [old[id] for id, _ in song.similar if id in old]:
                x[new[song.id]], y[new[song.id]] = kept.x[like].mean(), kept.y[like].mean()
    return SongMap(there, x, y, kept.build)


def _load(file: Path, build: str) -> SongMap | None:
    """The map of a build; None where it isn't there whole."""
    try:
        # The zip's own sums are looked at as its parts are read.
        with file.open("rb") as source, np.load(source, allow_pickle=False) as kept:
            if str(kept["build"]) != build or int(kept["format"]) != _FORMAT:
                return None
            ids = [id.decode() for id in kept["ids"].tolist()]
            x, y = kept["x"], kept["y"]
    except DAMAGED:
        return None
    return SongMap(ids, x, y, build) if len(ids) == len(x) == len(y) else None


def _save(drawn: SongMap, file: Path) -> None:
    """Keep a map; where there is no room, it is drawn again next time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with appearing(file) as target:
            np.savez(
                target,
                ids=np.array([id.encode() for id in drawn.ids]),
                x=drawn.x,
                y=drawn.y,
                build=np.array(drawn.build),
                format=np.array(_FORMAT),
            )
