"""What the model's probabilities are worth, and what it says where it isn't sure."""

from typing import Any

from kg.report import charts
from kg.report.facts import Facts
from kg.report.model import UNTRAINED, calibrated, cypher_of, protocol_of
from kg.report.parts import Chart, Missing, Part, Section, Table, Tiles, Words
from kg.report.words import count, percent

# Below this many songs a calibration error is mostly chance.
FEW_SONGS = 100


def reliability(facts: Facts) -> Section:
    """Of the songs that are called something with 70 %, how many are?"""
    parts: list[Part] = []
    if facts.model is None:
        parts.append(UNTRAINED)
    elif not calibrated(facts) or facts.model.metrics.get("ece") is None:
        parts.append(_unknown(facts))
    else:
        metrics = facts.model.metrics
        parts.append(
            Words(
                "Of the songs that the model calls something with 70 %, some 70 in 100 should be. "
                f"Its probabilities are off by {_points(metrics['ece'])} on average (expected "
                f"calibration error), before calibration by {_points(metrics['eceUncalibrated'])}; "
                f"Brier score {metrics['brier']:.3f}, before {metrics['brierUncalibrated']:.3f}."
            )
        )
        points = [(float(a), float(b), int(n)) for a, b, n in metrics.get("reliability", ())]
        if points:
            said = "; ".join(f"{percent(a)} said, {percent(b)} right ({n})" for a, b, n in points)
            parts.append(
                Chart(
                    "reliability",
                    f"Probability of the first genre against the share that is right: {said}.",
                    charts.reliability(points),
                )
            )
            parts.append(
                Words(
                    "On the dotted line it is as good as its word; above it songs are right more "
                    "often than it says. Bars are 95 % intervals (Wilson)."
                )
            )
        else:
            parts.append(Missing(_pointless(facts)))
        if metrics.get("doubtSongs", FEW_SONGS) < FEW_SONGS:
            parts.append(Words("So few songs tell little of that."))
    return Section(
        "reliability",
        "What a probability is worth",
        parts,
        _protocol(facts),
        cypher_of(facts, "ece, m.brier, m.metrics"),
    )


def coverage(facts: Facts) -> Section:
    """How many songs get a genre, and how many of these the right one."""
    parts: list[Part] = []
    if facts.model is None:
        parts.append(UNTRAINED)
    elif not calibrated(facts) or not facts.model.metrics.get("riskCoverage"):
        parts.append(_unknown(facts))
    else:
        metrics = facts.model.metrics
        given, right = metrics.get("coverage"), metrics.get("precision")
        tiles = [
            (percent(given or 0), "of these songs get a genre"),
            *([(percent(right), "of these genres are right")] if right is not None else []),
            (percent(metrics["precisionAsked"]), "were asked to be right"),
            (percent(metrics["probabilityThreshold"]), "is the least probability for that"),
        ]
        points = [(float(x), float(y)) for x, y in metrics["riskCoverage"]]
        here = (given, 1 - right) if given and right is not None else None
        parts += [
            Tiles(tiles),
            Chart(
                "coverage",
                "Share of songs that get a genre against the share of these genres that is wrong: "
                + "; ".join(f"{percent(x)} get one, {percent(y)} wrong" for x, y in points[::5])
                + ".",
                charts.coverage(points, here),
            ),
            Words(
                "The fewer songs get a genre (those with the highest probability first), the fewer "
                "of these are wrong. The area under the curve is "
                f"{metrics['aurc']:.3f}: the lower the better."
                if metrics.get("aurc") is not None
                else "The fewer songs get a genre, the fewer of these are wrong."
            ),
            _doubts(facts),
        ]
    return Section(
        "coverage",
        "When it doesn't know",
        parts,
        _protocol(facts),
        "MATCH (s:Song) WHERE s.doubt IS NOT NULL RETURN s.doubt, count(s) AS songs",
    )


def _doubts(facts: Facts) -> Part:
    reasons = sorted({song.doubt for song in facts.songs if song.doubt})
    told = sum(1 for song in facts.songs if song.told)
    rows = [(f"unknown: {why}", _share(facts, why, told)) for why in reasons]
    known = sum(1 for song in facts.songs if song.told and song.doubt is None)
    rows.insert(0, ("a genre", f"{known:,} ({percent(known / max(told, 1))})"))
    return Table("What the songs of the library get", ["", "songs"], rows, numbers=(1,))


def _share(facts: Facts, why: str, told: int) -> str:
    songs = sum(1 for song in facts.songs if song.doubt == why)
    return f"{songs:,} ({percent(songs / max(told, 1))})"


def _protocol(facts: Facts) -> str:
    metrics: dict[str, Any] = dict(facts.model.metrics) if facts.model is not None else {}
    if metrics.get("doubtMeasuredOn") == "valid" and metrics.get("ece") is not None:
        songs = int(metrics.get("doubtSongs") or metrics.get("validSongs") or 0)
        return (
            f"Measured on {count(songs, 'validation song')}, as there are no test songs: each is "
            "told by what the others set."
        )
    if metrics.get("ece") is None:
        return ""
    fitted = count(int(metrics["calibrationSongs"]), "validation song")
    return f"{protocol_of(facts)} Calibration and threshold were set on {fitted}, never on these."


def _unknown(facts: Facts) -> Part:
    if not calibrated(facts):
        return Missing("An older kg trained this model: `kg train` calibrates its probabilities.")
    return Missing("No song is held out to measure this on: see `kg train --split`.")


def _pointless(facts: Facts) -> str:
    assert facts.model is not None
    if "reliability" not in facts.model.metrics:
        return "An older kg trained this model and kept no diagram: `kg train` does."
    return "There are too few songs for a diagram: ten at a point, at least."


def _points(share: float) -> str:
    return count(round(100 * share), "point")
