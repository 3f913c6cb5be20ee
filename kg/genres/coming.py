"""A genre tree of the owner's that comes with songs: refused before any of them is taken in."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from kg.errors import WrongUsageError
from kg.genres.files import TreeFile, refuse_unknown
from kg.genres.names import genre_key
from kg.sources.dataset import Parents, SourceTable

if TYPE_CHECKING:
    from kg.graph.store import GraphStore


def check_coming(
    store: "GraphStore", tree: TreeFile, parents: Parents, genres: Iterable[str]
) -> None:
    """Refuse a tree that couldn't be written once the songs are in; changes nothing.

    Args:
        store: The graph, as it is before.
        tree: The owner's.
        parents: The tree that a data set brings along.
        genres: Those of the songs that are to come; looked at where the tree needs them.

    Raises:
        WrongUsageError: nobody will know a parent, or a genre would be a kind of itself.
    """
    known = {*store.genres(), *store.tree().names, *parents}
    known.update(*parents.values())
    if not {genre_key(name) for name in tree.unlisted} <= set(map(genre_key, known)):
        known.update(genres)
    try:
        refuse_unknown(tree, known)
        store.check_tree(tree.parents, parents)
    except WrongUsageError as error:
        raise WrongUsageError(f"{error} No song was taken in.") from error


def genres_in(table: SourceTable) -> Iterator[str]:
    """Genres of the songs of a table, as it is read."""
    for batch in table.batches():
        for song in batch.songs:
            yield from song.genres
