"""Comparisons in the graph: an `Experiment` node for every row, to be asked for in Cypher."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.transactions import run

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
            "id": f"{id}/{row.protocol}/{row.model}/{row.features}",
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
    connection.write(lambda tx: run(tx, queries.MERGE_EXPERIMENTS, rows=rows))


def _properties(row: "Figure") -> Mapping[str, Any]:
    return {
        "model": row.model,
        "features": row.features,
        "protocol": row.protocol,
        "songs": row.songs,
        "seeds": row.seeds,
        "accuracy": row.accuracy.value,
        "accuracyLow": row.accuracy.low,
        "accuracyHigh": row.accuracy.high,
        "macroF1": row.macro_f1.value,
        "macroF1Low": row.macro_f1.low,
        "macroF1High": row.macro_f1.high,
        "behind": row.behind.value if row.behind else None,
        "p": row.p,
        "trainSeconds": row.train_seconds,
        "predictSeconds": row.predict_seconds,
        "megabytes": row.megabytes,
        "parameters": row.parameters,
        "settings": json.dumps(row.settings) if row.settings else None,
    }
