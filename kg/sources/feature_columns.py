"""Which columns of a table tell how songs sound, and which only seem to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, Literal

from kg.schema import check_family_name
from kg.sources.columns import Column
from kg.sources.families import group
from kg.sources.reading import LISTED, UnfitError, quoted
from kg.sources.roles import NAMES, listed_names, plain_name

_LABELS: Final = frozenset(NAMES["genre"]) | {"classid", "labelid", "subgenre", "mood", "cluster"}

_SIZES: Final = frozenset(
    {
        *("length", "len", "frames", "nframes", "numframes", "samples", "numsamples", "nsamples"),
        *("start", "end", "offset", "onset", "size", "filesize", "bytes", "bitrate", "samplerate"),
        *("sr", "channels", "bitdepth", "trackno", "tracknumber", "number", "discnumber", "disc"),
        *("starttime", "endtime", "clipstart", "clipend", "dur", "time", "timestamp"),
        *("segment", "segmentid", "patch", "chunk", "window"),
    }
)
_LISTENERS: Final = frozenset(
    {
        *("popularity", "listens", "listeners", "plays", "playcount", "playcounts", "views"),
        *("likes", "favorites", "favourites", "comments", "interest", "rank", "rating", "ratings"),
        *("hotttnesss", "songhotttnesss", "hotness", "familiarity", "downloads", "streams"),
        *("year", "date", "decade", "latitude", "longitude"),
    }
)
# A `key` may be that of the music.
_NUMBERINGS: Final = frozenset(NAMES["id"]) - {"key", "keys"} | {"rowid", "row", "nr", "no"}

_CODE = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
_CATEGORIES: Final = 24  # whole numbers of fewer kinds, each often, are codes
_OFTEN: Final = 20
_LEAST_PRESENT: Final = 0.05
_MANY_ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class Feature:
    """A column of a table that tells how a song sounds.

    Attributes:
        column: Its name.
        kind: Numbers; lists of them; or a code, which becomes a 0 or 1 for each of its values.
        family: The feature family that it belongs to.
        names: What the columns of features that it becomes are called.
        values: Of a code, in order.
        comma: Whether it has decimal commas.
    """

    column: str
    kind: Literal["number", "list", "code"]
    family: str
    names: tuple[str, ...]
    values: tuple[float, ...] = ()
    comma: bool = False


def named_in_full(columns: Mapping[str, Column], patterns: Sequence[str]) -> frozenset[str]:
    """Columns that the user names in full among the features."""
    return frozenset(pattern for pattern in patterns if pattern in columns)


def choose_features(
    columns: Mapping[str, Column],
    used: set[str],
    patterns: Sequence[str],
    families: Sequence[tuple[str, str]],
    named: frozenset[str],
) -> tuple[tuple[Feature, ...], dict[str, str]]:
    """Columns that are features, and why others aren't.

    Args:
        columns: All of the table.
        used: Those that say something else.
        patterns: Of --features; none: whatever is fit.
        families: (pattern, family) of --family.
        named: Columns that --features names in full.

    Raises:
        UnfitError: none is, or one that the user names can't be.
    """
    wanted = _wanted(columns, used, patterns)
    left: dict[str, str] = {}
    chosen: dict[str, Column] = {}
    for name, column in columns.items():
        if name in used:
            continue
        if wanted is not None and name not in wanted:
            left[name] = "not among --features"
            continue
        why = _unfit(column)
        if why and name in named:
            raise UnfitError(f"its column {quoted(name)} can't be a feature: {why}", _ANOTHER)
        if not why and name not in named:
            why = _suspicious(column)
        if why or column.kind not in ("number", "list"):
            left[name] = why
            continue
        chosen[name] = column
    if not chosen:
        raise no_features(left)
    codes = {name for name, column in chosen.items() if name not in named and _is_code(column)}
    widths = {
        name: len(column.values or ()) if name in codes else column.width
        for name, column in chosen.items()
        if name in codes or column.kind == "list"
    }
    family_of = _families(list(chosen), widths, families)
    features = [_feature(chosen[name], family_of[name], name in codes) for name in chosen]
    order = list(dict.fromkeys(family_of.values()))
    features.sort(key=lambda one: order.index(one.family))
    return tuple(features), left


def features_as_in(
    columns: Mapping[str, Column], used: set[str], families: Mapping[str, Sequence[str]]
) -> tuple[Feature, ...] | None:
    """The features of a library, from columns of this table; None: it doesn't have them."""
    found: dict[tuple[str, str], Feature] = {}
    for family, names in families.items():
        for name in names:
            one = _feature_called(columns, name, family)
            if one is None or one.column in used:
                return None
            before = found.get((family, one.column))
            if before is not None:
                one = replace(
                    one, names=(*before.names, *one.names), values=(*before.values, *one.values)
                )
            found[family, one.column] = one
    for feature in found.values():
        if feature.kind == "list" and len(feature.names) != columns[feature.column].width:
            return None
    return tuple(found.values()) or None


def _feature_called(columns: Mapping[str, Column], name: str, family: str) -> Feature | None:
    """The column that gives a feature of this name."""
    if name in columns:
        column = columns[name]
        if column.kind not in ("number", "empty"):
            return None
        return Feature(name, "number", family, (name,), (), column.comma)
    source, _, code = name.rpartition("=")
    if _CODE.fullmatch(code) and source in columns and columns[source].kind in ("number", "empty"):
        return Feature(source, "code", family, (name,), (float(code),), columns[source].comma)
    source, _, _ = name.rpartition("_")
    if source in columns and columns[source].kind == "list":
        return Feature(source, "list", family, (name,))
    return None


