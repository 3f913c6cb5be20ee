"""Holm's correction by hand, and a test that finds what is there and nothing else."""

import numpy as np
import pytest

from kg.metrics.significance import RESAMPLES, holm, randomisation_p

GENRES = 3


def told(truth: np.ndarray, right: float, seed: int) -> np.ndarray:
    """Scores that name the genre of so many songs, and any of others."""
    chance = np.random.default_rng(seed)
    said = chance.integers(GENRES, size=len(truth))
    known = chance.random(len(truth)) < right
    scores = np.zeros(truth.shape, dtype=np.float32)
    scores[np.arange(len(truth)), np.where(known, truth.argmax(axis=1), said)] = 1.0
    return scores


def songs(count: int) -> tuple[np.ndarray, list[str]]:
    truth = np.eye(GENRES, dtype=bool)[np.arange(count) % GENRES]
    return truth, [f"artist {row // 2}" for row in range(count)]


def test_holm_multiplies_by_how_many_are_left() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.001]) == [0.001]
    assert holm([]) == []


def test_one_that_knows_is_told_from_one_that_guesses() -> None:
    truth, artists = songs(90)
    p = randomisation_p(truth, [told(truth, 0.9, 0)], [told(truth, 0.0, 1)], artists)
    assert p == pytest.approx(1 / (1 + RESAMPLES))


def test_equals_are_told_apart_as_rarely_as_promised() -> None:
    truth, artists = songs(60)
    found = [
        randomisation_p(truth, [told(truth, 0.5, 2 * n)], [told(truth, 0.5, 2 * n + 1)], artists)
        for n in range(60)
    ]
    below = sum(p < 0.1 for p in found)
    assert 1 <= below <= 14  # 6 expected; outside of this once in a thousand
    assert 0.35 < np.mean(found) < 0.65


def test_a_classifier_does_not_differ_from_itself() -> None:
    truth, artists = songs(30)
    said = told(truth, 0.5, 0)
    assert randomisation_p(truth, [said, said], [said, said], artists) == 1.0


def test_songs_of_one_artist_are_one_trial() -> None:
    """Ten songs by one artist, all told by one and by nobody else, prove as much as one song."""
    truth, _ = songs(30)
    right, wrong = told(truth, 1.0, 0), 1 - told(truth, 1.0, 0)
    alone = randomisation_p(truth, [right], [wrong], [f"a{n}" for n in range(30)])
    together = randomisation_p(truth, [right], [wrong], [f"a{n // 10}" for n in range(30)])
    assert alone < 0.001
    assert together == pytest.approx(0.25, abs=0.03)  # all or none of three exchanged: 2 of 8


def test_seeds_of_an_artist_are_exchanged_together() -> None:
    truth, artists = songs(60)
    one, other = told(truth, 0.6, 0), told(truth, 0.4, 1)
    single = randomisation_p(truth, [one], [other], artists)
    assert randomisation_p(truth, [one] * 4, [other] * 4, artists) == pytest.approx(single)
    with pytest.raises(ValueError, match="2 seeds of the one can't be paired with 1"):
        randomisation_p(truth, [one, one], [other], artists)


def test_several_genres_a_song() -> None:
    truth, artists = songs(60)
    truth = truth | np.roll(truth, 1, axis=1)
    right = np.where(truth, 1.0, -1.0)
    p = randomisation_p(truth, [right], [-right], artists, multi_label=True)
    assert p < 0.001
