"""Songs leave the library: `kg forget` names them, `kg ingest --prune` finds their files gone."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kg.embeddings.musicnn import TAGS
from kg.errors import KgError
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.transactions import batches, read_rows
from kg.progress import SILENT, Progress
from kg.schema import FURTHER, SONG_NODE
from kg.sources.folder import Scan
from kg.text import printable, storable, unstored

# Songs a transaction. Each takes some 30 relationships with it, which the embedded server looks for
# among all of a cluster's; and no transaction may last as long as it takes to seem dead.
BATCH: Final = 50


@dataclass(frozen=True, slots=True)
class LeavingSong:
    """A song that is to go; `key` is what its table calls it."""

    id: str
    title: str | None
    artist: str | None
    path: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes.

    Attributes:
        songs: In the order of their titles.
        relationships: What hangs on them, by type; yours are among it.
        genres: Genres that nothing else hangs on.
    """

    songs: Sequence[LeavingSong]
    relationships: Mapping[str, int]
    genres: Sequence[str]


Prune = Callable[[Removal], object]


def plan_removal(connection: Connection, ids: Iterable[str]) -> Removal:
    """Look at what would go with these songs; changes nothing.

    Args:
        connection: The database.
        ids: Keys of the songs; those that aren't there are left out.
    """
    wanted = sorted(set(ids))
    leaving = set(wanted)
    songs: list[LeavingSong] = []
    relationships: Counter[str] = Counter()
    genres: Counter[str] = Counter()
    for batch in batches(wanted, BATCH):
        songs += [
            LeavingSong(**row) for row in read_rows(connection, queries.LEAVING_SONGS, ids=batch)
        ]
        for row in read_rows(connection, queries.LEAVING_FROM, ids=batch):
            relationships[row["type"]] += row["n"]
        for row in read_rows(connection, queries.LEAVING_TO, ids=batch):
            # One between two songs that both go was counted where it begins.
            if not (row["song"] and row["other"] in leaving):
                relationships[row["type"]] += 1
        for row in read_rows(connection, queries.LEAVING_GENRES, ids=batch):
            genres[row["name"]] += row["n"]
    held = {
        row["name"]: row["n"]
        for row in read_rows(connection, queries.HELD_GENRES, names=sorted(genres))
    }
    return Removal(
        songs=sorted(songs, key=lambda song: ((song.title or "").casefold(), song.id)),
        relationships=dict(sorted(relationships.items())),
        genres=[name for name in sorted(genres) if held.get(name) == genres[name]],
    )


def remove_songs(connection: Connection, ids: Iterable[str], progress: Progress = SILENT) -> int:
    """Delete songs with all that hangs on them, and genres, artists, albums and playlists that
    nothing hangs on then.

    A song goes with all its relationships or not at all. The next build makes clusters and similar
    songs anew, as its fingerprint is one of songs.

    Returns:
        How many songs there were to delete.
    """
    wanted = sorted(set(ids))
    removed = 0
    clusters: set[str] = set()
    if not wanted:
        return removed
    with progress.stage("Removing songs", len(wanted)) as advance:
        for batch in batches(wanted, BATCH):
            rows = read_rows(connection, queries.CLUSTERS_OF_SONGS, ids=batch)
            clusters.update(row["id"] for row in rows)
            removed += connection.write(_remove, batch)
            advance(len(batch))
    # Counting takes long in a large library, and writing must not: nobody else writes meanwhile.
    sizes = read_rows(connection, queries.CLUSTER_SIZES, ids=sorted(clusters))
    connection.write(lambda tx: tx.run(queries.SET_CLUSTER_SIZES, rows=sizes).consume())
    return removed


