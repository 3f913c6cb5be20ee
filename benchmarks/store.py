"""The graph store at size, beside two plainer ways of doing the same, on both servers, in one run.

    python benchmarks/store.py [--songs 100000 | --scale 1m] [--servers embedded,neo4j]
                               [--forms ours,batches,merge] [--json FILE]

A library as table rows give it: songs with tags and 128 features, a cluster in each of six
families, ten similar songs, a genre, three predictions each. Every form writes all of it into an
empty database and reads it back into a validated `HeteroData`, in a process of its own:

- ours: `GraphStore`, with all that keeps a cut-off run safe;
- batches: what one writes with the server's manual at hand: nested UNWIND and CREATE, 1,000 songs
  a transaction, features as bytes;
- merge: what one finds most: a row a node or relationship, MERGE, features as a list of floats.

Neo4j is the one at NEO4J_URI (which is EMPTIED, so KG_TEST_WIPE_NEO4J=1 has to say so), in a
container, or from Maven Central, as for the tests. Memory is the client's, at most, beyond
what its imports and the made-up library take; processor time is the client's and the server's, and
says more than seconds do on a machine that others use too.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil

from kg.graph.connection import Connection
from kg.settings import Settings

FAMILIES = ("mfcc", "mel", "chroma", "contrast", "spectral", "rhythm")
CLUSTERS, NEIGHBOURS, GENRES, COLUMNS, GUESSES = 32, 10, 16, 128, 3
BATCH = 1000
NEO4J_HEAP = "2g"
FORMS = ("ours", "batches", "merge")
SERVERS = ("embedded", "neo4j")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

T = TypeVar("T")


class Library:
    """The same library for every form, made anew from its seed where it is needed."""

    def __init__(self, songs: int) -> None:
        chance = np.random.default_rng(0)
        self.count = songs
        self.ids = [f"{number:032x}" for number in chance.permutation(songs)]
        self.features = chance.standard_normal((songs, COLUMNS)).astype(np.float32)
        self.clusters = chance.integers(CLUSTERS, size=(songs, len(FAMILIES)))
        # Each in a stretch of its own, so that no two are the same song.
        stretch = (songs - 1) // NEIGHBOURS
        away = (
            1 + np.arange(NEIGHBOURS) * stretch + chance.integers(stretch, size=(songs, NEIGHBOURS))
        )
        self.near = (np.arange(songs)[:, None] + away) % songs
        self.genre = chance.integers(GENRES, size=songs)
        self.guesses = np.argsort(chance.random((songs, GENRES)), axis=1)[:, :GUESSES]

    def genre_name(self, number: int) -> str:
        return f"genre {number:02}"

    def cluster(self, family: int, index: int) -> str:
        return f"{FAMILIES[family]}:{index:02}"

    def clusters_of(self, number: int) -> list[dict[str, Any]]:
        """Its HAS_FEATURE relationships."""
        return [
            {"id": self.cluster(f, i), "family": FAMILIES[f], "weight": 0.5, "rank": 1}
            for f, i in enumerate(self.clusters[number])
        ]

    def similar_to(self, number: int) -> list[dict[str, Any]]:
        """Its SIMILAR_TO relationships."""
        return [{"id": self.ids[other], "weight": 0.9} for other in self.near[number]]

    def predictions(self, number: int) -> list[dict[str, Any]]:
        """Its PREDICTED_GENRE relationships."""
        return [
            {
                "name": self.genre_name(genre),
                "probability": 0.5 / rank,
                "score": 1.0 / rank,
                "rank": rank,
                "model": "model",
                "createdAt": NOW,
            }
            for rank, genre in enumerate(self.guesses[number], 1)
        ]

    def properties(self, number: int, *, as_bytes: bool) -> dict[str, Any]:
        """What a song node carries."""
        features = self.features[number]
        return {
            "title": f"Song {number}",
            "artist": f"Artist {number // 10}",
            "album": f"Album {number // 10}",
            "year": 1950 + number % 70,
            "duration": 30.0,
            "sampleRate": 22_050,
            "split": "train",
            "features": features.tobytes() if as_bytes else features.tolist(),
        }


class Rows(Sequence[T]):
    """A sequence whose items are made when they are looked at: a million songs in no memory."""

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        if number >= self._count:
            raise IndexError(number)
        return self._make(number)


Steps = Iterator[tuple[str, Callable[[], object]]]


def ours(connection: Connection, library: Library) -> Steps:
    from kg.clusters import FeatureSpace
    from kg.graph.rows import Guess, Links, ModelRow
    from kg.graph.store import GraphStore
    from kg.hetero import to_hetero
    from kg.records import FeatureSet, NewSong, SongRecord
    from kg.splits.protocol import SplitRule

    store = GraphStore(connection)
    width = COLUMNS // len(FAMILIES)
    ends = [*(width * (n + 1) for n in range(len(FAMILIES) - 1)), COLUMNS]
    families = {f: slice(width * n, ends[n]) for n, f in enumerate(FAMILIES)}
    columns = tuple(f"column {n}" for n in range(COLUMNS))
    kinds = FeatureSet("benchmark", families, columns)
    builder: list[str] = []

    def begin() -> None:
        store.prepare()
        builder.append(store.begin_build(kinds))

    def songs() -> None:
        store.write_songs(
            Rows(
                library.count,
                lambda n: NewSong(
                    SongRecord(
                        id=library.ids[n],
                        title=f"Song {n}",
                        artist=f"Artist {n // 10}",
                        album=f"Album {n // 10}",
                        year=1950 + n % 70,
                        genres=(library.genre_name(library.genre[n]),),
                        genre_source="table",
                    ),
                    library.features[n],
                    30.0,
                    22_050,
                ),
            ),
            builder=builder[0],
        )

    def links() -> None:
        space = FeatureSpace(
            kinds=kinds,
            mean=np.zeros(COLUMNS, np.float32),
            scale=np.ones(COLUMNS, np.float32),
            centroids={
                f: np.zeros((CLUSTERS, part.stop - part.start), np.float32)
                for f, part in families.items()
            },
        )
        hanging = (
            Links(
                library.ids[n],
                "train",
                [
                    (library.cluster(f, index), FAMILIES[f], 0.5)
                    for f, index in enumerate(library.clusters[n])
                ],
                [(library.ids[other], 0.9) for other in library.near[n]],
            )
            for n in range(library.count)
        )
        store.write_build(
            space,
            hanging,
            builder=builder[0],
            songs=library.count,
            sizes={},
            build="benchmark",
            rule=SplitRule("artist"),
            compared="",
        )

    def predictions() -> None:
        model = ModelRow("model", NOW, "writing", "", kinds.version, "benchmark", {})
        store.write_model(model)
        store.write_predictions(
            model.id,
            NOW,
            Rows(
                library.count,
                lambda n: (
                    library.ids[n],
                    [
                        Guess(library.genre_name(g), 0.5 / rank, 1.0 / rank, rank)
                        for rank, g in enumerate(library.guesses[n], 1)
                    ],
                ),
            ),
        )
        store.write_model(replace(model, state="current"))

    yield "begin", begin
    yield "songs and genres", songs
    yield "clusters and similar songs", links
    yield "predictions", predictions
    yield "read back", lambda: to_hetero(store.read_graph())[0]


def plain(connection: Connection, library: Library, form: str) -> Steps:
    """The two plainer forms: nested UNWIND and CREATE, or a row a relationship and MERGE."""
    create = form == "batches"

    def run(text: str, items: Callable[[int], Sequence[dict[str, Any]]]) -> None:
        rows: list[dict[str, Any]] = []
        for n in range(library.count):
            rows += items(n)
            if len(rows) >= BATCH or n == library.count - 1:
                connection.write(lambda tx, rows=rows: tx.run(text, rows=rows).consume())
                rows = []

    def relate(type: str, target: str, items: Callable[[int], list[dict[str, Any]]]) -> None:
        """Relationships from every song; an item is the target's key and their properties."""
        label, key = target.split(".")
        named = ", ".join(f"{name}: item.{name}" for name in items(0)[0] if name != key)
        if create:
            run(
                f"UNWIND $rows AS row MATCH (s:Song {{id: row.id}}) UNWIND row.items AS item "
                f"MATCH (t:{label} {{{key}: item.{key}}}) CREATE (s)-[:{type} {{{named}}}]->(t)",
                lambda n: [{"id": library.ids[n], "items": items(n)}],
            )
        else:
            run(
                f"UNWIND $rows AS row MATCH (s:Song {{id: row.song}}) "
                f"MATCH (t:{label} {{{key}: row.{key}}}) MERGE (s)-[r:{type}]->(t) "
                "SET r += row.properties",
                lambda n: [{"song": library.ids[n], **parted(i, key)} for i in items(n)],
            )

    def begin() -> None:
        for label, key in (("Song", "id"), ("FeatureCluster", "id"), ("Genre", "name")):
            connection.schema(
                f"CREATE CONSTRAINT {label}_{key} IF NOT EXISTS FOR (n:{label}) "
                f"REQUIRE n.{key} IS UNIQUE"
            )
        clusters = [
            {"id": library.cluster(f, i), "family": family, "index": i}
            for f, family in enumerate(FAMILIES)
            for i in range(CLUSTERS)
        ]
        genres = [{"name": library.genre_name(g)} for g in range(GENRES)]
        for label, rows in (("FeatureCluster", clusters), ("Genre", genres)):
            text = f"UNWIND $rows AS row CREATE (n:{label}) SET n += row"
            connection.write(lambda tx, text=text, rows=rows: tx.run(text, rows=rows).consume())

    def songs() -> None:
        verb = "CREATE" if create else "MERGE"
        run(
            f"UNWIND $rows AS row {verb} (s:Song {{id: row.id}}) SET s += row.properties",
            lambda n: [
                {"id": library.ids[n], "properties": library.properties(n, as_bytes=create)}
            ],
        )
        relate(
            "IN_GENRE",
            "Genre.name",
            lambda n: [{"name": library.genre_name(library.genre[n]), "source": "table"}],
        )

    def links() -> None:
        relate("HAS_FEATURE", "FeatureCluster.id", library.clusters_of)
        relate("SIMILAR_TO", "Song.id", library.similar_to)

    yield "begin", begin
    yield "songs and genres", songs
    yield "clusters and similar songs", links
    yield "predictions", lambda: relate("PREDICTED_GENRE", "Genre.name", library.predictions)
    yield "read back", lambda: read_plainly(connection, as_bytes=create)


