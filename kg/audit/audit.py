"""The audit of a library: what is probably wrong with it, each finding with evidence and Cypher."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from kg.audit.evidence import Artists, DisputedSong, Found, with_evidence
from kg.audit.folds import groups_of
from kg.audit.labels import FEWEST_GROUPS, disputes, judgeable, related, with_artists
from kg.audit.spread import SpreadArtist, spread_artists
from kg.audit.told import MODEL, out_of_fold
from kg.clusters import FeatureSpace
from kg.evaluate import Bools
from kg.genres.tree import Tree
from kg.graph import queries
from kg.graph.literals import with_literals
from kg.graph.proposals import write_disputes
from kg.graph.rows import SongTable
from kg.graph.store import GraphStore
from kg.graph.transactions import read_rows
from kg.learning import InTurn, at_once
from kg.progress import SILENT, Progress
from kg.splits import SplitSong

CHAINED: Final = "whose recordings chain many artists together"
SCARCE: Final = f"whose genre has songs by fewer than {FEWEST_GROUPS} artists"
"""Why songs can't be judged."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How many songs of one genre are probably of another."""

    filed: str
    genre: str
    songs: int


@dataclass(frozen=True, slots=True)
class LabelAudit:
    """Which labels are probably wrong.

    Attributes:
        model: What told the songs, none of which was told by its artist's other songs' sound.
        judged: Songs with a genre that could be judged.
        unjudged: Songs that couldn't, by reason.
        agreeing: Share of those judged whose likeliest genre by sound is theirs, or a kind of it.
        decided: Songs whose genre is their owner's own word: these aren't disputed.
        rejected: Songs whose owner rejected a proposal, as long as their genres stay the same.
        songs: The disputed ones, the surest first.
        taken: The same by genre, the most frequent first.
        cypher: Shows all of them.
    """

    model: str
    judged: int
    unjudged: dict[str, int]
    agreeing: float
    decided: int
    rejected: int
    songs: Sequence[DisputedSong]
    taken: Sequence[Taken]
    cypher: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What is probably wrong with a library.

    Attributes:
        songs: Songs in it.
        labelled: Those with a genre.
        labels: Labels that are probably wrong; None where none could be judged.
        why_not_labels: Why none could be.
        artists: Artists whose songs are spread over genres, the most spread first.
    """

    songs: int
    labelled: int
    labels: LabelAudit | None
    why_not_labels: str | None
    artists: Sequence[SpreadArtist]


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """What is read of the graph."""

    songs: SongTable
    keys: Sequence[SplitSong]
    space: FeatureSpace
    tree: Tree
    decided: frozenset[str]


def audit(
    store: GraphStore, progress: Progress = SILENT, *, seed: int = 0, in_turn: InTurn = at_once
) -> AuditReport:
    """Look for what is wrong; what is disputed becomes `PROPOSED_GENRE`, for the owner to decide.

    No label changes; what was disputed before and isn't decided is replaced.

    Args:
        store: A graph whose build is finished.
        progress: Told how far it is.
        seed: Of folds.
        in_turn: Runs the steps that others must not disturb.
    """

    def read() -> _Read:
        with progress.stage("Reading the graph", None):
            space, _ = store.read_space()
            decided = read_rows(store.connection, queries.SONGS_DECIDED)
            return _Read(
                store.read_songs(),
                store.read_keys(),
                space,
                store.tree(),
                frozenset(row["id"] for row in decided),
            )

    there = in_turn(read)
    songs = there.songs
    found, labels, why_not = _disputed(there, progress, seed)

    def write() -> list[DisputedSong]:
        # The owner may have filed a song elsewhere meanwhile.
        now = store.genres_by_song()
        still = [each for each in found if now.get(each.id) == each.filed]
        listed = with_evidence(store.connection, still, Artists(songs.artists, songs.genres))
        written = {
            each.song for each in write_disputes(store.connection, [d.dispute() for d in listed])
        }
        return [each for each in listed if each.id in written]

    written = in_turn(write)
    if labels is not None:
        taken = Counter((name, each.genre) for each in written for name in each.replaces)
        labels = replace(
            labels,
            rejected=len(found) - len(written),
            songs=written,
            taken=[Taken(*pair, count) for pair, count in sorted(taken.items(), key=_frequent)],
        )
    spread = spread_artists(songs.ids, songs.artists, songs.genres, there.tree)
    return AuditReport(
        songs=len(songs),
        labelled=sum(1 for names in songs.genres if names),
        labels=labels,
        why_not_labels=why_not,
        artists=[
            replace(each, cypher=with_literals(queries.ARTISTS_GENRES, artist=each.key))
            for each in spread
        ],
    )


def _frequent(taken: tuple[tuple[str, str], int]) -> tuple[int, tuple[str, str]]:
    return -taken[1], taken[0]


def _disputed(
    there: _Read, progress: Progress, seed: int
) -> tuple[list[Found], LabelAudit | None, str | None]:
    """What is disputed; how it was found; why nothing could be."""
    songs = there.songs
    genres = sorted({name for names in songs.genres for name in names})
    group = groups_of(songs.ids, there.keys)
    truth = _truth(songs, genres)
    labelled = truth.any(axis=1)
    rows, columns = judgeable(truth, group)
    if len(columns) < 2:
        return (
            [],
            None,
            (
                "No label can be judged: that needs two genres with songs by "
                f"{FEWEST_GROUPS} artists each, or without one."
            ),
        )
    names = [genres[column] for column in columns]
    truth = truth[np.ix_(rows, columns)]
    several = bool((truth.sum(axis=1) > 1).any())
    x = there.space.inputs(there.space.standardise(songs.features[rows]))
    heard = out_of_fold(x, truth, group[rows], several=several, seed=seed, progress=progress)
    artists = [songs.artists[row] for row in rows]
    said = with_artists(heard, truth, artists, several=several)
    kin = related(names, there.tree)
    found = []
    for each in disputes(said, truth, kin, several=several):
        row = int(rows[each.row])
        if songs.ids[row] in there.decided:
            continue
        first = int(heard[each.row].argmax())
        found.append(
            Found(
                songs.ids[row],
                each.kind,
                songs.genres[row],
                tuple(names[column] for column in each.replaces),
                names[each.genre],
                each.strength,
                each.filed_strength,
                (names[first], float(heard[each.row, first])),
            )
        )
    agree = (truth & kin[heard.argmax(axis=1)]).any(axis=1)
    unjudged = {
        CHAINED: int((labelled & (group < 0)).sum()),
        SCARCE: int((labelled & (group >= 0)).sum()) - len(rows),
    }
    report = LabelAudit(
        model=MODEL,
        judged=len(rows),
        unjudged={why: count for why, count in unjudged.items() if count},
        agreeing=float(agree.mean()),
        decided=len(there.decided),
        rejected=0,
        songs=(),
        taken=(),
        cypher=queries.ALL_DISPUTES.strip(),
    )
    return found, report, None


def _truth(songs: SongTable, genres: Sequence[str]) -> Bools:
    """Genres of each song, bool [n, g]."""
    at = {name: column for column, name in enumerate(genres)}
    truth: Bools = np.zeros((len(songs), len(genres)), dtype=np.bool_)
    for row, names in enumerate(songs.genres):
        truth[row, [at[name] for name in names]] = True
    return truth
