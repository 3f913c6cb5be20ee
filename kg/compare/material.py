"""What contestants learn from and are measured on: songs, folds, and the graph of each fold.

Nothing of the songs that a fold is measured on flows into what is fitted: scaler and clusters are
fitted on its training songs, as `kg ingest` fits them, and the held-out songs hang in the graph
without a genre.

Songs hang on their artists, albums and playlists, as in `kg train`, and hear of them the genres of
songs that the fold knows. On folds by artist that is little, as each measured song is by a new
artist; on random folds most artists are known. A genre isn't raised to those that are kinds of it:
the scores of all contestants would have to be, before each chooses by its own validation songs.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from kg.build import NEIGHBOURS, links
from kg.clusters import fit_space, lacking
from kg.embeddings.tags import tag_edges
from kg.errors import NotReadyError, WrongUsageError
from kg.graph.rows import Edges, GraphRows, Linked, SongTable
from kg.hetero import IdMaps, to_hetero
from kg.metrics.evaluate import Bools, Rows
from kg.neighbours import NeighbourIndex
from kg.records import FeatureSet
from kg.schema import TAG_NODE, cluster_id
from kg.splits import SplitSong
from kg.splits.assign import group_songs
from kg.splits.songs import fingerprint_of_songs

if TYPE_CHECKING:
    from models.baselines.fitting import Labels
    from models.pyg import HeteroData

Protocol = Literal["by artist", "random", "valid", "test"]
"""Folds that keep artists and recordings together, folds that don't, or one side of the split."""

ALL = "all"

# Of the songs that aren't measured on, so many are set aside to choose the epoch by, where that is
# enough to choose by at all.
VALIDATION_SHARE = 6

