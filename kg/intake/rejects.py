"""Files that did not become songs: summed up by reason, and kept in a file."""

import errno
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kg.errors import KgError
from kg.graph.locks import FileLock
from kg.records import Rejected
from kg.text import printable

# What differs from file to file within one reason: numbers, and names in quotes.
_VARYING: Final = re.compile(r"""(?<!\w)(['"]).*\1(?!\w)|\d+(?:[.,:]\d+)*""")

# What `printable` makes of characters that no line can hold.
_ESCAPE: Final = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|[tnr])")
_SHORT: Final = {"t": "\t", "n": "\n", "r": "\r"}

_GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for which files were left out.

    Attributes:
        reason: In plain words.
        files: How many.
        example: One of them.
    """

    reason: str
    files: int
    example: Path


def by_reason(rejected: Sequence[Rejected]) -> list[Reason]:
    """Sum up, the commonest reason first.

    Reasons that only differ in a name, a number or what stands in brackets are one.
    """
    alike: dict[str, list[Rejected]] = {}
    for reject in rejected:
        alike.setdefault(_gist(reject.reason), []).append(reject)
    reasons = [
        # Where all say the same, they may say it in full.
        Reason(
            group[0].reason if len({one.reason for one in group}) == 1 else gist,
            len(group),
            group[0].path,
        )
        for gist, group in alike.items()
    ]
    return sorted(reasons, key=lambda reason: -reason.files)


def _gist(reason: str) -> str:
    return re.split(r" ?\(|: ", _VARYING.sub("…", reason), maxsplit=1)[0]


def write_rejects(rejected: Sequence[Rejected], folders: Sequence[Path], path: Path) -> Path | None:
    """Keep the list of files that did not become songs: path, tab, reason, one a line.

    What an earlier run said of files in other folders stays while they are there; of these folders
    this run knows best. Several runs may keep one list.

    Args:
        rejected: Files of this run, and why.
        folders: Where it looked: folders, or single files.
        path: The list.

    Returns:
        The list; None where this run has nothing in it.

    Raises:
        KgError: it can't be written, or what is there can't be read.
    """
    try:
        with _alone(path.with_suffix(".lock")):
            roots = [printable(folder.absolute()) for folder in folders]
            listed = {
                file: reason
                for file, reason in read_rejects(path).items()
                if not _below(file, roots) and _is_there(file)
            }
            listed |= {printable(reject.path): printable(reject.reason) for reject in rejected}
            _write(listed, path)
    except OSError as error:
        raise KgError(
            f"The list of rejected files can't be written to {printable(path)} ({error.strerror}): "
            "make room there, or choose another home with --home DIR or KG_HOME."
        ) from error
    return path if rejected else None


def _alone(lock: Path) -> AbstractContextManager[object]:
    """Let one run at a time read the list and write it."""
    # Windows has no such locks: there the later of two runs wins.
    return nullcontext() if sys.platform == "win32" else FileLock(lock)


def _below(file: str, roots: Sequence[str]) -> bool:
    return any(file == root or file.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def _is_there(file: str) -> bool:
    """Whether a file of the list exists, or can't be looked for."""
    # What `printable` escaped may have been a byte that isn't Unicode, or a control character.
    as_byte = _ESCAPE.sub(lambda found: _unescaped(found[1], 0x80), file)
    as_character = _ESCAPE.sub(lambda found: _unescaped(found[1], 0xA0), file)
    return any(map(_exists, dict.fromkeys((file, as_byte, as_character))))


def _unescaped(escape: str, bytes_from: int) -> str:
    if escape in _SHORT:
        return _SHORT[escape]
    code = int(escape[1:], 16)
    return chr(code + 0xDC00 if escape[0] == "x" and code >= bytes_from else code)


def _exists(file: str) -> bool:
    try:
        os.lstat(file)
    except OSError as error:
        return error.errno not in _GONE  # else it can't be looked for now
    except ValueError:  # no file can be called so
        return False
    return True


def _write(listed: Mapping[str, str], path: Path) -> None:
    if not listed:
        path.unlink(missing_ok=True)
        return
    # Whole or not at all: a full disk must not cost the list that is there.
    half = path.with_suffix(f".{os.getpid()}.part")
    try:
        half.write_text(
            "".join(f"{file}\t{reason}\n" for file, reason in sorted(listed.items())),
            encoding="utf-8",
        )
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def read_rejects(path: Path) -> Mapping[str, str]:
    """The list that `write_rejects` keeps, file to reason; empty without one.

    Raises:
        KgError: it can't be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise KgError(
            f"{path}, the list of rejected files, can't be read ({error}): remove it."
        ) from error
    return {file: reason for file, _, reason in (line.partition("\t") for line in lines) if reason}
