"""Looking at one song: a file by itself, and a song of the library by what it is called."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from kg import Library
from kg.asking.inspection import by_family, family_tables
from kg.audio.decode import decode
from kg.audio.features import columns, family_slices, features
from kg.audio.synth import GENRES, write_song
from kg.errors import GraphError, KgError, WrongUsageError
from kg.files import content_id
from kg.learning.training import TrainOptions
from kg.records import FeatureSet
from tests.audio.sounds import noise, write
from tests.sources.test_folder import bomb


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_song(tmp_path / "a song.flac", GENRES[0], seconds=2.0, seed=3, title="Heard")


def test_a_file_needs_no_library(file: Path, tmp_path: Path) -> None:
    # An address where nobody answers: a look at the graph would fail.
    with Library.open(tmp_path / "home", neo4j_uri="bolt://127.0.0.1:9") as library:
        found = library.inspect(file)
    assert (found.title, found.path, found.in_library) == ("Heard", file, False)
    assert [genre.name for genre in found.genres] == [GENRES[0]]
    assert {genre.source for genre in found.genres} == {"tag"}
    assert (found.guesses, found.split, found.copies) == ((), None, ())
    assert (found.duration, found.excerpt) == (2.0, 30.0)
    assert found.heard == pytest.approx(2.0, abs=1e-3)
    audio = decode(file)
    assert found.sample_rate == audio.sample_rate
    values = [value for family in found.features.values() for value in family.values()]
    np.testing.assert_allclose(values, features(audio.samples), rtol=1e-4, atol=1e-5)
    assert list(found.features) == list(family_slices())
    assert found.tempo == pytest.approx(2 ** found.features["rhythm"]["tempo_log2"])


def test_what_the_graph_says(library: Library, music: Path, tmp_path: Path) -> None:
    library.ingest(music)
    library.train(TrainOptions(epochs=5))
    ((id, title, path),) = library.ask(
        "MATCH (s:Song) RETURN s.id, s.title, s.path ORDER BY s.id LIMIT 1"
    ).rows
    found = library.inspect(id)
    assert (found.id, found.title, found.path, found.in_library) == (id, title, Path(path), True)
    assert [(genre.name, genre.source) for genre in found.genres] == [
        (Path(path).parent.name, "folder")
    ]
    assert [guess.rank for guess in found.guesses] == [1, 2, 3]
    assert found.split in ("train", "valid", "test")
    assert found.copies == []
    assert (found.duration, found.heard, found.excerpt) == (2.0, 2.0, 30.0)
    # The same numbers as from the file, but for the last digits: other threads, other sums.
    heard = library.inspect(path)
    assert heard.id == id
    for family, values in found.features.items():
        assert heard.features[family] == pytest.approx(values, rel=1e-4, abs=1e-4)

    library.inspect(id, plot=tmp_path / "song.png")
    assert (tmp_path / "song.png").read_bytes().startswith(b"\x89PNG")


def test_the_ways_to_call_a_song(library: Library, music: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    songs = {}
    for number, title in enumerate(("So What", "so what", "Ça ira", "2000", "Twins", "Twins")):
        path = mine / GENRES[number % 2] / f"{number}.flac"
        write_song(path, GENRES[0], seconds=2.0, seed=40 + number, artist=number, title=title)
        songs[number] = path
    shutil.copy(songs[2], mine / GENRES[0] / "copy of 2.flac")
    library.ingest(mine, genres_from="folder")
    ids = {Path(path).stem: id for path, id in library.ask(
        "MATCH (s:Song) UNWIND s.paths AS path RETURN path, s.id").rows}  # fmt: skip
    assert ids["2"] == ids["copy of 2"]

    def called(text: str) -> str:
        return library.inspect(text).id

    assert called("So What") == ids["0"]  # exactly so, before other letter case
    assert called("so what") == ids["1"]
    assert called("ça IRA") == called("C\u0327a ira") == ids["2"]  # é as one or two characters
    assert called(ids["3"]) == called(ids["3"][:12].upper()) == ids["3"]
    assert called("2000") == ids["3"]  # a title, before the beginning of an id
    with pytest.raises(KgError, match="2 songs of the library are called 'SO WHAT'"):
        called("SO WHAT")
    with pytest.raises(KgError) as several:
        called("Twins")
    for number in (4, 5):
        assert ids[str(number)][:12] in str(several.value)
        assert str(songs[number]) in str(several.value)

    # A path as it is stored, of a file that has gone; copies go on.
    songs[0].unlink()
    found = library.inspect(songs[0])
    assert (found.id, found.path) == (ids["0"], songs[0])
    with pytest.raises(KgError, match=r"0\.flac can't be listened to: "):
        library.inspect("So What", plot=tmp_path / "song.png")
    assert not (tmp_path / "song.png").exists()
    songs[2].unlink()
    found = library.inspect(songs[2])
    assert found.path == mine / GENRES[0] / "copy of 2.flac"
    assert found.copies == [songs[2]]
    library.inspect("Ça ira", plot=tmp_path / "song.png")


def test_songs_that_are_not_there(library: Library, music: Path, tmp_path: Path) -> None:
    with pytest.raises(KgError, match=r"no audio file 'nothing'.*no song of the library"):
        library.inspect("nothing")
    library.ingest(music)
    title = library.ask("MATCH (s:Song) RETURN s.title ORDER BY s.title LIMIT 1").rows[0][0]
    with pytest.raises(KgError, match="Did you mean") as like:
        library.inspect(title[:-2].upper())
    assert repr(title) in str(like.value)
    for text in ("", "  ", "abc", "ffffffffffff", "*", "x" * 5000, "a\0b", "it's", str(tmp_path)):
        with pytest.raises(KgError, match="no song of the library"):
            library.inspect(text)
    with pytest.raises(KgError, match="is a folder, and no song"):
        library.inspect(tmp_path)


def test_a_file_that_can_not_be_heard(library: Library, tmp_path: Path) -> None:
    (tmp_path / "words.mp3").write_text("this is not music, it is a text file")
    with pytest.raises(KgError, match=r"words\.mp3 can't be listened to: .*not audio"):
        library.inspect(tmp_path / "words.mp3", plot=tmp_path / "song.png")
    assert not (tmp_path / "song.png").exists()
    with pytest.raises(WrongUsageError, match="ends in"):
        library.inspect(tmp_path / "words.mp3", plot="song.gif")


def test_a_graph_that_contradicts_itself(library: Library, music: Path) -> None:
    library.ingest(music / GENRES[0])
    (id,) = library.ask("MATCH (s:Song) RETURN s.id LIMIT 1").rows[0]
    library.connection.write(
        lambda tx: tx.run("MATCH (s:Song {id: $id}) REMOVE s.features", id=id).consume()
    )
    with pytest.raises(GraphError, match="has 0 feature values"):
        library.inspect(id)
    library.connection.write(lambda tx: tx.run("MATCH (f:FeatureSpace) DELETE f").consume())
    with pytest.raises(GraphError, match="kg ingest"):
        library.inspect(id)


def test_values_of_a_family_stand_in_rows_and_columns() -> None:
    names = [
        *("mfcc_01_mean", "mfcc_02_mean", "mfcc_01_modulation_0_5_hz", "mfcc_02_modulation_0_5_hz"),
        *("mfcc_broad_1_change", "tempo_log2", "centroid_mean", "onset_strength_std"),
        *("centroid_modulation_0_5_hz", "centroid_delta2_std"),
    ]
    tables = family_tables("sound", {name: float(i) for i, name in enumerate(names)})
    assert [table.name for table in tables] == ["mfcc", "mfcc broad", "sound"]
    coefficients, broad, rest = tables
    assert coefficients.statistics == ["mean", "modulation 0.5 Hz"]
    assert [(row.name, row.values) for row in coefficients.rows] == [("1", [0, 2]), ("2", [1, 3])]
    assert (broad.statistics, broad.rows[0].values) == (["change"], [4])
    assert [(row.name, row.unit, row.values) for row in rest.rows] == [
        ("tempo", "BPM", [32.0, None, None, None, None]),
        ("centroid", "Hz", [None, 6.0, 8.0, 9.0, None]),
        ("onset strength", "", [None, None, None, None, 7.0]),
    ]


def test_every_value_is_in_a_table() -> None:
    kinds = FeatureSet("v", family_slices(), columns())
    vector = np.arange(len(columns()), dtype=np.float32)
    shown: list[float] = []
    for family, values in by_family(kinds, vector).items():
        for table in family_tables(family, values):
            shown += [value for row in table.rows for value in row.values if value is not None]
    assert len(shown) == len(columns())
    assert set(vector) - set(shown) == {vector[columns().index("tempo_log2")]}
    (chroma,) = family_tables("chroma", by_family(kinds, vector)["chroma"])
    assert [row.name for row in chroma.rows][:3] == ["C", "C♯", "D"]
    mel = family_tables("mel", by_family(kinds, vector)["mel"])[0]
    assert (len(mel.rows), mel.rows[0].unit) == (128, "dB")
    assert mel.rows[-1].name.endswith(" Hz")


def test_tags_that_burst_their_reader_are_none(tmp_path: Path) -> None:
    sound = write(tmp_path / "sound.mp3", noise(2.0))
    path = tmp_path / "burst.mp3"
    path.write_bytes(bomb(2_000) + sound.read_bytes())
    with Library.open(tmp_path / "home", neo4j_uri="bolt://127.0.0.1:9") as library:
        found = library.inspect(path)
        plain = library.inspect(sound)
    assert (found.title, found.artist, list(found.genres)) == ("burst", None, [])
    assert found.id == content_id(path)
    assert found.duration == pytest.approx(plain.duration, abs=0.1)


def test_one_spelling_of_a_file(file: Path, tmp_path: Path) -> None:
    with Library.open(tmp_path / "home", neo4j_uri="bolt://127.0.0.1:9") as library:
        assert library.inspect(tmp_path / "home" / ".." / file.name).path == file
