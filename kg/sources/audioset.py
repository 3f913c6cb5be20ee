"""AudioSet's music (Gemmeke et al. 2017), or what is laid out like it: embeddings and labels.

An NPZ holds an array [clips, t, d], with the clips and their labels

- beside it in a CSV: `video_id`, `genres` (several are joined by `|`), and where it says so `split`
  and `n_frames`, in the order of the array: `clips.csv`;
- or in the NPZ, as two arrays of text: `ids` and `labels`.

Embeddings of bytes are VGGish's, which AudioSet publishes quantised to 8 bits (Hershey et al.
2017): they are taken back to -2 to 2. Each clip gets the mean over its time. `genre_tree.csv`
beside it (`mid`, `name`, `parent`) is the part of the ontology that names genres; labels may be
mids.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.tags import clean
from kg.errors import WrongUsageError
from kg.records import SongRecord
from kg.sources.csv_file import first_rows, read_columns
from kg.sources.dataset import Batch, Form, LeftOut, Parents, SourceTable, row_id
from kg.sources.npz import ZIP_DAMAGE, Array, read_blocks, read_header, read_texts
from kg.sources.reading import UnfitError, file_state, opened, quoted, undamaged
from kg.text import printable

NAME: Final = "audioset"
FAMILY: Final = "vggish"

_CSV: Final = ("video_id", "genres")
_IDS: Final = ("ids", "id", "video_ids", "video_id")
_LABELS: Final = ("labels", "label", "genres", "genre")
# As AudioSet calls its parts; it has none to choose by.
_SPLITS: Final = {
    **{"bal_train": "train", "unbal_train": "train", "eval": "test"},
    **{"train": "train", "valid": "valid", "validation": "valid", "test": "test"},
}
_CLIPS: Final = 2_000  # in a batch
_LEAST, _MOST = -2.0, 2.0  # what VGGish's bytes stand for


@dataclass(frozen=True, slots=True)
class _Clip:
    """What is said of a clip; `frames` is how many of its embeddings are its own, None: all."""

    id: str
    labels: tuple[str, ...]
    split: str | None = None
    frames: int | None = None


@dataclass(frozen=True, slots=True)
class _Tree:
    """Part of the ontology: names by mid, and the tree by name."""

    names: Mapping[str, str]
    parents: Parents


def recognise(path: Path) -> Form | None:
    """Whether clips with embeddings over time lie at a path."""
    try:
        archive, table = _files(path)
        with _opened(archive) as (zipped, size):
            embeddings = _embeddings(zipped, size)
            others = {each.name.lower() for each in _arrays(zipped, size)} - {
                embeddings.name.lower()
            }
            # Any other array would be lost: that is a table, whose own reader takes all of it.
            if others - {*_IDS, *_LABELS} or not (table or others):
                return None
    except WrongUsageError:
        return None
    return "table"


def open_table(path: Path) -> SourceTable:
    """Open clips with embeddings over time.

    Args:
        path: The NPZ, the CSV beside it, or the folder of both.

    Raises:
        WrongUsageError: one of them is missing or damaged, or they aren't of the same clips.
    """
    archive, table = _files(path)
    tree = _tree(archive.parent / "genre_tree.csv")
    with _opened(archive) as (zipped, size):
        array = _embeddings(zipped, size)
        clips = _read_csv(table) if table else _read_arrays(zipped, size)
    if len(clips) != array.rows:
        said = printable((table or archive).name)
        raise WrongUsageError(
            f"{said} names {len(clips):,} clips, and {printable(archive.name)} has embeddings of "
            f"{array.rows:,}: both must be of the same clips in the same order."
        )
    width = array.shape[-1]
    columns = [f"{FAMILY}_{number + 1:03d}" for number in range(width)]
    remarks = [] if tree.parents else ["genre_tree.csv isn't beside it: its genres have no tree."]
    return SourceTable(
        name=NAME,
        families={FAMILY: columns},
        batches=partial(_batches, archive, clips, tree),
        songs=len(clips),
        parents=tree.parents,
        remarks=remarks,
    )


# ---- where things lie


def _files(path: Path) -> tuple[Path, Path | None]:
    """The NPZ, and the CSV of its clips where there is one.

    Raises:
        WrongUsageError: there is no NPZ, or it is unclear which it is.
    """
    folder = path if path.is_dir() else path.parent
    tables = [path] if _is_of_clips(path) else sorted(filter(_is_of_clips, folder.glob("*.csv")))
    archives = sorted(folder.glob("*.npz"))
    if path.suffix.lower() == ".npz":
        archives = [path]
    elif not tables or not (path.is_dir() or path in tables):
        raise WrongUsageError(
            f"There is no CSV of clips with the columns {' and '.join(map(repr, _CSV))} at "
            f"{printable(path)}."
        )
    if len(archives) != 1 or len(tables) > 1:
        what = "NPZ of embeddings" if len(archives) != 1 else "CSV of clips"
        number = "no" if not archives else "more than one"
        raise WrongUsageError(
            f"There is {number} {what} in {printable(folder)}: a folder like AudioSet's has one "
            "NPZ, and one CSV with its clips."
        )
    return archives[0], tables[0] if tables else None


def _is_of_clips(path: Path) -> bool:
    [header] = first_rows(path, 1) or [[]]
    return set(_CSV) <= set(header)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, int]]:
    """Open an NPZ: the zip, and bytes of the file.

    Raises:
        WrongUsageError: it is none, is damaged, or an `UnfitError` says that it is no good.
    """
    with opened(path, "file of embeddings", "an NPZ", "of embeddings over time") as stream:
        with undamaged("NPZ", *ZIP_DAMAGE):
            zipped = zipfile.ZipFile(stream)
        with zipped:
            yield zipped, file_state(stream)[0]


def _arrays(zipped: zipfile.ZipFile, size: int) -> list[Array]:
    return [read_header(zipped, member, size) for member in zipped.infolist()]


def _embeddings(zipped: zipfile.ZipFile, size: int) -> Array:
    """The array [clips, t, d].

    Raises:
        UnfitError: there is none, or several.
    """
    found = [each for each in _arrays(zipped, size) if len(each.shape) == 3]
    if len(found) != 1 or found[0].kind != "vectors" or found[0].fortran:
        raise UnfitError(
            "it has no array of numbers [clips, t, d]"
            if not found
            else "it isn't clear which of its arrays are the embeddings, row by row, of its clips",
            "save one such array there, float32 or uint8",
        )
    return found[0]


# ---- what is said of clips


def _read_csv(path: Path) -> list[_Clip]:
    [header] = first_rows(path, 1)
    wanted = (*_CSV, "split", "n_frames")
    texts = {name: header.index(name) for name in wanted if name in header}
    return [
        _Clip(
            row["video_id"],
            _labels(row["genres"]),
            _SPLITS.get(row.get("split", "")),
            int(row["n_frames"]) if row.get("n_frames", "").isdecimal() else None,
        )
        for said, _ in read_columns(path, texts)
        for row in said
    ]


def _read_arrays(zipped: zipfile.ZipFile, size: int) -> list[_Clip]:
    """Ids and labels that lie in the NPZ.

    Raises:
        UnfitError: one of them is missing, or they are of different lengths.
    """
    arrays = {array.name.lower(): array for array in _arrays(zipped, size)}
    found = []
    for kind, names in (("ids", _IDS), ("labels", _LABELS)):
        array = next((arrays[name] for name in names if name in arrays), None)
        if array is None or array.kind != "text":
            raise UnfitError(
                f"no array of text called {quoted(names[0])} is in it, and no CSV of its clips "
                "lies beside it",
                f"save the {kind} of the clips there, as text",
            )
        found.append(read_texts(zipped, array))
    ids, labels = found
    if len(ids) != len(labels):
        raise UnfitError(
            f"it has {len(ids):,} ids and {len(labels):,} labels",
            "save one of each for each clip, several labels of one joined by |",
        )
    return [_Clip(id, _labels(text)) for id, text in zip(ids, labels, strict=True)]


def _labels(text: str) -> tuple[str, ...]:
    """Labels as they stand in a cell; AudioSet's own lists of mids have commas."""
    parts = text.split("," if re.match(r"/[mgt]/\w+,", text) else "|")
    return tuple(dict.fromkeys(filter(None, map(clean, parts))))


