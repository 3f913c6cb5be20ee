import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from kg.audio import decode as decode_module
from kg.audio.decode import SAMPLE_RATE, SHORTEST, SILENCE, Samples, decode
from kg.errors import AudioError
from kg.sources.folder import EXTENSIONS
from tests.audio.sounds import FORMATS, RATE, bare, encode, in_format, noise, repeated, sine, write


def dominant(samples: np.ndarray) -> float:
    """Hz of the strongest partial."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * SAMPLE_RATE / len(samples))


@pytest.mark.parametrize(("name", "codec", "rate"), FORMATS, ids=lambda value: str(value))
def test_every_format_that_can_be_written(
    tmp_path: Path, name: str, codec: str | None, rate: int, capfd: pytest.CaptureFixture[str]
) -> None:
    path = in_format(tmp_path, name, codec, rate, sine(2.0, 440.0, rate))
    audio = decode(path)
    assert path.suffix in EXTENSIONS
    assert audio.sample_rate == rate
    assert audio.duration == pytest.approx(2.0, abs=0.15)
    assert len(audio.samples) == pytest.approx(2.0 * SAMPLE_RATE, rel=0.08)
    assert audio.samples.dtype == np.float32
    assert dominant(audio.samples) == pytest.approx(440.0, abs=2)
    # Speech codecs are no high fidelity.
    loose = 0.3 if rate == 8_000 and codec else 0.1
    assert np.sqrt(np.mean(audio.samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=loose)
    assert capfd.readouterr() == ("", "")


def test_wav_comes_out_as_it_is(tmp_path: Path) -> None:
    samples = noise()
    audio = decode(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    np.testing.assert_array_equal(audio.samples, samples)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = noise(seed=1), noise(seed=2)
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(decode(path).samples, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 1), (48_000, 2), (8_000, 2)])
def test_resampled_in_blocks_as_in_one_piece(tmp_path: Path, rate: int, channels: int) -> None:
    samples = np.stack([noise(7.0, seed, rate) for seed in range(channels)], axis=1)
    audio = decode(write(tmp_path / "a.wav", samples, rate, subtype="FLOAT"))
    whole = soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE, quality="HQ")
    np.testing.assert_allclose(audio.samples, whole, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "codec", "rate"), [each for each in FORMATS if each[2] > 8_000], ids=str
)
def test_excerpt_is_the_middle(tmp_path: Path, name: str, codec: str | None, rate: int) -> None:
    rising = np.concatenate([sine(2, hertz, rate) for hertz in (300, 600, 1200)])
    path = in_format(tmp_path, name, codec, rate, rising)
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


def reason(path: Path, excerpt: float | None = 30.0) -> str:
    with pytest.raises(AudioError) as caught:
        decode(path, excerpt)
    return caught.value.reason


def test_rejected_with_a_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.mp3"
    empty.touch()
    assert reason(empty) == "empty file (0 bytes)"

    short = write(tmp_path / "short.wav", noise(0.05))
    assert reason(short) == "only 50 ms of sound: too short for a song"
    assert decode(write(tmp_path / "click.wav", noise(SHORTEST))).duration == SHORTEST

    cut = write(tmp_path / "cut.flac", noise())
    cut.write_bytes(cut.read_bytes()[:100])
    assert reason(cut) == "damaged or cut off: it begins like FLAC, but no sound can be decoded"

    tags = write(tmp_path / "tags.mp3", noise())
    tags.write_bytes(b"ID3\4\0\0\0\0\0\x14" + bytes(20))
    assert reason(tags) == "damaged or cut off: it begins with tags, but no sound follows"

    assert reason(tmp_path / "gone.mp3") == "no longer there"
    assert reason(tmp_path) == "a folder, not a file"

    picture = tmp_path / "video.mp4"
    with av.open(str(picture), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert reason(picture) == "holds a picture or video, but no audio"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"These are the words of a song.\n" * 50, "text, not audio"),
        ("\ufeffÄußerungen\n".encode() * 50, "text, not audio"),
        (b"<!DOCTYPE html><html>Not found</html>", "a web page, not audio: a download that fail"),
        (b"#EXTM3U\n#EXTINF:2,\nhttp://example.org/a.mp3\n", "a playlist, not audio"),
        (bytes(100_000), "nothing but zeros"),
        (b"\x7fELF" + bytes(range(256)), "not an audio file, or too broken to decode"),
        (b"RI", "only 2 bytes long: cut off"),
        (b"%PDF-1.7 and so on and so on", "a PDF document, not audio"),
        (b"PK\x03\x04" + bytes(200), "an archive, not audio: unpack it first"),
        (b"GIF87" + bytes(200), "a picture"),
        (b"MThd" + bytes(200), "MIDI: notes to be played, not sound"),
        (b"OFR \x0c" + bytes(200), "OptimFROG, which only its own player can decode"),
        (b"\xff\xfb\x90\x64" + bytes(20), "damaged or cut off: it begins like MP3"),
    ],
)
def test_what_is_no_audio_is_named(
    tmp_path: Path, content: bytes, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    assert expected in reason(path)
    assert capfd.readouterr() == ("", "")


def test_a_playlist_opens_nothing_else(tmp_path: Path) -> None:
    song = write(tmp_path / "song.wav", noise())
    playlist = tmp_path / "playlist.mp3"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{song}\n#EXT-X-ENDLIST\n")
    assert reason(playlist) == "a playlist, not audio"


def test_encrypted(tmp_path: Path) -> None:
    scheme = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    path = encode(tmp_path / "a.mp4", noise(), "aac", **scheme)
    assert "encrypted (DRM)" in reason(path)

    plain = encode(tmp_path / "b.m4a", noise(), "aac").read_bytes()
    bought = tmp_path / "bought.m4a"
    bought.write_bytes(plain.replace(b"mp4a", b"drms"))  # as in Apple's old shop
    assert "encrypted (DRM)" in reason(bought)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_silence_and_a_constant_are_silent(tmp_path: Path, rate: int) -> None:
    for value in (0.0, 0.3, -1.0):
        path = write(tmp_path / "a.flac", np.full((2 * rate, 2), value, np.float32), rate)
        assert reason(path) == "silent: there is no sound in it"
        assert reason(path, 0.5) == "silent: there is no sound in it"  # nor in an excerpt


@pytest.mark.parametrize("name", ["a.wav", "a.mp3"])
def test_channels_that_cancel_out_are_no_silence(tmp_path: Path, name: str) -> None:
    left = sine(2.0, 440.0)
    audio = decode(write(tmp_path / name, np.stack([left, -left], axis=1)))
    assert dominant(audio.samples) == pytest.approx(440.0, abs=2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    for rate in (RATE, 48_000):
        samples = np.stack([noise(rate=rate), noise(rate=rate)], axis=1)
        samples[5_000, 1] = value
        path = write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
        assert reason(path) == "holds samples that are not numbers (NaN or infinity)"
    absurd = write(tmp_path / "b.wav", noise() * np.float32(1e30), subtype="FLOAT")
    assert "beyond all bounds" in reason(absurd)


@pytest.mark.parametrize("channels", [3, 6, 8])
def test_many_channels(tmp_path: Path, channels: int) -> None:
    samples = np.stack([noise(seed=seed) for seed in range(channels)], axis=1)
    audio = decode(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    np.testing.assert_allclose(audio.samples, samples.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("channels", [7, 8, 9, 16, 64])
def test_many_channels_by_ffmpeg(tmp_path: Path, channels: int) -> None:
    tones = [sine(2.0, hertz) for hertz in 300 + 50 * np.arange(channels)]
    samples = np.stack(tones, axis=1) / 2
    audio = decode(write(tmp_path / "a.ogg", samples))
    assert audio.duration == pytest.approx(2.0, abs=0.01)
    assert dominant(
        decode(write(tmp_path / "b.ogg", samples * (np.arange(channels) == channels - 1))).samples
    ) == pytest.approx(250 + 50 * channels, abs=1)
    assert np.corrcoef(audio.samples, samples.mean(axis=1)[: len(audio.samples)])[0, 1] > 0.95


@pytest.mark.parametrize("rate", [1_000, 192_000])
def test_odd_sample_rates(tmp_path: Path, rate: int) -> None:
    audio = decode(write(tmp_path / "a.wav", sine(2.0, 300.0, rate), rate))
    assert (audio.sample_rate, audio.duration) == (rate, 2.0)
    assert dominant(audio.samples) == pytest.approx(300.0, abs=1)


def test_a_sample_rate_that_cannot_be(tmp_path: Path) -> None:
    path = write(tmp_path / "a.au", noise())
    whole = path.read_bytes()
    path.write_bytes(whole[:16] + (3).to_bytes(4, "big") + whole[20:])
    assert reason(path) == "its header claims 3 samples a second: damaged"


def test_no_permission(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise())
    path.chmod(0)
    try:
        with path.open("rb"):
            pytest.skip("this user may read everything")
    except PermissionError:
        assert reason(path) == "can't be read: no permission"


def test_what_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", noise())
    with path.open("ab") as download, monkeypatch.context() as patch:
        real = soundfile.SoundFile

        def meanwhile(file: object) -> soundfile.SoundFile:
            download.write(b"more")
            download.flush()
            return real(file)

        patch.setattr(soundfile, "SoundFile", meanwhile)
        assert "changed while it was being read" in reason(path)
    assert decode(path).duration == pytest.approx(1.5, abs=0.01)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file that fails to be read")
def test_a_disk_that_fails(capfd: pytest.CaptureFixture[str]) -> None:
    assert reason(Path("/proc/self/mem")) == "can't be read (Input/output error)"
    assert capfd.readouterr() == ("", "")


# -- the odd files of other projects' tests ------------------------------------------------------


def plainly_by_ffmpeg(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Every frame from the beginning, [channels, n] from -1 to 1, with nothing of ours."""
    with av.open(str(path), metadata_errors="replace") as container:
        packets = container.demux(container.streams.audio[0])
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                return
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                values = frame.to_ndarray().astype(np.float64)
                if not frame.format.is_planar:
                    values = values.reshape(-1, frame.layout.nb_channels).T
                if not frame.format.name.startswith(("f", "d")):
                    bits = 8 * frame.format.bytes
                    values = (values - (128 if bits == 8 else 0)) / 2 ** (bits - 1)
                yield values, frame.sample_rate


