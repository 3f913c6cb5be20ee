"""What a watch tells: one event for each song or file that something happened to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kg.graph.rows import Guess

What = Literal[
    "added", "moved", "copied", "copy gone", "removed", "kept", "left out", "waiting", "going on"
]


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """Something that happened to a song, to a file, or to the watch itself.

    Attributes:
        what: `added` (a song), `moved` (its file), `copied` (another file of it came), `copy gone`
            (one of several files went), `removed` (a song, as its files are gone), `kept` (though
            they are), `left out` (a file that can't be read), `waiting` (something is in the way),
            `going on` (it no more is).
        path: The file, or the folder.
        before: Where a file that moved was.
        id: Key of the song.
        title: Of the song.
        genres: Its first genres, where it was added and there is a model.
        doubt: Why an added song is unknown to the model; None: it isn't.
        reason: Why, in plain words.
    """

    what: What
    path: Path | None = None
    before: Path | None = None
    id: str | None = None
    title: str | None = None
    genres: Sequence[Guess] = ()
    doubt: str | None = None
    reason: str | None = None
