"""Songs that are the same recording: another encoding of it, louder, or cut a little differently.

The library's own songs are compared by what re-encoding leaves alone: chroma, and the shape of the
mel spectrum from 200 Hz to 4 kHz without its level. Nothing is fitted and no genre is looked at:
what is found only keeps songs together, so that a side learns nothing of another one.

Measured on 60 GTZAN clips (units: `RADIUS`): MP3 at the best and the worst quality, Ogg, 16, 44.1
and 48 kHz and 12 dB less are at most 0.67 away from the original, one or two seconds cut off at
most 0.73, five seconds 0.58 (median) to 2.0, ten 0.9 (median); the nearest of 1,770 pairs of
different songs are 2.25 apart. A part of a recording that has little in common with another part
is not found, and no summary of a whole excerpt could.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.clusters import moments
from kg.records import FeatureSet

Floats = NDArray[np.float32]
Pairs = NDArray[np.int64]

# Songs that are nearer than this are one recording.
RADIUS: Final = 0.8
# One unit of distance: root mean square over chroma values, and over mel bands in dB.
_CHROMA_UNIT, _MEL_UNIT = 0.012, 1.5
# Below 200 Hz loudness curves and hum differ, above 4 kHz encoders cut.
_MEL_BAND = re.compile(r"mel_(\d{3})_mean")
_LOWEST_BAND, _HIGHEST_BAND = 11, 90
# Features of other kinds say only that two rows are the same numbers, within this many standard
# deviations; and of a handful of columns not even that.
_TABLE_UNIT, _TABLE_COLUMNS = 0.02 / RADIUS, 8
_FURTHEST: Final = np.float32(
    1e6
)  # of a table's numbers from their mean, so that squares are finite

# No recording is in a library this often: it is a sound that many songs share, such as noise.
COPIES: Final = 100
# Candidates looked at for each song, and the principal axes they are found along.
_CANDIDATES, _AXES = 32, 12
_BLOCK = 65_536


def recordings(ids: Sequence[str], features: Floats, kinds: FeatureSet) -> dict[str, str]:
    """Find the songs that are one recording with others: id to the least id among them.

    Time grows little faster than the songs: a tree finds candidates along the principal axes,
    where no two songs are farther apart than they are in full, and each is then measured in full.

    Args:
        ids: Keys, n of them.
        features: Raw features, float32 [n, d].
        kinds: What the columns mean.
    """
    if len(ids) < 2:
        return {}
    sounds, able = _sounds(features, kinds)
    found: dict[str, str] = {}
    for rows in _groups(_pairs(sounds)):
        if len(rows) <= COPIES:
            copies = [ids[row] for row in able[rows].tolist()]
            found.update(dict.fromkeys(copies, min(copies)))
    return found


def _sounds(features: Floats, kinds: FeatureSet) -> tuple[Floats, NDArray[np.int64]]:
    """Vectors [m, c] whose distance is in units of `RADIUS`, and the rows of songs [m] that they
    are of; none where columns can't tell.
    """
    bands = [
        column
        for column, name in enumerate(kinds.columns)
        if (band := _MEL_BAND.fullmatch(name)) and _LOWEST_BAND <= int(band[1]) <= _HIGHEST_BAND
    ]
    if not kinds.given and "chroma" in kinds.families and bands:
        chroma = features[:, kinds.families["chroma"]]
        mel = features[:, bands]
        mel = mel - mel.mean(axis=1, keepdims=True)
        sounds: Floats = np.hstack(
            [
                chroma / np.float32(_CHROMA_UNIT * np.sqrt(2 * chroma.shape[1])),
                mel / np.float32(_MEL_UNIT * np.sqrt(2 * mel.shape[1])),
            ]
        )
        return sounds, np.arange(len(sounds))
    own = kinds.families[kinds.embeddings[0].family].start if kinds.embeddings else None
    mean, scale = moments(features[:, :own])
    telling = np.flatnonzero(scale > 1e-6 * (np.abs(mean) + 1e-6))  # the others are constant
    there = ~np.isnan(features[:, telling])
    able = np.flatnonzero(there.sum(axis=1) >= _TABLE_COLUMNS)
    unit = np.float32(_TABLE_UNIT * np.sqrt(max(1, len(telling))))
    with np.errstate(over="ignore"):
        standard = (features[np.ix_(able, telling)] - mean[telling]) / (scale[telling] * unit)
    # What is missing counts as the mean.
    numbers: Floats = np.nan_to_num(np.clip(standard, -_FURTHEST, _FURTHEST), copy=False)
    return numbers, able


def _pairs(sounds: Floats) -> Pairs:
    """Pairs of rows [p, 2] that are one recording, enough of them to connect all that are."""
    # Any number of exact copies costs no more than one of them: it stands for the others.
    first: dict[bytes, int] = {}
    stands = np.array(
        [
            first.setdefault(hashlib.blake2b(sound.tobytes(), digest_size=16).digest(), row)
            for row, sound in enumerate(sounds)
        ],
        dtype=np.int64,
    )
    rows = np.arange(len(sounds))
    copies = np.stack([stands, rows], axis=1)[stands != rows]
    distinct = rows[stands == rows]
    near = [distinct[pairs] for pairs in _near(sounds[distinct])]
    return np.concatenate([copies, *near])


def _near(sounds: Floats) -> Iterator[Pairs]:
    from scipy.spatial import cKDTree

    if len(sounds) < 2:
        return
    flat = _along_axes(sounds)
    tree = cKDTree(flat)
    width = min(_CANDIDATES + 1, len(sounds))  # the nearest is the song itself
    for start in range(0, len(sounds), _BLOCK):
        _, others = tree.query(
            flat[start : start + _BLOCK],
            k=np.arange(1, width + 1),
            distance_upper_bound=1.001 * RADIUS,  # rounding must not lose a pair
            workers=-1,
        )
        heads = start + np.arange(len(others))
        pairs = np.stack([np.repeat(heads, width), others.ravel()], axis=1)
        pairs = pairs[(pairs[:, 1] < len(sounds)) & (pairs[:, 0] != pairs[:, 1])]
        for part in np.array_split(pairs, len(pairs) // _BLOCK + 1):
            apart = np.linalg.norm(sounds[part[:, 0]] - sounds[part[:, 1]], axis=1)
            yield part[apart <= RADIUS]


def _along_axes(sounds: Floats) -> NDArray[np.float64]:
    """The songs along their principal axes, float64 [n, at most 12]: never farther apart."""
    some = sounds[:: max(1, len(sounds) // 20_000)].astype(np.float64)
    _, axes = np.linalg.eigh(np.cov(some, rowvar=False))
    flat: NDArray[np.float64] = sounds @ axes[:, ::-1][:, :_AXES]
    return flat


def _groups(pairs: Pairs) -> list[NDArray[np.int64]]:
    """Rows that pairs connect, directly or through others."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if len(pairs) == 0:
        return []
    linked = np.unique(pairs)
    at = np.searchsorted(linked, pairs)
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_matrix((ones, (at[:, 0], at[:, 1])), shape=(len(linked), len(linked)))
    count, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(linked[order], np.cumsum(np.bincount(label, minlength=count))[:-1])
