"""Short sounds and files for the tests of audio."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 22_050


def noise(seconds: float = 1.5, seed: int = 0, rate: int = RATE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.2 * rng.normal(size=round(seconds * rate))).clip(-1, 1).astype(np.float32)


def sine(seconds: float = 1.5, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def encode(
    path: Path,
    samples: np.ndarray,
    codec: str,
    rate: int = RATE,
    bit_rate: int = 64_000,
    **options: str,
) -> Path:
    """Write mono samples with one of FFmpeg's encoders; options go to the container."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bit_rate  # by default one that every encoder takes
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.format.name,
            layout="mono",
            rate=rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


# One file for each container and codec that can be written here: name, FFmpeg's encoder (else
# libsndfile writes it), sample rate.
FORMATS = (
    ("a.wav", None, 22_050),
    ("a.flac", None, 44_100),
    ("a.ogg", None, 22_050),
    ("a.aiff", None, 8_000),
    ("a.au", None, 22_050),
    ("a.caf", None, 22_050),
    ("a.w64", None, 22_050),
    ("a.mp3", "libmp3lame", 44_100),
    ("a.mp2", "mp2", 44_100),
    ("aac.m4a", "aac", 44_100),
    ("alac.m4a", "alac", 44_100),
    ("a.aac", "aac", 22_050),
    ("a.opus", "libopus", 48_000),
    ("a.webm", "libopus", 48_000),
    ("a.mka", "aac", 22_050),
    ("a.wv", "wavpack", 22_050),
    ("a.wma", "wmav2", 44_100),
    ("a.tta", "tta", 22_050),
    ("a.ac3", "ac3", 48_000),
    ("a.eac3", "eac3", 48_000),
    ("a.amr", "libopencore_amrnb", 8_000),
    ("a.3gp", "libopencore_amrnb", 8_000),
    ("a.rm", "real_144", 8_000),
    ("adpcm.wav", "adpcm_ms", 22_050),
    ("mp3.wav", "libmp3lame", 44_100),
)


def in_format(folder: Path, name: str, codec: str | None, rate: int, samples: np.ndarray) -> Path:
    """Write samples as one of `FORMATS`."""
    path = folder / name
    return encode(path, samples, codec, rate) if codec else write(path, samples, rate)


def bare(path: Path, samples: np.ndarray, codec: str, bits: int) -> bytes:
    """Write mono samples as a stream of frames without a header; also gives its bytes."""
    options = {"write_xing": "0", "id3v2_version": "0"} if path.suffix == ".mp3" else {}
    return encode(path, samples, codec, bit_rate=bits, **options).read_bytes()


def repeated(path: Path, target: Path, times: int) -> Path:
    """Write what a file holds several times over, without decoding where that is possible."""
    if path.suffix in (".wav", ".flac"):  # their frames are numbered
        samples, rate = soundfile.read(path, dtype="int16")
        with soundfile.SoundFile(target, "w", rate, 1, "PCM_16") as out:
            for _ in range(times):
                out.write(samples)
        return target
    with av.open(str(path)) as container, av.open(str(target), "w") as out:
        source = container.streams.audio[0]
        stream = out.add_stream_from_template(source)
        packets = [
            (bytes(packet), packet.pts, packet.duration)
            for packet in container.demux(source)
            if packet.size
        ]
        span = packets[-1][1] + packets[-1][2] - packets[0][1]
        for i in range(times):
            for data, time, duration in packets:
                packet = av.Packet(data)
                packet.stream = stream
                packet.time_base = source.time_base
                packet.pts = packet.dts = time + i * span
                packet.duration = duration
                out.mux(packet)
    return target


def damaged(whole: dict[str, bytes], seed: int) -> Iterator[tuple[str, bytes]]:
    """What can happen to files: cut off, bits flipped, beginning of one and body of another."""
    rng = np.random.default_rng(seed)
    names = sorted(whole)
    for name in names:
        data = whole[name]
        stem, suffix = name.rsplit(".", 1)
        for size in (2**i for i in range(len(data).bit_length())):
            yield f"{stem}-cut-{size}.{suffix}", data[:size]
        for i in range(7):
            flipped = np.frombuffer(data, np.uint8).copy()
            # Most damage that matters is in the header.
            end = len(data) if i % 2 else min(len(data), 512)
            at = rng.integers(end, size=2**i)
            flipped[at] ^= rng.integers(1, 256, size=2**i, dtype=np.uint8)
            yield f"{stem}-flip-{2**i}.{suffix}", flipped.tobytes()
        for other in rng.choice(names, 4, replace=False):
            head = 2 ** int(rng.integers(2, 12))
            graft = data[:head] + whole[other][head:]
            yield f"{stem}-head-{head}-of-{other.replace('.', '-')}.{suffix}", graft
