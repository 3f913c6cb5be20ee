"""What speaks against a label, in words, and the Cypher that shows it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kg.asking.wording import listed
from kg.audit.labels import Kind
from kg.audit.told import MODEL
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.literals import with_literals
from kg.graph.proposals import Dispute
from kg.graph.transactions import batches, read_rows
from kg.splits import artist_key

_NAMED: Final = 2  # genres of others that are named


@dataclass(frozen=True, slots=True)
class DisputedSong:
    """A song whose label is in doubt.

    Attributes:
        id: Its key.
        title: None where unknown.
        artist: None where unknown.
        path: Its file, or what its table calls it; None where neither is known.
        kind: `wrong`: another genre instead; `missing`: one more; `extra`: one less.
        filed: What its owner says, sorted.
        replaces: Which of these would go.
        genre: What it probably is instead, or as well; of one too many the likeliest that stays.
        probability: Of that; of one too many, that it is.
        filed_probability: Of what would go; 0 where nothing would.
        evidence: Why, in words.
        cypher: Shows it in the graph.
    """

    id: str
    title: str | None
    artist: str | None
    path: str | None
    kind: Kind
    filed: tuple[str, ...]
    replaces: tuple[str, ...]
    genre: str
    probability: float
    filed_probability: float
    evidence: str
    cypher: str

    def dispute(self) -> Dispute:
        """The same as it is written."""
        return Dispute(
            self.id,
            self.genre,
            self.probability,
            self.replaces,
            self.filed_probability,
            MODEL,
            self.evidence,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A dispute by names, without evidence yet."""

    id: str
    kind: Kind
    filed: tuple[str, ...]
    replaces: tuple[str, ...]
    genre: str
    probability: float
    filed_probability: float
    sounds_like: tuple[str, float]
    """The likeliest genre by sound alone, and how probable it is by that."""


class Artists:
    """What the artists' songs are filed under."""

    def __init__(self, artists: Sequence[str | None], genres: Sequence[tuple[str, ...]]) -> None:
        self._songs: Counter[str] = Counter()
        self._genres: dict[str, Counter[str]] = {}
        for artist, names in zip(artists, genres, strict=True):
            if names and (key := artist_key(artist)):
                self._songs[key] += 1
                self._genres.setdefault(key, Counter()).update(names)

    def others(self, artist: str | None, own: Iterable[str]) -> tuple[int, Counter[str]]:
        """How many other songs with a genre an artist has, and how many of each genre."""
        key = artist_key(artist)
        if key is None or key not in self._songs:
            return 0, Counter()
        counts = self._genres[key].copy()
        counts.subtract(Counter(own))
        return self._songs[key] - 1, +counts


def with_evidence(
    connection: Connection,
    found: Sequence[Found],
    artists: Artists,
    copies: Mapping[str, Sequence[tuple[str, ...]]],
) -> list[DisputedSong]:
    """What was found, with what speaks for it; songs that are gone meanwhile are left out.

    Args:
        connection: To the graph.
        found: What is disputed.
        artists: Of all songs.
        copies: Genres of other copies of a recording, by song.
    """
    there = {
        row["id"]: row
        for batch in batches([each.id for each in found])
        for row in read_rows(connection, queries.DISPUTED_SONGS, ids=batch)
    }
    return [
        _song(each, there[each.id], artists, copies.get(each.id, ()))
        for each in found
        if each.id in there
    ]


def _song(
    found: Found,
    row: Mapping[str, Any],
    artists: Artists,
    copies: Sequence[tuple[str, ...]],
) -> DisputedSong:
    near, artist = row["near"], row["artist"]
    songs, others = artists.others(artist, found.filed)
    sounds_like, probability = found.sounds_like
    parts = [f"sounds like {sounds_like} ({100 * probability:.0f} %)"]
    if similar := len({id for id, _ in near}):
        counts = Counter(name for _, name in near)
        parts.append(f"of {similar} similar songs {_counted(counts, found)}")
    if songs:
        parts.append(
            f"of {songs} other{'s' if songs > 1 else ''} by {artist} {_counted(others, found)}"
        )
    if copies:
        counts = Counter(name for names in copies for name in names)
        many = f"{len(copies)} other copies" if len(copies) > 1 else "1 other copy"
        parts.append(f"of {many} of the recording {_counted(counts, found)}")
    return DisputedSong(
        id=found.id,
        title=row["title"],
        artist=artist,
        path=row["path"],
        kind=found.kind,
        filed=found.filed,
        replaces=found.replaces,
        genre=found.genre,
        probability=found.probability,
        filed_probability=found.filed_probability,
        evidence="; ".join(parts),
        cypher=with_literals(queries.DISPUTE, song=found.id),
    )


def _counted(counts: Mapping[str, int], found: Found) -> str:
    """`7 are pop and none is disco`: the genre that is proposed, and those that would go."""
    said = []
    for name in dict.fromkeys((found.genre, *found.replaces)):
        count = counts.get(name, 0)
        said.append(f"{count or 'none'} {'is' if count < 2 else 'are'} {name}")
    return listed(said)
