"""`kg playlists`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import App, json_option, pass_app, strict_option
from kg.text import printable

if TYPE_CHECKING:
    from kg import Library
    from kg.intake.audio import IngestReport
    from kg.intake.playlists import PlaylistsReport, StoredPlaylist, Tally

FOUND_BY = {"path": "by path", "key": "by track id", "name": "by artist and title"}


@click.group()
def playlists() -> None:
    """Take in, list and remove playlists.

    Playlists say which songs somebody puts together: `(:Playlist)-[:CONTAINS]->(:Song)`.

    \b
    Example:
      kg playlists add ~/Music/party.m3u8
      kg playlists list
    """


@playlists.command("add")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@strict_option
@json_option
@pass_app
def add_playlists(app: App, files: tuple[str, ...], strict: bool, as_json: bool) -> None:
    """Take in M3U, M3U8 and PLS files, and slices of the Million Playlist Dataset.

    A folder stands for all playlists below it. Entries are found among the songs of the library by
    path, track id, or artist and title; those that may be several songs are named and left out.
    The same playlist again is brought up to date.

    \b
    Example:
      kg playlists add ~/Music/party.m3u8
      kg playlists add ~/Music
      kg playlists add spotify_million_playlist_dataset/data/
    """
    from cli.output import print_json

    with app.library() as library:
        report = library.add_playlists(files)
    if as_json:
        print_json(report)
    print_playlists(app, report, as_json=as_json)
    if report.playlists:
        app.remark("`kg train` lets models learn from them.")
    if not report.playlists or (strict and report.rejected):
        raise click.exceptions.Exit(1)


def print_playlists(app: App, report: "PlaylistsReport", *, as_json: bool) -> None:
    """Say what taking in playlists came to."""
    from cli.output import print_table

    for reject in report.rejected:
        click.echo(f"rejected: {printable(reject.path)}: {printable(reject.reason)}", err=True)
    matched = sum(report.matched.values())
    if not as_json and report.playlists:
        rows = [
            ("playlists", report.playlists),
            ("  of them new", report.new),
            ("entries", report.entries),
            ("  that are songs of the library", matched),
            *((f"    {said}", report.matched.get(by, 0)) for by, said in FOUND_BY.items()),
            ("songs in playlists, each once", report.songs),
        ]
        print_table(["", "count"], rows, title="Playlists")
    if not report.playlists:
        none = (
            f"None of the {report.entries} entries is a song of the library"
            if report.entries
            else "There are no entries in these files"
        )
        click.echo(f"{none}: no playlist was taken in.", err=True)
    missing, several = report.missing, report.ambiguous
    if missing.count:
        app.remark(
            f"{missing.count} of {report.entries} entries name no song of the library: "
            f"{_examples(missing, ', ')}."
        )
    if several.count:
        app.remark(
            f"{several.count} may be one of several songs and were left out: "
            f"{_examples(several, '; ')}."
        )
    for reason, tally in report.others.items():
        app.remark(f"{tally.count} left out, each {reason}: {_examples(tally, ', ')}.")
    if report.empty.count and report.playlists:
        app.remark(
            f"Left out, as no song of the library is in them: {_examples(report.empty, ', ')}."
        )
    if report.removed.count:
        app.remark(f"They were there and are gone now: {_examples(report.removed, ', ')}.")
    if report.labels.count:
        app.remark(
            f"Called after a genre, which makes them labels: {_examples(report.labels, ', ')}. "
            "Models learn nothing from these."
        )


@playlists.command("list")
@json_option
@pass_app
def list_playlists(app: App, as_json: bool) -> None:
    """Show all playlists, and whether their files are still there.

    \b
    Example:
      kg playlists list
    """
    from cli.output import print_json, print_table

    with app.library() as library:
        found = library.playlists()
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("There are no playlists yet: `kg playlists add FILE` takes some in.")
        return
    columns = ["playlist", "songs", "entries", "id", "file"]
    print_table(columns, [_row(each) for each in found], unfolded="id")


@playlists.command()
@click.argument("named", metavar="NAME...", nargs=-1)
@click.option("--gone", is_flag=True, help="All whose files aren't there any more.")
@json_option
@pass_app
def remove(app: App, named: Sequence[str], gone: bool, as_json: bool) -> None:
    """Take playlists out of the library; songs and files stay.

    NAME is a playlist's name, its file, or its id (four digits are enough).

    \b
    Example:
      kg playlists remove party
      kg playlists remove --gone
    """
    from cli.output import print_json

    if not named and not gone:
        raise click.UsageError("Name at least one playlist, or give --gone.")
    with app.library() as library:
        removed = library.remove_playlists(named, gone=gone)
    if as_json:
        print_json(removed)
        return
    for each in removed:
        click.echo(f"Removed playlist {printable(each.name)} ({each.songs} songs).")
    if not removed:
        click.echo("No playlist's file is gone.")


def with_playlists(
    app: App, library: "Library", report: "IngestReport", sources: Sequence[str], *, wanted: bool
) -> "IngestReport":
    """Take in the playlists in folders that were ingested, or say that there are some.

    Args:
        app: Says it.
        library: That took the folders in.
        report: What that came to.
        sources: The folders, or single files.
        wanted: Whether playlists were asked for.

    Returns:
        The report, with what the playlists came to.
    """
    from kg.files import expanded
    from kg.sources.playlists import playlist_files

    folders = [path for path in map(expanded, sources) if path.is_dir()]
    there = playlist_files(folders, []) if wanted else _on_top(folders)
    if wanted and there:
        return replace(report, playlists=library.add_playlists(there))
    if wanted:
        app.remark("There are no playlists in these folders.")
    elif there:
        one = len(there) == 1
        app.remark(
            f"{len(there)} playlist{' lies' if one else 's lie'} in these folders "
            f"({printable(there[0].name)}{'' if one else ', ...'}): --playlists takes "
            f"{'it' if one else 'them'} in, or `kg playlists add FILE`."
        )
    return report


def _on_top(folders: Sequence[Path]) -> list[Path]:
    """Playlists that lie in folders themselves: a remark isn't worth another walk through all."""
    from kg.sources.playlists import kind_of

    found: list[Path] = []
    for folder in folders:
        try:
            found += sorted(filter(kind_of, folder.iterdir()))
        except OSError:  # whoever scanned it has said so
            continue
    return found


def _row(each: "StoredPlaylist") -> tuple[object, ...]:
    file = f"{each.path} (gone)" if each.gone else each.path
    return (each.name, each.songs, each.entries, each.id[:12], file)


def _examples(tally: "Tally", between: str) -> str:
    """A few by name, and how many more."""
    named = between.join(map(printable, tally.examples))
    more = tally.count - len(tally.examples)
    return f"{named} and {more} more" if more else named
