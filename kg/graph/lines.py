"""Rows of the graph as lines of JSON that say exactly what the database held.

What JSON has no word for is an object of one tag: `{"bytes": "AAE="}`, `{"float": "nan"}`,
`{"datetime": "2026-01-02T03:04:05.000000006+02:00"}`. A property is never an object otherwise.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

import pytz

from kg.graph.driver import neo4j

_INTEGERS: Final = range(-(2**63), 2**63)
_INEXACT: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_ZONE: Final = re.compile(r"[\w+/-]{1,64}")


def node_line(properties: Mapping[str, Any]) -> bytes:
    """A node: its properties, values as the driver hands them out.

    Raises:
        ValueError: a value has no form here.
    """
    return _line(_packed(properties))


def relationship_line(head: str, tail: str, properties: Mapping[str, Any]) -> bytes:
    """A relationship: the keys of its ends, and its properties.

    Raises:
        ValueError: a value has no form here.
    """
    return _line({"from": head, "to": tail, "properties": _packed(properties)})


def read_node(line: bytes, key: str) -> tuple[str, dict[str, Any]]:
    """Key and properties of a node.

    Raises:
        ValueError: the line is none that `node_line` writes.
    """
    properties = _properties(_object(line))
    return _name(properties.get(key)), properties


def read_relationship(line: bytes) -> tuple[str, str, dict[str, Any]]:
    """Keys of both ends, and properties of a relationship.

    Raises:
        ValueError: the line is none that `relationship_line` writes.
    """
    row = _object(line)
    if set(row) != {"from", "to", "properties"}:
        raise ValueError("not a relationship")
    return _name(row["from"]), _name(row["to"]), _properties(row["properties"])


def _line(row: Mapping[str, Any]) -> bytes:
    text = json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def _packed(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _pack(value) for name, value in properties.items()}


def _object(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError("not an object")
    return row


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a key is missing")
    return value


def _properties(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("properties are missing")
    return {name: _unpack(item) for name, item in value.items()}


def _pack(value: Any) -> Any:
    match value:
        case bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"float": str(value)}
        case bytes() | bytearray():
            return {"bytes": base64.b64encode(value).decode()}
        case list():
            return [_pack(item) for item in value]
        case neo4j.time.DateTime():
            zone = getattr(value.tzinfo, "zone", None)
            named = {"zone": zone} if zone not in (None, "UTC") else {}
            return {"datetime": value.iso_format(), **named}
        case neo4j.time.Date():
            return {"date": value.iso_format()}
        case neo4j.time.Time():
            return {"time": value.iso_format()}
        case neo4j.time.Duration():
            return {"duration": [value.months, value.days, value.seconds, value.nanoseconds]}
    raise ValueError(f"a {type(value).__name__} has no form in a dump")


def _unpack(value: Any) -> Any:
    match value:
        case bool() | str() | float():
            return value
        case int():
            if value not in _INTEGERS:
                raise ValueError("an integer of more than 64 bits")
            return value
        case list():
            return [_unpack(item) for item in value]
        case {"float": str() as name, **rest} if not rest and name in _INEXACT:
            return _INEXACT[name]
        case {"bytes": str() as text, **rest} if not rest:
            try:
                return base64.b64decode(text, validate=True)
            except binascii.Error as error:
                raise ValueError(f"not base64: {error}") from error
        case {"datetime": str() as text, "zone": str() as zone, **rest} if not rest:
            return _in_zone(neo4j.time.DateTime.from_iso_format(text), zone)
        case {"datetime": str() as text, **rest} if not rest:
            moment = neo4j.time.DateTime.from_iso_format(text)
            offset = moment.utc_offset()
            return moment if offset is None or offset else moment.replace(tzinfo=UTC)
        case {"date": str() as text, **rest} if not rest:
            return neo4j.time.Date.from_iso_format(text)
        case {"time": str() as text, **rest} if not rest:
            return neo4j.time.Time.from_iso_format(text)
        case {"duration": [int() as months, int() as days, int() as seconds, int() as ns], **rest}:
            if not rest:
                return neo4j.time.Duration(
                    months=months, days=days, seconds=seconds, nanoseconds=ns
                )
    raise ValueError("a value of no known kind")


def _in_zone(moment: neo4j.time.DateTime, name: str) -> neo4j.time.DateTime:
    if not _ZONE.fullmatch(name):
        raise ValueError("not a time zone")
    try:
        # pytz's, as the driver hands them out: it crashes on some other kinds of zones.
        zone = pytz.timezone(name)
    except pytz.UnknownTimeZoneError as error:
        raise ValueError(f"no time zone is called {name}") from error
    return moment.as_timezone(zone)
