"""Any table with a row a song - CSV, TSV, Parquet, NPZ - as songs with features.

What each column is for is guessed (`kg.sources.layout`) and can be seen before anything is
written: `open_table` reads the file twice, once for what its columns hold and once for what would
go wrong, and its rows are read again, in batches, when they are taken in.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kg.errors import WrongUsageError
from kg.files import normal
from kg.progress import SILENT, Advance, Progress
from kg.records import SongRecord
from kg.schema import SPLITS
from kg.sources.columns import Column, Survey, survey
from kg.sources.dataset import Batch, LeftOut, SourceTable, row_id
from kg.sources.feature_columns import Feature, codes_in_words
from kg.sources.layout import Asked, Layout, lay_out, missing_in_words
from kg.sources.leaks import GenreTellers
from kg.sources.reading import UnfitError, quoted
from kg.sources.roles import Role, split_of
from kg.sources.sheets import SUFFIXES, Ragged, Rows, Sheet, open_sheet
from kg.sources.texts import as_numbers, as_texts, as_vectors, genres_of
from kg.splits.artists import artist_key
from kg.text import printable

if TYPE_CHECKING:
    import pyarrow as pa

_REPEATED: Final = 0.05  # of the rows, so many may repeat an id: with more it is none
_CODES: Final = 256  # different numbers in lists that may be labels
_WIDEST: Final = 1_000  # numbers a list, above which nobody's labels are
_FEW: Final = 3  # names in a sentence

RAGGED: Final = "it has more or fewer cells than the header"
UNNAMED: Final = "it has no id"
EMPTY: Final = "it has no features"
SAME: Final = "it repeats an earlier row"
SAME_ID: Final = "it has the id of an earlier row, with other values"


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """What a column is used for.

    Attributes:
        name: Of the column.
        use: `id`, `title`, `artist`, `album`, `genre`, `split`, `year`, `duration`, `features`, or
            `nothing`.
        family: Of features.
        holds: An example, or what there is: `10 genres: blues, ...`.
        why: Why it isn't used.
        missing: Rows in which nothing is in it.
    """

    name: str
    use: str
    family: str | None
    holds: str
    why: str
    missing: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a table would become, before anything is written.

    Attributes:
        file: Where it is.
        form: In which form: `CSV, separated by commas, UTF-8`.
        songs: Rows that are songs.
        columns: All of them, in order.
        families: Columns of features of each family.
        genres: Songs of each genre, the largest first.
        splits: Songs on each side that the table gives.
        left_out: Rows that are no songs, by reason.
        remarks: Sentences that a reader should know.
    """

    file: str
    form: str
    songs: int
    columns: Sequence[ColumnUse]
    families: Mapping[str, Sequence[str]]
    genres: Mapping[str, int]
    splits: Mapping[str, int]
    left_out: Mapping[str, int]
    remarks: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class OpenedTable:
    """A table whose columns are understood.

    Attributes:
        source: What is taken in.
        preview: What that comes to.
    """

    source: SourceTable
    preview: Preview

    def remarking(self, said: str) -> "OpenedTable":
        """The same with one more sentence in its preview."""
        remarks = [*self.preview.remarks, said]
        return replace(self, preview=replace(self.preview, remarks=remarks))


def is_table(path: Path) -> bool:
    """Whether a file is called as tables are."""
    return path.suffix.lower() in SUFFIXES


def open_table(
    file: Path | str,
    asked: Asked = Asked(),  # noqa: B008 - frozen
    *,
    like: Callable[[], Mapping[str, Sequence[str]] | None] = lambda: None,
    progress: Progress = SILENT,
) -> OpenedTable:
    """Read a table's columns, guess what they are, and look for what would go wrong.

    The memory needed is that of a batch, some 30 bytes a row, and 8 bytes for each different text
    of a column.

    Args:
        file: CSV, TSV, Parquet or NPZ.
        asked: What the user says of its columns.
        like: Asked once the file is known to be a table: columns of each family of the library
            that it is to join. Its features are these, where they can be told from its columns.
        progress: Told how far it is.

    Raises:
        WrongUsageError: the file can't be read, or is no table of songs and their features; or
            what is asked for isn't there.
    """
    path = normal(Path(file))
    sheet = open_sheet(path)
    try:
        with progress.stage("Looking at the columns", sheet.rows) as advance:
            found = survey(sheet, advance)
        layout = lay_out(found, asked, like())
        with progress.stage("Looking through the rows", found.rows) as advance:
            facts = _look_through(sheet, layout, found, advance)
        layout = layout.without(
            {name: why for name, why in facts.leaks.items() if name not in layout.named}
        )
        _require_songs(facts, layout, found)
    except UnfitError as error:
        raise WrongUsageError(
            f"The table {printable(path)} can't be used: {error.what}; {error.mend}."
        ) from error
    remarks = _remarks(layout, found, facts)
    source = SourceTable(
        name=path.stem,
        families=layout.families,
        batches=lambda: _batches(sheet, layout, path.stem, facts),
        songs=found.rows,
        remarks=remarks,
    )
    return OpenedTable(source, _preview(path, sheet, found, layout, facts, remarks))


