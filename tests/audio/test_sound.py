"""What is kept of a song's sound beside its features."""

from pathlib import Path

import numpy as np
import pytest

from kg.audio.decode import Audio, decode
from kg.audio.extract import extract, listen
from kg.audio.features import cut, feature_version, features
from kg.audio.prints import MOST, SECONDS, STEP, WIDTH, make_print
from kg.audio.sound import COLUMNS, Sound, silent_share, sound_of, sound_version
from kg.audio.spectrum import HOP
from tests.audio.sounds import RATE, noise, sine, write


def sounds(path: Path, cache: Path) -> Sound:
    told = extract([("id", path)], cache, workers=1)
    sound = Sound.of_row(told.sound[0])
    assert sound is not None
    return sound


def test_a_print_says_which_notes_sound_and_how_loud() -> None:
    silence = np.zeros(2 * RATE, np.float32)
    song = np.concatenate([sine(4.0, 440.0), silence, sine(4.0, 523.25)])
    made = make_print(cut(song))
    assert made.dtype == np.uint8
    assert made.shape == (len(song) // HOP // STEP, WIDTH)
    a, c = made[2, :12], made[-3, :12]
    assert (a.argmax(), c.argmax()) == (9, 0)
    assert a.max() > 250 > 100 > np.sort(a)[-2]
    gap = round(5.0 / SECONDS)
    assert made[gap, 12:].max() == 0 < made[2, 12] < 255


def test_a_print_is_of_the_middle_30_s_at_most() -> None:
    long = noise(70.0)
    made = make_print(cut(long))
    assert made.shape == (MOST, WIDTH)
    middle = long[len(long) // 2 - 15 * RATE : len(long) // 2 + 15 * RATE]
    apart = np.abs(make_print(cut(middle)).astype(int) - made.astype(int))
    assert np.median(apart) <= 2
    assert make_print(cut(noise(0.2))).shape == (0, WIDTH)


def test_a_row_of_the_cache_is_the_sound() -> None:
    chance = np.random.default_rng(0)
    for steps in (0, 7, MOST):
        sound = Sound(0.25, 0.5, 6.0, 40.0, chance.integers(0, 256, (steps, WIDTH), np.uint8))
        row = sound.row()
        assert row.shape == (COLUMNS,)
        again = Sound.of_row(row)
        assert again is not None
        assert (again.clipping, again.silence, again.missing, again.imbalance) == (
            0.25, 0.5, 6.0, 40.0,
        )  # fmt: skip
        np.testing.assert_array_equal(again.print, sound.print)
    assert Sound.of_row(np.full(COLUMNS, np.nan, np.float32)) is None


def test_what_is_wrong_is_found_while_features_are_extracted(tmp_path: Path) -> None:
    loud = write(tmp_path / "loud.flac", np.clip(5 * noise(5.0), -1, 1))
    gap = noise(10.0)
    gap[2 * RATE : 5 * RATE] = 0
    left = np.stack([noise(5.0), np.zeros(5 * RATE, np.float32)], axis=1)
    broken = write(tmp_path / "broken.flac", noise(10.0))
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    found = {
        name: sounds(path, tmp_path / "cache" / name)
        for name, path in (
            ("fine", write(tmp_path / "fine.flac", noise(5.0))),
            ("loud", loud),
            ("gap", write(tmp_path / "gap.flac", gap)),
            ("left", write(tmp_path / "left.flac", left)),
            ("broken", broken),
        )
    }
    numbers = {
        name: (each.clipping, each.silence, each.missing, each.imbalance)
        for name, each in found.items()
    }
    assert numbers["fine"] == (0, 0, 0, 0)
    assert numbers["loud"][0] > 0.01
    assert numbers["gap"][1] == pytest.approx(0.3, abs=0.02)
    assert numbers["left"][3] == 120
    assert numbers["broken"][2] == pytest.approx(5.0, abs=0.6)
    assert numbers["broken"][:2] == (0, 0)


def test_where_the_middle_is_silent_all_of_it_is(tmp_path: Path) -> None:
    hidden = np.concatenate([noise(5.0), np.zeros(60 * RATE, np.float32), noise(5.0)])
    path = write(tmp_path / "hidden.flac", hidden)
    audio = decode(path)
    assert audio.moved
    assert sound_of(audio, cut(audio.samples), path).silence == 1.0
    assert silent_share(noise(0.01)) == 0.0


def test_what_encoders_add_at_the_ends_is_no_silence() -> None:
    window, gap = RATE // 10, np.zeros(RATE // 10, np.float32)
    song = noise(1.0)
    assert silent_share(np.concatenate([gap, song, gap, gap])) == 0.0
    # More than a third of a second at one end is no padding any more, and in the middle nothing is.
    late = np.concatenate([np.tile(gap, 6), song])
    assert silent_share(late) == pytest.approx(3 / 13)
    holed = np.concatenate([song[: 5 * window], gap, song[: 5 * window]])
    assert silent_share(holed) == pytest.approx(1 / 11)


def test_features_are_what_they_were(tmp_path: Path) -> None:
    # The version of features of 30 s, from before there was a sound beside them.
    assert feature_version() == FEATURE_VERSION
    path = write(tmp_path / "a.flac", noise(3.0))
    told = extract([("id", path)], tmp_path / "cache", workers=1)
    np.testing.assert_allclose(told.features[0], features(decode(path).samples), rtol=1e-5)


def test_a_cache_from_before_still_serves(tmp_path: Path) -> None:
    songs = [(f"id{i}", write(tmp_path / f"{i}.flac", noise(2.0, seed=i))) for i in range(3)]
    cache = tmp_path / "cache"
    before = extract(songs, cache, workers=1)
    for part in (cache / "sound").rglob("*.parquet"):
        part.unlink()
    again = extract(songs, cache, workers=1)
    assert again.cached == 3  # nothing was listened to again
    np.testing.assert_array_equal(again.features, before.features)
    assert np.isnan(again.sound).all()
    # A new song has one beside those that have none.
    new = [*songs, ("new", write(tmp_path / "new.flac", noise(2.0, seed=9)))]
    mixed = extract(new, cache, workers=1)
    assert [Sound.of_row(row) is not None for row in mixed.sound] == [False] * 3 + [True]

    first = dict(row for some in listen(songs[:2], cache, workers=1) for row in some)
    np.testing.assert_array_equal(first["id1"], before.sound[1])
    songs[2][1].unlink()
    (cache / "features").rename(tmp_path / "elsewhere")  # nobody needs them for that
    second = dict(row for some in listen(songs, cache, workers=1) for row in some)
    assert sorted(second) == ["id0", "id1"]  # from the cache; the third one's file is gone
    np.testing.assert_array_equal(second["id0"], before.sound[0])


def test_excerpts_have_a_cache_each() -> None:
    assert len({sound_version(seconds) for seconds in (None, 10.0, 30.0)}) == 3
    assert Audio(noise(), 1.5, RATE).clipping == 0.0


FEATURE_VERSION = "97df807dcd22"
