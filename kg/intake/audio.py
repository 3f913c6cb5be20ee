"""Files on their way into the graph: heard, and for `kg add` attached to what is there."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from kg.audio.extract import extract
from kg.audio.features import columns
from kg.build import links, near_songs
from kg.clusters import lacking
from kg.credits import album_of, artist_of
from kg.embeddings.ears import Ears
from kg.embeddings.embed import embed
from kg.embeddings.tags import strongest
from kg.errors import AudioError, NotReadyError
from kg.excerpt import Excerpt
from kg.files import CHANGED, content_id
from kg.graph.rows import Counts, Floats, Guess, Verdict
from kg.graph.store import GraphStore
from kg.graph.tree import TreeReport
from kg.intake.playlists import PlaylistsReport
from kg.intake.rejects import Reason
from kg.learning.doubt import Answer
from kg.learning.guessing import NewSongs
from kg.learning.saved_models import latest_model, none_in_use
from kg.progress import SILENT, Progress
from kg.records import FeatureSet, NewSong, Rejected, SongRecord
from kg.schema import ALBUM_NODE, ARTIST_NODE, TAG_NODE
from kg.settings import Settings
from kg.tagging.contents import Written, known_contents
from kg.text import unstored


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest came to.

    Attributes:
        taken: Songs that are now in the graph from these folders.
        cached: How many of them had been heard before, so that nothing was extracted.
        genres_from: Where genres were read: `folder`, `tag`, `table` (what a data set says of its
            audio) or `none`.
        excerpt: How much of each song was listened to: seconds from its middle, or `full`.
        rejected: Files that did not become songs, and why.
        rejected_by_reason: The same summed up, the commonest reason first.
        rejects_file: The same on disk, with those of other folders; None without any.
        unlisted: Why that list could not be brought up to date; None where it was.
        pruned: Songs that were removed, as their files are gone.
        rebuilt: Whether clusters and similar songs had to be made anew.
        counts: What is in the graph now; None where no file could be taken.
        few: Genres with a single song: they can be learned from but not measured.
        embeddings: What songs are heard with beside our own features: `musicnn`, `hf:NAME`; and
            `file:FAMILY`, whose vectors came from elsewhere.
        unheard: Songs that an embedding couldn't hear, as their files are gone.
        playlists: What taking in the playlists in these folders came to; None: nobody asked.
        remarks: What a data set has to say of its audio.
        tree: What the owner's genre tree came to; None: none came along.
        faults: Songs that a data set is known to have wrong, and what of each.
    """

    taken: int
    cached: int
    genres_from: str
    excerpt: Excerpt
    rejected: Sequence[Rejected]
    rejected_by_reason: Sequence[Reason]
    rejects_file: Path | None
    unlisted: str | None = None
    pruned: int = 0
    rebuilt: bool = False
    counts: Counts | None = None
    few: Sequence[str] = ()
    embeddings: Sequence[str] = ()
    unheard: int = 0
    playlists: PlaylistsReport | None = None
    remarks: Sequence[str] = ()
    tree: TreeReport | None = None
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AddedSong:
    """A song that came in by `add`.

    Attributes:
        id: Its key in the graph.
        path: The file.
        title: From its tags, else the file's name.
        guesses: Its first genres; empty where there is no model yet.
        verdict: What they come to: a genre, or `unknown` and why; None where there is no model.
    """

    id: str
    path: Path | None
    title: str
    guesses: Sequence[Guess]
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class AddReport:
    """What an add came to.

    Attributes:
        added: The new songs.
        rejected: Files that did not become songs, and why; songs that were there are among them.
        rejected_by_reason: The same summed up, the commonest reason first.
        without_model: Why songs got no genres; None where they did.
        rejects_file: The list on disk of files that can't be taken in; None without any.
        unlisted: Why that list could not be brought up to date; None where it was.
        calibrated: Whether the probabilities are; those of older models aren't.
    """

    added: Sequence[AddedSong]
    rejected: Sequence[Rejected]
    rejected_by_reason: Sequence[Reason]
    without_model: str | None
    rejects_file: Path | None
    unlisted: str | None = None
    calibrated: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """Songs with their features, and files that have none.

    Attributes:
        songs: In the order of their records.
        rejected: Files that can't be heard, and why.
        cached: Songs whose features were known.
    """

    songs: Sequence[NewSong]
    rejected: Sequence[Rejected]
    cached: int


