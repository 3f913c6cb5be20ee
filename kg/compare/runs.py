"""Every contestant on every representation, fold and seed: the comparison itself."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
from numpy.typing import NDArray

from kg._version import __version__
from kg.compare.contestants import (
    FRAMES_OF,
    Contestant,
    FrameKind,
    Given,
    chosen,
    heard_as,
    told_by,
    training_device,
)
from kg.compare.figures import Figure, Outcome, figures
from kg.compare.journal import Came, Cell, Journal, open_journal
from kg.compare.material import ALL, SHARES, Fold, Material, Task, restricted
from kg.compare.settings_file import others
from kg.errors import KgError, WrongUsageError
from kg.metrics.evaluate import Rows, Scores
from kg.progress import SILENT, Progress

logger = logging.getLogger(__name__)

Frames = Sequence[NDArray[np.float16]]
FramesOf = Callable[[FrameKind], "Frames"]

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What a user may choose about a comparison.

    Attributes:
        models: Names of the contestants; None: all.
        features: Representations: families of the library, or `all` of them.
        seeds: How many times everything is dealt and trained; they run from 0.
        folds: Into how many folds the songs are dealt, where `on` is None.
        on: Measure on one side of the library's own split instead of folds.
        show_inflation: Measure on random folds too, which flatter.
        learning_curve: Learn from an eighth, a quarter and a half of the songs, too.
        epochs: The most epochs of every net; None: its own.
        device: Where nets are trained.
        restart: Throw away an unfinished comparison.
        settings: Settings that are to be other than the defaults, by name of the contestant.
    """

    models: Sequence[str] | None = None
    features: Sequence[str] = (ALL,)
    seeds: int = 3
    folds: int = 5
    on: Literal["valid", "test"] | None = None
    show_inflation: bool = False
    learning_curve: bool = False
    epochs: int | None = None
    device: str = "cpu"
    restart: bool = False
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Missing:
    """A contestant that has no row, and why.

    Attributes:
        model: Its title.
        features: What it was to learn from.
        reason: In plain words.
        failed: It broke; else there was nothing that it could have learned from.
    """

    model: str
    features: str
    reason: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison came to.

    Attributes:
        run: Its id.
        created_at: When it was finished.
        songs: How many songs were measured on.
        genres: Names of the genres that they have.
        left_out: Genres that took no part, as one artist only has songs of them.
        seeds: How many.
        folds: How many; 1 where one side of the split was measured on.
        figures: A row a contestant, representation and protocol, the best ones first.
        missing: Contestants without a row.
        resumed: Some trainings were done by an earlier run that was cut off.
        test_split: Fingerprint of the test songs where these were measured on; else empty.
    """

    run: str
    created_at: datetime
    songs: int
    genres: Sequence[str]
    left_out: Sequence[str]
    seeds: int
    folds: int
    figures: Sequence[Figure]
    missing: Sequence[Missing]
    resumed: bool
    test_split: str


class NoFramesError(KgError):
    """There are no frame sequences of some songs."""


def compare(
    material: Material,
    folder: Path,
    frames_of: FramesOf,
    options: CompareOptions | None = None,
    progress: Progress = SILENT,
    *,
    keep: Callable[[Comparison], None] = lambda _: None,
    looks: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Train every contestant on every representation, fold and seed, and measure them.

    Args:
        material: The songs.
        folder: Where what it has come to is kept until it is done.
        frames_of: Frame sequences of all songs, in their order; may raise NoFramesError.
        options: What the user chose.
        progress: Told how far it is.
        keep: Given what it came to, before the folder is deleted: where this fails, the same
            comparison can be finished later. May be given the same run again.
        looks: Given the name of every training that is about to be measured on test songs; the
            same name is given again where a comparison goes on.

    Raises:
        WrongUsageError: an option can't be used, or an unfinished comparison of other settings is
            there.
        NotReadyError: there are too few songs.
        KgError: what it comes to can't be kept, or another comparison is under way in the folder.
    """
    options = options or CompareOptions()
    if options.seeds < 1 or options.folds < 2:
        raise WrongUsageError("A comparison needs at least 1 seed and 2 folds.")
    if options.on is not None and options.show_inflation:
        raise WrongUsageError(
            "--show-inflation compares folds by artist with random ones: leave out --on."
        )
    entries = _entries(chosen(options.models), options.features, material)
    options = replace(options, settings=_settings(options.settings, entries))
    device = training_device(options.device)
    rounds = list(_rounds(material, options))
    settings = {
        "models": list(dict.fromkeys(entry.contestant.name for entry in entries)),
        "features": list(dict.fromkeys(options.features)),
        "seeds": options.seeds,
        "folds": 1 if options.on else options.folds,
        "on": options.on,
        "random folds": options.show_inflation,
        "learning curve": options.learning_curve,
        "epochs": options.epochs,
        "device": device,
        "settings": options.settings,
        "library": material.fingerprint,
        "version": __version__,
    }
    with open_journal(folder, settings, restart=options.restart) as journal:
        if journal.resumed:
            progress.say("Going on with the comparison that was cut off.")
        trainings = _Trainings(material, journal, frames_of, options, device, looks)
        trainings.run_all(entries, rounds, progress)
        found = _comparison(material, journal, trainings, entries, rounds, options)
        keep(found)
        journal.finish()
    return found


