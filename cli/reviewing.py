"""`kg review`: the owner looks at what is proposed, song by song, and decides."""

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import App, json_option, pass_app, policy_option
from cli.playing import as_command, play
from kg.text import printable, unstored

if TYPE_CHECKING:
    from kg.graph.proposals import Decision, Proposal
    from kg.library import Library

KINDS = ("label", "prediction", "suggestion")
# Pieces of evidence that are shown for each genre.
PIECES = 3

HELP = """\
  a  accept: it is the song's genre from now on
  b  accept it beside the genres that the song has
  r  reject: it is never proposed for this song again
  s  skip: decide another time (also space and Enter)
  g  give the song another genre, whose name you type
  p  play the song
  w  why: what speaks for the genres in the model's eyes
  u  undo the last decision of this review
  q  quit; what was decided stays decided"""


@click.command()
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    help="Only disputed labels, only what the model, or only what tags say of songs without a "
    "genre.",
)
@click.option("--player", metavar="PROGRAM", help="What plays songs; default: the system's player.")
@policy_option
@json_option
@pass_app
def review(
    app: App, kind: str | None, player: str | None, genre_policy: Path | None, as_json: bool
) -> None:
    """Decide about the genres that are proposed, song by song.

    Proposed are labels that an audit takes for wrong (`kg audit`), then what the model and what
    tags say of songs without a genre; the surest first. Keys accept, reject, skip, play and undo;
    ? lists them. An accepted genre is your own word: no ingest changes it, `kg train` learns from
    it, and files stay as they are until `kg write-tags`. Each decision is kept at once. Where no
    terminal is there to answer, and with --json, the proposals are printed and nothing is decided.

    \b
    Example:
      kg review
      kg review --kind label --player mpv
    """
    from cli.output import print_json

    if player is not None:
        as_command(player)
    with app.library(genre_policy) as library:
        waiting = [each for each in library.proposals() if kind in (None, each.kind)]
        if as_json:
            print_json(waiting)
        elif not waiting:
            app.remark(
                "No genre waits for your word. `kg audit` looks for labels that may be "
                "wrong; `kg train` tells genres of songs without one."
            )
        elif sys.stdin.isatty() and sys.stderr.isatty():
            Review(library, waiting, player).run()
        else:
            _print_all(waiting)
            app.remark(
                "No terminal is there to decide at: nothing was decided. `kg accept` and "
                "`kg reject` decide in scripts."
            )


