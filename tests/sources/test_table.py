"""Any table with a row a song: what is read, what is guessed, and a sentence for all that isn't."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from kg.errors import WrongUsageError
from kg.records import SongRecord
from kg.sources import sheets
from kg.sources.dataset import LeftOut, row_id
from kg.sources.layout import Asked
from kg.sources.table import OpenedTable, is_table, open_table

N = 120
GENRES = np.array(["rock", "jazz", "pop"])[np.arange(N) % 3]
DRAWN = np.random.default_rng(0)
SONGS = pd.DataFrame(
    {
        "track_id": 100 + DRAWN.permutation(N),
        "genre": GENRES,
        "mfcc1_mean": DRAWN.normal(size=N).round(4),
        "mfcc1_var": DRAWN.normal(size=N).round(4),
        "tempo": DRAWN.uniform(60, 180, N).round(3),
    }
)
X = SONGS[["mfcc1_mean", "mfcc1_var", "tempo"]].to_numpy(np.float32)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save(songs: pd.DataFrame, name: str = "songs.csv", **options: Any) -> Path:
        file = tmp_path / name
        if name.endswith(".parquet"):
            songs.to_parquet(file, index=False)
        else:
            songs.to_csv(file, index=False, **options)
        return file

    return save


Save = Callable[..., Path]


def read(opened: OpenedTable) -> tuple[list[SongRecord], NDArray[np.float32], list[LeftOut]]:
    """All batches in one, twice the same."""
    first, second = (list(opened.source.batches()) for _ in range(2))
    assert [one.songs for one in first] == [one.songs for one in second]
    songs = [song for one in first for song in one.songs]
    x = np.concatenate([one.features for one in first])
    assert x.dtype == np.float32
    assert len(songs) == len(x) == opened.preview.songs
    left = [row for one in first for row in one.left_out]
    assert len(left) == sum(opened.preview.left_out.values())
    return songs, x, left


def uses(opened: OpenedTable) -> dict[str, str]:
    return {use.name: use.use for use in opened.preview.columns}


def whys(opened: OpenedTable) -> dict[str, str]:
    return {use.name: use.why for use in opened.preview.columns if use.use == "nothing"}


def why_not(file: Path, asked: Asked = Asked()) -> str:  # noqa: B008
    """The one line that refuses a table."""
    with pytest.raises(WrongUsageError) as caught:
        open_table(file, asked)
    said = str(caught.value)
    assert said.isprintable()
    assert said.endswith(".")
    assert file.name in said
    return said


# ---- how tables are written


@pytest.mark.parametrize(
    ("name", "options", "form"),
    [
        ("songs.csv", {}, "CSV, separated by commas, UTF-8"),
        ("songs.csv", {"sep": ";", "decimal": ","}, "CSV, separated by semicolons, UTF-8"),
        ("songs.csv", {"sep": "|"}, "CSV, separated by bars, UTF-8"),
        ("songs.tsv", {"sep": "\t"}, "CSV, separated by tabs, UTF-8"),
        ("songs.tsv", {"sep": "\t", "decimal": ","}, "CSV, separated by tabs, UTF-8"),
        ("songs.csv", {"encoding": "utf-8-sig"}, "CSV, separated by commas, UTF-8"),
        ("songs.csv", {"encoding": "utf-16"}, "CSV, separated by commas, UTF-16"),
        ("songs.csv", {"encoding": "utf-16-le"}, "CSV, separated by commas, UTF-16-LE"),
        ("songs.csv", {"encoding": "utf-16-be"}, "CSV, separated by commas, UTF-16-BE"),
        ("songs.csv", {"encoding": "latin-1"}, "CSV, separated by commas, Windows-1252"),
        ("songs.csv", {"quoting": 1}, "CSV, separated by commas, UTF-8"),
        ("songs.csv", {"lineterminator": "\r\n"}, "CSV, separated by commas, UTF-8"),
        ("songs.parquet", {}, "Parquet"),
    ],
)
def test_one_table_in_many_forms(
    save: Save, monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any], form: str
) -> None:
    monkeypatch.setattr(sheets, "_CELLS", 35)  # several batches of Parquet
    songs = SONGS.assign(genre=np.where(GENRES == "pop", "Música; Ñu", GENRES))
    opened = open_table(save(songs, name, **options))
    records, x, left = read(opened)
    assert opened.preview.form == form
    assert not left
    np.testing.assert_array_equal(x, X)
    assert [song.key for song in records] == [str(key) for key in SONGS.track_id]
    assert [song.id for song in records] == [row_id("songs", song.key) for song in records]
    assert {song.source for song in records} == {"songs"}
    assert {song.genres for song in records} == {("rock",), ("jazz",), ("Música", "Ñu")}
    assert {song.genre_source for song in records} == {"table"}
    assert opened.source.families == {"mfcc": ["mfcc1_mean", "mfcc1_var"], "other": ["tempo"]}
    assert dict(opened.preview.genres) == {"rock": 40, "jazz": 40, "Música": 40, "Ñu": 40}


def test_bytes_that_only_latin_1_has(tmp_path: Path) -> None:
    file = tmp_path / "songs.csv"
    file.write_bytes(SONGS.assign(genre="x").to_csv(index=False).encode().replace(b"x", b"\x81"))
    assert open_table(file).preview.form.endswith("Latin-1")


def test_utf8_cut_within_a_letter(tmp_path: Path) -> None:
    file = tmp_path / "songs.csv"
    file.write_bytes(SONGS.to_csv(index=False).encode() + b"900,rock,1,2,3\xc3")
    assert "Windows-1252" in open_table(file).preview.form


def test_excels_own_line(tmp_path: Path) -> None:
    file = tmp_path / "songs.csv"
    file.write_text("sep=;\n" + SONGS.to_csv(index=False, sep=";"))
    np.testing.assert_array_equal(read(open_table(file))[1], X)


def test_a_batch_at_a_time(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "_BLOCK", 700)
    opened = open_table(save(SONGS.assign(title='a "quoted",\nbroken title')))
    assert len(list(opened.source.batches())) > 5
    records, x, _ = read(opened)
    np.testing.assert_array_equal(x, X)
    assert {song.title for song in records} == {'a "quoted",\nbroken title'}


def test_npz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "_CELLS", 700)
    three, two = DRAWN.normal(size=(N, 3, 6)), DRAWN.normal(size=(N, 4)).astype(np.float32)
    np.savez(
        tmp_path / "songs.npz",
        id=np.array([f"s{n}" for n in range(N)]),
        genre=GENRES.astype("S"),
        patches=three,
        emb=np.asfortranarray(two),
        loudness=two[:, 0].astype(">f8"),
        other=np.ones(5),
        objects=np.array([None] * N),
        y=np.arange(N) % 3,
    )
    opened = open_table(tmp_path / "songs.npz")
    records, x, _ = read(opened)
    assert len(list(opened.source.batches())) > 1
    assert {family: len(names) for family, names in opened.source.families.items()} == {
        "patches": 6,
        "emb": 4,
        "other": 1,
    }
    np.testing.assert_allclose(x, np.column_stack([three.mean(1), two, two[:, 0]]), rtol=1e-6)
    assert [song.genres for song in records] == [(genre,) for genre in GENRES]
    assert whys(opened) == {
        "other": "has 5 rows, others 120",
        "objects": "holds Python objects, which are never unpickled",
        "y": "says what the songs are, which is what is to be learned",
    }


def test_parquet_types(tmp_path: Path) -> None:
    emb = DRAWN.normal(size=(N, 2))
    table = pa.table(
        {
            "id": pa.array([f"s{n}".encode() for n in range(N)]),
            "genre": pa.array([[g, "x"] if g == "pop" else [g] for g in GENRES]),
            "artist": pa.array(["A", "B", None] * 40).dictionary_encode(),
            "emb": pa.array([None, *emb[1:].tolist()]),
            "loud": pa.array(emb[:, 0], pa.float32()),
            "live": pa.array([True, False, None, True] * 30),
            "nested": pa.array([{"a": 1}] * N),
            "when": pa.array([0] * N, pa.timestamp("s")),
            "void": pa.nulls(N),
        }
    )
    pq.write_table(table, tmp_path / "songs.parquet", row_group_size=50)
    opened = open_table(tmp_path / "songs.parquet")
    records, x, _ = read(opened)
    expected = np.column_stack([emb, emb[:, 0], np.array([1, 0, np.nan, 1] * 30)])
    expected[0, :2] = np.nan
    np.testing.assert_array_equal(x, expected.astype(np.float32))
    assert records[2].genres == ("pop", "x")
    assert [song.artist for song in records[:3]] == ["A", "B", None]
    assert set(whys(opened)) == {"nested", "when", "void"}


def test_text_that_is_no_unicode(tmp_path: Path) -> None:
    names = pa.array([f"s{n}".encode() + b"\xff" for n in range(N)])
    for kind in (pa.string(), pa.large_string()):
        broken = pa.Array.from_buffers(
            kind,
            N,
            (names.cast(pa.large_binary() if kind == pa.large_string() else pa.binary())).buffers(),
        )
        pq.write_table(
            pa.table({"id": broken, "x": X[:, 0], "y1": X[:, 1]}), tmp_path / "s.parquet"
        )
        records, _, _ = read(open_table(tmp_path / "s.parquet"))
        assert records[3].key == "s3\\xff"


def test_a_column_that_changes_its_mind(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first batches say of a column need not hold for the next."""
    monkeypatch.setattr(sheets, "_BLOCK", 700)
    half = np.arange(N) < N // 2
    many = pd.concat([SONGS] * 3, ignore_index=True).assign(track_id=range(3 * N))
    half = np.arange(3 * N) < 2 * N
    songs = many.assign(
        turned=np.where(half, "7", "seven"),
        ragged=np.where(half, "[1, 2]", "[1]"),
        named=np.where(half, "[1, 2]", "['a', 'b']"),
        late=np.where(half, "", "3.5"),
    )
    songs.loc[0, "late"] = "2"
    opened = open_table(save(songs))
    assert "'seven' in row" in whys(opened)["turned"]
    assert {"ragged", "named"} <= set(whys(opened))
    _, x, _ = read(opened)
    assert np.isnan(x[:, -1]).sum() == 2 * N - 1


