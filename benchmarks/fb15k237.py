"""Link prediction on FB15k-237: is our R-GCN the published method, and how far does it get?

    python benchmarks/fb15k237.py [--model rgcn|distmult] [--loss 1vsall|sampled] [--seeds 0,1,2]
                                  [--steps N] [--data FILE] [--json FILE]
    python benchmarks/fb15k237.py --layer [--peers ours,RGCNConv] [--data FILE] [--json FILE]

FILE (default: ../shared/data/fb15k237/triples.npz) holds int arrays `train`, `valid` and `test` of
(head, relation, tail). Every test triple asks for its tail and, by the inverse relation, for its
head; the answer is ranked among all entities but the other true ones of any split, ties fairly.
Weights are those of the best validation MRR; the test triples are looked at once. The schedule is
counted in steps, so a busy machine gives the same numbers later.

What is as in Schlichtkrull et al. 2017: eq. 2 with inverse relations and self-loop, block-diagonal
weights of 5 x 5 blocks, learned entity embeddings as input, DistMult as decoder, filtered ranks.
What differs:
- one layer of 200 dimensions; theirs on this data: two layers of 500;
- the mean over the neighbours of each relation, as eq. 2 has it for classification; theirs divided
  the sum by the number of neighbours by any relation;
- the decoder has vectors of its own for inverse relations; theirs had one for both directions;
- softmax cross-entropy of every true triple over all entities; theirs: binary cross-entropy of
  triples and sampled corruptions, which is `--loss sampled`, with 10 for each triple;
- dropout of values, before and after the layer; theirs: of edges and of self-loops, and an L2
  penalty on the decoder;
- Adam with warm-up and cosine decay in batches of queries; theirs: a fixed rate, full batches;
- embeddings start with a standard deviation of 0.1;
- in training, matrix products round their factors to bfloat16 where the CPU has instructions for
  that (ranks are computed in float32);
- all training edges carry messages in every step, those that are scored too.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.distmult import DistMult
from models.dropout import dropout
from models.link_model import reverse_of
from models.messages import Messages
from models.queries import (
    Queries,
    all_loss,
    backward_in_chunks,
    filtered_ranks,
    sampled_loss,
    with_inverses,
)
from models.rgcn import EncoderConfig, NodeInputs, RGCNEncoder, RGCNLayer
from models.sparse import MeanAdjacency
from models.stacked import StackedRelations

DATA = Path("../shared/data/fb15k237/triples.npz")
SPLITS = ("train", "valid", "test")
NEGATIVES = 10
PEERS = ("ours", "singly", "RGCNConv")


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: `batch` queries (sampled: true pairs) a step, in chunks."""

    steps: int
    batch: int = 1536
    chunk: int = 512
    hidden: int = 200
    blocks: int = 40
    dropout: float = 0.4
    learning_rate: float = 5e-3
    warm_up: int = 100
    looks: int = 6


