"""How far a model has aged: what came into the graph since it last saw it as a whole."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from kg.clusters import CLIP
from kg.graph.rows import Floats
from kg.graph.store import GraphStore
from kg.graph.transactions import batches
from kg.records import FeatureSet

Since = Literal["training", "build"]
SINCE: Final[Mapping[Since, str]] = {
    "training": "were added since the training",
    "build": "were added since the last ingest",
}

# Standard errors shrink by the root of the songs: with a fifth of new ones what was estimated from
# the old ones gets a tenth better, 1 - sqrt(0.8). Of ten similar songs two are missing by then,
# since songs that were added are nobody's neighbours.
OLD_SHARE: Final = 0.2
# By chance the mean of m songs lies 1 / sqrt(m) standard deviations off, its standard error; three
# times that is no chance. Half a standard deviation is what is called a medium effect (Cohen 1988):
# less is measurable with enough songs, and moves few of them over a border.
NO_CHANCE: Final = 3.0
LARGE_DRIFT: Final = 0.5
# Means over more songs than this are known to 0.02 standard deviations, and no better is needed.
MOST_READ: Final = 2_000


@dataclass(frozen=True, slots=True)
class Ageing:
    """What came since the model, or the last build where there is no model of it.

    Attributes:
        since: `training`, or `build` where no model was trained on the graph as it is built.
        added: Songs that came by `kg add` since then.
        share: Of all songs.
        drift: How far their mean lies from that of the songs which the features are standardised
            by: root mean square over the columns, in standard deviations; None without such songs.
        chance: What that comes to for so many songs where nothing has changed.
        family: The family that drifted most.
        family_drift: How far that did.
        drifted: Whether that is large, and no chance.
        retrain: Why retraining is worth it, in plain words; empty: it isn't.
    """

    since: Since
    added: int
    share: float
    drift: float | None = None
    chance: float | None = None
    family: str | None = None
    family_drift: float | None = None
    drifted: bool = False
    retrain: Sequence[str] = ()


def ageing_of(
    store: GraphStore, kinds: FeatureSet, build: str, songs: int, *, trained: bool
) -> Ageing:
    """Look at the songs that were added to a build; no other song is read.

    Args:
        store: The graph.
        kinds: What its features mean.
        build: The finished build.
        songs: How many there are in all.
        trained: Whether the model in use was trained on this build.
    """
    since: Since = "training" if trained else "build"
    ids, scaler = store.added_to(build), store.scaler()
    share = len(ids) / songs if songs else 0.0
    many = _many(since, share)
    if not ids or scaler is None:
        return Ageing(since, len(ids), share, retrain=many)
    # Ids are hashes: every so-manieth of them is a sample.
    sample = ids[:: math.ceil(len(ids) / MOST_READ)]
    read = [store.features_of(batch, kinds).features for batch in batches(sample)]
    off = _mean_off(np.concatenate(read), *scaler)
    drift, chance = _rms(off), len(sample) ** -0.5
    family = max(kinds.families, key=lambda name: _rms(off[kinds.families[name]]))
    far = _rms(off[kinds.families[family]])
    drifted = drift >= max(LARGE_DRIFT, NO_CHANCE * chance)
    said = [*many, *([_drifted(since, drift, chance, family, far)] if drifted else [])]
    return Ageing(since, len(ids), share, drift, chance, family, far, drifted, said)


def _many(since: Since, share: float) -> list[str]:
    if share < OLD_SHARE:
        return []
    said = (
        f"{100 * share:.0f} % of the songs {SINCE[since]}: run `kg train`, which makes scales, "
        "clusters and similar songs anew with them."
    )
    return [said]


def _drifted(since: Since, drift: float, chance: float, family: str, far: float) -> str:
    return (
        f"The songs that {SINCE[since]} sound unlike those before: their mean is "
        f"{drift:.1f} standard deviations away ({far:.1f} in {family}), where chance gives "
        f"{chance:.1f}. Run `kg train`."
    )


def _mean_off(features: Floats, mean: Floats, scale: Floats) -> Floats:
    """Mean of each column [d] of songs [m, d], in standard deviations; 0 where all lack it."""
    standard = np.clip((features - mean) / scale, -CLIP, CLIP)
    there = ~np.isnan(standard)
    total = np.where(there, standard, 0).sum(axis=0)
    off: Floats = (total / np.maximum(there.sum(axis=0), 1)).astype(np.float32)
    return off


def _rms(off: Floats) -> float:
    return float(np.sqrt(np.mean(off**2)))
