"""Vectors from elsewhere: every form that is read, and a sentence for all that isn't."""

import hashlib
import os
import struct
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numbers_of
from numpy.typing import NDArray

from kg.errors import WrongUsageError
from kg.files import QuietFile
from kg.sources import npz as npz_module
from kg.sources import reading as reading_module
from kg.sources import vectors as vectors_module
from kg.sources.vectors import Vectors, read_vectors

IDS = ["a", "b", "c"]
VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) / 4


def npz(folder: Path, /, **arrays: Any) -> Path:
    file = folder / "vectors.npz"
    np.savez(file, **arrays)
    return file


def parquet(folder: Path, columns: "dict[str, Any] | pa.Table", **options: Any) -> Path:
    file = folder / "vectors.parquet"
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, file, **options)
    return file


def require(read: Vectors, keys: Sequence[str] = IDS, values: "NDArray[Any]" = VALUES) -> None:
    assert read.keys == tuple(keys)
    assert read.values.dtype == np.float32
    assert read.values.flags.c_contiguous
    np.testing.assert_array_equal(read.values, values)


def why_not(file: Path) -> str:
    """The one line that refuses a file."""
    with pytest.raises(WrongUsageError) as caught:
        read_vectors(file)
    said = str(caught.value)
    assert said.isprintable()
    assert said.endswith(".")
    return said


# ---- what is read


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_ids_beside_vectors(tmp_path: Path, save: Callable[..., None]) -> None:
    file = tmp_path / "any name"
    with file.open("wb") as stream:
        save(stream, ids=np.array(IDS), vectors=VALUES, mean=VALUES.mean(axis=0))
    read = read_vectors(file)
    require(read)
    assert read.columns is None
    assert read.identity == hashlib.blake2b(file.read_bytes(), digest_size=6).hexdigest()


@pytest.mark.parametrize(
    "names",
    [("id", "x"), ("Paths", "Embeddings"), ("FILENAME", "Features"), ("mine", "too"), ("arr", "é")],
)
def test_names_of_arrays(tmp_path: Path, names: tuple[str, str]) -> None:
    key, vector = names
    require(read_vectors(npz(tmp_path, **{vector: VALUES, key: np.array(IDS)})))


def test_the_likeliest_names_win(tmp_path: Path) -> None:
    text = np.array(["x", "y", "z"])
    file = npz(
        tmp_path, genre=text, path=text, Song=np.array(IDS), x=VALUES + 1, vector=VALUES, y=VALUES
    )
    require(read_vectors(file))
    # Arrays of other shapes don't count.
    file = npz(tmp_path, who=np.array(IDS), x=np.arange(3), mine=VALUES, bases=np.eye(4))
    require(read_vectors(file))
    require(read_vectors(npz(tmp_path, arr_0=np.array(IDS), arr_1=VALUES)))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", "g"])
def test_numbers_become_float32(tmp_path: Path, dtype: str, order: Any) -> None:
    values = np.asarray(VALUES * 4, dtype, order=order)
    require(read_vectors(npz(tmp_path, ids=np.array(IDS), vectors=values)), values=VALUES * 4)


@pytest.mark.parametrize("order", ["C", "F"])
def test_vectors_over_time_are_averaged(
    tmp_path: Path, order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (3, 10, 128), dtype=np.uint8)
    wanted = frames.mean(axis=1).astype(np.float32)
    file = npz(tmp_path, ids=np.array(IDS), vectors=np.asarray(frames, order=order))
    require(read_vectors(file), values=wanted)
    monkeypatch.setattr(npz_module, "CHUNK", 100)  # a song, or a number of all, at a time
    require(read_vectors(file), values=wanted)


def test_an_array_a_song(tmp_path: Path) -> None:
    frames = np.asfortranarray(np.stack([VALUES[1] - 1, VALUES[1] + 1]))
    songs = {"rock/a b.mp3": VALUES[0], "/b.npy": frames, "ü": VALUES[2].astype(np.float64)}
    require(read_vectors(npz(tmp_path, **songs)), list(songs))
    require(read_vectors(npz(tmp_path, alone=VALUES[0])), ["alone"], VALUES[:1])


