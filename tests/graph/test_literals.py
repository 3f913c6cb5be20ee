"""Values written into Cypher come back as they were, from both servers."""

import pytest

from kg.graph.connection import Connection
from kg.graph.literals import with_literals

VALUES = [
    "",
    "it's",
    '"',
    "\\",
    "\\'",
    "a\nb\tc\r",
    "$name",
    "ça ♥ 𝄞",
    "\x7f\u2028",
    "`x` // -- /*",
]


def test_values_come_back(connection: Connection) -> None:
    text = with_literals(
        "RETURN $several AS several, $one AS one, $n AS n", several=VALUES, one="$n", n=3
    )
    assert "\n" not in text
    assert connection.ask(text).rows == [[VALUES, "$n", 3]]


def test_a_value_must_be_there() -> None:
    with pytest.raises(KeyError):
        with_literals("RETURN $missing")
