"""A music library in a graph: ingest, add, train, predict, query. What the command line calls.

Each method is a short composition of the stages in the other modules.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from kg.errors import KgError, NotReadyError, WrongUsageError
from kg.progress import SILENT, Progress
from kg.settings import Settings
from kg.sources import Rejected

if TYPE_CHECKING:
    import pandas as pd

    from kg.build import FeatureSet
    from kg.graph.connection import Answer, Connection
    from kg.graph.rows import Counts, Guess, ModelRow
    from kg.graph.sentences import ServerInfo
    from kg.graph.store import GraphStore
    from kg.hetero import IdMaps
    from kg.learning import PredictReport, TrainOptions, TrainReport
    from models.pyg import HeteroData

GenresFrom = Literal["auto", "folder", "tag", "none"]
Source = str | Path

QUERY_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest came to.

    Attributes:
        taken: Songs that are now in the graph from these folders.
        cached: How many of them had been heard before, so that nothing was extracted.
        genres_from: Where genres were read: `folder`, `tag` or `none`.
        rejected: Files that did not become songs, and why.
        rejects_file: The same list on disk; None without any.
        rebuilt: Whether clusters and similar songs had to be made anew.
        counts: What is in the graph now; None where no file could be taken.
        few: Genres with a single song: they can be learned from but not measured.
    """

    taken: int
    cached: int
    genres_from: str
    rejected: Sequence[Rejected]
    rejects_file: Path | None
    rebuilt: bool
    counts: "Counts | None"
    few: Sequence[str]


@dataclass(frozen=True, slots=True)
class AddedSong:
    """A song that came in by `add`.

    Attributes:
        id: Its key in the graph.
        path: The file.
        title: From its tags, else the file's name.
        guesses: Its first genres; empty where there is no model yet.
    """

    id: str
    path: Path
    title: str
    guesses: "Sequence[Guess]"


@dataclass(frozen=True, slots=True)
class AddReport:
    """What an add came to: `without_model` says in words why songs got no genres."""

    added: Sequence[AddedSong]
    rejected: Sequence[Rejected]
    without_model: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """What is there and how fresh it is.

    Attributes:
        server: The graph database.
        counts: What is in it.
        feature_version: Version of its features; None in an empty graph.
        model: The model in use.
        stale: What is out of date, each with the command that mends it.
        paths: Where things lie on disk.
    """

    server: "ServerInfo"
    counts: "Counts"
    feature_version: str | None
    model: "ModelRow | None"
    stale: Sequence[str]
    paths: Mapping[str, Path]


