"""Files that a user names: where none can be written, and that one is whole or not there."""

import os
from pathlib import Path

import pytest

from kg.errors import WrongUsageError
from kg.outputs import appearing, check_target


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "away").symlink_to(tmp_path / "none" / "a")
    for path, words in (
        (tmp_path, "is a folder: name a file for the song"),
        (tmp_path / "none" / "a", r"There is no folder .*none for the song: make it first"),
        (tmp_path / "file" / "a", "There is no folder"),
        (tmp_path / "away", r"There is no folder .*none for the song"),
        (tmp_path / ("n" * 256), "too long.*name another file"),
        (tmp_path / "round", "can't be written"),
        (Path("/dev/null"), "is no file but a device or pipe"),
        (tmp_path / "a\0b", "null byte"),
    ):
        with pytest.raises(WrongUsageError, match=words):
            check_target(path, "the song")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["away", "file", "round"]


def test_a_folder_that_may_not_be_written_to() -> None:
    if os.access("/proc", os.W_OK) and Path("/proc/self").exists():
        with pytest.raises(WrongUsageError, match=r"can't be written .*: name another file"):
            check_target(Path("/proc/song"), "the song")


def test_the_longest_names_are_written(tmp_path: Path) -> None:
    for name in ("n" * 255, "\N{CJK UNIFIED IDEOGRAPH-97F3}" * 85):
        path = check_target(tmp_path / name, "the song")
        with appearing(path) as file:
            file.write(b"la")
        assert path.read_bytes() == b"la"


def test_what_a_link_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "song", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    path = check_target(link, "the song")
    assert path == link
    with appearing(path) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_one_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "song"
    path.write_text("old")

    def fails() -> None:
        with appearing(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert [each.name for each in tmp_path.iterdir()] == ["song"]
    assert path.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="there are no such permissions")
def test_who_may_read_it(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        for name, private in (("open", False), ("private", True)):
            with appearing(tmp_path / name, private=private):
                pass
    finally:
        os.umask(mask)
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o644
    (tmp_path / "open").chmod(0o600)
    with appearing(tmp_path / "open") as file:
        file.write(b"new")
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600
