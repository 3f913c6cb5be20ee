"""What one transaction writes: a batch of songs, of their links, or of their predictions.

Every function leaves the same graph when it is repeated. Values travel as lists, whose elements
the Cypher texts call by number: servers decode them in two thirds of the time of maps.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from kg.audio.sound import MEASURES, Sound
from kg.credits import Credit, album_of, artist_of
from kg.errors import RebuiltError
from kg.genres.names import genre_key
from kg.graph import queries
from kg.graph.driver import neo4j
from kg.graph.rows import Floats, Guess, Links, Told, Verdict
from kg.graph.transactions import fetch, pack, run
from kg.graph.tree import called
from kg.records import NewSong, SongRecord
from kg.schema import ALBUM_NODE, ARTIST_NODE, vector_property
from kg.text import indexable, storable, unstored


def write_songs(
    tx: neo4j.ManagedTransaction,
    songs: Sequence[NewSong],
    *,
    kept: Sequence[str] = (),
    taken: Collection[str] | None = None,
    added_to: str | None = None,
) -> None:
    """Add songs, or bring them up to date, with the genres that their source gives.

    Args:
        tx: The transaction.
        songs: The songs.
        kept: Sources whose genres a song keeps, whatever these songs say.
        taken: Paths of all songs of this ingest, whose copies elsewhere are kept; None: a song
            lies where it says, and nowhere else.
        added_to: The finished build that new songs are hung into; None: the next build is to make
            all anew.
    """
    spelled = called(tx, [name for song in songs for name in _genres(song)])
    names = sorted(set(spelled.values()))
    if names:
        run(tx, queries.MERGE_GENRES, names=names)
    ids = [song.record.id for song in songs]
    there = {row["id"]: row for row in fetch(tx, queries.SONGS_THERE, {"ids": ids})}
    new = [song for song in songs if song.record.id not in there]
    _create_songs(tx, new, spelled, added_to)
    old = [song for song in songs if song.record.id in there]
    rows = [{"id": song.record.id, "properties": song_properties(song)} for song in old]
    if taken is not None:
        _keep_other_paths(rows, there, taken)
    if rows:
        run(tx, queries.UPDATE_SONGS, rows=rows)
    genres: list[dict[str, Any]] = [
        {"id": song.record.id, "genres": names, "source": song.record.genre_source}
        for song in old
        if (names := _called(song, spelled))
    ]
    if bare := [row for row in genres if not there[row["id"]]["labelled"]]:
        run(tx, queries.CREATE_IN_GENRE, rows=bare)
    labelled = [row for row in genres if there[row["id"]]["labelled"]]
    for source in sorted({row["source"] for row in labelled}):
        own = [row for row in labelled if row["source"] == source]
        others = [each for each in kept if each != source]
        run(tx, queries.DELETE_OTHER_GENRES, rows=own, kept=others)
        run(tx, queries.MERGE_IN_GENRE, rows=own, kept=others)
    for kind in CREDITED:
        credits = [(song.record.id, kind.of(song.record)) for song in songs]
        write_credits(tx, kind, credits, {id: row[kind.column] for id, row in there.items()})
    # What a network hears in the same bytes is the same: who has tags needs no others.
    untagged = [song for song in songs if not there.get(song.record.id, {}).get("tagged")]
    create_tags(tx, [(song.record.id, song.tags) for song in untagged])


@dataclass(frozen=True, slots=True)
class Credited:
    """What a song's tags name that becomes a node: its artist, or its album.

    Attributes:
        node: What the node is called in `HeteroData`.
        type: Of the relationship.
        label: Of the node.
        column: Where queries say which ones a song is linked to.
        of: Which one a song names; None: none.
    """

    node: str
    type: str
    label: str
    column: str
    of: Callable[[SongRecord], Credit | None]


CREDITED: Final = (
    Credited(ARTIST_NODE, "BY", "Artist", "by_artist", artist_of),
    Credited(ALBUM_NODE, "ON", "Album", "on_album", album_of),
)


def write_credits(
    tx: neo4j.ManagedTransaction,
    kind: Credited,
    songs: Sequence[tuple[str, Credit | None]],
    there: Mapping[str, Sequence[str]],
) -> None:
    """Link songs to the artist, or the album, that their tags name, and to no other.

    Args:
        tx: The transaction.
        kind: Which of these.
        songs: Their ids, and whom each names.
        there: Keys that songs are linked to; songs that are new needn't be in it.

    Raises:
        RebuiltError: a song is gone.
    """
    changed = [
        (id, credit)
        for id, credit in songs
        if list(there.get(id, ())) != ([credit.key] if credit else [])
    ]
    if any(id in there for id, _ in changed):  # of new songs no model has said anything
        run(tx, queries.COUNT_CHANGE[kind.node])
    if left := sorted({key for id, _ in changed for key in there.get(id, ())}):
        run(
            tx, queries.DELETE_CREDITS_OF[kind.type], ids=[id for id, _ in changed if there.get(id)]
        )
    named = [(id, credit) for id, credit in changed if credit]
    spelled: dict[str, Counter[Credit]] = defaultdict(Counter)
    for _, credit in named:
        spelled[credit.key][credit] += 1
    # As most of these songs spell it; of equals the first in the alphabet.
    rows = [
        asdict(min(spellings, key=lambda each: (-spellings[each], each.name, each.artist or "")))
        for _, spellings in sorted(spelled.items())
    ]
    if rows:
        run(tx, queries.MERGE_CREDITS[kind.label], rows=rows)
    keys = _Numbers()
    links = [[id, keys[credit.key]] for id, credit in named]
    _create(tx, queries.CREATE_CREDITS[kind.type], len(links), rows=links, keys=list(keys))
    if left:
        run(tx, queries.DELETE_BARE[kind.label], keys=left)


def create_tags(
    tx: neo4j.ManagedTransaction, heard: Sequence[tuple[str, Sequence[tuple[str, float]]]]
) -> None:
    """Give songs that have none the tags that a network heard in them.

    Args:
        tx: The transaction.
        heard: Songs' ids, and (tag, weight) of each.

    Raises:
        RebuiltError: a song or a tag is gone.
    """
    tags = _Numbers()
    rows = [[id, [[tags[name], weight] for name, weight in own]] for id, own in heard if own]
    expected = sum(len(own) for _, own in heard)
    _create(tx, queries.CREATE_HAS_TAG, expected, rows=rows, tags=list(tags))


def write_vectors(
    tx: neo4j.ManagedTransaction, family: str, vectors: Sequence[tuple[str, Floats | None]]
) -> None:
    """Give songs their vectors of an embedding, or take them away (None)."""
    name = vector_property(family)
    rows = [
        {"id": id, "properties": {name: None if vector is None else pack(vector)}}
        for id, vector in vectors
    ]
    run(tx, queries.UPDATE_SONGS, rows=rows)


def _create_songs(
    tx: neo4j.ManagedTransaction,
    songs: Sequence[NewSong],
    spelled: Mapping[str, str],
    added_to: str | None,
) -> None:
    genres = sorted(set(spelled.values()))
    number = {name: i for i, name in enumerate(genres)}
    rows = []
    for song in songs:
        labels = [number[name] for name in _called(song, spelled)]
        properties = song_properties(song) | {"addedTo": added_to}
        rows.append([song.record.id, properties, labels, song.record.genre_source])
    if rows:
        run(tx, queries.CREATE_SONGS, rows=rows, genres=genres)


def _called(song: NewSong, spelled: Mapping[str, str]) -> list[str]:
    """Its genres as the graph spells them, each once."""
    return list(dict.fromkeys(spelled[name] for name in _genres(song)))


def _genres(song: NewSong) -> list[str]:
    """Its genres, each once; none where its source doesn't say whose word they are."""
    record = song.record
    names = record.genres if record.genre_source else ()
    return list(dict.fromkeys(str(indexable(name)) for name in names))


