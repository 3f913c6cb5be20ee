"""What one new song costs in a library of 1,000 songs and in one of 100,000, in one run.

    python benchmarks/add.py [--songs 1000,100000] [--rounds 5] [--keep DIR] [--data DIR]
                             [--only cost,batch,same] [--json FILE]

cost: songs of made-up features, in every one of kg's own, are added one by one to two libraries on
the embedded server, a fresh process a round, taking turns. The first song of a process pays for
starting the server and for imports, as `kg add` does; later ones don't, as in `kg watch`. The
libraries are kg's own work: `GraphStore`, `build_graph`, a short training with its kept outputs.
`audio`: the same from a file, through `Library.add`.
batch: 1,000 songs at once, beside one by one.
same: how often a song that is added has the first genre that the full recomputation of the graph
with it gives: GTZAN's 443 clips by musicnn's tags, 5 folds by artist.

Making the larger library takes some minutes; `--keep DIR` keeps both for the next run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kg.audio.features import feature_set
from kg.records import NewSong, SongRecord

GENRES, AXES, PER_ARTIST = 16, 40, 10
EPOCHS = 2
LATER = 20  # songs of a process after its first
BATCH = 1000

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
    from kg import Library, learning, saved_models
    from kg.build import build_graph
    from kg.graph.rows import ModelRow
    from kg.hetero import to_hetero
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
        result = learning.fit(data, maps, learning.TrainOptions(epochs=EPOCHS))
        scores = training.predict(result.model, data, folds=2)
        now, id = datetime.now(UTC), saved_models.new_model_id()
        folder = library.settings.models_dir / id
        labels = saved_models.label_fingerprint(store.read_keys())
        model = ModelRow(
            id, now, "writing", str(folder), kinds.version, maps.build, {}, labels=labels
        )
        layers = training.layer_outputs(result.model, data)
        about = saved_models.description(model, maps, 0)
        saved_models.save_checkpoint(folder, result.model, layers, about, maps.songs)
        shares = training.probabilities(scores, multi_label=False)
        said(f"  {count} songs: writing predictions")
        learning._write_back(store, model, maps, scores, shares, library.progress)
    (home / "made").write_text(str(count))


def said(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
