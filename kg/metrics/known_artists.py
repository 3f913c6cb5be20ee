"""A song by an artist who was learned from: a question of its own, with a split of its own.

Where a library is split by artist no test song's artist is known, so that what the artist tells
isn't measured there. Here songs of training artists are held out, whole albums of them, and
validation and test songs stay as they are: nobody looks at a test song.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from kg.graph.rows import GraphRows
from kg.metrics.evaluate import Rows, Scores, artist_groups
from kg.schema import ALBUM_NODE
from kg.splits import SplitSong, artist_key

NEW: Final = "a song by a new artist"
KNOWN: Final = "a song by a known artist"
ANY: Final = "a song, whoever it is by"

ARTISTS_GENRE: Final = "the artist's commonest genre"
"""The obvious baseline: what most of the artist's songs are that were learned from."""

SHARE: Final = 0.2
"""Of the training songs, as many are held out at most."""


def question_of(artists: Sequence[str | None], learned: Rows, asked: Rows) -> str:
    """What songs are measured as: by artists who were learned from, by others, or by either.

    Args:
        artists: Of every song.
        learned: Rows of the songs that are learned from.
        asked: Rows of the songs that are measured on.
    """
    there = {key for row in learned if (key := artist_key(artists[row]))}
    keys = [artist_key(artists[row]) for row in asked]
    if all(key and key not in there for key in keys):
        return NEW
    return KNOWN if all(key in there for key in keys) else ANY


def of_known_artists(rows: GraphRows, keys: Sequence[SplitSong], seed: int = 0) -> GraphRows | None:
    """The same graph with training songs of known artists on its test side; None: there are none.

    Albums are held out whole, as a new record comes, and no artist's last one; a song without an
    album stands for one. A copy of a recording that is learned from isn't measured on. The songs
    that were tested before are on no side.

    Args:
        rows: The graph, split by whatever rule.
        keys: All songs; read at the same time.
        seed: Of the order in which albums are drawn.
    """
    sides = list(rows.songs.splits)
    recording = {song.id: song.recording for song in keys}
    learned = [row for row, side in enumerate(sides) if side == "train" and rows.songs.genres[row]]
    artist = artist_groups(rows.songs.artists)
    units = _units(rows, learned)
    left: dict[int, int] = defaultdict(int)
    for unit in units:
        for each in {int(artist[row]) for row in unit}:
            left[each] += 1
    held: set[int] = set()
    for number in np.random.default_rng(seed).permutation(len(units)).tolist():
        unit = units[number]
        whose = {int(artist[row]) for row in unit}
        named = all(artist_key(rows.songs.artists[row]) for row in unit)
        if not named or min(left[each] for each in whose) < 2:
            continue
        if len(held) + len(unit) > SHARE * len(learned):
            continue
        held.update(unit)
        for each in whose:
            left[each] -= 1
    staying = {recording.get(rows.songs.ids[row]) for row in learned if row not in held} - {None}
    for row, side in enumerate(sides):
        if row in held:
            sides[row] = None if recording.get(rows.songs.ids[row]) in staying else "test"
        elif side == "test":
            sides[row] = None
    if "test" not in sides:
        return None
    return replace(rows, songs=replace(rows.songs, splits=sides))


def _units(rows: GraphRows, learned: Sequence[int]) -> list[list[int]]:
    """Songs that are held out together: those of an album."""
    album: Mapping[int, int] = {}
    if linked := rows.further.get(ALBUM_NODE):
        album = dict(zip(linked.edges[0].tolist(), linked.edges[1].tolist(), strict=True))
    units: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row in learned:
        units[("album", album[row]) if row in album else ("song", row)].append(row)
    return list(units.values())


def artists_genre(rows: GraphRows, truth: np.ndarray, asked: Rows) -> Scores:
    """Score genres by the share of the artist's songs on the training side that have them: [b, g].

    As log odds, so that a genre of more than half of the songs scores above 0. Of equals the one
    that more songs of the library have comes first; these alone where the artist is new.

    Args:
        rows: The graph.
        truth: Genres of every song, bool [n, g].
        asked: Rows of the songs that are scored, b of them.
    """
    learned = np.flatnonzero([side == "train" for side in rows.songs.splits])
    group = artist_groups(rows.songs.artists)
    counts = np.zeros((int(group.max()) + 1, truth.shape[1]))
    np.add.at(counts, group[learned], truth[learned])
    frequent = truth[learned].sum(axis=0)
    songs = np.bincount(group[learned], minlength=len(counts))
    # The library counts as one more song: shares are neither 0 nor 1 for a genre that has songs.
    share = (counts + frequent / (len(learned) + 1)) / (songs[:, None] + 1)
    share = share[group[asked]].clip(1e-9, 1 - 1e-9)
    found: Scores = np.log(share / (1 - share))
    return found
