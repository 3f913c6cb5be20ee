"""Cells as numbers, lists and genres."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kg.sources.texts import as_numbers, as_texts, as_vectors, genres_of


def test_numbers() -> None:
    read = as_numbers(pa.array(["1", " 2.5 ", "", "NA", "x", "-1e3", "Inf", ".5"]))
    np.testing.assert_array_equal(read.values, [1, 2.5, np.nan, np.nan, np.nan, -1000, np.inf, 0.5])
    assert read.missing.tolist() == [False, False, True, True, False, False, False, False]
    assert read.bad.nonzero()[0].tolist() == [4]
    assert read.points


def test_decimal_commas() -> None:
    read = as_numbers(pa.array(["0,25", "1", ",5", "1.234,5", "1,500"]))
    np.testing.assert_array_equal(read.values, [0.25, 1, 0.5, np.nan, 1.5])
    assert (read.commas, read.thousands) == (3, 1)
    assert read.bad.tolist() == [False, False, False, True, False]
    assert as_numbers(pa.array(["0,25", "x"]), comma=False).bad.all()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None, 3], pa.int8()),
        pa.array([1.0, None, 3.0], pa.float16()),
        pa.array([1, None, 3], pa.decimal128(5, 2)),
        pa.array(["1", None, "3"]),
    ],
)
def test_numbers_of_any_type(column: pa.Array) -> None:
    read = as_numbers(column)
    np.testing.assert_array_equal(read.values, [1, np.nan, 3])
    assert read.missing.tolist() == [False, True, False]


def test_bools() -> None:
    np.testing.assert_array_equal(as_numbers(pa.array([True, False])).values, [1, 0])


def test_texts() -> None:
    assert as_texts(pa.array([21.0, None, 1.5])).to_pylist() == ["21", None, "1.5"]
    assert as_texts(pa.array([b"a", b"\xff", None])).to_pylist() == ["a", "\\xff", None]
    assert as_texts(pa.array([" a ", "n/a", "", "0"])).to_pylist() == ["a", None, None, "0"]
    assert as_texts(pa.array([7, None])).to_pylist() == ["7", None]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["[0.1, 0.2]", "[1, nan]", "", "[3 4]"]),
        pa.array(["[0.1\n 0.2]", "[1 nan]", "NaN", "[3  4]"]),
        pa.array(["[np.float64(0.1), np.float64(0.2)]", "[1, nan]", None, "(3, 4)"]),
        pa.array([[0.1, 0.2], [1, None], None, [3, 4]]),
        pa.array([[0.1, 0.2], [1, None], None, [3, 4]], pa.list_(pa.float64(), 2)),
    ],
)
def test_lists(column: pa.Array) -> None:
    found = as_vectors(column)
    assert found is not None
    lengths, values = found
    assert lengths.tolist() == [2, 2, -1, 2]
    np.testing.assert_allclose(values, [0.1, 0.2, 1, np.nan, 3, 4])


def test_what_is_no_list() -> None:
    assert as_vectors(pa.array(["[1, 2]", "x"])) is None
    assert as_vectors(pa.array(["['a', 'b']"])) is None
    assert as_vectors(pa.array(["", "NA"])) is None
    found = as_vectors(pa.array(["[1, 2]", "[3]"]))
    assert found is not None
    assert found[0].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("cell", "genres"),
    [
        (None, ()),
        ("jazz", ("jazz",)),
        ("Old-Time / Historic", ("Old-Time / Historic",)),
        ("rock|pop | rock", ("rock", "pop")),
        ("rock; pop", ("rock", "pop")),
        ("['rock', \"R&B\"]", ("rock", "R&B")),
        ("['rock' 'R&B']", ("rock", "R&B")),
        ('["rock", null]', ("rock",)),
        ("[rock, pop]", ("rock", "pop")),
        ("[21, 17]", ("21", "17")),
        ("21.0", ("21",)),
        ("[]", ()),
        ("rock|nan|", ("rock",)),
        ("Folk, World, & Country", ("Folk, World, & Country",)),
        ("[" * 3000 + "]" * 3000, ()),
    ],
)
def test_genres(cell: str | None, genres: tuple[str, ...]) -> None:
    assert genres_of(cell) == genres


def test_genres_by_commas() -> None:
    assert genres_of("rock, pop", True) == ("rock", "pop")


@given(st.text())
def test_genres_of_anything(cell: str) -> None:
    found = genres_of(cell)
    assert len(set(found)) == len(found)
    assert all(genre == " ".join(genre.split()) != "" for genre in found)