def plainly_by_libsndfile(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    with soundfile.SoundFile(path) as sound:
        while len(block := sound.read(65_536, always_2d=True)):
            yield block.T, sound.samplerate


def has_sound(path: Path) -> bool:
    """Whether one of the two libraries, alone, makes of it what may be called sound."""
    for read in (plainly_by_ffmpeg, plainly_by_libsndfile):
        seconds, mixed, first = 0.0, [], []
        try:
            for values, rate in read(path):
                seconds += values.shape[1] / rate
                mixed.append(values.mean(axis=0))
                first.append(values[0])
        except (av.error.FFmpegError, soundfile.LibsndfileError, IndexError):
            pass  # IndexError: no audio stream
        if (
            seconds >= SHORTEST
            and max(np.ptp(np.concatenate(each)) for each in (mixed, first)) > SILENCE
        ):
            return True
    return False


def odd_files(data_dir: Path) -> list[Path]:
    return [
        path
        for path in sorted((data_dir / "audio_formats").rglob("*"))
        if path.is_file() and path.name != "manifest.csv"
    ]


def test_odd_files_that_can_be_decoded_are_songs(
    data_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = odd_files(data_dir)
    assert len(files) == 207
    reasons = {}
    songs = []
    for path in files:
        try:
            audio = decode(path)
        except AudioError as error:
            reasons[path] = error.reason
        else:
            songs.append(path)
            assert np.isfinite(audio.samples).all()
            assert len(audio.samples) >= round(SHORTEST * SAMPLE_RATE)
            assert audio.duration >= len(audio.samples) / SAMPLE_RATE - 0.01
    assert capfd.readouterr() == ("", "")
    expected = [path for path in files if has_sound(path)]
    assert songs == expected
    # A reason says more than "can't be read", but for these, of which nothing can be said.
    unnamed = {path.name for path, reason in reasons.items() if "too broken" in reason}
    assert unnamed == {"sv4_header.mpc", "sv5_header.mpc", "id3v1-latin1.mp3"}


# -- hours of music ------------------------------------------------------------------------------

HEAVY = """
import json, resource, sys, time
from pathlib import Path
from kg.audio.decode import decode
import av, soundfile, soxr
excerpt = json.loads(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
results = []
for name in sys.argv[2:]:
    began = time.process_time()
    audio = decode(Path(name), excerpt)
    took = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    peak /= 2**20 if sys.platform == "darwin" else 2**10
    results.append([audio.duration, len(audio.samples), took, peak])
print(json.dumps(results))
"""


def heavy(excerpt: float | None, *paths: Path) -> list[list[float]]:
    """Decode in one process: duration, samples, seconds of one core, peak memory so far in MiB."""
    command = [sys.executable, "-c", HEAVY, json.dumps(excerpt), *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return [list(map(float, each)) for each in json.loads(done.stdout)]


HOURS = {
    "a.wav": None,
    "a.flac": None,
    "a.ogg": None,
    "a.mp3": "libmp3lame",
    "a.m4a": "aac",
    "a.opus": "libopus",
}


@pytest.mark.slow
def test_three_hours_cost_as_much_as_a_minute(tmp_path: Path) -> None:
    minute = [
        in_format(tmp_path, name, codec, 24_000, noise(60.0, rate=24_000))
        for name, codec in HOURS.items()
    ]
    hours = [repeated(path, tmp_path / f"long-{path.name}", 180) for path in minute]
    short = heavy(30.0, *minute)
    long = heavy(30.0, *hours)
    for name, one, other in zip(hours, short, long, strict=True):
        assert one[0] == pytest.approx(60.0, abs=0.2), name
        assert other[0] == pytest.approx(10_800.0, rel=0.005), name
        assert one[1] == pytest.approx(other[1], rel=0.001), name
        assert other[2] < one[2] + 1.0, name  # a megabyte of index may have to be read
    assert long[-1][3] < short[-1][3] + 32


@pytest.mark.slow
def test_hours_are_held_in_memory_once(tmp_path: Path) -> None:
    hour = repeated(
        write(tmp_path / "a.wav", noise(60.0, rate=32_000), 32_000), tmp_path / "b.wav", 60
    )
    [[duration, samples, _, peak]] = heavy(None, hour)
    assert duration == pytest.approx(3600.0)
    assert samples == 3600 * SAMPLE_RATE
    assert peak < 1.15 * samples * 4 / 2**20 + 64


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.aac", "aac")])
def test_length_that_the_header_does_not_tell(tmp_path: Path, name: str, codec: str) -> None:
    """A bit rate that changes on the way makes every guess of the length wrong."""
    rich, poor = noise(20.0), noise(80.0)
    song = np.concatenate([sine(2.0, 300), sine(2.0, 600), sine(2.0, 300)])
    parts = [
        bare(tmp_path / name, samples, codec, bits)
        for samples, bits in ((rich, 128_000), (song, 24_000), (rich, 24_000), (poor, 24_000))
    ]
    path = tmp_path / name
    path.write_bytes(parts[0] + parts[3] + parts[1] + parts[3] + parts[2])
    audio = decode(path, excerpt=1.0)
    assert audio.duration == pytest.approx(206.0, abs=1.0)
    assert dominant(audio.samples) == pytest.approx(600, abs=5)


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


@pytest.mark.parametrize("name", ["long.flac", "long.mp3"])
def test_what_is_too_long_is_not_decoded_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = write(tmp_path / name, np.tile(noise(10.0), 6))
    taken = 0.0
    real = decode_module._Heard.add

    def add(self: decode_module._Heard, rate: int, values: Samples, *, mixed: bool) -> None:
        nonlocal taken
        taken += values.shape[1] / rate
        real(self, rate, values, mixed=mixed)

    monkeypatch.setattr(decode_module._Heard, "add", add)
    monkeypatch.setattr(decode_module, "LONGEST", 10.0)
    with pytest.raises(AudioError, match=r"longer than .* hours: .* as a whole; use --excerpt"):
        decode(path, None)
    assert 10.0 < taken < 20.0
    assert decode(path, 10.0).duration == pytest.approx(60.0, abs=0.1)
    monkeypatch.setattr(decode_module, "LONGEST", 61.0)
    assert decode(path, None).duration == pytest.approx(60.0, abs=0.1)
