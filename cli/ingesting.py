"""`kg ingest`: audio, and the ways to data sets, tables and vectors."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from cli.datasets import (
    Asked,
    data_set_options,
    ingest_data_set,
    show_audio,
    table_of_data_set,
)
from cli.genres import print_tree_report
from cli.listening import (
    embedding_option,
    heard_with,
    offer_musicnn,
    remark_on_ears,
    trust_option,
)
from cli.options import App, json_option, pass_app, strict_option
from cli.playlists import print_playlists, with_playlists
from cli.removing import removal_prompt
from cli.tables import TABLE_ONLY, ingest_table, refuse_options, table_among, table_options
from cli.vectors import ingest_vectors

if TYPE_CHECKING:
    from kg.excerpt import Excerpt
    from kg.graph.rows import Counts
    from kg.intake.audio import IngestReport
    from kg.sources.folder import GenresFrom

# Genres named in a remark; the graph knows them all.
NAMED = 12
# Options that fit what is no folder.
_OF_ALL = ("sources", "source", "genre_tree", "prune", "yes", "dry_run", "strict", "as_json")
_OF_TABLES = (*_OF_ALL, "families", *TABLE_ONLY)
_OF_DATA_SETS = (*_OF_ALL, "metadata", "subset")
GENRE_WORDS = {
    "folder": "the folders' names",
    "tag": "the files' tags",
    "table": "what the data set says",
}


def _excerpt(ctx: click.Context, param: click.Parameter, given: str | None) -> "Excerpt | None":
    """Read seconds, or `full`."""
    from kg.excerpt import as_excerpt

    return None if given is None else as_excerpt(given)


def _scheduler(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    """Read the address of a Dask scheduler."""
    if given is None:
        return None
    try:
        parts = urlsplit(given)
        usable = parts.scheme in ("tcp", "tls") and parts.hostname and parts.port
    except ValueError:  # an open bracket, a port that is no number
        usable = False
    if not usable:
        raise click.BadParameter(
            f"{given!r} is not the address of a Dask scheduler: write it as tcp://HOST:8786 or "
            "tls://HOST:8786."
        )
    return given


@click.command()
@click.argument("sources", nargs=-1, type=click.Path())
@data_set_options
@click.option(
    "--genres-from",
    type=click.Choice(["auto", "folder", "tag", "none"]),
    default="auto",
    show_default=True,
    help="The parent folder's name, the file's tags, or nowhere; auto: folders where they look "
    "like genres, else tags.",
)
@click.option(
    "--excerpt",
    metavar="SECONDS|full",
    callback=_excerpt,
    help="How much of each song is listened to: seconds from its middle, or all. The first ingest "
    "decides for the library; default: 30.",
)
@embedding_option
@trust_option
@click.option(
    "--vectors",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Instead of folders: an NPZ or Parquet file with a vector a song, by id or path, which "
    "songs of the library get as the features --family.",
)
@click.option(
    "--family",
    "families",
    multiple=True,
    metavar="NAME|PATTERN=NAME",
    help="What the features of --vectors are called; of a table, what columns are: 'mfcc*=mfcc', "
    "may be given several times.",
)
@table_options
@click.option(
    "--genre-tree",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Also say what is a kind of what among genres; see `kg genres`.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one a core.")
@click.option(
    "--dask",
    metavar="tcp://HOST:PORT",
    callback=_scheduler,
    help="Listen on the Dask cluster of this scheduler; it sees the folders under the same paths.",
)
@click.option(
    "--prune",
    is_flag=True,
    help="Also remove songs whose files were below these folders and are gone; asks first.",
)
@click.option(
    "--yes", is_flag=True, help="Don't ask, before songs are removed or a table is taken in."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show what is there and what a table would become, or what --prune would remove, and end "
    "there.",
)
@click.option("--playlists", is_flag=True, help="Also take in playlists below these folders.")
@strict_option
@json_option
@pass_app
def ingest(
    app: App,
    sources: tuple[str, ...],
    data_set: Asked,
    genres_from: "GenresFrom",
    excerpt: "Excerpt | None",
    embeddings: tuple[str, ...],
    trust_remote_code: bool,
    vectors: Path | None,
    families: tuple[str, ...],
    columns: dict[str, Any],
    genre_tree: Path | None,
    workers: int | None,
    dask: str | None,
    prune: bool,
    yes: bool,
    dry_run: bool,
    playlists: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Take in audio below folders, a data set or a table: features, similar songs, genres.

    Running it again changes nothing; a run that was cut off goes on where it was.

    GTZAN, FMA, the Million Song Dataset and what is laid out like AudioSet are known by their
    layout: --dry-run shows what is there.

    A table (CSV, TSV, Parquet, NPZ) has one row a song. What its columns are is guessed and shown
    first; on a terminal it asks before it goes on.

    \b
    Example:
      kg ingest ~/Music
      kg ingest genres/ --genres-from folder
      kg ingest ~/Music --embedding musicnn
      kg ingest ~/Music --genre-tree my-genres.txt
      kg ingest ~/Music --prune --dry-run
      kg ingest genres/ --dry-run
      kg ingest ~/Music --playlists
      kg ingest --vectors clap.npz --family clap
      kg ingest fma_metadata/ --subset medium
      kg ingest fma_small/ --metadata fma_metadata/
      kg ingest MillionSongSubset/ --metadata msd_tagtraum_cd2.cls
      kg ingest features.csv --dry-run
      kg ingest features.csv --genre top_genre --features 'mfcc*' --features tempo
    """
    from cli.output import print_json, print_rejected

    tree = None
    if genre_tree is not None:
        from kg.genres.files import read_tree

        tree = read_tree(genre_tree)  # also where nothing is to be written
    how = {
        "prune": prune,
        "yes": yes,
        "dry_run": dry_run,
        "strict": strict,
        "as_json": as_json,
    }
    as_table = bool(families or any(columns.values()))
    found = table = None
    if vectors is None:
        found = table_of_data_set(sources, data_set, as_table=as_table)
    if found is not None:
        refuse_options(_OF_DATA_SETS, "isn't for a data set: leave it out, or add --source table.")
        ingest_data_set(app, found, data_set, tree=tree, **how)
    else:
        table = None if data_set.source == "audio" else table_among(sources)
        if table is None and data_set.source == "table":
            if len(sources) != 1:
                raise click.UsageError("--source table takes one table at a time.")
            table = Path(sources[0])  # whatever it is called; its reader says where it is none
        if vectors is not None or (families and table is None):
            ingest_vectors(app, sources, vectors, families, as_json=as_json)
            return
        if table is not None:
            refuse_options(_OF_TABLES, "is for folders: leave it out with a table.")
            ingest_table(app, table, columns, families, tree=tree, **how)
    if found is not None or table is not None:
        return
    if not sources:
        raise click.UsageError(
            "Name at least one folder, audio file or table, or give --vectors FILE."
        )
    for option in click.get_current_context().command.params:
        if option.name in TABLE_ONLY and columns.get((option.name or "").removesuffix("_column")):
            raise click.UsageError(f"{option.opts[0]} is for tables (.csv, .tsv, .parquet, .npz).")
    if dask is not None and workers is not None:
        raise click.UsageError(
            "--workers counts processes on this machine, --dask uses those of a cluster: "
            "choose one of them."
        )
    if yes and not prune:
        raise click.UsageError("--yes is for tables, and for --prune, which removes songs.")
    if dry_run and not prune:
        show_audio(app, sources, data_set, genres_from, as_json=as_json)
        return
    confirm = None
    if prune:
        nothing = "No song's files are gone."
        confirm = removal_prompt(yes=yes, dry_run=dry_run, as_json=as_json, nothing=nothing)
    with app.library() as library:
        report = library.ingest(
            sources,
            source=data_set.source,
            metadata=data_set.metadata,
            genres_from=genres_from,
            workers=workers,
            excerpt=excerpt,
            dask=dask,
            prune=confirm,
            embeddings=embeddings or None,
            trust_remote_code=trust_remote_code,
            offer=offer_musicnn(app, as_json=as_json),
            genre_tree=tree,
        )
        if report.counts is not None:
            report = with_playlists(app, library, report, sources, wanted=playlists)
    print_rejected(report.rejected, report.rejected_by_reason, report.rejects_file, report.unlisted)
    if as_json:
        print_json(report)
    if report.counts is None:
        raise click.ClickException("No file could be taken in; the reasons are above.")
    if not as_json:
        _print_ingested(report, report.counts)
    if report.playlists is not None:
        print_playlists(app, report.playlists, as_json=as_json)
    for remark in report.remarks:
        app.remark(remark)
    if not report.rebuilt:
        app.remark("Nothing new: clusters and similar songs are as they were.")
    if report.genres_from == "none":
        app.remark(
            "No genres were read: these songs can be predicted, but not learned from."
            + (" --genres-from folder takes the folders' names." if genres_from == "auto" else "")
        )
    else:
        app.remark(f"Genres were read from {GENRE_WORDS[report.genres_from]}.")
    if report.genres_from != "none" and report.counts.genres == 1:
        app.remark("All songs are of one genre: `kg train` needs at least two.")
    if report.tree is not None and not as_json:
        print_tree_report(app, report.tree)
    remark_on_ears(app, report, asked=bool(embeddings))
    if report.few:
        app.remark(f"Genres with a single song can be learned from but not tested: {_few(report)}.")
    if strict and report.rejected:
        raise click.exceptions.Exit(1)


def _print_ingested(report: "IngestReport", counts: "Counts") -> None:
    from cli.output import print_table

    rows = [
        ("songs in the library", counts.songs),
        ("  from these folders", report.taken),
        ("  of them heard before", report.cached),
        ("genres", counts.genres),
        *heard_with(report.embeddings),
        ("clusters of songs that sound alike", counts.clusters),
        ("links between similar songs", counts.relationships["SIMILAR_TO"]),
        ("files left out", len(report.rejected)),
        *([("songs removed", report.pruned)] if report.pruned else []),
    ]
    print_table(["", "count"], rows, title="Ingested")


def _few(report: "IngestReport") -> str:
    listed = ", ".join(report.few[:NAMED])
    more = len(report.few) - NAMED
    return f"{listed} and {more} more" if more > 0 else listed
