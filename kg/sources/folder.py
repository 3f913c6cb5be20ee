"""Folders of audio files: which are songs, and what their folders and tags say of them."""

import logging
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from kg.audio.requests import Identify, Identity, ReadTags
from kg.audio.tags import Tags, clean
from kg.audio.workers import cores, perform_in_workers
from kg.errors import AudioError, KgError, WrongUsageError
from kg.files import normal, why_unreadable
from kg.progress import SILENT, Progress
from kg.records import Rejected, SongRecord
from kg.text import printable

log = logging.getLogger(__name__)

GenresFrom = Literal["auto", "folder", "tag", "none"]

# Of these kg has no decoder for OptimFROG (.ofr) and what is sold encrypted (.aax, .m4p): such a
# file is still the user's music, and named among those that can't be read.
EXTENSIONS: Final = frozenset(
    {
        *(".mp3", ".mp2", ".mp1", ".mpa", ".mpga", ".flac", ".ogg", ".oga", ".opus", ".spx"),
        *(".m4a", ".m4b", ".m4r", ".m4p", ".mp4", ".aac", ".adts", ".3gp", ".3g2", ".aax", ".caf"),
        *(".wma", ".asf", ".ape", ".wv", ".mpc", ".mp+", ".mpp", ".ofr", ".tak", ".tta", ".shn"),
        *(".wav", ".wave", ".w64", ".rf64", ".bwf", ".aiff", ".aif", ".aifc", ".au", ".snd"),
        *(".voc", ".dsf", ".dff", ".mka", ".webm", ".weba", ".ac3", ".eac3", ".dts", ".mlp"),
        *(".ra", ".rm", ".amr", ".awb", ".oma", ".aa3", ".at3", ".qoa"),
    }
)

_FEW: Final = 50  # files that one process has read before another would have started


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found in the folders.

    Attributes:
        records: One a song, in the order of the paths; the same bytes twice are one song.
        rejected: Files that can't be read.
        genres_from: `folder`, `tag` or `none`: what was asked for, or what `auto` chose.
    """

    records: list[SongRecord]
    rejected: list[Rejected]
    genres_from: str


def scan(
    folders: Sequence[Path], genres_from: GenresFrom = "auto", progress: Progress = SILENT
) -> Scan:
    """Walk folders (or single files) for audio and describe every song found.

    Hidden files and folders are left out; links are followed, but no folder is walked twice.

    Genres come from the name of the folder a file lies in (`folder`), from its tags (`tag`) or
    from nowhere (`none`). `auto` is `folder` where there is a genre layout, else `tag` where any
    file has a genre tag, else `none`. A genre layout is: below each given folder (or below all of
    them taken together) every audio file lies in one of at least two folders side by side, and
    these aren't named after the artists or albums of the files in them.

    Raises:
        WrongUsageError: a folder doesn't exist.
        KgError: there is no audio file at all.
    """
    rejected: list[Rejected] = []
    found: dict[Path, list[Path]] = {}
    for given in folders:
        root = normal(given)
        if not os.path.lexists(root):
            raise WrongUsageError(f"There is no folder or file called {printable(root)}.")
        found[root] = list(_audio_files(root, rejected))
        if not found[root] and len(folders) > 1:
            progress.say(f"No audio files in {printable(root)}.")
    files = sorted({path for paths in found.values() for path in paths}, key=os.fsencode)
    if not files and not rejected:
        raise KgError(
            f"No audio files in {', '.join(map(printable, found))}: kg looks for .mp3, .flac, "
            ".m4a, .ogg, .opus, .wav and other audio files, in all folders below."
        )

    described = _describe(files, rejected, progress)
    tags = {path: said for path, (_, said) in described.items()}
    if genres_from == "auto":
        genres_from = _choose(found, tags)
    copies: dict[str, list[Path]] = defaultdict(list)
    for path, (identity, _) in described.items():
        copies[identity.content].append(path)
    records = [
        _record(song, paths, described[paths[0]][0].modified, tags, genres_from)
        for song, paths in copies.items()
    ]
    return Scan(records, rejected, genres_from)


def _describe(
    files: Sequence[Path], rejected: list[Rejected], progress: Progress
) -> dict[Path, tuple[Identity, Tags]]:
    """Hash files and read their tags, in other processes; those of no harm, in their order.

    Tags that make their reader hang, crash or burst are none; the file may still be heard.
    """
    identities: dict[Path, Identity] = {}
    reasons: dict[Path, str] = {}
    tags: dict[Path, Tags] = {}
    requests = (request for path in files for request in (Identify(path), ReadTags(path)))
    outcomes = perform_in_workers(
        requests, min(cores(), len(files) // _FEW + 1) if files else 0, warm=None
    )
    with progress.stage("Reading files", len(files)) as advance, closing(outcomes):
        for request, outcome in outcomes:
            path = request.path
            if isinstance(outcome, Identity):
                identities[path] = outcome
            elif isinstance(outcome, Tags):
                tags[path] = outcome
            elif isinstance(outcome, AudioError) and isinstance(request, Identify):
                reasons[path] = outcome.reason
            else:
                log.debug("No tags from %s: %s", path, outcome)
            if isinstance(request, Identify):
                advance(1, rejected=path in reasons)
    rejected += [Rejected(path, reasons[path]) for path in files if path in reasons]
    return {
        path: (identities[path], tags.get(path, Tags())) for path in files if path in identities
    }


def _audio_files(root: Path, rejected: list[Rejected]) -> Iterator[Path]:
    if root.is_dir():
        for path in walk(root, rejected):
            if is_audio(path) and _readable_kind(path, rejected):
                yield path
    elif _readable_kind(root, rejected, given=True):
        yield root  # whatever it is called: who names a file means it


def is_audio(path: Path) -> bool:
    """Whether a file is called as audio files are."""
    return path.suffix.lower() in EXTENSIONS


def walk(
    folder: Path,
    rejected: list[Rejected],
    entered: Callable[[Path], object] = lambda folder: None,
) -> Iterator[Path]:
    """Yield the files below a folder in the order of their names, each folder once.

    Args:
        folder: Where to look; hidden files and folders are left out, links are followed.
        rejected: Folders that can't be read are added to it.
        entered: Told of every folder, that one included.
    """
    seen: set[tuple[int, int]] = set()
    left = [(folder, True)]  # the next one last; folders may be nested deeper than calls
    while left:
        path, is_folder = left.pop()
        if not is_folder:
            yield path
            continue
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                visible = sorted(
                    (entry for entry in entries if not is_hidden(entry.name)),
                    key=lambda entry: os.fsencode(entry.name),
                    reverse=True,
                )
        except OSError as error:
            rejected.append(Rejected(path, f"the folder {why_unreadable(error)}"))
            continue
        entered(path)
        left += [(path / entry.name, _is_folder(entry)) for entry in visible]


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is nobody's music."""
    return name.startswith(".") or name == "__MACOSX"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points at itself
        return False


