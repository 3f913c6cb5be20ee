"""The installed `kg` as a subprocess on both servers: ingest, train, query, add, Ctrl-C."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from kg.audio.synth import GENRES, write_song
from tests.audio.test_extract import ODD
from tests.waiting import DEADLINE, until

KG = Path(sysconfig.get_path("scripts")) / ("kg.exe" if os.name == "nt" else "kg")


def kg(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [KG, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=3 * DEADLINE,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done


@pytest.mark.slow
def test_ingest_train_query_add(
    server_environment: dict[str, str], music: Path, tmp_path: Path
) -> None:
    done = kg(server_environment, "ingest", music)
    assert done.returncode == 0, done.stderr
    done = kg(server_environment, "train", "--epochs", "20", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predicted"] == 24
    new = write_song(tmp_path / "new.flac", GENRES[0], seconds=2.0, seed=31, artist=7)
    done = kg(server_environment, "add", new, "--json")
    assert done.returncode == 0, done.stderr
    (song,) = json.loads(done.stdout)["added"]
    cypher = (
        "MATCH (s:Song {id: $id})-[p:PREDICTED_GENRE {rank: 1}]->(g:Genre) "
        "RETURN g.name AS genre, p.probability AS probability"
    )
    done = kg(server_environment, "query", cypher, "-p", f"id={song['id']}", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["genre"] == song["guesses"][0]["genre"]
    assert 0 < row["probability"] <= 1


@pytest.mark.slow
def test_interrupted_by_the_user_the_next_run_goes_on(
    server_environment: dict[str, str], music: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(music, mine)
    last = max(mine.iterdir())
    write_song(last / "~hang.flac", last.name, seconds=2.0, seed=9)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ODD)
    # It comes to the last song, which hangs, and no further.
    path = os.pathsep.join([str(tmp_path / "site"), *sys.path])
    running = subprocess.Popen(
        [KG, "ingest", mine, "--workers", "1"],
        env=server_environment | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until((last / "hanging").exists)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=DEADLINE)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    assert "Run the same command again" in err
    done = kg(server_environment, "ingest", mine, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["counts"]["songs"], report["cached"]) == (25, 24)


@pytest.mark.slow
def test_real_clips_from_audio_to_predictions(
    server_environment: dict[str, str], data_dir: Path
) -> None:
    done = kg(server_environment, "ingest", data_dir / "gtzan" / "audio", "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert (counts["songs"], counts["genres"]) == (60, 10)
    done = kg(server_environment, "train")
    assert done.returncode == 0, done.stderr
    cypher = "MATCH (:Song)-[p:PREDICTED_GENRE]->(:Genre) RETURN count(p) AS n"
    assert json.loads(kg(server_environment, "query", cypher, "--json").stdout) == [{"n": 180}]


@pytest.mark.slow
def test_demo_twice(tmp_path: Path) -> None:
    environment = dict(os.environ) | {"KG_HOME": str(tmp_path)}
    for _ in range(2):
        done = kg(environment, "demo")
        assert done.returncode == 0, done.stderr
        for words in ("$ kg ingest", "$ kg train", "$ kg add", "$ kg query", "claim nothing"):
            assert words in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo"]
    shutil.rmtree(tmp_path / "demo")
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("precious")
    done = kg(environment, "demo")
    assert done.returncode == 1
    assert "was not made by `kg demo`" in done.stderr
    assert (tmp_path / "demo" / "mine.txt").read_text() == "precious"
