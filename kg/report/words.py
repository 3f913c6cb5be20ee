"""How a report says numbers, and by which rule songs are split."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from unicodedata import bidirectional

from kg.splits.artists import artist_key


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 song`, `12,345 songs`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(share: float) -> str:
    """A share; rounding never makes it certain. Number and sign stay on one line."""
    if 0 < share < 0.01:
        return "<1\N{NO-BREAK SPACE}%"
    if 0.99 < share < 1:
        return ">99\N{NO-BREAK SPACE}%"
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def day(moment: datetime) -> str:
    """`1 May 2026`."""
    return f"{moment.day} {moment:%B %Y}"


def hours(seconds: float) -> str:
    """`3 h 20 min`, `45 min`, `3:45 min`, `50 s`."""
    if round(seconds) < 600:
        return length(seconds)
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 6000:
        return f"{minutes // 60:,} h {minutes % 60:02d} min"
    return f"{round(seconds / 3600):,} h"


def length(seconds: float) -> str:
    """How long a song is: `3:45 min`, `50 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,}:{rest:02d} min" if minutes else f"{rest} s"


def listed(names: Sequence[str], most: int) -> str:
    """`blues, jazz and 12 more`."""
    further = len(names) - most
    said = ", ".join(names[:most])
    return f"{said} and {further:,} more" if further > 0 else said


def split_by(rule: str, artists: Iterable[str | None]) -> str:
    """By which rule songs are split.

    Args:
        rule: `SplitRule.protocol`.
        artists: Of the songs.
    """
    if rule == "artist" and not any(artist_key(artist) for artist in artists):
        return "song by song, as no artist is known"
    return _RULES.get(rule, rule)


_RULES: Final = {
    "artist": "artist by artist",
    "given": "as the data says",
    "gtzan": "by GTZAN's fault-filtered lists (Kereliuk, Sturm and Larsen 2015)",
    "random": "song by song, at random, which flatters",
}


def named(name: str) -> str:
    """A name that something follows: one that is written from right to left doesn't draw the number
    behind it to its other side.
    """
    turned = any(bidirectional(char) in ("R", "AL") for char in name)
    return f"{name}\N{LEFT-TO-RIGHT MARK}" if turned else name


def told(guesses: Sequence[tuple[str, float]], most: int = 2) -> str:
    """`jazz 70 %, blues 20 %`."""
    return ", ".join(
        f"{named(genre)}\N{NO-BREAK SPACE}{percent(share)}" for genre, share in guesses[:most]
    )
