"""Vectors of songs that somebody computed elsewhere: a file of song id or path to embedding.

Two formats are read, told apart by their first bytes:

- NPZ: an array of ids beside an array of vectors, or one array a song, called by the song's id.
  Nothing is unpickled.
- Parquet: a column of ids beside a column of lists, or beside any number of columns of numbers.
"""

import hashlib
import math
import os
import re
import struct
import sys
import tokenize
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import numpy as np
import psutil
from numpy.typing import NDArray

from kg.errors import WrongUsageError
from kg.files import QuietFile, expanded, open_file, why_unreadable
from kg.text import printable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# What the arrays or columns may be called, the likeliest first, in whatever case.
_KEYS: Final = (
    *("id", "ids", "song", "songs", "key", "keys", "path", "paths"),
    *("file", "files", "filename", "filenames"),
)
_VECTORS: Final = ("vectors", "vector", "embeddings", "embedding", "x", "features", "values")
# Numbers called so number the songs: they are no features. But a `key` may be that of the music.
_NUMBERINGS: Final = frozenset(_KEYS) - {"key", "keys"}

_MOST_BYTES: Final = 64 << 30
"""An array that unpacks to more is taken for a zip bomb."""
_DEFLATED: Final = 1100  # times a file can't grow by unpacking: Deflate's own limit is 1032
_KEY_BYTES: Final = 120  # of memory for a song id or path, roughly

_CHUNK: Final = 8 << 20  # bytes unpacked at once
_BATCH: Final = 1 << 20  # numbers of a Parquet file that are decoded at once
_ROWS: Final = 1 << 16  # of a Parquet file that are decoded at once, at most
_BUFFER: Final = 1 << 16  # bytes of each Parquet column that are read at once
_LISTED: Final = 6  # names that a sentence lists
_LONG: Final = 80  # characters of a name that a sentence repeats

_SAVE: Final = "np.savez(file, ids=np.array(ids, dtype=str), vectors=vectors)"
_NULL: Final = "leave out songs without a whole vector"
_AGAIN: Final = "write it again, or copy it again from where it came"

# What zipfile and numpy raise on broken bytes. Encrypted: RuntimeError; the headers of arrays are
# Python literals, hence SyntaxError and the like.
_ZIP_DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, ValueError, TypeError),
    *(LookupError, AttributeError, OverflowError, SyntaxError, tokenize.TokenError),
)

Kind = Literal["text", "numbers", "vectors", "pickled", "other"]


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Songs and their vectors, in the order of the file.

    Attributes:
        keys: n song ids or paths, as the file says them; each once, none empty.
        values: float32 [n, d], finite; n and d are at least 1.
        columns: d names, where the file names each number of a vector; else None.
        identity: BLAKE2b-48 of the file's bytes, hex.
    """

    keys: tuple[str, ...]
    values: NDArray[np.float32]
    columns: tuple[str, ...] | None
    identity: str


class _UnfitError(Exception):
    """What is wrong with the file, and how to mend it; both without the file's name."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what, self.mend = what, mend


@dataclass(frozen=True, slots=True)
class _Field:
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


@dataclass(frozen=True, slots=True)
class _Array(_Field):
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


_AnyField = TypeVar("_AnyField", bound=_Field)
_Table = tuple[list[str], NDArray[np.float32], tuple[str, ...] | None]


def read_vectors(file: Path) -> Vectors:
    """Read a file of vectors, an NPZ or Parquet.

    The ids are the array or column of text called `id`, `song`, `key`, `path`, `file`, `filename`
    or the plural of these, else the only one of text. The vectors are the array (or column of
    lists) called `vectors`, `vector`, `embeddings`, `embedding`, `x`, `features` or `values`, else
    the only one with a vector a song. In a Parquet without lists they are all columns of numbers
    together, but for a data frame's index and for columns that number songs (`id`). In an NPZ
    without an array of text, each array is the vector of the song that it is called after.

    Vectors over time ([songs, t, d], or [t, d] for one song) are averaged over t. Any integers and
    floats become float32. A song that comes twice with the same vector is kept once.

    The memory needed is that of the result and of the few thousand songs that are read at once.

    Raises:
        WrongUsageError: the file can't be read or is damaged; it isn't NPZ or Parquet; ids or
            vectors are missing, or it is unclear which they are; vectors differ in length, are
            empty or not finite; a song has two vectors; or there is more than memory can hold.
    """
    path = expanded(file)
    name = printable(path)
    try:
        with open_file(path) as stream:
            try:
                return _read(stream, path.suffix)
            finally:
                if stream.error is not None:  # else it would seem to be cut short
                    raise stream.error
    except FileNotFoundError as error:
        raise WrongUsageError(
            f"There is no file called {name}: name an NPZ or Parquet file of song ids or paths and "
            "their vectors."
        ) from error
    except OSError as error:
        raise WrongUsageError(
            f"The file of vectors {name} can't be used: {why_unreadable(error)}; name an NPZ or "
            "Parquet file that can be read."
        ) from error
    except _UnfitError as error:
        raise WrongUsageError(
            f"The file of vectors {name} can't be used: {error.what}; {error.mend}."
        ) from error
    except MemoryError as error:
        raise WrongUsageError(
            f"The file of vectors {name} can't be used: it needs more memory than there is; split "
            "it, or read it on a larger machine."
        ) from error


