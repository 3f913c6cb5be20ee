"""A library's life, step by step, and all that a database then holds, in comparable form."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kg import Library
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.learning.training import TrainOptions

# Begins as ids of models do, and comes before any real one.
ANOTHER = "20200101-000000-abcd"
MODEL_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")

RELABEL = """
MATCH (g:Genre)
WITH g ORDER BY g.name DESC LIMIT 1
MATCH (s:Song)-[r:IN_GENRE]->(:Genre)
WITH g, s, r ORDER BY s.title LIMIT 1
DELETE r
CREATE (s)-[:IN_GENRE {source: 'user'}]->(g)
"""


def steps(library: Library, music: Path, new_song: Path) -> Iterator[str]:
    """Do one step after the other; the name of each is handed out when it is done."""
    library.ingest(music)
    yield "ingest"
    library.ingest(music)
    yield "ingest again"
    library.train(TrainOptions(epochs=6))
    yield "train"
    library.add(new_song)
    yield "add"
    library.connection.write(lambda tx: tx.run(RELABEL).consume())
    library.ingest(music)
    yield "label by hand"
    model = library.store.read_models()[0]
    library.store.write_model(replace(model, id=ANOTHER))
    yield "another model"
    library.use_model(model.id)
    yield "use the first again"
    library.store.delete_model(ANOTHER)
    yield "remove the other model"
    library.forget(str(new_song))
    yield "forget a song"
    library.remove_models(model.id, force=True)
    yield "remove the model in use"


def content(connection: Connection, home: Path) -> dict[str, list[str]]:
    """All nodes and relationships with all they hold; what chance and the clock say left out."""

    def read(tx: neo4j.ManagedTransaction) -> dict[str, list[list[Any]]]:
        return {
            "nodes": tx.run("MATCH (n) RETURN labels(n), properties(n)").values(),
            "relationships": tx.run(
                "MATCH (a)-[r]->(b) RETURN labels(a), coalesce(a.id, a.name), type(r), "
                "properties(r), labels(b), coalesce(b.id, b.name)"
            ).values(),
        }

    found = connection.read(read)
    shown = {
        kind: [repr([_plain(value) for value in row]).replace(str(home), "HOME") for row in rows]
        for kind, rows in found.items()
    }
    # Ids of models are times; also of models that are gone, as their looks stay.
    ids = sorted({id for rows in shown.values() for row in rows for id in MODEL_ID.findall(row)})
    return {
        kind: sorted(MODEL_ID.sub(lambda id: f"model {ids.index(id[0])}", row) for row in rows)
        for kind, rows in shown.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        # The token of who built it is chance.
        return {key: _plain(value[key]) for key in sorted(value) if key != "builder"}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return type(value).__name__ if isinstance(value, neo4j.time.DateTime) else value


def cookbook(repository: Path) -> list[str]:
    """Cypher of the README and the documents, without LIMIT: among equals each server cuts others.

    Those that ask for more than a title are left to the tests of their own document.
    """
    texts = [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]
    blocks = [
        block
        for file in texts
        for block in re.findall(r"```cypher\n(.*?)```", file.read_text("utf-8"), re.DOTALL)
    ]
    return [
        re.sub(r"\s+LIMIT \d+\s*$", "", block)
        for block in blocks
        if set(re.findall(r"\$(\w+)", block)) <= {"title"}
    ]
