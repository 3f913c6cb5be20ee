"""Songs like a song, as the model sees them, and what they share with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from kg.asking.wording import networks_of, shared_in_words
from kg.errors import NotReadyError
from kg.graph import queries
from kg.graph.literals import with_literals
from kg.graph.lookup import find_song
from kg.graph.store import GraphStore
from kg.graph.surroundings import Known, read_known
from kg.graph.transactions import read_rows
from kg.learning.kept import seen_by_model
from kg.splits import artist_key

MOST: Final = 10
"""Songs that are shown, unless it is said otherwise."""

_SPARE: Final = 20  # looked at beside those: some may have been removed since


@dataclass(frozen=True, slots=True)
class SimilarSong:
    """A song like another, and what the two share.

    Attributes:
        id: Its key.
        title: Its title, else its file's name, else its id.
        artist: None where unknown.
        similarity: Cosine, -1 to 1, of what `SimilarSongs.by` says.
        words: What they share, for people; empty where that is nothing.
        genres: Of the owner, both have them.
        clusters: Ids of clusters that both are in.
        tags: What a network hears in both.
        same_artist: Whether both are by one artist.
        linked: Whether they are linked by SIMILAR_TO, in either direction.
    """

    id: str
    title: str
    artist: str | None
    similarity: float
    words: str
    genres: Sequence[str]
    clusters: Sequence[str]
    tags: Sequence[str]
    same_artist: bool
    linked: bool


@dataclass(frozen=True, slots=True)
class SimilarSongs:
    """Songs like a song.

    Attributes:
        id: The song.
        title: Its title, else its file's name, else its id.
        artist: None where unknown.
        by: `embedding`: as the model sees them; `features`: by SIMILAR_TO, as there is no model.
        why_not_embedding: In a sentence, where it is by features; else None.
        songs: The most similar first.
        cypher: Shows the same songs and what they share.
    """

    id: str
    title: str
    artist: str | None
    by: Literal["embedding", "features"]
    why_not_embedding: str | None
    songs: Sequence[SimilarSong]
    cypher: str


def similar(
    store: GraphStore,
    models_dir: Path,
    text: str,
    n: int = MOST,
    *,
    shown: Callable[[Sequence[str]], Sequence[str]] = lambda genres: genres,
) -> SimilarSongs:
    """The n songs that are most like a song.

    They are compared by the cosine of their embeddings, the outputs of the encoder's last layer,
    in one product with what the checkpoint keeps. A song that came later is embedded from its
    neighbours, and is not among the answers. Where no model can be used, by SIMILAR_TO.

    Args:
        store: The graph.
        models_dir: Folder of the checkpoints.
        text: The song's title, path or id.
        n: Songs wanted, at least 1.
        shown: What is shown of genres.

    Raises:
        KgError: no song is called so, or several are.
    """
    id = find_song(store.connection, text)
    why_not = None
    try:
        found = _by_embedding(store, models_dir, id, n)
    except NotReadyError as error:
        why_not = str(error)
        rows = read_rows(store.connection, queries.LINKED_SONGS, id=id)
        found = [(row["id"], row["similarity"]) for row in rows]
    known = read_known(store.connection, [id, *(other for other, _ in found)])
    own = known.get(id) or Known(id, None, (), told=False)
    found = [(other, cosine) for other, cosine in found if other in known][:n]
    return SimilarSongs(
        id=id,
        title=own.name,
        artist=own.artist,
        by="features" if why_not else "embedding",
        why_not_embedding=why_not,
        songs=_with_shared(store, id, found, known, shown),
        cypher=with_literals(queries.SHARED, song=id, ids=[other for other, _ in found]),
    )


def _by_embedding(store: GraphStore, models_dir: Path, id: str, n: int) -> list[tuple[str, float]]:
    """The n nearest songs that are still there, with their cosine."""
    kept, song, x, _ = seen_by_model(store, models_dir, id)
    embedding = kept.embedding(song, x)
    looked_at = n + _SPARE
    while True:
        nearest = kept.nearest(embedding, looked_at)
        there = store.known([other for other, _ in nearest])
        found = [(other, cosine) for other, cosine in nearest if other != id and other in there]
        if len(found) >= n or looked_at >= len(kept.songs):
            return found
        looked_at *= 4


def _with_shared(
    store: GraphStore,
    id: str,
    found: Sequence[tuple[str, float]],
    known: Mapping[str, Known],
    shown: Callable[[Sequence[str]], Sequence[str]],
) -> list[SimilarSong]:
    """What songs share with the song `id`."""
    kinds = store.feature_set()
    networks = networks_of(kinds) if kinds else {}
    ids = [other for other, _ in found]
    shared = {
        row["id"]: row for row in read_rows(store.connection, queries.SHARED, song=id, ids=ids)
    }
    own = artist_key(known[id].artist) if id in known else None
    songs = []
    for other, cosine in found:
        song, row = known[other], shared[other]
        genres, clusters, tags = (sorted(row[name]) for name in ("genres", "clusters", "tags"))
        genres = [*shown(genres)]
        same_artist = own is not None and artist_key(song.artist) == own
        families = [cluster.rpartition(":")[0] for cluster in clusters]
        words = shared_in_words(genres, families, tags, networks, same_artist=same_artist)
        songs.append(
            SimilarSong(
                id=other,
                title=song.name,
                artist=song.artist,
                similarity=cosine,
                words=words,
                genres=genres,
                clusters=clusters,
                tags=tags,
                same_artist=same_artist,
                linked=row["linked"],
            )
        )
    return songs
