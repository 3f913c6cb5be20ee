"""Files that did not become songs: summed up, and kept in a list."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kg.errors import KgError
from kg.intake.rejects import Reason, by_reason, read_rejects, write_rejects
from kg.records import Rejected
from kg.text import printable
from tests.waiting import DEADLINE


def rejects(*reasons: str, folder: Path = Path("/m")) -> list[Rejected]:
    return [Rejected(folder / f"{i}.mp3", reason) for i, reason in enumerate(reasons)]


def files(folder: Path, *names: str) -> list[Path]:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


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
    m, music = tmp_path / "m", tmp_path / "music"
    first = files(m, "0.mp3", "1.mp3")
    (empty,) = files(music, "0.mp3")
    assert write_rejects(rejects("broken", "silent", folder=m), [m], listed) == listed
    assert listed.read_text() == f"{first[0]}\tbroken\n{first[1]}\tsilent\n"
    write_rejects(rejects("empty", folder=music), [music], listed)
    assert read_rejects(listed) == {
        str(first[0]): "broken", str(first[1]): "silent", str(empty): "empty",
    }  # fmt: skip
    # A folder that is clean now, and a single file that was mended.
    assert write_rejects([], [music], listed) is None
    write_rejects([], [first[0]], listed)
    assert read_rejects(listed) == {str(first[1]): "silent"}
    write_rejects([], [Path("/")], listed)
    assert not listed.exists()
    assert read_rejects(listed) == {}


def test_files_that_are_gone_leave_the_list(tmp_path: Path) -> None:
    listed = tmp_path / "rejects.txt"
    m, other = tmp_path / "m", tmp_path / "other"
    names = ("stays.mp3", "goes.mp3", "\x85.mp3", os.fsdecode(b"\x85 \xe9.mp3"), "\u2028\n.mp3")
    odd = (*names, "\\x41.mp3", "\\x00.mp3", "\n" * 200)
    found = files(m, *odd)
    (m / "link.mp3").symlink_to("nowhere")
    write_rejects([Rejected(m / name, "bad") for name in (*odd, "link.mp3")], [m], listed)
    write_rejects([], [other], listed)  # of a folder that isn't there nothing was listed
    assert set(read_rejects(listed)) == {printable(path) for path in (*found, m / "link.mp3")}
    for path in found[1:]:
        path.unlink()
    write_rejects([], [other], listed)
    assert set(read_rejects(listed)) == {str(found[0]), str(m / "link.mp3")}
    m.rename(tmp_path / "moved")
    m.touch()  # a file where the folder was
    write_rejects([], [other], listed)
    assert not listed.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_files_that_nobody_may_look_for_stay_listed(tmp_path: Path) -> None:
    listed = tmp_path / "rejects.txt"
    files(tmp_path / "m", "0.mp3")
    write_rejects(rejects("broken", folder=tmp_path / "m"), [tmp_path / "m"], listed)
    (tmp_path / "m").chmod(0)
    try:
        write_rejects([], [tmp_path / "other"], listed)
    finally:
        (tmp_path / "m").chmod(0o700)
    assert list(read_rejects(listed)) == [str(tmp_path / "m" / "0.mp3")]


def test_runs_at_the_same_time_keep_one_list(tmp_path: Path) -> None:
    listed = tmp_path / "rejects.txt"
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        files(folder, *(f"{number}.mp3" for number in range(20)))
    # Processes of their own: they share nothing but the files.
    keep = (
        "import sys\n"
        "from pathlib import Path\n"
        "from kg.records import Rejected\n"
        "from kg.intake.rejects import write_rejects\n"
        "folder, listed = map(Path, sys.argv[1:])\n"
        "for turn in range(100):\n"
        "    bad = [Rejected(path, f'bad {turn}') for path in folder.iterdir()]\n"
        "    write_rejects(bad, [folder], listed)\n"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", keep, folder, listed], stderr=subprocess.PIPE)
        for folder in folders
    ]
    for run in runs:
        assert run.communicate(timeout=DEADLINE)[1] == b""
    assert read_rejects(listed) == {
        str(path): "bad 99" for folder in folders for path in folder.iterdir()
    }
    assert {path.name for path in tmp_path.iterdir()} == {
        "0", "1", "2", "rejects.lock", "rejects.txt",
    }  # fmt: skip


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
    half = listed.with_suffix(f".{os.getpid()}.part")
    half.symlink_to("/dev/full")
    with pytest.raises(KgError, match=r"rejects\.txt \(No space left on device\): make room"):
        write_rejects(rejects("silent"), [Path("/m")], listed)
    assert read_rejects(listed) == {"/m/0.mp3": "broken"}
    assert not half.is_symlink()


def test_a_list_that_is_none(tmp_path: Path) -> None:
    listed = tmp_path / "rejects.txt"
    listed.mkdir()
    with pytest.raises(KgError, match="can't be read"):
        write_rejects(rejects("broken"), [Path("/m")], listed)
