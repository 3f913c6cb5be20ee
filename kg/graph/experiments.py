"""Comparisons in the graph: an `Experiment` node for every row, to be asked for in Cypher."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.transactions import read_rows, run

if TYPE_CHECKING:
    from kg.compare.figures import Figure
    from kg.compare.runs import Missing


def write(
    connection: Connection,
    id: str,
    created_at: datetime,
    figures: "Iterable[Figure]",
    missing: "Iterable[Missing]",
    *,
    folds: int,
    feature_version: str,
    build: str,
) -> None:
    """Keep the rows of a comparison, and who has none and why, in one transaction.

    Rows of the same comparison that are there go.

    Args:
        connection: The graph.
        id: Of the comparison.
        created_at: When it was finished.
        figures: Its rows.
        missing: Contestants without a row.
        folds: Into how many folds the songs were dealt.
        feature_version: Version of the features.
        build: Build of the graph.

    Raises:
        GraphError: the server refuses it or doesn't answer.
    """
    common = {
        "run": id,
        "createdAt": created_at,
        "folds": folds,
        "featureVersion": feature_version,
        "build": build,
    }
    rows: list[dict[str, Any]] = [
        {
            "id": f"{id}/{row.protocol}/{row.model}/{row.features}/{row.share:g}",
            "properties": {**common, **_properties(row)},
        }
        for row in figures
    ]
    rows += [
        {
            "id": f"{id}/missing/{each.model}/{each.features}",
            "properties": {
                **common,
                "model": each.model,
                "features": each.features,
                "error": each.reason,
            },
        }
        for each in missing
    ]

    def replace(tx: neo4j.ManagedTransaction) -> None:
        run(tx, queries.DELETE_EXPERIMENTS, runs=[id])
        run(tx, queries.MERGE_EXPERIMENTS, rows=rows)

    connection.write(replace)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A comparison that is kept in the graph.

    Attributes:
        run: Its id.
        created_at: When it was finished.
        rows: How many `Experiment` nodes it has, those of contestants that broke among them.
        songs: How many songs were measured on; None where no contestant came to anything.
        protocol: How the best row's songs were held out.
        model: Title of the contestant that was best, on honest folds where there are any.
        features: What it learned from.
        macro_f1: What it came to.
    """

    run: str
    created_at: datetime
    rows: int
    songs: int | None
    protocol: str | None
    model: str | None
    features: str | None
    macro_f1: float | None


def read(connection: Connection) -> list[Experiment]:
    """All comparisons, the newest first.

    Raises:
        GraphError: the server refuses it or doesn't answer.
    """
    runs: dict[str, list[dict[str, Any]]] = {}
    for row in read_rows(connection, queries.EXPERIMENTS):
        runs.setdefault(row["run"], []).append(row)
    return [_experiment(run, rows) for run, rows in runs.items()]


def remove(connection: Connection, runs: Iterable[str]) -> None:
    """Delete all rows of comparisons, in one transaction.

    Raises:
        GraphError: the server refuses it or doesn't answer.
    """
    listed = list(runs)
    connection.write(lambda tx: run(tx, queries.DELETE_EXPERIMENTS, runs=listed))


def _experiment(run: str, rows: list[dict[str, Any]]) -> Experiment:
    measured = [row for row in rows if row["macroF1"] is not None]
    whole = [row for row in measured if row["share"] == 1] or measured
    honest = [row for row in whole if row["protocol"] != "random"] or whole
    best: dict[str, Any] = max(honest, key=lambda row: float(row["macroF1"]), default={})
    return Experiment(
        run=run,
        created_at=rows[0]["createdAt"].to_native(),
        rows=len(rows),
        songs=best.get("songs"),
        protocol=best.get("protocol"),
        model=best.get("model"),
        features=best.get("features"),
        macro_f1=best.get("macroF1"),
    )


def _properties(row: "Figure") -> Mapping[str, Any]:
    return {
        "model": row.model,
        "features": row.features,
        "protocol": row.protocol,
        "songs": row.songs,
        "seeds": row.seeds,
        "share": row.share,
        "learnedFrom": row.learned_from,
        "accuracy": row.accuracy.value,
        "accuracyLow": row.accuracy.low,
        "accuracyHigh": row.accuracy.high,
        "macroF1": row.macro_f1.value,
        "macroF1Low": row.macro_f1.low,
        "macroF1High": row.macro_f1.high,
        "behind": row.behind.value if row.behind else None,
        "p": row.p,
        "gained": row.gained.value if row.gained else None,
        "gainedLow": row.gained.low if row.gained else None,
        "gainedHigh": row.gained.high if row.gained else None,
        "trainSeconds": row.train_seconds,
        "predictSeconds": row.predict_seconds,
        "megabytes": row.megabytes,
        "parameters": row.parameters,
        "settings": json.dumps(row.settings) if row.settings else None,
    }
