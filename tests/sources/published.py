"""Small data sets in the exact form in which they are published."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from kg.sources.gtzan import FAMILIES as GTZAN_FAMILIES
from tests.audio.sounds import noise, write

# As the table has them: mean and variance side by side, tempo in between.
GTZAN_COLUMNS = [
    *GTZAN_FAMILIES["chroma"],
    *GTZAN_FAMILIES["spectral"],
    *GTZAN_FAMILIES["harmony"],
    "tempo",
    *GTZAN_FAMILIES["mfcc"],
]

# --- GTZAN


def gtzan_table(
    path: Path,
    names: Sequence[str] = ("blues.00000.wav", "blues.00012.wav", "disco.00051.wav"),
    **columns: Sequence[object],
) -> Path:
    """features_30_sec.csv: `filename,length,...,label`."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"filename": list(names), "length": 661_794})
    for at, column in enumerate(GTZAN_COLUMNS):
        frame[column] = random.normal(at, 0.1, len(names))
    frame["label"] = [name.split(".")[0] for name in names]
    for name, values in columns.items():
        frame[name] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def gtzan_audio(folder: Path, names: Sequence[str]) -> Path:
    """genres/blues/blues.00000.wav"""
    for seed, name in enumerate(names):
        write(folder / name.split(".")[0] / name, noise(0.5, seed=seed))
    return folder


# --- FMA

FMA_GENRES = """genre_id,#tracks,parent,title,top_level
12,32923,0,Rock,12
15,34413,0,Electronic,15
21,8389,0,Hip-Hop,21
25,9261,12,Punk,12
103,4,25,Punk Blues,12
181,12730,15,Techno,15
"""

# id: genre_top, genres, genres_all, split, subset; as in tracks.csv.
FMA_TRACKS = {
    2: ("Hip-Hop", "[21]", "[21]", "training", "small"),
    3: ("Rock", "[25, 103]", "[25, 12, 103]", "training", "medium"),
    5: ("", "[21, 181]", "[181, 21, 15]", "validation", "large"),
    140: ("Electronic", "[181]", "[181, 15]", "test", "small"),
    155: ("", "[]", "[]", "test", "large"),
}


def fma_metadata(
    folder: Path, *, tables: Sequence[str] = ("tracks", "features", "echonest")
) -> Path:
    """fma_metadata: genres.csv, tracks.csv, features.csv and echonest.csv with their headers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "genres.csv").write_text(FMA_GENRES, encoding="utf-8")
    ids = pd.Index(FMA_TRACKS, name="track_id")
    top, genres, everything, split, subset = zip(*FMA_TRACKS.values(), strict=True)
    tracks = {
        ("album", "date_released"): ["2009-01-05 00:00:00", "", "", "", ""],
        ("album", "information"): ['<p>1,\n"two"</p>', "", "", "", ""],
        ("album", "title"): ["AWOL - A Way Of Life", "", "", "", ""],
        ("artist", "name"): ["AWOL", "NA", "None", "Kurt Vile", "Nicky Cook"],
        ("set", "split"): split,
        ("set", "subset"): subset,
        ("track", "duration"): [168, 237, 206, 253, 0],
        ("track", "genre_top"): top,
        ("track", "genres"): genres,
        ("track", "genres_all"): everything,
        ("track", "title"): ["Food", "Electric Ave", "This World", "Queen Of The Wires", ""],
    }
    if "tracks" in tables:
        frame = pd.DataFrame(tracks, index=ids)
        frame.columns = pd.MultiIndex.from_tuples(frame.columns)
        frame.to_csv(folder / "tracks.csv")
    random = np.random.default_rng(1)
    statistics = ("kurtosis", "max", "mean", "median", "min", "skew", "std")
    if "features" in tables:
        columns = pd.MultiIndex.from_tuples(
            [
                (family, statistic, f"{number + 1:02d}")
                for family, count in (("chroma_cens", 12), ("mfcc", 20), ("zcr", 1))
                for statistic in statistics
                for number in range(count)
            ],
            names=["feature", "statistics", "number"],
        )
        values = random.normal(size=(len(ids), len(columns)))
        values[1, 3] = np.nan
        pd.DataFrame(values, index=ids, columns=columns).to_csv(folder / "features.csv")
    if "echonest" in tables:
        heard = {("echonest", "audio_features", name): [0.5, 0.25] for name in ECHONEST}
        said: dict[tuple[str, str, str], list[Any]] = {
            ("echonest", "metadata", "artist_name"): ["AWOL", "Kurt Vile"],
            ("echonest", "ranks", "song_hotttnesss_rank"): [1.0, np.nan],
            ("echonest", "social_features", "artist_familiarity"): [0.4, 0.9],
            **{("echonest", "temporal_features", f"{n:03d}"): [n, n + 0.5] for n in range(224)},
        }
        frame = pd.DataFrame({**heard, **said}, index=pd.Index([2, 140], name="track_id"))
        frame.columns = pd.MultiIndex.from_tuples(frame.columns)
        frame.to_csv(folder / "echonest.csv")
    return folder


ECHONEST = (
    *("acousticness", "danceability", "energy", "instrumentalness"),
    *("liveness", "speechiness", "tempo", "valence"),
)


def fma_audio(folder: Path, ids: Sequence[int] = (2, 3, 140)) -> Path:
    """fma_small/000/000002.mp3; these are FLAC by their content."""
    for seed, number in enumerate(ids):
        name = f"{number:06d}"
        write(folder / name[:3] / f"{name}.flac", noise(0.5, seed=seed), format="FLAC")
    return folder


# --- Million Song Dataset


def _table(**fields: str) -> np.dtype[Any]:
    return np.dtype(list(fields.items()))


MSD_METADATA = _table(
    artist_id="S32",
    artist_name="S1024",
    genre="S1024",
    release="S1024",
    song_id="S32",
    title="S1024",
    idx_artist_terms="<i4",
)
MSD_ANALYSIS = _table(
    danceability="<f8",
    duration="<f8",
    energy="<f8",
    idx_segments_loudness_max="<i4",
    idx_segments_pitches="<i4",
    idx_segments_timbre="<i4",
    key="<i4",
    key_confidence="<f8",
    loudness="<f8",
    mode="<i4",
    tempo="<f8",
    time_signature="<i4",
    track_id="S32",
)
MSD_MUSICBRAINZ = _table(idx_artist_mbtags="<i4", year="<i4")
TRACKS = ("TRAAAAW128F429D538", "TRAAABD128F429CF47", "TRAAADZ128F9348C2E")


def msd_file(
    path: Path,
    tracks: Sequence[str] = TRACKS[:1],
    *,
    segments: int = 40,
    arrays: bool = True,
    analysis: Mapping[str, object] | None = None,
) -> Path:
    """A file as PyTables wrote it, of one track or aggregated of several."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([ord(letter) for track in tracks for letter in track])
    with h5py.File(path, "w") as file:
        file.attrs["TITLE"] = np.bytes_(b"H5 Song File")
        songs = np.zeros(len(tracks), MSD_ANALYSIS)
        said = np.zeros(len(tracks), MSD_METADATA)
        years = np.zeros(len(tracks), MSD_MUSICBRAINZ)
        for at, track in enumerate(tracks):
            songs[at]["track_id"] = track.encode()
            songs[at]["duration"], songs[at]["tempo"], songs[at]["loudness"] = 200.5, 120.25, -7.5
            songs[at]["key"], songs[at]["mode"], songs[at]["time_signature"] = at, 1, 4
            for name in ("timbre", "pitches", "loudness_max"):
                songs[at][f"idx_segments_{name}"] = at * segments
            for name, value in (analysis or {}).items():
                songs[at][name] = value
            said[at]["artist_name"] = "Björk".encode()
            said[at]["title"], said[at]["release"] = f"Song {at}".encode(), b"Debut"
            years[at]["year"] = 0 if at else 1993
        count = segments * len(tracks)
        file["analysis/songs"], file["metadata/songs"] = songs, said
        file["musicbrainz/songs"] = years
        if arrays:
            file["analysis/segments_timbre"] = random.normal(10, 30, (count, 12))
            file["analysis/segments_pitches"] = random.random((count, 12))
            file["analysis/segments_loudness_max"] = random.normal(-10, 3, count)
    return path


