"""`kg compare` on GTZAN's published tables, without a database: its own folds, models and tests.

    python -m benchmarks.compare --data DIR [--table csv|musicnn] [--models a,b] [--features a,b]
                                    [--seeds 3] [--folds 5] [--show-inflation] [--keep DIR]

csv: the 640 clips of `train` and `valid` of the fault-filtered protocol, 57 librosa statistics in
six families; musicnn: the 443 clips of `train`, mean tag activations. All of them are folded by
artist; the protocol's test clips are in neither. A run that is cut off goes on from DIR.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.gtzan import Clips, read_csv, read_musicnn
from cli.comparing import print_comparison
from kg.compare.material import Material
from kg.compare.runs import CompareOptions, NoFramesError, compare
from kg.graph.rows import SongTable
from kg.splits import SplitSong


def material(clips: Clips) -> Material:
    """The clips as a library has them, none of them a test song."""
    genres = [(clips.genres[number],) for number in clips.genre]
    sides: list[str | None] = ["train"] * len(clips.ids)
    keys = [
        SplitSong(id, names, artist, "train")
        for id, names, artist in zip(clips.ids, genres, clips.artists, strict=True)
    ]
    return Material(SongTable(clips.ids, clips.x, genres, clips.artists, sides), keys, clips.kinds)


def no_frames(kind: str) -> list[NDArray[np.float16]]:
    raise NoFramesError("the table has no audio")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--table", choices=["csv", "musicnn"], default="csv")
    parser.add_argument("--models", default="r-gcn,mlp,tabular,label-propagation,lightgcn,seal")
    parser.add_argument("--features", default="all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--show-inflation", action="store_true")
    parser.add_argument("--keep", type=Path, default=Path("comparison"), metavar="DIR")
    asked = parser.parse_args()
    clips = read_csv(asked.data)[0] if asked.table == "csv" else read_musicnn(asked.data)
    found = compare(
        material(clips),
        asked.keep,
        no_frames,
        CompareOptions(
            models=asked.models.split(","),
            features=asked.features.split(","),
            seeds=asked.seeds,
            folds=asked.folds,
            show_inflation=asked.show_inflation,
        ),
    )
    print_comparison(found)
    for each in found.missing:
        print(f"{each.model} on {each.features}: {each.reason}")


if __name__ == "__main__":
    main()
