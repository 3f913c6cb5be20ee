"""Which column names songs, their titles, artists, albums, genres and sides: by name and cells."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from kg.sources.columns import Column
from kg.sources.reading import LISTED, UnfitError, quoted
from kg.sources.texts import genres_of

Role = Literal["id", "title", "artist", "album", "genre", "split", "year", "duration"]

# What columns are called, the likeliest first; words are compared without case and separators.
NAMES: Final[Mapping[Role, tuple[str, ...]]] = {
    "id": (
        *("id", "ids", "songid", "trackid", "musicid", "clipid", "videoid", "audioid", "itemid"),
        *("recordingid", "fileid", "msdid", "mbid", "isrc", "uuid", "uri", "url", "filename"),
        *("filenames", "filepath", "file", "files", "path", "paths", "audiofile", "audiopath"),
        *("wav", "mp3", "key", "keys", "hash", "md5", "index", "unnamed0", "song", "track", "clip"),
        "name",
    ),
    "title": (
        *("title", "songtitle", "tracktitle", "songname", "trackname", "titles", "musicname"),
        *("song", "track", "name"),
    ),
    "artist": (
        *("artist", "artistname", "artists", "artistnames", "trackartist", "performer", "band"),
        *("singer", "creator", "composer", "albumartist", "artistid"),
    ),
    "album": ("album", "albumname", "albumtitle", "release", "releasename", "record"),
    "genre": (
        *("genre", "genres"),
        *("genretop", "topgenre", "maingenre", "genrelabel", "genrename", "trackgenre", "genreall"),
        *("genresall", "trackgenretop", "playlistgenre", "musicgenre", "genretitle", "style"),
        *("styles", "label", "labels", "class", "category", "target", "y", "tags"),
    ),
    "split": ("split", "splits", "set", "subset", "fold", "partition", "part", "usage"),
    "year": ("year", "releaseyear", "date", "releasedate", "yearreleased"),
    "duration": (
        *("duration", "durations", "durationms", "durationseconds", "durationsec"),
        *("lengthseconds", "seconds", "trackduration"),
    ),
}
# Of these only the best name that is there is the genre; two of one rank are unclear.
_GENRE_RANKS: Final = (
    frozenset({"genre", "genres"}),
    frozenset(name for name in NAMES["genre"] if "genre" in name),
    frozenset({"style", "styles", "label", "labels", "class", "category", "target", "y"}),
)
_SPLIT_WORDS: Final = {
    "train": ("train", "training", "learn", "tr"),
    "valid": ("valid", "validation", "val", "dev", "development", "validate", "tuning"),
    "test": ("test", "testing", "eval", "evaluation", "te", "holdout", "heldout"),
}

_MOST_GENRES: Final = 500
_SONGS_A_GENRE: Final = 20  # fewer, with so many genres: these are titles, probably
_SIDES: Final = 24  # words for sides that a column may have
_PARTS_KNOWN: Final = 0.8  # of what commas part, seen alone: these are several genres
_UNIQUE: Final = 0.95  # of an id, so many must differ


def split_of(cell: str) -> str | None:
    """The side that a word means: `train`, `valid` or `test`; None: it means none of them."""
    words = set(re.split(r"[^a-z]+", cell.lower()))
    sides = [side for side, names in _SPLIT_WORDS.items() if words.intersection(names)]
    return sides[0] if len(sides) == 1 else None


def plain_name(name: str) -> str:
    """A name without case and separators."""
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def called(names: Iterable[str], wanted: Sequence[str]) -> str | None:
    """The column whose name comes first among those wanted."""
    found = [name for name in names if plain_name(name) in wanted]
    return min(found, key=lambda name: wanted.index(plain_name(name)), default=None)


def named_column(columns: Mapping[str, Column], name: str, option: str) -> Column:
    """The column of that name, in whatever case.

    Raises:
        UnfitError: there is none, or nothing can be read in it.
    """
    found = columns.get(name)
    if found is None:
        alike = [one for one in columns if one.lower() == name.lower()]
        if len(alike) != 1:
            close = difflib.get_close_matches(name, columns, 1)
            mean = f", do you mean {quoted(close[0])}?" if close else ""
            raise UnfitError(
                f"it has no column called {quoted(name)}{mean}",
                f"{option} names one of {listed_names(list(columns))}",
            )
        found = columns[alike[0]]
    if found.kind == "dull":
        raise UnfitError(
            f"its column {quoted(name)} {found.why}", f"name another with {option} COLUMN"
        )
    if found.kind == "empty":
        raise UnfitError(
            f"nothing is in its column {quoted(name)}", f"name another with {option} COLUMN"
        )
    return found


def listed_names(names: Sequence[str]) -> str:
    """Names as sentences show them, the first of many."""
    shown = ", ".join(quoted(name) for name in names[:LISTED])
    more = len(names) - LISTED
    return f"{shown} and {more:,} more" if more > 0 else shown


def guess_id(free: Mapping[str, Column], dull: Mapping[str, Column]) -> str:
    """The column that names songs.

    Args:
        free: Columns that it may be.
        dull: Columns that can't be read.

    Raises:
        UnfitError: there is none, or it is unclear which.
    """
    unique = [
        name
        for name, column in free.items()
        if column.distinct >= _UNIQUE * column.present
        and column.present >= _UNIQUE * column.rows
        and column.kind in ("text", "number")
    ]
    if (name := called(unique, NAMES["id"])) is not None:
        return name
    # `spotify_track_id`, `fma.id`; never the id of an artist, who has several songs.
    ending = [
        name
        for name in unique
        if re.search(r"(^|[^a-z])(id|uri|uuid|mbid|isrc)$", name.lower())
        and not re.search(r"artist|album|genre|release", name.lower())
    ]
    if len(ending) == 1:
        return ending[0]
    texts = [
        name
        for name in unique
        if free[name].kind == "text" and plain_name(name) not in NAMES["title"]
    ]
    if len(ending) < 2 and len(texts) == 1:
        return texts[0]
    unclear = ending if len(ending) > 1 else texts
    if len(unclear) > 1:
        raise UnfitError(
            f"each of its columns {listed_names(unclear)} may name the songs",
            "say which with --id COLUMN",
        )
    repeated = called(free, NAMES["id"])
    if repeated is not None and free[repeated].kind in ("text", "number"):
        column = free[repeated]
        raise UnfitError(
            f"no column has an id for each song: {quoted(repeated)} has {column.distinct:,} "
            f"different ones in {column.rows:,} rows",
            "keep one row a song, or name another column with --id COLUMN",
        )
    if (unread := called(dull, NAMES["id"])) is not None:
        raise UnfitError(f"its column {quoted(unread)} {dull[unread].why}", "save it as text")
    raise UnfitError(
        "no column names the songs, with an id or a file for each",
        "add a column id, or say which it is with --id COLUMN",
    )


def guess_genre(free: Mapping[str, Column]) -> str | None:
    """The column of the genres; None: there is none.

    Raises:
        UnfitError: several may be it, or what is called so can't be.
    """
    for rank in _GENRE_RANKS:
        found = [
            name
            for name, column in free.items()
            if plain_name(name) in rank and _may_be_genres(column)
        ]
        if len(found) > 1:
            told = [f"{quoted(one)} ({_kinds(free[one])})" for one in found]
            raise UnfitError(
                f"its columns {', '.join(told[:-1])} and {told[-1]} may each be the genres",
                f"say which with --genre COLUMN, as --genre {found[0]}",
            )
        if found:
            require_genres(free[found[0]], given=False)
            return found[0]
    return None


def _may_be_genres(column: Column) -> bool:
    """Whether cells are text, whole numbers, or lists of these; but not of a 0 or 1 for each."""
    if column.kind == "list":
        return column.integers and (column.width == 1 or column.high > 1)
    return column.kind in ("text", "labels") or (column.kind == "number" and column.integers)


def _kinds(column: Column) -> str:
    count = column.distinct or len(column.counts or ())
    return f"{count:,} kinds, such as {quoted(column.example)}"


def require_genres(column: Column, *, given: bool) -> None:
    """Refuse a column that can't be genres: numbers, or titles.

    Raises:
        UnfitError: it can't.
    """
    another = "name another with --genre COLUMN, or --genre none to take in songs without"
    if not _may_be_genres(column):
        raise UnfitError(
            f"its column {quoted(column.name)} can't be genres: it holds numbers like "
            f"{column.example}",
            another,
        )
    count = column.distinct
    if count > _MOST_GENRES and count * _SONGS_A_GENRE > column.present:
        named = "" if given else ", in spite of its name"
        raise UnfitError(
            f"its column {quoted(column.name)} can't be genres{named}: it has {count:,} different "
            f"values in {column.present:,} rows ({quoted(column.example)} the first), titles "
            "probably",
            another,
        )


def guess_split(free: Mapping[str, Column]) -> str | None:
    """The column of the sides: one called so, of words that mean sides."""
    fitting = [
        name for name, column in free.items() if column.kind == "text" and not _not_sides(column)
    ]
    return called(fitting, NAMES["split"])


def _not_sides(column: Column) -> list[str]:
    """Words in a column that mean no side."""
    if column.counts is None or len(column.counts) > _SIDES:
        return [column.example]
    return [cell for cell in column.counts if split_of(cell) is None]


def require_split(column: Column) -> None:
    """Refuse a column whose words mean no sides.

    Raises:
        UnfitError: one doesn't.
    """
    wrong = _not_sides(column)
    if wrong:
        raise UnfitError(
            f"{quoted(wrong[0])} in column {quoted(column.name)} means no side of a split",
            "write train, valid or test there, or nothing, or leave it with --split none",
        )


def guess_numbers(free: dict[str, Column], named: frozenset[str], roles: dict[Role, str]) -> None:
    """Columns of years and of seconds: said of songs, and no features."""
    years = [
        name
        for name, column in free.items()
        if column.kind == "number" and column.integers and 1000 <= column.high <= 2200
    ]
    times = [name for name, one in free.items() if one.kind == "number" and one.low >= 0]
    for role, fitting in (("year", years), ("duration", times)):
        name = called([one for one in fitting if one not in named], NAMES[role])  # type: ignore[index]
        if name is not None:
            roles[role] = name  # type: ignore[index]
            free.pop(name)


def commas_part(column: Column) -> bool:
    """Whether commas are between genres: what they part is there alone, too."""
    cells: Mapping[str, int] = column.counts or {}
    parted = [cell for cell in cells if "," in cell and not cell.startswith(("[", "(", "{"))]
    if not parted:
        return False
    whole = set(cells) - set(parted)
    parts = {part for cell in parted for part in genres_of(cell, True)}
    return len(parts & whole) >= _PARTS_KNOWN * len(parts)
