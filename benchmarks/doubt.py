"""Whether kg knows what it doesn't know: genres left out of training, and sounds that are no music.

    python -m benchmarks.doubt [--data DIR] [--only genres,sounds] [--seeds 3] [--musicnn]
                               [--json FILE]

genres: for each genre of GTZAN's tables a net learns without it (and without a fold of the other
songs, by other artists), and AUROC says how well `novelty`, and the improbability of the first
genre, tell its songs from that fold's. sounds: the 60 real clips, heard by kg; novelty is fitted on
two thirds of them (by artist) and tells the other third from white and pink noise, near silence,
sines and something like speech, which are made here and heard in the same way. --musicnn lets that
network listen too (fetched by pip), as in a library that has it.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.calibration import judged, show, tables
from benchmarks.gtzan import FOLDS, Clips, folds
from benchmarks.sounds import write_sounds
from kg.audio.extract import extract
from kg.audio.features import feature_set
from kg.clusters import fit_space
from kg.embeddings.choice import with_embeddings
from kg.embeddings.embed import embed
from kg.embeddings.musicnn import EMBEDDING, MusicnnEar, install
from kg.learning.doubt import UNLIKE_ABOVE, column_weights
from kg.metrics.evaluate import artist_groups
from kg.records import FeatureSet
from models import novelty

SOUNDS_EACH = 20
FOLDS_OF_CLIPS = 3  # the fewest artists of a genre


def left_out(songs: Clips, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """How well the songs of a genre that wasn't learned are told from others, genre by genre."""
    found: dict[str, list[list[float]]] = {name: [] for name in songs.genres}
    for seed in seeds:
        parts = list(folds(songs, FOLDS, seed))
        for genre, name in enumerate(songs.genres):
            told = parts[genre % FOLDS]
            known = told[songs.genre[told] != genre]
            strange = np.flatnonzero(songs.genre == genre)
            one = judged(songs, np.union1d(told, strange), seed, without=genre)
            judge = one.judges[0.9]
            assert judge.novelty is not None
            rows = np.concatenate([known, strange])
            is_strange = np.isin(rows, strange)
            new = judge.novelty.of(one.x[rows]).numpy()
            shares = judge.calibration.probabilities(one.scores[rows]).max(dim=1).values.numpy()
            answers = judge.answers(
                [str(g) for g in range(one.scores.size(1))],
                [""] * len(rows),
                one.scores[rows],
                one.x[rows],
            )
            doubted = np.array([answer.verdict.doubt is not None for answer in answers])
            found[name].append(
                [
                    roc_auc_score(is_strange, new),
                    roc_auc_score(is_strange, -shares),
                    (new > UNLIKE_ABOVE)[is_strange].mean(),
                    (new > UNLIKE_ABOVE)[~is_strange].mean(),
                    doubted[is_strange].mean(),
                    doubted[~is_strange].mean(),
                ]
            )
    names = ("novelty", "improbable", "unlike", "(others)", "unknown", "(others)")
    rows = [(name, np.mean(values, axis=0)) for name, values in found.items()]
    rows.append(("mean", np.mean([values for _, values in rows], axis=0)))
    keys = [f"AUROC {n}" if at < 2 else n + " " * (at == 5) for at, n in enumerate(names)]
    return [
        {"left out": name, **dict(zip(keys, map(float, values), strict=True))}
        for name, values in rows
    ]


