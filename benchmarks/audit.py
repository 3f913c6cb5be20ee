"""Whether `kg audit` finds faults that were planted, and what it costs at size.

    python -m benchmarks.audit [--data DIR] [--only labels,artists,clips,large] [--seeds 10]
                               [--nets] [--ears musicnn|none] [--songs 100000] [--json FILE]

labels: of the 443 `train` clips of GTZAN (as musicnn's tags and as librosa's statistics hear them)
some get a wrong label by lot, and precision and recall say how many of those that are disputed were
planted and how many of those planted are disputed. AP (average precision) says how high they are
ranked, whatever the threshold. Beside it: the same without the artist's other songs, cleanlab's
filters on the same probabilities, and with --nets those of the R-GCN. GTZAN's own wrong labels
count against all of them. artists: all songs of some artists get one wrong label.
clips: `kg audit` on a library of the 60 real clips, with a copy of each of two kinds, one broken
copy, and of every third clip a copy under another genre (see benchmarks/planting.py). Every clip is
measured, also those by which thresholds of sound were chosen; benchmarks/copies.py keeps to the
others. large: a made-up library in the embedded server, one label in a hundred planted and one song
in a hundred a copy: time, and memory of the client at most.

Thresholds and the model were chosen on seeds from 200 to 303; these here begin at 0.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from benchmarks.gtzan import Clips, folds, graph, read_csv, read_musicnn
from kg.audit.labels import disputes, with_others
from kg.audit.told import out_of_fold
from kg.metrics.evaluate import artist_groups

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]

SHARES = (0.02, 0.05, 0.1)
OURS, BY_SOUND = "kg audit", "without the artist's songs"
FILTERS = {
    "confident_learning": "cleanlab: confident learning",
    "both": "cleanlab: prune by class and rate",
}
COLUMNS = 400  # as many as librosa's and musicnn's together
ARTIST_SONGS = 10
# What `kg audit` calls the faults of benchmarks/planting.py.
FAULT_NAMES = {
    "clipped": "clipped",
    "clipped_mp3": "clipped",
    "silenced": "silent",
    "truncated": "cut off",
    "truncated_mp3": "cut off",
    "one_sided": "one-sided",
}


def heard(folder: Path, name: str) -> Clips:
    """The 443 clips as one of two hears them."""
    if name == "musicnn":
        return read_musicnn(folder)
    songs, split = read_csv(folder)
    kept = np.flatnonzero((split == "train").to_numpy())
    return Clips(
        [songs.ids[row] for row in kept],
        songs.x[kept],
        songs.kinds,
        songs.genre[kept],
        songs.genres,
        [songs.artists[row] for row in kept],
    )


def planted(songs: Clips, share: float, seed: int, *, by_artist: bool) -> tuple[Clips, Bools]:
    """The songs with some labels replaced by lot, and which ones: bool [n]."""
    chance = np.random.default_rng(seed)
    genre, wrong = songs.genre.copy(), np.zeros(len(songs.ids), dtype=np.bool_)
    count = round(share * len(genre))
    if by_artist:
        artist = artist_groups(songs.artists)
        sizes = np.bincount(artist)
        for each in chance.permutation(np.flatnonzero((sizes > 1) & (sizes <= count))):
            own = np.flatnonzero(artist == each)
            if wrong.sum() + len(own) <= count:
                wrong[own] = True
                genre[own] = (genre[own] + chance.integers(1, len(songs.genres))) % len(
                    songs.genres
                )
    else:
        wrong[chance.choice(len(genre), count, replace=False)] = True
        away = chance.integers(1, len(songs.genres), size=count)
        genre[wrong] = (genre[wrong] + away) % len(songs.genres)
    return replace(songs, genre=genre), wrong


def standard(x: Floats) -> Floats:
    scaled: Floats = np.clip((x - x.mean(axis=0)) / x.std(axis=0), -6, 6).astype(np.float32)
    return scaled


def by_nets(songs: Clips, seed: int) -> Floats:
    """What the R-GCN says of every song out of fold, calibrated on the labels as they are."""
    from kg.hetero import to_hetero
    from kg.schema import GENRE_EDGE
    from models import calibration
    from models.training import TrainConfig, predict, train

    truth = songs.truth(songs.everything)
    scores = torch.zeros(truth.shape)
    for told in folds(songs, 5, seed):
        learn = np.setdiff1d(songs.everything, told)
        data, maps = to_hetero(graph(songs, learn, seed))
        result = train(
            data,
            GENRE_EDGE,
            groups=maps.families,
            silent=maps.silent,
            gathered=maps.gathered,
            config=TrainConfig(seed=seed),
        )
        scores[told] = predict(result.model, data)[told]
    fit = calibration.fit(scores, torch.from_numpy(truth), multi_label=False)
    found: Floats = fit.probabilities(scores).numpy()
    return found


def judged(songs: Clips, seed: int, *, nets: bool) -> dict[str, tuple[Bools, Floats]]:
    """Which songs each disputes, bool [n], and how sure of each it is, float [n]."""
    from cleanlab.filter import find_label_issues

    truth = songs.truth(songs.everything)
    kin = np.eye(truth.shape[1], dtype=np.bool_)
    rows = np.arange(len(truth))
    group = artist_groups(songs.artists)
    sound = out_of_fold(standard(songs.x), truth, group, several=False, seed=seed)
    said = {
        OURS: with_others(sound, truth, group, several=False),
        BY_SOUND: sound,
    }
    if nets:
        net = by_nets(songs, seed)
        said["R-GCN with the artist's songs"] = with_others(net, truth, group, several=False)
        said["R-GCN"] = net
    found = {}
    for name, probabilities in said.items():
        out = np.zeros(len(truth), dtype=np.bool_)
        out[[each.row for each in disputes(probabilities, truth, kin, several=False)]] = True
        found[name] = out, 1 - probabilities[rows, songs.genre]
    for kind, name in FILTERS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = find_label_issues(songs.genre, said[OURS], filter_by=kind, n_jobs=1)
        found[name] = out, found[OURS][1]
    return found


def labels(
    folder: Path, seeds: range, *, by_artist: bool, nets: bool
) -> list[dict[str, str | float]]:
    """Precision and recall by what heard the songs, by share, by who judges: means over seeds."""
    found = []
    for name in ("musicnn", "librosa"):
        songs = heard(folder, name)
        for share in SHARES[-1:] if by_artist else SHARES:
            runs: dict[str, list[list[float]]] = {}
            for seed in seeds:
                filed, wrong = planted(songs, share, seed, by_artist=by_artist)
                for who, (out, sure) in judged(filed, seed, nets=nets).items():
                    hits = float((out & wrong).sum())
                    runs.setdefault(who, []).append(
                        [
                            float(out.sum()),
                            hits / max(1.0, float(out.sum())),
                            hits / float(wrong.sum()),
                            float(average_precision_score(wrong, sure)),
                        ]
                    )
            for who, values in runs.items():
                disputed, precision, recall, ap = np.mean(values, axis=0).tolist()
                found.append(
                    {
                        "heard by": name,
                        "planted": f"{share:.0%}",
                        "judge": who,
                        "disputed": disputed,
                        "precision": precision,
                        "recall": recall,
                        "AP": ap,
                    }
                )
    return found


def clips(folder: Path, ears: str) -> list[dict[str, Any]]:
    """Precision and recall of `kg audit` by what was planted among the 60 clips."""
    from kg import Library

    with tempfile.TemporaryDirectory(prefix="kg-audit-") as home:
        music = Path(home) / "music"
        planted = plant_all(folder / "audio", music)
        with Library.open(Path(home) / "home", neo4j_uri=None) as library:
            library.ingest(music, genres_from="folder", source="audio", embeddings=[ears])
            report = library.audit()
            paths = dict(library.ask("MATCH (s:Song) RETURN s.id, s.path").rows)
    assert report.labels is not None
    name = {id: Path(path).name for id, path in paths.items()}
    clip = {each: each.split("+")[0].removesuffix(".flac") for each in name.values()}
    pairs = [(name[each.song], name[each.other]) for each in report.copies]
    of_one = {pair for pair in pairs if clip[pair[0]] == clip[pair[1]]}
    disputed = {name[each.id] for each in report.labels.songs}
    rows = []
    for kind in sorted(set(planted.values())):
        files = {file for file, planted_kind in planted.items() if planted_kind == kind}
        if kind == "relabelled":
            said, hits = len(disputed), len(disputed & files)
            what = "label disputed"
        elif kind in FAULT_NAMES:
            found = [name[f.song] for f in report.faults if f.kind == FAULT_NAMES[kind]]
            same = {f for f, k in planted.items() if FAULT_NAMES.get(k) == FAULT_NAMES[kind]}
            said, hits = len(found), len(set(found) & same)
            files, what = same, f"sound {FAULT_NAMES[kind]}"
        else:
            linked = {file for pair in of_one for file in pair}
            said, hits = len(files & {f for pair in pairs for f in pair}), len(files & linked)
            what = "linked with another of its clip"
        rows.append(
            {
                "planted": kind,
                "what is looked for": what,
                "files": len(files),
                "found": hits,
                "recall": hits / len(files),
                "precision": hits / max(1, said),
            }
        )
    rows.append(
        {
            "planted": "all pairs",
            "what is looked for": "pairs linked that are one recording",
            "files": len(pairs),
            "found": len([pair for pair in pairs if pair in of_one]),
            "recall": float("nan"),
            "precision": len([pair for pair in pairs if pair in of_one]) / max(1, len(pairs)),
        }
    )
    return rows


def plant_all(audio: Path, music: Path) -> dict[str, str]:
    """Copy the clips and plant beside them: kind of each planted file by its name."""
    from benchmarks.planting import COPIES, FAULTS, plant

    genres = sorted(each.name for each in audio.iterdir() if each.is_dir())
    copy_kinds, fault_kinds = sorted(COPIES), sorted(FAULTS)
    planted = {}
    for number, clip in enumerate(sorted(audio.rglob("*.flac"))):
        own = music / clip.parent.name
        own.mkdir(parents=True, exist_ok=True)
        (own / clip.name).write_bytes(clip.read_bytes())
        at = genres.index(clip.parent.name)
        away = genres[(at + 1 + number % (len(genres) - 1)) % len(genres)]
        kinds = [
            *((copy_kinds[(2 * number + n) % len(copy_kinds)], clip.parent.name) for n in (0, 1)),
            (fault_kinds[number % len(fault_kinds)], clip.parent.name),
            *([("relabelled", away)] if number % 3 == 0 else []),
        ]
        for kind, genre in kinds:
            # The same bytes twice would be one song.
            other = "opus" if ("mp3", clip.parent.name) in kinds else "mp3"
            made = plant(clip, other if kind == "relabelled" else kind, music / "planted")
            target = music / genre / f"{clip.stem}+{kind}{made.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            made.replace(target)
            planted[target.name] = kind
    (music / "planted").rmdir()
    return planted


def large(count: int) -> dict[str, float]:
    """Audit a made-up library of so many songs, in a process of its own."""
    from kg.graph import embedded

    with tempfile.TemporaryDirectory(prefix="kg-audit-") as folder:
        with embedded.acquire(Path(folder) / "server"):
            for step in ("fill", "audit"):
                child = subprocess.run(
                    [
                        sys.executable,
                        "-m",
                        "benchmarks.audit",
                        *("--child", step, "--songs", f"{count}"),
                    ],
                    env=dict(os.environ) | {"KG_HOME": folder},
                    stdout=subprocess.PIPE,
                    check=True,
                )
        embedded.stop(Path(folder) / "server")
    measured: dict[str, float] = json.loads(child.stdout)
    return measured


def made_up(count: int) -> tuple[Any, Bools]:
    """A library of `benchmarks.store` whose features tell its genres; and which labels are planted.

    Artists have ten songs of one genre, one label in a hundred is wrong.
    """
    from benchmarks import store

    store.COLUMNS = COLUMNS
    library = store.Library(count)
    chance = np.random.default_rng(1)
    artist = np.arange(count) // ARTIST_SONGS
    genre = chance.integers(store.GENRES, size=artist.max() + 1)[artist]
    centres = chance.standard_normal((store.GENRES, COLUMNS)).astype(np.float32)
    library.features += 0.15 * centres[genre]
    library.genre = genre
    wrong = chance.random(count) < 0.01
    away = chance.integers(1, store.GENRES, size=count)
    library.genre = np.where(wrong, (genre + away) % store.GENRES, genre)
    return library, wrong


def fill(count: int) -> None:
    from benchmarks.store import ours
    from kg.graph.connection import Connection
    from kg.settings import Settings

    library, _ = made_up(count)
    with Connection.open(Settings()) as connection:
        for name, step in ours(connection, library):
            if name != "read back":
                step()
            if name.startswith("songs"):
                add_sounds(connection, library.ids)


def add_sounds(connection: Any, ids: list[str]) -> None:
    """Prints of music that moves slowly, each of its own; one song in a hundred is a copy."""
    from kg.audio.prints import MOST, N_CHROMA, WIDTH
    from kg.audio.sound import Sound
    from kg.graph.sounds import write_sounds

    chance = np.random.default_rng(2)
    for start in range(0, len(ids), 1000):
        some = ids[start : start + 1000]
        moves = chance.normal(size=(len(some), MOST, WIDTH)).cumsum(axis=1)
        moves -= moves.min(axis=1, keepdims=True)
        prints = np.clip(60 * moves, 0, 255).astype(np.uint8)
        prints[..., N_CHROMA:] |= 128
        prints[::100] = prints[1::100][: len(prints[::100])]
        rows = [Sound(0.0, 0.0, 0.0, 0.0, each).row() for each in prints]
        write_sounds(connection, list(zip(some, rows, strict=True)))


def audited(count: int) -> dict[str, float]:
    """What the audit comes to; this process has done nothing else."""
    from kg.audit.audit import audit
    from kg.graph.connection import Connection
    from kg.graph.store import GraphStore
    from kg.settings import Settings

    began, used = time.perf_counter(), time.process_time()
    with Connection.open(Settings()) as connection:
        store = GraphStore(connection)
        store.prepare()
        report = audit(store)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu = time.process_time() - used
    made, wrong = made_up(count)
    there = {id for id, planted in zip(made.ids, wrong, strict=True) if planted}
    assert report.labels is not None
    said = {each.id for each in report.labels.songs}
    return {
        "songs": count,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "megabytes": peak,
        "disputed": len(said),
        "precision": len(said & there) / max(1, len(said)),
        "recall": len(said & there) / len(there),
        "copies": len(report.copies),
    }


def show(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}")
    names = list(rows[0])
    cells = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in r.values()] for r in rows]
    widths = [max(len(n), *(len(c[at]) for c in cells)) for at, n in enumerate(names)]
    for line in (names, *cells):
        print("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)))
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--only", default="labels,artists,clips,large", help="separated by commas")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--nets", action="store_true", help="judge by the R-GCN too: minutes more")
    parser.add_argument("--ears", default="none", help="what listens to the clips beside librosa")
    parser.add_argument("--songs", type=int, default=100_000, help="of the large library")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--child", choices=["fill", "audit"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.child:
        if options.child == "fill":
            fill(options.songs)
        else:
            print(json.dumps(audited(options.songs)))
        return
    seeds = range(options.seeds)
    parts: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
        "labels": lambda: labels(options.data, seeds, by_artist=False, nets=options.nets),
        "artists": lambda: labels(options.data, seeds, by_artist=True, nets=options.nets),
        "clips": lambda: clips(options.data, options.ears),
        "large": lambda: [large(options.songs)],
    }
    titles = {
        "labels": "wrong labels, song by song",
        "artists": "wrong labels, artist by artist",
        "clips": "planted among 60 real clips",
        "large": "a large library",
    }
    found = {}
    for name in options.only.split(","):
        if name not in parts:
            parser.error(f"there is no part {name!r}: take {', '.join(parts)}")
        found[name] = parts[name]()
        show(titles[name], found[name])
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
