"""Which files have settled: from looks at files, and the clock, to batches. It touches nothing.

A file that arrives is half there for a while. It has settled when it stands still, and longer is
waited where somebody still has it open, or where the decoder couldn't read it: a copy may have
stalled. Files that are gone wait too, for the same content may arrive under another name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that a file is as it was.

    Attributes:
        size: Bytes.
        modified: When its content was last changed, in ns.
        changed: When it was last changed in any way (its rights, its name), in ns.
        inode: Its number on its disk, which it keeps when it is renamed.
        device: Number of that disk as long as it stays mounted; -1: that was another time.
    """

    size: int
    modified: int
    changed: int
    inode: int
    device: int = -1

    @property
    def content(self) -> tuple[int, int, int]:
        """The same as long as nobody writes to it, whatever it is called."""
        return self.size, self.modified, self.inode

    def same(self, other: "Stamp") -> bool:
        """Whether nothing was done to a file, as far as anybody can see."""
        return (self.content, self.changed) == (other.content, other.changed)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds.

    Attributes:
        quiet: Until a file that stands still has settled.
        stalled: The same for one that was written to, and that nobody has closed since.
        doubtful: Until one that can't be read, and stands still, is given up.
        gone: Until songs are removed, after the last file went.
        arriving: The same while other files are on their way: these may be the same songs.
    """

    quiet: float = 2.0
    stalled: float = 300.0
    doubtful: float = 120.0
    gone: float = 5.0
    arriving: float = 60.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What has settled.

    Attributes:
        arrived: Files that are new, or have other content, as they are now.
        refused: Those that can't be read even so, and why.
        gone: Paths with nothing there any more.
    """

    arrived: Mapping[str, Stamp] = field(default_factory=dict)
    refused: Mapping[str, tuple[Stamp, str]] = field(default_factory=dict)
    gone: Sequence[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.arrived or self.refused or self.gone)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A path since something was last seen to happen there; `reason`: why it can't be read."""

    stamp: Stamp | None
    since: float
    open: bool = False
    reason: str | None = None


class Settling:
    """Paths that something happened at, until that has settled."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._waiting: dict[str, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, path: str) -> bool:
        return path in self._waiting

    def look(self, path: str, stamp: Stamp | None, now: float) -> None:
        """Something may have happened: this is there now (None: nothing)."""
        before = self._waiting.get(path)
        if before is None:
            self._waiting[path] = _Waiting(stamp, now)
        elif before.stamp != stamp:
            # Its rights, perhaps, and nothing else: it may be readable now.
            self._waiting[path] = _Waiting(stamp, now, open=before.open)

    def write(self, path: str, *, closed: bool) -> None:
        """Somebody writes to this file, or has closed it after that."""
        if path in self._waiting:
            self._waiting[path] = replace(self._waiting[path], open=not closed)

    def doubt(self, path: str, stamp: Stamp, reason: str, now: float) -> None:
        """This file can't be read: it may still be on its way."""
        self._waiting[path] = _Waiting(stamp, now, reason=reason)

    def again(self, batch: Batch, now: float) -> None:
        """Nothing came of a batch: it is to settle once more."""
        for path, stamp in batch.arrived.items():
            self.look(path, stamp, now)
        for path, (stamp, reason) in batch.refused.items():
            self.doubt(path, stamp, reason, now - self._patience.doubtful)
        for path in batch.gone:
            self.look(path, None, now)

    def forget(self, path: str) -> None:
        """Nothing is to be done there."""
        self._waiting.pop(path, None)

    def forget_gone(self, below: Callable[[str], bool]) -> None:
        """What seemed gone there isn't to be judged now."""
        for path, each in list(self._waiting.items()):
            if each.stamp is None and below(path):
                del self._waiting[path]

    def take(self, look: Callable[[str], Stamp | None], now: float, most: int) -> Batch:
        """Hand over what has settled, after a last look at it.

        Args:
            look: What is at a path now.
            now: The time, in seconds; any clock that never goes back.
            most: How many files that arrived to take at most.
        """
        arrived: dict[str, Stamp] = {}
        refused: dict[str, tuple[Stamp, str]] = {}
        for path, each in list(self._waiting.items()):
            if each.stamp is None or now < each.since + self._needs(each):
                continue
            if len(arrived) == most:
                break
            self.look(path, look(path), now)
            if self._waiting[path] != each:
                continue
            del self._waiting[path]
            if each.reason is None:
                arrived[path] = each.stamp
            else:
                refused[path] = each.stamp, each.reason
        # A song that was renamed may still wait under its new name where these are all we take.
        full = len(arrived) == most
        gone = [] if full else self._take_gone(look, now, busy=bool(arrived))
        return Batch(arrived, refused, gone)

    def _take_gone(
        self, look: Callable[[str], Stamp | None], now: float, *, busy: bool
    ) -> list[str]:
        """All that is gone at once: how much that is says whether to believe it."""
        gone = {path: each.since for path, each in self._waiting.items() if each.stamp is None}
        if not gone:
            return []
        # What has just arrived may be the same songs: they are looked at first.
        arriving = busy or any(
            each.stamp is not None and each.reason is None for each in self._waiting.values()
        )
        last = max(gone.values())
        if now < (last + self._patience.arriving if arriving else last + self._patience.gone):
            return []
        for path in gone:
            self.look(path, look(path), now)
        taken = [path for path in gone if self._waiting[path].stamp is None]
        for path in taken:
            del self._waiting[path]
        return taken

    def _needs(self, each: _Waiting) -> float:
        if each.reason is not None:
            return self._patience.doubtful
        return self._patience.stalled if each.open else self._patience.quiet
