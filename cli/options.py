"""Options that several commands share, and what every command is handed."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from kg.chance import MOST_SEED
from kg.text import printable

if TYPE_CHECKING:
    from kg.genres.levels import Level
    from kg.library import Library
    from kg.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class App:
    """The global options.

    Attributes:
        home: Folder given by `--home`; None: KG_HOME or the default.
        quiet: No progress, no remarks.
        verbose: Log what happens.
        embedded: Use the embedded server even where NEO4J_URI is set (the demo).
    """

    home: Path | None = None
    quiet: bool = False
    verbose: bool = False
    embedded: bool = False

    def settings(self) -> "Settings":
        """The environment's settings, with --home where it was given."""
        from kg.settings import Settings

        return Settings() if self.home is None else Settings(kg_home=self.home)

    @contextmanager
    def library(self, genre_policy: Path | None = None) -> Iterator["Library"]:
        """Open the library, showing progress on stderr.

        Args:
            genre_policy: Which genres are shown; None: as the home folder's says.
        """
        from cli.progress import progress_for
        from kg import Library

        if self.verbose:
            logging.basicConfig(format="%(name)s: %(message)s")
            logging.getLogger("kg").setLevel(logging.DEBUG)
        server: dict[str, Any] = {"neo4j_uri": None} if self.embedded else {}
        if genre_policy is not None:
            server["kg_genre_policy"] = genre_policy
        with Library.open(self.home, progress=progress_for(self.quiet), **server) as library:
            yield library

    def remark(self, text: str) -> None:
        """A line on stderr that is not data; nothing with --quiet."""
        if not self.quiet:
            click.echo(printable(text), err=True)


pass_app = click.make_pass_decorator(App, ensure=True)


def json_option(command: F) -> F:
    """`--json`: one JSON document on stdout and nothing else."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def policy_option(command: F) -> F:
    """`--genre-policy`: which genres are shown and proposed."""
    return click.option(
        "--genre-policy",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Which genres are shown and proposed (docs/genres.md); default: genre-policy.toml in "
        "the home folder. What is stored stays as it is.",
    )(command)


def _level(ctx: click.Context, param: click.Parameter, given: str | None) -> "Level | None":
    """Read a level of the genre tree."""
    from kg.errors import WrongUsageError
    from kg.genres.levels import as_level

    try:
        return None if given is None else as_level(given)
    except WrongUsageError as error:
        raise click.BadParameter(str(error)) from error


def genre_level_option(command: F) -> F:
    """`--genre-level`: which genres of the tree are learned."""
    return click.option(
        "--genre-level",
        metavar="given|top|leaf|N",
        callback=_level,
        help="Which genres of the tree are learned and predicted: as songs have them (where these "
        "have several, with their parents), the top ones, only those without subgenres, or those N "
        "levels down; 1 is the top.",
    )(command)


def seed_option(command: F) -> F:
    """`--seed`: of all chance."""
    return click.option(
        "--seed",
        type=click.IntRange(0, MOST_SEED),
        default=0,
        show_default=True,
        help="Of all chance.",
    )(command)


def device_option(command: F) -> F:
    """`--device`: where nets are trained."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="cpu|cuda|auto",
        help="Where it is trained; auto: on a GPU where there is one.",
    )(command)


def _negatives(
    ctx: click.Context, param: click.Parameter, given: str | None
) -> int | Literal["all"] | None:
    """Read a number of false genres, or `all`."""
    if given is None:
        return None
    if given == "all":
        return "all"
    if not given.isdecimal() or int(given) < 1:
        raise click.BadParameter(f"{given!r} is neither a number of at least 1 nor `all`.")
    return int(given)


def negatives_option(command: F) -> F:
    """`--negatives`: how many false genres a net learns from."""
    return click.option(
        "--negatives",
        metavar="K|all",
        callback=_negatives,
        help="False genres drawn for each true one, or all of them.",
    )(command)


def hidden_option(command: F) -> F:
    """`--hidden`: how wide a net is."""
    return click.option(
        "--hidden",
        type=click.IntRange(min=1),
        help="Width of the net's layers; a narrower one needs less memory.",
    )(command)


def config_option(command: F) -> F:
    """`--config`: settings from a file."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Take settings from a file that `kg tune` wrote; --epochs, --hidden and --negatives "
        "win over it.",
    )(command)


def allow_leaks_option(command: F) -> F:
    """`--allow-leaks`: train on a split that flatters."""
    return click.option(
        "--allow-leaks",
        is_flag=True,
        help="Train even where an artist or a recording is on several sides of the split.",
    )(command)


def strict_option(command: F) -> F:
    """`--strict`: a rejected file fails the command."""
    return click.option("--strict", is_flag=True, help="Exit with 1 if any file was rejected.")(
        command
    )
