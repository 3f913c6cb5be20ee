"""Other people's files, opened so that nothing waits and nothing is written."""

import errno
import hashlib
import io
import os
import stat
from pathlib import Path
from typing import Any, Final

CHANGED: Final = "changed while it was being read: take it in again when that is done"
"""Why a file that is being written to does not become a song yet."""

_CHUNK: Final = 1 << 20  # bytes hashed at once

_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a named pipe would wait for somebody to write into it
)


class QuietFile(io.FileIO):
    """A file that C libraries read from: it never raises, but remembers in `error` what happened.

    Their wrappers print on stderr what a method raises. To seek where no byte can be (a broken
    header says so) is answered by -1, and what can't be read by nothing.
    """

    error: OSError | None = None

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; -1 where that is impossible."""
        try:
            return super().seek(offset, whence)
        except OSError:
            return -1

    def read(self, size: int | None = -1, /) -> bytes:
        """Bytes from here on; none where they can't be read."""
        try:
            return super().read(-1 if size is None else size) or b""
        except OSError as error:
            self.error = error
            return b""

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer; 0 where nothing can be read."""
        try:
            return super().readinto(buffer) or 0
        except OSError as error:
            self.error = error
            return 0


def open_file(path: Path) -> QuietFile:
    """Open a regular file for reading, without waiting.

    Raises:
        OSError: it is missing, unreadable, or no regular file: `why_unreadable` says it in words.
    """
    _require_regular(path.stat())  # first: only to open a device may have effects
    file = QuietFile(os.fspath(path), "rb", opener=lambda name, _: os.open(name, _FLAGS))
    try:
        _require_regular(os.fstat(file.fileno()))  # again: it may have been replaced
    except BaseException:
        file.close()
        raise
    return file


def content_id(path: Path) -> str:
    """Hash a file's bytes: BLAKE2b-128, hex.

    Raises:
        OSError: the file can't be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    with open_file(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        if file.error is not None:
            raise file.error
    return digest.hexdigest()


def expanded(path: Path | str) -> Path:
    """With the home folder for `~`; a `~name` that nobody has is a name like any other."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's raises


def normal(path: Path) -> Path:
    """The one absolute spelling of a path: `~`, `.`, `..` and doubled slashes undone.

    Links stay, but for those that a `..` comes after: where that leads, only the link knows.
    """
    full = expanded(path).absolute()
    plain = Path(os.path.normpath(full))
    if ".." not in full.parts:
        return plain
    try:
        same = full.samefile(plain)
    except OSError:
        same = False
    return plain if same else Path(os.path.realpath(full))


def why_unreadable(error: OSError) -> str:
    """Say in plain words why a file can't be opened or read."""
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "no longer there"
        case errno.EISDIR:
            return "a folder, not a file"
        case errno.ENODEV:
            return "a pipe or device, not a file"
        case errno.EACCES | errno.EPERM:
            return "can't be read: no permission"
        case errno.ELOOP:
            return "a link that leads back to itself"
    return f"can't be read ({error.strerror or error})"


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ENODEV
    raise OSError(code, os.strerror(code))
