"""Progress on stderr: bars in a terminal, lines in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from kg.progress import SILENT, Advance, Progress

# Between two lines of one stage.
LINE_SECONDS = 30.0
# Characters of a bar's line beside name, count and note: spinner, bar, rate, time left, gaps.
_BESIDE_A_NOTE = 34


def progress_for(quiet: bool) -> Progress:
    """What suits this run: nothing, bars, or lines."""
    if quiet:
        return SILENT
    return Bars() if sys.stderr.isatty() else Lines()


class Lines:
    """A line when a stage is done, and for a long one every now and then.

    Args:
        clock: Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        """Count, and print counts with rate, time left and what came to nothing."""
        clock = self._clock
        started = clock()
        done = failed = 0
        stands = ""
        # The rate is that of the last while; what was done at once at the start is no measure.
        mark: tuple[float, int] | None = None

        def advance(steps: int, rejected: int = 0, note: str | None = None) -> None:
            nonlocal done, failed, mark, stands
            done += steps
            failed += rejected
            stands = stands if note is None else f", {note}"
            now = clock()
            if mark is None:
                mark = now, done
            elif total is not None and done < total and now - mark[0] >= LINE_SECONDS:
                rate = (done - mark[1]) / (now - mark[0])
                left = duration((total - done) / rate) if rate else "?"
                far = f"{done} of {total}, {rate:.1f}/s, {left} left"
                self.say(f"{name}: {far}{_rejected(failed)}{stands}")
                mark = now, done

        yield advance
        seconds = clock() - started
        count = f": {done}{_rejected(failed)}{stands}" if total is not None else ""
        self.say(f"{name}{count} ({duration(seconds) if seconds >= 60 else f'{seconds:.1f} s'})")

    def say(self, message: str) -> None:
        """Print a line."""
        click.echo(message, err=True)


class Bars:
    """A bar with count, rate, time left and what came to nothing."""

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
        from rich.table import Column
        from rich.text import Text

        from cli.output import takes

        plain = not takes("⠋✓", sys.stderr)

        class Rate(TextColumn):
            def render(self, task: Task) -> Text:
                return Text(f"{task.speed:.1f}/s" if task.speed else "", style="cyan")

        class Failed(TextColumn):
            def render(self, task: Task) -> Text:
                return Text(_rejected(task.fields["rejected"]).lstrip(", "), style="yellow")

        class Note(TextColumn):
            def render(self, task: Task) -> Text:
                # What the columns before it leave: beside a cut number no note is worth having.
                taken = len(f"{task.description}{task.completed}/{task.total}") + _BESIDE_A_NOTE
                note = Text(task.fields["note"])
                note.truncate(max(0, bars.console.width - taken), overflow="ellipsis")
                return note

        class Left(TimeRemainingColumn):
            def render(self, task: Task) -> Text:
                if task.finished:
                    return TimeElapsedColumn().render(task)
                return Text.assemble(super().render(task), " left")

        known = [
            # Takes what the others leave: a line must not be folded in a narrow terminal.
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            Rate(""),
            Left(table_column=Column(no_wrap=True)),
            Failed(""),
            Note("", table_column=Column(no_wrap=True)),
        ]
        with Progress(
            SpinnerColumn("line" if plain else "dots", finished_text="*" if plain else "✓"),
            TextColumn("{task.description}"),
            *(known if total else [TimeElapsedColumn()]),
            console=Console(stderr=True),
            expand=bool(total),
        ) as bars:
            task = bars.add_task(name, total=total, rejected=0, note="")

            def advance(steps: int, rejected: int = 0, note: str | None = None) -> None:
                fields = bars.tasks[0].fields
                bars.update(
                    task,
                    advance=steps,
                    rejected=rejected + fields["rejected"],
                    note=fields["note"] if note is None else note,
                )

            yield advance
            # A stage may end early (training that no longer gains): it is done all the same.
            done = bars.tasks[task].completed
            bars.update(task, total=done or 1, completed=done or 1)

    def say(self, message: str) -> None:
        """Print a line."""
        click.echo(message, err=True)


class Remarks:
    """What is said by another progress, without its stages."""

    def __init__(self, other: Progress) -> None:
        self.say = other.say
        self.stage = SILENT.stage


def duration(seconds: float) -> str:
    """Seconds as people say them: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _rejected(count: int) -> str:
    return f", {count} rejected" if count else ""
