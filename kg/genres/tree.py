"""What is a kind of what: a tree of genres, in which a genre may have several parents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from kg.errors import WrongUsageError
from kg.text import printable

Parents = Mapping[str, Sequence[str]]


@dataclass(frozen=True, eq=False)
class Tree:
    """A genre tree without cycles.

    Attributes:
        parents: The genres that a genre is a kind of, by its name; those without any may be left
            out.
    """

    parents: Parents

    def __bool__(self) -> bool:
        return any(self.parents.values())

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """The other way round, sorted."""
        found: dict[str, list[str]] = {}
        for name in sorted(self.parents):
            for parent in self.parents[name]:
                found.setdefault(parent, []).append(name)
        return found

    @cached_property
    def names(self) -> set[str]:
        """All genres that are above or below another."""
        return {name for name, above in self.parents.items() if above} | set(self.children)

    def above(self, name: str) -> set[str]:
        """All that a genre is a kind of: its parents, theirs, and so on."""
        return _reached(self.parents, name)

    def below(self, name: str) -> set[str]:
        """All kinds of a genre: its subgenres, theirs, and so on."""
        return _reached(self.children, name)

    def with_above(self, names: Iterable[str]) -> set[str]:
        """Genres and all that they are a kind of."""
        listed = set(names)
        return listed.union(*(self.above(name) for name in listed))

    def depth(self, name: str) -> int:
        """How far down a genre is, by the shortest way: 1 for one that is no kind of another."""
        depth, level = 1, {name}
        while all(self.parents.get(each) for each in level):
            level = {parent for each in level for parent in self.parents[each]}
            depth += 1
        return depth

    def most_specific(self, names: Iterable[str]) -> list[str]:
        """Of some genres those that no other of them is a kind of, in their order."""
        listed = list(dict.fromkeys(names))
        implied: set[str] = set().union(*(self.above(name) for name in listed))
        return [name for name in listed if name not in implied]

    def most_general(self, names: Iterable[str]) -> list[str]:
        """Of some genres those that are no kind of another of them, in their order."""
        listed = list(dict.fromkeys(names))
        return [name for name in listed if self.above(name).isdisjoint(listed)]


def check_no_cycle(parents: Parents) -> None:
    """Refuse a tree in which a genre is a kind of itself.

    Raises:
        WrongUsageError: it is, directly or by way of others, which are named.
    """
    cycle = find_cycle(parents)
    if cycle is None:
        return
    if len(cycle) == 1:
        raise WrongUsageError(
            f"The genre {printable(repr(cycle[0]))} is its own parent in the genre tree: leave its "
            "parent out, or name another."
        )
    way = " -> ".join(printable(repr(name)) for name in (*cycle, cycle[0]))
    raise WrongUsageError(
        f"The genre tree goes in a circle, each a kind of the next: {way}. Take one of these "
        "parents out."
    )


def find_cycle(parents: Parents) -> list[str] | None:
    """Genres of a cycle, each a kind of the next and the last of the first; None without one."""
    done: set[str] = set()
    for start in sorted(parents):
        # The way down from `start`: a genre, and its parents that weren't looked at yet.
        way: dict[str, list[str]] = {}
        name: str | None = start if start not in done else None
        while name is not None:
            left = way.setdefault(name, sorted(parents.get(name, ())))
            if not left:
                done.add(name)
                del way[name]
                name = next(reversed(way), None)
                continue
            parent = left.pop(0)
            if parent in way:
                listed = list(way)
                return listed[listed.index(parent) :]
            if parent not in done:
                name = parent
    return None


def _reached(links: Mapping[str, Sequence[str]], start: str) -> set[str]:
    found: set[str] = set()
    left = [start]
    while left:
        for other in links.get(left.pop(), ()):
            if other not in found:
                found.add(other)
                left.append(other)
    return found
