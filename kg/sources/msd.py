"""The Million Song Dataset (Bertin-Mahieux et al. 2011): its HDF5 files, or its subset as a table.

- HDF5 files as published, one or a tree of them, with one track or several in each. Segments of
  timbre and chroma are summarised by mean, standard deviation and covariances over time, as in the
  paper's own YearPredictionMSD.
- `subset_features.csv`: a row a track with `filename`, `genre` and values.
- Genres come from a file of their own, as published by tagtraum (Schreiber 2015: CD1, CD2, CD2C)
  and TU Wien (Schindler et al. 2012: MAGD, Top-MAGD, MASD): `TRACKID<tab>GENRE`, sometimes with a
  second genre; lines that begin with # are comments.
"""

import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.tags import clean
from kg.errors import WrongUsageError
from kg.files import open_file, why_unreadable
from kg.records import SongRecord
from kg.sources.csv_file import as_features, first_rows, read_columns
from kg.sources.dataset import Batch, Form, LeftOut, SourceTable, row_id
from kg.text import printable

if TYPE_CHECKING:
    import h5py

NAME: Final = "msd"

_PITCHES: Final = ("c", "cis", "d", "dis", "e", "f", "fis", "g", "gis", "a", "ais", "b")
_PAIRS: Final = [(i, j) for i in range(12) for j in range(i)]


def _summary_columns(name: str) -> list[str]:
    return [
        *(f"{name}_mean_{i + 1:02d}" for i in range(12)),
        *(f"{name}_std_{i + 1:02d}" for i in range(12)),
        *(f"{name}_cov_{i + 1:02d}_{j + 1:02d}" for i, j in _PAIRS),
    ]


_KEY: Final = [*(f"key_{pitch}" for pitch in _PITCHES), "mode"]

FAMILIES: Final = {
    "timbre": _summary_columns("timbre"),
    "chroma": _summary_columns("chroma"),
    "loudness": ["loudness", "loudness_max_mean", "loudness_max_std"],
    "rhythm": ["tempo", "time_signature", "segments_per_second"],
    "key": _KEY,
}
"""What is kept of a track, 199 values; `danceability` and `energy` are 0 in all published files."""

# The table's columns by family; `chroma_mean` holds twelve values, `key` becomes twelve.
_TABLE: Final = {
    "spectral": ["spectral_centroid_mean", "spectral_rolloff_mean"],
    "timbre": ["mfcc1", "mfcc2", "mfcc3"],
    "loudness": ["loudness_mean"],
    "rhythm": ["tempo", "time_signature"],
}
_TABLE_COLUMNS: Final = [column for columns in _TABLE.values() for column in columns]

# Genres of tagtraum's and TU Wien's annotations: where a table joins two of them by an underscore,
# both are meant, but for those that have one themselves.
_GENRES: Final = frozenset(
    {
        *("Blues", "Country", "Electronic", "Folk", "International", "Jazz", "Latin", "Metal"),
        *("New Age", "Pop", "Pop_Rock", "Punk", "Rap", "Reggae", "RnB", "Rock", "Vocal", "World"),
    }
)

_NO_ARTISTS: Final = (
    "This table names no artists: its songs are split one by one, which flatters where an artist "
    "has several."
)
_TRACK: Final = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")
_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_SUFFIXES: Final = (".h5", ".hdf5")
_LOOKED_AT: Final = 2_000  # entries of a tree before it is taken for something else
_TRACKS: Final = 500  # in a batch
_LONGEST: Final = 1 << 20  # segments of a track; the longest published ones have some thousands
_SONGS: Final = "analysis/songs"
_ARRAYS: Final = ("segments_timbre", "segments_pitches", "segments_loudness_max")
_AGAIN: Final = "copy or unpack it again from where it was published"


_Read = tuple[SongRecord, NDArray[np.float32], float | None]
"""What is said of a track, its features [d], and its seconds."""


class _NotMsdError(Exception):
    """Why a file holds no track, in plain words without its name."""


def recognise(path: Path) -> Form | None:
    """What of the Million Song Dataset lies at a path; None: nothing."""
    if path.is_dir():
        there = [*islice(_walk(path), _LOOKED_AT)]
        tracks = sum(file is not None and bool(_TRACK.fullmatch(file.stem)) for file in there)
        return "table" if tracks and 2 * tracks >= len(there) else None
    if path.suffix.lower() in _SUFFIXES or _starts_as_hdf5(path):
        return "table"
    [header] = first_rows(path, 1) or [[]]
    return None if _lacking(header) else "table"


