"""Artists whose songs are spread over genres: a few in a genre of their own, or all over."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final

from kg.genres.tree import Tree
from kg.splits import artist_key
from kg.splits.artists import without_guests

FEWEST_SONGS: Final = 3
"""Of fewer songs nothing can be said."""

FEW: Final = 0.2
"""Songs in a genre that so small a share of the artist's songs has are out of place."""


@dataclass(frozen=True, slots=True)
class SpreadArtist:
    """An artist whose songs have no genre in common.

    Attributes:
        artist: As most songs spell it.
        key: What spellings have in common; the id of the `Artist` node.
        songs: Songs that have a genre.
        genres: Songs by genre, the most frequent first; in a tree by the top of it.
        spread: Over how many genres as if evenly (the exponential of the entropy): 1 is one genre.
        odd: Ids of the songs in genres that few of the artist's songs have, sorted.
        words: The same in words.
        cypher: Shows the artist's songs.
    """

    artist: str
    key: str
    songs: int
    genres: Mapping[str, int]
    spread: float
    odd: Sequence[str]
    words: str
    cypher: str = ""


def spread_artists(
    ids: Sequence[str],
    artists: Sequence[str | None],
    genres: Sequence[tuple[str, ...]],
    tree: Tree,
) -> list[SpreadArtist]:
    """Artists without a genre that nearly all of their songs share, the most spread first.

    Subgenres of one genre are no spread: songs count for the top of the tree.

    Args:
        ids: Of the songs.
        artists: None where unknown.
        genres: The owner's.
        tree: The genre tree.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, artist in enumerate(artists):
        if genres[row] and (key := artist_key(artist)):
            rows[key].append(row)
    tops: dict[str, set[str]] = {}
    found = []
    for key, own in rows.items():
        if len(own) < FEWEST_SONGS:
            continue
        lifted = [_tops(genres[row], tree, tops) for row in own]
        counts = Counter(name for names in lifted for name in names)
        most = max(counts.values())
        if most == len(own):
            continue
        few = {name for name, count in counts.items() if count <= FEW * len(own)}
        odd = sorted(ids[row] for row, names in zip(own, lifted, strict=True) if names <= few)
        spelled = Counter(without_guests(artists[row] or "") for row in own)
        name = min(spelled, key=lambda each: (-spelled[each], each))
        ordered = dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))
        total = sum(counts.values())
        entropy = -sum(n / total * log(n / total) for n in counts.values())
        found.append(
            SpreadArtist(
                name, key, len(own), ordered, exp(entropy), odd, _words(len(own), ordered, odd)
            )
        )
    return sorted(found, key=lambda each: (-each.spread, -each.songs, each.key))


def _tops(names: tuple[str, ...], tree: Tree, known: dict[str, set[str]]) -> set[str]:
    """The tops of the tree that genres are below, or they themselves."""
    for name in names:
        if name not in known:
            known[name] = {each for each in {name, *tree.above(name)} if not tree.parents.get(each)}
    return set().union(*(known[name] for name in names))


def _words(songs: int, genres: Mapping[str, int], odd: Sequence[str]) -> str:
    """`12 songs: 11 jazz, 1 metal`."""
    listed = ", ".join(f"{count} {name}" for name, count in genres.items())
    out = f"; {len(odd)} out of place" if odd else ""
    return f"{songs} songs: {listed}{out}"
