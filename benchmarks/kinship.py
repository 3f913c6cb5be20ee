"""How much memory it takes to count the genres of an artist's and an album's other songs.

    python -m benchmarks.kinship [--songs 1000000] [--genres 500] [--only sparse,dense]

A made-up library: songs are dealt to artists by a power law, four songs of an artist on an album,
one to three genres a song. What is measured is what a training and a prediction ask: the fitted
concentrations, what is said of the validation songs (a fifth), of one fold of the training songs
with their own genres hidden, and what a checkpoint keeps. Each way runs in a process of its own;
shown is the most memory it held beyond the graph, and how long it took.

dense: tables of nodes x genres and of all songs x genres, as it was first done.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from models.kinship import CONCENTRATIONS, Kin, joined, kin_bytes
from models.message_graph import MessageGraph
from models.pyg import HeteroData
from models.sparse import MeanAdjacency

TARGET = ("song", "in_genre", "genre")
BY, ON = ("song", "by", "artist"), ("song", "on", "album")
WAYS = ("sparse", "dense")
FOLDS = 10


def library(songs: int, genres: int) -> HeteroData:
    """Songs by artists on albums."""
    chance = np.random.default_rng(0)
    artist = np.minimum(chance.zipf(1.3, songs), 10 * songs) % (songs // 8)
    album = artist * 4 + chance.integers(4, size=songs) * (chance.random(songs) < 0.5)
    data = HeteroData()
    data["song"].x = torch.zeros(songs, 1)
    data["song"].train_mask = torch.from_numpy(chance.random(songs) < 0.8)
    data["genre"].num_nodes = genres
    usual = (artist * 7919) % genres
    several = chance.integers(1, 4, size=songs)
    rows = np.repeat(np.arange(songs), several)
    drawn = chance.integers(genres, size=len(rows))
    tails = np.where(chance.random(len(rows)) < 0.6, usual[rows], drawn)
    pairs = np.unique(rows * genres + tails)
    data[TARGET].edge_index = torch.from_numpy(np.stack([pairs // genres, pairs % genres]))
    for edge, told in ((BY, artist), (ON, album)):
        keys, nodes = np.unique(told, return_inverse=True)
        data[edge[2]].num_nodes = len(keys)
        edges = torch.from_numpy(np.stack([np.arange(songs), nodes]))
        data[edge].edge_index = edges
        data[edge[2], f"rev_{edge[1]}", "song"].edge_index = edges.flip(0)
    return data


def sparse(graph: MessageGraph, held: Tensor, fold: Tensor, hidden: Tensor) -> list[float]:
    alike = graph.kin.fitted()
    # a training keeps what is said of its validation songs, a prediction adds it to the scores
    kept = list(graph.evidence(alike, held))
    seen = [_size([said for _, said in kept])]
    seen.append(_size(said for _, said in graph.evidence(alike, fold, hidden)))
    del kept
    rows = {kind: said.all() for kind, said in graph.kin.evidence(alike).items()}
    return [*alike.values(), *seen, *(_size([said]) for said in rows.values())]


def dense(graph: MessageGraph, held: Tensor, fold: Tensor, hidden: Tensor) -> list[float]:
    kin = graph.kin
    hangs = {
        kind: MeanAdjacency.from_edges(edges.flip(0), kin.count[kind], len(hidden))
        for kind, edges in kin.edges.items()
    }
    alike = {kind: _fitted(kin, kind) for kind in kin.edges}
    seen = []
    for heads, own in ((held, None), (fold, hidden)):
        rows = {kind: _said(kin, kind, alike[kind], own) for kind in kin.edges}
        total = joined({kind: (said, hangs[kind]) for kind, said in rows.items()})
        assert total is not None
        seen.append(_size([total[heads]]))
        del total
    rows = {kind: _said(kin, kind, alike[kind], None) for kind in kin.edges}
    return [*alike.values(), *seen, *(_size([said]) for said in rows.values())]


def _size(tables: Iterable[Tensor]) -> float:
    """The sum of all absolute values, with little memory of its own."""
    parts = (part for table in tables for part in torch.split(table, 1000))
    return sum(float(part.double().abs().sum()) for part in parts)


def _counts(kin: Kin, kind: str, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
    nodes, tails = kin._pairs(kind, hidden)
    size = kin.count[kind] * kin.tails
    counts = torch.bincount(nodes * kin.tails + tails, minlength=size).float()
    return counts.view(kin.count[kind], kin.tails), kin._heads(kind, hidden)


def _fitted(kin: Kin, kind: str) -> float:
    counts, heads = _counts(kin, kind, None)
    nodes, tails = kin._pairs(kind, None)
    others = heads[nodes] > 1
    nodes, tails = nodes[others], tails[others]
    prior = kin._prior()[tails]
    own, n = counts[nodes, tails] - 1, heads[nodes] - 1
    gains = [
        float(((own + a * prior) / (n + a)).clamp(min=1e-12).log().sum()) for a in CONCENTRATIONS
    ]
    return CONCENTRATIONS[int(np.argmax(gains))]


def _said(kin: Kin, kind: str, concentration: float, hidden: Tensor | None) -> Tensor:
    counts, heads = _counts(kin, kind, hidden)
    prior = kin._prior()
    share = (counts + concentration * prior) / (heads + concentration)[:, None]
    said = torch.logit(share, 1e-6) - torch.logit(prior, 1e-6)
    return torch.where((heads > 0)[:, None], said, 0.0)


class Peak(threading.Thread):
    """The most memory that this process holds while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process()
        self.most = self.before = self.process.memory_info().rss
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            self.most = max(self.most, self.process.memory_info().rss)


def measure(way: str, songs: int, genres: int) -> dict[str, Any]:
    data = library(songs, genres)
    graph = MessageGraph(data, TARGET, gathering=[BY, ON])
    train = data["song"].train_mask
    held = (~train).nonzero().flatten()
    fold = train.nonzero().flatten()[::FOLDS]
    hidden = torch.zeros_like(train)
    hidden[fold] = True
    peak = Peak()
    peak.start()
    began = time.perf_counter()
    with torch.no_grad():
        figures = {"sparse": sparse, "dense": dense}[way](graph, held, fold, hidden)
    seconds = time.perf_counter() - began
    peak.over.set()
    peak.join()
    pairs = sum(int(graph.kin._pairs(kind, None)[0].numel()) for kind in graph.kin.edges)
    return {
        "way": way,
        "nodes": sum(graph.kin.count[kind] for kind in graph.kin.edges),
        "pairs": pairs,
        "GB": (peak.most - peak.before) / 1e9,
        "estimated GB": kin_bytes(pairs, len(held), genres) / 1e9,
        "seconds": seconds,
        "figures": figures,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=1_000_000)
    parser.add_argument("--genres", type=int, default=500)
    parser.add_argument("--only", default=",".join(WAYS), help="ways, separated by commas")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    ways = asked.only.split(",")
    if unknown := [way for way in ways if way not in WAYS]:
        parser.error(f"there is no way {unknown[0]!r}: take {', '.join(WAYS)}")
    if asked.here:
        torch.set_num_threads(1)
        print(json.dumps(measure(ways[0], asked.songs, asked.genres)))
        return
    print(f"{asked.songs:,} songs, {asked.genres} genres\n")
    for way in ways:
        sizes = [f"--songs={asked.songs}", f"--genres={asked.genres}"]
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.kinship", "--here", "--only", way, *sizes],
            check=True,
            capture_output=True,
            text=True,
        )
        found = json.loads(ran.stdout)
        shown = (f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items())
        print(", ".join(shown), flush=True)


if __name__ == "__main__":
    main()
