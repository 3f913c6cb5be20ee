"""Files that a user names for us to write: whether one can be, and writing it whole or not."""

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kg.errors import WrongUsageError
from kg.files import expanded
from kg.text import printable

# Of a name's at most 255 bytes; four a character.
_NAME_CHARACTERS = 40


def check_target(path: Path, what: str) -> Path:
    """Whether a file can be written there, before any work.

    Args:
        path: What the user named; what a link leads to is written, and the link stays.
        what: For what: `the settings`.

    Returns:
        The same with the home folder for `~`.

    Raises:
        WrongUsageError: the folder is missing or can't be written to, no file can be called so, or
            there is something that is no file, such as a device.
    """
    path = expanded(path)
    name = printable(path)
    try:
        target = path.resolve(strict=False)
        there, linked = _kind(target), path.is_symlink()
        if there is not None and stat.S_ISDIR(there):
            raise WrongUsageError(f"{name} is a folder: name a file for {what}.")
        if there is not None and not stat.S_ISREG(there):
            raise WrongUsageError(
                f"{name} is no file but a device or pipe: name a file for {what}."
            )
        if not target.parent.is_dir():
            raise WrongUsageError(
                f"There is no folder {printable((target if linked else path).parent)} for {what}: "
                "make it first."
            )
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else _why(error)
        raise WrongUsageError(
            f"{name} can't be written ({why}): name another file for {what}."
        ) from error
    return path


def _why(error: Exception) -> str:
    # Of a link that leads back to itself, Python before 3.13 says RuntimeError.
    return "a link that leads back to itself" if isinstance(error, RuntimeError) else str(error)


def _kind(path: Path) -> int | None:
    """What is there, as `stat` says it; None: nothing.

    Raises:
        OSError: nothing can be called so, or it can't be looked at.
    """
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def appearing(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A file that takes its name when all is written, or leaves nothing behind.

    Args:
        path: From `check_target`.
        private: Nobody else may read it.

    Raises:
        OSError: it can't be written.
    """
    target = path.resolve()
    part = target.with_name(f".{target.name[:_NAME_CHARACTERS]}-{secrets.token_hex(6)}.part")
    number = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600 if private else 0o666)
    try:
        with os.fdopen(number, "w+b") as file:
            if not private and target.exists():  # who may read it stays as it was
                part.chmod(stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
