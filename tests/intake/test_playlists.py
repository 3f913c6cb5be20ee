"""Entries of playlists find their songs, or none; playlists in the graph come, change and go."""

import json
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.main import main
from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.build import build_graph
from kg.compare.material import graph_of
from kg.errors import KgError, NotReadyError, WrongUsageError
from kg.graph.connection import Connection
from kg.graph.dump import write_dump
from kg.graph.load import load_dump
from kg.graph.rows import Linked, Links
from kg.graph.store import GraphStore
from kg.hetero import to_hetero
from kg.intake.playlists import SongIndex, stored_playlists, take_in, title_key
from kg.learning.catching_up import predict_new
from kg.learning.training import TrainOptions, train
from kg.records import NewSong
from kg.removal import plan_removal, remove_songs
from kg.schema import GENRE_EDGE, PLAYLIST_EDGE, PLAYLIST_NODE
from kg.settings import Settings
from kg.sources.playlists import Entry
from models import training
from tests.conftest import empty
from tests.graph.test_store import KINDS, NOW
from tests.graph.test_store import song as song_of

HELD = """
MATCH (p:Playlist)-[r:CONTAINS]->(s:Song)
RETURN p.name, s.title, r.position, r.count ORDER BY p.name, r.position
"""


def song(index: SongIndex, id: str, **said: Any) -> None:
    given = {"title": None, "artist": None, "album_artist": None, "album": None, "duration": None}
    given |= {"paths": [], "key": None}
    index.take(id, *{**given, **said}.values())


def named(artist: str, title: str, **said: Any) -> Entry:
    return Entry(f"{artist} - {title}", names=((artist, title),), **said)


def at(*paths: str, names: tuple[tuple[str, str], ...] = ()) -> Entry:
    return Entry(paths[0], paths=paths, names=names)


def test_titles_that_differ_in_spelling_only() -> None:
    assert title_key("So What") == title_key("SO WHAT!") == title_key("so what (feat. Bill)")
    assert title_key("Help! - Remastered 2009") == title_key("Help! (2009 Remaster)") == "help"
    assert title_key("Jóga") == title_key("Joga")
    assert title_key("So What - Live") != title_key("So What")
    assert title_key("???") == "???"
    assert title_key("Remastered") == "remastered"
    assert title_key("") is title_key(None) is None


def test_files_of_one_name_are_told_apart_by_their_folders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[object] = []
    monkeypatch.setattr("kg.intake.playlists._same_end", lambda *both: looks.append(both) or 2)
    index = SongIndex()
    for number in range(50):
        song(index, str(number), paths=[f"/m/Album {number}/01.flac"])
    assert index.find(at("/elsewhere/Album 7/01.flac")).song == "7"
    assert index.find(at("01.flac")).song is None
    assert len(looks) == 1


def test_a_song_is_found_by_its_path() -> None:
    index = SongIndex()
    song(index, "1", title="So What", paths=["/m/Miles/Kind of Blue/01.flac", "/copy/01.flac"])
    song(index, "2", title="Freddie", paths=["/m/Miles/Kind of Blue/02.flac"])
    song(index, "3", title="Other", paths=["/m/Other/Kind of Blue/02.flac", "/m/cafe\u0301.mp3"])
    found = index.find(at("/nowhere/01.flac", "/copy/01.flac"))
    assert (found.song, found.by) == ("1", "path")
    assert index.find(at("/m/caf\u00e9.mp3")).song == "3"  # accents are written in two ways
    # Elsewhere now, on a disk that knows no letter case: the longest end that is the same decides.
    assert index.find(at("/mnt/MILES/kind of blue/02.FLAC")).song == "2"
    both = index.find(at("/mnt/kind of blue/02.flac"))
    assert both.song is None
    assert {known.id for known in both.several} == {"2", "3"}
    # The title that the playlist shows speaks for one, or against all.
    titled = at("/mnt/kind of blue/02.flac", names=(("Miles", "Freddie"),))
    assert index.find(titled).song == "2"
    assert index.find(at("/x/kind of blue/01.flac", names=(("A", "Else"),))).song is None
    # A file's name alone is too little: every album has a first track.
    assert index.find(at("/x/y/01.flac")).song is None


