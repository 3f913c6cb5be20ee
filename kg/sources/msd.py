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
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event, Semaphore
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.requests import ReadTracks, Said, Tracks
from kg.audio.tags import clean
from kg.audio.workers import cores, perform_in_workers
from kg.errors import AudioError, WrongUsageError
from kg.files import open_file, why_unreadable
from kg.records import SongRecord
from kg.sources.csv_file import as_features, first_rows, read_columns
from kg.sources.dataset import Batch, Form, LeftOut, SourceTable, row_id
from kg.sources.msd_file import FAMILIES, KEY, WIDTH, key_columns, starts_as_hdf5
from kg.text import printable

NAME: Final = "msd"

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
_SUFFIXES: Final = (".h5", ".hdf5")
_LOOKED_AT: Final = 2_000  # entries of a tree before it is taken for something else
_TRACKS: Final = 500  # in a batch
_AHEAD: Final = 2_000  # files that are read while others wait to be used


def recognise(path: Path) -> Form | None:
    """What of the Million Song Dataset lies at a path; None: nothing."""
    if path.is_dir():
        there = [*islice(_walk(path), _LOOKED_AT)]
        tracks = sum(file is not None and bool(_TRACK.fullmatch(file.stem)) for file in there)
        return "table" if tracks and 2 * tracks >= len(there) else None
    if path.suffix.lower() in _SUFFIXES or starts_as_hdf5(path):
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
    if not path.is_dir() and not starts_as_hdf5(path) and path.suffix.lower() not in _SUFFIXES:
        return _open_csv(path, metadata)
    if path.is_dir():
        if not any(_files(path)):
            raise WrongUsageError(
                f"There is no HDF5 file of the Million Song Dataset in {printable(path)}: its "
                "files are called TR....h5."
            )
    else:
        [(_, outcome)] = _read([path])
        if isinstance(outcome, AudioError):
            raise WrongUsageError(f"{printable(path)} can't be used: {outcome.reason}.")
        if not outcome.said:
            raise WrongUsageError(f"There is no track in {printable(path)}.")
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


def _batches(path: Path, genres: Mapping[str, Sequence[str]]) -> Iterator[Batch]:
    songs: list[SongRecord] = []
    features: list[NDArray[np.float32]] = []
    durations: list[float | None] = []
    left_out: list[LeftOut] = []

    def batch() -> Batch:
        values = np.concatenate([np.empty((0, WIDTH), np.float32), *features])
        done = Batch(tuple(songs), values, tuple(durations), tuple(left_out))
        for each in (songs, features, durations, left_out):
            each.clear()
        return done

    with closing(_read(_files(path))) as outcomes:
        for file, outcome in outcomes:
            if isinstance(outcome, AudioError):
                name = str(file.relative_to(path)) if path.is_dir() else file.name
                # Files are called after their tracks, unless somebody renamed or aggregated them.
                unnamed = _TRACK.fullmatch(file.stem) is None
                left_out.append(LeftOut(name, outcome.reason, unreadable=unnamed))
            else:
                songs += [_song(said, genres) for said in outcome.said]
                features.append(outcome.features)
                durations += outcome.seconds
            if len(songs) + len(left_out) >= _TRACKS:
                yield batch()
    yield batch()


def _read(files: Iterable[Path]) -> Generator[tuple[Path, Tracks | AudioError], None, None]:
    """Read files in processes, and yield what is in them in the order of the files."""
    room, over = Semaphore(_AHEAD), Event()
    asked: deque[ReadTracks] = deque()

    def requests() -> Iterator[ReadTracks]:
        for file in files:
            room.acquire()
            if over.is_set():
                return
            asked.append(ReadTracks(file))
            yield asked[-1]

    def release() -> None:
        over.set()
        room.release(_AHEAD)

    done: dict[ReadTracks, Tracks | AudioError] = {}
    outcomes = perform_in_workers(requests(), cores(), warm=None, release=release)
    with closing(outcomes):
        for request, outcome in outcomes:
            assert isinstance(outcome, Tracks | AudioError)
            done[request] = outcome
            while asked and asked[0] in done:
                room.release()
                first = asked.popleft()
                yield first.path, done.pop(first)


def _song(said: Said, genres: Mapping[str, Sequence[str]]) -> SongRecord:
    track, title, artist, album, year = said
    own = tuple(genres.get(track, ()))
    return SongRecord(
        id=row_id(NAME, track),
        title=title or track,
        artist=artist,
        album=album,
        year=year,
        genres=own,
        genre_source="table" if own else "",
        source=NAME,
        key=track,
    )


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
    # Files are called after their tracks, unless somebody renamed them.
    if any(each.stem in genres for each in _files(path)):
        return
    renamed = (each for each in _files(path) if not _TRACK.fullmatch(each.stem))
    with closing(_read(renamed)) as outcomes:
        for _, outcome in outcomes:
            if isinstance(outcome, Tracks) and any(said[0] in genres for said in outcome.said):
                return
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
        families={**_TABLE, "chroma": chroma, "key": KEY},
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
        features = np.column_stack([*plain, chroma, key_columns(key, mode)])[kept].astype(
            np.float32
        )
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
