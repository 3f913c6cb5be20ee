"""The data sets of papers: what the graph network is worth on each, beside what it has to beat.

    python -m benchmarks.datasets [--data DIR] [--only fma,msd,audioset,labels] [--seeds 3]
                                  [--first-seed 0] [--models a,b] [--settings FILE] [--json FILE]

fma: 6,175 tracks with 8 values of Echo Nest, 12 top genres. msd: 5,288 tracks of the Million Song
Dataset's subset, its own summaries of each file. audioset: 2,490 clips, VGGish embeddings, several
genres a clip. labels: what the genre tree and the labels of fma_medium say without any feature.

Every seed deals the songs into five folds that keep groups together, and each song is told once, by
models that saw nothing of its group. A sixth of what is learned from chooses epochs and settings
of all contestants alike (`kg.compare`); scaler, clusters and similar songs are fitted on the rest,
and the songs that are told hang in the graph without a genre. Intervals resample groups; the
differences are paired. FMA's table names the artist of one track in six only, but numbers tracks as
they were uploaded, an album after the other: neighbours in these numbers are of one group too.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from kg.compare.contestants import Given, chosen, told_by
from kg.compare.material import ALL, Material, Task
from kg.evaluate import Scores, compare
from kg.graph.rows import SongTable
from kg.records import FeatureSet
from kg.splits import SplitSong, artist_key

FOLDS = 5
# Groups of a genre: one in each fold to be told, and the same again to learn it from.
FEWEST = 2 * FOLDS
# MSD's table has a hundred genres, most of them two joined (`Rock_Folk`) on a handful of songs.
FEWEST_MSD = 50
MODELS = ("r-gcn", "mlp", "logistic", "svm", "boosting", "label-propagation")
# Trees for each genre take as long as everything else together: one seed tells enough.
ONCE = ("boosting",)
# Track ids of FMA so near each other are of one album in most cases: see `runs`.
NEAR = 10


@dataclass(frozen=True)
class Songs:
    """Songs of one data set.

    Attributes:
        title: What a table of results is called.
        x: Raw features, float32 [n, d].
        families: Columns of each feature family, in column order.
        genres: Of each song.
        groups: Songs of one group are never on both sides of a fold.
        fewest: Groups that a genre needs to take part.
    """

    title: str
    x: NDArray[np.float32]
    families: Mapping[str, slice]
    genres: Sequence[tuple[str, ...]]
    groups: Sequence[str]
    fewest: int = FEWEST

    def material(self) -> Material:
        """The songs as `kg compare` takes them, none of them a test song.

        Genres of fewer groups than `fewest` are left out, and songs that have no other.
        """
        whose = {
            (n, group) for own, group in zip(self.genres, self.groups, strict=True) for n in own
        }
        counts = Counter(name for name, _ in whose)
        named = [tuple(n for n in names if counts[n] >= self.fewest) for names in self.genres]
        rows = [row for row, names in enumerate(named) if names]
        ids = [f"{row:06d}" for row in rows]
        genres = [named[row] for row in rows]
        groups: list[str | None] = [self.groups[row] for row in rows]
        columns = tuple(f"column {number}" for number in range(self.x.shape[1]))
        keys = [
            SplitSong(id, own, group, "train")
            for id, own, group in zip(ids, genres, groups, strict=True)
        ]
        sides: list[str | None] = ["train"] * len(rows)
        table = SongTable(ids, self.x[rows], genres, groups, sides)
        return Material(table, keys, FeatureSet(self.title, self.families, columns))


def runs(ids: Sequence[int], artists: Sequence[str | None], near: int = NEAR) -> list[str]:
    """Groups of FMA's tracks: by one artist, or neighbours in the order of upload.

    Args:
        ids: Track ids.
        artists: None where the table doesn't say.
        near: Track ids that are no further apart are neighbours.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    order = np.argsort(ids)
    close = np.diff(np.asarray(ids)[order]) <= near
    pairs = [*zip(order[:-1][close].tolist(), order[1:][close].tolist(), strict=True)]
    first: dict[str, int] = {}
    for row, artist in enumerate(artists):
        key = artist_key(artist)
        if key is not None:
            pairs.append((first.setdefault(key, row), row))
    ends = np.array(pairs).reshape(-1, 2).T
    links = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(len(ids), len(ids)))
    return [f"group {number}" for number in connected_components(links, directed=False)[1]]


def same(x: NDArray[np.float32]) -> list[str]:
    """Groups of songs that have the same features [n, d]: one song under two names."""
    return [f"group {number}" for number in np.unique(x, axis=0, return_inverse=True)[1].ravel()]


def read_fma(folder: Path) -> Songs:
    table = pd.read_csv(folder / "fma" / "echonest_labeled.csv")
    columns = ["acousticness", "danceability", "energy", "instrumentalness", "liveness"]
    columns += ["speechiness", "tempo", "valence"]
    artists = [name if isinstance(name, str) else None for name in table["artist"]]
    return Songs(
        "FMA, 8 values of Echo Nest, 12 top genres",
        table[columns].to_numpy(np.float32),
        {"echonest": slice(0, len(columns))},
        [(name,) for name in table["genre_top"]],
        runs(table["track_id"].tolist(), artists),
    )


