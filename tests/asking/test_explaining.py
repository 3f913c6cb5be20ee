"""Why a song has its genres: the evidence, its words, its Cypher, and when there is none."""

import re
from pathlib import Path

import pytest

from kg import Library
from kg.asking import explaining
from kg.asking.explaining import Explanation
from kg.asking.wording import cluster_in_words, song_in_words, standing, tag_in_words
from kg.audio.synth import GENRES, write_song
from kg.errors import KgError, NotReadyError
from kg.graph.driver import neo4j
from kg.graph.surroundings import GenresAround, Known
from kg.graph.transactions import pack
from kg.learning.training import TrainOptions
from tests.embeddings.ears import write_weights

TRAINED = TrainOptions(epochs=40)


@pytest.fixture
def trained(library: Library, music: Path) -> Library:
    library.ingest(music)
    library.train(TRAINED)
    return library


def run(library: Library, cypher: str, **parameters: object) -> None:
    def work(tx: neo4j.ManagedTransaction) -> None:
        tx.run(cypher, parameters).consume()

    library.connection.write(work)


def songs_of(library: Library, split: str) -> list[str]:
    cypher = "MATCH (s:Song {split: $split}) RETURN s.id ORDER BY s.id"
    return [id for (id,) in library.ask(cypher, {"split": split}).rows]


def shown(library: Library, cypher: str) -> list[tuple[str, str]]:
    answer = library.ask(cypher)
    rows = [dict(zip(answer.keys, row, strict=True)) for row in answer.rows]
    return [(row["path"], row["key"]) for row in rows]


def plant(library: Library, title: str, *, songs: list[str], clusters: list[str]) -> None:
    """A song whose own sound says nothing, linked to these."""
    space, _ = library.store.read_space()
    run(
        library,
        """
        CREATE (s:Song {id: $id, title: $title, features: $features})
        WITH s
        OPTIONAL MATCH (o:Song) WHERE o.id IN $songs
        WITH s, collect(o) AS others
        OPTIONAL MATCH (c:FeatureCluster) WHERE c.id IN $clusters
        WITH s, others, collect(c) AS clusters
        FOREACH (o IN others | CREATE (s)-[:SIMILAR_TO {weight: 0.9}]->(o))
        FOREACH (c IN clusters |
          CREATE (s)-[:HAS_FEATURE {family: c.family, weight: 0.9, rank: 1}]->(c))
        """,
        id=f"{title.encode().hex():0<32}"[:32],
        title=title,
        features=pack(space.mean),
        songs=songs,
        clusters=clusters,
    )


def test_a_song_that_left_is_missed_by_status_too(library: Library, music: Path) -> None:
    library.ingest(music)
    first, *_ = [id for (id,) in library.ask("MATCH (s:Song) RETURN s.id ORDER BY s.id").rows]
    # A labelled one is missed anyway: there were other labels.
    run(library, "MATCH (:Song {id: $id})-[r:IN_GENRE]->() DELETE r", id=first)
    library.train(TRAINED)
    library.forget(first)
    song = songs_of(library, "train")[0]
    with pytest.raises(NotReadyError, match=r"has changed since model .* run `kg predict`"):
        library.explain(song)
    (said,) = library.status().stale
    assert said.startswith("Songs have left the library since model ")
    library.predict()
    assert library.status().stale == []
    assert library.explain(song).explained


def of_genre(library: Library, genre: str) -> list[str]:
    cypher = (
        "MATCH (s:Song {split: 'train'})-[:IN_GENRE]->(:Genre {name: $genre}) "
        "RETURN s.id ORDER BY s.id"
    )
    return [id for (id,) in library.ask(cypher, {"genre": genre}).rows]


def test_a_planted_reason_is_named_first(trained: Library) -> None:
    reason = of_genre(trained, GENRES[1])[0]
    others = of_genre(trained, GENRES[0])[:2]
    plant(trained, "Planted", songs=[reason, *others], clusters=["rhythm:00", "mfcc:01"])
    trained.predict()
    found = trained.explain("planted")
    told = {genre.genre: genre for genre in found.explained}
    assert set(told) == set(GENRES[:2])
    first, *_, last = told[GENRES[1]].evidence
    assert (first.relationship, first.key) == ("SIMILAR_TO", reason)
    assert first.words.startswith('sounds like "')
    assert f"({GENRES[1]})" in first.words
    assert first.share > 0.2
    assert first.contribution > 0 > last.contribution
    assert told[GENRES[0]].evidence[0].key in others