def _read(stream: QuietFile, suffix: str) -> Vectors:
    before = _state(stream)
    magic = stream.read(6)
    if not magic:
        raise _UnfitError("it is empty", _AGAIN)
    if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        keys, values, columns = _read_npz(stream, before[0])
    elif magic.startswith(b"PAR1"):
        keys, values, columns = _read_parquet(stream)
    else:
        raise _UnfitError(*_another_format(magic, suffix.lower()))
    keys, values = _checked(keys, values)
    stream.seek(0)
    digest = hashlib.blake2b(digest_size=6)
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    if _state(stream) != before:
        raise _UnfitError("it was written to while it was being read", "try again after that")
    return Vectors(tuple(keys), values, columns, digest.hexdigest())


def _state(stream: QuietFile) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns."""
    status = os.fstat(stream.fileno())
    return status.st_size, status.st_mtime_ns


def _another_format(magic: bytes, suffix: str) -> tuple[str, str]:
    if magic.startswith(b"\x93NUMPY"):
        return "it is an NPY file, which has no room for song ids", f"save both with {_SAVE}"
    despite = " in spite of its name" if suffix in {".npz", ".parquet", ".pq"} else ""
    return (
        f"it is neither NPZ nor Parquet{despite}, and no other format can be read",
        f"save it with {_SAVE}, or as Parquet with a column of ids",
    )


# ---- what both formats share


def _key_field(fields: Sequence[_AnyField], noun: str) -> _AnyField:
    """Find the song ids.

    Args:
        fields: All arrays or columns.
        noun: What they are called in sentences.

    Raises:
        _UnfitError: there are none, or it is unclear which they are.
    """
    texts = [field for field in fields if field.kind == "text"]
    named = _first_named(texts, _KEYS)
    if named is not None:
        return named
    # Else the titles or genres beside ids that can't be read would be taken for the ids.
    for field in fields:
        if field.kind == "pickled" and field.name.lower() in _KEYS:
            raise _pickled(field)
        if field.kind == "numbers" and field.name.lower() in _NUMBERINGS:
            raise _UnfitError(
                f"its {noun} {_quoted(field.name)} holds {field.type} instead of text",
                "save the song ids or paths there as text",
            )
    if len(texts) == 1:
        return texts[0]
    if texts:
        raise _UnfitError(
            f"each of its {noun}s {_listed(texts)} may be the song ids or paths",
            f"call the right {noun} id",
        )
    for field in fields:
        if field.kind == "pickled":
            raise _pickled(field)
    raise _UnfitError(
        f"no {noun} of text says the song ids or paths, there is only {_listed(fields)}",
        f"save them as text, in an {noun} called ids" if noun == "array" else "add a column id",
    )


def _vector_field(fields: Sequence[_AnyField], songs: int, noun: str) -> _AnyField | None:
    """Find the vectors; None: no array or column holds vectors.

    Raises:
        _UnfitError: it is unclear which they are, or they are no numbers.
    """
    found = [field for field in fields if field.kind == "vectors"]
    named = _first_named(found, _VECTORS)
    if named is not None:
        return named
    unfit = [field for field in fields if field.kind in {"pickled", "other"}]
    bad = _first_named(unfit, _VECTORS)
    if bad is not None:
        raise _UnfitError(
            f"its {noun} {_quoted(bad.name)} holds {bad.type} instead of vectors of numbers",
            "save float32 there",
        )
    fitting = [field for field in found if field.rows == songs] or found
    if len(fitting) > 1:
        raise _UnfitError(
            f"each of its {noun}s {_listed(fitting)} may be the vectors",
            f"call the right {noun} vectors",
        )
    return fitting[0] if fitting else None


def _first_named(fields: Sequence[_AnyField], names: Sequence[str]) -> _AnyField | None:
    """The field whose name comes first among the names."""
    found = [field for field in fields if field.name.lower() in names]
    return min(found, key=lambda field: names.index(field.name.lower()), default=None)


def _allocate(songs: int, width: int) -> NDArray[np.float32]:
    """Room for the vectors: float32 [songs, width].

    Raises:
        _UnfitError: there are no songs, the vectors are empty, or memory can't hold them.
    """
    if not songs:
        raise _no_songs()
    if not width:
        raise _UnfitError("its vectors are of length 0", "save vectors of at least one number")
    _require_memory(songs * (4 * width + _KEY_BYTES))
    return np.empty((songs, width), np.float32)


def _require_memory(size: int) -> None:
    free = psutil.virtual_memory().available
    if size > free:
        raise _UnfitError(
            f"it needs {size / 2**30:,.1f} GB of memory and {free / 2**30:,.1f} GB are free",
            "split it, or read it on a larger machine",
        )


def _checked(keys: list[str], values: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float32]]:
    """Refuse what can't be used, and keep songs that come twice once.

    Args:
        keys: n ids.
        values: float32 [n, d]; songs that come twice are taken out in place.
    """
    if "" in keys:
        raise _UnfitError(f"song {keys.index('') + 1:,} has an empty id", "name every song")
    step = max(1, _CHUNK // values.shape[1])  # no large mask beside the large matrix
    bad: list[int] = []
    for begin in range(0, len(values), step):
        whole = np.isfinite(values[begin : begin + step]).all(axis=1)
        bad.extend((np.flatnonzero(~whole) + begin).tolist())
    if bad:
        raise _UnfitError(
            f"the vectors of {_songs(len(bad))}, {_quoted(keys[bad[0]])} the first, hold NaN, "
            "infinity or numbers too large for float32",
            "leave these songs out or mend their vectors",
        )

    first: dict[str, int] = {}
    for row, key in enumerate(keys):
        before = first.setdefault(key, row)
        if before != row and not np.array_equal(values[before], values[row]):
            raise _UnfitError(
                f"song {_quoted(key)} comes twice, with different vectors", "keep one of them"
            )
    if len(first) == len(keys):
        return keys, values
    kept = np.fromiter(first.values(), np.int64, len(first))
    for begin in range(0, len(kept), step):  # every row moves up or stays, none is lost
        rows = kept[begin : begin + step]
        values[begin : begin + len(rows)] = values[rows]
    return list(first), values[: len(kept)]


def _require_one_length(key: str, length: int, first: str, width: int) -> None:
    if length != width:
        raise _UnfitError(
            f"the vector of {_quoted(key)} has length {length:,}, that of {_quoted(first)} "
            f"{width:,}",
            "save vectors of one length",
        )


def _no_songs() -> _UnfitError:
    return _UnfitError("it holds no songs", "save one or more")


def _damaged(kind: str) -> _UnfitError:
    return _UnfitError(f"as {kind} it is cut short or damaged", _AGAIN)


def _pickled(field: _Field) -> _UnfitError:
    return _UnfitError(
        f"its array {_quoted(field.name)} holds Python objects, which are never unpickled as they "
        "may run any code",
        "save the ids as a plain string array, np.array(ids, dtype=str), and vectors as float32",
    )


@contextmanager
def _whole(kind: str, *damage: type[Exception]) -> Iterator[None]:
    """Say in plain words that the file is damaged."""
    try:
        yield
    except MemoryError:  # some of Arrow's are both
        raise
    except damage as error:
        raise _damaged(kind) from error


def _songs(count: int) -> str:
    return "one song" if count == 1 else f"{count:,} songs"


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _LONG else f"{shown[: _LONG - 1]}…"


def _quoted(text: str) -> str:
    return f"'{_short(text)}'"


def _listed(fields: Sequence[_Field]) -> str:
    shown = [f"{_quoted(field.name)} ({field.type})" for field in fields[:_LISTED]]
    if len(fields) > _LISTED:
        shown.append(f"{len(fields) - _LISTED:,} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


# ---- NPZ


def _read_npz(stream: QuietFile, size: int) -> _Table:
    with _whole("NPZ", *_ZIP_DAMAGE):
        archive = zipfile.ZipFile(stream)
    with archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if not members:
            raise _UnfitError("it is a zip without any array of numpy's", f"save one with {_SAVE}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python 2's headers, or of odd literals
            arrays = [_header(archive, member, size) for member in members]
        if _is_array_a_song(arrays):
            return _read_arrays_of_songs(archive, arrays)

        names = _key_field(arrays, "array")
        vectors = _vector_field(arrays, names.rows, "array")
        if vectors is None:
            raise _UnfitError(
                f"no array holds vectors, [songs, d] or [songs, t, d], there is only "
                f"{_listed(arrays)}",
                f"save it with {_SAVE}",
            )
        if names.rows != vectors.rows:
            raise _UnfitError(
                f"there are {names.rows:,} song ids in {_quoted(names.name)}, and "
                f"{vectors.rows:,} vectors in {_quoted(vectors.name)}",
                "save one vector a song",
            )
        values = _allocate(names.rows, vectors.shape[-1])
        _fill(archive, vectors, values)
        return _texts(archive, names), values, None


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> _Array:
    """Read what an array holds, without the array.

    Args:
        archive: The NPZ.
        member: Where the array lies.
        size: Bytes of the whole file.

    Raises:
        _UnfitError: the header is damaged, or claims more than there can be.
    """
    name = member.filename.removesuffix(".npy")
    if member.file_size > _MOST_BYTES or member.file_size > _DEFLATED * size:
        raise _UnfitError(
            f"its array {_quoted(name)} claims to unpack to {member.file_size / 2**30:,.1f} GB, "
            "more than can be in there",
            f"save it again with {_SAVE}",
        )
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _UnfitError(  # these have no limit to how far they unpack
            f"its array {_quoted(name)} is packed in a way that numpy never packs",
            f"save it again with {_SAVE}",
        )
    with _whole("NPZ", *_ZIP_DAMAGE), archive.open(member) as content:
        version = np.lib.format.read_magic(content)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(content)
        else:  # 3.0 differs in names of fields only, which no vector has
            header = np.lib.format.read_array_header_2_0(content)
        shape, fortran, dtype = header
        offset = content.tell()
        held = member.file_size - offset
        if any(not 0 <= length <= _MOST_BYTES for length in shape) or not (
            dtype.hasobject or math.prod(shape) * dtype.itemsize == held
        ):
            raise ValueError("more or fewer numbers than the header says")
    return _Array(
        name=name,
        kind=_kind_of_array(shape, dtype),
        type=_short(f"{'objects' if dtype.hasobject else dtype} {list(shape)}"),
        rows=shape[0] if shape else 0,
        member=member,
        offset=offset,
        shape=tuple(map(int, shape)),
        dtype=dtype,
        fortran=fortran,
    )


def _kind_of_array(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Kind:
    if dtype.hasobject:
        return "pickled"
    if dtype.kind in "US" and dtype.itemsize and len(shape) == 1:
        return "text"
    if dtype.kind in "iuf" and len(shape) in {2, 3}:
        return "vectors"
    return "numbers" if dtype.kind in "iuf" and len(shape) == 1 else "other"


def _is_array_a_song(arrays: Sequence[_Array]) -> bool:
    """Whether the arrays are called after songs: none is text, none bears a name of its own."""
    names = [array.name.lower() for array in arrays]
    return not (
        any(array.kind in {"text", "pickled"} for array in arrays)
        or any(name in _KEYS or name in _VECTORS for name in names)
        or all(re.fullmatch(r"arr_\d+", name) for name in names)  # np.savez(file, a, b)
    )


def _read_arrays_of_songs(archive: zipfile.ZipFile, arrays: Sequence[_Array]) -> _Table:
    width = arrays[0].shape[-1] if arrays[0].shape else 0
    for array in arrays:
        if array.dtype.kind not in "iuf" or len(array.shape) not in {1, 2}:
            raise _UnfitError(
                f"no array of text says the song ids, and {_quoted(array.name)} ({array.type}) is "
                "no vector of a song",
                f"save it with {_SAVE}",
            )
        _require_one_length(array.name, array.shape[-1], arrays[0].name, width)
    if sum(array.member.file_size for array in arrays) > _MOST_BYTES:
        raise _UnfitError(
            f"its arrays claim to unpack to more than {_MOST_BYTES >> 30} GB", "split it"
        )
    values = _allocate(len(arrays), width)
    for row, array in enumerate(arrays):
        _fill(archive, replace(array, shape=(1, *array.shape)), values[row : row + 1])
    return [array.name for array in arrays], values, None


def _fill(archive: zipfile.ZipFile, array: _Array, values: NDArray[np.float32]) -> None:
    """Read an array [n, d] or [n, t, d], the latter averaged over t, into float32 [n, d].

    Raises:
        _UnfitError: it is damaged, or has no frames.
    """
    if not math.prod(array.shape):
        raise _UnfitError(
            f"its array {_quoted(array.name)} is {array.type}, and vectors over no time are none",
            "leave out songs without vectors",
        )
    at = 0
    with np.errstate(over="ignore", invalid="ignore"):  # becomes infinite, and is refused later
        for block in _blocks(archive, array):
            if block.ndim == 3:
                block = block.mean(axis=1, dtype=np.float64)
            if array.fortran:
                values[:, at : at + len(block)] = block.T
            else:
                values[at : at + len(block)] = block
            at += len(block)


def _texts(archive: zipfile.ZipFile, array: _Array) -> list[str]:
    """The text of an array [n]; bytes are taken for UTF-8.

    Raises:
        _UnfitError: the array is damaged.
    """
    texts: list[str] = []
    for block in _blocks(archive, array):
        if array.dtype.kind == "S":
            texts += [text.decode("utf-8", "surrogateescape") for text in block.tolist()]
            continue
        codes = block.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if codes.max() > sys.maxunicode:  # numpy would not say so in words
            raise _damaged("NPZ")
        texts += block.tolist()
    return texts


def _blocks(archive: zipfile.ZipFile, array: _Array) -> Iterator[NDArray[Any]]:
    """Read an array piece by piece, along the dimension that varies most slowly.

    Raises:
        _UnfitError: it is damaged, or one step along that dimension is more than memory holds.
    """
    shape = array.shape[::-1] if array.fortran else array.shape
    step = array.dtype.itemsize * math.prod(shape[1:])
    count = max(1, _CHUNK // step)
    if step > _CHUNK:
        _require_memory(2 * step)
    with _whole("NPZ", *_ZIP_DAMAGE), archive.open(array.member) as content:
        content.read(array.offset)
        for begin in range(0, shape[0], count):
            rows = min(count, shape[0] - begin)
            read = np.frombuffer(content.read(rows * step), array.dtype)
            yield read.reshape(rows, *shape[1:])
        content.read(1)  # the checksum is compared only at the end


# ---- Parquet


def _read_parquet(stream: QuietFile) -> _Table:
    import pyarrow.parquet as pq

    # What the metadata say of the single columns stays unread: Arrow aborts where it is broken.
    with _whole("Parquet", *_parquet_damage()):
        file = pq.ParquetFile(
            stream, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
        )
        songs = file.metadata.num_rows
        fields = _columns(file.schema_arrow, songs)
    key = _key_field(fields, "column")
    lists = _vector_field(fields, songs, "column")
    if lists is not None:
        names = [lists.name]
    else:
        numbers = (field.name for field in fields if field.kind == "numbers")
        names = [name for name in numbers if name.lower() not in _NUMBERINGS]
        if not names:
            raise _UnfitError(
                f"no column holds vectors or numbers, there is only {_listed(fields)}",
                "add a column of lists of float32",
            )
    wanted = [key.name, *names]
    counts = Counter(field.name for field in fields)
    for name in wanted:
        if counts[name] > 1:
            raise _UnfitError(f"two of its columns are called {_quoted(name)}", "rename one")

    if songs < 1:
        raise _no_songs()
    first, width = "", len(names)
    for columns in _batches(file, wanted, 1):  # one song says how many to read at once
        [first] = _ids(columns[0], key.name, 0)
        if lists is not None:
            width = _lists(columns[1], [first], first, None).shape[1]
        break
    values = _allocate(songs, width)
    keys: list[str] = []
    for columns in _batches(file, wanted, min(max(1, _BATCH // width), _ROWS)):
        at = len(keys)
        keys += _ids(columns[0], key.name, at)
        if len(keys) > songs:
            break
        if lists is not None:
            values[at : len(keys)] = _lists(columns[1], keys[at:], first, width)
        else:
            values[at : len(keys)] = _numbers(columns[1:], names, keys[at:])
    if len(keys) != songs:
        raise _damaged("Parquet")
    return keys, values, None if lists is not None else tuple(names)


def _batches(file: "pq.ParquetFile", wanted: list[str], rows: int) -> "Iterator[list[pa.Array]]":
    """Read some columns, so many rows at once or fewer, but never none.

    Raises:
        _UnfitError: the file is damaged.
    """
    batches = file.iter_batches(rows, columns=wanted, use_threads=False)
    while True:
        with _whole("Parquet", *_parquet_damage()):
            batch = next(batches, None)
            if batch is None:
                return
            # By name: for `a` Arrow reads `a.b`, too.
            columns = [batch.column(batch.schema.get_field_index(name)) for name in wanted]
        if len(batch):
            yield columns


def _parquet_damage() -> tuple[type[Exception], ...]:
    """What pyarrow raises on broken bytes."""
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError, LookupError, TypeError)


def _columns(schema: "pa.Schema", songs: int) -> list[_Field]:
    """Describe the columns."""
    index = _index_of_pandas(schema)
    return [
        _Field(
            name=column.name,
            kind="other" if column.name in index else _kind_of_column(column.type),
            type=_short(str(column.type)),
            rows=songs,
        )
        for column in schema
    ]


def _kind_of_column(kind: "pa.DataType") -> Kind:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    elif _is_number(kind):
        return "numbers"
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return "vectors" if _is_number(kind.value_type) else "other"
    texts = (
        *(types.is_string, types.is_large_string, types.is_string_view),
        *(types.is_binary, types.is_large_binary, types.is_binary_view),
    )
    return "text" if any(is_text(kind) for is_text in texts) else "other"


def _is_number(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind))


def _index_of_pandas(schema: "pa.Schema") -> frozenset[str]:
    """Columns of integers that are a data frame's index, and called like no ids."""
    from pyarrow import types

    try:
        index = schema.pandas_metadata["index_columns"]
    except (TypeError, ValueError, LookupError, RecursionError):  # no data frame's, or broken JSON
        return frozenset()
    named = {name for name in index if isinstance(name, str)} if isinstance(index, list) else set()
    return frozenset(
        column.name
        for column in schema
        if column.name in named
        and column.name.lower() not in _KEYS
        and types.is_integer(column.type)
    )


