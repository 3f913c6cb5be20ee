"""How a report says numbers."""

from collections.abc import Sequence


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


def hours(seconds: float) -> str:
    """`3 h 20 min`, `45 min`, `50 s`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min"
    return (
        f"{minutes // 60:,} h {minutes % 60:02d} min" if minutes < 6000 else f"{minutes // 60:,} h"
    )


def told(guesses: Sequence[tuple[str, float]], most: int = 2) -> str:
    """`jazz 70 %, blues 20 %`."""
    return ", ".join(
        f"{genre}\N{NO-BREAK SPACE}{percent(share)}" for genre, share in guesses[:most]
    )