def test_a_song_is_found_by_its_key() -> None:
    index = SongIndex()
    song(index, "1", title="So What", key="spotify:track:4v")
    song(index, "2", title="Blue", key="5w")
    song(index, "3", title="In FMA", key="7")
    song(index, "4", title="In MSD", key="7")
    assert index.find(Entry("", key="spotify:track:4v")).by == "key"
    assert index.find(Entry("", key="4v")).song == "1"
    assert index.find(Entry("", key="spotify:track:5w")).song == "2"
    assert index.find(Entry("", key="spotify:track:6")).song is None
    assert len(index.find(Entry("", key="7")).several) == 2
    assert not index.find(Entry("")).several


def test_a_song_is_found_by_artist_and_title() -> None:
    index = SongIndex()
    song(index, "1", title="Help!", artist="The Beatles", album="Help!", duration=140.0)
    song(index, "2", title="Help!", artist="Beatles", album="1", duration=142.0)
    song(index, "3", title="Hurt", artist="Johnny Cash feat. X", album_artist="Various Artists")
    song(index, "4", title="Live", artist="A", duration=100.0)
    song(index, "5", title="Live", artist="A", duration=200.0)
    found = index.find(named("johnny cash", "HURT"))
    assert (found.song, found.by) == ("3", "name")
    assert index.find(named("the beatles", "help")).song is None
    assert index.find(named("Beatles", "Help! - Remastered", album="1")).song == "2"
    assert index.find(named("A", "Live", duration=199.0)).song == "5"
    assert len(index.find(named("A", "Live", duration=150.0)).several) == 2
    assert index.find(named("Various Artists", "Hurt")).song is None
    assert not index.find(named("Nobody", "Hurt")).several