# ---- rows, as the layout has them


@dataclass(frozen=True, slots=True)
class _Cells:
    """Some rows: what the columns of the roles say, text [n] each, and features, float32 [n, d]."""

    texts: "Mapping[Role, pa.Array]"
    x: NDArray[np.float32]


def _columns_read(layout: Layout) -> list[str]:
    return list(dict.fromkeys([*layout.roles.values(), *(one.column for one in layout.features)]))


def _cells(rows: Rows, names: Sequence[str], layout: Layout) -> _Cells:
    by_name = dict(zip(names, rows.columns, strict=True))
    texts = {role: _texts(by_name[name]) for role, name in layout.roles.items()}
    x = np.full((len(rows), layout.width), np.nan, np.float32)
    at = 0
    with np.errstate(over="ignore"):  # becomes infinite, which is missing
        for feature in layout.features:
            x[:, at : at + len(feature.names)] = _values(by_name[feature.column], feature)
            at += len(feature.names)
    x[~np.isfinite(x)] = np.nan
    return _Cells(texts, x)


def _texts(column: "pa.Array") -> "pa.Array":
    """A column as text; lists of several things as text that lists them."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_nested(column.type):
        told = (
            None if not cell else repr([str(one) for one in cell if one is not None])
            for cell in column.to_pylist()
        )
        return pa.array(told, pa.string())
    return as_texts(column)


def _values(column: "pa.Array", feature: Feature) -> NDArray[np.float64]:
    """The features that a column becomes, [n, names]."""
    if feature.kind == "list":
        found = as_vectors(column)
        x = np.full((len(column), len(feature.names)), np.nan)
        if found is not None:
            lengths, flat = found
            x[lengths == x.shape[1]] = flat.reshape(-1, x.shape[1])
        return x
    numbers: NDArray[np.float64] = as_numbers(column, comma=feature.comma).values
    if feature.kind == "number":
        return numbers.reshape(-1, 1)
    codes: NDArray[np.float64]
    codes = (numbers.reshape(-1, 1) == np.array(feature.values)).astype(np.float64)
    codes[np.isnan(numbers)] = np.nan
    return codes


def _batches(sheet: Sheet, layout: Layout, name: str, facts: "_Facts") -> Iterator[Batch]:
    """The songs of a table, and the rows that are none."""
    names = _columns_read(layout)
    for rows in sheet.batches(names):
        if not len(rows):
            yield Batch((), np.empty((0, layout.width), np.float32), (), _ragged(rows.ragged))
            continue
        cells = _cells(rows, names, layout)
        left, kept = _left_out(rows.at, cells, facts)
        records, durations = _records(cells, kept, layout, name)
        yield Batch(records, cells.x[kept], durations, [*_ragged(rows.ragged), *left])


def _ragged(lines: Sequence[Ragged]) -> list[LeftOut]:
    return [
        LeftOut(
            f"line {one.line:,}" if one.line else one.text,
            f"{RAGGED}: {one.cells:,}",
            unreadable=True,
        )
        for one in lines
    ]


def _left_out(at: int, cells: _Cells, facts: "_Facts") -> tuple[list[LeftOut], NDArray[np.int64]]:
    """Rows that are no songs, and why; and the places of all others."""
    keys = cells.texts["id"]
    reasons: dict[int, tuple[str, str]] = {}
    begin, end = np.searchsorted(facts.repeated, [at, at + len(keys)])
    for n in range(begin, end):
        row = int(facts.repeated[n]) - at
        before = f"row {facts.first[n] + 1:,}"
        said = f"it repeats {before}"
        if not facts.same[n]:
            said = f"it has the id of {before}, with other values"
        reasons[row] = (keys[row].as_py(), said)
    for row in np.flatnonzero(np.isnan(cells.x).all(axis=1)).tolist():
        reasons.setdefault(row, (keys[row].as_py() or f"row {at + row + 1:,}", EMPTY))
    if keys.null_count:
        for row in np.flatnonzero(keys.is_null().to_numpy(zero_copy_only=False)).tolist():
            reasons[row] = (f"row {at + row + 1:,}", UNNAMED)
    left = [LeftOut(printable(row), why) for _, (row, why) in sorted(reasons.items())]
    kept = np.setdiff1d(np.arange(len(keys)), np.fromiter(reasons, np.int64, len(reasons)))
    return left, kept


def _records(
    cells: _Cells, kept: NDArray[np.int64], layout: Layout, name: str
) -> tuple[list[SongRecord], list[float | None]]:
    told = {role: column.take(kept).to_pylist() for role, column in cells.texts.items()}
    nothing: list[str | None] = [None] * len(kept)
    records = []
    for key, title, artist, album, genre, split, year in zip(
        told["id"],
        *(
            told.get(role, nothing)
            for role in ("title", "artist", "album", "genre", "split", "year")
        ),
        strict=True,
    ):
        genres = genres_of(genre, layout.commas)
        records.append(
            SongRecord(
                id=row_id(name, key),
                title=title,
                artist=artist,
                album=album,
                year=_year(year),
                genres=genres,
                genre_source="table" if genres else "",
                split=None if split is None else split_of(split),
                source=name,
                key=key,
            )
        )
    if "duration" not in layout.roles:
        return records, []
    unit = 1000 if "ms" in layout.roles["duration"].lower() else 1
    seconds = as_numbers(cells.texts["duration"].take(kept)).values / unit
    return records, [float(each) if np.isfinite(each) and each > 0 else None for each in seconds]


def _year(text: str | None) -> int | None:
    """A year of four digits; 0 and the like mean that nobody knows."""
    digits = (text or "").partition(".")[0]
    return int(digits) if len(digits) == 4 and digits.isdecimal() else None


# ---- the second look: what only all rows together tell


@dataclass(slots=True)
class _Facts:
    """What is known of the rows before they are taken in.

    Attributes:
        repeated: Rows whose id came before, in order, int64 [r].
        first: The row that each repeats, int64 [r].
        same: Whether it is the same in all that is used, bool [r].
        leaks: Columns of features that tell the genre, and how.
        genres: Songs of each.
        splits: Songs on each side.
        astray: Artists with songs on several sides.
        unnamed: Rows without an id.
        empty: Rows without any feature.
        copies: Songs that have all features of another song.
    """

    repeated: NDArray[np.int64]
    first: NDArray[np.int64]
    same: NDArray[np.bool_]
    leaks: Mapping[str, str] = field(default_factory=dict)
    genres: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    astray: Sequence[str] = ()
    unnamed: int = 0
    empty: int = 0
    copies: int = 0


def _look_through(sheet: Sheet, layout: Layout, found: Survey, advance: Advance) -> _Facts:
    """Find rows that repeat others, columns that are the genre, artists on two sides."""
    names = _columns_read(layout)
    few = {
        one.column: found.columns[one.column].values or ()
        for one in layout.features
        if one.kind != "list" and found.columns[one.column].values is not None
    }
    # Lists of a few whole numbers, as one-hot labels are: each place is a column here.
    lists = {
        one.column: len(one.names)
        for one in layout.features
        if one.kind == "list" and _few_whole(found.columns[one.column])
    }
    for name, width in lists.items():
        bounds = found.columns[name]
        values = tuple(float(v) for v in range(int(bounds.low), int(bounds.high) + 1))
        few |= {f"{name}\0{n}": values for n in range(width)}
    tellers = GenreTellers(few if "genre" in layout.roles else {})
    artists = _Sides()
    genres, sides = _Counted(), _Counted()
    keys, contents, features = [], [], []
    unnamed = empty = 0
    for rows in sheet.batches(names):
        if not len(rows):
            continue
        cells = _cells(rows, names, layout)
        nothing = np.isnan(cells.x).all(axis=1)
        nameless = cells.texts["id"].is_null().to_numpy(zero_copy_only=False)
        keys.append(_hash(cells.texts["id"]))
        keys[-1][nameless] = 0
        features.append(_hash_rows(cells.x))
        features[-1][nothing] = 0
        contents.append(features[-1] + _hash_texts(cells.texts))
        unnamed += int(nameless.sum())
        empty += int((nothing & ~nameless).sum())
        told = _told(cells, layout)
        genres.add(told)
        if tellers.columns:
            by_name = dict(zip(names, rows.columns, strict=True))
            said = {name: as_numbers(by_name[name]).values for name in few if "\0" not in name}
            at = 0
            for one in layout.features:
                if one.column in lists:
                    said |= {
                        f"{one.column}\0{n}": cells.x[:, at + n].astype(np.float64)
                        for n in range(len(one.names))
                    }
                at += len(one.names)
            tellers.add(said, told)
        if "split" in layout.roles:
            here = [split_of(cell or "") for cell in cells.texts["split"].to_pylist()]
            sides.add([(side,) if side else () for side in here])
            if "artist" in layout.roles:
                artists.add(cells.texts["artist"].to_pylist(), here)
        advance(len(rows))
    key, content, feature = (np.concatenate(pieces) for pieces in (keys, contents, features))
    whole = (key != 0) & (feature != 0)
    repeated, first = _repeats(np.where(whole, key, np.uint64(0)))
    alone = whole.copy()
    alone[repeated] = False
    return _Facts(
        repeated=repeated,
        first=first,
        same=content[repeated] == content[first],
        leaks={name.partition("\0")[0]: why for name, why in tellers.found().items()},
        genres=genres.of(alone),
        splits=sides.of(alone),
        astray=artists.astray(),
        unnamed=unnamed,
        empty=empty,
        copies=int(alone.sum()) - len(np.unique(feature[alone])),
    )


def _few_whole(column: Column) -> bool:
    """Whether a column of lists holds few different whole numbers, as labels do."""
    return column.integers and 0 < column.high - column.low < _CODES and column.width <= _WIDEST


class _Counted:
    """Names of each row, of which only some rows count in the end; 4 bytes a row."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, ...], int] = {}
        self._rows: list[NDArray[np.int32]] = []

    def add(self, names: Sequence[tuple[str, ...]]) -> None:
        places = (self._places.setdefault(each, len(self._places)) for each in names)
        self._rows.append(np.fromiter(places, np.int32, len(names)))

    def of(self, rows: NDArray[np.bool_]) -> Counter[str]:
        """How many of these rows have each name."""
        found: Counter[str] = Counter()
        if self._rows:
            kept = np.concatenate(self._rows)[rows]
            for names, count in zip(self._places, np.bincount(kept).tolist(), strict=False):
                found.update(dict.fromkeys(names, count))
        return +found


