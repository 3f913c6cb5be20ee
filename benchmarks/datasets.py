"""The data sets of papers: what the graph network is worth on each, beside what it has to beat.

    python -m benchmarks.datasets [--data DIR] [--only fma,fma-by-name,msd,audioset,labels]
                                  [--seeds 3] [--first-seed 0] [--folds 5] [--models a,b]
                                  [--json FILE]

fma: 6,175 tracks with 8 values of Echo Nest, top genres. msd: 5,288 tracks of the Million Song
Dataset's subset, summaries of its own analysis; its joined genres are two. audioset: 2,490 clips,
VGGish embeddings, several genres a clip. labels: what the genre tree and the labels of fma_medium
say without any feature. The tables are read by kg's own readers.

Every seed deals the songs into five folds that keep groups together, and each song is told once, by
models that saw nothing of its group. A sixth of what is learned from chooses epochs and settings
of all contestants alike (`kg.compare`); scaler, clusters and similar songs are fitted on the rest,
and the songs that are told hang in the graph without a genre. Intervals resample groups; the
differences are paired. FMA's table names the artist of one track in six only, but numbers tracks as
they were uploaded, an album after the other: neighbours in these numbers are of one group too, and
fma-by-name shows what comes of it where they aren't.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from kg.compare.contestants import Given, chosen, told_by
from kg.compare.material import ALL, Fold, Material, Task
from kg.graph.rows import SongTable
from kg.metrics.evaluate import Scores, compare
from kg.records import FeatureSet, SongRecord
from kg.sources import audioset, fma, msd
from kg.sources.dataset import SourceTable
from kg.splits import SplitSong, artist_key
from models.baselines.tabular import majority

FOLDS = 5
# Groups of a genre: one in each fold to be told, and the same again to learn it from.
FEWEST = 2 * FOLDS
MODELS = ("r-gcn", "mlp", "logistic", "svm", "boosting", "label-propagation")
# Trees for each genre take as long as everything else together: one seed tells enough.
ONCE = ("boosting",)
LABELS = "labels"
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
    """

    title: str
    x: NDArray[np.float32]
    families: Mapping[str, slice]
    genres: Sequence[tuple[str, ...]]
    groups: Sequence[str]

    def material(self) -> Material:
        """The songs as `kg compare` takes them, none of them a test song.

        Genres of fewer groups than `FEWEST` are left out, and songs that have no other.
        """
        whose = {
            (n, group) for own, group in zip(self.genres, self.groups, strict=True) for n in own
        }
        counts = Counter(name for name, _ in whose)
        named = [tuple(n for n in names if counts[n] >= FEWEST) for names in self.genres]
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


@dataclass(frozen=True)
class Rows:
    """All that a reader of kg hands out of a table."""

    songs: Sequence[SongRecord]
    x: NDArray[np.float32]
    families: Mapping[str, slice]

    @classmethod
    def of(cls, table: SourceTable) -> "Rows":
        batches = list(table.batches())
        ends = np.cumsum([len(columns) for columns in table.families.values()]).tolist()
        parts = zip(table.families, [0, *ends], ends, strict=False)
        return cls(
            [song for batch in batches for song in batch.songs],
            np.concatenate([batch.features for batch in batches]),
            {family: slice(start, end) for family, start, end in parts},
        )


def read_fma(folder: Path) -> Songs:
    file = folder / "fma" / "echonest_labeled.csv"
    rows = Rows.of(fma.open_table(file))
    # The reader gives the most specific genres; the table's own column is what papers measure on.
    top = pd.read_csv(file, dtype={"track_id": str}).set_index("track_id")["genre_top"]
    return Songs(
        "FMA, 8 values of Echo Nest, top genres",
        rows.x,
        rows.families,
        [(str(top[song.key]),) for song in rows.songs],
        runs([int(song.key) for song in rows.songs], [song.artist for song in rows.songs]),
    )


def read_fma_by_name(folder: Path) -> Songs:
    """The same, held apart by nothing but the artists that the table names."""
    songs = Rows.of(fma.open_table(folder / "fma" / "echonest_labeled.csv")).songs
    groups = [artist_key(song.artist) or f"track {song.key}" for song in songs]
    return replace(read_fma(folder), title="FMA, by the named artists alone", groups=groups)


def read_msd(folder: Path) -> Songs:
    rows = Rows.of(msd.open_table(folder / "msd" / "subset_features.csv"))
    # Nobody says who these are by: see docs/evaluation.md.
    genres = [song.genres for song in rows.songs]
    title = "Million Song Dataset, subset, summaries of its own analysis"
    return Songs(title, rows.x, rows.families, genres, same(rows.x))


def read_audioset(folder: Path) -> Songs:
    rows = Rows.of(audioset.open_table(folder / "audioset"))
    # A clip a video; nobody says whose videos they are.
    genres = [song.genres for song in rows.songs]
    return Songs("AudioSet, mean of VGGish", rows.x, rows.families, genres, same(rows.x))