def open_table(path: Path, *, metadata: Path | None = None) -> SourceTable:
    """Open HDF5 files of the Million Song Dataset, or the table of its subset.

    Args:
        path: A file, or a folder of them.
        metadata: A file of genres; None: the only .cls file in the folder, if there is one.

    Raises:
        WrongUsageError: it is no such file, there is none, or the file of genres can't be used or
            knows none of the tracks.
    """
    if not path.is_dir() and not _starts_as_hdf5(path) and path.suffix.lower() not in _SUFFIXES:
        return _open_csv(path, metadata)
    if path.is_dir():
        if not any(_files(path)):
            raise WrongUsageError(
                f"There is no HDF5 file of the Million Song Dataset in {printable(path)}: its "
                "files are called TR....h5."
            )
    else:
        try:
            with closing(_read_file(path)) as tracks:
                next(tracks)
        except StopIteration:
            raise WrongUsageError(f"There is no track in {printable(path)}.") from None
        except _NotMsdError as error:
            raise WrongUsageError(f"{printable(path)} can't be used: {error}.") from error
    annotations = metadata or _annotations_beside(path)
    genres = _read_annotations(annotations) if annotations else {}
    if annotations is not None:
        _require_match(path, annotations, genres)
    told = (
        f"Genres are those of {printable(annotations.name)}."
        if annotations
        else (
            "These files say no genres: name a file of annotations with --metadata, for example "
            "msd_tagtraum_cd2.cls."
        )
    )
    return SourceTable(
        name=NAME,
        families=FAMILIES,
        batches=partial(_batches, path, genres),
        parents={},
        remarks=[told],
    )


# ---- HDF5


