"""A model beside what it has to beat: the same net without the graph, tabular models, majority."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from kg.genres.levels import implied_by
from kg.graph.rows import Floats, GraphRows
from kg.metrics.evaluate import (
    Bools,
    Confusion,
    Difference,
    Estimate,
    GenreScore,
    Rows,
    Score,
    Scores,
    artist_groups,
    by_genre,
    compare,
    confusions,
)
from kg.metrics.known_artists import ARTISTS_GENRE
from kg.metrics.several import (
    FEWEST_TO_THRESHOLD,
    SeveralScore,
    best_threshold,
    genre_figures,
    measure_several,
)
from kg.schema import SPLITS
from kg.splits.songs import fingerprint_of_songs

if TYPE_CHECKING:
    from torch import Tensor

R_GCN, WITHOUT_GRAPH, MAJORITY = "R-GCN + DistMult", "the same without the graph", "majority"

T = TypeVar("T", Score, Difference, SeveralScore)

Side = Literal["valid", "test"]

# Confusions that a model remembers: all of some twenty genres.
LISTED = 400


@dataclass(frozen=True, slots=True)
class Measured:
    """What classifiers came to on the songs of one side; the first one is the model.

    Attributes:
        songs: How many songs.
        scores: Of each classifier.
        differences: The model against each of the others.
        genres: The model by genre.
        confusions: What the model takes for what, the most frequent first.
        several: Of each classifier where songs have several genres; of several runs the first.
    """

    songs: int
    scores: Sequence[Score]
    differences: Sequence[Difference]
    genres: Sequence[GenreScore]
    confusions: Sequence[Confusion]
    several: Sequence[SeveralScore] = ()


@dataclass(frozen=True, slots=True)
class TabularChoice:
    """Which tabular model is the best one, chosen without a look at test songs.

    Attributes:
        kind: What it is.
        settings: Its settings.
        chosen_by: `validation`, `cross-validation` or `nothing`.
        tried: The best macro-F1 of each kind there.
        songs: Songs it was fitted on; large libraries are thinned out for it.
        of: Songs that there are to learn from.
    """

    kind: str
    settings: Mapping[str, Any]
    chosen_by: str
    tried: Mapping[str, float]
    songs: int
    of: int


class Labelled:
    """The labelled songs of a graph as arrays.

    Attributes:
        truth: Genres of every song, bool [n, g].
        multi_label: Some training song has several: a model learns, and says, one genre of a song
            otherwise, whatever the songs have that it is measured on.
        rows: Rows of the labelled songs, by split.
        implied: Genres that others are kinds of, where songs have several; see
            `models.hierarchy.lift`.
    """

    def __init__(self, rows: GraphRows) -> None:
        self._graph = rows
        self.truth: Bools = np.zeros((len(rows.songs), len(rows.genres)), dtype=np.bool_)
        self.truth[rows.in_genre[0], rows.in_genre[1]] = True
        sides = np.array([side or "" for side in rows.songs.splits])
        has = self.truth.any(axis=1)
        self.rows: dict[str, Rows] = {s: np.flatnonzero((sides == s) & has) for s in SPLITS}
        self.multi_label = bool((self.truth[self.rows["train"]].sum(axis=1) > 1).any())
        self.implied = implied_by(rows.genres, rows.tree) if self.multi_label else []

    def consistent(self, scores: "Tensor") -> "Tensor":
        """Scores [n, g] in which a genre has at least those of its subgenres."""
        from models.hierarchy import lift

        return lift(scores, self.implied)

    def measure(
        self,
        side: Side,
        classifiers: Mapping[str, Sequence[Scores]],
        *,
        seed: int,
        validation: Mapping[str, Sequence[Scores]] | None = None,
    ) -> Measured:
        """Measure classifiers on the songs of one side, the first one by genre too.

        Args:
            side: `valid` or `test`.
            classifiers: Scores of every song of that side, by name; one or several runs.
            seed: Of the resampling.
            validation: What the same runs say of the validation songs. Where songs have several
                genres these set from which score on a song gets one, each classifier's by its own;
                without them it is 0 for all, as validation songs can't set what they measure.

        Raises:
            ValueError: validation songs were to set their own threshold, or of some classifiers
                nothing is known there.
        """
        if validation is not None and (side == "valid" or validation.keys() != classifiers.keys()):
            raise ValueError("thresholds are set by what every classifier says of other songs")
        rows = self.rows[side]
        if len(rows) == 0:
            return Measured(0, [], [], [], [], [])
        truth, genres = self.truth[rows], self._graph.genres
        artists = [self._graph.songs.artists[row] for row in rows]
        scores, differences = compare(
            truth,
            classifiers,
            artists,
            multi_label=self.multi_label,
            seed=seed,
        )
        first = next(iter(classifiers.values()))[0]
        by_name = by_genre(truth, first, genres, multi_label=self.multi_label)
        several: list[SeveralScore] = []
        if self.multi_label:
            precisions, areas = genre_figures(first, truth)
            at = {name: row for row, name in enumerate(genres)}
            by_name = [
                replace(
                    each,
                    average_precision=precisions[at[each.genre]],
                    roc_auc=areas[at[each.genre]],
                )
                for each in by_name
            ]
            several = measure_several(
                truth,
                {name: runs[0] for name, runs in classifiers.items()},
                artists,
                genres,
                self._graph.tree,
                thresholds=self._thresholds(validation),
                seed=seed,
            )
        return Measured(
            len(rows),
            scores,
            differences,
            by_name,
            confusions(truth, first, genres)[:LISTED],
            several,
        )

    def _thresholds(
        self, validation: Mapping[str, Sequence[Scores]] | None
    ) -> dict[str, float] | None:
        """Threshold of the first run of each, by the validation songs' scores [v, g]."""
        truth = self.truth[self.rows["valid"]]
        if validation is None or len(truth) < FEWEST_TO_THRESHOLD:
            return None
        return {name: best_threshold(runs[0], truth) for name, runs in validation.items()}

    def tabular(self, x: Floats, *, seed: int) -> tuple[TabularChoice, dict[Side, Scores]]:
        """Choose the best tabular model on validation songs and let it score both sides.

        Args:
            x: Standardised features of every song, float32 [n, d].
            seed: Of the lot by which large libraries are thinned out.
        """
        from models.baselines.tabular import best_tabular
        from models.training import FEWEST_TO_VALIDATE

        train, valid = self.rows["train"], self.rows["valid"]
        found = best_tabular(
            x[train],
            self.truth[train],
            x[np.concatenate([valid, self.rows["test"]])],
            groups=artist_groups([self._graph.songs.artists[row] for row in train]),
            validation=(
                (x[valid], self.truth[valid]) if len(valid) >= FEWEST_TO_VALIDATE else None
            ),
            seed=seed,
        )
        choice = TabularChoice(
            found.kind,
            dict(found.settings),
            found.chosen_by,
            dict(found.tried),
            found.rows,
            len(train),
        )
        told = self._consistent(found.scores)
        return choice, {"valid": told[: len(valid)], "test": told[len(valid) :]}

    def _consistent(self, scores: Scores) -> Scores:
        import torch

        lifted: Scores = self.consistent(torch.from_numpy(scores)).numpy()
        return lifted

    def majority(self, side: Side) -> Scores:
        """Score genres by how frequent they are."""
        from models.baselines.tabular import majority

        told = majority(self.truth[self.rows["train"]], len(self.rows[side]))
        return self._consistent(told)

    def test_split(self) -> str:
        """Fingerprint of the test songs."""
        return fingerprint_of_songs([self._graph.songs.ids[row] for row in self.rows["test"]])