class _Sides:
    """On which sides songs of each artist are."""

    def __init__(self) -> None:
        self._sides: dict[str, set[str]] = {}
        self._names: dict[str, str] = {}

    def add(self, artists: Sequence[str | None], sides: Sequence[str | None]) -> None:
        for artist, side in set(zip(artists, sides, strict=True)):
            key = artist_key(artist)
            if key is not None and artist is not None and side is not None:
                self._sides.setdefault(key, set()).add(side)
                self._names.setdefault(key, artist)

    def astray(self) -> list[str]:
        return sorted(self._names[key] for key, sides in self._sides.items() if len(sides) > 1)


def _told(cells: _Cells, layout: Layout) -> list[tuple[str, ...]]:
    """Genres of each row."""
    column = cells.texts.get("genre")
    if column is None:
        return [()] * len(cells.x)
    return [genres_of(cell, layout.commas) for cell in column.to_pylist()]


def _hash(texts: "pa.Array") -> NDArray[np.uint64]:
    """64 bits of each text, 0 for none."""
    from pandas.util import hash_array

    encoded = texts.dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist(), object)
    hashes = hash_array(names, categorize=False) if len(names) else np.zeros(1, np.uint64)
    places = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    found: NDArray[np.uint64] = hashes[places]
    if texts.null_count:
        found[texts.is_null().to_numpy(zero_copy_only=False)] = 0
    return found


