"""The feature space: standardised columns by family, and k-means clusters within each family.

Scaler and clusters are fitted on the songs that are not held out (no `valid`, no `test` song), so
that nothing about the songs a model is measured on flows into what it is given.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kg.errors import KgError
from kg.records import FeatureSet
from kg.schema import check_family_name

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

NOWHERE = -1  # the cluster of a song that lacks the family

# Beyond this many standard deviations a value says "extreme" and no more: one broken file must
# not move a centroid or a projection.
CLIP = 6.0
# By how much an embedding decides who is similar. Of the ten nearest clips by other artists (443 of
# GTZAN, tags of musicnn beside six families of librosa's) 43 % share the genre where it weighs as
# much as one family, 58 % at 1, 62 % at 4, 63 % at 16 and above; without it 33 %.
EMBEDDING_WEIGHT = 16
_BLOCK = 8192  # songs that stay in the cache
# k-means on more songs than this changes centroids by less than the seed does.
FIT_SONGS = 50_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """The cluster of each song in one family.

    Attributes:
        index: Cluster of each song, or `NOWHERE`, int [n].
        weight: 1 / (1 + d), d the root mean square distance to the centroid in standard
            deviations: 1 on the centroid, 0.5 one standard deviation away; float [n].
    """

    index: NDArray[np.int64]
    weight: Floats


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """How raw features become standardised ones, and where the clusters lie among them.

    Attributes:
        kinds: What the raw columns mean.
        mean: Mean of each raw column over the fitted songs, float [d].
        scale: Standard deviation of each raw column; 1 where it is constant; float [d].
        centroids: Standardised centroids of each family, float [k, columns of the family].
    """

    kinds: FeatureSet
    mean: Floats
    scale: Floats
    centroids: Mapping[str, Floats]

    @property
    def version(self) -> str:
        """Version of the feature set."""
        return self.kinds.version

    @property
    def families(self) -> Mapping[str, slice]:
        """Columns of each family, in column order."""
        return self.kinds.families

    @property
    def columns(self) -> tuple[str, ...]:
        """Name of each column, d of them."""
        return self.kinds.columns

    def standardise(self, features: Floats) -> Floats:
        """Raw features [n, d] to zero mean and unit variance, clipped to ±6; float32 [n, d].

        Where a song lacks a value it gets the mean: zero.

        Raises:
            KgError: the number of columns is not this space's.
        """
        if features.ndim != 2 or features.shape[1] != len(self.columns):
            raise KgError(
                f"These songs have {features.shape[-1]} feature columns, the feature space "
                f"{self.version} has {len(self.columns)}: run `kg ingest` again on all of them."
            )
        with np.errstate(over="ignore"):  # a table's numbers may be as large as any: they are cut
            standard = (features - self.mean) / self.scale
        clipped: Floats = np.clip(standard, -CLIP, CLIP).astype(np.float32)
        if self.kinds.embeddings or self.kinds.given:
            np.nan_to_num(clipped, copy=False)
        return clipped

    def inputs(self, standard: Floats) -> Floats:
        """What models are given of standardised features [n, d]: float32 [n, d].

        The same where there is no embedding. Else families are as loud as in `metric`: models
        learn that librosa's values matter less only from many songs.
        """
        return standard * self.loudness() if self.kinds.embeddings else standard

    def loudness(self) -> Floats:
        """By how much `inputs` multiplies each column, float32 [d]; its square is 1 in the mean
        over the families.
        """
        weights = self._weights()
        mean = sum(weights.values()) / len(weights)
        loud = np.ones(len(self.columns), dtype=np.float32)
        for family, part in self.families.items():
            loud[part] = math.sqrt(weights[family] / mean)
        return loud

    def metric(self, standard: Floats) -> Floats:
        """Vectors [n, d] whose inner product is the similarity of songs: their cosine.

        Each of our own families weighs the same however many columns it has, and an embedding
        `EMBEDDING_WEIGHT` times as much as all of these together.
        """
        weighted = standard.copy()
        weights = self._weights()
        for family, part in self.families.items():
            weighted[:, part] *= math.sqrt(weights[family] / (part.stop - part.start))
        length = np.linalg.norm(weighted, axis=1, keepdims=True)
        weighted /= np.where(length > 0, length, np.float32(1))
        return weighted

    def _weights(self) -> dict[str, int]:
        heard = {each.family for each in self.kinds.embeddings}
        own = max(1, len(self.families) - len(heard))
        return {
            family: EMBEDDING_WEIGHT * own if family in heard else 1 for family in self.families
        }

    def assign(
        self, standard: Floats, lacking: Mapping[str, Bools] | None = None
    ) -> dict[str, Assignment]:
        """The nearest cluster of each song [n, d], by family.

        Args:
            standard: From `standardise`.
            lacking: From `lacking`: these songs are in no cluster of that family.
        """
        found = {
            family: _nearest(standard[:, self.families[family]], centroids)
            for family, centroids in self.centroids.items()
        }
        for family, songs in (lacking or {}).items():
            found[family].index[songs] = NOWHERE
        return found


def lacking(kinds: FeatureSet, features: Floats) -> dict[str, Bools]:
    """Which songs lack all values of a family, by family, bool [n]; families that none can lack
    are left out.

    Of an embedding a song has all values or none, so that its first column tells; a table may lack
    any.

    Args:
        kinds: What the columns mean.
        features: Raw features, float32 [n, d].
    """
    heard = {each.family for each in kinds.embeddings}
    found: dict[str, Bools] = {}
    for family, part in kinds.families.items():
        if family in heard:
            found[family] = np.isnan(features[:, part.start])
        elif kinds.given:
            found[family] = np.asarray(np.isnan(features[:, part]).all(axis=1))
    return found


def no_numbers(kinds: FeatureSet | None, features: Floats) -> Bools:
    """Which songs have values that are no numbers, and not missing either: bool [n].

    Args:
        kinds: What the columns mean; None: nobody says.
        features: Raw features, float32 [n, d].
    """
    broken = ~np.isfinite(features)
    if kinds is not None:
        heard = {each.family for each in kinds.embeddings}
        for family, missing in lacking(kinds, features).items():
            part = kinds.families[family]
            whole = missing[:, None] if family in heard else np.True_
            broken[:, part] &= ~(whole & np.isnan(features[:, part]))
    return np.asarray(broken.any(axis=1))


def clusters_for(songs: int) -> int:
    """Clusters a family gets: about the square root of the songs, 4 to 256, never more than
    the songs.
    """
    return max(1, min(songs, max(4, min(256, round(math.sqrt(songs))))))


def fit_space(
    features: Floats, fit: NDArray[np.bool_], kinds: FeatureSet, *, seed: int = 0
) -> FeatureSpace:
    """Fit scaler and clusters on the songs that `fit` names.

    Args:
        features: Raw features of all songs, float32 [n, d].
        fit: Which songs to learn from, bool [n].
        kinds: What the columns mean.
        seed: Seed of k-means.

    Raises:
        KgError: there is no song to learn from.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    for family in kinds.families:
        check_family_name(family)
    chosen = features[fit]
    if len(chosen) == 0:
        raise KgError("There is no song to fit the feature space on: ingest some first.")
    missing = lacking(kinds, chosen)
    mean, scale = _mean_and_std(chosen, kinds, missing)
    # A constant column has no unit of its own; rounding noise must not be blown up to one. One of
    # which nothing is known (a NaN) stays so: it says nothing of the songs that have it.
    scale = np.where(scale > 1e-6 * (np.abs(mean) + 1e-6), scale, np.float32(1))

    bare = FeatureSpace(kinds, mean, scale, {})
    standard = bare.standardise(chosen)
    if len(standard) > FIT_SONGS:
        picked = np.random.default_rng(seed).choice(len(standard), FIT_SONGS, replace=False)
        picked.sort()
        standard = standard[picked]
        missing = {family: songs[picked] for family, songs in missing.items()}
    centroids: dict[str, Floats] = {}
    for family, part in kinds.families.items():
        points = standard[:, part]
        if family in missing:
            points = points[~missing[family]]
        if len(points) == 0:  # only held-out songs have it: they are all around the mean
            points = np.zeros((1, part.stop - part.start), np.float32)
        distinct = len(np.unique(points, axis=0))
        k = min(clusters_for(len(chosen)), distinct)
        # Full k-means is exact and quick for what fits in a cache; above that, batches.
        kind = KMeans if len(points) <= 10_000 else MiniBatchKMeans
        # Sums over several threads come out in another order each time: one thread, one result.
        with threadpool_limits(1):
            means = kind(n_clusters=k, n_init=3, random_state=seed).fit(points)
        centroids[family] = means.cluster_centers_.astype(np.float32)
    return replace(bare, centroids=centroids)


