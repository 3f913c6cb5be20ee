"""What a report is about, read from the graph: songs, the model in use, the last comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kg.errors import KgError
from kg.graph import queries
from kg.graph.rows import ModelRow
from kg.graph.transactions import read_rows
from kg.intake.rejects import read_rejects
from kg.learning.saved_models import none_in_use
from kg.maps.songs import SongMap, song_map
from kg.records import Rejected
from kg.report.words import named
from kg.splits.songs import SplitSong

if TYPE_CHECKING:
    from kg.audit.copies import Copy
    from kg.audit.faults import Faults
    from kg.audit.spread import SpreadArtist
    from kg.genres.tree import Tree
    from kg.graph.proposals import Proposal
    from kg.graph.rows import Looks
    from kg.library import Library
    from kg.status import Status

# Artists and albums that are named.
NAMED: Final = 12
UNLEARNED: Final = "Nothing was learned yet: run `kg train`, and the report again."
UNTOLD: Final = "Nothing was learned yet: give songs two genres at least, and run `kg train`."


@dataclass(frozen=True, slots=True)
class ReportSong:
    """A song as a report shows it.

    Attributes:
        id: Its key.
        title: Its title, else its file's name, else the beginning of its id.
        artist: Empty where unknown.
        paths: Of all copies; empty for a row of a table.
        duration: Seconds; None where unknown.
        split: `train`, `valid`, `test` or None.
        recording: Key that it shares with copies; None where it has none.
        doubt: Why the model calls it unknown; None where it doesn't.
        novelty: How unlike the library it is, 0 to 1; None where nobody measured it.
        genres: Of its owner, sorted.
        told: What the model says, the likeliest first: genre and probability.
    """

    id: str
    title: str
    artist: str
    paths: Sequence[str]
    duration: float | None
    split: str | None
    recording: str | None
    doubt: str | None
    novelty: float | None
    genres: Sequence[str]
    told: Sequence[tuple[str, float]]

    @property
    def name(self) -> str:
        """Title and artist."""
        return f"{named(self.title)} ({named(self.artist)})" if self.artist else self.title


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a report says, before it is put in words.

    Attributes:
        songs: Every song.
        status: What is there and how fresh it is.
        keys: What the split knows of every song.
        counts: Of artists, albums and playlists.
        most: Artists and albums with the most songs, and how many.
        rejected: Files that couldn't be taken in.
        model: The one in use; None: there is none.
        unlearned: Why there is none and how to get one, in a sentence; empty where there is one.
        looks: How many models the test songs have been shown to.
        drawn: Where songs lie on the map; None where none can be drawn.
        undrawn: Why not, in a sentence.
        experiment: Rows of the last comparison, as they are in the graph.
        curve: Rows of the last comparison with a learning curve; empty where there is none.
        disputes: Labels that an audit takes for wrong, the surest first.
        tree: What is a kind of what among genres.
        copies: Pairs of one recording that an audit found.
        faults: Songs whose sound is broken, and how many nobody looked at.
        spread: Artists whose songs have no genre in common, the most spread first.
    """

    songs: Sequence[ReportSong]
    status: "Status"
    keys: Sequence[SplitSong]
    counts: Mapping[str, int]
    most: Mapping[str, Sequence[tuple[str, int]]]
    rejected: Sequence[Rejected]
    model: ModelRow | None
    unlearned: str
    looks: "Looks | None"
    drawn: SongMap | None
    undrawn: str
    experiment: Sequence[Mapping[str, Any]]
    curve: Sequence[Mapping[str, Any]]
    disputes: "Sequence[Proposal]"
    tree: "Tree"
    copies: "Sequence[Copy]"
    faults: "Faults"
    spread: "Sequence[SpreadArtist]"


def gather(library: "Library") -> Facts:
    """Read what a report is about; nothing is changed but the map that the home folder keeps.

    Raises:
        NotReadyError: there are no songs.
        GraphError: the server doesn't answer.
    """
    from kg.audit.copies import read_copies
    from kg.audit.faults import find_faults
    from kg.audit.spread import spread_artists
    from kg.status import status_of

    store, connection = library.store, library.connection
    with library.progress.stage("Reading songs", None):
        keys, tree = store.read_keys(), store.tree()
        songs = [_song(row) for row in read_rows(connection, queries.REPORTED_SONGS)]
    with library.progress.stage("Looking at what is there", None):
        status = status_of(store, library.settings, keys)
    drawn, undrawn = None, ""
    try:
        drawn = song_map(library)
    except KgError as error:
        undrawn = str(error)
    model = status.model
    looks = store.looks(model.test_split) if model is not None and model.test_split else None
    return Facts(
        songs=sorted(songs, key=lambda song: song.id),
        status=status,
        keys=keys,
        counts={
            name: read_rows(connection, text)[0]["n"]
            for name, text in queries.COUNT_FURTHER.items()
        },
        most={
            name: [(row["name"], row["songs"]) for row in read_rows(connection, text, most=NAMED)]
            for name, text in queries.MOST_SONGS.items()
        },
        rejected=[
            Rejected(Path(file), reason)
            for file, reason in read_rejects(library.settings.rejects_file).items()
        ],
        model=model,
        unlearned="" if model is not None else none_in_use(store) or _unlearned(keys),
        looks=looks,
        drawn=drawn,
        undrawn=undrawn,
        experiment=[row["properties"] for row in read_rows(connection, queries.LAST_EXPERIMENT)],
        curve=[row["properties"] for row in read_rows(connection, queries.LAST_LEARNING_CURVE)],
        disputes=[each for each in library.proposals() if each.kind == "label"],
        tree=tree,
        copies=read_copies(connection),
        faults=find_faults(connection),
        spread=spread_artists(
            [song.id for song in keys],
            [song.artist for song in keys],
            [song.genres for song in keys],
            tree,
        ),
    )


def _unlearned(keys: Sequence[SplitSong]) -> str:
    return UNLEARNED if len({genre for song in keys for genre in song.genres}) > 1 else UNTOLD


def _song(row: Mapping[str, Any]) -> ReportSong:
    paths = [path for path in row["paths"] or () if path]
    ranked = sorted(row["told"], key=lambda told: int(told[2]))
    return ReportSong(
        id=row["id"],
        title=row["title"] or (Path(paths[0]).name if paths else row["id"][:12]),
        artist=row["artist"] or "",
        paths=paths,
        duration=row["duration"],
        split=row["split"],
        recording=row["recording"],
        doubt=row["doubt"],
        novelty=row["novelty"],
        genres=sorted(row["genres"]),
        told=[(name, probability) for name, probability, _ in ranked],
    )
