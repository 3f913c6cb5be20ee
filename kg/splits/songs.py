"""What a split needs to know of a song."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SplitSong:
    """What a split needs to know of a song.

    Attributes:
        id: Its key.
        genres: The owner's.
        artist: None where unknown.
        split: The side that it is on now.
        given: The side that the data itself puts it on.
        recording: Key of the recording that it shares with other songs; None where it shares none.
        title: As its tags say.
        file: Name of its file, without folders; of a row of a table, its key there.
    """

    id: str
    genres: tuple[str, ...]
    artist: str | None = None
    split: str | None = None
    given: str | None = None
    recording: str | None = None
    title: str | None = None
    file: str | None = None


def fingerprint_of_songs(ids: Iterable[str]) -> str:
    """Hash of which songs these are, in their order."""
    digest = hashlib.blake2b(digest_size=8)
    for id in ids:
        digest.update(f"{id}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()