def told(
    material: Material, folds: Sequence[Fold], models: Iterable[str], settings: Mapping[str, Any]
) -> dict[str, Scores]:
    """What every contestant says of every song of some folds of one seed, [n, g] each.

    Args:
        material: The songs.
        folds: Which of them are told by what was learned from the others.
        models: Names of the contestants.
        settings: Of the network, where they aren't its defaults.
    """
    pooled: dict[str, Scores] = {}
    for fold in folds:
        seed = fold.seed
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
    songs: Songs,
    seeds: Sequence[int],
    models: Sequence[str],
    settings: Mapping[str, Any],
    most: int = FOLDS,
) -> dict[str, Any]:
    """Run contestants over all seeds, print what they came to, and hand it on for JSON.

    Args:
        songs: The data set.
        seeds: Of folds, clusters and training.
        models: Names of the contestants.
        settings: Of the network, where they aren't its defaults.
        most: Folds of the first seed that are told; only where all are, others can follow.
    """
    if most < FOLDS and len(seeds) > 1:
        raise ValueError("seeds are comparable where all songs are told: take all folds, or a seed")
    material = songs.material()
    deals = {seed: material.folds(FOLDS, "by artist", seed)[:most] for seed in seeds}
    rows = np.sort(np.concatenate([fold.told for fold in deals[seeds[0]]]))
    found: dict[str, list[Scores]] = {}
    for number, seed in enumerate(seeds):
        asked = [name for name in models if number == 0 or name not in ONCE]
        for name, scores in told(material, deals[seed], asked, settings).items():
            found.setdefault(name, []).append(scores[rows])
    truth = material.truth[rows]
    groups = [f"group {material.group[row]}" for row in rows]
    several = bool((truth.sum(axis=1) > 1).any())
    scores, differences = compare(truth, found, groups, multi_label=several)
    print(
        f"\n{songs.title}: {len(rows)} songs, {truth.any(axis=0).sum()} genres, "
        f"{len(set(groups))} groups, "
        f"{len(seeds)} seeds, {most} of {FOLDS} folds\n"
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
        "folds": most,
        "settings": dict(settings),
        "scores": [asdict(score) for score in scores],
        "differences": [asdict(gap) for gap in differences],
    }


def _spread(estimate: Any) -> str:
    spread = "" if estimate.spread is None else f" ± {estimate.spread:.3f}"
    return f"{estimate.value:.3f}{spread}"


def _points(gap: Any) -> str:
    return f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"


def labels_alone(folder: Path) -> dict[str, Any]:
    """What labels and a tree say without a feature: of the test tracks of fma_medium, by their
    official split, all the same; and what a track's top genre says of its others.
    """
    table = pd.read_csv(folder / "fma" / "fma_medium_labels.csv")
    tree = pd.read_csv(folder / "fma" / "genres.csv").set_index("genre_id")["parent"].to_dict()
    own = [set(json.loads(text)) for text in table["genres_all"]]
    whole = sum(all(tree[g] in (0, *genres) for g in genres) for genres in own)
    roots = [{g for g in genres if tree[g] == 0} for genres in own]
    genres = sorted(set().union(*own))
    tops = sorted(set(table["genre_top"]))
    at = {genre: column for column, genre in enumerate(genres)}
    truth = np.zeros((len(table), len(genres)), dtype=np.bool_)
    for row, names in enumerate(own):
        truth[row, [at[name] for name in names]] = True
    top = np.array([tops.index(name) for name in table["genre_top"]])
    learn, test = (np.flatnonzero(table["split"] == side) for side in ("train", "test"))
    several = truth[test]
    given = np.stack([truth[learn][top[learn] == own].mean(axis=0) for own in range(len(tops))])
    nobody: list[str | None] = [None] * len(test)
    alike = compare(
        np.eye(len(tops), dtype=np.bool_)[top[test]],
        {
            "commonest top genre": [
                majority(np.eye(len(tops), dtype=np.bool_)[top[learn]], len(test))
            ]
        },
        nobody,
    )[0]
    fine, _ = compare(
        several,
        {
            "by the true top genre": [given[top[test]] - 0.5],
            "all tracks alike": [majority(truth[learn], len(test))],
        },
        nobody,
        multi_label=True,
    )
    print(
        f"\nFMA medium, labels alone: {len(table)} tracks, {len(genres)} genres, {len(tops)} of "
        f"them on top\n\n{whole} tracks have all genres above theirs, "
        f"{sum(len(r) > 1 for r in roots)} have several top genres; "
        f"{len(test)} test tracks of the official split:\n"
    )
    print(f"{'':26}{'accuracy':>15}{'macro-F1':>15}{'mAP':>15}")
    for score in (*alike, *fine):
        numbers = (score.accuracy, score.macro_f1, score.mean_average_precision)
        print(f"{score.name:26}" + "".join(f"{_spread(each):>15}" for each in numbers))
    return {
        "title": "FMA medium, labels alone",
        "tracks": len(table),
        "whole": whole,
        "scores": [asdict(score) for score in (*alike, *fine)],
    }


READERS: Mapping[str, Callable[[Path], Songs]] = {
    "fma": read_fma,
    "fma-by-name": read_fma_by_name,
    "msd": read_msd,
    "audioset": read_audioset,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--only", default=",".join((*READERS, LABELS)))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="settings were chosen on 100-103")
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the five are told")
    parser.add_argument("--settings", default="{}", help="settings of the network, as JSON")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    asked = options.only.split(",")
    for name in asked:
        if name not in (*READERS, LABELS):
            parser.error(f"there is no part {name!r}: take {', '.join((*READERS, LABELS))}")
    if not (options.data / "fma").is_dir():
        parser.error(f"there are no data sets in {options.data}: give their folder with --data DIR")
    tables = []
    for name in asked:
        began = time.perf_counter()
        if name == LABELS:
            tables.append(labels_alone(options.data))
        else:
            songs = READERS[name](options.data)
            models, settings = options.models.split(","), json.loads(options.settings)
            tables.append(measured(songs, seeds, models, settings, options.folds))
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        if options.json:
            options.json.write_text(json.dumps(tables, indent=2))


if __name__ == "__main__":
    main()