@dataclass(frozen=True)
class Triples:
    """Both directions of every split [2 t, 3], and what is known to be true."""

    splits: dict[str, Tensor]
    num_entities: int
    num_relations: int
    queries: Queries  # of the training split
    known: Queries  # of all splits, what ranks are filtered by

    @classmethod
    def read(cls, path: Path) -> "Triples":
        with np.load(path) as file:
            given = {split: torch.from_numpy(file[split]).long() for split in SPLITS}
        everything = torch.cat(list(given.values()))
        entities = int(everything[:, [0, 2]].max()) + 1
        relations = int(everything[:, 1].max()) + 1
        splits = {split: with_inverses(triples, relations) for split, triples in given.items()}
        return cls(
            splits,
            entities,
            relations,
            Queries(splits["train"], entities),
            Queries(torch.cat(list(splits.values())), entities),
        )

    def edges(self) -> dict[tuple[str, str, str], Tensor]:
        """Training edges [2, e] of every relation, then of every relation's reverse."""
        head, relation, tail = self.splits["train"][: len(self.splits["train"]) // 2].T
        edges = {
            ("entity", f"r{number}", "entity"): torch.stack([head, tail])[:, relation == number]
            for number in range(self.num_relations)
        }
        return edges | {reverse_of(kind): pairs.flip(0) for kind, pairs in edges.items()}


class RGCN(nn.Module):
    """Entities' learned vectors, one layer of eq. 2, DistMult; dropout before and after."""

    def __init__(self, data: Triples, recipe: Recipe) -> None:
        super().__init__()
        edges = data.edges()
        n = data.num_entities
        self.encoder = RGCNEncoder(
            {},
            {"entity": n},
            tuple(edges),
            {},
            EncoderConfig(
                hidden=recipe.hidden,
                layers=1,
                blocks=recipe.blocks,
                dropout=recipe.dropout,
                residual=False,
                normalise=False,
            ),
        )
        self.decoder = DistMult(2 * data.num_relations, recipe.hidden)
        self.messages = Messages(stacked=(StackedRelations.from_edges(edges, n, n),))
        self.dropout = recipe.dropout

    def forward(self) -> Tensor:
        return dropout(self.encoder({}, self.messages)[-1]["entity"], self.dropout, self.training)


class DistMultAlone(nn.Module):
    """Entities' learned vectors, DistMult."""

    def __init__(self, data: Triples, recipe: Recipe) -> None:
        super().__init__()
        self.inputs = NodeInputs({}, {"entity": data.num_entities}, {}, recipe.hidden)
        self.decoder = DistMult(2 * data.num_relations, recipe.hidden)
        self.dropout = recipe.dropout

    def forward(self) -> Tensor:
        return dropout(self.inputs({})["entity"], self.dropout, self.training)


def train(
    net: nn.Module, data: Triples, recipe: Recipe, loss: str, seed: int, say: Callable[..., None]
) -> float:
    """Train; leave the weights of the best validation MRR in the net and return that."""
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, recipe))
    chance = torch.Generator().manual_seed(seed)
    pairs = data.queries.answers.edges
    answers = pairs.size(1) / len(data.queries)  # of a query, on average
    count = len(data.queries) if loss == "1vsall" else pairs.size(1)

    def loss_of(z: Tensor, some: Tensor) -> Tensor:
        if loss == "1vsall":
            return all_loss(data.queries, net.decoder, z, some) / (recipe.batch * answers)
        total = sampled_loss(data.queries, net.decoder, z, pairs[:, some], NEGATIVES, chance)
        return total / (recipe.batch * (1 + NEGATIVES))

    order = torch.randperm(count, generator=chance)
    place, best, kept = 0, 0.0, {}
    running: list[float] = []
    for step in range(1, recipe.steps + 1):
        if place + recipe.batch > count:
            order, place = torch.randperm(count, generator=chance), 0
        some = order[place : place + recipe.batch]
        place += recipe.batch
        net.train()
        optimiser.zero_grad()
        with products("medium"):
            running.append(backward_in_chunks(net(), some.split(recipe.chunk), loss_of))
        optimiser.step()
        schedule.step()
        if step % max(1, recipe.steps // recipe.looks) == 0 or step == recipe.steps:
            score = float(ranks_of(net, data, "valid").reciprocal().mean())
            say(step=step, loss=statistics.mean(running), valid_mrr=score)
            running.clear()
            if score > best:
                best, kept = score, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(kept)
    return best


def rate(step: int, recipe: Recipe) -> float:
    """Share of the learning rate in a step: a linear warm-up, then a cosine down to 0."""
    return min(
        (step + 1) / recipe.warm_up, (1 + math.cos(math.pi * min(1.0, step / recipe.steps))) / 2
    )


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Let torch round the factors of products: "medium" is to bfloat16 where that is faster."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def ranks_of(net: nn.Module, data: Triples, split: str) -> Tensor:
    """Ranks of a split's answers [2 t]: of tails, then of heads."""
    net.eval()
    with torch.no_grad():
        return filtered_ranks(net.decoder, net(), data.splits[split], data.known)


def metrics(ranks: Tensor) -> dict[str, float]:
    return {"mrr": float(ranks.reciprocal().mean())} | {
        f"hits@{k}": float((ranks <= k).double().mean()) for k in (1, 3, 10)
    }


def run(data: Triples, model: str, loss: str, recipe: Recipe, seed: int) -> dict[str, object]:
    """Train with one seed and look at the test triples once."""
    torch.manual_seed(seed)
    net = (RGCN if model == "rgcn" else DistMultAlone)(data, recipe)
    began, busy = time.perf_counter(), time.process_time()

    def say(step: int, loss: float, valid_mrr: float) -> None:
        print(
            f"  seed {seed} step {step:5} of {recipe.steps}: loss {loss:.3f}, validation MRR "
            f"{valid_mrr:.4f}, {time.perf_counter() - began:.0f} s",
            file=sys.stderr,
        )

    valid = train(net, data, recipe, loss, seed, say)
    seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    tails, heads = ranks_of(net, data, "test").chunk(2)
    return {
        "seed": seed,
        "valid_mrr": valid,
        "tail": metrics(tails),
        "head": metrics(heads),
        "both": metrics(torch.cat([tails, heads])),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "megabytes": peak(),
    }


def peak() -> float:
    """Megabytes this process has needed at most so far."""
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def layer(data: Triples, peer: str, hidden: int, blocks: int, repeats: int) -> None:
    """Go forward and backward through one layer in this process; print its figures as JSON."""
    edges, n = data.edges(), data.num_entities
    x = torch.randn(n, hidden, requires_grad=True)
    to_score = torch.randn(n, hidden)
    kinds = tuple(edges)
    before = peak()
    if peer == "RGCNConv":
        import torch_geometric.backend
        from torch_geometric.nn import RGCNConv

        torch_geometric.backend.use_segment_matmul = False  # with pyg-lib its mean is another one
        oracle = RGCNConv(hidden, hidden, len(kinds), num_blocks=blocks or None, aggr="mean")
        joined = torch.cat(list(edges.values()), dim=1)
        kind = torch.cat([torch.full((e.size(1),), i) for i, e in enumerate(edges.values())])

        def forward() -> Tensor:
            return oracle(x, joined, kind)
    else:
        ours = RGCNLayer(hidden, hidden, kinds, blocks=blocks or None)
        if peer == "singly":
            adjacency = {t: MeanAdjacency.from_edges(e, n, n) for t, e in edges.items()}
            messages = Messages.of(adjacency)
        else:
            messages = Messages(stacked=(StackedRelations.from_edges(edges, n, n),))

        def forward() -> Tensor:
            return ours({"entity": x}, messages)["entity"]

    times, busy = [], []
    for _ in range(1 + repeats):
        began, cpu = time.perf_counter(), time.process_time()
        (forward() * to_score).sum().backward()
        times.append(time.perf_counter() - began)
        busy.append(time.process_time() - cpu)
    found = {
        "seconds": statistics.median(times[1:]),
        "cpu_seconds": statistics.median(busy[1:]),
        "megabytes": peak() - before,
    }
    print(json.dumps(found))


def compare_layers(options: argparse.Namespace) -> list[dict[str, object]]:
    """Time one layer of every peer, each in a process of its own, in turn."""
    rows: list[dict[str, object]] = []
    print(f"{'weights':10}{'':10}{'s':>9}{'CPU s':>9}{'MB':>9}{'time':>9}{'memory':>9}")
    for name, blocks in (("blocks", Recipe.blocks), ("whole", 0)):
        first = None
        for peer in options.peers.split(","):
            command = [sys.executable, __file__, "--data", str(options.data)]
            command += ["--one-layer", peer, "--blocks", str(blocks)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode:
                last = (ran.stderr.strip() or f"exit status {ran.returncode}").splitlines()[-1]
                print(f"{name:10}{peer:10} failed: {last[:60]}")
                continue
            found = json.loads(ran.stdout)
            first = first or found
            rows.append({"weights": name, "peer": peer, **found})
            print(
                f"{name:10}{peer:10}{found['seconds']:9.2f}{found['cpu_seconds']:9.2f}"
                f"{found['megabytes']:9.0f}{found['seconds'] / first['seconds']:8.1f}x"
                f"{found['megabytes'] / max(1.0, first['megabytes']):8.1f}x"
            )
    return rows


def learn(options: argparse.Namespace) -> list[dict[str, object]]:
    """Train with every seed and print a table of what the test triples say."""
    data = Triples.read(options.data)
    recipe = recipe_of(options.model, options.loss, options.steps)
    print(f"{options.model}, {options.loss} loss, {torch.get_num_threads()} threads: {recipe}")
    print(f"{'':6}{'':6}{'MRR':>8}{'hits@1':>8}{'@3':>8}{'@10':>8}{'s':>8}{'CPU s':>8}{'MB':>7}")
    rows = []
    for seed in map(int, options.seeds.split(",")):
        row = {"model": options.model, "loss": options.loss, **asdict(recipe)}
        row |= run(data, options.model, options.loss, recipe, seed)
        rows.append(row)
        for side in ("tail", "head", "both"):
            cost = ""
            if side == "both":
                cost = f"{row['seconds']:8.0f}{row['cpu_seconds']:8.0f}{row['megabytes']:7.0f}"
            figures = "".join(f"{value:8.4f}" for value in row[side].values())
            print(f"{seed:<6}{side:6}{figures}{cost}", flush=True)
    for side in ("tail", "head", "both"):
        columns = zip(*(row[side].values() for row in rows), strict=True)
        print(f"{'mean':6}{side:6}" + "".join(f"{statistics.mean(c):8.4f}" for c in columns))
    return rows


def recipe_of(model: str, loss: str, steps: int | None) -> Recipe:
    if loss == "sampled":
        return Recipe(steps=steps or 1000, batch=20_000, chunk=2_000)
    # DistMult alone has cheaper steps: as much time
    return Recipe(steps=steps or (2400 if model == "rgcn" else 3800))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, metavar="FILE")
    parser.add_argument("--model", choices=["rgcn", "distmult"], default="rgcn")
    parser.add_argument("--loss", choices=["1vsall", "sampled"], default="1vsall")
    parser.add_argument("--seeds", default="0,1,2", help="separated by commas")
    parser.add_argument("--steps", type=int, help="length of the schedule")
    parser.add_argument("--layer", action="store_true", help="time one layer instead")
    parser.add_argument(
        "--peers",
        default="ours,RGCNConv",
        help="of --layer; also singly: ours, relation by relation",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument("--one-layer", help=argparse.SUPPRESS)
    parser.add_argument("--blocks", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.data.is_file():
        parser.error(f"there are no triples at {options.data}: name their file with --data")
    if unknown := set(options.peers.split(",")) - set(PEERS):
        parser.error(f"peers are {', '.join(PEERS)}, not {', '.join(sorted(unknown))}")
    if options.one_layer:
        layer(Triples.read(options.data), options.one_layer, Recipe.hidden, options.blocks, 3)
        return
    rows = compare_layers(options) if options.layer else learn(options)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
