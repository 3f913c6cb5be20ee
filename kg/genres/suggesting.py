"""Genres proposed by the tags that a network hears, for songs whose owner says none.

Nothing is learned from an owner's labels, and no label is written: a suggestion is a relationship
of its own, `SUGGESTED_GENRE`, which nothing learns from either.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from kg.errors import NotReadyError
from kg.genres.names import by_key, genre_key
from kg.graph import queries
from kg.graph.driver import neo4j
from kg.graph.store import GraphStore
from kg.graph.transactions import batches, fetch, read_rows, run
from kg.progress import SILENT, Progress

GENRES: Final[Mapping[str, str]] = {
    **{
        tag: tag
        for tag in (
            *("rock", "pop", "alternative", "indie", "electronic", "dance", "alternative rock"),
            *("jazz", "metal", "classic rock", "soul", "indie rock", "electronica", "folk", "punk"),
            *("blues", "hard rock", "ambient", "experimental", "country", "funk", "electro"),
            *("heavy metal", "indie pop", "easy listening"),
        )
    },
    "Hip-Hop": "hip hop",
    "Progressive rock": "progressive rock",
    "rnb": "R&B",
    "House": "house",
}
"""Tags that name a genre, and what it is called; the others say mood, voice, instrument, decade."""

MOST: Final = 3
"""Suggestions a song. Of the 355 GTZAN clips in eight genres that tags can name, the first is right
for 63 % (mean over genres), and one of three for 92 %. Classical music and reggae have no tag."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A genre that a song may be of; `weight` is the tag's, from 0 to 1, and no probability."""

    genre: str
    weight: float


@dataclass(frozen=True, slots=True)
class SuggestedSong:
    """A song and what was suggested, the strongest first."""

    id: str
    title: str | None
    path: str | None
    suggestions: Sequence[Suggestion]


@dataclass(frozen=True, slots=True)
class SuggestReport:
    """What suggesting came to.

    Attributes:
        songs: Songs with suggestions, in the order of their paths.
        untold: Songs whose tags name no genre.
        labelled: Songs left out, as their owner says a genre.
        sources: The networks that heard the tags.
    """

    songs: Sequence[SuggestedSong]
    untold: int
    labelled: int
    sources: Sequence[str]


def suggest(
    store: GraphStore, progress: Progress = SILENT, *, labelled_too: bool = False
) -> SuggestReport:
    """Write suggestions, in place of all earlier ones.

    Args:
        store: The graph, in which nobody else writes meanwhile.
        progress: Told how far it is.
        labelled_too: Suggest for songs whose owner says a genre as well.

    Raises:
        NotReadyError: no network that knows tags listens in this library.
    """
    from kg.embeddings.tags import tag_names

    kinds = store.feature_set()
    sources = [each.name for each in kinds.embeddings if tag_names(each)] if kinds else []
    if not sources:
        raise NotReadyError(
            "Genres are suggested by tags, and no song of this library has any: run `kg ingest "
            "FOLDER --embedding musicnn` first."
        )
    called = _called_by_owner(store)
    songs, untold, labelled = [], 0, 0
    for song in _tagged(store):
        if song.labelled and not labelled_too:
            labelled += 1
            continue
        told = _suggestions(song.tags, called)
        if told:
            songs.append(SuggestedSong(song.id, song.title, song.path, told))
        else:
            untold += 1
    songs.sort(key=lambda song: (song.path or "", song.id))
    forget_suggestions(store)
    _write(store, songs, ", ".join(sources), progress)
    return SuggestReport(songs, untold, labelled, sources)


def forget_suggestions(store: GraphStore) -> None:
    """Take all suggestions away, and genres that nothing else hangs on."""
    names = [row["name"] for row in read_rows(store.connection, queries.SUGGESTED_GENRES)]
    ids = [row["id"] for row in read_rows(store.connection, queries.SONGS_WITH_SUGGESTIONS)]
    for batch in batches(ids):
        store.connection.write(run, queries.DELETE_SUGGESTIONS, ids=batch)
    store.connection.write(run, queries.DELETE_BARE_GENRES, names=names)


@dataclass(frozen=True, slots=True)
class _Tagged:
    id: str
    title: str | None
    path: str | None
    labelled: bool
    tags: Sequence[tuple[str, float]]


def _tagged(store: GraphStore) -> Iterator[_Tagged]:
    for row in read_rows(store.connection, queries.TAGS_OF_SONGS):
        tags = [(tag, weight) for tag, weight in row["tags"]]
        yield _Tagged(row["id"], row["title"], row["path"], row["labelled"], tags)


def _suggestions(
    tags: Sequence[tuple[str, float]], called: Mapping[str, str]
) -> Sequence[Suggestion]:
    named = sorted(
        ((GENRES[tag], weight) for tag, weight in tags if tag in GENRES),
        key=lambda told: (-told[1], told[0]),
    )
    return [Suggestion(called.get(genre_key(name), name), weight) for name, weight in named[:MOST]]


def _called_by_owner(store: GraphStore) -> dict[str, str]:
    """Genres as the owner writes them, by what stays of a name: "Hip-Hop" is "hip hop"."""
    return by_key(store.genres())


def _write(
    store: GraphStore, songs: Sequence[SuggestedSong], source: str, progress: Progress
) -> None:
    now = datetime.now(UTC)

    def work(tx: neo4j.ManagedTransaction, batch: list[SuggestedSong]) -> None:
        names = sorted({told.genre for song in batch for told in song.suggestions})
        number = {name: row for row, name in enumerate(names)}
        run(tx, queries.MERGE_GENRES, names=names)
        ids = [song.id for song in batch]
        run(tx, queries.DELETE_SUGGESTIONS, ids=ids)
        rows = [
            [
                song.id,
                [[number[t.genre], t.weight, rank] for rank, t in enumerate(song.suggestions, 1)],
            ]
            for song in batch
        ]
        fetch(
            tx,
            queries.CREATE_SUGGESTIONS,
            {"rows": rows, "genres": names, "source": source, "createdAt": now},
        )

    with progress.stage("Writing suggestions", len(songs)) as advance:
        for batch in batches(songs):
            store.connection.write(work, batch)
            advance(len(batch))
