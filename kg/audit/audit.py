"""The audit of a library: what may be wrong with it, each finding with evidence and Cypher."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from kg.audit.copies import Copies, Copy, SameFile, find_copies, write_copies
from kg.audit.evidence import Artists, DisputedSong, Found, with_evidence
from kg.audit.faults import Fault, Faults, find_faults
from kg.audit.folds import groups_of
from kg.audit.labels import FEWEST_GROUPS, disputes, judgeable, related, with_others
from kg.audit.spread import SpreadArtist, spread_artists
from kg.audit.told import MODEL, out_of_fold
from kg.clusters import FeatureSpace
from kg.genres.tree import Tree
from kg.graph import queries
from kg.graph.audits import AuditRow, forget_audit, song_fingerprint, write_audit
from kg.graph.literals import with_literals
from kg.graph.proposals import write_disputes
from kg.graph.rows import SongTable
from kg.graph.store import GraphStore
from kg.graph.transactions import read_rows
from kg.learning.saved_models import label_fingerprint
from kg.learning.training import InTurn, at_once
from kg.metrics.evaluate import Bools
from kg.progress import SILENT, Progress
from kg.splits import SplitSong, artist_key

CHAINED: Final = "whose recordings chain many artists together"
SCARCE: Final = f"whose genre has songs by fewer than {FEWEST_GROUPS} artists"
"""Why songs can't be judged."""

SEVERAL: Final = 0.02
"""Share of songs with several genres from which on any song may have several: a file that lies in
two folders says nothing of all others."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How many songs of one genre are probably of another."""

    filed: str
    genre: str
    songs: int


