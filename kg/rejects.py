"""Files that did not become songs: summed up by reason, and kept in a file."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kg.errors import KgError
from kg.records import Rejected
from kg.text import printable

# What differs from file to file within one reason: numbers, and names in quotes.
_VARYING: Final = re.compile(r"""(?<!\w)(['"]).*\1(?!\w)|\d+(?:[.,:]\d+)*""")


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

    What an earlier run said of files in other folders stays; of these folders this run knows best.

    Args:
        rejected: Files of this run, and why.
        folders: Where it looked: folders, or single files.
        path: The list.

    Returns:
        The list; None where this run has nothing in it.

    Raises:
        KgError: it can't be written.
    """
    looked = [printable(folder.absolute()) for folder in folders]
    listed = {
        file: reason
        for file, reason in read_rejects(path).items()
        if not any(file == root or file.startswith(root.rstrip(os.sep) + os.sep) for root in looked)
    }
    listed |= {printable(reject.path): printable(reject.reason) for reject in rejected}
    lines = "".join(f"{file}\t{reason}\n" for file, reason in sorted(listed.items()))
    try:
        if lines:
            # Whole or not at all: a full disk must not cost the list that is there.
            half = path.with_suffix(".part")
            half.write_text(lines, encoding="utf-8")
            half.replace(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise KgError(
            f"The list of rejected files can't be written to {path} ({error.strerror}): make room "
            "there, or choose another home with --home DIR or KG_HOME. What was heard is kept: "
            "the same command goes on from here."
        ) from error
    return path if rejected else None


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
