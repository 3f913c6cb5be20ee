"""`kg audit` as it is printed."""

import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from cli.auditing import _print
from cli.options import App
from kg import Library
from kg.audio.synth import GENRES
from kg.audit.audit import SCARCE, AuditReport, LabelAudit
from kg.audit.evidence import DisputedSong
from kg.audit.labels import Kind
from tests.cli.conftest import Kg

ONE, OTHER, THIRD, LAST = GENRES[:4]


@pytest.fixture
def planted(music: Path, tmp_path: Path) -> Path:
    """The library with a song under the wrong genre, and one there twice."""
    folder = tmp_path / "music"
    shutil.copytree(music, folder)
    wrong = folder / ONE / f"{ONE}-0.flac"
    wrong.rename(folder / OTHER / "it's <b>odd&.flac")
    shutil.copy(folder / THIRD / f"{THIRD}-1.flac", folder / THIRD / "twin.flac")
    samples, rate = soundfile.read(folder / LAST / f"{LAST}-2.flac")
    soundfile.write(folder / LAST / "quieter.wav", 0.5 * samples, rate)
    return folder


def test_what_is_found_is_printed_with_its_cypher(kg: Kg, planted: Path) -> None:
    printed = kg("audit")
    assert (printed.code, printed.out) == (1, "")
    assert "run `kg ingest" in printed.err
    kg("ingest", planted, "--genres-from", "folder")
    assert "audited" in kg("status").out
    assert "not yet: `kg audit` looks" in kg("status").out
    labels = "MATCH (s:Song)-[r:IN_GENRE]->(g:Genre) RETURN s.id, g.name ORDER BY s.id, g.name"
    before = kg("query", labels, "--json").out
    document = json.loads(kg("audit", "--json").out)
    assert kg("query", labels, "--json").out == before
    printed = kg("audit")
    assert printed.code == 0
    # Every finding shows the same in the graph, whatever is in its name.
    kinds = [document[name] for name in ("artists", "copies", "files", "faults")]
    for found in (document["labels"]["songs"], *kinds):
        for each in found:
            assert json.loads(kg("query", each["cypher"], "--json").out)
    (twice,) = document["files"]
    assert [Path(path).name for path in twice["paths"]] == [f"{THIRD}-1.flac", "twin.flac"]
    assert "Songs in several files of the same bytes: 1" in printed.out
    pairs = [{Path(path).name for path in each["paths"]} for each in document["copies"]]
    assert {f"{LAST}-2.flac", "quieter.wav"} in pairs
    assert str(planted / LAST / "quieter.wav") in printed.out
    # Whoever reads a table through a pipe gets whole paths of disputed songs too.
    for song in document["labels"]["songs"]:
        assert song["path"] in printed.out
    status = kg("status")
    assert f"25 songs; labels in doubt: {len(document['labels']['songs'])}" in status.out
    assert json.loads(kg("status", "--json").out)["audit"]["since"] == []
    assert twice["cypher"] in printed.out
    assert f"{document['labels']['judged']} songs told by logistic regression" in printed.err
    nameless = document["labels"]["nameless"]
    assert (f"Nobody knows who {nameless} of them are by" in printed.err) == (nameless > 0)
    assert document["unheard"] == 0

    assert kg("audit", "--top", "0").code == 2
    printed = kg("audit", "--workers", "2")
    assert printed.code == 2
    assert "give --listen too" in printed.err


def test_songs_of_an_older_kg_are_listened_to(kg: Kg, planted: Path) -> None:
    kg("ingest", planted, "--genres-from", "folder")
    with Library.open() as library:
        library.connection.write(
            lambda tx: tx.run("MATCH (s:Song) SET s.clipping = null, s.soundPrint = null").consume()
        )
    printed = kg("audit")
    assert "Nobody has looked at the sound of 25 songs" in printed.err
    gone = next((planted / LAST).glob("*.flac"))
    gone.unlink()
    printed = kg("audit", "--listen", "--workers", "1")
    assert printed.code == 0
    assert "Songs whose files are gone or can't be heard: 1." in printed.err
    assert json.loads(kg("audit", "--json").out)["unheard"] == 1


def disputed(number: int, kind: Kind, replaces: tuple[str, ...]) -> DisputedSong:
    title = f"Song {number}\x1b[31m"
    cypher = f"RETURN {number}"
    filed = ("jazz", "rock")
    return DisputedSong(
        f"id{number}", title, "Who", None, kind, filed, replaces, "pop", 0.95, 0.01, "why", cypher
    )


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None], width: int) -> str:
    """What is printed on a terminal of so many columns."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with monkeypatch.context() as terminal:
        screen = Terminal()
        terminal.setattr("sys.stdout", screen)
        terminal.setenv("COLUMNS", str(width))
        act()
    return re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())


def test_disputes_of_every_kind_are_put_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = [
        disputed(1, "wrong", ("rock",)),
        disputed(2, "missing", ()),
        disputed(3, "extra", ("rock",)),
        disputed(4, "wrong", ("rock",)),
    ]
    labels = LabelAudit("a model", 90, 3, {SCARCE: 7}, 0.8, 2, 5, songs, (), "RETURN 0")
    report = AuditReport(100, 97, labels, None, [], [], [], [], unheard=0)
    _print(App(), report, 3)
    printed = capsys.readouterr()
    assert "Labels in doubt: 4" in printed.out
    for words in ("pop, 95%", "pop as well, 95%", "not rock, 95%", "jazz, rock", "RETURN 0"):
        assert words in printed.out
    assert "Song 4" not in printed.out
    assert "\x1b[31m" not in printed.out
    assert "The first 3 of 4 are shown" in printed.err
    assert "who 3 of them are by" in printed.err
    assert f"Songs {SCARCE} couldn't be judged: 7." in printed.err
    assert "Songs whose label you kept before, or changed meanwhile: 5." in printed.err
    # On a terminal the end of its path stands below a title; without one it is all there is.
    paths = {"path": "/music/a long way down to where the owner keeps it/jazz/so-what.flac"}
    at_home = [replace(songs[0], **paths), replace(songs[1], title=None, artist=None, **paths)]
    report = replace(report, labels=replace(labels, songs=at_home))
    shown = on_a_terminal(monkeypatch, lambda: _print(App(), report, 3), 80)
    assert "jazz/so-what.flac" in shown.replace("\n", "").replace(" ", "")
    assert "a long way" not in shown
    assert '"jazz' not in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if "MATCH" not in line)
    capsys.readouterr()
    bare = AuditReport(100, 0, None, "No label can be judged.", [], [], [], [], unheard=0)
    _print(App(), bare, 3)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "No label can be judged.\n")
