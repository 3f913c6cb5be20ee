"""Frame sequences of a library's songs: from the cache, or extracted into it once."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kg.compare.contestants import FrameKind
from kg.compare.material import Material
from kg.compare.runs import NoFramesError
from kg.graph import queries
from kg.graph.store import GraphStore
from kg.graph.transactions import read_rows
from kg.progress import Progress
from kg.text import unstored

# Files that a sentence names.
LISTED = 2


def frames_of(
    store: GraphStore,
    material: Material,
    cache_dir: Path,
    workers: int | None,
    progress: Progress,
) -> Callable[[FrameKind], Sequence[NDArray[np.float16]]]:
    """How frame sequences of all songs are come by, where a model asks for them.

    Args:
        store: The graph, which knows where songs lie.
        material: The songs.
        cache_dir: Where sequences are kept.
        workers: Processes that extract them; None: one a core.
        progress: Told how far it is.

    Returns:
        A function from the kind of frames to a sequence a song, in the order of the songs; it
        raises NoFramesError where a song's file is gone or can't be read.
    """

    def frames(kind: FrameKind) -> Sequence[NDArray[np.float16]]:
        from kg.audio.sequences import sequences

        paths = {
            row["id"]: path
            for row in read_rows(store.connection, queries.ALL_PATHS)
            if (path := _there(row["paths"])) is not None
        }
        ids = material.songs.ids
        _refuse_missing([id for id in ids if id not in paths], len(ids), "has no audio file here")
        found = sequences(
            [(id, paths[id]) for id in ids],
            cache_dir,
            kind,
            workers=workers,
            excerpt=material.kinds.excerpt,
            progress=progress,
        )
        unread = [f"{each.path} ({each.reason})" for each in found.rejected]
        _refuse_missing(unread, len(ids), "can't be read any more")
        return [found[id] for id in ids]

    return frames


def _there(paths: Sequence[str]) -> Path | None:
    """The first of a song's files that exists."""
    for path in paths:
        for name in (path, unstored(path)):
            if Path(name).is_file():
                return Path(name)
    return None


def _refuse_missing(songs: Sequence[str], of: int, what: str) -> None:
    if songs:
        named = ", ".join(songs[:LISTED]) + (", ..." if len(songs) > LISTED else "")
        raise NoFramesError(f"{len(songs)} of {of} songs: each {what} ({named})")
