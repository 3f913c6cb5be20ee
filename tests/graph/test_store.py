"""The store on both servers: what is written is what is read, and repeating it changes nothing."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from kg.build import build_graph
from kg.errors import GraphError, RebuiltError
from kg.graph.connection import Connection
from kg.graph.rows import Guess, Links, ModelRow
from kg.graph.store import GraphStore
from kg.records import FeatureSet, NewSong, SongRecord

KINDS = FeatureSet("v1", {"low": slice(0, 2), "high": slice(2, 5)}, ("a", "b", "c", "d", "e"))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

EVERYTHING = """
MATCH (n) OPTIONAL MATCH (n)-[r]->(m)
RETURN labels(n)[0] AS label, coalesce(n.id, n.name, n.version) AS key, properties(n) AS node,
       type(r) AS type, coalesce(m.id, m.name) AS target, properties(r) AS relationship
"""


def song(id: str, *genres: str, artist: str | None = None, shift: float = 0.0) -> NewSong:
    random = np.random.default_rng(int.from_bytes(id.encode(), "little") % 2**32)
    features = random.normal(size=5).astype(np.float32) + np.float32(shift)
    record = SongRecord(
        id=id,
        path=Path(f"/music/{id}.flac"),
        title=f"Title of {id}",
        artist=artist,
        year=1972,
        genres=genres,
        genre_source="folder" if genres else "",
    )
    return NewSong(record, features, 30.5, 44_100)


def library(count: int = 12) -> list[NewSong]:
    return [
        song(f"{genre}{i}", genre, shift=4.0 * number)
        for number, genre in enumerate(("blues", "jazz"))
        for i in range(count // 2)
    ]


def everything(connection: Connection) -> list[str]:
    """The whole graph in comparable form; the builder's token is a random one."""
    rows = connection.ask(EVERYTHING).rows
    return sorted(re.sub(r"'builder': '\w+'", "", repr(row)) for row in rows)


@pytest.fixture
def store(connection: Connection) -> GraphStore:
    store = GraphStore(connection)
    store.prepare()
    return store


@pytest.fixture
def built(store: GraphStore, tmp_path: Path) -> GraphStore:
    store.write_songs(library())
    assert build_graph(store, KINDS, tmp_path / "neighbours")
    return store


def count(store: GraphStore, pattern: str) -> int:
    return int(store.connection.ask(f"MATCH {pattern} RETURN count(*)").rows[0][0])


def test_songs_come_back_as_they_were_written(store: GraphStore) -> None:
    written = library()
    store.write_songs(written)
    read = store.read_songs()
    assert read.ids == sorted(s.record.id for s in written)
    expected = {s.record.id: s.features for s in written}
    assert all(np.array_equal(read.features[i], expected[id]) for i, id in enumerate(read.ids))
    assert read.genres == [("blues",)] * 6 + [("jazz",)] * 6
    answer = store.connection.ask(
        "MATCH (s:Song {id: 'jazz1'}) "
        "RETURN s.title, s.path, s.year, s.duration, s.sampleRate, s.artist"
    )
    assert answer.rows == [["Title of jazz1", "/music/jazz1.flac", 1972, 30.5, 44100, None]]


def test_writing_songs_again_changes_nothing(store: GraphStore) -> None:
    store.write_songs(library())
    before = everything(store.connection)
    store.write_songs(library())
    assert everything(store.connection) == before


def test_a_moved_song_changes_its_genre_but_not_what_its_owner_said(store: GraphStore) -> None:
    store.write_songs([song("a", "blues"), song("b", "blues")])
    store.connection.write(
        lambda tx: tx.run(
            "MATCH (s:Song {id: 'b'})-[r:IN_GENRE]->() DELETE r "
            "MERGE (g:Genre {name: 'soul'}) MERGE (s)-[:IN_GENRE {source: 'user'}]->(g)"
        ).consume()
    )
    store.write_songs([song("a", "jazz", "funk"), song("b", "jazz")])
    genres = {s.id: s.genres for s in store.read_keys()}
    assert genres == {"a": ("funk", "jazz"), "b": ("soul",)}


