"""Which genres a song is said to have, and in what order, where some are kinds of others."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kg.learning.ranking import MOST_SEVERAL, TOP_K, first_genres, ranked
from models.hierarchy import LIKELY, lift

GENRES = ["punk", "metal", "doom", "house", "jazz", "rock", "electronic"]
# Doom is a kind of metal, which is one of rock, as punk is; house is electronic.
IMPLIED = [(1, [2]), (6, [3]), (5, [0, 1, 2])]


def told(probabilities: list[float], *, several: bool = True, least: float = 0.0) -> list[str]:
    """The genres of one song of such probabilities, in their order."""
    shares = torch.tensor([probabilities])
    (guesses,) = ranked(GENRES, shares.logit(), shares, IMPLIED, several=several, least=least)
    assert [guess.rank for guess in guesses] == list(range(1, len(guesses) + 1))
    at = {name: row for row, name in enumerate(GENRES)}
    for guess in guesses:
        assert guess.probability == pytest.approx(probabilities[at[guess.genre]])
        assert guess.score == pytest.approx(float(shares.logit()[0, at[guess.genre]]))
    return [guess.genre for guess in guesses]


def test_the_first_is_the_most_specific_that_is_likely() -> None:
    #        punk  metal doom  house jazz  rock  electronic
    likely = [0.10, 0.70, 0.40, 0.20, 0.05, 0.90, 0.30]
    # Metal is likelier than not a kind of rock here, and doom of metal; what they are kinds of is
    # told last, and takes none of the places.
    assert told(likely) == ["doom", "house", "punk", "rock", "metal", "electronic"]
    # Which kind of rock nobody can tell: rock is first, and its kinds come as what it may be.
    unsure = [0.30, 0.35, 0.10, 0.02, 0.05, 0.90, 0.04]
    assert told(unsure) == ["rock", "metal", "punk"]


def test_the_first_stays_where_one_is_sure_enough() -> None:
    likely = [0.10, 0.70, 0.40, 0.20, 0.05, 0.90, 0.30]
    assert told(likely, least=0.6) == ["metal", "doom", "house", "punk", "rock", "electronic"]
    assert told(likely, least=0.8) == ["rock", "doom", "house", "punk", "metal", "electronic"]
    # Nothing is: the most probable is first.
    assert told(likely, least=0.95)[0] == "rock"


def test_of_several_all_that_are_likelier_than_not_are_told() -> None:
    likely = [0.60, 0.70, 0.20, 0.55, 0.80, 0.90, 0.60]
    assert told(likely) == ["metal", "jazz", "punk", "house", "rock", "electronic"]
    assert told(likely, several=False) == ["metal", "jazz", "punk", "rock"]
    shares = torch.linspace(0.95, 0.6, 15)[None]
    names = [str(number) for number in range(15)]
    (most,) = ranked(names, shares.logit(), shares, several=True)
    assert len(most) == MOST_SEVERAL
    (three,) = ranked(names, shares.logit(), shares)
    assert [guess.genre for guess in three] == ["0", "1", "2"]


def test_a_kind_brings_all_that_it_is_a_kind_of() -> None:
    # Folk punk is punk, and folk too, which is less probable than jazz.
    names = ["folk punk", "punk", "folk", "jazz", "blues"]
    implied = [(1, [0]), (2, [0])]
    shares = torch.tensor([[0.45, 0.8, 0.46, 0.5, 0.47]])
    (guesses,) = ranked(names, shares.logit(), shares, implied)
    assert [each.genre for each in guesses] == ["folk punk", "jazz", "blues", "punk", "folk"]


@given(st.lists(st.floats(-6, 6, width=32), min_size=7, max_size=7), st.floats(0, 1))
def test_what_is_told_holds_together(values: list[float], least: float) -> None:
    scores = lift(torch.tensor([values]), IMPLIED)
    shares = scores.sigmoid()
    (guesses,) = ranked(GENRES, scores, shares, IMPLIED, several=True, least=least)
    rows = [GENRES.index(guess.genre) for guess in guesses]
    above = {below: {a for a, kinds in IMPLIED if below in kinds} for below in range(7)}
    # All that a genre is a kind of is there, and at least as probable.
    for row in rows:
        assert above[row] <= set(rows)
        assert all(shares[0, over] >= shares[0, row] for over in above[row])
    implied = {
        over for row in rows for over in above[row] if shares[0, row] >= LIKELY * shares[0, over]
    }
    own = [row for row in rows if row not in implied]
    assert TOP_K <= len(own) <= MOST_SEVERAL
    # What others are kinds of comes last, but for the first.
    assert [row in implied for row in rows[1:]] == sorted(row in implied for row in rows[1:])
    first, confidence, correct = first_genres(
        scores, shares, torch.ones(1, 7).bool(), IMPLIED, torch.tensor([least])
    )
    assert (int(first), bool(correct)) == (rows[0], True)
    assert float(confidence) == pytest.approx(guesses[0].probability)
    assert confidence >= min(least, float(shares.max())) - 1e-6


def test_no_songs_have_no_genres() -> None:
    nothing = torch.zeros(0, 7)
    assert ranked(GENRES, nothing, nothing, IMPLIED) == []
    found = first_genres(nothing, nothing, nothing.bool(), IMPLIED, torch.zeros(0))
    assert [len(each) for each in found] == [0, 0, 0]
