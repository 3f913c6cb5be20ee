"""The last comparison of models and features, as its rows are in the graph."""

from collections.abc import Mapping
from typing import Any, Final

from kg.metrics.evaluate import Estimate
from kg.report import charts
from kg.report.facts import Facts
from kg.report.model import INTERVALS
from kg.report.parts import Chart, Missing, Part, Section, Table, Words
from kg.report.words import count, day

_PROTOCOLS: Final = {
    "by artist": "by artists that a model hasn't heard, in {folds} by artist",
    "random": "in {folds} at random, which flatters",
    "valid": "validation songs",
    "test": "test songs",
}
Row = Mapping[str, Any]


def compared(facts: Facts) -> Section:
    """Table and plot of the comparison."""
    measured = [row for row in facts.experiment if row.get("macroF1") is not None]
    rows = [row for row in measured if row.get("share", 1) == 1]  # the others are a learning curve
    parts: list[Part] = []
    protocol, cypher = "", ""
    if not rows:
        parts.append(
            Missing("Models and features were not compared: `kg compare` does, in folds by artist.")
        )
    else:
        # The honest protocol first; within one the best first.
        rows.sort(key=lambda row: (row["protocol"] == "random", -row["macroF1"], row["model"]))
        several = len({row["protocol"] for row in rows}) > 1
        parts += [_table(rows, several), _chart(rows)]
        first = rows[0]
        protocol = (
            f"Measured on {'; '.join(dict.fromkeys(measured_on(row) for row in rows))}. "
            f"{of_runs(first)}"
        )
        if first["featureVersion"] != facts.status.feature_version:
            parts.append(
                Missing("These were other features than the library has now: `kg compare` again.")
            )
        cypher = (
            f"MATCH (e:Experiment {{run: '{first['run']}'}}) WHERE coalesce(e.share, 1) = 1\n"
            "RETURN e.model, e.features, e.protocol, e.macroF1, e.macroF1Low, e.macroF1High\n"
            "ORDER BY e.macroF1 DESC"
        )
    parts += [
        Words(f"{called(row)} came to nothing: {row['error']}")
        for row in facts.experiment
        if row.get("error")
    ]
    return Section("comparison", "Models and features compared", parts, protocol, cypher)


def measured_on(row: Row) -> str:
    """On how many songs, and how they were held out."""
    by = str(row["protocol"])
    how = _PROTOCOLS.get(by, by).format(folds=count(int(row["folds"]), "fold"))
    return f"{count(int(row['songs']), 'song')} ({how})"


def of_runs(row: Row) -> str:
    """Of how many runs numbers are the mean, and in which comparison."""
    return (
        f"The mean of {count(int(row['seeds']), 'run')}; comparison {row['run']}, "
        f"{day(row['createdAt'].to_native())}."
    )


def called(row: Row) -> str:
    """A contestant with what it learned from."""
    return f"{row['model']} ({row['features']})"


def _table(rows: list[Row], several: bool) -> Part:
    columns = ["model", "features", *(["held out"] if several else [])]
    numbers = ["macro-F1 [95 %]", "accuracy [95 %]", "points against the best", "p", "training"]
    return Table(
        "The best first",
        [*columns, *numbers],
        [
            (
                *(row["model"], row["features"], *([row["protocol"]] if several else [])),
                *(str(estimate(row, "macroF1")), str(estimate(row, "accuracy"))),
                "" if row.get("behind") is None else f"{100 * row['behind']:+.1f}",
                _chance(row.get("p")),
                f"{row['trainSeconds']:.1f} s",
            )
            for row in rows
        ],
        numbers=range(len(columns), len(columns) + len(numbers)),
        more=f"{INTERVALS} Points are of macro-F1. p: how likely such a difference is by chance "
        "(paired randomisation, after Holm).",
        cards=True,
    )


def _chance(p: float | None) -> str:
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _chart(rows: list[Row]) -> Part:
    named = [(called(row), estimate(row, "macroF1")) for row in rows]
    return Chart(
        "comparison",
        "Macro-F1 of each with its 95 % interval: "
        + "; ".join(f"{name} {found}" for name, found in named)
        + ".",
        charts.dots(named, "macro-F1 [95 %]", [row["protocol"] for row in rows]),
        height=110 + 30 * len({name for name, _ in named}),
    )


def estimate(row: Row, name: str) -> Estimate:
    """A number of a row, with its interval."""
    return Estimate(row[name], row[f"{name}Low"], row[f"{name}High"])
