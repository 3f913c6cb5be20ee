"""Looking at the sound of songs that an older kg listened to."""

from dataclasses import dataclass
from pathlib import Path

from kg.audio.extract import listen
from kg.graph.connection import Connection
from kg.graph.sounds import unheard_songs, write_sounds
from kg.intake import file_of
from kg.progress import SILENT, Progress


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
) -> Listened:
    """Look at the sound of all songs that nobody has looked at, and keep it on them.

    What the cache knows isn't listened to again, so that a run that was cut off goes on. Files are
    read and never changed; features stay as they are.

    Args:
        connection: The database; nobody else writes to it meanwhile.
        cache_dir: Holds the cache.
        excerpt: Seconds listened to from the middle of each song; None: all of it.
        workers: Processes (None: one a core).
        progress: Told of every song that is done.

    Raises:
        KgError: the cache can't be written to, or processes can't be started.
    """
    there = unheard_songs(connection)
    with progress.stage("Looking for files", len(there)) as advance:
        files: list[tuple[str, Path]] = []
        for id, paths in there.items():
            if (file := file_of(id, paths)) is not None:
                files.append((id, file))
            advance(1)
    looked = 0
    for some in listen(files, cache_dir, workers=workers, excerpt=excerpt, progress=progress):
        write_sounds(connection, some)
        looked += len(some)
    return Listened(looked, len(there) - looked)