def test_keys_stay_as_they_are(tmp_path: Path) -> None:
    odd = [" a ", "A\nb\x1b[31m", "\udcff.mp3", "e\u0301"]
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    require(read_vectors(npz(tmp_path, ids=np.array(odd), vectors=values)), odd, values)
    swapped = np.array(odd, ">U9")
    require(read_vectors(npz(tmp_path, ids=swapped, vectors=values)), odd, values)
    raw = [key.encode("utf-8", "surrogateescape") for key in odd]
    require(read_vectors(npz(tmp_path, ids=np.array(raw), vectors=values)), odd, values)
    file = parquet(tmp_path, {"id": pa.array(raw, pa.binary()), "v": values.tolist()})
    require(read_vectors(file), odd, values)


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.string(), pa.large_string(), pa.string_view(), pa.large_binary()),
        *(pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string())),
    ],
    ids=str,
)
def test_keys_in_parquet(tmp_path: Path, kind: pa.DataType) -> None:
    require(
        read_vectors(parquet(tmp_path, {"mine": pa.array(IDS).cast(kind), "v": VALUES.tolist()}))
    )


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.uint64()])
def test_lists_in_parquet(tmp_path: Path, kind: pa.DataType) -> None:
    flat = pa.array((VALUES * 4).ravel()).cast(kind)
    for column in (
        pa.FixedSizeListArray.from_arrays(flat, 4),
        pa.ListArray.from_arrays(pa.array([0, 4, 8, 12], pa.int32()), flat),
        pa.LargeListArray.from_arrays(pa.array([0, 4, 8, 12], pa.int64()), flat),
    ):
        file = parquet(tmp_path, {"title": ["t"] * 3, "path": IDS, "v": column, "year": [1, 2, 3]})
        read = read_vectors(file)
        require(read, values=VALUES * 4)
        assert read.columns is None
        assert read.identity == hashlib.blake2b(file.read_bytes(), digest_size=6).hexdigest()


def test_the_named_list_wins_among_several(tmp_path: Path) -> None:
    tags = [[1], [2, 3], []]
    require(
        read_vectors(
            parquet(tmp_path, {"id": IDS, "tags": tags, "Embedding": VALUES.tolist(), "x": tags})
        )
    )


def test_columns_of_numbers(tmp_path: Path) -> None:
    numbers = {"key": [1, 2, 3], "loud.ness": pa.array([0.5, 1, 2], pa.float16()), "": [7.0, 8, 9]}
    others = {"id": IDS, "track": [True, False, True], "song": [10, 11, 12], "title": ["t"] * 3}
    read = read_vectors(parquet(tmp_path, others | numbers))
    require(read, values=np.array([[1, 0.5, 7], [2, 1, 8], [3, 2, 9]]))
    assert read.columns == ("key", "loud.ness", "")


def test_data_frames(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": ["z", *IDS], "mfcc": [9.0, 1, 2, 3], "tempo": [9, 4, 5, 6]})
    wanted = np.array([[1, 4], [2, 5], [3, 6]])
    file = tmp_path / "frame.parquet"
    frame.iloc[[1, 3, 2]].to_parquet(file)  # whose index of numbers becomes a column
    assert len(pq.read_schema(file).names) == 4
    read = read_vectors(file)
    require(read, ["a", "c", "b"], wanted[[0, 2, 1]])
    assert read.columns == ("mfcc", "tempo")
    frame.iloc[1:].set_index("path").to_parquet(file)
    require(read_vectors(file), values=wanted)
    frame.set_index("tempo").to_parquet(file)
    assert read_vectors(file).columns == ("mfcc",)
    frame.rename(columns={"tempo": "id", "path": "title"}).set_index("id").to_parquet(file)
    assert "its column 'id' holds int64 instead of text" in why_not(file)
    frame.iloc[1:].to_parquet(file)
    broken = pq.read_table(file).replace_schema_metadata({"pandas": "[" * 9})
    require(read_vectors(parquet(tmp_path, broken)), values=wanted)


def test_many_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((1000, 7), np.float32)
    ids = [str(number) for number in range(1000)]
    file = parquet(tmp_path, {"id": ids, "v": values.tolist()}, row_group_size=90)
    require(read_vectors(file), ids, values)
    monkeypatch.setattr(vectors_module, "_BATCH", 7 * 13)
    require(read_vectors(file), ids, values)
    columns = {str(column): values[:, column] for column in range(7)}
    file = parquet(tmp_path, {"id": ids, **columns}, row_group_size=90)
    require(read_vectors(file), ids, values)


def test_a_song_that_comes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz_module, "CHUNK", 4)  # a row at a time
    order = [0, 0, 1, 0, 2, 1]
    keys, values = np.array(IDS)[order], VALUES[order]
    require(read_vectors(npz(tmp_path, ids=keys, vectors=values)))
    require(read_vectors(parquet(tmp_path, {"id": keys, "v": values.tolist()})))
    values[3, 2] += 1
    for file in (
        npz(tmp_path, ids=keys, vectors=values),
        parquet(tmp_path, {"id": keys, "v": values.tolist()}),
    ):
        assert "song 'a' comes twice, with different vectors; keep one" in why_not(file)


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npz(tmp_path, ids=np.array(IDS), vectors=VALUES)
    monkeypatch.setenv("HOME", str(tmp_path))
    require(read_vectors(Path("~/vectors.npz")))


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], "NDArray[np.float32]"]:
    keys = draw(st.lists(TEXT, min_size=1, max_size=8, unique=True))
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    shape = (len(keys), draw(st.integers(1, 5)))
    return keys, draw(numbers_of.arrays(np.float32, shape, elements=numbers))


