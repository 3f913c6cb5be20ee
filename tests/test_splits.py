"""Splits: artists stay together, genres are on every side, a growing library keeps its sides."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kg.splits import SplitSong, artist_key, assign_splits, shared_artists

songs = st.lists(
    st.builds(
        lambda genre, artist: (genre, artist),
        st.sampled_from(["blues", "jazz", "pop"]),
        st.one_of(st.none(), st.sampled_from([f"artist {i}" for i in range(12)])),
    ),
    max_size=80,
).map(lambda drawn: [SplitSong(f"{i:03d}", (g,), a) for i, (g, a) in enumerate(drawn)])


def sides(listed: list[SplitSong], splits: dict[str, str]) -> Counter[tuple[str, str]]:
    return Counter((song.genres[0], splits[song.id]) for song in listed)


@given(songs)
def test_an_artist_is_on_one_side_only(listed: list[SplitSong]) -> None:
    splits = assign_splits(listed)
    assert set(splits) == {song.id for song in listed}
    where: dict[str, set[str]] = {}
    for song in listed:
        if song.artist:
            where.setdefault(song.artist, set()).add(splits[song.id])
    assert all(len(found) == 1 for found in where.values())


@given(songs)
def test_order_of_the_songs_does_not_matter(listed: list[SplitSong]) -> None:
    assert assign_splits(listed) == assign_splits(listed[::-1])


@given(songs, songs)
def test_a_growing_library_keeps_its_sides(first: list[SplitSong], more: list[SplitSong]) -> None:
    before = assign_splits(first)
    kept = [SplitSong(s.id, s.genres, s.artist, before[s.id]) for s in first]
    added = [SplitSong(f"new {s.id}", s.genres, s.artist) for s in more]
    after = assign_splits(kept + added)
    assert {id: after[id] for id in before} == before
    everybody = [SplitSong(s.id, s.genres, s.artist, after[s.id]) for s in kept + added]
    assert shared_artists(everybody) == []


def test_six_songs_of_nobody_known_fall_four_one_one() -> None:
    listed = [SplitSong(f"{g}{i}", (g,)) for g in ("blues", "jazz") for i in range(6)]
    found = sides(listed, assign_splits(listed))
    for genre in ("blues", "jazz"):
        assert [found[genre, side] for side in ("train", "valid", "test")] == [4, 1, 1]


def test_three_artists_are_enough_for_all_sides_and_two_are_not() -> None:
    three = [SplitSong(f"{a}{i}", ("jazz",), a) for a in "abc" for i in range(10)]
    assert sorted(set(assign_splits(three).values())) == ["test", "train", "valid"]
    two = [song for song in three if song.artist != "c"]
    assert set(assign_splits(two).values()) == {"train"}


def test_many_artists_fill_the_shares() -> None:
    listed = [SplitSong(f"{a}-{i}", ("pop",), f"a{a}") for a in range(40) for i in range(a % 5 + 1)]
    found = Counter(assign_splits(listed).values())
    assert abs(found["test"] - 0.15 * len(listed)) <= 3
    assert abs(found["valid"] - 0.15 * len(listed)) <= 3


def test_songs_without_a_genre_get_no_side() -> None:
    assert assign_splits([SplitSong("a", ()), SplitSong("b", ("jazz",))]) == {"b": "train"}


def test_a_given_side_is_kept_and_drawn_after() -> None:
    given_side = [SplitSong("1", ("jazz",), "Nina", "test"), SplitSong("2", ("jazz",), " nina ")]
    assert assign_splits(given_side) == {"1": "test", "2": "test"}


def test_artists_on_both_sides_are_named() -> None:
    listed = [
        SplitSong("1", ("jazz",), "Nina Simone", "train"),
        SplitSong("2", ("jazz",), "nina simone", "test"),
        SplitSong("3", ("jazz",), "Other", "train"),
    ]
    assert shared_artists(listed) == ["Nina Simone"]
    assert artist_key("  ") is None
