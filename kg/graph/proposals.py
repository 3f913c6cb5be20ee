"""Genres that are proposed for songs, and what the owner decides about them.

An audit's proposals are relationships, `(:Song)-[:PROPOSED_GENRE {kind, state, strength, ...}]->
(:Genre)`; those of the model and of tags are read from `PREDICTED_GENRE` and `SUGGESTED_GENRE` of
songs without a genre. What the owner decides is kept as `PROPOSED_GENRE`, whatever it came from:
`state` is `accepted` or `rejected`, `decidedAt` when, `was` and `wasSources` the genres that the
song had and who said them. An accepted genre is the owner's own word, `IN_GENRE {source: 'user'}`,
which no ingest changes; `was` on it names the genres that it took the place of.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Literal

from kg.audio.tags import clean
from kg.errors import KgError, WrongUsageError
from kg.genres.names import by_key, genre_key
from kg.genres.policy import EVERYTHING, Policy
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.transactions import batches, fetch, read_rows, run
from kg.graph.tree import BY_HAND
from kg.text import indexable, printable

Kind = Literal["label", "prediction", "suggestion", "hand"]
"""Who proposes: an audit that disputes a label, the model, tags, or the owner at once."""

State = Literal["open", "accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class Dispute:
    """A label that an audit takes for wrong.

    Attributes:
        song: Id.
        genre: What it would say instead.
        strength: How sure it is of that, from 0 to 1.
        replaces: Labels that would go; the song's other ones would stay.
        filed_strength: How probable it takes these for, from 0 to 1.
        model: By whose word: a model's id, or what the audit learned.
        evidence: Why, in words.
    """

    song: str
    genre: str
    strength: float
    replaces: tuple[str, ...]
    filed_strength: float
    model: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A genre that is proposed for a song, for its owner to decide about.

    Attributes:
        song: Id of the song.
        title: None where unknown.
        artist: None where unknown.
        album: None where unknown.
        paths: Where it lies; empty for rows of tables.
        genre: What is proposed.
        filed: What its owner says now, sorted.
        replaces: Which of these would go.
        kind: Who proposes it.
        strength: A probability; of a suggestion the strength of the tag, from 0 to 1.
        filed_strength: How probable an audit takes the labels for that would go; None otherwise.
        others: What else is said of the song, the strongest first: genre and strength.
        evidence: Why an audit says so, in words; None otherwise.
    """

    song: str
    title: str | None
    artist: str | None
    album: str | None
    paths: tuple[str, ...]
    genre: str
    filed: tuple[str, ...]
    replaces: tuple[str, ...]
    kind: Kind
    strength: float
    filed_strength: float | None = None
    others: tuple[tuple[str, float], ...] = ()
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, or undone.

    Attributes:
        song: Id of the song.
        title: None where unknown.
        genre: What had been proposed.
        state: `accepted` or `rejected`; `open` after an undo.
        before: The song's genres before.
        after: The song's genres now.
    """

    song: str
    title: str | None
    genre: str
    state: State
    before: tuple[str, ...]
    after: tuple[str, ...]


class UnknownGenreError(WrongUsageError):
    """No song has such a genre, no tree names it, and nobody proposes it; nothing was changed.

    Attributes:
        near: Genres that may be meant, the nearest first.
        said: What is wrong, without the option that makes it.
    """

    def __init__(self, genre: str, near: Sequence[str], *, accept: bool) -> None:
        self.near = near
        meant = f"; did you mean {' or '.join(near)}?" if near else ": `kg genres` lists them."
        self.said = printable(f"{genre} is no genre here{meant}")
        super().__init__(f"{self.said} --new makes it." if accept else self.said)


class DecidedError(KgError):
    """Somebody else decided meanwhile; nothing was changed."""


def write_disputes(connection: Connection, disputes: Iterable[Dispute]) -> list[Dispute]:
    """Put an audit's proposals in the place of those of the last one that are still open.

    What was decided stays decided: a song whose owner rejected a proposal is not disputed again as
    long as its genres are the same.

    Args:
        connection: The database; nobody else writes to it meanwhile.
        disputes: One a song at most.

    Returns:
        Those that were written.
    """
    old = [row["id"] for row in read_rows(connection, queries.SONGS_WITH_OPEN_PROPOSALS)]
    for batch in batches(old):
        connection.write(run, queries.DELETE_OPEN_PROPOSALS, ids=batch)
    created_at, written = datetime.now(UTC), []
    for some in batches(disputes):
        kept = _undecided(connection, some)
        connection.write(_write_disputes, kept, created_at)
        written += kept
        # Undone, a rejected one is as the last audit made it.
        again = [_row(each, created_at) for each in some if each not in kept]
        connection.write(run, queries.RENEW_REJECTED, rows=again)
    return written


def _undecided(connection: Connection, disputes: Sequence[Dispute]) -> list[Dispute]:
    ids = [each.song for each in disputes]
    decided = {
        row["id"]
        for row in read_rows(connection, queries.PROPOSALS_OF_SONGS, ids=ids)
        if row["state"] == "rejected" and sorted(row["was"] or ()) == sorted(row["filed"])
    }
    return [each for each in disputes if each.song not in decided]


def _write_disputes(
    tx: neo4j.ManagedTransaction, disputes: Sequence[Dispute], created_at: datetime
) -> None:
    run(tx, queries.MERGE_GENRES, names=sorted({each.genre for each in disputes}))
    rows = [_row(each, created_at) for each in disputes]
    run(tx, queries.MERGE_PROPOSALS, rows=rows)


def _row(dispute: Dispute, created_at: datetime) -> dict[str, Any]:
    return {
        "id": dispute.song,
        "genre": dispute.genre,
        "properties": {
            "kind": "label",
            "state": "open",
            "strength": dispute.strength,
            "filedStrength": dispute.filed_strength,
            "replaces": list(dispute.replaces),
            "model": dispute.model,
            "evidence": dispute.evidence,
            "createdAt": created_at,
        },
    }


def open_proposals(connection: Connection) -> Iterator[Proposal]:
    """All that waits for the owner: disputed labels, then what the model, then what tags say of
    songs without a genre; of each the surest first. What was rejected isn't proposed again.
    """
    for row in read_rows(connection, queries.OPEN_LABELS):
        own = row["properties"]
        disputed = own.get("replaces") or ()
        # Its owner named another genre meanwhile: what it disputes isn't there any more. A genre
        # that is there may be proposed as the only one, so that another one goes.
        settled = {*disputed}.isdisjoint({*row["filed"]} - {row["genre"]})
        if settled if disputed else row["genre"] in row["filed"]:
            continue
        yield Proposal(
            **_song_of(row),
            genre=row["genre"],
            filed=tuple(sorted(row["filed"])),
            replaces=tuple(disputed),
            kind="label",
            strength=row["strength"],
            filed_strength=own.get("filedStrength"),
            evidence=own.get("evidence"),
        )
    kinds: tuple[tuple[Kind, str], ...] = (
        ("prediction", queries.OPEN_PREDICTIONS),
        ("suggestion", queries.OPEN_SUGGESTIONS),
    )
    for kind, text in kinds:
        for row in read_rows(connection, text):
            ranked = sorted(row["told"], key=lambda told: int(told[2]))
            left = [(name, value) for name, value, _ in ranked if name not in row["rejected"]]
            if left:
                (genre, strength), *others = left
                yield Proposal(
                    **_song_of(row),
                    genre=genre,
                    filed=(),
                    replaces=(),
                    kind=kind,
                    strength=strength,
                    others=tuple(others),
                )


def _song_of(row: Mapping[str, Any]) -> dict[str, Any]:
    paths = tuple(path for path in row["paths"] or () if path)
    return {
        "song": row["id"],
        "title": row["title"],
        "artist": row["artist"],
        "album": row["album"],
        "paths": paths,
    }


def decide(
    tx: neo4j.ManagedTransaction,
    song: str,
    genre: str,
    *,
    accept: bool,
    replaces: Sequence[str] | None = None,
    seen: Sequence[str] | None = None,
    kind: Kind = "hand",
    strength: float | None = None,
    new: bool = False,
    policy: Policy = EVERYTHING,
) -> Decision:
    """Accept a genre for a song, or reject it; in one transaction.

    Args:
        tx: The transaction.
        song: Id of the song.
        genre: In any spelling; the graph's stays.
        accept: Whether it is the song's genre from now on, or never to be proposed again.
        replaces: Which of the song's genres go when it comes; None: what an audit proposed to
            replace, else all.
        seen: The song's genres as whoever decides saw them; None: whatever they are.
        kind: Who proposed it, where no audit did.
        strength: How sure that was.
        new: The genre may be one that nobody has named so far.
        policy: Genres that it names are known too.

    Raises:
        WrongUsageError: there is no such song, or the genre has no name.
        UnknownGenreError: nobody has named the genre so far, and it isn't `new`.
        DecidedError: its genres are others than `seen`, or this genre was decided about already.
    """
    name = _meant(tx, genre)
    if not name:
        raise WrongUsageError("A genre needs a name: give one that isn't empty.")
    title = _lock(tx, song)
    spelled = _spelled(tx, song, name, policy, accept=accept, new=new)
    labels = fetch(tx, queries.GENRES_OF_SONG, {"id": song})
    before = tuple(row["name"] for row in labels)
    there = _proposal(tx, song, spelled)
    _refuse_decided(song, title, spelled, there, accept=accept)
    if seen is not None and sorted(seen) != sorted(before):
        raise DecidedError(
            printable(
                f"{_called(song, title)} is filed under {_listed(before)} meanwhile, not "
                f"{_listed(seen)}: look at it again. Nothing was changed."
            )
        )
    # What the audit proposed, also after an owner decided otherwise.
    disputed = there.get("disputed", there.get("replaces")) or ()
    if replaces is None:
        # An audit may miss a genre and replace none.
        stays = there.get("kind") == "label" and (not disputed or {*disputed} & {*before})
        replaces = disputed if stays else before
    going = sorted({*replaces, spelled} & {*before}) if accept else []
    properties = {"kind": kind, "strength": strength} | there
    properties |= {
        "state": "accepted" if accept else "rejected",
        "decidedAt": datetime.now(UTC),
        "was": list(before),
        "wasSources": [row["source"] for row in labels],
        "replaces": going,
        "disputed": list(disputed),
    }
    run(tx, queries.MERGE_GENRES, names=[spelled])
    row = {"id": song, "genre": spelled, "properties": properties}
    run(tx, queries.MERGE_PROPOSALS, rows=[row])
    after = before
    if accept:
        own = {"source": BY_HAND, "was": going, "decidedAt": properties["decidedAt"]}
        run(tx, queries.DELETE_LABELS, id=song, names=going)
        run(tx, queries.CREATE_LABELS, id=song, rows=[{"name": spelled, "properties": own}])
        after = tuple(sorted({*before, spelled} - ({*going} - {spelled})))
    return Decision(song, title, spelled, properties["state"], before, after)


def undo(tx: neo4j.ManagedTransaction, song: str | None = None) -> Decision:
    """Take back the last decision, of all or about a song: its genres are what they were before.

    Args:
        tx: The transaction.
        song: Id of the song; None: whichever was decided about last.

    Raises:
        WrongUsageError: there is no such song.
        KgError: nothing was decided, or the song's genres have changed since.
    """
    if song is None:
        last = fetch(tx, queries.DECIDED, {})
    else:
        _lock(tx, song)
        last = fetch(tx, queries.DECIDED_OF_SONG, {"id": song})
    if not last:
        raise KgError(
            "There is no decision to undo"
            + (" about this song." if song is not None else ": nothing was accepted or rejected.")
        )
    id, genre = last[0]["id"], last[0]["genre"]
    title = _lock(tx, id)
    own = _proposal(tx, id, genre)
    labels = fetch(tx, queries.GENRES_OF_SONG, {"id": id})
    now = tuple(row["name"] for row in labels)
    before = dict(zip(own["was"], own["wasSources"], strict=True))
    after = tuple(sorted(before)) if own["state"] == "accepted" else now
    if own["state"] == "accepted":
        made = {*before, genre} - ({*own["replaces"]} - {genre})
        if made != {*now}:
            raise KgError(
                printable(
                    f"{_called(id, title)} is filed under {_listed(now)} since, so that accepting "
                    f"{genre!r} can't be undone. Nothing was changed."
                )
            )
        coming = [
            {"name": name, "properties": _as_it_was(tx, id, name, before[name])}
            for name in own["replaces"]
        ]
        run(tx, queries.DELETE_LABELS, id=id, names=[genre])
        run(tx, queries.CREATE_LABELS, id=id, rows=coming)
    if _still_an_audits(tx, own):
        gone = ("decidedAt", "was", "wasSources", "disputed")
        kept = {key: value for key, value in own.items() if key not in gone}
        open_again = {"state": "open", "replaces": own.get("disputed", own["replaces"])}
        row = {"id": id, "genre": genre, "properties": kept | open_again}
        run(tx, queries.MERGE_PROPOSALS, rows=[row])
    else:
        run(tx, queries.DELETE_PROPOSAL, id=id, genre=genre)
        run(tx, queries.DELETE_BARE_GENRES, names=[genre])
    return Decision(id, title, genre, "open", now, after)


def _still_an_audits(tx: neo4j.ManagedTransaction, own: Mapping[str, Any]) -> bool:
    """Whether a proposal that was decided about is open again when that is undone.

    One that an audit took back while its owner looked at it is none any more, and neither is one
    that was rejected and that a later audit would not have made again. What was accepted no audit
    judges: it is as open as it was.
    """
    made = own.get("createdAt")
    if own["kind"] != "label" or made is None:
        return False
    last = fetch(tx, queries.LAST_AUDIT, {})
    later = bool(last) and last[0]["properties"]["createdAt"] > made
    return not (later and own["state"] == "rejected")


def _meant(tx: neo4j.ManagedTransaction, genre: str) -> str:
    """A genre's name: as it is where it is there, else fit for files' tags."""
    exact = str(indexable(genre.strip()))
    there = fetch(tx, queries.GENRES_CALLED, {"names": [exact]})
    return exact if there else str(indexable(clean(genre)))


def _spelled(
    tx: neo4j.ManagedTransaction, song: str, name: str, policy: Policy, *, accept: bool, new: bool
) -> str:
    """What a genre is called where somebody names it: songs, the tree, who proposes it, the policy.

    Raises:
        UnknownGenreError: nobody does, and it isn't `new`.
    """
    own = [row["name"] for row in fetch(tx, queries.OWN_GENRES, {})]
    said = [row["name"] for row in fetch(tx, queries.SAID_OF_SONG, {"id": song})]
    if name in own or name in said:
        return name
    listed = [*(policy.allowed or {}).values(), *policy.aliases.values()]
    known = by_key(listed) | by_key(said) | by_key(own)
    key = genre_key(name)
    if key not in known and not new:
        other = policy.aliases.get(key)  # what its owner calls it
        near = [other] if other else [known[each] for each in get_close_matches(key, known)]
        raise UnknownGenreError(name, near, accept=accept)
    return known.get(key, name)


def _lock(tx: neo4j.ManagedTransaction, song: str) -> str | None:
    """Lock a song until the transaction ends; its title.

    Raises:
        WrongUsageError: it isn't there.
    """
    found = fetch(tx, queries.LOCK_SONG, {"id": song})
    if not found:
        raise WrongUsageError(f"There is no song {printable(song)} any more.")
    title: str | None = found[0]["title"]
    return title


def _proposal(tx: neo4j.ManagedTransaction, song: str, genre: str) -> dict[str, Any]:
    rows = fetch(tx, queries.PROPOSALS_OF_SONG, {"id": song})
    return next((row["properties"] for row in rows if row["genre"] == genre), {})


def _as_it_was(tx: neo4j.ManagedTransaction, song: str, genre: str, source: str) -> dict[str, Any]:
    """Properties of a label that comes back."""
    decided = _proposal(tx, song, genre) if source == BY_HAND else {}
    if decided.get("state") != "accepted":
        return {"source": source}
    return {"source": source, "was": decided["replaces"], "decidedAt": decided["decidedAt"]}


def _refuse_decided(
    song: str, title: str | None, genre: str, there: Mapping[str, Any], *, accept: bool
) -> None:
    """Raise DecidedError where this was decided already; what was rejected may be accepted."""
    state = there.get("state", "open")
    if state == "open" or (accept and state == "rejected"):
        return
    mend = "" if accept or state == "rejected" else ": undo that first"
    raise DecidedError(
        printable(
            f"{genre!r} was {state} for {_called(song, title)} already{mend}. Nothing was changed."
        )
    )


def _called(song: str, title: str | None) -> str:
    return repr(title) if title else f"song {song[:12]}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "no genre"
