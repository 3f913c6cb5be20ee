from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from kg.audio.decode import SAMPLE_RATE, Audio, decode
from kg.errors import AudioError
from tests.audio.sounds import encode, noise, sine, write


def dominant(samples: np.ndarray) -> float:
    """Hz of the strongest partial."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * SAMPLE_RATE / len(samples))


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("a.wav", 22_050),
        ("a.flac", 44_100),
        ("a.ogg", 48_000),
        ("a.mp3", 44_100),
        ("a.aiff", 8_000),
    ],
)
def test_reads_what_libsndfile_writes(tmp_path: Path, name: str, rate: int) -> None:
    path = write(tmp_path / name, sine(2.0, 440.0, rate), rate)
    audio = decode(path)
    assert audio.sample_rate == rate
    assert audio.duration == pytest.approx(2.0, abs=0.1)
    assert len(audio.samples) == pytest.approx(2.0 * SAMPLE_RATE, rel=0.05)
    assert audio.samples.dtype == np.float32
    assert dominant(audio.samples) == pytest.approx(440.0, abs=2)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.m4a", "alac"),
        ("a.mka", "libopus"),
        ("a.opus", "libopus"),
        ("a.wma", "wmav2"),
        ("a.wv", "wavpack"),
        ("a.mp2", "mp2"),
        ("a.tta", "tta"),
    ],
)
def test_reads_what_ffmpeg_writes(tmp_path: Path, name: str, codec: str) -> None:
    path = encode(tmp_path / name, sine(2.0, 440.0, 48_000), codec, 48_000)
    audio = decode(path)
    assert audio.sample_rate == 48_000
    assert audio.duration == pytest.approx(2.0, abs=0.15)
    assert len(audio.samples) == pytest.approx(2.0 * SAMPLE_RATE, rel=0.08)
    assert dominant(audio.samples) == pytest.approx(440.0, abs=2)
    assert np.sqrt(np.mean(audio.samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_wav_comes_out_as_it_is(tmp_path: Path) -> None:
    samples = noise()
    audio = decode(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    np.testing.assert_array_equal(audio.samples, samples)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = noise(seed=1), noise(seed=2)
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(decode(path).samples, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.m4a"])
def test_excerpt_is_the_middle(tmp_path: Path, name: str) -> None:
    rising = np.concatenate([sine(2, 300), sine(2, 600), sine(2, 1200)])
    path = tmp_path / name
    if name.endswith("m4a"):
        encode(path, rising, "aac")
    else:
        write(path, rising)
    audio = decode(path, excerpt=1.5)
    assert len(audio.samples) == pytest.approx(1.5 * SAMPLE_RATE, rel=0.02)
    assert audio.duration == pytest.approx(6.0, abs=0.2)
    assert dominant(audio.samples) == pytest.approx(600, abs=3)
    assert len(decode(path, excerpt=None).samples) == pytest.approx(6 * SAMPLE_RATE, rel=0.03)


def test_a_silent_middle_is_no_silent_song(tmp_path: Path) -> None:
    gap = np.concatenate([sine(2, 300), np.zeros(6 * 22_050, np.float32), sine(2, 600)])
    audio = decode(write(tmp_path / "a.wav", gap), excerpt=2.0)
    assert dominant(audio.samples) == pytest.approx(300, abs=3)


def test_a_header_that_promises_too_much(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.concatenate([sine(1, 300), sine(2, 600), sine(1, 300)]))
    whole = path.read_bytes()
    huge = (100_000_000).to_bytes(4, "little")
    path.write_bytes(whole[:40] + huge + whole[44:])
    audio = decode(path, excerpt=1.5)
    assert audio.duration == pytest.approx(4.0, abs=0.1)
    assert dominant(audio.samples) == pytest.approx(600, abs=3)


def test_integers_stored_as_floats_are_scaled(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise() * 32768, subtype="FLOAT")
    assert np.abs(decode(path).samples).max() == pytest.approx(1.0)


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.flac"
    try:
        path.touch()
    except (OSError, UnicodeError):
        pytest.skip("this file system wants names that are text")
    with path.open("wb") as file:
        soundfile.write(file, noise(), 22_050, format="FLAC")
    assert decode(path).duration == pytest.approx(1.5)
    mp4 = encode(tmp_path / "a.m4a", noise(), "aac").rename(tmp_path / "caf\udce9.m4a")
    assert decode(mp4).duration == pytest.approx(1.5, abs=0.1)


def reason(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        decode(path)
    return caught.value.reason


def test_rejected_with_a_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.mp3"
    empty.touch()
    assert reason(empty) == "empty file (0 bytes)"

    text = tmp_path / "text.mp3"
    text.write_text("These are the words of a song.\n" * 50)
    assert "not an audio file" in reason(text)

    assert reason(write(tmp_path / "short.wav", noise(0.9))) == "shorter than a second"
    assert "silent" in reason(write(tmp_path / "silence.flac", np.zeros(40_000, np.float32)))
    assert "silent" in reason(write(tmp_path / "dc.wav", np.full(40_000, 0.3, np.float32)))

    for value in (np.nan, np.inf):
        broken = noise()
        broken[5_000] = value
        path = write(tmp_path / "nan.wav", broken, subtype="FLOAT")
        assert "not numbers" in reason(path)

    cut = write(tmp_path / "cut.flac", noise())
    cut.write_bytes(cut.read_bytes()[:100])
    assert "not an audio file" in reason(cut)

    assert reason(tmp_path / "gone.mp3") == "no longer there"
    assert reason(tmp_path) == "not a regular file"

    playlist = tmp_path / "playlist.mp3"
    song = write(tmp_path / "song.wav", noise())
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{song}\n#EXT-X-ENDLIST\n")
    assert "not an audio file" in reason(playlist)
    assert capfd.readouterr() == ("", "")


def test_no_permission(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise())
    path.chmod(0)
    try:
        with path.open("rb"):
            pytest.skip("this user may read everything")
    except PermissionError:
        assert "can't be read" in reason(path)


def test_odd_files_end_as_a_song_or_a_reason(
    data_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcomes: dict[bool, int] = {True: 0, False: 0}
    for path in sorted((data_dir / "audio_formats").rglob("*")):
        if path.is_file():
            try:
                audio = decode(path)
            except AudioError:
                outcomes[False] += 1
            else:
                assert isinstance(audio, Audio)
                assert np.isfinite(audio.samples).all()
                outcomes[True] += 1
    assert outcomes[True] > 80
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("codec", ["pcm_s64le", "pcm_f64le", "pcm_s32le"])
def test_wide_samples(tmp_path: Path, codec: str, layout: str) -> None:
    path = tmp_path / "wide.wav"
    wave = np.stack([sine(2.0, 440.0, 48_000)] * (1 if layout == "mono" else 2)).astype(np.float64)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout=layout)
        frame = av.AudioFrame.from_ndarray(wave, format="dblp", layout=layout)
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(stream.format.name, layout, 48_000, frame_size=1000)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    audio = decode(path)
    assert audio.duration == pytest.approx(2.0, abs=0.01)
    assert dominant(audio.samples) == pytest.approx(440.0, abs=2)
    assert np.sqrt(np.mean(audio.samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