def _readable_kind(path: Path, rejected: list[Rejected], *, given: bool = False) -> bool:
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return True
    except FileNotFoundError:
        rejected.append(Rejected(path, "a link to a file that isn't there"))
    except OSError as error:
        rejected.append(Rejected(path, why_unreadable(error)))
    else:
        if given:
            rejected.append(Rejected(path, "a pipe or device, not a file"))
        else:
            log.debug("Passed over, not a regular file: %s", path)
    return False


def _choose(
    found: dict[Path, list[Path]], tags: dict[Path, Tags]
) -> Literal["folder", "tag", "none"]:
    """Decide where `auto` takes the genres from."""
    below = [[path for path in paths if path in tags] for paths in found.values()]
    if (all(map(_side_by_side, below)) or _side_by_side(tags)) and not _named_after_artists(tags):
        return "folder"
    return "tag" if any(one.genres for one in tags.values()) else "none"


def _side_by_side(files: Iterable[Path]) -> bool:
    parents = {path.parent for path in files}
    return len(parents) > 1 and len({parent.parent for parent in parents}) == 1


def _named_after_artists(tags: dict[Path, Tags]) -> bool:
    """Whether half of the folders that can be judged bear the name of an artist or album inside."""
    votes: dict[Path, list[bool]] = defaultdict(list)
    for path, one in tags.items():
        said = (one.artist, one.album_artist, one.album)
        names = [name.casefold() for name in said if name and len(name) > 2]
        if names:
            folder = clean(path.parent.name).casefold()
            votes[path.parent].append(any(name in folder for name in names))
    named = sum(2 * sum(each) > len(each) for each in votes.values())
    return bool(votes) and 2 * named >= len(votes)


def _record(
    song: str,
    paths: list[Path],
    modified: int,
    tags: dict[Path, Tags],
    genres_from: GenresFrom,
) -> SongRecord:
    """Describe a song by the first of its copies; in several genre folders, it has their genres."""
    path = paths[0]
    said = tags[path]
    genres: tuple[str, ...] = ()
    if genres_from == "folder":
        names = (clean(copy.parent.name) for copy in paths)
        genres = tuple(dict.fromkeys(name for name in names if name))
    elif genres_from == "tag":
        genres = said.genres
    return SongRecord(
        id=song,
        path=path,
        paths=tuple(paths),
        modified=modified,
        title=said.title or clean(path.stem),
        artist=said.artist,
        album_artist=said.album_artist,
        album=said.album,
        year=said.year,
        genres=genres,
        genre_source=genres_from if genres else "",
    )
