"""What tells every labelled song: parts of a library that share no artist and no recording."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kg.metrics.evaluate import Bools, Rows
from kg.splits import SplitSong
from kg.splits.assign import CHAIN_SONGS, group_songs


def groups_of(
    ids: Sequence[str], keys: Sequence[SplitSong], copies: Iterable[tuple[str, str]] = ()
) -> Rows:
    """Number of what each song shares an artist or a recording with, int64 [n].

    -1 for a song that can't be held apart from others: recordings that several artists claim chain
    these together (`kg.splits.assign`), or copies do; and for one without a genre.

    Args:
        ids: Of the songs, n of them.
        keys: What a split knows of them.
        copies: Pairs of songs that are one recording beside those that the keys tell; songs without
            a genre link two others as well.
    """
    row_of = {id: row for row, id in enumerate(ids)}
    group: Rows = np.full(len(ids), -1, dtype=np.int64)
    for number, members in enumerate(group_songs([key for key in keys if key.genres])):
        group[[row_of[song.id] for song in members if song.id in row_of]] = number
    rows_of: dict[int, set[int]] = defaultdict(set)
    for row, number in enumerate(group.tolist()):
        rows_of[number].add(row)
    joined: Counter[int] = Counter()
    for rows in _connected(copies, row_of):
        numbers = {int(group[row]) for row in rows} - {-1}
        stays, *others = sorted(numbers, key=lambda at: (-len(rows_of[at]), at)) or [-1]
        for other in others:
            more = joined[other] + len(rows_of[other])
            if joined[stays] + more <= CHAIN_SONGS:
                group[list(rows_of[other])] = stays
                rows_of[stays] |= rows_of.pop(other)
                joined[stays] += more
        # A chain of copies must not make one group of a library: the rest can't be held apart.
        for row in rows:
            if group[row] != stays:
                rows_of[int(group[row])].discard(row)
                group[row] = -1
    return group


def _connected(pairs: Iterable[tuple[str, str]], row_of: Mapping[str, int]) -> list[list[int]]:
    """Rows that pairs connect, directly or through others, together."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        parent.setdefault(row, row)
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for one, other in pairs:
        if one in row_of and other in row_of:
            parent[root(row_of[one])] = root(row_of[other])
    found: dict[int, list[int]] = defaultdict(list)
    for row in sorted(parent):
        found[root(row)].append(row)
    return list(found.values())


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
