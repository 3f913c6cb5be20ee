"""Genre trees in files: tables, indented text, JSON, and what is wrong with them."""

from pathlib import Path

import pytest

from kg.errors import WrongUsageError
from kg.genres.files import LARGEST, read_tree, refuse_unknown

EXPECTED = {
    "rock": [],
    "punk": ["rock"],
    "post-punk": ["punk"],
    "metal": ["rock"],
    "jazz": [],
}
INDENTED = "rock\n  punk\n    post-punk\n  metal\n\njazz\n"
BEETS = "- rock:\n  - punk:\n    - post-punk\n  - metal\n- jazz\n"
TABBED = "rock\n\tpunk\n\t\tpost-punk\n\tmetal\njazz\n"
JSON = '{"rock": {"punk": ["post-punk"], "metal": null}, "jazz": {}}'
LISTED = '["jazz", {"rock": ["metal", {"punk": "post-punk"}]}]'
TABLE = "name,parent\nrock,\npunk,rock\npost-punk,punk\nmetal,rock\njazz,\n"
SEMICOLONS = TABLE.replace(",", ";").replace("name", "\ufeffGenre").replace("parent", "Parent")
FMA = (
    "genre_id,#tracks,parent,title,top_level\n"
    "12,9,0,rock,12\n25,3,12,punk,12\n7,1,25,post-punk,12\n8,1,12,metal,12\n4,2,0,jazz,4\n"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tree.txt", INDENTED),
        ("tree.yaml", BEETS),
        ("tree", TABBED),
        ("tree.txt", INDENTED.replace("\n", "\r\n")),
        ("tree.json", JSON),
        ("tree.json", LISTED),
        ("tree.csv", TABLE),
        ("tree.csv", SEMICOLONS),
        ("tree.tsv", TABLE.replace(",", "\t")),
        ("genres.csv", FMA),
    ],
)
def test_every_form_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8", newline="")
    found = read_tree(file)
    assert {genre: list(above) for genre, above in found.parents.items()} == EXPECTED
    assert list(found.unlisted) == []


def test_a_genre_may_have_several_parents(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,parent\nfunk,soul\nfunk,jazz\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("soul\n funk\njazz\n funk\n", encoding="utf-8")
    assert read_tree(tmp_path / "a.csv").parents == {"funk": ["soul", "jazz"]}
    assert list(read_tree(tmp_path / "a.csv").unlisted) == ["jazz", "soul"]
    assert read_tree(tmp_path / "a.txt").parents["funk"] == ["soul", "jazz"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "", "is empty"),
        ("a.csv", " \n\n", "is empty"),
        ("a.csv", "name,parent\n", "names no genre"),
        ("a.txt", "- \n", "names no genre"),
        ("a.json", "{}", "names no genre"),
        ("a.json", "{", "can't be read as JSON"),
        ("a.json", '{"rock": 5}', "holds 5 below 'rock'"),
        ("a.json", '{"rock": {" ": null}}', "below 'rock'"),
        ("a.json", "[" * 100_000, "can't be read as JSON"),
        ("a.csv", "genre,kind\nrock,1\n", "no columns `name` and `parent`.*'genre', 'kind'"),
        ("a.csv", "name,parent\n,rock\n", "line 2: a parent of a genre without a name"),
        ("a.csv", FMA.replace("25,post", "26,post"), "line 4: the parent '26' of 'post-punk'"),
        ("a.csv", FMA.replace("\n7,", "\n25,"), "line 4: 'post-punk' has the id '25' of 'punk'"),
        ("a.csv", "name,parent\na,b\nb,a\n", "in a circle.*'a' -> 'b' -> 'a'"),
        ("a.csv", "name,parent\nrock,rock\n", "'rock' is its own parent"),
        ("a.txt", "rock\n    punk\n  metal\n", "line 3: 'metal' is further in"),
        ("a.txt", "a\n b\n  a\n", "in a circle"),
        ("a.txt", "ro\0ck", "is no text file"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, said: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(WrongUsageError, match=said):
        read_tree(file)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(WrongUsageError, match=r"no file .*for the genre tree"):
        read_tree(tmp_path / "missing.txt")
    with pytest.raises(WrongUsageError, match="a folder"):
        read_tree(tmp_path)
    (tmp_path / "latin.txt").write_bytes("B\u00e4nkels\u00e4nger".encode("latin-1"))
    with pytest.raises(WrongUsageError, match="no UTF-8 text"):
        read_tree(tmp_path / "latin.txt")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(WrongUsageError, match="too large"):
        read_tree(tmp_path / "huge.txt")
    with pytest.raises(WrongUsageError):
        read_tree("a\0b")


def test_the_trees_of_data_sets(data_dir: Path) -> None:
    fma = read_tree(data_dir / "fma/genres.csv")
    assert len(fma.parents) == 163
    assert fma.parents["Avant-Garde"] == ["Experimental"]
    audioset = read_tree(data_dir / "audioset/genre_tree.csv")
    assert not audioset.unlisted
    assert audioset.parents["Grime music"] == ["Hip hop music"]


def test_a_parent_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,parent\npunk,Hip Hop\njazz,\n", encoding="utf-8")
    tree = read_tree(tmp_path / "a.csv")
    refuse_unknown(tree, ["hip-hop"])  # the library's spelling
    with pytest.raises(
        WrongUsageError, match=r"'Hip Hop' of 'punk' has no line.*mend its name. Not"
    ):
        refuse_unknown(tree, ["rock"])
    with pytest.raises(WrongUsageError, match="Did you mean 'trip-hop'"):
        refuse_unknown(tree, ["trip-hop"])
