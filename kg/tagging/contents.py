"""Files whose tags kg has written: other bytes, and the same songs as before.

A song's id is the hash of the bytes that it came in as. `Song.contents` lists the hashes of its
files as kg has written them since, and `Song.tagGenres` the genres that their tags named before. A
file of such a content is that song, wherever it is met, and what kg wrote into it is never read
back as its owner's word.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.transactions import fetch, read_rows, run
from kg.records import SongRecord
from kg.sources.folder import Scan

TAKEN: Final = "would be, byte by byte, the file of another song of the library"


@dataclass(frozen=True, slots=True)
class Written:
    """Whose file it is that kg wrote.

    Attributes:
        song: Id of the song.
        genres: What its tags named before.
    """

    song: str
    genres: tuple[str, ...]


def known_contents(connection: Connection) -> dict[str, Written]:
    """Songs by the contents that kg has written, their own ids left out."""
    return {
        content: Written(row["id"], tuple(row["genres"] or ()))
        for row in read_rows(connection, queries.WRITTEN_CONTENTS)
        for content in row["contents"]
        if content != row["id"]
    }


def as_known(found: Scan, known: Mapping[str, Written]) -> Scan:
    """Take files that kg has written for the songs that they are; with others' copies, if any."""
    if not any(record.id in known for record in found.records):
        return found
    songs: dict[str, list[SongRecord]] = {}
    for record in found.records:
        written = known.get(record.id)
        if written is not None:
            genres = written.genres if found.genres_from == "tag" else record.genres
            source = found.genres_from if genres else ""
            record = replace(record, id=written.song, genres=genres, genre_source=source)
        songs.setdefault(record.id, []).append(record)
    return replace(found, records=[_joined(copies) for copies in songs.values()])


def _joined(copies: list[SongRecord]) -> SongRecord:
    """Copies of a song as one record: the first path's, with all paths and genres."""
    if len(copies) == 1:
        return copies[0]
    paths = sorted({path for each in copies for path in each.paths}, key=os.fsencode)
    first = next(each for each in copies if each.path == paths[0])
    genres = tuple(dict.fromkeys(genre for each in copies for genre in each.genres))
    source = next((each.genre_source for each in copies if each.genres), "")
    return replace(first, paths=tuple(paths), genres=genres, genre_source=source)


def note_contents(
    tx: neo4j.ManagedTransaction,
    rows: Iterable[tuple[str, str, tuple[str, ...]]],
    known: Mapping[str, Written],
) -> dict[str, str]:
    """Let the graph know of contents before files have them.

    Args:
        tx: The transaction.
        rows: Song, its file's content to come, and the genres that the tags name now.
        known: Songs by the contents that kg has written so far.

    Returns:
        Contents that no file may have, and why.
    """
    wanted = list(rows)
    contents, songs = [content for _, content, _ in wanted], [song for song, _, _ in wanted]
    taken = {row["id"]: row["id"] for row in fetch(tx, queries.SONGS_OF_IDS, {"ids": contents})}
    owners = {content: known[content].song for content in contents if content in known} | taken
    found = fetch(tx, queries.CONTENTS_OF_SONGS, {"ids": songs})
    there = {row["id"]: row["contents"] for row in found}
    refused: dict[str, str] = {}
    for song, content, genres in wanted:
        if song not in there:
            refused[content] = "its song left the library meanwhile"
        elif owners.setdefault(content, song) != song:
            refused[content] = TAKEN
        else:
            old = there[song]
            there[song] = sorted({*(old or ()), content})
            properties = {"contents": there[song]}
            if old is None:
                properties["tagGenres"] = list(genres)
            run(tx, queries.UPDATE_SONGS, rows=[{"id": song, "properties": properties}])
    return refused