@dataclass(frozen=True, slots=True)
class LabelAudit:
    """Which labels are in doubt.

    Attributes:
        model: What told the songs, none of which was told by its artist's other songs' sound.
        judged: Songs with a genre that could be judged.
        nameless: Those whose artist isn't known: their artists' other songs may have told them.
        unjudged: Songs that couldn't, by reason.
        agreeing: Share of those judged whose likeliest genre by sound is theirs, or a kind of it.
        decided: Songs whose genre is their owner's own word: these aren't disputed.
        kept: Songs whose owner rejected a proposal and whose genres are still the same, or whose
            genres changed while the audit ran.
        songs: The disputed ones, the surest first.
        taken: The same by genre, the most frequent first.
        cypher: Shows all of them.
    """

    model: str
    judged: int
    nameless: int
    unjudged: dict[str, int]
    agreeing: float
    decided: int
    kept: int
    songs: Sequence[DisputedSong]
    taken: Sequence[Taken]
    cypher: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What may be wrong with a library.

    Attributes:
        songs: Songs in it.
        labelled: Those with a genre.
        labels: Labels that are in doubt; None where none could be judged.
        why_not_labels: Why none could be.
        artists: Artists whose songs are spread over genres, the most spread first.
        copies: Pairs of songs that are one recording, the most alike first.
        files: Songs that lie in several files of the same bytes.
        faults: Songs whose sound is broken, by kind, the worst first.
        unheard: Songs with a file whose sound nobody has looked at: an older kg listened to them.
        deaf: Of those listened to for this audit, songs whose files are gone or can't be heard.
    """

    songs: int
    labelled: int
    labels: LabelAudit | None
    why_not_labels: str | None
    artists: Sequence[SpreadArtist]
    copies: Sequence[Copy]
    files: Sequence[SameFile]
    faults: Sequence[Fault]
    unheard: int
    deaf: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """What is read of the graph."""

    songs: SongTable
    keys: Sequence[SplitSong]
    space: FeatureSpace
    tree: Tree
    decided: frozenset[str]
    copies: Copies
    began: datetime


def audit(
    store: GraphStore,
    progress: Progress = SILENT,
    *,
    seed: int = 0,
    listened: bool = False,
    in_turn: InTurn = at_once,
) -> AuditReport:
    """Look for what is wrong; what is disputed becomes `PROPOSED_GENRE`, for the owner to decide.

    Copies become `SAME_RECORDING`, and an `Audit` node says that it ran. No label changes; what was
    found before and isn't decided is replaced.

    Args:
        store: A graph whose build is finished.
        progress: Told how far it is.
        seed: Of folds.
        listened: Whether songs were listened to for it.
        in_turn: Runs the steps that others must not disturb.
    """

    def read() -> _Read:
        began = datetime.now(UTC)
        with progress.stage("Reading the graph", None):
            space, _ = store.read_space()
            decided = read_rows(store.connection, queries.OWNERS_WORD)
            songs, keys, tree = store.read_songs(), store.read_keys(), store.tree()
        copies = find_copies(store.connection, progress)
        owners = frozenset(row["id"] for row in decided)
        return _Read(songs, keys, space, tree, owners, copies, began)

    there = in_turn(read)
    songs = there.songs
    found, labels, why_not = _disputed(there, progress, seed)

    spread = spread_artists(songs.ids, songs.artists, songs.genres, there.tree)
    with_genre = sum(1 for names in songs.genres if names)

    def write() -> tuple[list[DisputedSong], Faults]:
        # The owner may have filed a song elsewhere meanwhile.
        now = store.genres_by_song()
        still = [each for each in found if now.get(each.id) == each.filed]
        forget_audit(store.connection)
        write_copies(store.connection, there.copies.found)
        others = _genres_of_copies(there)
        artists = Artists(songs.artists, songs.genres)
        listed = with_evidence(store.connection, still, artists, others)
        written = {
            each.song for each in write_disputes(store.connection, [d.dispute() for d in listed])
        }
        faults = find_faults(store.connection)
        row = AuditRow(
            created_at=there.began,
            songs=len(songs),
            labelled=with_genre,
            judged=labels.judged if labels is not None else 0,
            listened=listened,
            unheard=faults.unheard,
            disputed=len(written),
            artists=len(spread),
            copies=len(there.copies.found),
            files=len(there.copies.files),
            faults=len(faults.found),
            labels=label_fingerprint(there.keys),
            ids=song_fingerprint(there.keys),
            feature_version=there.space.kinds.version,
        )
        write_audit(store.connection, row)
        return [each for each in listed if each.id in written], faults

    written, faults = in_turn(write)
    if labels is not None:
        taken = Counter((name, each.genre) for each in written for name in each.replaces)
        labels = replace(
            labels,
            kept=len(found) - len(written),
            songs=written,
            taken=[Taken(*pair, count) for pair, count in sorted(taken.items(), key=_frequent)],
        )
    return AuditReport(
        songs=len(songs),
        labelled=with_genre,
        labels=labels,
        why_not_labels=why_not,
        artists=[
            replace(each, cypher=with_literals(queries.ARTISTS_GENRES, artist=each.key))
            for each in spread
        ],
        copies=there.copies.found,
        files=there.copies.files,
        faults=faults.found,
        unheard=faults.unheard,
    )


def _genres_of_copies(there: _Read) -> Mapping[str, Sequence[tuple[str, ...]]]:
    """Genres of the other copies of a recording that have some, by song."""
    genres = dict(zip(there.songs.ids, there.songs.genres, strict=True))
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for copy in there.copies.found:
        for one, other in ((copy.song, copy.other), (copy.other, copy.song)):
            if names := genres.get(other):
                found[one].append(names)
    return found


def _frequent(taken: tuple[tuple[str, str], int]) -> tuple[int, tuple[str, str]]:
    return -taken[1], taken[0]


def _disputed(
    there: _Read, progress: Progress, seed: int
) -> tuple[list[Found], LabelAudit | None, str | None]:
    """What is disputed; how it was found; why nothing could be."""
    songs = there.songs
    genres = sorted({name for names in songs.genres for name in names})
    group = groups_of(songs.ids, there.keys, [(c.song, c.other) for c in there.copies.found])
    truth = _truth(songs, genres)
    labelled = truth.any(axis=1)
    rows, columns = judgeable(truth, group)
    if not labelled.any():
        return [], None, "No song has a genre: there is no label to judge."
    if len(columns) < 2:
        return (
            [],
            None,
            (
                "No label can be judged: that needs two genres with songs by "
                f"{FEWEST_GROUPS} artists each, where a song by nobody known counts as an artist."
            ),
        )
    names = [genres[column] for column in columns]
    truth = truth[np.ix_(rows, columns)]
    several = bool((truth.sum(axis=1) > 1).mean() >= SEVERAL)
    x = there.space.inputs(there.space.standardise(songs.features[rows]))
    heard = out_of_fold(x, truth, group[rows], several=several, seed=seed, progress=progress)
    said = with_others(heard, truth, group[rows], several=several)
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
        nameless=sum(1 for row in rows if artist_key(songs.artists[row]) is None),
        unjudged={why: count for why, count in unjudged.items() if count},
        agreeing=float(agree.mean()),
        decided=len(there.decided),
        kept=0,
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
