"""The graph read back as arrays: one pass over the songs, one over what they hang on.

A row costs the driver more than the values in it, so that few passes with many values a row are
the fastest form; and rows are taken in one by one, so that a million of them need no more memory
than what is made of them.
"""

import os
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kg.errors import GraphError
from kg.genres.names import by_key
from kg.genres.titles import called_after
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.rows import Edges, Linked, SongTable
from kg.graph.transactions import read_rows
from kg.records import Embedding
from kg.schema import FURTHER, vector_property
from kg.splits import SplitSong


class _Taker(Protocol):
    """What rows are given to, value by value."""

    def take(self, *values: Any) -> None: ...


T = TypeVar("T", bound=_Taker)


def _pass(
    connection: Connection, text: str, make: Callable[..., T], *given: object, **parameters: Any
) -> T:
    """Give all rows of a statement to a taker, which is made anew where the server is asked anew.

    Raises:
        GraphError: the server refuses it or doesn't answer.
    """

    def work(tx: neo4j.ManagedTransaction) -> T:
        taker = make(*given)
        for row in tx.run(text, parameters):
            taker.take(*row.values())
        return taker

    return connection.read(work)


def read_keys(connection: Connection) -> list[SplitSong]:
    """What a split needs to know of every song, sorted by id."""
    return sorted(_pass(connection, queries.SONG_KEYS, _Keys).songs, key=lambda song: song.id)


def read_ids(connection: Connection, text: str) -> list[str]:
    """The ids that a statement returns, in whatever order they come."""
    return _pass(connection, text, _Ids).ids


def read_table(
    connection: Connection,
    embeddings: Sequence[Embedding] = (),
    *,
    text: str = queries.SONG_TABLE,
    **parameters: Any,
) -> SongTable:
    """Every song with its features, sorted by id; NaN where it lacks an embedding.

    Args:
        connection: To the graph.
        embeddings: Whose columns come after the others.
        text: Another statement with the columns of SONG_TABLE, for some of the songs.
        **parameters: Of that statement.

    Raises:
        GraphError: songs carry features of different lengths, or none.
    """
    found = _pass(
        connection,
        text,
        _Table,
        [len(each.columns) for each in embeddings],
        vectors=[vector_property(each.family) for each in embeddings],
        **parameters,
    )
    if len(found.sizes) > 1 or 0 in found.sizes:
        raise GraphError(
            "Songs in the graph carry features of different kinds "
            f"({', '.join(str(size // 4) for size in sorted(found.sizes))} values): a run of "
            "another version of kg wrote some of them; ingest everything again into an empty "
            "database."
        )
    order = sorted(range(len(found.ids)), key=found.ids.__getitem__)
    width = len(found.features) // 4 // max(len(order), 1)
    features = np.frombuffer(found.features, dtype="<f4").reshape(len(order), width)
    return SongTable(
        ids=[found.ids[row] for row in order],
        features=features[order].astype(np.float32, copy=False),
        genres=[found.genres[row] for row in order],
        artists=[found.artists[row] for row in order],
        splits=[found.splits[row] for row in order],
    )


def read_links(
    connection: Connection, songs: Sequence[str], clusters: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Edges], Edges]:
    """What the songs hang on: HAS_FEATURE by family, and SIMILAR_TO.

    Args:
        connection: To the graph.
        songs: Their ids; a song that isn't among them came later, and is left out.
        clusters: Ids by family, in the order of their rows.

    Returns:
        Edges int64 [2, e] in rows of songs and of clusters, sorted.
    """
    found = _pass(connection, queries.SONG_LINKS, _Ends, songs, clusters)
    return (
        {family: _edges(*ends) for family, ends in found.hanging.items()},
        _edges(*found.similar),
    )


def read_similar(connection: Connection, songs: Sequence[str]) -> Edges:
    """Only SIMILAR_TO, as in `read_links`: int64 [2, e] in rows of songs, sorted."""
    return _edges(*_pass(connection, queries.SIMILAR_SONGS, _Ends, songs, {}).similar)


def read_further(
    connection: Connection, songs: Sequence[str], known: Mapping[str, Sequence[str]]
) -> dict[str, Linked]:
    """What songs hang on beside clusters and genres, by node type; types without a node left out.

    Args:
        connection: To the graph.
        songs: Ids; a song that isn't among them came later, and is left out.
        known: Keys of all nodes, sorted, of the types of which more count than songs hang on.
    """
    found = _pass(connection, queries.SONG_FURTHER, _Further, songs)
    linked = {}
    for node, (heads, numbers) in found.ends.items():
        met = found.numbers[node]
        if keys := known.get(node, sorted(met)):
            row = {key: row for row, key in enumerate(keys)}
            # Until here nodes had numbers in the order in which they were met.
            rows = np.fromiter((row[key] for key in met), np.int64, len(met))
            tails = array("q", rows[np.frombuffer(numbers, np.int64)].tobytes())
            linked[node] = Linked(keys, _edges(heads, tails))
    return linked


