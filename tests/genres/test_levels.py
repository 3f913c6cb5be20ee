"""What is learned at a level of the tree."""

import pytest

from kg.errors import WrongUsageError
from kg.genres.levels import as_level, implied_by, learned_genres, tree_fingerprint
from kg.genres.tree import Tree

TREE = Tree(
    {
        "punk": ["rock"],
        "post-punk": ["punk"],
        "house": ["electronic"],
        "krautrock": ["rock", "electronic"],
        "swing": ["jazz"],
    }
)
GIVEN = [("post-punk",), ("rock",), ("house",), ("krautrock",), ("jazz",), ("polka",), ()]
TRAIN = [True] * len(GIVEN)


def test_the_top_level() -> None:
    assert learned_genres(GIVEN, TRAIN, TREE, "top") == [
        ("rock",), ("rock",), ("electronic",), ("electronic", "rock"), ("jazz",), ("polka",), (),
    ]  # fmt: skip
    assert learned_genres(GIVEN, TRAIN, TREE, 1) == learned_genres(GIVEN, TRAIN, TREE, "top")


def test_a_level_below_leaves_out_what_says_nothing_of_it() -> None:
    # Songs of "rock" may be of any kind of it; "jazz" has no subgenre that a song has.
    assert learned_genres(GIVEN, TRAIN, TREE, 2) == [
        ("punk",), (), ("house",), ("krautrock",), ("jazz",), ("polka",), (),
    ]  # fmt: skip


def test_leaves() -> None:
    assert learned_genres(GIVEN, TRAIN, TREE, "leaf") == [
        ("post-punk",), (), ("house",), ("krautrock",), ("jazz",), ("polka",), (),
    ]  # fmt: skip


def test_as_given_one_genre_a_song_stays_one() -> None:
    assert learned_genres(GIVEN, TRAIN, TREE, "given") == GIVEN


def test_as_given_several_genres_a_song_bring_parents_that_songs_have() -> None:
    several = [*GIVEN, ("house", "polka")]
    found = learned_genres(several, [*TRAIN, True], TREE, "given")
    assert found[0] == ("post-punk", "rock")  # no song is filed under "punk" or "electronic"
    assert found[2] == ("house",)
    assert found[3] == ("krautrock", "rock")
    # Several genres of a song that nothing is learned from change nothing.
    assert learned_genres(several, [*TRAIN, False], TREE, "given") == several


def test_without_a_tree_there_are_no_levels() -> None:
    with pytest.raises(WrongUsageError, match="--genre-tree FILE"):
        learned_genres(GIVEN, TRAIN, Tree({"jazz": []}), "top")
    assert learned_genres(GIVEN, TRAIN, Tree({}), "given") == GIVEN


def test_levels_are_read() -> None:
    assert [as_level(text) for text in ("top", "leaf", "given", "3")] == ["top", "leaf", "given", 3]
    for wrong in ("0", "-1", "Top", "1.5", "", "\u00b2"):
        with pytest.raises(WrongUsageError, match="no level"):
            as_level(wrong)


def test_what_is_implied_comes_from_the_bottom_up() -> None:
    genres = ["electronic", "house", "krautrock", "post-punk", "punk", "rock"]
    assert implied_by(genres, TREE) == [(4, [3]), (0, [1, 2]), (5, [2, 3, 4])]
    assert implied_by(["rock", "post-punk"], TREE) == [(0, [1])]  # "punk" need not be there
    assert implied_by(["jazz", "rock"], TREE) == []


def test_the_fingerprint_is_that_of_what_is_below_what() -> None:
    assert tree_fingerprint(Tree({})) == tree_fingerprint(Tree({"jazz": []})) == ""
    assert tree_fingerprint(TREE) == tree_fingerprint(Tree({**TREE.parents, "new": []}))
    assert tree_fingerprint(TREE) != tree_fingerprint(Tree({**TREE.parents, "punk": ["loud"]}))
