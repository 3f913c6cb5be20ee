"""A comparison that was cut off goes on, and never with other settings."""

import sys
from pathlib import Path

import numpy as np
import pytest

from kg.compare.journal import Came, Cell, open_journal
from kg.errors import KgError, WrongUsageError

SETTINGS = {"models": ["knn"], "seeds": 3, "library": "abc", "on": None}
CELL = Cell("by artist", "mfcc", "knn", 0, 1)


def came() -> Came:
    scores = np.arange(6, dtype=np.float32).reshape(2, 3)
    return Came(scores, train_seconds=1.5, predict_seconds=0.25, megabytes=3.0, parameters=7)


def test_what_was_done_is_found_again(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j", SETTINGS) as first:
        assert not first.resumed
        assert first.read(CELL) is None
        first.write(CELL, came())
    with open_journal(tmp_path / "j", SETTINGS) as again:
        assert again.resumed
        assert again.run == first.run
        found = again.read(CELL)
        assert found is not None
        np.testing.assert_array_equal(found.scores, came().scores)
        assert (found.train_seconds, found.predict_seconds) == (1.5, 0.25)
        assert (found.megabytes, found.parameters) == (3.0, 7)
        assert again.read(Cell("random", "mfcc", "knn", 0, 1)) is None


def test_other_settings_are_refused_in_plain_words(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j", SETTINGS) as journal:
        journal.write(CELL, came())
    for settings, words in (
        ({**SETTINGS, "seeds": 5}, r"\(seeds 3, now 5\).*--restart"),
        ({**SETTINGS, "library": "abd"}, "other songs, genres or sides"),
    ):
        with (
            pytest.raises(WrongUsageError, match=words),
            open_journal(tmp_path / "j", settings),
        ):
            pass
    # refusing has cost nothing
    with open_journal(tmp_path / "j", SETTINGS) as journal:
        assert journal.read(CELL) is not None


def test_restart_throws_away_what_was_done(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j", SETTINGS) as first:
        first.write(CELL, came())
    with open_journal(tmp_path / "j", {**SETTINGS, "seeds": 5}, restart=True) as again:
        assert not again.resumed
        assert again.run != first.run
        assert again.read(CELL) is None


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_one_at_a_time_whatever_its_settings(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j", SETTINGS) as first:
        first.write(CELL, came())
        for settings, restart in ((SETTINGS, False), ({**SETTINGS, "seeds": 5}, True)):
            with (
                pytest.raises(KgError, match="Another kg command compares models in this home"),
                open_journal(tmp_path / "j", settings, restart=restart),
            ):
                pass
        assert first.read(CELL) is not None


def test_what_a_deletion_left_behind_of_another_comparison_is_not_taken(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j", SETTINGS) as first:
        first.write(CELL, came())
    (file,) = (tmp_path / "j").glob("*.npz")
    left = file.read_bytes()
    with open_journal(tmp_path / "j", {**SETTINGS, "seeds": 5}, restart=True) as again:
        file.write_bytes(left)
        assert again.read(CELL) is None


def test_a_damaged_file_counts_as_not_done(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j", SETTINGS) as journal:
        journal.write(CELL, came())
        (file,) = (tmp_path / "j").glob("*.npz")
        file.write_bytes(file.read_bytes()[:-40])
        assert journal.read(CELL) is None


def test_when_all_is_done_nothing_is_left(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j", SETTINGS) as journal:
        journal.write(CELL, came())
        journal.finish()
    assert not (tmp_path / "j").exists()


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "j"):
        with (
            pytest.raises(KgError, match="make room there, or choose another home"),
            open_journal(folder, SETTINGS),
        ):
            pass