def hear(
    records: Sequence[SongRecord],
    ears: Ears,
    cache_dir: Path,
    *,
    workers: int | None = None,
    dask: str | None = None,
    progress: Progress = SILENT,
) -> Heard:
    """Extract the features of songs, and hear them with networks, or take both from the cache.

    Args:
        records: The songs.
        ears: What they are heard with.
        cache_dir: Holds the caches.
        workers: Processes (None: one a core).
        dask: Address of a Dask scheduler whose workers read the files instead.
        progress: Told of every song that is done.

    Raises:
        KgError: see `kg.audio.extract.extract` and `kg.embeddings.embed.embed`.
    """
    by_id = {record.id: record for record in records}
    modified = {r.id: r.modified for r in records if r.modified is not None}
    heard = extract(
        [(record.id, record.path) for record in records if record.path is not None],
        cache_dir,
        modified=modified,
        workers=workers,
        excerpt=ears.kinds.excerpt,
        dask=dask,
        progress=progress,
    )
    rejected = list(heard.rejected)
    vectors: dict[str, dict[str, Floats]] = {id: {} for id in heard.ids}
    tags: dict[str, Sequence[tuple[str, float]]] = {}
    for embedding, opened in ears.networks:
        told = embed(
            [(id, path) for id in heard.ids if (path := by_id[id].path) is not None],
            embedding,
            opened,
            cache_dir,
            modified=modified,
            workers=workers,
            excerpt=ears.kinds.excerpt,
            dask=dask,
            progress=progress,
        )
        rejected += told.rejected
        for id, vector in zip(told.ids, told.vectors, strict=True):
            vectors[id][embedding.family] = vector
            tags[id] = [*tags.get(id, ()), *strongest(embedding, vector)]
    beats = 2.0 ** heard.features[:, columns().index("tempo_log2")]
    songs = [
        NewSong(
            by_id[id],
            heard.features[row],
            heard.duration[row],
            heard.sample_rate[row],
            float(beats[row]),
            vectors[id],
            tags.get(id, ()),
            None if np.isnan(heard.sound[row, 0]) else heard.sound[row],
        )
        for row, id in enumerate(heard.ids)
        if len(vectors[id]) == len(ears.networks)
    ]
    copies = {record.path: record.paths for record in records}
    listed = [
        Rejected(path, one.reason)
        for one in rejected
        for path in _alike(one, copies.get(one.path, ()))
    ]
    return Heard(songs, listed, heard.cached)


def hear_others(
    store: GraphStore,
    ears: Ears,
    cache_dir: Path,
    *,
    workers: int | None = None,
    builder: str | None = None,
    progress: Progress = SILENT,
) -> int:
    """Let networks hear the songs of the graph that they haven't heard yet.

    That takes long, and nobody else writes meanwhile: done once without a builder before, it only
    has to look into the cache.

    Args:
        store: The graph.
        ears: What they are heard with.
        cache_dir: Holds the cache.
        workers: Processes (None: one a core).
        builder: Token from `begin_build`; None: nothing is written.
        progress: Told of every song that is done.

    Returns:
        How many songs stay without, as their files are gone or have changed since.
    """
    deaf: set[str] = set()
    written = known_contents(store.connection)
    for embedding, opened in ears.networks:
        there = store.songs_without(embedding)
        files = [(id, file) for id, paths in there.items() if (file := file_of(id, paths, written))]
        told = embed(
            files,
            embedding,
            opened,
            cache_dir,
            workers=workers,
            excerpt=ears.kinds.excerpt,
            progress=progress,
        )
        if builder is not None:
            store.write_vectors(
                embedding,
                (
                    (id, vector, strongest(embedding, vector))
                    for id, vector in zip(told.ids, told.vectors, strict=True)
                ),
                builder=builder,
            )
        deaf |= there.keys() - set(told.ids)
    return len(deaf)


