"""Progress on stderr: bars in a terminal, a line a stage in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from kg.progress import SILENT, Advance, Progress


def progress_for(quiet: bool) -> Progress:
    """What suits this run: nothing, bars, or lines."""
    if quiet:
        return SILENT
    return Bars() if sys.stderr.isatty() else Lines()


class Lines:
    """One line when a stage is done."""

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        """Count, and print the count with its time at the end."""
        started, done = time.monotonic(), 0

        def advance(steps: int, rejected: int = 0) -> None:
            nonlocal done
            done += steps

        yield advance
        count = f": {done}" if total is not None else ""
        self.say(f"{name}{count} ({time.monotonic() - started:.1f} s)")

    def say(self, message: str) -> None:
        """Print a line."""
        click.echo(message, err=True)


class Bars:
    """A bar with count, rate and time left."""

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        """Draw a bar while the stage runs."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            Task,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Rate(TextColumn):
            def render(self, task: Task) -> Text:
                return Text(f"{task.speed:.1f}/s" if task.speed else "", style="cyan")

        known = (
            [BarColumn(), MofNCompleteColumn(), Rate(""), TimeRemainingColumn()] if total else []
        )
        with Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            *known,
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) as bars:
            task = bars.add_task(name, total=total)
            yield lambda steps, rejected=0: bars.advance(task, steps)
            # A stage may end early (training that no longer gains): it is done all the same.
            done = bars.tasks[task].completed
            bars.update(task, total=done or 1, completed=done or 1)

    def say(self, message: str) -> None:
        """Print a line."""
        click.echo(message, err=True)
