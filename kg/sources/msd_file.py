"""HDF5 files of the Million Song Dataset: what is said of their tracks, and summaries of these.

Read in processes apart: HDF5's library can burst on broken bytes.
"""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.requests import Said, Tracks
from kg.audio.tags import clean
from kg.errors import AudioError
from kg.files import open_file
from kg.text import printable

if TYPE_CHECKING:
    import h5py

_PITCHES: Final = ("c", "cis", "d", "dis", "e", "f", "fis", "g", "gis", "a", "ais", "b")
_PAIRS: Final = [(i, j) for i in range(12) for j in range(i)]


def _summary_columns(name: str) -> list[str]:
    return [
        *(f"{name}_mean_{i + 1:02d}" for i in range(12)),
        *(f"{name}_std_{i + 1:02d}" for i in range(12)),
        *(f"{name}_cov_{i + 1:02d}_{j + 1:02d}" for i, j in _PAIRS),
    ]


KEY: Final = [*(f"key_{pitch}" for pitch in _PITCHES), "mode"]

FAMILIES: Final = {
    "timbre": _summary_columns("timbre"),
    "chroma": _summary_columns("chroma"),
    "loudness": ["loudness", "loudness_max_mean", "loudness_max_std"],
    "rhythm": ["tempo", "time_signature", "segments_per_second"],
    "key": KEY,
}
"""What is kept of a track, 199 values; `danceability` and `energy` are 0 in all published files."""

WIDTH: Final = sum(map(len, FAMILIES.values()))

_LONGEST: Final = 1 << 20  # segments of a track; the longest published ones have some thousands
_SONGS: Final = "analysis/songs"
_ARRAYS: Final = ("segments_timbre", "segments_pitches", "segments_loudness_max")
_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_AGAIN: Final = "copy or unpack it again from where it was published"


