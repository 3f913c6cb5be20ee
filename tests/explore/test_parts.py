"""Parts of the explorer that need no server."""

import pytest

from kg.explore.cells import LONGEST, cell
from kg.explore.listening import ranged
from kg.explore.notices import Notice, Notices


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        ("bytes=7-", (7, 10)),
        ("bytes=7-99", (7, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
    ],
)
def test_a_range_of_bytes(asked: str, part: tuple[int, int]) -> None:
    answer = ranged(b"0123456789", asked, "audio/wav")
    start, end = part
    assert (answer.status_code, answer.body) == (206, b"0123456789"[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/10"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "asked", [None, "", "bytes=", "bytes=-", "bytes=a-b", "rows=0-1", "bytes=0-1,3-4"]
)
def test_what_is_no_range_gets_all(asked: str | None) -> None:
    answer = ranged(b"0123456789", asked, "audio/wav")
    assert (answer.status_code, answer.body) == (200, b"0123456789")
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=5-4", "bytes=-0", "bytes=99-100"])
def test_a_range_of_nothing_is_refused(asked: str) -> None:
    answer = ranged(b"0123456789", asked, "audio/wav")
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (0.1 + 0.2, "0.3"),
        (float("nan"), "nan"),
        (b"abc", "<3 bytes>"),
        ({"a": b"abc", "b": [None, True]}, '{"a": "<3 bytes>", "b": [null, true]}'),
        ("é\n<b>", "é\n<b>"),
        (2**70, str(2**70)),
    ],
)
def test_a_value_in_a_table(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_long_value_is_cut() -> None:
    assert cell("a" * LONGEST) == "a" * LONGEST
    assert cell(["a"] * LONGEST) == f"{str(['a'] * LONGEST)[:LONGEST]}…".replace("'", '"')


def test_a_notice_is_for_the_page_that_has_its_key_and_for_once() -> None:
    notices = Notices()
    one, two = notices.keep(Notice("One.")), notices.keep(Notice("Two.", song="2"))
    assert notices.take(None) is None
    assert notices.take("none") is None
    assert notices.take(two) == Notice("Two.", song="2")
    assert notices.take(two) is None
    for number in range(1000):  # tabs that were closed before their page came
        last = notices.keep(Notice(f"{number}."))
    assert notices.take(one) is None
    assert notices.take(last) == Notice("999.")