@settings(max_examples=60)
@given(table=tables(), rows=st.integers(1, 9))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    table: tuple[list[str], "NDArray[np.float32]"],
    rows: int,
) -> None:
    keys, values = table
    folder = tmp_path_factory.getbasetemp()
    require(read_vectors(npz(folder, ids=np.array(keys), vectors=values)), keys, values)
    ids = pa.array(keys)
    for columns in (
        {"id": ids, "v": pa.array(values.tolist(), pa.list_(pa.float32()))},
        {"id": ids} | {f"{number}": values[:, number] for number in range(values.shape[1])},
    ):
        read = read_vectors(parquet(folder, columns, row_group_size=rows))
        require(read, keys, values)
    with zipfile.ZipFile(folder / "songs.npz", "w") as archive:
        for key, value in zip(keys, values, strict=True):
            with archive.open(f"song {key}.npy", "w") as member:
                np.lib.format.write_array(member, value)
    require(read_vectors(folder / "songs.npz"), [f"song {key}" for key in keys], values)


# ---- what is refused


def test_no_file(tmp_path: Path) -> None:
    assert why_not(tmp_path / "a\x1b\n.npz") == (
        f"There is no file called {tmp_path}/a\\x1b\\n.npz: name an NPZ or Parquet file of song "
        "ids or paths and their vectors."
    )
    assert "can't be used: a folder, not a file; name an NPZ or Parquet" in why_not(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
def test_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe or device" in why_not(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "link")
    assert "a link that leads back to itself" in why_not(tmp_path / "link")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> QuietFile:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(reading_module, "open_file", refuse)
    assert "can't be read: no permission; name an NPZ or Parquet" in why_not(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "npz":
        file = npz(tmp_path, ids=np.array(IDS), x=VALUES)
    else:
        file = parquet(tmp_path, {"id": IDS, "x": VALUES.tolist()})

    def read(self: QuietFile, size: int | None = -1, /) -> bytes:
        if self.tell() == 0 and size == 6:  # what tells the formats apart
            return os.read(self.fileno(), size)
        self.error = OSError(5, "Input/output error")
        return b""

    monkeypatch.setattr(QuietFile, "read", read)
    assert "can't be read (Input/output error)" in why_not(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty; write it again"),
        (b"id,x,y\na,1,2\n", "neither NPZ nor Parquet in spite of its name, and no other format"),
        (b"PK", "neither NPZ nor Parquet in spite of its name"),
        (b"\x93NUMPY\x01\x00", "an NPY file, which has no room for song ids; save both with np.sa"),
        (b"PK\x03\x04" + bytes(100), "as NPZ it is cut short or damaged; write it again, or copy"),
        (b"PAR1" + bytes(100), "as Parquet it is cut short or damaged; write it again, or copy"),
    ],
)
def test_other_formats(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "file.npz"
    file.write_bytes(content)
    assert words in why_not(file)
    assert "in spite" not in why_not(file.rename(tmp_path / "file.csv"))


def test_files_cut_short_or_changed(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((3, 50))
    for file in (
        npz(tmp_path, ids=np.array(IDS), vectors=values),
        parquet(tmp_path, {"id": IDS, "v": values.tolist()}, write_page_checksum=True),
    ):
        whole = file.read_bytes()
        for length in (6, 20, len(whole) // 2, len(whole) - 5, len(whole) - 1):
            file.write_bytes(whole[:length])
            assert "it is cut short or damaged" in why_not(file)
        at = whole.index(values[1, :3].tobytes())
        file.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        assert "it is cut short or damaged" in why_not(file)


@pytest.mark.parametrize(
    "arrays", [{"ids": np.array(IDS), "vectors": VALUES}, dict(zip(IDS, VALUES, strict=True))]
)
def test_damage_anywhere_is_a_sentence(tmp_path: Path, arrays: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    file = npz(tmp_path, **arrays)
    whole = bytearray(file.read_bytes())
    for at in rng.integers(0, len(whole), 300):
        broken = whole.copy()
        broken[at] ^= 1 << int(rng.integers(8))
        file.write_bytes(broken)
        with suppress(WrongUsageError):  # some bytes don't matter
            read_vectors(file)


def test_written_to_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = npz(tmp_path, ids=np.array(IDS), vectors=VALUES)
    checked = vectors_module._checked

    def touch(*given: Any) -> Any:
        os.utime(file, (0, 0))
        return checked(*given)

    monkeypatch.setattr(vectors_module, "_checked", touch)
    assert "it was written to while it was being read; try again" in why_not(file)


OBJECTS = np.array(IDS, object)
STRINGS = np.array(IDS)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "a zip without any array of numpy's"),
        (
            {"ids": OBJECTS, "vectors": VALUES},
            "which are never unpickled as they may run any code; save the ids as a plain string ar",
        ),
        ({"ids": OBJECTS, "genre": STRINGS, "x": VALUES}, "its array 'ids' holds Python objects"),
        ({"mine": OBJECTS, "vectors": VALUES}, "its array 'mine' holds Python objects"),
        ({"a": OBJECTS, "b": OBJECTS}, "its array 'a' holds Python objects"),
        (
            {"ids": STRINGS, "vectors": np.array([None, "x"])},
            "its array 'vectors' holds objects [2] instead of vectors of numbers",
        ),
        ({"ids": np.arange(3), "t": STRINGS, "x": VALUES}, "'ids' holds int64 [3] instead of text"),
        ({"vectors": VALUES}, "no array of text says the song ids or paths, there is only 'vec"),
        ({"arr_0": VALUES}, "there is only 'arr_0' (float32 [3, 4]); save them as text"),
        ({"arr_0": VALUES, "arr_1": VALUES}, "only 'arr_0' (float32 [3, 4]) and 'arr_1' (float32"),
        (
            {"title": STRINGS, "genre": STRINGS, "x": VALUES},
            "'title' (<U1 [3]) and 'genre' (<U1 [3]) may be the song ids or paths; call the right",
        ),
        ({"ids": STRINGS}, "no array holds vectors, [songs, d] or [songs, t, d], there is only 'i"),
        ({"ids": STRINGS, "x": np.arange(3)}, "no array holds vectors"),
        ({"ids": STRINGS, "a": VALUES, "b": VALUES}, "'a' (float32 [3, 4]) and 'b' (float32 [3, 4"),
        ({"ids": STRINGS, "x": VALUES[:2]}, "3 song ids in 'ids', and 2 vectors in 'x'; save one"),
        ({"ids": STRINGS, "mine": VALUES[:2]}, "3 song ids in 'ids', and 2 vectors in 'mine'"),
        ({"ids": STRINGS, "x": VALUES > 0}, "'x' holds bool [3, 4] instead of vectors of numbers"),
        ({"ids": STRINGS, "x": VALUES + 0j}, "'x' holds complex64 [3, 4] instead"),
        ({"ids": STRINGS, "x": VALUES.astype("S")}, "[3, 4] instead of vectors of numbers"),
        ({"ids": STRINGS, "x": VALUES.astype("M8[s]")}, "'x' holds datetime64[s] [3, 4] instead"),
        ({"ids": STRINGS, "x": VALUES[:, :0]}, "its vectors are of length 0"),
        ({"ids": STRINGS, "x": VALUES[:, None][:, :0]}, "'x' is float32 [3, 0, 4], and vectors ov"),
        ({"ids": STRINGS[:0], "x": VALUES[:0]}, "it holds no songs"),
        ({"ids": np.array(["a", "", "c"]), "x": VALUES}, "song 2 has an empty id; name every"),
        ({"a": VALUES[0], "b": VALUES[0, :3]}, "the vector of 'b' has length 3, that of 'a' 4;"),
        ({"a": VALUES[0], "b": VALUES[:, :2]}, "the vector of 'b' has length 2, that of 'a' 4;"),
        ({"a": VALUES[0], "b": VALUES[0] > 0}, "'b' (bool [4]) is no vector of a song; save it"),
        ({"a": np.float32(1)}, "'a' (float32 []) is no vector of a song"),
        ({"a": VALUES[0], "b": VALUES[None]}, "'b' (float32 [1, 3, 4]) is no vector of a song"),
        ({"a": VALUES[0], "b": VALUES[:0]}, "'b' is float32 [0, 4], and vectors over no time"),
        ({"a": VALUES[0, :0]}, "its vectors are of length 0"),
        ({"a\x1b[31m\n": VALUES > 0}, "'a\\x1b[31m\\n' (bool [3, 4])"),
        ({"": VALUES[0]}, "song 1 has an empty id"),
        ({f"{n}": VALUES for n in range(9)} | {"ids": STRINGS}, "(float32 [3, 4]) and 3 more may"),
    ],
)
def test_unfit_npz(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    assert words in why_not(npz(tmp_path, **arrays))


LISTS = VALUES.tolist()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"x": LISTS}, "no column of text says the song ids or paths, there is only 'x' (list<el"),
        (
            {"id": [1, 2, 3], "title": IDS, "x": LISTS},
            "its column 'id' holds int64 instead of text",
        ),
        ({"a": IDS, "b": IDS, "x": LISTS}, "columns 'a' (string) and 'b' (string) may be the song"),
        ({"id": IDS}, "no column holds vectors or numbers, there is only 'id' (string); add a col"),
        ({"id": IDS, "song": [1, 2, 3]}, "no column holds vectors or numbers"),
        ({"id": IDS, "a": LISTS, "b": LISTS}, "columns 'a' (list<element: double>) and 'b'"),
        ({"id": IDS, "x": [[True]] * 3}, "'x' holds list<element: bool> instead of vectors"),
        ({"id": IDS, "a": [LISTS] * 3}, "only 'id' (string) and 'a' (list<element: list<elem"),
        ({"id": ["a", None, "c"], "x": LISTS}, "song 2 has no id in column 'id'; name every song"),
        ({"id": ["a", "b", ""], "x": LISTS}, "song 3 has an empty id; name every song"),
        ({"id": IDS, "x": [[1], None, [2]]}, "song 'b' has no vector (null); leave out"),
        ({"id": IDS, "x": [None, [1], [2]]}, "song 'a' has no vector (null)"),
        ({"id": IDS, "x": [[1], [2], [None]]}, "the vector of 'c' has a null among its numbers"),
        (
            {"id": IDS, "u": [1, 2, 3], "x": [1, None, 3]},
            "song 'b' has no number in column 'x' (nu",
        ),
        ({"id": IDS, "x": [[1, 2], [3], [4]]}, "the vector of 'b' has length 1, that of 'a' 2;"),
        ({"id": IDS, "x": [[1, 2], [3, 4], []]}, "the vector of 'c' has length 0, that of 'a' 2"),
        ({"id": IDS, "x": pa.array([[], [], []], pa.list_(pa.int8()))}, "vectors are of length 0"),
        ({"id": pa.array([], pa.string()), "x": pa.array([], pa.int8())}, "it holds no songs"),
    ],
)
@pytest.mark.parametrize("rows", [1, 9])
def test_unfit_parquet(tmp_path: Path, columns: dict[str, Any], words: str, rows: int) -> None:
    assert words in why_not(parquet(tmp_path, columns, row_group_size=rows))


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.table([IDS, [1, 2, 3], [4, 5, 6]], names=["id", "x", "x"])
    assert "two of its columns are called 'x'; rename one" in why_not(parquet(tmp_path, table))


