"""How long the features of one song take, beside what others use, on one core.

    pip install -e '.[bench]' && python benchmarks/features.py FOLDER [--clips N]

Every contender gets the path of a file and returns its features; they take turns on every clip, so
a slow moment of the machine meets them all. Contenders that aren't installed are left out by name.
"""

import argparse
import importlib.util
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import av
import librosa
import numpy as np
import scipy.stats
from threadpoolctl import threadpool_limits

from kg.audio.decode import SAMPLE_RATE, decode
from kg.audio.features import columns, features
from kg.sources.folder import EXTENSIONS

Contender = Callable[[Path], object]


def ours(path: Path) -> object:
    return features(decode(path).samples)


def shared_stft(path: Path) -> object:
    """The same descriptors by librosa's own functions, from one STFT."""
    y = decode(path).samples
    magnitude = np.abs(librosa.stft(y))
    power = magnitude**2
    log_mel = librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE))
    mfcc = librosa.feature.mfcc(S=log_mel, n_mfcc=20)
    chroma = librosa.feature.chroma_stft(S=power, sr=SAMPLE_RATE, tuning=0.0)
    onsets = librosa.onset.onset_strength(S=log_mel, sr=SAMPLE_RATE)
    tempogram = librosa.feature.tempogram(onset_envelope=onsets, sr=SAMPLE_RATE)
    matrices = [
        log_mel,
        mfcc,
        librosa.feature.delta(mfcc),
        librosa.feature.delta(mfcc, order=2),
        chroma,
        librosa.feature.tonnetz(chroma=chroma, sr=SAMPLE_RATE),
        librosa.feature.spectral_contrast(S=magnitude, sr=SAMPLE_RATE),
        *spectral_shape(magnitude),
        librosa.feature.zero_crossing_rate(y),
        librosa.feature.rms(y=y),
        tempogram,
    ]
    tempo = librosa.feature.tempo(tg=tempogram, sr=SAMPLE_RATE)
    return np.concatenate([*(s for m in matrices for s in (m.mean(1), m.std(1))), tempo])


def kaggle(path: Path) -> object:
    """The 57 features of the widely copied GTZAN script, each call with a spectrum of its own."""
    y, sr = librosa.load(path)
    harmonic, percussive = librosa.effects.hpss(y)
    matrices = [
        librosa.feature.chroma_stft(y=y, sr=sr),
        librosa.feature.rms(y=y),
        librosa.feature.spectral_centroid(y=y, sr=sr),
        librosa.feature.spectral_bandwidth(y=y, sr=sr),
        librosa.feature.spectral_rolloff(y=y, sr=sr),
        librosa.feature.zero_crossing_rate(y),
        harmonic,
        percussive,
    ]
    values = [s for m in matrices for s in (m.mean(), m.var())]
    values.append(librosa.beat.beat_track(y=y, sr=sr)[0].item())
    mfcc = librosa.feature.mfcc(y=y, sr=sr)
    return np.concatenate([values, mfcc.mean(1), mfcc.var(1)])


def fma(path: Path) -> object:
    """features.py of the FMA data set (Defferrard et al. 2017): 11 descriptors, 7 statistics."""
    y, sr = librosa.load(path, sr=None, mono=True)
    cqt = np.abs(librosa.cqt(y, sr=sr, hop_length=512, bins_per_octave=12, n_bins=7 * 12))
    cens = librosa.feature.chroma_cens(C=cqt, n_chroma=12, n_octaves=7)
    magnitude = np.abs(librosa.stft(y, n_fft=2048, hop_length=512))
    mel = librosa.feature.melspectrogram(sr=sr, S=magnitude**2)
    matrices = [
        librosa.feature.zero_crossing_rate(y, frame_length=2048, hop_length=512),
        librosa.feature.chroma_cqt(C=cqt, n_chroma=12, n_octaves=7),
        cens,
        librosa.feature.tonnetz(chroma=cens),
        librosa.feature.chroma_stft(S=magnitude**2, n_chroma=12),
        librosa.feature.rms(S=magnitude),
        *spectral_shape(magnitude, sr),
        librosa.feature.spectral_contrast(S=magnitude, n_bands=6),
        librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=20),
    ]
    return np.concatenate([s for m in matrices for s in seven_statistics(m)])


def spectral_shape(magnitude: np.ndarray, sr: float = SAMPLE_RATE) -> list[np.ndarray]:
    return [
        librosa.feature.spectral_centroid(S=magnitude, sr=sr),
        librosa.feature.spectral_bandwidth(S=magnitude, sr=sr),
        librosa.feature.spectral_rolloff(S=magnitude, sr=sr),
    ]


