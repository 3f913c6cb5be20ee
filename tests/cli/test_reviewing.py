"""`kg review` at a terminal and without one, decisions in scripts, tags of files."""

import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from cli.playing import as_command, play
from kg import Library
from kg.audio.synth import GENRES
from kg.audio.tags import read_tags
from kg.errors import KgError, WrongUsageError
from kg.graph.proposals import Dispute, write_disputes
from kg.learning.training import TrainOptions
from kg.settings import Settings
from tests.cli.conftest import Kg, Printed

FIRST, SECOND, THIRD = GENRES[:3]
LABELS = "MATCH (s:Song)-[:IN_GENRE]->(g:Genre) RETURN s.path, g.name"

Keys = Callable[..., Printed]
# A key, the answer to a question, or what somebody else does before the key.
Pressed = str | Callable[[], str]


@pytest.fixture
def mine(music: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    for genre in (FIRST, SECOND):
        shutil.copytree(music / genre, folder / genre)
    return folder


@pytest.fixture
def ids(kg: Kg, server: Settings, mine: Path) -> list[str]:
    """Songs of the first genre, the first three of which an audit disputes, the first the most."""
    kg("ingest", mine, "--genres-from", "folder")
    with Library(server) as library:
        text = "MATCH (s:Song)-[:IN_GENRE]->(:Genre {name: $g}) RETURN s.id ORDER BY s.path"
        found = [row[0] for row in library.ask(text, {"g": FIRST}).rows]
        disputes = [
            Dispute(id, SECOND, 0.9 - number / 10, (FIRST,), 0.05, "audit")
            for number, id in enumerate(found[:3])
        ]
        write_disputes(library.connection, disputes)
    return found


@pytest.fixture
def keys(kg: Kg, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> Keys:
    """`kg review` by somebody at a terminal who presses these keys; a word answers a question."""

    def press(*pressed: Pressed, options: tuple[str, ...] = ()) -> Printed:
        left = list(pressed)

        def getchar() -> str:
            if not left:
                raise EOFError
            key = left.pop(0)
            return key if isinstance(key, str) else key()

        def answer(prompt: str) -> Pressed:
            click.echo(prompt, err=True)
            return left.pop(0)

        with monkeypatch.context() as terminal:
            terminal.setattr("sys.stdin.isatty", lambda: True, raising=False)
            terminal.setattr("sys.stderr.isatty", lambda: True, raising=False)
            terminal.setattr(click, "getchar", getchar)
            terminal.setattr("click.termui.visible_prompt_func", answer)
            return kg("review", *options)

    return press


def genres(kg: Kg, path: Path) -> list[str]:
    rows = json.loads(kg("query", LABELS, "--json").out)
    return sorted(row["g.name"] for row in rows if row["s.path"] == str(path))


def test_a_review_by_keys(kg: Kg, keys: Keys, mine: Path) -> None:
    paths = [mine / FIRST / f"{FIRST}-{number}.flac" for number in range(3)]
    printed = keys("?", "a", "r", "x", " ")
    assert printed.code == 0
    assert printed.out == "1 accepted, 1 rejected, 1 skipped, 0 left.\n"
    for words in (
        "1 of 3: ",
        str(paths[0]),
        f"filed under {FIRST}",
        f"proposed: {SECOND} instead of {FIRST}",
        f"the audit takes it for 90% probable, and {FIRST} for 5%",
        f"{SECOND} accepted; filed under {SECOND} now, under {FIRST} before",
        f"{SECOND} rejected; filed under {FIRST}",
        "never proposed for this song again",
        "`kg train` learns from what was accepted",
    ):
        assert words in printed.err
    assert [genres(kg, path) for path in paths] == [[SECOND], [FIRST], [FIRST]]
    # What was skipped waits; the rest is done with. The last key is the end of the input.
    printed = keys()
    assert "1 of 1: " in printed.err
    assert printed.out == "0 accepted, 0 rejected, 0 skipped, 1 left.\n"


def test_undo_beside_and_another_genre(kg: Kg, keys: Keys, mine: Path) -> None:
    path = mine / FIRST / f"{FIRST}-0.flac"
    printed = keys("u", "a", "u", "q")
    assert "Nothing was decided in this review" in printed.err
    assert (
        f"{SECOND} decision undone; filed under {FIRST} now, under {SECOND} before" in printed.err
    )
    assert printed.err.count("1 of 3: ") == 2
    assert genres(kg, path) == [FIRST]
    keys("b", "u", "b", "q")
    assert genres(kg, path) == sorted([FIRST, SECOND])
    kg("undo")
    # A genre that no song has is asked about, as it may be misspelled.
    printed = keys("g", "", "g", "Hard Bop", "n", "g", "Hard Bop", "y", "q")
    assert "No song has the genre Hard Bop yet." in printed.err
    assert "Make it a new genre?" in printed.err
    assert genres(kg, path) == ["Hard Bop"]
    decided = json.loads(kg("decisions", "--json").out)
    assert [(each["genre"], each["kind"], each["strength"]) for each in decided] == [
        ("Hard Bop", "hand", None)
    ]
    assert len(json.loads(kg("review", "--json").out)) == 2  # the dispute is settled
    kg("undo")
    assert len(json.loads(kg("review", "--json").out)) == 3
    keys("g", SECOND.upper(), "q")
    assert genres(kg, path) == [SECOND]


def test_what_becomes_of_the_other_genres(
    kg: Kg, keys: Keys, ids: list[str], server: Settings, mine: Path
) -> None:
    """An audit may miss a genre, or find one too many."""
    with Library(server) as library:
        library.accept(ids[1], SECOND, replaces=())
        disputes = [
            Dispute(ids[0], SECOND, 0.9, (), 0.6, "audit", "sounds like both"),
            Dispute(ids[1], SECOND, 0.8, (FIRST,), 0.1, "audit"),
        ]
        write_disputes(library.connection, disputes)
    printed = keys("g", THIRD.upper(), "y", "s")
    assert f"proposed: {SECOND} beside {FIRST}\n" in printed.err
    assert "the audit takes it for 90% probable: sounds like both\n" in printed.err
    assert f"proposed: {SECOND} alone, without {FIRST}\n" in printed.err
    assert genres(kg, mine / FIRST / f"{FIRST}-0.flac") == sorted([FIRST, THIRD.upper()])
    keys("a", "a")
    assert genres(kg, mine / FIRST / f"{FIRST}-0.flac") == sorted([FIRST, SECOND, THIRD.upper()])


def test_two_reviewers_at_once(
    kg: Kg, keys: Keys, ids: list[str], server: Settings, mine: Path
) -> None:
    """The other one decides about the song on the screen, and about the next one."""

    def too_late() -> str:
        with Library(server) as other:
            other.accept(ids[0], THIRD, new=True)
            other.reject(ids[1], SECOND)
        return "a"

    printed = keys(too_late, "s")
    assert printed.code == 0
    assert f"is filed under {THIRD} meanwhile, not {FIRST}: look at it again" in printed.err
    assert "2 of 3: " not in printed.err
    assert "3 of 3: " in printed.err
    assert printed.out == (
        "0 accepted, 0 rejected, 1 skipped, 2 decided by somebody else meanwhile, 0 left.\n"
    )
    assert genres(kg, mine / FIRST / f"{FIRST}-0.flac") == [THIRD]


def test_a_song_that_is_gone(
    kg: Kg, keys: Keys, ids: list[str], server: Settings, mine: Path
) -> None:
    """Its file, which can't be played and may be decided about; and all of it."""
    path = mine / FIRST / f"{FIRST}-0.flac"
    path.unlink()

    def forgotten() -> str:
        with Library(server) as other:
            other.forget(ids[1])
        return "a"

    printed = keys("p", "a", forgotten, "q")
    assert f"{path} (its file is gone)" in printed.err
    assert "There is no file to play." in printed.err
    assert "1 accepted" in printed.out
    left = json.loads(kg("review", "--json").out)
    assert [each["song"] for each in left] == [ids[2]]
    assert genres(kg, path) == [SECOND]


def test_songs_are_played(keys: Keys, mine: Path, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    player = tmp_path / "player"
    player.write_text(
        f'#!/bin/sh\nprintf "%s|" "$@" > "{heard}.part"\nmv "{heard}.part" "{heard}"\n'
    )
    player.chmod(0o755)
    printed = keys("p", "q", options=("--player", f"{player} --volume 30"))
    assert printed.code == 0
    deadline = time.monotonic() + 60
    while not heard.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert heard.read_text() == f"--volume|30|{mine / FIRST / FIRST}-0.flac|"
    printed = keys("p", "q", options=("--player", "no-such-player"))
    assert "'no-such-player' can't be started" in printed.err


def test_players(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []

    def launch(path: str) -> int:
        opened.append(path)
        return len(opened) - 1

    monkeypatch.setattr(click, "launch", launch)
    play(tmp_path)
    assert opened == [str(tmp_path)]
    with pytest.raises(KgError, match="no player"):
        play(tmp_path)
    for broken in ("mpv '", " "):
        with pytest.raises(WrongUsageError, match="--player"):
            as_command(broken)


def test_why_and_what_the_model_says(kg: Kg, keys: Keys, mine: Path, music: Path) -> None:
    shutil.copytree(music / THIRD, mine / THIRD)
    kg("ingest", mine / THIRD, "--genres-from", "none")
    with Library.open(os.environ["KG_HOME"]) as library:
        library.train(TrainOptions(epochs=5, precision=0.01))
        library.connection.write(lambda tx: tx.run("MATCH (s:Song) SET s.doubt = null").consume())
    printed = keys("w", "a", options=("--kind", "prediction"))
    assert "1 of 6: " in printed.err
    assert "filed under no genre" in printed.err
    assert "the model takes it for " in printed.err
    assert "Why " in printed.err
    assert "sounds like" in printed.err
    assert "1 accepted, 0 rejected, 0 skipped, 5 left." in printed.out
    predicted = kg("write-tags", "--predicted", "0.01", "--json")
    document = json.loads(predicted.out)
    assert {each["said_by"] for each in document["changes"]} <= {"owner", "model"}
    assert len(document["changes"]) + document["same"] == 6
    assert "the model, " in kg("write-tags", "--predicted", "0.01").out


def test_without_a_terminal(kg: Kg, ids: list[str], mine: Path) -> None:
    """Printed to a pipe, with nobody at the keys: the list is shown, nothing is decided."""
    printed = kg("review")
    assert printed.code == 0
    assert "proposed" in printed.out
    assert ids[0][:12] in printed.out
    assert "nothing was decided" in printed.err
    document = json.loads(kg("review", "--json").out)
    assert [each["song"] for each in document] == ids[:3]
    assert genres(kg, mine / FIRST / f"{FIRST}-0.flac") == [FIRST]
    assert kg("review", "--kind", "suggestion").out == ""
    assert "No genre waits" in kg("review", "--kind", "suggestion").err


def test_decisions_in_scripts(
    kg: Kg, ids: list[str], mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [mine / FIRST / f"{FIRST}-{number}.flac" for number in range(6)]
    assert "Nothing was decided yet" in kg("decisions").err
    printed = kg("accept", paths[0])  # whatever is proposed
    assert printed.code == 0
    assert f"{SECOND} accepted; filed under {SECOND} now, under {FIRST} before" in printed.out
    document = json.loads(kg("accept", paths[1], THIRD, "--beside", "--new", "--json").out)
    assert document["decisions"][0]["after"] == sorted([FIRST, THIRD])
    assert document["refused"] == []
    assert f"{SECOND} rejected" in kg("reject", ids[2]).out
    table = kg("decisions").out
    assert "accepted" in table
    assert "rejected" in table
    printed = kg("accept", paths[0], SECOND)
    assert printed.code == 1
    assert "was accepted for" in printed.err
    printed = kg("accept", paths[5], f"{SECOND}x")
    assert printed.code == 2
    assert f"{SECOND}x is no genre here; did you mean {SECOND}?" in printed.err
    printed = kg("accept", paths[5])
    assert printed.code == 2
    assert "No genre is proposed for" in printed.err
    assert kg("reject", "nowhere", SECOND).code == 1

    # What begins like a comment may be a title, and what isn't UTF-8 a path.
    lines = f"# mine\n{paths[3]}\t{THIRD}\n\nnowhere\t{THIRD}\n{paths[4]}\n".encode() + b"\xff\n"
    given = io.TextIOWrapper(io.BytesIO(lines), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", given)
    printed = kg("accept", "-", SECOND)
    assert printed.code == 1
    assert [line[:8] for line in printed.err.splitlines()] == ["line 1: ", "line 4: ", "line 6: "]
    assert printed.out.count("accepted") == 2
    assert genres(kg, paths[3]) == [THIRD]
    assert genres(kg, paths[4]) == [SECOND]

    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{paths[3]}\n{paths[4]}\n"))
    printed = kg("undo", "-", "--json")
    assert printed.code == 0
    assert [each["state"] for each in json.loads(printed.out)["decisions"]] == ["open"] * 2
    assert genres(kg, paths[3]) == [FIRST]
    assert kg("undo", paths[0]).code == 0
    assert kg("undo").code == 0
    assert kg("undo").code == 0
    assert kg("undo").code == 1
    assert [genres(kg, path) for path in paths] == [[FIRST]] * 6
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert kg("accept", "-").code == 0


def test_the_queries_of_its_page_run(kg: Kg, ids: list[str], tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "review.md"
    (cypher,) = re.findall(r"```cypher\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    kg("accept", ids[0])
    (row,) = json.loads(kg("query", cypher, "--json").out)
    assert (row["before"], row["now"], row["proposedBy"]) == ([FIRST], SECOND, "label")


def test_titles_may_hold_anything(kg: Kg, keys: Keys, ids: list[str], server: Settings) -> None:
    """Escapes that would move the cursor or set the terminal's title are shown, not obeyed."""
    evil = "a\x1b]0;gone\x07\x1b[2J\u2028<script>[bold]"
    with Library(server) as library:
        library.connection.write(
            lambda tx: tx.run(
                "MATCH (s:Song {id: $id}) SET s.title = $t, s.artist = $t, s.album = $t, "
                "s.paths = [$t]",
                id=ids[0],
                t=evil,
            ).consume()
        )
    printed = keys("a", "u", "g", evil, "n", "q")
    shown = printed.err + printed.out + kg("review").out + kg("decisions").out
    shown += kg("accept", ids[0], evil, "--new").out + kg("decisions").out + kg("write-tags").err
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u2028" not in shown
    assert "<script>[bold]" in shown


def test_tags_on_the_command_line(kg: Kg, ids: list[str], mine: Path) -> None:
    path = mine / FIRST / f"{FIRST}-0.flac"
    was = path.read_bytes()
    assert "No file is to be written. `kg review`" in kg("write-tags").err
    assert "nothing to undo" in kg("write-tags", "--undo").err
    kg("accept", path)
    printed = kg("write-tags")
    assert printed.code == 0
    assert str(path) in printed.out
    assert "Nothing was written. --write does it." in printed.err
    assert path.read_bytes() == was
    printed = kg("write-tags", path, "--write")
    assert printed.code == 0
    assert "Wrote 1 file" in printed.err
    assert read_tags(path).genres == (SECOND,)
    assert "say so already: 1" in kg("write-tags", "--write").err
    # An undo leaves the file as it is, and says so.
    printed = kg("undo", "--json")
    assert json.loads(printed.out)["decisions"][0]["after"] == [FIRST]
    stays = f"`kg write-tags` wrote {SECOND} into {path}, which stays"
    assert f"{stays}: `kg write-tags --undo` restores it." in printed.err
    kg("accept", path)
    other = mine / FIRST / f"{FIRST}-1.flac"
    kg("accept", other)
    kg("write-tags", "--write")
    assert kg("undo", ids[2]).code == 1
    assert f"{stays}: accept the genre that it is to name" in kg("undo", path).err
    assert "which stays" not in kg("reject", path, SECOND).err
    assert "which stays" not in kg("undo", path).err
    kg("accept", path)
    assert kg("write-tags", "--undo").out == f"restored: {other}\n"
    kg("undo", other)
    printed = kg("write-tags", "--undo")
    assert printed.out == f"restored: {path}\n"
    assert path.read_bytes() == was
    for options in (["--write"], [path], ["--predicted", "0.5"]):
        assert kg("write-tags", "--undo", *options).code == 2
    assert kg("write-tags", "--predicted", "0").code == 2

    path.write_bytes(was + b"\0")
    printed = kg("write-tags", "--write")
    assert printed.code == 1
    assert "has changed since kg took it in" in printed.err
    path.write_bytes(was)
    kg("write-tags", "--write")
    path.write_bytes(was + b"\0")
    printed = kg("write-tags", "--undo", "--json")
    assert printed.code == 1
    assert json.loads(printed.out)["restored"] == []
