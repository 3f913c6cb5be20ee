"""Evidence in words, for every kind of copy and fault."""

import numpy as np
import pytest

from kg.audio.ending import NO_END
from kg.audit import copies, faults
from kg.audit.copies import CopyKind


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("clipped", 0.004, "0.4 % of its samples are cut off at the loudest level there is"),
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
        ("cut", 2.6, 0, 1.0, "cut otherwise: the other's middle is 2.6 s later, 90 % alike"),
        ("cut", -2.6, 0, 1.0, "cut otherwise: the other's middle is 2.6 s earlier, 90 % alike"),
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