def msd_tree(folder: Path, tracks: Sequence[str] = TRACKS) -> Path:
    """A/A/A/TRAAAAW128F429D538.h5"""
    for track in tracks:
        msd_file(folder / track[2] / track[3] / track[4] / f"{track}.h5", [track])
    return folder


def msd_genres(path: Path, lines: Sequence[str]) -> Path:
    """A .cls file of tagtraum's, with its comments on top."""
    head = ["# MSD tagtraum genre annotations CD1", "# TRACKID<tab>MAJORITY<tab>[MINORITY]"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*head, *lines, ""]), encoding="utf-8")
    return path


def msd_table(path: Path) -> Path:
    """subset_features.csv"""
    twelve = str([0.1 * n for n in range(12)])
    frame = pd.DataFrame(
        {
            "duration": [218.9, 148.0, 0.0],
            "spectral_centroid_mean": [4.1, 7.5, 6.0],
            "spectral_rolloff_mean": [0.36, 0.29, np.nan],
            "tempo": [92.2, 121.3, 99.0],
            **{f"mfcc{n}": [41.5, 43.1, 40.0] for n in (1, 2, 3)},
            "loudness_mean": [-13.6, -12.4, -9.0],
            "key": [1, 6, 11],
            "mode": [0, 1, 1],
            "time_signature": [4, 4, 3],
            "chroma_mean": [twelve, twelve, twelve],
            "filename": [f"{track}.h5" for track in TRACKS],
            "genre": ["Rap", "Pop_Rock", "Rock_Metal"],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


# --- AudioSet

AUDIOSET_TREE = """mid,name,parent
/m/06by7,Rock music,
/m/03lty,Heavy metal,Rock music
/m/0m0jc,Electronica,Electronic music
/m/02lkt,Electronic music,
"""


def audioset(
    folder: Path,
    embeddings: Any = None,
    *,
    clips: str = (
        "video_id,split,start,end,n_frames,genres\n"
        "-0FHUc78Gqo,bal_train,30.0,40.0,10,Heavy metal|Electronica\n"
        "-0mG4W5Hlq8,eval,270.0,280.0,4,Rock music\n"
    ),
) -> Path:
    """clips.csv, embeddings.npz, genre_tree.csv"""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clips.csv").write_text(clips, encoding="utf-8")
    (folder / "genre_tree.csv").write_text(AUDIOSET_TREE, encoding="utf-8")
    if embeddings is None:
        embeddings = np.random.default_rng(0).integers(0, 256, (2, 10, 128), np.uint8)
    np.savez_compressed(folder / "embeddings.npz", emb=embeddings)
    return folder
