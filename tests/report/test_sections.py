"""What sections say of facts that few graphs hold: records, put together in `given`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kg.genres.tree import Tree
from kg.maps.songs import SongMap
from kg.metrics.several import SeveralScore
from kg.report import certainty, collection, compared, model, song_map, songs
from kg.report.charts import dots
from kg.report.facts import Facts
from kg.report.parts import Beside, Chart, Matrix, Missing, Part, Section, Table, Tiles, Words
from kg.report.report import compose
from kg.report.words import hours, length, listed, percent, split_by, told
from kg.splits.protocol import SplitRule
from tests.report import given
from tests.report.given import HALF, facts, key, measured, scored, song, taken


def parts(section: Section) -> list[Part]:
    found: list[Part] = []
    for part in section.parts:
        found += part.parts if isinstance(part, Beside) else [part]
    return found


def sentences(section: Section) -> str:
    return " ".join(part.text for part in parts(section) if isinstance(part, Words | Missing))


def tables(section: Section) -> list[Table]:
    return [part for part in parts(section) if isinstance(part, Table)]


def matrices(section: Section) -> list[Matrix]:
    return [part for part in parts(section) if isinstance(part, Matrix)]


def test_numbers_in_words() -> None:
    assert [length(s) for s in (29.6, 225, 3599.7)] == ["30 s", "3:45 min", "60:00 min"]
    assert [hours(s) for s in (59.4, 90, 1200, 3599, 12_000, 500_000)] == [
        *("59 s", "1:30 min", "20 min", "1 h 00 min", "3 h 20 min", "139 h"),
    ]
    assert [percent(share).replace("\u00a0", " ") for share in (0, 0.001, 0.5, 0.999, 1)] == [
        *("0 %", "<1 %", "50 %", ">99 %", "100 %"),
    ]
    assert listed(["a", "b", "c"], 3) == "a, b, c"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"


def test_a_split_by_artist_without_artists_is_called_what_it_is() -> None:
    assert (
        split_by("artist", [None, "", "Various Artists"]) == "song by song, as no artist is known"
    )
    assert split_by("artist", [None, "Nina"]) == "artist by artist"
    assert "Kereliuk" in split_by("gtzan", [None])
    assert "flatters" in split_by("random", ["Nina"])
    unknown = facts(keys=[key("1", "jazz", split="train"), key("2", "jazz", split="test")])
    (table,) = tables(collection.split(unknown))
    assert table.columns == ["side", "songs"]
    assert "song by song, as no artist is known" in sentences(collection.split(unknown))
    told = facts(
        keys=[key("1", "jazz", artist="Nina", split="train"), key("2", "jazz", split="test")]
    )
    assert tables(collection.split(told))[0].columns == ["side", "songs", "artists"]
    assert "1 song by nobody known is split one by one." in sentences(collection.split(told))
    on_two = replace(told, keys=[*told.keys, key("3", "jazz", artist="Nina", split="test")])
    assert "too good" in sentences(collection.split(on_two))


def test_a_split_that_is_missing_or_leaves_songs_out() -> None:
    assert "cut off" in sentences(collection.split(facts(split=None)))
    out = facts(keys=[key("1", "jazz", split="train"), key("2", "jazz")], split=SplitRule("gtzan"))
    assert ("left out by this rule", "1") in tables(collection.split(out))[0].rows


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ([30.0, 30.0], "Every song lasts 30 s."),
        ([200.0], "It lasts 3:20 min."),
        ([30.0] * 99 + [600.0], "Nearly every song lasts 30 s, all 30 s to 10:00 min."),
        (
            [float(s) for s in range(100, 301)],
            "The middle song lasts 3:20 min, nine in ten 1:50 min to 4:50 min, all 1:40",
        ),
        ([30.0, 30.0, None], "Every song lasts 30 s. Of 1 song the length isn't known."),
    ],
)
def test_durations(lengths: list[float | None], said: str) -> None:
    there = [song(str(row), duration=each) for row, each in enumerate(lengths)]
    assert said in sentences(collection.library(facts(songs=there)))


def test_a_library_without_genres_and_one_with_many() -> None:
    bare = facts(songs=[song("1")], keys=[key("1")], spread=[])
    assert "--genres-from" in sentences(collection.library(bare))
    assert "No song that has a genre has an artist who is known." in sentences(songs.artists(bare))
    many = facts(songs=[song(f"{row:03d}", f"genre {row}") for row in range(60)])
    (table,) = tables(collection.library(many))
    assert (len(table.rows), table.more) == (collection.GENRES, "20 genres more.")
    one = facts(keys=[key("1", "jazz", artist="Nina")])
    assert "Every artist with 3 songs or more" in sentences(songs.artists(one))


def test_no_model_is_no_matter_of_learning_where_one_is_kept() -> None:
    said = "No model is in use: choose a kept one."
    kept = facts(unlearned=said, songs=[song("1")])
    for section in (
        *(model.accuracy, model.by_genre, model.confusions, model.learning),
        *(certainty.reliability, certainty.coverage, songs.doubted),
    ):
        assert sentences(section(kept)) == said
        assert section(kept).protocol == ""


def test_a_model_that_was_not_measured_says_why() -> None:
    older = facts(model=given.model())
    assert "An older kg" in sentences(model.accuracy(older))
    nobody = facts(model=given.model(measured(songs=0)))
    without = replace(measured(songs=0), scores=[])
    nobody = facts(model=given.model(without))
    assert "a genre needs three songs" in sentences(model.accuracy(nobody))
    assert "--split artist" in sentences(
        model.accuracy(facts(model=given.model(without), split=SplitRule("given")))
    )


def test_a_number_stays_behind_a_name_from_right_to_left() -> None:
    hebrew = "\u05e9\u05d9\u05e8\u05d4"
    assert (
        told([(hebrew, 0.7), ("jazz", 0.2)])
        == f"{hebrew}\u200e\u00a070\u00a0%, jazz\u00a020\u00a0%"
    )
    assert song("1", title=hebrew, artist="A").name == f"{hebrew}\u200e (A)"
    assert song("1", title="B", artist="A").name == "B (A)"


def test_songs_of_which_nothing_was_said_are_counted() -> None:
    there = facts(model=given.model(), songs=[song("1", told=[("jazz", 0.9)]), song("2")])
    assert sentences(songs.doubted(there)) == "Of 1 song it has said nothing yet."
    all_told = replace(there, songs=there.songs[:1])
    assert sentences(songs.doubted(all_told)) == "The model says a genre of every song."


def test_a_summary_says_what_is_known_of_the_model() -> None:
    told = {"songs": [song("1", "jazz")]}
    nobody = given.model(replace(measured(songs=0), scores=[]))
    assert "nobody measured how well" in compose(facts(model=nobody, **told)).summary
    there = given.model(measured(scored("jazz", 4, 2), songs=4))
    assert compose(facts(model=there, **told)).summary.replace("\u00a0", " ") == (
        "1 song in 1 genre. The model's first genre is right for 50 % of 4 songs that it never "
        "heard (95 % interval: 30 % to 70 %)."
    )


def test_labels_that_nobody_disputes_and_a_map_that_is_not_there() -> None:
    agreed = facts(model=given.model(), songs=[song("1", "jazz", told=[("jazz", 0.4)])])
    assert "one of its own" in sentences(songs.disputed(agreed))
    # A genre above its own is no other genre.
    above = replace(agreed, songs=[song("1", "bop", told=[("jazz", 0.4)])])
    assert tables(songs.disputed(above))[0].rows[0][2] == "jazz"
    below = replace(above, tree=Tree({"bop": frozenset({"jazz"})}))
    assert "one of its own" in sentences(songs.disputed(below))
    assert sentences(song_map.song_map(facts(undrawn="Run it."))) == "There is no map: Run it."


def test_how_often_test_songs_were_looked_at() -> None:
    there = given.model(measured(scored("jazz", 4, 2), songs=4))
    said = sentences(model.accuracy(facts(model=there, looks=given.Looks(3, 2))))
    assert "3 models have been measured on these test songs, and 2 when they were others" in said
    assert "No other model" in sentences(model.accuracy(facts(model=there)))
    assert "measured on" not in sentences(model.accuracy(facts(model=there, looks=None)))


def test_protocols_name_songs_split_and_intervals() -> None:
    there = given.model(
        measured(scored("jazz", 4, 2), songs=4),
        splitRule="artist",
        question="a song by a new artist",
    )
    section = model.accuracy(facts(model=there, keys=[key("1", "jazz", artist="Nina")]))
    for said in ("4 test songs", "a song by a new artist", "split artist by artist", "m1"):
        assert said in section.protocol
    assert "2,000 times" in tables(section)[0].more
    assert "Wilson" in tables(section)[0].more
    changed = facts(model=replace(there, test_split="others"))
    assert "The test songs are others by now" in model.accuracy(changed).protocol


def test_a_matrix_holds_every_test_song_once() -> None:
    genres = [scored(f"g{row:02d}", 10, 7) for row in range(20)]
    wrong = [taken("g00", "g01", 2), taken("g00", "g19", 1)]
    wrong += [taken(each.genre, "g00", 3) for each in genres[1:]]
    there = facts(model=given.model(measured(*genres, songs=200, confusions=wrong)))
    (matrix,) = matrices(model.confusions(there))
    assert len(matrix.names) == model.MATRIX
    assert matrix.heard_as == [*matrix.names, "another"]
    assert [sum(row) for row in matrix.counts] == [10] * model.MATRIX
    assert matrix.counts[0] == [7, 2, *[0] * (model.MATRIX - 2), 1]
    assert "4 smaller genres are left out" in matrix.caption
    right = facts(model=given.model(measured(scored("jazz", 3, 3), songs=3)))
    assert "No test song's first genre is wrong." in sentences(model.confusions(right))
    assert matrices(model.confusions(right))[0].counts == [[3]]


def test_songs_of_several_genres_have_no_matrix() -> None:
    # One song that is both, heard as the first: no row of a matrix would hold it.
    both = measured(scored("jazz", 1, 1), scored("blues", 1, 0), songs=1)
    assert matrices(model.confusions(facts(model=given.model(both)))) == []
    several = SeveralScore("R-GCN + DistMult", HALF, HALF, HALF, HALF, HALF, HALF, 0.1, fitted=True)
    jazz = replace(scored("jazz", 2, 1), average_precision=0.75, roc_auc=None)
    found = measured(jazz, songs=2, several=[several], confusions=[taken("jazz", "blues")])
    there = facts(model=given.model(found), keys=[key("1", "rock", split="train")])
    assert matrices(model.confusions(there)) == []
    assert "unless the first" in tables(model.confusions(there))[0].more
    (table,) = tables(model.by_genre(there))
    assert table.columns[-2:] == ["AP", "ROC-AUC"]
    assert table.rows[0][-2:] == ("0.75", "")
    assert "No test song has these genres, so nothing is known: rock." in sentences(
        model.by_genre(there)
    )
    _, table = tables(model.accuracy(there))
    assert table.columns[-1] == "hierarchical F1"
    assert "validation songs set" in table.more
    plain = replace(found, several=[replace(several, hierarchical_f1=None, fitted=False)])
    _, table = tables(model.accuracy(facts(model=given.model(plain))))
    assert "hierarchical F1" not in table.columns
    assert "validation songs" not in table.more


def curve(**metrics: Any) -> Section:
    points = [[1, 2.0, 0.2], [2, 1.0, 0.5]]
    kept = {
        "epochs": 2,
        "bestEpoch": 2,
        "trainSongs": 40,
        "validSongs": 10,
        "learningCurve": points,
    }
    return model.learning(facts(model=given.model(**(kept | metrics))))


def test_the_course_of_a_training_says_what_chose_the_epoch() -> None:
    chosen = curve(selectedBy="validation")
    assert "macro-F1 on 10 validation songs, which chose the epoch" in chosen.protocol
    assert "that of the learning curve" in chosen.protocol
    fixed = curve(selectedBy="epochs")
    assert "chose" not in fixed.protocol
    assert "too few songs are held out" in sentences(fixed)
    (chart,) = (part for part in fixed.parts if isinstance(part, Chart))
    assert "from 2.00 to 1.00" in chart.words
    assert "from 0.20 to 0.50" in chart.words
    alone = curve(selectedBy="epochs", learningCurve=[[1, 2.0, None], [2, 1.0, None]])
    assert "validation" not in alone.protocol
    (chart,) = (part for part in alone.parts if isinstance(part, Chart))
    assert [each["name"] for each in chart.figure["data"]] == ["training loss"]
    assert "kept no curve" in sentences(curve(learningCurve=[]))


def trusted(**metrics: Any) -> Facts:
    kept = {
        **{"calibrationSongs": 120, "ece": 0.034, "eceUncalibrated": 0.2, "brier": 0.5},
        **{"brierUncalibrated": 0.6, "doubtMeasuredOn": "test", "doubtSongs": 150},
        **{"reliability": [[0.4, 0.5, 75], [0.8, 0.7, 75]], "precisionAsked": 0.8},
        **{"probabilityThreshold": 0.6, "riskCoverage": [[0.5, 0.1], [1.0, 0.4]]},
        **{"coverage": 0.5, "precision": 0.9, "aurc": 0.2},
    }
    test = measured(scored("jazz", 150, 75), songs=150)
    known = {name: value for name, value in (kept | metrics).items() if value is not None}
    return facts(
        model=given.model(test, **known),
        songs=[
            song("1", told=[("jazz", 0.9)]),
            song("2", told=[("jazz", 0.3)], doubt="low probability"),
            song("3"),
        ],
    )


def test_what_a_probability_is_worth() -> None:
    section = certainty.reliability(trusted())
    said = sentences(section)
    assert "off by 3.4 points" in said
    assert "before calibration by 20.0 points" in said
    assert "150 test songs" in section.protocol
    assert "set on 120 validation songs" in section.protocol
    assert "tell little" not in said
    (chart,) = (part for part in section.parts if isinstance(part, Chart))
    assert chart.figure["data"][1]["x"] == [0.4, 0.8]
    few = trusted(doubtSongs=12, doubtRemarks=["There are 10 validation songs."])
    for section in (certainty.reliability(few), certainty.coverage(few)):
        assert "There are 10 validation songs. 12 songs tell little." in sentences(section)
    held = certainty.reliability(trusted(doubtMeasuredOn="valid"))
    assert "150 validation songs, as there are no test songs" in held.protocol


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"calibrationSongs": None}, "An older kg trained this model: `kg train` calibrates"),
        ({"ece": None, "riskCoverage": []}, "No song is held out to measure this on"),
    ],
)
def test_where_probabilities_were_not_measured(metrics: dict[str, Any], said: str) -> None:
    for section in (certainty.reliability, certainty.coverage):
        found = section(trusted(**metrics))
        assert said in sentences(found)
        assert not any(isinstance(part, Chart) for part in found.parts)
    assert certainty.reliability(trusted(ece=None)).protocol == ""


def test_a_diagram_that_is_not_there() -> None:
    assert "too few songs for a diagram" in sentences(
        certainty.reliability(trusted(reliability=[]))
    )
    older = certainty.reliability(trusted(reliability=None))
    assert "kept no diagram" in sentences(older)


def test_what_songs_get() -> None:
    section = certainty.coverage(trusted())
    (table,) = tables(section)
    assert [tuple(row) for row in table.rows] == [
        ("a genre", "1 (50\u00a0%)"),
        ("unknown: low probability", "1 (50\u00a0%)"),
    ]
    (tiles,) = (part for part in section.parts if isinstance(part, Tiles))
    assert ("90\u00a0%", "of these genres are right") in tiles.tiles
    (chart,) = (part for part in section.parts if isinstance(part, Chart))
    assert chart.figure["data"][1]["y"] == [0.1]
    assert "RETURN m.coverage, m.precision" in section.cypher
    none = certainty.coverage(trusted(coverage=0.0, precision=None, aurc=None))
    (chart,) = (part for part in none.parts if isinstance(part, Chart))
    assert len(chart.figure["data"]) == 1
    assert "area" not in sentences(none)


def experiment(name: str, f1: float, **other: Any) -> dict[str, Any]:
    class Day:
        def to_native(self) -> Any:
            return given.DAY

    row = {
        **{"run": "r1", "createdAt": Day(), "model": name, "features": "all", "seeds": 2},
        **{"protocol": "by artist", "folds": 5, "songs": 50, "featureVersion": "v1"},
        **{"macroF1": f1, "macroF1Low": f1 - 0.1, "macroF1High": f1 + 0.1},
        **{"accuracy": f1, "accuracyLow": f1, "accuracyHigh": f1, "trainSeconds": 1.0},
    }
    return row | other


def test_a_comparison_says_how_and_on_which_features() -> None:
    rows = [
        experiment("knn", 0.4, behind=-0.1, p=0.0001),
        experiment("svm", 0.5),
        {"model": "cnn", "features": "mel", "error": "no frames"},
    ]
    section = compared.compared(facts(experiment=rows))
    (table,) = tables(section)
    assert [row[0] for row in table.rows] == ["svm", "knn"]
    assert table.rows[1][4:6] == ("-10.0", "<0.001")
    assert "Wilson" in table.more
    assert (
        "50 songs (by artists that a model hasn't heard, in 5 folds by artist)" in section.protocol
    )
    assert "The mean of 2 runs" in section.protocol
    assert sentences(section) == "cnn (mel) came to nothing: no frames"
    older = [row | {"featureVersion": "v0"} for row in rows[:2]]
    assert "other features" in sentences(compared.compared(facts(experiment=older)))
    nothing = compared.compared(facts(experiment=rows[2:]))
    assert "were not compared" in sentences(nothing)
    assert "came to nothing: no frames" in sentences(nothing)


def test_names_that_begin_alike_have_a_line_each() -> None:
    long = "boosting (one long list of features, "
    figure = dots([(f"{long}a)", HALF), (f"{long}b)", HALF), (f"{long}a)", HALF)], "", "aab")
    assert len(figure["layout"]["yaxis"]["tickvals"]) == 2
    one, other = figure["data"]
    assert [round(y) for y in one["y"]] == [0, 1]
    assert [round(y) for y in other["y"]] == [0]
    assert one["y"][0] < 0 < other["y"][0]
    assert one["text"][1].endswith("b)")


def drawn(there: Sequence[Any], x: list[float], y: list[float]) -> Any:
    points = SongMap(
        [each.id for each in there], np.array(x, np.float32), np.array(y, np.float32), "b1"
    )
    (chart,) = (
        part
        for part in song_map.song_map(facts(songs=there, drawn=points)).parts
        if isinstance(part, Chart)
    )
    return chart.figure


def test_one_of_each_is_not_called_several() -> None:
    alone = facts(songs=[song("1", "jazz")], counts={"artists": 1, "albums": 1, "playlists": 0})
    (tiles,) = (p for p in collection.library(alone).parts if isinstance(p, Tiles))
    assert [what for _, what in tiles.tiles] == [
        *("song", "with a genre of yours", "genre", "artist", "album"),
    ]
    # Nor is a map without its only name.
    assert drawn(alone.songs, [0.0], [0.0])["layout"]["showlegend"]


def test_what_a_model_says_names_the_model_and_the_songs() -> None:
    told = [song("1", "jazz", told=[("blues", 0.4)]), song("2", "jazz")]
    there = facts(model=given.model(), songs=told)
    assert songs.disputed(there).protocol.startswith("By model m1, of 1 song.")
    assert songs.doubted(there).protocol.startswith("By model m1, of 1 song.")


def test_a_map_shows_frequent_genres_above_the_others() -> None:
    there = [song(f"{row:02d}", "rock", f"a{row}") for row in range(3)]
    there += [song(f"1{row}{copy}", f"b{row:02d}") for row in range(13) for copy in range(2)]
    there += [song("30")]
    figure = drawn(there, [0.0] * len(there), [0.0] * len(there))
    names = [each["name"] for each in figure["data"]]
    assert names[:2] == ["other genres", "no genre"]
    # A song of several genres has the colour of the most frequent one.
    assert len(figure["data"][names.index("rock")]["x"]) == 3
    assert [len(each["x"]) for each in figure["data"]] == [4, 1, *[2] * 11, 3]
    ranks = [each["legendrank"] for each in figure["data"]]
    assert ranks[:2] == [12, 13]
    assert sorted(ranks[2:]) == [*range(12)]


def test_of_very_many_songs_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(song_map, "POINTS", 4)
    there = [song(f"{row:02d}", "rock") for row in range(10)]
    figure = drawn(there, [0.0] * 10, [0.0] * 10)
    assert [len(each["x"]) for each in figure["data"]] == [4]
    points = SongMap([each.id for each in there], *np.zeros((2, 10), np.float32), "b1")
    assert "One in 3 of 10 songs is drawn." in sentences(
        song_map.song_map(facts(songs=there, drawn=points))
    )


def test_a_genre_may_be_called_like_none() -> None:
    there = [song("1", "no genre"), song("2"), song("3", "other genres")]
    figure = drawn(there, [0.0, 0.5, 1.0], [0.0, 0.25, -0.5])
    names = [(each["name"], each["x"], each["marker"]["color"]) for each in figure["data"]]
    assert names == [
        ("no genre", [0.5], "@muted"),
        ("no genre", [0.0], "@0"),
        ("other genres", [1.0], "@1"),
    ]
    # It is as high as its songs ask for.
    assert [figure["layout"][each]["range"][1] for each in ("xaxis", "yaxis")] == [1.05, 0.55]
