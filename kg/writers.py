"""Commands that write to one graph, one after the other.

The lock of a home folder is for those of this home: it ends with its holder. The turn in the graph
(`kg.graph.turns`) is for those of other homes too. Neither is ever nested.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, TypeVar

from kg.errors import KgError, RebuiltError
from kg.progress import Progress
from kg.settings import Settings

T = TypeVar("T")

# How often a step is begun that others take over from; each time it must have stood still for long.
MOST_TIMES: Final = 5


def again_if_overtaken(
    step: Callable[[], T], writing: Callable[[], AbstractContextManager[None]], progress: Progress
) -> T:
    """Run a step within `writing`.

    Where another command took over from us because we seemed dead, nothing of ours can mix with
    theirs, and the step is done again on the graph as it is then.
    """
    for again in range(1, MOST_TIMES):
        try:
            with writing():
                return step()
        except RebuiltError:
            progress.say(
                "Another kg command took over while this one stood still: "
                f"beginning this step again ({again} of {MOST_TIMES - 1})."
            )
    with writing():
        return step()


@contextmanager
def home_lock(settings: Settings, progress: Progress) -> Iterator[str | None]:
    """Hold the lock of a home folder; what it is called for those of other homes.

    Raises:
        KgError: the folder can't be used any more.
    """
    if sys.platform == "win32":  # no such locks
        yield None
        return
    from kg.graph.locks import FileLock

    try:
        lock = FileLock(settings.lock_file)
    except OSError as error:
        raise KgError(
            f"The home folder {settings.kg_home} can't be used any more ({error.strerror}): make "
            "room there, or choose another with --home DIR or KG_HOME, and run this command again."
        ) from error
    try:
        if not lock.take(wait=False):
            progress.say("Waiting for another kg command that works on this graph.")
            lock.take(wait=True)
        yield lock.name()
    finally:
        lock.release()
