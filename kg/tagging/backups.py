"""What files were before kg wrote their tags, kept in the home folder: one folder a run.

`files.jsonl` has a line of JSON for every file, written before the file is: `path`, `song`,
`before` and `after` (content ids), `genres_before`, `genres_after`, and `difference`, the name of
the file beside it that leads from the new bytes back to the old ones. While a run is at work,
`copies.json` names the copies that it makes beside the user's files: what a run that was killed
leaves of them is removed by the next one.
"""

import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kg.audio.cache import cannot_write
from kg.errors import KgError
from kg.graph.locks import FileLock
from kg.outputs import appearing
from kg.text import printable

LISTING: Final = "files.jsonl"
COPIES: Final = "copies.json"
COPY: Final = ".kg-tags-"
"""What names of copies begin with."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file as it was.

    Attributes:
        path: The file.
        song: Id of the song.
        before: Content id.
        after: What it became.
        genres_before: What its tags named.
        genres_after: What they were to name.
        difference: Name of the file that leads back.
    """

    path: str
    song: str
    before: str
    after: str
    genres_before: tuple[str, ...]
    genres_after: tuple[str, ...]
    difference: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """What a song's files were given by the last run that wrote them, and that wasn't undone.

    Attributes:
        paths: Its files.
        genres: What their tags were to name.
        files: How many files that run wrote.
        last: Whether it is the last run of all, which `kg write-tags --undo` restores.
    """

    paths: tuple[str, ...]
    genres: tuple[str, ...]
    files: int
    last: bool


class Backup:
    """A run's folder, made when its first file is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def new(cls, backups: Path) -> "Backup":
        """The folder of a run that begins now.

        Raises:
            KgError: it can't be made.
        """
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{secrets.token_hex(2)}"
        try:
            (backups / name).mkdir(parents=True)
        except OSError as error:
            raise cannot_write(f"The backups {backups}", error) from error
        return cls(backups / name)

    def announce(self, copies: Iterable[Path]) -> None:
        """Note copies that are to be made, so that none stays for good.

        Raises:
            KgError: they can't be noted.
        """
        try:
            with appearing(self.folder / COPIES) as noted:
                noted.write(json.dumps([os.fspath(copy) for copy in copies]).encode())
        except OSError as error:
            raise cannot_write(f"The backup {self.folder}", error) from error

    def keep(self, files: Iterable[Kept]) -> None:
        """Note files, before they are written; on the disk when this returns.

        Raises:
            KgError: they can't be noted.
        """
        try:
            with (self.folder / LISTING).open("a", encoding="ascii") as listing:
                for file in files:
                    listing.write(json.dumps(asdict(file)) + "\n")
                    with (self.folder / file.difference).open("rb") as difference:
                        os.fsync(difference.fileno())
                listing.flush()
                os.fsync(listing.fileno())
            for folder in (self.folder, self.folder.parent):
                _sync(folder)
        except OSError as error:
            raise cannot_write(f"The backup {self.folder}", error) from error

    def files(self) -> list[Kept]:
        """What is kept.

        Raises:
            KgError: it can't be read.
        """
        listing = self.folder / LISTING
        try:
            # Without an end of the line it was cut off, and the file never written.
            lines = [line for line in listing.read_text("ascii").split("\n")[:-1] if line]
            found = [json.loads(line) for line in lines]
            return [
                Kept(**row | {key: tuple(row[key]) for key in ("genres_before", "genres_after")})
                for row in found
            ]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise KgError(f"The backup {printable(listing)} can't be read ({error}).") from error

    def drop(self, done: Iterable[Kept]) -> None:
        """Forget files that are as they were; without any left, the whole folder goes."""
        gone = set(done)
        left = [file for file in self.files() if file not in gone]
        if left:
            with appearing(self.folder / LISTING) as listing:
                listing.write("".join(json.dumps(asdict(each)) + "\n" for each in left).encode())
        else:
            (self.folder / LISTING).unlink()
        used = {file.difference for file in left}
        for file in gone:
            if file.difference not in used:
                (self.folder / file.difference).unlink(missing_ok=True)
        self.tidy()

    def tidy(self) -> None:
        """Remove copies that were announced, and the folder where nothing is kept in it."""
        for copy in self._announced():
            with suppress(OSError):
                copy.unlink(missing_ok=True)
        (self.folder / COPIES).unlink(missing_ok=True)
        if not (self.folder / LISTING).exists():
            for leftover in self.folder.glob("*.difference"):
                leftover.unlink(missing_ok=True)
            with suppress(OSError):
                self.folder.rmdir()

    def _announced(self) -> list[Path]:
        try:
            copies = [Path(copy) for copy in json.loads((self.folder / COPIES).read_text("ascii"))]
        except (OSError, ValueError, TypeError):
            return []
        return [copy for copy in copies if copy.name.startswith(COPY)]


def _sync(folder: Path) -> None:
    """Let names that came into a folder outlive a power cut."""
    if sys.platform == "win32":  # can't open folders
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def alone(backups: Path) -> Iterator[None]:
    """Let one run at a time write tags and backups; what killed ones left is removed first.

    Raises:
        KgError: another one does, or the folder can't be made.
    """
    try:
        backups.mkdir(parents=True, exist_ok=True)
        lock = None if sys.platform == "win32" else FileLock(backups / "lock")  # no such locks
    except OSError as error:
        raise cannot_write(f"The backups {backups}", error) from error
    if lock is None:
        _tidy(backups)
        yield
        return
    try:
        if not lock.take(wait=False):
            raise KgError("Another `kg write-tags` is at work: wait until it is done.")
        _tidy(backups)
        yield
    finally:
        lock.release()


def _tidy(backups: Path) -> None:
    for left in backups.glob(f"*/{COPIES}"):
        Backup(left.parent).tidy()


def runs(backups: Path) -> list[Backup]:
    """Runs that wrote something and weren't undone, or not wholly; the last one first."""
    return [Backup(each.parent) for each in sorted(backups.glob(f"*/{LISTING}"), reverse=True)]


def last_written(backups: Path, song: str) -> Tagged | None:
    """What a song's files were given last, if that wasn't undone.

    Raises:
        KgError: a backup can't be read.
    """
    for number, run in enumerate(runs(backups)):
        files = run.files()
        if own := [file for file in files if file.song == song]:
            paths = tuple(sorted(file.path for file in own))
            return Tagged(paths, own[0].genres_after, len(files), number == 0)
    return None
