"""What the project hears with: librosa's features, musicnn, and both, by table and by graph.

    python -m benchmarks.ears --data DIR [--weights WHEEL] [--only tables,audio] [--seeds 5]
                              [--json FILE]

tables: the 443 `train` clips of GTZAN's fault-filtered, artist-aware protocol, 57 librosa
statistics and musicnn's published tag activations, 5 folds by artist. audio: the real clips, heard
end to end by `kg.audio.extract` and `kg.embeddings.embed`, 3 folds by artist. Without WHEEL pip
fetches it.

Graphs are made by kg's own functions: with musicnn they hold its tags as nodes, and who is similar
is decided by musicnn first. The network is kg's default one; the tabular models' settings are
chosen by cross-validation over the artists that are learned from.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

import benchmarks.gtzan as gtzan
from benchmarks.gtzan import R_GCN, Clips, collected, cross_validated, read_csv, read_musicnn, table
from kg.audio.extract import extract
from kg.audio.features import feature_set
from kg.embeddings.choice import with_embeddings
from kg.embeddings.embed import embed
from kg.embeddings.musicnn import EMBEDDING, TAGS, MusicnnEar, install
from kg.embeddings.tags import PREFIX
from kg.metrics.evaluate import compare
from kg.records import Embedding, FeatureSet
from models.baselines.tabular import LOGISTIC, SVM

LIBROSA, MUSICNN, BOTH = "librosa", "musicnn", "librosa and musicnn"
PUBLISHED = Embedding("musicnn", "published", "musicnn", tuple(f"{PREFIX}{tag}" for tag in TAGS))


def of_tables(folder: Path) -> Iterator[tuple[str, Clips]]:
    """The 443 songs as each pair of ears hears them."""
    heard = read_musicnn(folder)
    every, _ = read_csv(folder)
    row = {id: at for at, id in enumerate(every.ids)}
    own = every.x[[row[id] for id in heard.ids]]
    yield from ways(heard, own, heard.x, every.kinds, PUBLISHED)


def of_audio(folder: Path, wheel: Path | None, home: Path) -> Iterator[tuple[str, Clips]]:
    """The real clips as each pair of ears hears them."""
    files = sorted((folder / "audio").rglob("*.flac"))
    songs = [(file.stem, file) for file in files]
    facts = pd.read_csv(folder / "features_30s.csv").set_index("filename")
    artist = {Path(str(name)).stem: who for name, who in facts["artist"].items()}
    began = time.perf_counter()
    extracted = extract(songs, home)
    print(f"librosa: {(time.perf_counter() - began) / len(songs):.2f} s a clip")
    weights = install(home, wheel)
    began = time.perf_counter()
    heard = embed(songs, EMBEDDING, lambda: MusicnnEar(weights), home)
    print(f"musicnn: {(time.perf_counter() - began) / len(songs):.2f} s a clip")
    assert extracted.ids == heard.ids
    genres = sorted({id.split(".")[0] for id in heard.ids})
    clips = Clips(
        ids=heard.ids,
        x=heard.vectors,
        kinds=with_embeddings(feature_set(30.0), []),
        genre=np.array([genres.index(id.split(".")[0]) for id in heard.ids]),
        genres=genres,
        artists=[who if isinstance(who := artist.get(id), str) else None for id in heard.ids],
    )
    yield from ways(clips, extracted.features, heard.vectors, clips.kinds, EMBEDDING)


def ways(
    clips: Clips, own: Any, heard: Any, kinds: FeatureSet, embedding: Embedding
) -> Iterator[tuple[str, Clips]]:
    width = own.shape[1]
    last = len(embedding.columns)
    alone = FeatureSet("m", {"musicnn": slice(0, last)}, embedding.columns, embeddings=(embedding,))
    both = FeatureSet(
        "b",
        {**kinds.families, "musicnn": slice(width, width + last)},
        (*kinds.columns, *embedding.columns),
        embeddings=(embedding,),
    )
    yield LIBROSA, replace(clips, x=own, kinds=kinds)
    yield MUSICNN, replace(clips, x=heard, kinds=alone)
    yield BOTH, replace(clips, x=np.hstack([own, heard]), kinds=both)


def run(title: str, heard: Iterator[tuple[str, Clips]], seeds: Sequence[int]) -> list[Any]:
    tables, graphs = [], {}
    truth, artists = None, None
    for name, clips in heard:
        runs = [cross_validated(clips, seed, tabular=(LOGISTIC, SVM)) for seed in seeds]
        truth, artists = clips.truth(clips.everything), clips.artists
        tables.append(table(f"{title}: {name}", truth, collected(runs), artists))
        graphs[f"{R_GCN}, {name}"] = [each[R_GCN] for each in runs]
    # The same network by what it hears; the first is what the others are held against.
    graphs = {name: graphs[name] for name in reversed(graphs)}
    assert truth is not None
    assert artists is not None
    _, gaps = compare(truth, graphs, artists)
    first, *others = graphs
    for name, gap in zip(others, gaps, strict=True):
        more = gap.macro_f1
        print(
            f"{first} against {name}: {100 * more.value:+.1f} "
            f"[{100 * more.low:+.1f}, {100 * more.high:+.1f}] points of macro-F1"
        )
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="the wheel of musicnn")
    parser.add_argument("--only", default="tables,audio")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(asked.seeds)
    tables = []
    if "tables" in asked.only.split(","):
        tables += run("443 clips, 5 folds by artist", of_tables(asked.data), seeds)
    if "audio" in asked.only.split(","):
        gtzan.FOLDS = 3  # the fewest artists of a genre
        with TemporaryDirectory() as home:
            clips = of_audio(asked.data, asked.weights, Path(home))
            tables += run("the real clips, 3 folds by artist", clips, seeds)
    if asked.json:
        asked.json.write_text(json.dumps(tables, indent=2))


if __name__ == "__main__":
    main()
