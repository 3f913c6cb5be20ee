"""A music library in a graph: ingest, add, train, predict, query. What the command line calls.

Each method is a short composition of the stages in the other modules.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kg.errors import KgError, NotReadyError, WrongUsageError
from kg.excerpt import Excerpt, as_excerpt, of_seconds
from kg.files import normal
from kg.progress import SILENT, Progress
from kg.settings import Settings
from kg.text import printable
from kg.writers import again_if_overtaken, home_lock

if TYPE_CHECKING:
    from threading import Event

    import pandas as pd

    from kg.asking.explaining import Explanation
    from kg.asking.inspection import Inspection
    from kg.asking.similar import SimilarSongs
    from kg.audit.audit import AuditReport
    from kg.compare.runs import CompareOptions, Comparison
    from kg.compare.tuning import Tuned, TuneOptions
    from kg.comparing import Songs
    from kg.embeddings.ears import Ears
    from kg.genres.files import TreeFile
    from kg.genres.listing import GenreList
    from kg.genres.policy import Policy
    from kg.genres.suggesting import SuggestReport
    from kg.graph.asking import Answer
    from kg.graph.connection import Connection
    from kg.graph.decisions import Decided
    from kg.graph.dump import Dump
    from kg.graph.experiments import Experiment
    from kg.graph.proposals import Decision, Proposal
    from kg.graph.store import GraphStore
    from kg.graph.tree import TreeReport
    from kg.hetero import IdMaps
    from kg.intake.audio import AddReport, IngestReport
    from kg.intake.playlists import PlaylistsReport, StoredPlaylist
    from kg.intake.tables import TableReport
    from kg.intake.vectors import VectorsReport
    from kg.learning.saved_models import Models, SavedModel
    from kg.learning.seeds import EvaluateReport
    from kg.learning.training import PredictReport, TrainOptions, TrainReport
    from kg.metrics.measuring import Side
    from kg.records import FeatureSet, Rejected
    from kg.removal import Prune, Removal
    from kg.same_features import Finishing
    from kg.sources.dataset import SourceTable
    from kg.sources.datasets import SourceKind
    from kg.sources.folder import GenresFrom, Scan
    from kg.sources.layout import Asked
    from kg.sources.table import OpenedTable
    from kg.status import Status
    from kg.tagging.backups import Tagged
    from kg.tagging.writing import TagReport, UndoReport
    from kg.watching.events import WatchEvent
    from kg.watching.settling import Patience
    from models.pyg import HeteroData

Source = str | Path
T = TypeVar("T")

QUERY_TIMEOUT = 60.0


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
        """The graph, with constraints and indexes in place.

        Raises:
            NotReadyError: half of a dump is in it.
        """
        if self._store is None:
            from kg.graph.load import refuse_half_loaded
            from kg.graph.store import GraphStore

            store = GraphStore(self.connection)
            store.prepare(self.progress)
            refuse_half_loaded(self.connection)
            self._store = store
        return self._store

    # --- library ---------------------------------------------------------------------------------

    def ingest(
        self,
        sources: Source | Iterable[Source],
        *,
        source: "SourceKind" = "auto",
        metadata: Source | None = None,
        genres_from: "GenresFrom" = "auto",
        workers: int | None = None,
        excerpt: Excerpt | None = None,
        dask: str | None = None,
        prune: "Prune | None" = None,
        embeddings: Sequence[str] | None = None,
        trust_remote_code: bool = False,
        offer: Callable[[], bool] = lambda: False,
        genre_tree: "Source | TreeFile | None" = None,
    ) -> "IngestReport":
        """Take in all audio below these folders, and connect it: clusters, similar songs, genres.

        Running it again changes nothing and extracts nothing; a run that was cut off goes on.

        Args:
            sources: Folders, or single files.
            source: What they are: `audio`, or the audio of a data set (`gtzan`, `fma`), which says
                titles, artists, genres and sides of its files; `auto`: what they look like.
            metadata: What says that, where it doesn't lie in the folder or beside it.
            genres_from: `folder` (the parent folder's name), `tag`, `none`, or `auto`: what the
                data set says, else folders where they look like genres, else tags.
            workers: Processes that listen; default: one a core.
            excerpt: How much of each song is listened to: seconds from its middle, or `full`. The
                first ingest decides for the whole library; default: what was decided, else 30 s.
            dask: Address of a Dask scheduler (`tcp://HOST:PORT`) whose workers listen instead;
                they see the folders under the same paths.
            prune: Remove songs whose files were below these folders and are gone. It is shown them
                before anything is written, and whatever it raises ends it all.
            embeddings: Networks that are to listen too, in this library from now on: `musicnn`,
                `musicnn:WHEEL`, `hf:NAME`; or `none`. Default: those that the library has; a new
                one gets musicnn where its weights are in the home folder.
            trust_remote_code: Whether a network's own code from the Hugging Face hub may run here.
            offer: Asked in a new library where these weights are missing and nobody named
                `embeddings`: whether to fetch them.
            genre_tree: What is a kind of what, see `write_genre_tree`: refused before anything is
                heard, and written once the songs are in.

        Raises:
            WrongUsageError: a folder doesn't exist, the library was begun with another excerpt,
                there is no such embedding, a data set lacks its metadata, or the genre tree can't
                be this one.
            KgError: there is no audio in them, or a network can't be fetched or loaded.
            GraphError: the database can't be reached, or holds features of another version.
        """
        from kg.build import build_graph
        from kg.genres.coming import check_coming
        from kg.intake.audio import IngestReport, hear, hear_others
        from kg.intake.rejects import by_reason
        from kg.removal import gone_songs, plan_removal, remove_songs
        from kg.sources.datasets import as_source, describe

        wanted = None if excerpt is None else as_excerpt(excerpt)
        folders = _paths(sources)
        tree = _read_tree(genre_tree)
        # A wrong password must show before hours of reading and listening, not after.
        ears = self._ears(
            wanted,
            embeddings,
            finishing="networks",
            trust_remote_code=trust_remote_code,
            offer=offer,
        )
        kinds = ears.kinds
        told = describe(
            self._scan(folders, genres_from),
            folders,
            as_source(source),
            metadata=None if metadata is None else normal(Path(metadata)),
            genres=genres_from == "auto",
        )
        found = told.scan
        if tree is not None:
            genres = (name for record in found.records for name in record.genres)
            check_coming(self.store, tree, told.parents, genres)
        gone: list[str] = []
        if prune is not None:
            gone = gone_songs(self.connection, folders, found, self.progress)
            prune(plan_removal(self.connection, gone))
        heard = hear(
            found.records,
            ears,
            self.settings.cache_dir,
            workers=workers,
            dask=dask,
            progress=self.progress,
        )
        if ears.new:
            hear_others(
                self.store, ears, self.settings.cache_dir, workers=workers, progress=self.progress
            )
        rejected = [*found.rejected, *heard.rejected]
        rejects_file, unlisted = self._list_rejects(rejected, folders)
        report = IngestReport(
            taken=len(heard.songs),
            cached=heard.cached,
            genres_from=found.genres_from,
            excerpt=of_seconds(kinds.excerpt),
            rejected=rejected,
            rejected_by_reason=by_reason(rejected),
            rejects_file=rejects_file,
            unlisted=unlisted,
            embeddings=[each.name for each in kinds.embeddings],
            remarks=told.remarks,
            faults=told.faults,
        )
        if not heard.songs:
            return report

        def write() -> IngestReport:
            # The first of two ingests at once has decided meanwhile.
            now = self._same_features(report.excerpt, at_least=ears, finishing="networks")
            pending = self.store.extending()
            if now is not None and now.version != kinds.version:
                pending = ", ".join(each.name for each, _ in ears.networks)
            # Hours may have passed since they were shown: what came back meanwhile stays.
            still = gone_songs(self.connection, folders, found) if gone else ()
            pruned = remove_songs(self.connection, set(gone).intersection(still), self.progress)
            known = self.store.known([song.record.id for song in heard.songs])
            # Songs whose file was gone when the library got an embedding, and is there again.
            late = any(
                not known.keys().isdisjoint(self.store.songs_without(each))
                for each, _ in ears.networks
            )
            # A song is new: until it is connected, the graph says that it isn't finished.
            builder = None
            if pending or late or len(known) < len(heard.songs):
                builder = self.store.begin_build(kinds, old=now, extending=pending)
            self.store.write_songs(
                heard.songs,
                builder=builder,
                keep_other_sources=genres_from == "auto",
                progress=self.progress,
            )
            if told.parents:
                self.store.write_tree(told.parents)
            unheard = 0
            if builder is not None and pending:
                unheard = hear_others(
                    self.store,
                    ears,
                    self.settings.cache_dir,
                    workers=workers,
                    builder=builder,
                    progress=self.progress,
                )
            self.store.credit_songs(self.progress)
            rebuilt = build_graph(self.store, kinds, self.settings.neighbours_dir, self.progress)
            return replace(
                report,
                unheard=unheard,
                pruned=pruned,
                rebuilt=rebuilt,
                counts=self.store.counts(),
                few=self.store.single_song_genres(),
            )

        report = self._in_turn(write)
        return report if tree is None else replace(report, tree=self._write_tree_after(tree))

    def ingest_vectors(self, file: Source, family: str) -> "VectorsReport":
        """Give songs of the library vectors that somebody computed elsewhere.

        Taking in another file of the same family adds to it, or brings it up to date.

        Args:
            file: NPZ or Parquet, a vector a song, by the song's id or path; see docs/vectors.md.
            family: What these features are called from now on.

        Raises:
            WrongUsageError: the file can't be used, none of its songs is here, or the name is
                taken.
            NotReadyError: nothing was ingested.
        """
        from kg.intake.vectors import take_in
        from kg.sources.vectors import read_vectors

        self.features(finishing="files")
        vectors = read_vectors(normal(Path(file)))
        return self._in_turn(
            lambda: take_in(
                self.store,
                vectors,
                family,
                self.features(finishing="files"),
                self.settings.neighbours_dir,
                self.progress,
            )
        )

    def open_table(self, file: Source, columns: "Asked | None" = None) -> "OpenedTable":
        """Find out what the columns of a table are, for `ingest_table`; nothing is written.

        Its preview also says how many songs would be overwritten.

        Args:
            file: CSV, TSV, Parquet or NPZ with a row a song.
            columns: What is known of its columns; default: guess.

        Raises:
            WrongUsageError: it is no table of songs and their features, what is said of its columns
                isn't so, or this library listens to its songs.
        """
        from kg.given import own_families, refuse_table
        from kg.sources.layout import Asked
        from kg.sources.table import open_table

        def columns_there() -> "Mapping[str, Sequence[str]] | None":
            there = self._same_features()
            if there is None:
                return None
            refuse_table(there)
            return own_families(there)

        asked = Asked() if columns is None else columns
        opened = open_table(file, asked, like=columns_there, progress=self.progress)
        said = self.overwriting(opened.source)
        return opened if said is None else opened.remarking(said)

    def overwriting(self, table: "SourceTable") -> str | None:
        """Say how many songs from an earlier table of this name a table would change.

        Nothing is written. None: it would change none.
        """
        from kg.intake.overwriting import overwriting

        return overwriting(self.store, table, self._same_features(), self.progress)

    def open_data_set(
        self,
        path: Source,
        source: "SourceKind" = "auto",
        *,
        metadata: Source | None = None,
        subset: str | None = None,
    ) -> "SourceTable":
        """Open the table of a data set, for `ingest_table`; nothing is written.

        Args:
            path: Its file or folder, as it is published.
            source: Which it is: `gtzan`, `fma`, `msd`, `audioset`; `auto`: what it looks like.
            metadata: What says what its songs are, where it lies elsewhere.
            subset: Of FMA: `small`, `medium` or `large`; default: all.

        Raises:
            WrongUsageError: it is none that kg knows, or a part of it is missing or damaged.
        """
        from kg.sources.datasets import as_source, find, open_table
        from kg.text import printable

        found = find(normal(Path(path)), as_source(source))
        if found is None or found.form != "table":
            raise WrongUsageError(
                f"{printable(path)} is no table of a data set that kg knows: open_table opens any "
                "table, and ingest takes in audio."
            )
        told = None if metadata is None else normal(Path(metadata))
        return open_table(found, metadata=told, subset=subset)

    def ingest_table(
        self,
        table: "SourceTable",
        *,
        prune: "Prune | None" = None,
        genre_tree: "Source | TreeFile | None" = None,
    ) -> "TableReport":
        """Take in the rows of a table as songs whose features it gives, and connect the graph.

        Running it again changes nothing; a run that was cut off goes on, and a row that has changed
        is brought up to date. A library that was begun so takes tables of the same columns only.

        Args:
            table: The table, or the data set; `kg.sources` opens them.
            prune: Remove songs that came from a table of this name and aren't in it any more. It is
                shown them before anything is written, and whatever it raises ends it all.
            genre_tree: What is a kind of what, see `write_genre_tree`: refused before anything is
                written, and written once the songs are in.

        Raises:
            WrongUsageError: its columns aren't those of the library, that listens to its songs, or
                the genre tree can't be this one.
            KgError: the table can't be read to its end; what was read is in the graph.
        """
        from kg.genres.coming import check_coming, genres_in
        from kg.intake.tables import check_table, gone_rows, take_in
        from kg.removal import plan_removal

        tree = _read_tree(genre_tree)
        check_table(table, self._same_features())
        if tree is not None:
            check_coming(self.store, tree, table.parents, genres_in(table))
        gone: list[str] = []
        if prune is not None:
            gone = gone_rows(self.store, table, self.progress)
            prune(plan_removal(self.connection, gone))
        report = self._in_turn(
            lambda: take_in(
                self.store,
                table,
                self._same_features(),
                self.settings.neighbours_dir,
                self.progress,
                gone=gone,
            )
        )
        if tree is None or report.counts is None:
            return report
        return replace(report, tree=self._write_tree_after(tree))

    def add(
        self, songs: Source | Iterable[Source], *, trust_remote_code: bool = False
    ) -> "AddReport":
        """Add new songs without retraining and without touching other songs.

        Each gets features, clusters, similar songs and, where there is a model, its genres.

        Args:
            songs: Audio files, or folders of them.
            trust_remote_code: Whether a network's own code from the Hugging Face hub may run here.

        Raises:
            WrongUsageError: a file doesn't exist.
            NotReadyError: there is no library yet.
        """
        from kg.genres.proposals import shown_songs
        from kg.intake.audio import AddReport, attach, hear, leave_out_known
        from kg.intake.rejects import by_reason

        files = _paths(songs)
        policy = self.policy
        ears = self._ears(None, None, trust_remote_code=trust_remote_code)
        self._in_turn(self._require_build)
        found = self._scan(files, "none")
        new, there = leave_out_known(self.store, found.records)
        heard = hear(new, ears, self.settings.cache_dir, progress=self.progress)
        # Songs that are there need no mending: they are not listed.
        listed = self._list_rejects([*found.rejected, *heard.rejected], files)

        rejected = [*found.rejected, *there, *heard.rejected]
        if not heard.songs:
            return AddReport((), rejected, by_reason(rejected), None, *listed)

        def write() -> AddReport:
            self._require_build()
            self._same_features(at_least=ears)
            # Another command may have taken some of them in meanwhile.
            new, late = leave_out_known(self.store, [song.record for song in heard.songs])
            ids = {record.id for record in new}
            songs = [song for song in heard.songs if song.record.id in ids]
            added, without_model, calibrated = attach(self.store, songs, self.settings)
            added = shown_songs(added, policy, self.store.tree())
            left_out = [*rejected, *late]
            return AddReport(
                added, left_out, by_reason(left_out), without_model, *listed, calibrated
            )

        return self._in_turn(write)

    def forget(self, songs: str | Iterable[str], *, confirm: "Prune | None" = None) -> "Removal":
        """Remove songs with all that hangs on them; their files stay.

        Args:
            songs: Their titles, paths, or ids (four digits at least).
            confirm: Shown what goes before anything does; whatever it raises ends it all.

        Returns:
            What went.

        Raises:
            KgError: there is no song that is called so, or there are several.
        """
        from kg.graph.lookup import find_song
        from kg.removal import plan_removal, remove_songs

        named = [songs] if isinstance(songs, str) else list(songs)
        self.features()
        ids = [find_song(self.connection, name) for name in named]
        removal = plan_removal(self.connection, ids)
        if confirm is not None:
            confirm(removal)
        self._in_turn(lambda: remove_songs(self.connection, ids, self.progress))
        return removal

    def add_playlists(self, files: Source | Iterable[Source]) -> "PlaylistsReport":
        """Take playlists in: `(:Playlist)-[:CONTAINS]->(:Song)` for entries that are songs here.

        The same playlist taken in again is brought up to date.

        Args:
            files: M3U, M3U8 and PLS files, slices of the Million Playlist Dataset, or folders of
                them.

        Raises:
            WrongUsageError: a file doesn't exist, or is no playlist by its name.
            NotReadyError: nothing was ingested.
            KgError: there is no playlist below these folders.
        """
        from kg.intake.playlists import take_in
        from kg.sources.playlists import HOW_TO_WRITE, playlist_files

        unreadable: list[Rejected] = []
        places = _paths(files)
        found = playlist_files(places, unreadable)
        if not found:
            listed = ", ".join(map(printable, places))
            raise KgError(f"There is no playlist below {listed}: {HOW_TO_WRITE}.")
        self.features()
        report = self._in_turn(lambda: take_in(self.connection, found, self.progress))
        return replace(report, rejected=[*unreadable, *report.rejected])

    def playlists(self) -> "list[StoredPlaylist]":
        """All playlists of the graph, by name."""
        from kg.intake.playlists import stored_playlists

        self.features()
        return stored_playlists(self.connection)

    def remove_playlists(
        self, named: str | Iterable[str] = (), *, gone: bool = False
    ) -> "list[StoredPlaylist]":
        """Take playlists out of the graph; songs and files stay.

        Args:
            named: Their names, paths, or ids (four digits at least).
            gone: Also those whose files aren't there any more.

        Returns:
            What went.

        Raises:
            KgError: there is no playlist that is called so, or there are several.
        """
        from kg.intake.playlists import remove_playlists

        listed = [named] if isinstance(named, str) else list(named)
        self.features()
        return self._in_turn(lambda: remove_playlists(self.connection, listed, gone=gone))

    def watch(
        self,
        folders: Source | Iterable[Source],
        *,
        poll: bool = False,
        keep: bool = False,
        trust_remote_code: bool = False,
        patience: "Patience | None" = None,
        stop: "Event | None" = None,
    ) -> "Generator[WatchEvent, None, None]":
        """Follow folders: add what arrives, follow what moves, remove what goes; see `kg.watching`.

        What changed since the last watch comes first. It goes on until the iterator is closed (by
        leaving its loop, say), or `stop` is set.

        Args:
            folders: Folders; all below them is followed too.
            poll: Look at everything every few seconds, where the system doesn't tell of changes.
            keep: Never remove a song.
            trust_remote_code: Whether a network's own code from the Hugging Face hub may run here.
            patience: How long is waited for files on their way.
            stop: Ends it, within a second.

        Raises:
            WrongUsageError: there is no such folder.
            NotReadyError: there is no library yet.
            KgError: another command watches one of them, or there are more folders than the
                system lets anybody watch.
        """
        from kg.given import refuse_audio
        from kg.watching.follower import Hands
        from kg.watching.watch import check_folders, watch

        _ = self.policy  # said now, not with the first song
        roots = check_folders(_paths(folders))
        refuse_audio(self.features())
        self._in_turn(self._require_build)
        hands = Hands(
            add=lambda songs: self.add(songs, trust_remote_code=trust_remote_code),
            in_turn=self._in_turn,
            store=lambda: self.store,
            leave=self.close,
        )
        return watch(
            roots,
            hands,
            self.settings.watch_dir,
            self.progress,
            poll=poll,
            keep=keep,
            patience=patience,
            stop=stop,
        )

    @property
    def policy(self) -> "Policy":
        """Which genres are shown and proposed.

        Raises:
            WrongUsageError: the file that says so can't be used.
        """
        from kg.genres.policy import EVERYTHING, read_policy

        file = self.settings.genre_policy_file
        return EVERYTHING if file is None else read_policy(file)

    def genres(self) -> "GenreList":
        """All genres of the library, with their songs and what they are kinds of."""
        from kg.genres.listing import list_genres

        return list_genres(self.store)

    def write_genre_tree(self, tree: "Source | TreeFile", *, replace: bool = False) -> "TreeReport":
        """Say what is a kind of what; no song's genre is changed. See `GraphStore.write_tree`.

        Args:
            tree: A file (docs/genres.md), or what `kg.genres.files.read_tree` made of it.
            replace: Take all other parents away.

        Raises:
            WrongUsageError: the file can't be used, a genre would be a kind of itself, or nobody
                knows a parent; nothing was written.
        """
        from kg.genres.files import read_tree, refuse_unknown

        read = read_tree(tree) if isinstance(tree, str | Path) else tree

        def write() -> "TreeReport":
            there = self.store.tree()
            refuse_unknown(read, {*self.store.genres(), *there.names})
            return self.store.write_tree(read.parents, source="user", replace=replace)

        return self._in_turn(write)

    def _write_tree_after(self, tree: "TreeFile") -> "TreeReport":
        """Write the tree that came with songs; where that fails they are in all the same."""
        try:
            return self.write_genre_tree(tree)
        except WrongUsageError as error:  # the songs of a parent couldn't be taken in, say
            raise WrongUsageError(
                f"{error} The songs are in: `kg genres --genre-tree FILE` takes the tree alone."
            ) from error

    def features(self, finishing: "Finishing | None" = None) -> "FeatureSet":
        """How the features of this library's songs were made; this kg makes the same.

        Args:
            finishing: What the caller goes on with, where a run was cut off that gave songs a
                file's vectors.

        Raises:
            NotReadyError: nothing was ingested, or a run was cut off that gave songs vectors.
            KgError: the features are of another version.
        """
        kinds = self._same_features(finishing=finishing)
        if kinds is None:
            raise NotReadyError("The graph holds no songs yet: run `kg ingest FOLDER` first.")
        return kinds

    def status(self) -> "Status":
        """What is in the graph, which model speaks, what is out of date, where things lie."""
        from kg.status import status_of

        return status_of(self.store, self.settings)

    def inspect(
        self, song: Source, *, family: str | None = None, plot: Source | None = None
    ) -> "Inspection":
        """Look at one song: tags, facts of its file, features by family.

        Args:
            song: An audio file, looked at as it is, for which no database is needed; or a song of
                the library by its title, its path, or its id (four digits at least), with what the
                graph says of it.
            family: The only family of features wanted; default: all.
            plot: A picture to draw: .png, .pdf or .svg; another picture there is replaced.

        Raises:
            WrongUsageError: there is no such family, or the picture can't be drawn there.
            KgError: there is no such song, or several; its file can't be heard; matplotlib is
                missing.
        """
        from kg.asking import inspection
        from kg.genres.proposals import shown_guesses

        if plot is not None:
            from kg.audio.plot import draw
            from kg.pictures import check_picture

            picture = check_picture(Path(plot))
        file = inspection.as_file(song)
        if file is not None:
            found = inspection.inspect_file(file, family)
        else:
            found = inspection.inspect_song(self.store, str(song), family)
            shown = shown_guesses(found.guesses, self.policy, self.store.tree())
            found = replace(found, guesses=shown)
        if plot is not None:
            draw(inspection.hear(found), inspection.caption(found), picture)
        return found

    # --- learning --------------------------------------------------------------------------------

    def train(self, options: "TrainOptions | None" = None) -> "TrainReport":
        """Learn the genres, measure on songs held out, write predictions for every song.

        Raises:
            NotReadyError: nothing was ingested, or there is nothing to tell apart.
            WrongUsageError: the songs can't be split by the rule asked for.
            KgError: an artist or a recording is on several sides of the split.
        """
        from kg.build import build_graph
        from kg.learning import training

        self.features()
        options = options or training.TrainOptions()

        def bring_up_to_date() -> None:
            # Songs or labels may have come since the last ingest: they belong to this training.
            self.store.credit_songs(self.progress)
            build_graph(
                self.store,
                self.features(),
                self.settings.neighbours_dir,
                self.progress,
                split=options.split,
                allow_leaks=options.allow_leaks,
            )

        return training.train(
            self.store,
            self.settings.models_dir,
            options,
            self.progress,
            before=bring_up_to_date,
            in_turn=self._in_turn,
        )

    def predict(self) -> "PredictReport":
        """Write the predictions of the model in use for every song again.

        Raises:
            NotReadyError: there is no model, or it doesn't fit the graph.
        """
        from kg.learning import training

        self.features()
        # All of it: two of them would write the same checkpoint's layers.
        return self._in_turn(
            lambda: training.predict(self.store, self.settings.models_dir, self.progress)
        )

    def predict_new(self) -> "PredictReport":
        """Write predictions of the model in use for the songs that have none, and for no others.

        Raises:
            NotReadyError: there is no model, its predictions were cut off, or the graph was
                rebuilt since it last saw it.
        """
        from kg.learning.catching_up import predict_new

        self.features()
        folders = self.settings.models_dir, self.settings.centroids_dir
        return self._in_turn(lambda: predict_new(self.store, *folders, self.progress))

    def evaluate(
        self,
        seeds: int = 0,
        side: "Side" = "valid",
        options: "TrainOptions | None" = None,
        *,
        known_artists: bool = True,
    ) -> "EvaluateReport":
        """Show what the model in use came to, and train fresh ones to see how much is chance.

        Args:
            seeds: How many fresh models to train; they are thrown away.
            side: `valid`, or `test`, where the graph remembers each model that was measured.
            options: How the fresh ones are trained.
            known_artists: Whether as many more are trained to see how well songs are recognised by
                artists who were learned from.

        Raises:
            NotReadyError: there is neither a model nor a number of seeds, or nothing to measure.
        """
        from kg.learning import seeds as several

        self.features()
        return several.evaluate(
            self.store,
            seeds,
            side,
            options,
            self.progress,
            known_artists=known_artists,
            in_turn=self._in_turn,
        )

    def compare(
        self, options: "CompareOptions | None" = None, *, workers: int | None = None
    ) -> "Comparison":
        """Compare models and representations on held-out songs; see `kg.compare`.

        The rows stay in the graph as `Experiment` nodes. A comparison that was cut off goes on
        when it is asked for again with the same options.

        Args:
            options: Which models, on what, how often.
            workers: Processes that extract frame sequences; None: one a core.

        Raises:
            NotReadyError: there are too few songs.
            WrongUsageError: an option can't be used, or an unfinished comparison of other settings
                is there.
        """
        from kg.comparing import compare_models

        return compare_models(
            self.store,
            self._songs_to_learn_from(workers),
            self.settings.comparison_dir,
            options,
            self.progress,
            in_turn=self._in_turn,
        )

    def experiments(self) -> "list[Experiment]":
        """All comparisons whose rows are in the graph, the newest first."""
        from kg.graph.experiments import read

        return read(self.connection)

    def remove_experiments(self, runs: str | Iterable[str]) -> "list[Experiment]":
        """Take the rows of comparisons out of the graph, and say which.

        Args:
            runs: Their ids, or what these begin with.

        Raises:
            WrongUsageError: there is no such comparison, or several; nothing was removed.
        """
        from kg.compare.experiments import remove_experiments

        listed = [runs] if isinstance(runs, str) else list(runs)
        return self._in_turn(lambda: remove_experiments(self.connection, listed))

    def tune(self, options: "TuneOptions | None" = None, *, workers: int | None = None) -> "Tuned":
        """Look for better settings of a model on held-out songs, none of them a test song.

        A tuning that was cut off goes on when it is asked for again with the same options, and
        with more trials it goes further. `TrainOptions(settings=...)` takes what it finds.

        Args:
            options: Which model, on what, how many trials.
            workers: Processes that extract frame sequences; None: one a core.

        Raises:
            NotReadyError: there are too few songs.
            WrongUsageError: an option can't be used.
            KgError: Optuna is missing, or another command tunes the same.
        """
        from kg.compare.tuning import tune

        songs = self._songs_to_learn_from(workers)
        folder = self.settings.kg_home / "tuning"
        return tune(songs.material, folder, songs.frames_of, options, self.progress)

    def _songs_to_learn_from(self, workers: int | None) -> "Songs":
        from kg.comparing import read_songs

        self.features()
        return read_songs(
            self.store,
            self.settings.cache_dir,
            self.progress,
            workers=workers,
            in_turn=self._in_turn,
        )

    def models(self) -> "list[SavedModel]":
        """All trained models, the newest first, and whether they fit the graph."""
        from kg.learning.saved_models import list_models

        return list_models(self.store, self.settings.models_dir)

    def use_model(self, id: str) -> "PredictReport":
        """Let another kept model speak: write its predictions for every song.

        Args:
            id: Its id, or what that begins or ends with.

        Raises:
            WrongUsageError: there is no such model, or several.
            NotReadyError: it doesn't fit the graph, or its checkpoint isn't here.
        """
        from kg.learning import training
        from kg.learning.saved_models import usable_model

        self.features()
        folder = self.settings.models_dir

        def use() -> "PredictReport":
            model = usable_model(self.store, folder, id)
            return training.predict(self.store, folder, self.progress, model=model)

        return self._in_turn(use)

    def remove_models(self, ids: str | Iterable[str], *, force: bool = False) -> "list[SavedModel]":
        """Delete models: their checkpoints and what the graph knows of them.

        Args:
            ids: Their ids, or what these begin or end with.
            force: Even the model in use, and its predictions with it.

        Raises:
            WrongUsageError: there is no such model, or several; or it is in use.
        """
        from kg.learning.saved_models import remove_models

        listed = [ids] if isinstance(ids, str) else list(ids)
        folder = self.settings.models_dir
        return self._in_turn(lambda: remove_models(self.store, folder, listed, force=force))

    def suggest_genres(self, *, labelled_too: bool = False) -> "SuggestReport":
        """Suggest genres by the tags that a network hears; no label of an owner is touched.

        Args:
            labelled_too: Suggest for songs that have a genre as well.

        Raises:
            NotReadyError: nothing was ingested, or no network that knows tags listens here.
        """
        from kg.genres.proposals import proposed_suggestions
        from kg.genres.suggesting import suggest

        self.features()
        policy = self.policy
        report = self._in_turn(
            lambda: suggest(self.store, self.progress, labelled_too=labelled_too)
        )
        return proposed_suggestions(report, policy, self.store)

    def forget_suggestions(self) -> None:
        """Take all suggestions away."""
        from kg.genres.suggesting import forget_suggestions

        self._in_turn(lambda: forget_suggestions(self.store))

    def audit(self, *, listen: bool = False, workers: int | None = None) -> "AuditReport":
        """Look for what may be wrong: labels, artists spread over genres, copies, sound.

        Labels that are in doubt wait in `proposals` afterwards, and copies are linked by
        `SAME_RECORDING`; no label changes. `status` says when the last audit ran.

        Args:
            listen: Listen first to songs whose sound nobody has looked at, as an older kg did.
            workers: Processes that listen; default: one a core.

        Raises:
            NotReadyError: nothing was ingested, or the graph isn't finished.
        """
        from kg.audit.audit import audit
        from kg.audit.listening import listen_to_unheard

        kinds = self.features()
        self._require_build()
        deaf = 0
        if listen:
            listened = listen_to_unheard(
                self.connection,
                self.settings.cache_dir,
                kinds.excerpt,
                workers=workers,
                progress=self.progress,
                in_turn=self._in_turn,
            )
            deaf = listened.deaf
        report = audit(self.store, self.progress, listened=listen, in_turn=self._in_turn)
        return replace(report, deaf=deaf)

    # --- deciding --------------------------------------------------------------------------------

    def proposals(self) -> "list[Proposal]":
        """Genres that wait for the owner's word: disputed labels, then what the model and what tags
        say of songs without a genre; of each the surest first.

        Raises:
            NotReadyError: nothing was ingested.
        """
        from kg.genres.proposals import shown_proposals
        from kg.graph.proposals import open_proposals

        self.features()
        found = open_proposals(self.connection)
        return list(shown_proposals(found, self.policy, self.store.tree()))

    def accept(
        self,
        song: Source,
        genre: str,
        *,
        replaces: Sequence[str] | None = None,
        proposal: "Proposal | None" = None,
        new: bool = False,
    ) -> "Decision":
        """Give a song a genre by its owner's word: no ingest changes it, and trainings learn it.

        Args:
            song: Its title, its path, or its id (four digits at least).
            genre: In any spelling.
            replaces: Which of its genres go; None: what an audit proposed to replace, else all.
            proposal: What was looked at: where the song's genres are others now, nothing changes.
            new: The genre may be one that no song has, no tree names and nobody proposes for it.

        Raises:
            KgError: there is no such song, or several.
            UnknownGenreError: nobody named the genre so far; it may be misspelled.
            DecidedError: somebody decided about it meanwhile.
        """
        return self._decide(song, genre, accept=True, replaces=replaces, proposal=proposal, new=new)

    def reject(self, song: Source, genre: str, *, proposal: "Proposal | None" = None) -> "Decision":
        """Never propose a genre for a song again; its genres stay as they are.

        Args:
            song: Its title, its path, or its id (four digits at least).
            genre: In any spelling.
            proposal: What was looked at: where the song's genres are others now, nothing changes.

        Raises:
            KgError: there is no such song, or several.
            UnknownGenreError: nobody named the genre so far; it may be misspelled.
            DecidedError: somebody decided about it meanwhile.
        """
        return self._decide(song, genre, accept=False, proposal=proposal)

    def undo(self, song: Source | None = None) -> "Decision":
        """Take back the last decision: the song's genres are what they were.

        Args:
            song: The last one about this song; None: of all.

        Raises:
            KgError: there is no such song, nothing was decided, or its genres have changed since.
        """
        from kg.graph.lookup import find_song
        from kg.graph.proposals import undo

        self.features()
        id = None if song is None else find_song(self.connection, str(song))
        return self._in_turn(lambda: self.connection.write(undo, id))

    def _decide(
        self,
        song: Source,
        genre: str,
        *,
        accept: bool,
        replaces: Sequence[str] | None = None,
        proposal: "Proposal | None" = None,
        new: bool = False,
    ) -> "Decision":
        from kg.graph.lookup import find_song
        from kg.graph.proposals import decide

        self.features()
        policy = self.policy
        id = find_song(self.connection, str(song)) if proposal is None else proposal.song
        by_hand = proposal is not None and proposal.kind == "hand"
        return self._in_turn(
            lambda: self.connection.write(
                decide,
                id,
                genre,
                accept=accept,
                replaces=replaces,
                seen=None if proposal is None else proposal.filed,
                kind="hand" if proposal is None else proposal.kind,
                strength=None if proposal is None or by_hand else proposal.strength,
                new=new,
                policy=policy,
            )
        )

    def written_tags(self, song: Source) -> "Tagged | None":
        """What `write_tags` wrote into a song's files, if it wasn't undone.

        Raises:
            KgError: there is no such song, or several; a backup can't be read.
        """
        from kg.graph.lookup import find_song
        from kg.tagging.backups import last_written

        return last_written(self.settings.tags_dir, find_song(self.connection, str(song)))

    def decisions(self) -> "list[Decided]":
        """All that was accepted or rejected and not undone, the newest first."""
        from kg.graph.decisions import decisions

        self.features()
        return list(decisions(self.connection))

    def write_tags(
        self,
        songs: Source | Iterable[Source] | None = None,
        *,
        predicted: float | None = None,
        dry_run: bool = True,
    ) -> "TagReport":
        """Write genres into the tags of files: those that the owner decided.

        Nothing else in a file changes, and what it was is kept: see `undo_tags`. The graph knows
        it as the same song afterwards.

        Args:
            songs: Only these, by title, path or id; default: all.
            predicted: Also what the model says of songs without a genre, where it is at least so
                probable and not rejected or doubted.
            dry_run: Only say what would change.

        Raises:
            KgError: there is no such song, or several; the backup can't be written.
            NotReadyError: nothing was ingested.
        """
        from kg.graph.lookup import find_song
        from kg.tagging.writing import models_wishes, owners_wishes, write_tags

        self.features()
        ids = None
        if songs is not None:
            named = [songs] if isinstance(songs, str | Path) else songs
            ids = [find_song(self.connection, str(each)) for each in named]
        wishes = owners_wishes(self.connection, ids)
        if predicted is not None:
            told = {
                each.song: (each.genre, each.strength)
                for each in self.proposals()
                if each.kind == "prediction" and each.strength >= predicted
            }
            wishes += models_wishes(self.connection, told, ids)
        return write_tags(
            self.connection,
            wishes,
            self.settings.tags_dir,
            dry_run=dry_run,
            in_turn=self._in_turn,
            progress=self.progress,
        )

    def undo_tags(self) -> "UndoReport | None":
        """Make files what they were before the last `write_tags`; None: nothing is left to undo.

        Raises:
            KgError: the backup can't be read.
        """
        from kg.tagging.writing import places_of, undo_tags

        return undo_tags(
            self.settings.tags_dir, lambda song: places_of(self.connection, song), self.progress
        )

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
        most: int | None = None,
        unwanted: "Event | None" = None,
    ) -> "Answer":
        """Like `query`, as plain lists; see `Connection.ask`."""
        if self._store is None:
            from kg.graph.load import refuse_half_loaded

            refuse_half_loaded(self.connection)
        return self.connection.ask(
            cypher, dict(parameters or {}), timeout, most=most, unwanted=unwanted
        )

    def explain(self, song: Source, *, named: int | None = None) -> "Explanation":
        """Why a song has its first two predicted genres, by measured contribution.

        Args:
            song: Its title, its path, or its id (four digits at least).
            named: Most pieces of evidence that are named for each genre.

        Raises:
            KgError: there is no such song, or several.
            NotReadyError: it has no predictions, or the graph has changed since.
        """
        from kg.asking.explaining import NAMED, explain

        self.features()
        return explain(
            self.store,
            self.settings.models_dir,
            str(song),
            named=NAMED if named is None else named,
            progress=self.progress,
            in_turn=self._in_turn,
        )

    def similar(self, song: Source, n: int | None = None) -> "SimilarSongs":
        """The songs most like a song, as the model in use sees them, and what they share.

        Args:
            song: Its title, its path, or its id (four digits at least).
            n: How many songs; default: 10.

        Raises:
            KgError: there is no such song, or several.
        """
        from kg.asking.similar import MOST, similar

        self.features()
        policy, tree = self.policy, self.store.tree()
        return similar(
            self.store,
            self.settings.models_dir,
            str(song),
            MOST if n is None else n,
            shown=lambda names: policy.names(names, tree),
        )

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

        self.features()
        return to_hetero(self._in_turn(self.store.read_graph))

    def export(self, folder: Source) -> "tuple[HeteroData, IdMaps]":
        """Write the graph as safetensors and JSON; `kg.hetero.load_hetero` reads it again."""
        from kg.hetero import save_hetero

        data, maps = self.hetero_with_ids()
        save_hetero(data, maps, Path(folder))
        return data, maps

    def dump(self, file: Source, *, models: "Models" = "current", force: bool = False) -> "Dump":
        """Write the whole library to one file, which `load` brings into any other database.

        Args:
            file: Where to; docs/dump.md describes what is in it.
            models: Whose checkpoints come along: that of the model in use, `all`, or `none`.
            force: Replace a file that is there.

        Raises:
            WrongUsageError: the file is there already, or can't be there.
            NotReadyError: the graph is empty or unfinished.
            KgError: the file can't be written, or the graph changes all the time.
        """
        from kg.graph.dump import write_dump
        from kg.learning.saved_models import checkpoints_of

        with self._writing():
            folders = checkpoints_of(self.store, self.settings.models_dir, models, self.progress)
            return write_dump(
                self.connection, normal(Path(file)), folders, force=force, progress=self.progress
            )

    def load(self, file: Source) -> "Dump":
        """Bring a dump into an empty database, and its checkpoints into this home.

        A load that was cut off is finished by loading the same file again.

        Args:
            file: What `dump` wrote.

        Raises:
            WrongUsageError: there is no such file, or it is no dump.
            KgError: it is damaged, or of a newer kg, or the database holds a graph already.
        """
        from kg.graph.load import load_dump
        from kg.graph.store import GraphStore

        GraphStore(self.connection).prepare(self.progress)
        return self._in_turn(
            lambda: load_dump(
                self.connection, normal(Path(file)), self.settings.models_dir, self.progress
            )
        )

    # --- plumbing --------------------------------------------------------------------------------

    def _scan(self, folders: Sequence[Path], genres_from: "GenresFrom") -> "Scan":
        """Look for songs; where there is nothing, the list of rejected files learns of that too."""
        from kg.sources.folder import scan
        from kg.tagging.contents import as_known, known_contents

        try:
            found = scan(folders, genres_from, self.progress)
            return as_known(found, known_contents(self.connection))
        except KgError as error:
            # A folder that isn't there ends it before the others are looked at.
            _, unlisted = self._list_rejects(
                (), () if isinstance(error, WrongUsageError) else folders
            )
            if unlisted is not None:
                self.progress.say(unlisted)
            raise

    def _list_rejects(
        self, rejected: "Sequence[Rejected]", folders: Sequence[Path]
    ) -> tuple[Path | None, str | None]:
        """Keep the list of rejected files: where it is, or why it can't be kept.

        Songs are worth more than this list: what goes wrong with it is said, and ends nothing.
        """
        from kg.intake.rejects import write_rejects

        try:
            return write_rejects(rejected, folders, self.settings.rejects_file), None
        except KgError as error:
            return None, str(error)

    def _in_turn(self, step: Callable[[], T]) -> T:
        """Run a step that writes to the graph, or reads all of it, while no other command does."""
        return again_if_overtaken(step, self._writing, self.progress)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep all other commands from writing to the graph; see `kg.writers`."""
        from kg.graph.turns import Turn
        from kg.learning.saved_models import restore_checkpoints

        with home_lock(self.settings, self.progress) as home:
            restore_checkpoints(self.settings.models_dir)
            if self._store is None:
                from kg.graph.store import GraphStore

                GraphStore(self.connection).prepare(self.progress)
            with Turn(self.connection, home, self.progress):
                yield

    def _require_build(self) -> None:
        if self.store.build() is None:
            raise NotReadyError("There is no finished library to add to: run `kg ingest` first.")

    def _ears(
        self,
        excerpt: Excerpt | None,
        names: Sequence[str] | None,
        *,
        finishing: "Finishing | None" = None,
        trust_remote_code: bool = False,
        offer: Callable[[], bool] = lambda: False,
    ) -> "Ears":
        """What songs are heard with from now on; see `ingest`."""
        from kg.embeddings.choice import choose
        from kg.given import refuse_audio

        there = self._same_features(excerpt, finishing=finishing)
        refuse_audio(there)
        return choose(
            there,
            excerpt,
            names,
            self.settings.embeddings_dir,
            self.progress,
            trust_remote_code=trust_remote_code,
            offer=offer,
        )

    def _same_features(
        self,
        wanted: Excerpt | None = None,
        *,
        at_least: "Ears | None" = None,
        finishing: "Finishing | None" = None,
    ) -> "FeatureSet | None":
        """The features of the graph, if this kg makes the same; see `kg.same_features`."""
        from kg.same_features import same_features

        return same_features(self.store, wanted, at_least=at_least, finishing=finishing)


def _read_tree(tree: "Source | TreeFile | None") -> "TreeFile | None":
    from kg.genres.files import read_tree

    return read_tree(tree) if isinstance(tree, str | Path) else tree


def _paths(sources: Source | Iterable[Source]) -> list[Path]:
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    if not listed:
        raise WrongUsageError("Name at least one folder or audio file.")
    if "" in listed:  # to Path that is the folder we are in, which nobody named
        raise WrongUsageError("A folder or audio file has an empty name: leave it out, or write .")
    return [normal(Path(source)) for source in listed]
