"""The genre tree on both servers: written, repeated, refused, kept when songs go."""

import csv
from pathlib import Path

import pytest

from kg.errors import WrongUsageError
from kg.genres.tree import Tree
from kg.graph.store import GraphStore
from kg.removal import plan_removal, remove_songs
from tests.graph.test_store import count, everything, song

PARENTS = {"house": ["electronic"], "acid house": ["house"], "electronic": [], "jazz": []}


@pytest.fixture
def store(connection: object) -> GraphStore:
    store = GraphStore(connection)  # type: ignore[arg-type]
    store.prepare()
    return store


def genres(store: GraphStore) -> set[str]:
    return {row[0] for row in store.connection.ask("MATCH (g:Genre) RETURN g.name").rows}


def test_a_tree_is_written_and_repeating_it_changes_nothing(store: GraphStore) -> None:
    store.write_songs([song("a", "house"), song("b", "jazz")])
    report = store.write_tree(PARENTS)
    assert (report.genres, report.links) == (4, 2)
    assert list(report.new) == ["acid house", "electronic"]
    assert store.tree().parents == {"acid house": ("house",), "house": ("electronic",)}
    before = everything(store.connection)
    again = store.write_tree(PARENTS)
    assert not again.new
    assert everything(store.connection) == before
    assert store.genres() == ["house", "jazz"]  # those that songs have
    assert store.counts().relationships["SUBGENRE_OF"] == 2


def test_another_tree_adds_and_changes_what_it_names(store: GraphStore) -> None:
    store.write_tree(PARENTS)
    store.write_tree({"house": ["dance"], "dance": [], "bebop": ["jazz"]})
    assert store.tree().parents == {
        "acid house": ("house",),
        "bebop": ("jazz",),
        "house": ("dance",),
    }


def test_replacing_takes_bare_genres_away_but_none_that_songs_have(store: GraphStore) -> None:
    store.write_songs([song("a", "house")])
    store.write_tree(PARENTS)
    store.write_tree({"bebop": ["jazz"], "jazz": []}, replace=True)
    assert store.tree().parents == {"bebop": ("jazz",)}
    assert genres(store) == {"house", "jazz", "bebop"}


def test_a_cycle_is_refused_and_nothing_written(store: GraphStore) -> None:
    store.write_tree(PARENTS)
    before = everything(store.connection)
    with pytest.raises(WrongUsageError, match="'acid house' -> 'house' -> 'electronic' -> 'acid h"):
        store.write_tree({"electronic": ["acid house"], "new": []})
    with pytest.raises(WrongUsageError, match="'jazz' is its own parent"):
        store.write_tree({"jazz": ["jazz"]})
    with pytest.raises(WrongUsageError, match="another spelling of the same genre"):
        store.write_tree({"Hip Hop": ["hip-hop"], "hip-hop": []})
    with pytest.raises(WrongUsageError, match="empty name"):
        store.write_tree({"jazz": [" "]})
    assert everything(store.connection) == before


def test_what_the_owner_said_stands_against_a_data_set(store: GraphStore) -> None:
    store.write_tree({"punk": ["loud"], "loud": []}, source="user")
    report = store.write_tree({"Punk": ["rock"], "Loud": ["music"], "rock": [], "music": []})
    assert list(report.kept) == ["punk"]
    assert store.tree().parents == {"punk": ("loud",), "loud": ("music",)}
    store.write_tree({"punk": ["rock"]}, source="user")
    assert store.tree().parents["punk"] == ("rock",)


def test_another_spelling_joins_the_genre_that_is_there(store: GraphStore) -> None:
    store.write_songs([song("a", "Hip Hop"), song("b", "Drum & Bass")])
    store.write_songs(
        [song("c", "hip-hop", "Hip Hop"), song("d", "Drum'n'Bass"), song("e", "HIPHOP")]
    )
    assert genres(store) == {"Hip Hop", "Drum & Bass"}
    report = store.write_tree({"hip-hop": ["urban"], "urban": [], "trap": ["HipHop"]})
    assert dict(report.renamed) == {"hip-hop": "Hip Hop", "HipHop": "Hip Hop"}
    assert store.tree().parents == {"Hip Hop": ("urban",), "trap": ("Hip Hop",)}
    before = everything(store.connection)
    store.write_songs([song("c", "hip-hop", "Hip Hop"), song("a", "hiphop")])
    assert everything(store.connection) == before


def test_of_two_new_spellings_the_first_is_taken(store: GraphStore) -> None:
    store.write_songs([song("a", "Post-Rock"), song("b", "post rock")])
    assert genres(store) == {"Post-Rock"}
    assert count(store, "(:Song)-[:IN_GENRE]->(:Genre)") == 2


def test_spellings_that_are_there_both_stay(store: GraphStore) -> None:
    """Graphs from before this hold several; nobody's label is rewritten."""
    store.write_songs([song("a", "jazz")])
    store.connection.write(
        lambda tx: tx.run(
            "CREATE (s:Song {id: 'x'}) CREATE (g:Genre {name: 'Hip-Hop'}) "
            "CREATE (t:Song {id: 'y'}) CREATE (h:Genre {name: 'hip hop'}) "
            "CREATE (s)-[:IN_GENRE {source: 'folder'}]->(g) "
            "CREATE (t)-[:IN_GENRE {source: 'folder'}]->(h)"
        ).consume()
    )
    store.write_songs([song("b", "hip hop"), song("c", "Hip-Hop"), song("d", "HIP HOP")])
    own = {
        row[0]: row[1]
        for row in store.connection.ask(
            "MATCH (s:Song)-[:IN_GENRE]->(g:Genre) RETURN s.id, g.name"
        ).rows
    }
    assert (own["b"], own["c"], own["d"]) == ("hip hop", "Hip-Hop", "Hip-Hop")


def test_songs_go_and_the_tree_stays(store: GraphStore) -> None:
    store.write_songs([song("a", "house"), song("b", "jazz"), song("c", "polka")])
    store.write_tree({"house": ["electronic"], "electronic": []})
    assert plan_removal(store.connection, ["a", "b"]).genres == ["jazz"]
    remove_songs(store.connection, ["a", "b"])
    assert genres(store) == {"house", "electronic", "polka"}
    assert store.tree().parents == {"house": ("electronic",)}


def test_fma_and_audioset(store: GraphStore, data_dir: Path) -> None:
    with (data_dir / "fma/genres.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    title = {row["genre_id"]: row["title"] for row in rows}
    fma = {row["title"]: [title[row["parent"]]] if row["parent"] != "0" else [] for row in rows}
    report = store.write_tree(fma)
    assert (report.genres, report.links) == (163, 147)
    assert store.tree().depth("Avant-Garde") == 2
    with (data_dir / "audioset/genre_tree.csv").open(encoding="utf-8", newline="") as lines:
        audioset: dict[str, list[str]] = {}
        for row in csv.DictReader(lines):
            audioset.setdefault(row["name"], []).extend(filter(None, [row["parent"]]))
    store.write_tree(audioset, replace=True)
    assert store.tree().above("Grime music") == {"Hip hop music"}
    assert store.tree().names == Tree(audioset).names
    # Of FMA's stays what nothing hung on.
    assert genres(store) == {*audioset, "Old-Time / Historic"}
