"""The command line: what is printed where, exit codes, help."""

import contextlib
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import click
import psutil
import pytest

from cli.main import SECTIONS, cli
from kg import __version__
from kg.audio.synth import GENRES, write_song
from kg.errors import KgError
from kg.graph import embedded, runaways
from kg.settings import Settings
from models.baselines import tabular
from tests.cli.conftest import Kg
from tests.waiting import DEADLINE, ENDLESS, until

KG = Path(sysconfig.get_path("scripts")) / "kg"


def commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in cli.commands.items():
        found.append((name, command))
        if isinstance(command, click.Group):
            found.extend((f"{name} {sub}", each) for sub, each in command.commands.items())
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_every_command_has_help_with_an_example(name: str, command: click.Command) -> None:
    assert command.help
    assert "Example:" in command.help
    assert f"kg {name}" in command.help
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert all(option.help for option in options)


@pytest.mark.parametrize("name", ["compare", "tune"])
def test_what_comparisons_ask_and_leave_out_is_said(run: Kg, name: str) -> None:
    printed = " ".join(run(name, "--help").out.split())
    assert "by new artists" in printed
    assert re.search(r"no genre is raised (here )?to those that are kinds of it", printed, re.I)


def test_every_command_has_its_section_in_the_help(run: Kg) -> None:
    printed = run("--help")
    assert printed.code == 0
    assert sorted(cli.commands) == sorted(name for names in SECTIONS.values() for name in names)
    assert all(section in printed.out for section in SECTIONS)


def test_the_whole_way(kg: Kg, music: Path, tmp_path: Path) -> None:
    printed = kg("ingest", music)
    assert printed.code == 0
    assert "songs in the library" in printed.out
    assert "Writing songs: 24" in printed.err

    document = json.loads(kg("--quiet", "ingest", music, "--json").out)
    assert document["counts"]["songs"] == 24
    assert document["rebuilt"] is False

    printed = kg("train", "--epochs", "10", "--negatives", "2")
    assert printed.code == 0
    for words in ("artist by artist", "R-GCN + DistMult", "majority", "Only 8 test songs"):
        assert words in printed.out

    new = write_song(tmp_path / "new.flac", GENRES[2], seconds=2.0, seed=5, artist=8, title="[x] y")
    printed = kg("add", new)
    assert printed.code == 0
    assert "[x] y" in printed.out
    assert "%" in printed.out
    again = kg("add", new)
    assert again.code == 1
    assert "already in the library as '[x] y'" in again.err

    document = json.loads(kg("predict", "--json").out)
    assert document["predicted"] == 25
    assert "Every song has a prediction of model" in kg("predict", "--new").out
    assert json.loads(kg("predict", "--new", "--json").out)["predicted"] == 0
    printed = kg("status")
    assert "added since the training" in printed.out
    assert "1 song (4.0 %), sounds " in printed.out
    assert "Everything is up to date." in printed.out
    assert "25 (24 with a genre)" in printed.out
    document = json.loads(kg("status", "--json").out)
    assert document["counts"]["relationships"]["PREDICTED_GENRE"] == 75
    assert document["model"]["state"] == "current"
    assert (document["ageing"]["added"], document["ageing"]["share"]) == (1, 0.04)

    printed = kg("export", tmp_path / "export")
    assert "song/has_mfcc/feature_cluster" in printed.out
    document = json.loads(kg("export", tmp_path / "export", "--json").out)
    assert document["nodes"]["song"] == 25


