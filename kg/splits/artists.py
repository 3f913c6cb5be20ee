"""When two artist tags name the same artist, and when they name nobody."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

# What compilations and rippers write where an artist belongs: songs that share it share nothing.
NOBODY: Final = frozenset(
    {
        *("various", "various artists", "various artist", "various interprets", "va", "v a"),
        *("unknown", "unknown artist", "artist unknown", "no artist", "none", "n a", "untitled"),
        *("anonymous", "traditional", "trad", "compilation", "soundtrack", "original soundtrack"),
        *("verschiedene interpreten", "verschiedene kunstler", "diverse interpreten", "diverse"),
        *("artistes divers", "multi interpretes", "varios artistas", "varios interpretes"),
        *("artisti vari", "vari artisti", "diverse artister", "diverse artiesten"),
    }
)
_GUESTS = re.compile(r"[\s(\[]+(?:feat|ft|featuring)\b\.?\s.*", re.IGNORECASE)


@lru_cache(maxsize=65_536)
def artist_key(artist: str | None) -> str | None:
    """What spellings of one artist have in common; None where the tag names nobody.

    Case, accents, punctuation, a leading or trailing "the" and guests ("A feat. B") don't count,
    and "Various Artists" and its like are nobody: their songs have no artist in common.
    """
    words = letters_of(without_guests(artist or "")).removeprefix("the ").removesuffix(" the")
    return None if words in NOBODY else words or None


def without_guests(artist: str) -> str:
    """`A` of `A feat. B`."""
    return _GUESTS.sub("", artist).strip()


def letters_of(name: str) -> str:
    """What spellings of a name have in common: its words, without case, accents and punctuation."""
    text = unicodedata.normalize("NFKD", name).casefold()
    letters = "".join(char for char in text if not unicodedata.combining(char))
    # A name that is all punctuation is still a name.
    return re.sub(r"[\W_]+", " ", letters).strip() or letters.strip()