def heard(folder: Path, home: Path, *, with_musicnn: bool) -> tuple[Clips, NDArray[np.str_]]:
    """The real clips and the made-up sounds as kg hears them, and what kind each is."""
    real = [(path.stem, path) for path in sorted((folder / "audio").rglob("*.flac"))]
    made = write_sounds(home, SOUNDS_EACH)
    kind = {path.stem: name for name, paths in made.items() for path in paths}
    every = [*real, *((path.stem, path) for paths in made.values() for path in paths)]
    own = extract(every, home / "cache")
    for one in own.rejected:
        print(f"{one.path.name} {one.reason}", flush=True)
    ids, kinds, x = own.ids, with_embeddings(feature_set(30.0), []), own.features
    if with_musicnn:
        weights = install(home, None)
        paths = dict(every)
        files = [(id, paths[id]) for id in own.ids]
        vectors = embed(files, EMBEDDING, lambda: MusicnnEar(weights), home / "cache")
        for one in vectors.rejected:
            print(f"{one.path.name} {one.reason}", flush=True)
        ids, kinds = vectors.ids, with_embeddings(feature_set(30.0), [EMBEDDING])
        x = np.hstack([x[[own.ids.index(id) for id in ids]], vectors.vectors])
    facts = pd.read_csv(folder / "features_30s.csv").set_index("filename")
    artist = {Path(str(name)).stem: who for name, who in facts["artist"].items()}
    genre = [id.split(".")[0] if id not in kind else "" for id in ids]
    genres = sorted(set(genre))
    clips = Clips(
        ids,
        x,
        kinds,
        np.array([genres.index(name) for name in genre]),
        genres,
        [who if isinstance(who := artist.get(id), str) else None for id in ids],
    )
    return clips, np.array([kind.get(id, "") for id in ids])


def sounds(clips: Clips, kind: NDArray[np.str_], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """How well made-up sounds are told from clips by artists that weren't learned from."""
    real = np.flatnonzero(kind == "")
    groups = artist_groups(clips.artists)
    names = [name for name in dict.fromkeys(kind) if name]
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    false_alarms = []
    for seed in seeds:
        dealer = StratifiedGroupKFold(FOLDS_OF_CLIPS, shuffle=True, random_state=seed)
        for learn, told in dealer.split(real, clips.genre[real], groups[real]):
            new = _novelty(clips.x, clips.kinds, real[learn], groups, seed)
            false_alarms.append((new[real[told]] > UNLIKE_ABOVE).mean())
            for name in names:
                own = np.flatnonzero(kind == name)
                rows = np.concatenate([real[told], own])
                auroc = roc_auc_score(np.isin(rows, own), new[rows])
                found[name].append([auroc, (new[own] > UNLIKE_ABOVE).mean()])
    rows = [(name, *np.mean(values, axis=0)) for name, values in found.items()]
    rows.append(("real clips", float("nan"), np.mean(false_alarms)))
    return [{"sound": n, "AUROC": float(a), "unlike": float(u)} for n, a, u in rows]


def _novelty(
    x: NDArray[np.float32], kinds: FeatureSet, learn: Any, groups: Any, seed: int
) -> NDArray[np.float32]:
    """Novelty of all songs against some of them, as a training on these sets it."""
    fit = np.zeros(len(x), dtype=np.bool_)
    fit[learn] = True
    standard = torch.from_numpy(fit_space(x, fit, kinds, seed=seed).standardise(x))
    new, _ = novelty.fit(
        standard[learn],
        torch.from_numpy(groups[learn]),
        torch.from_numpy(column_weights(kinds)),
        torch.Generator().manual_seed(seed),
    )
    found: NDArray[np.float32] = new.of(standard).numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--only", default="genres,sounds")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="settings were chosen on 100-103")
    parser.add_argument(
        "--musicnn", action="store_true", help="let musicnn listen to the sounds too"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    shown = []
    if "genres" in asked.only.split(","):
        for name, songs in tables(asked.data, ["csv", "musicnn"]):
            shown.append(show(f"{name}: a genre left out", left_out(songs, seeds)))
    if "sounds" in asked.only.split(","):
        with TemporaryDirectory() as home:
            clips, kind = heard(asked.data, Path(home), with_musicnn=asked.musicnn)
            title = "sounds that are no music, against real clips"
            shown.append(show(title, sounds(clips, kind, seeds)))
    if asked.json:
        asked.json.write_text(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
