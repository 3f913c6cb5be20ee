"""The genres of a library as a list: how many songs, what above, which ones look like one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kg.genres.names import genre_key
from kg.graph import queries
from kg.graph.store import GraphStore
from kg.graph.transactions import read_rows


@dataclass(frozen=True, slots=True)
class GenreRow:
    """A genre of the library.

    Attributes:
        name: As its owner writes it.
        parents: What it is a kind of, sorted.
        songs: Songs that are filed under it.
        with_subgenres: Songs that are filed under it or one of its subgenres.
        predicted: Songs for which it is the model's first genre.
        depth: How far down the tree, 1 for the top.
    """

    name: str
    parents: Sequence[str]
    songs: int
    with_subgenres: int
    predicted: int
    depth: int


@dataclass(frozen=True, slots=True)
class GenreList:
    """All genres that songs have, that are predicted, or that are in the tree.

    Attributes:
        genres: Sorted by name.
        alike: Spellings of one genre that are several in the graph.
    """

    genres: Sequence[GenreRow]
    alike: Sequence[Sequence[str]]


def list_genres(store: GraphStore) -> GenreList:
    """Read the genres of a graph."""
    tree = store.tree()
    own: Counter[str] = Counter()
    wide: Counter[str] = Counter()
    for filed in store.genres_by_song().values():
        own.update(filed)
        wide.update(tree.with_above(filed))
    first = {
        row["name"]: row["songs"] for row in read_rows(store.connection, queries.FIRST_PREDICTED)
    }
    names = sorted({*own, *first, *tree.names})
    rows = [
        GenreRow(
            name,
            tuple(tree.parents.get(name, ())),
            own[name],
            wide[name],
            first.get(name, 0),
            tree.depth(name),
        )
        for name in names
    ]
    spelled: dict[str, list[str]] = {}
    for name in names:
        spelled.setdefault(genre_key(name), []).append(name)
    return GenreList(rows, [each for each in spelled.values() if len(each) > 1])
