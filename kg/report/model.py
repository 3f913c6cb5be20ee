"""How good the model in use is: all of it was measured when it was trained, and is in its node."""

from collections.abc import Sequence

from kg.learning.doubt import is_calibrated
from kg.metrics.evaluate import FEW_GROUPS, RESAMPLES, Estimate, GenreScore, caution
from kg.metrics.measuring import Measured, recorded, verdict
from kg.report import charts
from kg.report.facts import Facts
from kg.report.parts import Bar, Beside, Chart, Matrix, Missing, Part, Section, Table, Tiles, Words
from kg.report.words import count, day, listed, percent, split_by
from kg.splits.protocol import why_untested
from kg.splits.songs import fingerprint_of_songs

# Genres that a matrix has room for, confusions that are listed beside it, and names in a sentence.
MATRIX, LISTED, NAMED = 16, 12, 20
INTERVALS = (
    "[95 %]: the interval that holds the true value 95 times in 100. Artists were drawn anew "
    f"{RESAMPLES:,} times (a song by nobody known counts as an artist); of fewer than {FEW_GROUPS} "
    "artists, or where all draws agree, it is Wilson's."
)


def accuracy(facts: Facts) -> Section:
    """The model beside what it has to beat, with intervals."""
    measured = measured_on_test(facts)
    parts: list[Part] = []
    if measured is None:
        parts.append(_unmeasured(facts))
    else:
        first = measured.scores[0]
        right = "one of their genres" if measured.several else "the right genre"
        parts.append(
            Tiles(
                [
                    (percent(first.accuracy.value), f"of test songs get {right} first"),
                    (
                        f"{percent(first.accuracy.low)} to {percent(first.accuracy.high)}",
                        "holds the true value 95 times in 100",
                    ),
                    (f"{first.macro_f1.value:.3f}", "macro-F1: every genre weighs the same"),
                ]
            )
        )
        parts.append(_scores(measured))
        parts.append(
            Chart(
                "accuracy",
                "Macro-F1 of the model and of what it has to beat, with 95 % intervals: "
                + "; ".join(f"{each.name} {each.macro_f1}" for each in measured.scores)
                + ".",
                charts.dots(
                    [(each.name, each.macro_f1) for each in measured.scores],
                    "macro-F1 [95 %]",
                ),
                height=90 + 44 * len(measured.scores),
            )
        )
        parts += [Words(sentence) for sentence in verdict(measured.differences)]
        parts += _several(measured)
        said = caution(measured.songs, measured.scores)
        parts += [Words(said)] if said else []
        parts += _looks(facts)
    return Section(
        "accuracy",
        "How good it is",
        parts,
        protocol_of(facts),
        cypher_of(facts, "accuracy, m.macroF1"),
    )


def measured_on_test(facts: Facts) -> Measured | None:
    """What the model came to on test songs; None where it wasn't measured."""
    found = recorded(facts.model.metrics, "test") if facts.model is not None else None
    return found if found is not None and found.scores else None


def protocol_of(facts: Facts) -> str:
    """On which songs the model was measured, when, and by which split."""
    model, measured = facts.model, measured_on_test(facts)
    if model is None or measured is None:
        return ""
    rule = model.metrics.get("splitRule")
    question = model.metrics.get("question", "songs held out")
    said = f"Measured on {count(measured.songs, 'test song')} ({question})"
    if rule:
        said += f", split {split_by(rule, [song.artist for song in facts.keys if song.genres])}"
    if model.test_opened_at is not None:
        said += f"; once, when model {model.id} was trained, {day(model.test_opened_at)}"
    tested = sorted(song.id for song in facts.keys if song.genres and song.split == "test")
    if model.test_split and fingerprint_of_songs(tested) != model.test_split:
        said += ". The test songs are others by now: `kg train` measures on these"
    return f"{said}."


def untrained(facts: Facts) -> Missing:
    """Why there is no model, and how to get one."""
    return Missing(facts.unlearned)


def _unmeasured(facts: Facts) -> Part:
    if facts.model is None:
        return untrained(facts)
    if recorded(facts.model.metrics, "test") is None:
        return Missing("An older kg trained this model, without details: run `kg train`.")
    # A model was trained, so that songs are split.
    assert facts.status.split is not None
    return Missing(why_untested(facts.status.split))


