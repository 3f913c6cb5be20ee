"""`kg`: the command group, its global options and how errors become exit codes."""

import contextlib
import io
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from cli.asking import query
from cli.auditing import audit
from cli.comparing import compare
from cli.deciding import accept, decisions, reject, undo
from cli.demo import demo
from cli.experiments import experiments
from cli.explaining import explain, similar
from cli.exploring import explore
from cli.genres import genres
from cli.ingesting import ingest
from cli.inspecting import inspect
from cli.learning import predict, train
from cli.library import add, status
from cli.measuring import evaluate
from cli.moving import dump, export, load, server
from cli.options import App
from cli.playlists import playlists
from cli.removing import forget
from cli.reporting import report
from cli.reviewing import review
from cli.saved_models import models
from cli.suggesting import suggest_genres
from cli.tagging import write_tags
from cli.tuning import tune
from cli.watching import watch
from kg._version import __version__
from kg.errors import KgError
from kg.text import printable

SECTIONS = {
    "First steps": ["demo"],
    "Library": ["ingest", "add", "watch", "forget", "playlists", "genres", "status", "inspect"],
    "Learning": ["train", "predict", "evaluate", "compare", "experiments", "tune", "models"],
    "Asking": ["query", "explain", "similar", "suggest-genres", "audit", "report", "explore"],
    "Deciding": ["review", "accept", "reject", "undo", "decisions", "write-tags"],
    "Moving": ["server", "export", "dump", "load"],
}


class Sections(click.Group):
    """A group whose help lists commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list a section."""
        for section, names in SECTIONS.items():
            commands = [(name, self.commands[name]) for name in names]
            with formatter.section(section):
                formatter.write_dl(
                    [(name, command.get_short_help_str(120)) for name, command in commands]
                )


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for cache, checkpoints and the embedded server (or KG_HOME).",
)
@click.option("--quiet", is_flag=True, help="No progress and no remarks.")
@click.option("--verbose", is_flag=True, help="Log what happens.")
@click.version_option(__version__, prog_name="kg")
@click.pass_context
def cli(ctx: click.Context, home: Path | None, quiet: bool, verbose: bool) -> None:
    """Know, query and trust the genres in a music library.

    Songs, feature clusters and genres become a graph in Neo4j (or in the embedded server, which
    is the default); a graph neural network learns to predict genres; Cypher asks the questions.

    \b
    Example:
      kg demo
      kg ingest ~/Music && kg train
      kg query "MATCH (s:Song)-[:PREDICTED_GENRE {rank: 1}]->(g:Genre) RETURN s.title, g.name"
    """
    ctx.obj = App(home, quiet, verbose)


for command in (
    *(demo, ingest, add, watch, forget, playlists, genres, status, inspect),
    *(train, predict, evaluate, compare, tune),
    *(experiments, models, query, explain, similar, suggest_genres, audit, report),
    explore,
    *(review, accept, reject, undo, decisions, write_tags, server, export, dump, load),
):
    cli.add_command(command)

# No path or name that somebody means is longer.
_ENDLESS = re.compile(r"\S{300,}")


def main() -> None:
    """Run `kg`: exit with 0 when done, 1 when it failed, 2 for wrong usage, 130 after Ctrl-C."""
    for ending in ("SIGTERM", "SIGHUP"):
        # Leave as after Ctrl-C: an embedded server that only this command uses must stop too.
        number = getattr(signal, ending, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores it
            signal.signal(number, _leave)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("r+"))  # noqa: SIM115 - stays open
    for stream in (sys.stdout, sys.stderr):
        # Titles hold any script, a terminal or a pipe need not take it.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        # A command's own exit code comes back from `ctx.exit`, None means that it is done.
        code = cli.main(prog_name="kg", standalone_mode=False) or 0
        sys.stdout.flush()
    except KgError as error:
        click.echo(f"Error: {_readable(str(error))}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(_readable(shown.getvalue()), nl=False, err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            "Interrupted. Run the same command again; `kg status` says what is unfinished.",
            err=True,
        )
        code = 130
    except OSError as error:
        # A full disk, output that nobody reads: nothing of ours to mend, so no traceback either.
        where = f": {printable(error.filename)}" if error.filename else ""
        click.echo(_readable(f"Error: {error.strerror or error}{where}."), err=True)
        with contextlib.suppress(io.UnsupportedOperation):  # no file: nothing that could be flushed
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _readable(message: str) -> str:
    """A message whose endless words (a path, whatever was typed) are cut in their middle."""
    return _ENDLESS.sub(lambda word: f"{word[0][:140]}\u2026{word[0][-140:]}", message)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
