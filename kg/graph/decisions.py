"""What the owner decided about genres, read again."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.proposals import Kind, Proposal, State
from kg.graph.transactions import read_rows


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that stands.

    Attributes:
        song: Id of the song.
        title: None where unknown.
        artist: None where unknown.
        path: None for rows of tables.
        genre: What was proposed.
        state: `accepted` or `rejected`.
        kind: Who proposed it.
        strength: How sure that was; None where the owner named it.
        was: The song's genres before.
        replaced: Which of them went.
        filed: Its genres now.
        decided_at: When.
    """

    song: str
    title: str | None
    artist: str | None
    path: str | None
    genre: str
    state: State
    kind: Kind
    strength: float | None
    was: tuple[str, ...]
    replaced: tuple[str, ...]
    filed: tuple[str, ...]
    decided_at: datetime


def decisions(connection: Connection) -> Iterator[Decided]:
    """All decisions that weren't undone, the newest first."""
    for row in read_rows(connection, queries.DECISIONS):
        own = row["properties"]
        yield Decided(
            row["id"],
            row["title"],
            row["artist"],
            row["path"],
            row["genre"],
            own["state"],
            own["kind"],
            own.get("strength"),
            tuple(own.get("was") or ()),
            tuple(own.get("replaces") or ()),
            tuple(sorted(row["filed"])),
            own["decidedAt"].to_native(),
        )


def still_open(connection: Connection, proposal: Proposal) -> bool:
    """Whether nobody decided about a proposal, and the song's genres are what they were."""
    labels = read_rows(connection, queries.GENRES_OF_SONG, id=proposal.song)
    if sorted(row["name"] for row in labels) != sorted(proposal.filed):
        return False
    there: dict[str, State] = {
        row["genre"]: row["properties"].get("state", "open")
        for row in read_rows(connection, queries.PROPOSALS_OF_SONG, id=proposal.song)
    }
    if proposal.genre in there:
        return there[proposal.genre] == "open"
    return proposal.kind != "label"  # another audit has taken its own back
