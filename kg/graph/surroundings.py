"""What one song hangs on in the graph, and what its neighbours are to people."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kg.errors import GraphError
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.rows import Floats
from kg.graph.transactions import batches, read_rows, unpack
from kg.records import FeatureSet
from kg.schema import FURTHER, vector_property


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A song and what it hangs on.

    Attributes:
        id: Its key.
        name: Its title, else its file's name, else its key.
        artist: None where unknown.
        split: The side it is on; None where it has none.
        features: Raw features with those of embeddings, float32 [d]; NaN where it lacks one.
        genres: The owner's, sorted.
        clusters: (family, cluster id), sorted.
        like: Songs that it is similar to, by their ids, sorted.
        likened: Songs that are similar to it.
        further: Keys of what else it hangs on, sorted, by node type.
    """

    id: str
    name: str
    artist: str | None
    split: str | None
    features: Floats
    genres: Sequence[str]
    clusters: Sequence[tuple[str, str]]
    like: Sequence[str]
    likened: Sequence[str]
    further: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Known:
    """A song as people know it.

    Attributes:
        name: Its title, else its file's name, else its key.
        artist: None where unknown.
        genres: The owner's; where there are none and `told` is set, the model's first.
        told: No owner said these genres, but a model.
    """

    name: str
    artist: str | None
    genres: Sequence[str]
    told: bool


@dataclass(frozen=True, slots=True)
class GenresAround:
    """Songs around a cluster, a tag, an artist and the like whose owner says a genre.

    Attributes:
        songs: How many they are, the song that is looked at left out.
        of_genre: How many of them are of a genre.
    """

    songs: int
    of_genre: Mapping[str, int]


def read_surroundings(connection: Connection, id: str, kinds: FeatureSet) -> Surroundings:
    """Read what a song hangs on; the order is that of keys on every server.

    Raises:
        GraphError: it is gone, or its features are not those that `kinds` names.
    """
    vectors = [vector_property(each.family) for each in kinds.embeddings]
    rows = read_rows(connection, queries.SURROUNDINGS, id=id, vectors=vectors)
    if not rows:
        raise GraphError(f"Song {id} was removed from the graph meanwhile.")
    (row,) = rows
    parts = [unpack(row["features"] or b"")]
    for each, vector in zip(kinds.embeddings, row["vectors"], strict=True):
        lacking = np.full(len(each.columns), np.nan, dtype=np.float32)
        parts.append(lacking if vector is None else unpack(vector))
    features = np.concatenate(parts)
    if len(features) != len(kinds.columns):
        raise GraphError(
            f"The song has {len(features)} feature values, and the graph names "
            f"{len(kinds.columns)}: ingest everything again into an empty database."
        )
    return Surroundings(
        id=id,
        name=_name(row["title"], row["path"], id),
        artist=row["artist"],
        split=row["split"],
        features=features,
        genres=sorted(row["genres"]),
        clusters=sorted((family, cluster) for family, cluster in row["clusters"]),
        like=sorted(row["like"]),
        likened=sorted(row["likened"]),
        further={node: sorted(row[f"at_{node}"]) for node in FURTHER},
    )


def predicted_by(connection: Connection, id: str) -> str | None:
    """The id of the model that a song's predictions are of; None: it has none."""
    rows = read_rows(connection, queries.MODEL_OF_SONG, id=id)
    return str(rows[0]["model"]) if rows else None


def read_known(connection: Connection, ids: Collection[str]) -> dict[str, Known]:
    """What songs are to people, by id; one that is gone is left out."""
    return {
        row["id"]: Known(
            name=_name(row["title"], row["path"], row["id"]),
            artist=row["artist"],
            genres=sorted(row["genres"] or row["told"]),
            told=not row["genres"],
        )
        for batch in batches(sorted(ids))
        for row in read_rows(connection, queries.NEIGHBOURS_KNOWN, ids=batch)
    }


def genres_around(
    connection: Connection,
    song: str,
    relationship: str,
    keys: Sequence[str],
    genres: Sequence[str],
    *,
    implied: bool,
) -> dict[str, GenresAround]:
    """How many songs of some genres are around clusters, tags, artists and the like, by keys.

    Args:
        connection: To the graph.
        song: Left out.
        relationship: HAS_FEATURE, HAS_TAG, BY, ON or CONTAINS.
        keys: Of the nodes at its other end.
        genres: Names of the genres.
        implied: Whether a song of a genre counts as one of those above it, too.
    """
    labelled = read_rows(
        connection, queries.LABELLED_AROUND[relationship], keys=list(keys), song=song
    )
    songs = {row["key"]: row["songs"] for row in labelled}
    of_genre: dict[str, dict[str, int]] = {key: dict.fromkeys(genres, 0) for key in keys}
    for row in read_rows(
        connection,
        queries.GENRES_AROUND[relationship],
        keys=list(keys),
        song=song,
        genres=list(genres),
        implied=implied,
    ):
        of_genre[row["key"]][row["genre"]] = row["songs"]
    return {key: GenresAround(songs.get(key, 0), counts) for key, counts in of_genre.items()}


def names_of(connection: Connection, node: str, keys: Sequence[str]) -> dict[str, str]:
    """What nodes of a further type (`kg.schema.FURTHER`) are called, by key."""
    rows = read_rows(connection, queries.FURTHER_NAMES[node], keys=list(keys))
    return {row["key"]: row["name"] for row in rows if row["name"]}


def _name(title: str | None, path: str | None, id: str) -> str:
    return title or (Path(path).name if path else id)