def parted(item: dict[str, Any], key: str) -> dict[str, Any]:
    """The key of a relationship's target, and the relationship's properties."""
    return {key: item[key], "properties": {k: v for k, v in item.items() if k != key}}


def read_plainly(connection: Connection, *, as_bytes: bool) -> Any:
    """The graph as a validated HeteroData: a query a node or relationship type, a row each."""
    import torch

    from models.pyg import HeteroData

    def rows(text: str) -> list[list[Any]]:
        return connection.read(lambda tx: [record.values() for record in tx.run(text)])

    data = HeteroData()
    songs = sorted(rows("MATCH (s:Song) RETURN s.id, s.features, s.split"))
    vectors = [np.frombuffer(row[1], "<f4") if as_bytes else row[1] for row in songs]
    data["song"].x = torch.from_numpy(np.array(vectors, dtype=np.float32))
    data["song"].train_mask = torch.tensor([row[2] == "train" for row in songs])
    at = {"Song": {row[0]: n for n, row in enumerate(songs)}}
    for label, key in (("FeatureCluster", "id"), ("Genre", "name")):
        names = sorted(name for (name,) in rows(f"MATCH (n:{label}) RETURN n.{key}"))
        at[label] = {name: n for n, name in enumerate(names)}
        data[label].num_nodes = len(names)
    edges = {
        **{
            f"HAS_FEATURE {{family: '{f}'}}": ("FeatureCluster", "id", f"has_{f}") for f in FAMILIES
        },
        "SIMILAR_TO": ("Song", "id", "similar_to"),
        "IN_GENRE": ("Genre", "name", "in_genre"),
    }
    for pattern, (label, key, name) in edges.items():
        found = rows(f"MATCH (s:Song)-[:{pattern}]->(t:{label}) RETURN s.id, t.{key}")
        pairs = sorted((at["Song"][head], at[label][tail]) for head, tail in found)
        node = "song" if label == "Song" else label
        index = torch.tensor(pairs, dtype=torch.long).T.contiguous()
        data["song", name, node].edge_index = index
        data[node, f"rev_{name}", "song"].edge_index = index.flip(0).contiguous()
    data.validate(raise_on_error=True)
    return data