def copies(id: str, *paths: Path) -> NewSong:
    plain = song(id)
    return replace(plain, record=replace(plain.record, path=paths[0], paths=paths))


def test_copies_are_one_song_with_all_paths(store: GraphStore, tmp_path: Path) -> None:
    def paths() -> list[object]:
        answer = store.connection.ask("MATCH (s:Song {id: 'a'}) RETURN s.path, s.paths, count(*)")
        [[first, listed, _]] = answer.rows
        assert first == listed[0]
        return [path.removeprefix(f"{tmp_path}/") for path in listed]

    def there(*names: str) -> list[Path]:
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        return [tmp_path / name for name in names]

    odd = "three/caf\udce9.mp3"
    one, two, three = there("one/a.mp3", "two/a.mp3", odd)
    store.write_songs([copies("a", one, two)])
    assert paths() == ["one/a.mp3", "two/a.mp3"]
    # What another ingest saw elsewhere stays, as long as it is there.
    store.write_songs([copies("a", three)])
    assert paths() == ["one/a.mp3", r"three/caf\xe9.mp3", "two/a.mp3"]
    one.unlink()
    [moved] = there("two/b.mp3")
    store.write_songs([copies("a", moved)])
    assert paths() == [r"three/caf\xe9.mp3", "two/a.mp3", "two/b.mp3"]
    # What lies there now is another song.
    store.write_songs([copies("a", moved), copies("b", two)])
    assert paths() == [r"three/caf\xe9.mp3", "two/b.mp3"]
    three.unlink()
    store.write_songs([copies("a", moved)])
    assert paths() == ["two/b.mp3"]
    assert count(store, "(s:Song)") == 2


def test_a_source_that_says_no_genre_takes_none_away(store: GraphStore) -> None:
    store.write_songs([song("a", "blues")])
    store.write_songs([song("a")])
    assert store.read_keys()[0].genres == ("blues",)


def test_a_tag_that_is_gone_is_gone_from_the_song(store: GraphStore) -> None:
    store.write_songs([song("a", "blues", artist="Someone")])
    store.write_songs([song("a", "blues")])
    assert store.read_keys()[0].artist is None


def test_build_links_every_song_and_is_idempotent(built: GraphStore, tmp_path: Path) -> None:
    counts = built.counts()
    assert (counts.songs, counts.labelled, counts.genres) == (12, 12, 2)
    assert counts.relationships["HAS_FEATURE"] == 12 * 2
    assert counts.relationships["SIMILAR_TO"] > 0
    assert count(built, "(s:Song) WHERE s.split IN ['train', 'valid', 'test']") == 12
    sizes = built.connection.ask(
        "MATCH (c:FeatureCluster) RETURN c.size, COUNT { (c)<-[:HAS_FEATURE]-() } AS links"
    )
    assert all(size == links for size, links in sizes.rows)
    before = everything(built.connection)
    assert not build_graph(built, KINDS, tmp_path / "neighbours")
    assert everything(built.connection) == before


def test_an_interrupted_build_is_noticed_and_mended(built: GraphStore, tmp_path: Path) -> None:
    before = everything(built.connection)
    built.begin_build(KINDS)
    built.connection.write(lambda tx: tx.run("MATCH (:Song)-[r:SIMILAR_TO]->() DELETE r").consume())
    assert built.build() is None
    with pytest.raises(GraphError, match=r"not finished.*kg ingest"):
        built.read_graph()
    assert build_graph(built, KINDS, tmp_path / "neighbours")
    assert everything(built.connection) == before


