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
    text = unicodedata.normalize("NFKD", _GUESTS.sub("", artist or "")).casefold()
    letters = "".join(char for char in text if not unicodedata.combining(char))
    words = re.sub(r"[\W_]+", " ", letters).strip()
    words = words.removeprefix("the ").removesuffix(" the")
    if words in NOBODY:
        return None
    # A name that is all punctuation is still a name.
    return words or letters.strip() or None
