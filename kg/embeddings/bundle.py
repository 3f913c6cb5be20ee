"""TensorFlow's tensor bundles (a checkpoint's `.index` and `.data`), read without TensorFlow.

The index is a LevelDB table of name to BundleEntryProto: where in the data a tensor lies. Only
what uncompressed bundles of float32 tensors need is read. The layout is that of TensorFlow's
core/util/tensor_bundle and of LevelDB's doc/table_format.md.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_MAGIC: Final = 0xDB4775248B80FB57
_FOOTER: Final = 48
_FLOAT: Final = 1  # DT_FLOAT
# Fields of a BundleEntryProto, a TensorShapeProto and its dimension.
_DTYPE, _SHAPE, _OFFSET, _SIZE, _DIMENSION, _LENGTH = 1, 2, 4, 5, 2, 1


class BundleError(ValueError):
    """A bundle is damaged, or of a kind that isn't read."""


def read_bundle(index: bytes, data: bytes) -> dict[str, NDArray[np.float32]]:
    """Read all tensors of a bundle with one data file.

    Args:
        index: The `.index` file.
        data: The `.data-00000-of-00001` file.

    Returns:
        Tensors by name.

    Raises:
        BundleError: it is damaged, compressed, or holds other numbers than float32.
    """
    try:
        return {name: _tensor(entry, data) for name, entry in _entries(index) if name}
    except (IndexError, struct.error, UnicodeDecodeError, KeyError, TypeError) as error:
        raise BundleError(f"the tensor bundle is damaged ({error})") from error


def _entries(index: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and entries; the empty name is the header's."""
    footer = index[-_FOOTER:]
    if len(footer) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise BundleError("the tensor bundle is damaged (its end is missing)")
    at = 0
    for _ in range(2):  # offset and size of the index of metadata: not needed
        _, at = _varint(footer, at)
    for _, handle in _block(index, *_handle(footer, at)):
        for key, entry in _block(index, *_handle(handle, 0)):
            yield key.decode(), entry


def _tensor(entry: bytes, data: bytes) -> NDArray[np.float32]:
    fields = dict(_fields(entry))
    if fields[_DTYPE] != _FLOAT:
        raise BundleError("the tensor bundle holds numbers that aren't float32")
    shape = [
        dict(_fields(dimension)).get(_LENGTH, 0)
        for number, dimension in _fields(fields.get(_SHAPE, b""))
        if number == _DIMENSION
    ]
    begin, size = fields.get(_OFFSET, 0), fields[_SIZE]
    if size != 4 * int(np.prod(shape, dtype=np.int64)) or begin + size > len(data):
        raise BundleError("the tensor bundle is damaged (a tensor is cut short)")
    return np.frombuffer(data, "<f4", count=size // 4, offset=begin).reshape(shape)


def _handle(buffer: bytes, at: int) -> tuple[int, int]:
    offset, at = _varint(buffer, at)
    size, _ = _varint(buffer, at)
    return offset, size


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys, each sharing a prefix with the one before, and values."""
    if table[offset + size] != 0:
        raise BundleError("the tensor bundle is compressed")
    block = table[offset : offset + size]
    restarts = struct.unpack("<I", block[-4:])[0]
    at, end, key = 0, size - 4 - 4 * restarts, b""
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a protocol buffer's fields."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
                yield tag >> 3, value
            case 2:
                length, at = _varint(message, at)
                yield tag >> 3, message[at : at + length]
                at += length
            case 5:
                yield tag >> 3, None
                at += 4
            case kind:
                raise BundleError(f"the tensor bundle is damaged (a field of kind {kind})")


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
