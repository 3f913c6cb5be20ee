"""The data sets that kg knows by their layout, and which of them lies at a path."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, get_args

from kg.errors import WrongUsageError
from kg.records import Rejected, SongRecord
from kg.sources import audioset, fma, gtzan, msd
from kg.sources.dataset import Annotated, Form, Parents, SourceTable
from kg.sources.folder import Scan
from kg.text import printable

SourceKind = Literal["auto", "audio", "table", "gtzan", "fma", "msd", "audioset"]
"""What a path may be taken for; `auto`: what it looks like."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set that kg knows.

    Attributes:
        name: What `--source` calls it.
        recognise: What of it lies at a path: a table, its audio, or nothing. Reads little, and
            raises nothing but OSError.
        open_table: Opens its table at a path, with the options below by name. Raises
            WrongUsageError where that can't be used.
        annotate: Says of the audio files at a path what the data set knows of them, likewise; None
            where its audio isn't published.
        options: What else it can be told: `metadata`, `subset`; the latter only of tables.
    """

    name: str
    recognise: Callable[[Path], Form | None]
    open_table: Callable[..., SourceTable]
    annotate: Callable[..., Annotated] | None = None
    options: frozenset[str] = frozenset()


DATA_SETS: Final[Mapping[str, DataSet]] = {
    each.name: each
    for each in (
        DataSet(gtzan.NAME, gtzan.recognise, gtzan.open_table, gtzan.annotate),
        DataSet(
            fma.NAME,
            fma.recognise,
            fma.open_table,
            fma.annotate,
            frozenset({"metadata", "subset"}),
        ),
        DataSet(msd.NAME, msd.recognise, msd.open_table, options=frozenset({"metadata"})),
        DataSet(audioset.NAME, audioset.recognise, audioset.open_table),
    )
}


@dataclass(frozen=True, slots=True)
class Found:
    """A data set at a path, and what of it lies there."""

    data_set: DataSet
    path: Path
    form: Form


def find(path: Path, source: SourceKind = "auto") -> Found | None:
    """Which data set lies at a path; None: none that kg knows, or none was asked for.

    Raises:
        WrongUsageError: `source` names a data set, and nothing is there.
    """
    if source in ("audio", "table"):
        return None
    if not path.exists():
        if source == "auto":  # what scans it says so
            return None
        raise WrongUsageError(f"There is no folder or file called {printable(path)}.")
    asked = [DATA_SETS[source]] if source in DATA_SETS else DATA_SETS.values()
    for data_set in asked:
        try:
            form = data_set.recognise(path)
        except OSError:  # a folder in it that nobody may read: what scans it says so
            continue
        if form is not None:
            return Found(data_set, path, form)
    if source == "auto":
        return None
    # Its reader knows best what is missing; audio need not lie as it was published.
    data_set = DATA_SETS[source]
    audio = data_set.annotate is not None and path.is_dir()
    return Found(data_set, path, "audio" if audio else "table")


def open_table(
    found: Found, *, metadata: Path | None = None, subset: str | None = None
) -> SourceTable:
    """Open the table of a data set.

    Args:
        found: The data set, and where it lies.
        metadata: What says what its songs are, where that lies elsewhere.
        subset: The part of it that is wanted; None: all.

    Raises:
        WrongUsageError: it can't be used, or takes no such option.
    """
    given = {"metadata": metadata, "subset": subset}
    told = {name: value for name, value in given.items() if value is not None}
    for name in told:
        if name not in found.data_set.options:
            raise WrongUsageError(_not_for(found, name))
    return found.data_set.open_table(found.path, **told)


@dataclass(frozen=True, slots=True)
class Described:
    """A scan with what data sets say of its files.

    Attributes:
        scan: With their records; `genres_from` is `table` where they say genres.
        parents: The genre tree of the data sets; empty without one.
        remarks: Sentences that a reader should know.
        faults: Songs that are known to be faulty and come in all the same: what of each.
    """

    scan: Scan
    parents: Parents
    remarks: Sequence[str] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


def describe(
    scan: Scan,
    folders: Sequence[Path],
    source: SourceKind = "auto",
    *,
    metadata: Path | None = None,
    genres: bool = True,
) -> Described:
    """Let data sets say of their audio files what they know of them.

    Args:
        scan: What was found in the folders.
        folders: The folders that were named; each may be a data set.
        source: What they are to be taken for.
        metadata: What says what the songs are, where that lies elsewhere.
        genres: Whether genres are theirs to say; else they stay as they were read.

    Raises:
        WrongUsageError: a data set lacks what says what its files are.
    """
    records = {record.id: record for record in scan.records}
    rejected: list[Rejected] = []
    parents: dict[str, Sequence[str]] = {}
    remarks: list[str] = []
    faults: dict[str, str] = {}
    told = False
    for folder in folders:
        found = find(folder, source)
        if found is None or found.form != "audio" or found.data_set.annotate is None:
            continue
        options = {} if metadata is None else {"metadata": metadata}
        for name in options:
            if name not in found.data_set.options:
                raise WrongUsageError(_not_for(found, name))
        own = [record for record in records.values() if _lies_in(record, folder)]
        said = found.data_set.annotate(folder, own, **options)
        for before, after in zip(own, said.records, strict=True):
            whose = after if genres else before
            records[before.id] = replace(
                after, genres=whose.genres, genre_source=whose.genre_source
            )
        rejected += said.rejected
        if genres:
            parents |= said.parents
        remarks += said.remarks
        faults |= said.faults
        told = True
    if not told and metadata is not None:
        raise WrongUsageError(
            "--metadata says what the songs of a data set are, and none was found in "
            f"{', '.join(map(printable, folders))}: name it with --source."
        )
    gone = {one.path for one in rejected}
    return Described(
        Scan(
            [record for record in records.values() if record.path not in gone],
            [*scan.rejected, *rejected],
            "table" if told and genres else scan.genres_from,
        ),
        parents,
        remarks,
        faults,
    )


def as_source(name: str) -> SourceKind:
    """Check the name of a source.

    Raises:
        WrongUsageError: there is no such source.
    """
    known: dict[str, SourceKind] = {kind: kind for kind in get_args(SourceKind)}
    if name not in known:
        raise WrongUsageError(f"There is no source {name!r}: it is one of {', '.join(known)}.")
    return known[name]


def _lies_in(record: SongRecord, folder: Path) -> bool:
    return any(path.is_relative_to(folder) for path in record.paths or filter(None, [record.path]))


def _not_for(found: Found, option: str) -> str:
    return f"--{option} isn't for {found.data_set.name} ({printable(found.path)}): leave it out."