def test_the_only_reason_may_be_a_cluster(trained: Library) -> None:
    cypher = (
        "MATCH (c:FeatureCluster)<-[:HAS_FEATURE]-(:Song)-[:IN_GENRE]->(g:Genre) "
        "RETURN c.id, g.name, count(*) AS n, c.size "
        "ORDER BY n * 1.0 / c.size DESC, n DESC, c.id LIMIT 1"
    )
    ((cluster, genre, n, size),) = trained.ask(cypher).rows
    plant(trained, "Planted", songs=[], clusters=[cluster])
    trained.predict()
    found = trained.explain("Planted")
    told = found.explained[0]
    assert [(piece.relationship, piece.key) for piece in told.evidence] == [
        ("HAS_FEATURE", cluster)
    ]
    assert told.genre == genre
    assert told.evidence[0].share == 1
    assert f"({cluster}): {n} of {size} are {genre}" in told.evidence[0].words
    assert len(told.summary) == 1  # there are no others that could be left out together


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_score_is_the_stored_one(
    trained: Library, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "AGREES", 1e-4)
    for id in songs_of(trained, split)[:6]:
        found = trained.explain(id)
        (genres,) = trained.ask(
            "MATCH (:Song {id: $id})-[r:PREDICTED_GENRE]->(g) WITH r, g ORDER BY r.rank LIMIT 2 "
            "RETURN collect([g.name, r.probability, r.score])",
            {"id": id},
        ).rows[0]
        assert [[g.genre, g.probability, g.score] for g in found.explained] == genres


def test_what_is_explained_and_shown_in_cypher(trained: Library) -> None:
    (id, *_) = songs_of(trained, "test")
    found = trained.explain(id, named=5)
    assert (found.id, [genre.rank for genre in found.explained]) == (id, [1, 2])
    assert found.genres == [genre for (genre,) in trained.ask(
        "MATCH (:Song {id: $id})-[:IN_GENRE]->(g) RETURN g.name", {"id": id}).rows]  # fmt: skip
    linked = {
        tuple(row)
        for row in trained.ask(
            "MATCH (:Song {id: $id})-[r:SIMILAR_TO|HAS_FEATURE|BY|ON]-(n) "
            "RETURN DISTINCT type(r), n.id",
            {"id": id},
        ).rows
    }
    for told in found.explained:
        # Every neighbour once, however it is linked.
        assert len(told.evidence) == len(linked)
        assert {(piece.relationship, piece.key) for piece in told.evidence} == linked
        assert sum(abs(piece.share) for piece in told.evidence) == pytest.approx(1)
        contributions = [piece.contribution for piece in told.evidence]
        assert contributions == sorted(contributions, reverse=True)
        assert len(told.named) == 5
        assert told.named[0] == told.evidence[0]
        paths = shown(trained, told.cypher)
        assert len(paths) == 5
        assert set(paths) == {(piece.relationship, piece.key) for piece in told.named}
        kinds = {"SIMILAR_TO", "HAS_FEATURE", "BY", "ON"}
        assert {each.relationship for each in told.together} == kinds
        assert sum(each.neighbours for each in told.together) == len(linked)
        songs, own = told.summary
        assert re.match(rf"Without all \d+ similar songs {told.genre} would ", songs)
        assert own.startswith("By its own sound alone, without any neighbour, ")
        assert set(told.own.families) == set(trained.store.feature_set().families)


@pytest.mark.slow
def test_what_a_network_hears_is_evidence(library: Library, music: Path) -> None:
    write_weights(library.settings.embeddings_dir)
    library.ingest(music)
    library.train(TRAINED)
    (id, *_) = songs_of(library, "test")
    found = library.explain(id, named=100)
    heard = library.ask("MATCH (:Song {id: $id})-[:HAS_TAG]->(t) RETURN t.name", {"id": id}).rows
    for told in found.explained:
        tags = {each.key: each.words for each in told.evidence if each.relationship == "HAS_TAG"}
        assert sorted(tags) == sorted(name for (name,) in heard)
        for tag, words in tags.items():
            assert words.startswith(f'musicnn hears "{tag}" in it; of the other songs with it ')
        assert set(shown(library, told.cypher)) == {
            (each.relationship, each.key) for each in told.evidence
        }
        assert any(sentence.startswith("Without all 10 tags ") for sentence in told.summary)
    (other, *_) = library.similar(id, 1).songs
    assert other.words.endswith(f"heard in both: {', '.join(other.tags)}")


