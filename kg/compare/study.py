"""The trials of one tuning, kept on disk by Optuna: it goes on where it was cut off."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kg.compare.spaces import Choice, Real, Setting, Space
from kg.errors import KgError
from kg.graph.locks import held_alone

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial
    from optuna.trial import FrozenTrial

# Trials that are never ended early: against fewer a median says nothing.
UNPRUNED = 5

_BUSY = (
    "Another kg command tunes the same model on the same songs: wait for it, or give --seed "
    "another number."
)
_BROKE = "broke"
_DEFAULTS = "defaults"


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial that was finished.

    Attributes:
        settings: What was tried.
        value: What it came to.
    """

    settings: Mapping[str, Any]
    value: float


class Attempt:
    """A trial that is under way.

    Attributes:
        settings: What is tried.
        is_default: They are the defaults.
    """

    def __init__(self, study: "OptunaStudy", trial: "Trial", space: Space) -> None:
        self._study, self._trial = study, trial
        self.settings = {name: _suggested(trial, name, setting) for name, setting in space.items()}
        self.is_default = bool(trial.user_attrs.get(_DEFAULTS))

    def hopeless(self, value: float, step: int) -> bool:
        """Report how it stands after a step; whether it is worse than most were there.

        The defaults are never hopeless: all others are measured against them.
        """
        with _kept():
            self._trial.report(value, step)
            return not self.is_default and self._trial.should_prune()

    def came_to(self, value: float) -> None:
        """It was finished."""
        with _kept():
            self._study.tell(self._trial, value)

    def was_pruned(self) -> None:
        """It was ended early."""
        from optuna.trial import TrialState

        with _kept():
            self._study.tell(self._trial, state=TrialState.PRUNED)

    def broke(self, reason: str) -> None:
        """It can't be trained like that; another try would come to the same."""
        from optuna.trial import TrialState

        with _kept():
            self._trial.set_user_attr(_BROKE, reason)
            self._study.tell(self._trial, state=TrialState.FAIL)


class Study:
    """Trials on disk, one process at a time; open it with `open_study`.

    The defaults come first. Each further trial is drawn by TPE from what the finished ones came
    to, by a lot of its own: a study that was cut off comes to the same as one that wasn't.
    """

    def __init__(self, study: "OptunaStudy", space: Space, seed: int) -> None:
        self._study, self._space, self._seed = study, space, seed

    @property
    def done(self) -> int:
        """How many trials were finished, ended early or broke."""
        return len(self._finished("COMPLETE")) + self.pruned + len(self.broken)

    @property
    def pruned(self) -> int:
        """How many were ended early."""
        return len(self._finished("PRUNED"))

    @property
    def broken(self) -> list[str]:
        """Why trials broke, one reason each."""
        return [
            str(trial.user_attrs[_BROKE])
            for trial in self._finished("FAIL")
            if _BROKE in trial.user_attrs
        ]

    @property
    def best(self) -> Tried | None:
        """The best one; of equals the first."""
        finished = self._finished("COMPLETE")
        return self._tried(max(finished, key=_value)) if finished else None

    @property
    def of_defaults(self) -> Tried | None:
        """What the defaults came to; None: not yet."""
        own = [trial for trial in self._finished("COMPLETE") if _DEFAULTS in trial.user_attrs]
        return self._tried(own[0]) if own else None

    def ask(self) -> Attempt:
        """Begin another trial."""
        from optuna.samplers import TPESampler

        lot = np.random.SeedSequence([self._seed, self.done]).generate_state(1)[0]
        self._study.sampler = TPESampler(seed=int(lot))
        with _kept():
            return Attempt(self._study, self._study.ask(), self._space)

    def _finished(self, state: str) -> "list[FrozenTrial]":
        return [t for t in self._study.get_trials(deepcopy=False) if t.state.name == state]

    def _tried(self, trial: "FrozenTrial") -> Tried:
        space = self._space
        settings = {name: _meant(space[name], trial.params[name]) for name in space}
        return Tried(settings, _value(trial))


@contextmanager
def open_study(
    folder: Path, name: str, space: Space, defaults: Mapping[str, Any], seed: int
) -> Iterator[Study]:
    """Open a study, or begin it.

    Args:
        folder: Where studies are kept.
        name: Of this one; another name is another study.
        space: What is tried.
        defaults: What is tried first: a value for each name of `space`.
        seed: Of all chance.

    Raises:
        KgError: Optuna is missing, another command works on the study, or it can't be kept or
            read.
    """
    optuna = _optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    file = folder / f"{name}.log"
    with _kept():
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with _kept():
            held.enter_context(held_alone(folder / f"{name}.lock", _BUSY))
            _mend(file)
        try:
            backend = JournalFileBackend(str(file), JournalFileOpenLock(str(file)))
            study = optuna.create_study(
                storage=JournalStorage(backend),
                study_name=name,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED),
            )
            for trial in study.get_trials(deepcopy=False):
                if trial.state.name == "RUNNING":  # whoever ran it is gone: we are alone
                    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            opened = Study(study, space, seed)
            waiting = any(t.state.name == "WAITING" for t in study.get_trials(deepcopy=False))
            if opened.of_defaults is None and not waiting:
                first = {n: _shown(setting, defaults[n]) for n, setting in space.items()}
                study.enqueue_trial(first, user_attrs={_DEFAULTS: True})
        except OSError as error:
            raise _unkept(error) from error
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            # whatever Optuna makes of lines that it didn't write
            raise KgError(
                f"What this tuning has come to can't be read from {file}: delete that file, and "
                "run it again to begin anew."
            ) from error
        yield opened


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise KgError(
            "Tuning needs Optuna: install it with pip install 'kg-music[tune]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _mend(file: Path) -> None:
    """Undo what a kill may leave: half a line at the end, and the lock of whoever wrote it."""
    for left in file.parent.glob(f"{file.name}.lock*"):
        left.unlink()
    if not file.exists():
        return
    written = file.read_bytes()
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        with file.open("r+b") as cut:
            cut.truncate(whole)


@contextmanager
def _kept() -> Iterator[None]:
    """Say what a full or read-only disk means here."""
    try:
        yield
    except OSError as error:
        raise _unkept(error) from error


def _unkept(error: OSError) -> KgError:
    return KgError(
        f"What the tuning has come to can't be kept ({error.strerror}"
        + (f": {error.filename}" if error.filename else "")
        + "): make room there, or choose another home with --home DIR or KG_HOME."
    )


def _value(trial: "FrozenTrial") -> float:
    assert trial.value is not None  # it is complete
    return trial.value


def _suggested(trial: "Trial", name: str, setting: Setting) -> Any:
    if isinstance(setting, Choice):
        labels = [_shown(setting, option) for option in setting.options]
        return _meant(setting, trial.suggest_categorical(name, labels))
    if isinstance(setting, Real):
        return trial.suggest_float(name, setting.low, setting.high, log=setting.log)
    return trial.suggest_int(name, setting.low, setting.high, step=setting.step)


def _shown(setting: Setting, value: Any) -> Any:
    """A value as Optuna keeps it, which knows no tuples."""
    return json.dumps(value) if isinstance(setting, Choice) else value


def _meant(setting: Setting, kept: Any) -> Any:
    if not isinstance(setting, Choice):
        return kept
    return next(option for option in setting.options if json.dumps(option) == kept)
