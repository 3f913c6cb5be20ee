"""A small synthesiser: the music of `kg demo`, made up from a seed.

Each genre is a function that plays a piece: it differs from the others in rhythm, timbre and
harmony, and varies with the artist's style and with the seed, so that genres overlap a little.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE
from kg.errors import WrongUsageError

Wave = NDArray[np.float64]

_MAJOR: Final = (0, 2, 4, 5, 7, 9, 11)
_MINOR: Final = (0, 2, 3, 5, 7, 8, 10)
_PEAK: Final = 0.9
_INFLUENCED: Final = 0.3  # share of pieces that borrow from another genre

# -- instruments -----------------------------------------------------------------------------


def _tone(pitch: float, seconds: float, *, harmonics: int, slope: float, odd: bool = False) -> Wave:
    """Add harmonics k of a MIDI pitch with amplitude k^-slope: 1 is a saw, odd ones a square."""
    frequency = 440.0 * 2.0 ** ((pitch - 69) / 12)
    audible = min(harmonics, int(0.45 * SAMPLE_RATE / frequency))
    table = _cycle(max(1, audible), slope, odd)
    phase = np.arange(_count(seconds)) * (frequency / SAMPLE_RATE * len(table))
    wave: Wave = table[phase.astype(np.int64) % len(table)]
    return wave


@lru_cache(maxsize=1024)
def _cycle(harmonics: int, slope: float, odd: bool) -> Wave:
    """Compute one period of a tone."""
    k = np.arange(1, harmonics + 1, 2 if odd else 1)
    period = np.arange(4096) * (2 * np.pi / 4096)
    return np.asarray((k**-slope) @ np.sin(np.outer(k, period)))


def _envelope(count: int, attack: float, decay: float, release: float = 0.02) -> Wave:
    """Rise in `attack` seconds, fall by e every `decay` seconds, fade at the end."""
    t = np.arange(count) / SAMPLE_RATE
    rise = np.minimum(1.0, t / max(attack, 1e-3))
    fade = np.minimum(1.0, (count / SAMPLE_RATE - t) / release)
    return rise * np.exp(-t / decay) * fade


def _kick(rng: np.random.Generator, depth: float) -> Wave:
    t = np.arange(_count(0.25)) / SAMPLE_RATE
    sweep = 2 * np.pi * (depth * t + 110.0 * 0.03 * (1 - np.exp(-t / 0.03)))
    click = rng.normal(size=len(t)) * np.exp(-t / 0.002)
    return np.sin(sweep) * np.exp(-t / 0.09) + 0.2 * click


def _snare(rng: np.random.Generator, seconds: float = 0.18) -> Wave:
    t = np.arange(_count(seconds)) / SAMPLE_RATE
    body = np.sin(2 * np.pi * 185 * t) * np.exp(-t / 0.05)
    return 0.5 * body + 0.5 * rng.normal(size=len(t)) * np.exp(-t / (seconds / 3))


def _hat(rng: np.random.Generator, seconds: float = 0.05) -> Wave:
    noise = np.diff(rng.normal(size=_count(seconds) + 1))  # the difference is a high-pass
    return noise * _envelope(len(noise), 0.0, seconds / 3)


def _count(seconds: float) -> int:
    return max(1, round(seconds * SAMPLE_RATE))


# -- pieces ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Style:
    """What an artist's pieces have in common; numbers from 0 to 1 unless said otherwise."""

    pace: float  # place within the genre's range of tempi
    bright: float
    drums: float
    busy: float
    dirt: float


