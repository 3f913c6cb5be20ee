"""One song of the graph: found by what its owner calls it, and read with what the graph says."""

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kg.errors import GraphError, KgError
from kg.files import expanded
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.rows import Guess
from kg.graph.transactions import read_rows
from kg.text import printable, storable

_PREFIX: Final = re.compile(r"[0-9a-f]{4,32}")
_LISTED: Final = 8  # candidates that are named


@dataclass(frozen=True, slots=True)
class SongGenre:
    """A genre that the owner gives a song; `source` says where it was read."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class FoundSong:
    """A song as the graph has it.

    Attributes:
        id: Its key.
        properties: Of its node.
        genres: What the owner says.
        guesses: What the model says, by rank.
    """

    id: str
    properties: Mapping[str, Any]
    genres: Sequence[SongGenre]
    guesses: Sequence[Guess]


def find_song(connection: Connection, text: str) -> str:
    """The id of the song that is called so.

    Exact names go before others: an id, a path, what a data set or table calls it, a title, a title
    in other letter case, and the first digits of an id, four at least.

    Raises:
        KgError: there is none, or several; the message names them.
    """
    text = unicodedata.normalize("NFC", text)
    paths = [storable(text), storable(str(expanded(text).absolute()))]
    prefix = text.lower() if _PREFIX.fullmatch(text.lower()) else ""
    found = read_rows(
        connection, queries.SONGS_CALLED, text=storable(text), paths=paths, prefix=prefix
    )
    tests = (
        lambda song: song["id"] == text,
        lambda song: not {song["path"], *song["paths"]}.isdisjoint(paths),
        lambda song: song["key"] == text,
        lambda song: song["title"] == text,
        lambda song: (song["title"] or "").lower() == text.lower(),
        lambda song: prefix and song["id"].startswith(prefix),
    )
    for fits in tests:
        called = [song for song in found if fits(song)]
        if len(called) == 1:
            return str(called[0]["id"])
        if called:
            raise KgError(_several(text, called))
    raise KgError(_none(connection, text))


def read_song(connection: Connection, id: str) -> FoundSong:
    """Read a song with its genres and predictions.

    Raises:
        GraphError: it is gone.
    """
    nodes = read_rows(connection, queries.SONG, id=id)
    if not nodes:
        raise GraphError(f"Song {id} was removed from the graph meanwhile.")
    return FoundSong(
        id,
        nodes[0]["properties"],
        [SongGenre(**row) for row in read_rows(connection, queries.GENRES_OF_SONG, id=id)],
        [Guess(**row) for row in read_rows(connection, queries.PREDICTIONS_OF_SONG, id=id)],
    )


def _several(text: str, songs: Sequence[Mapping[str, Any]]) -> str:
    listed = [
        f"{song['id'][:12]} ({song['artist'] or 'artist unknown'}, {_place(song)})"
        for song in sorted(songs, key=lambda song: song["id"])[:_LISTED]
    ]
    more = len(songs) - len(listed)
    return printable(
        f"{len(songs)} songs of the library are called {text!r}: "
        f"{'; '.join(listed)}{f' and {more} more' if more else ''}. Name the one you mean by its "
        "id, or by its path."
    )


def _place(song: Mapping[str, Any]) -> str:
    """Where a song lies, or what it is a row of."""
    row = f"{song['source']} {song['key']}" if song["source"] and song["key"] else "no file"
    return str(song["path"] or row)


def _none(connection: Connection, text: str) -> str:
    like = read_rows(connection, queries.TITLES_LIKE, text=storable(text)) if text.strip() else []
    titles = ", ".join(repr(row["title"]) for row in like)
    # These never raise, whatever the text is.
    if os.path.isdir(text):  # noqa: PTH112
        file = f"{text!r} is a folder"
    elif os.path.isfile(text):  # noqa: PTH113
        file = f"The file {text!r} is not in the library under this path"
    else:
        file = f"There is no audio file {text!r}"
    return printable(
        f"{file}, and no song of the library has that title, path or id "
        "(the first four digits of an id are enough). "
        + (f"Did you mean {titles}?" if titles else "`kg query` can look for it.")
    )
