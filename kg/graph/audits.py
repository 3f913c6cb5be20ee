"""That an audit ran, kept in the graph: when, on what, and what has changed since.

What an audit finds is relationships and properties of songs, and where it finds nothing there are
none. So a node says that it looked: `(:Audit {id: 'audit', createdAt, songs, ...})`, written when
all findings are, and replaced with them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.transactions import read_rows, run
from kg.splits.songs import SplitSong, fingerprint_of_songs


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An `Audit` node.

    Attributes:
        created_at: When it began to look: what was decided later it didn't see.
        songs: Songs that were there.
        labelled: Those with a genre.
        judged: Those whose label could be judged.
        listened: Whether it listened first to songs whose sound nobody had looked at.
        unheard: Songs with a file whose sound nobody had looked at all the same.
        disputed: Labels that it put in doubt.
        artists: Artists whose songs it found spread over genres.
        copies: Pairs of songs that it took for one recording.
        files: Songs that it found in several files of the same bytes.
        faults: Faults in songs' sound.
        labels: Fingerprint of the owner's genres.
        ids: Fingerprint of which songs there were.
        feature_version: Version of the features that songs were told by.
    """

    created_at: datetime
    songs: int
    labelled: int
    judged: int
    listened: bool
    unheard: int
    disputed: int
    artists: int
    copies: int
    files: int
    faults: int
    labels: str
    ids: str
    feature_version: str


@dataclass(frozen=True, slots=True)
class LastAudit(AuditRow):
    """The last audit, and how the library has changed since.

    Attributes:
        decided: Decisions of the owner since.
        since: What has changed of what it looked at, each in words; empty: nothing.
        outdated: Whether another audit may find something else: more than decisions has changed.
    """

    decided: int
    since: Sequence[str]
    outdated: bool


_NAMES = {each.name: each.name for each in fields(AuditRow)} | {
    "created_at": "createdAt",
    "feature_version": "featureVersion",
}


def song_fingerprint(songs: Iterable[SplitSong]) -> str:
    """Hash of which songs there are, in whatever order."""
    return fingerprint_of_songs(sorted(song.id for song in songs))


def forget_audit(connection: Connection) -> None:
    """Before findings are replaced: an audit that is cut off then never was."""
    connection.write(run, queries.DELETE_AUDIT)


def write_audit(connection: Connection, audit: AuditRow) -> None:
    """Say that an audit ran, after all that it found is written."""
    properties = {_NAMES[name]: value for name, value in asdict(audit).items()}
    connection.write(run, queries.MERGE_AUDIT, properties=properties)


def read_audit(connection: Connection) -> AuditRow | None:
    """The last audit; None: none ran, or none to its end."""
    rows = read_rows(connection, queries.LAST_AUDIT)
    return _row(rows[0]["properties"]) if rows else None


def since_then(
    connection: Connection,
    audit: AuditRow,
    songs: Sequence[SplitSong],
    labels: str,
    feature_version: str,
) -> LastAudit:
    """How the library has changed since an audit.

    Args:
        connection: The database.
        audit: The last one.
        songs: All that are there now.
        labels: Fingerprint of the owner's genres now.
        feature_version: Of the features now.
    """
    rows = read_rows(connection, queries.COUNT_DECIDED_SINCE, at=audit.created_at)
    decided = int(rows[0]["n"])
    other = []
    if song_fingerprint(songs) != audit.ids:
        other.append(_more(len(songs) - audit.songs))
    elif labels != audit.labels and not decided:
        other.append("other labels")  # an ingest read others, or a decision was undone
    if feature_version != audit.feature_version:
        other.append("other features")
    made = [f"{decided} decision{'' if decided == 1 else 's'}"] if decided else []
    return LastAudit(**asdict(audit), decided=decided, since=[*other, *made], outdated=bool(other))


def _row(own: Mapping[str, Any]) -> AuditRow:
    found = {name: own[called] for name, called in _NAMES.items()}
    found["created_at"] = found["created_at"].to_native().astimezone(UTC)
    return AuditRow(**found)


def _more(songs: int) -> str:
    """`5 more songs`, of those that came less those that left."""
    if not songs:
        return "other songs"
    return f"{abs(songs):,} {'more' if songs > 0 else 'fewer'} song{'s'[: abs(songs) != 1]}"
