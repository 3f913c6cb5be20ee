"""`kg ingest fma_metadata/`: data sets that kg knows by their layout."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import App, F
from cli.removing import removal_prompt
from cli.table_report import report_on_table
from kg.text import printable

if TYPE_CHECKING:
    from kg.genres.files import TreeFile
    from kg.records import SongRecord
    from kg.sources.dataset import LeftOut, Parents, SourceTable
    from kg.sources.datasets import Found, SourceKind
    from kg.sources.folder import GenresFrom

KINDS = ("auto", "audio", "table", "gtzan", "fma", "msd", "audioset")
SUBSETS = ("small", "medium", "large")
GENRES = 5  # that a dry run names
UNHEARD = "Nothing was listened to: what can't be decoded is left out when it is taken in."


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of data sets.

    Attributes:
        source: What the sources are to be taken for.
        metadata: What says what their songs are.
        subset: The part of it that is wanted.
    """

    source: "SourceKind"
    metadata: Path | None
    subset: str | None


def data_set_options(command: F) -> F:
    """`--source`, `--metadata` and `--subset`, handed on together as `data_set`."""

    @functools.wraps(command)
    def bundled(*args: Any, source: Any, metadata: Any, subset: Any, **others: Any) -> Any:
        return command(*args, data_set=Asked(source, metadata, subset), **others)

    decorated: Any = click.option(
        "--subset",
        type=click.Choice(SUBSETS),
        help="Of FMA's table: the tracks of this subset; default: all.",
    )(bundled)
    decorated = click.option(
        "--metadata",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="What says what a data set's songs are, where it lies elsewhere: fma_metadata/, or a "
        ".cls file with genres for the Million Song Dataset.",
    )(decorated)
    return click.option(  # type: ignore[no-any-return]
        "--source",
        type=click.Choice(KINDS),
        default="auto",
        show_default=True,
        help="What is taken in: GTZAN, FMA, the Million Song Dataset and what is laid out like "
        "AudioSet are known by their layout, other tables by their endings; all else is audio.",
    )(decorated)


def table_of_data_set(
    sources: Sequence[str], asked: Asked, *, as_table: bool = False
) -> "Found | None":
    """The table of a data set that is to be taken in; None: these are audio or another table.

    Args:
        sources: What was named.
        asked: What is said of data sets.
        as_table: Whether columns of a table were named, so that it is to be read by these.

    Raises:
        click.UsageError: it isn't alone, or an option doesn't fit.
    """
    from kg.files import normal
    from kg.sources.datasets import find

    tables = []
    if not (as_table and asked.source == "auto"):
        found = [find(normal(Path(source)), asked.source) for source in sources]
        tables = [each for each in found if each is not None and each.form == "table"]
    if tables and len(sources) > 1:
        raise click.UsageError(
            f"{printable(tables[0].path)} is a table of {tables[0].data_set.name}: take in tables "
            "one at a time, and without folders."
        )
    if not tables and asked.subset is not None:
        raise click.UsageError(
            "--subset is for FMA's table of features; of its audio, name the folder that is wanted "
            "(fma_small)."
        )
    return tables[0] if tables else None


