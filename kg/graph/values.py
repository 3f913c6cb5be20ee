"""What a query returns, as plain Python values that print, compare and become JSON."""

from typing import Any

from kg.graph.driver import neo4j


def plain(value: Any) -> Any:
    """Convert one value of an answer.

    A node becomes {"labels": [...], **properties}, a relationship {"type": ..., **properties}, a
    path the list node, relationship, node, ...; times become Python's (microseconds), a duration
    its ISO 8601 text, a point {"srid": ..., "x": ..., "y": ...}; bytes stay bytes.
    """
    match value:
        case neo4j.graph.Node():
            return {"labels": sorted(value.labels), **_plain_items(value)}
        case neo4j.graph.Relationship():
            return {"type": value.type, **_plain_items(value)}
        case neo4j.graph.Path():
            steps: list[Any] = [plain(value.start_node)]
            for relationship, node in zip(value.relationships, value.nodes[1:], strict=True):
                steps += [plain(relationship), plain(node)]
            return steps
        case neo4j.time.Duration():
            return value.iso_format()
        case neo4j.time.DateTime() | neo4j.time.Date() | neo4j.time.Time():
            return value.to_native()
        case neo4j.spatial.Point():
            return {"srid": value.srid, **dict(zip("xyz", value, strict=False))}
        case dict():
            return _plain_items(value)
        case list():
            return [plain(item) for item in value]
    return value


def _plain_items(value: Any) -> dict[str, Any]:
    return {name: plain(item) for name, item in value.items()}