def run_form(form: str, count: int) -> dict[str, Any]:
    """Write and read in this process, on the database that the environment names."""
    import models.pyg  # noqa: F401 - no part of reading back, and takes seconds

    library = Library(count)
    library_megabytes, started = megabytes(), time.process_time()
    with Connection.open(Settings()) as connection:
        steps = ours(connection, library) if form == "ours" else plain(connection, library, form)
        seconds, data, writing_megabytes = {}, None, 0.0
        for name, step in steps:
            if name == "read back":
                writing_megabytes = megabytes()
            start = time.perf_counter()
            data = step()
            seconds[name] = time.perf_counter() - start
            print(f"    {form}: {name} {seconds[name]:.1f} s", file=sys.stderr, flush=True)
    edges = {edge[1]: data[edge].num_edges for edge in data.edge_types}
    return {
        "seconds": seconds,
        "client_cpu_seconds": time.process_time() - started,
        "megabytes": megabytes(),
        "library_megabytes": library_megabytes,
        "writing_megabytes": writing_megabytes,
        "songs": data["song"].x.shape[0],
        "edges": edges,
    }


def megabytes() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def serve(server: str, folder: Path) -> Iterator[dict[str, str]]:
    """An empty database; yields the environment that leads there."""
    if server == "embedded":
        from kg.graph import embedded

        with embedded.acquire(folder / "server"):
            yield {"KG_HOME": str(folder)}
        embedded.stop(folder / "server")  # and wait until its folder can be deleted
        return
    sys.path.append(str(Path(__file__).parent.parent))
    from tests.conftest import empty
    from tests.neo4j import starter

    with starter.serve(os.environ, folder, heap=NEO4J_HEAP) as address:
        settings = Settings(
            kg_home=folder,
            neo4j_uri=address.uri,
            neo4j_username=address.username,
            neo4j_password=address.password,
            neo4j_database=address.database,
        )
        with Connection.open(settings) as connection:
            empty(connection)
        yield {
            "KG_HOME": str(folder),
            "NEO4J_URI": address.uri,
            "NEO4J_USERNAME": address.username,
            "NEO4J_PASSWORD": address.password,
            "NEO4J_DATABASE": address.database,
        }


