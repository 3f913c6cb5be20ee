"""What one new song costs in a library of 1,000 songs and in one of 100,000, in one run.

    python -m benchmarks.add [--songs 1000,100000] [--rounds 5] [--keep DIR] [--data DIR]
                             [--only cost,batch,same] [--json FILE]

cost: songs of made-up features, in every one of kg's own, are added one by one to two libraries on
the embedded server, taking turns. The first song of a process pays for starting the server and for
imports, as `kg add` does; later ones don't, as in `kg watch`, and are added to both from one
process, one here and one there, so that whatever else the machine does is shared. The libraries are
kg's own work: `GraphStore`, `build_graph`, a short training with its kept outputs. Also from files,
through `Library.add`.
batch: 1,000 songs at once, beside one by one.
same: how often a song that is added has the first genre that the full recomputation of the graph
with it gives: GTZAN's 443 clips by musicnn's tags, 5 folds by artist.

Making the larger library takes some minutes; `--keep DIR` keeps both for the next run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kg.audio.cache import FeatureCache, Row
from kg.audio.features import feature_set, feature_version
from kg.records import NewSong, SongRecord

GENRES, AXES, PER_ARTIST = 16, 40, 10
EPOCHS = 2
WARM, LATER = 5, 20  # later songs of a process that aren't counted, and that are
BATCH = 1000
SEEDS = 3

Floats = NDArray[np.float32]


# --- libraries -----------------------------------------------------------------------------------


def made_up(count: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Features [n, d] and genres [n] of songs: artists lie around genres, songs around artists."""
    world, chance = np.random.default_rng(0), np.random.default_rng(seed)
    columns = len(feature_set().columns)
    axes = world.standard_normal((AXES, columns)).astype(np.float32)
    genre = world.standard_normal((GENRES, AXES))
    artists = chance.integers(GENRES, size=count // PER_ARTIST + 1)
    artist = genre[artists] + 0.8 * chance.standard_normal((len(artists), AXES))
    of = np.arange(count) // PER_ARTIST
    place = artist[of] + 0.6 * chance.standard_normal((count, AXES))
    noise = chance.standard_normal((count, columns), dtype=np.float32)
    return place.astype(np.float32) @ axes + 3 * noise, artists[of]


def songs_of(count: int, seed: int, *, labelled: bool) -> list[NewSong]:
    """Made-up songs, with a genre each or without."""
    features, genres = made_up(count, seed)
    names = np.random.default_rng(seed)
    return [
        NewSong(
            SongRecord(
                id=names.bytes(16).hex(),
                title=f"Song {n}",
                artist=f"Artist {seed}.{n // PER_ARTIST}",
                genres=(f"genre {genres[n]:02}",) if labelled else (),
                genre_source="table" if labelled else "",
            ),
            features[n],
            30.0,
            22_050,
        )
        for n in range(count)
    ]


def make(home: Path, count: int) -> None:
    """A library of so many songs with a model, as `kg ingest` and `kg train` leave it."""
    from kg import Library
    from kg.build import build_graph
    from kg.graph.rows import ModelRow
    from kg.hetero import to_hetero
    from kg.learning import doubt, saved_models
    from kg.learning.training import TrainOptions, _write_back, fit
    from kg.metrics.measuring import Labelled
    from kg.schema import SONG_NODE
    from models import training

    kinds = feature_set()
    with Library.open(home) as library:
        store = library.store
        said(f"  {count} songs: writing them")
        builder = store.begin_build(kinds)
        store.write_songs(songs_of(count, 1, labelled=True), builder=builder)
        said(f"  {count} songs: clusters and similar songs")
        build_graph(store, kinds, library.settings.neighbours_dir)
        said(f"  {count} songs: training {EPOCHS} epochs")
        rows = store.read_graph()
        data, maps = to_hetero(rows)
        result = fit(data, maps, TrainOptions(epochs=EPOCHS))
        scores = training.predict(result.model, data, folds=2)
        now, id = datetime.now(UTC), saved_models.new_model_id()
        folder = library.settings.models_dir / id
        labels = saved_models.label_fingerprint(store.read_keys())
        model = ModelRow(
            id, now, "writing", str(folder), kinds.version, maps.build, {}, labels=labels
        )
        layers = training.layer_outputs(result.model, data)
        x = data[SONG_NODE].x
        judge = doubt.settle(rows, Labelled(rows), scores, x, precision=doubt.PRECISION, seed=0)
        about = saved_models.description(model, maps, 0) | judge.description()
        saved_models.save_checkpoint(folder, result.model, layers, about, maps, judge.tensors())
        said(f"  {count} songs: writing predictions")
        _write_back(store, model, maps, judge, scores, x, library.progress)
    folder = library.settings.cache_dir / "features" / feature_version()
    with FeatureCache(folder, len(kinds.columns)) as cache:
        for song in songs_of(count, 1, labelled=True):
            cache.add(song.record.id, Row(song.features, song.duration, song.sample_rate))
    (home / "made").write_text(str(count))


def said(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- what a song costs ---------------------------------------------------------------------------


class Stages:
    """Seconds by stage, of functions of kg that are watched while songs are added."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def watch(self, owner: Any, function: str, name: str) -> None:
        """Add up what a function takes, whoever calls it."""
        plain = getattr(owner, function)

        def timed(*arguments: Any, **options: Any) -> Any:
            with self.of(name):
                return plain(*arguments, **options)

        setattr(owner, function, timed)

    def taken(self) -> dict[str, float]:
        """What the stages came to since the last call."""
        seconds, self.seconds = self.seconds, {}
        return seconds


def watched() -> Stages:
    """Watch the stages of adding a song."""
    import kg.build
    import kg.intake.audio
    from kg.graph.store import GraphStore
    from kg.learning.guessing import NewSongs
    from kg.neighbours import SavedIndex

    stages = Stages()
    stages.watch(kg.intake.audio, "leave_out_known", "checks in the graph")
    stages.watch(GraphStore, "read_space", "feature space")
    stages.watch(kg.build, "neighbour_index", "loading the index")
    stages.watch(SavedIndex, "nearest", "finding neighbours")
    stages.watch(kg.intake.audio, "_guesser", "loading the model")
    stages.watch(NewSongs, "guess", "guessing")
    stages.watch(GraphStore, "add_songs", "writing")
    return stages


def add_rows(library: Any, songs: list[NewSong]) -> None:
    """What `Library.add` does with songs that were heard."""
    from kg.intake import audio

    def write() -> None:
        library._require_build()
        library._same_features()
        audio.leave_out_known(library.store, [song.record for song in songs])
        added, without, _ = audio.attach(library.store, songs, library.settings)
        assert without is None, without
        assert all(song.guesses for song in added)

    library._in_turn(write)


def add_first(home: Path, seed: int) -> dict[str, float]:
    """Seconds by stage of the first song of this process."""
    from kg import Library

    songs = songs_of(1, seed, labelled=False)
    start = time.perf_counter()
    with Library.open(home) as library:
        stages = watched()
        with stages.of("opening the library"):
            assert library.store is not None
        add_rows(library, songs)
        return whole(stages, time.perf_counter() - start)


def add_in_turn(folder: Path, seed: int) -> dict[str, list[dict[str, float]]]:
    """Seconds by stage of later songs, by library of a folder: one here, one there, and so on."""
    from kg import Library

    homes = sorted(home for home in folder.iterdir() if (home / "made").exists())
    songs = iter(songs_of(len(homes) * (WARM + LATER), seed, labelled=False))
    costs: dict[str, list[dict[str, float]]] = {home.name: [] for home in homes}
    with ExitStack() as opened:
        libraries = [opened.enter_context(Library.open(home)) for home in homes]
        stages = watched()
        for _ in range(WARM + LATER):
            for home, library in zip(homes, libraries, strict=True):
                stages.taken()
                start = time.perf_counter()
                add_rows(library, [next(songs)])
                costs[home.name].append(whole(stages, time.perf_counter() - start))
    return {name: each[WARM:] for name, each in costs.items()}


def whole(stages: Stages, seconds: float) -> dict[str, float]:
    """The stages of a song, what is left between them, and all of it."""
    cost = stages.taken()
    return {**cost, "turn and rest": seconds - sum(cost.values()), "all": seconds}


def add_at_once(home: Path, seed: int) -> dict[str, float]:
    """Songs a second, at once and one by one."""
    from kg import Library

    songs = songs_of(BATCH + LATER, seed, labelled=False)
    with Library.open(home) as library:
        add_rows(library, songs[-1:])  # imports and starting are no part of either
        start = time.perf_counter()
        add_rows(library, songs[:BATCH])
        together = time.perf_counter() - start
        start = time.perf_counter()
        for song in songs[BATCH:-1]:
            add_rows(library, [song])
        alone = time.perf_counter() - start
    return {"at once": BATCH / together, "one by one": (LATER - 1) / alone}


def add_file(home: Path, seed: int) -> dict[str, float]:
    """Seconds to add a song from its file, the first of a process and a later one."""
    from kg import Library
    from kg.audio.synth import GENRES as PLAYED
    from kg.audio.synth import write_song

    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for n, name in enumerate(("first", "later")):
            write_song(Path(folder) / f"{name}.flac", PLAYED[0], seconds=30, seed=2 * seed + n)
        start = time.perf_counter()
        with Library.open(home) as library:
            for name in ("first", "later"):
                report = library.add(Path(folder) / f"{name}.flac")
                assert report.added[0].guesses, report
                seconds[name] = time.perf_counter() - start
                start = time.perf_counter()
    return seconds


def recall(home: Path, seed: int) -> float:
    """Share of the true ten nearest that the index finds for new songs."""
    from kg import Library
    from kg.build import NEIGHBOURS, neighbour_index

    with Library.open(home) as library:
        store, folder = library.store, library.settings.neighbours_dir
        space, build = store.read_space()
        index = neighbour_index(store, space, build, folder)
        # Songs that were added since are nobody's neighbours.
        known = store.features_of(list(index.ids), space.kinds)
        vectors = space.metric(space.standardise(known.features))
    row_of = {id: row for row, id in enumerate(known.ids)}
    new = vectors[np.random.default_rng(seed).choice(len(known), 200, replace=False)]
    noise = np.random.default_rng(seed).standard_normal(new.shape, dtype=np.float32)
    new = new + noise / np.linalg.norm(noise, axis=1, keepdims=True) / 2
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    true = np.argsort(-(new @ vectors.T), axis=1)[:, :NEIGHBOURS]
    found = index.nearest(new, NEIGHBOURS).index
    hits = [
        len({row_of.get(index.ids[row]) for row in own} & set(nearest))
        for own, nearest in zip(found, true.tolist(), strict=True)
    ]
    return float(np.mean(hits)) / NEIGHBOURS


def apart(what: str, home: Path, seed: int) -> Any:
    """One measurement in a process of its own."""
    told = ["--child", what, "--keep", str(home), "--seed", str(seed)]
    command = [sys.executable, "-m", "benchmarks.add", *told]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def show_costs(title: str, costs: dict[int, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Print medians by stage and their ratio, of songs by size of their library."""
    small, large = min(costs), max(costs)
    print(f"\n{title}, ms (median of {len(costs[small])})\n")
    print(f"{'':24}{small:>10,}{large:>12,}{'ratio':>8}")
    rows = []
    for stage in costs[small][0]:
        a, b = (1000 * statistics.median(s.get(stage, 0.0) for s in costs[n]) for n in costs)
        print(f"{stage:24}{a:10.1f}{b:12.1f}{b / a if a else 0:8.2f}")
        rows.append({"song": title, "stage": stage, "small_ms": a, "large_ms": b})
    return rows


def run_cost(homes: dict[int, Path], folder: Path, rounds: int) -> list[dict[str, Any]]:
    homes = dict(sorted(homes.items()))
    first: dict[int, list[dict[str, float]]] = {count: [] for count in homes}
    files: dict[int, list[dict[str, float]]] = {count: [] for count in homes}
    later: dict[int, list[dict[str, float]]] = {count: [] for count in homes}
    for turn in range(rounds):
        for count, home in homes.items():
            first[count].append(apart("first", home, new_seed()))
            files[count].append(apart("file", home, new_seed()))
        for name, costs in apart("later", folder, new_seed()).items():
            later[int(name)] += costs
        said(f"round {turn + 1} of {rounds}")
    rows = show_costs("the first song of a process", first)
    rows += show_costs("later songs, one here, one there", later)
    rows += show_costs("from a file of 30 s, through Library.add", files)
    for count, home in homes.items():
        rows.append({"songs": count, "recall": apart("recall", home, 1)})
        print(f"\nrecall of the ten nearest among {count:,}: {rows[-1]['recall']:.3f}")
    return rows


def new_seed() -> int:
    """Of songs that no library of an earlier run has."""
    return time.time_ns() % 2**32


def run_batch(homes: dict[int, Path]) -> list[dict[str, Any]]:
    rows = []
    print(f"\nsongs a second{'at once':>24}{'one by one':>12}\n")
    for count, home in homes.items():
        found = apart("batch", home, new_seed())
        print(f"{count:14,}{found['at once']:24.1f}{found['one by one']:12.1f}")
        rows.append({"songs": count, **found})
    return rows


# --- whether they are told the same --------------------------------------------------------------


def run_same(folder: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Share of songs whose first genre is the same by kept outputs and by a full pass."""
    from benchmarks.gtzan import FOLDS, folds, read_musicnn

    songs = read_musicnn(folder)
    rows = []
    for seed in seeds:
        same: dict[str, list[bool]] = {}
        with tempfile.TemporaryDirectory(prefix="kg-same-") as scratch:
            for number, new in enumerate(folds(songs, FOLDS, seed)):
                told = told_both_ways(songs, new, seed, Path(scratch) / str(number))
                for name, (quick, full) in told.items():
                    same.setdefault(name, []).extend((quick == full).tolist())
        rows += [
            {"against": name, "seed": seed, "songs": len(all), "same": float(np.mean(all))}
            for name, all in same.items()
        ]
    print(
        f"\nthe same first genre as a full recomputation, {len(songs.ids)} clips, "
        f"{FOLDS} folds by artist, {len(seeds)} seeds\n"
    )
    for name, what in (
        ("added", "of the graph that they were added to (`kg predict`)"),
        ("rebuilt", "after it was connected anew with them (`kg ingest && kg predict`)"),
        ("old songs", "of the songs that were there, by a full pass before and after that"),
    ):
        each = [row["same"] for row in rows if row["against"] == name]
        print(f"  {100 * float(np.mean(each)):5.1f} %  {what}")
    return rows


def told_both_ways(
    songs: Any, new: NDArray[np.int64], seed: int, scratch: Path
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """First genres [m] of new songs from kept outputs, and by a full pass of either kind; and those
    of the others before and after the graph was connected anew.
    """
    from kg.build import NEIGHBOURS, links
    from kg.compare.material import graph_of
    from kg.graph.rows import ModelRow
    from kg.hetero import to_hetero
    from kg.learning.guessing import NewSongs
    from kg.learning.saved_models import description, save_checkpoint
    from kg.neighbours import NeighbourIndex
    from kg.schema import GENRE_EDGE
    from models import training

    order = np.argsort(songs.ids)  # a graph's songs are in the order of their ids
    old = order[~np.isin(order, new)]
    genres, everybody = songs.genres, np.concatenate([old, new])

    def graph(rows: NDArray[np.int64], labelled: NDArray[np.bool_]) -> Any:
        """What kg makes of songs, those that aren't labelled as `kg add` brings them."""
        return graph_of(
            [songs.ids[row] for row in rows],
            songs.x[rows],
            songs.kinds,
            np.ones(len(rows), dtype=np.bool_),
            ["train" if told else None for told in labelled],
            genres,
            songs.truth(rows) & labelled[:, None],
            seed,
        )

    before = graph(old, np.ones(len(old), dtype=np.bool_))
    data, maps = to_hetero(before)
    config = training.TrainConfig(seed=seed)
    net = training.train(
        data,
        GENRE_EDGE,
        groups=maps.families,
        silent=maps.silent,
        gathered=maps.gathered,
        config=config,
    ).model
    now = datetime.now(UTC)
    model = ModelRow("model", now, "current", str(scratch / "model"), "", "", {})
    about = description(model, maps, seed)
    save_checkpoint(scratch / "model", net, training.layer_outputs(net, data), about, maps)

    space = before.space
    standard = space.standardise(songs.x[new])
    index = NeighbourIndex(
        before.songs.ids, space.metric(before.space.standardise(songs.x[old])), ""
    )
    near = index.nearest(space.metric(standard), NEIGHBOURS)
    ids = [songs.ids[row] for row in new]
    hanging = list(links(ids, space.assign(standard), before.songs.ids, near, {}))
    answers = NewSongs(model, scratch, "").guess(
        space.inputs(standard),
        [song.clusters for song in hanging],
        [song.similar for song in hanging],
    )
    quick = np.array([genres.index(told.guesses[0].genre) for told in answers])

    at = {id: row for row, id in enumerate(before.songs.ids)}
    cluster_at = {id: row for row, id in enumerate(before.cluster_ids)}
    after = len(old) + np.arange(len(new))
    has = {
        family: np.hstack(
            [
                edges,
                np.array(
                    [
                        (row, cluster_at[id])
                        for row, song in zip(after, hanging, strict=True)
                        for id, own, _ in song.clusters
                        if own == family
                    ],
                    dtype=np.int64,
                ).T,
            ]
        )
        for family, edges in before.has_feature.items()
    }
    similar = np.array(
        [
            (row, at[other])
            for row, song in zip(after, hanging, strict=True)
            for other, _ in song.similar
        ],
        dtype=np.int64,
    ).T
    table = before.songs
    grown = replace(
        before,
        songs=replace(
            table,
            ids=[*table.ids, *ids],
            features=songs.x[everybody],
            genres=[*table.genres, *[()] * len(new)],
            artists=[None] * len(everybody),
            splits=[*table.splits, *[None] * len(new)],
        ),
        has_feature=has,
        similar_to=np.hstack([before.similar_to, similar]),
    )
    rebuilt = graph(everybody, np.arange(len(everybody)) < len(old))
    first = {
        name: training.predict(net, to_hetero(rows)[0]).argmax(dim=1).numpy()
        for name, rows in (("before", before), ("added", grown), ("rebuilt", rebuilt))
    }
    count = len(old)
    return {
        "added": (quick, first["added"][count:]),
        "rebuilt": (quick, first["rebuilt"][count:]),
        "old songs": (first["before"], first["rebuilt"][:count]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", default="1000,100000", help="of the libraries")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where libraries stay")
    parser.add_argument("--only", default="same,cost,batch", help="parts, separated by commas")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child: dict[str, Callable[[Path, int], object]] = {
            "make": make,
            "first": add_first,
            "later": add_in_turn,
            "batch": add_at_once,
            "file": add_file,
            "recall": recall,
        }
        print(json.dumps(child[options.child](options.keep, options.seed)))
        return
    asked = options.only.split(",")
    found: dict[str, Any] = {}
    if "same" in asked:
        found["same"] = run_same(options.data, range(SEEDS))
    with tempfile.TemporaryDirectory(prefix="kg-add-") as scratch:
        homes: dict[int, Path] = {}
        if {"cost", "batch"} & set(asked):
            for count in map(int, options.songs.split(",")):
                homes[count] = (options.keep or Path(scratch)) / str(count)
                if not (homes[count] / "made").exists():
                    apart("make", homes[count], count)
        if "cost" in asked:
            found["cost"] = run_cost(homes, options.keep or Path(scratch), options.rounds)
        if "batch" in asked:
            found["batch"] = run_batch(homes)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
