"""`kg genres`, `--genre-tree`, `--genre-level` and `--genre-policy` on the command line."""

import json
from pathlib import Path

import pytest

from kg.audio.synth import GENRES as ALL
from kg.audio.synth import write_song
from tests.cli.conftest import Kg

GENRES = ALL[:4]  # those of the fixture


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The first two are slow, the others fast."""
    lines = ["slow", *(f"  {name}" for name in GENRES[:2]), "fast"]
    file = tmp_path / "tree.txt"
    file.write_text("\n".join([*lines, *(f"  {n.upper()}" for n in GENRES[2:])]), encoding="utf-8")
    return file


def test_a_tree_of_the_owners_own(kg: Kg, music: Path, tree: Path, tmp_path: Path) -> None:
    printed = kg("genres")
    assert printed.code == 0
    assert "No genres are in the graph yet" in printed.out
    assert kg("genres", "--replace").code == 2

    (tmp_path / "circle.csv").write_text("name,parent\na,b\nb,a\n", encoding="utf-8")
    printed = kg("ingest", music, "--genre-tree", tmp_path / "circle.csv")
    assert printed.code == 2
    assert "'a' -> 'b' -> 'a'" in printed.err
    assert "Reading files" not in printed.err  # said before anything is listened to

    (tmp_path / "odd.csv").write_text("name,parent\nnew,nobody's\n", encoding="utf-8")
    printed = kg("ingest", music, "--genre-tree", tmp_path / "odd.csv")
    assert (printed.code, printed.out) == (2, "")
    assert "\"nobody's\" of 'new' has no line" in printed.err
    assert json.loads(kg("status", "--json").out)["counts"]["songs"] == 0  # before it listens

    printed = kg("ingest", music, "--genre-tree", tree)
    assert printed.code == 0
    assert "names 6 genres, 2 of them new" in printed.out
    assert f"{GENRES[2].upper()} is {GENRES[2]}" in printed.err
    assert "right file" not in printed.err

    printed = kg("genres")
    lines = [line.split() for line in printed.out.splitlines() if line.strip()]
    assert ["slow", "12"] in lines
    assert [GENRES[2], "6"] in lines
    found = json.loads(kg("genres", "--json").out)
    assert found["alike"] == []
    by_name = {genre["name"]: genre for genre in found["genres"]}
    assert by_name["fast"] == {
        "name": "fast", "parents": [], "songs": 0, "with_subgenres": 12, "predicted": 0, "depth": 1,
    }  # fmt: skip
    assert by_name[GENRES[3]]["parents"] == ["fast"]
    assert "SUBGENRE_OF" in kg("status").out

    (tmp_path / "more.csv").write_text("name,parent\ndub techno,dub tecno\n", encoding="utf-8")
    printed = kg("genres", "--genre-tree", tmp_path / "more.csv")
    assert printed.code == 2
    assert "'dub tecno' of 'dub techno' has no line" in printed.err
    (tmp_path / "more.csv").write_text(f"name,parent\nnew,{GENRES[0]}\n", encoding="utf-8")
    report = json.loads(kg("genres", "--genre-tree", tmp_path / "more.csv", "--json").out)
    assert (report["genres"], report["new"], report["links"]) == (2, ["new"], 5)
    (tmp_path / "up.csv").write_text(f"name,parent\nslow,new\n{GENRES[0]},slow\n", encoding="utf-8")
    printed = kg("genres", "--genre-tree", tmp_path / "up.csv")
    assert printed.code == 2
    assert "goes in a circle" in printed.err

    (tmp_path / "notes.txt").write_text("Buy milk\n", encoding="utf-8")
    printed = kg("genres", "--genre-tree", tmp_path / "notes.txt")
    assert printed.code == 0
    assert "No genre of the library is among them: is it the right file?" in printed.err

    # The whole tree moves.
    assert kg("dump", tmp_path / "library.kgz").code == 0
    printed = kg("genres", "--genre-tree", tmp_path / "more.csv", "--replace")
    assert "1 links to parents" in printed.out


def test_levels_and_policies(kg: Kg, music: Path, tree: Path, tmp_path: Path) -> None:
    assert kg("ingest", music).code == 0
    printed = kg("train", "--genre-level", "top")
    assert printed.code == 2
    assert "There is no genre tree whose level top could be learned" in printed.err
    assert kg("train", "--genre-level", "bottom").code == 2
    assert kg("genres", "--genre-tree", tree).code == 0
    printed = kg("train", "--genre-level", "leaf", "--epochs", "20")
    assert printed.code == 0
    assert "Learned 4 genres of level leaf of the genre tree." in printed.out
    assert "level leaf of the tree" in kg("status").out
    asked = kg("query", "MATCH (m:Model) RETURN m.genreLevel AS level", "--json")
    assert json.loads(asked.out) == [{"level": "leaf"}]

    new = write_song(tmp_path / "new.flac", GENRES[0], seconds=2.0, seed=99)
    policy = tmp_path / "policy.toml"
    policy.write_text('allowed = ["Slow", "fast"]\nmost = 1\n', encoding="utf-8")
    printed = kg("add", new, "--genre-policy", policy, "--json")
    (song,) = json.loads(printed.out)["added"]
    assert [guess["genre"] for guess in song["guesses"]] in (["slow"], ["fast"])
    stored = json.loads(
        kg(
            "query",
            "MATCH (s:Song {id: $id})-[:PREDICTED_GENRE]->(g:Genre) RETURN g.name AS genre",
            "-p",
            f"id={song['id']}",
            "--json",
        ).out
    )
    assert len(stored) == 3
    assert {row["genre"] for row in stored} < set(GENRES)

    def shown(*options: str | Path) -> list[str]:
        found = json.loads(kg("inspect", song["id"][:12], "--json", *options).out)
        return [guess["genre"] for guess in found["guesses"]]

    assert len(shown()) == 3
    assert len(shown("--genre-policy", policy)) == 1
    # In the home folder it holds for all commands.
    home = Path(json.loads(kg("status", "--json").out)["paths"]["home"])
    (home / "genre-policy.toml").write_text(f'unwanted = ["{GENRES[0]}"]\n', encoding="utf-8")
    assert GENRES[0] not in shown()
    alike = json.loads(kg("similar", str(song["id"]), "--json").out)
    assert all(GENRES[0] not in each["genres"] for each in alike["songs"])

    # Whoever speaks by a tree that has changed says so.
    said = "The genre tree has changed since the training: run `kg train`."
    assert said not in kg("predict").err
    (tmp_path / "up.csv").write_text("name,parent\nslow,all\nall,\n", encoding="utf-8")
    assert kg("genres", "--genre-tree", tmp_path / "up.csv").code == 0
    for command in (["status"], ["predict"], ["models", "use", "20"]):
        printed = kg(*command)
        assert said in printed.out + printed.err, command

    (home / "genre-policy.toml").write_text("unwnted = []\n", encoding="utf-8")
    printed = kg("similar", str(song["id"]))
    assert printed.code == 2
    assert "did you mean `unwanted`" in printed.err