def _hash_texts(texts: "Mapping[Role, pa.Array]") -> NDArray[np.uint64]:
    """64 bits of all that a row says of its song."""
    odd = _odd_numbers(len(texts), 1)
    found = np.zeros(len(texts["id"]), np.uint64)
    for n, column in enumerate(texts.values()):
        found += _hash(column) * odd[n]
    return found


def _hash_rows(x: NDArray[np.float32]) -> NDArray[np.uint64]:
    """64 bits of each row: its numbers times odd ones, which no two rows share by chance."""
    bits = np.where(np.isnan(x), np.float32(np.nan), x + np.float32(0)).view(np.uint32)
    found = np.zeros(len(x), np.uint64)
    for n, odd in enumerate(_odd_numbers(x.shape[1], 2)):
        found += (bits[:, n].astype(np.uint64) + np.uint64(n + 1)) * odd
    return found ^ (found >> np.uint64(29))


def _odd_numbers(count: int, seed: int) -> NDArray[np.uint64]:
    drawn = np.random.default_rng(seed).integers(0, 2**64, count, np.uint64, endpoint=False)
    odd: NDArray[np.uint64] = drawn | np.uint64(1)
    return odd


def _repeats(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows whose key came before, and the rows where it came first; 0 is no key."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    before = first[inverse]
    repeated = np.flatnonzero((before != np.arange(len(keys))) & (keys != 0))
    return repeated.astype(np.int64), before[repeated].astype(np.int64)


def _require_songs(facts: _Facts, layout: Layout, found: Survey) -> None:
    """Refuse a table of which too little would be left.

    Raises:
        UnfitError: ids repeat, or no row is a song.
    """
    others = np.flatnonzero(~facts.same)
    if len(others) > max(1, _REPEATED * found.rows):
        row, first = int(facts.repeated[others[0]]), int(facts.first[others[0]])
        raise UnfitError(
            f"its column {quoted(layout.roles['id'])} is no id: {len(others):,} of {found.rows:,} "
            f"rows repeat one with other values, row {row + 1:,} that of row {first + 1:,} first",
            "keep one row a song (the mean of several), or name another column with --id",
        )
    if _songs(facts, found) < 1:
        raise UnfitError(
            "no row of it is a song: each lacks its id or all features", "fill them in"
        )


def _songs(facts: _Facts, found: Survey) -> int:
    return found.rows - facts.unnamed - facts.empty - len(facts.repeated)


# ---- what it comes to, for people


def _remarks(layout: Layout, found: Survey, facts: _Facts) -> tuple[str, ...]:
    said = list(layout.remarks)
    if codes := codes_in_words(layout.features):
        said.append(codes)
    if gaps := missing_in_words(layout.features, found.columns):
        said.append(gaps)
    said += [
        f"{quoted(name)} {why}: it is a feature only because --features, or the library, names it."
        for name, why in facts.leaks.items()
        if name in layout.named
    ]
    if facts.astray:
        few = ", ".join(printable(name) for name in facts.astray[:_FEW])
        more = f" and {len(facts.astray) - _FEW:,} more" if len(facts.astray) > _FEW else ""
        said.append(
            f"Column {quoted(layout.roles['split'])} has songs of one artist on several sides "
            f"({few}{more}): `kg train` refuses such a split unless --split or --allow-leaks says "
            "otherwise; --split none leaves the column unread."
        )
    if facts.copies:
        said.append(
            f"Songs with the very features of another song: {facts.copies:,}. They are taken for "
            "copies of its recording."
        )
    return tuple(said)


def _preview(
    path: Path,
    sheet: Sheet,
    found: Survey,
    layout: Layout,
    facts: _Facts,
    remarks: Sequence[str],
) -> Preview:
    families = {one.column: one.family for one in layout.features}
    by_column = {name: role for role, name in layout.roles.items()}
    uses = [
        ColumnUse(
            name=name,
            use="features" if name in families else by_column.get(name, "nothing"),
            family=families.get(name),
            holds=column.example,
            why=layout.left.get(name, ""),
            missing=column.missing,
        )
        for name, column in found.columns.items()
    ]
    others = int((~facts.same).sum())
    left = {
        RAGGED: len(found.ragged),
        UNNAMED: facts.unnamed,
        EMPTY: facts.empty,
        SAME: len(facts.repeated) - others,
        SAME_ID: others,
    }
    return Preview(
        file=printable(path),
        form=sheet.form,
        songs=_songs(facts, found),
        columns=uses,
        families=layout.families,
        genres=dict(facts.genres.most_common()),
        splits={side: facts.splits[side] for side in SPLITS if facts.splits[side]},
        left_out={why: count for why, count in left.items() if count},
        remarks=remarks,
    )