class Library:
    """A library of songs in a graph database.

    Open it with `Library.open()`, best in a `with` statement: an embedded server that nobody else
    uses stops on leaving. The database is reached on first need.
    """

    def __init__(self, settings: Settings, progress: Progress = SILENT) -> None:
        self.settings = settings
        self.progress = progress
        self._connection: Connection | None = None
        self._store: GraphStore | None = None

    @classmethod
    def open(
        cls, home: Source | None = None, *, progress: Progress = SILENT, **settings: Any
    ) -> Self:
        """Open the library of a home folder.

        Args:
            home: Folder of cache, checkpoints and embedded server; default: `KG_HOME`.
            progress: Told how far long stages are.
            **settings: `neo4j_uri`, `neo4j_username`, `neo4j_password`, `neo4j_database`; default:
                the environment variables of the same names.

        Raises:
            WrongUsageError: a setting can't be used, or the home folder can't be written to.
        """
        if home is not None:
            settings["kg_home"] = Path(home)
        chosen = Settings(**settings)
        chosen.make_home()
        return cls(chosen, progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the server; an embedded one stops with its last user."""
        if self._connection is not None:
            self._connection.close()
            self._connection = self._store = None

    @property
    def connection(self) -> "Connection":
        """The connection to the graph database.

        Raises:
            GraphError: it can't be reached.
        """
        if self._connection is None:
            from kg.graph.connection import Connection

            self._connection = Connection.open(self.settings)
        return self._connection

    @property
    def store(self) -> "GraphStore":
        """The graph, with constraints and indexes in place."""
        if self._store is None:
            from kg.graph.store import GraphStore

            store = GraphStore(self.connection)
            store.prepare()
            self._store = store
        return self._store

    # --- library ---------------------------------------------------------------------------------

    def ingest(
        self,
        sources: Source | Iterable[Source],
        *,
        genres_from: GenresFrom = "auto",
        workers: int | None = None,
    ) -> IngestReport:
        """Take in all audio below these folders, and connect it: clusters, similar songs, genres.

        Running it again changes nothing and extracts nothing; a run that was cut off goes on.

        Args:
            sources: Folders, or single files.
            genres_from: `folder` (the parent folder's name), `tag`, `none`, or `auto`: folders
                where they look like genres, else tags.
            workers: Processes that listen; default: one a core.

        Raises:
            WrongUsageError: a folder doesn't exist.
            KgError: there is no audio in them.
            GraphError: the database can't be reached, or holds features of another version.
        """
        from kg.audio.extract import extract
        from kg.build import build_graph
        from kg.graph.rows import NewSong
        from kg.sources.folder import scan

        found = scan(_paths(sources), genres_from, self.progress)
        heard = extract(
            [(record.id, record.path) for record in found.records if record.path is not None],
            self.settings.cache_dir,
            workers=workers,
            progress=self.progress,
        )
        rejected = [*found.rejected, *heard.rejected]
        rejects_file = self._write_rejects(rejected)
        if not heard.ids:
            return IngestReport(0, 0, found.genres_from, rejected, rejects_file, False, None, ())

        kinds = _feature_set()
        self._refuse_other_features(kinds)
        record_of = {record.id: record for record in found.records}
        songs = [
            NewSong(record_of[id], heard.features[row], heard.duration[row], heard.sample_rate[row])
            for row, id in enumerate(heard.ids)
        ]
        if self.store.feature_version() is None:
            # The database describes its vectors from the first song on.
            self.store.begin_build(kinds.version, kinds.families, kinds.columns)
        self.store.write_songs(songs, self.progress)
        rebuilt = build_graph(self.store, kinds, self._neighbours_dir, self.progress)
        return IngestReport(
            taken=len(songs),
            cached=heard.cached,
            genres_from=found.genres_from,
            rejected=rejected,
            rejects_file=rejects_file,
            rebuilt=rebuilt,
            counts=self.store.counts(),
            few=self._single_song_genres(),
        )

    def add(self, songs: Source | Iterable[Source]) -> AddReport:
        """Add new songs without retraining and without touching other songs.

        Each gets features, clusters, similar songs and, where there is a model, its genres.

        Args:
            songs: Audio files, or folders of them.

        Raises:
            WrongUsageError: a file doesn't exist.
            NotReadyError: there is no library yet.
        """
        from kg.audio.extract import extract
        from kg.build import NEIGHBOURS, links, neighbour_index
        from kg.graph.rows import NewSong
        from kg.sources.folder import scan

        found = scan(_paths(songs), "none", self.progress)
        self._refuse_other_features(_feature_set())
        build = self.store.build()
        if build is None:
            raise NotReadyError("There is no finished library to add to: run `kg ingest` first.")
        known = self.store.known([record.id for record in found.records])
        rejected = [*found.rejected]
        for record in found.records:
            if record.id in known and record.path is not None:
                reason = f"is already in the library as {known[record.id]!r}; nothing was changed"
                rejected.append(Rejected(record.path, reason))
        records = {record.id: record for record in found.records if record.id not in known}
        heard = extract(
            [(id, record.path) for id, record in records.items() if record.path is not None],
            self.settings.cache_dir,
            progress=self.progress,
        )
        rejected.extend(heard.rejected)
        if not heard.ids:
            return AddReport((), rejected, None)

        space = self.store.read_space()
        standard = space.standardise(heard.features)
        index = neighbour_index(self.store, space, self._neighbours_dir)
        similar = index.nearest(space.metric(standard), NEIGHBOURS)
        hanging = list(links(heard.ids, space, standard, index.ids, similar, {}))
        guesser, without_model = self._guesser(build)
        guesses = (
            guesser.guess(standard, [h.clusters for h in hanging], [h.similar for h in hanging])
            if guesser
            else [[] for _ in heard.ids]
        )
        new = [
            NewSong(records[id], heard.features[row], heard.duration[row], heard.sample_rate[row])
            for row, id in enumerate(heard.ids)
        ]
        self.store.add_songs(
            new,
            hanging,
            list(zip(heard.ids, guesses, strict=True)),
            guesser.model if guesser else None,
            datetime.now(UTC),
        )
        added = [
            AddedSong(song.record.id, song.record.path, song.record.title or song.record.id, ranked)
            for song, ranked in zip(new, guesses, strict=True)
            if song.record.path is not None
        ]
        return AddReport(added, rejected, without_model)

    def status(self) -> Status:
        """What is in the graph, which model speaks, what is out of date, where things lie."""
        from kg.learning import latest_model

        counts = self.store.counts()
        model = latest_model(self.store)
        paths = {
            "home": self.settings.kg_home,
            "feature cache": self.settings.cache_dir,
            "checkpoints": self.settings.models_dir,
        }
        if self.settings.embedded:
            paths["server"] = self.settings.server_dir
        return Status(
            server=self.connection.server,
            counts=counts,
            feature_version=self.store.feature_version(),
            model=model,
            stale=self._stale(counts, model),
            paths=paths,
        )

    # --- learning --------------------------------------------------------------------------------

    def train(self, options: "TrainOptions | None" = None) -> "TrainReport":
        """Learn the genres, measure on songs held out, write predictions for every song.

        Raises:
            NotReadyError: nothing was ingested, or there is nothing to tell apart.
        """
        from kg import learning
        from kg.build import build_graph

        kinds = self._require_songs()
        # Songs or labels may have come since the last ingest: they belong to this training.
        build_graph(self.store, kinds, self._neighbours_dir, self.progress)
        return learning.train(self.store, self.settings.models_dir, options, self.progress)

    def predict(self) -> "PredictReport":
        """Write the latest model's predictions for every song again.

        Raises:
            NotReadyError: there is no model, or it doesn't fit the graph.
        """
        from kg import learning

        self._require_songs()
        return learning.predict(self.store, self.settings.models_dir, self.progress)

    # --- asking ----------------------------------------------------------------------------------

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = QUERY_TIMEOUT,
    ) -> "pd.DataFrame":
        """Ask in Cypher; what is returned becomes a data frame. Nothing can be written this way.

        Args:
            cypher: The query.
            parameters: Values of its `$names`.
            timeout: Seconds after which it is given up; None: never.

        Raises:
            GraphError: the query is wrong (with the server's own message), or writes.
        """
        import pandas as pd

        answer = self.ask(cypher, parameters, timeout=timeout)
        return pd.DataFrame(answer.rows, columns=answer.keys)

    def ask(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = QUERY_TIMEOUT,
    ) -> "Answer":
        """Like `query`, as plain lists."""
        return self.connection.ask(cypher, dict(parameters or {}), timeout)

    # --- moving ----------------------------------------------------------------------------------

    def hetero(self) -> "HeteroData":
        """The graph as PyG `HeteroData`; see `kg.hetero.to_hetero` for what is in it.

        Raises:
            NotReadyError: nothing was ingested.
        """
        return self.hetero_with_ids()[0]

    def hetero_with_ids(self) -> "tuple[HeteroData, IdMaps]":
        """The graph as `HeteroData`, and what its rows are called in the database."""
        from kg.hetero import to_hetero

        self._require_songs()
        return to_hetero(self.store.read_graph())

    def export(self, folder: Source) -> "tuple[HeteroData, IdMaps]":
        """Write the graph as safetensors and JSON; `kg.hetero.load_hetero` reads it again."""
        from kg.hetero import save_hetero

        data, maps = self.hetero_with_ids()
        save_hetero(data, maps, Path(folder))
        return data, maps

    # --- plumbing --------------------------------------------------------------------------------

    @property
    def _neighbours_dir(self) -> Path:
        return self.settings.cache_dir / "neighbours"

    def _require_songs(self) -> "FeatureSet":
        kinds = _feature_set()
        if self.store.feature_version() is None:
            raise NotReadyError("The graph holds no songs yet: run `kg ingest FOLDER` first.")
        self._refuse_other_features(kinds)
        return kinds

    def _refuse_other_features(self, kinds: "FeatureSet") -> None:
        there = self.store.feature_version()
        if there is not None and there != kinds.version:
            raise KgError(
                f"The graph holds features of version {there}, this kg makes version "
                f"{kinds.version}, and they can't be mixed: use the kg that made them, or ingest "
                "everything into a new home (--home DIR) or an empty Neo4j database."
            )

    def _guesser(self, build: str) -> "tuple[Any, str | None]":
        from kg.learning import NewSongs, latest_model

        model = latest_model(self.store)
        if model is None:
            return None, "There is no model yet: run `kg train`, and these songs get genres too."
        try:
            return NewSongs(model, self.settings.models_dir, build), None
        except NotReadyError as error:
            return None, str(error)

    def _single_song_genres(self) -> list[str]:
        songs: dict[str, int] = {}
        for song in self.store.read_keys():
            for genre in song.genres:
                songs[genre] = songs.get(genre, 0) + 1
        return sorted(genre for genre, count in songs.items() if count == 1)

    def _stale(self, counts: "Counts", model: "ModelRow | None") -> list[str]:
        if counts.songs == 0:
            return ["The graph is empty: run `kg ingest FOLDER`."]
        stale = []
        build = self.store.build()
        if build is None:
            stale.append("An ingest was cut off: run `kg ingest` again on the same folders.")
        if self.store.feature_version() != _feature_set().version:
            stale.append("The features are of another version of kg: ingest into a new home.")
        if model is None:
            stale.append("Nothing was learned yet: run `kg train`.")
            return stale
        if build is not None and model.build != build:
            stale.append("The graph was rebuilt after the training: run `kg train`.")
        missing = counts.songs - counts.predicted_by_model.get(model.id, 0)
        if model.state == "writing":
            stale.append("Writing predictions was cut off: run `kg predict`.")
        elif missing > 0:
            stale.append(f"{missing} songs have no prediction of this model: run `kg predict`.")
        return stale

    def _write_rejects(self, rejected: Sequence[Rejected]) -> Path | None:
        path = self.settings.kg_home / "rejects.txt"
        if not rejected:
            path.unlink(missing_ok=True)
            return None
        lines = [f"{reject.path}\t{reject.reason}\n" for reject in rejected]
        path.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
        return path


def _feature_set() -> "FeatureSet":
    from kg.audio import features
    from kg.build import FeatureSet

    return FeatureSet(features.feature_version(), features.family_slices(), features.columns())


def _paths(sources: Source | Iterable[Source]) -> list[Path]:
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    if not listed:
        raise WrongUsageError("Name at least one folder or audio file.")
    return [Path(source).expanduser() for source in listed]
