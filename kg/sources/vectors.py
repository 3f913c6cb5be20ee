"""Vectors of songs that somebody computed elsewhere: a file of song id or path to embedding.

Two formats are read, told apart by their first bytes:

- NPZ: an array of ids beside an array of vectors, or one array a song, called by the song's id.
  Nothing is unpickled.
- Parquet: a column of ids beside a column of lists, or beside any number of columns of numbers.
"""

import hashlib
import math
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from kg.files import QuietFile, expanded
from kg.sources import npz
from kg.sources.npz import SAVE, ZIP_DAMAGE, Array, read_blocks, read_header, read_texts
from kg.sources.parquet import (
    BUFFER,
    as_float32,
    describe_columns,
    parquet_damage,
    read_columns,
)
from kg.sources.reading import (
    AGAIN,
    KEYS,
    Field,
    UnfitError,
    damaged_file,
    file_state,
    listed_fields,
    opened,
    pickled_field,
    quoted,
    require_memory,
    songs_in_words,
    undamaged,
)

if TYPE_CHECKING:
    import pyarrow as pa

_VECTORS: Final = ("vectors", "vector", "embeddings", "embedding", "x", "features", "values")
# Numbers called so number the songs: they are no features. But a `key` may be that of the music.
_NUMBERINGS: Final = frozenset(KEYS) - {"key", "keys"}

_KEY_BYTES: Final = 120  # of memory for a song id or path, roughly
_BATCH: Final = 1 << 20  # numbers of a Parquet file that are decoded at once
_ROWS: Final = 1 << 16  # of a Parquet file that are decoded at once, at most
_NULL: Final = "leave out songs without a whole vector"


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


_AnyField = TypeVar("_AnyField", bound=Field)
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
    with opened(
        path, "file of vectors", "an NPZ or Parquet file", "of song ids or paths and their vectors"
    ) as stream:
        return _read(stream, path.suffix)


def _read(stream: QuietFile, suffix: str) -> Vectors:
    before = file_state(stream)
    magic = stream.read(6)
    if not magic:
        raise UnfitError("it is empty", AGAIN)
    if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        keys, values, columns = _read_npz(stream, before[0])
    elif magic.startswith(b"PAR1"):
        keys, values, columns = _read_parquet(stream)
    else:
        raise UnfitError(*_another_format(magic, suffix.lower()))
    keys, values = _checked(keys, values)
    stream.seek(0)
    digest = hashlib.blake2b(digest_size=6)
    while chunk := stream.read(npz.CHUNK):
        digest.update(chunk)
    if file_state(stream) != before:
        raise UnfitError("it was written to while it was being read", "try again after that")
    return Vectors(tuple(keys), values, columns, digest.hexdigest())


def _another_format(magic: bytes, suffix: str) -> tuple[str, str]:
    if magic.startswith(b"\x93NUMPY"):
        return "it is an NPY file, which has no room for song ids", f"save both with {SAVE}"
    despite = " in spite of its name" if suffix in {".npz", ".parquet", ".pq"} else ""
    return (
        f"it is neither NPZ nor Parquet{despite}, and no other format can be read",
        f"save it with {SAVE}, or as Parquet with a column of ids",
    )


# ---- what both formats share


def _key_field(fields: Sequence[_AnyField], noun: str) -> _AnyField:
    """Find the song ids.

    Args:
        fields: All arrays or columns.
        noun: What they are called in sentences.

    Raises:
        UnfitError: there are none, or it is unclear which they are.
    """
    texts = [field for field in fields if field.kind == "text"]
    named = _first_named(texts, KEYS)
    if named is not None:
        return named
    # Else the titles or genres beside ids that can't be read would be taken for the ids.
    for field in fields:
        if field.kind == "pickled" and field.name.lower() in KEYS:
            raise pickled_field(field)
        if field.kind == "numbers" and field.name.lower() in _NUMBERINGS:
            raise UnfitError(
                f"its {noun} {quoted(field.name)} holds {field.type} instead of text",
                "save the song ids or paths there as text",
            )
    if len(texts) == 1:
        return texts[0]
    if texts:
        raise UnfitError(
            f"each of its {noun}s {listed_fields(texts)} may be the song ids or paths",
            f"call the right {noun} id",
        )
    for field in fields:
        if field.kind == "pickled":
            raise pickled_field(field)
    raise UnfitError(
        f"no {noun} of text says the song ids or paths, there is only {listed_fields(fields)}",
        f"save them as text, in an {noun} called ids" if noun == "array" else "add a column id",
    )


