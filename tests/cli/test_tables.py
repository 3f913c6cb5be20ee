"""`kg ingest features.csv`: what is shown, asked, taken in and refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kg.settings import Settings
from tests.cli.conftest import Kg

N = 90
GENRES = np.array(["rock", "jazz", "pop"])
DRAWN = np.random.default_rng(1)
CODES = np.arange(N) % 3
SONGS = pd.DataFrame(
    {
        "track_id": [f"t{n}" for n in range(N)],
        "title": [f"Song {n}" for n in range(N)],
        "artist": [f"Artist {n // 3}" for n in range(N)],
        "genre": GENRES[CODES],
        "tempo": DRAWN.normal(CODES * 10 + 100, 3),
        **{f"mfcc{n}_mean": DRAWN.normal(CODES * (n % 3), 1.0) for n in range(1, 7)},
        "length": DRAWN.integers(0, 10**6, N),
        "label": CODES,
    }
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "features.csv"
    SONGS.to_csv(file, index=False)
    return file


@pytest.fixture
def kg_on_tables(run: Kg, server: Settings, monkeypatch: pytest.MonkeyPatch) -> Kg:
    monkeypatch.setenv("KG_HOME", str(server.kg_home))
    if server.neo4j_uri:
        monkeypatch.setenv("NEO4J_URI", server.neo4j_uri)
        monkeypatch.setenv("NEO4J_USERNAME", server.neo4j_username)
        monkeypatch.setenv("NEO4J_PASSWORD", server.neo4j_password.get_secret_value())
        monkeypatch.setenv("NEO4J_DATABASE", server.neo4j_database)
    return run


def test_the_whole_way(kg_on_tables: Kg, table: Path) -> None:
    kg = kg_on_tables
    shown = kg("ingest", table, "--dry-run")
    assert shown.code == 0
    assert "features.csv: 90 songs (CSV, separated by commas, UTF-8)" in shown.out
    assert "3: rock 30, jazz 30, pop 30" in shown.out
    assert "mfcc1_mean, mfcc2_mean … mfcc6_mean" in shown.out
    assert "says how long or large a file is, not how it sounds" in shown.out
    assert "says what the songs are" in shown.out
    assert json.loads(kg("status", "--json").out)["counts"]["songs"] == 0

    document = json.loads(kg("ingest", table, "--json").out)
    assert (document["taken"], document["new"], document["rows_left_out"]) == (90, 90, 0)
    assert document["table"]["songs"] == 90
    columns = {column["name"]: column for column in document["table"]["columns"]}
    assert columns["track_id"]["use"] == "id"
    assert columns["mfcc3_mean"]["family"] == "mfcc"
    assert columns["length"]["use"] == columns["label"]["use"] == "nothing"

    trained = json.loads(kg("train", "--epochs", "30", "--json").out)
    assert trained["predicted"] == 90
    guesses = kg(
        *("query", "--json"),
        "MATCH (s:Song)-[p:PREDICTED_GENRE {rank: 1}]->(g:Genre) "
        "RETURN s.title AS title, s.sourceKey AS key, g.name AS genre ORDER BY key",
    )
    rows = json.loads(guesses.out)
    assert len(rows) == 90
    assert {row["title"] for row in rows} == set(SONGS.title)
    truth = dict(zip(SONGS.track_id, SONGS.genre, strict=True))
    assert np.mean([row["genre"] == truth[row["key"]] for row in rows]) > 0.7

    again = kg("ingest", table)
    assert again.code == 0
    assert "Nothing new" in again.err
    more = SONGS.head(12).assign(track_id=[f"n{n}" for n in range(12)], tempo=120.0)
    more.to_csv(table.with_name("more.csv"), index=False)
    joined = json.loads(kg("ingest", table.with_name("more.csv"), "--json").out)
    assert (joined["taken"], joined["new"], joined["counts"]["songs"]) == (12, 12, 102)
    other = kg("ingest", table, "--features", "tempo")
    assert other.code == 2
    assert "--vectors FILE --family NAME" in other.err

    SONGS.head(80).to_csv(table, index=False)
    dry = kg("ingest", table, "--prune", "--dry-run")
    assert dry.code == 0
    assert "Song 89" in dry.out
    assert "t89" in dry.out  # as its table calls it
    pruned = json.loads(kg("ingest", table, "--prune", "--yes", "--json").out)
    assert (pruned["pruned"], pruned["counts"]["songs"]) == (10, 92)


def test_options_and_rows_left_out(kg_on_tables: Kg, table: Path) -> None:
    kg = kg_on_tables
    with table.open("a") as stream:
        stream.write("too,short\n")
    printed = kg(
        *("ingest", table, "--strict", "--genre", "label", "--features", "mfcc*"),
        *("--features", "length", "--family", "mfcc[1-3]*=low", "--family", "length=size"),
    )
    assert printed.code == 1
    assert "left out: too,short: it has more or fewer cells than the header: 2" in printed.err
    assert "features low" in printed.out
    assert "Genres are numbers in column 'label'" in printed.err
    assert printed.err.count("Genres are numbers") == 1
    names = json.loads(kg("query", "--json", "MATCH (g:Genre) RETURN g.name AS name").out)
    assert {row["name"] for row in names} == {"0", "1", "2"}


def test_another_table_of_the_same_name_is_told_before(
    kg_on_tables: Kg, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kg = kg_on_tables
    assert kg("ingest", table).code == 0
    said = "of 90 songs that are there from a table called features will get other values"
    assert said not in kg("ingest", table, "--dry-run").out
    other = table.parent / "other" / "features.csv"
    other.parent.mkdir()
    drawn = {f"mfcc{n}_mean": DRAWN.normal(size=N) for n in range(1, 7)}
    songs = SONGS.assign(title=[f"Another {n}" for n in range(N)], **drawn)
    songs.to_csv(other, index=False)
    shown = kg("ingest", other, "--dry-run")
    assert f"90 {said}" in shown.out
    assert "give this one's file another name first" in shown.out
    document = json.loads(kg("ingest", other, "--dry-run", "--json").out)
    assert said in document["remarks"][-1]

    import io

    monkeypatch.setattr("cli.tables._somebody_is_there", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    refused = kg("ingest", other)
    assert refused.code == 1
    assert refused.err.index(said) < refused.err.index("Take the songs in like this?")
    titles = "MATCH (s:Song {title: 'Another 1'}) RETURN count(*) AS n"
    assert json.loads(kg("query", "--json", titles).out) == [{"n": 0}]

    taken = kg("ingest", other, "--yes")
    assert taken.err.count(said) == 1
    assert json.loads(kg("query", "--json", titles).out) == [{"n": 1}]
    # A row that was mended is no other table.
    songs.assign(title=[*songs.title[:-1], "Mended"]).to_csv(other, index=False)
    shown = kg("ingest", other, "--dry-run")
    assert f"1 {said}" in shown.out
    assert "another name first" not in shown.out
    # Of other columns nothing can be said: it is refused.
    assert said not in kg("ingest", other, "--features", "tempo", "--dry-run").out


def test_it_asks_on_a_terminal(
    run: Kg, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("cli.tables._somebody_is_there", lambda: True)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    home = ("--home", tmp_path / "home")
    refused = run(*home, "ingest", table)
    assert refused.code == 1
    assert "Take the songs in like this?" in refused.err
    assert "Nothing was changed." in refused.err
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert "songs in the library" in run(*home, "ingest", table).out
    unasked = run(*home, "ingest", table, "--yes")
    assert unasked.code == 0
    assert "like this?" not in unasked.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["features.csv", "music"], "is a table: take in tables one at a time"),
        (["features.csv", "more.csv"], "is a table: take in tables one at a time"),
        ([".", "--source", "table"], "can't be used: a folder, not a file"),
        (["features.csv", "--excerpt", "10"], "--excerpt is for folders: leave it out"),
        (["features.csv", "--workers", "2"], "--workers is for folders: leave it out"),
        (["features.csv", "--genres-from", "tag"], "--genres-from is for folders"),
        (["features.csv", "--family", "mfcc"], "write --family 'mfcc*=mfcc'"),
        (["features.csv", "--family", "=mfcc"], "write --family 'mfcc*=mfcc'"),
        (["features.csv", "--family", "mfcc*=M F"], "A feature family can't be called 'M F'"),
        (["features.csv", "--yes", "--dry-run"], "choose one of them"),
        (["music", "--genre", "x"], "--genre is for tables"),
        (["music", "--features", "x"], "--features is for tables"),
        (["music", "--yes"], "--yes is for tables, and for --prune"),
        (["music", "--yes", "--dry-run"], "--yes is for tables, and for --prune"),
        (["--vectors", "v.npz", "--family", "a", "--family", "b"], "give --family NAME once"),
        (["--vectors", "v.npz", "--family", "a", "--id", "x"], "--id is for folders"),
        (["features.csv", "--vectors", "v.npz", "--family", "a"], "ingest the folders first"),
    ],
)
def test_wrong_usage(run: Kg, tmp_path: Path, arguments: list[str], words: str) -> None:
    printed = run("--home", tmp_path, "ingest", *arguments)
    assert printed.code == 2
    assert words in printed.err


def test_a_table_by_another_name(run: Kg, table: Path, tmp_path: Path) -> None:
    plain = table.rename(table.with_suffix(".txt"))
    home = ("--home", tmp_path / "home")
    shown = run(*home, "ingest", plain, "--source", "table", "--dry-run")
    assert "features.txt: 90 songs" in shown.out
    heard = run(*home, "ingest", plain, "--source", "audio", "--dry-run", "--json")
    assert json.loads(heard.out)["name"] == "audio"


def test_bad_tables_are_a_sentence(run: Kg, table: Path, tmp_path: Path) -> None:
    for songs, words in (
        (SONGS.drop(columns="track_id").assign(title="x"), "no column names the songs"),
        (SONGS.assign(genres="x"), "may each be the genres; say which with --genre COLUMN"),
        (SONGS[["track_id", "genre"]], "no column of it is a feature"),
    ):
        songs.to_csv(table, index=False)
        printed = run("--home", tmp_path / "home", "ingest", table)
        assert printed.code == 2
        assert words in printed.err
        assert printed.err.rstrip().endswith(".")
        assert not printed.out
    missing = run("--home", tmp_path / "home", "ingest", tmp_path / "gone.csv")
    assert missing.code == 2
    assert "There is no file called" in missing.err
