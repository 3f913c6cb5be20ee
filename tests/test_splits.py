"""Splits: artists and recordings stay together, genres are on every side, sides are kept."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kg.errors import KgError, WrongUsageError
from kg.schema import SPLITS
from kg.splits import SplitSong, artist_key, gtzan
from kg.splits.assign import CHAIN_SHARE, CHAIN_SONGS, assign_splits, deal_singly, group_songs
from kg.splits.leaks import Leaks, find_leaks, refuse_leaks
from kg.splits.protocol import (
    SplitRule,
    as_asked,
    caution_of,
    settle_rule,
    split_songs,
    why_untested,
)

ARTIST = SplitRule("artist")

names = st.one_of(st.none(), st.sampled_from([f"artist {i}" for i in range(12)]))
copies = st.one_of(st.none(), st.none(), st.sampled_from([f"recording {i}" for i in range(12)]))
some_sides = st.one_of(st.none(), st.sampled_from(SPLITS))


def drawn(sides: st.SearchStrategy[str | None], prefix: str) -> st.SearchStrategy[list[SplitSong]]:
    return st.lists(
        st.tuples(st.sampled_from(["blues", "jazz", "pop"]), names, copies, sides), max_size=80
    ).map(
        lambda rows: [
            SplitSong(f"{prefix}{i:03d}", (genre,), artist, recording=recording, given=side)
            for i, (genre, artist, recording, side) in enumerate(rows)
        ]
    )


songs = drawn(st.none(), "")
more_songs = drawn(st.none(), "new ")


def dealt(listed: list[SplitSong], splits: dict[str, str]) -> list[SplitSong]:
    return [replace(song, split=splits.get(song.id)) for song in listed]


def sides(listed: list[SplitSong], splits: dict[str, str]) -> Counter[tuple[str, str]]:
    return Counter((song.genres[0], splits[song.id]) for song in listed)


@given(songs)
def test_artists_and_recordings_are_on_one_side_only(listed: list[SplitSong]) -> None:
    splits = assign_splits(listed)
    assert not find_leaks(dealt(listed, splits))
    # All but those that would chain artists together; none is lost in a small library.
    assert set(splits) == {song.id for members in group_songs(listed) for song in members}
    if len(listed) <= CHAIN_SONGS:
        assert set(splits) == {song.id for song in listed}


@given(songs)
def test_order_of_the_songs_does_not_matter(listed: list[SplitSong]) -> None:
    assert assign_splits(listed) == assign_splits(listed[::-1])


@given(songs.filter(lambda listed: len(listed) <= 25), more_songs.filter(lambda m: len(m) <= 25))
def test_a_growing_library_keeps_its_sides(first: list[SplitSong], more: list[SplitSong]) -> None:
    before = assign_splits(first)
    after = assign_splits(dealt(first, before) + more)
    assert {id: after[id] for id in before} == before
    # New songs that would leak on each side have none.
    assert not find_leaks(dealt(first + more, after))


@given(drawn(some_sides, ""))
def test_mending_leaves_no_leak_and_moves_no_more_than_it_must(listed: list[SplitSong]) -> None:
    there = [replace(song, split=song.given) for song in listed]
    mended = assign_splits(there, mend=True)
    assert not find_leaks(dealt(there, mended))
    for members in group_songs(there):
        had = {song.split for song in members} - {None}
        if len(had) == 1:
            assert {mended[song.id] for song in members} == had


def test_six_songs_of_nobody_known_fall_four_one_one() -> None:
    listed = [SplitSong(f"{g}{i}", (g,)) for g in ("blues", "jazz") for i in range(6)]
    found = sides(listed, assign_splits(listed))
    for genre in ("blues", "jazz"):
        assert [found[genre, side] for side in SPLITS] == [4, 1, 1]


def test_three_artists_are_enough_for_all_sides_and_two_are_not() -> None:
    three = [SplitSong(f"{a}{i}", ("jazz",), a) for a in "abc" for i in range(10)]
    assert sorted(set(assign_splits(three).values())) == ["test", "train", "valid"]
    two = [song for song in three if song.artist != "c"]
    assert set(assign_splits(two).values()) == {"train"}


def test_artists_that_come_one_by_one_reach_all_sides() -> None:
    listed: list[SplitSong] = []
    for name in "abcdefghij":
        listed.append(SplitSong(name, ("jazz",), name))
        listed = dealt(listed, assign_splits(listed))
    assert {song.split for song in listed} == set(SPLITS)


def test_many_artists_fill_the_shares() -> None:
    listed = [SplitSong(f"{a}-{i}", ("pop",), f"a{a}") for a in range(40) for i in range(a % 5 + 1)]
    found = Counter(assign_splits(listed).values())
    assert abs(found["test"] - 0.15 * len(listed)) <= 3
    assert abs(found["valid"] - 0.15 * len(listed)) <= 3


@given(st.lists(st.integers(3, 60), min_size=1, max_size=4))
def test_each_genre_is_dealt_in_its_shares(counts: list[int]) -> None:
    listed = [SplitSong(f"{g}-{i}", (str(g),)) for g, n in enumerate(counts) for i in range(n)]
    found = sides(listed, assign_splits(listed))
    for genre, count in enumerate(counts):
        for side in ("valid", "test"):
            assert 1 <= found[str(genre), side] <= 0.15 * count + 1


def test_songs_without_a_genre_get_no_side() -> None:
    assert assign_splits([SplitSong("a", ()), SplitSong("b", ("jazz",))]) == {"b": "train"}


def test_a_side_is_kept_and_drawn_after() -> None:
    there = [SplitSong("1", ("jazz",), "Nina", "test"), SplitSong("2", ("jazz",), " nina ")]
    assert assign_splits(there) == {"1": "test", "2": "test"}


def test_a_copy_that_would_leak_on_every_side_has_none() -> None:
    there = [
        SplitSong("1", ("jazz",), "Nina", "train", recording="r"),
        SplitSong("2", ("jazz",), "Miles", "test"),
        SplitSong("3", ("jazz",), "Miles", recording="r"),
    ]
    assert assign_splits(there) == {"1": "train", "2": "test"}
    # Of an artist nobody has put anywhere, it goes where its recording is.
    assert assign_splits([there[0], replace(there[2], artist="Bill")])["3"] == "train"


def test_recordings_that_chain_artists_together_are_taken_apart() -> None:
    # Each artist shares a recording with the next one: linked, they would be one group.
    listed = [
        SplitSong(f"{a:03d}-{i}", ("pop",), f"a{a}", recording=f"r{a}" if i == 0 else None)
        for a in range(100)
        for i in range(4)
    ] + [SplitSong(f"{a:03d}-copy", ("pop",), f"a{a + 1}", recording=f"r{a}") for a in range(99)]
    groups = group_songs(listed)
    assert max(map(len, groups)) <= max(CHAIN_SONGS, CHAIN_SHARE * len(listed))
    splits = assign_splits(listed)
    assert set(splits.values()) == set(SPLITS)
    assert len(listed) - len(splits) <= 99  # one copy of a recording at most
    assert not find_leaks(dealt(listed, splits))


def test_many_songs_of_one_artist_are_no_chain() -> None:
    listed = [SplitSong(f"{i:03d}", ("pop",), "Bach", recording=f"r{i // 2}") for i in range(200)]
    assert len(group_songs(listed)) == 1
    assert set(assign_splits(listed).values()) == {"train"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Beatles", "beatles"),
        ("Beatles, The", "The  Beatles"),
        ("AC/DC", "ac-dc"),
        ("Beyoncé", "Beyonce feat. Jay-Z"),
        ("Sigur Rós (ft. Somebody)", "SIGUR RÓS"),
    ],
)
def test_spellings_of_one_artist(one: str, other: str) -> None:
    assert artist_key(one) == artist_key(other)


def test_names_of_nobody_and_odd_names() -> None:
    nobody = [None, "", "  ", "Various Artists", "V.A.", "<unknown>", "[Unknown Artist]", "n/a"]
    assert {artist_key(name) for name in nobody} == {None}
    others = ["!!!", "???", "The The", "宇多田ヒカル", "Ft. Worth", "Various Cruelties"]
    assert len({artist_key(name) for name in others} - {None}) == len(others)
    listed = [SplitSong(f"{i}", ("pop",), "Various Artists") for i in range(20)]
    assert set(assign_splits(listed).values()) == set(SPLITS)


# --- leaks ------------------------------------------------------------------------------------


def test_what_is_on_several_sides_is_named() -> None:
    listed = [
        SplitSong("1", ("jazz",), "Nina Simone", "train"),
        SplitSong("2", ("jazz",), "nina simone", "test"),
        SplitSong("3", ("jazz",), "Other", "train", recording="3", title="So What"),
        SplitSong("4", ("jazz",), "Another", "valid", recording="3", file="so_what.mp3"),
        SplitSong("5", ("jazz",), "Other", None, recording="3"),
    ]
    leaks = find_leaks(listed)
    assert leaks == Leaks(["Nina Simone"], ["So What"])
    assert not find_leaks(listed[2:3] + listed[4:])
    with pytest.raises(KgError, match=r"1 artist \(Nina Simone\) is and 1 recording \(So What\)"):
        refuse_leaks(leaks)
    many = Leaks([f"a{i}" for i in range(7)], ())
    with pytest.raises(KgError, match=r"7 artists \(a0, a1, a2, a3, a4, \.\.\.\) are .*--split a"):
        refuse_leaks(many)
    refuse_leaks(Leaks())


def test_words_of_caution() -> None:
    assert caution_of(ARTIST, Leaks()) is None
    assert "15 to 25 points" in str(caution_of(SplitRule("random"), Leaks()))
    assert "too good: 1 artist (X) is on several" in str(caution_of(ARTIST, Leaks(["X"])))
    assert "three artists" in why_untested(ARTIST)
    assert "artist" not in why_untested(SplitRule("random"))
    assert why_untested(SplitRule("gtzan")).startswith("GTZAN's lists put none of the songs")
    assert why_untested(SplitRule("given")).startswith("The data puts none of the songs")


# --- rules ------------------------------------------------------------------------------------


def clips(of: dict[tuple[str, int], str | None]) -> list[SplitSong]:
    return [
        SplitSong(f"{g}{i}", (g,), file=f"{g}.{i:05d}.au", given=side)
        for (g, i), side in of.items()
    ]


def whole_gtzan() -> list[SplitSong]:
    return clips({(g, i): None for g in gtzan.GENRES for i in range(100)})


def test_gtzans_lists() -> None:
    assert Counter(gtzan.clips().values()) == {"train": 443, "valid": 197, "test": 290}
    assert len(gtzan.GENRES) == 10
    assert gtzan.clip("Blues.00042.WAV") == ("blues", 42)
    assert gtzan.clip("rock.00099") == ("rock", 99)
    assert gtzan.clip("rock.00099.3.wav") == ("rock", 99)
    assert gtzan.is_part("rock.00099.3.wav")
    assert not gtzan.is_part("rock.00099.wav")
    for name in (None, "", "blues.00100.wav", "blues.0042.wav", "my blues.00042.wav", "a.00001.au"):
        assert gtzan.clip(name) is None
    # As the published lists have it: they count from 1 through all genres.
    assert gtzan.side("blues", 12) == gtzan.side("rock", 90) == "test"
    assert gtzan.side("blues", 29) == gtzan.side("rock", 99) == "train"
    assert gtzan.side("blues", 0) == gtzan.side("rock", 85) == "valid"
    assert gtzan.side("rock", 87) == "test"
    assert gtzan.side("reggae", 86) is None
    assert gtzan.fault("reggae", 86) == ("Listed as faulty", "listed as faulty")
    assert gtzan.fault("metal", 58) == ("Exact copy of another clip", "exact copy of rock.00016")
    assert gtzan.fault("rock", 16) is None
    faults = [gtzan.fault(genre, n) for genre in gtzan.GENRES for n in range(100)]
    kinds = Counter(fault[0] for fault in faults if fault)
    assert kinds == {"Exact copy of another clip": 14, "Listed as faulty": 56}
    # What a clip copies isn't left out itself.
    copied = [gtzan.clip(fault[1].split()[-1]) for fault in faults if fault and "copy" in fault[1]]
    assert all(clip and gtzan.side(*clip) for clip in copied)


def test_all_of_gtzan_is_split_by_its_lists() -> None:
    listed = whole_gtzan()
    rule = settle_rule(listed, None, None, measured=False)
    assert rule == SplitRule("gtzan")
    splits = split_songs(listed, rule, None)
    assert Counter(splits.values()) == {"train": 443, "valid": 197, "test": 290}
    # A few songs of one's own beside it are learned from, unless by whom the test songs are.
    test = next(song for song in listed if splits.get(song.id) == "test")
    listed.remove(test)
    own = [SplitSong("mine", ("rock",), "Me"), SplitSong("theirs", ("rock",), "They")]
    listed += [replace(test, artist="They"), *own]
    assert settle_rule(listed, None, None, measured=False) == rule
    again = split_songs(listed, rule, None)
    assert again == splits | {"mine": "train"}


def test_a_part_of_gtzan_is_split_like_any_library() -> None:
    part = [song for song in whole_gtzan() if int(song.file.split(".")[1]) < 6]  # type: ignore[union-attr]
    assert settle_rule(part, None, None, measured=False) == ARTIST
    assert settle_rule(part, "gtzan", None, measured=False) == SplitRule("gtzan", chosen=True)
    blues = [song for song in part if song.genres == ("blues",)]  # these are to choose by
    with pytest.raises(WrongUsageError, match="GTZAN's lists put no labelled song"):
        settle_rule(blues, "gtzan", None, measured=False)


@given(drawn(st.sampled_from(SPLITS), ""))
def test_a_given_split_is_as_it_is_given(listed: list[SplitSong]) -> None:
    rule = settle_rule(listed, None, None, measured=False)
    given_sides = {song.id: song.given for song in listed}
    suits = {"train", "test"} <= set(given_sides.values())
    assert rule == SplitRule("given" if suits else "artist")
    assert split_songs(listed, SplitRule("given"), None) == given_sides


@given(drawn(some_sides, ""))
def test_what_the_data_does_not_name_is_only_learned_from(listed: list[SplitSong]) -> None:
    splits = split_songs(listed, SplitRule("given"), None)
    others = [song for song in listed if song.given is None]
    assert {splits.get(song.id) for song in others} <= {None, "train"}
    assert {song.id: splits[song.id] for song in listed if song.given} == {
        song.id: song.given for song in listed if song.given
    }
    # Who has something in common with a side is there or nowhere: no leak that the data hasn't.
    had = find_leaks(replace(song, split=song.given) for song in listed)
    now = find_leaks(dealt(listed, splits))
    assert set(now.recordings) == set(had.recordings)
    assert set(now.artists) == set(had.artists)


def test_a_given_split_that_is_not_there() -> None:
    listed = [SplitSong(str(i), ("jazz",), given="test") for i in range(5)]
    with pytest.raises(WrongUsageError, match="--split given: the data puts no labelled song"):
        settle_rule(listed, "given", None, measured=False)
    assert settle_rule([], "given", None, measured=False) == SplitRule("given", chosen=True)


@given(songs)
def test_a_random_split_deals_every_song_for_itself(listed: list[SplitSong]) -> None:
    splits = split_songs(listed, SplitRule("random"), None)
    assert set(splits) == {song.id for song in listed}
    assert split_songs(dealt(listed, splits), SplitRule("random"), SplitRule("random")) == splits
    assert deal_singly(listed) == splits
    by_genre = sides(listed, splits)
    for genre, count in Counter(song.genres[0] for song in listed).items():
        assert count < 3 or all(by_genre[genre, side] >= 1 for side in SPLITS)


def test_a_rule_holds_until_another_is_asked_for() -> None:
    listed = whole_gtzan()
    chosen = SplitRule("random", chosen=True)
    assert settle_rule(listed, None, chosen, measured=False) == chosen
    assert settle_rule(listed, "artist", chosen, measured=True) == SplitRule("artist", chosen=True)
    assert settle_rule(listed, "auto", chosen, measured=True) == SplitRule("gtzan")
    # What nobody chose may change, until a model was measured by it.
    assert settle_rule(listed, None, ARTIST, measured=False) == SplitRule("gtzan")
    assert settle_rule(listed, None, ARTIST, measured=True) == ARTIST


def test_another_rule_splits_all_songs_anew() -> None:
    listed = [SplitSong(f"{i:02d}", ("jazz",), f"a{i // 4}") for i in range(40)]
    before = split_songs(listed, ARTIST, None)
    there = dealt(listed, before)
    at_random = split_songs(there, SplitRule("random"), ARTIST)
    assert at_random == deal_singly(listed) != before
    assert split_songs(dealt(listed, at_random), ARTIST, SplitRule("random")) == before


def test_names_of_rules() -> None:
    assert as_asked("random") == "random"
    with pytest.raises(WrongUsageError, match="no split 'fair': it is one of auto, artist, given"):
        as_asked("fair")
