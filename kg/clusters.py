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

# Beyond this many standard deviations a value says "extreme" and no more: one broken file must
# not move a centroid or a projection.
CLIP = 6.0
# k-means on more songs than this changes centroids by less than the seed does.
FIT_SONGS = 50_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """The cluster of each song in one family.

    Attributes:
        index: Cluster of each song, int [n].
        weight: 1 / (1 + d), d the root mean square distance to the centroid in standard
            deviations: 1 on the centroid, 0.5 one standard deviation away; float [n].
    """

    index: NDArray[np.int64]
    weight: Floats


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """How raw features become standardised ones, and where the clusters lie among them.

    Attributes:
        version: Version of the feature set (a hash of its configuration).
        families: Columns of each family, `{"mfcc": slice(0, 60), ...}`, in column order.
        columns: Name of each column, d of them.
        mean: Mean of each raw column over the fitted songs, float [d].
        scale: Standard deviation of each raw column; 1 where it is constant; float [d].
        centroids: Standardised centroids of each family, float [k, columns of the family].
    """

    version: str
    families: Mapping[str, slice]
    columns: tuple[str, ...]
    mean: Floats
    scale: Floats
    centroids: Mapping[str, Floats]

    def standardise(self, features: Floats) -> Floats:
        """Raw features [n, d] to zero mean and unit variance, clipped to ±6; float32 [n, d].

        Raises:
            KgError: the number of columns is not this space's.
        """
        if features.ndim != 2 or features.shape[1] != len(self.columns):
            raise KgError(
                f"These songs have {features.shape[-1]} feature columns, the feature space "
                f"{self.version} has {len(self.columns)}: run `kg ingest` again on all of them."
            )
        standard = (features - self.mean) / self.scale
        clipped: Floats = np.clip(standard, -CLIP, CLIP).astype(np.float32)
        return clipped

    def metric(self, standard: Floats) -> Floats:
        """Vectors [n, d] whose inner product is the similarity of songs: their cosine, each
        family weighing the same however many columns it has.
        """
        weighted = standard.copy()
        for part in self.families.values():
            weighted[:, part] /= math.sqrt(part.stop - part.start)
        length = np.linalg.norm(weighted, axis=1, keepdims=True)
        weighted /= np.where(length > 0, length, np.float32(1))
        return weighted

    def assign(self, standard: Floats) -> dict[str, Assignment]:
        """The nearest cluster of each song [n, d], by family."""
        return {
            family: _nearest(standard[:, self.families[family]], centroids)
            for family, centroids in self.centroids.items()
        }


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
    mean = chosen.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = chosen.std(axis=0, dtype=np.float64).astype(np.float32)
    # A constant column has no unit of its own; rounding noise must not be blown up to one.
    scale = np.where(scale > 1e-6 * (np.abs(mean) + 1e-6), scale, np.float32(1))

    bare = FeatureSpace(kinds.version, kinds.families, kinds.columns, mean, scale, {})
    standard = bare.standardise(chosen)
    if len(standard) > FIT_SONGS:
        picked = np.random.default_rng(seed).choice(len(standard), FIT_SONGS, replace=False)
        standard = standard[np.sort(picked)]
    centroids: dict[str, Floats] = {}
    for family, part in kinds.families.items():
        points = standard[:, part]
        distinct = len(np.unique(points, axis=0))
        k = min(clusters_for(len(chosen)), distinct)
        # Full k-means is exact and quick for what fits in a cache; above that, batches.
        kind = KMeans if len(points) <= 10_000 else MiniBatchKMeans
        # Sums over several threads come out in another order each time: one thread, one result.
        with threadpool_limits(1):
            means = kind(n_clusters=k, n_init=3, random_state=seed).fit(points)
        centroids[family] = means.cluster_centers_.astype(np.float32)
    return replace(bare, centroids=centroids)


def _nearest(points: Floats, centroids: Floats) -> Assignment:
    """Nearest centroid [k, d] of each point [n, d], in blocks that stay in the cache."""
    index = np.empty(len(points), dtype=np.int64)
    weight = np.empty(len(points), dtype=np.float32)
    half_norms = 0.5 * np.einsum("kd,kd->k", centroids, centroids)
    for start in range(0, len(points), 8192):
        block = points[start : start + 8192]
        nearest = np.argmax(block @ centroids.T - half_norms, axis=1)
        distance = np.sqrt(np.mean((block - centroids[nearest]) ** 2, axis=1))
        index[start : start + 8192] = nearest
        weight[start : start + 8192] = 1 / (1 + distance)
    return Assignment(index, weight)
