"""Songs that are doubted: what their nodes say, on both servers and through a library's life."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file, save_file

from kg import Library
from kg.audio.decode import SAMPLE_RATE
from kg.audio.synth import GENRES, write_song
from kg.errors import NotReadyError, WrongUsageError
from kg.intake import audio
from kg.learning import doubt
from kg.learning.doubt import LOW_PROBABILITY, UNKNOWN, UNLIKE, column_weights
from kg.learning.training import TrainOptions
from kg.records import Embedding, FeatureSet, NewSong, SongRecord
from kg.settings import Settings
from models import checkpoint
from tests.conftest import empty

# Any genre is good enough, and none is: 24 songs leave too few validation songs for a threshold.
CARELESS = TrainOptions(epochs=20, precision=0.01)
CAREFUL = TrainOptions(epochs=20, precision=1.0)

SONGS = """
MATCH (s:Song)
OPTIONAL MATCH (s)-[p:PREDICTED_GENRE {rank: 1}]->(g:Genre)
RETURN s.id AS id, s.predicted AS predicted, s.doubt AS doubt, s.novelty AS novelty,
       g.name AS first, p.probability AS probability, p.model AS model ORDER BY id
"""


def songs(library: Library) -> list[dict[str, Any]]:
    answer = library.ask(SONGS)
    return [dict(zip(answer.keys, row, strict=True)) for row in answer.rows]


def run(library: Library, cypher: str, **parameters: Any) -> None:
    library.connection.write(lambda tx: tx.run(cypher, parameters).consume())


def noise(path: Path, seed: int = 0) -> Path:
    wave = np.random.default_rng(seed).normal(0, 0.3, 2 * SAMPLE_RATE).clip(-1, 1)
    soundfile.write(path, wave.astype(np.float32), SAMPLE_RATE)
    return path


def test_every_song_says_what_it_is_taken_for(library: Library, music: Path) -> None:
    library.ingest(music)
    assert all(song["predicted"] is None for song in songs(library))
    report = library.train(CARELESS)
    told = songs(library)
    assert len(told) == 24
    for song in told:
        assert 0 <= song["novelty"] <= 1
        far = song["novelty"] > doubt.UNLIKE_ABOVE
        assert song["doubt"] == (UNLIKE if far else None)
        assert song["predicted"] == (UNKNOWN if far else song["first"])
    before = {song["id"]: (song["first"], song["probability"]) for song in told}
    assert 0 < report.doubt.coverage <= 1

    report = library.train(CAREFUL)
    told = songs(library)
    assert all(song["predicted"] == UNKNOWN for song in told)
    assert {song["doubt"] for song in told} <= {LOW_PROBABILITY, UNLIKE}
    # The guesses are what they were: doubt changes none of them.
    assert {song["id"]: (song["first"], song["probability"]) for song in told} == before
    assert (report.doubt.coverage, report.doubt.precision) == (0, None)
    assert library.status().counts.unknown == 24


def test_the_model_node_says_what_it_is_worth(library: Library, music: Path) -> None:
    library.ingest(music)
    report = library.train(CARELESS).doubt
    flat = library.ask(
        "MATCH (m:Model) RETURN m.ece, m.eceUncalibrated, m.brier, m.brierUncalibrated, m.aurc, "
        "m.coverage, m.precision, m.precisionAsked, m.calibrationSongs, m.probabilityThreshold"
    ).rows
    assert flat == [
        [
            report.ece, report.ece_uncalibrated, report.brier, report.brier_uncalibrated,
            report.aurc, report.coverage, report.precision, 0.01, 8, 0.01,
        ]
    ]  # fmt: skip
    assert (report.side, report.songs) == ("test", 8)
    (kept,) = library.store.read_models()
    curve = kept.metrics["riskCoverage"]
    assert [point[0] for point in curve] == [n / 8 for n in range(1, 9)]
    assert kept.metrics["doubtSongs"] == 8
    assert kept.metrics["reliability"] == [] == report.reliability  # too few at a point
    looks = library.ask("MATCH (t:TestSplit) RETURN size(t.looks)").rows
    assert looks == [[1]]


def test_probabilities_in_the_graph_are_calibrated_and_come_back(
    library: Library, music: Path
) -> None:
    library.ingest(music)
    library.train(CARELESS)
    kept = songs(library)
    run(library, "MATCH (s:Song) REMOVE s.predicted, s.doubt, s.novelty")
    assert library.predict().calibrated
    assert songs(library) == kept
    scores = library.ask(
        "MATCH (:Song)-[p:PREDICTED_GENRE]->() RETURN max(p.probability), min(p.probability)"
    ).rows
    # By the usual values, which eight validation songs move but little, nothing is certain.
    (most, least) = scores[0]
    assert most < 1 - 0.03 * 3 / 4
    assert least > 0.03 / 4


def test_verdicts_go_with_their_model_and_change_with_it(library: Library, music: Path) -> None:
    library.ingest(music)
    careless = library.train(CARELESS).model.id
    first = songs(library)
    careful = library.train(CAREFUL).model.id
    second = songs(library)
    assert {song["model"] for song in second} == {careful}
    library.use_model(careless)
    assert songs(library) == first
    library.remove_models(careful)
    assert songs(library) == first  # not its own
    library.remove_models(careless, force=True)
    for song in songs(library):
        assert [song[name] for name in ("predicted", "doubt", "novelty", "first")] == [None] * 4
    assert library.status().counts.unknown == 0


def test_added_songs_say_it_too(library: Library, music: Path, tmp_path: Path) -> None:
    library.ingest(music)
    new = write_song(tmp_path / "new.flac", GENRES[1], seconds=2.0, seed=9, artist=1)
    (added,) = library.add(new).added
    assert (added.guesses, added.verdict) == ([], None)
    library.forget(added.id)
    library.train(CARELESS)
    (added,) = library.add(new).added
    (song,) = [song for song in songs(library) if song["id"] == added.id]
    assert added.verdict is not None
    assert song["first"] == added.guesses[0].genre
    assert song["predicted"] == added.verdict.predicted
    assert (song["doubt"], song["novelty"]) == (added.verdict.doubt, added.verdict.novelty)
    assert library.predict().calibrated
    (again,) = [each for each in songs(library) if each["id"] == added.id]
    assert again["novelty"] == pytest.approx(song["novelty"])


@pytest.mark.parametrize("value", [1e30, -1e30])
def test_a_song_whose_features_are_all_extreme_is_unlike_the_library(
    library: Library, music: Path, value: float
) -> None:
    library.ingest(music)
    library.train(CARELESS)
    kinds = library.store.feature_set()
    assert kinds is not None
    features = np.full(len(kinds.columns), value, dtype=np.float32)
    strange = NewSong(SongRecord("ff" * 16, title="extreme"), features, 2.0, SAMPLE_RATE)
    ((added,), without, calibrated) = audio.attach(library.store, [strange], library.settings)
    assert (without, calibrated) == (None, True)
    (song,) = [song for song in songs(library) if song["id"] == "ff" * 16]
    assert (song["predicted"], song["doubt"], song["novelty"]) == (UNKNOWN, UNLIKE, 1)
    assert song["first"] == added.guesses[0].genre  # it is guessed at all the same
    assert np.isfinite(song["probability"])
    library.predict()
    (song,) = [song for song in songs(library) if song["id"] == "ff" * 16]
    assert (song["predicted"], song["doubt"]) == (UNKNOWN, UNLIKE)


def test_noise_is_unlike_the_library(library: Library, music: Path, tmp_path: Path) -> None:
    library.ingest(music)
    library.train(CARELESS)
    (added,) = library.add(noise(tmp_path / "noise.flac")).added
    assert added.verdict is not None
    assert (added.verdict.predicted, added.verdict.doubt) == (UNKNOWN, UNLIKE)
    asked = library.query("MATCH (s:Song {doubt: 'unlike the library'}) RETURN s.id AS id")
    assert added.id in set(asked["id"])


def test_a_dump_takes_it_along(
    library: Library, music: Path, tmp_path: Path, new_settings: Callable[[], Settings]
) -> None:
    library.ingest(music)
    library.train(CARELESS)
    there = songs(library)
    new = noise(tmp_path / "noise.flac")
    library.dump(tmp_path / "library.kg.zip")
    empty(library.connection)
    library.close()
    with Library(new_settings()) as other:
        other.load(tmp_path / "library.kg.zip")
        assert songs(other) == there
        (added,) = other.add(new).added
        assert added.verdict is not None
        assert added.verdict.doubt == UNLIKE


def test_songs_of_several_genres_are_called_by_the_first(library: Library, music: Path) -> None:
    library.ingest(music)
    run(
        library,
        "MATCH (s:Song)-[:IN_GENRE]->(:Genre {name: $one}), (g:Genre {name: $other}) "
        "MERGE (s)-[:IN_GENRE {source: 'user'}]->(g)",
        one=GENRES[0],
        other=GENRES[1],
    )
    report = library.train(CARELESS).doubt
    told = songs(library)
    assert all(song["predicted"] in (song["first"], UNKNOWN) for song in told)
    assert any(song["predicted"] == song["first"] for song in told)
    # Each genre has a probability of its own: they need not come to 1.
    sums = library.ask(
        "MATCH (s:Song)-[p:PREDICTED_GENRE]->() RETURN s.id, sum(p.probability) AS total"
    ).rows
    assert any(abs(total - 1) > 0.05 for _, total in sums)
    assert report.ece is not None
    # Right is a first genre that is one of the song's.
    first = library.ask(
        "MATCH (s:Song {split: 'test'})-[:PREDICTED_GENRE {rank: 1}]->(g) "
        "WHERE s.doubt IS NULL RETURN EXISTS { (s)-[:IN_GENRE]->(g) } AS right"
    ).rows
    assert report.precision == pytest.approx(np.mean([right for (right,) in first]))


def test_a_genre_that_is_called_unknown_is_no_doubt(library: Library, music: Path) -> None:
    library.ingest(music)
    run(library, "MATCH (g:Genre {name: $name}) SET g.name = 'unknown'", name=GENRES[0])
    library.train(CARELESS)
    told = [song for song in songs(library) if song["first"] == "unknown"]
    assert told
    assert any(song["predicted"] == "unknown" and song["doubt"] is None for song in told)
    doubted = [song for song in songs(library) if song["doubt"] is not None]
    assert library.status().counts.unknown == len(doubted) < 24


def test_a_checkpoint_from_before_this_is_uncalibrated(
    library: Library, music: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    id = library.train(CAREFUL).model.id
    folder = library.settings.models_dir / id
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["extra"]["doubt"]
    config["format"] = 2
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    own = {name: value for name, value in weights.items() if not name.startswith("caller.")}
    assert len(own) < len(weights)
    save_file(own, folder / "model.safetensors")
    before = {song["id"]: song["probability"] for song in songs(library)}
    assert not library.predict().calibrated
    for song in songs(library):
        assert (song["predicted"], song["doubt"], song["novelty"]) == (song["first"], None, None)
        assert song["probability"] > before[song["id"]]  # surer than it should be
    report = library.add(noise(tmp_path / "noise.flac"))
    assert not report.calibrated
    assert report.added[0].verdict is not None
    assert report.added[0].verdict.doubt is None
    config["extra"]["doubt"] = {"calibration": {"temperature": -1}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(NotReadyError, match=f"{id} doesn't hold together .* run `kg train`"):
        library.predict()


def test_few_validation_songs_are_said_to_be_few(library: Library, music: Path) -> None:
    library.ingest(music)
    report = library.train(TrainOptions(epochs=5)).doubt
    (said,) = report.remarks
    assert "There are 8 validation songs, too few to calibrate by" in said
    assert "its probability is 80% or more" in said
    assert (report.threshold, report.reached) == (0.8, False)


def test_without_test_songs_validation_songs_tell_each_by_the_others(
    library: Library, music: Path
) -> None:
    library.ingest(music)
    run(library, "MATCH (s:Song {split: 'test'}) SET s.split = 'valid'")
    report = library.train(TrainOptions(epochs=20, precision=0.01))
    assert report.songs == {"train": 8, "valid": 16, "test": 0}
    assert report.looks is None
    told = report.doubt
    assert (told.side, told.songs, told.calibrated_on) == ("valid", 16, 16)
    assert told.ece is not None
    assert told.coverage is not None
    assert report.model.metrics["doubtMeasuredOn"] == "valid"
    # Nobody is told by a calibration that it helped to fit: these are others than the model's own.
    shares = library.ask(
        "MATCH (s:Song {split: 'valid'})-[p:PREDICTED_GENRE {rank: 1}]->(g:Genre) "
        "RETURN p.probability, EXISTS { (s)-[:IN_GENRE]->(g) }"
    ).rows
    own = abs(np.mean([share for share, _ in shares]) - np.mean([right for _, right in shares]))
    assert told.ece != pytest.approx(own, abs=1e-6)


def test_after_a_rebuild_songs_are_held_against_others_as_they_are_scaled_now(
    library: Library, music: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    folder = Path(library.train(CARELESS).model.checkpoint)
    before = checkpoint.load(folder).tensors["novelty.references"].clone()
    for number in range(12):
        noise(tmp_path / f"{number}.wav", seed=number)
    library.ingest([music, tmp_path], genres_from="none")
    library.predict()
    after = checkpoint.load(folder)
    ids = after.extra["doubt"]["references"]
    assert len(before) == len(after.tensors["novelty.references"]) == len(ids)
    assert not np.allclose(before, after.tensors["novelty.references"], atol=0.1)
    data, maps = library.hetero_with_ids()
    rows = [maps.songs.index(id) for id in ids]
    np.testing.assert_array_equal(after.tensors["novelty.references"], data["song"].x[rows])


def test_what_is_no_precision_is_refused(library: Library, music: Path) -> None:
    library.ingest(music)
    for precision in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(WrongUsageError, match="A precision is a share above 0 and at most 1"):
            library.train(TrainOptions(precision=precision))
    assert library.models() == []


def test_embeddings_weigh_as_much_as_all_of_our_own() -> None:
    families = {"a": slice(0, 2), "b": slice(2, 5), "net": slice(5, 15)}
    columns = tuple(f"c{n}" for n in range(15))
    heard = Embedding("net", "1", "net", columns[5:])
    both = column_weights(FeatureSet("v", families, columns, embeddings=(heard,)))
    assert [float(both[part].sum()) for part in families.values()] == pytest.approx(
        [0.25, 0.25, 0.5]
    )
    # Nobody has a new song's vectors of a file: they would make it an average one.
    given = column_weights(
        FeatureSet("v", families, columns, embeddings=(replace(heard, name="file:net"),))
    )
    assert [float(given[part].sum()) for part in families.values()] == pytest.approx([0.5, 0.5, 0])
    del families["net"]
    alone = column_weights(FeatureSet("v", families, columns[:5]))
    assert [float(alone[part].sum()) for part in families.values()] == pytest.approx([0.5, 0.5])