def _scores(measured: Measured) -> Part:
    return Table(
        "The model and what it has to beat, on the same songs",
        ["", "accuracy [95 %]", "macro-F1 [95 %]", "MRR", "hits@3"],
        [
            (
                score.name,
                str(score.accuracy),
                str(score.macro_f1),
                f"{score.mrr.value:.3f}",
                f"{score.hits_at_3.value:.3f}",
            )
            for score in measured.scores
        ],
        numbers=(1, 2, 3, 4),
        more=f"{INTERVALS} MRR: the mean of 1 / rank of a song's own genres. hits@3: the share of "
        "these among the first three.",
        cards=True,
    )


def _several(measured: Measured) -> list[Part]:
    if not measured.several:
        return []
    in_tree = any(each.hierarchical_f1 is not None for each in measured.several)
    rows = [
        (
            each.name,
            str(each.genre_average_precision),
            f"{each.roc_auc.value:.3f}",
            f"{each.label_ranking.value:.3f}",
            f"{each.micro_f1.value:.3f}",
            f"{each.macro_f1.value:.3f}",
            *((_three(each.hierarchical_f1),) if in_tree else ()),
        )
        for each in measured.several
    ]
    columns = ["", "genre AP [95 %]", "ROC-AUC", "LRAP", "micro-F1", "macro-F1"]
    columns += ["hierarchical F1"] if in_tree else []
    said = (
        "Genre AP and ROC-AUC: how well a genre's score ranks songs, the mean over genres. LRAP: "
        "how well scores rank the genres of a song."
    )
    if in_tree:
        said += " Hierarchical F1: each genre brings those that it is a kind of."
    if measured.several[0].fitted:
        said += (
            " F1 is here of genres whose score is at least what validation songs set, above of "
            "those likelier than not."
        )
    return [
        Table(
            "Several genres a song",
            columns,
            rows,
            numbers=range(1, len(columns)),
            more=said,
            cards=True,
        )
    ]


def _three(found: Estimate | None) -> str:
    return "" if found is None else f"{found.value:.3f}"


def _looks(facts: Facts) -> list[Part]:
    if facts.looks is None or facts.looks.here == 0:
        return []
    here, elsewhere = facts.looks.here, facts.looks.elsewhere
    others = f", and {elsewhere} when they were others" if elsewhere else ""
    if here + elsewhere == 1:
        return [Words("No other model was ever measured on test songs of this library.")]
    return [
        Words(
            f"{count(here, 'model has', 'models have')} been measured on these test songs{others}: "
            "whoever looks often begins to choose by them."
        )
    ]


def confusions(facts: Facts) -> Section:
    """What is taken for what."""
    where = cypher_of(facts, "metrics")
    measured = measured_on_test(facts)
    parts: list[Part] = []
    if measured is None:
        parts.append(_unmeasured(facts))
    else:
        # Where songs have several genres, what is right isn't counted by the first one.
        several = bool(measured.several) or sum(g.songs for g in measured.genres) > measured.songs
        shown: list[Table | Matrix] = [] if several else [_matrix(measured)]
        if measured.confusions:
            most = measured.confusions[:LISTED]
            shown.append(
                Table(
                    "Taken for another first of all",
                    ["genre", "heard as", "songs"],
                    [(each.genre, each.heard_as, f"{each.songs:,}") for each in most],
                    numbers=(2,),
                    more="A song of several genres counts for each, unless the first that is heard "
                    "is one of them."
                    if several
                    else "",
                )
            )
        else:
            parts.append(Words("No test song's first genre is wrong."))
        parts.append(Beside(shown))
    return Section("confusions", "What it takes for what", parts, protocol_of(facts), where)


def _matrix(measured: Measured) -> Matrix:
    """Genres against what they were heard as; those with the most test songs where many are."""
    by_songs = sorted(measured.genres, key=lambda each: (-each.songs, each.genre))[:MATRIX]
    names = sorted(each.genre for each in by_songs)
    wrong = {(each.genre, each.heard_as): each.songs for each in measured.confusions}
    of = {each.genre: each for each in by_songs}
    rows, others = [], []
    for name in names:
        # A song of one genre is right as often as its genre is recalled.
        right = round(of[name].recall * of[name].songs)
        row = [right if name == other else wrong.get((name, other), 0) for other in names]
        rows.append(row)
        others.append(of[name].songs - sum(row))
    heard_as = list(names)
    if any(others):
        heard_as.append("another")
        rows = [[*row, other] for row, other in zip(rows, others, strict=True)]
    left = len(measured.genres) - len(names)
    said = "Test songs: a row is what they are, a column what they were heard as"
    return Matrix(
        f"{said}{f'; {left} smaller genres are left out' if left else ''}", names, heard_as, rows
    )


