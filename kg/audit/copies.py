"""Songs that are in the library several times: the same bytes, or the same recording.

Files of the same bytes are one song with several paths already. Other encodings, cut, higher or
faster versions of one recording are found by their prints (`kg.audio.prints`); where a song has
none, as an older kg listened to it or a table gave its features, by what the build found
(`kg.splits.duplicates`). What is found becomes `(:Song)-[:SAME_RECORDING]->(:Song)`.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from kg.audio.prints import SECONDS
from kg.audit.matching import LEAST_STEPS, Match, Prints, matches
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.literals import with_literals
from kg.graph.sounds import Printed, count_unheard, read_prints
from kg.graph.transactions import batches, fetch, read_rows, run
from kg.progress import SILENT, Progress

CopyKind = Literal["encoding", "cut", "pitch", "speed"]

_SAME_LENGTH: Final = 1.0  # seconds: encoders add silence at both ends
_SAME_PLACE: Final = 0.8  # seconds by which one may begin later for that


@dataclass(frozen=True, slots=True)
class Copy:
    """Two songs that are one recording; `song` is the one whose id comes first.

    Attributes:
        song: Id.
        other: Id of the other one.
        titles: Of both, None where unknown.
        paths: Where both lie, or what their tables call them; None where neither is known.
        kind: What is different: `encoding` (nothing that can be heard), `cut` (one begins or ends
            elsewhere), `pitch`, or `speed`.
        distance: 0 (alike) to 1: 1 less the correlation of their prints where they overlap.
        later: Seconds by which the other one begins later in the recording, give or take a step of
            a print; where the middle of one is silent this isn't known so well.
        semitones: How much higher the other one is, -5 to 6.
        speed: How many times as fast the other one is.
        printed: Whether their prints were compared; else the build found them by their features,
            and how different they are isn't known.
        evidence: The same in words.
        cypher: Shows it, once `write_copies` has written it.
    """

    song: str
    other: str
    titles: tuple[str | None, str | None]
    paths: tuple[str | None, str | None]
    kind: CopyKind
    distance: float
    later: float
    semitones: int
    speed: float
    printed: bool
    evidence: str
    cypher: str


@dataclass(frozen=True, slots=True)
class SameFile:
    """A song that lies in several files of the same bytes.

    Attributes:
        song: Id.
        title: None where unknown.
        artist: None where unknown.
        paths: Where, sorted.
        evidence: The same in words.
        cypher: Shows it.
    """

    song: str
    title: str | None
    artist: str | None
    paths: tuple[str, ...]
    evidence: str
    cypher: str


@dataclass(frozen=True, slots=True)
class Copies:
    """What `find_copies` found.

    Attributes:
        files: Songs in several files of the same bytes.
        found: Pairs of songs, the most alike first.
        unheard: Songs with a file that have no print: an older kg listened to them.
    """

    files: Sequence[SameFile]
    found: Sequence[Copy]
    unheard: int


def find_copies(connection: Connection, progress: Progress = SILENT) -> Copies:
    """Which songs are in the library several times; nothing is listened to, nothing written.

    Args:
        connection: The database.
        progress: Told how far it is.

    Raises:
        GraphError: the server doesn't answer.
    """
    printed = read_prints(connection)
    found = matches(Prints(printed.prints, printed.lengths), progress)
    pairs = {
        (printed.ids[match.first], printed.ids[match.second]): _told(match, printed)
        for match in found
    }
    compared = {
        id
        for id, length in zip(printed.ids, printed.lengths.tolist(), strict=True)
        if length >= LEAST_STEPS
    }
    for pair in _by_features(connection, compared):
        pairs.setdefault(pair, _Told("encoding", 0.0, printed=False))
    copies = _named(connection, pairs)
    copies.sort(key=lambda copy: (copy.distance, copy.song, copy.other))
    return Copies(same_files(connection), copies, count_unheard(connection))


def same_files(connection: Connection) -> list[SameFile]:
    """Songs that lie in several files of the same bytes, by id."""
    return [
        SameFile(
            song=row["id"],
            title=row["title"],
            artist=row["artist"],
            paths=tuple(row["paths"]),
            evidence=f"{len(row['paths'])} files of the same bytes",
            cypher=with_literals(queries.FILES_SHOWN, song=row["id"]),
        )
        for row in read_rows(connection, queries.SONGS_OF_SEVERAL_FILES)
    ]


def write_copies(connection: Connection, copies: Sequence[Copy]) -> None:
    """Put these into the graph, in the place of what the last audit found.

    Args:
        connection: The database; nobody else writes to it meanwhile.
        copies: From `find_copies`.
    """
    old = [row["id"] for row in read_rows(connection, queries.SONGS_WITH_COPIES)]
    for batch in batches(old):
        connection.write(run, queries.DELETE_COPIES_OF, ids=batch)
    rows = [
        {
            "song": copy.song,
            "other": copy.other,
            "properties": {
                "kind": copy.kind,
                "distance": copy.distance,
                "later": copy.later,
                "semitones": copy.semitones,
                "speed": copy.speed,
                "printed": copy.printed,
            },
        }
        for copy in copies
    ]
    for some in batches(rows):
        connection.write(run, queries.CREATE_COPIES, rows=some)


def read_copies(connection: Connection) -> list[Copy]:
    """What the last audit found, the most alike first."""
    copies = [
        _copy(
            row["song"],
            row["other"],
            (row["title"], row["otherTitle"]),
            (row["path"], row["otherPath"]),
            _Told(**row["properties"]),
        )
        for row in read_rows(connection, queries.COPIES)
    ]
    return sorted(copies, key=lambda copy: (copy.distance, copy.song, copy.other))


@dataclass(frozen=True, slots=True)
class _Told:
    """What is said of a pair, as the relationship has it."""

    kind: CopyKind
    distance: float
    later: float = 0.0
    semitones: int = 0
    speed: float = 1.0
    printed: bool = True


def _told(match: Match, printed: Printed) -> _Told:
    pair = [match.first, match.second]
    first, second = printed.durations[pair]
    # Prints are of the middles: what is cut off at one end of a long song shifts them by half.
    before = (printed.durations[pair] - SECONDS * printed.lengths[pair]).clip(min=0) / 2
    apart = float(before[0] - before[1])
    later = match.later + (0.0 if np.isnan(apart) else apart)
    kind: CopyKind = "encoding"
    if match.speed != 1.0:
        kind = "speed"
    elif match.semitones:
        kind = "pitch"
    elif abs(later) > _SAME_PLACE or abs(first - second) > _SAME_LENGTH:
        kind = "cut"
    distance = max(0.0, 1.0 - match.similarity)
    return _Told(kind, distance, later, match.semitones, match.speed)


def _by_features(connection: Connection, compared: Set[str]) -> list[tuple[str, str]]:
    """Pairs that the build found, where one of them has no print, or too short a one."""
    groups: dict[str, list[str]] = {}
    for row in read_rows(connection, queries.SONGS_OF_RECORDINGS):
        groups.setdefault(row["recording"], []).append(row["id"])
    pairs = []
    for songs in groups.values():
        first, *others = sorted(songs)
        pairs += [(first, id) for id in others if not {first, id} <= compared]
    return pairs


def _named(connection: Connection, pairs: dict[tuple[str, str], _Told]) -> list[Copy]:
    ids = sorted({id for pair in pairs for id in pair})
    known: dict[str, dict[str, Any]] = {
        row["id"]: row
        for batch in batches(ids)
        for row in connection.read(fetch, queries.COPIED_SONGS, {"ids": batch})
    }
    return [
        _copy(
            song,
            other,
            (known[song]["title"], known[other]["title"]),
            (known[song]["path"], known[other]["path"]),
            told,
        )
        for (song, other), told in pairs.items()
        if song in known and other in known
    ]


def _copy(
    song: str,
    other: str,
    titles: tuple[str | None, str | None],
    paths: tuple[str | None, str | None],
    told: _Told,
) -> Copy:
    return Copy(
        song=song,
        other=other,
        titles=titles,
        paths=paths,
        kind=told.kind,
        distance=told.distance,
        later=told.later,
        semitones=told.semitones,
        speed=told.speed,
        printed=told.printed,
        evidence=_in_words(told),
        cypher=with_literals(queries.COPIES_SHOWN, song=song, other=other),
    )


def copy_in_words(properties: Mapping[str, Any], *, turned: bool = False) -> str:
    """How another song differs from one that is the same recording.

    Args:
        properties: Of the `SAME_RECORDING` from the song to the other one.
        turned: It goes from the other one to the song.
    """
    told = _Told(**properties)
    if turned:
        told = replace(told, later=-told.later, semitones=-told.semitones, speed=1 / told.speed)
    return _in_words(told)


def _in_words(told: _Told) -> str:
    if not told.printed:
        return "sounds the same by its features"
    alike = f"{100 * (1 - told.distance):.0f} % alike"
    if told.kind == "speed":
        faster = told.speed > 1
        share = abs(100 * (told.speed - 1))
        return f"the other is about {share:.0f} % {'faster' if faster else 'slower'}, {alike}"
    if told.kind == "pitch":
        count = abs(told.semitones)
        steps = "a semitone" if count == 1 else f"{count} semitones"
        return f"the other is {steps} {'higher' if told.semitones > 0 else 'lower'}, {alike}"
    if told.kind == "cut":
        if abs(told.later) <= _SAME_PLACE:
            return f"one is longer than the other, {alike}"
        when = "later" if told.later > 0 else "earlier"
        return f"the other begins about {abs(told.later):.0f} s {when}, {alike}"
    return f"sounds the same, {alike}"