def starts_as_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does."""
    try:
        with open_file(path) as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read_tracks(path: Path) -> Tracks:
    """Read the tracks of a file: one, or several in an aggregate.

    Raises:
        AudioError: it is damaged, or no file of the data set.
        OSError: it can't be read.
    """
    import h5py

    with open_file(path):  # no pipe or device, whose opening may wait for ever
        pass
    try:
        with h5py.File(path, "r", locking=False) as file:
            return _read(file)
    # Broken bytes are these, too, below a whole header.
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        if not starts_as_hdf5(path):
            raise AudioError(f"it is no HDF5 file; {_AGAIN}") from error
        raise AudioError(f"as HDF5 it is cut short or damaged; {_AGAIN}") from error


def _read(file: "h5py.File") -> Tracks:
    analysis, metadata = _compound(file, _SONGS), _compound(file, "metadata/songs")
    years = _compound(file, "musicbrainz/songs") if "musicbrainz/songs" in file else None
    arrays = [file.get(f"analysis/{name}") for name in _ARRAYS]
    if any(array is None for array in arrays):
        raise AudioError(
            "it holds no segments: a summary file of the Million Song Dataset names its tracks "
            "but has nothing of their sound; take the files of the tracks"
        )
    # Row by row HDF5 takes ten times as long.
    analysis, metadata = analysis[:], metadata[:]
    years = None if years is None else years[:]
    count = min(len(analysis), len(metadata))
    said: list[Said] = []
    seconds: list[float | None] = []
    values: list[NDArray[np.float32]] = []
    for at in range(count):
        own, told = analysis[at], metadata[at]
        frames = [
            _slice(array, analysis, f"idx_{name}", at)
            for array, name in zip(arrays, _ARRAYS, strict=True)
        ]
        later = years[at] if years is not None and at < len(years) else None
        said.append(_said(own, told, later))
        seconds.append(float(own["duration"]) or None)
        values.append(_features(own, *frames))
    features = np.array(values, dtype=np.float32).reshape(count, WIDTH)
    return Tracks(said, seconds, features)


def _compound(file: "h5py.File", name: str) -> Any:
    """A table of the file, not read yet.

    Raises:
        AudioError: there is none, so that the file is something else.
    """
    import h5py

    table = file.get(name)
    if not isinstance(table, h5py.Dataset) or table.dtype.names is None or table.ndim != 1:
        there = ", ".join(repr(printable(each)) for each in islice(file, 4)) or "nothing"
        raise AudioError(
            f"it is no file of the Million Song Dataset: it has no table /{name}, there is {there}"
        )
    wanted = {
        _SONGS: {"track_id", "duration", "tempo", "loudness", "key", "mode", "time_signature"},
        "metadata/songs": {"artist_name", "title", "release"},
        "musicbrainz/songs": {"year"},
    }[name]
    if lacking := sorted(wanted - set(table.dtype.names)):
        raise AudioError(
            f"it is no file of the Million Song Dataset: /{name} has no column {lacking[0]!r}"
        )
    return table


def _slice(array: Any, songs: Any, index: str, at: int) -> NDArray[np.float64]:
    """The part of an array that is a track's: from its index to the next one's."""
    names = songs.dtype.names
    begin = int(songs[at][index]) if index in names else 0
    end = int(songs[at + 1][index]) if at + 1 < len(songs) and index in names else len(array)
    if not 0 <= begin <= end <= len(array) or end - begin > _LONGEST:
        raise AudioError(f"as HDF5 it is damaged: {index!r} points outside of its array; {_AGAIN}")
    return np.asarray(array[begin:end], dtype=np.float64)


def _said(own: Any, said: Any, year: Any) -> Said:
    released = int(year["year"]) if year is not None else 0
    return (
        _text(own["track_id"]),
        _text(said["title"]) or None,
        _text(said["artist_name"]) or None,
        _text(said["release"]) or None,
        released or None,
    )


def _text(value: Any) -> str:
    return clean(bytes(value).decode("utf-8", "replace"))


def _features(
    own: Any,
    timbre: NDArray[np.float64],
    chroma: NDArray[np.float64],
    loudness: NDArray[np.float64],
) -> NDArray[np.float32]:
    """The values of `FAMILIES`, float32 [d]; NaN where the file doesn't know.

    Args:
        own: The track's row of /analysis/songs.
        timbre: [segments, 12].
        chroma: [segments, 12].
        loudness: The greatest of each segment in dB, [segments].
    """
    seconds, count = float(own["duration"]), len(timbre)
    values = np.concatenate(
        [
            _summary(timbre),
            _summary(chroma),
            [float(own["loudness"])],
            [loudness.mean(), loudness.std()] if len(loudness) else [np.nan, np.nan],
            # 0 says that Echo Nest couldn't tell.
            [float(own["tempo"]) or np.nan, float(own["time_signature"]) or np.nan],
            [count / seconds if seconds > 0 and count else np.nan],
            key_columns(np.array([float(own["key"])]), np.array([float(own["mode"])]))[0],
        ]
    )
    with np.errstate(over="ignore"):
        narrow: NDArray[np.float32] = values.astype(np.float32)
    narrow[~np.isfinite(narrow)] = np.nan
    return narrow


def _summary(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean, standard deviation and covariances of segments [n, 12], float64 [90]."""
    if frames.ndim != 2 or frames.shape[1] != 12:
        raise AudioError(
            "it is no file of the Million Song Dataset: a segment has other than 12 values"
        )
    if not len(frames):
        return np.full(24 + len(_PAIRS), np.nan)
    mean = frames.mean(axis=0)
    covariance = (frames - mean).T @ (frames - mean) / len(frames)
    rows, columns = zip(*_PAIRS, strict=True)
    return np.concatenate([mean, np.sqrt(np.diag(covariance)), covariance[rows, columns]])


def key_columns(key: NDArray[np.float64], mode: NDArray[np.float64]) -> NDArray[np.float64]:
    """Key 0 to 11 and mode (1 is major) of n songs, float64 [n, 13]: 1 where a song has that key.

    Keys are no quantity: B is a neighbour of C.
    """
    known = np.isin(key, range(12))
    hot = np.where(known[:, None], key[:, None] == np.arange(12), np.nan)
    return np.column_stack([hot, np.where(np.isin(mode, (0, 1)), mode, np.nan)])
