"""Copies of a recording: found among real music, whatever their encoding, and nothing else."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from kg.audio.extract import extract
from kg.audio.features import columns, family_slices, feature_set
from kg.records import FeatureSet
from kg.splits.duplicates import COPIES, RADIUS, recordings

KINDS = feature_set()
CHROMA = family_slices()["chroma"]
TABLE = FeatureSet("t", {"all": slice(0, 12)}, tuple(f"c{i}" for i in range(12)))


def ids(count: int) -> list[str]:
    return [f"{i:05d}" for i in range(count)]


def songs(count: int, seed: int = 0) -> np.ndarray:
    """Features of songs that have nothing in common."""
    random = np.random.default_rng(seed)
    return random.normal(scale=0.3, size=(count, len(columns()))).astype(np.float32)


def shifted(features: np.ndarray, by: float) -> np.ndarray:
    """The same songs this far away, in the units of `RADIUS`: all of it in their chroma."""
    other = features.copy()
    other[:, CHROMA] += np.float32(by * 0.012 * np.sqrt(2))
    return other


def test_copies_of_real_music_are_found_and_nothing_else(data_dir: Path, tmp_path: Path) -> None:
    clips = sorted((data_dir / "gtzan" / "audio").glob("*/*[24].flac"))
    assert len(clips) > 15
    files: list[Path] = []
    for clip in clips[::2]:
        samples, rate = soundfile.read(clip, dtype="float32")
        slow = soxr.resample(samples, rate, 16_000)
        variants = {
            "mp3": (samples, rate, {"compression_level": 0.95}),
            "ogg": (0.5 * samples, rate, {}),
            "flac": (slow, 16_000, {}),
            "wav": (samples[rate:], rate, {}),  # a second is missing
        }
        for kind, (heard, at, how) in variants.items():
            files.append(tmp_path / f"{clip.stem}.{kind}")
            soundfile.write(files[-1], heard, at, **how)
    every = [*clips, *files]
    heard = extract([(f"{i:05d}", path) for i, path in enumerate(every)], tmp_path / "cache")
    found = recordings(heard.ids, heard.features, KINDS)
    groups: dict[str, set[str]] = defaultdict(set)
    for id in heard.ids:
        if id in found:
            groups[found[id]].add(every[int(id)].stem)
    assert len(found) == 5 * len(clips[::2])
    assert sorted(groups.values()) == [{clip.stem} for clip in clips[::2]]


def test_files_that_hold_the_same_sound(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "audio_formats"
    names = [
        "madmom/stereo_sample.flac",
        "madmom/stereo_sample_rg.flac",
        "mutagen/lame.mp3",
        "mutagen/lame-peak.mp3",
        "pedalboard/sample_mono_22050Hz.mp3",
        "pedalboard/sample_mono_22050Hz.reencoded.mp3",
    ]
    heard = extract([(name, folder / name) for name in names], tmp_path / "cache")
    found = recordings(heard.ids, heard.features, KINDS)
    assert len(set(found.values())) == 3
    assert all(found[a] == found[b] for a, b in zip(names[::2], names[1::2], strict=True))


@given(st.integers(2, 60), st.integers(0, 2**31), st.floats(0, 0.95), st.floats(1.05, 2))
def test_what_is_near_is_one_recording_and_what_is_not_is_none(
    count: int, seed: int, near: float, far: float
) -> None:
    x = songs(count, seed)
    both = np.vstack([x, shifted(x, RADIUS * near)])
    expected = {f"{i:05d}": f"{i % count:05d}" for i in range(2 * count)}
    assert recordings(ids(2 * count), both, KINDS) == expected
    assert recordings(ids(2 * count), np.vstack([x, shifted(x, RADIUS * far)]), KINDS) == {}


def test_the_order_of_the_songs_does_not_matter() -> None:
    both = np.vstack([songs(50), shifted(songs(50), 0.5)])
    order = np.random.default_rng(1).permutation(100)
    assert recordings([ids(100)[i] for i in order], both[order], KINDS) == recordings(
        ids(100), both, KINDS
    )


def test_a_chain_of_copies_is_one_recording() -> None:
    chain = np.vstack([shifted(songs(1), 0.7 * step) for step in range(10)])
    assert set(recordings(ids(10), chain, KINDS).values()) == {"00000"}


def test_exact_copies_and_a_sound_that_many_songs_share() -> None:
    few = np.repeat(songs(1), COPIES, axis=0)
    assert len(recordings(ids(COPIES), few, KINDS)) == COPIES
    many = np.repeat(songs(1), COPIES + 1, axis=0)
    assert recordings(ids(COPIES + 1), many, KINDS) == {}
    beside = np.vstack([many, songs(2, seed=1)[[0, 0]]])
    last = ids(len(beside))[-2:]
    assert recordings(ids(len(beside)), beside, KINDS) == dict.fromkeys(last, last[0])


def test_rows_of_a_table_are_copies_only_where_they_say_the_same() -> None:
    x = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    x[:, 3] = 7.0  # says nothing
    again = np.vstack([x, x[:5], x[5:10] + np.float32(0.2)])
    found = recordings(ids(len(again)), again, TABLE)
    assert found == {id: f"{i:05d}" for i in range(5) for id in (f"{i:05d}", f"{300 + i:05d}")}
    # A handful of columns can't tell songs apart.
    narrow = FeatureSet("n", {"all": slice(0, 5)}, tuple("abcde"))
    assert recordings(ids(305), again[:305, :5], narrow) == {}


def test_rows_of_a_table_that_lack_values() -> None:
    # A table may call its families and columns as we do ours.
    kinds = FeatureSet("t", {"chroma": slice(0, 12)}, tuple(f"c{i}" for i in range(12)), given="t")
    x = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    x[0, 2] = x[1, 5] = np.nan
    x[2:5] = np.nan  # songs of which nothing is known aren't copies
    x[5:8, 7:] = np.nan
    x[5:8, :7] = 1.0  # nor are those of which too little is
    again = np.vstack([x, x[:2]])
    found = recordings(ids(302), again, kinds)
    assert found == {"00000": "00000", "00300": "00000", "00001": "00001", "00301": "00001"}
    assert recordings(ids(4), np.full((4, 12), np.nan, np.float32), kinds) == {}


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_songs_to_compare(count: int) -> None:
    assert recordings(ids(count), songs(count), KINDS) == {}