def test_a_grown_library_is_rebuilt_without_leftovers(built: GraphStore, tmp_path: Path) -> None:
    before = {s.id: s.split for s in built.read_keys()}
    built.write_songs([song(f"soul{i}", "soul", shift=-6) for i in range(30)])
    assert build_graph(built, KINDS, tmp_path / "neighbours")
    after = {s.id: s.split for s in built.read_keys()}
    assert {id: after[id] for id in before} == before
    assert count(built, "(:Song)-[r:HAS_FEATURE]->()") == 42 * 2
    assert count(built, "(c:FeatureCluster) WHERE NOT (c)<-[:HAS_FEATURE]-()") == 0
    graph = built.read_graph()
    assert sum(edges.shape[1] for edges in graph.has_feature.values()) == 42 * 2


def test_the_graph_read_back_is_the_graph_in_the_database(built: GraphStore) -> None:
    graph = built.read_graph()
    assert graph.genres == ["blues", "jazz"]
    ids = graph.songs.ids
    similar = {(ids[a], ids[b]) for a, b in graph.similar_to.T}
    rows = built.connection.ask("MATCH (a:Song)-[:SIMILAR_TO]->(b:Song) RETURN a.id, b.id").rows
    assert similar == {(a, b) for a, b in rows}
    for family, edges in graph.has_feature.items():
        rows = built.connection.ask(
            "MATCH (s:Song)-[r:HAS_FEATURE {family: $family}]->(c) RETURN s.id, c.id",
            {"family": family},
        ).rows
        assert {(ids[s], graph.cluster_ids[c]) for s, c in edges.T} == {(s, c) for s, c in rows}
    standard = graph.space.standardise(graph.songs.features)
    assigned = graph.space.assign(standard)["low"].index
    start = graph.cluster_ids.index("low:00")
    assert np.array_equal(graph.has_feature["low"][1] - start, assigned)


def test_similar_songs_are_of_the_same_kind(built: GraphStore) -> None:
    graph = built.read_graph()
    weights = built.connection.ask("MATCH ()-[r:SIMILAR_TO]->() RETURN r.weight").rows
    assert all(0 < weight <= 1.0001 for (weight,) in weights)
    genre = [names[0] for names in graph.songs.genres]
    same = [genre[a] == genre[b] for a, b in graph.similar_to.T]
    assert np.mean(same) > 0.9


def guesses(probability: float, *genres: str) -> list[Guess]:
    return [Guess(name, probability / r, 1.0 / r, r) for r, name in enumerate(genres, start=1)]


def model(id: str, state: str = "writing") -> ModelRow:
    return ModelRow(id, NOW, state, "/models/x", "v1", "b", {"accuracy": 0.5, "x": [1, 2]})


def test_predictions_are_replaced_and_come_from_one_model(built: GraphStore) -> None:
    ids = built.read_songs().ids
    built.write_model(model("m1"))
    built.write_predictions("m1", NOW, [(id, guesses(0.9, "blues", "jazz")) for id in ids])
    built.write_predictions("m2", NOW, [(id, guesses(0.6, "jazz")) for id in ids[:5]])
    assert built.counts().predicted_by_model == {"m1": 7, "m2": 5}
    rows = built.connection.ask(
        "MATCH (s:Song {id: $id})-[p:PREDICTED_GENRE]->(g) "
        "RETURN g.name, p.probability, p.score, p.rank, p.model",
        {"id": ids[0]},
    ).rows
    assert rows == [["jazz", 0.6, 1.0, 1, "m2"]]
    # What a model says never touches what the owner said.
    assert built.counts().relationships["IN_GENRE"] == 12


def test_the_current_model_supersedes_the_others(built: GraphStore) -> None:
    built.write_model(model("m1", "current"))
    built.write_model(model("m2"))
    assert {m.id: m.state for m in built.read_models()} == {"m1": "current", "m2": "writing"}
    built.write_model(model("m2", "current"))
    assert {m.id: m.state for m in built.read_models()} == {"m1": "superseded", "m2": "current"}
    assert built.read_models()[0].metrics == {"accuracy": 0.5, "x": [1, 2]}
    assert built.read_models()[0].created_at == NOW


