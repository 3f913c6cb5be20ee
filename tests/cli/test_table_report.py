"""Libraries that a table made, on the command line: the report, kg status and kg inspect."""

import json
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest

from cli.options import App
from cli.table_report import report_on_table
from kg import Library
from kg.graph.rows import Counts
from kg.intake.tables import TableReport
from kg.settings import Settings
from kg.sources.dataset import LeftOut
from tests.cli.conftest import Kg
from tests.tables import made_up, table_of

COUNTS = Counts(48, 48, 4, 20, 0, 0, {"SIMILAR_TO": 480}, {})
REPORT = TableReport(
    name="made-up",
    taken=48,
    new=48,
    changed=0,
    left_out=[],
    rows_left_out=0,
    families={"timbre": 6, "harmony": 3},
    missing=0.0,
    bare=0,
    remarks=["Made up."],
    rebuilt=True,
    counts=COUNTS,
)


def printed(
    report: TableReport, capsys: pytest.CaptureFixture[str], *, quiet: bool = False, **how: bool
) -> tuple[str, str]:
    report_on_table(App(quiet=quiet), report, **how)
    return capsys.readouterr()


def test_what_came_in(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = printed(REPORT, capsys)
    assert "Ingested made-up" in out
    assert "features timbre" in out
    assert "songs removed" not in out
    assert err == "Made up.\n"
    out, err = printed(replace(REPORT, pruned=3), capsys, as_json=True)
    assert json.loads(out)["pruned"] == 3


def test_what_did_not_and_what_is_odd(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [LeftOut(f"row {n}", "it has no id") for n in range(12)]
    odd = replace(
        REPORT,
        left_out=rows,
        rows_left_out=1012,
        missing=0.0001,
        bare=2,
        rebuilt=False,
        few=[f"genre {n}" for n in range(12)],
        counts=replace(COUNTS, genres=1),
    )
    out, err = printed(odd, capsys)
    assert "1012" in out
    assert "left out: row 9: it has no id\n" in err
    assert "row 10" not in err
    assert "1002 more rows" in err
    assert "Less than 0.1 % of the values are missing" in err
    assert "of which nothing can be told: 2" in err
    assert "Nothing new" in err
    assert "All songs are of one genre" in err
    assert "genre 9 and 2 more" in err
    with pytest.raises(click.exceptions.Exit) as left:
        report_on_table(App(), odd, strict=True)
    assert left.value.exit_code == 1
    none = replace(odd, missing=0.25, counts=replace(COUNTS, genres=0))
    _, err = printed(none, capsys)
    assert "25.0 % of the values" in err
    assert "No song has a genre" in err
    with pytest.raises(click.ClickException, match="No row could be taken in"):
        report_on_table(App(), replace(odd, counts=None))


def test_status_and_inspect(kg: Kg, server: Settings, music: Path, tmp_path: Path) -> None:
    wide = {"timbre": tuple(f"t{n}" for n in range(14)), "harmony": ("h1", "h2")}
    songs, x = made_up(24, families=wide)
    x[3, 5], x[3, 14] = np.nan, np.nan
    with Library(server) as library:
        library.ingest_table(table_of(songs, x, families=wide))
        file = tmp_path / "v.npz"
        np.savez(
            file, id=np.array([song.key for song in songs]), vectors=np.ones((24, 3), np.float32)
        )
        library.ingest_vectors(file, "mine")
    status = kg("status")
    assert "given by a table" in status.out
    assert "timbre, harmony" in status.out
    assert "vectors from files" in status.out
    assert "listened to" not in status.out
    assert json.loads(kg("status", "--json").out)["excerpt"] is None
    shown = kg("inspect", "T3")
    assert shown.code == 0
    assert "made-up: T3" in shown.out
    assert "t0 to t13" in shown.out
    assert "duration" not in shown.out
    (row,) = [line for line in shown.out.splitlines() if line.lstrip().startswith("h1")]
    assert row.split() == ["h1"]
    document = json.loads(kg("inspect", "T3", "--json").out)
    assert document["features"]["timbre"]["t5"] is None
    assert document["duration"] is None
    refused = kg("ingest", music)
    assert refused.code == 2
    assert "come from a table" in refused.err
    assert kg("add", music).code == 2
    assert kg("watch", music).code == 2
    assert kg("forget", "T3", "--yes").code == 0
