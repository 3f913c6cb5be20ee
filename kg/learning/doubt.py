"""When a model's word is worth something: calibrated probabilities, and `unknown` with a reason.

Everything is set on songs that nothing was learned from; `kg.learning.trust` measures it on others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kg.embeddings.choice import is_file
from kg.errors import NotReadyError, WrongUsageError
from kg.graph.rows import Floats, GraphRows, Guess, Verdict
from kg.learning.ranking import ranked
from kg.records import FeatureSet

if TYPE_CHECKING:
    from torch import Tensor

    from kg.metrics.evaluate import Rows
    from kg.metrics.measuring import Labelled
    from models.abstention import Threshold
    from models.calibration import Calibration
    from models.checkpoint import Checkpoint
    from models.hierarchy import Implied
    from models.novelty import Novelty

UNKNOWN: Final = "unknown"
LOW_PROBABILITY: Final = "low probability"
UNLIKE: Final = "unlike the library"
# Of GTZAN's songs by artists held out 74 in 100 get a genre for 0.8 where musicnn listens, 13 where
# librosa alone does; for 0.9 it is 48 and 2.
PRECISION: Final = 0.8
# A song is unlike the library that is further away than so large a share of the songs learned from.
# Of GTZAN's songs by artists held out 1 to 2 in 100 are so, and of a genre left out 4 (librosa's
# statistics) or 22 (musicnn's tags); above 0.95 it is 4 to 6 for 8 and 35.
UNLIKE_ABOVE = 0.98
# What a checkpoint keeps of a `Novelty`, in the order of its fields.
_NOVELTY: Final = ("weights", "references", "held_out")


@dataclass(frozen=True, slots=True)
class Answer:
    """All that a model says of a song: its first genres, and what they come to."""

    guesses: Sequence[Guess]
    verdict: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """How far a model's scores are to be believed.

    Attributes:
        calibration: How scores become probabilities.
        threshold: From which probability on a song gets a genre.
        novelty: How unlike the songs learned from a song is.
        references: Ids of the songs that `novelty` holds others against.
        implied: Genres that others are kinds of, whose scores are at least theirs. The first genre
            of a song is the most specific one that is probable enough: see `kg.learning.ranking`.
    """

    calibration: "Calibration"
    threshold: "Threshold | None" = None
    novelty: "Novelty | None" = None
    references: Sequence[str] = ()
    implied: "Implied" = ()

    @property
    def calibrated(self) -> bool:
        """Whether anything was set; models from before this are believed as they are."""
        return self.threshold is not None

    def answers(
        self, genres: Sequence[str], ids: Sequence[str], scores: "Tensor", x: "Tensor"
    ) -> list[Answer]:
        """What is said of songs.

        Args:
            genres: Names, g of them.
            ids: Keys of the songs, n of them.
            scores: [n, g].
            x: What the model is given of them (`FeatureSpace.inputs`), [n, d].
        """
        from models.hierarchy import lift

        scores = lift(scores, self.implied)
        told = ranked(
            genres,
            scores,
            self.calibration.probabilities(scores),
            self.implied,
            several=self.calibration.multi_label,
            least=0.0 if self.threshold is None else self.threshold.value,
        )
        new = self._novelty(ids, x)
        return [Answer(own, self._verdict(own[0], new[row])) for row, own in enumerate(told)]

    def _novelty(self, ids: Sequence[str], x: "Tensor") -> list[float | None]:
        if self.novelty is None:
            return [None] * len(ids)
        at = {id: row for row, id in enumerate(self.references)}
        return list(self.novelty.of(x, [at.get(id, -1) for id in ids]).tolist())

    def _verdict(self, first: Guess, novelty: float | None) -> Verdict:
        if self.threshold is None:
            return Verdict(first.genre)
        if novelty is not None and novelty > UNLIKE_ABOVE:
            return Verdict(UNKNOWN, UNLIKE, novelty)
        if first.probability < self.threshold.value:
            return Verdict(UNKNOWN, LOW_PROBABILITY, novelty)
        return Verdict(first.genre, None, novelty)

    def description(self) -> dict[str, Any]:
        """What a checkpoint keeps of it as JSON."""
        if self.threshold is None:
            return {}
        return {
            "doubt": {
                "calibration": asdict(self.calibration),
                "threshold": asdict(self.threshold),
                "references": list(self.references),
                "implied": [[above, list(below)] for above, below in self.implied],
            }
        }

    def tensors(self) -> "dict[str, Tensor]":
        """What a checkpoint keeps of it as tensors."""
        if self.novelty is None:
            return {}
        return {f"novelty.{name}": getattr(self.novelty, name) for name in _NOVELTY}


def judge_of(loaded: "Checkpoint") -> Judge:
    """What a checkpoint says of how far it is to be believed; older ones say nothing.

    Raises:
        NotReadyError: what it says can't be used.
    """
    from models.abstention import Threshold
    from models.calibration import Calibration
    from models.novelty import Novelty

    kept = loaded.extra.get("doubt")
    if kept is None:
        return Judge(Calibration(loaded.model.shape.multi_label))
    try:
        new = Novelty(*(loaded.tensors[f"novelty.{name}"] for name in _NOVELTY))
        if new.references.shape != (len(kept["references"]), len(new.weights)):
            raise ValueError("references")
        return Judge(
            Calibration(**kept["calibration"]),
            Threshold(**kept["threshold"]),
            new,
            list(kept["references"]),
            [(int(above), list(below)) for above, below in kept.get("implied", ())],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NotReadyError(
            f"The checkpoint of model {loaded.extra.get('model')} doesn't hold together "
            f"({type(error).__name__}: {error}): run `kg train`."
        ) from error


def check_precision(precision: float) -> None:
    """Refuse a precision that no answers can have.

    Raises:
        WrongUsageError: it isn't above 0 and at most 1.
    """
    if not 0 < precision <= 1:
        raise WrongUsageError(
            f"A precision is a share above 0 and at most 1, such as 0.9, not {precision:g}."
        )


def settle(
    rows: GraphRows,
    labelled: "Labelled",
    scores: "Tensor",
    x: "Tensor",
    *,
    precision: float,
    seed: int,
) -> Judge:
    """Set on validation songs how far a model is to be believed.

    Args:
        rows: The graph it was trained on.
        labelled: The same songs' genres.
        scores: What it says of every song, [n, g].
        x: What it is given of every song, [n, d].
        precision: The share of given genres that is to be right.
        seed: Of the lot by which songs are kept to hold others against.
    """
    judge = set_on(labelled, scores, labelled.rows["valid"], precision)
    return _held_against(judge, rows, labelled.rows["train"].tolist(), x, seed)


def on_graph(judge: Judge, rows: GraphRows, x: "Tensor") -> Judge:
    """The judge on a graph that was built anew since: the same songs, as they are scaled now.

    Args:
        judge: Of the model.
        rows: The graph.
        x: What the model is given of every song, [n, d].
    """
    at = {id: row for row, id in enumerate(rows.songs.ids)}
    there = [at[id] for id in judge.references if id in at]
    if judge.novelty is None or not there:
        return judge
    # They are no more than are kept, so that no lot is drawn.
    return _held_against(judge, rows, there, x, seed=0)


def _held_against(
    judge: Judge, rows: GraphRows, learned: Sequence[int], x: "Tensor", seed: int
) -> Judge:
    """The judge that holds songs against these, rows of the graph, or some of them by lot."""
    import torch

    from kg.metrics.evaluate import artist_groups
    from models import novelty

    # What is loud for models counts as `column_weights` says all the same.
    weights = column_weights(rows.space.kinds) / rows.space.loudness() ** 2
    new, kept = novelty.fit(
        x[learned],
        torch.from_numpy(artist_groups([rows.songs.artists[row] for row in learned])),
        torch.from_numpy(weights),
        torch.Generator().manual_seed(seed),
    )
    return replace(judge, novelty=new, references=[rows.songs.ids[learned[row]] for row in kept])


def column_weights(kinds: FeatureSet) -> Floats:
    """How much each column counts in telling how unlike two songs are, [d], 1 in sum.

    Our own families count the same, and embeddings together as much as all of these: a network
    tells genres apart that ours don't, and knows nothing of noise, silence and speech. With tags of
    musicnn beside librosa's statistics a genre left out of training is told by an AUROC of 0.58 by
    the latter alone, 0.78 so, 0.82 by the tags alone, and speech by 0.99, 1.00 and 0.83. Vectors
    from files count for nothing: a new song has none, and would be taken for an average one.
    """
    heard = {each.family for each in kinds.embeddings if not is_file(each)}
    own = len(kinds.families) - len(kinds.embeddings)
    sides = (own > 0) + (len(heard) > 0)
    weights = np.zeros(len(kinds.columns), dtype=np.float32)
    given = {each.family for each in kinds.embeddings} - heard
    for family, part in kinds.families.items():
        if family in given:
            continue
        beside = len(heard) if family in heard else own
        weights[part] = 1 / (sides * beside * (part.stop - part.start))
    return weights


def set_on(labelled: "Labelled", scores: "Tensor", held: "Rows", precision: float) -> Judge:
    """Calibration and threshold by these songs, rows of the graph."""
    import torch

    from models import calibration

    truth = torch.from_numpy(labelled.truth[held])
    share = float(labelled.truth[labelled.rows["train"]].mean())
    fitted = calibration.fit(
        scores[held], truth, labelled.multi_label, base_rate=min(max(share, 1e-6), 1 - 1e-6)
    )
    shares = fitted.probabilities(scores[held])
    threshold = threshold_on(scores[held], shares, truth, labelled.implied, precision)
    return Judge(fitted, threshold, implied=labelled.implied)


def threshold_on(
    scores: "Tensor", shares: "Tensor", truth: "Tensor", implied: "Implied", precision: float
) -> "Threshold":
    """From which probability on songs get a genre: the most specific that has it.

    Args:
        scores: [n, g].
        shares: Their probabilities [n, g].
        truth: bool [n, g].
        implied: Which genres imply which.
        precision: The share of given genres that is to be right.
    """
    import torch

    from models import abstention
    from models.hierarchy import ways_down

    ways = ways_down(scores, shares, implied)
    there = ways.T >= 0  # [steps, n]: the first genres of all songs, then those they go on to
    row = (there.flatten().cumsum(dim=0) - 1).view_as(there)
    replaces = torch.cat([torch.full_like(row[:1], -1), row[:-1]])
    at = ways.clamp(min=0)
    return abstention.set_threshold(
        shares.gather(1, at).T[there],
        truth.gather(1, at).T[there],
        precision,
        replaces[there],
    )


def is_calibrated(metrics: Mapping[str, Any]) -> bool:
    """Whether a model with these metrics says calibrated probabilities."""
    return "calibrationSongs" in metrics
