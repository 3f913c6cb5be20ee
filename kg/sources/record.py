"""What every source yields: one record a song, whatever it was read from."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SongRecord:
    """A song as its source describes it; `None` and empty tuples mean that it doesn't say.

    Attributes:
        id: BLAKE2b-128 of the file's bytes, or of source name and row key for a table row; hex.
        path: Absolute path of the audio file.
        genres: The owner's genres; `genre_source` says where they were read from.
        genre_source: `folder`, `tag`, `table` or `user`; empty where there are no genres.
        split: `train`, `valid` or `test` where the data itself says so.
    """

    id: str
    path: Path | None = None
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    year: int | None = None
    genres: tuple[str, ...] = ()
    genre_source: str = ""
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that did not become a song, and why, in plain words."""

    path: Path
    reason: str
