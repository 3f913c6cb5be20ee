"""Looking at the sound of songs that an older kg listened to."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kg.audio.extract import listen
from kg.graph.connection import Connection
from kg.graph.sounds import unheard_songs, write_sounds
from kg.intake.audio import file_of
from kg.learning.training import InTurn, at_once
from kg.progress import SILENT, Progress
from kg.tagging.contents import known_contents


@dataclass(frozen=True, slots=True)
class Listened:
    """What listening came to.

    Attributes:
        looked: Songs whose sound was looked at.
        deaf: Songs that stay without, as their files are gone, changed, or can't be heard now.
    """

    looked: int
    deaf: int


def listen_to_unheard(
    connection: Connection,
    cache_dir: Path,
    excerpt: float | None,
    *,
    workers: int | None = None,
    progress: Progress = SILENT,
    in_turn: InTurn = at_once,
) -> Listened:
    """Look at the sound of all songs that nobody has looked at, and keep it on them.

    What the cache knows isn't listened to again, so that a run that was cut off goes on. Files are
    read and never changed; features stay as they are.

    Args:
        connection: The database.
        cache_dir: Holds the cache.
        excerpt: Seconds listened to from the middle of each song; None: all of it.
        workers: Processes (None: one a core).
        progress: Told of every song that is done.
        in_turn: Runs the steps that others must not disturb; listening, which may take hours, is
            none of them.

    Raises:
        KgError: the cache can't be written to, or processes can't be started.
    """
    there, written = in_turn(lambda: (unheard_songs(connection), known_contents(connection)))
    with progress.stage("Looking for files", len(there)) as advance:
        files: list[tuple[str, Path]] = []
        for id, paths in there.items():
            if (file := file_of(id, paths, written)) is not None:
                files.append((id, file))
            advance(1)
    looked = 0
    for some in listen(files, cache_dir, workers=workers, excerpt=excerpt, progress=progress):
        in_turn(partial(write_sounds, connection, some))
        looked += len(some)
    return Listened(looked, len(there) - looked)
