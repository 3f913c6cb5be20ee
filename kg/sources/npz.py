"""NPZ files, read without unpickling anything and without believing what they claim."""

import math
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kg.sources.reading import (
    Field,
    Kind,
    UnfitError,
    damaged_file,
    quoted,
    require_memory,
    shortened,
    undamaged,
)

MOST_BYTES: Final = 64 << 30
"""An array that unpacks to more is taken for a zip bomb."""
DEFLATED: Final = 1100  # times a file can't grow by unpacking: Deflate's own limit is 1032
CHUNK: Final = 8 << 20  # bytes unpacked at once

SAVE: Final = "np.savez(file, ids=np.array(ids, dtype=str), vectors=vectors)"

# What zipfile and numpy raise on broken bytes. Encrypted: RuntimeError; the headers of arrays are
# Python literals, hence SyntaxError and the like.
ZIP_DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, ValueError, TypeError),
    *(LookupError, AttributeError, OverflowError, SyntaxError, tokenize.TokenError),
)


@dataclass(frozen=True, slots=True)
class Array(Field):
    """An array in an NPZ.

    Attributes:
        member: Where it lies in the zip.
        offset: Bytes of its header.
        shape: Its shape.
        dtype: Its numbers.
        fortran: Whether the first dimension varies fastest.
    """

    member: zipfile.ZipInfo
    offset: int
    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    fortran: bool


def read_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> Array:
    """Read what an array holds, without the array.

    Args:
        archive: The NPZ.
        member: Where the array lies.
        size: Bytes of the whole file.

    Raises:
        UnfitError: the header is damaged, or claims more than there can be.
    """
    name = member.filename.removesuffix(".npy")
    if member.file_size > MOST_BYTES or member.file_size > DEFLATED * size:
        raise UnfitError(
            f"its array {quoted(name)} claims to unpack to {member.file_size / 2**30:,.1f} GB, "
            "more than can be in there",
            f"save it again with {SAVE}",
        )
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise UnfitError(  # these have no limit to how far they unpack
            f"its array {quoted(name)} is packed in a way that numpy never packs",
            f"save it again with {SAVE}",
        )
    with undamaged("NPZ", *ZIP_DAMAGE), archive.open(member) as content:
        version = np.lib.format.read_magic(content)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(content)
        else:  # 3.0 differs in names of fields only, which no vector has
            header = np.lib.format.read_array_header_2_0(content)
        shape, fortran, dtype = header
        offset = content.tell()
        held = member.file_size - offset
        if any(not 0 <= length <= MOST_BYTES for length in shape) or not (
            dtype.hasobject or math.prod(shape) * dtype.itemsize == held
        ):
            raise ValueError("more or fewer numbers than the header says")
    return Array(
        name=name,
        kind=kind_of_array(shape, dtype),
        type=shortened(f"{'objects' if dtype.hasobject else dtype} {list(shape)}"),
        rows=shape[0] if shape else 0,
        member=member,
        offset=offset,
        shape=tuple(map(int, shape)),
        dtype=dtype,
        fortran=fortran,
    )


def kind_of_array(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Kind:
    """What values of a shape and type are to us."""
    if dtype.hasobject:
        return "pickled"
    if dtype.kind in "US" and dtype.itemsize and len(shape) == 1:
        return "text"
    if dtype.kind in "iuf" and len(shape) in {2, 3}:
        return "vectors"
    return "numbers" if dtype.kind in "iuf" and len(shape) == 1 else "other"


def read_texts(archive: zipfile.ZipFile, array: Array) -> list[str]:
    """The text of an array [n]; bytes are taken for UTF-8.

    Raises:
        UnfitError: the array is damaged.
    """
    texts: list[str] = []
    for block in read_blocks(archive, array):
        if array.dtype.kind == "S":
            texts += [text.decode("utf-8", "surrogateescape") for text in block.tolist()]
            continue
        codes = block.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if codes.max() > sys.maxunicode:  # numpy would not say so in words
            raise damaged_file("NPZ")
        texts += block.tolist()
    return texts


def read_blocks(
    archive: zipfile.ZipFile, array: Array, count: int | None = None
) -> Iterator[NDArray[Any]]:
    """Read an array piece by piece, along the dimension that varies most slowly.

    Args:
        archive: The NPZ.
        array: Which.
        count: Steps along that dimension at once; None: as many as fit into some megabytes.

    Raises:
        UnfitError: it is damaged, or one step along that dimension is more than memory holds.
    """
    shape = array.shape[::-1] if array.fortran else array.shape
    step = array.dtype.itemsize * math.prod(shape[1:])
    count = count or max(1, CHUNK // step)
    if count * step > CHUNK:
        require_memory(2 * count * step)
    with undamaged("NPZ", *ZIP_DAMAGE), archive.open(array.member) as content:
        content.read(array.offset)
        for begin in range(0, shape[0], count):
            rows = min(count, shape[0] - begin)
            read = np.frombuffer(content.read(rows * step), array.dtype)
            yield read.reshape(rows, *shape[1:])
        content.read(1)  # the checksum is compared only at the end