def by_genre(facts: Facts) -> Section:
    """Precision, recall and F1 of every genre."""
    where = cypher_of(facts, "metrics")
    measured = measured_on_test(facts)
    parts: list[Part] = []
    if facts.model is None or measured is None:
        parts.append(_unmeasured(facts))
    else:
        several = bool(measured.several)
        columns = ["genre", "songs", "precision", "recall", "F1"]
        columns += ["AP", "ROC-AUC"] if several else []
        ranked = sorted(measured.genres, key=lambda each: (-each.f1, each.genre))
        parts.append(
            Table(
                "The best first",
                columns,
                [_genre(each, several) for each in ranked],
                numbers=range(1, len(columns)),
                more="Precision: of the songs that were heard as the genre, how many are. Recall: "
                "of the genre's songs, how many were heard as it. F1: both in one. "
                + (_HEARD_AS if several else "")
                + "Few test songs say little of a genre.",
            )
        )
        trained = {name for song in facts.keys if song.split == "train" for name in song.genres}
        untested = sorted(trained - {each.genre for each in measured.genres})
        if untested and facts.model.metrics.get("genreLevel", "given") == "given":
            parts.append(
                Words(
                    "No test song has these genres, so nothing is known: "
                    f"{listed(untested, NAMED)}."
                )
            )
    return Section("genres", "Genre by genre", parts, protocol_of(facts), where)


_HEARD_AS = "A song is heard as its first genre and all others that are likelier than not. "


def _genre(each: GenreScore, several: bool) -> Sequence[str | Bar]:
    further = (_short(each.average_precision), _short(each.roc_auc)) if several else ()
    return (
        *(each.genre, f"{each.songs:,}", _short(each.precision), _short(each.recall)),
        Bar(_short(each.f1), each.f1),
        *further,
    )


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def learning(facts: Facts) -> Section:
    """How the training went, epoch by epoch; by songs see `kg.report.curve`."""
    model = facts.model
    parts: list[Part] = []
    protocol = ""
    if model is None:
        parts.append(untrained(facts))
    elif not model.metrics.get("learningCurve"):
        parts.append(Missing("An older kg trained this model and kept no curve: `kg train` does."))
    else:
        metrics = model.metrics
        points = [
            (int(epoch), float(loss), score) for epoch, loss, score in metrics["learningCurve"]
        ]
        validated = metrics.get("selectedBy") == "validation"
        kept, run = metrics["bestEpoch"], metrics["epochs"]
        said = f"{count(run, 'epoch')}; the weights of number {kept} were kept"
        said += (
            ", the best on validation songs."
            if validated
            else ": too few songs are held out to choose an epoch by."
        )
        parts.append(Words(said))
        parts.append(
            Chart(
                "learning",
                "By epoch: training loss, "
                f"from {points[0][1]:.2f} to {points[-1][1]:.2f}{_validation(points)}. {said}",
                charts.learning(points, kept),
            )
        )
        protocol = f"Loss on {count(int(metrics.get('trainSongs', 0)), 'training song')}"
        if any(score is not None for _, _, score in points):
            protocol += f"; macro-F1 on {count(int(metrics['validSongs']), 'validation song')}"
            protocol += ", which chose the epoch: on other songs expect less" if validated else ""
        protocol += (
            ". No test song was looked at. This is one training, epoch by epoch; what more songs "
            "bring is another question, that of the learning curve."
        )
    return Section(
        "learning",
        "How it learned",
        parts,
        protocol,
        cypher_of(facts, "epochs, m.bestEpoch, m.metrics"),
    )


def _validation(points: Sequence[tuple[int, float, float | None]]) -> str:
    scores = [score for _, _, score in points if score is not None]
    if not scores:
        return ""
    return f", and macro-F1 on validation songs, from {scores[0]:.2f} to {scores[-1]:.2f}"


def cypher_of(facts: Facts, what: str) -> str:
    """Where the model's numbers are in the graph."""
    if facts.model is None:
        return ""
    return f"MATCH (m:Model {{id: '{facts.model.id}'}}) RETURN m.{what}"


def calibrated(facts: Facts) -> bool:
    """Whether the model's probabilities are."""
    return facts.model is not None and is_calibrated(facts.model.metrics)
