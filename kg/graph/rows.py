"""What the store hands out: the graph as arrays, songs in the order of their ids."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kg.clusters import FeatureSpace
from kg.genres.tree import Tree
from kg.schema import FURTHER
from kg.splits import SplitSong

Edges = NDArray[np.int64]
Told = Literal["all", "features", "other"]
"""Of what a source says of a song the graph has all, the features only, or other features."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SongTable:
    """Every song of the graph, sorted by id, so that both servers give the same order.

    Attributes:
        ids: Keys, n of them.
        features: Raw features, float32 [n, d].
        genres: What the owner says, sorted by name.
        artists: None where unknown.
        splits: `train`, `valid`, `test` or None.
    """

    ids: list[str]
    features: NDArray[np.float32]
    genres: list[tuple[str, ...]]
    artists: list[str | None]
    splits: list[str | None]

    def __len__(self) -> int:
        return len(self.ids)

    def split_songs(self) -> list[SplitSong]:
        """What a split needs to know of each."""
        return [
            SplitSong(*song)
            for song in zip(self.ids, self.genres, self.artists, self.splits, strict=True)
        ]


def _no_edges() -> Edges:
    return np.empty((2, 0), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Linked:
    """The nodes of a further type (`kg.schema.FURTHER`) and the songs that hang on them.

    Attributes:
        keys: Of the nodes, sorted.
        edges: Song and node, whichever way the relationship points, int64 [2, e].
    """

    keys: Sequence[str]
    edges: Edges = field(default_factory=_no_edges)

    def without_bare(self) -> "Linked":
        """The same without nodes that no song hangs on."""
        rows, nodes = np.unique(self.edges[1], return_inverse=True)
        return Linked([self.keys[row] for row in rows], np.stack([self.edges[0], nodes]))

    def without(self, keys: Collection[str]) -> "Linked":
        """The same without these nodes, and without those that no song hangs on."""
        gone = np.fromiter((key in keys for key in self.keys), bool, len(self.keys))
        return replace(self, edges=self.edges[:, ~gone[self.edges[1]]]).without_bare()


@dataclass(frozen=True, slots=True)
class GraphRows:
    """The graph that learning sees. Edges are int64 [2, e]: rows of the head, rows of the tail.

    Attributes:
        songs: The songs.
        space: Scaler and clusters.
        build: Fingerprint of what clusters and similar songs were made from.
        genres: Names of the genres that have songs, sorted.
        cluster_ids: Keys of the clusters, family by family in the order of the feature space.
        has_feature: Song to cluster, by family.
        similar_to: Song to similar song.
        in_genre: Song to genre.
        further: What else songs hang on, by node type; types without a node are left out.
        tree: What is a kind of what among genres, also those that no song has.
        changes: How often songs that were there came to hang on others, by further node type, and
            how often songs have left.
    """

    songs: SongTable
    space: FeatureSpace
    build: str
    genres: list[str]
    cluster_ids: list[str]
    has_feature: Mapping[str, Edges]
    similar_to: Edges
    in_genre: Edges
    further: Mapping[str, Linked] = field(default_factory=dict)
    tree: Tree = field(default_factory=lambda: Tree({}))
    changes: Mapping[str, int] = field(default_factory=dict)

    def only(self, songs: Collection[str]) -> "GraphRows":
        """The same graph without all other songs, and what hangs on them."""
        stays = np.fromiter((id in songs for id in self.songs.ids), bool, len(self.songs))
        if stays.all():
            return self
        row = np.cumsum(stays) - 1

        def left(edges: Edges, *ends: int) -> Edges:
            edges = edges[:, np.logical_and.reduce([stays[edges[end]] for end in ends])]
            for end in ends:
                edges[end] = row[edges[end]]
            return edges

        kept = np.flatnonzero(stays).tolist()
        table = self.songs
        return replace(
            self,
            songs=SongTable(
                ids=[table.ids[i] for i in kept],
                features=table.features[stays],
                genres=[table.genres[i] for i in kept],
                artists=[table.artists[i] for i in kept],
                splits=[table.splits[i] for i in kept],
            ),
            has_feature={family: left(edges, 0) for family, edges in self.has_feature.items()},
            similar_to=left(self.similar_to, 0, 1),
            in_genre=left(self.in_genre, 0),
            further={
                node: kept
                for node, linked in self.further.items()
                for kept in [replace(linked, edges=left(linked.edges, 0))]
                for kept in [kept.without_bare() if FURTHER[node].gathered else kept]
                if kept.keys
            },
        )

    def known_to(self, nodes: Collection[str]) -> "GraphRows":
        """The same graph without further node types other than these: an older model knows none."""
        kept = {node: linked for node, linked in self.further.items() if node in nodes}
        return replace(self, further=kept)


@dataclass(frozen=True, slots=True)
class Links:
    """How one song hangs in the graph.

    Attributes:
        id: The song.
        split: Its side, None where it has no genre.
        clusters: (cluster id, family, weight) by family.
        similar: (song id, cosine), nearest first.
        recording: Key of the recording that it shares with other songs, None where it shares none.
    """

    id: str
    split: str | None
    clusters: list[tuple[str, str, float]]
    similar: list[tuple[str, float]]
    recording: str | None = None


@dataclass(frozen=True, slots=True)
class Hanging:
    """What one song hangs on, as the graph has it.

    Attributes:
        id: The song.
        clusters: (cluster id, family, weight).
        similar: (song id, cosine), nearest first.
        further: Keys of what else it hangs on, by node type.
    """

    id: str
    clusters: list[tuple[str, str, float]]
    similar: list[tuple[str, float]]
    further: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Guess:
    """One predicted genre of a song."""

    genre: str
    probability: float
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model's guesses of one song come to; properties of its node.

    Attributes:
        predicted: Its first genre, or `unknown`.
        doubt: Why it is unknown: `low probability` or `unlike the library`; None: it isn't.
        novelty: Of the songs learned from, the share whose third nearest (by another artist) is
            nearer than this song's third nearest among them; None: nobody measured it.
    """

    predicted: str
    doubt: str | None = None
    novelty: float | None = None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A `Model` node.

    Attributes:
        id: Key.
        created_at: When it was trained.
        state: `writing` while its predictions are on their way, `current`, or `superseded`.
        checkpoint: Folder of its checkpoint on the machine that trained it.
        feature_version: Version of the features it was trained on.
        build: Build of the graph it was trained on.
        metrics: Numbers on the test songs, flat.
        labels: Fingerprint of the owner's genres that it learned from.
        test_opened_at: When it was measured on the test songs; None: it wasn't.
        test_split: Which test songs those were.
        changes: `GraphRows.changes` when its predictions were made, of the node types it knows.
    """

    id: str
    created_at: datetime
    state: str
    checkpoint: str
    feature_version: str
    build: str
    metrics: Mapping[str, Any]
    labels: str = ""
    test_opened_at: datetime | None = None
    test_split: str = ""
    changes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Looks:
    """How many models have been measured on test songs: each look wears them out a little.

    Attributes:
        here: On exactly these.
        elsewhere: On the test songs of this library when they were others.
    """

    here: int
    elsewhere: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What is in the graph."""

    songs: int
    labelled: int
    genres: int
    clusters: int
    models: int
    unknown: int
    relationships: Mapping[str, int]
    predicted_by_model: Mapping[str, int]
