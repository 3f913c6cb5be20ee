"""A comparison that was cut off goes on, and never with other settings."""

from pathlib import Path

import numpy as np
import pytest

from kg.compare.journal import Came, Cell, Journal
from kg.errors import KgError, WrongUsageError

SETTINGS = {"models": ["knn"], "seeds": 3, "library": "abc", "on": None}
CELL = Cell("by artist", "mfcc", "knn", 0, 1)


def came() -> Came:
    scores = np.arange(6, dtype=np.float32).reshape(2, 3)
    return Came(scores, train_seconds=1.5, predict_seconds=0.25, megabytes=3.0, parameters=7)


def test_what_was_done_is_found_again(tmp_path: Path) -> None:
    first = Journal(tmp_path / "j", SETTINGS)
    assert not first.resumed
    assert first.read(CELL) is None
    first.write(CELL, came())
    again = Journal(tmp_path / "j", SETTINGS)
    assert again.resumed
    found = again.read(CELL)
    assert found is not None
    np.testing.assert_array_equal(found.scores, came().scores)
    assert (found.train_seconds, found.predict_seconds) == (1.5, 0.25)
    assert (found.megabytes, found.parameters) == (3.0, 7)
    assert again.read(Cell("random", "mfcc", "knn", 0, 1)) is None


def test_other_settings_are_refused_in_plain_words(tmp_path: Path) -> None:
    Journal(tmp_path / "j", SETTINGS).write(CELL, came())
    with pytest.raises(WrongUsageError, match=r"\(seeds 3, now 5\).*--restart"):
        Journal(tmp_path / "j", {**SETTINGS, "seeds": 5})
    with pytest.raises(WrongUsageError, match="other songs, genres or sides"):
        Journal(tmp_path / "j", {**SETTINGS, "library": "abd"})
    # refusing has cost nothing
    assert Journal(tmp_path / "j", SETTINGS).read(CELL) is not None


def test_restart_throws_away_what_was_done(tmp_path: Path) -> None:
    Journal(tmp_path / "j", SETTINGS).write(CELL, came())
    again = Journal(tmp_path / "j", {**SETTINGS, "seeds": 5}, restart=True)
    assert not again.resumed
    assert again.read(CELL) is None


def test_a_damaged_file_counts_as_not_done(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", SETTINGS)
    journal.write(CELL, came())
    (file,) = (tmp_path / "j").glob("*.npz")
    file.write_bytes(file.read_bytes()[:-40])
    assert journal.read(CELL) is None


def test_when_all_is_done_nothing_is_left(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", SETTINGS)
    journal.write(CELL, came())
    journal.finish()
    assert not (tmp_path / "j").exists()


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KgError, match="make room there, or choose another home"):
        Journal(tmp_path / "file" / "j", SETTINGS)
