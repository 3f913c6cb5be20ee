"""Feature sets that a table gives: their versions, the order of columns, what they refuse."""

from dataclasses import replace

import pytest

from kg.audio.features import feature_set
from kg.embeddings.choice import as_now, with_embeddings
from kg.errors import WrongUsageError
from kg.given import (
    column_order,
    given_features,
    own_families,
    own_features,
    refuse_audio,
    refuse_table,
    with_new_values,
)
from kg.records import Embedding

FAMILIES = {"low": ("a", "b"), "high": ("c",)}
FILE = Embedding("file:net", "1", "net", ("net_1", "net_2"))


def test_the_same_columns_are_the_same_features_whatever_their_values() -> None:
    kinds = given_features(FAMILIES)
    assert kinds.families == {"low": slice(0, 2), "high": slice(2, 3)}
    assert (kinds.columns, kinds.excerpt) == (("a", "b", "c"), None)
    others = with_new_values(kinds, "others")
    assert (others.version, others.given) == (kinds.version, "others")
    for families in (
        {"low": ("a", "b"), "high": ("d",)},
        {"low": ("a",), "high": ("b", "c")},
        {"high": ("c",), "low": ("a", "b")},
    ):
        assert given_features(families).version != kinds.version
    # A family without a column is none.
    assert given_features({**FAMILIES, "none": ()}).version == kinds.version


def test_what_no_library_can_have() -> None:
    with pytest.raises(WrongUsageError, match="no column of features"):
        given_features({"low": ()})
    with pytest.raises(WrongUsageError, match="two columns called 'b' in the family 'low'"):
        given_features({"low": ("a", "b", "b")})
    with pytest.raises(WrongUsageError, match="can't be called 'Low'"):
        given_features({"Low": ("a",)})


def test_with_vectors_from_a_file_they_stay_what_they_are() -> None:
    own = given_features(FAMILIES, "token")
    kinds = with_embeddings(own, [FILE])
    assert kinds.columns == ("a", "b", "c", "net_1", "net_2")
    assert (kinds.given, kinds.excerpt, kinds.embeddings) == ("token", None, (FILE,))
    assert kinds.version != own.version
    assert own_features(kinds) == own
    assert own_families(kinds) == FAMILIES
    assert as_now(kinds) == kinds
    heard = feature_set(10.0)
    assert own_features(with_embeddings(heard, [FILE])) == heard
    assert as_now(replace(kinds, version="older")).version == kinds.version


def test_columns_in_another_order_and_other_columns() -> None:
    kinds = with_embeddings(given_features(FAMILIES), [FILE])
    turned = {"high": ("c",), "low": ("b", "a")}
    assert column_order(kinds, turned).tolist() == [2, 1, 0]
    many = {**FAMILIES, "more": tuple("vwxyz")}
    with pytest.raises(WrongUsageError, match=r"which also has v \(more\), .* and 2 more, and"):
        column_order(kinds, many)
    with pytest.raises(WrongUsageError, match=r"lacks c \(high\) and also has c \(low\)"):
        column_order(kinds, {"low": ("a", "b", "c")})


def test_audio_and_tables_keep_apart() -> None:
    heard, given = feature_set(), given_features(FAMILIES)
    refuse_audio(None)
    refuse_audio(heard)
    refuse_table(given)
    with pytest.raises(WrongUsageError, match=r"come from a table.*--home DIR"):
        refuse_audio(given)
    with pytest.raises(WrongUsageError, match=r"listens to its songs.*--vectors FILE"):
        refuse_table(heard)
