"""Artists and albums in the graph: made with their songs, kept true, and gone with the last one."""

from dataclasses import replace

import pytest

from kg.graph import queries
from kg.graph.store import GraphStore
from kg.graph.versions import VERSION
from kg.records import NewSong
from kg.removal import remove_songs
from tests.graph.test_store import KINDS, everything, song, store

__all__ = ["store"]  # a fixture


def tagged(
    id: str, artist: str | None, album: str | None = None, whose: str | None = None
) -> NewSong:
    plain = song(id, "jazz")
    record = replace(plain.record, artist=artist, album=album, album_artist=whose)
    return replace(plain, record=record)


SONGS = [
    tagged("a", "The Beatles", "Help!"),
    tagged("b", "Beatles, The", "help"),
    tagged("c", "The Beatles feat. Billy Preston", "Let It Be"),
    tagged("d", "Queen", "Now 45", "Various Artists"),
    tagged("e", "Various Artists", "Now 45", "Various Artists"),
    tagged("f", None),
]
BY = "MATCH (s:Song)-[:BY]->(a:Artist) RETURN s.id, a.id, a.name ORDER BY s.id"
ON = "MATCH (s:Song)-[:ON]->(a:Album) RETURN s.id, a.title, a.artist ORDER BY s.id"


def nodes(store: GraphStore, label: str) -> list[str]:
    return [
        row[0]
        for row in store.connection.ask(f"MATCH (n:{label}) RETURN n.id AS id ORDER BY id").rows
    ]


def test_songs_come_with_their_artists_and_albums(store: GraphStore) -> None:
    store.write_songs(SONGS)
    beatles = ["beatles", "The Beatles"]  # as most of them spell it
    assert store.connection.ask(BY).rows == [
        ["a", *beatles], ["b", *beatles], ["c", *beatles], ["d", "queen", "Queen"],
    ]  # fmt: skip
    assert store.connection.ask(ON).rows == [
        ["a", "Help!", "The Beatles"], ["b", "Help!", "The Beatles"],
        ["c", "Let It Be", "The Beatles"], ["d", "Now 45", None], ["e", "Now 45", None],
    ]  # fmt: skip
    before = everything(store.connection)
    store.write_songs(SONGS)
    assert everything(store.connection) == before


def test_changed_tags_move_a_song_and_leave_no_bare_node(store: GraphStore) -> None:
    store.write_songs(SONGS)
    store.write_songs([tagged("d", "Freddie Mercury", "Mr. Bad Guy"), tagged("c", None)])
    assert nodes(store, "Artist") == ["beatles", "freddie mercury"]
    assert nodes(store, "Album") == [" | now 45", "beatles | help", "freddie mercury | mr bad guy"]
    by = {row[0]: row[1] for row in store.connection.ask(BY).rows}
    assert by == {"a": "beatles", "b": "beatles", "d": "freddie mercury"}


def test_an_artist_goes_with_the_last_song(store: GraphStore) -> None:
    store.write_songs(SONGS)
    assert remove_songs(store.connection, ["a", "d"]) == 2
    assert nodes(store, "Artist") == ["beatles"]
    assert nodes(store, "Album") == [" | now 45", "beatles | help", "beatles | let it be"]
    assert remove_songs(store.connection, ["b", "c", "e", "f"]) == 4
    assert nodes(store, "Artist") == nodes(store, "Album") == []


def test_a_graph_from_before_there_were_any_gets_them_once(
    store: GraphStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.begin_build(KINDS)
    store.write_songs(SONGS)
    before = [store.connection.ask(text).rows for text in (BY, ON)]
    store.connection.write(
        lambda tx: [
            tx.run(text).consume()
            for text in ("MATCH (a:Artist) DETACH DELETE a", "MATCH (a:Album) DETACH DELETE a")
        ]
    )
    store.credit_songs()
    assert nodes(store, "Artist") == []  # nobody asked
    store.connection.write(lambda tx: tx.run("MATCH (k:KgSchema) SET k.version = 2").consume())
    store.prepare()
    assert store.connection.ask("MATCH (k:KgSchema) RETURN k.version").rows == [[VERSION]]
    store.credit_songs()
    found = [store.connection.ask(text).rows for text in (BY, ON)]
    assert [[row[:2] for row in rows] for rows in found] == [
        [row[:2] for row in rows] for rows in before
    ]
    monkeypatch.setattr(queries, "SONGS_TO_CREDIT", "nothing is read twice")
    store.credit_songs()
