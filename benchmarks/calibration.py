"""How far kg's probabilities can be trusted, and what `--precision` is worth, on GTZAN's tables.

    python -m benchmarks.calibration [--data DIR] [--only csv,musicnn] [--seeds 5] [--json FILE]

csv: 57 librosa statistics of the 640 `train` and `valid` clips; musicnn: mean tag activations of
the 443 `train` clips; see benchmarks/gtzan.py. Five folds that keep artists together, other ones
for each seed: a fold is measured on, a fifth of the other songs are validation songs (no artist on
two sides), the net learns from the rest. Calibration and threshold are set by kg's own functions on
the validation songs.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor
from torch.nn import functional

from benchmarks.gtzan import FOLDS, Clips, Rows, folds, read_csv, read_musicnn
from kg.compare.material import graph_of
from kg.hetero import to_hetero
from kg.learning.doubt import Judge, settle
from kg.metrics.evaluate import artist_groups
from kg.metrics.measuring import Labelled
from kg.schema import GENRE_EDGE, SONG_NODE
from models import calibration
from models.training import TrainConfig, predict, train

PRECISIONS = (0.7, 0.8, 0.9)
# What a calibration makes of scores: fitted on (scores, genre) of validation songs.
Candidate = Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Judged:
    """A net trained without some songs, and how far it says it can be believed.

    Attributes:
        scores: Of every song, [n, g].
        x: Standardised features of every song, [n, d].
        genre: Row of each song's genre among those learned; -1 for one that wasn't.
        valid: Songs that set the judge.
        told: Songs to measure on.
        judges: By the precision that was asked for.
    """

    scores: Tensor
    x: Tensor
    genre: Tensor
    valid: Rows
    told: Rows
    judges: Mapping[float, Judge]


def tables(folder: Path, only: Sequence[str]) -> Iterator[tuple[str, Clips]]:
    if "csv" in only:
        yield "librosa statistics, 640 songs", read_csv(folder)[0]
    if "musicnn" in only:
        yield "musicnn tags, 443 songs", read_musicnn(folder)


def judged(
    songs: Clips, told: Rows, seed: int, *, without: int | None = None, fewer: int | None = None
) -> Judged:
    """Learn without the songs `told`, and settle how far that is to be believed.

    Args:
        songs: The songs.
        told: Songs to measure on; they hang in the graph without a genre.
        seed: Of all chance.
        without: A genre whose songs aren't learned from either.
        fewer: Keep so many of the validation songs only.
    """
    rest = np.setdiff1d(songs.everything, told)
    if without is not None:
        rest = rest[songs.genre[rest] != without]
    artists = artist_groups(songs.artists)
    dealer = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    valid = rest[next(dealer.split(rest, songs.genre[rest], artists[rest]))[1]]
    learn = np.setdiff1d(rest, valid)
    if fewer is not None:
        valid = np.sort(np.random.default_rng(seed).permutation(valid)[:fewer])
    sides: list[str | None] = [None] * len(songs.ids)
    for side, rows in (("train", learn), ("valid", valid)):
        for row in rows:
            sides[row] = side
    known = np.isin(songs.everything, np.concatenate([learn, valid]))
    genres = [g for g in range(len(songs.genres)) if g != without]
    graph = graph_of(
        songs.ids,
        songs.x,
        songs.kinds,
        np.isin(songs.everything, learn),
        sides,
        [songs.genres[g] for g in genres],
        (songs.truth(songs.everything) & known[:, None])[:, genres],
        seed,
    )
    graph = replace(graph, songs=replace(graph.songs, artists=songs.artists))
    data, maps = to_hetero(graph)
    result = train(
        data,
        GENRE_EDGE,
        groups=maps.families,
        silent=maps.silent,
        gathered=maps.gathered,
        config=TrainConfig(seed=seed),
    )
    scores, x = predict(result.model, data), data[SONG_NODE].x
    labelled = Labelled(graph)
    judges = {
        precision: settle(graph, labelled, scores, x, precision=precision, seed=seed)
        for precision in PRECISIONS
    }
    at = {g: row for row, g in enumerate(genres)}
    genre = torch.tensor([at.get(int(g), -1) for g in songs.genre])
    return Judged(scores, x, genre, valid, told, judges)


def temperature(scores: Tensor, genre: Tensor) -> Callable[[Tensor], Tensor]:
    """The likeliest temperature, nothing else (Guo et al. 2017)."""
    tried = torch.logspace(-0.7, 1, 200)
    losses = [float(functional.cross_entropy(scores / t, genre)) for t in tried]
    best = tried[int(np.argmin(losses))]
    return lambda new: (new / best).softmax(dim=1)


def vector_scaling(scores: Tensor, genre: Tensor) -> Callable[[Tensor], Tensor]:
    """A scale and a shift for each genre (Guo et al. 2017), held back by a weight decay of 1."""
    scale = torch.ones(scores.size(1), requires_grad=True)
    shift = torch.zeros(scores.size(1), requires_grad=True)
    optimiser = torch.optim.LBFGS([scale, shift], max_iter=200, line_search_fn="strong_wolfe")

    def step() -> Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(scale * scores + shift, genre, reduction="sum")
        loss = loss + (scale - 1).square().sum() + shift.square().sum()
        loss.backward()
        return loss

    optimiser.step(step)
    return lambda new: (scale * new + shift).softmax(dim=1).detach()


def adopted(scores: Tensor, genre: Tensor) -> Callable[[Tensor], Tensor]:
    truth = functional.one_hot(genre, scores.size(1)).bool()
    return calibration.fit(scores, truth, multi_label=False).probabilities


CANDIDATES: Mapping[str, Candidate] = {
    "uncalibrated": lambda *_: lambda new: new.softmax(dim=1),
    "temperature": temperature,
    "vector scaling": vector_scaling,
    "kg": adopted,
}


def measures(runs: Sequence[Sequence[Judged]]) -> list[dict[str, Any]]:
    """ECE and Brier score of each candidate.

    `ece` is that of all seeds' answers together; `a seed` the mean of each seed's own, beside what
    chance would leave there of answers that are right exactly as often as they say.
    """
    rows = []
    chance = np.random.default_rng(0)
    for name, fit in CANDIDATES.items():
        found: dict[str, list[float]] = {"a seed": [], "chance": [], "brier": []}
        every, truths = [], []
        for run in runs:
            shares, truth = [], []
            for one in run:
                new = fit(one.scores[one.valid], one.genre[one.valid])
                shares.append(new(one.scores[one.told]))
                truth.append(functional.one_hot(one.genre[one.told], one.scores.size(1)).bool())
            told = torch.cat(shares)
            measured = calibration.reliability(told, torch.cat(truth))
            every.append(told)
            truths += truth
            found["a seed"].append(measured.ece)
            found["brier"].append(measured.brier)
            confidence = told.max(dim=1).values
            for _ in range(20):
                drawn = torch.from_numpy(chance.random(len(confidence))) < confidence
                error = calibration.expected_calibration_error(confidence, drawn)
                found["chance"].append(error)
        together = calibration.reliability(torch.cat(every), torch.cat(truths))
        rows.append(
            {"candidate": name, "ece": together.ece}
            | {key: float(np.mean(values)) for key, values in found.items()}
        )
    return rows


def precisions(runs: Sequence[Sequence[Judged]]) -> list[dict[str, Any]]:
    """What share of songs gets a genre, and of these the right one, by what was asked for."""
    rows = []
    for asked in PRECISIONS:
        songs, given, right, reached = 0, 0, 0, []
        for one in (each for run in runs for each in run):
            judge = one.judges[asked]
            names = [str(g) for g in range(one.scores.size(1))]
            ids = [""] * len(one.told)
            answers = judge.answers(names, ids, one.scores[one.told], one.x[one.told])
            kept = [
                answer.verdict.predicted == str(int(genre))
                for answer, genre in zip(answers, one.genre[one.told], strict=True)
                if answer.verdict.doubt is None
            ]
            songs, given, right = songs + len(answers), given + len(kept), right + sum(kept)
            assert judge.threshold is not None
            reached.append(judge.threshold.reached)
        rows.append(
            {
                "asked": asked,
                "precision": right / given if given else None,
                "coverage": given / songs,
                "reached": float(np.mean(reached)),
            }
        )
    return rows


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    print(f"\n{title}\n")
    print(" ".join(f"{name:>14}" for name in rows[0]))
    for row in rows:
        print(" ".join(f"{_cell(value):>14}" for value in row.values()), flush=True)
    return {"title": title, "rows": list(rows)}


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--only", default="csv,musicnn", help="tables, separated by commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0, help="settings were chosen on 100-103")
    parser.add_argument("--validation", type=int, metavar="N", help="keep so many songs of it only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    shown = []
    for name, songs in tables(asked.data, asked.only.split(",")):
        runs = [
            [
                judged(songs, told, seed, fewer=asked.validation)
                for told in folds(songs, FOLDS, seed)
            ]
            for seed in seeds
        ]
        shown.append(show(f"{name}: calibration ({asked.seeds} seeds)", measures(runs)))
        shown.append(show(f"{name}: songs given a genre", precisions(runs)))
    if asked.json:
        asked.json.write_text(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
