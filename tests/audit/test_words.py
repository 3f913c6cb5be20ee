"""Evidence in words, for every kind of copy and fault."""

import numpy as np
import pytest

from kg.audio.ending import NO_END
from kg.audio.prints import MOST, WIDTH
from kg.audit import copies, faults
from kg.audit.copies import CopyKind
from kg.audit.matching import Match
from kg.graph.sounds import Printed


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (
            "clipped",
            0.004,
            "0.4 % of its samples are cut off at its loudest level, or crowd below it",
        ),
        ("silent", 1.0, "its middle is silent"),
        ("silent", 0.25, "25 % of what was listened to is silent"),
        ("cut off", 6.04, "the file breaks off: 6.0 s that it says it has are missing"),
        ("cut off", NO_END, "the file breaks off: its stream has no end"),
        # As the cache keeps it.
        ("cut off", float(np.float32(NO_END)), "the file breaks off: its stream has no end"),
        ("one-sided", 120.0, "one of its two channels is silent"),
        ("one-sided", 44.0, "one of its two channels is 44 dB fainter than the other"),
    ],
)
def test_faults_in_words(kind: str, value: float, words: str) -> None:
    (test,) = (each for each in faults._TESTS if each.kind == kind)
    assert test.least <= value
    assert test.words(value) == words


@pytest.mark.parametrize(
    ("kind", "later", "semitones", "speed", "words"),
    [
        ("encoding", 0.0, 0, 1.0, "sounds the same, 90 % alike"),
        ("cut", 2.6, 0, 1.0, "the other begins about 3 s later, 90 % alike"),
        ("cut", -2.6, 0, 1.0, "the other begins about 3 s earlier, 90 % alike"),
        ("cut", 0.4, 0, 1.0, "one is longer than the other, 90 % alike"),
        ("pitch", 0.0, 1, 1.0, "the other is a semitone higher, 90 % alike"),
        ("pitch", 0.0, -2, 1.0, "the other is 2 semitones lower, 90 % alike"),
        ("speed", 0.0, 1, 1.04, "the other is about 4 % faster, 90 % alike"),
        ("speed", 0.0, -1, 0.94, "the other is about 6 % slower, 90 % alike"),
    ],
)
def test_copies_in_words(
    kind: CopyKind, later: float, semitones: int, speed: float, words: str
) -> None:
    assert copies._in_words(copies._Told(kind, 0.1, later, semitones, speed)) == words
    by_features = copies._Told(kind, 0.1, later, semitones, speed, printed=False)
    assert copies._in_words(by_features) == "sounds the same by its features"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"kind": "cut", "later": 2.6}, "the other begins about 3 s earlier, 90 % alike"),
        ({"kind": "pitch", "semitones": 1}, "the other is a semitone lower, 90 % alike"),
        ({"kind": "speed", "speed": 0.5}, "the other is about 100 % faster, 90 % alike"),
        ({"kind": "encoding", "printed": False}, "sounds the same by its features"),
    ],
)
def test_copies_in_words_from_the_other_side(told: dict[str, object], words: str) -> None:
    assert copies.copy_in_words({"distance": 0.1, **told}, turned=True) == words


@pytest.mark.parametrize(
    ("durations", "lengths", "shift", "kind", "later"),
    [
        # A long song of which the first five seconds are cut off, or the last five.
        ((200.0, 195.0), (80, 80), 2.5, "cut", 5.0),
        ((200.0, 195.0), (80, 80), -2.5, "cut", 0.0),
        # A short one, of which prints hold all.
        ((30.0, 25.0), (80, 67), 4.83, "cut", 4.9),
        ((200.0, 200.3), (80, 80), 0.0, "encoding", -0.15),
        ((np.nan, 195.0), (80, 80), 2.5, "cut", 2.5),
    ],
)
def test_where_a_copy_begins(
    durations: tuple[float, float],
    lengths: tuple[int, int],
    shift: float,
    kind: str,
    later: float,
) -> None:
    printed = Printed(
        ["a", "b"],
        np.array(durations, np.float32),
        np.zeros((2, MOST, WIDTH), np.uint8),
        np.array(lengths),
    )
    told = copies._told(Match(0, 1, 0.9, 0, shift, 1.0), printed)
    assert (told.kind, told.later) == (kind, pytest.approx(later, abs=0.06))
