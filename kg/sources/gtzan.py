"""GTZAN (Tzanetakis and Cook 2002): its audio, or the well-known tables of librosa's statistics.

- Audio: `<genre>/<genre>.NNNNN.wav` (.au, .flac), in a folder of any name (`genres`,
  `genres_original`).
- Tables: `features_30_sec.csv` with a row a clip, and `features_3_sec.csv` with ten of each, as
  they go round: `filename`, `length` (in samples, no feature), 57 statistics, `label` or `genre`;
  and where somebody added them `artist` and `title`.

Sides of the split and faults are those of `kg.splits.gtzan`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from kg.audio.tags import clean
from kg.errors import WrongUsageError
from kg.records import SongRecord
from kg.sources.csv_file import as_features, first_rows, read_columns
from kg.sources.dataset import Annotated, Batch, Form, LeftOut, SourceTable, row_id
from kg.sources.folder import is_audio
from kg.splits import gtzan
from kg.text import printable

NAME: Final = "gtzan"

_STATISTICS: Final = ("mean", "var")
FAMILIES: Final = {
    family: tuple(f"{value}_{statistic}" for value in values for statistic in _STATISTICS)
    for family, values in {
        "chroma": ("chroma_stft",),
        "spectral": (
            *("rms", "spectral_centroid", "spectral_bandwidth"),
            *("rolloff", "zero_crossing_rate"),
        ),
        "harmony": ("harmony", "perceptr"),
        "mfcc": tuple(f"mfcc{number}" for number in range(1, 21)),
    }.items()
} | {"rhythm": ("tempo",)}
"""The 57 statistics, by what they describe; `perceptr` is the percussive part of the sound."""

_COLUMNS: Final = tuple(column for columns in FAMILIES.values() for column in columns)
_LABELS: Final = ("label", "genre")
_RATE: Final = 22_050  # Hz
_FEW: Final = 3  # faulty clips of a kind that a sentence names


def recognise(path: Path) -> Form | None:
    """What of GTZAN lies at a path; None: nothing."""
    if path.is_dir():
        folders = [path, *(path / name for name in ("genres", "genres_original", "audio"))]
        return "audio" if any(map(_has_clips, folders)) else None
    header, *first = first_rows(path, 2) or [[]]
    if _lacking(header) or not first:
        return None
    row = dict(zip(header, first[0], strict=False))
    return "table" if gtzan.clip(row.get("filename")) else None


def open_table(path: Path) -> SourceTable:
    """Open a table of GTZAN's statistics.

    Raises:
        WrongUsageError: it is none.
    """
    [header] = first_rows(path, 1) or [[]]
    if lacking := _lacking(header):
        raise WrongUsageError(
            f"{printable(path)} is no table of GTZAN's features: it lacks the column "
            f"{lacking[0]!r}. Take features_30_sec.csv as it is published, or --source table."
        )
    names = [row["filename"] for said, _ in read_columns(path, _texts(header)) for row in said]
    faults = _faults(names)
    remarks = _in_words(names, faults)
    if any(map(gtzan.is_part, names)):
        remarks.append(
            "These rows are parts of clips: parts of one clip belong on one side, which only "
            "`kg train --split gtzan` sees to."
        )
    return SourceTable(
        name=NAME,
        families=FAMILIES,
        batches=partial(_batches, path, header),
        songs=len(names),
        remarks=remarks,
        faults=_one_by_one(faults),
    )


def annotate(path: Path, records: Sequence[SongRecord]) -> Annotated:
    """What GTZAN says of its clips, by their names: genre, and side of the split.

    Raises:
        WrongUsageError: no file is called like a clip.
    """
    told = [_annotated(record) for record in records]
    if records and not any(record.genre_source == "table" for record in told):
        raise WrongUsageError(
            f"None of the {len(records):,} files in {printable(path)} is called as GTZAN's clips "
            "are (blues.00042.wav): take them in with --source audio."
        )
    names = [p.name for record in records for p in record.paths or filter(None, [record.path])]
    faults = _faults(names)
    return Annotated(NAME, told, remarks=_in_words(names, faults), faults=_one_by_one(faults))


def _annotated(record: SongRecord) -> SongRecord:
    """A song by all names it has: some clips are the same bytes as others."""
    paths = record.paths or ((record.path,) if record.path else ())
    clips = [clip for path in paths if (clip := gtzan.clip(path.name))]
    if not clips:  # the name of its folder isn't GTZAN's word
        return replace(record, genres=(), genre_source="")
    genres = tuple(dict.fromkeys(genre for genre, _ in clips))
    sides = [side for clip in clips if (side := gtzan.side(*clip))]
    return replace(record, genres=genres, genre_source="table", split=sides[0] if sides else None)


def _batches(path: Path, header: Sequence[str]) -> Iterator[Batch]:
    numbers = [header.index(column) for column in _COLUMNS]
    length = [header.index("length")] if "length" in header else []
    for said, values in read_columns(path, _texts(header), [*numbers, *length]):
        features, unfit = as_features(values[numbers], _COLUMNS)
        samples, _ = as_features(values[length], ["length"])
        songs, left_out, kept = [], [], []
        for at, row in enumerate(said):
            name = row["filename"]
            clip = gtzan.clip(name)
            if clip is None:
                left_out.append(LeftOut(name, "no clip of GTZAN"))
            elif at in unfit:
                left_out.append(LeftOut(name, unfit[at]))
            else:
                kept.append(at)
                songs.append(_song(row, clip))
        seconds = samples[kept, 0] / _RATE if length else ()
        durations = [float(each) if each > 0 else None for each in seconds]
        yield Batch(songs, features[kept], durations, left_out)


def _song(row: dict[str, str], clip: tuple[str, int]) -> SongRecord:
    label = next((row[name] for name in _LABELS if row.get(name)), clip[0])
    name = row["filename"]
    return SongRecord(
        id=row_id(NAME, name),
        title=clean(row.get("title", "")) or name.rpartition(".")[0],
        artist=clean(row.get("artist", "")) or None,
        genres=(clean(label),),
        genre_source="table",
        split=gtzan.side(*clip),
        source=NAME,
        key=name,
    )


def _texts(header: Sequence[str]) -> dict[str, int]:
    wanted = ("filename", *_LABELS, "artist", "title")
    return {name: header.index(name) for name in wanted if name in header}


def _lacking(header: Sequence[str]) -> list[str]:
    """Columns that such a table has and this one hasn't."""
    lacking = [column for column in ("filename", *_COLUMNS) if column not in header]
    return lacking if set(_LABELS) & set(header) else [*lacking, _LABELS[0]]