def gone_songs(
    connection: Connection, folders: Sequence[Path], found: Scan, progress: Progress = SILENT
) -> list[str]:
    """Songs all of whose files are gone, and were below these folders.

    A song that lies elsewhere too is kept, whether that can be seen now or not, and so is one whose
    content was found under another name. So is what lies below an empty folder or a link that
    leads nowhere: a disk that isn't mounted looks like that.

    Args:
        connection: The database.
        folders: The folders that were looked at.
        found: What was found in them.
        progress: Told of songs that are kept for that reason.

    Raises:
        KgError: there is no audio at all below one of them.
    """
    _refuse_bare(folders, found)
    seen = {record.id for record in found.records}
    roots = tuple(
        f"{str(storable(os.fspath(folder))).rstrip(os.sep)}{os.sep}" for folder in folders
    )

    def read(tx: neo4j.ManagedTransaction) -> dict[str, list[str]]:
        return {
            id: paths
            for id, paths in (record.values() for record in tx.run(queries.ALL_PATHS))
            if id not in seen and paths and all(path.startswith(roots) for path in paths)
        }

    gone: list[str] = []
    kept: Counter[Path] = Counter()
    for id, paths in connection.read(read).items():
        if not all(map(is_gone, paths)):
            continue
        bare = next(filter(None, map(unmounted, paths)), None)
        if bare is None:
            gone.append(id)
        else:
            kept[bare] += 1
    for folder, songs in sorted(kept.items()):
        progress.say(
            f"Kept, though their files are gone: {songs} below {printable(folder)}, which is empty "
            "or leads nowhere, as where a disk isn't mounted. Mount it, or delete that folder."
        )
    return sorted(gone)


def _refuse_bare(folders: Sequence[Path], found: Scan) -> None:
    """A folder without any audio is more likely a disk that isn't there than an emptied one."""
    files = [path for record in found.records for path in record.paths]
    files += [one.path for one in found.rejected]
    for folder in folders:
        if folder.is_dir() and not any(folder in path.parents for path in files):
            raise KgError(
                f"There is no audio file below {printable(folder)}, as where a disk isn't mounted, "
                "so --prune removes nothing: leave that folder out, or name the songs to "
                "`kg forget`."
            )


def is_gone(path: str) -> bool:
    """Whether nothing is there; what can't be looked at may be there."""
    for spelled in {path, unstored(path)}:
        try:
            os.lstat(spelled)  # a link is there even where it leads nowhere
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            return False
        return False
    return True


def unmounted(path: str) -> Path | None:
    """The nearest folder above that is there, if it looks as where a disk isn't mounted."""
    for folder in Path(unstored(path)).parents:
        if not os.path.lexists(folder):
            continue
        try:
            with os.scandir(folder) as entries:
                return folder if next(entries, None) is None else None
        except NotADirectoryError:
            return None  # a file has taken the folder's place
        except OSError:
            return folder
    return None


def _remove(tx: neo4j.ManagedTransaction, ids: list[str]) -> int:
    def fetch(text: str, **parameters: Any) -> list[Any]:
        return [record[0] for record in tx.run(text, parameters)]

    genres = fetch(queries.NAMES_OF_LEAVING_GENRES, ids=ids)
    further = {
        FURTHER[node].label: fetch(text, ids=ids) for node, text in queries.FURTHER_OF.items()
    }
    (there,) = fetch(queries.COUNT_SONGS, ids=ids)
    tx.run(queries.DELETE_SONGS, ids=ids).consume()
    if there:
        tx.run(queries.COUNT_CHANGE[SONG_NODE]).consume()
    tx.run(queries.DELETE_BARE_GENRES, names=genres).consume()
    for label, keys in further.items():
        tx.run(queries.DELETE_BARE[label], keys=keys).consume()
    if not fetch(queries.ANY_SONG):
        # Nothing is left to describe: the next ingest begins anew, and may choose its excerpt.
        tx.run(queries.DELETE_SPACE).consume()
        tx.run(queries.DELETE_AUDIT).consume()
        tx.run(queries.DELETE_OTHER_CLUSTERS, ids=[]).consume()
        tx.run(queries.DELETE_BARE_TAGS, names=list(TAGS)).consume()
    return int(there)