def verdict(differences: Sequence[Difference]) -> list[str]:
    """Plain sentences: whether the graph helped, and whether the best tabular model is beaten."""
    said = []
    for difference in differences:
        gap = difference.macro_f1
        points = _points(gap)
        if difference.against == WITHOUT_GRAPH:
            rest = f": {points} of macro-F1 against the same net without it."
            if gap.low > 0:
                said.append(f"The graph helped{rest}")
            elif gap.high < 0:
                said.append(f"The graph did harm{rest}")
            else:
                said.append(f"Whether the graph helped can't be told{rest}")
        elif difference.against == ARTISTS_GENRE:
            said.append(_against(ARTISTS_GENRE, gap))
        elif difference.against != MAJORITY:
            other = f"{difference.against}, the best of the tabular models"
            said.append(_against(other, gap))
    return said


def _against(other: str, gap: Estimate) -> str:
    if gap.low > 0:
        return f"It is better than {other}: {_points(gap)}."
    if gap.high < 0:
        return f"It is worse than {other}: {_points(gap)}."
    return f"It can't be told apart from {other}: {_points(gap)}."


def _points(gap: Estimate) -> str:
    # Adding 0 takes the sign off what rounds to nothing.
    value, low, high = (round(100 * end, 1) + 0 for end in (gap.value, gap.low, gap.high))
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"


def metrics(
    test: Measured,
    valid: Measured,
    split_sizes: Mapping[str, int],
    validation_f1: float | None,
    seed: int,
) -> dict[str, Any]:
    """The numbers that a `Model` node keeps: the main ones flat, all of them nested."""
    kept: dict[str, Any] = {f"{name}Songs": count for name, count in split_sizes.items()}
    kept["seed"] = seed
    if validation_f1 is not None:
        kept["validMacroF1"] = validation_f1
    for found in test.scores[:1]:
        kept["accuracy"] = found.accuracy.value
        kept["macroF1"] = found.macro_f1.value
        kept["mrr"] = found.mrr.value
        kept["hitsAt3"] = found.hits_at_3.value
        kept["meanAveragePrecision"] = found.mean_average_precision.value
    for several in test.several[:1]:
        kept["genreAveragePrecision"] = several.genre_average_precision.value
        kept["rocAuc"] = several.roc_auc.value
        kept["labelRankingAveragePrecision"] = several.label_ranking.value
        kept["microF1"] = several.micro_f1.value
        kept["macroF1AtThreshold"] = several.macro_f1.value
        kept["genreThreshold"] = several.threshold
        if several.hierarchical_f1 is not None:
            kept["hierarchicalF1"] = several.hierarchical_f1.value
    for difference in test.differences:
        if difference.against == WITHOUT_GRAPH:
            kept["graphGain"] = difference.macro_f1.value
    return kept | {"test": asdict(test), "valid": asdict(valid)}


def recorded(metrics: Mapping[str, Any], side: Side) -> Measured | None:
    """What a model came to when it was trained, read back from its node; None: not kept."""
    kept = metrics.get(side)
    if not isinstance(kept, Mapping):
        return None
    return Measured(
        songs=kept["songs"],
        scores=[_with_estimates(Score, each, "name") for each in kept["scores"]],
        differences=[_with_estimates(Difference, each, "against") for each in kept["differences"]],
        genres=[GenreScore(**each) for each in kept["genres"]],
        confusions=[Confusion(**each) for each in kept["confusions"]],
        several=[_with_estimates(SeveralScore, each, "name") for each in kept.get("several", ())],
    )


def _with_estimates(kind: type[T], kept: Mapping[str, Any], name: str) -> T:
    """Make a record whose fields are all estimates but its name and plain numbers."""
    values: dict[str, Any] = {
        key: Estimate(**value) if key != name and isinstance(value, Mapping) else value
        for key, value in kept.items()
    }
    return kind(**values)
