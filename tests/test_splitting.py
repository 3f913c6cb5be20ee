"""Splits of a library on both servers: stored, kept, changed on request, refused if they leak."""

import shutil
from pathlib import Path

import pytest
import soundfile

from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.errors import KgError, WrongUsageError
from kg.learning.training import TrainOptions
from kg.splits.protocol import SplitRule

SIDES = "MATCH (s:Song) RETURN s.id, s.split ORDER BY s.id"


def options(**chosen: object) -> TrainOptions:
    return TrainOptions(epochs=3, negatives=2, **chosen)  # type: ignore[arg-type]


def sides(library: Library) -> dict[str, str | None]:
    return dict(library.ask(SIDES).rows)


def write(library: Library, cypher: str) -> None:
    library.connection.write(lambda tx: tx.run(cypher).consume())


def test_a_random_split_is_refused_where_artists_are_known(library: Library, music: Path) -> None:
    library.ingest(music)
    before = sides(library)
    with pytest.raises(
        KgError, match=r"\d+ artists \(.*, .*\) are on several sides.*--split artis"
    ):
        library.train(options(split="random"))
    # Nothing was changed, and what is there is trained on.
    assert sides(library) == before
    assert library.status().split == SplitRule("artist")
    assert library.store.build() is not None

    report = library.train(options(split="random", allow_leaks=True))
    assert report.split == SplitRule("random", chosen=True)
    assert len(report.leaking.artists) > 3
    assert "15 to 25 points" in str(report.split_caution)
    assert "too good" in str(report.split_caution)
    assert sides(library) != before
    # It is remembered, and so is that it leaks.
    assert any("leaks" in line and "--split artist" in line for line in library.status().stale)
    library.ingest(music)
    assert library.status().split == report.split
    with pytest.raises(KgError, match="The split leaks"):
        library.train(options())
    with pytest.raises(KgError, match="The split leaks"):
        library.evaluate(1, options=options())

    report = library.train(options(split="artist"))
    assert (report.split_caution, report.unsplit) == (None, 0)
    assert not report.leaking
    assert sides(library) == before
    assert library.status().stale == []


def test_a_split_that_new_tags_made_leak_is_refused_and_mended(
    library: Library, music: Path
) -> None:
    library.ingest(music)
    before = sides(library)
    write(
        library,
        "MATCH (s:Song)-[:IN_GENRE]->(g:Genre) "
        f"WHERE g.name = '{GENRES[0]}' AND s.split IN ['train', 'test'] SET s.artist = 'Nina & Co'",
    )
    with pytest.raises(KgError, match=r"1 artist \(Nina & Co\) is on several sides"):
        library.train(options())
    report = library.train(options(allow_leaks=True))
    assert list(report.leaking.artists) == ["Nina & Co"]
    report = library.train(options(split="artist"))
    assert not report.leaking
    by_nina = library.ask("MATCH (s:Song {artist: 'Nina & Co'}) RETURN s.id, s.split").rows
    assert len(by_nina) == 4
    assert len({split for _, split in by_nina}) == 1
    # Who leaked was dealt anew, and nobody else.
    moved = {id for id, split in sides(library).items() if split != before[id]}
    assert moved < {id for id, _ in by_nina}


def test_copies_of_a_recording_stay_on_one_side(
    library: Library, music: Path, tmp_path: Path
) -> None:
    for genre in GENRES[:2]:
        (tmp_path / "copies" / genre).mkdir(parents=True)
        for number in range(6):
            samples, rate = soundfile.read(music / genre / f"{genre}-{number}.flac")
            # Without tags: who made it nobody knows.
            copy = tmp_path / "copies" / genre / f"copy-{number}.wav"
            soundfile.write(copy, 0.5 * samples, rate)
    library.ingest([music, tmp_path / "copies"], genres_from="folder")
    rows = library.ask(
        "MATCH (copy:Song), (s:Song {recording: copy.recording}) "
        "WHERE copy.artist IS NULL AND s.artist IS NOT NULL "
        "RETURN copy.title, s.title, copy.split, s.split"
    ).rows
    assert len(rows) == 12
    assert all(copy == song for *_, copy, song in rows)
    assert {side for *_, side in rows} == {"train", "valid", "test"}
    report = library.train(options())
    assert not report.leaking

    # Sides that were given by hand are kept, and refused.
    write(
        library,
        "MATCH (s:Song) WHERE s.artist IS NULL AND s.recording IS NOT NULL AND s.split = 'train' "
        "SET s.split = 'test'",
    )
    with pytest.raises(KgError, match=r"\d recordings \(.*\) are on several sides"):
        library.train(options())


