"""Which feature family a column belongs to, by its name: `mfcc1_mean` to `mfcc20_var` are mfcc."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

# Families that one would have to be told apart from other relations of a song.
_TAKEN: Final = frozenset({"tag"})
MOST: Final = 20
"""More families than this from one table: the small ones are put together."""

ALONE: Final = "features"
"""The family of a table in which no column belongs to another."""
OTHERS: Final = "other"
"""The family of columns that belong to none, beside others that do."""

# What is said of a frame's values over time; `d` and `delta` are how they change.
_STATISTIC = re.compile(
    r"(mean|avg|average|median|med|mode|var|variance|std|stdev|stddev|sd|min|max|minimum|maximum"
    r"|range|iqr|skew|skewness|kurt|kurtosis|sum|rms|cv|d?mean|d?var|d?std|dmean2|dvar2|d|dd|delta"
    r"\d?|deltas|cov|icov|hmean|gmean|slope|first|last|lower|upper|q\d+|p\d+|pct\d+|percentile\d*"
    r"|quantile\d*|quartile\d*|coeff?s?|coefficients?|band|bands|bin|bins|dim|dims|feat|pc|lag)"
)


def group(names: Sequence[str], widths: Mapping[str, int]) -> dict[str, str]:
    """The family of each column.

    Columns whose names differ only in numbers and statistics are a family. Those left alone join
    others of the same first word (`spectral_centroid`, `spectral_rolloff`: spectral), else they are
    one family together.

    Args:
        names: The columns, in order.
        widths: Of columns of lists: how many numbers each holds.
    """
    stems = {name: _words(name) for name in names}
    least = 2
    while True:
        found = _grouped(names, widths, stems, least)
        if len(set(found.values())) <= MOST or least > len(names):
            return found
        least += 1


def _grouped(
    names: Sequence[str],
    widths: Mapping[str, int],
    stems: Mapping[str, tuple[str, ...]],
    least: int,
) -> dict[str, str]:
    sizes: Counter[tuple[str, ...]] = Counter()
    for name in names:
        sizes[stems[name]] += widths.get(name, 1)
    found = {name: "_".join(stems[name]) for name in names if sizes[stems[name]] >= least}
    alone = [name for name in names if name not in found]
    taken = set(found.values())
    by_word: dict[str, list[str]] = defaultdict(list)
    for name in alone:
        # `spectral` beside a family of that name joins it.
        by_word[stems[name][0] if stems[name] else ""].append(name)
    for word, members in by_word.items():
        if word and (word in taken or sum(widths.get(one, 1) for one in members) >= least):
            found.update(dict.fromkeys(members, word))
    rest = OTHERS if found else ALONE
    return {name: family_name(found.get(name) or rest) for name in names}


def _words(name: str) -> tuple[str, ...]:
    """What a name is about: its words without numbers and statistics."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    words = [word for word in re.split(r"[^0-9a-z]+", _ascii(plain)) if word]
    kept = [word for word in words if not (_STATISTIC.fullmatch(word) or word.isdigit())]
    kept = [re.sub(r"\d+$", "", word) or word for word in kept]
    # A statistic of nothing is a feature itself: `rms`, `rms_mean`.
    return tuple(kept or [re.sub(r"\d+$", "", word) or word for word in words[:1]])


def _ascii(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text)
    return "".join(char for char in apart if not unicodedata.combining(char)).lower()


def family_name(text: str) -> str:
    """A name that a relation can have: lower-case letters, digits and underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", _ascii(text)).strip("_")
    if not name:
        return ALONE
    if not name[0].isalpha():
        name = f"{ALONE}_{name}"
    return f"{name}s" if name in _TAKEN else name