def file_of(id: str, paths: Sequence[str], known: Mapping[str, Written]) -> Path | None:
    """Where a song still lies as it was when it came in, but for what kg wrote into its tags."""
    for path in paths:
        file = Path(unstored(path))
        try:
            content = content_id(file)
            if content == id or (content in known and known[content].song == id):
                return file
        except (AudioError, OSError):
            continue
    return None


def _alike(rejected: Rejected, copies: Sequence[Path]) -> Sequence[Path]:
    """Name all copies of a bad file: they are as bad, unless it went or changed meanwhile."""
    there = os.path.isfile(rejected.path)  # noqa: PTH113 - never raises
    return copies if copies and there and rejected.reason != CHANGED else (rejected.path,)


def leave_out_known(
    store: GraphStore, records: Sequence[SongRecord]
) -> tuple[list[SongRecord], list[Rejected]]:
    """Part songs that are new from those that are in the graph already."""
    known = store.known([record.id for record in records])
    there = [
        Rejected(
            record.path, f"is already in the library as {known[record.id]!r}; nothing was changed"
        )
        for record in records
        if record.id in known and record.path is not None
    ]
    return [record for record in records if record.id not in known], there


def attach(
    store: GraphStore, songs: Sequence[NewSong], settings: Settings
) -> tuple[list[AddedSong], str | None, bool]:
    """Hang new songs into a finished graph, each whole or not at all, without touching others.

    Returns:
        The songs with their first genres, why there are none where there are none, and whether
        their probabilities are calibrated.
    """
    if not songs:
        return [], None, True
    space, build = store.read_space(settings.centroids_dir)
    features = joined(songs, space.kinds)
    standard = space.standardise(features)
    near, similar = near_songs(store, space, build, settings.neighbours_dir, space.metric(standard))
    ids = [song.record.id for song in songs]
    assigned = space.assign(standard, lacking(space.kinds, features))
    hanging = list(links(ids, assigned, near, similar, {}))
    guesser, without_model = _guesser(store, settings, build)
    answers: list[Answer] = []
    if guesser is not None:
        answers = guesser.guess(
            space.inputs(standard),
            [song.clusters for song in hanging],
            [song.similar for song in hanging],
            further_keys(songs),
        )
    guesses = [answer.guesses for answer in answers] or [[] for _ in songs]
    verdicts = {id: answer.verdict for id, answer in zip(ids, answers, strict=False)}
    store.add_songs(
        songs,
        hanging,
        list(zip(ids, guesses, strict=True)),
        guesser.model if guesser else None,
        datetime.now(UTC),
        build=build,
        verdicts=verdicts,
    )
    added = [
        AddedSong(
            song.record.id,
            song.record.path,
            song.record.title or song.record.id,
            ranked,
            verdicts.get(song.record.id),
        )
        for song, ranked in zip(songs, guesses, strict=True)
    ]
    return added, without_model, guesser is None or guesser.calibrated


def further_keys(songs: Sequence[NewSong]) -> dict[str, list[list[str]]]:
    """What else new songs will hang on, keys by node type."""
    credits = {ARTIST_NODE: artist_of, ALBUM_NODE: album_of}
    return {
        TAG_NODE: [[tag for tag, _ in song.tags] for song in songs],
        **{
            node: [[credit.key] if (credit := of(song.record)) else [] for song in songs]
            for node, of in credits.items()
        },
    }


def joined(songs: Sequence[NewSong], kinds: FeatureSet) -> Floats:
    """Raw features of songs with their embeddings, float32 [n, d]; NaN where they lack one."""
    x = np.full((len(songs), len(kinds.columns)), np.nan, dtype=np.float32)
    for row, song in enumerate(songs):
        x[row, : len(song.features)] = song.features
        for family, vector in song.vectors.items():
            x[row, kinds.families[family]] = vector
    return x


def _guesser(
    store: GraphStore, settings: Settings, build: str
) -> tuple[NewSongs | None, str | None]:
    model = latest_model(store)
    if model is None:
        return None, (
            none_in_use(store)
            or "There is no model yet: run `kg train`, and these songs get genres too."
        )
    try:
        return NewSongs(model, settings.models_dir, build), None
    except NotReadyError as error:
        return None, str(error)
