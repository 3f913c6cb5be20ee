"""The feature space: what it is fitted on, what it gives, and what it refuses."""

import os
import subprocess
import sys

import numpy as np
import pytest

from kg.clusters import (
    CLIP,
    EMBEDDING_WEIGHT,
    NOWHERE,
    clusters_for,
    fit_space,
    lacking,
    no_numbers,
)
from kg.errors import KgError, WrongUsageError
from kg.records import Embedding, FeatureSet

FAMILIES = {"low": slice(0, 2), "high": slice(2, 5)}
COLUMNS = ("a", "b", "c", "d", "e")


def blobs(count: int = 200, seed: int = 0) -> np.ndarray:
    """Two well separated groups in `low`, noise in `high`."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 5)).astype(np.float32)
    x[: count // 2, :2] += 20
    return x * np.array([1, 10, 0.01, 1, 1], dtype=np.float32) + 5


def space_of(x: np.ndarray, fit: np.ndarray | None = None):
    fit = np.ones(len(x), dtype=bool) if fit is None else fit
    return fit_space(x, fit, FeatureSet("v", FAMILIES, COLUMNS))


def test_standardised_on_the_fitted_songs_only() -> None:
    x = blobs()
    fit = np.arange(len(x)) < 150
    x[~fit] += 1000  # held-out songs must leave no trace in scaler and centroids
    space = space_of(x, fit)
    standard = space.standardise(x)
    assert np.allclose(standard[fit].mean(axis=0), 0, atol=1e-4)
    assert np.allclose(standard[fit].std(axis=0), 1, atol=1e-3)
    same = space_of(np.vstack([x[fit], x[~fit] * 3]), fit)
    assert np.array_equal(space.mean, same.mean)
    assert all(np.array_equal(space.centroids[f], same.centroids[f]) for f in FAMILIES)
    assert np.abs(standard).max() == CLIP


def test_a_constant_column_is_zero_and_not_noise() -> None:
    x = blobs()
    x[:, 3] = 7.1
    assert np.allclose(space_of(x).standardise(x)[:, 3], 0, atol=1e-4)


def test_songs_of_one_blob_share_a_cluster_of_no_other() -> None:
    x = blobs()
    space = space_of(x)
    found = space.assign(space.standardise(x))["low"]
    assert not set(found.index[:100]) & set(found.index[100:])


def test_the_nearest_centroid_and_its_weight_are_right() -> None:
    x = blobs()
    space = space_of(x)
    standard = space.standardise(x)
    for family, part in FAMILIES.items():
        found = space.assign(standard)[family]
        distance = np.sqrt(
            ((standard[:, None, part] - space.centroids[family][None]) ** 2).mean(axis=2)
        )
        assert np.array_equal(found.index, distance.argmin(axis=1))
        assert np.allclose(found.weight, 1 / (1 + distance.min(axis=1)), atol=1e-4)


def test_families_weigh_the_same_in_the_metric() -> None:
    x = blobs()
    space = space_of(x)
    standard = np.zeros((3, 5), dtype=np.float32)
    standard[0, :2], standard[1, 2:], standard[2] = 1, 1, 1
    unit = space.metric(standard)
    assert np.allclose(np.linalg.norm(unit, axis=1), 1)
    assert unit[2] @ unit[0] == pytest.approx(unit[2] @ unit[1])
    assert np.isfinite(space.metric(np.zeros((1, 5), dtype=np.float32))).all()


def test_what_a_network_hears_is_louder_and_alone_nothing_changes() -> None:
    x = blobs()
    standard = space_of(x).standardise(x)
    assert np.array_equal(space_of(x).inputs(standard), standard)
    heard = FeatureSet(
        "v", FAMILIES, COLUMNS, embeddings=(Embedding("net", "1", "high", ("c", "d", "e")),)
    )
    space = fit_space(x, np.ones(len(x), dtype=bool), heard)
    loud = space.inputs(standard) / standard
    assert np.allclose(loud[:, 2:] ** 2 / loud[:, :1] ** 2, EMBEDDING_WEIGHT, rtol=1e-4)
    # In the mean over the families as loud as without: what models start with stays as it was.
    assert np.allclose((loud[:, 0] ** 2 + loud[:, 2] ** 2) / 2, 1, rtol=1e-4)


def test_the_same_songs_give_the_same_clusters() -> None:
    first, second = space_of(blobs()), space_of(blobs())
    assert all(np.array_equal(first.centroids[f], second.centroids[f]) for f in FAMILIES)


@pytest.mark.slow
def test_more_threads_give_the_same_clusters() -> None:
    program = (
        "import numpy as np, hashlib\n"
        "from kg.clusters import fit_space\n"
        "from kg.records import FeatureSet\n"
        "x = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32)\n"
        "kinds = FeatureSet('v', {'all': slice(0, 5)}, tuple('abcde'))\n"
        "space = fit_space(x, np.ones(2000, bool), kinds)\n"
        "print(hashlib.md5(space.centroids['all'].tobytes()).hexdigest())\n"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=dict(os.environ) | {"OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in (1, 8, 8)
    }
    assert len(prints) == 1


@pytest.mark.parametrize(("songs", "clusters"), [(1, 1), (3, 3), (60, 8), (10**6, 256)])
def test_number_of_clusters_follows_the_songs(songs: int, clusters: int) -> None:
    assert clusters_for(songs) == clusters


def test_fewer_distinct_songs_than_clusters() -> None:
    space = space_of(np.repeat(blobs(3), 10, axis=0))
    assert all(1 <= len(space.centroids[f]) <= 3 for f in FAMILIES)


def test_what_a_table_lacks_counts_as_the_mean() -> None:
    kinds = FeatureSet("v", FAMILIES, COLUMNS, None, given="token")
    x = blobs()
    x[::7, 1] = np.nan
    x[3, :2] = np.nan
    fit = np.arange(len(x)) < 150
    x[:150, 4] = np.nan  # nobody that is learned from has it
    space = fit_space(x, fit, kinds)
    there = x[fit, 1][~np.isnan(x[fit, 1])]
    assert space.mean[1] == pytest.approx(there.mean(), rel=1e-5)
    assert space.scale[1] == pytest.approx(there.std(), rel=1e-5)
    standard = space.standardise(x)
    assert np.isfinite(standard).all()
    assert not standard[::7, 1].any()
    assert not standard[:, 4].any()
    missing = lacking(kinds, x)
    assert np.flatnonzero(missing["low"]).tolist() == [3]
    assert not missing["high"].any()
    assigned = space.assign(standard, missing)
    assert assigned["low"].index[3] == NOWHERE
    assert (assigned["high"].index >= 0).all()
    assert np.allclose(np.linalg.norm(space.metric(standard), axis=1), 1)


def test_a_tables_numbers_may_be_as_large_as_any() -> None:
    x = blobs()
    x[0, 0], x[1, 0] = 3e38, -3e38
    space = fit_space(x, np.ones(200, bool), FeatureSet("v", FAMILIES, COLUMNS, given="token"))
    x[2, 0] = -3e38
    assert np.isfinite(space.standardise(x)).all()


def test_values_that_are_no_numbers() -> None:
    net = Embedding("file:net", "1", "high", ("c", "d", "e"))
    heard = FeatureSet("v", FAMILIES, COLUMNS, embeddings=(net,))
    x = blobs(6)
    x[0, 0] = np.nan
    x[1, 2:] = np.nan  # lacks the embedding
    x[2, 3] = np.nan  # of an embedding nobody has a part
    x[3, 1] = np.inf
    assert no_numbers(heard, x).tolist() == [True, False, True, True, False, False]
    given = FeatureSet("v", FAMILIES, COLUMNS, embeddings=(net,), given="token")
    assert no_numbers(given, x).tolist() == [False, False, True, True, False, False]
    assert no_numbers(None, x).tolist() == [True, True, True, True, False, False]


def test_wrong_number_of_columns_is_refused() -> None:
    space = space_of(blobs())
    with pytest.raises(KgError, match=r"4 feature columns.* has 5"):
        space.standardise(np.zeros((1, 4), dtype=np.float32))


def test_no_song_to_fit_on_and_a_bad_family_name() -> None:
    with pytest.raises(KgError, match="no song"):
        space_of(blobs(), np.zeros(200, dtype=bool))
    with pytest.raises(WrongUsageError, match="can't be called 'Not One'"):
        fit_space(blobs(), np.ones(200, bool), FeatureSet("v", {"Not One": slice(0, 5)}, COLUMNS))