def _walk(folder: Path) -> Iterator[Path | None]:
    """HDF5 files below a folder in the order of their names, and None for anything else."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            yield Path(root, name) if name.lower().endswith(_SUFFIXES) else None


def _files(path: Path) -> Iterator[Path]:
    return (file for file in _walk(path) if file) if path.is_dir() else iter([path])


def _starts_as_hdf5(path: Path) -> bool:
    try:
        with open_file(path) as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _batches(path: Path, genres: Mapping[str, Sequence[str]]) -> Iterator[Batch]:
    songs: list[SongRecord] = []
    features: list[NDArray[np.float32]] = []
    durations: list[float | None] = []
    left_out: list[LeftOut] = []

    def batch() -> Batch:
        values = np.array(features, dtype=np.float32).reshape(len(songs), _width())
        done = Batch(tuple(songs), values, tuple(durations), tuple(left_out))
        for each in (songs, features, durations, left_out):
            each.clear()
        return done

    for file in _files(path):
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        try:
            for record, values, seconds in _read_file(file):
                own = tuple(genres.get(record.key, ()))
                songs.append(_labelled(record, own))
                features.append(values)
                durations.append(seconds)
                if len(songs) >= _TRACKS:
                    yield batch()
        except _NotMsdError as error:
            left_out.append(LeftOut(name, str(error)))
        if len(left_out) >= _TRACKS:
            yield batch()
    yield batch()


def _width() -> int:
    return sum(map(len, FAMILIES.values()))


def _labelled(record: SongRecord, genres: tuple[str, ...]) -> SongRecord:
    return replace(record, genres=genres, genre_source="table") if genres else record


def _read_file(path: Path) -> Generator[_Read, None, None]:
    """Read the tracks of one file.

    Raises:
        _NotMsdError: it is damaged, or no file of the data set.
    """
    import h5py

    try:
        with open_file(path):  # no pipe or device, whose opening may wait for ever
            pass
        with h5py.File(path, "r", locking=False) as file:
            yield from _read_tracks(file)
    except OSError as error:
        if error.errno is not None:
            raise _NotMsdError(f"it is {why_unreadable(error)}") from error
        if _starts_as_hdf5(path):
            raise _NotMsdError(f"as HDF5 it is cut short or damaged; {_AGAIN}") from error
        raise _NotMsdError(f"it is no HDF5 file; {_AGAIN}") from error
    # Broken bytes below a whole header.
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise _NotMsdError(f"as HDF5 it is cut short or damaged; {_AGAIN}") from error


def _read_tracks(file: "h5py.File") -> Iterator[_Read]:
    analysis, metadata = _compound(file, _SONGS), _compound(file, "metadata/songs")
    years = _compound(file, "musicbrainz/songs") if "musicbrainz/songs" in file else None
    arrays = [file.get(f"analysis/{name}") for name in _ARRAYS]
    if any(array is None for array in arrays):
        raise _NotMsdError(
            "it holds no segments: a summary file of the Million Song Dataset names its tracks "
            "but has nothing of their sound; take the files of the tracks"
        )
    count = min(len(analysis), len(metadata))
    for at in range(count):
        own, said = analysis[at], metadata[at]
        frames = [
            _slice(array, analysis, f"idx_{name}", at)
            for array, name in zip(arrays, _ARRAYS, strict=True)
        ]
        yield (
            _record(own, said, years[at] if years is not None and at < len(years) else None),
            _features(own, *frames),
            float(own["duration"]) or None,
        )


def _compound(file: "h5py.File", name: str) -> Any:
    """A table of the file, whose rows are read one by one.

    Raises:
        _NotMsdError: there is none, so that the file is something else.
    """
    import h5py

    table = file.get(name)
    if not isinstance(table, h5py.Dataset) or table.dtype.names is None or table.ndim != 1:
        there = ", ".join(repr(printable(each)) for each in islice(file, 4)) or "nothing"
        raise _NotMsdError(
            f"it is no file of the Million Song Dataset: it has no table /{name}, there is {there}"
        )
    wanted = {
        _SONGS: {"track_id", "duration", "tempo", "loudness", "key", "mode", "time_signature"},
        "metadata/songs": {"artist_name", "title", "release"},
        "musicbrainz/songs": {"year"},
    }[name]
    if lacking := sorted(wanted - set(table.dtype.names)):
        raise _NotMsdError(
            f"it is no file of the Million Song Dataset: /{name} has no column {lacking[0]!r}"
        )
    return table


def _slice(array: Any, songs: Any, index: str, at: int) -> NDArray[np.float64]:
    """The part of an array that is a track's: from its index to the next one's."""
    names = songs.dtype.names
    begin = int(songs[at][index]) if index in names else 0
    end = int(songs[at + 1][index]) if at + 1 < len(songs) and index in names else len(array)
    if not 0 <= begin <= end <= len(array) or end - begin > _LONGEST:
        raise _NotMsdError(
            f"as HDF5 it is damaged: {index!r} points outside of its array; {_AGAIN}"
        )
    return np.asarray(array[begin:end], dtype=np.float64)


def _record(own: Any, said: Any, year: Any) -> SongRecord:
    track = _text(own["track_id"])
    released = int(year["year"]) if year is not None else 0
    return SongRecord(
        id=row_id(NAME, track),
        title=_text(said["title"]) or track,
        artist=_text(said["artist_name"]) or None,
        album=_text(said["release"]) or None,
        year=released or None,
        source=NAME,
        key=track,
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
            _key(np.array([float(own["key"])]), np.array([float(own["mode"])]))[0],
        ]
    )
    with np.errstate(over="ignore"):
        narrow: NDArray[np.float32] = values.astype(np.float32)
    narrow[~np.isfinite(narrow)] = np.nan
    return narrow


def _summary(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean, standard deviation and covariances of segments [n, 12], float64 [90]."""
    if frames.ndim != 2 or frames.shape[1] != 12:
        raise _NotMsdError(
            "it is no file of the Million Song Dataset: a segment has other than 12 values"
        )
    if not len(frames):
        return np.full(24 + len(_PAIRS), np.nan)
    mean = frames.mean(axis=0)
    covariance = (frames - mean).T @ (frames - mean) / len(frames)
    rows, columns = zip(*_PAIRS, strict=True)
    return np.concatenate([mean, np.sqrt(np.diag(covariance)), covariance[rows, columns]])


def _key(key: NDArray[np.float64], mode: NDArray[np.float64]) -> NDArray[np.float64]:
    """Key 0 to 11 and mode (1 is major) of n songs, float64 [n, 13]: 1 where a song has that key.

    Keys are no quantity: B is a neighbour of C.
    """
    known = np.isin(key, range(12))
    hot = np.where(known[:, None], key[:, None] == np.arange(12), np.nan)
    return np.column_stack([hot, np.where(np.isin(mode, (0, 1)), mode, np.nan)])


# ---- genres


def _annotations_beside(path: Path) -> Path | None:
    """The file of genres in a folder, or beside a file.

    Raises:
        WrongUsageError: there are several.
    """
    found = sorted((path if path.is_dir() else path.parent).glob("*.cls"))
    if len(found) > 1:
        named = ", ".join(printable(file.name) for file in found)
        raise WrongUsageError(
            f"There are several files of genres beside these tracks ({named}): name the one that "
            "is meant with --metadata."
        )
    return found[0] if found else None