class _Piece:
    """A piece being played: notes and beats are added to one buffer."""

    def __init__(
        self, rng: np.random.Generator, style: _Style, seconds: float, tempi: tuple[float, float]
    ) -> None:
        self.rng = rng
        self.style = style
        self.seconds = seconds
        low, high = tempi
        place = np.clip(style.pace + rng.normal(0, 0.15), 0, 1)
        self.beat = 60.0 / (low + (high - low) * float(place))
        self.key = 40 + int(rng.integers(12))
        self.buffer = np.zeros(_count(seconds))

    def beats(self, each: float = 1.0, offset: float = 0.0) -> Iterator[tuple[int, float]]:
        """Yield (number, second) of every `each` beats."""
        number = 0
        while (at := (offset + number * each) * self.beat) < self.seconds:
            yield number, at
            number += 1

    def add(self, wave: Wave, at: float, gain: float) -> None:
        """Play a wave at a second, a little early or late, as people do."""
        begin = max(0, round((at + self.rng.normal(0, 0.003)) * SAMPLE_RATE))
        part = wave[: max(0, len(self.buffer) - begin)]
        self.buffer[begin : begin + len(part)] += gain * self.rng.uniform(0.85, 1.15) * part

    def note(
        self,
        pitch: float,
        at: float,
        seconds: float,
        gain: float,
        *,
        harmonics: int = 8,
        slope: float = 1.0,
        odd: bool = False,
        attack: float = 0.005,
        decay: float = 0.5,
    ) -> None:
        """Play one note; the artist's brightness tilts its harmonics."""
        slope += 0.6 * (0.5 - self.style.bright)
        wave = _tone(pitch, seconds, harmonics=harmonics, slope=slope, odd=odd)
        self.add(wave * _envelope(len(wave), attack, decay), at, gain)

    def chord(self, scale: tuple[int, ...], degree: int, size: int = 3) -> list[int]:
        """Stack thirds on a degree of a scale: 3 notes, 4 with the seventh."""
        steps = [degree + 2 * i for i in range(size)]
        return [self.key + scale[step % 7] + 12 * (step // 7) for step in steps]

    def progression(self, *choices: tuple[int, ...]) -> tuple[int, ...]:
        """Choose the degrees that a piece goes round in."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, probability: float) -> bool:
        """Toss a coin."""
        return bool(self.rng.random() < probability)


def _techno(piece: _Piece) -> None:
    rng, style = piece.rng, piece.style
    for _, at in piece.beats():
        piece.add(_kick(rng, 48), at, 0.9)
    for _, at in piece.beats(1, 0.5):
        piece.add(_hat(rng, 0.08), at, 0.25 * style.drums + 0.1)
    for _, at in piece.beats(2, 1):
        piece.add(_snare(rng, 0.12), at, 0.3 * style.drums)
    riff = rng.choice([0, 0, 0, 3, 7, 10, 12], size=8)
    for number, at in piece.beats(0.25):
        if number % 4 and piece.chance(0.6 + 0.3 * style.busy):
            pitch = piece.key - 12 + riff[number % 8]
            piece.note(pitch, at, 0.2 * piece.beat, 0.35, harmonics=14, decay=0.12)
    for number, at in piece.beats(4, 0.75):
        for pitch in piece.chord(_MINOR, (0, 5)[number // 2 % 2]):
            piece.note(pitch + 12, at, 0.35 * piece.beat, 0.15, harmonics=10, decay=0.2)


def _ambient(piece: _Piece) -> None:
    rng, style = piece.rng, piece.style
    degrees = piece.progression((0, 3), (0, 5, 3), (0, 4))
    for number, at in piece.beats(4):
        for pitch in piece.chord(_MAJOR, degrees[number % len(degrees)], 4):
            for detune in (-0.07, 0.07):
                piece.note(
                    pitch + detune,
                    at,
                    6 * piece.beat,
                    0.2,
                    harmonics=6,
                    slope=1.6,
                    attack=1.2,
                    decay=4.0,
                )
    for _, at in piece.beats(1.5):
        if piece.chance(0.2 + 0.3 * style.busy):
            pitch = piece.key + 24 + _MAJOR[int(rng.integers(7))]
            piece.note(pitch, at, 2.0, 0.1, harmonics=3, slope=2.0, attack=0.05, decay=0.8)
    wind = np.fft.rfft(rng.normal(size=len(piece.buffer)))
    wind /= 40 + np.fft.rfftfreq(len(piece.buffer), 1 / SAMPLE_RATE)
    noise = np.fft.irfft(wind, len(piece.buffer))
    piece.buffer += noise / np.abs(noise).max() * (0.05 + 0.2 * style.dirt)


def _waltz(piece: _Piece) -> None:
    rng, style = piece.rng, piece.style
    degrees = piece.progression((0, 4, 0, 3), (0, 3, 4, 0), (0, 5, 3, 4))
    for number, at in piece.beats():
        bar = number // 3
        chord = piece.chord(_MAJOR, degrees[bar % 4])
        if number % 3 == 0:
            piece.note(chord[0] - 12, at, piece.beat, 0.5, harmonics=5, slope=1.3, decay=0.5)
        else:
            for pitch in chord:
                piece.note(pitch + 12, at, 0.5 * piece.beat, 0.16, slope=1.2, decay=0.2)
        if piece.chance(0.75):
            pitch = chord[int(rng.integers(3))] + 24
            long = piece.beat * (2 if number % 3 == 0 and piece.chance(0.5) else 0.95)
            piece.note(pitch, at, long, 0.3, harmonics=10, slope=1.1, attack=0.04, decay=1.5)
        if piece.chance(0.3 * style.busy):
            piece.note(chord[1] + 24, at + piece.beat / 2, 0.4 * piece.beat, 0.2, attack=0.03)


def _chiptune(piece: _Piece) -> None:
    rng, style = piece.rng, piece.style
    scale = _MAJOR if piece.chance(0.6) else _MINOR
    degrees = piece.progression((0, 5, 3, 4), (0, 4, 5, 3), (5, 3, 0, 4))
    for number, at in piece.beats(0.25):
        chord = piece.chord(scale, degrees[number // 16 % 4])
        pitch = chord[number % 3] + 24 + (12 if number % 6 == 3 else 0)
        piece.note(pitch, at, 0.22 * piece.beat, 0.25, harmonics=15, odd=True, decay=2.0)
        if number % 2 == 0 and piece.chance(0.5 + 0.3 * style.busy):
            pitch = chord[int(rng.integers(3))] + 36
            piece.note(pitch, at, 0.45 * piece.beat, 0.25, harmonics=9, odd=True, decay=2.0)
        if number % 2 == 0:
            piece.note(
                chord[0], at, 0.45 * piece.beat, 0.35, harmonics=5, slope=2, odd=True, decay=2.0
            )
        if number % 4 == 2:
            piece.add(_hat(rng, 0.06), at, 0.3 * style.drums + 0.05)
    if piece.chance(0.5):  # a coarse converter
        piece.buffer = np.round(piece.buffer * 24) / 24


def _rock(piece: _Piece) -> None:
    rng, style = piece.rng, piece.style
    degrees = piece.progression((0, 6, 3, 0), (0, 2, 3, 6), (0, 5, 6, 0), (0, 3, 4, 3))
    for number, at in piece.beats(0.5):
        root = piece.key + _MINOR[degrees[number // 8 % 4]] - (12 if degrees[0] > 4 else 0)
        open_string = number % 8 == 0 or piece.chance(0.2)
        for pitch in (root, root + 7, root + 12):
            piece.note(
                pitch,
                at,
                (1.0 if open_string else 0.45) * piece.beat,
                0.4,
                harmonics=8,
                decay=1.0 if open_string else 0.15,
            )
    piece.buffer = np.tanh(piece.buffer * (3 + 6 * style.dirt)) * 0.5
    for _, at in piece.beats(0.5):
        piece.add(_hat(rng, 0.07), at, 0.1 + 0.15 * style.drums)
    for _, at in piece.beats(2):
        piece.add(_kick(rng, 60), at, 0.8)
        if piece.chance(0.3 + 0.4 * style.busy):
            piece.add(_kick(rng, 60), at + 0.75 * piece.beat, 0.6)
    for _, at in piece.beats(2, 1):
        piece.add(_snare(rng), at, 0.6)


def _swing(piece: _Piece) -> None:
    rng, style = piece.rng, piece.style
    late = rng.uniform(0.6, 0.7)  # where the second eighth falls: two thirds is a triplet
    degrees = piece.progression((1, 4, 0, 5), (0, 5, 1, 4), (2, 5, 1, 4))
    walk = (0, 4, 7, 9)
    for number, at in piece.beats():
        chord = piece.chord(_MAJOR, degrees[number // 4 % 4], 4)
        bass = chord[0] - 12 + walk[number % 4] + int(rng.integers(-1, 2)) * (number % 4 == 3)
        piece.note(bass, at, 0.9 * piece.beat, 0.55, harmonics=5, slope=1.5, decay=0.35)
        piece.add(_hat(rng, 0.16), at, 0.08 + 0.1 * style.drums)
        if number % 2:
            piece.add(_hat(rng, 0.1), at + late * piece.beat, 0.08 + 0.1 * style.drums)
        if piece.chance(0.35):
            stab = at + (late * piece.beat if piece.chance(0.6) else 0.0)
            for pitch in chord[1:]:
                piece.note(pitch + 12, stab, 0.4 * piece.beat, 0.15, slope=1.5, decay=0.25)
        for offset in (0.0, late):
            if piece.chance(0.35 + 0.4 * style.busy):
                pitch = chord[int(rng.integers(4))] + 24 + int(rng.choice([0, 0, 0, 1, -1, 2]))
                piece.note(
                    pitch,
                    at + offset * piece.beat,
                    0.45 * piece.beat,
                    0.28,
                    harmonics=7,
                    slope=1.2,
                    odd=piece.style.dirt > 0.5,
                    attack=0.02,
                    decay=0.5,
                )


def _dub(piece: _Piece) -> None:
    rng, style = piece.rng, piece.style
    degrees = piece.progression((0, 3), (0, 6), (0, 4), (0, 0, 3, 4))
    for number, at in piece.beats(1, 0.5):
        chord = piece.chord(_MINOR, degrees[number // 4 % len(degrees)])
        for pitch in chord:
            piece.note(pitch + 12, at, 0.2 * piece.beat, 0.22, harmonics=9, decay=0.08)
        if piece.chance(0.25 + 0.3 * style.busy):  # the echo that fades away
            for echo in range(1, 4):
                for pitch in chord:
                    piece.note(
                        pitch + 12,
                        at + 0.75 * echo * piece.beat,
                        0.2 * piece.beat,
                        0.12 / echo,
                        slope=1.5,
                        decay=0.08,
                    )
    line = rng.choice([0, 0, 3, 5, 7, -5], size=8)
    for number, at in piece.beats(0.5):
        if number % 8 and piece.chance(0.55):
            root = piece.key + _MINOR[degrees[number // 8 % len(degrees)]] - 12
            pitch = root + line[number % 8]
            piece.note(pitch, at, 0.5 * piece.beat, 0.8, harmonics=3, slope=2, decay=0.5)
    for _, at in piece.beats(4, 2):
        piece.add(_kick(rng, 50), at, 0.8)
        piece.add(_snare(rng, 0.1), at, 0.4)
    for _, at in piece.beats(0.5):
        piece.add(_hat(rng, 0.04), at, 0.05 + 0.1 * style.drums)


_GENRES: Final[dict[str, tuple[Callable[[_Piece], None], tuple[float, float]]]] = {
    "ambient": (_ambient, (55, 90)),
    "chiptune": (_chiptune, (110, 165)),
    "dub": (_dub, (110, 150)),
    "rock": (_rock, (100, 160)),
    "swing": (_swing, (110, 200)),
    "techno": (_techno, (115, 145)),
    "waltz": (_waltz, (90, 180)),
}

GENRES: Final = tuple(_GENRES)
"""The genres that can be played."""


def play(genre: str, *, seconds: float, seed: int, artist: int = 0) -> NDArray[np.float32]:
    """Play a piece: mono at `SAMPLE_RATE`, peak 0.9, always the same for the same arguments.

    Args:
        genre: One of `GENRES`.
        seconds: Length.
        seed: Number of the piece.
        artist: Number of the artist, whose pieces have a style in common.

    Raises:
        WrongUsageError: there is no such genre.
    """
    if genre not in _GENRES:
        raise WrongUsageError(f"No synthetic genre {genre!r}: there are {', '.join(GENRES)}.")
    perform, tempi = _GENRES[genre]
    number = GENRES.index(genre)
    style = _Style(*np.random.default_rng([artist, number, 1]).random(5))
    rng = np.random.default_rng([seed, number, 2])
    piece = _Piece(rng, style, seconds, tempi)
    perform(piece)
    if piece.chance(_INFLUENCED):
        _borrow(piece, str(rng.choice([name for name in GENRES if name != genre])))
    return _master(piece.buffer, rng, style)


def _borrow(piece: _Piece, genre: str) -> None:
    """Play something of another genre along, softer, in the same key and time."""
    own, piece.buffer = piece.buffer, np.zeros_like(piece.buffer)
    _GENRES[genre][0](piece)
    gain = piece.rng.uniform(0.15, 0.45) * float(np.std(own)) / (float(np.std(piece.buffer)) + 1e-9)
    piece.buffer = own + gain * piece.buffer


def _master(wave: Wave, rng: np.random.Generator, style: _Style) -> NDArray[np.float32]:
    """Tilt the spectrum, add hiss, fade in and out, normalise: every recording is another."""
    spectrum = np.fft.rfft(wave)
    tilt = 0.35 * (style.bright - 0.5) + rng.normal(0, 0.12)
    frequencies = np.maximum(np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE), 30.0)
    wave = np.fft.irfft(spectrum * (frequencies / 1000.0) ** tilt, len(wave))
    wave /= np.abs(wave).max()
    wave += rng.normal(0, 10 ** rng.uniform(-4, -2), len(wave))
    edge = min(_count(0.02), len(wave) // 2)
    wave[:edge] *= np.linspace(0, 1, edge)
    wave[len(wave) - edge :] *= np.linspace(1, 0, edge)
    loudest = float(np.abs(wave).max())
    return (wave * (_PEAK / loudest)).astype(np.float32)


# -- files -----------------------------------------------------------------------------------


def write_song(
    path: Path,
    genre: str,
    *,
    seconds: float = 10.0,
    seed: int = 0,
    artist: int = 0,
    title: str | None = None,
) -> Path:
    """Play a piece into a tagged FLAC file, whose folder is created; returns `path`.

    Raises:
        WrongUsageError: there is no such genre.
        OSError: the file can't be written.
    """
    import soundfile
    from mutagen.flac import FLAC

    samples = play(genre, seconds=seconds, seed=seed, artist=artist)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        soundfile.write(file, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    rng = np.random.default_rng([seed, GENRES.index(genre), 3])
    of_artist = np.random.default_rng([artist, GENRES.index(genre), 4])
    tags = FLAC(path)  # type: ignore[no-untyped-call]
    tags["artist"] = _name(of_artist, 2)
    tags["album"] = _name(of_artist, 1)
    tags["title"] = title or _name(rng, 2)
    tags["genre"] = genre
    tags["date"] = str(of_artist.integers(1975, 2025))
    tags.save()
    return path


def write_library(
    folder: Path, *, songs: int = 100, seconds: float = 10.0, seed: int = 0
) -> list[Path]:
    """Write a library as `folder/GENRE/GENRE-NN.flac`; returns the paths, genre by genre.

    Genres have the same number of songs (or one more or less); an artist has 3 to 5 of them and
    stays within one genre. The same arguments give the same bytes.

    Raises:
        OSError: a file can't be written.
    """
    paths = []
    for index, genre in enumerate(GENRES):
        count = songs // len(GENRES) + (index < songs % len(GENRES))
        artists = _artists(count, np.random.default_rng([seed, index, 5]))
        for number, artist in enumerate(artists):
            path = folder / genre / f"{genre}-{number + 1:02d}.flac"
            own = seed * 1_000_003 + number
            paths.append(
                write_song(path, genre, seconds=seconds, seed=own, artist=seed * 1_009 + artist)
            )
    return paths


def _artists(songs: int, rng: np.random.Generator) -> list[int]:
    """Number each song's artist; the rest of a division is spread, so that nobody has one song."""
    count = max(1, round(songs / 4))
    sizes = np.full(count, songs // count)
    sizes[: songs % count] += 1
    return [artist for artist, size in enumerate(rng.permutation(sizes)) for _ in range(size)]


_STARTS: Final = ("b", "br", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z")
_VOWELS: Final = ("a", "e", "i", "o", "u", "ay", "ou")
_ENDS: Final = ("", "l", "n", "r", "s", "x")


def _name(rng: np.random.Generator, words: int) -> str:
    """Make up a name."""

    def word() -> str:
        syllables = int(rng.integers(1, 3))
        text = "".join(
            str(rng.choice(_STARTS)) + str(rng.choice(_VOWELS)) for _ in range(syllables)
        )
        return (text + str(rng.choice(_ENDS))).capitalize()

    return " ".join(word() for _ in range(words))
