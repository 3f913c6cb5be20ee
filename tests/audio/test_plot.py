"""Pictures of songs: what is drawn where, and where none is drawn."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
from matplotlib.image import imread

from kg.audio.decode import SAMPLE_RATE, Audio, decode
from kg.audio.frames import Frames
from kg.audio.plot import draw, figure
from kg.audio.scales import mel, mel_hertz, mel_rows, octave_names
from kg.errors import KgError, WrongUsageError
from kg.pictures import check_picture
from tests.waiting import DEADLINE


def sine(hertz: float, seconds: float = 4.0) -> Audio:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return Audio((0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32), seconds, SAMPLE_RATE)


def test_four_panels_share_one_time_axis_in_seconds() -> None:
    picture = figure(sine(440.0), "A song")
    picture.draw_without_rendering()
    wave, mels, mfcc, chroma, *bars = picture.axes
    assert [panel.get_title(loc="left") for panel in (wave, mels, mfcc, chroma)] == [
        "Waveform", "Log-mel spectrogram", "MFCC", "Chroma",
    ]  # fmt: skip
    assert [panel.get_ylabel() for panel in (wave, mels, mfcc, chroma)] == [
        "Amplitude", "Frequency (Hz)", "Coefficient", "Pitch class",
    ]  # fmt: skip
    assert [bar.get_ylabel() for bar in bars] == ["dB (loudest = 0)", "value", "strongest = 1"]
    assert chroma.get_xlabel() == "Time (s)"
    assert {panel.get_xlim() for panel in (wave, mels, mfcc, chroma)} == {(0.0, 4.0)}
    left = {round(panel.get_position().x0, 6) for panel in (wave, mels, mfcc, chroma)}
    right = {round(panel.get_position().x1, 6) for panel in (wave, mels, mfcc, chroma)}
    assert (len(left), len(right)) == (1, 1)
    assert [label.get_text() for label in chroma.get_yticklabels()][::3] == ["C", "D♯", "F♯", "A"]
    assert [label.get_text() for label in mels.get_yticklabels()] == [
        "64", "256", "512", "1024", "2048", "4096", "8192",
    ]  # fmt: skip
    assert picture.get_suptitle() == "A song"
    assert "4.0 s" in wave.get_title(loc="right")
    assert "BPM" in wave.get_title(loc="right")


def test_a_tone_is_drawn_at_its_frequency_and_its_pitch() -> None:
    audio = sine(440.0)
    _, mels, mfcc, chroma, *_ = figure(audio, "A").axes
    drawn = np.asarray(mels.images[0].get_array())
    assert abs(drawn.mean(axis=1).argmax() - mel_rows([440.0])[0]) < 1
    assert drawn.max() == 0.0
    pitches = np.asarray(chroma.images[0].get_array()).mean(axis=1)
    assert chroma.get_yticklabels()[int(pitches.argmax())].get_text() == "A"
    np.testing.assert_allclose(mfcc.images[0].get_array(), Frames(audio.samples).mfcc)


def test_the_axes_are_librosas() -> None:
    hertz = [30.0, 440.0, 999.0, 1000.0, 1001.0, 8000.0, 11025.0]
    np.testing.assert_allclose([mel(each) for each in hertz], librosa.hz_to_mel(hertz))
    bands = librosa.mel_frequencies(n_mels=130, fmin=0.0, fmax=SAMPLE_RATE / 2)[1:-1]
    np.testing.assert_allclose(mel_hertz(), bands)
    np.testing.assert_allclose(mel_rows(bands), np.arange(128), atol=1e-9)
    assert (len(octave_names()), octave_names()[-1]) == (7, "6400-11025 Hz")


@pytest.mark.parametrize("seconds", [0.07, 1.0, 200.0])
def test_short_and_long_ones(seconds: float, tmp_path: Path) -> None:
    path = tmp_path / "song.png"
    audio = sine(1000.0, seconds)
    draw(audio, "song", path)
    pixels = imread(path)
    assert pixels.shape == (1500, 1650, 4)
    assert len(np.unique(pixels[::10, ::10].reshape(-1, 4), axis=0)) > 100
    _, mels, *_ = figure(audio, "song").axes
    assert mels.images[0].get_array().shape[1] <= 2400
    left, right, _, _ = mels.images[0].get_extent()
    assert left < 0 < seconds <= right + 0.02


def test_how_much_was_heard_is_said() -> None:
    def said(audio: Audio) -> str:
        return figure(audio, "x").axes[0].get_title(loc="right").split("  ")[0]

    samples = sine(440.0, 3.0).samples
    assert said(Audio(samples, 3.0, 44100)) == "3.0 s"
    assert said(Audio(samples, 245.2, 44100)) == "3 s of 4:05 min"
    assert said(Audio(samples, 7325.0, 44100)) == "3 s of 2:02:05 min"
    assert said(sine(440.0, 150.0)) == "2:30 min"


@pytest.mark.parametrize(
    ("title", "drawn"),
    [
        ("A$AP $ong [live] \\frac", "A$AP $ong [live] \\frac"),
        ("caf\udce9\n", "caf\\xe9\\n"),
        ("x" * 100, "x" * 79 + "…"),
        ("\U0010fffd\u0301", "□\u0301"),
    ],
)
def test_titles_that_are_odd(title: str, drawn: str, tmp_path: Path) -> None:
    audio = sine(440.0, 1.0)
    assert figure(audio, title).get_suptitle() == drawn
    draw(audio, title, tmp_path / "song.png")  # a warning would be an error


def test_titles_in_other_scripts_draw_without_a_word(tmp_path: Path) -> None:
    # In a process of its own: matplotlib also says things by logging, on stderr.
    program = (
        "import sys; from pathlib import Path; from tests.audio.test_plot import sine;"
        "from kg.audio.plot import draw;"
        "[draw(sine(440.0, 1.0), '日本語 Ελληνικά العربية 👩\u200d🎤', Path(sys.argv[1]) / name)"
        " for name in ('a.png', 'a.pdf', 'a.svg')]"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=DEADLINE,
        cwd=Path(__file__).parent.parent.parent,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    heads = [(tmp_path / f"a.{kind}").read_bytes()[:5] for kind in ("png", "pdf", "svg")]
    assert heads == [b"\x89PNG\r", b"%PDF-", b"<?xml"]


def test_where_no_picture_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("song.jpg", "song", "song.mp3"):
        with pytest.raises(WrongUsageError, match=r"ends in \.png, \.pdf or \.svg"):
            check_picture(tmp_path / name)
    with pytest.raises(WrongUsageError, match=r"no folder .*nowhere.*make it first"):
        check_picture(tmp_path / "nowhere" / "song.png")
    (tmp_path / "notes.png").write_text("the only copy of my notes")
    with pytest.raises(WrongUsageError, match=r"is no PNG picture, so it is left alone"):
        check_picture(tmp_path / "notes.png")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(WrongUsageError, match="is a folder: name a file for the picture"):
        check_picture(tmp_path / "folder.svg")
    (tmp_path / "empty.pdf").touch()
    assert check_picture(tmp_path / "empty.pdf").name == "empty.pdf"
    assert check_picture(tmp_path / "NEW.PNG").name == "NEW.PNG"

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(KgError, match=r"pip install 'kg-music\[plot\]'"):
        check_picture(tmp_path / "song.png")


def test_a_picture_is_replaced_when_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "song.PNG"
    draw(sine(440.0, 1.0), "first", path)
    first = path.read_bytes()
    draw(sine(440.0, 1.0), "second", check_picture(path))
    second = path.read_bytes()
    assert first != second

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KgError, match=r"song\.PNG can't be written \(No space left"):
        draw(sine(440.0, 1.0), "third", path)
    assert path.read_bytes() == second
    assert [each.name for each in tmp_path.iterdir()] == ["song.PNG"]


def test_real_music(data_dir: Path, tmp_path: Path) -> None:
    clips = sorted((data_dir / "gtzan" / "audio").rglob("*.flac"))[::30]
    assert clips
    for clip in clips:
        draw(decode(clip), clip.stem, tmp_path / "clip.png")
        picture = imread(tmp_path / "clip.png")[..., :3]
        assert 0.2 < picture.mean() < 0.9  # neither blank nor black
