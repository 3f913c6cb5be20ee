"""Data sets as they go into a library: their tables, and their audio with what they say of it."""

import shutil
from pathlib import Path

import pytest

from kg import Library
from kg.errors import WrongUsageError
from kg.learning.training import TrainOptions
from kg.settings import Settings
from kg.splits import gtzan
from tests.sources import published

GENRES_OF = """
MATCH (s:Song) WHERE coalesce(s.sourceKey, s.title) = $key
OPTIONAL MATCH (s)-[r:IN_GENRE]->(g:Genre)
RETURN s.title AS title, s.artist AS artist, s.splitGiven AS given, s.source AS source,
       collect(g.name) AS genres, collect(r.source) AS sources
"""
ABOVE = "MATCH (:Genre {name: $name})-[:SUBGENRE_OF*1..]->(g:Genre) RETURN g.name AS name"


@pytest.fixture
def own(server: Settings) -> Library:
    return Library(server)


def one(library: Library, key: str) -> dict[str, object]:
    answer = library.ask(GENRES_OF, {"key": key})
    [row] = answer.rows
    return dict(zip(answer.keys, row, strict=True))


def test_a_table_with_a_tree(own: Library, tmp_path: Path) -> None:
    folder = published.fma_metadata(tmp_path / "fma_metadata")
    with own as library:
        report = library.ingest_table(library.open_data_set(folder))
        assert (report.taken, report.rows_left_out) == (5, 0)
        assert report.counts is not None
        assert report.families == {"chroma_cens": 84, "mfcc": 140, "zcr": 7}
        found = one(library, "5")
        assert (found["title"], found["artist"], found["given"]) == ("This World", "None", "valid")
        assert sorted(found["genres"]) == ["Hip-Hop", "Techno"]  # type: ignore[call-overload]
        assert found["sources"] == ["table", "table"]
        above = library.ask(ABOVE, {"name": "Punk Blues"}).rows
        assert sorted(name for (name,) in above) == ["Punk", "Rock"]
        again = library.ingest_table(library.open_data_set(folder, "fma"))
        assert (again.new, again.changed, again.rebuilt) == (0, 0, False)
        # Another table of the same data set has other columns: no part of this library.
        with pytest.raises(WrongUsageError):
            library.ingest_table(library.open_data_set(folder / "echonest.csv"))
        with pytest.raises(WrongUsageError, match="no table of a data set that kg knows"):
            library.open_data_set(tmp_path / "elsewhere")


def test_gtzans_table_is_split_by_its_lists(own: Library, tmp_path: Path) -> None:
    names = [f"{genre}.{n:05d}.wav" for genre in ("blues", "jazz") for n in range(100)]
    table = published.gtzan_table(tmp_path / "features_30_sec.csv", names)
    with own as library:
        report = library.ingest_table(library.open_data_set(table))
        assert "known to be faulty" in " ".join(report.remarks)
        assert set(report.faults.values()) == {"listed as faulty"}
        trained = library.train(TrainOptions(epochs=2))
        assert trained.split.protocol == "gtzan"
        rows = library.ask("MATCH (s:Song) RETURN s.sourceKey, s.split").rows
    sides = dict(rows)
    for name in names:
        clip = gtzan.clip(name)
        assert clip is not None
        assert sides[name] == gtzan.side(*clip)
    assert sides["jazz.00033.wav"] is None


def test_audio_of_gtzan(library: Library, music: Path, tmp_path: Path) -> None:
    """Files that are heard already, under the names of clips."""
    folder = tmp_path / "genres"
    songs = sorted(music.glob("*/*.flac"))
    for genre, number, song in zip(
        ["blues"] * 3 + ["rock"] * 3, [0, 12, 29, 0, 10, 38], songs, strict=False
    ):
        (folder / genre).mkdir(parents=True, exist_ok=True)
        shutil.copy(song, folder / genre / f"{genre}.{number:05d}.flac")
    report = library.ingest(folder)
    assert report.genres_from == "table"
    assert report.remarks == []
    rows = library.ask(
        "MATCH (s:Song)-[r:IN_GENRE]->(g:Genre) RETURN s.path, s.splitGiven, g.name, r.source"
    ).rows
    told = {Path(path).stem: tuple(others) for path, *others in rows}
    assert told["blues.00012"] == ("test", "blues", "table")
    assert told["rock.00038"] == ("valid", "rock", "table")
    assert library.ingest(folder, genres_from="none").genres_from == "none"
    assert library.ingest(folder, source="audio").genres_from == "folder"


def test_audio_of_fma(library: Library, music: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fma_small"
    songs = sorted(music.glob("*/*.flac"))
    for number, song in zip((2, 3, 140), songs, strict=False):
        (folder / "000").mkdir(parents=True, exist_ok=True)
        shutil.copy(song, folder / "000" / f"{number:06d}.flac")
    with pytest.raises(WrongUsageError, match=r"tracks\.csv isn't there"):
        library.ingest(folder)
    metadata = published.fma_metadata(tmp_path / "elsewhere", tables=["tracks"])
    report = library.ingest(folder, metadata=metadata)
    assert (report.taken, report.genres_from) == (3, "table")
    found = one(library, "Electric Ave")
    assert (found["artist"], found["given"], found["genres"]) == ("NA", "train", ["Punk Blues"])
    above = library.ask(ABOVE, {"name": "Punk Blues"}).rows
    assert sorted(name for (name,) in above) == ["Punk", "Rock"]
    assert not library.ingest(folder, metadata=metadata).rebuilt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "songs", "genre", "above"),
    [
        ("gtzan/features_30s.csv", 710, "jazz", 0),
        ("fma", 6175, "Techno", 1),
        ("msd/subset_features.csv", 5288, "Pop_Rock", 0),
        ("msd/TRAXLZU12903D05F94.h5", 1, None, 0),
        ("audioset", 2490, "Techno", 1),
    ],
)
def test_real_data(
    path: str, songs: int, genre: str | None, above: int, own: Library, data_dir: Path
) -> None:
    with own as library:
        report = library.ingest_table(library.open_data_set(data_dir / path))
        assert (report.taken, report.rows_left_out, report.bare) == (songs, 0, 0)
        assert report.counts is not None
        assert report.counts.songs == songs
        if genre is not None:
            assert len(library.ask(ABOVE, {"name": genre}).rows) == above


def test_real_audio(own: Library, data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gtzan"
    for genre, number in (("blues", 0), ("metal", 4), ("rock", 0)):
        (folder / genre).mkdir(parents=True)
        name = f"{genre}.{number:05d}.flac"
        shutil.copy(data_dir / "gtzan" / "audio" / genre / name, folder / genre / name)
    with own as library:
        report = library.ingest(folder, embeddings=["none"])
        assert (report.taken, report.genres_from) == (3, "table")
        assert report.remarks[0].endswith("Listed as faulty: 1 (metal.00004).")
        given = dict(library.ask("MATCH (s:Song) RETURN s.title, s.splitGiven").rows)
        assert given == {"blues.00000": "valid", "metal.00004": None, "rock.00000": "train"}