def _keep_other_paths(
    rows: list[dict[str, Any]], there: Mapping[str, Mapping[str, Any]], taken: Collection[str]
) -> None:
    """Copies that an earlier ingest saw elsewhere stay in a song's paths, as long as they exist."""
    for row in rows:
        said, seen = row["properties"], there[row["id"]]
        others = {seen["path"], *(seen["paths"] or ())} - {None, *taken}
        paths = sorted({*(said["paths"] or ()), *filter(_is_there, others)})
        said["path"], said["paths"] = (paths[0], paths) if paths else (None, None)


def _is_there(path: str) -> bool:
    return Path(path).is_file() or Path(unstored(path)).is_file()


def write_links(tx: neo4j.ManagedTransaction, songs: Sequence[Links]) -> None:
    """Replace how songs hang in the graph: sides of the split, clusters, similar songs.

    Raises:
        RebuiltError: a song or a cluster is gone.
    """
    # In the order of the index: keys that are neighbours in it are found at less cost.
    songs = sorted(songs, key=lambda song: song.id)
    rows = [[song.id, song.split, song.recording] for song in songs]
    if linked := [row["id"] for row in fetch(tx, queries.SET_SPLITS, {"rows": rows})]:
        run(tx, queries.DELETE_LINKS, ids=linked)
    clusters = _Numbers()
    hanging = [
        [song.id, [[clusters[id], family, weight] for id, family, weight in song.clusters]]
        for song in songs
    ]
    _create(
        tx,
        queries.CREATE_HAS_FEATURE,
        sum(len(song.clusters) for song in songs),
        rows=hanging,
        clusters=list(clusters),
    )
    near = [(song.id, other, weight) for song in songs for other, weight in song.similar]
    ends = sorted({id for head, tail, _ in near for id in (head, tail)})
    at = {id: number for number, id in enumerate(ends)}
    links = [[at[head], at[tail], weight] for head, tail, weight in near]
    _create(tx, queries.CREATE_SIMILAR_TO, len(links), links=links, songs=ends)


