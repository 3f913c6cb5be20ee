"""A genre tree as such: what is above, below, how deep, and what goes in a circle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kg.errors import WrongUsageError
from kg.genres.tree import Tree, check_no_cycle, find_cycle

TREE = Tree(
    {
        "punk": ["rock"],
        "post-punk": ["punk"],
        "synth punk": ["punk", "electronic"],
        "house": ["electronic"],
        "jazz": [],
    }
)


def test_what_is_above_and_below() -> None:
    assert TREE.above("post-punk") == {"punk", "rock"}
    assert TREE.above("synth punk") == {"punk", "rock", "electronic"}
    assert TREE.above("unheard of") == set()
    assert TREE.below("electronic") == {"house", "synth punk"}
    assert TREE.with_above(["house", "jazz"]) == {"house", "electronic", "jazz"}
    assert "jazz" not in TREE.names
    assert TREE.names >= {"rock", "house"}
    assert TREE
    assert not Tree({"jazz": []})


def test_depth_goes_by_the_shortest_way() -> None:
    assert [TREE.depth(name) for name in ("jazz", "rock", "punk", "post-punk")] == [1, 1, 2, 3]
    assert TREE.depth("synth punk") == 2


def test_most_specific_and_most_general_keep_the_order() -> None:
    names = ["rock", "jazz", "post-punk", "punk"]
    assert TREE.most_specific(names) == ["jazz", "post-punk"]
    assert TREE.most_general(names) == ["rock", "jazz"]
    assert TREE.most_specific([]) == []


def test_a_cycle_is_named() -> None:
    circle = {"a": ["b"], "b": ["c", "x"], "c": ["a"], "d": ["a"], "x": []}
    with pytest.raises(WrongUsageError, match=r"'a' -> 'b' -> 'c' -> 'a'"):
        check_no_cycle(circle)
    with pytest.raises(WrongUsageError, match="'a' is its own parent"):
        check_no_cycle({"a": ["b", "a"], "b": []})
    check_no_cycle(TREE.parents)


NAMES = st.sampled_from("abcdefg")


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=3, unique=True)))
def test_a_cycle_is_found_where_there_is_one(parents: dict[str, list[str]]) -> None:
    cycle = find_cycle(parents)
    # Independently: peel off what has no parents left.
    left = {name: set(above) for name, above in parents.items()}
    while bare := {name for name, above in left.items() if not above & left.keys()}:
        left = {name: above for name, above in left.items() if name not in bare}
    assert (cycle is None) == (not left)
    if cycle is not None:
        for name, parent in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert parent in parents[name]


def test_a_tree_may_be_deep() -> None:
    deep = {f"g{i}": [f"g{i + 1}"] for i in range(5000)}
    assert find_cycle(deep) is None
    assert len(Tree(deep).above("g0")) == 5000
