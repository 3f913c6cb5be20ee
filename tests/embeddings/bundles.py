"""TensorFlow's tensor bundles, written as TensorFlow would."""

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: "int | bytes") -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]], *, compressed: bool = False) -> bytes:
    """Keys share what they can with the one before; one restart, a kind and a checksum after it."""
    out, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        out += (
            varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        )
        before = key
    return out + struct.pack("<II", 0, 1) + bytes([compressed]) + bytes(4)


def write_bundle(
    tensors: Mapping[str, NDArray[np.float32]], *, dtype: int = 1, compressed: bool = False
) -> tuple[bytes, bytes]:
    """The `.index` and the `.data` of a bundle."""
    data, entries = b"", [(b"", field(1, 1))]
    for name, tensor in sorted(tensors.items()):
        shape = b"".join(field(2, field(1, length)) for length in tensor.shape)
        entry = field(1, dtype) + field(2, shape)
        if data:  # protocol buffers leave zeros out
            entry += field(4, len(data))
        entry += field(5, tensor.nbytes) + varint(6 << 3 | 5) + bytes(4)
        entries.append((name.encode(), entry))
        data += tensor.tobytes()
    first = block(entries, compressed=compressed)
    index = block([(b"~", varint(0) + varint(len(first) - 5))])
    footer = varint(0) + varint(0) + varint(len(first)) + varint(len(index) - 5)
    magic = struct.pack("<Q", 0xDB4775248B80FB57)
    return first + index + footer.ljust(40, b"\0") + magic, data