def read_msd(folder: Path) -> Songs:
    table = pd.read_csv(folder / "msd" / "subset_features.csv")
    parts = {
        "spectral": ["spectral_centroid_mean", "spectral_rolloff_mean", "loudness_mean"],
        "timbre": ["mfcc1", "mfcc2", "mfcc3"],
        "rhythm": ["duration", "tempo", "time_signature"],
        "harmony": ["key", "mode"],
    }
    chroma = np.array([json.loads(text) for text in table["chroma_mean"]], dtype=np.float32)
    families: dict[str, slice] = {}
    start = 0
    for family, names in parts.items():
        families[family] = slice(start, start + len(names))
        start += len(names)
    families["chroma"] = slice(start, start + chroma.shape[1])
    plain = table[[name for names in parts.values() for name in names]].to_numpy(np.float32)
    return Songs(
        "Million Song Dataset, subset, summaries of its own analysis",
        np.concatenate([plain, chroma], axis=1),
        families,
        [(name,) for name in table["genre"]],
        # Nobody says who these are by: see docs/evaluation.md.
        same(np.concatenate([plain, chroma], axis=1)),
        FEWEST_MSD,
    )


def read_audioset(folder: Path) -> Songs:
    table = pd.read_csv(folder / "audioset" / "clips.csv")
    with np.load(folder / "audioset" / "embeddings.npz") as file:
        frames = file["emb"].astype(np.float32)
    x = np.concatenate([frames.mean(axis=1), frames.std(axis=1)], axis=1)
    return Songs(
        "AudioSet, VGGish, several genres a clip",
        x,
        {"mean": slice(0, 128), "spread": slice(128, 256)},
        [tuple(names.split("|")) for names in table["genres"]],
        same(x),  # a clip a video: nobody says whose these are
    )


def told(
    material: Material, seed: int, models: Iterable[str], settings: Mapping[str, Any]
) -> dict[str, Scores]:
    """What every contestant says of every song that takes part, in folds of one seed.

    Args:
        material: The songs.
        seed: Of folds, clusters and training.
        models: Names of the contestants.
        settings: Of the network, where they aren't its defaults.
    """
    pooled: dict[str, Scores] = {}
    for fold in material.folds(FOLDS, "by artist", seed):
        task = Task(material, fold, ALL, seed)
        for each in chosen(list(models)):
            began = time.perf_counter()
            own = settings if each.name in ("r-gcn", "mlp") else {}
            said = told_by(each.fit(task, Given(settings=own)), fold.told)
            whole = np.zeros(material.truth.shape, dtype=np.float32)
            pooled.setdefault(each.title, whole)[fold.told] = said
            took = time.perf_counter() - began
            print(f"  seed {seed}, fold {fold.number}, {each.title}: {took:.0f} s", flush=True)
    return pooled


def measured(
    songs: Songs, seeds: Sequence[int], models: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Run contestants over all seeds, print what they came to, and hand it on for JSON."""
    material = songs.material()
    rows = material.taking_part
    found: dict[str, list[Scores]] = {}
    for number, seed in enumerate(seeds):
        asked = [name for name in models if number == 0 or name not in ONCE]
        for name, scores in told(material, seed, asked, settings).items():
            found.setdefault(name, []).append(scores[rows])
    truth = material.truth[rows]
    groups = [f"group {material.group[row]}" for row in rows]
    several = bool((truth.sum(axis=1) > 1).any())
    scores, differences = compare(truth, found, groups, multi_label=several)
    print(
        f"\n{songs.title}: {len(rows)} songs, {truth.any(axis=0).sum()} genres, "
        f"{len(set(groups))} groups, {len(seeds)} seeds\n"
    )
    first = scores[0].name
    print(
        f"{'':26}{'accuracy':>15}{'macro-F1':>15}{'mAP':>15}   {first}, points more [95 %]: "
        "accuracy, macro-F1"
    )
    for score, gap in zip(scores, [None, *differences], strict=True):
        numbers = (score.accuracy, score.macro_f1, score.mean_average_precision)
        said = f"{score.name:26}" + "".join(f"{_spread(each):>15}" for each in numbers)
        if gap is not None:
            said += f"   {_points(gap.accuracy)}, {_points(gap.macro_f1)}"
        print(said, flush=True)
    return {
        "title": songs.title,
        "songs": len(rows),
        "groups": len(set(groups)),
        "genres": int(truth.any(axis=0).sum()),
        "seeds": list(seeds),
        "settings": dict(settings),
        "scores": [asdict(score) for score in scores],
        "differences": [asdict(gap) for gap in differences],
    }


def _spread(estimate: Any) -> str:
    spread = "" if estimate.spread is None else f" ± {estimate.spread:.3f}"
    return f"{estimate.value:.3f}{spread}"


def _points(gap: Any) -> str:
    return f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"


READERS: Mapping[str, Callable[[Path], Songs]] = {
    "fma": read_fma,
    "msd": read_msd,
    "audioset": read_audioset,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--only", default=",".join(READERS))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="settings were chosen on 100-103")
    parser.add_argument("--settings", default="{}", help="settings of the network, as JSON")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    tables = []
    for name in options.only.split(","):
        began = time.perf_counter()
        songs = READERS[name](options.data)
        models, settings = options.models.split(","), json.loads(options.settings)
        tables.append(measured(songs, seeds, models, settings))
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        if options.json:
            options.json.write_text(json.dumps(tables, indent=2))


if __name__ == "__main__":
    main()