# What a learning curve is made of, beside all songs that there are to learn from.
SHARES = (0.125, 0.25, 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Songs to learn from, to choose the epoch by, and to be measured on, as rows.

    Attributes:
        protocol: By which rule they were parted.
        seed: Of the lot that parted them.
        number: From 0.
        train: Songs to learn from.
        valid: Songs that choose the epoch; none where they would be too few.
        told: Songs to be measured on.
        share: Of the songs that there are to learn from and to choose by, so much is known.
    """

    protocol: Protocol
    seed: int
    number: int
    train: Rows
    valid: Rows
    told: Rows
    share: float = 1.0


class Material:
    """The labelled songs of a library, and everything that a fold is made of.

    Args:
        songs: All songs with their features.
        keys: The same songs, with what splits know of them.
        kinds: What the features mean.
        further: Artists, albums and playlists that the songs hang on, by node type.

    Attributes:
        songs: All songs.
        kinds: What their features mean.
        further: What else they hang on, beside their tags.
        genres: Names of the genres, sorted.
        truth: Genres of every song, bool [n, g].
        group: Songs with one number share an artist or a recording; -1 for one that can't be held
            apart from others, and takes no part.
    """

    def __init__(
        self,
        songs: SongTable,
        keys: Sequence[SplitSong],
        kinds: FeatureSet,
        further: Mapping[str, Linked] | None = None,
    ) -> None:
        self.songs = songs
        self.kinds = kinds
        # Tags are heard, and come with the features.
        self.further = {n: each for n, each in (further or {}).items() if n != TAG_NODE}
        self.genres = sorted({name for names in songs.genres for name in names})
        at = {name: column for column, name in enumerate(self.genres)}
        self.truth: Bools = np.zeros((len(songs), len(self.genres)), dtype=np.bool_)
        for row, names in enumerate(songs.genres):
            self.truth[row, [at[name] for name in names]] = True
        row_of = {id: row for row, id in enumerate(songs.ids)}
        # By nobody known and no copy of anything: a group of its own.
        self.group: Rows = np.full(len(songs), -1, dtype=np.int64)
        for number, members in enumerate(group_songs([key for key in keys if key.genres])):
            self.group[[row_of[song.id] for song in members if song.id in row_of]] = number

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the songs, their genres, groups, sides, features and what they hang on: all
        numbers come from it.
        """
        digest = hashlib.blake2b(self.kinds.version.encode(), digest_size=8)
        songs = self.songs
        for row, id in enumerate(songs.ids):
            digest.update(
                f"{id} {songs.genres[row]} {self.group[row]} {songs.splits[row]}\n".encode()
            )
        digest.update(songs.features.tobytes())
        for node, linked in sorted(self.further.items()):
            digest.update("\n".join([node, *linked.keys]).encode())
            digest.update(linked.edges.tobytes())
        return digest.hexdigest()

    @cached_property
    def test_split(self) -> str:
        """Fingerprint of the test songs; empty where there are none."""
        rows = self.side("test")
        return fingerprint_of_songs([self.songs.ids[row] for row in rows]) if len(rows) else ""

    def side(self, name: str) -> Rows:
        """Rows of the labelled songs on a side of the library's own split."""
        sides = np.array([side or "" for side in self.songs.splits])
        return np.flatnonzero((sides == name) & self.truth.any(axis=1))

    @cached_property
    def taking_part(self) -> Rows:
        """Labelled songs that folds are made of: all but the test songs, and but those of genres
        that have one artist only, which can't be both learned and measured.
        """
        rows = np.sort(np.concatenate([self.side("train"), self.side("valid")]))
        rows = rows[self.group[rows] >= 0]
        able = np.array([self._groups_of(rows, g) >= 2 for g in range(len(self.genres))])
        taken: Rows = rows[self.truth[rows][:, able].any(axis=1)]
        return taken

    @cached_property
    def left_out(self) -> list[str]:
        """Genres that have songs, but none that takes part."""
        there = self.truth[self.taking_part]
        return [name for column, name in enumerate(self.genres) if not there[:, column].any()]

    def folds(self, count: int, protocol: Protocol, seed: int, share: float = 1.0) -> list[Fold]:
        """Deal the songs that take part into folds, genres evenly; each is measured on once.

        Args:
            count: How many.
            protocol: `by artist`, or `random`: each song by itself, whoever it is by.
            seed: Of the lot.
            share: How much of the songs to learn from is known; the same songs are measured on,
                and what a smaller share knows a larger one knows too.

        Raises:
            WrongUsageError: there are too few songs for so many folds.
        """
        self.check_folds(count)
        rows = self.taking_part
        group = self.group[rows] if protocol == "by artist" else rows
        parts = _parts(self.truth[rows], group, count, seed)
        found = []
        for n, told in enumerate(parts):
            learn = self._known(np.setdiff1d(rows, rows[told]), share, [seed, n])
            found.append(Fold(protocol, seed, n, *self._held_back(learn, n), rows[told], share))
        return found

    def one_split(
        self, side: Literal["valid", "test"], seed: int, share: float = 1.0
    ) -> list[Fold]:
        """The library's own split as a single fold, measured on one side; `share` as in `folds`.

        Raises:
            NotReadyError: no song is on that side.
        """
        train, valid, told = self.side("train"), self.side("valid"), self.side(side)
        if len(told) == 0 or len(train) == 0:
            raise NotReadyError(
                f"No song is on the {'validation' if side == 'valid' else 'test'} side of the "
                "split: leave out --on, so that folds are measured on instead."
            )
        train = self._known(train, share, [seed])
        if side == "valid":  # measured on, these choose nothing
            train, valid = self._held_back(train, seed)
        else:
            valid = self._known(valid, share, [seed])
        return [Fold(side, seed, 0, train, valid, told, share)]

    def check_folds(self, count: int) -> None:
        """Refuse more folds than there are artists of some genre.

        Raises:
            WrongUsageError: there are too few; the message says how many folds would do.
        """
        rows = self.taking_part
        groups = {
            name: self._groups_of(rows, column)
            for column, name in enumerate(self.genres)
            if self.truth[rows, column].any()
        }
        if len(groups) < 2:
            raise NotReadyError(
                "There is nothing to compare by: at least two genres need songs by two artists "
                "each that aren't test songs. Ingest more songs with genres, by more artists."
            )
        scarcest = min(groups, key=lambda name: groups[name])
        if groups[scarcest] < count:
            raise WrongUsageError(
                f"{count} folds need songs by {count} artists of each genre that aren't test "
                f"songs, and {scarcest!r} has {groups[scarcest]}: give --folds "
                f"{groups[scarcest]}, or ingest more."
            )

    def _known(self, rows: Rows, share: float, lot: Sequence[int]) -> Rows:
        """A share of songs: whole artists, drawn genre by genre, of each genre one at least."""
        if share >= 1:
            return rows
        alone = self.group[rows] < 0  # by nobody known: each by itself
        groups, group = np.unique(np.where(alone, -1 - rows, self.group[rows]), return_inverse=True)
        order = np.random.default_rng(lot).permutation(len(groups))[group]
        first = self.truth[rows].argmax(axis=1)
        taken = []
        for genre in np.unique(first):
            own, songs = np.unique(order[first == genre], return_counts=True)
            middle = songs.cumsum() - songs / 2  # of each artist's songs, in the order of the lot
            taken.append(own[: max(1, int((middle <= share * songs.sum()).sum()))])
        known: Rows = rows[np.isin(order, np.concatenate(taken))]
        return known

    def _groups_of(self, rows: Rows, genre: int) -> int:
        return len(np.unique(self.group[rows[self.truth[rows, genre]]]))

    def _held_back(self, learn: Rows, seed: int) -> tuple[Rows, Rows]:
        """Songs to learn from and songs to choose the epoch by: no artist is among both."""
        from models.training import FEWEST_TO_VALIDATE

        if len(learn) // VALIDATION_SHARE < FEWEST_TO_VALIDATE:
            return learn, learn[:0]
        valid = _parts(self.truth[learn], self.group[learn], VALIDATION_SHARE, seed)[0]
        return np.delete(learn, valid), learn[valid]


def _parts(truth: Bools, group: Rows, count: int, seed: int) -> list[Rows]:
    """Deal rows into parts that keep groups together and (first) genres even."""
    from sklearn.model_selection import StratifiedGroupKFold

    dealer = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    first = truth.argmax(axis=1)
    return [part for _, part in dealer.split(np.zeros(len(group)), first, group)]


class Task:
    """One fold of one representation, as every kind of contestant wants it; made where asked for.

    Args:
        material: The songs.
        fold: Which of them are learned from.
        features: A family, or `all` of them.
        seed: Of clusters and of training.
    """

    def __init__(self, material: Material, fold: Fold, features: str, seed: int) -> None:
        self.material = material
        self.fold = fold
        self.features = features
        self.seed = seed

    @cached_property
    def graph(self) -> GraphRows:
        """The graph as `kg ingest` would make it of these features and this split."""
        fit = np.zeros(len(self.material.songs), dtype=np.bool_)
        fit[self.fold.train] = True
        kinds, columns = restricted(self.material.kinds, self.features)
        songs = self.material.songs
        sides: list[str | None] = [None] * len(songs)
        for name, rows in (("test", self.fold.told), ("valid", self.fold.valid)):
            for row in rows:
                sides[row] = name
        for row in self.fold.train:
            sides[row] = "train"
        known = np.zeros(len(songs), dtype=np.bool_)
        known[np.concatenate([self.fold.train, self.fold.valid])] = True
        return graph_of(
            songs.ids,
            np.ascontiguousarray(songs.features[:, columns]),
            kinds,
            fit,
            sides,
            self.material.genres,
            self.material.truth & known[:, None],
            self.seed,
            further=self.material.further,
        )

    @cached_property
    def hetero(self) -> "tuple[HeteroData, IdMaps]":
        """The same as tensors."""
        return to_hetero(self.graph)

    @property
    def labels(self) -> "Labels":
        """Genres by song, and who is learned from."""
        import torch

        from models.baselines.fitting import Labels

        truth = self.material.truth
        return Labels(
            torch.from_numpy(truth),
            torch.from_numpy(self.fold.train),
            torch.from_numpy(self.fold.valid),
            bool((truth[self.fold.train].sum(axis=1) > 1).any()),
        )


def restricted(kinds: FeatureSet, features: str) -> tuple[FeatureSet, NDArray[np.int64]]:
    """One family of a feature set (or `all`), and which columns that is.

    Raises:
        WrongUsageError: there is no such family.
    """
    if features == ALL:
        return kinds, np.arange(len(kinds.columns))
    if features not in kinds.families:
        raise WrongUsageError(
            f"This library has no features called {features!r}: it has "
            f"{', '.join(kinds.families)}, and {ALL}."
        )
    part = kinds.families[features]
    families = {features: slice(0, part.stop - part.start)}
    own = FeatureSet(
        f"{kinds.version}/{features}",
        families,
        kinds.columns[part],
        kinds.excerpt,
        tuple(each for each in kinds.embeddings if each.family == features),
        kinds.given,
    )
    return own, np.arange(part.start, part.stop)


def graph_of(
    ids: list[str],
    features: NDArray[np.float32],
    kinds: FeatureSet,
    fit: Bools,
    sides: Sequence[str | None],
    genres: list[str],
    truth: Bools,
    seed: int,
    *,
    further: Mapping[str, Linked] | None = None,
) -> GraphRows:
    """Make the graph of songs in memory, without a database.

    Args:
        ids: Their keys.
        features: Raw features, float32 [n, d].
        kinds: What these mean.
        fit: Songs that scaler and clusters are fitted on, bool [n].
        sides: Side of the split of each.
        genres: Names of all genres.
        truth: Genres of each song, bool [n, g]; a song without one hangs in the graph all the same.
        seed: Of k-means.
        further: What else the songs hang on, beside their tags.
    """
    space = fit_space(features, fit, kinds, seed=seed)
    standard = space.standardise(features)
    index = NeighbourIndex(ids, space.metric(standard), "")
    similar = index.of_members(NEIGHBOURS)
    placed: Mapping[str, SplitSong] = {
        id: SplitSong(id, (), split=side) for id, side in zip(ids, sides, strict=True)
    }
    clusters = [cluster_id(f, i) for f, c in space.centroids.items() for i in range(len(c))]
    row_of = {id: row for row, id in enumerate(ids)}
    cluster_row = {id: row for row, id in enumerate(clusters)}
    has: dict[str, list[tuple[int, int]]] = {family: [] for family in space.families}
    near: list[tuple[int, int]] = []
    assigned = space.assign(standard, lacking(kinds, features))
    for song in links(ids, assigned, ids, similar, placed):
        for cluster, family, _ in song.clusters:
            has[family].append((row_of[song.id], cluster_row[cluster]))
        near += [(row_of[song.id], row_of[other]) for other, _ in song.similar]
    tags, has_tag = tag_edges(kinds, features)
    named = [tuple(genres[column] for column in np.flatnonzero(own)) for own in truth]
    return GraphRows(
        songs=SongTable(ids, features, named, [None] * len(ids), list(sides)),
        space=space,
        build="",
        genres=genres,
        cluster_ids=clusters,
        has_feature={family: _edges(pairs) for family, pairs in has.items()},
        similar_to=_edges(near),
        in_genre=np.stack(np.nonzero(truth)).astype(np.int64),
        further={**({TAG_NODE: Linked(tags, has_tag)} if tags else {}), **(further or {})},
    )


def _edges(pairs: Sequence[tuple[int, int]]) -> Edges:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy()
