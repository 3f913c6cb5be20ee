"""What is on several sides of a split, so that what is measured there is too good."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kg.errors import KgError
from kg.schema import SPLITS
from kg.splits.artists import artist_key
from kg.splits.songs import SplitSong

NAMED = 5


@dataclass(frozen=True, slots=True)
class Leaks:
    """What is on several sides of a split.

    Attributes:
        artists: Their names, sorted.
        recordings: A title (or file, or key) of each recording, sorted.
    """

    artists: Sequence[str] = ()
    recordings: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.artists or self.recordings)

    def __str__(self) -> str:
        kinds = (("artist", self.artists), ("recording", self.recordings))
        return " and ".join(_listed(kind, names) for kind, names in kinds if names)


def find_leaks(songs: Iterable[SplitSong]) -> Leaks:
    """Artists and recordings that are on several sides."""
    sided = [song for song in songs if song.split in SPLITS]
    return Leaks(
        artists=_shared(sided, lambda song: artist_key(song.artist), lambda song: song.artist),
        recordings=_shared(
            sided, lambda song: song.recording, lambda song: song.title or song.file or song.id
        ),
    )


def refuse_leaks(leaks: Leaks) -> None:
    """Let no split pass that leaks.

    Raises:
        KgError: this one does.
    """
    if leaks:
        raise KgError(
            f"The split leaks, and numbers measured on it would be too good: {leaks} on several "
            "sides. `kg train --split artist` keeps artists and recordings together; "
            "--allow-leaks trains on this split all the same."
        )


def _shared(
    songs: Iterable[SplitSong],
    key_of: Callable[[SplitSong], str | None],
    name_of: Callable[[SplitSong], str | None],
) -> list[str]:
    sides: dict[str, set[str | None]] = defaultdict(set)
    names: dict[str, str] = {}
    for song in songs:
        if key := key_of(song):
            sides[key].add(song.split)
            names.setdefault(key, name_of(song) or key)
    return sorted(names[key] for key, where in sides.items() if len(where) > 1)


def _listed(kind: str, names: Sequence[str]) -> str:
    more = ", ..." if len(names) > NAMED else ""
    plural = "" if len(names) == 1 else "s"
    verb = "is" if len(names) == 1 else "are"
    return f"{len(names)} {kind}{plural} ({', '.join(names[:NAMED])}{more}) {verb}"