def test_added_songs_come_whole_and_touch_no_other(built: GraphStore) -> None:
    others = "MATCH (s:Song) WHERE s.id <> 'new' RETURN s.id, properties(s) ORDER BY s.id"
    before = built.connection.ask(others).rows
    hanging = Links(
        "new", None, [("low:00", "low", 0.5), ("high:00", "high", 0.4)], [("jazz1", 0.7)]
    )
    ranked = [("new", guesses(0.8, "jazz"))]
    build = built.build() or ""
    built.add_songs([song("new")], [hanging], ranked, model("m1", "current"), NOW, build=build)
    assert built.connection.ask(others).rows == before
    rows = built.connection.ask(
        "MATCH (s:Song {id: 'new'})-[r]->(n) RETURN type(r), coalesce(n.id, n.name)"
    ).rows
    assert sorted(map(tuple, rows)) == [
        ("HAS_FEATURE", "high:00"),
        ("HAS_FEATURE", "low:00"),
        ("PREDICTED_GENRE", "jazz"),
        ("SIMILAR_TO", "jazz1"),
    ]
    assert built.known(["new", "nobody"]) == {"new": "Title of new"}
    with pytest.raises(RebuiltError):
        built.add_songs([song("late")], [hanging], [], None, NOW, build="an older one")
    assert built.known(["late"]) == {}


def test_writers_of_the_same_songs_do_not_double_their_links(
    built: GraphStore, tmp_path: Path
) -> None:
    before = built.counts().relationships

    def rebuild(_: int) -> bool:
        built.begin_build(KINDS)
        try:
            return build_graph(built, KINDS, tmp_path / "neighbours")
        except RebuiltError:
            return False

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(rebuild, range(8)))
    build_graph(built, KINDS, tmp_path / "neighbours")
    assert built.counts().relationships == before


def test_hostile_names_are_only_names(store: GraphStore) -> None:
    hostile = ["'}) DETACH DELETE n //", "`x`", "{a: 1}", '"', "\\", "ünï‮code", "a\nb"]
    songs = [song(f"id {i}", name, artist=name) for i, name in enumerate(hostile)]
    store.write_songs(songs)
    assert [s.genres[0] for s in store.read_keys()] == hostile
    assert [s.artist for s in store.read_keys()] == hostile


def test_file_names_that_are_not_unicode_can_be_stored(store: GraphStore) -> None:
    odd = SongRecord(id="odd", path=Path("/music/caf\udce9.mp3"), title="caf\udce9")
    store.write_songs([NewSong(odd, np.zeros(5, np.float32), 1.0, 8000)])
    row = store.connection.ask("MATCH (s:Song {id: 'odd'}) RETURN s.path, s.title").rows[0]
    assert row == ["/music/caf\\xe9.mp3", "caf\\xe9"]


def test_features_of_two_kinds_are_refused(store: GraphStore) -> None:
    store.write_songs([song("a")])
    other = NewSong(SongRecord(id="b"), np.zeros(7, np.float32), 1.0, 8000)
    store.write_songs([other])
    with pytest.raises(GraphError, match=r"features of different kinds \(5, 7 values\)"):
        store.read_songs()


def test_features_of_two_versions_are_refused(store: GraphStore) -> None:
    for version in ("v1", "v2"):
        store.begin_build(replace(KINDS, version=version))
    with pytest.raises(GraphError, match=r"several versions \(v1, v2\)"):
        store.feature_set()


def test_constraints_keep_keys_unique(store: GraphStore) -> None:
    store.prepare()  # a second time: nothing happens
    store.write_songs([song("a")])
    with pytest.raises(GraphError):
        store.connection.write(lambda tx: tx.run("CREATE (:Song {id: 'a'})").consume())


def test_both_batches_of_a_long_list_arrive(
    store: GraphStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kg.graph.transactions.BATCH", 5)
    store.write_songs(library())
    assert count(store, "(s:Song)") == 12
    assert len(store.known([s.record.id for s in library()])) == 12