def test_an_added_song_is_explained_by_its_neighbours(trained: Library, tmp_path: Path) -> None:
    new = write_song(tmp_path / "new.flac", GENRES[2], seconds=2.0, seed=7, artist=9, title="New")
    trained.add(new)
    found = trained.explain("New")
    assert len(found.explained[0].evidence) == 17  # ten songs, seven clusters
    # A song that is linked to by one that came later hears nothing of it.
    later = write_song(tmp_path / "later.flac", GENRES[2], seconds=2.0, seed=8, artist=9)
    trained.add(later)
    assert len(trained.explain("New").explained[0].evidence) == 17
    for id in (*songs_of(trained, "train")[:1], *songs_of(trained, "test")[:1]):
        trained.explain(id)


def test_songs_that_can_not_be_explained(library: Library, music: Path, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="kg ingest"):
        library.explain("anything")
    library.ingest(music)
    id = library.ask("MATCH (s:Song) RETURN s.id ORDER BY s.id LIMIT 1").rows[0][0]
    with pytest.raises(NotReadyError, match="no model yet: run `kg train`"):
        library.explain(id)
    library.train(TRAINED)
    with pytest.raises(KgError, match="no song of the library"):
        library.explain("nothing like it")
    run(library, "MATCH (s:Song) WHERE s.id IN $ids SET s.title = 'Twins'", ids=_two(library))
    with pytest.raises(KgError, match="2 songs of the library are called 'Twins'") as several:
        library.explain("Twins")
    assert all(each[:12] in str(several.value) for each in _two(library))

    run(library, "MATCH (:Song {id: $id})-[r:PREDICTED_GENRE]->() DELETE r", id=id)
    with pytest.raises(NotReadyError, match="no predictions of the model in use"):
        library.explain(id)
    library.predict()
    assert isinstance(library.explain(id), Explanation)


def _two(library: Library) -> list[str]:
    return [id for (id,) in library.ask("MATCH (s:Song) RETURN s.id ORDER BY s.id LIMIT 2").rows]


def test_a_graph_that_has_changed_since_is_refused(
    trained: Library, music: Path, tmp_path: Path
) -> None:
    held_out, learned = songs_of(trained, "test")[0], songs_of(trained, "train")[0]
    for id in (held_out, learned):
        run(trained, "MATCH (:Song {id: $id})-[r:SIMILAR_TO]->() DELETE r", id=id)
        with pytest.raises(NotReadyError, match=r"has changed since model .* run `kg predict`"):
            trained.explain(id)
    trained.predict()
    trained.explain(held_out)
    trained.explain(learned)

    # A song that is gone: what was learned by may have heard from it.
    trained.forget(songs_of(trained, "train")[1])
    with pytest.raises(NotReadyError, match=r"has changed since model .* run `kg predict`"):
        trained.explain(learned)

    write_song(tmp_path / GENRES[0] / "new.flac", GENRES[0], seconds=2.0, seed=30, artist=9)
    trained.ingest(tmp_path / GENRES[0], genres_from="folder")
    with pytest.raises(NotReadyError, match=r"rebuilt after model .* run `kg train`"):
        trained.explain(held_out)
    trained.predict()
    trained.explain(held_out)


def test_the_words() -> None:
    networks = {"musicnn": "musicnn"}
    around = GenresAround(13, {"jazz": 8, "blues": 1, "pop": 0})
    assert song_in_words(Known("So What", "Miles Davis", ["jazz"], told=False)) == (
        'sounds like "So What" by Miles Davis (jazz)'
    )
    assert song_in_words(Known("x.mp3", None, ["jazz"], told=True)) == (
        'sounds like "x.mp3" (probably jazz)'
    )
    assert song_in_words(Known("x.mp3", None, [], told=True)) == 'sounds like "x.mp3" (no genre)'
    for family, genre, expected in (
        ("mfcc", "jazz", "songs of alike timbre (x:07): 8 of 13 are jazz"),
        ("tonnetz", "blues", "songs of alike harmony (x:07): 1 of 13 is blues"),
        ("musicnn", "pop", "songs that musicnn hears alike (x:07): none of 13 is pop"),
        ("clap", "jazz", "songs alike in clap (x:07): 8 of 13 are jazz"),
    ):
        words = cluster_in_words(family, "x:07", networks, around, genre)
        assert words == f"belongs to a group of {expected}"
    many, nobody = GenresAround(400, {"jazz": 1}), GenresAround(0, {"jazz": 0})
    assert tag_in_words("sax", "musicnn", many, "jazz") == (
        'musicnn hears "sax" in it; of the other songs with it 1 % are jazz'
    )
    assert tag_in_words("sax", "musicnn", nobody, "jazz").endswith("no other has a genre")
    assert standing("jazz", 1, "jazz", now=1) == "jazz would still be first"
    assert standing("jazz", 4, "pop", now=1) == "jazz would be number 4, after pop"