def test_training_says_what_the_graph_was_worth_and_models_are_kept(kg: Kg, music: Path) -> None:
    kg("ingest", music)
    assert "no models yet" in kg("models", "list").out
    printed = kg("evaluate")
    assert (printed.code, printed.out) == (1, "")
    assert "kg train" in printed.err
    printed = kg("train", "--epochs", "5", "--device", "cpu")
    for words in (
        "the same without the graph",
        "MRR",
        "against the same net without it.",
        "the best of the tabular models",
        "Tabular models by cross-validation (macro-F1): logistic regression 0.",
        "Measured on these test songs so far: 1 model.",
    ):
        assert words in printed.out
    document = json.loads(kg("train", "--epochs", "5", "--seed", "1", "--json").out)
    assert document["looks"] == {"here": 2, "elsewhere": 0}
    assert document["differences"][0]["against"] == "the same without the graph"
    assert set(document["scores"][0]) == {
        "name", "accuracy", "macro_f1", "mrr", "hits_at_3", "mean_average_precision",
    }  # fmt: skip
    second = document["model"]["id"]

    printed = kg("evaluate")
    assert "on 8 validation songs" in printed.out
    assert "by genre" in printed.out
    assert GENRES[0] in printed.out
    assert "so far" not in printed.out
    printed = kg("evaluate", "--on", "test")
    assert "was measured on the test songs" in printed.out
    assert "so far: 2 models." in printed.out
    printed = kg("evaluate", "--seeds", "2", "--epochs", "3", "--hidden", "8", "--negatives", "2")
    assert "A song by a new artist: 2 fresh models, on 8 validation songs:" in printed.out
    assert "± over seeds" in printed.out
    document = json.loads(
        kg("evaluate", "--seeds", "1", "--epochs", "3", "--on", "test", "--json").out
    )
    assert document["looks"]["here"] == 3
    assert document["seeds"]["measured"]["songs"] == 8

    printed = kg("models", "list")
    widest = max(len(line.rstrip()) for line in printed.out.splitlines())
    assert widest <= 80
    assert len(re.findall(r"(?:current|superseded) .* yes", printed.out)) == 2
    older = next(
        m["id"] for m in json.loads(kg("models", "list", "--json").out) if m["id"] != second
    )
    printed = kg("models", "remove", second)
    assert (printed.code, printed.out) == (2, "")
    assert "kg models use" in printed.err
    assert "predicted genres for 24 songs" in kg("models", "use", older).out
    assert f"Removed model {second}" in kg("models", "remove", second).out
    printed = kg("models", "use", second)
    assert (printed.code, printed.out) == (2, "")
    assert "kg models list" in printed.err
    printed = kg("train", "--device", "cuda:99")
    assert (printed.code, printed.out) == (2, "")
    assert "no device 'cuda:99'" in printed.err


def test_a_thinned_out_rival_is_mentioned(
    kg: Kg, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kg("ingest", music)
    monkeypatch.setattr(tabular, "MOST_TO_FIT", dict.fromkeys(tabular.MOST_TO_FIT, 6))
    printed = kg("train", "--epochs", "1")
    assert re.search(r"Of the 8 songs to learn from, .* on 6:", printed.out)
    assert "Trained 1 epoch, a fixed number" in printed.out


def test_many_kept_models_are_mentioned(
    kg: Kg, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kg("ingest", music)
    assert "are kept" not in kg("train", "--epochs", "2").out
    monkeypatch.setattr("cli.learning.MANY_BYTES", 1000)
    assert "2 models are kept and take 0.00 GB" in kg("train", "--epochs", "2").out


def test_query_prints_tables_json_and_csv(kg: Kg, music: Path) -> None:
    kg("ingest", music)
    cypher = (
        "MATCH (s:Song)-[:IN_GENRE]->(g:Genre) WHERE g.name = $genre AND s.duration > $least "
        "RETURN g.name AS genre, count(s) AS songs, collect(s.duration)[0..1] AS some"
    )
    arguments = ("query", cypher, "-p", f"genre={GENRES[0]}", "-p", "least=1.5")
    printed = kg(*arguments)
    assert printed.code == 0
    assert GENRES[0] in printed.out
    assert "1 row" in printed.err
    document = json.loads(kg(*arguments, "--json").out)
    assert document == [{"genre": GENRES[0], "songs": 6, "some": [2.0]}]
    rows = list(csv.reader(io.StringIO(kg(*arguments, "--csv").out)))
    assert rows == [["genre", "songs", "some"], [GENRES[0], "6", "[2.0]"]]
    assert kg("query", "MATCH (s:Song) RETURN s.features LIMIT 1").out.count("bytes>") == 1
    document = json.loads(kg("query", "MATCH (s:Song) RETURN s LIMIT 1", "--json").out)
    assert document[0]["s"]["labels"] == ["Song"]
    assert kg(*arguments, "--json", "--csv").code == 2
    assert kg("query", cypher, "-p", "genre").code == 2


def test_query_from_standard_input(kg: Kg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"RETURN 1 + 1 AS two")))
    assert json.loads(kg("query", "-", "--json").out) == [{"two": 2}]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"RETURN '\xff'"), "utf-8"))
    printed = kg("query", "-")
    assert (printed.code, printed.out) == (2, "")
    assert "not text in utf-8" in printed.err


