"""What probabilities are worth where songs have several genres, and what is first down the tree.

    python -m benchmarks.several [--data DIR] [--only audioset,fma,msd] [--folds 5] [--seed 100]

AudioSet and FMA with all genres of a track and what these are kinds of, the Million Song Dataset as
it is. In each fold R-GCN + DistMult learns, validation songs calibrate it and set the threshold, by
kg's own functions, and the songs of the fold, of which neither knew, measure both. Settings were
chosen on seeds 100 and 101.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.datasets import Rows, Songs, read_audioset, read_fma, read_msd
from kg.compare.contestants import Given, chosen, told_by
from kg.compare.material import ALL, Task
from kg.genres.levels import implied_by, learned_genres
from kg.genres.tree import Tree
from kg.learning.doubt import threshold_on
from kg.learning.ranking import first_genres
from kg.sources import audioset, fma
from models import calibration
from models.calibration import Calibration
from models.hierarchy import Implied, lift

FOLDS = 5
PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Fold:
    """What a model says of songs that it didn't learn from.

    Attributes:
        valid: Scores of the songs that calibrate, [v, g], and their genres, bool [v, g].
        told: The same of songs that measure.
        base_rate: The share of true pairs among those learned from.
        implied: Genres that others are kinds of.
    """

    valid: tuple[Tensor, Tensor]
    told: tuple[Tensor, Tensor]
    base_rate: float
    implied: Implied


def with_tree(songs: Songs, tree: Tree) -> tuple[Songs, Tree]:
    """Songs with all that their genres are kinds of, as a training learns them."""
    genres = learned_genres(songs.genres, [True] * len(songs.genres), tree, "given")
    return replace(songs, genres=genres), tree


def of_audioset(folder: Path) -> tuple[Songs, Tree]:
    tree = Tree(audioset.open_table(folder / "audioset").parents)
    return with_tree(read_audioset(folder), tree)


def of_fma(folder: Path) -> tuple[Songs, Tree]:
    table = fma.open_table(folder / "fma" / "echonest_labeled.csv")
    genres = [song.genres for song in Rows.of(table).songs]
    return with_tree(replace(read_fma(folder), genres=genres), Tree(table.parents))


def of_msd(folder: Path) -> tuple[Songs, Tree]:
    return read_msd(folder), Tree({})


READERS: Mapping[str, Callable[[Path], tuple[Songs, Tree]]] = {
    "audioset": of_audioset,
    "fma": of_fma,
    "msd": of_msd,
}


def folds(songs: Songs, tree: Tree, seed: int, most: int) -> list[Fold]:
    """Train on so many of the five folds and score their songs."""
    material = songs.material()
    implied = implied_by(material.genres, tree)
    (network,) = chosen(["r-gcn"])
    found = []
    for fold in material.folds(FOLDS, "by artist", seed)[:most]:
        fitted = network.fit(Task(material, fold, ALL, seed), Given())
        said = [
            (
                lift(torch.from_numpy(told_by(fitted, rows)), implied),
                torch.from_numpy(material.truth[rows]),
            )
            for rows in (fold.valid, fold.told)
        ]
        base_rate = float(material.truth[fold.train].mean())
        found.append(Fold(said[0], said[1], base_rate, implied))
        print(f"  fold {fold.number} is trained", flush=True)
    return found


def one_sigmoid(scores: Tensor, truth: Tensor) -> Calibration:
    """Platt's sigmoid by all pairs alike."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e6).fit(scores.reshape(-1, 1).numpy(), truth.flatten().numpy())
    return Calibration(True, 1 / float(fitted.coef_[0, 0]), bias=float(fitted.intercept_[0]))


def calibrations(fold: Fold) -> dict[str, Calibration]:
    return {
        "uncalibrated": Calibration(True),
        "one sigmoid": one_sigmoid(*fold.valid),
        "kg": calibration.fit(*fold.valid, True, base_rate=fold.base_rate),
    }


def errors(shares: Tensor, truth: Tensor) -> tuple[float, float, float]:
    """Calibration error of the most probable genres and of all pairs, and the Brier score."""
    found = calibration.reliability(shares, truth)
    pairs = calibration.expected_calibration_error(shares.flatten(), truth.flatten())
    return found.ece, pairs, found.brier


def answered(fold: Fold, precision: float, implied: Implied) -> tuple[float, float, float, float]:
    """Share of songs that get a genre, of these right, below the top, and the error of all."""
    fitted = calibrations(fold)["kg"]
    scores, truth = fold.valid
    least = threshold_on(scores, fitted.probabilities(scores), truth, implied, precision).value
    scores, truth = fold.told
    shares = fitted.probabilities(scores)
    first, confidence, correct = first_genres(
        scores, shares, truth, implied, torch.full((len(scores),), least)
    )
    given = confidence >= least
    deeper = (first != scores.argmax(dim=1))[given]
    return (
        float(given.float().mean()),
        float(correct[given].float().mean()),
        float(deeper.float().mean()),
        calibration.expected_calibration_error(confidence, correct),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--only", default=",".join(READERS))
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the five are told")
    options = parser.parse_args()
    for name in options.only.split(","):
        songs, tree = READERS[name](options.data)
        found = folds(songs, tree, options.seed, options.folds)
        print(f"\n{songs.title}, {len(found)} folds\n")
        print(f"{'':16}{'ECE of the first':>18}{'all pairs':>12}{'Brier':>8}")
        for kind in calibrations(found[0]):
            every = [
                errors(calibrations(each)[kind].probabilities(each.told[0]), each.told[1])
                for each in found
            ]
            first, pairs, brier = np.mean(every, axis=0)
            print(f"{kind:16}{first:18.3f}{pairs:12.3f}{brier:8.3f}")
        print(f"\n{'asked for':16}{'songs':>8}{'right':>8}{'below the top':>15}{'ECE':>8}")
        for said, downward in (("", True), (", top genres alone", False)):
            for precision in PRECISIONS:
                every_ = [
                    answered(each, precision, each.implied if downward else ()) for each in found
                ]
                given, right, deeper, error = np.nanmean(every_, axis=0)
                print(f"{precision:.1f}{said:20}{given:8.3f}{right:8.3f}{deeper:15.3f}{error:8.3f}")
        print(flush=True)


if __name__ == "__main__":
    main()