def read_labels(connection: Connection) -> list[str]:
    """Ids of the playlists that are called after a genre: labels in disguise, which must not reach
    a model beside those that it is to predict.
    """
    genres = by_key(row["name"] for row in read_rows(connection, queries.OWN_GENRES))
    return [
        row["id"]
        for row in read_rows(connection, queries.PLAYLIST_NAMES)
        if called_after(row["name"] or "", genres) is not None
    ]


class _Keys:
    """Takes rows of SONG_KEYS."""

    def __init__(self) -> None:
        self.songs: list[SplitSong] = []

    def take(
        self,
        id: str,
        artist: str | None,
        split: str | None,
        genres: list[str],
        given: str | None,
        recording: str | None,
        title: str | None,
        path: str | None,
    ) -> None:
        file = path and os.path.basename(path)  # noqa: PTH119 - a million
        own = tuple(sorted(genres))
        self.songs.append(SplitSong(id, own, artist, split, given, recording, title, file))


class _Ids:
    """Takes rows of one id."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def take(self, id: str) -> None:
        self.ids.append(id)


class _Table:
    """Takes rows of SONG_TABLE, in whatever order they come."""

    def __init__(self, widths: Sequence[int]) -> None:
        self._lacking = [np.full(width, np.nan, dtype="<f4").tobytes() for width in widths]
        self.ids: list[str] = []
        self.artists: list[str | None] = []
        self.splits: list[str | None] = []
        self.genres: list[tuple[str, ...]] = []
        self.features = bytearray()
        self.sizes: set[int] = set()

    def take(
        self,
        id: str,
        artist: str | None,
        split: str | None,
        genres: list[str],
        features: bytes | None,
        vectors: list[bytes | None],
    ) -> None:
        self.ids.append(id)
        self.artists.append(artist and sys.intern(artist))
        self.splits.append(split and sys.intern(split))
        self.genres.append(tuple(sorted(map(sys.intern, genres))))
        parts = [features or b""]
        for vector, nothing in zip(vectors, self._lacking, strict=True):
            parts.append(nothing if vector is None else vector)
        joined = b"".join(parts)
        self.features += joined
        self.sizes.add(len(joined) if features else 0)


class _Ends:
    """Takes rows of SONG_LINKS or SIMILAR_SONGS, as rows of songs and clusters: 8 bytes an end."""

    def __init__(self, songs: Iterable[str], clusters: Mapping[str, Sequence[str]]) -> None:
        self.hanging = {family: (array("q"), array("q")) for family in clusters}
        self.similar = array("q"), array("q")
        self._song = {id: row for row, id in enumerate(songs)}
        every = ((family, id) for family, ids in clusters.items() for id in ids)
        self._cluster = {id: (*self.hanging[family], row) for row, (family, id) in enumerate(every)}

    def take(self, id: str, clusters: list[str], others: list[str]) -> None:
        head = self._song.get(id)
        if head is None:
            return
        for cluster in clusters:
            heads, tails, row = self._cluster[cluster]
            heads.append(head)
            tails.append(row)
        heads, tails = self.similar
        for other in others:
            tail = self._song.get(other)
            if tail is not None:
                heads.append(head)
                tails.append(tail)


class _Further:
    """Takes rows of SONG_FURTHER, as rows of songs and numbers of nodes."""

    def __init__(self, songs: Iterable[str]) -> None:
        self.ends = {node: (array("q"), array("q")) for node in FURTHER}
        self.numbers: dict[str, dict[str, int]] = {node: {} for node in FURTHER}
        self._song = {id: row for row, id in enumerate(songs)}

    def take(self, id: str, *further: list[str]) -> None:
        row = self._song.get(id)
        if row is None:  # it came later
            return
        for node, keys in zip(FURTHER, further, strict=True):
            songs, nodes = self.ends[node]
            numbers = self.numbers[node]
            for key in keys:
                songs.append(row)
                nodes.append(numbers.setdefault(key, len(numbers)))


def _edges(heads: "array[int]", tails: "array[int]") -> Edges:
    """Edges as int64 [2, e], sorted: servers hand out relationships in any order."""
    ends: NDArray[np.int64] = np.stack([np.frombuffer(each, np.int64) for each in (heads, tails)])
    return np.ascontiguousarray(ends[:, np.lexsort(ends[::-1])])
