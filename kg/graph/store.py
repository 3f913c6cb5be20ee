"""The graph in the database: typed nodes and relationships, written in batches, read as arrays.

Every write happens inside a managed transaction, in batches that leave the same graph when they
are repeated, so that a command that was cut off is mended by running it again.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from kg.clusters import FeatureSpace, no_numbers
from kg.embeddings.tags import all_tags
from kg.errors import GraphError, RebuiltError
from kg.excerpt import EXCERPT, as_seconds, of_seconds
from kg.genres.levels import GIVEN, Level, learned_genres
from kg.genres.tree import Parents, Tree
from kg.graph import kept_centroids, queries, reading, writing
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.rows import (
    Counts,
    Floats,
    GraphRows,
    Guess,
    Hanging,
    Links,
    Looks,
    ModelRow,
    SongTable,
    Told,
    Verdict,
)
from kg.graph.transactions import batches, fetch, pack, read_rows, run, unpack
from kg.graph.tree import BY_HAND, TreeReport, check_tree, read_tree, write_tree
from kg.graph.versions import prepare
from kg.progress import SILENT, Progress
from kg.records import Embedding, FeatureSet, NewSong, SongRecord
from kg.schema import FURTHER, PLAYLIST_NODE, TAG_NODE, cluster_id, vector_property
from kg.splits import SplitSong
from kg.splits.protocol import SplitRule
from kg.text import indexable

T = TypeVar("T")

BUILDING, COMPLETE = "building", "complete"
GENRE_SOURCES = (BY_HAND, "folder", "table", "tag")


class GraphStore:
    """Typed nodes and relationships of `kg.schema` behind one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def prepare(self, progress: Progress = SILENT) -> None:
        """Make the database ready, before any data; see `kg.graph.versions.prepare`."""
        prepare(self.connection, progress)

    # --- songs ---------------------------------------------------------------------------------

    def write_songs(
        self,
        songs: Sequence[NewSong],
        *,
        builder: str | None = None,
        keep_other_sources: bool = False,
        progress: Progress = SILENT,
    ) -> None:
        """Add songs, or bring what is there up to date, with the genres their owner gives.

        A song that its owner labelled by hand keeps that label; a source that says no genre
        changes none.

        Args:
            songs: The songs.
            builder: Token from `begin_build`; needed where songs are new.
            keep_other_sources: Let a label from another source (a folder, when these are tags)
                stand where a song has one.
            progress: Told how far it is.

        Raises:
            RebuiltError: somebody else began a build meanwhile.
        """
        kept = GENRE_SOURCES if keep_other_sources else (BY_HAND,)

        taken = {path for song in songs for path in writing.paths_of(song.record)}

        def work(tx: neo4j.ManagedTransaction, batch: list[NewSong]) -> None:
            if builder is not None:
                _check_builder(tx, builder)
            writing.write_songs(tx, batch, kept=kept, taken=taken)

        with progress.stage("Writing songs", len(songs)) as advance:
            for batch in batches(songs):
                self.connection.write(work, batch)
                advance(len(batch))

    def add_songs(
        self,
        songs: Sequence[NewSong],
        links: Sequence[Links],
        guesses: Sequence[tuple[str, Sequence[Guess]]],
        model: ModelRow | None,
        created_at: datetime,
        *,
        build: str,
        verdicts: Mapping[str, Verdict] | None = None,
    ) -> None:
        """Add songs with clusters, similar songs and predictions, each batch in one transaction:
        a song is in the graph with all that belongs to it, or not at all.

        Raises:
            RebuiltError: the graph was rebuilt since `build`, so that the links lead nowhere.
        """
        by_song = dict(guesses)

        def work(
            tx: neo4j.ManagedTransaction,
            batch: list[NewSong],
            hanging: list[Links],
            ranked: list[tuple[str, Sequence[Guess]]],
        ) -> None:
            if not fetch(tx, queries.CHECK_BUILD, {"build": build})[0]["n"]:
                raise RebuiltError
            writing.write_songs(tx, batch, added_to=build)
            writing.write_links(tx, hanging)
            if model is not None:
                writing.write_predictions(tx, model.id, created_at, ranked, verdicts)

        for batch, hanging in zip(batches(songs), batches(links), strict=True):
            ids = [song.record.id for song in batch]
            ranked = [(id, by_song[id]) for id in ids if id in by_song]
            self.connection.write(work, batch, hanging, ranked)

    def credit_songs(self, progress: Progress = SILENT) -> None:
        """Give songs from before there were artists and albums theirs; once in a graph's life."""
        if not self.uncredited():
            return

        def work(tx: neo4j.ManagedTransaction, ids: list[str]) -> None:
            there = fetch(tx, queries.CREDITS_THERE, {"ids": ids})
            songs = [_credited(row) for row in there]
            for kind in writing.CREDITED:
                linked = {row["id"]: row[kind.column] for row in there}
                writing.write_credits(tx, kind, [(s.id, kind.of(s)) for s in songs], linked)

        # Of a million songs the ids fit in memory, and their names come batch by batch.
        ids = reading.read_ids(self.connection, queries.SONGS_TO_CREDIT)
        with progress.stage("Naming artists and albums", len(ids)) as advance:
            for batch in batches(ids):
                self.connection.write(work, batch)
                advance(len(batch))
        self._write(queries.ALL_CREDITED)

    def uncredited(self) -> bool:
        """Whether there are songs from before artists and albums were nodes."""
        return self._count(queries.UNCREDITED) > 0

    def changes(self) -> dict[str, int]:
        """How often songs that were there came to hang on other artists, albums or playlists, and
        how often songs have left."""
        spaces = self._feature_spaces()
        return {
            node: int(spaces[0].get(f"{node}Changes") or 0) if spaces else 0
            for node in queries.COUNT_CHANGE
        }

    def known(self, ids: Sequence[str]) -> dict[str, str]:
        """Which of these songs are in the graph: id to title (or path, or id)."""
        found: dict[str, str] = {}
        for batch in batches(ids):
            for row in self._read(queries.KNOWN_SONGS, ids=list(batch)):
                found[row["id"]] = row["title"] or row["path"] or row["id"]
        return found

    def as_told(self, songs: Sequence[NewSong]) -> dict[str, Told]:
        """How much of what their source says of songs is in the graph already, by id; songs that
        aren't there are left out.
        """
        ids = [song.record.id for song in songs]
        there = {row["id"]: row for row in self._read(queries.SONGS_AS_TOLD, ids=ids)}
        return {
            song.record.id: writing.as_told(song, row["properties"], row["genres"])
            for song in songs
            for row in [there.get(song.record.id)]
            if row is not None
        }

    def rows_of(self, source: str) -> list[str]:
        """Songs that are rows of a table or data set of that name, sorted."""
        rows = self._read(queries.ROWS_OF_SOURCE, source=indexable(source))
        return sorted(row["id"] for row in rows)

    def read_keys(self) -> list[SplitSong]:
        """What a split needs to know of every song, sorted by id."""
        return reading.read_keys(self.connection)

    def genres(self, level: Level = GIVEN) -> list[str]:
        """Genres that songs have, or that are learned of them at a level of the tree, sorted."""
        given = [*self.genres_by_song().values()]
        if level != GIVEN:
            given = learned_genres(given, [False] * len(given), self.tree(), level)
        return sorted({genre for genres in given for genre in genres})

    def write_tree(
        self, parents: Parents, *, source: str = "table", replace: bool = False
    ) -> TreeReport:
        """Say what is a kind of what: `SUBGENRE_OF`, in one transaction that is safe to repeat.

        Each genre that `parents` names has these parents afterwards, and no others; genres that it
        doesn't name keep theirs. A genre is matched by any of its spellings and keeps the graph's
        (`kg.genres.names`); one that no song has is there all the same.

        Args:
            parents: The tree.
            source: `table` for that of a data set; `user` for the owner's own, which a data set's
                doesn't change.
            replace: Take all other parents away, and genres that nothing hangs on then.

        Raises:
            WrongUsageError: a genre would be a kind of itself, or has no name; nothing was written.
        """
        return self.connection.write(write_tree, parents, source=source, replace=replace)

    def check_tree(self, parents: Parents, coming: Parents) -> None:
        """Refuse a tree of the owner's that couldn't be written after a data set's, `coming`.

        Raises:
            WrongUsageError: a genre would be a kind of itself, or has no name.
        """
        self.connection.read(check_tree, parents, coming)

    def tree(self) -> Tree:
        """What is a kind of what."""
        return read_tree(self._read(queries.TREE))

    def genres_by_song(self) -> dict[str, tuple[str, ...]]:
        """What the owner says of every song: its genres, sorted by name."""
        return {row["id"]: tuple(sorted(row["genres"])) for row in self._read(queries.SONG_GENRES)}

    def single_song_genres(self) -> list[str]:
        """Genres of one song only."""
        songs = Counter(genre for genres in self.genres_by_song().values() for genre in genres)
        return sorted(genre for genre, count in songs.items() if count == 1)

    def read_songs(self) -> SongTable:
        """Every song with its features.

        Raises:
            GraphError: songs carry features of different lengths, or none, or no numbers.
        """
        kinds = self.feature_set()
        songs = reading.read_table(self.connection, kinds.embeddings if kinds else ())
        self._refuse_no_numbers(songs, kinds)
        return songs

    def added_to(self, build: str) -> list[str]:
        """Songs that were added to a build after it was finished, sorted."""
        return sorted(row["id"] for row in self._read(queries.ADDED_SONGS, build=build))

    def features_of(self, ids: Sequence[str], kinds: FeatureSet) -> SongTable:
        """Some songs with their features, sorted by id; those that are gone are left out.

        Raises:
            GraphError: they carry features of different lengths, or none.
        """
        return reading.read_table(
            self.connection, kinds.embeddings, text=queries.SONG_TABLE_OF, ids=list(ids)
        )

    def songs_without(self, embedding: Embedding) -> dict[str, list[str]]:
        """Songs that have no vector of an embedding: id to where they lie."""
        name = vector_property(embedding.family)
        return {
            row["id"]: [path for path in row["paths"] if path]
            for row in self._read(queries.SONGS_WITHOUT_VECTOR, property=name)
        }

    def vectors_of(self, embedding: Embedding, ids: Sequence[str]) -> dict[str, Floats]:
        """The vectors that these songs have of an embedding, by id."""
        name = vector_property(embedding.family)
        return {
            row["id"]: unpack(row["vector"])
            for batch in batches(ids)
            for row in self._read(queries.VECTORS_OF, ids=batch, property=name)
        }

    def paths(self) -> Iterator[tuple[str, str]]:
        """Where songs lie, as the database has it: (path, id), one for each copy."""
        for row in self._read(queries.ALL_PATHS):
            for path in row["paths"]:
                yield path, row["id"]

    def source_keys(self) -> Iterator[tuple[str, str]]:
        """What data sets and tables call songs: (key, id); several may call one so."""
        for row in self._read(queries.ALL_SOURCE_KEYS):
            yield row["key"], row["id"]

    def write_vectors(
        self,
        embedding: Embedding,
        vectors: Iterable[tuple[str, Floats | None, Sequence[tuple[str, float]]]],
        *,
        builder: str,
    ) -> None:
        """Give songs that are in the graph their vectors of an embedding, and its tags.

        Args:
            embedding: Which.
            vectors: Id, vector float32 [columns] (None takes an old one away), tags of each song.
            builder: Token from `begin_build`.

        Raises:
            RebuiltError: somebody else began a build meanwhile.
        """

        def work(
            tx: neo4j.ManagedTransaction,
            batch: list[tuple[str, Floats | None, Sequence[tuple[str, float]]]],
        ) -> None:
            _check_builder(tx, builder)
            writing.write_vectors(tx, embedding.family, [(id, own) for id, own, _ in batch])
            if tagged := [(id, tags) for id, _, tags in batch if tags]:
                run(tx, queries.DELETE_TAGS_OF, ids=[id for id, _ in tagged])
                writing.create_tags(tx, tagged)

        for batch in batches(vectors):
            self.connection.write(work, batch)

    # --- feature space, clusters, similar songs --------------------------------------------------

    def feature_set(self) -> FeatureSet | None:
        """What the features in the graph mean; None in an empty one.

        Raises:
            GraphError: the graph holds features of several versions.
        """
        spaces = self._feature_spaces()
        if len(spaces) > 1:
            versions = ", ".join(sorted(row["version"] for row in spaces))
            raise GraphError(
                f"The graph holds features of several versions ({versions}), "
                "which can't be mixed: ingest everything again into an empty database."
            )
        if not spaces:
            return None
        (row,) = spaces
        return _feature_set(row)

    def scaler(self) -> tuple[Floats, Floats] | None:
        """Mean and scale of each raw column, float32 [d]; None without a finished build."""
        for row in self._feature_spaces():
            if row["state"] == COMPLETE:
                return unpack(row["mean"]), unpack(row["scale"])
        return None

    def build(self) -> str | None:
        """Fingerprint of the finished build of clusters and similar songs; None without one."""
        spaces = self._feature_spaces()
        return spaces[0]["build"] if spaces and spaces[0]["state"] == COMPLETE else None

    def split_rule(self) -> SplitRule | None:
        """By which rule the songs were split; None where nothing was built yet."""
        for row in self._feature_spaces():
            if row.get("split"):
                return SplitRule(row["split"], chosen=row["splitChosen"])
        return None

    def write_rule(self, version: str, rule: SplitRule) -> None:
        """Remember by which rule the songs are split."""
        if rule != self.split_rule():
            properties = {"split": rule.protocol, "splitChosen": rule.chosen}
            self._write(queries.MERGE_FEATURE_SPACE, version=version, properties=properties)

    def compared(self) -> str | None:
        """Fingerprint of the songs whose `recording` is known; None without a finished build."""
        spaces = self._feature_spaces()
        return spaces[0].get("compared") if spaces and spaces[0]["state"] == COMPLETE else None

    def extending(self) -> str | None:
        """The embeddings whose vectors are on their way to songs, if a run that wrote them was cut
        off.
        """
        spaces = self._feature_spaces()
        return spaces[0].get("extending") if spaces else None

    def begin_build(
        self, kinds: FeatureSet, *, old: FeatureSet | None = None, extending: str | None = None
    ) -> str:
        """Mark the graph as under construction, so that a run that is cut off is noticed.

        Args:
            kinds: What the songs' features mean.
            old: What they meant until now, where an embedding has come since.
            extending: Embeddings whose vectors come next; None: all are there.

        Returns:
            The builder's token: who begins later takes over, and the earlier one's writes fail.
        """
        builder = secrets.token_hex(8)
        properties = {
            "state": BUILDING,
            "builder": builder,
            "families": list(kinds.families),
            "familySizes": [part.stop - part.start for part in kinds.families.values()],
            "columns": list(kinds.columns),
            "excerpt": None if kinds.given else of_seconds(kinds.excerpt),
            "given": kinds.given or None,
            "extending": extending,
            "embeddings": [
                json.dumps({"name": each.name, "identity": each.identity, "family": each.family})
                for each in kinds.embeddings
            ],
        }
        tags = all_tags(kinds)

        def begin(tx: neo4j.ManagedTransaction) -> None:
            if old is not None and old.version != kinds.version:
                run(tx, queries.RENAME_FEATURE_SPACE, old=old.version, version=kinds.version)
            run(tx, queries.MERGE_FEATURE_SPACE, version=kinds.version, properties=properties)
            if tags:
                # All of them, heard or not: what a model knows of them must not change later.
                run(tx, queries.MERGE_TAGS, names=tags)

        self.connection.write(begin)
        return builder

    def write_build(
        self,
        space: FeatureSpace,
        links: Iterable[Links],
        *,
        builder: str,
        songs: int,
        sizes: Mapping[str, int],
        build: str,
        rule: SplitRule,
        compared: str,
        progress: Progress = SILENT,
    ) -> None:
        """Replace clusters, HAS_FEATURE, SIMILAR_TO, splits and recordings by those of a new build.

        Args:
            space: Scaler and centroids.
            links: How each song hangs in the graph, one for every song.
            builder: Token from `begin_build`.
            songs: How many there are.
            sizes: Songs of each cluster, by cluster id.
            build: Fingerprint to remember when all is written.
            rule: By which the songs are split.
            compared: Fingerprint of the songs among which recordings were looked for.
            progress: Told how far it is.

        Raises:
            RebuiltError: somebody else began a build meanwhile.
        """
        rows = [
            {
                "id": cluster_id(family, index),
                "family": family,
                "index": index,
                "size": sizes.get(cluster_id(family, index), 0),
                "centroid": pack(centroid),
            }
            for family, centroids in space.centroids.items()
            for index, centroid in enumerate(centroids)
        ]

        def write_clusters(tx: neo4j.ManagedTransaction) -> None:
            _check_builder(tx, builder)
            run(tx, queries.MERGE_CLUSTERS, rows=rows)
            run(tx, queries.DELETE_OTHER_CLUSTERS, ids=[row["id"] for row in rows])

        def write_links(tx: neo4j.ManagedTransaction, batch: list[Links]) -> None:
            _check_builder(tx, builder)
            writing.write_links(tx, batch)

        # Clusters first: their numbers mean something else now.
        self.connection.write(write_clusters)
        with progress.stage("Writing relationships", songs) as advance:
            for batch in batches(links):
                self.connection.write(write_links, batch)
                advance(len(batch))
        properties = {
            "state": COMPLETE,
            "build": build,
            "split": rule.protocol,
            "splitChosen": rule.chosen,
            "compared": compared,
            "songs": songs,
            "mean": pack(space.mean),
            "scale": pack(space.scale),
        }

        def finish(tx: neo4j.ManagedTransaction) -> None:
            _check_builder(tx, builder)
            run(tx, queries.MERGE_FEATURE_SPACE, version=space.version, properties=properties)

        self.connection.write(finish)

    def read_space(self, folder: Path | None = None) -> tuple[FeatureSpace, str]:
        """The feature space of the finished build with its centroids, and the build's fingerprint.

        Args:
            folder: Where centroids are kept between commands; None: they are read from the graph.

        Raises:
            GraphError: there is none.
            RebuiltError: another build began meanwhile.
        """
        spaces = self._feature_spaces()
        if len(spaces) != 1 or spaces[0]["state"] != COMPLETE:
            raise GraphError("The graph is not finished: run the same `kg ingest` again.")
        (row,) = spaces
        kinds, builder = _feature_set(row), row.get("builder")
        widths = {family: part.stop - part.start for family, part in kinds.families.items()}
        kept = kept_centroids.load(folder, builder, widths) if folder and builder else None
        found = kept or self._centroids(kinds, row["build"])
        if folder and builder and kept is None:
            kept_centroids.save(folder, builder, found)
        space = FeatureSpace(kinds, unpack(row["mean"]), unpack(row["scale"]), found)
        return space, str(row["build"])

    def _centroids(self, kinds: FeatureSet, build: str) -> dict[str, Floats]:
        found: dict[str, dict[int, Floats]] = {family: {} for family in kinds.families}
        for cluster in self._read(queries.CLUSTERS):
            found[cluster["family"]][cluster["index"]] = unpack(cluster["centroid"])
        if self.build() != build:
            raise RebuiltError
        return {
            family: np.stack([own[index] for index in range(len(own))])
            for family, own in found.items()
        }

    def read_graph(self) -> GraphRows:
        """The whole graph as arrays.

        Raises:
            GraphError: clusters and similar songs are not finished.
            RebuiltError: they were made anew meanwhile.
        """
        space, build = self.read_space()
        changes = self.changes()
        songs = self.read_songs()
        clusters = {
            family: [cluster_id(family, index) for index in range(len(centroids))]
            for family, centroids in space.centroids.items()
        }
        has_feature, similar_to = reading.read_links(self.connection, songs.ids, clusters)
        # A model knows all tags that could be heard, also those that nobody heard yet.
        known = {TAG_NODE: all_tags(space.kinds)}
        further = reading.read_further(self.connection, songs.ids, known)
        if PLAYLIST_NODE in further:
            own = further.pop(PLAYLIST_NODE).without(set(reading.read_labels(self.connection)))
            further |= {PLAYLIST_NODE: own} if own.keys else {}
        if self.build() != build:
            raise RebuiltError
        genres = sorted({name for names in songs.genres for name in names})
        genre_row = {name: row for row, name in enumerate(genres)}
        in_genre = [
            (row, genre_row[name]) for row, names in enumerate(songs.genres) for name in names
        ]
        return GraphRows(
            songs=songs,
            space=space,
            build=build,
            genres=genres,
            cluster_ids=[id for ids in clusters.values() for id in ids],
            has_feature=has_feature,
            similar_to=similar_to,
            in_genre=np.array(in_genre, dtype=np.int64).reshape(-1, 2).T.copy(),
            further=further,
            tree=self.tree(),
            changes=changes,
        )

    # --- models and predictions ------------------------------------------------------------------

    def write_model(self, model: ModelRow) -> None:
        """Add a model, or bring its node up to date; a `current` one supersedes all others."""
        properties = {
            "createdAt": model.created_at,
            "state": model.state,
            "checkpoint": model.checkpoint,
            "featureVersion": model.feature_version,
            "build": model.build,
            "labels": model.labels,
            "testOpenedAt": model.test_opened_at,
            "testSplit": model.test_split,
            "genreLevel": model.metrics.get("genreLevel"),
            "changes": json.dumps(model.changes, sort_keys=True),
            # Flat numbers can be asked for in Cypher, the JSON keeps what doesn't fit a property.
            "metrics": json.dumps(model.metrics, sort_keys=True),
            **{name: value for name, value in model.metrics.items() if _is_number(value)},
        }

        def work(tx: neo4j.ManagedTransaction) -> None:
            run(tx, queries.MERGE_MODEL, id=model.id, properties=properties)
            if model.state == "current":
                run(tx, queries.RETIRE_OTHER_MODELS, id=model.id)

        self.connection.write(work)

    def read_models(self) -> list[ModelRow]:
        """All models, the newest first."""
        return [
            ModelRow(
                id=row["id"],
                created_at=_as_datetime(row["createdAt"]),
                state=row["state"],
                checkpoint=row["checkpoint"],
                feature_version=row["featureVersion"],
                build=row["build"],
                metrics=json.loads(row["metrics"]),
                labels=row["labels"],
                test_opened_at=opened and _as_datetime(opened),
                test_split=row.get("testSplit", ""),
                changes=json.loads(row.get("changes") or "{}"),
            )
            for row in (found["properties"] for found in self._read(queries.MODELS))
            for opened in [row.get("testOpenedAt")]
        ]

    def without_predictions(self, model: str, build: str) -> list[str]:
        """Songs that have no prediction of a model, sorted: those that were added to a build.

        Where none of these lacks one all songs are looked through, which takes longer.
        """
        rows = self._read(queries.ADDED_WITHOUT_PREDICTION, model=model, build=build)
        rows = rows or self._read(queries.SONGS_WITHOUT_PREDICTION, model=model)
        return sorted(row["id"] for row in rows)

    def hanging(self, ids: Sequence[str]) -> list[Hanging]:
        """What songs hang on in the graph, sorted by id; those that are gone are left out."""
        found = [
            Hanging(
                row["id"],
                [(id, family, weight) for id, family, weight in sorted(row["clusters"])],
                sorted(((id, cosine) for id, cosine in row["similar"]), key=lambda near: -near[1]),
                {node: sorted(row[f"at_{node}"]) for node in FURTHER},
            )
            for row in self._read(queries.HANGING, ids=list(ids))
        ]
        return sorted(found, key=lambda song: song.id)

    def delete_model(self, id: str) -> None:
        """Delete a model and what it predicted; the record of its looks at test songs stays."""
        songs = [row["id"] for row in self._read(queries.PREDICTED_BY, model=id)]
        for batch in batches(songs):
            self.connection.write(writing.delete_predictions, batch, id)
        # Last: as long as the node is there, a removal that was cut off can be repeated.
        self._write(queries.DELETE_MODEL, id=id)

    def open_test_split(
        self, split: str, songs: int, models: Sequence[str], now: datetime
    ) -> Looks:
        """Record that these models are about to be measured on a test split.

        Args:
            split: Fingerprint of its songs.
            songs: How many they are.
            models: Ids of the models; who is recorded already counts once.
            now: When.

        Returns:
            How many models have looked, these included.
        """

        def work(tx: neo4j.ManagedTransaction) -> None:
            there = fetch(tx, queries.LOOKS_AT, {"id": split})
            looks = [*there[0]["looks"], *models] if there else models
            listed = list(dict.fromkeys(looks))
            run(tx, queries.OPEN_TEST_SPLIT, id=split, looks=listed, songs=songs, openedAt=now)

        self.connection.write(work)
        return self.looks(split)

    def looks(self, split: str) -> Looks:
        """How many models have been measured on a test split, and on others of this library."""
        looks = {row["id"]: len(row["looks"]) for row in self._read(queries.TEST_SPLITS)}
        here = looks.pop(split, 0)
        return Looks(here, sum(looks.values()))

    def write_predictions(
        self,
        model: str,
        created_at: datetime,
        guesses: Sequence[tuple[str, Sequence[Guess]]],
        progress: Progress = SILENT,
        verdicts: Mapping[str, Verdict] | None = None,
    ) -> None:
        """Replace the predictions of these songs and what they come to (`verdicts`, by song).

        All that is said of a song comes from one model at any moment.
        """
        with progress.stage("Writing predictions", len(guesses)) as advance:
            for batch in batches(guesses):
                self.connection.write(writing.write_predictions, model, created_at, batch, verdicts)
                advance(len(batch))

    # --- status ----------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """Numbers of nodes and relationships."""
        nodes = {name: self._count(text) for name, text in queries.COUNT_NODES.items()}
        return Counts(
            **nodes,
            relationships={
                name: self._count(text) for name, text in queries.COUNT_RELATIONSHIPS.items()
            },
            predicted_by_model={
                row["model"]: row["songs"] for row in self._read(queries.PREDICTED_SONGS_BY_MODEL)
            },
        )

    # --- plumbing --------------------------------------------------------------------------------

    def _refuse_no_numbers(self, songs: SongTable, kinds: FeatureSet | None) -> None:
        broken = no_numbers(kinds, songs.features)
        bad = [songs.ids[row] for row in np.flatnonzero(broken).tolist()]
        if bad:
            names = ", ".join(repr(name) for name in self.known(bad[:3]).values())
            have = "song has" if len(bad) == 1 else "songs have"
            raise GraphError(
                f"{len(bad)} {have} features in the graph that are not all numbers ({names}"
                f"{', ...' if len(bad) > 3 else ''}): take the files in again with `kg ingest`."
            )

    def _feature_spaces(self) -> list[dict[str, Any]]:
        return [row["properties"] for row in self._read(queries.FEATURE_SPACES)]

    def _count(self, text: str) -> int:
        return int(self._read(text)[0]["n"])

    def _read(self, text: str, **parameters: Any) -> list[dict[str, Any]]:
        return read_rows(self.connection, text, **parameters)

    def _write(self, text: str, **parameters: Any) -> None:
        self.connection.write(run, text, **parameters)