class Review:
    """A walk through proposals at a terminal; all it says goes to stderr.

    Args:
        library: Whose songs they are.
        waiting: What is proposed, in order.
        player: What plays songs; None: the system's.
    """

    def __init__(self, library: "Library", waiting: "list[Proposal]", player: str | None) -> None:
        self._library = library
        self._waiting = waiting
        self._player = player
        self._at = 0
        self._decided: list[tuple[int, Decision]] = []
        self._skipped = self._late = 0
        self._keys: dict[str, Callable[[Proposal], bool]] = {
            "a": self._accept,
            "b": self._accept_beside,
            "r": self._reject,
            "s": self._skip,
            "g": self._give,
            "p": self._play,
            "w": self._explain,
            "u": self._undo,
            "?": self._help,
        }

    def run(self) -> None:
        """Go through all of them, or until the owner quits; then sum up on stdout."""
        from kg.graph.decisions import still_open

        try:
            while self._at < len(self._waiting):
                proposal = self._waiting[self._at]
                if not still_open(self._library.connection, proposal):
                    self._late += 1
                    self._at += 1
                    continue
                self._show(proposal)
                if not self._ask(proposal):
                    break
        finally:
            self._sum_up()

    def _ask(self, proposal: "Proposal") -> bool:
        """Do what keys say until the song is done with; False: the owner quits."""
        while True:
            beside = "[b]eside " if proposal.filed else ""
            _say(f"[a]ccept {beside}[r]eject [s]kip [g]enre [p]lay [w]hy [u]ndo [q]uit [?] ", False)
            try:
                key = click.getchar().lower()
            except EOFError:
                key = "q"
            _say(printable(key) if key.isprintable() else "")
            if key in ("q", "\x04"):
                return False
            act = self._keys.get("s" if key in (" ", "\r", "\n") else key, self._help)
            if self._try(act, proposal):
                return True

    def _try(self, act: "Callable[[Proposal], bool]", proposal: "Proposal") -> bool:
        from kg.errors import GraphError, KgError
        from kg.graph.proposals import DecidedError

        try:
            return act(proposal)
        except GraphError:
            raise
        except DecidedError as error:
            _say(str(error))
            self._late += 1
            self._at += 1
            return True
        except KgError as error:
            _say(str(error))
            return False

    # --- keys: each says whether the song is done with ------------------------------------------

    def _accept(self, proposal: "Proposal") -> bool:
        done = self._library.accept(proposal.song, proposal.genre, proposal=proposal)
        return self._done(done)

    def _accept_beside(self, proposal: "Proposal") -> bool:
        done = self._library.accept(proposal.song, proposal.genre, replaces=(), proposal=proposal)
        return self._done(done)

    def _reject(self, proposal: "Proposal") -> bool:
        done = self._library.reject(proposal.song, proposal.genre, proposal=proposal)
        return self._done(done)

    def _skip(self, proposal: "Proposal") -> bool:
        self._skipped += 1
        self._at += 1
        return True

    def _give(self, proposal: "Proposal") -> bool:
        from kg.graph.proposals import UnknownGenreError

        told = [proposal.genre, *(genre for genre, _ in proposal.others)]
        name = click.prompt(
            f"Genre ({printable(', '.join(told))}; empty: none of them)",
            default="",
            show_default=False,
            err=True,
        ).strip()
        if not name:
            return False
        # What an audit wants to replace goes, as with its own genre; it may replace none.
        replaces = proposal.replaces if proposal.kind == "label" else None
        seen = replace(proposal, kind="hand")

        def accept(new: bool) -> "Decision":
            return self._library.accept(
                proposal.song, name, replaces=replaces, proposal=seen, new=new
            )

        try:
            return self._done(accept(new=False))
        except UnknownGenreError as unknown:
            meant = f" Did you mean {' or '.join(unknown.near)}?" if unknown.near else ""
            _say(f"No song has the genre {name} yet.{meant}")
        return click.confirm("Make it a new genre?", err=True) and self._done(accept(new=True))

    def _play(self, proposal: "Proposal") -> bool:
        path = _file(proposal)
        if path is None:
            _say("There is no file to play.")
        else:
            play(path, self._player)
            _say(f"Playing {path.name}.")
        return False

    def _explain(self, proposal: "Proposal") -> bool:
        found = self._library.explain(proposal.song, named=PIECES)
        for told in found.explained:
            _say(f"Why {told.genre}:")
            for piece in told.named:
                _say(f"  {100 * piece.share:+.0f} %  {piece.words}")
        return False

    def _undo(self, proposal: "Proposal") -> bool:
        if not self._decided:
            _say("Nothing was decided in this review; `kg undo` takes back earlier decisions.")
            return False
        at, last = self._decided[-1]
        undone = self._library.undo(last.song)
        _say(in_words(undone))
        if (tagged := still_tagged(self._library, undone)) is not None:
            _say(tagged)
        self._decided.pop()
        self._at = at
        return True

    def _help(self, proposal: "Proposal") -> bool:
        _say(HELP, escaped=False)
        return False

    # --- what is shown ---------------------------------------------------------------------------

    def _done(self, decision: "Decision") -> bool:
        self._decided.append((self._at, decision))
        _say(in_words(decision))
        self._at += 1
        return True

    def _show(self, proposal: "Proposal") -> None:
        from kg.asking.wording import title

        _say("")
        on = f", on {proposal.album}" if proposal.album else ""
        name = title(proposal.title or proposal.song[:12], proposal.artist)
        _say(f"{self._at + 1} of {len(self._waiting)}: {name}{on}")
        _say(f"  {_place(proposal)}")
        _say(f"  filed under {', '.join(proposal.filed) or 'no genre'}")
        _say(f"  proposed: {_change(proposal)}")
        _say_wrapped(_evidence(proposal))

    def _sum_up(self) -> None:
        counts = Counter(decision.state for _, decision in self._decided)
        left = len(self._waiting) - self._at
        parts = [
            f"{counts['accepted']} accepted, {counts['rejected']} rejected, {self._skipped} skipped"
        ]
        if self._late:
            parts.append(f"{self._late} decided by somebody else meanwhile")
        parts.append(f"{left} left")
        click.echo(f"{', '.join(parts)}.")
        if counts["accepted"]:
            _say("`kg train` learns from what was accepted; `kg write-tags` shows it for files.")


