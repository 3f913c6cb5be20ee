"""The genre tree in the database: what genres are called there, and what is a kind of what."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kg.errors import WrongUsageError
from kg.genres.names import by_key, genre_key
from kg.genres.tree import Parents, Tree, check_no_cycle
from kg.graph import queries
from kg.graph.driver import neo4j
from kg.graph.transactions import fetch, run
from kg.text import indexable, printable

BY_HAND = "user"


@dataclass(frozen=True, slots=True)
class TreeReport:
    """What writing a genre tree came to.

    Attributes:
        genres: Genres that the tree names.
        new: Those of them that weren't in the graph.
        links: SUBGENRE_OF relationships that are now in the graph.
        renamed: What the tree calls otherwise than the graph does, which keeps its spelling.
        kept: Genres that keep the parents that their owner gave them.
    """

    genres: int
    new: Sequence[str]
    links: int
    renamed: Mapping[str, str]
    kept: Sequence[str]


def called(tx: neo4j.ManagedTransaction, names: Iterable[str]) -> dict[str, str]:
    """What genres are called in the graph, by what they are called here.

    A name that is there stays. Another spelling of a genre that songs have, or that is in the tree,
    becomes that one's; of several new spellings the first one is taken.
    """
    listed = list(dict.fromkeys(names))
    there = {row["name"] for row in fetch(tx, queries.GENRES_CALLED, {"names": listed})}
    found = {name: name for name in listed if name in there}
    if len(found) == len(listed):
        return found
    known = by_key(row["name"] for row in fetch(tx, queries.OWN_GENRES, {}))
    for name in found:
        known.setdefault(genre_key(name), name)
    for name in listed:
        if name not in found:
            found[name] = known.setdefault(genre_key(name), name)
    return found


def read_tree(rows: Iterable[Mapping[str, str]]) -> Tree:
    """The tree of rows of `queries.TREE`: parents sorted by name."""
    parents: dict[str, list[str]] = {}
    for row in rows:
        parents.setdefault(row["genre"], []).append(row["parent"])
    return Tree({name: tuple(sorted(above)) for name, above in sorted(parents.items())})


def check_tree(tx: neo4j.ManagedTransaction, parents: Parents, coming: Parents) -> None:
    """Refuse a tree that `write_tree` would refuse after another one is in; writes nothing.

    Args:
        tx: Of a reader.
        parents: The tree of the owner's own.
        coming: A data set's, which is written before.

    Raises:
        WrongUsageError: a genre would be a kind of itself, or has no name.
    """
    given, before = _cleaned(parents), _cleaned(coming)
    old = fetch(tx, queries.TREE, {})
    names = called(tx, dict.fromkeys((*_all_names(before), *_all_names(given))))
    by_owner = {row["genre"] for row in old if row["source"] == BY_HAND}
    first = {n: up for n, up in _by_called(before, names).items() if n not in by_owner}
    check_no_cycle({**read_tree(old).parents, **first, **_by_called(given, names)})


def write_tree(
    tx: neo4j.ManagedTransaction, parents: Parents, *, source: str, replace: bool
) -> TreeReport:
    """Write a tree in one transaction; see `GraphStore.write_tree`."""
    given = _cleaned(parents)
    old = fetch(tx, queries.TREE, {})
    ends = sorted({end for row in old for end in (row["genre"], row["parent"])})
    if replace:
        # First, so that what stays of it has the new tree's spelling.
        run(tx, queries.DELETE_TREE)
        run(tx, queries.DELETE_BARE_GENRES, names=ends)
        old = []
    names = called(tx, _all_names(given))
    wanted = _by_called(given, names)
    by_owner = {row["genre"] for row in old if row["source"] == BY_HAND and source != BY_HAND}
    kept = sorted(by_owner & wanted.keys())
    wanted = {name: above for name, above in wanted.items() if name not in by_owner}
    check_no_cycle({**read_tree(old).parents, **wanted})

    own = sorted(set(names.values()))
    there = {*ends, *(row["name"] for row in fetch(tx, queries.GENRES_CALLED, {"names": own}))}
    run(tx, queries.MERGE_GENRES, names=own)
    rows = [{"name": name, "parents": above} for name, above in wanted.items()]
    run(tx, queries.DELETE_OTHER_PARENTS, rows=rows)
    links = [[name, parent] for name, above in wanted.items() for parent in above]
    run(tx, queries.MERGE_SUBGENRE_OF, rows=links, source=source)
    return TreeReport(
        genres=len(own),
        new=[name for name in own if name not in there],
        links=len(fetch(tx, queries.TREE, {})),
        renamed={name: known for name, known in names.items() if name != known},
        kept=kept,
    )


def _by_called(given: Parents, names: Mapping[str, str]) -> dict[str, list[str]]:
    """The tree in the graph's spelling; two spellings of one genre are one, with both's parents."""
    wanted: dict[str, list[str]] = {}
    for name, above in given.items():
        own = wanted.setdefault(names[name], [])
        for parent in above:
            if names[parent] == names[name] and parent != name:
                raise WrongUsageError(
                    f"In the genre tree {printable(repr(name))} is a kind of "
                    f"{printable(repr(parent))}, which is another spelling of the same genre: "
                    "leave one of them out."
                )
            if names[parent] not in own:
                own.append(names[parent])
    return wanted


def _cleaned(parents: Parents) -> dict[str, list[str]]:
    return {_clean(name): [_clean(each) for each in above] for name, above in parents.items()}


def _all_names(parents: Parents) -> list[str]:
    return [*parents, *(each for above in parents.values() for each in above)]


def _clean(name: str) -> str:
    text = str(indexable(name)).strip()
    if not text:
        raise WrongUsageError("A genre of the tree has an empty name: leave it out, or name it.")
    return text
