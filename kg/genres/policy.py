"""What an owner wants to see of genres: a small file, applied to what is shown and proposed.

Nothing that is stored changes: labels, predictions and suggestions in the graph are as they were.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

from kg.errors import WrongUsageError
from kg.files import expanded
from kg.genres.files import read_text
from kg.genres.names import genre_key
from kg.genres.tree import Tree
from kg.text import printable

Told = tuple[str, float]
"""A genre and how sure somebody is of it."""

_KEYS: Final = ("allowed", "unwanted", "aliases", "most", "least_probability", "prefer", "keep")


@dataclass(frozen=True)
class Policy:
    """Which genres are shown and proposed. Names are matched in any spelling.

    Attributes:
        allowed: The only ones; a genre that isn't among them becomes the nearest above it in the
            tree that is. None: all are.
        unwanted: Never shown.
        aliases: What a genre is called instead, by its key; all chains followed.
        most: At most so many a song; None: all.
        least_probability: Predictions below it are left out.
        prefer: Of a genre and its parents the most `specific`, or the most `general`; None: all.
        keep: Propose nothing for a song that has a genre.
    """

    allowed: Mapping[str, str] | None = None
    unwanted: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    most: int | None = None
    least_probability: float = 0.0
    prefer: Literal["specific", "general"] | None = None
    keep: bool = False

    def shown(
        self, told: Iterable[Told], tree: Tree | None = None, *, probabilities: bool = True
    ) -> list[Told]:
        """What is shown of some genres, in their order.

        Args:
            told: Genres and how sure they are, what is to be shown first first.
            tree: What is a kind of what, in the spelling of these genres.
            probabilities: Whether that is a probability; a tag's strength is none.
        """
        listed = list(told)
        left = self.chosen(listed, tree, probabilities=probabilities)
        return [(name, listed[at][1]) for at, name in left]

    def chosen(
        self, told: Sequence[Told], tree: Tree | None = None, *, probabilities: bool = True
    ) -> list[tuple[int, str]]:
        """Which of some genres are shown, by their number, and what each is called."""
        tree = tree or Tree({})
        found: dict[str, tuple[int, str]] = {}
        for at, (name, strength) in enumerate(told):
            if probabilities and strength < self.least_probability:
                continue
            called = self._called(name, tree)
            if called is None:
                continue
            key = genre_key(called)
            # Of those that are now one genre the surest; where the first of them stood.
            if key not in found or strength > told[found[key][0]][1]:
                found[key] = (at, called)
        kept = list(found.values())
        if self.prefer is not None:
            choose = tree.most_specific if self.prefer == "specific" else tree.most_general
            names = set(choose([self._in_tree(name, tree) for _, name in kept]))
            kept = [each for each in kept if self._in_tree(each[1], tree) in names]
        return kept[: self.most]

    def proposed(
        self,
        told: Iterable[Told],
        own: Sequence[str],
        tree: Tree | None = None,
        *,
        probabilities: bool = True,
    ) -> list[Told]:
        """What is proposed for a song: what is shown, and nothing where its own genres are kept.

        Args:
            told: Genres and how sure they are, what is to be shown first first.
            own: What its owner says.
            tree: What is a kind of what.
            probabilities: Whether that is a probability.
        """
        return [] if self.keep and own else self.shown(told, tree, probabilities=probabilities)

    def names(self, genres: Iterable[str], tree: Tree | None = None) -> list[str]:
        """What is shown of genres that nobody doubts."""
        told = [(name, 1.0) for name in genres]
        return [name for name, _ in self.shown(told, tree, probabilities=False)]

    def _called(self, name: str, tree: Tree) -> str | None:
        """What a genre is shown as; None: it isn't."""
        name = self.aliases.get(genre_key(name), name)
        if genre_key(name) in self.unwanted:
            return None
        if self.allowed is None or genre_key(name) in self.allowed:
            return name
        own = self._in_tree(name, tree)
        above = [
            (-tree.depth(each), each)
            for each in tree.above(own)
            if genre_key(each) in self.allowed and genre_key(each) not in self.unwanted
        ]
        return min(above)[1] if above else None

    def _in_tree(self, name: str, tree: Tree) -> str:
        """A name in the tree's spelling."""
        if name in tree.names:
            return name
        return next((each for each in tree.names if genre_key(each) == genre_key(name)), name)


