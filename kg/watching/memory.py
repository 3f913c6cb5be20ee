"""What was at every path when it was last looked at, kept in the home folder between runs.

It only spares work (hashing unchanged files): without it, all is found out anew.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kg.outputs import appearing
from kg.watching.disk import below
from kg.watching.settling import Stamp

log = logging.getLogger(__name__)

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Known:
    """What a file is: a song by its content id, or (None) one that can't be read."""

    stamp: Stamp
    id: str | None


class Memory:
    """Files by path. A new path is always read: numbers on the disk are given out again."""

    def __init__(self) -> None:
        self.unsaved = False
        self._files: dict[str, Known] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._files))

    def get(self, path: str) -> Known | None:
        """What was last seen at a path."""
        return self._files.get(path)

    def put(self, path: str, known: Known) -> None:
        """Remember what is at a path."""
        before = self._files.get(path)
        self._files[path] = known
        if before is None or _kept(before) != _kept(known):
            self.unsaved = True

    def drop(self, path: str) -> None:
        """Nothing is there any more."""
        if self._files.pop(path, None) is not None:
            self.unsaved = True

    def load(self, file: Path) -> None:
        """Add what an earlier run kept; a file that is damaged is as good as none."""
        try:
            document = json.loads(file.read_text("utf-8"))
            if document["version"] != _VERSION:
                return
            found = {
                path: Known(Stamp(*map(int, numbers)), id)
                for path, (*numbers, id) in document["files"].items()
            }
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s can't be read, so all files are looked at anew: %s", file, error)
            return
        for path, known in found.items():
            self.put(path, known)
        self.unsaved = False

    def save(self, file: Path, root: Path) -> None:
        """Keep what lies below a folder, whole or not at all.

        Raises:
            OSError: it can't be written.
        """
        inside = below([root])
        files = {path: _kept(known) for path, known in self._files.items() if inside(path)}
        document = {"version": _VERSION, "folder": os.fspath(root), "files": files}
        with appearing(file, private=True) as out:
            # In ASCII: names may hold bytes that aren't Unicode.
            out.write(json.dumps(document).encode("ascii"))


def _kept(known: Known) -> tuple[int, int, int, int, str | None]:
    stamp = known.stamp
    return stamp.size, stamp.modified, stamp.changed, stamp.inode, known.id


def memory_file(folder: Path, root: Path) -> Path:
    """Where the memory of a watched folder is kept."""
    name = hashlib.blake2b(os.fsencode(root), digest_size=8).hexdigest()
    return folder / f"{name}.json"
