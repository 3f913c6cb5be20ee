"""Cypher texts keep to the one vocabulary."""

import re

from kg.graph import queries
from kg.schema import KEYS, RELATIONSHIPS, TURN


def texts() -> list[str]:
    found: list[str] = []
    for name, value in vars(queries).items():
        if name.isupper():
            listed = value.values() if isinstance(value, dict) else value
            found.extend([listed] if isinstance(listed, str) else listed)
    return [text for text in found if isinstance(text, str) and " " in text]


def test_labels_and_types_are_those_of_the_schema() -> None:
    assert len(texts()) > 30
    labels = {label for text in texts() for label in re.findall(r"\(\w*:(\w+)", text)}
    types = {
        type
        for text in texts()
        for group in re.findall(r"\[\w*:([\w|]+)", text)
        for type in group.split("|")
    }
    assert labels == {*KEYS, TURN}
    assert types == set(RELATIONSHIPS)


def test_every_key_has_its_constraint() -> None:
    for label, key in KEYS.items():
        assert any(f":{label})" in text and f"n.{key} " in text for text in queries.CONSTRAINTS)