EVERYTHING: Final = Policy()
"""What holds where nobody wrote a policy: all is shown."""


def read_policy(file: Path | str) -> Policy:
    """Read a policy: TOML with some of the keys of `Policy`; docs/genres.md has an example.

    Raises:
        WrongUsageError: there is no such file, or something in it can't be used.
    """
    path = expanded(file)
    name = printable(path)
    try:
        said = tomllib.loads(read_text(path, "the genre policy"))
    except tomllib.TOMLDecodeError as error:
        raise WrongUsageError(f"The genre policy {name} is no TOML: {error}.") from error
    try:
        return _policy(said)
    except _WrongError as error:
        raise WrongUsageError(f"The genre policy {name} can't be used: {error}.") from error


class _WrongError(Exception):
    """What is wrong with a policy, as the end of a sentence."""


def _policy(said: Mapping[str, Any]) -> Policy:
    for key in said:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            meant = f", did you mean `{near[0]}`" if near else f"; there are {', '.join(_KEYS)}"
            raise _WrongError(f"it has no key {key!r}{meant}")
    if not said:
        raise _WrongError(f"it is empty; there are {', '.join(_KEYS)}")
    allowed, unwanted = (_names(said, key) for key in ("allowed", "unwanted"))
    if "allowed" in said and not allowed:
        raise _WrongError("`allowed` is empty, so that no genre could be shown")
    both = [name for key, name in allowed.items() if key in unwanted]
    if both:
        raise _WrongError(f"{both[0]!r} is both allowed and unwanted")
    most, least = said.get("most"), said.get("least_probability", 0.0)
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise _WrongError(f"`most` is {most!r}, not a number of genres from 1")
    if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
        raise _WrongError(f"`least_probability` is {least!r}, not a number from 0 to 1")
    prefer, keep = said.get("prefer"), said.get("keep", False)
    if prefer not in (None, "specific", "general"):
        raise _WrongError(f'`prefer` is {prefer!r}, neither "specific" nor "general"')
    if not isinstance(keep, bool):
        raise _WrongError(f"`keep` is {keep!r}, neither true nor false")
    return Policy(
        allowed if "allowed" in said else None,
        frozenset(unwanted),
        _aliases(said.get("aliases", {})),
        most,
        float(least),
        prefer,
        keep,
    )


def _names(said: Mapping[str, Any], key: str) -> dict[str, str]:
    """Names of a list, by their key."""
    listed = said.get(key, [])
    if not isinstance(listed, list) or not all(isinstance(e, str) and e.strip() for e in listed):
        raise _WrongError(f'`{key}` is no list of names, such as ["rock", "jazz"]')
    return {genre_key(name): name.strip() for name in listed}


def _aliases(said: Any) -> dict[str, str]:
    """What genres are called in the end."""
    if not isinstance(said, dict) or not all(
        isinstance(e, str) and e.strip() for e in said.values()
    ):
        raise _WrongError('`aliases` is no table of names, such as dnb = "drum & bass"')
    step = {genre_key(name): other.strip() for name, other in said.items()}
    found = {}
    for key in step:
        way = [key]
        # A name that is called by another spelling of itself is the end of the way.
        while (after := genre_key(step[way[-1]])) in step and after != way[-1]:
            if after in way:
                circle = [*way[way.index(after) :], after]
                names = [next(n for n in said if genre_key(n) == each) for each in circle]
                raise _WrongError(f"its aliases go in a circle: {' -> '.join(map(repr, names))}")
            way.append(after)
        found[key] = step[way[-1]]
    return found
