"""Titles that name a genre: a playlist called `Best of Jazz` is a label, and no evidence."""

import re
from collections.abc import Mapping
from typing import Final

from kg.genres.names import genre_key

_BETWEEN: Final = re.compile(r"[\s/,;:|()\[\]_.–—-]+")
# Words of the longest genre's name that is looked for.
_LONGEST: Final = 5


def called_after(title: str, genres: Mapping[str, str]) -> str | None:
    """The genre that a title names, in any spelling; None: it names none.

    Args:
        title: Of a playlist.
        genres: Names by their keys, from `kg.genres.names.by_key`.
    """
    words = [word for word in _BETWEEN.split(title) if word]
    for size in range(min(_LONGEST, len(words)), 0, -1):
        for start in range(len(words) - size + 1):
            found = genres.get(genre_key(" ".join(words[start : start + size])))
            if found is not None:
                return found
    return None