def write_predictions(
    tx: neo4j.ManagedTransaction,
    model: str,
    created_at: datetime,
    guesses: Sequence[tuple[str, Sequence[Guess]]],
    verdicts: Mapping[str, Verdict] | None = None,
) -> None:
    """Replace the predictions of songs, and what these come to.

    Args:
        tx: The transaction.
        model: Whose they are.
        created_at: When that was trained.
        guesses: Songs' ids, and the first genres of each.
        verdicts: What they come to, by song; who has none is called by the first genre.

    Raises:
        RebuiltError: a song is gone.
    """
    run(tx, queries.LOCK_PREDICTIONS)
    # A genre that the model knows may have left the graph with its last song.
    names = sorted({guess.genre for _, ranked in guesses for guess in ranked})
    run(tx, queries.MERGE_GENRES, names=names)
    ids = [song for song, _ in guesses]
    predicted = {row["id"] for row in fetch(tx, queries.SONGS_WITH_PREDICTIONS, {"ids": ids})}
    genres = _Numbers()
    new = [
        [song, [[genres[g.genre], g.probability, g.score, g.rank] for g in ranked]]
        for song, ranked in guesses
        if song not in predicted
    ]
    _create(
        tx,
        queries.CREATE_PREDICTIONS,
        sum(len(ranked) for _, ranked in new),
        rows=new,
        genres=list(genres),
        model=model,
        createdAt=created_at,
    )
    old = [
        {
            "id": song,
            "names": [guess.genre for guess in ranked],
            "genres": [
                {
                    "name": guess.genre,
                    "probability": guess.probability,
                    "score": guess.score,
                    "rank": guess.rank,
                }
                for guess in ranked
            ],
        }
        for song, ranked in guesses
        if song in predicted
    ]
    if old:
        run(tx, queries.DELETE_OTHER_PREDICTIONS, rows=old)
        run(tx, queries.MERGE_PREDICTIONS, rows=old, model=model, createdAt=created_at)
    told = verdicts or {}
    said = [
        [song, each.predicted, each.doubt, each.novelty]
        for song, ranked in guesses
        if ranked
        for each in [told.get(song) or Verdict(ranked[0].genre)]
    ]
    run(tx, queries.SET_VERDICTS, rows=said)


def delete_predictions(tx: neo4j.ManagedTransaction, ids: Sequence[str], model: str) -> None:
    """Delete what a model says of songs."""
    run(tx, queries.DELETE_VERDICTS, ids=ids, model=model)
    run(tx, queries.DELETE_PREDICTIONS, ids=ids, model=model)


class _Numbers(dict[str, int]):
    """Numbers keys in the order in which they are first asked for."""

    def __missing__(self, key: str) -> int:
        self[key] = number = len(self)
        return number


def _create(tx: neo4j.ManagedTransaction, text: str, expected: int, /, **parameters: Any) -> None:
    """Create so many relationships, or none.

    Raises:
        RebuiltError: a node at one of their ends is gone.
    """
    if expected and fetch(tx, text, parameters)[0]["n"] != expected:
        raise RebuiltError


def song_properties(song: NewSong) -> dict[str, Any]:
    """What a song's node carries; None takes away what an earlier tag said."""
    record = song.record
    paths = paths_of(record)
    return {
        "path": paths[0] if paths else None,
        "paths": paths or None,
        "title": indexable(record.title),
        "artist": indexable(record.artist),
        "albumArtist": indexable(record.album_artist),
        "album": indexable(record.album),
        "year": record.year,
        "duration": None if song.duration is None else float(song.duration),
        "sampleRate": None if song.sample_rate is None else int(song.sample_rate),
        "tempo": song.tempo,
        "splitGiven": record.split,
        "source": indexable(record.source) or None,
        "sourceKey": indexable(record.key) or None,
        "features": pack(song.features),
        **{vector_property(family): pack(own) for family, own in song.vectors.items()},
        **({} if song.sound is None else sound_properties(song.sound)),
    }


def sound_properties(row: Floats) -> dict[str, Any]:
    """What a song's node carries of its sound; see `kg.audio.sound.Sound`.

    Args:
        row: As the cache keeps it.
    """
    sound = Sound.of_row(row)
    if sound is None:
        return {}
    return {
        **{name: getattr(sound, name) for name in MEASURES},
        "soundPrint": sound.print.tobytes(),
    }


def as_told(
    song: NewSong, properties: Mapping[str, Any], genres: Collection[Sequence[str]]
) -> Told:
    """How much of what its source says of a song is in the graph.

    Args:
        song: As its source has it now.
        properties: Of its node.
        genres: Name and source of each genre there.
    """
    said = song_properties(song)
    if properties.get("features") != said["features"]:
        return "other"
    labels = {(genre_key(name), song.record.genre_source) for name in _genres(song)}
    there = {(genre_key(name), source) for name, source in genres}
    by_hand = any(source == "user" for _, source in there)
    same = all(properties.get(name) == value for name, value in said.items())
    return "all" if same and (not labels or by_hand or labels == there) else "features"


def paths_of(record: SongRecord) -> list[str]:
    """Where a song lies, as a database takes it, sorted."""
    paths = record.paths or ((record.path,) if record.path else ())
    return sorted({str(storable(os.fspath(path))) for path in paths})
