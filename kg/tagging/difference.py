"""What it takes to make a file again from one that differs from it in its tags.

Tags move and grow, the sound between them stays: the old file is told as pieces of the new one, and
only what isn't in there is kept. That makes a backup of some kilobytes, whatever the song's length.
"""

import json
import mmap
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_BLOCK: Final = 4096  # bytes that are looked for at once
_CHUNK: Final = 1 << 20  # bytes written at once
_KEPT: Final = -1  # instead of an offset: the next bytes of those that are kept


def write_difference(old: Path, new: Path, target: Path) -> None:
    """Write what `restored` needs beside `new` to make `old` again.

    The file: a line of JSON, a list of [offset in `new` or -1, length]; then, deflated, the bytes
    that the pieces at -1 are made of.

    Raises:
        OSError: one of them can't be read or written.
    """
    with _mapped(old) as before, _mapped(new) as after:
        pieces = _pieces(before, after)
        kept, at = bytearray(), 0
        for offset, length in pieces:
            if offset == _KEPT:
                kept += before[at : at + length]
            at += length
    with target.open("wb") as file:
        file.write(json.dumps(pieces).encode() + b"\n" + zlib.compress(bytes(kept), 9))


def restored(new: Path, difference: Path) -> Iterator[bytes]:
    """The bytes of the old file, one after the other.

    Raises:
        OSError: one of the files can't be read.
        ValueError: the difference is damaged.
    """
    with difference.open("rb") as file:
        pieces = json.loads(file.readline())
        try:
            kept = zlib.decompress(file.read())
        except zlib.error as error:
            raise ValueError(str(error)) from error
    at = 0
    with _mapped(new) as after:
        for offset, length in pieces:
            if offset == _KEPT:
                yield kept[at : at + length]
                at += length
            else:
                for start in range(offset, offset + length, _CHUNK):
                    yield after[start : min(start + _CHUNK, offset + length)]


def _pieces(old: Any, new: Any) -> list[list[int]]:
    """The old bytes as pieces of the new ones: where they were, or as far from the end."""
    shift = len(new) - len(old)
    pieces: list[list[int]] = []
    for at in range(0, len(old), _BLOCK):
        block = old[at : at + _BLOCK]
        places = (at, at + shift)
        found = next((p for p in places if p >= 0 and new[p : p + len(block)] == block), _KEPT)
        if pieces and _goes_on(pieces[-1], found):
            pieces[-1][1] += len(block)
        else:
            pieces.append([found, len(block)])
    return pieces


def _goes_on(piece: list[int], found: int) -> bool:
    offset, length = piece
    return found == _KEPT if offset == _KEPT else found == offset + length


@contextmanager
def _mapped(path: Path) -> Iterator[Any]:
    """A file's bytes, which need no room in memory."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # can't be mapped
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped
