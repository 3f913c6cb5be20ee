"""What tells every labelled song: parts of a library that share no artist and no recording."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from kg.evaluate import Bools, Rows
from kg.splits import SplitSong
from kg.splits.assign import group_songs


def groups_of(ids: Sequence[str], keys: Sequence[SplitSong]) -> Rows:
    """Number of what each song shares an artist or a recording with, int64 [n].

    -1 for a song that can't be held apart from others: recordings that several artists claim chain
    these together (`kg.splits.assign`); and for one without a genre.

    Args:
        ids: Of the songs, n of them.
        keys: What a split knows of them.
    """
    row_of = {id: row for row, id in enumerate(ids)}
    group: Rows = np.full(len(ids), -1, dtype=np.int64)
    for number, members in enumerate(group_songs([key for key in keys if key.genres])):
        group[[row_of[song.id] for song in members if song.id in row_of]] = number
    return group


def deal(truth: Bools, group: Rows, count: int, seed: int = 0) -> Rows:
    """Deal songs into parts: number of the part of each song, int64 [n].

    Groups stay together. The largest are dealt first, each to the part that has the fewest songs of
    its genres, and of equals the fewest songs, so that genres are spread evenly.

    Args:
        truth: Genres of each song, bool [n, g].
        group: Songs of one number stay together, int64 [n].
        count: How many parts.
        seed: Of the order among groups of one size.
    """
    numbers, inverse = np.unique(group, return_inverse=True)
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    shuffled = np.random.default_rng(seed).permutation(len(numbers))
    order = sorted(shuffled.tolist(), key=lambda at: -len(members[at]))
    have = np.zeros((count, truth.shape[1]), dtype=np.int64)
    songs = np.zeros(count, dtype=np.int64)
    part: Rows = np.zeros(len(group), dtype=np.int64)
    for at in order:
        own = Counter(np.nonzero(truth[members[at]])[1].tolist())
        genres = list(own)
        fill = have[:, genres] @ np.fromiter(own.values(), np.int64, len(own))
        to = int(np.lexsort((songs, fill))[0])
        part[members[at]] = to
        have[to, genres] += list(own.values())
        songs[to] += len(members[at])
    return part
