"""What is printed, down to odd values."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.output import percent, print_csv, print_json, print_rejected, print_table, show
from cli.progress import Bars, Lines, progress_for
from kg.progress import SILENT
from kg.records import Rejected
from kg.text import printable, storable


@dataclass
class Record:
    path: Path
    raw: bytes
    when: datetime


def test_json_of_what_json_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(Record(Path("/a/caf\udce9"), b"\x00\xff", datetime(2026, 1, 2, tzinfo=UTC)))
    assert json.loads(capsys.readouterr().out) == {
        "path": "/a/caf\\xe9",
        "raw": "AP8=",
        "when": "2026-01-02T00:00:00+00:00",
    }


def test_show() -> None:
    assert [show(v) for v in (None, True, 0.123456, 12, "x", b"abc", [1, 0.5], {"a": None})] == [
        "", "true", "0.1235", "12", "x", "<3 bytes>", "[1, 0.5]", "{a: }",
    ]  # fmt: skip


def test_rounding_never_makes_certain() -> None:
    assert [percent(p) for p in (0.0, 0.004, 0.5, 0.996, 1.0)] == [
        "0%",
        "<1%",
        "50%",
        ">99%",
        "100%",
    ]
    assert show(0.99998) == "0.99998"


def test_a_table_shows_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["[bold]title", "n"], [["[red]Song[/red]", 1], ["x" * 300, 2]])
    printed = capsys.readouterr().out
    assert "[bold]title" in printed
    assert "[red]Song[/red]" in printed
    assert "x" * 300 in printed  # not folded: this is no terminal


def test_csv_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(["a", "b"], [["x,y", [1, 2]], [None, 0.5]])
    assert capsys.readouterr().out == 'a,b\n"x,y","[1, 2]"\n,0.5\n'


def test_a_long_list_of_rejects_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_rejected([Rejected(Path(f"/{i}.mp3"), "broken") for i in range(25)], Path("/rejects.txt"))
    printed = capsys.readouterr().err
    assert "/19.mp3: broken" in printed
    assert "/20.mp3" not in printed
    assert "5 more" in printed
    assert "/rejects.txt" in printed
    print_rejected([])
    assert capsys.readouterr().err == ""


def test_paths_that_no_terminal_takes() -> None:
    assert printable(Path("/caf\udce9")) == "/caf\\xe9"
    assert printable("a\x1b[31m\nb\u2028") == "a\\x1b[31m\\nb\\u2028"
    assert printable("日本\u3000語 👩‍🎤 é") == "日本\u3000語 👩‍🎤 é"
    assert storable("caf\udce9\n") == "caf\\xe9\n"
    assert storable(None) is None


def test_progress_as_lines_and_bars(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert progress_for(True) is SILENT
    assert isinstance(progress_for(False), Lines)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert isinstance(progress_for(False), Bars)
    for progress in (Lines(), Bars()):
        with progress.stage("Counting", 3) as advance:
            advance(2)
        with progress.stage("Thinking", None):
            pass
        progress.say("done")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Counting: 2" in printed.err
    assert printed.err.count("done") == 2
