"""What the columns of a table are used for: guessed from names and cells, or as the user says."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kg.sources.columns import Column, Survey
from kg.sources.feature_columns import (
    Feature,
    choose_features,
    features_as_in,
    named_in_full,
    no_features,
)
from kg.sources.reading import LISTED, UnfitError, quoted
from kg.sources.roles import (
    NAMES,
    Role,
    called,
    commas_part,
    guess_genre,
    guess_id,
    guess_numbers,
    guess_split,
    named_column,
    require_genres,
    require_split,
)

NONE: Final = "none"
"""What a user gives for a role that no column has."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user says of a table's columns; None and empty: guess.

    Attributes:
        id: Name of the column that names each song.
        title: Name of that of the titles, or `none`; the following too.
        artist: Of the artists.
        album: Of the albums.
        genre: Of the genres.
        split: Of the sides: train, valid or test.
        features: Patterns of the names of columns that are features: `mfcc*`.
        families: (pattern, family): which family columns are, the first that fits.
    """

    id: str | None = None
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    genre: str | None = None
    split: str | None = None
    features: tuple[str, ...] = ()
    families: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """What each column of a table is used for.

    Attributes:
        roles: Name of the column of each role; `id` is there always.
        features: Columns that are features, those of one family together.
        left: Why other columns aren't used, by name; empty: they are no numbers, that's all.
        named: Columns of features that the user named in full.
        commas: Whether commas are between genres.
        remarks: Sentences that a reader should know before anything is written.
    """

    roles: Mapping[Role, str]
    features: tuple[Feature, ...]
    left: Mapping[str, str]
    named: frozenset[str] = frozenset()
    commas: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def families(self) -> dict[str, list[str]]:
        """Names of the columns of each family."""
        found: dict[str, list[str]] = defaultdict(list)
        for feature in self.features:
            found[feature.family] += feature.names
        return dict(found)

    @property
    def width(self) -> int:
        """How many features a song has."""
        return sum(len(feature.names) for feature in self.features)

    def without(self, leaks: Mapping[str, str]) -> "Layout":
        """The same without some columns, for reasons.

        Raises:
            UnfitError: no feature is left.
        """
        if not leaks:
            return self
        features = tuple(one for one in self.features if one.column not in leaks)
        if not features:
            raise no_features({**self.left, **leaks})
        return replace(self, features=features, left={**self.left, **leaks})


def lay_out(found: Survey, asked: Asked, like: Mapping[str, Sequence[str]] | None = None) -> Layout:
    """Say what each column is.

    Args:
        found: What the columns hold.
        asked: What the user says of them.
        like: Columns of each family of the library that the table is to join; None: of a new one.

    Raises:
        UnfitError: a column that the user names isn't there or doesn't fit, or it is unclear
            which columns are what.
    """
    if not found.rows:
        raise UnfitError("it holds no songs, only names of columns", "add a row a song")
    columns = found.columns
    roles: dict[Role, str] = {}
    given: dict[Role, str | None] = {
        "id": asked.id,
        "title": asked.title,
        "artist": asked.artist,
        "album": asked.album,
        "genre": asked.genre,
        "split": asked.split,
    }
    closed = set[Role]()
    for role, name in given.items():
        if name is None:
            continue
        if name.lower() == NONE and name not in columns:
            if role == "id":
                raise UnfitError("songs need ids", "name their column with --id")
            closed.add(role)
        else:
            roles[role] = named_column(columns, name, f"--{role}").name
    named = named_in_full(columns, asked.features)
    dull = {name: column for name, column in columns.items() if column.kind == "dull"}
    free = {
        name: column
        for name, column in columns.items()
        if column.kind not in ("dull", "empty") and name not in roles.values()
    }
    if "genre" in roles:
        require_genres(columns[roles["genre"]], given=True)
    elif "genre" not in closed and (genre := guess_genre(free)) is not None:
        roles["genre"] = genre
        free.pop(genre)
    if "split" in roles:
        require_split(columns[roles["split"]])
    elif "split" not in closed and (split := guess_split(free)) is not None:
        roles["split"] = split
        free.pop(split)
    for role in ("artist", "album"):
        if role not in roles and role not in closed:
            text = [name for name in free if free[name].kind == "text" and name not in named]
            if (name := called(text, NAMES[role])) is not None:
                roles[role] = name
                free.pop(name)
    if "id" not in roles:
        others = {name: column for name, column in free.items() if name not in named}
        try:
            roles["id"] = guess_id(others, dull)
        except UnfitError:
            if not named:
                raise
            roles["id"] = guess_id(free, dull)
        free.pop(roles["id"])
    if "title" not in roles and "title" not in closed:
        text = [name for name in free if free[name].kind == "text" and name not in named]
        if (name := called(text, NAMES["title"])) is not None:
            roles["title"] = name
            free.pop(name)
    guess_numbers(free, named, roles)
    used = set(roles.values())
    joined = None if asked.features or asked.families else features_as_in(columns, used, like or {})
    if joined is not None:
        rest = set(columns) - used - {feature.column for feature in joined}
        features, left = joined, dict.fromkeys(rest, "no feature of this library")
    else:
        features, left = choose_features(columns, used, asked.features, asked.families, named)
    for name in left:
        if called([name], NAMES["split"]) and columns[name].kind == "text":
            left[name] = f"says no sides of a split (train, valid, test): {columns[name].example}"
    commas = "genre" in roles and commas_part(columns[roles["genre"]])
    remarks = _cautions(found, roles, features, commas)
    return Layout(roles, features, left, named, commas, tuple(remarks))


# ---- what a reader should know


def _cautions(
    found: Survey, roles: Mapping[Role, str], features: Sequence[Feature], commas: bool
) -> list[str]:
    said: list[str] = []
    columns = found.columns
    for feature in features:
        column = columns[feature.column]
        count, row, text = column.bad
        if count:
            said.append(
                f"{quoted(column.name)} holds {quoted(text)} in row {row:,}"
                f"{f' and {count - 1:,} more such cells' if count > 1 else ''}: taken for missing."
            )
        count, row = column.endless
        if count:
            where = f" ({count:,} times, first in row {row:,})" if row else f" ({count:,} times)"
            said.append(f"{quoted(column.name)} is infinite{where}: taken for missing.")
    if any(feature.comma for feature in features):
        said.append("Numbers are written with decimal commas.")
    if "genre" not in roles:
        said.append("No column is the genre: these songs can be predicted, but not learned from.")
    elif columns[roles["genre"]].kind == "number":
        said.append(
            f"Genres are numbers in column {quoted(roles['genre'])}, and will be called so: "
            "names can be asked about more easily."
        )
    if commas:
        said.append("Commas are taken to be between genres, as what they part is there alone too.")
    return said


def missing_in_words(features: Sequence[Feature], columns: Mapping[str, Column]) -> str | None:
    """Plain words for features that are missing in places; None: none is."""
    gaps = {one.column: columns[one.column].missing for one in features}
    worst = sorted((count, name) for name, count in gaps.items() if count)[::-1]
    if not worst:
        return None
    told = ", ".join(f"{quoted(name)} {count:,}" for count, name in worst[:LISTED])
    more = f" and {len(worst) - LISTED:,} more columns" if len(worst) > LISTED else ""
    return f"Values are missing: {told}{more}; they count as the mean of the others."