@pytest.mark.parametrize("rows", [0, 2, 4])
def test_metadata_that_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    file = parquet(tmp_path, {"id": IDS, "x": LISTS})
    lie = SimpleNamespace(num_rows=rows, num_row_groups=1)
    monkeypatch.setattr(pq.ParquetFile, "metadata", lie)
    words = "as Parquet it is cut short or damaged" if rows else "it holds no songs"
    assert words in why_not(file)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_numbers_that_are_not_finite(tmp_path: Path, bad: float) -> None:
    values = VALUES.astype(np.float64)
    values[1:, 2] = bad
    words = "the vectors of 2 songs, 'b' the first, hold NaN, infinity or numbers too large for fl"
    frames = np.stack([values, values], axis=1)
    for vectors in (values, np.asfortranarray(values), frames):
        assert words in why_not(npz(tmp_path, ids=STRINGS, vectors=vectors))
    assert words in why_not(npz(tmp_path, **dict(zip(IDS, values, strict=True))))
    assert words in why_not(parquet(tmp_path, {"id": IDS, "x": values.tolist()}))
    values[1] = 0
    file = parquet(tmp_path, {"id": IDS, **{f"{n}": values[:, n] for n in range(4)}})
    assert "the vectors of one song, 'c' the first" in why_not(file)


