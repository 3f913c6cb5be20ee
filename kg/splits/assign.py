"""Deal songs to the sides, so that an artist and a recording are on one side only.

A net that knows an artist's sound and studio would otherwise be credited with knowing the genre.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from kg.schema import SPLITS
from kg.splits.artists import artist_key
from kg.splits.songs import SplitSong

SHARES: Final = {"train": 0.70, "valid": 0.15, "test": 0.15}

# Recordings that several artists claim chain these artists together. A chain of more songs than
# this, and of more than this share of the library, is taken apart.
CHAIN_SONGS, CHAIN_SHARE = 50, 0.05

Members = Sequence[SplitSong]
Placed = Sequence[tuple[SplitSong, str]]


def assign_splits(
    songs: Sequence[SplitSong], seed: int = 0, *, mend: bool = False
) -> dict[str, str]:
    """Give every labelled song that has no side one: group by group, genre by genre.

    A group is what has an artist or a recording in common; a song by nobody known that is no copy
    is one by itself. A side that a song already has stays, and draws the rest of its group after
    it, so that a growing library keeps its test songs unseen. Other groups go to the side that
    they fill least, 70 : 15 : 15; a genre with fewer than three groups can't be on all sides and is
    only learned from.

    No side is given to a song that would leak on each: by an artist on one side, a copy of a song
    on another; and where recordings chain many artists together, to copies but one artist's.

    Args:
        songs: The songs; those without a genre get no side.
        seed: Order in which groups are dealt.
        mend: Deal groups anew that are on several sides; else they stay as they are.

    Returns:
        Side of the labelled songs, by id.
    """
    decided: list[Placed] = []
    undecided: list[Members] = []
    for members in group_songs([song for song in songs if song.genres]):
        there = [(song, song.split) for song in members if song.split in SPLITS]
        if not there or (mend and len({side for _, side in there}) > 1):
            undecided.append(members)
        else:
            decided.append([*there, *follow([s for s in members if s.split not in SPLITS], there)])
    return _deal(undecided, decided, seed)


def deal_singly(songs: Members, seed: int = 0) -> dict[str, str]:
    """Give every labelled song that has no side one, whoever it is by: what a random split is."""
    labelled = [song for song in songs if song.genres]
    decided = [[(song, song.split)] for song in labelled if song.split in SPLITS]
    return _deal([[song] for song in labelled if song.split not in SPLITS], decided, seed)


def follow(
    songs: Members, decided: Placed, otherwise: str | None = None
) -> list[tuple[SplitSong, str]]:
    """Put songs on the side that their artist and their recording are on.

    Args:
        songs: Songs without a side.
        decided: Songs with the side that they are on.
        otherwise: Side of songs that have nothing in common with those; None: none.

    Returns:
        Songs with a side; what has something in common with several sides gets none.
    """
    where: dict[str, set[str]] = defaultdict(set)
    for song, side in decided:
        for token in _tokens(song):
            where[token].add(side)
    found: list[tuple[SplitSong, str]] = []
    for members in _connected(songs):
        sides = {
            side for song in members for token in _tokens(song) for side in where.get(token, ())
        }
        # One side, or none where nothing is in common; with several no side is right.
        at = sides.pop() if len(sides) == 1 else None if sides else otherwise
        if at is not None:
            found += [(song, at) for song in members]
    return found


def group_songs(songs: Members) -> list[Members]:
    """What has to be on one side together, without the copies that chain many artists."""
    limit = max(CHAIN_SONGS, CHAIN_SHARE * len(songs))
    groups: list[Members] = []
    for members in _connected(songs):
        if len(members) > limit and len({artist_key(song.artist) for song in members}) > 1:
            kept = _unchained(members)
            groups += _connected([song for song in members if song.id in kept])
        else:
            groups.append(members)
    return groups


def _unchained(members: Members) -> set[str]:
    """Songs that stay where each recording is left to the one artist who has most songs of it."""
    claims: dict[str, Counter[str]] = defaultdict(Counter)
    for song in members:
        artist = artist_key(song.artist)
        if song.recording and artist:
            claims[song.recording][artist] += 1
    owner = {
        recording: min(artists, key=lambda artist: (-artists[artist], artist))
        for recording, artists in claims.items()
    }
    return {
        song.id
        for song in members
        if not (song.recording and (artist := artist_key(song.artist)))
        or owner[song.recording] == artist
    }


def _tokens(song: SplitSong) -> tuple[str, ...]:
    """What other songs may have in common with a song."""
    artist = artist_key(song.artist)
    by = (f"artist {artist}",) if artist else ()
    return (*by, f"recording {song.recording}") if song.recording else by


def _connected(songs: Members) -> list[Members]:
    """Songs that have something in common, directly or through others, together."""
    parent: dict[str, str] = {}

    def root(token: str) -> str:
        parent.setdefault(token, token)
        while parent[token] != token:
            parent[token] = token = parent[parent[token]]
        return token

    tokens = [_tokens(song) for song in songs]
    for of_song in tokens:
        if len(of_song) == 2:
            parent[root(of_song[0])] = root(of_song[1])
    groups: dict[str, list[SplitSong]] = defaultdict(list)
    for song, of_song in zip(songs, tokens, strict=True):
        groups[root(of_song[0]) if of_song else f"song {song.id}"].append(song)
    return list(groups.values())


def _deal(undecided: Sequence[Members], decided: Sequence[Placed], seed: int) -> dict[str, str]:
    """Deal groups to the sides that they fill least, beside the groups that are there."""
    result: dict[str, str] = {}
    wanted: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    have: dict[str, Counter[str]] = defaultdict(Counter)
    for placed in decided:
        for song, side in placed:
            result[song.id] = side
            for genre in song.genres:
                wanted[genre] += 1
                have[genre][side] += 1
        groups.update({genre for song, _ in placed for genre in song.genres})
    genres_of = [_genres(members) for members in undecided]
    groups_left: Counter[str] = Counter()
    for genres in genres_of:
        wanted.update(genres)
        groups_left.update(genres.keys())
    groups.update(groups_left)
    testable = {genre for genre, count in groups.items() if count >= len(SPLITS)}

    # Large groups first, while there is room for them; then by a seeded shuffle that doesn't
    # depend on the order of the songs.
    order = sorted(
        range(len(undecided)),
        key=lambda at: (-len(undecided[at]), _shuffled(_name(undecided[at]), seed)),
    )
    for at in order:
        genres = genres_of[at]
        sides: Sequence[str] = SPLITS if genres.keys() <= testable else ("train",)
        for genre in genres:
            empty = [split for split in sides if not have[genre][split]]
            # The last groups of a genre go where it has none yet, so that it is on every side.
            if empty and groups_left[genre] <= len(empty):
                sides = empty
        side = min(sides, key=lambda split: _fill(split, genres, have, wanted))
        for song in undecided[at]:
            result[song.id] = side
        for genre, count in genres.items():
            have[genre][side] += count
            groups_left[genre] -= 1
    return result


def _name(members: Members) -> str:
    """What a group is called wherever its songs stand."""
    artists = [key for song in members if (key := artist_key(song.artist))]
    return f"artist {min(artists)}" if artists else f"song {min(song.id for song in members)}"


def _genres(members: Members) -> Counter[str]:
    if len(members) == 1:
        return _counted(members[0].genres)
    return Counter([genre for song in members for genre in song.genres])


@lru_cache(maxsize=65_536)
def _counted(genres: tuple[str, ...]) -> Counter[str]:
    """Genres of a song by itself: of a million such songs, many have the same."""
    return Counter(genres)


def _fill(
    split: str,
    genres: Counter[str],
    have: Mapping[str, Mapping[str, int]],
    wanted: Mapping[str, int],
) -> float:
    """How full a side would be with a group in it: songs over its share, mean over its songs."""
    filled = sum(
        count * (have[genre].get(split, 0) + count) / (SHARES[split] * wanted[genre])
        for genre, count in genres.items()
    )
    return filled / genres.total()


def _shuffled(key: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{key}".encode(errors="surrogatepass"), digest_size=8).digest()
