"""Libraries whose own features a table gives: nobody hears anything in them."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kg.audio.features import feature_set
from kg.errors import WrongUsageError
from kg.records import FeatureSet
from kg.schema import check_family_name
from kg.text import indexable, printable

# Raised when the same columns of a table come to other features than before.
REVISION: Final = 1
NAMED: Final = 3  # columns that a sentence names

_ELSEWHERE: Final = "a new home (--home DIR) or an empty Neo4j database"


def given_features(families: Mapping[str, Sequence[str]], values: str = "new") -> FeatureSet:
    """Describe features that a table gives; tables of the same columns have the same version.

    Args:
        families: Names of the columns of each family, in column order.
        values: Token of the values, see `FeatureSet.given`.

    Raises:
        WrongUsageError: there is no column, or one twice, or a family can't be called so.
    """
    listed = [
        [check_family_name(family), [str(indexable(name)) for name in names]]
        for family, names in families.items()
        if names
    ]
    if not listed:
        raise WrongUsageError("The table has no column of features: name some with --features.")
    for family, names in listed:
        if len(set(names)) < len(names):
            twice = next(name for name, many in Counter(names).items() if many > 1)
            raise WrongUsageError(
                f"The table has two columns called {printable(twice)!r} in the family {family!r}: "
                "give one of them another name."
            )
    text = json.dumps(["given", REVISION, listed])
    ends = list(accumulate((len(names) for _, names in listed), initial=0))
    return FeatureSet(
        version=hashlib.blake2b(text.encode(), digest_size=6).hexdigest(),
        families={str(family): slice(*ends[i : i + 2]) for i, (family, _) in enumerate(listed)},
        columns=tuple(name for _, names in listed for name in names),
        excerpt=None,
        given=values,
    )


def own_features(kinds: FeatureSet) -> FeatureSet:
    """The features of a library without its embeddings, as this kg makes or takes them."""
    if not kinds.given:
        return feature_set(kinds.excerpt)
    return given_features(own_families(kinds), kinds.given)


def own_families(kinds: FeatureSet) -> dict[str, tuple[str, ...]]:
    """Names of the columns of each family that is no embedding's."""
    others = {each.family for each in kinds.embeddings}
    return {
        family: kinds.columns[part]
        for family, part in kinds.families.items()
        if family not in others
    }


def with_new_values(kinds: FeatureSet, token: str) -> FeatureSet:
    """The same features, whose values are others now."""
    return replace(kinds, given=token)


def column_order(kinds: FeatureSet, families: Mapping[str, Sequence[str]]) -> NDArray[np.int64]:
    """Where each of a library's own columns stands in another table, int64 [d].

    Args:
        kinds: Of a library whose features a table gave.
        families: Of the other table; families and columns may come in another order.

    Raises:
        WrongUsageError: the table has other columns.
    """
    there, new = own_families(kinds), _places(families)
    wanted = [(family, name) for family, names in there.items() for name in names]
    missing = [column for column in wanted if column not in new]
    more = [column for column in new if column not in set(wanted)]
    if missing or more:
        said = [
            f"{what} {_named(columns)}"
            for what, columns in (("lacks", missing), ("also has", more))
            if columns
        ]
        raise WrongUsageError(
            f"The songs of this library have other features than this table, which "
            f"{' and '.join(said)}, and they can't be mixed: for songs that are there give "
            f"`kg ingest --vectors FILE --family NAME`, or ingest the table into {_ELSEWHERE}."
        )
    return np.array([new[column] for column in wanted], dtype=np.int64)


def refuse_table(kinds: FeatureSet) -> None:
    """Refuse a table where songs are heard.

    Raises:
        WrongUsageError: they are.
    """
    if not kinds.given:
        raise WrongUsageError(
            "This library listens to its songs, and the features of a table can't be mixed with "
            "what it hears: for songs that are there give `kg ingest --vectors FILE --family "
            f"NAME`, or ingest the table into {_ELSEWHERE}."
        )


def refuse_audio(kinds: FeatureSet | None) -> None:
    """Refuse audio where a table gives the features.

    Raises:
        WrongUsageError: one does.
    """
    if kinds is not None and kinds.given:
        raise WrongUsageError(
            "The features of this library come from a table, and nobody can hear them in a file: "
            f"`kg ingest TABLE` takes in more songs, audio goes into {_ELSEWHERE}."
        )


def _places(families: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], int]:
    columns = [(family, str(indexable(n))) for family, names in families.items() for n in names]
    return {column: place for place, column in enumerate(columns)}


def _named(columns: Sequence[tuple[str, str]]) -> str:
    listed = ", ".join(f"{printable(name)} ({family})" for family, name in columns[:NAMED])
    more = len(columns) - NAMED
    return f"{listed} and {more} more" if more > 0 else listed
