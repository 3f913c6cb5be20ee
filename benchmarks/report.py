"""What `kg report` takes for a library of 10,000 songs: seconds, bytes, and memory.

    python -m benchmarks.report [--songs 10000] [--keep DIR] [--out FILE.html]

The songs are those of `benchmarks.add`: made up, on the embedded server, clustered, linked, and
trained on (for few epochs: that changes no size) by kg itself. `kg report` runs as a command of its
own each time, server and imports included: first with a map to draw, then with the map that the
home folder keeps.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.add import songs_of
from kg.audio.features import feature_set

EPOCHS = 20


def make(home: Path, count: int) -> None:
    """A library of so many songs, as `kg ingest` and `kg train` leave it."""
    from kg import Library
    from kg.build import build_graph
    from kg.learning.training import TrainOptions

    kinds = feature_set()
    with Library.open(home) as library:
        builder = library.store.begin_build(kinds)
        library.store.write_songs(songs_of(count, 1, labelled=True), builder=builder)
        build_graph(library.store, kinds, library.settings.neighbours_dir)
        library.train(TrainOptions(epochs=EPOCHS))


def report(home: Path, file: Path) -> tuple[float, int]:
    """Run the command; seconds and bytes."""
    began = time.monotonic()
    command = ["-c", "from cli.main import main; main()", "--home", str(home), "--quiet", "report"]
    # A report is replaced by a newer one.
    subprocess.run([sys.executable, *command, str(file)], check=True, env=dict(os.environ))
    return time.monotonic() - began, file.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=10_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = given.keep or Path(scratch) / "home"
        file = given.out or Path(scratch) / "report.html"
        if not (home / "cache").exists():
            make(home, given.songs)
        (home / "cache" / "map.npz").unlink(missing_ok=True)
        for what in ("with a map to draw", "with the map that is kept"):
            seconds, size = report(home, file)
            print(f"{given.songs:,} songs, {what}: {seconds:.1f} s, {size / 1e6:.2f} MB")
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        print(f"most memory of kg: {most:.2f} GB")


if __name__ == "__main__":
    main()
