"""Names of rows: found by bisection, kept in a tensor."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.names import Names

TEXTS = st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))


@given(TEXTS, TEXTS)
def test_every_name_has_its_row_and_no_other_has_one(names: list[str], others: list[str]) -> None:
    listed = sorted(set(names))
    kept = Names.from_tensor(Names.of(listed).as_tensor()) if listed else Names.of(listed)
    assert list(kept) == listed
    assert [kept[row] for row in range(len(kept))] == listed
    asked = [*listed, *others]
    assert kept.find(asked).tolist() == [
        listed.index(name) if name in listed else -1 for name in asked
    ]


def test_what_only_begins_so_is_another_name() -> None:
    kept = Names.of(["aa", "ab", "b"])
    assert kept.find(["a", "aab", "", "ab", "ba"]).tolist() == [-1, -1, -1, 1, -1]
    assert list(kept[1:]) == ["ab", "b"]


def test_names_that_do_not_ascend_are_refused() -> None:
    for names in (["b", "a"], ["a", "a"]):
        with pytest.raises(ValueError, match="ascend"):
            Names.of(names)


def test_none_are_kept_too() -> None:
    assert len(Names.of([])) == 0
    assert Names.of([]).find(["a"]).tolist() == [-1]
    assert Names.of([]).as_tensor().dtype == torch.uint8
