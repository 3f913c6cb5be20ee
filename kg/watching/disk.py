"""What is on the disk now, and how the database spells where it is."""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from kg.files import content_id, why_unreadable
from kg.sources.folder import is_hidden
from kg.text import storable, unstored
from kg.watching.settling import Stamp


def stamp_of(path: str) -> Stamp | None:
    """What is at a path now; None: no file, or none that can be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 - paths are strings here, by the hundred thousand
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)


def identity(folder: Path) -> tuple[int, int] | None:
    """Which folder this is: where another disk is mounted, it is another one. None: none."""
    try:
        found = folder.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def read_id(path: str) -> tuple[str | None, str | None]:
    """The content id of a file, or why it has none."""
    try:
        return content_id(Path(path)), None
    except OSError as error:
        return None, why_unreadable(error)


def below(folders: Iterable[Path]) -> Callable[[str], bool]:
    """What tells whether a path lies below one of these folders."""
    roots = tuple(f"{os.fspath(each).rstrip(os.sep)}{os.sep}" for each in folders)
    return lambda path: path.startswith(roots)


def is_hidden_below(path: str, folder: Path) -> bool:
    """Whether a file, or a folder between, is hidden."""
    return any(map(is_hidden, Path(path).relative_to(folder).parts))


def as_stored(path: str) -> str:
    """A path as the database spells it."""
    return str(storable(path))


def as_named(stored: str) -> str:
    """A path as Python holds it, from the database's spelling."""
    return stored if os.path.lexists(stored) else unstored(stored)