def _comparison(
    material: Material,
    journal: Journal,
    trainings: "_Trainings",
    entries: "Sequence[_Entry]",
    rounds: Sequence[Sequence[Fold]],
    options: CompareOptions,
) -> Comparison:
    """What the trainings came to together."""
    measured = rounds[0]
    rows = np.sort(np.concatenate([fold.told for fold in measured]))
    truth = material.truth[rows]
    return Comparison(
        run=journal.run,
        created_at=datetime.now(UTC),
        songs=len(rows),
        genres=[material.genres[c] for c in np.flatnonzero(truth.any(axis=0))],
        left_out=material.left_out if options.on is None else [],
        seeds=options.seeds,
        folds=len(measured),
        figures=figures(
            truth,
            trainings.outcomes(entries, rounds, rows),
            [f"group {material.group[row]}" for row in rows],
            multi_label=bool((truth.sum(axis=1) > 1).any()),
            seed=0,
        ),
        missing=list(trainings.missing.values()),
        resumed=journal.resumed,
        test_split=material.test_split if options.on == "test" else "",
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A contestant on one representation."""

    contestant: Contestant
    features: str


def _entries(
    wanted: Sequence[Contestant], features: Sequence[str], material: Material
) -> list[_Entry]:
    """Every contestant on every representation that it can take, each once."""
    for name in features:
        restricted(material.kinds, name)
    found = [
        _Entry(contestant, heard)
        for contestant in wanted
        for name in features
        if (heard := heard_as(contestant, name)) is not None
    ]
    if not found:
        raise WrongUsageError(
            f"None of these models can learn from {', '.join(features)}: those that take frames "
            f"know {' and '.join(FRAMES_OF)} only."
        )
    return list(dict.fromkeys(found))


def _settings(
    settings: Mapping[str, Mapping[str, Any]], entries: Sequence[_Entry]
) -> dict[str, dict[str, Any]]:
    """Settings that aren't the defaults; refuses those of who takes no part, and unusable ones."""
    models = {entry.contestant.name for entry in entries}
    for name in settings:
        if name not in models:
            raise WrongUsageError(
                f"There are settings of {name}, which takes no part: name it among the models, or "
                "leave its settings out."
            )
    found = {name: others(name, own) for name, own in settings.items()}
    return {name: own for name, own in found.items() if own}


def _rounds(material: Material, options: CompareOptions) -> Iterator[list[Fold]]:
    """The folds of every protocol, share and seed; those of a round tell each song once."""
    known = np.inf
    for share in (1.0, *(reversed(SHARES) if options.learning_curve else ())):
        rounds = [
            material.folds(options.folds, "by artist", seed, share)
            if options.on is None
            else material.one_split(options.on, seed, share)
            for seed in range(options.seeds)
        ]
        # Of few artists a share may be no fewer songs.
        learned = _learned_from(rounds)
        if learned < known:
            known = learned
            yield from rounds
    if options.show_inflation:
        folds = options.folds
        yield from (material.folds(folds, "random", seed) for seed in range(options.seeds))


class _Trainings:
    """Runs trainings, and remembers what they came to and who broke."""

    def __init__(
        self,
        material: Material,
        journal: Journal,
        frames_of: FramesOf,
        options: CompareOptions,
        device: str,
        looks: Callable[[str], None],
    ) -> None:
        self.missing: dict[tuple[str, str], Missing] = {}
        self._material, self._journal = material, journal
        self._frames_of, self._options = frames_of, options
        self._device, self._looks = device, looks
        self._frames: dict[str, Frames] = {}

    def run_all(
        self, entries: Sequence[_Entry], rounds: Sequence[Sequence[Fold]], progress: Progress
    ) -> None:
        """Run what hasn't been run yet, a fold's graph after the other."""
        total = sum(len(folds) for folds in rounds) * len(entries)
        with progress.stage("Comparing", total) as advance:
            for fold in itertools.chain.from_iterable(rounds):
                for features in dict.fromkeys(entry.features for entry in entries):
                    task = self.task(fold, features)
                    for entry in entries:
                        if entry.features == features:
                            advance(0, note=f"{entry.contestant.title}, {features}")
                            self.run(entry, task)
                            advance(1)

    def task(self, fold: Fold, features: str) -> Task:
        known = features == ALL or features in self._material.kinds.families
        return Task(self._material, fold, features if known else ALL, fold.seed)

    def run(self, entry: _Entry, task: Task) -> None:
        """Train once, unless that was done; what breaks costs this contestant its row only."""
        key = entry.contestant.name, entry.features
        cell = _cell(entry, task.fold)
        if key in self.missing or self._journal.read(cell) is not None:
            return
        try:
            came = self._train(entry.contestant, entry.features, task)
            if task.fold.protocol == "test":
                name = f"{self._journal.run}:{':'.join(key)}:{task.seed}:{task.fold.share:g}"
                self._looks(name)
            self._journal.write(cell, came)
        except NoFramesError as error:
            self._miss(entry, str(error), failed=False)
        except KgError:
            raise  # the disk is full, the graph is gone: the same for all of them
        except MemoryError as error:
            self._miss(entry, f"there is too little memory ({error})", failed=True)
        except Exception as error:  # one that breaks must not cost the others
            logger.debug("%s on %s broke", *key, exc_info=True)
            memory = "memory" in str(error).lower() and isinstance(error, RuntimeError)
            said = f"{type(error).__name__}: {error}"
            self._miss(
                entry, f"there is too little memory ({said})" if memory else said, failed=True
            )

    def outcomes(
        self, entries: Sequence[_Entry], rounds: Sequence[Sequence[Fold]], rows: Rows
    ) -> list[Outcome]:
        """What every contestant said of all songs, by seed."""
        found = []
        for kind in dict.fromkeys((folds[0].protocol, folds[0].share) for folds in rounds):
            own = [folds for folds in rounds if (folds[0].protocol, folds[0].share) == kind]
            found += [
                self._outcome(entry, own, rows)
                for entry in entries
                if (entry.contestant.name, entry.features) not in self.missing
            ]
        return found

    def _outcome(self, entry: _Entry, rounds: Sequence[Sequence[Fold]], rows: Rows) -> Outcome:
        came: list[Came] = []
        runs: list[Scores] = []
        for folds in rounds:
            scores = np.empty((len(rows), len(self._material.genres)), dtype=np.float32)
            for fold in folds:
                one = self._journal.read(_cell(entry, fold))
                if one is None:
                    raise KgError(
                        "What a training came to has gone from the home folder while the "
                        "comparison went on: run it again to fill the gap."
                    )
                scores[np.searchsorted(rows, fold.told)] = one.scores
                came.append(one)
            runs.append(scores)
        return Outcome(
            model=entry.contestant.title,
            features=entry.features,
            settings=self._options.settings.get(entry.contestant.name, {}),
            scores=runs,
            train_seconds=float(np.mean([each.train_seconds for each in came])),
            predict_seconds=float(np.mean([each.predict_seconds for each in came])),
            megabytes=max(each.megabytes for each in came),
            parameters=max(each.parameters for each in came),
            protocol=rounds[0][0].protocol,
            share=rounds[0][0].share,
            learned_from=_learned_from(rounds),
        )

    def _train(self, contestant: Contestant, features: str, task: Task) -> Came:
        frames = None
        if contestant.takes == "frames":
            kind = FRAMES_OF[features]
            if kind not in self._frames:
                self._frames[kind] = self._frames_of(kind)
            frames = self._frames[kind]
        elif contestant.takes != "nothing":
            _ = task.hetero  # made for all contestants: no part of a training's time
        settings = self._options.settings.get(contestant.name, {})
        given = Given(self._device, self._options.epochs, frames, settings)
        with _most_memory() as megabytes:
            start = time.perf_counter()
            fitted = contestant.fit(task, given)
            trained = time.perf_counter()
            told = told_by(fitted, task.fold.told)
            end = time.perf_counter()
        return Came(
            scores=told,
            train_seconds=trained - start,
            predict_seconds=(end - trained) / len(told),
            megabytes=megabytes[0],
            parameters=fitted.parameters,
        )

    def _miss(self, entry: _Entry, reason: str, *, failed: bool) -> None:
        key = entry.contestant.name, entry.features
        self.missing[key] = Missing(entry.contestant.title, entry.features, reason, failed)


def _cell(entry: _Entry, fold: Fold) -> Cell:
    name = entry.contestant.name
    return Cell(fold.protocol, entry.features, name, fold.seed, fold.number, fold.share)


def _learned_from(rounds: Sequence[Sequence[Fold]]) -> int:
    """How many songs a training knows on average, those that choose its epoch among them."""
    known = [len(fold.train) + len(fold.valid) for folds in rounds for fold in folds]
    return round(float(np.mean(known)))


@contextmanager
def _most_memory() -> Iterator[list[float]]:
    """Megabytes that the process has at most in the block, beyond those at its start.

    Yields:
        A list whose only number is right after the block.
    """
    process, over, most = psutil.Process(), threading.Event(), [0.0]
    before = process.memory_info().rss

    def watch() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], (process.memory_info().rss - before) / MEBIBYTE)

    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()
        most[0] = max(most[0], (process.memory_info().rss - before) / MEBIBYTE)
