"""Clipping and dead channels, from samples of any kind."""

from pathlib import Path

import av
import numpy as np
import pytest

from kg.audio.levels import QUIETEST, Meter
from tests.audio.sounds import noise, sine


def metered(*blocks: np.ndarray) -> Meter:
    meter = Meter()
    for block in blocks:
        meter.add(np.atleast_2d(block))
    return meter


def test_a_wave_that_fits_has_no_clipping() -> None:
    assert metered(noise()).clipping == 0.0
    assert metered(0.001 * noise()).clipping == 0.0
    # A slow sine stays near its peak for a while, and still isn't flat.
    assert metered(sine(hertz=110)).clipping == 0.0


@pytest.mark.parametrize("level", [1.0, 0.3])
def test_what_is_cut_off_is_counted_at_whatever_level(level: float) -> None:
    loud = np.clip(4 * sine(10.0, 441.0), -1, 1)
    # |4 * 0.5 sin| > 1 for 2/3 of the time.
    assert metered(level * loud).clipping == pytest.approx(2 / 3, abs=0.07)
    half = len(loud) // 2
    assert metered(level * loud[:half], level * loud[half:]).clipping == pytest.approx(
        metered(level * loud).clipping, abs=1e-4
    )


def test_a_level_that_is_exceeded_later_was_no_peak() -> None:
    flat = np.clip(4 * sine(1.0, 441.0), -1, 1)
    assert metered(0.5 * flat, noise(1.0)).clipping == 0.0
    assert metered(0.5 * noise(1.0), flat).clipping > 0.2


@pytest.mark.parametrize("hertz", [30.0, 110.0, 440.0, 441.0])
@pytest.mark.parametrize("steps", [127, 300, 32767, None])
def test_a_sine_is_round_at_its_top_in_whatever_steps(hertz: float, steps: int | None) -> None:
    wave = np.sin(2 * np.pi * hertz * np.arange(20 * 44_100) / 44_100)
    stepped = wave if steps is None else np.round(wave * steps) / 32768
    blocks = np.array_split(stepped.astype(np.float32), 12)
    assert metered(*blocks).clipping < 0.002


def encoded(samples: np.ndarray, path: Path, codec: str, bit_rate: int) -> np.ndarray:
    """What is decoded again of [n] at 44,100 Hz."""
    rate = 44_100
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        size = stream.codec_context.frame_size
        given = stream.codec_context.format
        to = av.AudioResampler(format=given, layout="mono", rate=rate, frame_size=size)
        for part in [*to.resample(frame), *to.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    with av.open(path) as container:
        return np.concatenate([each.to_ndarray()[0] for each in container.decode(audio=0)])


@pytest.mark.parametrize(
    ("codec", "suffix", "gain"),
    [("libmp3lame", "mp3", 2), ("libmp3lame", "mp3", 4), ("aac", "m4a", 2)],
)
def test_what_was_cut_off_before_it_was_encoded_is_found(
    tmp_path: Path, codec: str, suffix: str, gain: float
) -> None:
    chance = np.random.default_rng(0)
    time = np.arange(20 * 44_100) / 44_100
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 0.4 * time)
    music = sum(
        swell * np.sin(2 * np.pi * hertz * time + chance.uniform(0, 6)) / (at + 1)
        for at, hertz in enumerate(chance.uniform(80, 1200, 12))
    )
    music = (0.95 * music / np.abs(music).max()).astype(np.float32)
    file = tmp_path / f"a.{suffix}"
    fine = encoded(music, file, codec, 128_000)
    assert metered(*np.array_split(fine, 9)).clipping == 0.0
    loud = encoded(np.clip(gain * music, -0.95, 0.95), file, codec, 128_000)
    found = metered(*np.array_split(loud, 9)).clipping
    assert found > 0.02
    # At whatever level.
    assert metered(*np.array_split(0.3 * loud, 9)).clipping == pytest.approx(found, rel=0.2)
    # Too few of them say nothing.
    assert metered(loud[:100_000]).clipping == 0.0


@pytest.mark.parametrize("kind", ["int16", "int32", "uint8", "float64"])
def test_samples_of_any_width_are_metered_alike(kind: str) -> None:
    wave = np.stack([np.clip(4 * sine(2.0, 441.0), -1, 1), 0.01 * sine(2.0, 441.0)])
    whole = {"int16": 2**15 - 1, "int32": 2**31 - 1, "uint8": 127, "float64": 1}[kind]
    shift = 128 if kind == "uint8" else 0
    scaled = (wave.astype(float) * whole).round() if whole > 1 else wave
    meter = metered((scaled + shift).astype(kind))
    assert meter.clipping == pytest.approx(metered(wave).clipping, abs=0.02)
    if kind != "uint8":  # whose steps are too coarse for what is that faint
        assert meter.imbalance == pytest.approx(metered(wave).imbalance, abs=0.1)


def test_the_fainter_of_two_channels() -> None:
    wave = noise()
    assert metered(wave).imbalance == 0.0
    assert metered(np.stack([wave, wave])).imbalance == 0.0
    assert metered(np.stack([wave, 0.1 * wave])).imbalance == pytest.approx(20.0, abs=0.01)
    assert metered(np.stack([0 * wave, wave])).imbalance == -QUIETEST
    # Of six channels the one for the bass is silent most of the time.
    assert metered(np.stack([wave] * 5 + [0 * wave])).imbalance == 0.0


def test_samples_that_are_no_numbers_are_left_to_the_decoder() -> None:
    bad = noise()
    bad[100] = np.nan
    meter = metered(bad, np.full(10, 3e38, np.float32))
    assert meter.clipping <= 1.0
    assert Meter().clipping == Meter().imbalance == 0.0
