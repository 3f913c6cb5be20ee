"""Genre trees that come with songs, and are refused before these are in."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kg import Library
from kg.errors import WrongUsageError
from kg.genres.files import TreeFile
from kg.settings import Settings
from kg.sources.dataset import SourceTable
from tests.tables import GENRES, made_up, table_of


@pytest.fixture
def bare(server: Settings) -> Iterator[Library]:
    with Library(server) as library:
        yield library


@pytest.fixture
def table() -> SourceTable:
    """Songs, and a tree of their data set."""
    parents = {"techno": ["electronic"], "electronic": []}
    return replace(table_of(*made_up()), parents=parents)


def parents_of(library: Library) -> dict[str, tuple[str, ...]]:
    return {name: tuple(above) for name, above in library.store.tree().parents.items()}


def test_a_tree_that_cannot_be_written_takes_no_song_in(
    bare: Library, table: SourceTable, tmp_path: Path
) -> None:
    circle = TreeFile({"electronic": ["techno"]}, ["techno"])
    with pytest.raises(WrongUsageError, match=r"goes in a circle.* No song was taken in\."):
        bare.ingest_table(table, genre_tree=circle)
    file = tmp_path / "tree.csv"
    file.write_text("name,parent\ndub,reggea\n", encoding="utf-8")
    with pytest.raises(WrongUsageError, match="'reggea' of 'dub' has no line of its own"):
        bare.ingest_table(table, genre_tree=file)
    with pytest.raises(WrongUsageError, match="has an empty name"):
        bare.ingest_table(table, genre_tree=TreeFile({" ": []}, []))
    assert bare.status().counts.songs == 0
    assert parents_of(bare) == {}


def test_parents_may_come_with_the_songs(bare: Library, table: SourceTable) -> None:
    # "Jazz" only songs have, "electronic" only the data set's tree.
    tree = TreeFile({"bebop": ["Jazz"], "dubstep": ["electronic"]}, ["Jazz", "electronic"])
    report = bare.ingest_table(table, genre_tree=tree)
    assert report.tree is not None
    assert (report.tree.links, report.tree.renamed) == (3, {"Jazz": GENRES[1]})
    assert parents_of(bare) == {
        "bebop": (GENRES[1],), "dubstep": ("electronic",), "techno": ("electronic",),
    }  # fmt: skip
    # What the owner says of a genre stands against the data set, also in a circle.
    bare.write_genre_tree(TreeFile({"techno": ["dance"], "dance": []}, []))
    turned = bare.ingest_table(table, genre_tree=TreeFile({"electronic": ["techno"]}, ["techno"]))
    assert turned.tree is not None


def test_where_songs_of_a_parent_do_not_come(bare: Library, table: SourceTable) -> None:
    # Between the check and the writing somebody else may do anything.
    tree = TreeFile({"bebop": ["nobody's"]}, ["nobody's"])
    bare.ingest_table(table)
    with pytest.raises(WrongUsageError, match="The songs are in: `kg genres --genre-tree FILE`"):
        bare._write_tree_after(tree)
