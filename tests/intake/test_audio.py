"""What is heard belongs to the file that was identified."""

import os
from pathlib import Path

from kg.audio.extract import extract
from kg.audio.features import feature_set
from kg.embeddings.ears import Ears
from kg.files import CHANGED
from kg.intake.audio import hear
from kg.sources.folder import scan
from tests.audio.sounds import noise, write

EARS = Ears(feature_set(), None)


def test_files_that_change_or_go_during_the_run(tmp_path: Path) -> None:
    folder, cache = tmp_path / "music", tmp_path / "cache"
    paths = [write(folder / f"{name}.wav", noise(seed=i)) for i, name in enumerate("abcd")]
    stays, grows, goes, becomes_pipe = paths
    records = scan([folder]).records
    with grows.open("ab") as download:
        download.write(bytes(1000))
    os.utime(grows, ns=(0, 1))
    goes.unlink()
    becomes_pipe.unlink()
    os.mkfifo(becomes_pipe)

    heard = hear(records, EARS, cache, workers=1)
    assert [song.record.path for song in heard.songs] == [stays]
    assert {each.path: each.reason for each in heard.rejected} == {
        grows: CHANGED,
        goes: "no longer there",
        becomes_pipe: "a pipe or device, not a file",
    }
    # What was heard of a file that changed isn't kept under the name of what was hashed.
    by_path = {record.path: record.id for record in records}
    again = extract([(by_path[path], path) for path in (stays, grows)], cache)
    assert again.cached == 1
    # What was heard before a file went is still right.
    stays.unlink()
    assert [song.record.path for song in hear(records[:1], EARS, cache).songs] == [stays]


def test_copies_of_a_bad_file_are_rejected_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    goes = write(folder / "goes.wav", noise(seed=1))
    for name, like in (("later.wav", goes.read_bytes()), ("bad.wav", b"no"), ("b.wav", b"no")):
        (folder / name).write_bytes(like)
    records = scan([folder]).records
    assert len(records) == 2
    goes.unlink()  # its copy is as good as before
    heard = hear(records, EARS, tmp_path / "cache", workers=1)
    assert [one.path.name for one in heard.rejected] == ["b.wav", "bad.wav", "goes.wav"]
    assert {one.reason for one in heard.rejected[2:]} == {"no longer there"}