def server_seconds(folder: Path) -> float:
    """Processor time of the servers that keep their data in this folder; 0: they run elsewhere."""
    total = 0.0
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in part for part in process.info["cmdline"] or ()):
            total += sum(process.cpu_times()[:2])
    return total


def measure(server: str, form: str, count: int) -> dict[str, Any]:
    """One form on an empty server, in a process of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kg-store-")))
        environment = stack.enter_context(serve(server, folder))
        before = server_seconds(folder)
        child = subprocess.run(
            [sys.executable, __file__, "--child", form, "--songs", str(count)],
            env=dict(os.environ) | environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        server_cpu = server_seconds(folder) - before
        disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "server": server,
        "form": form,
        **json.loads(child.stdout),
        "server_cpu_seconds": server_cpu,
        "disk_megabytes": disk / 2**20,
    }


def show(rows: list[dict[str, Any]]) -> None:
    steps = list(rows[0]["seconds"])
    print(
        f"{'server':10}{'form':9}" + "".join(f"{step.split()[0]:>13}" for step in steps[1:]), end=""
    )
    print(
        f"{'all, s':>9}{'CPU s':>8}{'writing MB':>12}{'reading MB':>12}{'disk MB':>9}   ours takes"
    )
    for row in rows:
        total = sum(row["seconds"].values())
        print(f"{row['server']:10}{row['form']:9}", end="")
        print("".join(f"{row['seconds'][step]:13.1f}" for step in steps[1:]), end="")
        cpu = row["server_cpu_seconds"] + row["client_cpu_seconds"]
        before = row["library_megabytes"]
        print(f"{total:9.1f}{cpu:8.1f}", end="")
        print(f"{row['writing_megabytes'] - before:12.0f}{row['megabytes'] - before:12.0f}", end="")
        print(f"{row['disk_megabytes']:9.0f}", end="")
        mine = [r for r in rows if r["server"] == row["server"] and r["form"] == "ours"]
        print(f"   {sum(mine[0]['seconds'].values()) / total:.2f} of it" if mine else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=100_000)
    parser.add_argument("--scale", choices=["100k", "1m"])
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--forms", default=",".join(FORMS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--child", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    count = {"100k": 100_000, "1m": 1_000_000}.get(options.scale, options.songs)
    if options.child:
        print(json.dumps(run_form(options.child, count)))
        return
    rows = []
    for server in options.servers.split(","):
        for form in options.forms.split(","):
            rows.append(measure(server, form, count))
            if rows[-1]["edges"] != rows[0]["edges"]:
                raise SystemExit(f"{form} on {server} reads another graph: {rows[-1]['edges']}")
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
