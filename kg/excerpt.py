"""How much of each song is listened to, as users say it: seconds from its middle, or `full`."""

from typing import Final, Literal

from kg.errors import WrongUsageError

Excerpt = float | Literal["full"]

EXCERPT: Final = 30.0
"""Seconds decoded from the middle of a song, unless told otherwise."""

LEAST: Final = 5.0
"""Seconds below which a tempo, or a chord, can't be heard."""

MOST: Final = 6 * 3600.0
"""Seconds of the longest excerpt, and of the longest song that is listened to as a whole."""


def as_excerpt(given: float | str) -> Excerpt:
    """Read what a user says.

    Raises:
        WrongUsageError: it is neither `full` nor seconds that make sense.
    """
    if given == "full":
        return "full"
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not LEAST <= seconds <= MOST:  # also where it is no number
        raise WrongUsageError(
            f"An excerpt can't be {given!r}: give seconds from the middle of each song, from "
            f"{LEAST:.0f} to {MOST:.0f}, or `full`."
        )
    return seconds


def as_seconds(excerpt: Excerpt) -> float | None:
    """Seconds, as decoding takes them; None: all of the song."""
    return None if isinstance(excerpt, str) else excerpt


def of_seconds(seconds: float | None) -> Excerpt:
    """The other way round."""
    return "full" if seconds is None else seconds


def in_words(excerpt: Excerpt) -> str:
    """For a sentence: `the whole of each song`, `the middle 30 s of each song`."""
    return (
        "the whole of each song"
        if isinstance(excerpt, str)
        else f"the middle {excerpt:g} s of each song"
    )
