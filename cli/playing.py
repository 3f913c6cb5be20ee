"""A song is played by the system's own player, or by one that is named."""

import shlex
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from kg.errors import KgError, WrongUsageError


def as_command(player: str) -> Sequence[str]:
    """A player and its options, as a shell reads them.

    Raises:
        WrongUsageError: there is an open quote, or nothing.
    """
    try:
        command = shlex.split(player)
    except ValueError as error:
        raise WrongUsageError(f"--player {player!r} can't be read: {error}.") from error
    if not command:
        raise WrongUsageError("--player needs a program: --player mpv.")
    return command


def play(path: Path, player: str | None = None) -> None:
    """Begin to play a file, and don't wait for its end.

    Args:
        path: Absolute, so that no name is taken for an option.
        player: A program with its options; None: what the system opens such files with.

    Raises:
        KgError: there is no such program.
        WrongUsageError: `player` can't be read.
    """
    if player is None:
        if click.launch(str(path)) != 0:
            raise KgError(
                "This system has no player to open it with: name one with --player, such as "
                "--player mpv."
            )
        return
    command = as_command(player)
    try:
        process = subprocess.Popen(
            [*command, str(path)],
            stdin=subprocess.DEVNULL,  # keys are for the review
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C too
        )
    except OSError as error:
        raise KgError(f"{command[0]!r} can't be started ({error.strerror}).") from error
    threading.Thread(target=process.wait, daemon=True).start()  # for its end, which is nobody's
