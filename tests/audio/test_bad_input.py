"""Damaged files, hundreds of them: each ends as a song or as a named reason, and nothing else."""

import math
import os
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kg.audio import workers
from kg.audio.cache import Row
from kg.audio.decode import SHORTEST
from kg.audio.features import columns
from kg.audio.requests import Outcome, Request
from kg.audio.tags import Tags, read_tags
from kg.audio.workers import perform_in_workers
from kg.errors import AudioError
from kg.files import content_id
from kg.sources.folder import scan
from tests.audio.sounds import FORMATS, damaged, in_format, noise, sine, write
from tests.waiting import DEADLINE

# Words that only programmers use, and what a process says that went down.
JARGON = re.compile(
    r"crash|did not end|Error|Traceback|None|0x|errno|\bNaN\b(?! or infinity)|exception", re.I
)


def extracted(paths: list[Path]) -> list[Outcome]:
    """What becomes of each, as the product does it: in processes that are told when one ends."""
    requests = (Request(str(index), path) for index, path in enumerate(paths))
    done = {int(request.song): outcome for request, outcome in perform_in_workers(requests, 2)}
    return [done[index] for index in range(len(paths))]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes no decoder hang."""
    monkeypatch.setattr(workers, "PATIENCE", DEADLINE)


@pytest.fixture(scope="module")
def ruins(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("ruins")
    whole = {}
    for name, codec, rate in FORMATS:
        sound = 0.5 * noise(1.2, rate=rate) + 0.3 * sine(1.2, 440, rate)
        whole[name] = in_format(folder, name, codec, rate, sound).read_bytes()
        (folder / name).unlink()
    for seed in (4, 404):  # 404 once crashed PyAV
        for name, data in damaged(whole, seed):
            (folder / f"{seed}-{name}").write_bytes(data)
    return sorted(folder.iterdir())


@pytest.mark.slow
def test_damaged_files_end_as_a_song_or_a_reason(
    ruins: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(ruins) > 1000
    outcomes = extracted(ruins)
    rows = [outcome for outcome in outcomes if isinstance(outcome, Row)]
    reasons = Counter(str(each) for each in outcomes if isinstance(each, AudioError))
    assert len(rows) + reasons.total() == len(ruins)
    assert len(rows) > 200, "most flipped bits are a crackle, not the end of a song"
    for row in rows:
        assert row.features.shape == (len(columns()),)
        assert np.isfinite(row.features).all()
        assert math.isfinite(row.duration)
        assert row.duration >= SHORTEST
        assert row.sample_rate > 0
    assert [reason for reason in reasons if JARGON.search(reason)] == []
    assert max(map(len, reasons)) < 100
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_damaged_files_are_looked_at_without_a_word(
    ruins: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    for path in ruins:
        assert isinstance(read_tags(path), Tags)
        assert re.fullmatch("[0-9a-f]{32}", content_id(path))
    assert capfd.readouterr() == ("", "")


def odd_things(folder: Path) -> Path:
    """A folder with everything that a disk full of music may hold, and one good song."""
    write(folder / "good.flac", noise())
    write(folder / "copy of good.flac", noise())
    write(folder / "silence.wav", np.zeros(40_000, np.float32))
    write(folder / "constant.wav", np.full(40_000, 0.3, np.float32))
    write(folder / "short.wav", noise(0.05))
    broken = noise()
    broken[77] = np.nan
    write(folder / "nan.wav", broken, subtype="FLOAT")
    (folder / "empty.mp3").touch()
    (folder / "text.mp3").write_text("These are the words of a song.\n" * 9)
    (folder / "page.m4a").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (folder / "zeros.flac").write_bytes(bytes(5_000))
    cut = write(folder / "cut.ogg", noise())
    cut.write_bytes(cut.read_bytes()[:200])
    (folder / "folder.mp3").mkdir()
    if os.name != "nt":
        (folder / "loop").symlink_to(folder)
        (folder / "self.mp3").symlink_to(folder / "self.mp3")
        (folder / "gone.mp3").symlink_to(folder / "nowhere.mp3")
        os.mkfifo(folder / "pipe.mp3")
        (folder / "device.mp3").symlink_to("/dev/zero")
    if sys.platform == "linux":
        write(folder / "name.flac", noise(seed=3)).rename(folder / "caf\udce9.flac")
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text, pipes and devices")
def test_a_folder_of_odd_things(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = scan([odd_things(tmp_path / "odd")])
    outcomes = extracted([record.path for record in found.records])
    songs, reasons = {}, {each.path.name: each.reason for each in found.rejected}
    for record, outcome in zip(found.records, outcomes, strict=True):
        if isinstance(outcome, Row):
            songs[record.title] = [path.name for path in record.paths]
        else:
            reasons[record.path.name] = str(outcome)
    assert songs == {
        "copy of good": ["copy of good.flac", "good.flac"],
        r"caf\xe9": ["caf\udce9.flac"],
    }
    assert reasons == {
        "silence.wav": "silent: there is no sound in it",
        "constant.wav": "silent: there is no sound in it",
        "short.wav": "only 50 ms of sound: too short for a song",
        "nan.wav": "holds samples that are not numbers (NaN or infinity)",
        "empty.mp3": "empty file (0 bytes)",
        "text.mp3": "text, not audio",
        "page.m4a": "a web page, not audio: a download that failed",
        "zeros.flac": "holds nothing but zeros: a copy or download that failed",
        "cut.ogg": "damaged or cut off: it begins like Ogg, but no sound can be decoded",
        "gone.mp3": "a link to a file that isn't there",
        "self.mp3": "a link that leads back to itself",
    }
    assert capfd.readouterr() == ("", "")
