"""What is remembered of files between runs."""

import os
from pathlib import Path

import pytest

from kg.watching.disk import stamp_of
from kg.watching.memory import Known, Memory, memory_file
from kg.watching.settling import Stamp


def test_what_was_known_is_known_again(tmp_path: Path) -> None:
    memory, root = Memory(), tmp_path / "music"
    odd = f"{root}/b\udcff\n.mp3"
    song = Known(Stamp(10, 20, 30, 40, 50), "abc")
    memory.put(odd, song)
    memory.put(f"{root}/bad.mp3", Known(Stamp(1, 2, 3, 4, 5), None))
    memory.put("/elsewhere/x.mp3", song)
    file = memory_file(tmp_path, root)
    memory.save(file, root)
    assert file != memory_file(tmp_path, tmp_path)

    again = Memory()
    again.load(file)
    assert not again.unsaved
    assert sorted(again) == sorted([odd, f"{root}/bad.mp3"])
    found = again.get(odd)
    assert found is not None
    # Disks have other numbers after a restart: who relies on them must have looked since.
    assert (found.id, found.stamp.device) == ("abc", -1)
    assert found.stamp.same(song.stamp)
    again.put(odd, song)
    assert not again.unsaved
    again.drop(odd)
    assert again.unsaved
    assert again.get(odd) is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"version": 2}', '{"version": 1, "files": {"a": [1]}}', '{"version": 1}'],
)
def test_a_damaged_memory_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    memory = Memory()
    memory.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text(text)
    memory.load(tmp_path / "bad.json")
    assert list(memory) == []


def test_a_stamp_tells_what_was_done_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    assert stamp_of(str(path)) is None
    assert stamp_of("a\0b") is None
    assert stamp_of(str(tmp_path)) is None
    path.write_bytes(b"1234")
    first = stamp_of(str(path))
    assert first is not None
    renamed = path.rename(tmp_path / "b.mp3")
    second = stamp_of(str(renamed))
    assert second is not None
    assert second.content == first.content
    os.utime(renamed, ns=(1, 1))
    third = stamp_of(str(renamed))
    assert third is not None
    assert third.content != first.content
    assert not third.same(first)