def _has_clips(folder: Path) -> bool:
    for genre in gtzan.GENRES:
        below = folder / genre
        files = below.iterdir() if below.is_dir() else ()
        if any(is_audio(file) and gtzan.clip(file.name) for file in files):
            return True
    return False


_Faults = dict[str, tuple[gtzan.Fault, str]]


def _faults(names: Iterable[str]) -> _Faults:
    """The faulty clips among these files: what they have in common with others, and what alone."""
    clips = sorted({clip for name in names if (clip := gtzan.clip(name))})
    said = {f"{genre}.{n:05d}": gtzan.fault(genre, n) for genre, n in clips}
    return {name: fault for name, fault in said.items() if fault is not None}


def _one_by_one(faults: _Faults) -> dict[str, str]:
    return {name: alone for name, (_, alone) in faults.items()}


def _in_words(names: Iterable[str], faults: _Faults) -> list[str]:
    """How many of these clips are faulty, by fault, with some examples."""
    if not faults:
        return []
    clips = {clip for name in names if (clip := gtzan.clip(name))}
    by_kind: dict[str, list[str]] = {}
    for name, (kind, _) in faults.items():
        by_kind.setdefault(kind, []).append(name)
    listed = [
        f"{kind}: {len(own)} ({', '.join(own[:_FEW])}{', ...' if len(own) > _FEW else ''})"
        for kind, own in sorted(by_kind.items())
    ]
    many = len(faults)
    told = (
        f"Of {len(clips):,} clips {many} {'is' if many == 1 else 'are'} known to be faulty (Sturm "
        f"2013), and `kg train --split gtzan` leaves {'it' if many == 1 else 'them'} out. "
        f"{'. '.join(listed)}."
    )
    return [told if many <= _FEW else f"{told} --json says of each what is known."]
