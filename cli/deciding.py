"""`kg accept`, `kg reject`, `kg undo` and `kg decisions`: deciding in scripts."""

import io
import sys
from typing import TYPE_CHECKING

import click

from cli.options import App, F, json_option, pass_app
from kg.text import printable

if TYPE_CHECKING:
    from kg.deciding import Asked, DecisionsReport


def _song_and_genre(command: F) -> F:
    song = click.argument("song")
    genre = click.argument("genre", required=False)
    return song(genre(command))


@click.command()
@_song_and_genre
@click.option("--beside", is_flag=True, help="Let the song keep the genres that it has.")
@click.option("--new", is_flag=True, help="Make a genre that nobody has named so far.")
@json_option
@pass_app
def accept(app: App, song: str, genre: str | None, beside: bool, new: bool, as_json: bool) -> None:
    """Give a song a genre by your own word, which no ingest changes.

    SONG is a title, a path, or an id (four digits are enough); - reads songs from stdin, one a
    line, each with a genre of its own behind a tab or not. Without GENRE it is the one that is
    proposed (`kg review`). What the audit disputes goes; where it disputes nothing, all of the
    song's genres. A genre that no song has and no tree names may be misspelled, and is refused
    unless --new. Files stay as they are until `kg write-tags`; `kg undo` takes it back.

    \b
    Example:
      kg accept "So What" jazz
      kg accept "So What" "hard bop" --new
      kg review --json | jq -r '.[] | select(.strength > 0.95) | .song' | kg accept -
    """
    from kg.deciding import decide_all

    asked = _asked(song, genre)
    with app.library() as library:
        report = decide_all(library, asked, accept=True, beside=beside, new=new)
    _print(report, as_json)


@click.command()
@_song_and_genre
@json_option
@pass_app
def reject(app: App, song: str, genre: str | None, as_json: bool) -> None:
    """Say that a genre isn't a song's: it is never proposed for it again.

    SONG is a title, a path, or an id (four digits are enough); - reads songs from stdin, one a
    line, each with a genre of its own behind a tab or not. Without GENRE it is the one that is
    proposed (`kg review`). The song's genres stay as they are; `kg undo` takes it back.

    \b
    Example:
      kg reject "So What" blues
    """
    from kg.deciding import decide_all

    asked = _asked(song, genre)
    with app.library() as library:
        report = decide_all(library, asked, accept=False)
    _print(report, as_json)


@click.command()
@click.argument("song", required=False)
@json_option
@pass_app
def undo(app: App, song: str | None, as_json: bool) -> None:
    """Take back the last decision: a song's genres are what they were before.

    SONG is a title, a path, or an id (four digits are enough): the last decision about that song,
    else the last of all. - reads songs from stdin, one a line. `kg decisions` lists them. Tags that
    `kg write-tags` wrote stay, and it says so.

    \b
    Example:
      kg undo
      kg undo "So What"
    """
    from cli.reviewing import still_tagged
    from kg.deciding import DecisionsReport, undo_all

    asked = [] if song is None else _asked(song)
    with app.library() as library:
        last = song is None
        report = DecisionsReport([library.undo()], ()) if last else undo_all(library, asked)
        tagged = [still_tagged(library, each) for each in report.decisions]
    try:
        _print(report, as_json)
    finally:
        for said in filter(None, tagged):
            app.remark(printable(said))


@click.command()
@json_option
@pass_app
def decisions(app: App, as_json: bool) -> None:
    """List what was accepted and rejected, the newest first.

    What was undone isn't among it.

    \b
    Example:
      kg decisions --json
    """
    from cli.output import local, print_json, print_table

    with app.library() as library:
        found = library.decisions()
    if as_json:
        print_json(found)
        return
    if not found:
        app.remark("Nothing was decided yet: `kg review` shows what waits for your word.")
        return
    artists = any(each.artist for each in found)
    rows = [
        (
            local(each.decided_at),
            each.title or each.song[:12],
            *([each.artist] if artists else []),
            each.genre,
            each.state,
            ", ".join(each.was),
            ", ".join(each.filed),
        )
        for each in found
    ]
    by = ["artist"] if artists else []
    print_table(["when", "song", *by, "genre", "decision", "genres before", "now"], rows)


def _asked(song: str, genre: str | None = None) -> "list[Asked]":
    """What to decide about: one song, or those on stdin."""
    from kg.deciding import Asked, read_asked

    if song != "-":
        return [Asked(song, genre)]
    if sys.stdin.isatty():
        click.echo("Reading songs from the terminal, one a line; Ctrl-D ends.", err=True)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # paths may hold any bytes
    return read_asked(sys.stdin, genre)


def _print(report: "DecisionsReport", as_json: bool) -> None:
    from cli.output import print_json
    from cli.reviewing import in_words

    if as_json:
        print_json(report)
    else:
        for decision in report.decisions:
            click.echo(printable(in_words(decision)))
    for each in report.refused:
        click.echo(f"line {each.line}: {printable(each.reason)}", err=True)
    if report.refused:
        raise click.exceptions.Exit(1)
