"""Libraries whose features a table gives, on both servers."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kg import Library
from kg.errors import KgError, NotReadyError, WrongUsageError
from kg.graph.transactions import run
from kg.hetero import load_hetero
from kg.learning.training import TrainOptions
from kg.records import FeatureSet, SongRecord
from kg.removal import Removal
from kg.settings import Settings
from kg.sources.dataset import Batch, LeftOut, SourceTable, row_id
from tests.conftest import empty
from tests.graph.scenario import content
from tests.tables import FAMILIES, GENRES, NAME, made_up, table_of
from tests.test_library import counted, everything

QUICK = TrainOptions(epochs=15)


@pytest.fixture
def bare(server: Settings) -> Iterator[Library]:
    """A library without a song."""
    with Library(server) as library:
        yield library


def test_from_a_table_to_predictions(bare: Library, tmp_path: Path) -> None:
    library = bare
    songs, x = made_up()
    x[3, :6] = np.nan  # lacks a family
    x[7] = np.nan  # lacks all
    left_out = [LeftOut("row 9", "it has no id")]
    table = table_of(songs, x, left_out=left_out, remarks=["Made up."])
    table = replace(table, parents={"techno": ["electronic"], "electronic": []})
    report = library.ingest_table(table)
    assert (report.taken, report.new, report.changed, report.rebuilt) == (48, 48, 0, True)
    assert (report.left_out, report.rows_left_out) == (left_out, 1)
    assert (report.families, report.remarks) == ({"timbre": 6, "harmony": 3}, ["Made up."])
    assert report.bare == 1
    assert report.missing == pytest.approx(np.isnan(x).mean())
    assert report.counts is not None
    assert report.counts.genres == len(GENRES)
    hangs = "(:Song)-[:HAS_FEATURE {family: '%s'}]->()"
    assert counted(library, hangs % "timbre") == 46
    there = (~np.isnan(x[:, 6:])).any(axis=1).sum()
    assert counted(library, hangs % "harmony") == there
    assert counted(library, "(:Song {sourceKey: 'T7'})-[:SIMILAR_TO]-()") == 0
    assert counted(library, "(:Song)-[:IN_GENRE {source: 'table'}]->(:Genre)") == 48
    assert counted(library, "(:Genre)-[:SUBGENRE_OF]->(:Genre {name: 'electronic'})") == 1
    before = everything(library)
    again = library.ingest_table(table)
    assert (again.taken, again.new, again.changed, again.rebuilt) == (48, 0, 0, False)
    assert everything(library) == before

    trained = library.train(QUICK)
    assert trained.predicted == 48
    assert trained.split.protocol == "artist"
    assert trained.tabular is not None
    status = library.status()
    assert (status.stale, status.given, status.excerpt) == ([], True, None)
    assert status.families == ["timbre", "harmony"]
    assert counted(library, "(:Song)-[:PREDICTED_GENRE]->(:Genre)") == 48 * 3
    assert library.predict().predicted == 48
    assert library.evaluate().model is not None

    why = library.explain("T5")
    assert why.explained[0].evidence
    assert {each.family for each in why.explained[0].together} <= {"timbre", "harmony", None}
    # Of a song without any value only its artist speaks.
    bare_one = library.explain("T7").explained[0]
    assert [each.relationship for each in bare_one.evidence] == ["BY"]
    like = library.similar("Song 5", 3)
    assert (like.by, len(like.songs)) == ("embedding", 3)
    seen = library.inspect("T3")
    assert (seen.title, seen.source, seen.key, seen.path) == ("Song 3", NAME, "T3", None)
    assert (seen.duration, seen.sample_rate, seen.heard, seen.given) == (None, None, None, True)
    assert list(seen.features) == ["harmony"]
    with pytest.raises(WrongUsageError, match="Nobody has the features 'timbre' of this song"):
        library.inspect("T3", family="timbre")
    with pytest.raises(KgError, match="without a file"):
        library.inspect("T3", plot=tmp_path / "no.png")

    library.export(tmp_path / "export")
    data, maps = load_hetero(tmp_path / "export")
    assert maps.families == {"timbre": (0, 6), "harmony": (6, 9)}
    assert bool(data["song"].x.isfinite().all())
    home = library.settings.kg_home
    whole = content(library.connection, home)
    library.dump(tmp_path / "library.kg")
    empty(library.connection)
    library.load(tmp_path / "library.kg")
    assert content(library.connection, home) == whole
    assert not library.ingest_table(table).rebuilt

    removal = library.forget("T5")
    assert [song.title for song in removal.songs] == ["Song 5"]
    library.ingest_table(table)
    library.forget([song.id for song in songs])
    assert library.status().feature_version is None


def test_rows_that_change_and_more_tables(bare: Library) -> None:
    library = bare
    songs, x = made_up(24)
    library.ingest_table(table_of(songs, x))
    library.train(QUICK)
    build = library.store.build()

    # Another name or genre changes no feature.
    renamed = [*songs]
    renamed[0] = replace(songs[0], title="Another", genres=("jazz", "Rock"), year=1999)
    report = library.ingest_table(table_of(renamed, x))
    assert (report.new, report.changed, report.rebuilt) == (0, 1, False)
    genres = "MATCH (s:Song {title: 'Another'})-[:IN_GENRE]->(g) RETURN g.name ORDER BY g.name"
    assert library.ask(genres).rows == [["jazz"], ["rock"]]
    assert any("have come or changed" in line for line in library.status().stale)

    # Other values make other clusters, though songs are the same.
    moved = x.copy()
    moved[1] += 1
    report = library.ingest_table(table_of(renamed, moved))
    assert (report.new, report.changed, report.rebuilt) == (0, 1, True)
    assert library.store.build() not in (None, build)
    (raw,) = library.ask("MATCH (s:Song {sourceKey: 'T1'}) RETURN s.features").rows[0]
    np.testing.assert_array_equal(np.frombuffer(raw, "<f4"), moved[1])

    # The same columns in another order, and a row whose id was there already.
    families = {"harmony": ("h3", "h1", "h2"), "timbre": FAMILIES["timbre"]}
    more, y = made_up(12, name="more", seed=5)
    turned = y[:, [8, 6, 7, *range(6)]]
    table = table_of([*more, more[0]], np.vstack([turned, turned[:1]]), name="more")
    report = library.ingest_table(replace(table, families=families))
    assert (report.taken, report.new, report.rows_left_out, report.rebuilt) == (12, 12, 1, True)
    assert report.left_out == [LeftOut("T0", "an earlier row has the same id")]
    stored = library.store.features_of([more[4].id], _kinds(library))
    np.testing.assert_array_equal(stored.features[0], y[4])
    assert library.status().counts.songs == 36
    with pytest.raises(KgError, match=r"2 songs of the library are called 'T0'.*more T0"):
        library.inspect("T0")

    others = table_of(*made_up(4, families={"timbre": FAMILIES["timbre"], "beat": ("b",)}))
    others = replace(others, families={"timbre": FAMILIES["timbre"], "beat": ("b",)})
    before = everything(library)
    with pytest.raises(WrongUsageError, match=r"lacks h1 \(harmony\).*also has b \(beat\)"):
        library.ingest_table(others)
    with pytest.raises(WrongUsageError, match="no column of features"):
        library.ingest_table(replace(others, families={}))
    circle = replace(table, families=families, parents={"a": ["b"], "b": ["a"]})
    with pytest.raises(WrongUsageError, match="goes in a circle"):
        library.ingest_table(circle)
    assert everything(library) == before


def as_form_2(library: Library) -> None:
    """The graph as it was before artists and albums were nodes, and migrated."""
    for text in ("MATCH (a:Artist) DETACH DELETE a", "MATCH (k:KgSchema) SET k.version = 2"):
        library.connection.write(run, text)
    library.store.prepare()


def test_songs_from_before_there_were_artists_get_theirs(bare: Library) -> None:
    library = bare
    songs, x = made_up(24)
    library.ingest_table(table_of(songs, x))
    by = counted(library, "(:Song)-[:BY]->(:Artist)")
    assert by == 24
    library.train(QUICK)
    lacking = "Artists and albums of songs are not in the graph yet: run `kg train`."
    mends = (lambda: library.ingest_table(table_of(songs, x)), lambda: library.train(QUICK))
    for mend in mends:
        as_form_2(library)
        assert counted(library, "(:Song)-[:BY]->(:Artist)") == 0
        assert lacking in library.status().stale
        mend()
        assert counted(library, "(:Song)-[:BY]->(:Artist)") == by
        assert lacking not in library.status().stale
    # What was just learned has heard them.
    assert "artist" in library.hetero_with_ids()[1].further
    assert library.status().stale == []


def test_other_artists_and_playlists_make_predictions_old(bare: Library, tmp_path: Path) -> None:
    library = bare
    songs, x = made_up()
    library.ingest_table(table_of(songs, x))
    evening = tmp_path / "evening.m3u"

    def play(*numbers: int) -> None:
        played = (songs[number] for number in numbers)
        entries = (f"#EXTINF:9,{song.artist} - {song.title}\n{song.key}.mp3\n" for song in played)
        evening.write_text("".join(entries), encoding="utf-8")
        assert library.add_playlists(evening).playlists == 1

    play(1, 5, 9)
    model = library.train(QUICK).model.id
    changed = (
        f"Artists, albums or playlists have changed since model {model} predicted: run "
        "`kg predict`."
    )
    song = library.ask("MATCH (s:Song {split: 'train'}) RETURN s.id ORDER BY s.id LIMIT 1").rows[0]
    library.ingest_table(table_of(songs, x))
    play(1, 5, 9)
    assert library.status().stale == []
    assert library.explain(song[0]).explained

    was = songs[0].artist
    others = [replace(s, artist="Somebody") if s.artist == was else s for s in songs]

    def a_genres_playlist() -> None:  # which models don't hear
        best = evening.with_name("best of jazz.m3u")
        best.write_bytes(evening.read_bytes())
        assert library.add_playlists(best).labels.count == 1

    for change, expected in (
        (lambda: library.ingest_table(table_of(others, x)), [changed]),
        (lambda: library.ingest_table(table_of(others, x)), []),
        (lambda: play(1, 5), [changed]),
        (a_genres_playlist, []),
        (lambda: library.remove_playlists("evening"), [changed]),
    ):
        change()
        assert library.status().stale == expected
        if expected:
            library.predict()
        assert library.status().stale == []
        assert library.explain(song[0]).explained

    # A model that knows no playlists can't hear of them.
    library.train(QUICK)
    play(2, 6)
    assert library.status().stale == []


def _kinds(library: Library) -> FeatureSet:
    kinds = library.store.feature_set()
    assert kinds is not None
    return kinds


def test_vectors_prune_and_audio(bare: Library, music: Path, tmp_path: Path) -> None:
    library = bare
    songs, x = made_up(24)
    table = table_of(songs, x)
    library.ingest_table(table)

    keys = [song.key for song in songs[:-2]] + ["nobody"]
    values = np.random.default_rng(0).normal(size=(23, 4)).astype(np.float32)
    np.savez(tmp_path / "v.npz", id=np.array(keys), vectors=values)
    found = library.ingest_vectors(tmp_path / "v.npz", "mine")
    assert (found.songs, found.without, found.unknown, found.rebuilt) == (22, 2, 1, True)
    assert not library.ingest_table(table).rebuilt
    assert library.status().embeddings == ["file:mine"]
    more, y = made_up(8, first=24)
    assert library.ingest_table(table_of([*songs, *more], np.vstack([x, y]))).new == 8
    assert counted(library, "()-[:HAS_FEATURE {family: 'mine'}]->()") == 22
    library.train(QUICK)
    with pytest.raises(WrongUsageError, match="already"):
        library.ingest_vectors(tmp_path / "v.npz", "timbre")

    for step in (
        lambda: library.ingest(music),
        lambda: library.ingest(music, excerpt=10.0),
        lambda: library.add(music),
        lambda: library.watch(music),
    ):
        with pytest.raises(WrongUsageError, match=r"come from a table.*kg ingest TABLE"):
            step()
    with pytest.raises(NotReadyError, match="embedding musicnn"):
        library.suggest_genres()

    def stop(removal: Removal) -> None:
        shown.append([song.title for song in removal.songs])
        raise KgError("no")

    shown: list[Sequence[str | None]] = []
    before = everything(library)
    with pytest.raises(KgError, match="no"):
        library.ingest_table(table, prune=stop)
    assert shown == [[f"Song {n}" for n in range(24, 32)]]
    with pytest.raises(KgError, match="prune removes nothing"):
        library.ingest_table(table_of([], x[:0]), prune=stop)
    assert everything(library) == before
    assert library.ingest_table(table_of([], x[:0])).counts is None
    # Who is there and can't be read isn't gone, and of a row that nobody can read who knows?
    odd = [LeftOut(more[0].key, "odd"), LeftOut(f"A/{more[1].key}.h5", "damaged")]
    with pytest.raises(KgError, match="no"):
        library.ingest_table(table_of(songs, x, left_out=odd), prune=stop)
    assert shown[-1] == [f"Song {n}" for n in range(26, 32)]
    odd += [LeftOut("line 7", "ragged", unreadable=True)] * 2
    with pytest.raises(KgError, match=r"2 rows of .* can't be read, so --prune can't tell what is"):
        library.ingest_table(table_of(songs, x, left_out=odd), prune=stop)
    assert everything(library) == before
    report = library.ingest_table(table, prune=lambda removal: None)
    assert (report.pruned, report.rebuilt, library.status().counts.songs) == (8, True, 24)
    # Where all go the library begins anew, and nobody misses what a file once brought.
    report = library.ingest_table(table_of(*made_up(8, first=90)), prune=lambda removal: None)
    assert (report.pruned, report.new) == (24, 8)
    status = library.status()
    assert (status.counts.songs, status.embeddings) == (8, [])


def test_a_table_into_a_library_that_listens(library: Library, music: Path) -> None:
    library.ingest(music)
    before = everything(library)
    with pytest.raises(WrongUsageError, match=r"listens to its songs.*--vectors FILE --family"):
        library.ingest_table(table_of(*made_up(8)))
    assert everything(library) == before


def test_an_ingest_that_was_cut_off_goes_on(bare: Library, tmp_path: Path) -> None:
    library = bare
    songs, x = made_up(60)
    table = table_of(songs, x)
    whole = table.batches

    def cut() -> Iterator[Batch]:
        for number, batch in enumerate(whole()):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        library.ingest_table(replace(table, batches=cut))
    status = library.status()
    assert status.counts.songs == 40
    assert "An ingest was cut off: run `kg ingest` again on the same table." in status.stale
    with pytest.raises(NotReadyError, match="run the same `kg ingest` again"):
        library.dump(tmp_path / "half.kg")
    report = library.ingest_table(table)
    assert (report.taken, report.new, report.changed, report.rebuilt) == (60, 20, 0, True)
    straight = [row for row in everything(library) if "FeatureSpace" not in row]

    empty(library.connection)
    with Library(library.settings) as other:
        other.ingest_table(table)
        assert [row for row in everything(other) if "FeatureSpace" not in row] == straight
    # All rows are there, and clusters aren't: the values count as others, whoever asks.
    old = library.store.build()
    kinds = _kinds(library)
    library.store.begin_build(replace(kinds, given="others"))
    report = library.ingest_table(table)
    assert (report.new, report.rebuilt) == (0, True)
    assert library.store.build() not in (None, old)


@pytest.mark.slow
def test_the_table_of_gtzan(bare: Library, data_dir: Path, tmp_path: Path) -> None:
    library = bare
    table = gtzan(data_dir / "gtzan" / "features_30s.csv")
    report = library.ingest_table(table)
    assert report.counts is not None
    assert (report.taken, report.counts.genres, report.missing) == (710, 10, 0)
    trained = library.train(TrainOptions(epochs=60, split="given"))
    assert trained.validation_f1 is not None
    # Chance is 0.1; no test song is here, and the split keeps artists apart.
    assert 0.35 < trained.validation_f1 < 0.85
    assert not trained.leaking
    assert library.predict().predicted == 710
    assert library.evaluate().model is not None
    assert library.explain("blues.00000.wav").explained
    assert len(library.similar("blues.00000.wav").songs) == 10
    library.export(tmp_path / "export")
    assert not library.ingest_table(table).rebuilt


def gtzan(path: Path) -> SourceTable:
    """GTZAN's table, in families by what its columns begin with."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    plain = {"filename", "length", "genre", "label", "artist", "title", "split"}
    columns = [name for name in rows[0] if name not in plain]
    families = {
        "mfcc": tuple(name for name in columns if name.startswith("mfcc")),
        "rest": tuple(name for name in columns if not name.startswith("mfcc")),
    }
    x: NDArray[np.float32] = np.array(
        [[float(row[name]) for names in families.values() for name in names] for row in rows],
        dtype=np.float32,
    )
    songs = [
        SongRecord(
            row_id("gtzan", row["filename"]),
            title=row["title"] or None,
            artist=row["artist"] or None,
            genres=(row["genre"],),
            genre_source="table",
            split=row["split"] or None,
            source="gtzan",
            key=row["filename"],
        )
        for row in rows
    ]
    return table_of(songs, x, name="gtzan", families=families, size=200)