def _tree(path: Path) -> _Tree:
    """Read the genre tree; empty without one."""
    if not path.is_file():
        return _Tree({}, {})
    [header] = first_rows(path, 1) or [[]]
    wanted = ("mid", "name", "parent")
    if lacking := [name for name in wanted if name not in header]:
        raise WrongUsageError(
            f"{printable(path)} is no genre tree: it lacks the column {lacking[0]!r}."
        )
    names: dict[str, str] = {}
    parents: dict[str, tuple[str, ...]] = {}
    for said, _ in read_columns(path, {name: header.index(name) for name in wanted}):
        for row in said:
            name, parent = clean(row["name"]), clean(row["parent"])
            names[row["mid"]] = name
            own = (*parents.get(name, ()), *([parent] if parent else []))
            parents[name] = tuple(dict.fromkeys(own))
    return _Tree(names, parents)


# ---- embeddings


def _batches(path: Path, clips: Sequence[_Clip], tree: _Tree) -> Iterator[Batch]:
    at = 0
    with _opened(path) as (zipped, size):
        array = _embeddings(zipped, size)
        for block in read_blocks(zipped, array, _CLIPS):
            own = clips[at : at + len(block)]
            at += len(block)
            songs, left_out, kept = [], [], []
            for row, clip in enumerate(own):
                if not clip.id or clip.frames == 0:
                    reason = "it has no embedding" if clip.id else "it has no id"
                    left_out.append(LeftOut(clip.id, reason))
                    continue
                kept.append(row)
                songs.append(_song(clip, tree))
            features = _means(block, [clip.frames for clip in own])[kept]
            yield Batch(songs, features, left_out=left_out)


def _means(block: NDArray[np.generic], frames: Sequence[int | None]) -> NDArray[np.float32]:
    """Means over the time of each clip, float32 [n, d], of embeddings [n, t, d].

    Args:
        block: The embeddings; bytes are VGGish's.
        frames: How many of a clip's are its own, the others being padding; None: all.
    """
    steps = block.shape[1]
    own = np.array([steps if n is None else min(n, steps) for n in frames])
    weights = (np.arange(steps) < own[:, None]) / np.maximum(own, 1)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.einsum("ntd,nt->nd", block.astype(np.float64), weights)
        if block.dtype == np.uint8:
            means = means / 255 * (_MOST - _LEAST) + _LEAST
        narrow: NDArray[np.float32] = means.astype(np.float32)
    narrow[~np.isfinite(narrow)] = np.nan
    return narrow


def _song(clip: _Clip, tree: _Tree) -> SongRecord:
    genres = tuple(dict.fromkeys(tree.names.get(label, label) for label in clip.labels))
    return SongRecord(
        id=row_id(NAME, clip.id),
        title=clip.id,
        genres=genres,
        genre_source="table" if genres else "",
        split=clip.split,
        source=NAME,
        key=clip.id,
    )
