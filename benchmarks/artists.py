"""What artists are worth on GTZAN: for a song by a known artist, and for one by a new artist.

    python benchmarks/artists.py [--data DIR] [--only csv,musicnn] [--seeds 3] [--json FILE]

Songs hang on their artists. new: 5 folds that keep artists together, so that no artist of a song
that is measured was learned from. known: 5 folds within artists of two songs and more, so that each
was.
The network is measured with artists and without them, beside it an SVM on the same vectors and the
artist's commonest genre. GTZAN's albums aren't known, so that single songs are held out.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gtzan import (
    FOLDS,
    R_GCN,
    Clips,
    Rows,
    collected,
    folds,
    graph,
    read_csv,
    read_musicnn,
    table,
)
from kg.compare.material import graph_of
from kg.evaluate import Scores, artist_groups
from kg.graph.rows import Linked
from kg.hetero import to_hetero
from kg.known_artists import ARTISTS_GENRE, KNOWN, NEW, artists_genre
from kg.schema import ARTIST_NODE, GENRE_EDGE, SONG_NODE
from kg.splits.artists import artist_key
from models.baselines.tabular import CANDIDATES, SVM, best_tabular
from models.training import TrainConfig, predict, train

WITHOUT_ARTISTS = "the same without artists"


def by_artist(songs: Clips) -> Linked:
    """The artists of the songs, as the graph has them."""
    told = [artist_key(artist) for artist in songs.artists]
    keys = sorted({key for key in told if key})
    at = {key: row for row, key in enumerate(keys)}
    pairs = [(row, at[key]) for row, key in enumerate(told) if key]
    return Linked(keys, np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy())


def within_artists(songs: Clips, count: int, seed: int) -> Iterator[Rows]:
    """Deal the songs of each artist into parts, so that all others of theirs are learned from."""
    chance = np.random.default_rng(seed)
    artist = artist_groups(songs.artists)
    part = np.full(len(artist), -1)
    for each in np.flatnonzero(np.bincount(artist) > 1):
        own = chance.permutation(np.flatnonzero(artist == each))
        part[own] = (np.arange(len(own)) + chance.integers(count)) % count
    for number in range(count):
        yield np.flatnonzero(part == number)


def classifiers(
    songs: Clips, learn: Rows, told: Rows, seed: int, *, known: bool, config: TrainConfig
) -> dict[str, Scores]:
    """Scores of the songs `told` by everything that learned from the songs `learn`."""
    fit = np.isin(songs.everything, learn)
    sides = ["train" if learned else "test" for learned in fit]
    truth = songs.truth(songs.everything)
    with_artists = graph_of(
        songs.ids, songs.x, songs.kinds, fit, sides, songs.genres, truth & fit[:, None], seed,
        further={ARTIST_NODE: by_artist(songs)},
    )  # fmt: skip
    found: dict[str, Scores] = {}
    for name, rows in ((R_GCN, with_artists), (WITHOUT_ARTISTS, graph(songs, learn, seed))):
        data, maps = to_hetero(rows)
        result = train(
            data,
            GENRE_EDGE,
            groups=maps.families,
            silent=maps.silent,
            gathered=maps.gathered,
            config=config,
        )
        found[name] = predict(result.model, data)[told].numpy()
    x = data[SONG_NODE].x.numpy()
    groups = artist_groups([songs.artists[row] for row in learn])
    svm = [each for each in CANDIDATES if each.kind == SVM]
    found[SVM] = best_tabular(
        x[learn], truth[learn], x[told], groups=groups, candidates=svm, seed=seed
    ).scores
    if known:
        named = replace(with_artists, songs=replace(with_artists.songs, artists=songs.artists))
        found[ARTISTS_GENRE] = artists_genre(named, truth, told)
    return found


def run(songs: Clips, title: str, seeds: Sequence[int], kinship: float | None) -> list[Any]:
    tables = []
    for question, deal in ((NEW, folds), (KNOWN, within_artists)):
        runs, asked = [], songs.everything
        for seed in seeds:
            config = TrainConfig(seed=seed)
            if kinship is not None:
                config = TrainConfig(seed=seed, kinship=kinship)
            parts = list(deal(songs, FOLDS, seed))
            asked = np.sort(np.concatenate(parts))
            place = {int(row): at for at, row in enumerate(asked)}
            pooled: dict[str, Scores] = {}
            for told in parts:
                learn = np.setdiff1d(songs.everything, told)
                scores = classifiers(
                    songs, learn, told, seed, known=question == KNOWN, config=config
                )
                at = [place[int(row)] for row in told]
                for name, own in scores.items():
                    pooled.setdefault(name, np.zeros((len(asked), own.shape[1])))[at] = own
            runs.append(pooled)
        artists = [songs.artists[row] for row in asked]
        tables.append(table(f"{title}: {question}", songs.truth(asked), collected(runs), artists))
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--only", default="csv,musicnn", help="parts, separated by commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="settings were chosen on 100")
    parser.add_argument("--kinship", type=float, help="other than the default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there too")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    torch.set_num_threads(1)
    asked = options.only.split(",")
    for name in asked:
        if name not in ("csv", "musicnn"):
            parser.error(f"there is no part {name!r}: take csv, musicnn")
    for file in ("features_30s.csv", "musicnn_taggram_train.npz"):
        if not (options.data / file).exists():
            parser.error(f"there is no {file} in {options.data}: give its folder with --data DIR")
    tables = []
    for name in asked:
        began = time.perf_counter()
        songs = read_csv(options.data)[0] if name == "csv" else read_musicnn(options.data)
        title = "librosa statistics" if name == "csv" else "musicnn tags"
        tables += run(songs, title, seeds, options.kinship)
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(tables, indent=2))


if __name__ == "__main__":
    main()