_ANOTHER: Final = "leave it out of --features"


def _wanted(
    columns: Mapping[str, Column], used: set[str], patterns: Sequence[str]
) -> set[str] | None:
    """Columns whose names fit the patterns of --features; None: it wasn't given."""
    if not patterns:
        return None
    wanted: set[str] = set()
    for pattern in patterns:
        fitting = {name for name in columns if name == pattern or fnmatchcase(name, pattern)}
        if not fitting:
            raise UnfitError(
                f"no column fits --features {quoted(pattern)}",
                f"its columns are {listed_names(list(columns))}",
            )
        taken = fitting & used
        if fitting == taken:
            raise UnfitError(
                f"its column {quoted(min(taken))} can't be a feature: it says something else of "
                "the songs",
                _ANOTHER,
            )
        wanted |= fitting
    return wanted


def _unfit(column: Column) -> str:
    """Why a column can't be a feature."""
    if column.kind == "dull":
        return column.why
    if column.kind == "empty":
        return "nothing is in it"
    if column.why:
        return column.why
    if column.kind in ("text", "labels"):
        kind = "text" if column.kind == "text" else "lists of several lengths or of text"
        return f"holds {kind}, such as {quoted(column.example)}"
    if column.kind == "number" and column.low == column.high:
        return f"all its values are {column.example}"
    if column.kind == "list" and (not column.width or column.low == column.high):
        return "all its values are the same"
    if column.present < _LEAST_PRESENT * column.rows:
        return f"{column.missing:,} of {column.rows:,} values are missing"
    return ""


def _suspicious(column: Column) -> str:
    """Why a column of numbers is no feature unless a user says so: what it tells isn't sound."""
    plain = plain_name(column.name)
    lower = column.name.lower()
    if plain in NAMES["split"] or re.fullmatch(r"is(train|valid|val|test)(ing|ation)?", plain):
        return "says on which side songs are, not how they sound"
    if plain in _LABELS or "genre" in plain:
        return "says what the songs are, which is what is to be learned"
    if column.kind == "number" and column.sequence:
        return "numbers the rows"
    if re.search(r"(^|[^a-z0-9])ids?$", lower) or plain in _NUMBERINGS:
        return "numbers the songs or what belongs to them"
    if plain in _SIZES or plain in NAMES["duration"]:
        return "says how long or large a file is, not how it sounds"
    if plain in _LISTENERS or re.match(r"(artist|album|user)[^a-z]", lower):
        return "says something of artists, listeners or years, not how it sounds"
    different = column.kind == "number" and column.distinct == column.present
    if different and column.integers and column.rows >= _MANY_ROWS:
        return "is another number in each row, as ids are"
    return ""


def _is_code(column: Column) -> bool:
    """Whether whole numbers are names of something: between 3 and 4 of a key lies nothing."""
    return (
        column.kind == "number"
        and column.integers
        and column.values is not None
        and 2 < len(column.values) <= _CATEGORIES
        and column.present >= _OFTEN * len(column.values)
    )


def codes_in_words(features: Sequence[Feature]) -> str | None:
    """Plain words for columns that were taken for codes; None: none was."""
    named = [f"{quoted(one.column)} ({len(one.names)})" for one in features if one.kind == "code"]
    if not named:
        return None
    return (
        f"{', '.join(named)} {'hold' if len(named) > 1 else 'holds'} whole numbers of few kinds, "
        "which are taken for codes: each kind is a column of its own (--features names columns "
        "whose numbers count)."
    )


def _feature(column: Column, family: str, is_code: bool) -> Feature:
    if is_code:
        values = column.values or ()
        names = tuple(f"{column.name}={value:g}" for value in values)
        return Feature(column.name, "code", family, names, values, column.comma)
    if column.kind == "list":
        digits = len(str(column.width))
        names = tuple(f"{column.name}_{n:0{digits}d}" for n in range(1, column.width + 1))
        return Feature(column.name, "list", family, names)
    return Feature(column.name, "number", family, (column.name,), (), column.comma)


def _families(
    names: Sequence[str], widths: Mapping[str, int], asked: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """The family of each column: what the user says, else by its name."""
    given: dict[str, str] = {}
    for pattern, family in asked:
        check_family_name(family)
        fitting = [name for name in names if name == pattern or fnmatchcase(name, pattern)]
        if not fitting:
            raise UnfitError(
                f"no column of features fits --family {quoted(f'{pattern}={family}')}",
                f"these are {listed_names(names)}",
            )
        for name in fitting:
            given.setdefault(name, family)
    found = group([name for name in names if name not in given], widths) | given
    return {name: found[name] for name in names}


def no_features(left: Mapping[str, str]) -> UnfitError:
    """No column of a table is a feature, for these reasons by name."""
    told = [f"{quoted(name)} {why}" for name, why in left.items() if why]
    more = f" ({'; '.join(told[:LISTED])}{'; ...' if len(told) > LISTED else ''})" if told else ""
    return UnfitError(
        f"no column of it is a feature{more}",
        "add columns of numbers that say how songs sound, or name them with --features",
    )
