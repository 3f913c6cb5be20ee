"""Frame sequences of many songs, for models that listen frame by frame: one file a song."""

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Songs
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from kg.audio.cache import remove_leftovers
from kg.audio.features import feature_version
from kg.audio.requests import FRAME_DTYPE, Request
from kg.audio.workers import cores, perform_in_workers
from kg.errors import AudioError, KgError, WrongUsageError
from kg.excerpt import EXCERPT
from kg.progress import SILENT, Progress
from kg.records import Rejected

Kind = Literal["mfcc", "log_mel"]

KINDS: Final[tuple[Kind, ...]] = ("mfcc", "log_mel")
"""What `Frames` has in a shape that networks learn from: 20 and 128 values a frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Sequences(Mapping[str, NDArray[np.float16]]):
    """Frame sequences by content id, each read from disk when it is asked for.

    `sequences[id]` is float16 [frames, bands], memory-mapped and read-only; a network wants
    `torch.tensor(sequences[id][begin:end], dtype=torch.float32)`, which reads no more than that.

    Attributes:
        folder: Where the files lie.
        ids: The songs that could be read, in the order they were given.
        rejected: The files that did not become a song, in the order they were given.
        cached: How many sequences were there already.
    """

    folder: Path
    ids: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    cached: int

    def __getitem__(self, song: str) -> NDArray[np.float16]:
        """Map the sequence of a song.

        Raises:
            KeyError: there is none.
            KgError: its file is gone or damaged.
        """
        path = _path(self.folder, song)
        frames = _read(path)
        if frames is None:
            if song not in self.ids:
                raise KeyError(song)
            raise KgError(
                f"The frame sequence {path} is missing or damaged: extract the sequences again."
            )
        return frames

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


def sequences(
    songs: Songs[tuple[str, str | Path]],
    cache_dir: str | Path,
    kind: Kind,
    *,
    modified: Mapping[str, int] | None = None,
    workers: int | None = None,
    excerpt: float | None = EXCERPT,
    progress: Progress = SILENT,
) -> Sequences:
    """Extract frame sequences of songs given as (content id, path).

    What is on disk already stays as it is, whatever the file was called then; a run that was
    killed goes on where it was.

    Args:
        songs: Content ids and paths; an id that comes twice is extracted once.
        cache_dir: Holds the sequences, `sequences/<kind>-<feature version>/<2 digits>/<id>.npy`.
        kind: `mfcc` (20 values a frame) or `log_mel` (128); a frame is 512 samples, 23 ms.
        modified: When files were last changed as their content was hashed, in ns, by content id.
            One that changed since is rejected: what is heard isn't what was hashed.
        workers: Processes (None: one a core).
        excerpt: Seconds decoded from the middle of each song (None: all of it).
        progress: Told of every song that is done.

    Raises:
        KgError: the cache can't be written to, or processes can't be started.
        WrongUsageError: `workers` is less than one, or there is no such kind.
    """
    if kind not in KINDS:
        raise WrongUsageError(f"There are no frame sequences of {kind!r}: {' or '.join(KINDS)}.")
    if workers is not None and workers < 1:
        raise WrongUsageError(f"{workers} processes can't extract anything: at least 1 is needed.")
    folder = Path(cache_dir) / "sequences" / f"{kind}-{feature_version(excerpt)}"
    remove_leftovers(folder)
    paths = dict(reversed(songs))  # of paths with the same content, the first
    order = list(dict.fromkeys(song for song, _ in songs))
    missing = [song for song in order if _read(_path(folder, song)) is None]
    rejected: dict[str, Rejected] = {}
    modified = modified or {}
    requests = (
        Request(song, Path(paths[song]), excerpt, kind, _path(folder, song), modified.get(song))
        for song in missing
    )
    with progress.stage("Extracting frames", len(order)) as advance:
        advance(len(order) - len(missing))
        outcomes = perform_in_workers(requests, min(workers or cores(), len(missing)))
        with closing(outcomes):  # an exception ends the processes here and now
            for request, outcome in outcomes:
                if isinstance(outcome, AudioError):
                    rejected[request.song] = Rejected(request.path, outcome.reason)
                advance(1, rejected=isinstance(outcome, AudioError))
    return Sequences(
        folder,
        ids=tuple(song for song in order if song not in rejected),
        rejected=tuple(rejected[song] for song in order if song in rejected),
        cached=len(order) - len(missing),
    )


def _path(folder: Path, song: str) -> Path:
    return folder / song[:2] / f"{song}.npy"


def _read(path: Path) -> NDArray[np.float16] | None:
    """Map a sequence; None where the file is missing, cut off or something else."""
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return frames if frames.ndim == 2 and frames.dtype == FRAME_DTYPE else None
