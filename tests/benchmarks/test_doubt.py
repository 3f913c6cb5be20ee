"""The benchmarks of calibration and doubt: made-up sounds, and what is held out stays held out."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.calibration import CANDIDATES, judged, measures, precisions
from benchmarks.gtzan import Clips, folds
from benchmarks.sounds import SECONDS, SOUNDS
from kg.audio.decode import SAMPLE_RATE
from kg.records import FeatureSet


def clips(songs: int = 120, genres: int = 4) -> Clips:
    """Noisy genres, five songs an artist; the last genre lies far from the others."""
    chance = np.random.default_rng(0)
    genre = np.arange(songs) % genres
    x = chance.normal(size=(songs, 6)) + 1.5 * np.eye(genres, 6)[genre]
    x[genre == genres - 1] += 8
    return Clips(
        [f"s{n:03d}" for n in range(songs)],
        x.astype(np.float32),
        FeatureSet("v", {"a": slice(0, 3), "b": slice(3, 6)}, tuple("abcdef")),
        genre,
        [f"g{n}" for n in range(genres)],
        [f"artist {n % genres} {n // (5 * genres)}" for n in range(songs)],
    )


@pytest.mark.parametrize("kind", SOUNDS)
def test_sounds_are_sounds_and_the_same_every_time(kind: str) -> None:
    wave = SOUNDS[kind](np.random.default_rng(3))
    assert wave.shape == (SECONDS * SAMPLE_RATE,)
    assert np.isfinite(wave).all()
    assert 0 < np.abs(wave).max() < 2
    np.testing.assert_array_equal(wave, SOUNDS[kind](np.random.default_rng(3)))
    assert not np.array_equal(wave, SOUNDS[kind](np.random.default_rng(4)))


def test_speech_pauses_and_noise_does_not() -> None:
    def quiet(kind: str) -> float:
        wave = SOUNDS[kind](np.random.default_rng(0))
        power = (wave.reshape(-1, SAMPLE_RATE // 10) ** 2).mean(axis=1)
        return float((power < 0.01 * power.max()).mean())

    assert 0.1 < quiet("speech-like") < 0.9
    assert quiet("white noise") == 0


def test_songs_that_are_told_set_nothing() -> None:
    songs = clips()
    told = next(folds(songs, 5, 0))
    one = judged(songs, told, 0)
    of = {row: songs.artists[row] for row in range(120)}
    learned = set(range(120)) - set(told.tolist()) - set(one.valid.tolist())
    sides = [{of[row] for row in rows} for rows in (told, one.valid, learned)]
    assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
    judge = one.judges[0.8]
    assert set(judge.references) == {songs.ids[row] for row in learned}
    assert judge.calibration.heads == len(one.valid)
    rows = measures([[one]])
    assert [row["candidate"] for row in rows] == list(CANDIDATES)
    given = [row["coverage"] for row in precisions([[one]])]
    assert given == sorted(given, reverse=True)


def test_a_genre_left_out_is_far_where_it_lies_far() -> None:
    songs = clips()
    strange = np.flatnonzero(songs.genre == 3)
    told = next(folds(songs, 5, 0))
    one = judged(songs, np.union1d(told, strange), 0, without=3)
    assert one.scores.size(1) == 3
    assert (one.genre[torch.from_numpy(strange)] == -1).all()
    judge = one.judges[0.8]
    assert judge.novelty is not None
    assert not {songs.ids[row] for row in strange} & set(judge.references)
    new = judge.novelty.of(one.x).numpy()
    rows = np.union1d(told, strange)
    assert roc_auc_score(songs.genre[rows] == 3, new[rows]) > 0.95
