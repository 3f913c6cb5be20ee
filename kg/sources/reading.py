"""What readers of other people's files of numbers share: what is wrong with one, in plain words."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psutil

from kg.errors import WrongUsageError
from kg.files import QuietFile, open_file, why_unreadable
from kg.text import printable

# What the song ids may be called, the likeliest first, in whatever case.
KEYS: Final = (
    *("id", "ids", "song", "songs", "key", "keys", "path", "paths"),
    *("file", "files", "filename", "filenames"),
)

LISTED: Final = 6  # names that a sentence lists
LONG: Final = 80  # characters of a name that a sentence repeats

AGAIN: Final = "write it again, or copy it again from where it came"

Kind = Literal["text", "numbers", "vectors", "pickled", "other"]


class UnfitError(Exception):
    """What is wrong with the file, and how to mend it; both without the file's name."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what, self.mend = what, mend


@dataclass(frozen=True, slots=True)
class Field:
    """An array or a column.

    Attributes:
        name: As the file says it.
        kind: Text or numbers, one a song; vectors; pickled objects; or what can't be used.
        type: For sentences.
        rows: Its first dimension; 0 where there is none.
    """

    name: str
    kind: Kind
    type: str
    rows: int


@contextmanager
def opened(path: Path, noun: str, kinds: str, holding: str) -> Iterator[QuietFile]:
    """Open somebody's file, and say in a sentence why it can't be used where it can't.

    Args:
        path: The file.
        noun: What it should be: `file of vectors`.
        kinds: In which formats: `an NPZ or Parquet file`.
        holding: What of: `of song ids or paths and their vectors`.

    Raises:
        WrongUsageError: it can't be read, or an `UnfitError` or `MemoryError` says that it is no
            good.
    """
    name = printable(path)
    try:
        with open_file(path) as stream:
            try:
                yield stream
            finally:
                if stream.error is not None:  # else it would seem to be cut short
                    raise stream.error
    except FileNotFoundError as error:
        raise WrongUsageError(f"There is no file called {name}: name {kinds} {holding}.") from error
    except OSError as error:
        raise WrongUsageError(
            f"The {noun} {name} can't be used: {why_unreadable(error)}; name {kinds} that can be "
            "read."
        ) from error
    except UnfitError as error:
        raise WrongUsageError(
            f"The {noun} {name} can't be used: {error.what}; {error.mend}."
        ) from error
    except MemoryError as error:
        raise WrongUsageError(
            f"The {noun} {name} can't be used: it needs more memory than there is; split it, or "
            "read it on a larger machine."
        ) from error


def file_state(stream: QuietFile) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns."""
    status = os.fstat(stream.fileno())
    return status.st_size, status.st_mtime_ns


def require_memory(size: int) -> None:
    """Let nothing be read that memory can't hold.

    Args:
        size: Bytes that it needs.

    Raises:
        UnfitError: so much isn't free.
    """
    free = psutil.virtual_memory().available
    if size > free:
        raise UnfitError(
            f"it needs {size / 2**30:,.1f} GB of memory and {free / 2**30:,.1f} GB are free",
            "split it, or read it on a larger machine",
        )


def damaged_file(kind: str) -> UnfitError:
    """A file of that kind that is cut short or damaged."""
    return UnfitError(f"as {kind} it is cut short or damaged", AGAIN)


def pickled_field(field: Field) -> UnfitError:
    """An array that only unpickling would read."""
    return UnfitError(
        f"its array {quoted(field.name)} holds Python objects, which are never unpickled as they "
        "may run any code",
        "save the ids as a plain string array, np.array(ids, dtype=str), and vectors as float32",
    )


@contextmanager
def undamaged(kind: str, *damage: type[Exception]) -> Iterator[None]:
    """Say in plain words that the file is damaged."""
    try:
        yield
    except MemoryError:  # some of Arrow's are both
        raise
    except damage as error:
        raise damaged_file(kind) from error


def songs_in_words(count: int) -> str:
    """`one song`, `1,200 songs`."""
    return "one song" if count == 1 else f"{count:,} songs"


def shortened(text: str) -> str:
    """Text on one line, cut where it is long."""
    shown = printable(text)
    return shown if len(shown) <= LONG else f"{shown[: LONG - 1]}…"


def quoted(text: str) -> str:
    """A name as sentences show it."""
    return f"'{shortened(text)}'"


def listed_fields(fields: Sequence[Field]) -> str:
    """Fields with their types, the first of many."""
    shown = [f"{quoted(field.name)} ({field.type})" for field in fields[:LISTED]]
    if len(fields) > LISTED:
        shown.append(f"{len(fields) - LISTED:,} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
