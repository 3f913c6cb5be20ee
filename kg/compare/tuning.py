"""Settings of a model by what they come to on songs held out: the defaults, and what beats them.

Optuna's TPE (Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization") draws what is
tried; a trial is ended early where after a fold it is below the median of those before it.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kg._version import __version__
from kg.chance import check_seed
from kg.compare.contestants import (
    FRAMES_OF,
    Contestant,
    Given,
    chosen,
    contestants,
    heard_as,
    told_by,
    training_device,
)
from kg.compare.material import ALL, Fold, Material, Task, restricted
from kg.compare.runs import Frames, FramesOf
from kg.compare.spaces import SPACES, Space, defaults_of
from kg.compare.study import Attempt, Study, open_study
from kg.errors import KgError, WrongUsageError
from kg.metrics.evaluate import Rows, by_genre
from kg.progress import SILENT, Advance, Progress

logger = logging.getLogger(__name__)

_LENGTHS = ("epochs", "epochs_unvalidated")


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What a user may choose about a tuning.

    Attributes:
        model: Name of the contestant.
        trials: How many settings are tried in all, those of earlier runs among them.
        folds: Into how many folds the songs are dealt, artists kept together.
        features: A family of the library, or `all` of them.
        seed: Of all chance.
        epochs: The most epochs of every training; None: the model's own.
        device: Where nets are trained.
    """

    model: str = "r-gcn"
    trials: int = 30
    folds: int = 3
    features: str = ALL
    seed: int = 0
    epochs: int | None = None
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a tuning came to.

    Attributes:
        model: Name of the contestant.
        title: As tables show it.
        features: What it learned from.
        settings: The best that were tried.
        macro_f1: What they came to over all folds, on the songs that chose them.
        defaults: The same settings as they are by default.
        defaults_macro_f1: What those came to.
        songs: How many songs were told, none of them a test song.
        genres: Names of the genres that they have.
        left_out: Genres that took no part, as one artist only has songs of them.
        test_split: Fingerprint of the test songs, which weren't looked at.
        folds: How many.
        seed: Of all chance.
        epochs: The most epochs, where the user chose that.
        trials: How many settings were tried.
        pruned: How many of them were ended early.
        broke: Why some could not be trained, a reason each.
        resumed: How many of them an earlier run had tried.
    """

    model: str
    title: str
    features: str
    settings: Mapping[str, Any]
    macro_f1: float
    defaults: Mapping[str, Any]
    defaults_macro_f1: float
    songs: int
    genres: Sequence[str]
    left_out: Sequence[str]
    test_split: str
    folds: int
    seed: int
    epochs: int | None
    trials: int
    pruned: int
    broke: Sequence[str]
    resumed: int

    def document(self) -> dict[str, Any]:
        """What is written into a settings file, beside the version of kg."""
        known = defaults_of(self.model)
        # They are the best at that length only.
        lengths = {} if self.epochs is None else dict.fromkeys(_LENGTHS, self.epochs)
        return {
            "model": self.model,
            "features": self.features,
            "settings": {**self.settings, **{n: v for n, v in lengths.items() if n in known}},
            "macroF1": self.macro_f1,
            "defaults": {"settings": dict(self.defaults), "macroF1": self.defaults_macro_f1},
            "trials": self.trials,
            "folds": self.folds,
            "seed": self.seed,
            "testSplit": self.test_split,
        }


def tunable(model: str) -> Contestant:
    """The contestant of that name, if it has settings.

    Raises:
        WrongUsageError: there is none of that name, or it chooses its settings itself.
    """
    contestant = chosen([model])[0]
    if contestant.name not in SPACES:
        raise WrongUsageError(
            f"There is nothing to tune about {model}: it chooses its own settings at every "
            f"training, or has none. Take {', '.join(n for n in contestants() if n in SPACES)}."
        )
    return contestant


def tune(
    material: Material,
    folder: Path,
    frames_of: FramesOf,
    options: TuneOptions | None = None,
    progress: Progress = SILENT,
) -> Tuned:
    """Try settings of a model on folds of the songs that aren't test songs.

    Args:
        material: The songs.
        folder: Where what it has come to is kept, so that it goes on where it was cut off.
        frames_of: Frame sequences of all songs, in their order; may raise NoFramesError.
        options: What the user chose.
        progress: Told how far it is.

    Raises:
        WrongUsageError: an option can't be used.
        NotReadyError: there are too few songs.
        KgError: Optuna is missing, what it comes to can't be kept, or the defaults can't be
            trained.
    """
    options = options or TuneOptions()
    contestant = tunable(options.model)
    check_seed(options.seed)
    if options.trials < 2 or options.folds < 2:
        raise WrongUsageError("A tuning needs at least 2 trials and 2 folds.")
    restricted(material.kinds, options.features)
    features = heard_as(contestant, options.features)
    if features is None:
        raise WrongUsageError(
            f"{contestant.name} takes frames of the sound, and there are none of "
            f"{options.features}: give --features {' or '.join(FRAMES_OF)}."
        )
    space, known = SPACES[contestant.name], defaults_of(contestant.name)
    defaults = {name: known[name] for name in space}
    measure = _Measure(material, contestant, features, frames_of, options)
    name = _name(contestant, features, space, material, options)
    with open_study(folder, name, space, defaults, options.seed) as study:
        resumed = study.done
        if resumed:
            progress.say(f"Going on with a tuning of {resumed} trials.")
        with progress.stage("Tuning", max(options.trials, resumed)) as advance:
            advance(resumed)
            while study.done < options.trials:
                _try(study, measure, advance)
        best, first = study.best, study.of_defaults
        assert best is not None  # the defaults are among them
        assert first is not None  # else `_try` has raised
        return Tuned(
            model=contestant.name,
            title=contestant.title,
            features=features,
            settings=best.settings,
            macro_f1=best.value,
            defaults=defaults,
            defaults_macro_f1=first.value,
            songs=len(measure.rows),
            genres=measure.genres,
            left_out=material.left_out,
            test_split=material.test_split,
            folds=options.folds,
            seed=options.seed,
            epochs=options.epochs,
            trials=study.done,
            pruned=study.pruned,
            broke=study.broken,
            resumed=resumed,
        )


def _try(study: Study, measure: "_Measure", advance: Advance) -> None:
    """Run one trial; what breaks costs that trial only, unless it is the one of the defaults."""
    attempt = study.ask()
    standing = _standing(study)
    try:
        value = measure(attempt, lambda fold: advance(0, note=f"fold {fold}{standing}"))
    except KgError:
        raise  # no frames, a full disk: the same for all of them
    except Exception as error:  # settings that can't be trained must not cost the others
        reason = f"{type(error).__name__}: {error}"
        if attempt.is_default:
            raise KgError(
                f"{measure.contestant.name} can't be trained with its defaults ({reason}), so "
                "there is nothing to measure other settings against."
            ) from error
        logger.debug("%s broke", attempt.settings, exc_info=True)
        attempt.broke(reason)
    else:
        if value is None:
            attempt.was_pruned()
        else:
            attempt.came_to(value)
    advance(1, note=_standing(study).lstrip(", "))


def _standing(study: Study) -> str:
    """How good the best one is, for the progress."""
    return "" if study.best is None else f", best macro-F1 {study.best.value:.3f}"


class _Measure:
    """Trains on every fold with some settings, and measures on the songs held out.

    Attributes:
        contestant: Who is trained.
        rows: Songs that are told.
        genres: Names of the genres that these have.
    """

    def __init__(
        self,
        material: Material,
        contestant: Contestant,
        features: str,
        frames_of: FramesOf,
        options: TuneOptions,
    ) -> None:
        self.contestant = contestant
        folds = material.folds(options.folds, "by artist", options.seed)
        self.rows: Rows = np.sort(np.concatenate([fold.told for fold in folds]))
        truth = material.truth[self.rows]
        self.genres = [material.genres[column] for column in np.flatnonzero(truth.any(axis=0))]
        self._material, self._options = material, options
        self._multi_label = bool((truth.sum(axis=1) > 1).any())
        self._device = training_device(options.device)
        self._features, self._frames_of = features, frames_of
        self._frames: Frames | None = None
        # The graph of a fold is the same for all trials: made once, where it is first asked for.
        self._tasks = [self._task(fold) for fold in folds]

    def __call__(self, attempt: Attempt, on_fold: Callable[[int], None]) -> float | None:
        """Macro-F1 over the songs of all folds; None: it was hopeless before the last one."""
        given = Given(self._device, self._options.epochs, self._heard(), attempt.settings)
        told: list[Rows] = []
        scores: list[NDArray[np.float32]] = []
        for number, task in enumerate(self._tasks, start=1):
            on_fold(number)
            fitted = self.contestant.fit(task, given)
            told.append(task.fold.told)
            scores.append(told_by(fitted, task.fold.told))
            measured = by_genre(
                self._material.truth[np.concatenate(told)],
                np.concatenate(scores),
                self._material.genres,
                multi_label=self._multi_label,
            )
            value = float(np.mean([genre.f1 for genre in measured]))
            if attempt.hopeless(value, number) and number < len(self._tasks):
                return None
        return value

    def _task(self, fold: Fold) -> Task:
        known = self._features == ALL or self._features in self._material.kinds.families
        return Task(self._material, fold, self._features if known else ALL, self._options.seed)

    def _heard(self) -> Frames | None:
        if self.contestant.takes == "frames" and self._frames is None:
            self._frames = self._frames_of(FRAMES_OF[self._features])
        return self._frames


def _name(
    contestant: Contestant,
    features: str,
    space: Space,
    material: Material,
    options: TuneOptions,
) -> str:
    """What the study is called: all that its numbers come from."""
    device = training_device(options.device)
    told = (features, options.folds, options.seed, options.epochs, device, repr(space), __version__)
    digest = hashlib.blake2b(
        repr((*told, material.fingerprint)).encode(), digest_size=8
    ).hexdigest()
    return f"{contestant.name}-{digest}"
