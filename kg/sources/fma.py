"""FMA (Defferrard et al. 2017): its audio with the metadata beside it, or its tables of features.

- Audio: `fma_small/000/000002.mp3`; what is said of it stands in `fma_metadata/tracks.csv`.
- Tables: `features.csv` (518 statistics by librosa, header of three rows), `echonest.csv` (what
  Echo Nest heard, the same), and without such headers `echonest_labeled.csv`: `track_id`, values,
  `genre_top` by name, `genres_all` by number, perhaps `artist` and `title`.
- What is said of tracks: `tracks.csv` (header of two rows), or reduced to `track_id`, `genre_top`,
  `genres_all`, `split`: `fma_medium_labels.csv`.
- The genre tree: `genres.csv`.

A track has the most specific of its genres; those above them are in the tree.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

from kg.audio.tags import clean
from kg.errors import WrongUsageError
from kg.records import SongRecord
from kg.sources.csv_file import as_features, first_rows, read_columns
from kg.sources.dataset import Annotated, Batch, Form, LeftOut, Parents, SourceTable, row_id
from kg.sources.folder import is_audio
from kg.text import printable

NAME: Final = "fma"
SUBSETS: Final = ("small", "medium", "large")
"""Each holds the ones before it; `large` is all tracks."""

_METADATA: Final = "fma_metadata"
_SPLITS: Final = {
    **{"training": "train", "validation": "valid", "test": "test"},
    **{"train": "train", "valid": "valid"},
}
# Of `tracks.csv`, by both rows of its header.
_TRACK_COLUMNS: Final = {
    "title": ("track", "title"),
    "artist": ("artist", "name"),
    "album": ("album", "title"),
    "released": ("album", "date_released"),
    "duration": ("track", "duration"),
    "genre_top": ("track", "genre_top"),
    "genres": ("track", "genres"),
    "genres_all": ("track", "genres_all"),
    "split": ("set", "split"),
    "subset": ("set", "subset"),
}
_TOLD: Final = frozenset({"track_id", "genre_top", "genres_all", "split", "artist", "title"})
# Kinds of Echo Nest's columns that are heard; the others say who is known and how well.
_HEARD: Final = {"audio_features": "echonest", "temporal_features": "temporal"}
_UNPACK: Final = "unpack fma_metadata.zip whole"

Kind = Literal["features", "echonest", "labelled", "tracks", "labels"]


@dataclass(frozen=True, slots=True)
class _Track:
    """What the metadata say of a track; its genres by name, the most specific ones."""

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    year: int | None = None
    genres: tuple[str, ...] = ()
    split: str | None = None
    subset: str | None = None
    duration: float | None = None


@dataclass(frozen=True, slots=True)
class _Tree:
    """The genre tree: names and parents by number; 0 is no parent."""

    names: Mapping[int, str] = field(default_factory=dict)
    above: Mapping[int, int] = field(default_factory=dict)

    def parents(self) -> Parents:
        """The same by name."""
        return {
            name: tuple(filter(None, [self.names.get(self.above[number])]))
            for number, name in self.names.items()
        }

    def most_specific(self, numbers: Sequence[int]) -> list[str]:
        """Names of genres that aren't above another one of them."""
        above: set[int] = set()
        for number in numbers:
            own: set[int] = set()
            while (number := self.above.get(number, 0)) and number not in own:
                own.add(number)
            above |= own
        named = (self.names.get(number) for number in numbers if number not in above)
        return [name for name in named if name]


def recognise(path: Path) -> Form | None:
    """What of FMA lies at a path; None: nothing."""
    if path.is_dir():
        folders = [path, *(path / f"fma_{name}" for name in (*SUBSETS, "full"))]
        if any(map(_has_tracks, folders)):
            return "audio"
        return "table" if any(_tables_in(folder) for folder in _around(path)) else None
    return "table" if _kind(path) else None


