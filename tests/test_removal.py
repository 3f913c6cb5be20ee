"""Songs leave with all that hangs on them, and with nothing else."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.main import main
from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.build import build_graph, near_songs, neighbour_index
from kg.errors import KgError, NotReadyError
from kg.graph.connection import Connection
from kg.graph.rows import Guess, ModelRow
from kg.graph.store import GraphStore
from kg.learning import training
from kg.learning.training import TrainOptions
from kg.neighbours import Neighbours
from kg.removal import Removal, gone_songs, plan_removal, remove_songs
from kg.settings import Settings
from kg.sources.folder import scan
from tests.graph.test_store import KINDS, NOW
from tests.graph.test_store import library as small_songs

NODES = "MATCH (n) RETURN labels(n)[0], properties(n)"
RELATIONSHIPS = """
MATCH (a)-[r]->(b)
RETURN type(r), coalesce(a.id, a.name), coalesce(b.id, b.name), properties(r)
"""
UNTRUE_SIZES = """
MATCH (c:FeatureCluster)
WHERE c.size <> COUNT { (:Song)-[:HAS_FEATURE]->(c) }
RETURN count(c)
"""


class No(Exception):  # noqa: N818
    """What a user says."""


def refuse(removal: Removal) -> None:
    raise No


def everything(library: Library) -> list[str]:
    """All but the sizes of clusters, and how often songs left, which have tests of their own."""
    rows = [row for text in (NODES, RELATIONSHIPS) for row in library.ask(text).rows]
    for row in rows:
        if row[0] == "FeatureCluster":
            row[1].pop("size")
        if row[0] == "FeatureSpace":
            row[1].pop("songChanges", None)
    return sorted(map(repr, rows))


def titles(library: Library) -> set[str]:
    return {row[0] for row in library.ask("MATCH (s:Song) RETURN s.title").rows}


def ids(library: Library, *names: str) -> list[str]:
    text = "MATCH (s:Song) WHERE any(n IN $names WHERE s.path ENDS WITH n) RETURN s.id"
    found = [row[0] for row in library.ask(text, {"names": names}).rows]
    assert len(found) == len(names)
    return found


def test_a_forgotten_song_takes_what_hangs_on_it_and_nothing_else(
    library: Library, music: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    model = ModelRow("m1", NOW, "current", "", "", library.store.build() or "", {})
    library.store.write_model(model)
    guesses = [Guess(genre, 0.3, 1.0, rank) for rank, genre in enumerate(GENRES[:3], 1)]
    every = [song.id for song in library.store.read_keys()]
    library.store.write_predictions("m1", NOW, [(id, guesses) for id in every])
    library.connection.write(
        lambda tx: tx.run("MATCH (s:Song) CREATE (:Shelf {id: s.id})-[:HOLDS]->(s)").consume()
    )
    first, second = ids(library, f"{GENRES[0]}-0.flac", f"{GENRES[0]}-1.flac")
    before = everything(library)
    path = library.ask("MATCH (s:Song {id: $id}) RETURN s.path", {"id": second}).rows[0][0]
    names = [first[:12], path, first]

    shown: list[Removal] = []
    with pytest.raises(No):
        library.forget(names, confirm=refuse)
    assert everything(library) == before
    removal = library.forget(names, confirm=shown.append)
    assert shown == [removal]
    assert {song.id for song in removal.songs} == {first, second}
    assert removal.relationships["HAS_FEATURE"] == 14
    assert removal.relationships["PREDICTED_GENRE"] == 6
    assert removal.relationships["HOLDS"] == 2
    assert removal.genres == []

    stays = [row for row in before if f"'{first}'" not in row and f"'{second}'" not in row]
    after = everything(library)
    # The shelves themselves are somebody else's.
    held = [row for row in after if "Shelf" in row and (first in row or second in row)]
    # Artists and albums go with their last song.
    named = ("['Artist'", "['Album'")
    alone = [row for row in before if row.startswith(named) and row not in after]
    assert sorted(stays + held) == sorted(after + alone)
    assert len(held) == 2
    bare = "MATCH (n) WHERE (n:Artist OR n:Album) AND NOT EXISTS { (:Song)--(n) } RETURN count(n)"
    assert library.ask(bare).rows == [[0]]
    # All relationships that went were announced.
    went = [r for r in before if r not in after and not r.startswith(("['Song'", *named))]
    assert len(went) == sum(removal.relationships.values())
    assert library.ask(UNTRUE_SIZES).rows == [[0]]
    assert library.status().counts.songs == 22
    assert any("songs have come or changed" in line for line in library.status().stale)
    with pytest.raises(KgError, match="no song of the library has that title"):
        library.forget(first)

    # It sounds like those that went: their places go to others.
    new = write_song(tmp_path / "new.flac", GENRES[0], seconds=2.0, seed=0, artist=0, title="new")
    (added,) = library.add(new).added
    near = "MATCH (:Song {id: $id})-[r:SIMILAR_TO]->(o) RETURN count(DISTINCT o.id)"
    assert library.ask(near, {"id": added.id}).rows == [[10]]
    # Its file is still there: the next ingest brings it back.
    report = library.ingest(music)
    assert report.rebuilt
    assert report.counts is not None
    assert report.counts.songs == 25


def test_a_genre_goes_with_its_last_song_and_an_empty_library_can_begin_anew(
    library: Library, music: Path
) -> None:
    library.ingest(music)
    leaving = ids(library, *(f"{GENRES[0]}-{number}.flac" for number in range(6)))
    removal = library.forget(leaving)
    assert removal.genres == [GENRES[0]]
    genres = [row[0] for row in library.ask("MATCH (g:Genre) RETURN g.name ORDER BY g.name").rows]
    assert genres == sorted(GENRES[1:4])
    # Between two that both go there is one relationship, not two.
    assert removal.relationships["SIMILAR_TO"] < 6 * 10 + 18 * 6

    library.forget([row[0] for row in library.ask("MATCH (s:Song) RETURN s.id").rows])
    assert library.ask("MATCH (n) WHERE NOT n:Turn RETURN DISTINCT labels(n)[0] AS l").rows in (
        [], [["KgSchema"]],
    )  # fmt: skip
    assert "The graph is empty" in library.status().stale[0]
    for command in (library.train, lambda: library.forget("x")):
        with pytest.raises(NotReadyError, match="kg ingest"):
            command()
    report = library.ingest(music, excerpt=30)
    assert report.counts is not None
    assert report.counts.songs == 24


def test_prune_removes_what_is_gone_and_only_that(
    library: Library, music: Path, tmp_path: Path
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    shutil.copytree(music, mine)
    shutil.copytree(mine / GENRES[0], other / GENRES[0])
    library.ingest([mine, other], genres_from="folder")
    a, b, c, d = (mine / genre for genre in GENRES[:4])

    (b / f"{GENRES[1]}-0.flac").unlink()  # gone
    (b / f"{GENRES[1]}-1.flac").rename(b / "moved.flac")  # elsewhere
    (a / f"{GENRES[0]}-0.flac").unlink()  # a copy is elsewhere
    (c / f"{GENRES[2]}-0.flac").unlink()
    (c / f"{GENRES[2]}-0.flac").symlink_to(tmp_path / "unmounted")  # a link is there
    for file in d.iterdir():  # as where a disk isn't mounted
        file.unlink()
    before = everything(library)

    shown: list[Removal] = []

    def look(removal: Removal) -> None:
        shown.append(removal)
        raise No

    with pytest.raises(No):
        library.ingest(mine, genres_from="folder", prune=look)
    assert everything(library) == before
    assert [Path(song.path or "").name for song in shown[0].songs] == [f"{GENRES[1]}-0.flac"]

    said: list[str] = []
    library.progress = Says(said)
    shutil.rmtree(other)  # what isn't asked about may be a disk that isn't there
    report = library.ingest(mine, genres_from="folder", prune=shown.append)
    assert report.pruned == 1
    assert report.rebuilt
    assert report.counts is not None
    assert report.counts.songs == 23
    assert any(f"6 below {d}, which is empty" in line for line in said)
    d.rmdir()
    assert library.ingest(mine, genres_from="folder", prune=shown.append).pruned == 6
    assert library.ask(UNTRUE_SIZES).rows == [[0]]
    assert library.status().counts.songs == 17
    assert library.status().counts.genres == 3

    before = everything(library)
    bare = tmp_path / "bare"
    bare.mkdir()
    with pytest.raises(KgError, match=r"no audio file below .*bare.*--prune removes nothing"):
        library.ingest([mine, bare], genres_from="folder", prune=shown.append)
    assert everything(library) == before


class Says:
    """A progress that keeps what is said."""

    def __init__(self, said: list[str]) -> None:
        from kg.progress import SILENT

        self.say = said.append
        self.stage = SILENT.stage


def test_songs_of_odd_names_and_folders_that_can_not_be_seen(
    connection: Connection, tmp_path: Path
) -> None:
    store = GraphStore(connection)
    store.prepare()
    odd = str(tmp_path / "b\udcff\n'.flac")
    paths = {
        "there": [odd.replace("\udcff", "\\xff")],
        "gone": [str(tmp_path / "gone.flac")],
        "half": [str(tmp_path / "gone2.flac"), "/elsewhere/x.flac"],
        "sibling": [str(tmp_path) + "-2/x.flac"],
        "no file": None,
        "deep": [str(tmp_path / "no" / "such" / "folder.flac")],
        "nul": [str(tmp_path / "a\0b.flac")],
        "in a file": [str(tmp_path / "song.flac" / "x.flac")],
    }
    Path(odd).write_bytes(b"")
    write_song(tmp_path / "song.flac", GENRES[0], seconds=0.5)
    rows = [{"id": id, "paths": found, "path": found and found[0]} for id, found in paths.items()]
    connection.write(
        lambda tx: tx.run("UNWIND $rows AS r CREATE (s:Song {id: r.id}) SET s += r", rows=rows)
        .consume()
    )  # fmt: skip
    found = scan([tmp_path], "none")
    assert gone_songs(connection, [tmp_path], found) == ["deep", "gone", "in a file"]


def test_the_index_on_disk_outlives_songs_that_were_forgotten(
    connection: Connection, tmp_path: Path
) -> None:
    store = GraphStore(connection)
    store.prepare()
    store.write_songs(small_songs(60))
    build_graph(store, KINDS, tmp_path / "neighbours")
    space, build = store.read_space()
    songs = store.read_songs()
    vector = space.metric(space.standardise(songs.features[:1]))

    def near() -> list[str]:
        index_ids, found = near_songs(store, space, build, tmp_path / "neighbours", vector)
        return [index_ids[row] for row in found.index[0] if row >= 0]

    def forget(ids: list[str]) -> None:
        assert {song.id for song in plan_removal(connection, ids).songs} == set(ids)
        assert remove_songs(connection, ids) == len(ids)
        assert remove_songs(connection, ids) == 0

    first = near()
    forget(first[:5])
    second = near()
    assert second[:5] == first[5:]
    assert len(second) == 10
    assert len(neighbour_index(store, space, build, tmp_path / "neighbours")) == 60
    forget([*second, *set(store.known(songs.ids)).difference(second[:1], second)][:48])
    third = near()
    assert len(third) == 7
    assert set(third) == set(store.known(songs.ids))
    assert len(neighbour_index(store, space, build, tmp_path / "neighbours")) == 7


def test_neighbours_without_some() -> None:
    found = Neighbours(np.array([[3, 1, 2, -1]]), np.array([[0.9, 0.8, 0.7, 0]], dtype=np.float32))
    kept = found.without([1], 3)
    assert kept.index.tolist() == [[3, 2, -1]]
    assert kept.similarity[0, :2].tolist() == pytest.approx([0.9, 0.7])


@pytest.fixture
def kg(
    server: Settings,
    heard: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    shutil.copytree(heard, server.cache_dir)
    monkeypatch.setenv("KG_HOME", str(server.kg_home))
    if server.neo4j_uri:
        monkeypatch.setenv("NEO4J_URI", server.neo4j_uri)
        monkeypatch.setenv("NEO4J_PASSWORD", server.neo4j_password.get_secret_value())

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kg", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


def test_the_command_line_asks_before_songs_go(
    kg: Callable[..., tuple[int, str, str]],
    music: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(music, mine)
    assert kg("ingest", mine)[0] == 0
    song = mine / GENRES[0] / f"{GENRES[0]}-0.flac"

    code, _, err = kg("forget", song)
    assert code == 2
    assert "nobody can answer here: add --yes" in err
    for usage in (["forget", song, "--yes", "--dry-run"], ["ingest", mine, "--yes"]):
        assert kg(*usage)[0] == 2
    code, out, _ = kg("forget", song, "--dry-run")
    assert code == 0
    assert "To be removed" in out
    assert "HAS_FEATURE" in out
    document = json.loads(kg("forget", song, "--dry-run", "--json")[1])
    assert document["relationships"]["HAS_FEATURE"] == 7

    class Terminal:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

        def readline(self, *_: object) -> str:
            return "n\n"

    with monkeypatch.context() as asked:
        asked.setattr(sys, "stdin", Terminal())
        asked.setattr("click.termui.visible_prompt_func", lambda prompt: "n")
        code, out, err = kg("forget", song)
        assert (code, out) == (1, "")
        assert "Nothing was changed" in err
        asked.setattr("click.termui.visible_prompt_func", lambda prompt: "y")
        code, out, err = kg("forget", song)
        assert (code, out) == (0, "Forgot 1 song.\n")
    code, _, err = kg("forget", song, "--yes")
    assert code == 1
    assert "is not in the library under this path" in err

    song.with_name(f"{GENRES[0]}-1.flac").unlink()
    code, out, _ = kg("ingest", mine, "--prune", "--dry-run")
    assert code == 0
    assert f"{GENRES[0]}-1.flac" in out
    document = json.loads(kg("ingest", mine, "--prune", "--yes", "--json")[1])
    assert (document["pruned"], document["counts"]["songs"]) == (1, 23)  # the first came back
    assert "No song's files are gone" in kg("ingest", mine, "--prune", "--yes")[2]

    file = tmp_path / "library.kg.zip"
    code, out, _ = kg("dump", file)
    assert code == 0
    assert "SIMILAR_TO" in out
    code, _, err = kg("dump", file)
    assert code == 2
    assert "--force" in err
    code, _, err = kg("load", file)
    assert code == 1
    assert "holds a library already" in err
    code, _, err = kg("load", song)
    assert code == 2
    assert "not a dump of kg" in err


def test_a_genre_that_went_with_its_songs_can_still_be_guessed(
    library: Library, music: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    library.train(TrainOptions(epochs=15))
    # As after the last song went that had it, or might have it.
    library.connection.write(
        lambda tx: tx.run("MATCH (g:Genre {name: $name}) DETACH DELETE g", name=GENRES[1]).consume()
    )
    song = write_song(tmp_path / "late.flac", GENRES[1], seconds=2.0, seed=77)
    (added,) = library.add(song).added
    told = "MATCH (:Song {id: $id})-[:PREDICTED_GENRE]->(g) RETURN g.name"
    assert GENRES[1] in {guess.genre for guess in added.guesses}
    assert len(library.ask(told, {"id": added.id}).rows) == 3


def test_a_song_that_goes_while_a_model_is_trained(
    library: Library, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.ingest(music)
    (gone,) = library.ask("MATCH (s:Song) RETURN s.id ORDER BY s.id LIMIT 1").rows[0]
    fit = training.fit

    def forgetting(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("messages", True):
            library.forget(str(gone))
        return fit(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(training, "fit", forgetting)
        report = library.train(TrainOptions(epochs=15))
    assert report.predicted == 23
    assert library.status().counts.predicted_by_model == {report.model.id: 23}
