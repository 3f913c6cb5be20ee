"""How much of a song is listened to, as users say it."""

import pytest

from kg.errors import WrongUsageError
from kg.excerpt import as_excerpt, as_seconds, in_words, of_seconds


def test_seconds_and_full() -> None:
    assert [as_excerpt(given) for given in ("30", 30, "5", "full", 12.5)] == [
        30.0, 30.0, 5.0, "full", 12.5,
    ]  # fmt: skip
    # The version of features is a hash of it: 30 and 30.0 must be the same.
    assert repr(as_excerpt(30)) == repr(as_excerpt("30")) == "30.0"
    assert (as_seconds("full"), as_seconds(30.0)) == (None, 30.0)
    assert (of_seconds(None), of_seconds(30.0)) == ("full", 30.0)
    assert in_words(as_excerpt("7.5")) == "the middle 7.5 s of each song"
    assert in_words("full") == "the whole of each song"


@pytest.mark.parametrize("given", ["4.9", "0", "-30", "nan", "inf", "1e9", "half", "", 0.0])
def test_what_makes_no_sense(given: str | float) -> None:
    with pytest.raises(WrongUsageError, match="from 5 to 21600, or `full`"):
        as_excerpt(given)