def _read_annotations(path: Path) -> dict[str, tuple[str, ...]]:
    """Genres of tracks by their ids.

    Raises:
        WrongUsageError: the file can't be read, or is none of genres.
    """
    try:
        with open_file(path) as stream:
            text = stream.read()
            if stream.error is not None:
                raise stream.error
    except OSError as error:
        raise WrongUsageError(
            f"The file of genres {printable(path)} can't be used: {why_unreadable(error)}."
        ) from error
    genres: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.decode("utf-8-sig", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        track, *names = line.split("\t")
        if not _TRACK.fullmatch(track.strip()) or not any(map(clean, names)):
            raise WrongUsageError(
                f"{printable(path)} is no file of genres of the Million Song Dataset: line "
                f"{number:,} isn't a track id, a tab and a genre."
            )
        genres[track.strip()] = tuple(dict.fromkeys(filter(None, map(clean, names))))
    return genres


def _require_match(path: Path, file: Path, genres: Mapping[str, object]) -> None:
    """Refuse a file of genres that knows none of the tracks.

    Raises:
        WrongUsageError: it is such a one.
    """
    for each in _files(path):
        if each.stem in genres:
            return
        if _TRACK.fullmatch(each.stem):
            continue  # files are called after their tracks
        try:
            if any(record.key in genres for record, *_ in _read_file(each)):
                return
        except _NotMsdError:
            continue
    raise WrongUsageError(
        f"The file of genres {printable(file)} knows none of the tracks in {printable(path)}: name "
        "the one that belongs to them with --metadata."
    )


# ---- the table of the subset


def _lacking(header: Sequence[str]) -> list[str]:
    wanted = ["filename", "genre", "duration", "chroma_mean", "key", "mode", *_TABLE_COLUMNS]
    return [column for column in wanted if column not in header]


def _open_csv(path: Path, metadata: Path | None) -> SourceTable:
    [header] = first_rows(path, 1) or [[]]
    if lacking := _lacking(header):
        raise WrongUsageError(
            f"{printable(path)} is neither HDF5 nor the table of the Million Song Dataset's "
            f"subset: it lacks the column {lacking[0]!r}. --source table takes other tables in."
        )
    if metadata is not None:
        raise WrongUsageError(
            f"{printable(path)} says genres itself: leave out --metadata, which is for HDF5 files."
        )
    chroma = [f"chroma_mean_{i + 1:02d}" for i in range(12)]
    return SourceTable(
        name=NAME,
        families={**_TABLE, "chroma": chroma, "key": _KEY},
        batches=partial(_csv_batches, path, header),
        remarks=[_NO_ARTISTS],
    )


def _csv_batches(path: Path, header: Sequence[str]) -> Iterator[Batch]:
    texts = {name: header.index(name) for name in ("filename", "genre", "chroma_mean")}
    columns = [*_TABLE_COLUMNS, "key", "mode", "duration"]
    for said, numbers in read_columns(path, texts, [header.index(name) for name in columns]):
        values, unfit = as_features(numbers, columns)
        *plain, key, mode, seconds = values.T
        chroma = np.full((len(said), 12), np.nan, dtype=np.float32)
        songs, left_out, kept = [], [], []
        for at, row in enumerate(said):
            name = row["filename"]
            track = name.removesuffix(".h5")
            twelve = _twelve(row["chroma_mean"])
            if twelve is None:
                reason = (
                    f"its column 'chroma_mean' holds {row['chroma_mean'][:80]!r}, not 12 numbers"
                )
                left_out.append(LeftOut(name, reason))
            elif at in unfit:
                left_out.append(LeftOut(name, unfit[at]))
            else:
                kept.append(at)
                chroma[at] = twelve
                genres = _apart(clean(row["genre"]))
                songs.append(_table_song(track, genres))
        features = np.column_stack([*plain, chroma, _key(key, mode)])[kept].astype(np.float32)
        durations = [float(each) if each > 0 else None for each in seconds[kept]]
        yield Batch(songs, features, durations, left_out)


def _table_song(track: str, genres: tuple[str, ...]) -> SongRecord:
    return SongRecord(
        id=row_id(NAME, track),
        title=track,
        genres=genres,
        genre_source="table" if genres else "",
        source=NAME,
        key=track,
    )


def _apart(name: str) -> tuple[str, ...]:
    """`Rock_Metal` is two genres, `Pop_Rock` and `Avant_Garde` are one each."""
    parts = tuple(name.split("_"))
    if name in _GENRES or len(parts) != 2 or not _GENRES.issuperset(parts):
        return (name,) if name else ()
    return parts


def _twelve(text: str) -> list[float] | None:
    """Twelve numbers as they stand in a cell: `[0.47, ...]`; None where they don't."""
    try:
        values = [float(part) for part in text.strip().strip("[]").split(",")]
    except ValueError:
        return None
    return values if len(values) == 12 else None
