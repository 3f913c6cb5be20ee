"""Which statistics over time serve each feature family: cross-validated accuracy of each choice.

    python benchmarks/summaries.py FOLDER [--artists TABLE.csv] [--repeats N]

FOLDER holds a folder a genre. Each choice is tried alone, and in place of the same family among all
families as they are. No artist is in training and test at once where a table names them (columns
`filename` and `artist`); songs of one artist sound alike, so accuracy is higher without it.
"""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from kg.audio.decode import decode
from kg.audio.features import FAMILIES, N_BROAD, mean_std, modulation
from kg.audio.frames import Frames, delta
from kg.sources.folder import EXTENSIONS

Summary = Callable[[np.ndarray], np.ndarray]


def quantiles(m: np.ndarray) -> np.ndarray:
    return np.quantile(m, [0.1, 0.5, 0.9], axis=1).ravel()


def skewness(m: np.ndarray) -> np.ndarray:
    return np.nan_to_num(scipy.stats.skew(m, axis=1))


def slopes(m: np.ndarray) -> np.ndarray:
    return delta(m).std(axis=1)


def curvatures(m: np.ndarray) -> np.ndarray:
    return delta(m, order=2).std(axis=1)


def change(m: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(m, axis=1)).mean(axis=1)


def correlations(m: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.corrcoef(m)[np.triu_indices(len(m), 1)])


def broad(frames: Frames) -> np.ndarray:
    return frames.log_mel.reshape(N_BROAD, -1, frames.log_mel.shape[1]).mean(axis=1)


def spectral(frames: Frames) -> np.ndarray:
    return np.vstack([frames.shape, frames.crossings, frames.loudness])


# family: the matrix over time, and the summaries of it that are tried
TRIED: dict[str, tuple[Callable[[Frames], np.ndarray], list[list[Summary]]]] = {
    "mfcc": (
        lambda f: f.mfcc,
        [
            [mean_std],
            [mean_std, slopes],
            [mean_std, slopes, curvatures],
            [mean_std, skewness],
            [quantiles],
            [mean_std, correlations],
            [mean_std, modulation],
            [mean_std, slopes, curvatures, modulation],
        ],
    ),
    "mel": (
        lambda f: f.log_mel,
        [[mean_std], [mean_std, skewness], [quantiles], [mean_std, change]],
    ),
    "chroma": (lambda f: f.chroma, [[mean_std], [mean_std, change], [quantiles]]),
    "tonnetz": (lambda f: f.tonnetz, [[mean_std], [mean_std, change]]),
    "contrast": (lambda f: f.contrast, [[mean_std], [mean_std, skewness], [quantiles]]),
    "spectral": (
        spectral,
        [[mean_std], [mean_std, skewness], [quantiles], [mean_std, change], [mean_std, modulation]],
    ),
}


def describe(clip: Path) -> dict[tuple[str, str], np.ndarray]:
    """Every choice for one song; `as it is` is what the family computes."""
    frames = Frames(decode(clip).samples)
    found = {(name, "as it is"): family.compute(frames) for name, family in FAMILIES.items()}
    for name, (matrix, choices) in TRIED.items():
        for choice in choices:
            label = " + ".join(summary.__name__ for summary in choice)
            found[name, label] = np.concatenate([summary(matrix(frames)) for summary in choice])
    found["mel", "mean_std + modulation of broad bands"] = np.concatenate(
        [mean_std(frames.log_mel), modulation(broad(frames))]
    )
    return found


MODELS = {
    "logistic regression": lambda: LogisticRegression(C=0.02, max_iter=300),
    "SVM": lambda: SVC(C=3.0),
}


def correct(x: np.ndarray, genres: np.ndarray, folds: list, model: str) -> np.ndarray:
    """Share of the repeats in which each song was named rightly: [songs]."""
    right = np.zeros(len(genres))
    for train, test in folds:
        fitted = make_pipeline(StandardScaler(), MODELS[model]()).fit(x[train], genres[train])
        right[test] += fitted.predict(x[test]) == genres[test]
    return right * len(genres) / sum(len(test) for _, test in folds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--artists", type=Path, help="CSV with the columns filename and artist")
    parser.add_argument("--repeats", type=int, default=6)
    options = parser.parse_args()
    clips = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in EXTENSIONS)
    artists = {}
    if options.artists:
        with options.artists.open(newline="") as file:
            artists = {Path(row["filename"]).stem: row["artist"] for row in csv.DictReader(file)}
    genres = np.array([clip.parent.name for clip in clips])
    groups = np.array([artists.get(clip.stem) or clip.stem for clip in clips])
    described = [describe(clip) for clip in clips]
    x = {choice: np.stack([song[choice] for song in described]) for choice in described[0]}
    folds = [
        fold
        for seed in range(options.repeats)
        for fold in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(
            genres, genres, groups
        )
    ]
    print(
        f"{len(clips)} songs, {len(set(genres))} genres, {len(set(groups))} artists or songs apart"
    )
    for model in MODELS:
        names = list(FAMILIES)
        everything = np.concatenate([x[name, "as it is"] for name in names], axis=1)
        base = correct(everything, genres, folds, model)
        print(f"\n{model}: all families as they are {base.mean():.3f}\n")
        print(f"{'family':10}{'summary':45}{'alone':>7}{'among all':>11}   against as it is")
        for name, label in x:
            alone = correct(x[name, label], genres, folds, model).mean()
            others = [x[n, "as it is"] if n != name else x[name, label] for n in names]
            among = correct(np.concatenate(others, axis=1), genres, folds, model)
            difference = among - base
            error = difference.std() / np.sqrt(len(set(groups)))
            print(
                f"{name:10}{label:45}{alone:7.3f}{among.mean():11.3f}"
                f"   {difference.mean():+.3f} ± {error:.3f}"
            )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