def _print_all(waiting: "list[Proposal]") -> None:
    from cli.output import print_table

    rows = [
        (
            each.title or each.song[:12],
            each.artist,
            ", ".join(each.filed),
            _change(each),
            _evidence(each),
            each.song[:12],
        )
        for each in waiting
    ]
    print_table(["song", "artist", "filed under", "proposed", "why", "id"], rows)


def _change(proposal: "Proposal") -> str:
    """The genre that is proposed, and what becomes of the others."""
    if proposal.genre in proposal.filed:
        return f"{proposal.genre} alone, without {', '.join(proposal.replaces)}"
    if proposal.replaces:
        return f"{proposal.genre} instead of {', '.join(proposal.replaces)}"
    beside = f" beside {', '.join(proposal.filed)}" if proposal.filed else ""
    return f"{proposal.genre}{beside}"


def _evidence(proposal: "Proposal") -> str:
    from cli.output import percent

    sure = percent(proposal.strength)
    others = ", ".join(f"{genre} {_of(proposal, value)}" for genre, value in proposal.others)
    rest = f", then {others}" if others else ""
    if proposal.kind == "label":
        filed, old = proposal.filed_strength, " and ".join(proposal.replaces)
        against = f", and {old} for {percent(filed)}" if old and filed is not None else ""
        because = f": {proposal.evidence}" if proposal.evidence else ""
        return f"the audit takes it for {sure} probable{against}{because}"
    if proposal.kind == "prediction":
        return f"the model takes it for {sure} probable{rest}"
    return f"tags say so by {proposal.strength:.2f} of 1{rest}"


def _of(proposal: "Proposal", value: float) -> str:
    from cli.output import percent

    return f"{value:.2f}" if proposal.kind == "suggestion" else percent(value)


def _file(proposal: "Proposal") -> Path | None:
    """The first of a song's files that is there."""
    for path in proposal.paths:
        for spelled in (Path(path), Path(unstored(path))):
            try:
                if spelled.is_file():
                    return spelled
            except OSError:
                continue
    return None


def _place(proposal: "Proposal") -> str:
    found = _file(proposal)
    if found is not None:
        return printable(found)
    if proposal.paths:
        return f"{proposal.paths[0]} (its file is gone)"
    return "no file: it is a row of a table"


def in_words(decision: "Decision") -> str:
    """A decision in a line: what was decided, and what the song's genres are now."""
    name = f'"{decision.title}"' if decision.title else decision.song[:12]
    did = "decision undone" if decision.state == "open" else decision.state
    before, after = (
        ", ".join(genres) or "no genre" for genres in (decision.before, decision.after)
    )
    change = f"filed under {after}"
    if after != before:
        change += f" now, under {before} before"
    return f"{name}: {decision.genre} {did}; {change}"


def still_tagged(library: "Library", undone: "Decision") -> str | None:
    """That a song's files name another genre than it has after an undo, and what mends it."""
    if undone.before == undone.after:
        return None
    tagged = library.written_tags(undone.song)
    if tagged is None or {*tagged.genres} == {*undone.after}:
        return None
    files = tagged.paths[0] + (f" and {len(tagged.paths) - 1} more" if tagged.paths[1:] else "")
    said = f"`kg write-tags` wrote {', '.join(tagged.genres)} into {files}, which stays"
    if tagged.last:
        all_of = "it" if tagged.files == 1 else f"all {tagged.files} files of that run"
        return f"{said}: `kg write-tags --undo` restores {all_of}."
    return (
        f"{said}: accept the genre that it is to name, then `kg write-tags {undone.song[:12]} "
        "--write`."
    )


def _say_wrapped(text: str) -> None:
    """Say a sentence, further in, on as many lines as the terminal needs."""
    width = shutil.get_terminal_size().columns
    for line in textwrap.wrap(printable(text), max(width - 2, 20), break_on_hyphens=False):
        _say(f"  {line}", escaped=False)


def _say(text: str, newline: bool = True, *, escaped: bool = True) -> None:
    click.echo(printable(text) if escaped else text, err=True, nl=newline)
