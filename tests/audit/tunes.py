"""Made-up music that moves, and the changes that make another file of one recording."""

import numpy as np
import soxr

RATE = 22_050


def tune(seed: int, seconds: float = 40.0, semitones: float = 0.0) -> np.ndarray:
    """Chords of random notes, lengths and loudness over a random beat; float32 [n]."""
    chance = np.random.default_rng(seed)
    wave = np.zeros(round(seconds * RATE) + 2 * RATE, np.float32)
    at = 0
    while at < seconds * RATE:
        length = int(chance.uniform(0.3, 1.5) * RATE)
        time = np.arange(length) / RATE
        notes = chance.choice(36, 3, replace=False)
        loud = chance.uniform(0.03, 0.3)
        for note in notes:
            hertz = 130.8 * 2 ** ((note + semitones) / 12)
            wave[at : at + length] += (
                loud * np.exp(-2 * time) * np.sin(2 * np.pi * hertz * time)
            ).astype(np.float32)
        if chance.random() < 0.5:
            hit = chance.normal(0, 0.1, RATE // 10) * np.exp(-np.arange(RATE // 10) / 500)
            wave[at : at + len(hit)] += hit.astype(np.float32)
        at += length
    return wave[: round(seconds * RATE)]


def faster(samples: np.ndarray, speed: float) -> np.ndarray:
    """Played so many times as fast, and higher for it."""
    return np.asarray(soxr.resample(samples, RATE * speed, RATE), np.float32)
