"""How extraction scales over processes, and what memory one of them takes.

    python benchmarks/extract.py FOLDER [--rounds N] [--copies N] [--processes N]

Runs with one process and with several take turns, each with an empty cache, so a slow moment of
the machine meets both. Memory is the high-water mark that Linux keeps of a process.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from kg.audio.decode import SAMPLE_RATE, decode
from kg.audio.extract import extract
from kg.audio.requests import Request
from kg.audio.workers import Worker, cores
from kg.errors import AudioError
from kg.progress import Advance
from kg.sources.folder import EXTENSIONS

LONG = (10, 180)  # minutes of the long files


class Clock:
    """Notes when each song was done."""

    def __init__(self) -> None:
        self.times: list[float] = []

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        def advance(steps: int, rejected: int = 0) -> None:
            self.times += [time.perf_counter()] * steps

        yield advance

    def say(self, message: str) -> None: ...


def run(songs: list[tuple[str, Path]], processes: int) -> tuple[float, float]:
    """Songs a second of the whole run, and once every process has had its first songs."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        extract(songs, Path(folder), workers=processes, progress=clock)
        whole = time.perf_counter() - began
    first = 2 * processes
    return len(songs) / whole, (len(songs) - first) / (clock.times[-1] - clock.times[first - 1])


def ceiling(processes: int) -> float:
    """What processes that share nothing gain here: cores may be fewer, or busy with others."""

    def together(count: int) -> float:
        command = [sys.executable, "-c", "sum(range(60_000_000))"]
        began = time.perf_counter()
        for burning in [subprocess.Popen(command) for _ in range(count)]:
            burning.wait()
        return time.perf_counter() - began

    return processes * together(1) / together(processes)


def race(clips: list[Path], copies: int, rounds: int, processes: int) -> None:
    # The cache goes by id, so one file can be as many songs.
    songs = [
        (f"{copy}-{number}", clip) for copy in range(copies) for number, clip in enumerate(clips)
    ]
    rates: dict[int, list[tuple[float, float]]] = {1: [], processes: []}
    ceilings: list[float] = []
    for number, count in itertools.product(range(rounds), rates):
        print(f"\rround {number + 1}/{rounds}, {count} process(es)", end="", flush=True)
        rates[count].append(run(songs, count))
        if count > 1:
            ceilings.append(ceiling(count))
    print(f"\r{len(songs)} songs, {rounds} rounds in turn, medians, songs a second\n")
    print(f"{'':16}{'whole run':>12}{'without start':>16}")
    for count, values in rates.items():
        whole, steady = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{f'{count} process' + 'es' * (count > 1):16}{whole:12.1f}{steady:16.1f}")
    gains = [
        [many / one for one, many in zip(*pair, strict=True)]
        for pair in zip(rates[1], rates[processes], strict=True)
    ]
    whole, steady = (statistics.median(column) for column in zip(*gains, strict=True))
    print(f"{'gain':16}{whole:11.2f}x{steady:15.2f}x")
    print(f"{'arithmetic':16}{'':12}{statistics.median(ceilings):15.2f}x (what the machine gave)\n")


def memory(clips: list[Path]) -> None:
    print(f"{'what one process reads':44}{'s':>8}{'peak MB':>10}")
    starts = []
    for _ in range(3):
        worker = Worker()
        began = time.perf_counter()
        worker.perform(Request("none", Path("/no such file")))  # it starts, warms up and says no
        starts.append(time.perf_counter() - began)
        worker.end()
    print(f"{'nothing: its start, median of 3':44}{statistics.median(starts):8.2f}")
    show_reading(f"{len(clips)} clips, one after the other", [Request("", clip) for clip in clips])
    for minutes, suffix in itertools.product(LONG, ("flac", "mp3")):
        with tempfile.TemporaryDirectory() as folder:
            path = long_file(clips, Path(folder) / f"long.{suffix}", minutes)
            show_reading(f"{minutes} min of {suffix}, its middle 30 s", [Request("", path)])
            if minutes == LONG[0]:
                show_reading(f"{minutes} min of {suffix}, all of it", [Request("", path, None)])


def show_reading(what: str, requests: list[Request]) -> None:
    worker = Worker()
    worker.perform(Request("none", Path("/no such file")))
    began = time.perf_counter()
    for request in requests:
        outcome = worker.perform(request)
        if isinstance(outcome, AudioError):
            what += f" ({request.path.name}: {outcome.reason})"
    show(what, time.perf_counter() - began, worker)


def show(what: str, seconds: float, worker: Worker) -> None:
    [line] = [
        line
        for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    ]
    worker.end()
    print(f"{what:44}{seconds:8.2f}{int(line.split()[1]) / 1024:10.0f}")


def long_file(clips: list[Path], path: Path, minutes: int) -> Path:
    """Clips one after the other, stereo at 44.1 kHz."""
    left = minutes * 60 * 2 * SAMPLE_RATE
    with soundfile.SoundFile(path, "w", 2 * SAMPLE_RATE, 2) as file:
        for clip in itertools.cycle(clips):
            samples = np.repeat(decode(clip).samples, 2)[:left]
            file.write(np.stack([samples, samples], axis=1))
            left -= len(samples)
            if not left:
                break
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="clips, looked for in subfolders too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=3, help="how often each clip is a song")
    parser.add_argument("--processes", type=int, default=max(2, cores()))
    parser.add_argument("--no-memory", action="store_true", help="leave out the second table")
    options = parser.parse_args()
    clips = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not clips:
        parser.error(f"no audio files in {options.folder}")
    race(clips, options.copies, options.rounds, options.processes)
    if not options.no_memory:
        memory(clips)


if __name__ == "__main__":
    main()
