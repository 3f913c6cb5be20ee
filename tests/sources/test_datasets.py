"""One contract that every data set keeps, and what is odd about each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from kg.errors import AudioError, WrongUsageError
from kg.genres.tree import find_cycle
from kg.records import SongRecord
from kg.schema import SPLITS, check_family_name
from kg.sources import audioset, csv_file, msd, msd_file
from kg.sources.csv_file import first_rows
from kg.sources.dataset import SourceTable, row_id
from kg.sources.datasets import (
    DATA_SETS,
    SourceKind,
    as_source,
    describe,
    find,
    open_table,
)
from kg.sources.folder import scan
from tests.sources import published

FMA_COLUMNS = 7 * 33


@dataclass(frozen=True)
class Case:
    """A table of a data set: how it is made, and what it holds."""

    source: SourceKind
    make: Callable[[Path], Path]
    keys: tuple[str, ...]
    width: int
    at_once: int = 1


CASES = {
    "gtzan": Case(
        "gtzan",
        lambda home: published.gtzan_table(home / "features_30_sec.csv"),
        ("blues.00000.wav", "blues.00012.wav", "disco.00051.wav"),
        57,
    ),
    "fma": Case(
        "fma",
        lambda home: published.fma_metadata(home / "fma_metadata"),
        ("2", "3", "5", "140", "155"),
        FMA_COLUMNS,
    ),
    "fma echonest": Case(
        "fma",
        lambda home: published.fma_metadata(home / "fma_metadata") / "echonest.csv",
        ("2", "140"),
        232,
    ),
    "msd": Case("msd", lambda home: published.msd_tree(home / "data"), published.TRACKS, 199),
    "msd aggregate": Case(
        "msd",
        lambda home: published.msd_file(home / "aggregate.h5", published.TRACKS),
        published.TRACKS,
        199,
        at_once=3,
    ),
    "msd table": Case(
        "msd",
        lambda home: published.msd_table(home / "subset_features.csv"),
        published.TRACKS,
        33,
    ),
    "audioset": Case(
        "audioset",
        lambda home: published.audioset(home / "audioset"),
        ("-0FHUc78Gqo", "-0mG4W5Hlq8"),
        128,
    ),
}
REAL = (
    ("gtzan", "gtzan/features_30s.csv", 710, 57),
    ("fma", "fma", 6175, 8),
    ("fma", "fma/fma_medium_labels.csv", 4269, 8),
    ("msd", "msd/subset_features.csv", 5288, 33),
    ("msd", "msd/TRAXLZU12903D05F94.h5", 1, 199),
    ("audioset", "audioset", 2490, 128),
)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def opened(path: Path, source: SourceKind = "auto", **options: object) -> SourceTable:
    found = find(path, source)
    assert found is not None
    assert found.form == "table"
    return open_table(found, **options)  # type: ignore[arg-type]


def read(table: SourceTable) -> tuple[list[SongRecord], np.ndarray, list[float | None], list[str]]:
    """All songs, features and seconds, and what was left out, as `row: reason`."""
    batches = list(table.batches())
    songs = [song for batch in batches for song in batch.songs]
    features = np.concatenate([batch.features for batch in batches])
    seconds = [each for batch in batches for each in batch.durations]
    return songs, features, seconds, [f"{r.row}: {r.reason}" for b in batches for r in b.left_out]


def by_key(table: SourceTable) -> dict[str, SongRecord]:
    return {song.key: song for song in read(table)[0]}


def check_contract(table: SourceTable, name: str) -> None:
    """What every table of a data set keeps."""
    assert table.name == name
    columns = [column for own in table.families.values() for column in own]
    assert all(check_family_name(family) for family in table.families)
    assert len(set(columns)) == len(columns) > 0
    assert find_cycle(table.parents) is None
    assert all(parent in table.parents for own in table.parents.values() for parent in own)
    songs = 0
    for batch in table.batches():
        songs += len(batch.songs)
        assert batch.features.shape == (len(batch.songs), len(columns))
        assert batch.features.dtype == np.float32
        assert not np.isinf(batch.features).any()
        assert len(batch.durations) in (0, len(batch.songs))
        assert all(seconds is None or seconds > 0 for seconds in batch.durations)
        for song in batch.songs:
            assert song.id == row_id(name, song.key)
            assert (song.source, song.path) == (name, None)
            assert song.title
            assert song.split in (None, *SPLITS)
            assert song.genre_source == ("table" if song.genres else "")
            assert len(set(song.genres)) == len(song.genres)
            assert all(genre == genre.strip() != "" for genre in song.genres)
            assert not table.parents or table.parents.keys() >= set(song.genres)
    assert table.songs in (None, songs)


# --- the contract


def test_contract(case: Case, tmp_path: Path) -> None:
    table = opened(case.make(tmp_path))
    check_contract(table, case.source)
    songs, features, _, left_out = read(table)
    assert tuple(song.key for song in songs) == case.keys
    assert features.shape == (len(case.keys), case.width)
    assert left_out == []
    again = read(table)
    assert again[0] == songs
    np.testing.assert_array_equal(again[1], features)
    assert np.isfinite(features).mean() > 0.9
    assert not (features == features[:1]).all()


def test_no_data_set_takes_another_for_itself(case: Case, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    for name, data_set in DATA_SETS.items():
        assert data_set.recognise(path) == ("table" if name == case.source else None)
        if name != case.source:
            with pytest.raises(WrongUsageError, match=str(path)):
                open_table(find(path, as_source(name)))  # type: ignore[arg-type]


def test_batches_are_small(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = case.make(tmp_path)
    whole = read(opened(path))
    # Defaults of arguments were taken when functions were made.
    monkeypatch.setattr(csv_file.read_columns, "__kwdefaults__", {"headers": 1, "rows": 1})
    monkeypatch.setattr(audioset, "_CLIPS", 1)
    monkeypatch.setattr(msd, "_TRACKS", 1)
    table = opened(path)
    assert max(len(batch.songs) for batch in table.batches()) == case.at_once
    parts = read(table)
    assert parts[0] == whole[0]
    np.testing.assert_array_equal(parts[1], whole[1])


def test_options_that_a_data_set_has_not_are_refused(case: Case, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    for option, value in (("metadata", path), ("subset", "small")):
        if option not in DATA_SETS[case.source].options:
            with pytest.raises(WrongUsageError, match=f"--{option} isn't for {case.source}"):
                opened(path, **{option: value})


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    (tmp_path / "bytes.csv").write_bytes(b"\0\1\2")
    for name in ("empty", "notes.csv", "bytes.csv", "nowhere"):
        assert find(tmp_path / name) is None
    for source in ("gtzan", "fma", "msd", "audioset"):
        with pytest.raises(WrongUsageError, match=r"no folder or file called .*nowhere"):
            find(tmp_path / "nowhere", source)
        with pytest.raises(WrongUsageError, match=r"notes\.csv"):
            opened(tmp_path / "notes.csv", source)
    with pytest.raises(WrongUsageError, match="no source 'spotify': it is one of auto, audio"):
        as_source("spotify")
    path = published.gtzan_table(tmp_path / "features.csv")
    assert find(path, "table") is None
    assert find(path, "audio") is None


@pytest.mark.parametrize(("source", "path", "songs", "width"), REAL)
def test_real_data(source: str, path: str, songs: int, width: int, data_dir: Path) -> None:
    table = opened(data_dir / path)
    check_contract(table, source)
    found, features, _, left_out = read(table)
    assert left_out == []
    assert features.shape == (songs, width)
    assert len({song.id for song in found}) == songs
    assert np.isfinite(features).all()


def test_real_data_is_what_it_is(data_dir: Path) -> None:
    assert find(data_dir / "gtzan") is not None
    assert find(data_dir / "gtzan" / "musicnn_taggram_train.npz") is None
    assert find(data_dir / "fma" / "genres.csv") is None
    assert find(data_dir / "fb15k237") is None
    assert find(data_dir) is None


# --- GTZAN


def test_gtzan_table(tmp_path: Path) -> None:
    table = opened(published.gtzan_table(tmp_path / "features_30_sec.csv"))
    first, _, faulty = read(table)[0]
    assert (first.title, first.genres, first.split) == ("blues.00000", ("blues",), "valid")
    assert (faulty.genres, faulty.split) == (("disco",), None)
    assert read(table)[2] == [pytest.approx(30.0133, abs=1e-3)] * 3
    assert "length" not in [column for own in table.families.values() for column in own]
    [remark] = table.remarks
    assert "Of 3 clips 1 is known to be faulty" in remark
    assert remark.endswith("Listed as faulty: 1 (disco.00051).")
    assert table.faults == {"disco.00051": "listed as faulty"}
    # Each family has its own columns: the values say where they stood in the file.
    at = {name: i for i, name in enumerate(published.GTZAN_COLUMNS)}
    columns = [column for own in table.families.values() for column in own]
    places = np.round(read(table)[1].mean(axis=0)).astype(int)
    assert list(places) == [at[column] for column in columns]


def test_gtzan_table_with_artists_and_parts(tmp_path: Path) -> None:
    names = ["blues.00000.0.wav", "blues.00000.1.wav", "pop.00009.9.wav", "mine.wav"]
    table = opened(
        published.gtzan_table(
            tmp_path / "features_3_sec.csv", names, artist=["Ann", "Ann", "", "Me"], tempo=1
        )
    )
    songs, _, _, left_out = read(table)
    assert [song.artist for song in songs] == ["Ann", "Ann", None]
    assert [song.split for song in songs] == ["valid", "valid", "train"]
    assert left_out == ["mine.wav: no clip of GTZAN"]
    assert any("parts of one clip belong on one side" in remark for remark in table.remarks)


def test_gtzan_table_with_odd_cells(tmp_path: Path) -> None:
    path = published.gtzan_table(
        tmp_path / "features.csv", mfcc3_var=["1.5", "much", ""], tempo=["inf", "1", "-1e999"]
    )
    songs, features, _, left_out = read(opened(path))
    assert left_out == ["blues.00012.wav: its column 'mfcc3_var' holds 'much' instead of a number"]
    assert [song.key for song in songs] == ["blues.00000.wav", "disco.00051.wav"]
    assert np.isnan(features).sum(axis=1).tolist() == [1, 2]
    text = path.read_text(encoding="utf-8")
    path.write_text("\ufeff" + text, encoding="utf-8")
    assert len(read(opened(path))[0]) == 2
    path.write_text(text.replace("mfcc7_mean", "seven"), encoding="utf-8")
    with pytest.raises(WrongUsageError, match="lacks the column 'mfcc7_mean'"):
        opened(path, "gtzan")


def test_gtzan_table_with_a_blank_second_line(tmp_path: Path) -> None:
    path = published.gtzan_table(tmp_path / "features.csv")
    header, rows = path.read_text().split("\n", 1)
    path.write_text(f"{header}\n\n{rows}")
    assert find(path) is None


def test_gtzan_audio(tmp_path: Path) -> None:
    clips = ["blues.00000.wav", "jazz.00099.wav", "jazz.00033.wav"]
    folder = published.gtzan_audio(tmp_path / "Data" / "genres_original", clips)
    (folder / "blues" / "copy.wav").write_bytes((folder / "jazz" / "jazz.00099.wav").read_bytes())
    for path in (folder, folder.parent):
        found = find(path)
        assert found is not None
        assert (found.data_set.name, found.form) == ("gtzan", "audio")
    described = describe(scan([folder]), [folder])
    assert described.scan.genres_from == "table"
    told = {song.path.name: song for song in described.scan.records if song.path}
    assert told["blues.00000.wav"].genres == ("blues",)
    assert told["blues.00000.wav"].split == "valid"
    assert told["jazz.00033.wav"].split is None
    # Of two names for the same bytes the one counts that is a clip's.
    assert (told["copy.wav"].genres, told["copy.wav"].split) == (("jazz",), "test")
    assert "jazz.00033" in described.remarks[0]
    kept = describe(scan([folder], "folder"), [folder], genres=False)
    assert kept.scan.genres_from == "folder"
    assert {song.genre_source for song in kept.scan.records} == {"folder"}
    assert {song.split for song in kept.scan.records} == {"valid", "test", None}
    plain = describe(scan([folder]), [folder], "audio")
    assert {song.split for song in plain.scan.records} == {None}
    with pytest.raises(WrongUsageError, match="--metadata isn't for gtzan"):
        describe(scan([folder]), [folder], metadata=folder)


def test_gtzan_audio_that_is_none(tmp_path: Path) -> None:
    folder = published.gtzan_audio(tmp_path, ["mine.wav"])
    assert find(folder) is None
    with pytest.raises(WrongUsageError, match=r"None of the 1 files .* called as GTZAN's clips"):
        describe(scan([folder]), [folder], "gtzan")
    with pytest.raises(WrongUsageError, match=r"--metadata says .* none was found .*--source"):
        describe(scan([folder]), [folder], metadata=folder)


# --- FMA


def test_fma_tables(tmp_path: Path) -> None:
    folder = published.fma_metadata(tmp_path / "fma_metadata")
    for path in (folder, tmp_path, folder / "features.csv", folder / "tracks.csv"):
        songs = by_key(opened(path))
        assert list(songs) == ["2", "3", "5", "140", "155"]
        first = songs["2"]
        assert (first.title, first.artist, first.album) == ("Food", "AWOL", "AWOL - A Way Of Life")
        assert (first.year, first.genres, first.split) == (2009, ("Hip-Hop",), "train")
        # The most specific ones, though `genres` names one above them; names that look missing.
        assert (songs["3"].genres, songs["3"].artist) == (("Punk Blues",), "NA")
        assert (songs["5"].genres, songs["5"].split) == (("Hip-Hop", "Techno"), "valid")
        assert (songs["155"].genres, songs["155"].split) == ((), "test")
        assert songs["155"].title == "track 155"
    table = opened(folder)
    assert {name: len(own) for name, own in table.families.items()} == {
        "chroma_cens": 84,
        "mfcc": 140,
        "zcr": 7,
    }
    assert table.families["zcr"][0] == "zcr_kurtosis_01"
    assert table.parents["Punk Blues"] == ("Punk",)
    assert table.parents["Rock"] == ()
    _, features, seconds, _ = read(table)
    assert seconds == [168.0, 237.0, 206.0, 253.0, None]
    assert np.isnan(features).sum() == 1


@pytest.mark.parametrize(
    ("subset", "keys"), [("small", ["2", "140"]), ("medium", ["2", "3", "140"]), ("large", None)]
)
def test_fma_subsets(subset: str, keys: list[str] | None, tmp_path: Path) -> None:
    folder = published.fma_metadata(tmp_path)
    assert list(by_key(opened(folder, subset=subset))) == (keys or ["2", "3", "5", "140", "155"])


def test_fma_echonest(tmp_path: Path) -> None:
    folder = published.fma_metadata(tmp_path / "fma_metadata", tables=["tracks", "echonest"])
    table = opened(folder)
    assert {name: len(own) for name, own in table.families.items()} == {
        "echonest": 8,
        "temporal": 224,
    }
    assert "not how well known" in " ".join(table.remarks)
    _, features, _, _ = read(table)
    assert features[:, 8].tolist() == [0.0, 0.5]
    elsewhere = tmp_path / "alone" / "echonest.csv"
    elsewhere.parent.mkdir()
    (folder / "echonest.csv").rename(elsewhere)
    with pytest.raises(WrongUsageError, match=r"Nothing says what the tracks.*tracks\.csv isn't"):
        opened(elsewhere)
    assert len(read(opened(elsewhere, metadata=folder))[0]) == 2
    assert len(read(opened(elsewhere, metadata=folder / "tracks.csv"))[0]) == 2
    with pytest.raises(WrongUsageError, match="Nothing says what the tracks"):
        opened(elsewhere, metadata=elsewhere.parent)


def test_fma_reduced(tmp_path: Path) -> None:
    heard = tmp_path / "echonest_labeled.csv"
    heard.write_text(
        "track_id,acousticness,tempo,genre_top,genres_all,artist,title\n"
        '2,0.4,165.9,Hip-Hop,[21],AWOL,Food\n3,0.3,,Rock,"[25, 12]",,\n'
        "7,0.1,90,Rock,[],,Last\n8,loud,90,Rock,[12],,\n"
    )
    table = opened(heard)
    assert any("genres.csv isn't beside it" in remark for remark in table.remarks)
    assert table.parents == {}
    assert by_key(table)["3"].genres == ("Rock",)
    with pytest.raises(WrongUsageError, match=r"--subset small: .* only tracks\.csv says"):
        opened(heard, subset="small")
    (tmp_path / "genres.csv").write_text(published.FMA_GENRES)
    labels = tmp_path / "fma_medium_labels.csv"
    labels.write_text(
        "track_id,genre_top,genres_all,split\n2,21,[21],train\n"
        '3,12,"[25, 12]",test\n5,12,[12],valid\n'
    )
    for path in (tmp_path, heard):
        songs, features, _, left_out = read(opened(path))
        assert [(song.key, song.genres, song.split) for song in songs] == [
            ("2", ("Hip-Hop",), "train"),
            ("3", ("Punk",), "test"),
            ("7", ("Rock",), None),
        ]
        assert [song.title for song in songs] == ["Food", "track 3", "Last"]
        assert np.isnan(features).sum() == 1
        assert left_out == ["8: its column 'acousticness' holds 'loud' instead of a number"]
    only = opened(labels)
    assert list(by_key(only)) == ["2", "3"]
    said = "that fma_medium_labels.csv names and that have none there aren't taken in: 1."
    assert any(said in remark for remark in only.remarks)
    heard.unlink()
    with pytest.raises(WrongUsageError, match="no features of FMA"):
        opened(labels)


def test_a_shifted_row_is_refused(tmp_path: Path) -> None:
    path = published.fma_metadata(tmp_path / "fma_metadata") / "echonest.csv"
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1].replace(",", ",9,", 1)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(WrongUsageError, match=r"echonest\.csv can't be read as CSV"):
        read(opened(path))


def test_fma_with_parts_missing(tmp_path: Path) -> None:
    folder = published.fma_metadata(tmp_path / "fma_metadata")
    (folder / "genres.csv").write_text("genre,parent\n1,2\n")
    with pytest.raises(WrongUsageError, match=r"not FMA's genre tree: .* column 'genre_id'"):
        opened(folder)
    (folder / "genres.csv").write_text(published.FMA_GENRES + "21,9,0,Rap,21\n")
    with pytest.raises(WrongUsageError, match="its genre_id 21 comes twice"):
        opened(folder)
    (folder / "genres.csv").unlink()
    with pytest.raises(WrongUsageError, match=r"genres\.csv, which says what .*isn't beside"):
        opened(folder)
    published.fma_metadata(folder, tables=["tracks"])
    for name in ("features.csv", "echonest.csv"):
        (folder / name).unlink()
    with pytest.raises(WrongUsageError, match="no features of FMA"):
        opened(folder)
    published.fma_metadata(folder)
    lines = (folder / "tracks.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "tracks.csv").write_text("".join(lines[:-1]), encoding="utf-8")
    songs, _, _, left_out = read(opened(folder))
    assert [song.key for song in songs] == ["2", "3", "5", "140"]
    assert left_out == ["155: the metadata know no such track"]
    (folder / "tracks.csv").write_bytes("".join(lines).encode("utf-8") + b'7,"')
    with pytest.raises(WrongUsageError, match=r"tracks\.csv can't be read as CSV"):
        opened(folder)
    (folder / "tracks.csv").write_bytes("".join(lines).encode("utf-8") + b"7,\xff\n")
    with pytest.raises(WrongUsageError, match="it is no UTF-8"):
        opened(folder)


def test_fma_audio(tmp_path: Path) -> None:
    folder = published.fma_audio(tmp_path / "fma_small", (2, 3, 140, 999))
    with pytest.raises(WrongUsageError, match=r"tracks\.csv isn't there; unpack fma_metadata.zip"):
        describe(scan([folder]), [folder])
    published.fma_metadata(tmp_path / "fma_metadata")
    for where in (folder, tmp_path):
        described = describe(scan([where]), [where])
        told = {song.path.stem: song for song in described.scan.records if song.path}
        assert told["000002"].title == "Food"
        assert (told["000002"].genres, told["000002"].split) == (("Hip-Hop",), "train")
        assert (told["000003"].artist, told["000140"].split) == ("NA", "test")
        assert (told["000999"].genres, told["000999"].split) == ((), None)
        assert described.parents["Techno"] == ("Electronic",)
        assert described.remarks == ["tracks.csv doesn't know 1 of 4 files."]
    (tmp_path / "fma_metadata").rename(tmp_path / "elsewhere")
    described = describe(scan([folder]), [folder], metadata=tmp_path / "elsewhere")
    assert described.scan.genres_from == "table"
    with pytest.raises(WrongUsageError, match="Nothing says what"):
        describe(scan([folder]), [folder], metadata=tmp_path)
    others = published.fma_audio(tmp_path / "others", (998, 999))
    with pytest.raises(WrongUsageError, match="knows none of the 2 files"):
        describe(scan([others]), [others], metadata=tmp_path / "elsewhere")


# --- Million Song Dataset


def test_msd_features(tmp_path: Path) -> None:
    path = published.msd_file(tmp_path / f"{published.TRACKS[0]}.h5")
    table = opened(path)
    [song], [values], [seconds], _ = read(table)
    assert (song.title, song.artist, song.album, song.year) == ("Song 0", "Björk", "Debut", 1993)
    assert (song.genres, seconds) == ((), 200.5)
    columns = [column for own in table.families.values() for column in own]
    told = dict(zip(columns, values.tolist(), strict=True))
    with h5py.File(path) as file:
        timbre, chroma = file["analysis/segments_timbre"][:], file["analysis/segments_pitches"][:]
        loudness = file["analysis/segments_loudness_max"][:]
    assert told["timbre_mean_03"] == pytest.approx(timbre[:, 2].mean(), rel=1e-5)
    assert told["chroma_std_12"] == pytest.approx(chroma[:, 11].std(), rel=1e-5)
    covariance = np.cov(timbre.T, bias=True)
    assert told["timbre_cov_07_02"] == pytest.approx(covariance[6, 1], rel=1e-4)
    assert told["timbre_std_07"] == pytest.approx(np.sqrt(covariance[6, 6]), rel=1e-5)
    assert told["loudness_max_mean"] == pytest.approx(loudness.mean(), rel=1e-5)
    assert told["tempo"] == 120.25
    assert told["segments_per_second"] == pytest.approx(40 / 200.5)
    assert [told[f"key_{name}"] for name in ("c", "cis", "b")] == [1, 0, 0]
    assert told["mode"] == 1


def test_msd_aggregates_give_each_track_its_own_segments(tmp_path: Path) -> None:
    path = published.msd_file(tmp_path / "aggregate.h5", published.TRACKS)
    songs, values, _, _ = read(opened(path))
    assert [song.title for song in songs] == ["Song 0", "Song 1", "Song 2"]
    assert [song.year for song in songs] == [1993, None, None]
    with h5py.File(path) as file:
        timbre = file["analysis/segments_timbre"][:].reshape(3, 40, 12)
    np.testing.assert_allclose(values[:, :12], timbre.mean(axis=1), rtol=1e-5)


def test_msd_what_echo_nest_could_not_tell_is_missing(tmp_path: Path) -> None:
    unknown = {"tempo": 0, "time_signature": 0, "key": -1, "mode": 7, "duration": 0}
    table = opened(published.msd_file(tmp_path / "a.h5", segments=0, analysis=unknown))
    _, [values], [seconds], _ = read(table)
    assert seconds is None
    assert np.isfinite(values).sum() == 1  # the loudness of the whole


def test_msd_genres(tmp_path: Path) -> None:
    tree = published.msd_tree(tmp_path / "data")
    assert "name a file of annotations with --metadata" in opened(tree).remarks[0]
    first, second, third = published.TRACKS
    lines = [f"{first}\tRock\tPop", f"{second}\tNew Age", "TRZZZZZ128F9348C2E\tJazz"]
    apart = published.msd_genres(tmp_path / "msd_tagtraum_cd1.cls", lines)
    beside = published.msd_genres(tree / "msd-topMAGD-genreAssignment.cls", [f"{third}\tPop_Rock"])
    songs = by_key(opened(tree, metadata=apart))
    assert [songs[key].genres for key in published.TRACKS] == [("Rock", "Pop"), ("New Age",), ()]
    songs = by_key(opened(tree))
    assert [songs[key].genres for key in published.TRACKS] == [(), (), ("Pop_Rock",)]
    assert "msd-topMAGD-genreAssignment.cls" in opened(tree).remarks[0]
    apart.rename(tree / "second.cls")
    with pytest.raises(WrongUsageError, match="several files of genres beside these tracks"):
        opened(tree)
    single = tree / "A" / "A" / "A" / f"{first}.h5"
    with pytest.raises(WrongUsageError, match="knows none of the tracks in"):
        opened(single, metadata=beside)
    renamed = single.rename(tmp_path / "song.h5")
    assert by_key(opened(renamed, metadata=tree / "second.cls"))[first].genres == ("Rock", "Pop")
    published.msd_genres(apart, ["TRZZZZZ128F9348C2E\tJazz"])
    with pytest.raises(WrongUsageError, match=r"tagtraum_cd1\.cls knows none of the tracks"):
        opened(tree, metadata=apart)
    published.msd_genres(apart, ["Rock"])
    with pytest.raises(WrongUsageError, match="line 3 isn't a track id, a tab and a genre"):
        opened(tree, metadata=apart)
    with pytest.raises(WrongUsageError, match=r"file of genres .*no longer there"):
        opened(tree, metadata=tmp_path / "nowhere.cls")


def test_msd_bad_files_cost_themselves(tmp_path: Path) -> None:
    tree = published.msd_tree(tmp_path)
    first, second, _ = published.TRACKS
    whole = (tree / "A" / "A" / "A" / f"{first}.h5").read_bytes()
    bad = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"no HDF5 at all",
        "head": whole[:200],
    }
    for name, content in bad.items():
        (tree / f"{name}.h5").write_bytes(content)
    with h5py.File(tree / "other.h5", "w") as file:
        file["weights"] = np.zeros(3)
    published.msd_file(tree / "summary.h5", [second], arrays=False)
    published.msd_file(tree / "odd.h5", analysis={"idx_segments_timbre": 10_000})
    with h5py.File(published.msd_file(tree / "wide.h5"), "r+") as file:
        del file["analysis/segments_pitches"]
        file["analysis/segments_pitches"] = np.zeros((40, 13))
    with h5py.File(published.msd_file(tree / "columns.h5"), "r+") as file:
        del file["metadata/songs"]
        file["metadata/songs"] = np.zeros(1, [("title", "S8")])
    songs, _, _, left_out = read(opened(tree, "msd"))
    assert sorted(song.key for song in songs) == sorted(published.TRACKS)
    told = dict(line.split(": ", 1) for line in left_out)
    assert told["cut.h5"].startswith("as HDF5 it is cut short or damaged")
    assert told["head.h5"].startswith("as HDF5 it is cut short or damaged")
    assert told["empty.h5"].startswith("it is no HDF5 file")
    assert told["text.h5"].startswith("it is no HDF5 file")
    assert "no table /analysis/songs, there is 'weights'" in told["other.h5"]
    assert "it holds no segments: a summary file" in told["summary.h5"]
    assert "points outside of its array" in told["odd.h5"]
    assert "other than 12 values" in told["wide.h5"]
    assert "/metadata/songs has no column 'artist_name'" in told["columns.h5"]
    assert len(told) == 9
    (tree / "cut.h5").rename(tree / "TRAAAAW128F429D539.h5")
    rows = [row for batch in opened(tree, "msd").batches() for row in batch.left_out]
    assert [row.row for row in rows if not row.unreadable] == ["TRAAAAW128F429D539.h5"]
    (tree / "TRAAAAW128F429D539.h5").rename(tree / "cut.h5")
    # What the processes do, in this one: coverage can't look into those.
    for name in ("empty", "other", "summary", "odd", "wide", "columns"):
        with pytest.raises(AudioError) as error:
            msd_file.read_tracks(tree / f"{name}.h5")
        assert str(error.value) == told[f"{name}.h5"]
    [said] = msd_file.read_tracks(tree / "A" / "A" / "A" / f"{second}.h5").said
    assert said == (second, "Song 0", "Björk", "Debut", 1993)
    for name in ("cut", "empty", "other", "summary"):
        with pytest.raises(WrongUsageError, match=rf"{name}\.h5 can't be used: "):
            opened(tree / f"{name}.h5")
    published.msd_file(tree / "none.h5", [])
    with pytest.raises(WrongUsageError, match=r"no track in .*none\.h5"):
        opened(tree / "none.h5")
    (tmp_path / "without").mkdir()
    with pytest.raises(WrongUsageError, match="no HDF5 file of the Million Song Dataset"):
        opened(tmp_path / "without", "msd")


def test_msd_broken_bytes_cost_their_file(tmp_path: Path) -> None:
    whole = published.msd_file(tmp_path / "whole.h5").read_bytes()
    for length in range(0, len(whole), 997):
        (tmp_path / f"cut{length}.h5").write_bytes(whole[:length])
    random = np.random.default_rng(0)
    for number in range(60):  # bytes that lie: HDF5's library may burst, or read something
        broken = bytearray(whole)
        for at in random.integers(0, 4000, 6):
            broken[at] = random.integers(256)
        (tmp_path / f"broken{number}.h5").write_bytes(bytes(broken))
    songs, _, _, left_out = read(opened(tmp_path, "msd"))
    assert published.TRACKS[0] in {song.key for song in songs}
    assert sum(line.startswith("cut") for line in left_out) == len(range(0, len(whole), 997))


def test_msd_table(tmp_path: Path) -> None:
    path = published.msd_table(tmp_path / "subset_features.csv")
    table = opened(path)
    songs, features, seconds, _ = read(table)
    # Two genres joined by an underscore are two, but for the one that has one itself.
    assert [song.genres for song in songs] == [("Rap",), ("Pop_Rock",), ("Rock", "Metal")]
    assert seconds == [pytest.approx(218.9), 148.0, None]
    columns = [column for own in table.families.values() for column in own]
    at = columns.index("key_fis")
    assert features[:, at].tolist() == [0, 1, 0]
    assert features[:, columns.index("mode")].tolist() == [0, 1, 1]
    assert features[0, columns.index("chroma_mean_03")] == pytest.approx(0.2)
    assert np.isnan(features[2, columns.index("spectral_rolloff_mean")])
    assert "names no artists" in table.remarks[0]
    with pytest.raises(WrongUsageError, match="says genres itself: leave out --metadata"):
        opened(path, metadata=path)
    text = path.read_text().replace("[0.0, ", "[", 1).replace("121.3", "fast", 1)
    path.write_text(text)
    songs, _, _, left_out = read(opened(path))
    assert len(songs) == 1
    assert "'chroma_mean' holds '[0.1, " in left_out[0]
    assert left_out[1].endswith("'tempo' holds 'fast' instead of a number")


# --- AudioSet


def test_audioset(tmp_path: Path) -> None:
    folder = published.audioset(tmp_path / "audioset")
    table = opened(folder)
    songs, features, _, _ = read(table)
    first, second = songs
    assert (first.genres, first.split) == (("Heavy metal", "Electronica"), "train")
    assert (second.genres, second.split) == (("Rock music",), "test")
    assert table.parents == {
        "Rock music": (),
        "Heavy metal": ("Rock music",),
        "Electronica": ("Electronic music",),
        "Electronic music": (),
    }
    with np.load(folder / "embeddings.npz") as arrays:
        heard = arrays["emb"].astype(float) / 255 * 4 - 2
    np.testing.assert_allclose(features[0], heard[0].mean(axis=0), rtol=1e-5)
    # The rest of a shorter clip is padding.
    np.testing.assert_allclose(features[1], heard[1, :4].mean(axis=0), rtol=1e-5)
    assert features.min() >= -2
    assert features.max() <= 2
    for name in ("clips.csv", "embeddings.npz"):
        assert [song.key for song in read(opened(folder / name))[0]] == [s.key for s in songs]
    assert find(folder / "genre_tree.csv") is None


def test_audioset_of_floats_by_mid_without_a_tree(tmp_path: Path) -> None:
    heard = np.full((3, 2, 5), 3.5, np.float32)
    heard[1, 0, 2] = np.inf
    clips = 'video_id,genres\na,"/m/03lty,/m/0m0jc"\nb,\n,Jazz\n'
    folder = published.audioset(tmp_path, heard, clips=clips)
    table = opened(folder)
    songs, features, _, left_out = read(table)
    assert [song.genres for song in songs] == [("Heavy metal", "Electronica"), ()]
    assert left_out == [": it has no id"]
    assert features[0].tolist() == [3.5] * 5
    assert np.isnan(features[1]).tolist() == [False, False, True, False, False]
    (folder / "genre_tree.csv").unlink()
    table = opened(folder)
    assert read(table)[0][0].genres == ("/m/03lty", "/m/0m0jc")
    assert "genre_tree.csv isn't beside it" in table.remarks[0]
    (folder / "genre_tree.csv").write_text("a,b\n1,2\n")
    with pytest.raises(WrongUsageError, match="no genre tree: it lacks the column 'mid'"):
        opened(folder)


def test_audioset_with_labels_in_the_npz(tmp_path: Path) -> None:
    path = tmp_path / "clips.npz"
    heard = np.zeros((2, 3, 4), np.float32)
    np.savez(path, emb=heard, ids=np.array(["a", "b"]), labels=np.array(["Jazz|Blues", "Jazz"]))
    songs = by_key(opened(path))
    assert [songs[key].genres for key in "ab"] == [("Jazz", "Blues"), ("Jazz",)]
    np.savez(path, emb=heard, ids=np.array(["a", "b"]), labels=np.array(["Jazz"]))
    with pytest.raises(WrongUsageError, match="it has 2 ids and 1 labels"):
        opened(path)
    np.savez(path, emb=heard, ids=np.array(["a"]), labels=np.array(["Jazz"]))
    with pytest.raises(WrongUsageError, match=r"names 1 clips, and .* embeddings of 2"):
        opened(path)
    np.savez(path, emb=heard, ids=np.array(["a", "b"]))
    with pytest.raises(WrongUsageError, match="no array of text called 'labels'"):
        opened(path)


def test_an_npz_with_more_in_it_is_any_table(tmp_path: Path) -> None:
    path = tmp_path / "songs.npz"
    mel, ids = np.ones((2, 3, 4), np.float32), np.array(["a", "b"])
    for arrays in ({}, {"ids": ids, "labels": ids, "mfcc": mel[:, 0]}):
        np.savez(path, mel=mel, **arrays)
        assert find(path) is None
    np.savez(path, mel=mel, ids=ids, labels=ids)
    assert find(path) is not None


def test_audioset_that_does_not_fit_together(tmp_path: Path) -> None:
    folder = published.audioset(tmp_path)
    clips = folder / "clips.csv"
    clips.write_text(clips.read_text() + "third,eval,0,10,10,Rock music\n")
    with pytest.raises(WrongUsageError, match=r"clips\.csv names 3 clips, .*\.npz has .* 2"):
        opened(folder)
    whole = (folder / "embeddings.npz").read_bytes()
    (folder / "embeddings.npz").write_bytes(whole[:-40])
    assert find(folder) is None
    with pytest.raises(WrongUsageError, match="as NPZ it is cut short or damaged"):
        opened(folder, "audioset")
    np.savez(folder / "embeddings.npz", flat=np.zeros((3, 4)))
    with pytest.raises(WrongUsageError, match=r"no array of numbers \[clips, t, d\]"):
        opened(folder, "audioset")
    np.savez(folder / "embeddings.npz", a=np.zeros((3, 4, 5)), b=np.zeros((3, 4, 5)))
    with pytest.raises(WrongUsageError, match="isn't clear which of its arrays"):
        opened(folder, "audioset")
    np.savez(folder / "more.npz", a=np.zeros((3, 4, 5)))
    with pytest.raises(WrongUsageError, match="more than one NPZ"):
        opened(folder, "audioset")


# --- CSV


def test_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffa,"b\nc"\n1,2\n', encoding="utf-8")
    assert first_rows(path, 5) == [["a", "b\nc"], ["1", "2"]]
    assert first_rows(path, 1) == [["a", "b\nc"]]
    assert first_rows(tmp_path, 1) == []


def test_a_table_that_shrinks_is_read_as_it_is(tmp_path: Path) -> None:
    path = published.gtzan_table(tmp_path / "features.csv")
    table = opened(path)
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    assert list(table.batches()) == []
    path.unlink()
    with pytest.raises(WrongUsageError, match="can't be used: no longer there"):
        list(table.batches())