def open_table(
    path: Path, *, metadata: Path | None = None, subset: str | None = None
) -> SourceTable:
    """Open a table of features, with what the metadata beside it say of its tracks.

    Args:
        path: `features.csv`, `echonest.csv`, `echonest_labeled.csv`, or a folder that holds one:
            the first of these. A table of genres (`tracks.csv`, `fma_medium_labels.csv`) stands for
            the tracks that it names, with the features beside it.
        metadata: `fma_metadata`, or `tracks.csv`, where they don't lie beside it.
        subset: `small`, `medium` or `large`; None: all tracks.

    Raises:
        WrongUsageError: there are no features, or nothing says what their tracks are.
    """
    table, told = _features_of(path)
    kind = _kind(table)
    file = _find(metadata or told or table, ("tracks", "labels"))
    if metadata is not None and file is None:
        raise _no_metadata(metadata)
    if file is None and kind != "labelled":
        raise _no_metadata(table.parent)
    tree = _tree(file or table)
    tracks = _tracks(file, tree) if file else {}
    if subset is not None and not any(track.subset for track in tracks.values()):
        raise WrongUsageError(
            f"--subset {subset}: which tracks are in it, only tracks.csv says, which isn't beside "
            f"{printable(table)}; {_UNPACK}, or name it with --metadata."
        )
    remarks = []
    if not tree.names:
        remarks.append(
            "genres.csv isn't beside it: tracks have their top genre only, and there is no tree."
        )
    if kind == "echonest":
        remarks.append("Of echonest.csv only what is heard counts, not how well known a track is.")
    families, columns = _families(table, kind)
    if told is not None:
        lacking = _without_features(table, kind, tracks, subset)
        remarks.append(
            f"Features are those of {printable(table.name)}. Tracks that {printable(told.name)} "
            f"names and that have none there aren't taken in: {lacking:,}."
        )
    return SourceTable(
        name=NAME,
        families=families,
        batches=partial(
            _batches, table, kind, columns, families, tracks, tree, subset, only=told is not None
        ),
        songs=len(tracks) if kind == "features" and subset is None else None,
        parents=tree.parents(),
        remarks=remarks,
    )


def annotate(
    path: Path, records: Sequence[SongRecord], *, metadata: Path | None = None
) -> Annotated:
    """What FMA says of its tracks, by the numbers that their files are called by.

    Args:
        path: The folder of audio.
        records: The songs in it.
        metadata: `fma_metadata`, or `tracks.csv`, where they don't lie in the folder or beside it.

    Raises:
        WrongUsageError: there are no metadata.
    """
    file = _find(metadata or path, ("tracks", "labels"), beside=metadata is None)
    if file is None:
        raise _no_metadata(metadata or path)
    tree = _tree(file)
    tracks = _tracks(file, tree)
    told, unknown = [], 0
    for record in records:
        track = tracks.get(_number_of(record.path)) if record.path else None
        unknown += track is None
        told.append(_annotated(record, track or _Track()))
    remarks = []
    if unknown == len(records) and records:
        raise WrongUsageError(
            f"{printable(file)} knows none of the {len(records):,} files in {printable(path)}: "
            "name the metadata that belong to them with --metadata, or take them in with "
            "--source audio."
        )
    if unknown:
        remarks.append(f"{file.name} doesn't know {unknown:,} of {len(records):,} files.")
    return Annotated(NAME, told, parents=tree.parents(), remarks=remarks)


def _annotated(record: SongRecord, track: _Track) -> SongRecord:
    return replace(
        record,
        title=track.title or record.title,
        artist=track.artist or record.artist,
        album=track.album or record.album,
        year=track.year or record.year,
        genres=track.genres,
        genre_source="table" if track.genres else "",
        split=track.split,
    )


# ---- where things lie


def _kind(path: Path) -> Kind | None:
    """What a file is by its header."""
    rows = first_rows(path, 4)
    if not rows:
        return None
    first = [row[:1] for row in rows]
    if first[:3] == [["feature"], ["statistics"], ["number"]]:
        return "features"
    if len(rows) > 2 and set(rows[0][1:]) == {"echonest"} and "audio_features" in rows[1]:
        return "echonest"
    if len(rows) > 1 and set(_TRACK_COLUMNS.values()) <= set(zip(*rows[:2], strict=False)):
        return "tracks"
    if {"track_id", "genre_top", "genres_all"} <= set(rows[0]):
        return "labelled" if set(rows[0]) - _TOLD else "labels"
    return None


def _headers(path: Path, levels: int) -> int:
    """Rows before the first track: pandas writes the name of the index into one of its own."""
    rows = first_rows(path, levels + 1)
    return levels + (rows[-1][:1] == ["track_id"])


def _around(path: Path) -> list[Path]:
    """Where metadata may lie if this is what was named."""
    folder = path if path.is_dir() else path.parent
    return [folder, folder / _METADATA]


def _tables_in(folder: Path, kinds: Sequence[Kind] | None = None) -> list[tuple[Kind, Path]]:
    """Tables of FMA in a folder, of these kinds, the first kind first."""
    order: Sequence[Kind] = kinds or ("features", "echonest", "labelled", "tracks", "labels")
    files = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    found = [(kind, file) for file in files if (kind := _kind(file)) and kind in order]
    return sorted(found, key=lambda each: order.index(each[0]))


