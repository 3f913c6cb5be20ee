"""Labels that are in doubt, by the song's sound and by its artist's other songs.

Each song is told by a model that learned none of its artist's songs (`kg.audit.told`). What that
says is weighed together with the artist's other songs: with what they are filed under, and with how
they sound, lest an artist whose songs are all filed wrongly vouches for them. docs/audit.md says
how that was chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from kg.genres.tree import Tree
from kg.graph.rows import Floats
from kg.metrics.evaluate import Bools, Rows

Kind = Literal["wrong", "missing", "extra"]
"""Filed under one genre and probably of another; of one more; or of one less, where songs may have
several."""

FEWEST_GROUPS: Final = 3
"""A genre of fewer artists can't be learned from others."""

LABEL_SHARE: Final = 0.3
"""How much of what another song of an artist says is its label; the rest is how it sounds."""

TIMES: Final = 20
"""A label is disputed where another genre is so many times as probable."""
LEAST_PROBABLE: Final = 0.3
"""And at least as probable as this."""
LEAST_LIKELY: Final = 0.5
"""The same where songs may have several genres, each of which is probable by itself."""
LEAST_MISSING: Final = 0.9
"""There a genre is missing that is as probable as this."""
MOST_EXTRA: Final = 0.03
"""And one is too many that is no more probable than this."""


@dataclass(frozen=True, slots=True)
class Disputed:
    """A song whose label is disputed, by its row and the columns of genres.

    Attributes:
        row: Of the song.
        kind: What may be wrong.
        genre: What it would say instead, or in addition; of one too many the likeliest that stays.
        replaces: Genres that would go.
        strength: Probability of `genre`; of one too many how improbable that is.
        filed_strength: Probability of what would go; 0 where nothing would.
    """

    row: int
    kind: Kind
    genre: int
    replaces: tuple[int, ...]
    strength: float
    filed_strength: float


def judgeable(truth: Bools, group: Rows) -> tuple[Rows, Rows]:
    """Which songs and which genres can be judged: rows and columns, ascending.

    Args:
        truth: Genres of each song, bool [n, g].
        group: What songs share an artist or a recording with, int64 [n]; -1: it can't be told.
    """
    pairs = np.stack(np.nonzero(truth & (group >= 0)[:, None]))
    pairs[0] = group[pairs[0]]
    groups = np.bincount(np.unique(pairs, axis=1)[1], minlength=truth.shape[1])
    columns = np.flatnonzero(groups >= FEWEST_GROUPS)
    rows = np.flatnonzero((group >= 0) & truth[:, columns].any(axis=1))
    return rows, columns


def with_others(probabilities: Floats, truth: Bools, group: Rows, *, several: bool) -> Floats:
    """Probabilities by sound, weighed with what the others of its group are: float32 [n, g].

    Bayes' rule: p'(g) is p(g) * q(g) / b(g), made to sum to 1; where songs may have several genres
    the same with the odds of each. b(g) is the share of g in the library, and q(g) its share among
    the others of the group, the library counted as one more.

    Args:
        probabilities: What was said of each song by its sound, float32 [n, g].
        truth: Genres of each song as they are filed, bool [n, g].
        group: What songs share an artist or a recording with, int64 [n].
        several: Whether songs may have several genres.
    """
    _, group = np.unique(group, return_inverse=True)
    labels = truth.astype(np.float64)
    if not several:
        labels /= labels.sum(axis=1, keepdims=True)
    own = LABEL_SHARE * labels + (1 - LABEL_SHARE) * probabilities
    total = np.zeros((int(group.max()) + 1, truth.shape[1]))
    np.add.at(total, group, own)
    others = np.bincount(group)[group][:, None] - 1
    base = own.mean(axis=0).clip(1e-9, 1 - 1e-9)
    share = ((total[group] - own) + base) / (others + 1)
    if several:
        share = share.clip(1e-9, 1 - 1e-9)
        inner = probabilities.astype(np.float64).clip(1e-9, 1 - 1e-9)
        odds = inner / (1 - inner) * share / (1 - share) * (1 - base) / base
        weighed: Floats = (odds / (1 + odds)).astype(np.float32)
        return weighed
    product = probabilities * share / base
    shares: Floats = (product / product.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def related(genres: Sequence[str], tree: Tree) -> Bools:
    """Whether one genre is a kind of the other, or the same, and no dispute: bool [g, g]."""
    at = {name: row for row, name in enumerate(genres)}
    found: Bools = np.eye(len(genres), dtype=np.bool_)
    for name, row in at.items():
        for other in tree.above(name) | tree.below(name):
            if other in at:
                found[row, at[other]] = found[at[other], row] = True
    return found


def disputes(probabilities: Floats, truth: Bools, kin: Bools, *, several: bool) -> list[Disputed]:
    """The songs whose labels are disputed, the surest first: by how much less probable these are.

    Args:
        probabilities: Of genres, float32 [n, g].
        truth: Genres of each song as they are filed, bool [n, g].
        kin: From `related`.
        several: Whether songs may have several genres.
    """
    found = (
        _of_several(probabilities, truth, kin) if several else _of_one(probabilities, truth, kin)
    )
    return sorted(found, key=lambda each: (each.filed_strength - each.strength, each.row))


def _of_one(probabilities: Floats, truth: Bools, kin: Bools) -> list[Disputed]:
    mine = (truth.astype(np.float32) @ kin.astype(np.float32)) > 0
    filed = np.where(mine, probabilities, 0).sum(axis=1)
    others = np.where(mine, -1, probabilities)
    first = others.argmax(axis=1)
    strength = others[np.arange(len(first)), first]
    rows = np.flatnonzero(strength >= np.maximum(LEAST_PROBABLE, TIMES * filed))
    return [
        Disputed(
            row,
            "wrong",
            int(first[row]),
            tuple(np.flatnonzero(truth[row]).tolist()),
            float(strength[row]),
            float(filed[row]),
        )
        for row in rows.tolist()
    ]


def _of_several(probabilities: Floats, truth: Bools, kin: Bools) -> list[Disputed]:
    """One dispute a song at most: a wrong genre for a missing one where both are there."""
    found = []
    mine = (truth.astype(np.float32) @ kin.astype(np.float32)) > 0
    others = np.where(mine, -1, probabilities)
    first = others.argmax(axis=1)
    # A genre is as probable as what is a kind of it, or what it is a kind of.
    lifted = np.empty_like(probabilities)
    for column in range(truth.shape[1]):
        lifted[:, column] = probabilities[:, kin[column]].max(axis=1)
    filed = np.where(truth, lifted, 2)
    least = filed.argmin(axis=1)
    weakest, missed = filed.min(axis=1), others.max(axis=1)
    another = missed >= np.maximum(LEAST_LIKELY, TIMES * weakest)
    extra = weakest <= MOST_EXTRA
    for row in np.flatnonzero(another | extra | (missed >= LEAST_MISSING)).tolist():
        genre, gone = int(first[row]), int(least[row])
        strength, filed_strength = float(missed[row]), float(weakest[row])
        staying = np.flatnonzero(truth[row])
        staying = staying[staying != gone]
        if another[row]:
            found.append(Disputed(row, "wrong", genre, (gone,), strength, filed_strength))
        elif strength >= LEAST_MISSING:
            found.append(Disputed(row, "missing", genre, (), strength, 0.0))
        elif extra[row] and len(staying):
            likeliest = int(staying[lifted[row, staying].argmax()])
            sure = 1 - filed_strength
            found.append(Disputed(row, "extra", likeliest, (gone,), sure, filed_strength))
    return found
