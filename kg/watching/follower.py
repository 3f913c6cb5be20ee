"""What has settled in the folders, carried over to the library: added, moved, removed."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from kg.audio.workers import cores
from kg.files import CHANGED
from kg.progress import Progress
from kg.removal import is_gone, remove_songs, unmounted
from kg.sources.folder import is_audio, walk
from kg.tagging.contents import known_contents
from kg.text import printable
from kg.watching.disk import as_named, as_stored, below, identity, read_id, stamp_of
from kg.watching.events import WatchEvent, What
from kg.watching.following import Change, changes, follow, keep_labels, placed_songs
from kg.watching.memory import Known, Memory
from kg.watching.settling import Batch, Patience, Settling, Stamp

if TYPE_CHECKING:
    from kg.graph.connection import Connection
    from kg.graph.store import GraphStore
    from kg.intake.audio import AddReport

T = TypeVar("T")

FEW: Final = 10
"""So many songs may always go at once; of more, half of those of a folder at most."""

_MANY: Final = 1000

# Names that browsers and others give to a file beside the one that it is going to be.
_UNFINISHED: Final = (".part", ".crdownload", ".partial", ".download", ".opdownload", ".filepart")


class InTurn(Protocol):
    """Runs a step that writes to the graph while no other command does."""

    def __call__(self, step: Callable[[], T]) -> T:
        """Run it."""
        ...


@dataclass(frozen=True, slots=True)
class Hands:
    """What a watch does to a library.

    Attributes:
        add: Adds songs; see `Library.add`.
        in_turn: Lets other commands finish first.
        store: The graph, connected to on need.
        leave: Forgets a connection that is broken.
    """

    add: "Callable[[Sequence[Path]], AddReport]"
    in_turn: InTurn
    store: "Callable[[], GraphStore]"
    leave: Callable[[], None]


class Follower:
    """Knows where the songs of watched folders are, and lets the library know.

    What can't be done raises, and nothing of it is remembered: the same may be tried again.

    Args:
        roots: The folders.
        hands: What is done to the library.
        memory: What files are.
        settling: Where files wait that aren't done with.
        patience: How long these wait.
        progress: Told of what is no event.
        keep: Never remove a song.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        hands: Hands,
        memory: Memory,
        settling: Settling,
        patience: Patience,
        progress: Progress,
        *,
        keep: bool,
    ) -> None:
        self._roots = roots
        self._below = below(roots)
        self._hands = hands
        self._memory = memory
        self._settling = settling
        self._patience = patience
        self._progress = progress
        self._keep = keep
        # Which song the graph has at each path below the folders; paths are spelled as there.
        self._songs_at: dict[str, str] = {}
        self._kept: set[str] = set()
        self._first = True
        self._without_model: str | None = None

    # --- what happens at a path ------------------------------------------------------------------

    def notice(self, path: str) -> None:
        """Something happened to a file, or seems to have."""
        if not is_audio(Path(path)):
            return
        found, known = stamp_of(path), self._memory.get(path)
        if found is not None and known is not None and known.stamp.same(found):
            self._settling.forget(path)
        elif found is not None or known is not None or as_stored(path) in self._songs_at:
            self._settling.look(path, found, time.monotonic())
        else:
            self._settling.forget(path)

    def notice_gone(self, folders: set[str]) -> None:
        """These folders are gone, with all below them."""
        known = {*self._memory, *self._songs_at}
        for path in known:
            if any(os.fspath(each) in folders for each in Path(path).parents):
                self.notice(as_named(path))

    def look_at_all(self) -> Iterator[WatchEvent]:
        """Find out what has changed since the last look; a file that hasn't costs one look.

        Raises:
            GraphError: the database doesn't answer.
        """
        self._songs_at = {path: id for path, id in self._hands.store().paths() if self._below(path)}
        for root in self._roots:
            if identity(root) is not None:
                yield from self._look_below(root)
        if self._first and len(self._settling) > _MANY:
            self._progress.say(
                f"{len(self._settling)} files weren't seen before, or were changed: to look at "
                "them takes a while, once."
            )
        for path in self._memory:
            gone = as_stored(path) not in self._songs_at and is_gone(path)
            if gone and self._is_root_there(path):
                self._memory.drop(path)
        self._first = False

    def _look_below(self, root: Path) -> Iterator[WatchEvent]:
        seen: set[str] = set()
        for file in walk(root, []):
            path = os.fspath(file)
            if not is_audio(file) or (stamp := stamp_of(path)) is None:
                continue
            stored = as_stored(path)
            seen.add(stored)
            known = self._memory.get(path)
            if known is None or not known.stamp.same(stamp):
                self._settling.look(path, stamp, time.monotonic())
                continue
            self._memory.put(path, replace(known, stamp=stamp))  # on this disk, now
            # What is forgotten while we watch isn't to come back at once.
            if self._first and known.id != self._songs_at.get(stored):
                self._settling.look(path, stamp, time.monotonic())
        self._kept -= seen
        inside = below([root])
        missing = {at for at in self._songs_at if inside(at)} - seen - self._kept
        if not seen and not all(self._was_on_disk_of(root, as_named(at)) for at in missing):
            self._kept |= missing
            songs = _songs(len({self._songs_at[at] for at in missing}))
            yield _kept(
                root, f"{songs}: there is no audio file here, as where a disk isn't mounted"
            )
            return
        for at in missing:
            self._settling.look(as_named(at), None, time.monotonic())

    # --- what has settled ------------------------------------------------------------------------

    def see_to(self, batch: Batch) -> Iterator[WatchEvent]:
        """Add songs, follow files that moved, and remove songs whose files are gone.

        Raises:
            KgError: the library can't be written to now.
        """
        ids, unread = self._identify(batch.arrived)
        store = self._hands.store()
        written = known_contents(store.connection) if ids else {}
        ids = {path: written[id].song if id in written else id for path, id in ids.items()}
        songs = placed_songs(store.connection, self._touched(batch, ids.values()))
        there = {song.id for song in songs}
        new = {path: id for path, id in ids.items() if id not in there}
        report = self._hands.add([Path(at) for at in (*new, *unread)]) if new or unread else None
        came = {path: id for path, id in ids.items() if path not in new}
        if report is not None:
            # What another command added meanwhile has come too.
            added = store.known(list(new.values()))
            came |= {path: id for path, id in new.items() if id in added}
            for song in report.added:
                yield WatchEvent(
                    "added",
                    song.path,
                    id=song.id,
                    title=song.title,
                    genres=song.guesses,
                    doubt=song.verdict.doubt if song.verdict else None,
                )
            self._remark(report.without_model if report.added else None)
        self._keep_labels(store.connection, came)
        given_up = self._given_up(batch, came, {**unread, **_reasons(report)})
        for path, (_, reason) in given_up.items():
            yield WatchEvent("left out", Path(path), reason=reason)

        now: dict[str, str | None] = {as_stored(path): id for path, id in came.items()}
        # Content that became no song; a file that nobody may read now is still what it was, and
        # one that can be read again may be too.
        read = {as_stored(path): id for path in given_up if (id := read_id(path)[0]) is not None}
        now |= {path: id if id in there else None for path, id in read.items()}
        gone, kept = self._gone(batch.gone)
        yield from kept
        found = changes(songs, now, lambda path, moved: path in gone or self._left(path, moved))
        moved = [change for change in found if change.left]
        going, kept = self._judge([change for change in found if not change.left], now)
        yield from kept
        if moved:
            self._hands.in_turn(lambda: follow(store.connection, moved))
            yield from map(_moved, moved)
        if going:
            removed = self._hands.in_turn(lambda: self._remove(store.connection, going, now))
            going = [change for change in going if change.song.id in removed]
            yield from (_of("removed", change) for change in going)
        self._remember(batch, came, given_up, [*moved, *going])

    def _keep_labels(self, connection: "Connection", came: Mapping[str, str]) -> None:
        """Give songs without a genre that took another's place at its path the genres of that.

        Whoever edits tags writes another file, and means the same song.
        """
        rows = [
            {"old": old, "new": id}
            for path, id in came.items()
            if (old := self._songs_at.get(as_stored(path))) not in (None, id)
        ]
        if rows:
            self._hands.in_turn(lambda: keep_labels(connection, rows))

    def _touched(self, batch: Batch, arrived: Iterable[str]) -> set[str]:
        """Songs that something may have happened to."""
        ids = {*arrived}
        for path in (*batch.arrived, *batch.refused, *batch.gone):
            known, song = self._memory.get(path), self._songs_at.get(as_stored(path))
            ids |= {id for id in (known and known.id, song) if id}
        return ids

    def _identify(self, arrived: Mapping[str, Stamp]) -> tuple[dict[str, str], dict[str, str]]:
        """Which song each file is, and why some can't be read; those that change meanwhile wait."""
        ids: dict[str, str] = {}
        unread: dict[str, str] = {}
        unknown: list[str] = []
        for path, stamp in arrived.items():
            known = self._memory.get(path)
            if known is not None and known.id is not None and known.stamp.same(stamp):
                ids[path] = known.id
            else:
                unknown.append(path)
        if not unknown:
            return ids, unread
        with ThreadPoolExecutor(min(cores(), len(unknown))) as pool:
            for path, (id, reason) in zip(unknown, pool.map(read_id, unknown), strict=True):
                now = stamp_of(path)
                if now is None or not now.same(arrived[path]):
                    self._settling.look(path, now, time.monotonic())
                elif id is not None:
                    ids[path] = id
                else:
                    unread[path] = str(reason)
        return ids, unread

    def _given_up(
        self, batch: Batch, came: Mapping[str, str], reasons: Mapping[str, str]
    ) -> dict[str, tuple[Stamp, str]]:
        """Files that stay out, and why. The others wait, as they may still be on their way."""
        given_up = dict(batch.refused)
        for path, stamp in batch.arrived.items():
            if path in came or path in self._settling:
                continue
            now, reason = stamp_of(path), reasons.get(path, CHANGED)
            if now is None or reason == CHANGED or not now.same(stamp):
                self._settling.look(path, now, time.monotonic())
                continue
            arriving = any(os.path.lexists(f"{path}{ending}") for ending in _UNFINISHED)
            if time.time() - stamp.modified / 1e9 > self._patience.doubtful and not arriving:
                given_up[path] = stamp, reason
            else:
                self._settling.doubt(path, stamp, reason, time.monotonic())
        return given_up

    def _remark(self, without_model: str | None) -> None:
        """Say once why songs get no genres."""
        if without_model is not None and without_model != self._without_model:
            self._progress.say(without_model)
        self._without_model = without_model

    def _gone(self, paths: Sequence[str]) -> tuple[set[str], list[WatchEvent]]:
        """Which files are gone, and not only the disk that they are on."""
        gone: set[str] = set()
        kept: Counter[Path] = Counter()
        for path in paths:
            stored = as_stored(path)
            if not is_gone(path) or not self._is_root_there(path):
                continue
            bare = self._missing_disk(path)
            if bare is None:
                gone.add(stored)
            elif stored in self._songs_at:
                self._kept.add(stored)
                kept[bare] += 1
        return gone, [
            _kept(folder, f"{_songs(songs)}: the folder is empty, as where a disk isn't mounted")
            for folder, songs in sorted(kept.items())
        ]

    def _left(self, path: str, moved: bool) -> bool:
        """Whether a song whose content has come elsewhere has left this path."""
        there = moved and self._below(path) and self._is_root_there(path)
        return there and is_gone(path) and self._missing_disk(as_named(path)) is None

    def _is_root_there(self, path: str) -> bool:
        return all(identity(root) for root in self._roots if below([root])(path))

    def _missing_disk(self, path: str) -> Path | None:
        """The empty folder above a file that is gone, unless it is on the disk that the file was
        on: then it was emptied.
        """
        bare = unmounted(path)
        return None if bare is None or self._was_on_disk_of(bare, path) else bare

    def _was_on_disk_of(self, folder: Path, path: str) -> bool:
        """Whether a file was on the disk, seen in this run, that a folder is on."""
        known, at = self._memory.get(path), identity(folder)
        return known is not None and at is not None and known.stamp.device == at[0]

    def _judge(
        self, leaving: Sequence[Change], now: Mapping[str, str | None]
    ) -> tuple[list[Change], list[WatchEvent]]:
        """Part songs that are to go from those that stay though their files are gone."""
        if self._keep:
            self._kept |= {path for change in leaving for path in change.lost}
            return [], [
                replace(_of("kept", change), reason="its file is gone, and --keep keeps it")
                for change in leaving
            ]
        events: list[WatchEvent] = []
        staying: set[str] = set()
        for root in self._roots:
            inside = below([root])
            # Where a file has other content now, nobody thinks of a disk that is lost.
            lost = [
                change
                for change in leaving
                if inside(change.lost[0]) and not any(path in now for path in change.lost)
            ]
            songs = len({id for path, id in self._songs_at.items() if inside(path)})
            if len(lost) > FEW and 2 * len(lost) > songs:
                staying |= {change.song.id for change in lost}
                self._kept |= {path for change in lost for path in change.lost}
                many = f"{len(lost)} of {songs} songs"
                events.append(_kept(root, f"{many}: so many files are gone at once"))
        return [change for change in leaving if change.song.id not in staying], events

    def _remove(
        self, connection: "Connection", going: Sequence[Change], now: Mapping[str, str | None]
    ) -> set[str]:
        """Remove songs whose files are gone still, now that nobody else writes."""
        there = placed_songs(connection, [change.song.id for change in going])
        gone = {
            song.id
            for song in there
            if all(
                now[at] != song.id if at in now else is_gone(at) and self._is_root_there(at)
                for at in song.paths
            )
        }
        remove_songs(connection, gone)
        return gone

    def _remember(
        self,
        batch: Batch,
        came: Mapping[str, str],
        given_up: Mapping[str, tuple[Stamp, str]],
        done: Sequence[Change],
    ) -> None:
        for path, id in came.items():
            self._memory.put(path, Known(batch.arrived[path], id))
        for path, (stamp, _) in given_up.items():
            self._memory.put(path, Known(stamp, None))
        for path in filter(self._is_root_there, batch.gone):
            self._memory.drop(path)
        for change in done:
            for at in change.lost:
                self._songs_at.pop(at, None)
        self._songs_at |= {as_stored(path): id for path, id in came.items()}


def _reasons(report: "AddReport | None") -> dict[str, str]:
    return {} if report is None else {os.fspath(one.path): one.reason for one in report.rejected}


def _moved(change: Change) -> WatchEvent:
    if not change.gained:
        return _of("copy gone", change)
    event = _of("moved" if change.lost else "copied", change)
    before = event.path if change.lost else None
    return replace(event, path=Path(as_named(change.gained[0])), before=before)


def _of(what: What, change: Change) -> WatchEvent:
    path = Path(as_named(change.lost[0])) if change.lost else None
    return WatchEvent(what, path, id=change.song.id, title=change.song.title)


def _kept(folder: Path, why: str) -> WatchEvent:
    return WatchEvent(
        "kept",
        folder,
        reason=f"{why}. `kg forget` removes songs, `kg ingest {printable(folder)} --prune` those "
        "whose files are gone",
    )


def _songs(count: int) -> str:
    return f"{count} song{'' if count == 1 else 's'}"
