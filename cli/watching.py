"""`kg watch`."""

import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.listening import trust_option
from cli.options import App, json_option, pass_app, policy_option

if TYPE_CHECKING:
    from kg.watching.events import WatchEvent


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(), metavar="FOLDER...")
@click.option("--keep", is_flag=True, help="Never remove a song, whatever becomes of its files.")
@click.option(
    "--poll",
    is_flag=True,
    help="Look at everything every few seconds: for network shares, whose changes the system "
    "doesn't tell of, and for more folders than it lets you watch.",
)
@click.option(
    "--settle",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    help="A file that stands still for so long is taken in.",
)
@trust_option
@policy_option
@json_option
@pass_app
def watch(
    app: App,
    folders: tuple[str, ...],
    keep: bool,
    poll: bool,
    settle: float,
    trust_remote_code: bool,
    genre_policy: Path | None,
    as_json: bool,
) -> None:
    """Follow folders: add new songs, follow moved ones, remove deleted ones.

    What changed since the last time comes first. Then one line a song, as it happens, until
    Ctrl-C or SIGTERM ends it; both are exit code 0. With --json each line is one JSON document.

    Files that still grow are waited for. Deleted files take their songs along, but not where more
    than half of a folder's songs go at once (and more than ten), nor where a folder vanishes, or is
    found empty on another disk than before, like one that isn't mounted: it waits until the folder
    is back. Other commands may work meanwhile.

    \b
    Example:
      kg watch ~/Music
      kg watch ~/Music /mnt/nas/music --poll --keep
    """
    from cli.progress import Remarks
    from kg.watching.settling import Patience

    # Nothing is unfinished when it ends: the next one catches up.
    with suppress(KeyboardInterrupt, SystemExit), app.library(genre_policy) as library:
        library.progress = Remarks(library.progress)
        events = library.watch(
            folders,
            poll=poll,
            keep=keep,
            trust_remote_code=trust_remote_code,
            patience=Patience(quiet=settle),
        )
        with closing(events):
            for event in events:
                _print(event, as_json=as_json)


def _print(event: "WatchEvent", *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from cli.output import print_json
    from kg.text import printable

    if as_json:
        from dataclasses import asdict

        print_json({"at": datetime.now(UTC), **asdict(event)}, line=True)
        return
    words = [f"{event.what:9}", *_words(event)]
    about_us = event.what in ("waiting", "going on")
    click.echo(printable("  ".join(words).rstrip()), file=sys.stderr if about_us else sys.stdout)


def _words(event: "WatchEvent") -> list[str]:
    from cli.output import doubted

    name = event.title or str(event.path or "")
    said = [name] if name else []
    if event.what == "added":
        said.append(doubted(event.genres, event.doubt))
    elif event.reason is not None:
        said.append(event.reason)
    elif event.before is not None:
        said.append(f"{event.before} -> {event.path}")
    elif event.path is not None and event.title:
        said.append(str(event.path))
    return said