def _mean_and_std(
    chosen: Floats, kinds: FeatureSet, missing: Mapping[str, Bools]
) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column [d], over the songs that have it."""
    mean, std = np.zeros((2, chosen.shape[1]), dtype=np.float32)
    own = kinds.families[kinds.embeddings[0].family].start if kinds.embeddings else len(mean)
    if kinds.given:
        mean[:own], std[:own] = moments(chosen[:, :own])
    else:
        mean[:own] = chosen[:, :own].mean(axis=0, dtype=np.float64)
        std[:own] = chosen[:, :own].std(axis=0, dtype=np.float64)
    for each in kinds.embeddings:
        part, songs = kinds.families[each.family], missing[each.family]
        there = chosen[~songs, part]
        if len(there):
            mean[part] = there.mean(axis=0, dtype=np.float64)
            std[part] = there.std(axis=0, dtype=np.float64)
    return mean, std


def moments(features: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation [d] of the values that are there; NaN in a column without any.

    Args:
        features: float32 [n, d]; NaN where a value is missing.
    """
    blocks = range(0, len(features), _BLOCK)
    total, squares = np.zeros((2, features.shape[1]), dtype=np.float64)
    count = np.zeros(features.shape[1], dtype=np.int64)
    for start in blocks:
        block = features[start : start + _BLOCK]
        count += len(block) - np.isnan(block).sum(axis=0)
        total += np.nansum(block, axis=0, dtype=np.float64)
    there = count > 0
    mean = np.divide(total, count, out=np.full(len(total), np.nan), where=there)
    for start in blocks:
        block = features[start : start + _BLOCK].astype(np.float64) - mean
        squares += np.nansum(np.square(block), axis=0)
    variance = np.divide(squares, count, out=np.full(len(total), np.nan), where=there)
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)


def _nearest(points: Floats, centroids: Floats) -> Assignment:
    """Nearest centroid [k, d] of each point [n, d], in blocks that stay in the cache."""
    index = np.empty(len(points), dtype=np.int64)
    weight = np.empty(len(points), dtype=np.float32)
    half_norms = 0.5 * np.einsum("kd,kd->k", centroids, centroids)
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        nearest = np.argmax(block @ centroids.T - half_norms, axis=1)
        distance = np.sqrt(np.mean((block - centroids[nearest]) ** 2, axis=1))
        index[start : start + _BLOCK] = nearest
        weight[start : start + _BLOCK] = 1 / (1 + distance)
    return Assignment(index, weight)
