"""The learning curve: what models come to when they learn from fewer songs."""

from collections import defaultdict

from kg.compare.figures import step_in_words
from kg.report import charts
from kg.report.compared import Row, called, estimate, measured_on, of_runs
from kg.report.facts import Facts
from kg.report.model import INTERVALS
from kg.report.parts import Chart, Missing, Part, Section, Table, Words


def learning_curve(facts: Facts) -> Section:
    """Macro-F1 by how many songs were learned from, and whether more would help."""
    curves = _curves([row for row in facts.curve if row.get("macroF1") is not None])
    parts: list[Part] = []
    protocol, cypher = "", ""
    if not curves:
        parts.append(
            Missing(
                "Nobody measured what models come to with fewer songs: "
                "`kg compare --learning-curve` does."
            )
        )
    else:
        *_, less, whole = curves[0]
        sizes = (int(less["learnedFrom"]), int(whole["learnedFrom"]))
        parts += [
            Words(step_in_words(called(whole), sizes, estimate(whole, "gained"))),
            _chart(curves),
            _table(curves),
        ]
        protocol = (
            f"Measured on {measured_on(whole)}. "
            "Of the other songs so many kept their genres, whole artists at a time; the rest "
            f"stayed in the graph without. {of_runs(whole)}"
        )
        cypher = (
            f"MATCH (e:Experiment {{run: '{whole['run']}', protocol: '{whole['protocol']}'}})\n"
            "RETURN e.model, e.features, e.learnedFrom, e.macroF1, e.macroF1Low, e.macroF1High\n"
            "ORDER BY e.model, e.features, e.learnedFrom"
        )
    return Section("curve", "Learning curve: would more labels help?", parts, protocol, cypher)


def _chart(curves: list[list[Row]]) -> Part:
    said = "; ".join(
        f"{called(curve[-1])} "
        + ", ".join(f"{row['macroF1']:.3f} from {row['learnedFrom']}" for row in curve)
        for curve in curves
    )
    named = [
        (called(curve[-1]), [(int(row["learnedFrom"]), estimate(row, "macroF1")) for row in curve])
        for curve in curves
    ]
    return Chart(
        "curve",
        f"Macro-F1 by songs learned from, with 95 % intervals: {said}.",
        charts.by_songs(named, "macro-F1 [95 %]"),
        height=340 + 22 * len(curves),
    )


def _table(curves: list[list[Row]]) -> Part:
    sizes = [f"{row['learnedFrom']:,} songs" for row in curves[0]]
    return Table(
        "Macro-F1 by songs learned from, the best first",
        ["model", "features", *sizes, "last step"],
        [
            (
                *(curve[-1]["model"], curve[-1]["features"]),
                *(f"{row['macroF1']:.3f}" for row in curve),
                f"{100 * curve[-1]['gained']:+.1f} points",
            )
            for curve in curves
        ],
        numbers=range(2, 3 + len(sizes)),
        more=INTERVALS,
        cards=True,
    )


def _curves(rows: list[Row]) -> list[list[Row]]:
    """Rows by contestant, the fewest songs first; the best contestant first."""
    found = defaultdict(list)
    for row in rows:
        if row["protocol"] != "random":
            found[row["model"], row["features"]].append(row)
    curves = [sorted(own, key=lambda row: row["share"]) for own in found.values()]
    whole = [curve for curve in curves if curve[-1].get("gained") is not None]
    return sorted(whole, key=lambda curve: -curve[-1]["macroF1"])
