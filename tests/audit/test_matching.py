"""Prints of one recording match, whatever was done to it; those of others don't."""

import numpy as np
import pytest

from kg.audio.features import cut
from kg.audio.prints import MOST, WIDTH, Print, make_print
from kg.audit import matching
from kg.audit.matching import ALIKE, LEAST_STEPS, Match, Prints, candidates, matches, signatures
from tests.audit.tunes import RATE, faster, tune

OTHERS = 12


def middle(samples: np.ndarray) -> Print:
    """The print of what an ingest listens to."""
    begin = max(0, len(samples) // 2 - 15 * RATE)
    return make_print(cut(samples[begin : begin + 30 * RATE]))


def padded(*prints: Print) -> Prints:
    values = np.zeros((len(prints), MOST, WIDTH), np.uint8)
    for row, each in enumerate(prints):
        values[row, : len(each)] = each
    return Prints(values, np.array([len(each) for each in prints], np.int64))


@pytest.fixture(scope="module")
def others() -> list[Print]:
    return [middle(tune(seed)) for seed in range(100, 100 + OTHERS)]


def only_match(others: list[Print], one: np.ndarray, two: np.ndarray) -> Match:
    """How these two match, among others which don't."""
    (found,) = matches(padded(middle(one), *others, middle(two)))
    assert (found.first, found.second) == (0, OTHERS + 1)
    return found


def test_strangers_are_not_alike(others: list[Print]) -> None:
    assert matches(padded(*others)) == []


def test_the_same_again(others: list[Print]) -> None:
    found = only_match(others, tune(1), tune(1) + 0.002 * np.random.default_rng(0).normal(
        size=40 * RATE).astype(np.float32))  # fmt: skip
    assert found.similarity > 0.9
    assert (found.semitones, found.later, found.speed) == (0, 0.0, 1.0)


@pytest.mark.parametrize("seconds", [5.0, -5.0])
def test_what_was_cut_begins_elsewhere(others: list[Print], seconds: float) -> None:
    whole = tune(2, 32.0)
    cut_off = whole[round(5 * RATE) :] if seconds > 0 else whole[: -round(5 * RATE)]
    found = only_match(others, whole, cut_off)
    # 30 of 32 s were listened to, from 1 s on, and all of the 27 s of the other.
    assert found.later == pytest.approx(4.0 if seconds > 0 else -1.0, abs=0.4)
    assert found.similarity > ALIKE + 0.1


@pytest.mark.parametrize("semitones", [1, -2, 6, -5])
def test_higher_or_lower(others: list[Print], semitones: int) -> None:
    found = only_match(others, tune(3), tune(3, semitones=semitones))
    assert (found.semitones, found.speed) == (semitones, 1.0)
    assert found.similarity > ALIKE + 0.1


@pytest.mark.parametrize("speed", [1.04, 0.96, 1.0595])
def test_faster_or_slower(others: list[Print], speed: float) -> None:
    found = only_match(others, tune(4), faster(tune(4), speed))
    assert found.speed == pytest.approx(speed, abs=0.021)
    assert found.similarity > ALIKE


def test_it_does_not_matter_which_comes_first() -> None:
    one, two = middle(tune(5)), middle(tune(5, semitones=3))
    (there,) = matches(padded(one, two))
    (back,) = matches(padded(two, one))
    assert there.similarity == pytest.approx(back.similarity, abs=1e-4)
    assert there.semitones == -back.semitones


def test_sounds_that_do_not_move_are_nobody_s_copies() -> None:
    chance = np.random.default_rng(0)
    noises = [
        make_print(cut(chance.normal(0, 0.2, 30 * RATE).astype(np.float32))) for _ in range(4)
    ]
    time = np.arange(30 * RATE) / RATE
    tones = [
        make_print(cut((0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)))
        for hertz in (220, 221, 330)
    ]
    assert matches(padded(*noises, *tones)) == []


def test_too_short_to_be_told_apart() -> None:
    short = middle(tune(6))[: LEAST_STEPS - 1]
    assert matches(padded(short, short)) == []
    assert matches(padded()) == []
    enough = middle(tune(6))[:LEAST_STEPS]
    (found,) = matches(padded(enough, short, enough))
    assert (found.first, found.second) == (0, 2)


def test_what_a_shift_leaves_as_it_is(others: list[Print]) -> None:
    # The tune goes on for long enough that both windows are full of it.
    one, higher = (padded(middle(tune(7, semitones=by))) for by in (0, 4))
    stranger = padded(others[0])
    here, there, elsewhere = (
        signatures(each.values, each.lengths)[0] for each in (one, higher, stranger)
    )
    assert here @ there > 0.95 > matching.NEAR > here @ elsewhere


def test_candidates_do_not_grow_with_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "CANDIDATES", 3)
    chance = np.random.default_rng(0)
    values = chance.integers(0, 256, (200, MOST, WIDTH), np.uint8)
    values[100:] = values[:100]
    pairs = candidates(Prints(values, np.full(200, MOST)))
    assert len(pairs) <= 3 * 200
    assert {(row, row + 100) for row in range(100)} <= {tuple(pair) for pair in pairs.tolist()}
