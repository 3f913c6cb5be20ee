"""`kg report`: where it writes, what it prints, its exit codes."""

import json
from pathlib import Path

from tests.cli.conftest import Kg


def test_a_file_is_written_and_said(kg: Kg, music: Path, tmp_path: Path) -> None:
    assert kg("report", tmp_path / "report.html").code == 1  # nothing is there yet
    kg("ingest", music)
    page = tmp_path / "report.html"
    printed = kg("report", page)
    assert (printed.code, printed.out) == (0, f"{page}\n")
    assert "A report of 1." in printed.err
    assert "Not all is there yet" in printed.err
    assert page.read_text().startswith("<!doctype html>")
    document = json.loads(kg("report", tmp_path / "text", "--format", "md", "--json").out)
    assert (document["format"], document["path"]) == ("md", str(tmp_path / "text"))
    assert "How good it is" in document["missing"]
    # What can be done with a map is said where there is one.
    assert "Point at a song" in page.read_text()
    assert "Point at a song" not in (tmp_path / "text").read_text()


def test_wrong_usage_is_said_and_nothing_is_lost(kg: Kg, music: Path, tmp_path: Path) -> None:
    kg("ingest", music)
    mine = tmp_path / "mine.md"
    mine.write_text("my own notes")
    for arguments, said in (
        ((tmp_path / "report.docx",), "ends in .html or .md"),
        ((mine,), "no report"),
        ((tmp_path,), "says no format"),
        ((tmp_path / "no" / "report.md",), "no folder"),
    ):
        printed = kg("report", *arguments)
        assert printed.code == 2
        assert said in printed.err
    assert mine.read_text() == "my own notes"
    assert kg("report", mine, "--force").code == 0
