"""A map shows who sounds like whom, stays as it is while songs come and go, and is kept."""

from pathlib import Path

import numpy as np
import pytest

from kg import Library
from kg.audio.synth import write_song
from kg.errors import GraphError
from kg.maps import songs
from kg.maps.layout import EPOCHS, unfold
from kg.maps.songs import SongMap, song_map


def places(drawn: SongMap) -> dict[str, tuple[float, float]]:
    return {id: (float(x), float(y)) for id, x, y in zip(drawn.ids, drawn.x, drawn.y, strict=True)}


def test_similar_songs_lie_near_each_other(library: Library, music: Path) -> None:
    library.ingest(music)
    drawn = song_map(library)
    assert sorted(drawn.ids) == list(drawn.ids)
    assert {id for (id,) in library.ask("MATCH (s:Song) RETURN s.id").rows} == {*drawn.ids}
    points = np.stack([drawn.x, drawn.y], axis=1)
    assert np.abs(points).max() == pytest.approx(1)
    at = {id: row for row, id in enumerate(drawn.ids)}
    # The nearest of each song: SIMILAR_TO has ten of 23, which is nearly all.
    rows = library.ask("MATCH (s:Song)-[r:SIMILAR_TO]->(o:Song) RETURN s.id, o.id, r.weight").rows
    best: dict[str, tuple[float, str]] = {}
    for one, other, weight in rows:
        best[one] = max(best.get(one, (-1.0, "")), (weight, other))
    near = [np.linalg.norm(points[at[one]] - points[at[to]]) for one, (_, to) in best.items()]
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert np.median(near) < 0.6 * np.median(apart)


def test_a_map_is_kept_until_the_graph_is_rebuilt(
    library: Library, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.ingest(music)
    first = places(song_map(library))
    drawn: list[str] = []
    real = songs._made
    monkeypatch.setattr(songs, "_made", lambda *given: drawn.append("again") or real(*given))
    assert places(song_map(library)) == first
    assert drawn == []
    # One leaves and one comes: nobody else moves.
    gone = next(iter(first))
    library.forget(gone)
    write_song(tmp_path / "new.flac", "dub", seconds=2.0, seed=99)
    library.add(tmp_path / "new.flac")
    now = places(song_map(library))
    (id,) = {*now} - {*first}
    assert {song: now[song] for song in now if song != id} == {
        song: where for song, where in first.items() if song != gone
    }
    like = library.ask(
        "MATCH (:Song {id: $id})-[:SIMILAR_TO]->(o:Song) RETURN o.id", {"id": id}
    ).rows
    middle = np.mean([first[other] for (other,) in like], axis=0)
    assert now[id] == pytest.approx(tuple(middle), abs=1e-5)
    assert drawn == []
    # A damaged file is drawn anew, to the same map as long as the songs are the same.
    library.settings.map_file.write_bytes(b"no map")
    assert len(song_map(library)) == len(now)
    assert drawn == ["again"]


def test_an_unfinished_graph_has_no_map(library: Library, music: Path) -> None:
    library.ingest(music)
    library.connection.write(
        lambda tx: tx.run("MATCH (f:FeatureSpace) SET f.state = 'building'").consume()
    )
    with pytest.raises(GraphError, match="not finished"):
        song_map(library)


def test_one_song_and_copies_of_one_lie_somewhere(library: Library, tmp_path: Path) -> None:
    write_song(tmp_path / "jazz" / "one.flac", "rock", seconds=2.0, seed=1)
    library.ingest(tmp_path / "jazz", genres_from="none")
    drawn = song_map(library)
    assert len(drawn) == 1
    assert np.isfinite(drawn.x).all()


def test_links_pull_and_all_else_repels() -> None:
    chance = np.random.default_rng(0)
    start = chance.normal(size=(40, 2)).astype(np.float32)
    pairs = [(i, j) for i in range(40) for j in range(40) if i != j and i // 20 == j // 20]
    heads, tails = np.array(pairs, dtype=np.int32).T.copy()
    one, other = start.copy(), start.copy()
    unfold(one, heads, tails, 0, EPOCHS)
    for first in range(0, EPOCHS, 50):
        unfold(other, heads, tails, first, 50)
    for moved in (one, other):
        middles = moved[:20].mean(axis=0), moved[20:].mean(axis=0)
        wide = max(moved[:20].std(axis=0).max(), moved[20:].std(axis=0).max())
        assert np.linalg.norm(middles[0] - middles[1]) > 2 * wide
    again = start.copy()
    unfold(again, heads, tails, 0, EPOCHS)
    assert (again == one).all()
