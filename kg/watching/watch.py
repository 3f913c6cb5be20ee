"""The loop of `kg watch`: what happens in folders is waited for, and handed on when it settles."""

import os
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from kg.errors import GraphError, KgError, WrongUsageError
from kg.graph.locks import held_alone
from kg.progress import Progress
from kg.sources.folder import walk
from kg.text import printable
from kg.watching.disk import below, identity, is_hidden_below, stamp_of
from kg.watching.events import WatchEvent
from kg.watching.eyes import BURST, Eyes
from kg.watching.follower import Follower, Hands
from kg.watching.memory import Memory, memory_file
from kg.watching.settling import Batch, Patience, Settling

MOST: Final = 256
"""Files that are added at once; a line is printed for each when all of them are done."""

LOOK_SECONDS: Final = 3600.0
"""Between two looks at everything, in case the system didn't tell of something."""

POLL_SECONDS: Final = 5.0
"""The same where nobody tells."""

POLL_QUIET: Final = 10.0
"""Seconds that a file stands still there: network shares tell late how long a file is."""

_TICK: Final = 0.25  # seconds between two looks at what is settling
_ROOT_SECONDS: Final = 1.0  # between two looks whether the folders are there
_SAVE_SECONDS: Final = 30.0
_FIRST_PAUSE: Final = 2.0  # seconds after something went wrong
_LONGEST_PAUSE: Final = 300.0


def check_folders(folders: Sequence[Path]) -> list[Path]:
    """Folders that can be watched, without those that lie below others.

    Raises:
        WrongUsageError: there is no such folder.
    """
    for folder in folders:
        if not folder.is_dir():
            found = "is a file" if folder.exists() else "isn't there"
            raise WrongUsageError(f"{printable(folder)} {found}: name folders to watch.")
    inside = below(folders)
    return [each for each in dict.fromkeys(folders) if not inside(os.fspath(each))]


def watch(
    roots: Sequence[Path],
    hands: Hands,
    memory_dir: Path,
    progress: Progress,
    *,
    poll: bool = False,
    keep: bool = False,
    patience: Patience | None = None,
    stop: threading.Event | None = None,
) -> Generator[WatchEvent, None, None]:
    """Follow what happens in folders until the iterator is closed, or `stop` is set.

    Args:
        roots: From `check_folders`.
        hands: What is done to the library.
        memory_dir: Where is kept what files were, for the next time.
        progress: Told of what is no event.
        poll: Look at everything every few seconds instead of being told by the system.
        keep: Never remove a song.
        patience: How long is waited for files.
        stop: Ends it, within a second.

    Raises:
        KgError: another command watches one of them, or the system can't.
    """
    patience = patience or Patience()
    if poll:
        patience = replace(patience, quiet=max(patience.quiet, POLL_QUIET))
    with ExitStack() as locks:
        try:
            memory_dir.mkdir(parents=True, exist_ok=True)
            for root in roots:
                lock = memory_file(memory_dir, root).with_suffix(".lock")
                busy = f"Another kg watch follows {printable(root)}: one is enough."
                locks.enter_context(held_alone(lock, busy))
        except OSError as error:
            raise _no_room(memory_dir, error) from error
        one = _Watch(roots, hands, memory_dir, progress, poll=poll, keep=keep, patience=patience)
        yield from one.run(stop or threading.Event())


