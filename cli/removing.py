"""`kg forget`, and how songs that are to go are shown and confirmed."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

import click

from cli.options import App, F, json_option, pass_app

if TYPE_CHECKING:
    from kg.removal import Removal

# Songs that are named one by one; --json names them all.
LISTED = 20


def removal_options(command: F) -> F:
    """`--yes` and `--dry-run`: songs go unasked, or not at all."""
    yes = click.option("--yes", is_flag=True, help="Remove without asking.")
    dry_run = click.option("--dry-run", is_flag=True, help="Show what would go, and end there.")
    return yes(dry_run(command))


def removal_prompt(
    *, yes: bool, dry_run: bool, as_json: bool, nothing: str
) -> "Callable[[Removal], None]":
    """What shows songs that are to go, and asks; it leaves the command where the answer is no.

    Args:
        yes: Don't ask.
        dry_run: Show, and leave.
        as_json: A dry run prints a document.
        nothing: What to say where no song is to go.

    Raises:
        click.UsageError: nobody is there to be asked.
    """
    if yes and dry_run:
        raise click.UsageError("--yes removes and --dry-run doesn't: choose one of them.")
    if not (yes or dry_run or sys.stdin.isatty()):
        raise click.UsageError(
            "This asks before it removes songs, and nobody can answer here: add --yes, or look "
            "with --dry-run first."
        )

    def confirm(removal: "Removal") -> None:
        from cli.output import print_json

        if dry_run and as_json:
            print_json(removal)
        elif not removal.songs:
            click.echo(nothing, err=True)
        else:
            # What is only shown is the answer; what is asked about isn't.
            _show(removal, sys.stdout if dry_run else sys.stderr)
        if dry_run:
            raise click.exceptions.Exit(0)
        many = len(removal.songs)
        if many and not yes:
            songs = "this song" if many == 1 else f"these {many} songs"
            if not click.confirm(f"Remove {songs}? The files stay.", err=True):
                click.echo("Nothing was changed.", err=True)
                raise click.exceptions.Exit(1)

    return confirm


def _show(removal: "Removal", to: TextIO) -> None:
    from cli.output import print_table

    rows: list[Sequence[object]] = [
        (song.title, song.artist, song.path or song.key or song.id)
        for song in removal.songs[:LISTED]
    ]
    print_table(["song", "artist", "file or row"], rows, title="To be removed", to=to)
    more = len(removal.songs) - LISTED
    if more > 0:
        click.echo(f"and {more} more songs (--dry-run --json lists them all)", file=to)
    counts = [("songs", len(removal.songs)), *removal.relationships.items()]
    print_table(["", "count"], counts, to=to)
    if removal.genres:
        from kg.text import printable

        names = ", ".join(map(printable, removal.genres))
        click.echo(f"Genres that are left without songs go too: {names}.", file=to)


@click.command()
@click.argument("songs", nargs=-1, required=True, metavar="SONG...")
@removal_options
@json_option
@pass_app
def forget(app: App, songs: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Remove songs from the library with all that hangs on them.

    SONG is a title, a path, or an id (four digits are enough). It shows what goes and asks. Files
    are never touched: what still lies in a folder comes back when that is ingested again.

    \b
    Example:
      kg forget "So What" --dry-run
      kg forget old-demo.mp3 --yes
    """
    from cli.output import print_json

    confirm = removal_prompt(yes=yes, dry_run=dry_run, as_json=as_json, nothing="No song goes.")
    with app.library() as library:
        removal = library.forget(songs, confirm=confirm)
    if as_json:
        print_json(removal)
        return
    many = len(removal.songs)
    click.echo(f"Forgot {many} {'song' if many == 1 else 'songs'}.")
    app.remark("The next `kg ingest` or `kg train` makes clusters and similar songs anew.")