# ---- hostile archives


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "sprung",)

    for arrays in (
        {"ids": np.array([Trap()]), "vectors": VALUES},
        {"ids": STRINGS, "vectors": np.array([Trap()] * 3)},
        {"a": np.array([Trap()])},
    ):
        assert "bjects" in why_not(npz(tmp_path, **arrays))
    assert not (tmp_path / "sprung").exists()


def header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        header("(1000000000000, 512)"),
        header("(3, 4)") + bytes(47),
        header("(3, 4)") + bytes(49),
        header("(-3, -4)") + bytes(48),
        header(f"({10**400}, 0)"),
        header("(3, 4L)") + bytes(48),  # as Python 2 wrote them
        header("(3, 4, )", "[('a', '<f4'), ('b', 'O', )"),
        header("(3, [[[[)"),
        header("(" * 500),
        b"\x93NUMPY\x09\x00",
        b"",
    ],
)
def test_broken_arrays(tmp_path: Path, content: bytes) -> None:
    file = npz(tmp_path, ids=STRINGS)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("vectors.npy", content)
    if b"4L" in content:
        require(read_vectors(file), values=np.zeros((3, 4)))
    else:
        assert "as NPZ it is cut short or damaged" in why_not(file)


def test_text_beyond_unicode(tmp_path: Path) -> None:
    file = npz(tmp_path, vectors=VALUES)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("ids.npy", header("(3,)", "'<U1'") + b"\xff" * 12)
    assert "as NPZ it is cut short or damaged" in why_not(file)


