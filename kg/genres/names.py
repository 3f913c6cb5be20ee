"""When two names mean the same genre. Nothing here changes how a genre is shown."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_AND: Final = {"and", "&", "+"}


@lru_cache(maxsize=65_536)
def genre_key(name: str) -> str:
    """What spellings of one genre have in common: `Drum & Bass`, `drum'n'bass`, `Drum-and-Bass`.

    Case, spaces, hyphens and other punctuation don't count, nor do accents of Latin letters (in
    other scripts such marks make other letters). `&`, `+`, `and`, and `n` between two words are the
    same. A name that is all punctuation is its own key.
    """
    words = "".join(_letters(name)).split()
    last = len(words) - 1
    key = "".join(
        "and" if word in _AND or (word == "n" and 0 < at < last) else word
        for at, word in enumerate(words)
    )
    return key if any(word not in _AND for word in words) else name.casefold().strip()


def same_genre(one: str, other: str) -> bool:
    """Whether two names are spellings of one genre."""
    return genre_key(one) == genre_key(other)


def by_key(names: Iterable[str]) -> dict[str, str]:
    """Names by their key; of several spellings the first one in alphabetical order."""
    return {genre_key(name): name for name in sorted(names, reverse=True)}


def _letters(name: str) -> Iterable[str]:
    """Letters and digits, with spaces for all else."""
    latin = False
    for char in unicodedata.normalize("NFKD", name.casefold()).casefold():
        kind = unicodedata.category(char)[0]
        if kind == "M":
            if not latin:
                yield char
        elif kind in "LN":
            latin = "LATIN" in unicodedata.name(char, "")
            yield char
        else:
            latin = False
            yield f" {char} " if char in _AND else " "
