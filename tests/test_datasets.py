"""Data sets as they go into a library: their tables, and their audio with what they say of it."""

import json
import shutil
from pathlib import Path

import pytest

from kg import Library
from kg.errors import WrongUsageError
from kg.learning import TrainOptions
from kg.settings import Settings
from kg.splits import gtzan
from tests.cli.conftest import Kg, run  # noqa: F401 - a fixture
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
    return dict(zip(answer.columns, row, strict=True))


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
        trained = library.train(TrainOptions(epochs=2))
        assert trained.split.protocol == "gtzan"
        rows = library.ask("MATCH (s:Song) RETURN s.sourceKey, s.split").rows
    sides = {key: split for key, split in rows}
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


# --- the command line


@pytest.fixture
def kg(run: Kg, server: Settings, monkeypatch: pytest.MonkeyPatch) -> Kg:  # noqa: F811
    monkeypatch.setenv("KG_HOME", str(server.kg_home))
    if server.neo4j_uri:
        monkeypatch.setenv("NEO4J_URI", server.neo4j_uri)
        monkeypatch.setenv("NEO4J_USERNAME", server.neo4j_username)
        monkeypatch.setenv("NEO4J_PASSWORD", server.neo4j_password.get_secret_value())
        monkeypatch.setenv("NEO4J_DATABASE", server.neo4j_database)
    return run


def test_commands(kg: Kg, tmp_path: Path) -> None:
    tree = published.msd_tree(tmp_path / "data")
    lines = [f"{published.TRACKS[0]}\tRock\tPop", f"{published.TRACKS[1]}\tJazz"]
    genres = published.msd_genres(tmp_path / "msd_tagtraum_cd1.cls", lines)
    (tree / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    dry = kg("ingest", tree, "--metadata", genres, "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert "Data set msd" in dry.out
    assert "3: Rock 1, Pop 1, Jazz 1" in dry.out
    told = json.loads(kg("ingest", tree, "--metadata", genres, "--dry-run", "--json").out)
    assert (told["songs"], told["families"]["timbre"]) == (3, 90)
    assert [row["row"] for row in told["left_out"]] == ["cut.h5"]
    done = kg("ingest", tree, "--metadata", genres)
    assert done.code == 0
    assert "Ingested msd" in done.out
    assert "cut.h5" in done.err
    assert "Genres are those of msd_tagtraum_cd1.cls." in done.err
    assert kg("ingest", tree, "--metadata", genres, "--strict").code == 1
    (tree / "A" / "A" / "D" / f"{published.TRACKS[2]}.h5").unlink()
    assert kg("ingest", tree, "--metadata", genres, "--prune", "--yes").code == 0
    assert kg("query", "MATCH (s:Song) RETURN count(*) AS n", "--csv").out.split() == ["n", "2"]


def test_wrong_usage(run: Kg, tmp_path: Path) -> None:  # noqa: F811
    home = ("--home", tmp_path / "home")
    clips = published.audioset(tmp_path / "audioset")
    fma = published.fma_audio(tmp_path / "fma_small")
    other = published.gtzan_table(tmp_path / "features.csv")
    for arguments, said in (
        ((clips, other), "is a table of audioset: take in tables one at a time"),
        ((clips, "--workers", "2"), "--workers isn't for a data set"),
        ((clips, "--subset", "small"), "--subset isn't for audioset"),
        ((clips, "--metadata", clips), "--metadata isn't for audioset"),
        ((fma, "--subset", "small"), "--subset is for FMA's table"),
        ((fma,), "tracks.csv isn't there"),
        ((other, "--source", "msd"), "neither HDF5 nor the table"),
        ((other, "--source", "spotify"), "'spotify' is not one of"),
        ((tmp_path / "nowhere", "--source", "fma"), "There is no folder or file called"),
    ):
        printed = run(*home, "ingest", *arguments)
        assert printed.code == 2, arguments
        assert said in " ".join(printed.err.split()), arguments
        assert printed.out == ""


def test_columns_make_it_any_table(run: Kg, tmp_path: Path) -> None:  # noqa: F811
    names = [f"blues.{n:05d}.wav" for n in range(30)] + [f"jazz.{n:05d}.wav" for n in range(30)]
    table = published.gtzan_table(tmp_path / "features.csv", names)
    home = ("--home", tmp_path / "home")
    for arguments in (("--features", "mfcc*"), ("--source", "table")):
        dry = run(*home, "ingest", table, *arguments, "--dry-run", "--json")
        assert dry.code == 0, dry.err
        assert json.loads(dry.out)["form"] == "CSV"
    dry = run(*home, "ingest", table, "--dry-run", "--json")
    assert json.loads(dry.out)["name"] == "gtzan"


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
        assert report.remarks[0].endswith(": metal.00004.")
        given = dict(library.ask("MATCH (s:Song) RETURN s.title, s.splitGiven").rows)
        assert given == {"blues.00000": "valid", "metal.00004": None, "rock.00000": "train"}
