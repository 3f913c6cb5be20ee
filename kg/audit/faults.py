"""Songs whose sound is broken: clipped, silent, cut off, or dead on one side.

`kg ingest` keeps the numbers on the songs, from the part that it listens to anyway; what is said
here is which of them are too many. Chosen on planted faults and on the clips as they are (see
benchmarks/copies.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from kg.audio.ending import LEAST, NO_END
from kg.audio.levels import QUIETEST
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.literals import with_literals
from kg.graph.sounds import count_unheard
from kg.graph.transactions import read_rows

FaultKind = Literal["clipped", "silent", "cut off", "one-sided"]

CLIPPING: Final = 0.002
"""Share of samples cut off at the peak from which on a song is clipped."""

SILENCE: Final = 0.05
"""Share of the time listened to from which on a song is silent: 1.5 s of 30."""

IMBALANCE: Final = 40.0
"""dB from which on one side is dead: what is left there is noise, or crosstalk."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a song's sound.

    Attributes:
        song: Id.
        title: None where unknown.
        artist: None where unknown.
        path: Where it lies.
        kind: What it is.
        value: How much of it: a share of what was listened to (clipped, silent), seconds that are
            missing (cut off; `kg.audio.ending.NO_END` where nobody can say how many), dB
            (one-sided).
        evidence: The same in words.
        cypher: Shows it.
    """

    song: str
    title: str | None
    artist: str | None
    path: str | None
    kind: FaultKind
    value: float
    evidence: str
    cypher: str


@dataclass(frozen=True, slots=True)
class Faults:
    """What `find_faults` found.

    Attributes:
        found: By kind, the worst first; a song may be in it several times.
        unheard: Songs with a file that nobody has looked at: an older kg listened to them.
    """

    found: Sequence[Fault]
    unheard: int


@dataclass(frozen=True, slots=True)
class _Test:
    """One kind of fault: the property that tells, from which value on, and how to say it."""

    kind: FaultKind
    property: str
    least: float
    words: Callable[[float], str]


def _clipped(value: float) -> str:
    return f"{_percent(value)} of its samples are cut off at its loudest level, or crowd below it"


def _silent(value: float) -> str:
    if value >= 1:
        return "its middle is silent"
    return f"{_percent(value)} of what was listened to is silent"


def _cut_off(value: float) -> str:
    if value < LEAST:  # `NO_END`, which the cache keeps in single precision
        return "the file breaks off: its stream has no end"
    return f"the file breaks off: {value:.1f} s that it says it has are missing"


def _one_sided(value: float) -> str:
    if value >= -QUIETEST:
        return "one of its two channels is silent"
    return f"one of its two channels is {value:.0f} dB fainter than the other"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


_TESTS: Final = (
    _Test("cut off", "missing", NO_END, _cut_off),
    _Test("silent", "silence", SILENCE, _silent),
    _Test("clipped", "clipping", CLIPPING, _clipped),
    _Test("one-sided", "imbalance", IMBALANCE, _one_sided),
)


def find_faults(connection: Connection) -> Faults:
    """Which songs are broken, by what is on their nodes; nothing is listened to.

    Raises:
        GraphError: the server doesn't answer.
    """
    rows = read_rows(
        connection,
        queries.FAULTY_SONGS,
        **{test.property: test.least for test in _TESTS},
    )
    found = [_fault(test, row) for test in _TESTS for row in rows if _fails(test, row)]
    order = [test.kind for test in _TESTS]
    found.sort(key=lambda fault: (order.index(fault.kind), -fault.value, fault.song))
    return Faults(found, count_unheard(connection))


def faults_in_words(properties: Mapping[str, Any]) -> list[str]:
    """What is wrong with a song's sound, by the properties of its node."""
    return [
        f"{test.kind}: {test.words(float(properties[test.property]))}"
        for test in _TESTS
        if _fails(test, properties)
    ]


def _fails(test: _Test, row: Mapping[str, Any]) -> bool:
    value = row.get(test.property)
    return value is not None and value >= test.least


def _fault(test: _Test, row: dict[str, Any]) -> Fault:
    value = float(row[test.property])
    return Fault(
        song=row["id"],
        title=row["title"],
        artist=row["artist"],
        path=row["path"],
        kind=test.kind,
        value=value,
        evidence=test.words(value),
        cypher=with_literals(queries.SOUND_OF_SONG, song=row["id"]),
    )
