"""GTZAN's fault-filtered, artist-aware split: 443 clips to learn from, 197 to choose by, 290 tests.

Of GTZAN's 1,000 clips it drops 70 as faulty: exact copies, other copies of a recording, distorted
ones and wrong genres, as Sturm found them ("The GTZAN dataset: its contents, its faults, their
effects on evaluation, and its future use", 2013). The lists and where they are from:
`kg/splits/gtzan.toml`.

No artist that is known by name has clips to learn from and to choose by, but two sing along on the
other side: Donna Summer and Shania Twain. The artists of 44 of these 640 clips nobody knows.
"""

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Final, Literal

from kg.schema import SPLITS

GENRES: Final = (
    *("blues", "classical", "country", "disco", "hiphop"),
    *("jazz", "metal", "pop", "reggae", "rock"),
)
_NAME: Final = re.compile(
    rf"({'|'.join(GENRES)})\.(\d{{5}})(?:\.(?P<part>\d))?(?:\.\w+)?", re.IGNORECASE
)


def clip(name: str | None) -> tuple[str, int] | None:
    """Genre and number of the GTZAN clip that a file is by its name; None where it is none.

    Args:
        name: `blues.00042.wav`, with any extension or none, without folders; `blues.00042.7.wav`
            is a part of that clip, three seconds in the well-known table of parts.
    """
    found = _NAME.fullmatch(name or "")
    if not found or int(found[2]) > 99:
        return None
    return found[1].lower(), int(found[2])


def is_part(name: str) -> bool:
    """Whether a file is only a part of a clip by its name: `blues.00042.7.wav`."""
    found = _NAME.fullmatch(name)
    return found is not None and found["part"] is not None


def side(genre: str, number: int) -> str | None:
    """`train`, `valid` or `test`; None for a clip that the lists drop as faulty."""
    return clips().get((genre, number))


Fault = Literal["Exact copy of another clip", "Listed as faulty"]
"""What is known of a faulty clip, to sum up by."""


def fault(genre: str, number: int) -> tuple[Fault, str] | None:
    """What is known to be wrong with a clip, to sum up by and of it alone; None: nothing."""
    if side(genre, number) is not None:
        return None
    other = _file()["copies"].get(f"{genre}.{number:05d}")
    if other is not None:
        return "Exact copy of another clip", f"exact copy of {other}"
    return "Listed as faulty", "listed as faulty"


@cache
def clips() -> dict[tuple[str, int], str]:
    """Side of every clip of the lists, 930 of them."""
    return {
        (genre, number): split
        for split in SPLITS
        for genre, ranges in _file()[split].items()
        for first, _, last in (part.partition("-") for part in ranges.split())
        for number in range(int(first), int(last or first) + 1)
    }


@cache
def _file() -> dict[str, dict[str, str]]:
    text = resources.files("kg.splits").joinpath("gtzan.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
