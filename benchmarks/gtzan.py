"""How good the graph network is on GTZAN, beside tabular models on the same song vectors.

    python benchmarks/gtzan.py [--data DIR] [--only csv,musicnn,leaks] [--seeds 10] [--json FILE]

csv: 57 librosa statistics, learned on the fault-filtered `train` clips, measured on `valid`.
musicnn: mean tag activations of the `train` clips, 5 folds that keep artists together, other folds
for each seed. leaks: by how much a split that ignores artists flatters, and what it costs when a
song's own genre carries messages while the song is scored.

Graphs are made by kg's own functions. Held-out songs hang in them without a genre, as the songs
that are to be predicted do in a library; scaler, clusters and models see none of the songs they are
measured on. The network is kg's default one; the settings of the tabular models are chosen by
cross-validation over the artists that are learned from.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch.nn import functional

from kg.compare.material import graph_of
from kg.graph.rows import GraphRows
from kg.hetero import to_hetero
from kg.metrics.evaluate import Scores, artist_groups, compare
from kg.records import FeatureSet
from kg.schema import GENRE_EDGE, SONG_NODE
from models.baselines.tabular import BOOSTING, CANDIDATES, LOGISTIC, SVM, best_tabular
from models.link_model import GraphShape, LinkModel
from models.message_graph import MessageGraph
from models.rgcn import EncoderConfig
from models.training import TrainConfig, predict, train

Rows = NDArray[np.int64]
Classifiers = Mapping[str, Sequence[Scores]]

# The columns of the csv by family: stems of their names.
FAMILIES = {
    "chroma": ["chroma_stft"],
    "loudness": ["rms"],
    "spectral": ["spectral_centroid", "spectral_bandwidth", "rolloff", "zero_crossing_rate"],
    "harmony": ["harmony", "perceptr"],
    "rhythm": ["tempo"],
    "mfcc": [f"mfcc{i}" for i in range(1, 21)],
}
FOLDS = 5
TABULAR = (LOGISTIC, SVM, BOOSTING)
# Gradient boosting takes as long as everything else together: fewer seeds tell enough.
BOOSTED_SEEDS = 2
R_GCN, WITHOUT_GRAPH = "R-GCN + DistMult", "the same without the graph"


@dataclass(frozen=True)
class Clips:
    """Songs with their vectors.

    Attributes:
        x: raw features, float32 [n, d].
        kinds: what its columns mean.
        genre: row of each song's genre among `genres`.
        artists: None where unknown.
    """

    ids: list[str]
    x: NDArray[np.float32]
    kinds: FeatureSet
    genre: Rows
    genres: list[str]
    artists: list[str | None]

    def truth(self, rows: Rows) -> NDArray[np.bool_]:
        """Genres of some songs, bool [len(rows), g]."""
        return np.eye(len(self.genres), dtype=np.bool_)[self.genre[rows]]

    @property
    def everything(self) -> Rows:
        return np.arange(len(self.ids))


def read_csv(folder: Path) -> tuple[Clips, pd.Series]:
    """The clips of the protocol's `train` and `valid`, and which of them each is."""
    table = pd.read_csv(folder / "features_30s.csv")
    table = table[table["split"].isin(["train", "valid"])].reset_index(drop=True)
    families: dict[str, slice] = {}
    columns: list[str] = []
    for family, stems in FAMILIES.items():
        start = len(columns)
        for stem in stems:
            own = [stem] if stem in table else [f"{stem}_mean", f"{stem}_var"]
            columns += own
        families[family] = slice(start, len(columns))
    x = table[columns].to_numpy(np.float32)
    return clips(table, x, FeatureSet("csv", families, tuple(columns))), table["split"]


def read_musicnn(folder: Path) -> Clips:
    """The `train` clips with their mean tag activations over all patches."""
    table = pd.read_csv(folder / "features_30s.csv")
    table = table[table["split"] == "train"].reset_index(drop=True)
    with np.load(folder / "musicnn_taggram_train.npz") as file:
        names = [Path(name).stem for name in file["IDS"]]
        patches = pd.DataFrame(file["X"]).groupby(names).mean()
    x = patches.loc[[Path(name).stem for name in table["filename"]]].to_numpy(np.float32)
    columns = tuple(f"tag_{i}" for i in range(x.shape[1]))
    return clips(table, x, FeatureSet("musicnn", {"tags": slice(0, len(columns))}, columns))