@pytest.mark.parametrize(("begin", "end"), [(40, 60), (1, N), (N - 20, N)])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_stray_quotation_mark_loses_no_rows(
    tmp_path: Path, begin: int, end: int, ending: str
) -> None:
    lines = SONGS.to_csv(index=False).splitlines()
    key, genre, *rest = lines[begin].split(",")
    lines[begin] = ",".join([key, f'"{genre}', *rest])
    lines[end] += '",more'
    file = tmp_path / "songs.csv"
    file.write_bytes(ending.join([*lines, ""]).encode())
    said = why_not(file)
    assert f"a quotation mark in its line '{lines[begin][:20]}" in said
    assert f"is never closed, or {end - begin} lines later" in said


def test_blank_first_lines(tmp_path: Path) -> None:
    file = tmp_path / "songs.csv"
    for blank in ("\n", "\r\n \r\n", "\t\n\n\n"):
        file.write_bytes((blank + SONGS.to_csv(index=False)).encode())
        np.testing.assert_array_equal(read(open_table(file))[1], X)


def test_line_ends_of_old_macs(save: Save) -> None:
    songs, x, left = read(open_table(save(SONGS, lineterminator="\r")))
    np.testing.assert_array_equal(x, X)
    assert ([song.key for song in songs], left) == ([str(key) for key in SONGS.track_id], [])
    few = save(SONGS.head(9), "few.csv", lineterminator="\r")
    assert open_table(few).preview.songs == 9


