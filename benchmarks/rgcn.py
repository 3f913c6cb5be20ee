"""Time and memory of a whole training step of the R-GCN, ours and on PyG's layers, in one run.

    python benchmarks/rgcn.py [--songs 20000,100000] [--peers ours,RGCNConv] [--device cpu]

A graph as kg makes it: two clusters in each of six families a song, ten similar songs, a genre, and
every relation in both directions: 46 edges a song. Two layers of 64; every step hides half of the
songs' genres, scores those songs against all genres, and updates all weights. Each peer runs in a
process of its own, in turn; memory is what the process needs beyond the graph's tensors.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.distmult import DistMult
from models.link_model import GraphShape, LinkModel, reverse_of
from models.losses import full_loss
from models.message_graph import MessageGraph
from models.negatives import TruePairs
from models.pyg import HeteroData
from models.rgcn import EncoderConfig

FAMILIES = ("mfcc", "mel", "chroma", "contrast", "spectral", "rhythm")
CLUSTERS, NEIGHBOURS, GENRES, COLUMNS, HIDDEN = 32, 10, 16, 128, 64
TARGET = ("song", "in_genre", "genre")


def graph(songs: int) -> HeteroData:
    torch.manual_seed(0)
    data = HeteroData()
    data["song"].x = torch.randn(songs, COLUMNS)
    data["song"].train_mask = torch.ones(songs, dtype=torch.bool)
    data["feature_cluster"].x = torch.randn(len(FAMILIES) * CLUSTERS, COLUMNS)
    data["genre"].num_nodes = GENRES
    edges = {}
    for number, family in enumerate(FAMILIES):
        nearest = torch.rand(songs, CLUSTERS).topk(2).indices + number * CLUSTERS
        edges["song", f"has_{family}", "feature_cluster"] = spread(nearest)
    near = torch.randint(songs, (songs, NEIGHBOURS))
    edges["song", "similar_to", "song"] = spread(near)
    edges[TARGET] = spread(torch.randint(GENRES, (songs, 1)))
    for edge_type, pairs in edges.items():
        data[edge_type].edge_index = pairs
        data[reverse_of(edge_type)].edge_index = pairs.flip(0)
    return data


def spread(tails: Tensor) -> Tensor:
    heads = torch.arange(len(tails)).repeat_interleave(tails.size(1))
    return torch.stack([heads, tails.flatten()])


def ours(data: HeteroData, device: str) -> Callable[[], None]:
    shape = GraphShape.of(data, TARGET)
    message = MessageGraph(data, TARGET, device)
    known = TruePairs(message.train_edges, message.count["song"], GENRES)
    model = LinkModel(shape, EncoderConfig(hidden=HIDDEN, layers=2)).to(device)
    optimiser = torch.optim.AdamW(model.parameters())
    heads = message.heads(message.is_train)

    def step() -> None:
        scored = heads[torch.rand(len(heads), device=device) < 0.5]
        hidden = torch.zeros_like(message.is_train)
        hidden[scored] = True
        h = model.encoder(message.x, message.messages(hidden), only={"song", "genre"})[-1]
        loss = full_loss(model.score_all(h, scored), known.mask(scored), False)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def pyg(data: HeteroData, device: str, layer: str) -> Callable[[], None]:
    import torch_geometric.backend
    import torch_geometric.nn

    torch_geometric.backend.use_segment_matmul = False  # with pyg-lib its mean is another one
    joined = data.to_homogeneous(add_node_type=True, add_edge_type=True).to(device)
    kinds = list(data.edge_types)
    start = {"song": 0, "feature_cluster": data["song"].num_nodes}
    start["genre"] = start["feature_cluster"] + data["feature_cluster"].num_nodes
    target, twin = kinds.index(TARGET), kinds.index(reverse_of(TARGET))
    of_genre = (joined.edge_type == target) | (joined.edge_type == twin)
    song_of = torch.where(joined.edge_type == target, *joined.edge_index)
    x = torch.cat([data["song"].x, data["feature_cluster"].x]).to(device)
    truth = data[TARGET].edge_index[1].to(device)
    songs = data["song"].num_nodes
    convolution = getattr(torch_geometric.nn, layer)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inputs = nn.Linear(COLUMNS, HIDDEN)
            self.genres = nn.Parameter(0.1 * torch.randn(GENRES, HIDDEN))
            self.layers = nn.ModuleList(
                convolution(HIDDEN, HIDDEN, len(kinds), aggr="mean") for _ in range(2)
            )
            self.norms = nn.ModuleList(nn.LayerNorm(HIDDEN) for _ in range(2))
            self.decoder = DistMult(1, HIDDEN)

        def forward(self, edges: Tensor, kinds: Tensor) -> Tensor:
            h = torch.cat([self.inputs(x), self.genres])
            for depth, (conv, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
                out = norm(conv(functional.dropout(h, 0.5, self.training), edges, kinds))
                h = h + (functional.relu(out) if depth == 0 else out)
            return h

    net = Net().to(device)
    optimiser = torch.optim.AdamW(net.parameters())

    def step() -> None:
        hidden = torch.rand(songs, device=device) < 0.5
        carries = ~(of_genre & hidden[song_of.clamp(max=songs - 1)])
        h = net(joined.edge_index[:, carries], joined.edge_type[carries])
        scores = net.decoder(h[:songs][hidden], 0, h[start["genre"] :])
        loss = functional.cross_entropy(scores, truth[hidden])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def one(peer: str, songs: int, device: str, steps: int) -> None:
    """Run one peer in this process and print its figures as JSON."""
    data = graph(songs)
    before = peak()
    step = ours(data, device) if peer == "ours" else pyg(data, device, peer)
    times = []
    for _ in range(1 + steps):
        began = time.perf_counter()
        step()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    memory = peak() - before if device == "cpu" else torch.cuda.max_memory_allocated() / 1e6
    print(json.dumps({"seconds": statistics.median(times[1:]), "megabytes": memory}))


def peak() -> float:
    """Megabytes this process has needed at most so far."""
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", default="20000,100000", help="sizes, separated by commas")
    parser.add_argument("--peers", default="ours,RGCNConv", help="also FastRGCNConv")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one, int(options.songs), options.device, options.steps)
        return
    rows = []
    print(f"{'songs':>9} {'edges':>11}  {'':14}{'s a step':>9}{'MB':>8}{'time':>8}{'memory':>8}")
    for songs in map(int, options.songs.split(",")):
        first = None
        for peer in options.peers.split(","):
            command = [sys.executable, __file__, "--one", peer, "--songs", str(songs)]
            command += ["--device", options.device, "--steps", str(options.steps)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            label = f"{songs:9,} {46 * songs:11,}  {peer:14}"
            if ran.returncode:
                last = (ran.stderr.strip() or f"exit status {ran.returncode}").splitlines()[-1]
                print(f"{label} failed: {last[:60]}")
                continue
            found = json.loads(ran.stdout)
            first = first or found
            time_ratio = found["seconds"] / first["seconds"]
            memory_ratio = found["megabytes"] / first["megabytes"]
            rows.append({"songs": songs, "peer": peer, **found})
            print(
                f"{label}{found['seconds']:9.2f}{found['megabytes']:8.0f}"
                f"{time_ratio:7.1f}x{memory_ratio:7.1f}x"
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
