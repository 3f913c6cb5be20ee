"""Is the evidence that `kg explain` names first what a genre rests on? And is `kg similar` right?

    python -m benchmarks.explain --data DIR [--weights WHEEL] [--only tables,audio,similar,size]
                                 [--draws 5] [--songs 100000]

The deletion test: a song is explained from what is kept of its neighbours, as `kg explain` does it.
Then its edge to the neighbour that was named first is taken out of the graph, in both directions,
and everything is computed anew, encoder and all; the same with the edge to another neighbour, drawn
at random. The share of songs in which the first costs the genre more of its score is what counts.

tables: the 443 `train` clips of GTZAN by musicnn's published tags, which hang in the graph as nodes
too, in 5 folds by artist; held-out songs, and as many that were trained on. audio: the real clips,
from ingest to `Library.explain`, on the embedded server. similar: of the ten songs nearest to a
held-out one, those by its own artist left out, how many share its genre, by embedding and by the
metric of SIMILAR_TO. size: what explaining costs in a made-up library.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

import benchmarks.store as store_benchmark
from benchmarks.ears import MUSICNN, of_tables
from benchmarks.gtzan import FOLDS, Clips, Rows, folds, graph
from kg import Library
from kg.asking.explaining import explain
from kg.graph.rows import GraphRows, ModelRow
from kg.graph.store import GraphStore
from kg.hetero import to_hetero
from kg.learning import training
from kg.learning.saved_models import (
    description,
    latest_model,
    load_checkpoint,
    new_model_id,
    save_checkpoint,
)
from kg.schema import GENRE_EDGE, SIMILAR_EDGE, SONG_NODE, TAG_EDGE, feature_edge, reverse_edge
from models.attribution import Neighbour, attribute
from models.link_model import LinkModel
from models.pyg import HeteroData
from models.training import TrainConfig, layer_outputs, predict, train

GENRES = 2  # the first ones are explained
NEAREST = 10


@dataclass(frozen=True)
class Case:
    """A song's genre, its neighbours in the order in which they are named, and their worth.

    Attributes:
        song: its row.
        genre: the genre's row.
        rank: which of the song's genres it is, from 1.
        order: what speaks for the genre first.
    """

    song: int
    genre: int
    rank: int
    order: Sequence[Neighbour]


def without(data: HeteroData, song: int, neighbour: Neighbour) -> HeteroData:
    """The graph without what links a song and a neighbour, in either direction."""
    heads, tails = data[neighbour.relation].edge_index
    gone = (heads == song) & (tails == neighbour.number)
    if neighbour.relation == SIMILAR_EDGE:
        gone |= (tails == song) & (heads == neighbour.number)
    left = copy.copy(data)
    edges = data[neighbour.relation].edge_index[:, ~gone]
    left[neighbour.relation].edge_index = edges
    left[reverse_edge(neighbour.relation)].edge_index = edges.flip(0).contiguous()
    return left


def deletions(
    title: str, model: LinkModel, data: HeteroData, cases: Sequence[Case], draws: int, seed: int
) -> list[tuple[str, int, float, float]]:
    """What whole passes say: (title, rank, loss without the first, loss without a random one)."""
    chance = np.random.default_rng(seed)
    scores = predict(model, data)
    found = []
    lost: dict[tuple[int, Neighbour], Tensor] = {}
    for case in cases:
        first, others = case.order[0], case.order[1:]
        if not others:
            continue
        drawn = chance.choice(len(others), size=min(draws, len(others)), replace=False)
        for each in (first, *(others[number] for number in drawn)):
            if (case.song, each) not in lost:
                left = predict(model, without(data, case.song, each))
                lost[case.song, each] = scores[case.song] - left[case.song]
        own = float(lost[case.song, first][case.genre])
        found += [
            (title, case.rank, own, float(lost[case.song, others[number]][case.genre]))
            for number in drawn
        ]
    return found


def show(rows: Sequence[tuple[str, int, float, float]]) -> None:
    print(f"\n{'':46}{'pairs':>7}{'first costs more':>18}{'mean loss: first':>18}{'random':>9}")
    for title in dict.fromkeys(row[0] for row in rows):
        for rank in range(1, GENRES + 1):
            own = [row for row in rows if row[:2] == (title, rank)]
            first, other = (np.array([row[column] for row in own]) for column in (2, 3))
            print(
                f"{f'{title}, genre {rank}':46}{len(own):>7}{(first > other).sum():>18}"
                f"{first.mean():>18.3f}{other.mean():>9.3f}"
            )


def heard_by(data: HeteroData, song: int) -> dict[tuple[str, str, str], Tensor]:
    found = {}
    for edge_type in map(tuple, data.edge_types):
        if edge_type[2] == SONG_NODE and edge_type != reverse_edge(GENRE_EDGE):
            senders, receivers = data[edge_type].edge_index
            found[edge_type] = senders[receivers == song]
    return found


def cases_of(model: LinkModel, data: HeteroData, songs: Sequence[int]) -> Iterator[Case]:
    """Explain songs as `kg explain` does."""
    kept = layer_outputs(model, data)
    learned = data[SONG_NODE].train_mask
    for song in songs:
        layers = layer_outputs(model, data, scored=song) if learned[song] else kept
        found = attribute(model, data[SONG_NODE].x[song], heard_by(data, song), layers)
        for rank, genre in enumerate(found.scores.argsort(descending=True)[:GENRES].tolist(), 1):
            left = found.without_neighbour
            yield Case(song, genre, rank, sorted(left, key=lambda each: float(left[each][genre])))


def trained_on(clips: Clips, learn: Rows, seed: int) -> tuple[LinkModel, HeteroData, GraphRows]:
    rows = graph(clips, learn, seed)
    data, maps = to_hetero(rows)
    config = TrainConfig(seed=seed)
    return (
        train(
            data,
            GENRE_EDGE,
            groups=maps.families,
            silent=maps.silent,
            gathered=maps.gathered,
            config=config,
        ).model,
        data,
        rows,
    )


def run_tables(folder: Path, draws: int) -> None:
    (clips,) = (clips for name, clips in of_tables(folder) if name == MUSICNN)
    rows = []
    for seed, told in enumerate(folds(clips, FOLDS, 0)):
        learn = np.setdiff1d(clips.everything, told)
        model, data, _ = trained_on(clips, learn, seed)
        some = np.random.default_rng(seed).choice(learn, len(told), replace=False)
        for title, songs in (("held-out songs", told), ("songs that were trained on", some)):
            cases = list(cases_of(model, data, songs.tolist()))
            rows += deletions(title, model, data, cases, draws, seed)
    show(rows)


def run_audio(folder: Path, weights: Path | None, draws: int) -> None:
    ears = "musicnn" if weights is None else f"musicnn:{weights}"
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as home,
        Library.open(home, neo4j_uri=None) as library,
    ):
        library.ingest(folder / "audio", genres_from="folder", embeddings=[ears])
        library.train()
        data, maps = library.hetero_with_ids()
        current = latest_model(library.store)
        assert current is not None
        loaded, _ = load_checkpoint(current, library.settings.models_dir)
        song, genre, cluster, tag = (
            {key: row for row, key in enumerate(keys)}
            for keys in (maps.songs, maps.genres, maps.clusters, maps.further["tag"])
        )

        def neighbour(relationship: str, key: str) -> Neighbour:
            if relationship == "SIMILAR_TO":
                return Neighbour(SIMILAR_EDGE, song[key])
            if relationship == "HAS_TAG":
                return Neighbour(TAG_EDGE, tag[key])
            return Neighbour(feature_edge(key.rpartition(":")[0]), cluster[key])

        cases = []
        for id in maps.songs:
            for told in library.explain(id).explained:
                order = [neighbour(each.relationship, each.key) for each in told.evidence]
                cases.append(Case(song[id], genre[told.genre], told.rank, order))
        show(deletions(f"{len(maps.songs)} real clips", loaded.model, data, cases, draws, 0))


def run_similar(folder: Path) -> None:
    print(
        f"\nof the {NEAREST} nearest by other artists, of one genre:  by embedding  by SIMILAR_TO"
    )
    for name, clips in of_tables(folder):
        shares: dict[str, list[float]] = {"embedding": [], "metric": []}
        for seed, told in enumerate(folds(clips, FOLDS, 0)):
            learn = np.setdiff1d(clips.everything, told)
            model, data, rows = trained_on(clips, learn, seed)
            z = layer_outputs(model, data)[-1][SONG_NODE].numpy()
            z /= np.linalg.norm(z, axis=1, keepdims=True)
            metric = rows.space.metric(rows.space.standardise(clips.x))
            for kind, unit in (("embedding", z), ("metric", metric)):
                for row in told:
                    own = clips.artists[row]
                    near = [
                        other
                        for other in np.argsort(-unit @ unit[row])
                        if other != row and (own is None or clips.artists[other] != own)
                    ][:NEAREST]
                    shares[kind].append((clips.genre[near] == clips.genre[row]).mean())
        means = (f"{np.mean(shares[kind]):>14.3f}" for kind in shares)
        print(f"{name:48}{''.join(means)}")


def run_size(songs: int) -> None:
    """Seconds that explaining takes in a made-up library, of each kind of song."""
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as home,
        Library.open(home, neo4j_uri=None) as library,
    ):
        store, models_dir = GraphStore(library.connection), library.settings.models_dir
        made = store_benchmark.Library(songs)
        for name, step in store_benchmark.ours(library.connection, made):
            if name not in ("predictions", "read back"):
                step()
        kinds = {"trained on": made.ids[0], "without a genre": made.ids[1]}
        library.connection.write(
            lambda tx: tx.run(
                "MATCH (s:Song {id: $id})-[r:IN_GENRE]->(:Genre) DELETE r SET s.split = null",
                id=kinds["without a genre"],
            ).consume()
        )
        data, maps = to_hetero(store.read_graph())
        result = training.fit(data, maps, training.TrainOptions(epochs=3))
        id, now = new_model_id(), datetime.now(UTC)
        model = ModelRow(id, now, "writing", str(models_dir / id), maps.feature_version, "", {})
        layers = layer_outputs(result.model, data)
        about = description(model, maps, 0)
        save_checkpoint(models_dir / id, result.model, layers, about, maps.songs)
        training.predict(store, models_dir, model=model)
        del data, layers, result
        print(f"\n{songs} songs: explaining one, seconds")
        for kind, song in kinds.items():
            taken = []
            for _ in range(3):
                began = time.perf_counter()
                found = explain(store, models_dir, song)
                taken.append(time.perf_counter() - began)
                assert len(found.explained) == GENRES
            print(f"{kind:20}{min(taken):8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gtzan"), metavar="DIR")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="the wheel of musicnn")
    parser.add_argument("--only", default="tables,audio,similar", help="parts, by commas")
    parser.add_argument("--draws", type=int, default=5, help="random neighbours a song")
    parser.add_argument("--songs", type=int, default=100_000, help="of the made-up library")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    parts: Mapping[str, Callable[[], None]] = {
        "tables": lambda: run_tables(asked.data, asked.draws),
        "audio": lambda: run_audio(asked.data, asked.weights, asked.draws),
        "similar": lambda: run_similar(asked.data),
        "size": lambda: run_size(asked.songs),
    }
    for name in asked.only.split(","):
        if name not in parts:
            parser.error(f"there is no part {name!r}: take {', '.join(parts)}")
        began = time.perf_counter()
        parts[name]()
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