def _check_builder(tx: neo4j.ManagedTransaction, builder: str) -> None:
    if not fetch(tx, queries.CHECK_BUILDER, {"builder": builder})[0]["n"]:
        raise RebuiltError


def _credited(song: Mapping[str, Any]) -> SongRecord:
    """A song of the graph, with what its artist and album are told from."""
    return SongRecord(
        id=song["id"],
        path=None,
        artist=song["artist"],
        album_artist=song["albumArtist"],
        album=song["album"],
    )


def _feature_set(space: Mapping[str, Any]) -> FeatureSet:
    families, columns = _families(space), tuple(space["columns"])
    given = space.get("given") or ""
    return FeatureSet(
        version=space["version"],
        families=families,
        columns=columns,
        # Graphs from before this could be chosen don't say.
        excerpt=None if given else as_seconds(space.get("excerpt", EXCERPT)),
        embeddings=tuple(
            Embedding(**said, columns=columns[families[said["family"]]])
            for said in map(json.loads, space.get("embeddings") or ())
        ),
        given=given,
    )


def _families(space: Mapping[str, Any]) -> dict[str, slice]:
    ends = np.cumsum(space["familySizes"])
    return {
        family: slice(int(end - size), int(end))
        for family, size, end in zip(space["families"], space["familySizes"], ends, strict=True)
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_datetime(value: Any) -> datetime:
    native = value.to_native() if hasattr(value, "to_native") else value
    assert isinstance(native, datetime)
    return native
