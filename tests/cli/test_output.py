"""What is printed, down to odd values."""

import io
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress

from cli.output import (
    percent,
    print_csv,
    print_json,
    print_rejected,
    print_table,
    shortened,
    show,
    size,
)
from cli.progress import Bars, Lines, duration, progress_for
from kg.intake.rejects import by_reason
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


def test_how_large_a_file_is() -> None:
    assert [size(n) for n in (1, 12_300, 1_640_000)] == ["1 kB", "12 kB", "1.6 MB"]


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


def test_intervals_stay_whole_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    columns = ["songs by new artists", "accuracy [95 %]", "macro-F1 [95 %]", "behind the best", "p"]
    rows = [
        ("logistic regression (mfcc)", "0.760 [0.640, 0.880]", "0.737 [0.599, 0.849]", "", ""),
        ("the same without the graph (mfcc)", "0.360 [0.220, 0.500]",
         "0.293 [0.179, 0.386]", "-0.445 [-0.584, -0.299]", "0.000"),
    ]  # fmt: skip
    print_table(columns, rows)
    assert "0.760 [0.640, 0.880]" in capsys.readouterr().out  # no terminal: nothing is folded

    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(columns, rows)
    printed = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", capsys.readouterr().out)
    assert all(len(line) <= 80 for line in printed.splitlines())
    for whole in ("[0.640, 0.880]", "[-0.584, -0.299]", "[95 %]"):
        assert whole in printed
    assert "0.760 [" not in printed

    print_table(columns[:2], [row[:2] for row in rows])
    assert "0.760 [0.640, 0.880]" in capsys.readouterr().out  # there is room


def test_csv_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(["a", "b"], [["x,y", [1, 2]], [None, 0.5]])
    assert capsys.readouterr().out == 'a,b\n"x,y","[1, 2]"\n,0.5\n'


def test_few_rejects_are_named_and_many_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    few = [Rejected(Path(f"/{i}.mp3"), "broken") for i in range(10)]
    print_rejected(few, by_reason(few), Path("/rejects.txt"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        *(f"rejected: /{i}.mp3: broken" for i in range(10)),
        "Rejected files are listed with reasons in /rejects.txt",
    ]

    many = [*few, *(Rejected(Path(f"/[b]{i}.mp3"), "silent") for i in range(140))]
    print_rejected(many, by_reason(many), Path("/rejects.txt"))
    printed = capsys.readouterr()
    assert printed.out == ""
    title, header, *rows, last = [line.split() for line in printed.err.splitlines() if line.strip()]
    assert " ".join(title) == "150 files could not be taken in:"
    assert header == ["files", "reason", "for", "example"]
    assert rows[1:] == [["140", "silent", "/[b]0.mp3"], ["10", "broken", "/0.mp3"]]
    assert last[-1] == "/rejects.txt"

    print_rejected([], [])
    assert capsys.readouterr().err == ""


def test_rejects_that_are_listed_nowhere_are_all_named(capsys: pytest.CaptureFixture[str]) -> None:
    many = [Rejected(Path(f"/{i}.mp3"), "broken") for i in range(12)]
    print_rejected(many, by_reason(many), unlisted="The list can't be written.")
    assert capsys.readouterr().err.splitlines() == [
        "Warning: The list can't be written.",
        *(f"rejected: /{i}.mp3: broken" for i in range(12)),
    ]


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


def test_a_long_stage_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with Lines(clock=lambda: now).stage("Listening", 1000) as advance:
        advance(400)  # known from an earlier run: no measure of speed
        for second in range(1, 96):
            now = float(second)
            advance(2, rejected=second % 20 == 0)
    assert capsys.readouterr().err.splitlines() == [
        "Listening: 460 of 1000, 2.0/s, 4 min left, 1 rejected",
        "Listening: 520 of 1000, 2.0/s, 4 min left, 3 rejected",
        "Listening: 580 of 1000, 2.0/s, 4 min left, 4 rejected",
        "Listening: 590, 4 rejected (2 min)",
    ]
    with Lines(clock=lambda: now).stage("Waiting", 10) as advance:
        advance(0)
        now += 31
        advance(0)
    assert capsys.readouterr().err.splitlines() == [
        "Waiting: 0 of 10, 0.0/s, ? left",
        "Waiting: 0 (31.0 s)",
    ]


def test_how_things_stand_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    with Lines(clock=lambda: now).stage("Training", 300) as advance:
        for second in range(35):
            now = float(second)
            advance(1, note=f"loss {1 / (1 + second):.2f}")
        advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "Training: 31 of 300, 1.0/s, 4 min left, loss 0.03",
        "Training: 36, loss 0.03 (34.0 s)",
    ]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with Bars().stage("Training", 3) as advance:
        advance(1, note="loss 0.50, [validation] 0.7")
        advance(1)
    assert "2/2" in (shown := capsys.readouterr().err)
    assert "loss 0.50, [validation] 0.7" in shown


def test_a_bar_fits_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    now, drawn = 0.0, []

    def by_hand(*columns: Any, **options: Any) -> Progress:
        """Drawn when it is told to, by a clock that the test turns."""
        drawn.append(Progress(*columns, **options, auto_refresh=False, get_time=lambda: now))
        return drawn[0]

    monkeypatch.setattr("rich.progress.Progress", by_hand)
    with Bars().stage("Extracting features", 12345) as advance:
        advance(5000)
        for _ in range(5):
            now += 0.15
            advance(20, rejected=9)
            drawn[0].refresh()
    printed = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", capsys.readouterr().err)
    lines = [line for line in re.split(r"[\r\n]", printed) if line.strip()]
    assert all(len(line) <= 80 for line in lines)
    assert any(
        re.search(r"50\d\d/12345 [\d.]+/s \d:\d\d:\d\d left \d+ rejected", line) for line in lines
    )
    assert "5100/5100" in lines[-1]
    assert "45 rejected" in lines[-1]
    assert "left" not in lines[-1]


def test_a_long_note_cuts_no_number_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    with Bars().stage("Training without the graph", 300) as advance:
        advance(123, note="loss 4.232, validation macro-F1 0.033")
        advance(1)
    printed = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", capsys.readouterr().err)
    last = [line for line in re.split(r"[\r\n]", printed) if line.strip()][-1]
    assert len(last.rstrip()) <= 80
    assert re.search(r"Training without the graph ━+ 124/124 +\d:\d\d:\d\d  loss 4\.232", last)


def test_a_bar_where_there_are_few_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(printed, "latin-1", write_through=True))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with Bars().stage("Extracting features", 10) as advance:
        advance(10)
    assert b"* Extracting features" in printed.getvalue()


def test_durations() -> None:
    assert [duration(s) for s in (0.4, 89, 90, 3600, 5370, 12000)] == [
        "0 s", "89 s", "2 min", "60 min", "1 h 30 min", "3 h 20 min",
    ]  # fmt: skip


def test_paths_are_shortened_from_the_left() -> None:
    path = "/home/me/Music/jazz/so-what.flac"
    assert shortened(path, 40) == path
    assert shortened(path, 24) == ".../jazz/so-what.flac"
    assert shortened(path, 18) == ".../so-what.flac"
    assert shortened(path, 10) == "so-...flac"
    assert shortened("no-folder-at-all.flac", 12) == "no-f....flac"
    for width in range(6, 40):
        assert len(shortened(path, width)) <= width