@pytest.fixture
def mine(music: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    shutil.copytree(music, folder)
    return folder


def paths(folder: Path, genre: int, *numbers: int) -> list[str]:
    name = GENRES[genre]
    return [str(Path("..") / "mine" / name / f"{name}-{number}.flac") for number in numbers]


def write(file: Path, *lines: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def held(library: Library, name: str) -> list[list[Any]]:
    return [row[2:] for row in library.ask(HELD).rows if row[0] == name]


def test_playlists_come_change_and_go(library: Library, mine: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    with pytest.raises(NotReadyError, match="kg ingest"):
        library.add_playlists(write(lists / "a.m3u", "x.mp3"))
    library.ingest(mine)
    evening = write(
        lists / "evening.m3u",
        *paths(mine, 0, 1, 0, 1),
        *paths(mine, 1, 2),
        "gone.mp3",
        "http://radio/live",
    )
    write(lists / "nothing.pls", "[playlist]", "File1=nowhere.mp3")
    write(lists / "broken.m3u", "\0")
    write(lists / f"best of {GENRES[2]}.m3u8", *paths(mine, 2, 0, 1))
    report = library.add_playlists(lists)
    assert (report.playlists, report.new, report.songs) == (2, 2, 5)
    assert report.entries == 6 + 1 + 1 + 2
    assert report.matched == {"path": 6}
    assert report.missing.count == 3
    assert "gone.mp3" in report.missing.examples
    assert report.others["a web stream"].examples == ["http://radio/live"]
    assert report.empty.examples == ["a", "nothing"]
    assert report.labels.examples == [f"best of {GENRES[2]}"]
    assert [reject.path.name for reject in report.rejected] == ["broken.m3u"]
    assert held(library, "evening") == [[1, 2], [2, 1], [4, 1]]

    # The same again changes nothing; another content replaces it.
    before = library.ask(HELD).rows
    assert library.add_playlists(lists).new == 0
    assert library.ask(HELD).rows == before
    write(evening, *paths(mine, 0, 0))
    report = library.add_playlists(evening)
    assert (report.playlists, report.new) == (1, 0)
    assert held(library, "evening") == [[1, 1]]

    # A playlist that names nothing any more goes.
    write(evening, "gone.mp3")
    report = library.add_playlists(evening)
    assert (report.playlists, report.removed.examples) == (0, ["evening"])
    (left,) = library.playlists()
    assert (left.name, left.songs, left.entries, left.gone) == (
        f"best of {GENRES[2]}", 2, 2, False,
    )  # fmt: skip

    Path(left.path).unlink()
    assert library.playlists()[0].gone
    with pytest.raises(WrongUsageError, match="no playlist with the name, path or id 'x'"):
        library.remove_playlists("x")
    assert [each.id for each in library.remove_playlists(left.id[:6])] == [left.id]
    assert library.playlists() == []
    assert library.remove_playlists(gone=True) == []
    with pytest.raises(KgError, match="There is no playlist below"):
        library.add_playlists(mine)


def test_new_songs_leave_predictions_as_they_are_and_playlists_dont(
    library: Library, mine: Path, tmp_path: Path
) -> None:
    library.ingest(mine)
    evening = write(tmp_path / "lists" / "evening.m3u", *paths(mine, 0, 1), *paths(mine, 1, 2))
    library.add_playlists(evening)
    library.train(TrainOptions(epochs=5))

    def changed() -> bool:
        return any("playlists have changed" in line for line in library.status().stale)

    # By an artist that is there, so that the artist's other songs have company.
    new = write_song(mine / "new.flac", GENRES[0], seconds=2.0, seed=99, artist=0)
    (added,) = library.add(new).added
    artist = "MATCH (:Song {id: $id})-[:BY]->(a)<-[:BY]-(o) RETURN count(o)"
    assert library.ask(artist, {"id": added.id}).rows == [[2]]
    assert not changed()
    write(evening, *paths(mine, 0, 1), *paths(mine, 1, 2), "../mine/new.flac")
    library.add_playlists(evening)
    assert changed()
    library.predict()
    assert not changed()


def test_a_slice_of_the_million(library: Library, mine: Path, tmp_path: Path) -> None:
    library.ingest(mine)
    library.connection.write(
        lambda tx: tx.run(
            "MATCH (s:Song) SET s.sourceKey = 'spotify:track:' + s.id, s.artist = 'A', "
            "s.title = s.id"
        ).consume()
    )
    ids = [song.id for song in library.store.read_keys()]
    tracks = [
        {"track_uri": f"spotify:track:{ids[0]}", "artist_name": "?", "track_name": "?"},
        {"track_uri": "spotify:track:no", "artist_name": "a", "track_name": ids[1]},
        {"track_uri": "spotify:track:no", "artist_name": "Miles", "track_name": "So What"},
    ]
    many = [
        {"name": "same name", "pid": pid, "tracks": tracks[: 1 + pid % 2]} for pid in range(900)
    ]
    many.append({"name": "other", "pid": 900, "tracks": tracks[2:]})
    file = tmp_path / "mpd.slice.0-999.json"
    file.write_text(json.dumps({"playlists": many}))
    report = library.add_playlists(tmp_path)
    assert (report.playlists, report.songs) == (900, 2)
    assert report.matched == {"key": 900, "name": 450}
    assert report.missing.examples == ["Miles - So What"]
    rows = library.ask("MATCH (p:Playlist {pid: 7})-[r:CONTAINS]->(s) RETURN r.position, s.id").rows
    assert sorted(rows) == [[1, ids[0]], [2, ids[1]]]
    with pytest.raises(KgError, match=r"900 playlists are called 'same name'.* 895 more"):
        library.remove_playlists("same name")
    assert len(library.remove_playlists(str(file))) == 900


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


def test_the_command_line(
    kg: Callable[..., tuple[int, str, str]],
    mine: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    party = write(mine / "party.m3u", *(path[8:] for path in paths(mine, 0, 0, 1)))
    code, _, err = kg("ingest", mine)
    assert code == 0
    assert "1 playlist lies in these folders (party.m3u): --playlists takes it in" in err
    code, out, _ = kg("playlists", "list")
    assert (code, out) == (
        0,
        "There are no playlists yet: `kg playlists add FILE` takes some in.\n",
    )

    monkeypatch.setenv("HOME", str(mine.parent))
    assert "1 playlist lies in these folders" in kg("ingest", f"~/{mine.name}")[2]
    (mine / "deeper").mkdir()
    party = party.rename(mine / "deeper" / "party.m3u")
    party.write_text("\n".join(f"../{path[8:]}" for path in paths(mine, 0, 0, 1)))
    # A remark isn't worth another walk through all folders.
    assert "in these folders" not in kg("ingest", mine)[2]

    document = json.loads(kg("ingest", mine, "--playlists", "--json")[1])
    assert document["playlists"]["matched"] == {"path": 2}
    (listed,) = json.loads(kg("playlists", "list", "--json")[1])
    assert (listed["name"], listed["songs"], listed["path"]) == ("party", 2, str(party))
    assert "party" in kg("playlists", "list")[1]
    assert json.loads(kg("ingest", mine, "--json")[1])["playlists"] is None

    wrong = write(tmp_path / "wrong.m3u", "a.mp3", "b.mp3", *(f"{i}.mp3" for i in range(9)))
    code, out, err = kg("playlists", "add", wrong)
    assert (code, out) == (1, "")
    assert "None of the 11 entries is a song of the library: no playlist was taken in." in err
    assert "11 of 11 entries name no song of the library: a.mp3, b.mp3, 0.mp3" in err
    assert "and 6 more" in err
    mixed = write(tmp_path / "mixed.m3u", str(mine / GENRES[0] / f"{GENRES[0]}-0.flac"), "a.mp3")
    code, out, err = kg("playlists", "add", mixed)
    assert code == 0
    assert "by path" in out
    assert "1 of 2 entries name no song of the library: a.mp3." in err
    broken = write(tmp_path / "broken.m3u", "\0")
    assert kg("playlists", "add", broken, mixed)[0] == 0
    code, _, err = kg("playlists", "add", broken, mixed, "--strict")
    assert code == 1
    assert "is no playlist: it doesn't hold text" in err
    assert kg("playlists", "add", tmp_path / "no.m3u")[0] == 2

    assert kg("playlists", "remove")[0] == 2
    code, _, err = kg("playlists", "remove", "nothing")
    assert code == 2
    assert "kg playlists list" in err
    party.unlink()
    assert "(gone)" in kg("playlists", "list")[1]
    assert kg("playlists", "remove", "--gone")[1] == "Removed playlist party (2 songs).\n"
    assert kg("playlists", "remove", "--gone")[1] == "No playlist's file is gone.\n"
    removed = json.loads(kg("playlists", "remove", "MIXED", "--json")[1])
    assert [each["name"] for each in removed] == ["mixed"]


def unheard(count: int) -> list[NewSong]:
    """Songs of two genres that sound alike, by as many artists."""
    return [
        song_of(f"{number:02}{genre}", genre, artist=f"{genre} artist {number}")
        for genre in ("blues", "jazz")
        for number in range(count // 2)
    ]


def a_list(file: Path, ids: Iterable[str]) -> Path:
    return write(file, *(f"/music/{id}.flac" for id in ids))


@pytest.fixture
def built(connection: Connection, tmp_path: Path) -> GraphStore:
    store = GraphStore(connection)
    store.prepare()
    store.write_songs(unheard(120))
    assert build_graph(store, KINDS, tmp_path / "neighbours")
    return store


def mixes(folder: Path, name: str) -> list[Path]:
    """For either genre ten playlists of a few songs each, so that all hang together."""
    files = []
    for genre in ("blues", "jazz"):
        for mix in range(10):
            ids = [f"{(7 * mix + 3 * step) % 60:02}{genre}" for step in range(20)]
            files.append(a_list(folder / f"{name} {mix}{genre[0]}.m3u", ids))
    return files


def test_playlists_are_a_relation_but_labels_in_disguise_are_not(
    built: GraphStore, tmp_path: Path
) -> None:
    report = take_in(built.connection, mixes(tmp_path / "a", "best jazz and blues"))
    assert report.labels.count == 20
    assert PLAYLIST_NODE not in built.read_graph().further

    report = take_in(built.connection, mixes(tmp_path / "b", "evening"))
    assert (report.playlists, report.labels.count) == (20, 0)
    rows = built.read_graph()
    linked = rows.further[PLAYLIST_NODE]
    assert len(linked.keys) == 20
    assert linked.edges.shape == (2, 400)
    data, maps = to_hetero(rows)
    contains = data[PLAYLIST_EDGE].edge_index
    there = "MATCH (:Playlist {id: $p})-[:CONTAINS]->(:Song {id: $s}) RETURN count(*)"
    for playlist, song in contains[:, ::50].T.tolist():
        ends = {"p": maps.further[PLAYLIST_NODE][playlist], "s": rows.songs.ids[song]}
        assert built.connection.ask(there, ends).rows == [[1]]


def test_models_learn_from_playlists() -> None:
    """What songs sound like says nothing here; ten playlists for either genre say nearly all."""
    chance = np.random.default_rng(0)
    genre = np.arange(200) % 2
    x = chance.normal(size=(200, 5)).astype(np.float32)
    contained = [
        chance.choice(np.flatnonzero(genre == own), 20, replace=False)
        for own in (0, 1)
        for _ in range(10)
    ]
    edges = np.stack([np.concatenate(contained), np.repeat(np.arange(20), 20)])
    playlists = {PLAYLIST_NODE: Linked([f"{number:02}" for number in range(20)], edges)}
    told = np.arange(200) % 5 < 2
    right = []
    for further in ({}, playlists):
        rows = graph_of(
            [f"{number:03}" for number in range(200)],
            x,
            KINDS,
            ~told,
            ["test" if held else "train" for held in told],
            ["blues", "jazz"],
            np.eye(2, dtype=np.bool_)[genre] & ~told[:, None],
            0,
            further=further,
        )
        data, maps = to_hetero(rows)
        net = training.train(data, GENRE_EDGE, gathered=maps.gathered).model
        said = training.predict(net, data).numpy()[told].argmax(axis=1)
        right.append((said == genre[told]).mean())
    assert right[0] < 0.6
    assert right[1] > 0.85


def test_a_playlist_goes_with_its_last_song(built: GraphStore, tmp_path: Path) -> None:
    two = [
        a_list(tmp_path / "one.m3u", ["00jazz"]),
        a_list(tmp_path / "two.m3u", ["00jazz", "01jazz"]),
    ]
    take_in(built.connection, two)
    assert plan_removal(built.connection, ["00jazz"]).relationships["CONTAINS"] == 2
    remove_songs(built.connection, ["00jazz"])
    assert [(each.name, each.songs) for each in stored_playlists(built.connection)] == [("two", 1)]


def test_playlists_move_with_a_library(built: GraphStore, tmp_path: Path) -> None:
    take_in(built.connection, mixes(tmp_path, "evening"))
    rows = "MATCH (p:Playlist)-[r:CONTAINS]->(s) RETURN p.name, p.path, r.position, r.count, s.id"
    before = sorted(built.connection.ask(rows).rows)
    assert len(before) == 400
    write_dump(built.connection, tmp_path / "library.kg.zip", {})
    empty(built.connection)
    built.prepare()
    load_dump(built.connection, tmp_path / "library.kg.zip", tmp_path / "models")
    assert sorted(built.connection.ask(rows).rows) == before


def test_a_new_song_hears_the_playlists_that_it_is_in(built: GraphStore, tmp_path: Path) -> None:
    files = mixes(tmp_path, "evening")
    take_in(built.connection, files)
    train(built, tmp_path / "models", TrainOptions(epochs=10))
    build = built.build()
    assert build is not None
    # Three that sound the same: one in no playlist, one in those of jazz, one in a label.
    new = [song_of("new a")]
    new += [replace(new[0], record=song_of(f"new {name}").record) for name in "bc"]
    links = [Links(song.record.id, None, [], []) for song in new]
    built.add_songs(new, links, [], None, NOW, build=build)
    for file in files[10:]:
        with file.open("a") as lines:
            lines.write("/music/new b.flac\n")
    take_in(built.connection, [*files, a_list(tmp_path / "only jazz.m3u", ["new c"])])
    predict_new(built, tmp_path / "models", tmp_path / "centroids")
    told = """
    MATCH (s:Song)-[p:PREDICTED_GENRE]->(:Genre {name: 'jazz'}) WHERE s.id STARTS WITH 'new'
    RETURN s.id, p.score ORDER BY s.id
    """
    (_, alone), (_, in_playlists), (_, in_a_label) = built.connection.ask(told).rows
    assert in_a_label == pytest.approx(alone)
    assert abs(in_playlists - alone) > 0.001
