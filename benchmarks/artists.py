"""What artists are worth on GTZAN: for a song by a known artist, and for one by a new artist.

    python -m benchmarks.artists [--data DIR] [--only csv,musicnn] [--seeds 3] [--json FILE]
    python -m benchmarks.artists --settings --first-seed 100

Songs hang on their artists. new: 5 folds that keep artists together, so that no artist of a song
that is measured was learned from. known: 5 folds within artists of two songs and more, so that each
was.
The network is measured with artists and without them, beside it an SVM on the same vectors and the
artist's commonest genre. GTZAN's albums aren't known, so that single songs are held out.
--settings: the network alone, with other shares of deaf songs and other weights of kinship; beside
it songs that hang on no artist, where those that are learned from do.
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
from torch import Tensor

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
from kg.graph.rows import GraphRows, Linked
from kg.hetero import to_hetero
from kg.metrics.evaluate import Scores, artist_groups
from kg.metrics.known_artists import ARTISTS_GENRE, KNOWN, NEW, artists_genre
from kg.schema import ARTIST_NODE, GENRE_EDGE, SONG_NODE
from kg.splits.artists import artist_key
from models.baselines.tabular import CANDIDATES, SVM, best_tabular
from models.training import TrainConfig, macro_f1, predict, train

WITHOUT_ARTISTS = "the same without artists"
DEAF_SHARES, KINSHIPS = (0.0, 0.25, 0.5, 0.9), (0.0, 1.0, 2.0)


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


def with_artists(songs: Clips, learn: Rows, seed: int) -> GraphRows:
    """What kg makes of these songs and their artists."""
    rows = graph(songs, learn, seed)
    return replace(rows, further={**rows.further, ARTIST_NODE: by_artist(songs)})


def without_artists(rows: GraphRows, songs: Rows) -> GraphRows:
    """The same where some songs hang on no artist."""
    linked = rows.further[ARTIST_NODE]
    left = linked.edges[:, ~np.isin(linked.edges[0], songs)]
    return replace(rows, further={**rows.further, ARTIST_NODE: replace(linked, edges=left)})


def classifiers(
    songs: Clips, learn: Rows, told: Rows, seed: int, *, known: bool, config: TrainConfig
) -> dict[str, Scores]:
    """Scores of the songs `told` by everything that learned from the songs `learn`."""
    truth = songs.truth(songs.everything)
    rows_with_artists = with_artists(songs, learn, seed)
    found: dict[str, Scores] = {}
    for name, rows in ((R_GCN, rows_with_artists), (WITHOUT_ARTISTS, graph(songs, learn, seed))):
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
        named = replace(
            rows_with_artists, songs=replace(rows_with_artists.songs, artists=songs.artists)
        )
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


def settings(songs: Clips, title: str, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Macro-F1 of the network by share of the deaf and by kinship, for both questions.

    `nobody's`: the songs that are measured hang on no artist.
    """
    found = []
    for seed in seeds:
        for question, deal in ((NEW, folds), (KNOWN, within_artists)):
            parts = list(deal(songs, FOLDS, seed))
            asked = np.concatenate(parts)
            truth = torch.from_numpy(songs.truth(asked))
            for deaf in DEAF_SHARES:
                pooled: dict[float, list[Tensor]] = {kinship: [] for kinship in KINSHIPS}
                nobodys: list[Tensor] = []
                for told in parts:
                    rows = with_artists(songs, np.setdiff1d(songs.everything, told), seed)
                    data, maps = to_hetero(rows)
                    model = train(
                        data,
                        GENRE_EDGE,
                        groups=maps.families,
                        silent=maps.silent,
                        gathered=maps.gathered,
                        config=TrainConfig(seed=seed, deaf_share=deaf),
                    ).model
                    for kinship, scores in pooled.items():
                        # without validation songs it has no part in the training
                        model.kinship.fill_(kinship)
                        scores.append(predict(model, data)[told])
                    nobodys.append(predict(model, to_hetero(without_artists(rows, told))[0])[told])
                row = {"songs": title, "question": question, "seed": seed, "deaf": deaf}
                for kinship, scores in pooled.items():
                    row[f"kinship {kinship:g}"] = macro_f1(torch.cat(scores), truth, False)
                row["nobody's"] = macro_f1(torch.cat(nobodys), truth, False)
                found.append(row)
                print(
                    *(f"{v:.3f}" if isinstance(v, float) else v for v in row.values()), flush=True
                )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--only", default="csv,musicnn", help="parts, separated by commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="settings were chosen on 100")
    parser.add_argument("--kinship", type=float, help="other than the default")
    parser.add_argument("--settings", action="store_true", help="compare settings")
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
        tables += (
            settings(songs, title, seeds)
            if options.settings
            else run(songs, title, seeds, options.kinship)
        )
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(tables, indent=2))


if __name__ == "__main__":
    main()