def ingest_data_set(
    app: App,
    found: "Found",
    asked: Asked,
    *,
    tree: "TreeFile | None",
    prune: bool,
    yes: bool,
    dry_run: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Take in the table of a data set.

    Args:
        app: The command line.
        found: The data set.
        asked: What is said of it.
        tree: The owner's genre tree.
        prune: Remove songs that it had at an earlier ingest and hasn't any more.
        yes: Don't ask before that.
        dry_run: Only show what it is, or what --prune would remove.
        strict: Fail where a row was left out.
        as_json: Print one document.
    """
    from kg.files import normal
    from kg.sources.datasets import open_table

    metadata = None if asked.metadata is None else normal(asked.metadata)
    table = open_table(found, metadata=metadata, subset=asked.subset)
    if dry_run and not prune:
        _show(table, as_json=as_json)
        return
    confirm = None
    if prune:
        nothing = "No song's row is gone."
        confirm = removal_prompt(yes=yes, dry_run=dry_run, as_json=as_json, nothing=nothing)
    with app.library() as library:
        said = library.overwriting(table)
        if said is not None:
            app.remark(said)
        report = library.ingest_table(table, prune=confirm, genre_tree=tree)
    report_on_table(app, report, as_json=as_json, strict=strict)


def show_audio(
    app: App, sources: Sequence[str], asked: Asked, genres_from: "GenresFrom", *, as_json: bool
) -> None:
    """What audio lies there, and what a data set or its folders and tags say of it; no listening.

    Args:
        app: The command line.
        sources: Folders, or single files.
        asked: What is said of data sets.
        genres_from: Where genres are read.
        as_json: Print one document.
    """
    from cli.progress import progress_for
    from kg.files import normal
    from kg.sources.dataset import LeftOut
    from kg.sources.datasets import describe, find
    from kg.sources.folder import scan

    folders = [normal(Path(source)) for source in sources]
    told = describe(
        scan(folders, genres_from, progress_for(app.quiet)),
        folders,
        asked.source,
        metadata=None if asked.metadata is None else normal(asked.metadata),
        genres=genres_from == "auto",
    )
    content = _Content()
    content.take(told.scan.records)
    content.left_out += [LeftOut(str(one.path), one.reason) for one in told.scan.rejected]
    found = [find(folder, asked.source) for folder in folders]
    names = dict.fromkeys(each.data_set.name for each in found if each and each.form == "audio")
    _print(
        content,
        name=", ".join(names) or "audio",
        title=f"Audio of {', '.join(names)}" if names else "Audio",
        parents=told.parents,
        faults=told.faults,
        remarks=[*told.remarks, UNHEARD],
        as_json=as_json,
    )


def _show(table: "SourceTable", *, as_json: bool) -> None:
    """What a data set holds, read to its end and checked as an ingest does."""
    from kg.genres.tree import check_no_cycle
    from kg.sources.dataset import without_repeats

    check_no_cycle(table.parents)
    content = _Content()
    for batch in without_repeats(table):
        content.left_out += batch.left_out
        content.take(batch.songs)
    _print(
        content,
        name=table.name,
        title=f"Data set {table.name}",
        families={family: len(columns) for family, columns in table.families.items()},
        parents=table.parents,
        faults=table.faults,
        remarks=table.remarks,
        as_json=as_json,
    )


@dataclass(slots=True)
class _Content:
    """What songs are there."""

    genres: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    left_out: "list[LeftOut]" = field(default_factory=list)
    songs: int = 0
    known: int = 0

    def take(self, songs: "Sequence[SongRecord]") -> None:
        """Count some."""
        self.songs += len(songs)
        for song in songs:
            self.genres.update(song.genres)
            self.splits.update([song.split] if song.split else [])
            self.known += song.artist is not None


def _print(
    content: _Content,
    *,
    name: str,
    title: str,
    families: Mapping[str, int] | None = None,
    parents: "Parents",
    faults: Mapping[str, str],
    remarks: Sequence[str],
    as_json: bool,
) -> None:
    from cli.output import print_json, print_table

    genres, splits = content.genres, content.splits
    if as_json:
        print_json(
            {
                "name": name,
                "songs": content.songs,
                "families": families or {},
                "genres": dict(genres.most_common()),
                "splits": dict(splits),
                "artists_known": content.known,
                "genres_in_tree": len(parents),
                "faults": dict(faults),
                "left_out": [asdict(row) for row in content.left_out],
                "remarks": list(remarks),
            }
        )
        return
    named = ", ".join(f"{name} {count:,}" for name, count in genres.most_common(GENRES))
    more = f", {len(genres) - GENRES:,} more" if len(genres) > GENRES else ""
    left = "rows left out" if families else "files left out"
    rows = [
        ("songs", f"{content.songs:,}"),
        ("  of known artists", f"{content.known:,}"),
        ("genres", f"{len(genres):,}: {named}{more}" if genres else "none"),
        *([("genres in its tree", f"{len(parents):,}")] if parents else []),
        *([("sides", ", ".join(f"{k} {v:,}" for k, v in splits.items()))] if splits else []),
        *((f"features {family}", f"{width:,}") for family, width in (families or {}).items()),
        *([(left, f"{len(content.left_out):,}")] if content.left_out else []),
    ]
    print_table(["", ""], rows, title=title, header=False)
    for remark in remarks:
        click.echo(printable(remark))
