"""What the model's probabilities are worth, and what it says where it isn't sure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kg.report import charts
from kg.report.facts import Facts
from kg.report.model import calibrated, cypher_of, protocol_of, untrained
from kg.report.parts import Chart, Missing, Part, Section, Table, Tiles, Words
from kg.report.words import count, percent

# Below this many songs a calibration error is mostly chance.
FEW_SONGS = 100


def reliability(facts: Facts) -> Section:
    """Of the songs that are called something with 70 %, how many are?"""
    parts: list[Part] = []
    if facts.model is None:
        parts.append(untrained(facts))
    elif not calibrated(facts) or facts.model.metrics.get("ece") is None:
        parts.append(_unknown(facts))
    else:
        metrics = facts.model.metrics
        parts.append(
            Words(
                "Of the songs that the model calls something with 70 %, some 70 in 100 should be. "
                f"Its probabilities are off by {_points(metrics['ece'])} on average (expected "
                "calibration error, in bins of equally many songs; chance alone leaves a few "
                f"points), before calibration by {_points(metrics['eceUncalibrated'])}. Brier "
                f"score, 0 at best: {metrics['brier']:.3f}, before "
                f"{metrics['brierUncalibrated']:.3f}."
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
                    "often than it says. Every point is equally many songs; bars are 95 % "
                    "intervals (Wilson's, as if no two songs were by one artist)."
                )
            )
        else:
            parts.append(Missing(_pointless(facts)))
        parts += _caution(metrics)
    return Section(
        "reliability",
        "What a probability is worth",
        parts,
        _protocol(facts),
        cypher_of(facts, "ece, m.brier, m.metrics"),
    )


def coverage(facts: Facts) -> Section:
    """How many songs get a genre, and how many of these the right one."""
    where = cypher_of(facts, "coverage, m.precision, m.metrics")
    parts: list[Part] = []
    if facts.model is None:
        parts.append(untrained(facts))
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
                "Songs get a genre in the order of their probability, the highest first: where "
                "that is worth something, the fewer get one, the fewer of these are wrong."
                + (
                    f" The area under the curve is {metrics['aurc']:.3f}: the lower the better."
                    if metrics.get("aurc") is not None
                    else ""
                )
            ),
            *_caution(metrics),
            _doubts(facts),
        ]
    return Section(
        "coverage",
        "When it doesn't know",
        parts,
        _protocol(facts),
        "\n".join(
            [
                *([f"{where};"] if where else []),
                "MATCH (s:Song) WHERE s.doubt IS NOT NULL RETURN s.doubt, count(s) AS songs",
            ]
        ),
    )


def _caution(metrics: Mapping[str, Any]) -> list[Part]:
    """What is to be known of these numbers, as the training said it; and that songs are few."""
    parts: list[Part] = [Words(said) for said in metrics.get("doubtRemarks", ())]
    songs = int(metrics.get("doubtSongs", FEW_SONGS))
    if songs < FEW_SONGS:
        parts.append(Words(f"{count(songs, 'song')} {'tells' if songs == 1 else 'tell'} little."))
    return parts


def _doubts(facts: Facts) -> Part:
    told = [song for song in facts.songs if song.told]
    counted = Counter(song.doubt for song in told)
    rows = [
        ("a genre" if why is None else f"unknown: {why}", songs)
        for why, songs in sorted(
            ({None: 0} | counted).items(), key=lambda each: (each[0] is not None, each[0] or "")
        )
    ]
    return Table(
        "What the songs of the library get",
        ["", "songs"],
        [(name, f"{songs:,} ({percent(songs / max(len(told), 1))})") for name, songs in rows],
        numbers=(1,),
    )


def _protocol(facts: Facts) -> str:
    if facts.model is None or not calibrated(facts) or facts.model.metrics.get("ece") is None:
        return ""
    metrics = facts.model.metrics
    if metrics.get("doubtMeasuredOn") == "valid":
        songs = int(metrics.get("doubtSongs") or metrics.get("validSongs") or 0)
        return (
            f"Measured on {count(songs, 'validation song')}, as there are no test songs: each is "
            "told by what the others set."
        )
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
    return f"{100 * share:.1f} points"
