"""Tuning: what it finds, what it ends early, and that a cut-off one comes to the same."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from optuna.storages.journal import JournalFileOpenLock

from kg.compare import contestants as registry
from kg.compare import spaces
from kg.compare.contestants import Contestant, Given
from kg.compare.material import Material, Task
from kg.compare.runs import NoFramesError
from kg.compare.spaces import Choice, Real
from kg.compare.study import UNPRUNED, open_study
from kg.compare.tuning import TuneOptions, tune
from kg.errors import KgError, WrongUsageError
from tests.compare.songs import material
from tests.waiting import until

REPOSITORY = Path(__file__).parent.parent.parent
QUICK = TuneOptions("lightgcn", trials=10, epochs=8)
# So slow that after 8 epochs next to nothing is learned, or as fast as the default.
SLOW_OR_NOT = {"learning_rate": Real(1e-7, 1e-2, log=True)}


def no_frames(kind: str) -> Sequence[NDArray[np.float16]]:
    raise NoFramesError(f"there are no {kind} frames of a table")


@pytest.fixture
def slow_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(spaces.SPACES, "lightgcn", SLOW_OR_NOT)  # type: ignore[arg-type]


@pytest.mark.usefixtures("slow_or_not")
def test_hopeless_settings_are_ended_early_and_the_best_win(tmp_path: Path) -> None:
    found = tune(material(), tmp_path, no_frames, QUICK)
    assert found.trials == 10
    assert 0 < found.pruned <= 10 - UNPRUNED
    assert found.macro_f1 >= found.defaults_macro_f1 > 0.7
    assert found.settings["learning_rate"] > 1e-3
    assert found.defaults == {"learning_rate": 0.01}
    assert (found.songs, found.resumed, list(found.broke)) == (81, 0, [])
    document = found.document()
    assert document["settings"] == {**found.settings, "epochs": 8, "epochs_unvalidated": 8}
    assert document["defaults"]["macroF1"] == found.defaults_macro_f1


def test_settings_that_are_wrong_by_default_are_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Always:
        parameters = epochs = best_epoch = 0

        def __init__(self, task: Task, wrong: float) -> None:
            self.task, self.wrong = task, wrong

        def scores(self, rows: Any) -> Any:
            import torch

            truth = torch.from_numpy(self.task.material.truth)[rows].float()
            chance = torch.Generator().manual_seed(0)
            return truth + self.wrong * torch.randn(truth.shape, generator=chance)

    swap(monkeypatch, lambda task, given: Always(task, given.settings["prior"]))
    monkeypatch.setitem(
        spaces.SPACES,  # type: ignore[arg-type]
        "label-propagation",
        {"prior": Real(1e-4, 5.0)},
    )
    monkeypatch.setattr("kg.compare.tuning.defaults_of", lambda _: {"prior": 5.0})
    found = tune(material(), tmp_path, no_frames, TuneOptions("label-propagation", trials=15))
    assert found.defaults_macro_f1 < 0.6
    assert found.macro_f1 > 0.95
    assert found.settings["prior"] < 1


@pytest.mark.usefixtures("slow_or_not")
def test_one_that_is_cut_off_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune(material(), tmp_path / "whole", no_frames, QUICK)
    fit = registry.contestants()["lightgcn"].fit
    calls = 0

    def interrupted(task: Task, given: Given) -> Any:
        nonlocal calls
        calls += 1
        if calls in (2, 12):  # in the midst of the first trial, and of a later one
            raise KeyboardInterrupt
        return fit(task, given)

    swap(monkeypatch, interrupted, "lightgcn")
    cut = tmp_path / "cut"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tune(material(), cut, no_frames, QUICK)
    (log,) = cut.glob("*.log")
    with log.open("ab") as file:  # as kill -9 leaves it
        file.write(b'{"op_code":5,"wor')
    Path(f"{log}.lock").touch()
    acquire = JournalFileOpenLock.acquire

    def free(lock: JournalFileOpenLock) -> bool:
        assert not Path(f"{log}.lock").exists()  # nobody waits for the lock of the dead
        return acquire(lock)

    monkeypatch.setattr(JournalFileOpenLock, "acquire", free)
    found = tune(material(), cut, no_frames, QUICK)
    assert 0 < found.resumed < 10
    assert replace(found, resumed=0) == whole

    further = tune(material(), cut, no_frames, replace(QUICK, trials=12))
    assert (further.resumed, further.trials) == (10, 12)
    fewer = tune(material(), cut, no_frames, replace(QUICK, trials=5))
    assert (fewer.resumed, fewer.trials) == (12, 12)
    for other in (replace(QUICK, seed=1), replace(QUICK, folds=2), replace(QUICK, features="good")):
        assert tune(material(), cut, no_frames, replace(other, trials=2)).resumed == 0
    assert tune(material(seed=1), cut, no_frames, replace(QUICK, trials=2)).resumed == 0


@pytest.mark.slow
def test_one_that_is_killed_goes_on(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from kg.compare.tuning import *\n"
        "from tests.compare.songs import material\n"
        "tune(material(), Path(sys.argv[1]), lambda kind: [], "
        "TuneOptions('lightgcn', trials=500, epochs=8))"
    )
    running = subprocess.Popen([sys.executable, "-c", program, tmp_path], cwd=REPOSITORY)
    try:
        until(lambda: finished(tmp_path) >= 3 or running.poll() is not None)
        assert running.poll() is None
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    found = tune(material(), tmp_path, no_frames, replace(QUICK, trials=8))
    assert found.resumed >= 3
    assert found.trials == max(8, found.resumed)


def finished(folder: Path) -> int:
    """Trials that were finished, of which the log says `"state":1`."""
    return sum(log.read_text().count('"state":1') for log in folder.glob("*.log"))


def test_test_songs_are_never_looked_at(tmp_path: Path) -> None:
    def come_to(name: str, songs: Material) -> Mapping[str, Any]:
        found = tune(songs, tmp_path / name, no_frames, replace(QUICK, trials=3))
        return {"settings": found.settings, "value": found.macro_f1, "songs": found.songs}

    changed = material()
    for row in changed.side("test"):
        changed.truth[row] = np.roll(changed.truth[row], 1)
    assert (changed.truth != material().truth).any()
    assert come_to("changed", changed) == come_to("as they are", material())


def test_every_model_can_be_tuned(tmp_path: Path) -> None:
    asked: list[str] = []

    def frames(kind: str) -> Sequence[NDArray[np.float16]]:
        asked.append(kind)
        chance = np.random.default_rng(0)
        return [chance.normal(size=(130, 20)).astype(np.float16) for _ in range(60)]

    for model in spaces.SPACES:
        options = TuneOptions(model, trials=2, folds=2, epochs=1)
        found = tune(material(60), tmp_path, frames, options)
        assert found.trials == 2
        assert list(found.broke) == []
        assert set(found.settings) == set(spaces.SPACES[model])
    assert asked == ["mfcc", "log_mel", "log_mel"]


def test_what_breaks_costs_its_trial_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = registry.contestants()["label-propagation"].fit

    def narrow(task: Task, given: Given) -> Any:
        if len(given.settings["alphas"]) == 1:
            raise MemoryError("9 GB are needed")
        return fit(task, given)

    swap(monkeypatch, narrow)
    options = TuneOptions("label-propagation", trials=6)
    found = tune(material(), tmp_path, no_frames, options)
    assert len(found.settings["alphas"]) == 5
    assert set(found.broke) == {"MemoryError: 9 GB are needed"}
    assert found.trials == 6
    again = tune(material(), tmp_path, no_frames, options)
    assert (again.resumed, again.broke) == (6, found.broke)


def test_defaults_that_break_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = registry.contestants()["label-propagation"].fit

    def never(task: Task, given: Given) -> Any:
        raise ValueError("a shape doesn't fit")

    options = TuneOptions("label-propagation", trials=2)
    with monkeypatch.context() as patched:
        swap(patched, never)
        with pytest.raises(KgError, match=r"can't be trained with its defaults .ValueError: a sha"):
            tune(material(), tmp_path, no_frames, options)
    swap(monkeypatch, fit)
    assert tune(material(), tmp_path, no_frames, options).resumed == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (TuneOptions("svm"), "nothing to tune about svm: it chooses its own .* Take r-gcn, mlp"),
        (TuneOptions("tabular"), "nothing to tune about tabular"),
        (TuneOptions("lightgnc"), "no model 'lightgnc': did you mean lightgcn"),
        (TuneOptions(trials=1), "at least 2 trials and 2 folds"),
        (TuneOptions(folds=1), "at least 2 trials and 2 folds"),
        (TuneOptions(folds=40), "40 folds need songs by 40 artists"),
        (TuneOptions(features="goood"), "no features called 'goood'"),
        (TuneOptions("cnn", features="good"), "none of good: give --features mfcc or mel"),
        (TuneOptions(device="tpu"), "tpu"),
    ],
)
def test_what_cannot_be_tuned_is_said(tmp_path: Path, options: TuneOptions, words: str) -> None:
    with pytest.raises(WrongUsageError, match=words):
        tune(material(), tmp_path, no_frames, options)
    assert not list(tmp_path.iterdir())


def test_a_model_of_frames_needs_frames(tmp_path: Path) -> None:
    with pytest.raises(NoFramesError, match="no log_mel frames of a table"):
        tune(material(), tmp_path, no_frames, TuneOptions("cnn", trials=2))


SPACE = {"a": Real(0, 1), "b": Choice(((1,), (2, 3)))}
DEFAULTS: Mapping[str, Any] = {"a": 0.5, "b": (2, 3)}


def test_a_study_is_used_by_one_command_at_a_time(tmp_path: Path) -> None:
    with (
        open_study(tmp_path, "one", SPACE, DEFAULTS, 0),
        pytest.raises(KgError, match="Another kg command tunes the same model"),
        open_study(tmp_path, "one", SPACE, DEFAULTS, 0),
    ):
        pass
    with open_study(tmp_path, "one", SPACE, DEFAULTS, 0) as study:
        first = study.ask()
        assert (first.settings, first.is_default) == (DEFAULTS, True)
        first.came_to(0.5)
        other = study.ask()
        assert not other.is_default
        assert other.settings["b"] in SPACE["b"].options  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [b"{}\n", b"\x00\xff\n", b'{"op_code": 99}\n', b"[1]\n"])
def test_a_damaged_study_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.log").write_bytes(content)
    with (
        pytest.raises(KgError, match=r"can't be read from .*one\.log: delete that file"),
        open_study(tmp_path, "one", SPACE, DEFAULTS, 0),
    ):
        pass


def test_a_full_disk_and_a_missing_optuna_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.storages.journal import JournalFileBackend

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        with open_study(tmp_path, "one", SPACE, DEFAULTS, 0) as study:
            patched.setattr(JournalFileBackend, "append_logs", full)
            with pytest.raises(KgError, match=r"can't be kept .No space left"):
                study.ask()
        with (
            pytest.raises(KgError, match=r"can't be kept .No space left"),
            open_study(tmp_path, "two", SPACE, DEFAULTS, 0),
        ):
            pass
    monkeypatch.setitem(sys.modules, "optuna", None)
    with (
        pytest.raises(KgError, match=r"pip install 'kg-music\[tune\]'"),
        open_study(tmp_path, "one", SPACE, DEFAULTS, 0),
    ):
        pass


def swap(monkeypatch: pytest.MonkeyPatch, fit: Any, name: str = "label-propagation") -> None:
    """Train a contestant by another function."""
    listed = registry.contestants()
    was = listed[name]
    listed[name] = Contestant(name, was.title, was.takes, fit, was.hears)
    monkeypatch.setattr(registry, "contestants", lambda: listed)
