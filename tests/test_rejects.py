"""Files that did not become songs: summed up, and kept in a list."""

import os
from pathlib import Path

import pytest

from kg.errors import KgError
from kg.records import Rejected
from kg.rejects import Reason, by_reason, read_rejects, write_rejects


def rejects(*reasons: str, folder: str = "/m") -> list[Rejected]:
    return [Rejected(Path(f"{folder}/{i}.mp3"), reason) for i, reason in enumerate(reasons)]


def test_reasons_that_differ_in_details_are_one() -> None:
    found = by_reason(
        rejects(
            "silent: there is no sound in it",
            "can't be read (Permission denied)",
            "can't be read (Input/output error)",
            "took longer than 20 s and was stopped",
            "took longer than 40 s and was stopped",
            "took longer than 20.5 s and was stopped",
            "is already in the library as 'So: What'; nothing was changed",
            'is already in the library as "It\'s (live)"; nothing was changed',
        )
    )
    assert found == [
        Reason("took longer than … s and was stopped", 3, Path("/m/3.mp3")),
        Reason("can't be read", 2, Path("/m/1.mp3")),
        Reason("is already in the library as …; nothing was changed", 2, Path("/m/6.mp3")),
        Reason("silent: there is no sound in it", 1, Path("/m/0.mp3")),
    ]
    assert by_reason([]) == []


def test_a_reason_that_all_give_alike_keeps_its_details() -> None:
    (reason,) = by_reason(rejects(*["can't be read (Permission denied)"] * 3))
    assert reason == Reason("can't be read (Permission denied)", 3, Path("/m/0.mp3"))


def test_the_list_keeps_what_other_folders_had(tmp_path: Path) -> None:
    listed = tmp_path / "rejects.txt"
    first, second = Path("/m"), Path("/music")
    assert write_rejects(rejects("broken", "silent"), [first], listed) == listed
    assert listed.read_text() == "/m/0.mp3\tbroken\n/m/1.mp3\tsilent\n"
    write_rejects(rejects("empty", folder="/music"), [second], listed)
    assert read_rejects(listed) == {
        "/m/0.mp3": "broken", "/m/1.mp3": "silent", "/music/0.mp3": "empty",
    }  # fmt: skip
    # A folder that is clean now, and a single file that was mended.
    assert write_rejects([], [second], listed) is None
    write_rejects([], [Path("/m/0.mp3")], listed)
    assert read_rejects(listed) == {"/m/1.mp3": "silent"}
    write_rejects([], [Path("/")], listed)
    assert not listed.exists()
    assert read_rejects(listed) == {}


def test_odd_names_take_one_line_and_are_found_again(tmp_path: Path) -> None:
    listed = tmp_path / "rejects.txt"
    odd = Path(os.fsdecode(b"/m\xe9\n\x85/a\tb.mp3"))
    write_rejects([Rejected(odd, "broken\nin two lines")], [odd.parent], listed)
    assert listed.read_text() == "/m\\xe9\\n\\x85/a\\tb.mp3\tbroken\\nin two lines\n"
    write_rejects([], [odd.parent], listed)
    assert not listed.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_keeps_the_list_that_is_there(tmp_path: Path) -> None:
    listed = tmp_path / "rejects.txt"
    write_rejects(rejects("broken"), [Path("/m")], listed)
    listed.with_suffix(".part").symlink_to("/dev/full")
    with pytest.raises(KgError, match=r"rejects\.txt \(No space left on device\): make room"):
        write_rejects(rejects("silent"), [Path("/m")], listed)
    assert read_rejects(listed) == {"/m/0.mp3": "broken"}


def test_a_list_that_is_none(tmp_path: Path) -> None:
    listed = tmp_path / "rejects.txt"
    listed.mkdir()
    with pytest.raises(KgError, match="can't be read"):
        write_rejects(rejects("broken"), [Path("/m")], listed)
