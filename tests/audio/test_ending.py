"""Files that break off before they say they do."""

from pathlib import Path

import numpy as np
import pytest
from mutagen.id3 import APIC, ID3

from kg.audio.decode import decode
from kg.audio.ending import NO_END, missing_seconds
from kg.errors import AudioError
from tests.audio.sounds import FORMATS, bare, encode, in_format, noise, write

SECONDS = 20.0

# What says how long it is, and is played to where it breaks off.
TELLING = ("a.wav", "a.flac", "a.aiff", "a.mp3", "a.tta")


@pytest.mark.parametrize(("name", "codec", "rate"), FORMATS, ids=[name for name, *_ in FORMATS])
def test_a_whole_file_lacks_nothing(
    tmp_path: Path, name: str, codec: str | None, rate: int
) -> None:
    path = in_format(tmp_path, name, codec, rate, noise(3.0, rate=rate))
    assert missing_seconds(path) == 0.0


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [each for each in FORMATS if each[0] in TELLING],
    ids=TELLING,
)
def test_how_much_is_missing(tmp_path: Path, name: str, codec: str | None, rate: int) -> None:
    path = in_format(tmp_path, name, codec, rate, noise(SECONDS, rate=rate))
    content = path.read_bytes()
    path.write_bytes(content[: round(0.7 * len(content))])
    there = decode(path, None).samples.size / 22_050
    # A packet of TTA is a second, and counts if it begins.
    assert missing_seconds(path) == pytest.approx(SECONDS - there, abs=1.2)
    assert missing_seconds(path) == pytest.approx(0.3 * SECONDS, abs=1.2)


def test_an_mp3_behind_a_large_cover(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp3", noise(SECONDS), "libmp3lame")
    tag = ID3()
    tag.add(APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=bytes(500_000)))
    tag.save(path)
    assert missing_seconds(path) == 0.0
    content = path.read_bytes()
    path.write_bytes(content[: -(len(content) - 500_000) // 2])
    assert missing_seconds(path) == pytest.approx(SECONDS / 2, abs=1.0)


def test_an_mp4_whose_index_comes_first(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", noise(SECONDS), "aac", movflags="faststart")
    assert missing_seconds(path) == 0.0
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert missing_seconds(path) == pytest.approx(SECONDS / 2, abs=1.0)


@pytest.mark.parametrize("name", ["a.opus", "a.ogg"])
def test_an_ogg_stream_without_its_last_page(tmp_path: Path, name: str) -> None:
    codec = "libopus" if name == "a.opus" else None
    path = in_format(tmp_path, name, codec, 48_000, noise(SECONDS, rate=48_000))
    assert missing_seconds(path) == 0.0
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert missing_seconds(path) == NO_END


def test_a_raw_stream_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    content = bare(path, noise(SECONDS), "libmp3lame", 64_000)
    path.write_bytes(content[: len(content) // 2])
    assert missing_seconds(path) == 0.0


def test_what_was_streamed_into_a_wav_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise())
    content = bytearray(path.read_bytes())
    for size in (b"\xff\xff\xff\xff", b"\0\0\0\0"):
        content[4:8] = size
        path.write_bytes(content)
        assert missing_seconds(path) == 0.0


def test_a_few_bytes_less_are_no_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(SECONDS))
    path.write_bytes(path.read_bytes()[:-2_000])
    assert missing_seconds(path) == 0.0


def test_no_file_is_too_broken_to_be_asked(tmp_path: Path, data_dir: Path) -> None:
    files = [path for path in sorted((data_dir / "audio_formats").rglob("*")) if path.is_file()]
    said = {path: missing_seconds(path) for path in files}
    assert all(np.isfinite(seconds) and seconds >= 0 for seconds in said.values())
    # Those that can be heard and lack something are test files of which only a head was kept.
    lacking = set()
    for path, seconds in said.items():
        try:
            decode(path)
        except AudioError:
            continue
        if seconds:
            lacking.add(path.name)
    assert lacking == {
        "apev2-lyricsv2.mp3",
        "variable-block.flac",
        "vbri.mp3",
        "test.opus",
        "vbr_xing_header_2channel.mp3",
    }
    with pytest.raises(OSError, match="No such file"):
        missing_seconds(tmp_path / "nowhere.mp3")
