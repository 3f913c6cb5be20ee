"""What training measures and remembers: rivals, looks at the test songs, seeds, odd libraries."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.compare.tuning import TuneOptions
from kg.errors import GraphError, KgError, NotReadyError, WrongUsageError
from kg.graph.rows import Looks
from kg.learning import training
from kg.learning.training import TrainOptions
from kg.metrics.measuring import recorded
from models.baselines import tabular

QUICK = TrainOptions(epochs=5)
OURS, WITHOUT = "R-GCN + DistMult", "the same without the graph"


class StopsAfter:
    """Progress that presses Ctrl-C after so many steps of one stage."""

    def __init__(self, stage: str, steps: int) -> None:
        self._stage, self._left = stage, steps

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Any]:
        def advance(steps: int, *_: Any, **__: Any) -> None:
            if name == self._stage:
                self._left -= steps
                if self._left == 0:
                    raise KeyboardInterrupt

        yield advance

    def say(self, message: str) -> None:
        """Nobody listens."""


def write(library: Library, cypher: str, **parameters: Any) -> None:
    library.connection.write(lambda tx: tx.run(cypher, parameters).consume())


def test_rivals_are_measured_on_the_same_songs_and_kept(library: Library, music: Path) -> None:
    library.ingest(music)
    report = library.train(TrainOptions(epochs=20))
    assert report.tabular is not None
    names = [OURS, WITHOUT, report.tabular.kind, "majority"]
    assert [score.name for score in report.scores] == names
    assert [each.against for each in report.differences] == names[1:]
    for score, difference in zip(report.scores[1:], report.differences, strict=True):
        gap = report.scores[0].macro_f1.value - score.macro_f1.value
        assert difference.macro_f1.value == pytest.approx(gap)
    assert len(report.verdict) == 2
    assert report.tabular.chosen_by == "cross-validation"  # too few songs for validation
    assert not report.interrupted
    assert report.checkpoints.models == 1
    (kept,) = library.store.read_models()
    assert kept.test_opened_at == kept.created_at
    found = recorded(kept.metrics, "test")
    assert found is not None
    assert list(found.scores) == list(report.scores)
    assert sum(each.songs for each in found.genres) == found.songs == 8
    flat = library.ask("MATCH (m:Model) RETURN m.accuracy, m.macroF1, m.mrr, m.hitsAt3").rows
    first = report.scores[0]
    assert flat == [
        [first.accuracy.value, first.macro_f1.value, first.mrr.value, first.hits_at_3.value]
    ]


def test_each_look_at_the_test_songs_is_on_record(
    library: Library, music: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    with pytest.raises(NotReadyError, match="kg train"):
        library.evaluate()
    assert library.train(QUICK).looks == Looks(1, 0)
    shown = library.evaluate(side="test")
    assert shown.recorded is not None
    assert shown.seeds is None
    assert shown.looks == Looks(1, 0)
    assert library.evaluate(2, options=QUICK).looks == Looks(1, 0)  # on validation songs
    assert library.predict().predicted == 24
    fresh = library.evaluate(2, "test", QUICK)
    assert fresh.looks == Looks(3, 0)
    assert fresh.seeds is not None
    assert library.status().counts.models == 1  # fresh ones are thrown away
    assert library.train(QUICK).looks == Looks(4, 0)
    # Other test songs: what was seen before is still said.
    write(library, "MATCH (s:Song {split: 'test'}) WITH s LIMIT 1 SET s.split = 'train'")
    rows = library.store.read_graph()
    assert rows.songs.splits.count("test") == 7
    allowed = replace(QUICK, allow_leaks=True)  # the song's artist is on two sides now
    assert library.evaluate(1, "test", allowed).looks == Looks(1, 4)


def test_seeds_give_a_mean_with_its_spread(library: Library, music: Path) -> None:
    library.ingest(music)
    found = library.evaluate(2, options=QUICK)
    assert found.model is None
    assert found.recorded is None
    assert found.seeds is not None
    ours, without, tabular, _ = found.seeds.measured.scores
    assert (ours.name, without.name) == (OURS, WITHOUT)
    assert ours.accuracy.spread is not None
    assert tabular.accuracy.spread is None
    assert found.seeds.measured.songs == 8
    assert len(found.seeds.verdict) == 2
    alone = [library.evaluate(seeds, options=QUICK).seeds for seeds in (1, 2)]
    assert alone[1] == found.seeds
    assert alone[0] is not None
    assert alone[0].measured.scores[0].accuracy.spread is None
    with pytest.raises(WrongUsageError, match="can't be -1"):
        library.evaluate(-1)


class Counts(StopsAfter):
    """Progress that remembers how many steps each stage said it would take."""

    def __init__(self) -> None:
        super().__init__("", -1)
        self.totals: dict[str, int | None] = {}

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Any]:
        self.totals[name] = total
        with super().stage(name, total) as advance:
            yield advance


def test_the_progress_counts_the_epochs_that_are_run(library: Library, music: Path) -> None:
    library.ingest(music)
    with Library(library.settings, counts := Counts()) as other:
        report = other.train()
    assert counts.totals["Training"] == report.epochs[0] == 120


def test_ctrl_c_keeps_the_best_epoch_and_leaves_the_rivals_out(
    library: Library, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    library.ingest(music)
    with Library(library.settings, StopsAfter("Training", 3)) as other:
        report = other.train(QUICK)
    assert report.interrupted
    assert report.epochs[0] == 3
    assert [score.name for score in report.scores] == [OURS]
    assert (report.verdict, report.tabular) == ([], None)
    assert library.status().counts.predicted_by_model == {report.model.id: 24}
    with Library(library.settings, StopsAfter("Training without the graph", 3)) as other:
        report = other.train(QUICK)
    assert not report.interrupted
    assert WITHOUT not in [score.name for score in report.scores]
    assert "Ctrl-C ended the training without the graph" in report.verdict[-1]
    with (
        Library(library.settings) as other,
        monkeypatch.context() as cut,
    ):
        cut.setattr(tabular, "best_tabular", interrupt)
        report = other.train(QUICK)
    assert [score.name for score in report.scores] == [OURS, WITHOUT, "majority"]
    assert report.tabular is None
    assert "Ctrl-C ended the fitting of tabular models" in report.verdict[-1]
    assert library.status().stale == []
    with (
        Library(library.settings, StopsAfter("Seed 1 without the graph", 2)) as other,
        pytest.raises(KeyboardInterrupt),
    ):
        other.evaluate(2, "test", QUICK)
    assert library.evaluate(side="test").looks == Looks(3, 0)


def test_a_device_that_is_not_there(library: Library, music: Path) -> None:
    library.ingest(music)
    with pytest.raises(WrongUsageError, match="no device 'cuda:99'"):
        library.train(TrainOptions(device="cuda:99"))
    assert library.models() == []


def test_features_that_are_not_numbers_are_named(library: Library, music: Path) -> None:
    library.ingest(music)
    raw = np.full(library.store.read_songs().features.shape[1], np.nan, dtype="<f4").tobytes()
    (id, title), *_ = library.ask("MATCH (s:Song) RETURN s.id, s.title ORDER BY s.id").rows
    write(library, "MATCH (s:Song {id: $id}) SET s.features = $raw", id=id, raw=raw)
    with pytest.raises(GraphError, match=rf"1 song has features .*'{title}'.*kg ingest"):
        library.train(QUICK)
    write(library, "MATCH (s:Song) SET s.features = $raw", raw=raw)
    with pytest.raises(GraphError, match=r"24 songs have features .*, \.\.\.\)"):
        library.train(QUICK)
    library.ingest(music)
    assert library.train(QUICK).predicted == 24


def test_a_family_without_a_relation(library: Library, music: Path) -> None:
    library.ingest(music)
    write(library, "MATCH (:Song)-[r:HAS_FEATURE {family: 'mfcc'}]->() DELETE r")
    write(library, "MATCH (:Song)-[r:SIMILAR_TO]->() DELETE r")
    assert library.store.read_graph().has_feature["mfcc"].shape == (2, 0)
    assert library.train(QUICK).predicted == 24
    assert library.predict().predicted == 24


def test_all_songs_by_one_artist_are_learned_and_not_measured(
    library: Library, tmp_path: Path
) -> None:
    for number in range(8):
        genre = GENRES[number % 2]
        write_song(tmp_path / "one" / genre / f"{number}.flac", genre, seconds=2.0, seed=number)
    library.ingest(tmp_path / "one", genres_from="folder")
    write(library, "MATCH (s:Song) SET s.artist = 'Her' REMOVE s.split")
    write(library, "MATCH (f:FeatureSpace) SET f.build = 'as before'")
    report = library.train(QUICK)
    assert report.songs == {"train": 8, "valid": 0, "test": 0}
    assert report.scores == []
    assert report.looks is None
    assert "nothing was measured" in (report.caution or "")
    assert library.store.read_models()[0].test_opened_at is None
    shown = library.evaluate(side="test").recorded
    assert shown is not None
    assert shown.songs == 0
    with pytest.raises(NotReadyError, match="No song is on the test side"):
        library.evaluate(1, "test", QUICK)


def test_songs_of_several_genres(library: Library, music: Path) -> None:
    library.ingest(music)
    write(
        library,
        "MATCH (s:Song)-[:IN_GENRE]->(:Genre {name: $one}), (g:Genre {name: $other}) "
        "MERGE (s)-[:IN_GENRE {source: 'user'}]->(g)",
        one=GENRES[0],
        other=GENRES[1],
    )
    report = library.train(TrainOptions(epochs=20))
    assert [score.name for score in report.scores][:2] == [OURS, WITHOUT]
    found = recorded(report.model.metrics, "test")
    assert found is not None
    assert sum(each.songs for each in found.genres) > found.songs
    evaluated = library.evaluate(1, options=QUICK)
    assert evaluated.recorded is not None
    assert evaluated.seeds is not None
    # Validation songs set no threshold by which they are measured themselves.
    for several in (evaluated.recorded.several, evaluated.seeds.measured.several):
        assert {(each.threshold, each.fitted) for each in several} == {(0.0, False)}
    assert len(evaluated.seeds.measured.several) == 4


# Its weights are finite with the first, its scores with neither.
@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 1e6, "epochs_unvalidated": 2},
        {"learning_rate": 1e6, "weight_decay": 1e6, "epochs_unvalidated": 5},
    ],
)
def test_a_training_that_runs_away_sees_no_test_song(
    library: Library, music: Path, settings: dict[str, float]
) -> None:
    library.ingest(music)
    kept = library.train(QUICK).model.id
    wild = TrainOptions(settings=settings)
    with pytest.raises(KgError, match="The training ran away: its scores are no numbers"):
        library.train(wild)
    with pytest.raises(KgError, match="Seed 0 ran away"):
        library.evaluate(1, "test", wild)
    (looks,) = library.query("MATCH (t:TestSplit) RETURN t.looks AS looks")["looks"]
    assert looks == [kept]
    assert [model.id for model in library.models()] == [kept]


def test_a_rival_that_runs_away_is_left_out(
    library: Library, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.ingest(music)
    real = training.fit

    def wild_without_graph(*given: Any, messages: bool = True, **others: Any) -> Any:
        result = real(*given, messages=messages, **others)
        if not messages:
            for weights in result.model.parameters():
                weights.data.fill_(float("nan"))
        return result

    monkeypatch.setattr(training, "fit", wild_without_graph)
    report = library.train(QUICK)
    assert WITHOUT not in [score.name for score in report.scores]
    assert report.scores[0].name == OURS
    assert "The training without the graph ran away: whether it helped isn't known." in (
        report.verdict
    )


@pytest.mark.parametrize("seed", [-1, 2**32, 5_000_000_000_000_000_000_000])
def test_seeds_that_no_lot_can_be_drawn_with(library: Library, music: Path, seed: int) -> None:
    library.ingest(music)
    for do in (
        lambda: library.train(TrainOptions(seed=seed)),
        lambda: library.tune(TuneOptions(seed=seed)),
    ):
        with pytest.raises(WrongUsageError, match="A seed is a number from 0 to 4294967295"):
            do()