class _Watch:
    """One watch, from its start to its end."""

    def __init__(
        self,
        roots: Sequence[Path],
        hands: Hands,
        memory_dir: Path,
        progress: Progress,
        *,
        poll: bool,
        keep: bool,
        patience: Patience,
    ) -> None:
        self._roots = {root: identity(root) for root in roots}
        self._hands = hands
        self._memory_dir = memory_dir
        self._progress = progress
        self._poll = poll
        self._patience = patience
        self._memory = Memory()
        self._settling = Settling(patience)
        self._follower = Follower(
            roots, hands, self._memory, self._settling, patience, progress, keep=keep
        )
        self._eyes: Eyes | None = None
        self._reopen = False
        self._links: set[str] = set()  # folders that links lead to
        self._look_at = 0.0  # when to look at everything, by the monotonic clock; and so on
        self._roots_at = 0.0
        self._save_at = 0.0
        self._resume_at = 0.0
        self._pause = 0.0
        self._most = MOST
        self._trouble: str | None = None

    def run(self, stop: threading.Event) -> Iterator[WatchEvent]:
        for root in self._roots:
            self._memory.load(memory_file(self._memory_dir, root))
        try:
            # Before the first look: what happens meanwhile is noticed.
            self._open()
            self._progress.say(
                f"Watching {', '.join(map(printable, self._roots))}. Ctrl-C ends it."
            )
            while not stop.is_set():
                self._listen(_TICK if len(self._settling) else _ROOT_SECONDS)
                if time.monotonic() >= self._roots_at:
                    yield from self._look_at_roots()
                if time.monotonic() >= self._resume_at:
                    yield from self._work()
                if time.monotonic() >= self._save_at:
                    yield from self._save()
        finally:
            self._close()
            list(self._save())  # what goes wrong now costs the next start some time

    # --- the folders -----------------------------------------------------------------------------

    def _open(self) -> None:
        """Be told by the system from now on, and look at everything soon.

        Raises:
            KgError: the system can't.
        """
        self._close()
        self._look_at = 0.0
        if self._poll:
            return
        there = {root: at for root in self._roots if (at := identity(root)) is not None}
        entered = _entered(there)
        real = {
            Path(os.path.realpath(folder)): folder
            for folder in entered
            if folder in self._roots or folder.is_symlink()
        }
        apart = [each for each in real if real.keys().isdisjoint(each.parents)]
        spelled = {os.fspath(at): os.fspath(folder) for at, folder in real.items()}
        self._links = {os.fspath(folder) for folder in real.values()}
        try:
            self._eyes = Eyes(apart, lambda: _count(_entered(there)), spelled)
        except KgError:
            if all(identity(root) == at for root, at in there.items()):
                raise
            self._reopen = True  # it went or came meanwhile

    def _close(self) -> None:
        if self._eyes is not None:
            self._eyes.close()
            self._eyes = None

    def _listen(self, seconds: float) -> None:
        """Take in what the system tells."""
        if self._eyes is None:
            time.sleep(seconds)
            return
        hints = 0
        vanished: set[str] = set()
        for hint in self._eyes.hints(seconds):
            hints += 1
            root = next((each for each in self._roots if below([each])(hint.path)), None)
            if root is None or is_hidden_below(hint.path, root):
                continue
            if os.path.isdir(hint.path):  # noqa: PTH112 - never raises
                # Links aren't followed by the system: what they lead to is watched beside the rest.
                self._reopen |= os.path.islink(hint.path)  # noqa: PTH114
                for file in walk(Path(hint.path), []):
                    self._follower.notice(os.fspath(file))
                continue
            if (hint.folder or hint.path in self._links) and not os.path.lexists(hint.path):
                vanished.add(hint.path)
            self._follower.notice(hint.path)
            if hint.written or hint.closed:
                self._settling.write(hint.path, closed=hint.closed)
        if vanished:
            self._follower.notice_gone(vanished)
        if hints > BURST:
            soon = time.monotonic() + 2 * self._patience.quiet
            self._look_at = min(self._look_at, soon)

    def _look_at_roots(self) -> Iterator[WatchEvent]:
        """Notice folders that vanish or come back, and watch anew where that is needed."""
        self._roots_at = time.monotonic() + _ROOT_SECONDS
        for root, before in self._roots.items():
            now = identity(root)
            if now == before:
                continue
            self._roots[root], self._reopen = now, True
            if now is None:
                self._settling.forget_gone(below([root]))
                yield WatchEvent(
                    "waiting",
                    root,
                    reason="the folder is gone, as where a disk isn't mounted. Nothing is removed; "
                    "it goes on when the folder is back",
                )
            elif before is None:
                yield WatchEvent("going on", root, reason="the folder is back")
        blind = not self._poll and (self._eyes is None or not self._eyes.open)
        if (self._reopen or blind) and time.monotonic() >= self._resume_at:
            try:
                self._reopen = False
                self._open()
            except KgError as error:
                self._reopen = True
                yield from self._say_trouble(error)

    # --- the library -----------------------------------------------------------------------------

    def _work(self) -> Iterator[WatchEvent]:
        """Look at everything where that is due, and see to what has settled."""
        batch = Batch()
        looked = time.monotonic() >= self._look_at
        try:
            if looked:
                yield from self._follower.look_at_all()
                pause = POLL_SECONDS if self._poll else LOOK_SECONDS
                self._look_at = time.monotonic() + pause
            batch = self._settling.take(stamp_of, time.monotonic(), self._most)
            if batch:
                for event in self._follower.see_to(batch):
                    yield from self._say_on()
                    yield event
        except (KgError, OSError) as error:
            self._settling.again(batch, time.monotonic())
            # One file may be the reason: one by one, the others pass it by.
            self._most = 1
            yield from self._say_trouble(error)
            return
        if looked or batch:
            yield from self._say_on()
        if batch.arrived:
            self._most = min(2 * self._most, MOST)

    def _say_on(self) -> Iterator[WatchEvent]:
        """What was in the way is no more."""
        if self._trouble is not None:
            yield WatchEvent("going on")
        self._trouble, self._pause = None, 0.0

    def _say_trouble(self, error: KgError | OSError) -> Iterator[WatchEvent]:
        """Say once what is in the way, and wait longer each time."""
        self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
        self._resume_at = time.monotonic() + self._pause
        if isinstance(error, GraphError):
            self._hands.leave()
        said = str(error) if isinstance(error, KgError) else f"{error.strerror or error}."
        if said != self._trouble:
            self._trouble = said
            yield WatchEvent("waiting", reason=f"{said} It is tried again and again")

    def _save(self) -> Iterator[WatchEvent]:
        """Keep what is known for the next start."""
        self._save_at = time.monotonic() + _SAVE_SECONDS
        if not self._memory.unsaved:
            return
        try:
            for root in self._roots:
                self._memory.save(memory_file(self._memory_dir, root), root)
            self._memory.unsaved = False
        except OSError as error:
            yield from self._say_trouble(_no_room(self._memory_dir, error))


def _entered(roots: Iterable[Path]) -> list[Path]:
    """All folders, those behind links included."""
    entered: list[Path] = []
    for root in roots:
        for _ in walk(root, [], entered.append):
            pass
    return entered


def _count(folders: Iterable[Path]) -> int:
    """How many they are, where several names may be one folder."""
    return len({identity(folder) for folder in folders} - {None})


def _no_room(folder: Path, error: OSError) -> KgError:
    return KgError(
        f"What was seen in watched folders can't be kept in {printable(folder)} "
        f"({error.strerror or error}): make room there, or choose another home with --home DIR or "
        "KG_HOME."
    )