def seven_statistics(m: np.ndarray) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # skewness of what does not move
        higher = [scipy.stats.skew(m, axis=1), scipy.stats.kurtosis(m, axis=1)]
    return [m.mean(1), m.std(1), *higher, np.median(m, axis=1), m.min(1), m.max(1)]


def essentia_extractor() -> Contender:
    import essentia

    essentia.log.infoActive = essentia.log.warningActive = False
    import essentia.standard

    return lambda path: essentia.standard.MusicExtractor()(str(path))


def opensmile_egemaps() -> Contender:
    import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.Functionals,
        num_workers=1,
    )
    return lambda path: smile.process_file(str(path))


def contenders() -> dict[str, Contender]:
    found: dict[str, Contender] = {}
    for module, label, make in (
        ("essentia", "essentia MusicExtractor", essentia_extractor),
        ("opensmile", "openSMILE eGeMAPSv02", opensmile_egemaps),
    ):
        if importlib.util.find_spec(module):
            found[label] = make()
        else:
            print(f"{label}: not installed, left out")
    found |= {
        "GTZAN/Kaggle script (57 features)": kaggle,
        "FMA recipe (518 features)": fma,
        "one STFT, librosa's functions": shared_stft,
        f"kg, all families ({len(columns())} features)": ours,
    }
    return found


def seconds(function: Contender, path: Path) -> float:
    began = time.perf_counter()
    function(path)
    return time.perf_counter() - began


def race(clips: list[Path]) -> None:
    runners = contenders()
    for runner in runners.values():
        runner(clips[0])  # compiles, imports, reads filter banks
    times: dict[str, list[float]] = {label: [] for label in runners}
    apart: dict[str, list[float]] = {"decoding": [], "features": []}
    for number, clip in enumerate(clips):
        print(f"\r{number + 1}/{len(clips)}", end="", flush=True)
        for label, runner in runners.items():
            times[label].append(seconds(runner, clip))
        samples = decode(clip).samples
        apart["decoding"].append(seconds(decode, clip))
        apart["features"].append(seconds(lambda _, y=samples: features(y), clip))
    *_, last = times
    ours_median = statistics.median(times[last])
    print(f"\r{len(clips)} clips, medians, one core, from the file to the features\n")
    print(f"{'':38}{'s a clip':>10}{'kg is faster by':>18}")
    for label, values in times.items():
        median = statistics.median(values)
        print(f"{label:38}{median:10.3f}{median / ours_median:17.1f}x")
    for label, values in apart.items():
        print(f"{f'  of which {label}':38}{statistics.median(values):10.3f}")


def encode(samples: np.ndarray, path: Path, codec: str) -> None:
    """Write a clip as people have it: 44.1 kHz (Opus: 48 kHz), stereo, 192 kbit/s."""
    rate = 48_000 if "opus" in codec else 44_100
    stereo = np.stack([librosa.resample(samples, orig_sr=SAMPLE_RATE, target_sr=rate)] * 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(stereo, format="fltp", layout="stereo")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            stream.format.name, "stereo", rate, frame_size=stream.codec_context.frame_size or 4096
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def formats(clips: list[Path]) -> None:
    codecs = {"flac": "flac", "mp3": "libmp3lame", "m4a": "aac", "opus": "libopus"}
    times: dict[str, list[float]] = {suffix: [] for suffix in codecs}
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            samples = decode(clip).samples
            for suffix, codec in codecs.items():
                path = Path(folder, f"clip.{suffix}")
                encode(samples, path, codec)
                decode(path)
                times[suffix].append(seconds(decode, path))
    print(
        "\nDecoding apart, the same clips at 44.1 or 48 kHz, stereo, resampled to 22,050 Hz mono\n"
    )
    for suffix, values in times.items():
        print(f"{suffix:38}{statistics.median(values):10.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="audio of 30 s and more, in any folders below")
    parser.add_argument("--clips", type=int, default=20, help="how many (default: 20)")
    options = parser.parse_args()
    clips = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not clips:
        parser.error(f"no audio files below {options.folder}")
    # Spread over the folders, so that all genres have their say.
    chosen = clips[:: max(1, len(clips) // options.clips)][: options.clips]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with threadpool_limits(1):
        race(chosen)
        formats(chosen[:5])


if __name__ == "__main__":
    main()
