"""How long stages tell how far they are, without knowing who shows it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """What a stage hands out to be told of its progress."""

    def __call__(self, steps: int, rejected: int = 0, note: str | None = None) -> None:
        """Count `steps` more as done, of which `rejected` came to nothing.

        A `note` is how things stand (`loss 0.42`); it stays until the next one.
        """
        ...


class Progress(Protocol):
    """What a stage is given to report to: the CLI draws bars, a script may ignore it."""

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        """Open a stage of `total` steps (None: unknown); call the result with steps done."""
        ...

    def say(self, message: str) -> None:
        """Show one line of news that is worth reading after the run."""
        ...


class Silent:
    """The default: nothing is shown."""

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        """Count nothing."""
        yield lambda steps, rejected=0, note=None: None

    def say(self, message: str) -> None:
        """Say nothing."""


SILENT: Progress = Silent()