def test_zip_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bomb.npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ids.npy", header("(3,)", "'<U1'") + b"a\0\0\0b\0\0\0c\0\0\0")
        archive.writestr("vectors.npy", header("(3, 1000000)") + bytes(12_000_000))
    assert file.stat().st_size < 20_000
    read = read_vectors(file)  # no bomb: a thousandth is what zeros take
    assert read.values.shape == (3, 1_000_000)

    whole = file.read_bytes()
    size = struct.pack("<I", len(header("(3, 1000000)")) + 12_000_000)
    assert whole.count(size) == 2
    file.write_bytes(whole.replace(size, struct.pack("<I", 0xF0000000)))
    assert "its array 'vectors' claims to unpack to 3.8 GB, more than can be in" in why_not(file)

    file.write_bytes(whole)
    monkeypatch.setattr(npz_module, "MOST_BYTES", 10_000_000)
    assert "its array 'vectors' claims to unpack to 0.0 GB" in why_not(file)
    songs = npz(tmp_path, **{f"{n}": np.zeros(1_000_000, np.float32) for n in range(3)})
    assert "its arrays claim to unpack to more than" in why_not(songs)
    monkeypatch.undo()

    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("vectors.npy", header("(3, 4)") + bytes(48))
    assert "its array 'vectors' is packed in a way that numpy never packs" in why_not(file)


def test_more_than_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"{number}" for number in range(2000)]
    files = [
        npz(tmp_path, ids=np.array(ids), x=np.zeros((2000, 9))),
        parquet(tmp_path, {"id": ids, "x": [[0.0] * 9] * 2000}),
    ]
    free = psutil.virtual_memory()._replace(available=300_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    for file in files:
        assert "GB are free; split it, or read it on a larger machine" in why_not(file)

    def burst(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(vectors_module, "_allocate", burst)
    assert "it needs more memory than there is; split it" in why_not(files[0])


def test_other_zips(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", b"")
    assert "a zip without any array of numpy's; save one with np.savez(" in why_not(file)
