"""Columns that are the genre in other words: what learns from them learns nothing of sound."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_NEARLY: Final = 0.99  # of the songs whose value says their genre
_OFTEN: Final = 5  # songs of each value on average, and of a genre: fewer can be chance
_MOST: Final = 0.95  # of the songs in one genre: no value need say much then


class GenreTellers:
    """Counts which values of columns go with which genres, batch by batch.

    Only columns of few different values can be codes of genres; others aren't looked at.

    Args:
        values: The different numbers of each column, in order.
    """

    def __init__(self, values: Mapping[str, Sequence[float]]) -> None:
        self.columns = tuple(values)
        self._values = {name: np.asarray(numbers) for name, numbers in values.items()}
        self._codes: dict[tuple[str, ...], int] = {}
        self._pairs: dict[str, Counter[tuple[int, int]]] = {name: Counter() for name in values}

    def add(
        self, columns: Mapping[str, NDArray[np.float64]], genres: Sequence[tuple[str, ...]]
    ) -> None:
        """Count some songs: their numbers in each column, NaN where missing, and their genres."""
        codes = np.array(
            [self._codes.setdefault(each, len(self._codes)) if each else -1 for each in genres],
            np.int64,
        )
        for name, numbers in columns.items():
            values = self._values[name]
            told = np.isfinite(numbers) & (codes >= 0)
            places = np.searchsorted(values, numbers[told])
            pairs, counts = np.unique(
                np.column_stack([places, codes[told]]), axis=0, return_counts=True
            )
            for (place, code), count in zip(pairs.tolist(), counts.tolist(), strict=True):
                self._pairs[name][place, code] += count

    def found(self) -> dict[str, str]:
        """Columns that tell genres, and in words how."""
        combinations = list(self._codes)
        said: dict[str, str] = {}
        for name, pairs in self._pairs.items():
            if _says_all(pairs):
                said[name] = "says the genre of each song in other words"
            elif genre := _says_one(pairs, combinations):
                said[name] = f"says of each song whether it is {genre}"
        return said


def _says_all(pairs: Mapping[tuple[int, int], int]) -> bool:
    """Whether a value goes with one genre each, or nearly so."""
    total = sum(pairs.values())
    by_genre: Counter[int] = Counter()
    best: Counter[int] = Counter()
    for (place, code), count in pairs.items():
        by_genre[code] += count
        best[place] = max(best[place], count)
    return (
        len(best) > 1
        and total >= _OFTEN * len(best)
        and sum(best.values()) >= _NEARLY * total
        and max(by_genre.values()) <= _MOST * total
    )


def _says_one(
    pairs: Mapping[tuple[int, int], int], combinations: Sequence[tuple[str, ...]]
) -> str | None:
    """The genre of which all songs, and no others, have one value; None: there is none."""
    total = sum(pairs.values())
    by_value: Counter[int] = Counter()
    by_genre: Counter[str] = Counter()
    both: Counter[tuple[int, str]] = Counter()
    for (place, code), count in pairs.items():
        by_value[place] += count
        for genre in combinations[code]:
            by_genre[genre] += count
            both[place, genre] += count
    for (place, genre), count in both.items():
        alone = count >= _NEARLY * max(by_value[place], by_genre[genre])
        if alone and count >= _OFTEN and total - count >= _OFTEN:
            return genre
    return None