def _ids(column: "pa.Array", name: str, at: int) -> list[str]:
    """Text of a column, or bytes taken for UTF-8 (names of files may be anything).

    Args:
        column: The ids.
        name: What the column is called.
        at: Songs before these.

    Raises:
        _UnfitError: one is null.
    """
    import pyarrow as pa

    with _whole("Parquet", pa.ArrowException):
        if isinstance(column, pa.DictionaryArray):
            column = column.dictionary_decode()
        texts = column.cast(pa.large_binary()).to_pylist()
    if None in texts:
        raise _UnfitError(
            f"song {at + texts.index(None) + 1:,} has no id in column {_quoted(name)}",
            "name every song",
        )
    return [text.decode("utf-8", "surrogateescape") for text in texts]


def _lists(column: "pa.Array", keys: list[str], first: str, width: int | None) -> NDArray[Any]:
    """The lists of a column as one array [k, d].

    Args:
        column: k lists.
        keys: Their ids.
        first: The id of the file's first song.
        width: How long its vector is; None: it is the first of these.

    Raises:
        _UnfitError: one is null, holds a null, or is of another length.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    _require_no_null(column, keys, "vector")
    with _whole("Parquet", pa.ArrowException):
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        flat = column.flatten()
    width = int(lengths[0]) if width is None else width
    differing = np.flatnonzero(lengths != width)
    if len(differing):
        row = int(differing[0])
        _require_one_length(keys[row], int(lengths[row]), first, width)
    if flat.null_count:
        row = int(np.flatnonzero(flat.is_null().to_numpy(zero_copy_only=False))[0]) // width
        raise _UnfitError(f"the vector of {_quoted(keys[row])} has a null among its numbers", _NULL)
    return _float32(flat).reshape(len(keys), width)


def _numbers(columns: "list[pa.Array]", names: list[str], keys: list[str]) -> NDArray[Any]:
    """Columns of numbers as one array [k, d].

    Raises:
        _UnfitError: a number is null.
    """
    for column, name in zip(columns, names, strict=True):
        _require_no_null(column, keys, f"number in column {_quoted(name)}")
    return np.column_stack([_float32(column) for column in columns])


def _float32(column: "pa.Array") -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # becomes infinite, and is refused later
        values: NDArray[np.float32] = column.to_numpy(zero_copy_only=False).astype(np.float32)
    return values


def _require_no_null(column: "pa.Array", keys: list[str], what: str) -> None:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise _UnfitError(f"song {_quoted(keys[row])} has no {what} (null)", _NULL)