def _find(path: Path, kinds: Sequence[Kind], *, beside: bool = False) -> Path | None:
    """The file of one of these kinds that is at, in or beside a path."""
    if not path.is_dir() and _kind(path) in kinds:
        return path
    folders = [*_around(path), *(_around(path.parent) if beside else ())]
    return next((file for folder in folders for _, file in _tables_in(folder, kinds)), None)


def _features_of(path: Path) -> tuple[Path, Path | None]:
    """The table of features that a path stands for, and the table of genres, if it names one.

    Raises:
        WrongUsageError: there is none.
    """
    heard: Sequence[Kind] = ("features", "echonest", "labelled")
    table = _find(path, heard)
    if table is None:
        raise WrongUsageError(
            f"There are no features of FMA at {printable(path)}: features.csv, echonest.csv or "
            f"echonest_labeled.csv is to be there ({_UNPACK}). To give genres to audio, name the "
            "folder of audio and this with --metadata."
        )
    return table, None if path.is_dir() or table == path else path


def _no_metadata(path: Path) -> WrongUsageError:
    return WrongUsageError(
        f"Nothing says what the tracks of {printable(path)} are: tracks.csv isn't there; "
        f"{_UNPACK} beside it, name the folder with --metadata, or take it in with --source audio "
        "or --source table."
    )


def _has_tracks(folder: Path) -> bool:
    """Whether a folder has FMA's layout: `000/000002.mp3`."""
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        numbered = sorted(each.name for each in entries if re.fullmatch(r"\d{3}", each.name))
    return any(
        is_audio(file) and re.fullmatch(rf"{name}\d{{3}}", file.stem)
        for name in numbered[:3]
        if (folder / name).is_dir()
        for file in (folder / name).iterdir()
    )


def _number_of(path: Path) -> str:
    """The number of a track by its file, as the tables have it."""
    return path.stem.lstrip("0") if path.stem.isdecimal() else path.stem


# ---- what the metadata say


def _tree(beside: Path) -> _Tree:
    """Read the genre tree beside a file; empty without one."""
    file = beside.parent / "genres.csv"
    if not file.is_file():
        return _Tree()
    [header] = first_rows(file, 1) or [[]]
    wanted = ("genre_id", "title", "parent")
    if lacking := [name for name in wanted if name not in header]:
        raise WrongUsageError(
            f"{printable(file)} is not FMA's genre tree: it lacks the column {lacking[0]!r}; "
            f"{_UNPACK}."
        )
    names, above = {}, {}
    for said, _ in read_columns(file, {name: header.index(name) for name in wanted}):
        for row in said:
            [number, *_] = _numbers(row["genre_id"]) or [0]
            if number in names:
                raise WrongUsageError(
                    f"{printable(file)} is not FMA's genre tree: its genre_id {number} comes "
                    f"twice; {_UNPACK}."
                )
            names[number] = clean(row["title"])
            above[number] = (_numbers(row["parent"]) or [0])[0]
    return _Tree(names, above)


def _tracks(file: Path, tree: _Tree) -> dict[str, _Track]:
    """Read what is said of tracks, by their numbers.

    Raises:
        WrongUsageError: genres have numbers there, and nothing says what these mean.
    """
    if not tree.names:
        raise WrongUsageError(
            f"genres.csv, which says what the numbers of genres mean, isn't beside "
            f"{printable(file)}; {_UNPACK}."
        )
    if _kind(file) == "tracks":
        header = list(zip(*first_rows(file, 2), strict=False))
        columns = {name: header.index(pair) for name, pair in _TRACK_COLUMNS.items()}
        columns["track_id"], headers = 0, _headers(file, 2)
    else:
        [names] = first_rows(file, 1)
        columns, headers = {name: at for at, name in enumerate(names) if name in _TOLD}, 1
    return {
        row["track_id"]: _track(row, tree)
        for said, _ in read_columns(file, columns, headers=headers)
        for row in said
    }


def _track(row: Mapping[str, str], tree: _Tree) -> _Track:
    released = re.match(r"(\d{4})-", row.get("released", ""))
    seconds = row.get("duration", "")
    return _Track(
        title=clean(row.get("title", "")) or None,
        artist=clean(row.get("artist", "")) or None,
        album=clean(row.get("album", "")) or None,
        year=int(released[1]) if released else None,
        genres=_genres(row, tree),
        split=_SPLITS.get(row.get("split", "")),
        subset=row.get("subset") or None,
        duration=float(seconds) if seconds.isdecimal() and int(seconds) else None,
    )


