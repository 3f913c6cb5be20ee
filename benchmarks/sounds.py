"""Sounds that are no music, made up from a seed: noise, near silence, sines, a sort of speech."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import lfilter

from kg.audio.decode import SAMPLE_RATE

Wave = NDArray[np.float64]

SECONDS = 30
# First three formants of vowels, in Hz (Peterson and Barney 1952, men).
VOWELS = (
    (730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480),
    (570, 840, 2410), (490, 1350, 1690), (660, 1720, 2410), (640, 1190, 2390),
)  # fmt: skip
BANDWIDTHS = (80, 100, 140)


def white(rng: np.random.Generator) -> Wave:
    return rng.normal(0, 0.2, SECONDS * SAMPLE_RATE)


def pink(rng: np.random.Generator) -> Wave:
    """Noise whose power falls by 3 dB an octave, as loud as it happens to be."""
    count = SECONDS * SAMPLE_RATE
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), 20)
    wave = np.fft.irfft(np.fft.rfft(rng.normal(size=count)) / np.sqrt(hertz), count)
    return wave * (rng.uniform(0.15, 0.9) / np.abs(wave).max())


def silence(rng: np.random.Generator) -> Wave:
    """The hiss of a recording of nothing; digital silence is no song to begin with."""
    return rng.normal(0, 10 ** rng.uniform(-4.3, -3), SECONDS * SAMPLE_RATE)


def sines(rng: np.random.Generator) -> Wave:
    """One to three steady tones."""
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    tones = [
        np.sin(2 * np.pi * np.exp(rng.uniform(np.log(80), np.log(6000))) * time)
        for _ in range(rng.integers(1, 4))
    ]
    return np.sum(tones, axis=0) * (rng.uniform(0.1, 0.9) / len(tones))


def speech(rng: np.random.Generator) -> Wave:
    """Something like speech: syllables of hiss and voice, words of some of them, pauses between.

    The voice is a train of pulses through three formants of a vowel; pitch, rate and the length
    of the vocal tract are those of one made-up speaker.
    """
    wave = np.zeros(SECONDS * SAMPLE_RATE)
    pitch, tract, rate = rng.uniform(85, 240), rng.uniform(0.85, 1.2), rng.uniform(3.5, 6)
    at = 0
    while at < len(wave):
        for _ in range(rng.integers(2, 9)):
            if rng.random() < 0.6:
                at = _add(wave, at, 0.15 * _consonant(rng), overlap=0.2)
            seconds = rng.uniform(0.6, 1.4) / rate
            at = _add(wave, at, rng.uniform(0.4, 0.9) * _vowel(rng, pitch, tract, seconds))
        at += round(rng.uniform(0.15, 0.9) * SAMPLE_RATE)
    return wave + rng.normal(0, 10 ** rng.uniform(-4, -2.5), len(wave))


def _consonant(rng: np.random.Generator) -> Wave:
    noise = rng.normal(size=round(rng.uniform(0.03, 0.12) * SAMPLE_RATE))
    return _loud(_resonate(noise, rng.uniform(2000, 6500), 1200) * np.hanning(len(noise)))


def _vowel(rng: np.random.Generator, pitch: float, tract: float, seconds: float) -> Wave:
    count = round(seconds * SAMPLE_RATE)
    # a word's melody: another height each syllable, and falling within it
    hertz = pitch * np.exp(rng.normal(0, 0.08)) * np.linspace(1.05, 0.92, count)
    wave = np.diff(np.floor(np.cumsum(hertz) / SAMPLE_RATE), prepend=0) + rng.normal(0, 0.01, count)
    for formant, bandwidth in zip(VOWELS[rng.integers(len(VOWELS))], BANDWIDTHS, strict=True):
        wave = _resonate(wave, formant * tract, bandwidth)
    return _loud(np.convolve(wave, [1, 0.6], "same") * np.sqrt(np.hanning(count)))


def _resonate(wave: Wave, hertz: float, bandwidth: float) -> Wave:
    """A two-pole resonance."""
    radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
    poles = [1, -2 * radius * np.cos(2 * np.pi * hertz / SAMPLE_RATE), radius**2]
    found: Wave = lfilter([sum(poles)], poles, wave)
    return found


def _loud(wave: Wave) -> Wave:
    return wave / (np.abs(wave).max() + 1e-9)


def _add(wave: Wave, at: int, part: Wave, overlap: float = 0.0) -> int:
    """Add a part at a sample; where the next one begins."""
    there = wave[at : at + len(part)]
    there += part[: len(there)]
    return at + round(len(part) * (1 - overlap))


SOUNDS: Mapping[str, Callable[[np.random.Generator], Wave]] = {
    "white noise": white,
    "pink noise": pink,
    "near silence": silence,
    "sines": sines,
    "speech-like": speech,
}


def write_sounds(folder: Path, each: int) -> dict[str, list[Path]]:
    """So many FLAC files of each kind, 30 s long; the same ones every time."""
    written: dict[str, list[Path]] = {}
    for kind, (name, sound) in enumerate(SOUNDS.items()):
        for number in range(each):
            path = folder / f"{name.replace(' ', '-')}-{number:02d}.flac"
            wave = np.clip(sound(np.random.default_rng([number, kind])), -1, 1)
            soundfile.write(path, wave.astype(np.float32), SAMPLE_RATE, subtype="PCM_16")
            written.setdefault(name, []).append(path)
    return written