def _vector_field(fields: Sequence[_AnyField], songs: int, noun: str) -> _AnyField | None:
    """Find the vectors; None: no array or column holds vectors.

    Raises:
        UnfitError: it is unclear which they are, or they are no numbers.
    """
    found = [field for field in fields if field.kind == "vectors"]
    named = _first_named(found, _VECTORS)
    if named is not None:
        return named
    unfit = [field for field in fields if field.kind in {"pickled", "other"}]
    bad = _first_named(unfit, _VECTORS)
    if bad is not None:
        raise UnfitError(
            f"its {noun} {quoted(bad.name)} holds {bad.type} instead of vectors of numbers",
            "save float32 there",
        )
    fitting = [field for field in found if field.rows == songs] or found
    if len(fitting) > 1:
        raise UnfitError(
            f"each of its {noun}s {listed_fields(fitting)} may be the vectors",
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
        UnfitError: there are no songs, the vectors are empty, or memory can't hold them.
    """
    if not songs:
        raise _no_songs()
    if not width:
        raise UnfitError("its vectors are of length 0", "save vectors of at least one number")
    require_memory(songs * (4 * width + _KEY_BYTES))
    return np.empty((songs, width), np.float32)


def _checked(keys: list[str], values: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float32]]:
    """Refuse what can't be used, and keep songs that come twice once.

    Args:
        keys: n ids.
        values: float32 [n, d]; songs that come twice are taken out in place.
    """
    if "" in keys:
        raise UnfitError(f"song {keys.index('') + 1:,} has an empty id", "name every song")
    step = max(1, npz.CHUNK // values.shape[1])  # no large mask beside the large matrix
    bad: list[int] = []
    for begin in range(0, len(values), step):
        whole = np.isfinite(values[begin : begin + step]).all(axis=1)
        bad.extend((np.flatnonzero(~whole) + begin).tolist())
    if bad:
        raise UnfitError(
            f"the vectors of {songs_in_words(len(bad))}, {quoted(keys[bad[0]])} the first, hold "
            "NaN, infinity or numbers too large for float32",
            "leave these songs out or mend their vectors",
        )

    first: dict[str, int] = {}
    for row, key in enumerate(keys):
        before = first.setdefault(key, row)
        if before != row and not np.array_equal(values[before], values[row]):
            raise UnfitError(
                f"song {quoted(key)} comes twice, with different vectors", "keep one of them"
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
        raise UnfitError(
            f"the vector of {quoted(key)} has length {length:,}, that of {quoted(first)} {width:,}",
            "save vectors of one length",
        )


def _no_songs() -> UnfitError:
    return UnfitError("it holds no songs", "save one or more")


# ---- NPZ


def _read_npz(stream: QuietFile, size: int) -> _Table:
    with undamaged("NPZ", *ZIP_DAMAGE):
        archive = zipfile.ZipFile(stream)
    with archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if not members:
            raise UnfitError("it is a zip without any array of numpy's", f"save one with {SAVE}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python 2's headers, or of odd literals
            arrays = [read_header(archive, member, size) for member in members]
        if _is_array_a_song(arrays):
            return _read_arrays_of_songs(archive, arrays)

        names = _key_field(arrays, "array")
        vectors = _vector_field(arrays, names.rows, "array")
        if vectors is None:
            raise UnfitError(
                f"no array holds vectors, [songs, d] or [songs, t, d], there is only "
                f"{listed_fields(arrays)}",
                f"save it with {SAVE}",
            )
        if names.rows != vectors.rows:
            raise UnfitError(
                f"there are {names.rows:,} song ids in {quoted(names.name)}, and "
                f"{vectors.rows:,} vectors in {quoted(vectors.name)}",
                "save one vector a song",
            )
        values = _allocate(names.rows, vectors.shape[-1])
        _fill(archive, vectors, values)
        return read_texts(archive, names), values, None


def _is_array_a_song(arrays: Sequence[Array]) -> bool:
    """Whether the arrays are called after songs: none is text, none bears a name of its own."""
    names = [array.name.lower() for array in arrays]
    return not (
        any(array.kind in {"text", "pickled"} for array in arrays)
        or any(name in KEYS or name in _VECTORS for name in names)
        or all(re.fullmatch(r"arr_\d+", name) for name in names)  # np.savez(file, a, b)
    )


def _read_arrays_of_songs(archive: zipfile.ZipFile, arrays: Sequence[Array]) -> _Table:
    width = arrays[0].shape[-1] if arrays[0].shape else 0
    for array in arrays:
        if array.dtype.kind not in "iuf" or len(array.shape) not in {1, 2}:
            raise UnfitError(
                f"no array of text says the song ids, and {quoted(array.name)} ({array.type}) is "
                "no vector of a song",
                f"save it with {SAVE}",
            )
        _require_one_length(array.name, array.shape[-1], arrays[0].name, width)
    if sum(array.member.file_size for array in arrays) > npz.MOST_BYTES:
        raise UnfitError(
            f"its arrays claim to unpack to more than {npz.MOST_BYTES >> 30} GB", "split it"
        )
    values = _allocate(len(arrays), width)
    for row, array in enumerate(arrays):
        _fill(archive, replace(array, shape=(1, *array.shape)), values[row : row + 1])
    return [array.name for array in arrays], values, None


def _fill(archive: zipfile.ZipFile, array: Array, values: NDArray[np.float32]) -> None:
    """Read an array [n, d] or [n, t, d], the latter averaged over t, into float32 [n, d].

    Raises:
        UnfitError: it is damaged, or has no frames.
    """
    if not math.prod(array.shape):
        raise UnfitError(
            f"its array {quoted(array.name)} is {array.type}, and vectors over no time are none",
            "leave out songs without vectors",
        )
    at = 0
    with np.errstate(over="ignore", invalid="ignore"):  # becomes infinite, and is refused later
        for block in read_blocks(archive, array):
            if block.ndim == 3:
                block = block.mean(axis=1, dtype=np.float64)
            if array.fortran:
                values[:, at : at + len(block)] = block.T
            else:
                values[at : at + len(block)] = block
            at += len(block)


# ---- Parquet


def _read_parquet(stream: QuietFile) -> _Table:
    import pyarrow.parquet as pq

    # What the metadata say of the single columns stays unread: Arrow aborts where it is broken.
    with undamaged("Parquet", *parquet_damage()):
        file = pq.ParquetFile(
            stream, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True
        )
        songs = file.metadata.num_rows
        fields = describe_columns(file.schema_arrow, songs)
    key = _key_field(fields, "column")
    lists = _vector_field(fields, songs, "column")
    if lists is not None:
        names = [lists.name]
    else:
        numbers = (field.name for field in fields if field.kind == "numbers")
        names = [name for name in numbers if name.lower() not in _NUMBERINGS]
        if not names:
            raise UnfitError(
                f"no column holds vectors or numbers, there is only {listed_fields(fields)}",
                "add a column of lists of float32",
            )
    wanted = [key.name, *names]
    counts = Counter(field.name for field in fields)
    for name in wanted:
        if counts[name] > 1:
            raise UnfitError(f"two of its columns are called {quoted(name)}", "rename one")

    if songs < 1:
        raise _no_songs()
    first, width = "", len(names)
    for columns in read_columns(file, wanted, 1):  # one song says how many to read at once
        [first] = _ids(columns[0], key.name, 0)
        if lists is not None:
            width = _lists(columns[1], [first], first, None).shape[1]
        break
    values = _allocate(songs, width)
    keys: list[str] = []
    for columns in read_columns(file, wanted, min(max(1, _BATCH // width), _ROWS)):
        at = len(keys)
        keys += _ids(columns[0], key.name, at)
        if len(keys) > songs:
            break
        if lists is not None:
            values[at : len(keys)] = _lists(columns[1], keys[at:], first, width)
        else:
            values[at : len(keys)] = _numbers(columns[1:], names, keys[at:])
    if len(keys) != songs:
        raise damaged_file("Parquet")
    return keys, values, None if lists is not None else tuple(names)


def _ids(column: "pa.Array", name: str, at: int) -> list[str]:
    """Text of a column, or bytes taken for UTF-8 (names of files may be anything).

    Args:
        column: The ids.
        name: What the column is called.
        at: Songs before these.

    Raises:
        UnfitError: one is null.
    """
    import pyarrow as pa

    with undamaged("Parquet", pa.ArrowException):
        if isinstance(column, pa.DictionaryArray):
            column = column.dictionary_decode()
        texts = column.cast(pa.large_binary()).to_pylist()
    if None in texts:
        raise UnfitError(
            f"song {at + texts.index(None) + 1:,} has no id in column {quoted(name)}",
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
        UnfitError: one is null, holds a null, or is of another length.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    _require_no_null(column, keys, "vector")
    with undamaged("Parquet", pa.ArrowException):
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        flat = column.flatten()
    width = int(lengths[0]) if width is None else width
    differing = np.flatnonzero(lengths != width)
    if len(differing):
        row = int(differing[0])
        _require_one_length(keys[row], int(lengths[row]), first, width)
    if flat.null_count:
        row = int(np.flatnonzero(flat.is_null().to_numpy(zero_copy_only=False))[0]) // width
        raise UnfitError(f"the vector of {quoted(keys[row])} has a null among its numbers", _NULL)
    return as_float32(flat).reshape(len(keys), width)


def _numbers(columns: "list[pa.Array]", names: list[str], keys: list[str]) -> NDArray[Any]:
    """Columns of numbers as one array [k, d].

    Raises:
        UnfitError: a number is null.
    """
    for column, name in zip(columns, names, strict=True):
        _require_no_null(column, keys, f"number in column {quoted(name)}")
    return np.column_stack([as_float32(column) for column in columns])


def _require_no_null(column: "pa.Array", keys: list[str], what: str) -> None:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise UnfitError(f"song {quoted(keys[row])} has no {what} (null)", _NULL)