def clips(table: pd.DataFrame, x: NDArray[np.float32], kinds: FeatureSet) -> Clips:
    genres = sorted(table["genre"].unique())
    return Clips(
        ids=list(table["filename"]),
        x=x,
        kinds=kinds,
        genre=table["genre"].map(genres.index).to_numpy(np.int64),
        genres=genres,
        artists=[name if isinstance(name, str) else None for name in table["artist"]],
    )


def folds(songs: Clips, count: int, seed: int) -> Iterator[Rows]:
    """Deal the songs into parts that keep artists together and genres even."""
    rows, groups = songs.everything, artist_groups(songs.artists)
    dealer = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for _, part in dealer.split(rows, songs.genre, groups):
        yield part


def graph(songs: Clips, learn: Rows, seed: int) -> GraphRows:
    """What kg makes of these songs; those that aren't learned from hang in it without a genre."""
    fit = np.isin(songs.everything, learn)
    return graph_of(
        songs.ids,
        songs.x,
        songs.kinds,
        fit,
        ["train" if learned else "test" for learned in fit],
        songs.genres,
        songs.truth(songs.everything) & fit[:, None],
        seed,
    )


def classifiers(
    songs: Clips, learn: Rows, told: Rows, seed: int, *, tabular: Sequence[str] = ()
) -> dict[str, Scores]:
    """Scores of the songs `told` by everything that learned from the songs `learn`.

    Args:
        learn: songs to learn from, all of them, as kg does with so few.
        told: songs to measure on; nothing is fitted on them.
        seed: of clusters and training.
        tabular: kinds of tabular models.
    """
    data, maps = to_hetero(graph(songs, learn, seed))
    found: dict[str, Scores] = {}
    for name, messages in ((R_GCN, True), (WITHOUT_GRAPH, False)):
        result = train(
            data,
            GENRE_EDGE,
            groups=maps.families,
            silent=maps.silent,
            gathered=maps.gathered,
            encoder=EncoderConfig(messages=messages),
            config=TrainConfig(seed=seed),
        )
        found[name] = predict(result.model, data)[told].numpy()
    x = data[SONG_NODE].x.numpy()
    groups = artist_groups([songs.artists[row] for row in learn])
    for kind in tabular:
        candidates = [each for each in CANDIDATES if each.kind == kind]
        found[kind] = best_tabular(
            x[learn],
            songs.truth(learn),
            x[told],
            groups=groups,
            candidates=candidates,
            seed=seed,
        ).scores
    return found


def cross_validated(songs: Clips, seed: int, *, tabular: Sequence[str] = ()) -> dict[str, Scores]:
    """Scores of every song by models that saw none of its artist's songs."""
    pooled: dict[str, Scores] = {}
    for told in folds(songs, FOLDS, seed):
        learn = np.setdiff1d(songs.everything, told)
        for name, scores in classifiers(songs, learn, told, seed, tabular=tabular).items():
            pooled.setdefault(name, np.zeros((len(songs.ids), scores.shape[1])))[told] = scores
    return pooled


def table(
    title: str, truth: NDArray[np.bool_], runs: Classifiers, artists: Sequence[str | None]
) -> dict[str, Any]:
    """Print what classifiers came to over all seeds, and hand it on as JSON can hold it.

    The differences are the network's to each of the others: the same songs, seeds and resampled
    artists.
    """
    scores, differences = compare(truth, runs, artists)
    gaps: list[Any] = [None, *differences]
    first = scores[0].name
    seeds = len(next(iter(runs.values())))
    print(f"\n{title} ({len(truth)} songs, {seeds} seeds)\n")
    print(f"{'':28}{'accuracy':>16}{'macro-F1':>16}   {first}, macro-F1 points more [95 %]")
    for score, gap in zip(scores, gaps, strict=True):
        said = f"{score.name:28}{with_spread(score.accuracy):>16}{with_spread(score.macro_f1):>16}"
        if gap is not None:
            more = gap.macro_f1
            said += f"   {100 * more.value:+.1f} [{100 * more.low:+.1f}, {100 * more.high:+.1f}]"
        print(said)
    return {
        "title": title,
        "songs": len(truth),
        "seeds": seeds,
        "scores": [asdict(score) for score in scores],
        "differences": [asdict(gap) for gap in differences],
    }


def with_spread(estimate: Any) -> str:
    spread = "" if estimate.spread is None else f" ± {estimate.spread:.3f}"
    return f"{estimate.value:.3f}{spread}"