def _genres(row: Mapping[str, str], tree: _Tree) -> tuple[str, ...]:
    """The most specific genres of a track, else the top one."""
    numbers = _numbers(row.get("genres") or row.get("genres_all", ""))
    named = tree.most_specific(list(dict.fromkeys(numbers)))
    top = row.get("genre_top", "")
    if not named and top:
        named = [tree.names.get(int(top), "") if top.isdecimal() else clean(top)]
    return tuple(filter(None, named))


def _numbers(text: str) -> list[int]:
    """`[21, 103]` as it stands in a cell."""
    return [int(number) for number in re.findall(r"\d+", text)]


# ---- features


def _families(path: Path, kind: Kind | None) -> tuple[dict[str, list[str]], list[int]]:
    """Names of the features by family, and where their columns stand, in the same order."""
    rows = first_rows(path, 3)
    if kind == "labelled":
        named = [("echonest", name, at) for at, name in enumerate(rows[0]) if name not in _TOLD]
    elif kind == "echonest":
        named = [
            (_HEARD[row[1]], row[2], at)
            for at, row in enumerate(zip(*rows, strict=False))
            if row[1] in _HEARD
        ]
    else:
        named = [
            (row[0], "_".join(row), at) for at, row in enumerate(zip(*rows, strict=False)) if at
        ]
    families: dict[str, list[str]] = {}
    for family, name, _ in named:
        families.setdefault(family, []).append(name)
    order = list(families)
    columns = [at for *_, at in sorted(named, key=lambda each: (order.index(each[0]), each[2]))]
    return families, columns


def _subsets(subset: str | None) -> Sequence[str]:
    """The subsets that are parts of one; none: all tracks are wanted."""
    return SUBSETS[: SUBSETS.index(subset) + 1] if subset else ()


def _without_features(
    path: Path, kind: Kind | None, tracks: Mapping[str, _Track], subset: str | None
) -> int:
    """How many of the tracks that are wanted a table of features doesn't have."""
    [header] = first_rows(path, 1)
    column, headers = (
        (header.index("track_id"), 1) if kind == "labelled" else (0, _headers(path, 3))
    )
    wanted = _subsets(subset)
    left = {key for key, track in tracks.items() if not wanted or track.subset in wanted}
    for said, _ in read_columns(path, {"track_id": column}, headers=headers):
        left.difference_update(row["track_id"] for row in said)
    return len(left)


def _batches(
    path: Path,
    kind: Kind | None,
    columns: Sequence[int],
    families: Mapping[str, Sequence[str]],
    tracks: Mapping[str, _Track],
    tree: _Tree,
    subset: str | None,
    *,
    only: bool,
) -> Iterator[Batch]:
    wanted = _subsets(subset)
    names = [name for own in families.values() for name in own]
    [header] = first_rows(path, 1)
    flat = kind == "labelled"
    texts = {name: header.index(name) for name in _TOLD if name in header} if flat else {}
    headers = 1 if flat else _headers(path, 3)
    for said, values in read_columns(path, texts or {"track_id": 0}, columns, headers=headers):
        features, unfit = as_features(values, names)
        songs, durations, left_out, kept = [], [], [], []
        for at, row in enumerate(said):
            key = row["track_id"]
            track = tracks.get(key)
            if track is None and flat and not only and key.isdecimal():
                track = _track(row, tree)
            if track is None:
                # Who names a table of genres wants the tracks that it names.
                if not only:
                    left_out.append(LeftOut(key, "the metadata know no such track"))
            elif wanted and track.subset not in wanted:
                continue
            elif at in unfit:
                left_out.append(LeftOut(key, unfit[at]))
            else:
                kept.append(at)
                songs.append(_song(key, track, row))
                durations.append(track.duration)
        yield Batch(songs, features[kept], durations, left_out)


def _song(key: str, track: _Track, row: Mapping[str, str]) -> SongRecord:
    """A track; what the metadata don't say of it, its own row may."""
    return SongRecord(
        id=row_id(NAME, key),
        title=track.title or clean(row.get("title", "")) or f"track {key}",
        artist=track.artist or clean(row.get("artist", "")) or None,
        album=track.album,
        year=track.year,
        genres=track.genres,
        genre_source="table" if track.genres else "",
        split=track.split,
        source=NAME,
        key=key,
    )
