"""Vectors that were computed elsewhere join the songs of a library as a feature family."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from kg.build import build_graph
from kg.embeddings.choice import FILE, cut_off, is_file, with_embeddings
from kg.errors import NotReadyError, WrongUsageError
from kg.files import normal
from kg.given import own_features
from kg.graph.store import GraphStore
from kg.progress import SILENT, Progress
from kg.records import Embedding, FeatureSet
from kg.schema import check_family_name
from kg.sources.vectors import Vectors
from kg.text import indexable, printable, storable

EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class VectorsReport:
    """What taking in vectors came to.

    Attributes:
        family: What they are called.
        width: Values a vector.
        matched: Vectors of the file that belong to songs of the library.
        unknown: Vectors of the file that don't.
        examples: The first of these, as the file calls them.
        songs: Songs of the library that have such vectors now.
        without: Songs that have none.
        rebuilt: Whether anything was new.
    """

    family: str
    width: int
    matched: int
    unknown: int
    examples: Sequence[str]
    songs: int
    without: int
    rebuilt: bool


def take_in(
    store: GraphStore,
    vectors: Vectors,
    family: str,
    kinds: FeatureSet,
    neighbours_dir: Path,
    progress: Progress = SILENT,
) -> VectorsReport:
    """Give songs their vectors, and connect the graph anew.

    Args:
        store: The graph, in which nobody else writes meanwhile.
        vectors: From a file.
        family: What they are called.
        kinds: What the features in the graph mean.
        neighbours_dir: Where the neighbour index is kept.
        progress: Told how far it is.

    Raises:
        WrongUsageError: none of the songs is here, the name is taken, or earlier vectors of that
            family have another length.
        NotReadyError: the vectors of another family are half written.
    """
    pending = store.extending()
    if pending not in (None, f"{FILE}{family}"):
        raise NotReadyError(cut_off(pending))
    old = _earlier(kinds, family)
    width = vectors.values.shape[1]
    if old is not None and len(old.columns) != width:
        raise WrongUsageError(
            f"The vectors of {family!r} in the library have {len(old.columns)} values, those of "
            f"the file {width}: give them another --family."
        )
    with progress.stage("Looking for the songs", None):
        rows, unknown = _matched(store, vectors)
    if not rows:
        raise WrongUsageError(
            f"None of the {len(vectors.keys)} vectors is of a song in the library (the first is "
            f"called {printable(vectors.keys[0])!r}): name songs by their id or path, or as "
            "their data set does."
        )
    columns = vectors.columns or tuple(f"{n:04d}" for n in range(1, width + 1))
    embedding = old or Embedding(
        f"{FILE}{family}", "", family, tuple(f"{family}_{name}" for name in columns)
    )
    there = store.vectors_of(embedding, sorted(rows)) if old else {}
    changed = {
        id: vectors.values[row]
        for id, row in sorted(rows.items())
        if id not in there or not np.array_equal(there[id], vectors.values[row])
    }
    unfinished = pending is not None or store.build() is None
    if changed or unfinished:
        anew = _named_anew(embedding, vectors)
        listed = [anew if each is old else each for each in kinds.embeddings]
        new = with_embeddings(own_features(kinds), listed if old else [*listed, anew])
        builder = store.begin_build(new, old=kinds, extending=embedding.name)
        with progress.stage("Writing vectors", len(changed)) as advance:
            store.write_vectors(
                embedding, ((id, vector, ()) for id, vector in changed.items()), builder=builder
            )
            advance(len(changed))
        build_graph(store, new, neighbours_dir, progress)
    without = len(store.songs_without(embedding))
    return VectorsReport(
        family=family,
        width=width,
        matched=len(rows),
        unknown=len(unknown),
        examples=[printable(key) for key in unknown[:EXAMPLES]],
        songs=store.counts().songs - without,
        without=without,
        rebuilt=bool(changed or unfinished),
    )


def _earlier(kinds: FeatureSet, family: str) -> Embedding | None:
    """The vectors of that name that came before; refuses names of features of other kinds."""
    check_family_name(family)
    for each in kinds.embeddings:
        if each.family == family and is_file(each):
            return each
    if family in kinds.families:
        raise WrongUsageError(
            f"There is a feature family called {family!r} already: give another --family."
        )
    return None


def _named_anew(embedding: Embedding, vectors: Vectors) -> Embedding:
    """The same after this file: another identity, so that the graph is connected anew."""
    told = f"{embedding.identity} {vectors.identity}".encode()
    return replace(embedding, identity=hashlib.blake2b(told, digest_size=6).hexdigest())


def _matched(store: GraphStore, vectors: Vectors) -> tuple[dict[str, int], list[str]]:
    """Which song each vector is of, id to row; and keys that name no song.

    Raises:
        WrongUsageError: a key names several songs, or two keys one song but not one vector.
    """
    ids = store.known(vectors.keys)
    left = [key for key in vectors.keys if key not in ids]
    paths = dict(store.paths()) if left else {}
    endings = _Endings(paths.items())
    called: dict[str, set[str]] = {}
    for name, song in store.source_keys() if left else ():
        called.setdefault(name, set()).add(song)
    rows: dict[str, int] = {}
    unknown: list[str] = []
    for row, key in enumerate(vectors.keys):
        id = key if key in ids else _by_name(key, paths, called, endings)
        if id is None:
            unknown.append(key)
            continue
        first = rows.setdefault(id, row)
        if not np.array_equal(vectors.values[first], vectors.values[row]):
            raise WrongUsageError(
                f"{printable(vectors.keys[first])!r} and {printable(key)!r} are one song, and have "
                "different vectors: leave one of them out."
            )
    return rows, unknown


def _by_name(
    key: str, paths: Mapping[str, str], called: Mapping[str, set[str]], endings: "_Endings"
) -> str | None:
    """The song at a path, or that a data set or table calls so, or whose path ends so."""
    if "\0" in key:
        return None
    for spelled in (storable(key), storable(os.fspath(normal(Path(key))))):
        if spelled is not None and spelled in paths:
            return paths[spelled]
    found = called.get(str(indexable(key))) or endings.find(str(storable(key)))
    if len(found) > 1:
        raise WrongUsageError(
            f"{printable(key)!r} may be one of {len(found)} songs: name songs by their id, or by "
            "more of their path."
        )
    return next(iter(found), None)


class _Endings:
    """Songs by the last parts of their paths, which is what data sets call them by."""

    def __init__(self, paths: Iterable[tuple[str, str]]) -> None:
        self._by_name: dict[str, list[tuple[str, str]]] = {}
        for path, id in paths:
            name = path.replace("\\", "/").rpartition("/")[2]
            self._by_name.setdefault(name, []).append((path.replace("\\", "/"), id))

    def find(self, key: str) -> set[str]:
        """Songs whose path ends so."""
        ending = "/" + key.replace("\\", "/").removeprefix("./").lstrip("/")
        name = ending.rpartition("/")[2]
        return {id for path, id in self._by_name.get(name, ()) if path.endswith(ending)}