def collected(runs: Sequence[Mapping[str, Scores]]) -> dict[str, list[Scores]]:
    """Scores by classifier, of all seeds that it was run with."""
    return {name: [run[name] for run in runs if name in run] for name in runs[0]}


def run_csv(folder: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    songs, sides = read_csv(folder)
    learn, told = np.flatnonzero(sides == "train"), np.flatnonzero(sides == "valid")
    # What is fitted without chance comes out the same for every seed: once is enough.
    runs = [
        classifiers(songs, learn, told, seed, tabular=TABULAR if seed == seeds[0] else ())
        for seed in seeds
    ]
    artists = [songs.artists[row] for row in told]
    title = "librosa statistics, learned on train, measured on valid"
    return [table(title, songs.truth(told), collected(runs), artists)]


def run_musicnn(folder: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    songs = read_musicnn(folder)
    runs = []
    for number, seed in enumerate(seeds):
        kinds = TABULAR if number < BOOSTED_SEEDS else (LOGISTIC, SVM)
        runs.append(cross_validated(songs, seed, tabular=kinds))
    title = "musicnn tags, 5 folds by artist over the songs of train"
    return [table(title, songs.truth(songs.everything), collected(runs), songs.artists)]


def run_leaks(folder: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    songs, _ = read_csv(folder)
    # By nobody known, every song is a group of its own, so that folds are random.
    anonymous = replace(songs, artists=[None] * len(songs.ids))
    truth = songs.truth(songs.everything)
    tables = []
    for title, each in (
        ("librosa statistics, 5 folds by artist over train and valid", songs),
        ("the same songs, 5 random folds: artists on both sides", anonymous),
    ):
        runs = [cross_validated(each, seed, tabular=(LOGISTIC, SVM)) for seed in seeds]
        tables.append(table(title, truth, collected(runs), songs.artists))
    trapped = [trap(songs, seed) for seed in seeds]
    title = "a song's own genre in the graph while it is scored, 5 folds by artist"
    tables.append(table(title, truth, collected(trapped), songs.artists))
    return tables


def trap(songs: Clips, seed: int) -> dict[str, Scores]:
    """The same net and loop, with the scored songs' own genres hidden and with them carrying."""
    pooled: dict[str, Scores] = {}
    for told in folds(songs, FOLDS, seed):
        data, maps = to_hetero(graph(songs, np.setdiff1d(songs.everything, told), seed))
        message = MessageGraph(data, GENRE_EDGE)
        heads = message.heads(message.is_train)
        truth = torch.tensor(songs.genre)
        for name, hiding in (("own genre hidden", True), ("own genre carrying", False)):
            torch.manual_seed(seed)
            model = LinkModel(GraphShape.of(data, GENRE_EDGE, maps.families), EncoderConfig())
            config = TrainConfig()
            optimiser = torch.optim.AdamW(
                model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
            )
            for _ in range(config.epochs_unvalidated):
                scored = heads[torch.rand(len(heads)) < config.hidden_share]
                hidden = torch.zeros_like(message.is_train)
                hidden[scored] = hiding
                h = model.train().encoder(message.x, message.messages(hidden))[-1]
                loss = functional.cross_entropy(model.score_all(h, scored), truth[scored])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            with torch.no_grad():
                scores = model.eval().score_all(model.encoder(message.x, message.messages())[-1])
            own = pooled.setdefault(name, np.zeros(scores.shape))
            own[told] = scores[told].numpy()
    return pooled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--only", default="csv,musicnn,leaks", help="parts, separated by commas")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0, help="settings were chosen on 100-103")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there too")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    torch.set_num_threads(1)
    parts: dict[str, Callable[[Path, Sequence[int]], list[dict[str, Any]]]] = {
        "csv": run_csv,
        "musicnn": run_musicnn,
        "leaks": run_leaks,
    }
    asked = options.only.split(",")
    for name in asked:
        if name not in parts:
            parser.error(f"there is no part {name!r}: take {', '.join(parts)}")
    for file in ("features_30s.csv", "musicnn_taggram_train.npz"):
        if not (options.data / file).exists():
            parser.error(f"there is no {file} in {options.data}: give its folder with --data DIR")
    tables = []
    for name in asked:
        began = time.perf_counter()
        tables += parts[name](options.data, seeds)
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(tables, indent=2))


if __name__ == "__main__":
    main()