def test_query_that_is_wrong_or_writes(kg: Kg) -> None:
    printed = kg("query", "MATCH (s:Song RETURN s")
    assert (printed.code, printed.out) == (1, "")
    assert printed.err.startswith("Error: ")
    printed = kg("query", "CREATE (:Song {id: 'x'})")
    assert printed.code == 1
    assert "read" in printed.err
    assert kg("query", "MATCH (s:Song) RETURN count(s)", "--json").out.split() == [
        "[", "{", '"count(s)":', "0", "}", "]",
    ]  # fmt: skip


def test_bad_files_are_named_and_the_rest_is_taken(kg: Kg, music: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(music, folder)
    bad = folder / GENRES[0]
    (bad / "words.mp3").write_text("not music at all")
    (bad / "empty.flac").touch()
    write_song(bad / "short.flac", GENRES[0], seconds=0.03)
    printed = kg("ingest", folder)
    assert printed.code == 0
    assert printed.err.count("rejected: ") == 3
    for name in ("words.mp3", "empty.flac", "short.flac"):
        assert name in printed.err
    assert "rejects.txt" in printed.err
    assert kg("ingest", folder, "--strict").code == 1


def test_many_bad_files_are_summed_up(kg: Kg, music: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for number in range(9):
        (bad / f"words-{number}.mp3").write_text(f"not music at all, {number}")
    for number in range(3):
        write_song(bad / f"short-{number}.flac", GENRES[0], seconds=0.03, seed=number)
    printed = kg("ingest", bad, music, "--genres-from", "folder", "--json")
    assert printed.code == 0
    assert "12 files could not be taken in:" in printed.err
    assert "rejected: " not in printed.err
    assert "bad/words-0.mp3" in printed.err
    assert "words-1.mp3" not in printed.err
    document = json.loads(printed.out)
    assert [reason["files"] for reason in document["rejected_by_reason"]] == [9, 3]
    assert len(document["rejected"]) == 12
    assert len(Path(document["rejects_file"]).read_text().splitlines()) == 12
    assert re.search(r"files left out +12 ", kg("status").out)
    assert "rejects.txt" in kg("status").out
    Path(document["rejects_file"]).unlink()
    printed = kg("add", bad)  # here too
    assert "12 files could not be taken in:" in printed.err
    assert f"listed with reasons in {document['rejects_file']}" in printed.err
    assert len(Path(document["rejects_file"]).read_text().splitlines()) == 12


def test_inspect_prints_a_song(run: Kg, tmp_path: Path) -> None:
    song = write_song(tmp_path / "a.flac", GENRES[0], seconds=2.0, seed=1, title="[b] Heard")
    home = ("--home", tmp_path / "home")
    printed = run(*home, "inspect", song)
    assert printed.code == 0
    for words in ("[b] Heard", str(song), "2.0 s", "BPM", "all of it", f"{GENRES[0]} (tag)"):
        assert words in printed.out
    for words in ("mfcc", "chroma", "C♯", "centroid", "Hz", "dB", "tempo", "█"):
        assert words in printed.out
    assert len(printed.out.splitlines()) < 150
    assert printed.err == ""
    assert not (tmp_path / "home" / "server").exists()

    everything = run(*home, "inspect", song, "--all").out
    assert len(everything.splitlines()) > len(printed.out.splitlines()) + 100
    assert "█" not in everything
    one = run(*home, "inspect", song, "--family", "mel")
    assert "[b] Heard" not in one.out
    assert "centroid" not in one.out
    assert len(one.out.splitlines()) > 128
    document = json.loads(run(*home, "inspect", song, "--json").out)
    assert document["title"] == "[b] Heard"
    assert document["genres"] == [{"name": GENRES[0], "source": "tag"}]
    assert len(document["features"]["mel"]) > 128
    assert document["tempo"] > 20
    one = json.loads(run(*home, "inspect", song, "--family", "mel", "--json").out)
    assert one == document | {"features": {"mel": document["features"]["mel"]}}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_output_that_takes_few_characters(tmp_path: Path, encoding: str) -> None:
    title = "café 日本 \N{MUSICAL SYMBOL G CLEF}"
    song = write_song(tmp_path / f"{title}.flac", GENRES[0], seconds=2.0, seed=1, title=title)
    environment = {
        **os.environ, "KG_HOME": str(tmp_path / "home"), "PYTHONIOENCODING": encoding,
    }  # fmt: skip

    def kg(*arguments: str | Path) -> str:
        done = subprocess.run(
            [KG, *arguments], env=environment, capture_output=True, check=False, timeout=DEADLINE
        )
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode(encoding)

    table = kg("inspect", song)
    assert "\\u65e5\\u672c \\U0001d11e" in table
    assert ("café" in table) == (encoding != "ascii")
    assert re.search(r"[.:=+*#@-]{60}", table)  # bars, of characters that are there
    document = json.loads(kg("inspect", song, "--json"))
    assert (document["title"], document["path"]) == (title, str(song))
    assert kg("inspect", song, "--json").isascii()


def test_inspect_draws(run: Kg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = write_song(tmp_path / "a.flac", GENRES[0], seconds=2.0, seed=1)
    picture = tmp_path / "a.png"
    inspect = ("--home", tmp_path / "home", "inspect", song)
    printed = run(*inspect, "--plot", picture, "--json")
    assert json.loads(printed.out)
    assert printed.err == f"Drawn: {picture}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
    drawn = picture.stat().st_mtime_ns
    printed = run(*inspect, "--plot", picture, "--family", "taste")
    assert (printed.code, printed.out) == (2, "")
    assert picture.stat().st_mtime_ns == drawn
    for name, code, words in (
        ("a.gif", 2, "ends in .png, .pdf or .svg"),
        ("nowhere/a.png", 2, "make it first"),
    ):
        printed = run(*inspect, "--plot", tmp_path / name)
        assert (printed.code, printed.out) == (code, "")
        assert words in printed.err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    printed = run(*inspect, "--plot", picture)
    assert (printed.code, printed.out) == (1, "")
    assert "pip install 'kg-music[plot]'" in printed.err


def test_inspect_refuses(kg: Kg, music: Path, tmp_path: Path) -> None:
    (tmp_path / "words.mp3").write_text("not music at all")
    printed = kg("inspect", tmp_path / "words.mp3")
    assert (printed.code, printed.out, len(printed.err.splitlines())) == (1, "", 1)
    assert "words.mp3 can't be listened to" in printed.err
    # Before anything is listened to.
    printed = kg("inspect", tmp_path / "words.mp3", "--family", "taste")
    assert (printed.code, printed.out) == (2, "")
    assert "mfcc, mel" in printed.err
    kg("ingest", music)
    printed = kg("inspect", "no such song")
    assert (printed.code, printed.out, len(printed.err.splitlines())) == (1, "", 1)
    (title,) = json.loads(kg("query", "MATCH (s:Song) RETURN s.title LIMIT 1", "--json").out)
    printed = kg("inspect", title["s.title"])
    assert printed.code == 0
    assert "(folder)" in printed.out
    assert "split" in printed.out
    picture = tmp_path / "song.png"
    printed = kg("inspect", title["s.title"], "--family", "taste", "--plot", picture)
    assert (printed.code, printed.out) == (2, "")
    assert "mfcc, mel" in printed.err
    assert not picture.exists()
    document = json.loads(kg("inspect", title["s.title"], "--family", "mfcc", "--json").out)
    assert list(document["features"]) == ["mfcc"]


def test_how_much_is_listened_to(kg: Kg, music: Path) -> None:
    one = music / GENRES[0]
    document = json.loads(kg("ingest", one, "--excerpt", "full", "--json").out)
    assert document["excerpt"] == "full"
    assert "the whole of each song" in kg("status").out
    printed = kg("ingest", one, "--excerpt", "30")
    assert (printed.code, printed.out) == (2, "")
    assert "listens to the whole of each song" in printed.err
    assert "--home" in printed.err
    assert json.loads(kg("status", "--json").out)["excerpt"] == "full"


@pytest.mark.parametrize(
    "address", ["localhost", "localhost:8786", "http://h:8786", "tcp://h", "tcp://:1", "tcp://h:x"]
)
def test_a_scheduler_that_has_no_address(run: Kg, tmp_path: Path, address: str) -> None:
    printed = run("--home", tmp_path / "home", "ingest", tmp_path, "--dask", address)
    assert printed.code == 2
    assert "tcp://HOST:8786" in printed.err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_the_scheduler_is_handed_on(
    kg: Kg, music: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    handed: list[object] = []

    def extract(*_: object, **options: object) -> None:
        handed.extend((options["dask"], options["workers"], options["excerpt"]))
        raise KgError("far enough")

    monkeypatch.setattr("kg.intake.audio.extract", extract)
    printed = kg("ingest", music, "--dask", f"{scheme}://[::1]:8786", "--excerpt", "full")
    assert (printed.code, "far enough" in printed.err) == (1, True)
    assert handed == [f"{scheme}://[::1]:8786", None, None]
    printed = kg("ingest", music, "--dask", "tcp://h:1", "--workers", "2")
    assert printed.code == 2
    assert "choose one" in printed.err


def test_nothing_could_be_taken(kg: Kg, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "words.mp3").write_text("not music at all")
    printed = kg("ingest", tmp_path / "bad")
    assert printed.code == 1
    assert "No file could be taken in" in printed.err
    printed = kg("ingest", tmp_path / "bad", "--json")
    assert printed.code == 1
    assert json.loads(printed.out)["counts"] is None


def test_remarks_on_what_was_read(kg: Kg, music: Path) -> None:
    assert "can be predicted, but not learned" in kg("ingest", music, "--genres-from", "none").err
    one = music / GENRES[0]
    assert "one genre" in kg("ingest", one, "--genres-from", "folder").err
    assert kg("--quiet", "ingest", one, "--genres-from", "folder").err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train"], 1, "kg ingest FOLDER"),
        (["predict"], 1, "kg ingest FOLDER"),
        (["export", "somewhere"], 1, "kg ingest FOLDER"),
        (["add", __file__], 1, "kg ingest"),
        (["ingest", "/no/such/folder"], 2, "/no/such/folder"),
        (["ingest"], 2, "SOURCES"),
        (["ingest", ""], 2, "empty name"),
        (["add", "", __file__], 2, "empty name"),
        (["ingest", "/no\nsuch \udcff"], 2, "called /no\\nsuch \\xff."),
        (["ingest", ".", "--excerpt", "2"], 2, "from 5 to 21600"),
        (["ingest", ".", "--excerpt", "half"], 2, "or `full`"),
        (["train", "--negatives", "some"], 2, "neither a number"),
        (["evaluate"], 1, "kg ingest FOLDER"),
        (["evaluate", "--seeds", "-1"], 2, "--seeds"),
        (["models", "use", "x"], 1, "kg ingest FOLDER"),
        (["models", "remove", "x"], 2, "kg models list"),
        (["models", "remove"], 2, "ID..."),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_refusals(kg: Kg, arguments: list[str], code: int, words: str) -> None:
    printed = kg(*arguments)
    assert printed.code == code
    assert words in printed.err
    assert printed.out == ""


def test_wrong_settings(run: Kg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_URI", "http://localhost:7474")
    printed = run("--home", tmp_path, "status")
    assert printed.code == 2
    assert "is not a Neo4j address" in printed.err
    monkeypatch.setenv("NEO4J_URI", "bolt://127.0.0.1:9")
    printed = run("--home", tmp_path, "status")
    assert printed.code == 1
    assert "127.0.0.1:9" in printed.err
    printed = run("--home", tmp_path, "server", "status")
    assert printed.code == 2
    assert "NEO4J_URI is set" in printed.err
    monkeypatch.delenv("NEO4J_URI")
    (tmp_path / "file").touch()
    printed = run("--home", tmp_path / "file" / "x", "status")
    assert printed.code == 2
    assert "can't be written to" in printed.err


def test_server_start_status_stop(run: Kg, tmp_path: Path) -> None:
    home = ("--home", tmp_path)
    assert "not running" in run(*home, "server", "status").out
    started = run(*home, "server", "start")
    try:
        assert started.code == 0
        assert "bolt://127.0.0.1:" in started.out
        document = json.loads(run(*home, "server", "status", "--json").out)
        assert document["running"]
        assert Path(document["password_file"]).stat().st_mode & 0o077 == 0
        assert run(*home, "query", "RETURN 1", "--json").code == 0
        assert "kept up" in run(*home, "server", "status").out
    finally:
        stopped = run(*home, "server", "stop")
    assert "not running" in stopped.out


def test_interrupted(run: Kg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kg.library.Library.open", interrupt)
    printed = run("--home", tmp_path, "status")
    assert printed.code == 130
    assert "Interrupted" in printed.err


def test_version(run: Kg) -> None:
    assert __version__ in run("--version").out


def test_json_is_json_whatever_is_returned(kg: Kg, tmp_path: Path) -> None:
    printed = kg("query", "RETURN 0.0/0.0 AS nan, 1.0/0.0 AS infinite, 0.5 AS half", "--json")
    assert json.loads(printed.out, parse_constant=pytest.fail) == [
        {"nan": None, "infinite": None, "half": 0.5}
    ]


def test_odd_names_are_printed_on_one_line(kg: Kg, music: Path, tmp_path: Path) -> None:
    kg("ingest", music)
    odd = os.fsdecode(b"caf\xe9 \x1b[31m\n[red].flac")
    new = write_song(tmp_path / odd, GENRES[0], seconds=2.0, seed=91, title="new")
    printed = kg("add", new)
    assert printed.code == 0
    assert "caf\\xe9 \\x1b[31m\\n[red].flac" in printed.out
    bad = tmp_path / os.fsdecode(b"bad \xe9\n.mp3")
    bad.write_text("not music")
    assert "bad \\xe9\\n.mp3: " in kg("add", bad).err


def test_a_wrong_password_shows_before_the_listening(
    kg: Kg, server: Settings, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if server.neo4j_uri is None:
        pytest.skip("the embedded server has its own password")
    monkeypatch.setenv("NEO4J_PASSWORD", "not this one")
    printed = kg("ingest", music)
    assert printed.code == 1
    assert "Extracting" not in printed.err
    assert "NEO4J_PASSWORD" in printed.err


def test_where_genres_were_read_is_said(kg: Kg, music: Path) -> None:
    assert "Genres were read from the folders' names." in kg("ingest", music).err
    assert "from the files' tags" in kg("ingest", music, "--genres-from", "tag").err


def test_a_full_disk_and_a_closed_pipe(server_environment: dict[str, str]) -> None:
    command = f"{KG} query 'UNWIND range(1, 20000) AS n RETURN n' --csv"
    for rest, words in (("> /dev/full", "No space left"), ("| head -1", "")):
        done = subprocess.run(
            ["sh", "-c", f"{command} {rest}"],
            env=server_environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert words in done.stderr


def test_terminated_it_takes_its_server_along(tmp_path: Path) -> None:
    environment = {**os.environ, "KG_HOME": str(tmp_path)}
    running = subprocess.Popen([KG, "query", ENDLESS], env=environment, stderr=subprocess.PIPE)
    until(lambda: is_asked(tmp_path / "server", ENDLESS))
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=DEADLINE)
    assert running.returncode == 143
    assert b"Traceback" not in err
    until(lambda: not embedded.status(tmp_path / "server").running)


def is_asked(server_dir: Path, query: str) -> bool:
    """Whether an embedded server works on this query."""
    home = embedded._ServerDir(server_dir)
    with contextlib.suppress(OSError, LookupError, psutil.Error):
        if server_dir.is_dir() and (state := home.running()):
            endpoint = home.endpoint(state)
            return bool(runaways._running(endpoint, runaways._http_port(endpoint), query))
    return False


def test_a_split_that_leaks_is_refused_with_names(kg: Kg, music: Path) -> None:
    kg("ingest", music)
    quick = ("train", "--epochs", "3", "--negatives", "2")
    printed = kg(*quick, "--split", "random")
    assert (printed.code, printed.out) == (1, "")
    (error,) = [line for line in printed.err.splitlines() if line.startswith("Error: ")]
    named = re.search(r"\d artists \((.+?)\) are on several sides", error)
    rows = json.loads(kg("query", "MATCH (s:Song) RETURN DISTINCT s.artist AS name", "--json").out)
    assert named
    assert {*named[1].split(", ")} <= {"...", *(row["name"] for row in rows)}
    for words in ("--split artist", "--allow-leaks"):
        assert words in error
    printed = kg(*quick, "--split", "random", "--allow-leaks")
    assert printed.code == 0
    assert "Split song by song, at random: learned from" in printed.out
    assert "Careful: A random split flatters" in printed.out
    assert "15 to 25 points" in printed.out
    printed = kg("status")
    assert re.search(r"split +song by song, at random", printed.out)
    assert "! The split leaks: " in printed.out
    assert kg(*quick).code == 1
    document = json.loads(kg(*quick, "--split", "artist", "--json").out)
    assert document["split"] == {"protocol": "artist", "chosen": True}
    assert document["leaking"] == {"artists": [], "recordings": []}
    assert document["split_caution"] is None
    printed = kg(*quick, "--split", "gtzan")
    assert (printed.code, printed.out) == (2, "")
    assert "GTZAN's lists put no labelled song" in printed.err
    assert kg(*quick, "--split", "fair").code == 2
