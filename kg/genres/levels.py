"""Which genres of the tree are learned: as given, the top ones, the most specific, or a level.

Labels in the graph stay as they are: what is learned is made of them when the graph is read.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from kg.errors import WrongUsageError
from kg.genres.tree import Tree

if TYPE_CHECKING:
    from kg.graph.rows import GraphRows

Level = Literal["given", "top", "leaf"] | int
"""`top` is level 1, its subgenres are level 2, and so on; `leaf` are those without subgenres."""

GIVEN: Final = "given"
Labels = Sequence[tuple[str, ...]]


def as_level(text: str) -> Level:
    """Read a level.

    Raises:
        WrongUsageError: it is none.
    """
    if text in ("given", "top", "leaf"):
        return text  # type: ignore[return-value]
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise WrongUsageError(
        f"{text!r} is no level of a genre tree: write given, top, leaf, or a number from 1, which "
        "is the top."
    )


def at_level(rows: "GraphRows", level: Level) -> "GraphRows":
    """The graph with the genres of a level in place of its songs' own.

    Raises:
        WrongUsageError: there is no genre tree to take a level of.
    """
    songs = rows.songs
    learned = learned_genres(
        songs.genres, [side == "train" for side in songs.splits], rows.tree, level
    )
    if learned == songs.genres:
        return rows
    genres = sorted({name for names in learned for name in names})
    row_of = {name: row for row, name in enumerate(genres)}
    pairs = [(row, row_of[name]) for row, names in enumerate(learned) for name in names]
    return replace(
        rows,
        songs=replace(songs, genres=learned),
        genres=genres,
        in_genre=np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy(),
    )


def learned_genres(
    given: Labels, train: Sequence[bool], tree: Tree, level: Level
) -> list[tuple[str, ...]]:
    """What is learned of songs, from the genres that their owner gives.

    - `given`: these. Where training songs have several, their parents too, as far as songs have
      those: a punk song is a rock song, and whoever says so is right.
    - a number: the genres of that depth that a song's own are, or are kinds of. One above it says
      nothing of that level and is left out, unless it has no subgenre that songs have.
    - `top`: level 1. `leaf`: only genres without a subgenre that songs have.

    Args:
        given: The owner's, song by song.
        train: Whether songs are on the training side.
        tree: The genre tree.
        level: Of it.

    Raises:
        WrongUsageError: there is no genre tree to take a level of.
    """
    labels = {name for names in given for name in names}
    if level == GIVEN:
        return _with_parents(given, train, tree, labels)
    if not tree:
        raise WrongUsageError(
            f"There is no genre tree whose level {level} could be learned: bring one with `kg "
            "genres --genre-tree FILE`, or train without --genre-level."
        )
    whole = {name for name in labels if tree.below(name).isdisjoint(labels)}
    lifted: dict[str, set[str]] = {}
    for name in labels:
        if level == "leaf":
            lifted[name] = {name} & whole
        else:
            lifted[name] = _at_depth(name, 1 if level == "top" else int(level), tree, whole)
    return [tuple(sorted(set().union(*(lifted[name] for name in names)))) for names in given]


def _with_parents(
    given: Labels, train: Sequence[bool], tree: Tree, labels: Collection[str]
) -> list[tuple[str, ...]]:
    several = any(side and len(names) > 1 for names, side in zip(given, train, strict=True))
    above = {name: tree.above(name).intersection(labels) for name in labels} if several else {}
    if not any(above.values()):
        return list(given)
    return [tuple(sorted(set(names).union(*(above[name] for name in names)))) for names in given]


def _at_depth(name: str, depth: int, tree: Tree, whole: Collection[str]) -> set[str]:
    own = tree.depth(name)
    if own == depth or (own < depth and name in whole):
        return {name}
    return (
        {above for above in tree.above(name) if tree.depth(above) == depth}
        if own > depth
        else set()
    )


def implied_by(genres: Sequence[str], tree: Tree) -> list[tuple[int, list[int]]]:
    """Genres that others of these are kinds of: rows of each and of those, the lower ones first.

    See `models.hierarchy.lift`.
    """
    row_of = {name: row for row, name in enumerate(genres)}
    below = {
        row: sorted(row_of[each] for each in tree.below(name) if each in row_of)
        for name, row in row_of.items()
    }
    # What is below another has fewer below it.
    return [(row, kinds) for row, kinds in sorted(below.items(), key=lambda b: len(b[1])) if kinds]


def tree_fingerprint(tree: Tree) -> str:
    """Hash of a genre tree; empty where there is none."""
    if not tree:
        return ""
    links = sorted((name, above) for name, all_ in tree.parents.items() for above in all_)
    return hashlib.blake2b(repr(links).encode(errors="surrogatepass"), digest_size=8).hexdigest()