def test_ids_of_64_bits(save: Save) -> None:
    ids = [2**60 + n for n in range(N)]
    for name in ("songs.csv", "songs.parquet"):
        opened = open_table(save(SONGS.assign(track_id=ids), name))
        assert uses(opened)["track_id"] == "id"
        assert [song.key for song in read(opened)[0]] == [str(id) for id in ids]
    repeated = SONGS.assign(track_id=[2**60 + n // 3 for n in range(N)])
    assert "'track_id' has 40 different ones in 120 rows" in why_not(save(repeated))


# ---- what the columns are


def test_what_is_said_of_songs(save: Save) -> None:
    songs = SONGS.assign(
        title=[f"T{n}" for n in range(N)],
        artist_name="The Band",
        Album="A",
        year=[1999.0, np.nan, 0, 2001] * 30,
        duration_ms=[30_000, 0, 15_000, 1_000] * 30,
        split=["train", "VAL", "testing", None] * 30,
    )
    opened = open_table(save(songs))
    (batch,) = opened.source.batches()
    assert batch.durations[:4] == [30.0, None, 15.0, 1.0]
    first, second, third, fourth = batch.songs[:4]
    assert (first.title, first.artist, first.album) == ("T0", "The Band", "A")
    assert [song.year for song in batch.songs[:4]] == [1999, None, None, 2001]
    assert [song.split for song in (first, second, third, fourth)] == [
        *("train", "valid", "test"),
        None,
    ]
    assert dict(opened.preview.splits) == {"train": 30, "valid": 30, "test": 30}
    assert set(uses(opened).values()) == {
        *("id", "title", "artist", "album", "year", "duration", "genre", "split", "features")
    }


def test_options_say_it(save: Save) -> None:
    songs = SONGS.assign(
        genres="x", fold=["train", "test"] * 60, name=[f"n{n}" for n in range(N)], who="A"
    )
    asked = Asked(
        id="name",
        genre="genre",
        artist="WHO",
        split="fold",
        title="none",
        features=("mfcc*", "tempo"),
        families=(("mfcc1_v*", "spread"), ("*", "all")),
    )
    opened = open_table(save(songs), asked)
    records, x, _ = read(opened)
    assert (records[0].key, records[0].artist, records[0].title) == ("n0", "A", None)
    assert opened.source.families == {"all": ["mfcc1_mean", "tempo"], "spread": ["mfcc1_var"]}
    np.testing.assert_array_equal(x, X[:, [0, 2, 1]])
    assert whys(opened)["track_id"] == "not among --features"
    bare = open_table(save(songs), Asked(genre="none", split="none", artist="none"))
    assert not bare.preview.genres
    assert not bare.preview.splits
    assert "can be predicted, but not learned from" in " ".join(bare.preview.remarks)


def test_lists_and_codes(save: Save) -> None:
    emb = DRAWN.normal(size=(N, 11)).round(3)
    songs = SONGS.assign(
        emb=[str(row.tolist()) for row in emb],
        key=np.arange(N) // 3 % 5,
        mode=np.arange(N) // 3 % 2,
    )
    songs["key"] = songs["key"].astype(float).where(np.arange(N) != 7)
    opened = open_table(save(songs))
    _, x, _ = read(opened)
    families = opened.source.families
    assert families["emb"] == [f"emb_{n:02d}" for n in range(1, 12)]
    assert families["key"] == ["key=0", "key=1", "key=2", "key=3", "key=4"]
    assert families["other"] == ["tempo", "mode"]
    names = [name for each in families.values() for name in each]
    np.testing.assert_array_equal(
        x[:, [names.index(name) for name in families["emb"]]], emb.astype(np.float32)
    )
    coded = x[:, [names.index(name) for name in families["key"]]]
    assert np.isnan(coded[7]).all()
    np.testing.assert_array_equal(np.delete(coded, 7, 0).sum(1), 1)
    assert "'key' (5) holds whole numbers of few kinds" in " ".join(opened.preview.remarks)
    as_number = open_table(save(songs), Asked(features=("key", "emb")))
    assert as_number.source.families["other"] == ["key"]


def test_commas_between_genres(save: Save) -> None:
    cells = np.array(["rock", "pop", "rock, pop", "Folk, World"])[np.arange(N) % 4]
    assert set(open_table(save(SONGS.assign(genre=cells))).preview.genres) == {
        *("rock", "pop", "rock, pop", "Folk, World")
    }
    cells = np.array(["rock", "pop", "rock, pop", "jazz"])[np.arange(N) % 4]
    opened = open_table(save(SONGS.assign(genre=cells)))
    assert dict(opened.preview.genres) == {"rock": 60, "pop": 60, "jazz": 30}
    assert any("Commas are taken" in said for said in opened.preview.remarks)


def test_genres_that_are_numbers(save: Save) -> None:
    opened = open_table(save(SONGS.assign(genre=[21, 17, np.nan] * 40)))
    assert dict(opened.preview.genres) == {"21": 40, "17": 40}
    assert "Genres are numbers" in " ".join(opened.preview.remarks)


def test_an_id_without_a_usual_name(save: Save) -> None:
    plain = SONGS.drop(columns="track_id")
    assert uses(open_table(save(plain.assign(fma_id=range(N)))))["fma_id"] == "id"
    coded = [f"x{n}" for n in range(N)]
    assert uses(open_table(save(plain.assign(code=coded))))["code"] == "id"
    both = plain.assign(a_id=coded, b_id=coded)
    assert "each of its columns 'a_id', 'b_id' may name the songs" in why_not(save(both))
    artists = plain.assign(artist_id=range(N), code=coded)
    assert uses(open_table(save(artists)))["code"] == "id"


def test_the_features_of_a_library(save: Save) -> None:
    """A part of a table joins what another part began, whatever is constant or lacking in it."""
    emb = [str([float(n), 1.0]) for n in range(N)]
    songs = SONGS.assign(key=np.arange(N) // 3 % 5, emb=emb, extra=DRAWN.normal(size=N))
    whole = open_table(save(songs.drop(columns="extra")))
    part = songs[songs.key < 2].assign(tempo=None)
    there = whole.source.families
    joined = open_table(save(part, "part.csv"), like=lambda: there)
    assert joined.source.families == there
    _, x, _ = read(joined)
    names = [name for each in there.values() for name in each]
    assert np.isnan(x[:, names.index("tempo")]).all()
    assert not x[:, names.index("key=4")].any()
    assert whys(joined) == {"extra": "no feature of this library"}
    told = part.assign(genre=np.where(part.key == 1, "rock", "jazz"))  # key says it, in this part
    joined = open_table(save(told, "told.csv"), like=lambda: there)
    assert joined.source.families == there
    assert "'key' says the genre of each song" in " ".join(joined.preview.remarks)
    other = {"mfcc": ["mfcc9"]}
    assert open_table(save(songs), like=lambda: other).source.families != other


# ---- columns that would flatter


def test_leaks_are_no_features(save: Save) -> None:
    songs = SONGS.assign(
        genre_id=np.arange(N) % 3,
        code=np.arange(N) % 3 * 10,
        encoded=np.arange(N) % 3 * 1.5,
        is_rock=(GENRES == "rock").astype(int),
        row=range(N),
        Unnamed=range(5, 5 + N),
        popularity=DRAWN.integers(0, 50, N),
        length=DRAWN.integers(1000, 1030, N),
        artist_hotness=DRAWN.normal(size=N),
        spotify=DRAWN.permutation(N) * 3,
        always=4.5,
        noise=DRAWN.integers(0, 2, N),
    )
    opened = open_table(save(songs))
    assert opened.source.families == {
        "mfcc": ["mfcc1_mean", "mfcc1_var"],
        "other": ["tempo", "noise"],
    }
    found = whys(opened)
    learned = "says what the songs are, which is what is to be learned"
    assert found["genre_id"] == learned
    assert found["code"] == found["encoded"] == "says the genre of each song in other words"
    assert found["is_rock"] == "says of each song whether it is rock"
    assert found["row"] == found["Unnamed"] == "numbers the rows"
    assert "listeners" in found["popularity"]
    assert "listeners" in found["artist_hotness"]
    assert "how long" in found["length"]
    assert found["spotify"] == "is another number in each row, as ids are"
    assert found["always"] == "all its values are 4.5"
    named = open_table(save(songs), Asked(features=("code", "length", "mfcc*", "is_*")))
    assert {"code", "length"} <= {use.name for use in named.preview.columns if use.family}
    assert whys(named)["is_rock"] == "says of each song whether it is rock"
    assert "'code' says the genre of each song in other words: it is a feature only because" in (
        " ".join(named.preview.remarks)
    )


def test_one_hot_lists_are_no_features(tmp_path: Path) -> None:
    file = tmp_path / "songs.npz"
    told = np.eye(3)[np.arange(N) % 3]
    sound = DRAWN.integers(0, 2, (N, 4)).astype(float)
    np.savez(file, id=np.arange(N) + 7, genre=GENRES, mfcc=X, onehot=told, sound=sound)
    opened = open_table(file)
    assert set(opened.source.families) == {"mfcc", "sound"}
    assert whys(opened)["onehot"].startswith("says of each song whether it is ")


def test_genres_with_a_few_wrong_rows_leak_too(save: Save) -> None:
    count = 10 * N
    genres = np.tile(GENRES, 10)
    rock = (genres == "rock").astype(int)
    rock[:2] = 1 - rock[:2]
    songs = pd.DataFrame({"id": DRAWN.permutation(count), "genre": genres, "is_rock": rock})
    songs = songs.assign(f1=DRAWN.normal(size=count), f2=DRAWN.normal(size=count))
    assert whys(open_table(save(songs)))["is_rock"] == "says of each song whether it is rock"


def test_sides_in_numbers_are_no_features(save: Save) -> None:
    songs = SONGS.assign(
        fold=DRAWN.integers(1, 11, N),
        is_test=DRAWN.integers(0, 2, N),
        split=DRAWN.integers(0, 3, N),
    )
    opened = open_table(save(songs))
    said = "says on which side songs are, not how they sound"
    assert whys(opened) == dict.fromkeys(("fold", "is_test", "split"), said)
    assert opened.source.families == {"mfcc": ["mfcc1_mean", "mfcc1_var"], "other": ["tempo"]}


def test_a_feature_with_an_equals_sign_in_its_name(save: Save) -> None:
    """A library has it; a table with a column `mood` has no code of it."""
    there = open_table(save(SONGS.assign(**{"mood=happy": X[:, 0]}))).source.families
    assert "mood=happy" in [name for own in there.values() for name in own]
    other = open_table(save(SONGS.assign(mood=X[:, 1]), "other.csv"), like=lambda: there)
    assert "mood" in uses(other)


def test_only_leaks(save: Save) -> None:
    said = why_not(save(SONGS[["track_id", "genre"]].assign(code=np.arange(N) % 3 * 10)))
    assert "no column of it is a feature ('code' says the genre" in said


def test_genres_of_several_leak_too(save: Save) -> None:
    cells = np.array(["rock|pop", "pop", "jazz"])[np.arange(N) % 3]
    songs = SONGS.assign(genre=cells, pop=(cells != "jazz").astype(int))
    assert whys(open_table(save(songs)))["pop"] in (
        "says of each song whether it is pop",
        "says of each song whether it is jazz",
    )


def test_artists_on_several_sides(save: Save) -> None:
    songs = SONGS.assign(
        artist=[f"The Band {n % 30}" for n in range(N)],
        split=["train"] * 80 + ["test"] * 40,
    )
    said = " ".join(open_table(save(songs)).preview.remarks)
    assert (
        "songs of one artist on several sides (The Band 0, The Band 1, The Band 10 and 27" in said
    )
    assert "--split none" in said
    songs["split"] = np.where(np.arange(N) % 30 < 20, "train", "test")
    assert "several sides" not in " ".join(open_table(save(songs)).preview.remarks)


def test_copies(save: Save) -> None:
    songs = pd.concat([SONGS, SONGS.head(5).assign(track_id=range(900, 905))])
    assert "another song: 5." in " ".join(open_table(save(songs)).preview.remarks)


# ---- cells that are odd


def test_missing_and_odd_values(save: Save) -> None:
    songs = SONGS.astype({"mfcc1_mean": object, "tempo": object})
    songs.loc[3, "mfcc1_mean"] = "error"
    songs.loc[4, "mfcc1_mean"] = "error too"
    songs.loc[5, "tempo"] = "inf"
    songs.loc[6, "tempo"] = "-"
    songs.loc[7, "tempo"] = "1e300"
    opened = open_table(save(songs.assign(empty=None)))
    _, x, _ = read(opened)
    expected = X.copy()
    expected[[3, 4], 0] = expected[[5, 6, 7], 2] = np.nan
    np.testing.assert_array_equal(x, expected)
    said = " ".join(opened.preview.remarks)
    assert "'mfcc1_mean' holds 'error' in row 4 and 1 more such cells: taken for missing." in said
    assert "'tempo' is infinite (1 times, first in row 6): taken for missing." in said
    assert "Values are missing: 'tempo' 1;" in said
    assert whys(opened) == {"empty": "nothing is in it"}


def test_text_far_down(save: Save) -> None:
    many = pd.concat([SONGS] * 4, ignore_index=True)
    many["track_id"] = range(len(many))
    many["note"] = [str(n % 17) for n in range(300)] + ["no number"] * 180
    assert "no number" in whys(open_table(save(many)))["note"]
    said = why_not(save(many), Asked(features=("note", "tempo")))
    assert "its column 'note' can't be a feature: holds text" in said


def test_commas_that_are_unclear(save: Save) -> None:
    songs = SONGS.assign(
        plays=[f"{n},{100 + n}" for n in range(1, N + 1)],
        mixed=["1,5", "2.5"] * 60,
        clear=[f"{n},5" for n in range(N)],
    )
    opened = open_table(save(songs))
    assert whys(opened) == {
        "plays": "a comma as in 1,101 may be a decimal comma or part thousands",
        "mixed": "decimal commas and decimal points are mixed in it",
    }
    assert "decimal commas" in " ".join(opened.preview.remarks)
    _, x, _ = read(opened)
    np.testing.assert_allclose(x[:, -1], np.arange(N) + 0.5)


def test_rows_that_are_no_songs(save: Save, tmp_path: Path) -> None:
    songs = pd.concat(
        [SONGS, SONGS.head(2), SONGS.head(1).assign(tempo=1.0), SONGS[11:12]], ignore_index=True
    ).astype({"track_id": object})
    songs.loc[10, "track_id"] = None
    songs.loc[11, ["mfcc1_mean", "mfcc1_var", "tempo"]] = None
    file = save(songs)
    with file.open("a") as stream:
        stream.write("999,rock\n\n998,jazz,1,2,3,4,5\n")
    opened = open_table(file)
    records, x, left = read(opened)
    first, second = (str(key) for key in SONGS.track_id[:2])
    assert sorted((row.row, row.reason) for row in left) == sorted(
        [
            ("999,rock", "it has more or fewer cells than the header: 2"),
            ("998,jazz,1,2,3,4,5", "it has more or fewer cells than the header: 7"),
            ("row 11", "it has no id"),
            (str(SONGS.track_id[11]), "it has no features"),
            (first, "it repeats row 1"),
            (second, "it repeats row 2"),
            (first, "it has the id of row 1, with other values"),
        ]
    )
    assert [row.row for row in left if row.unreadable] == ["999,rock", "998,jazz,1,2,3,4,5"]
    # What row 12 lacks a later row with its id has.
    np.testing.assert_array_equal(x, np.vstack([np.delete(X, [10, 11], 0), X[11]]))
    assert len(records) == N - 1
    assert sum(opened.preview.genres.values()) == N - 1
    assert dict(opened.preview.left_out) == {
        "it has more or fewer cells than the header": 2,
        "it has no id": 1,
        "it has no features": 1,
        "it repeats an earlier row": 2,
        "it has the id of an earlier row, with other values": 1,
    }


# ---- bad input


@pytest.mark.parametrize(
    ("songs", "asked", "words"),
    [
        (SONGS[["track_id", "genre"]], {}, "no column of it is a feature; add columns of numbers"),
        (SONGS.drop(columns="track_id"), {}, "no column names the songs, with an id or a file"),
        (
            SONGS.assign(genres="x"),
            {},
            "'genre' (3 kinds, such as 'rock') and 'genres' (1 kinds, such as 'x') may each be the",
        ),
        (
            SONGS.drop(columns="genre").assign(genre_top="x", genres_all="[1]"),
            {},
            "'genre_top' (1 kinds, such as 'x') and 'genres_all'",
        ),
        (SONGS, {"genre": "tempo"}, "its column 'tempo' can't be genres: it holds numbers like"),
        (SONGS, {"id": "gnere"}, "no column called 'gnere', do you mean 'genre'?; --id names one"),
        (SONGS, {"id": "none"}, "songs need ids"),
        (SONGS, {"id": "genre"}, "its column 'genre' is no id: 117 of 120 rows repeat one"),
        (SONGS, {"split": "genre"}, "'rock' in column 'genre' means no side of a split"),
        (SONGS, {"features": ("mel*",)}, "no column fits --features 'mel*'; its columns are"),
        (SONGS, {"features": ("track_id",)}, "its column 'track_id' can't be a feature"),
        (SONGS, {"features": ("genre", "tempo"), "genre": "none"}, "'genre' can't be a feature"),
        (SONGS, {"families": (("mel*", "mel"),)}, "no column of features fits --family 'mel*=mel'"),
        (SONGS.assign(empty=None), {"artist": "empty"}, "nothing is in its column 'empty'"),
        (
            SONGS.assign(track_id=np.arange(N) // 3),
            {},
            "no column has an id for each song: 'track_id' has 40 different ones in 120 rows",
        ),
        (SONGS.assign(mfcc1_mean=None, mfcc1_var=None, tempo=None), {}, "no column of it is a"),
        (SONGS.head(0), {}, "it holds no songs, only names of columns"),
    ],
)
def test_refused(save: Save, songs: pd.DataFrame, asked: dict[str, Any], words: str) -> None:
    assert words in why_not(save(songs), Asked(**asked))


def test_titles_are_no_genres(save: Save) -> None:
    many = 5000
    songs = pd.DataFrame(
        {
            "id": range(many),
            "genre": [f"Song {n}" for n in range(many)],
            "f1": DRAWN.normal(size=many),
            "f2": DRAWN.normal(size=many),
        }
    )
    said = why_not(save(songs))
    assert (
        "its column 'genre' can't be genres, in spite of its name: it has 5,000 different" in said
    )
    assert "--genre none" in said
    assert "can't be genres: it has 5,000" in why_not(save(songs), Asked(genre="genre"))
    assert not open_table(save(songs), Asked(genre="none")).preview.genres


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"id\n1\n", "its first line has one name only"),
        (b"1,rock,2.5,3.5,4.5\n2,jazz,1,2,3\n", "its first row holds numbers ('4.5')"),
        (b"id,genre,x,x\n1,rock,2,3\n", "two of its columns are called 'x'"),
        (b"a,b,c\n1,2,3,4\n5,6,7,8\n", "3 names, 4 cells"),
        (bytes(range(256)) * 9, "it holds bytes that no text has"),
        (b"\x93NUMPY\x01\x00", "it is an NPY file"),
        (b"\x1f\x8b\x08\x00", "it is packed by gzip; unpack it first"),
        (b"PK\x03\x04 no zip", "as NPZ it is cut short or damaged"),
        (b"PAR1 no parquet PAR1", "as Parquet it is cut short or damaged"),
        (
            b'id,genre,x,note\n1,rock,2,a\n2,rock,3,"b\n3,jazz,4,c\n4,jazz,5,d\n',
            "a quotation mark in column 'note' of row 2 is never closed",
        ),
        (b'id,x,note\n1,2,"' + b"a\n" * 1500 + b'"\n', "never closed"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "songs.csv"
    file.write_bytes(content)
    assert words in why_not(file)


def test_npz_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "songs.npz"
    np.savez(file, id=np.array(["a", None], object), x=np.ones((2, 3)))
    assert "its column 'id' holds Python objects, which are never unpickled" in why_not(file)
    np.savez(file, id=np.array(["a", None], object))
    assert "never unpickled" in why_not(file)
    np.savez(file, x=np.float64(3))
    assert "no array has a row a song" in why_not(file)
    np.savez(file, id=np.array(["a", "b"]), x=np.empty((2, 0)))
    assert "no column of it is a feature" in why_not(file)
    np.savez(file, id=np.array([], "U3"), x=np.empty((0, 3)))
    assert "it holds no songs" in why_not(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "There is no file called" in why_not(tmp_path / "gone.csv")
    assert "a folder, not a file" in why_not(tmp_path)


def test_changed_between_looks(save: Save) -> None:
    file = save(SONGS)
    opened = open_table(file)
    file.write_text(file.read_text() + "7,rock,1,2,3\n")
    with pytest.raises(WrongUsageError, match="written to while it was being read"):
        list(opened.source.batches())


def test_what_is_called_a_table() -> None:
    assert is_table(Path("a/FEATURES.CSV"))
    assert is_table(Path("a.parquet"))
    assert not is_table(Path("a.mp3"))


def test_damaged_halfway(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, id=np.array([f"s{n}" for n in range(N)]), x=DRAWN.normal(size=(N, 40))
    )
    content = bytearray(buffer.getvalue())
    content[len(content) // 2] ^= 255
    file = tmp_path / "songs.npz"
    file.write_bytes(content)
    assert "cut short or damaged" in why_not(file)


# ---- real tables


@pytest.mark.parametrize(
    ("path", "asked", "songs", "families"),
    [
        ("gtzan/features_30s.csv", {}, 710, 10),
        ("msd/subset_features.csv", {}, 5288, 6),
        ("fma/echonest_labeled.csv", {"genre": "genre_top"}, 6175, 1),
    ],
)
def test_real_tables(
    data_dir: Path, path: str, asked: dict[str, str], songs: int, families: int
) -> None:
    opened = open_table(data_dir / path, Asked(**asked))
    records, x, left = read(opened)
    assert len(records) == songs
    assert not left
    assert len(opened.source.families) == families
    assert not np.isnan(x).any()
    assert not {"length", "track_id", "duration"} & {
        use.name for use in opened.preview.columns if use.family
    }


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("fma/echonest_labeled.csv", "'genre_top' (12 kinds"),
        ("fma/genres.csv", "no column names the songs"),
        ("audioset/embeddings.npz", "no column names the songs"),
        ("audioset/clips.csv", "no column of it is a feature ('start' says how long"),
        ("gtzan/musicnn_taggram_train.npz", "'IDS' has 443 different ones in 12,415 rows"),
    ],
)
def test_real_files_that_are_none(data_dir: Path, path: str, words: str) -> None:
    assert words in why_not(data_dir / path)