def test_a_split_that_the_data_gives(library: Library, music: Path, tmp_path: Path) -> None:
    library.ingest(music)
    given = """
    MATCH (s:Song) WITH s, split(split(s.path, '-')[-1], '.')[0] AS number
    SET s.splitGiven = CASE WHEN number IN ['0', '1'] THEN 'test'
                            WHEN number IN ['2', '3'] THEN 'valid' ELSE 'train' END
    """
    write(library, given)
    report = library.train(options())
    assert report.split == SplitRule("given")
    assert library.ask("MATCH (s:Song) WHERE s.split <> s.splitGiven RETURN count(s)").rows == [[0]]
    # What the data says nothing of is learned from, and a model was measured: the rule holds.
    for number in range(4):
        genre = GENRES[number]
        write_song(
            tmp_path / "new" / genre / "song.flac", genre, seconds=2.0, seed=70 + number, artist=9
        )
    library.ingest(tmp_path / "new", genres_from="folder")
    new = library.ask("MATCH (s:Song) WHERE s.splitGiven IS NULL RETURN s.split").rows
    assert new == [["train"]] * 4
    assert library.train(options()).songs == {"train": 12, "valid": 8, "test": 8}
    assert library.train(options(split="artist")).split == SplitRule("artist", chosen=True)
    assert library.train(options(split="auto")).split == SplitRule("artist")


def test_part_of_gtzan_by_its_lists(library: Library, music: Path, tmp_path: Path) -> None:
    # Songs of our own under the names of four clips of each side, and of one that is faulty.
    clips = [29, 30, 31, 32, 0, 1, 2, 3, 12, 13, 14, 15]
    for genre, source, numbers in (
        ("blues", GENRES[0], clips),
        ("reggae", GENRES[1], [0, 1, 2, 4, 61, 62, 70, 72, 34, 35, 36, 86]),
    ):
        for at, number in enumerate(numbers):
            path = tmp_path / "gtzan" / genre / f"{genre}.{number:05d}.flac"
            write_song(path, source, seconds=2.0, seed=at, artist=at)
    library.ingest(tmp_path / "gtzan", genres_from="folder")
    report = library.train(options())
    assert report.split == SplitRule("gtzan")
    assert report.songs == {"train": 8, "valid": 8, "test": 7}
    assert report.unsplit == 1
    faulty = library.ask(
        "MATCH (s:Song)-[:PREDICTED_GENRE {rank: 1}]->(g) WHERE s.split IS NULL RETURN s.path"
    ).rows
    assert [Path(path).name for (path,) in faulty] == ["reggae.00086.flac"]


def test_rules_that_do_not_fit(library: Library, music: Path) -> None:
    library.ingest(music)
    before = sides(library)
    with pytest.raises(WrongUsageError, match="--split gtzan: GTZAN's lists put no labelled song"):
        library.train(options(split="gtzan"))
    with pytest.raises(WrongUsageError, match="--split given: the data puts no labelled song"):
        library.train(options(split="given"))
    assert sides(library) == before


def test_all_songs_by_one_artist(library: Library, music: Path, tmp_path: Path) -> None:
    shutil.copytree(music / GENRES[0], tmp_path / "one" / GENRES[0])
    shutil.copytree(music / GENRES[1], tmp_path / "one" / GENRES[1])
    library.ingest(tmp_path / "one", genres_from="folder")
    write(library, "MATCH (s:Song) SET s.artist = 'Bach', s.split = NULL")
    report = library.train(options())
    assert report.songs == {"train": 12, "valid": 0, "test": 0}
    assert len(report.scores) == 0
    assert "songs by three artists" in str(report.caution)
