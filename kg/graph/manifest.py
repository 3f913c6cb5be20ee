"""What a dump holds, said in the dump itself: its manifest; docs/dump.md describes the format."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from kg.schema import KEYS, RELATIONSHIPS

# Raised when a kg that reads the older form would read the newer one wrongly.
FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
CHECKPOINT_FILES: Final = ("config.json", "model.safetensors", "layers.safetensors")
CHUNK: Final = 1 << 20

_KIND: Final = "kg dump"
# A model's id becomes a folder: no way out of that, and nothing hidden.
_ID: Final = re.compile(r"[0-9A-Za-z_][\w.-]{0,99}")


class ManifestError(Exception):
    """What is wrong with a manifest, as the end of a sentence; `newer`: this kg is too old."""

    def __init__(self, what: str, *, newer: bool = False) -> None:
        super().__init__(what)
        self.newer = newer


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a dump.

    Attributes:
        name: `nodes/LABEL.jsonl`, `relationships/TYPE.jsonl` or `models/ID/FILE`.
        rows: Lines; 0 for the files of a model.
        bytes: Unpacked.
        sha256: Of the unpacked bytes, hex.
    """

    name: str
    rows: int
    bytes: int
    sha256: str

    @property
    def kind(self) -> str:
        """`nodes`, `relationships` or `models`."""
        return self.name.split("/")[0]

    @property
    def of(self) -> str:
        """Label, relationship type or model."""
        return self.name.split("/")[1].removesuffix(".jsonl" if self.kind != "models" else "")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a dump holds.

    Attributes:
        kg: Version of the kg that wrote it.
        created_at: When, ISO 8601.
        features: Version of the songs' features.
        parts: Its files but the manifest, nodes before relationships before models.
    """

    kg: str
    created_at: str
    features: str
    parts: Sequence[Part]

    def rows(self, kind: str) -> dict[str, int]:
        """Rows by label or relationship type."""
        return {part.of: part.rows for part in self.parts if part.kind == kind}

    @property
    def models(self) -> list[str]:
        """Models whose checkpoints come along."""
        return list(dict.fromkeys(part.of for part in self.parts if part.kind == "models"))

    def to_json(self) -> bytes:
        """The manifest as it stands in the dump."""
        document = {
            "kind": _KIND,
            "format": FORMAT,
            "kg": self.kg,
            "createdAt": self.created_at,
            "features": self.features,
            "files": [asdict(part) for part in self.parts],
        }
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def nodes_part(label: str) -> str:
    """Name of the file of a label."""
    return f"nodes/{label}.jsonl"


def relationships_part(type: str) -> str:
    """Name of the file of a relationship type."""
    return f"relationships/{type}.jsonl"


def checkpoint_part(model: str, file: str) -> str:
    """Name of one file of a model's checkpoint."""
    return f"models/{model}/{file}"


def usable_id(model: str) -> bool:
    """Whether a model's id can be a folder's name."""
    return _ID.fullmatch(model) is not None


def read_manifest(text: bytes) -> Manifest:
    """Read a manifest; every name in it is one that this kg knows, and none leads elsewhere.

    Raises:
        ManifestError: it can't be used.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("kind") != _KIND:
            raise ManifestError("it isn't a dump of kg")
        if type(document["format"]) is not int or document["format"] < 1:
            raise ManifestError("its manifest names no format")
        if document["format"] > FORMAT:
            raise ManifestError(
                f"it has format {document['format']} and this kg reads {FORMAT}", newer=True
            )
        manifest = Manifest(
            kg=_text(document["kg"]),
            created_at=_text(document["createdAt"]),
            features=_text(document["features"]),
            parts=[_part(part) for part in document["files"]],
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ManifestError(f"its manifest can't be read ({type(error).__name__})") from error
    _check(manifest)
    return manifest


def _part(document: dict[str, Any]) -> Part:
    part = Part(_text(document["name"]), document["rows"], document["bytes"], document["sha256"])
    for count in (part.rows, part.bytes):
        if type(count) is not int or count < 0:
            raise TypeError("not a number of rows or bytes")
    _text(part.sha256)
    return part


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _check(manifest: Manifest) -> None:
    names = [part.name for part in manifest.parts]
    if len(set(names)) < len(names):
        raise ManifestError("its manifest names a file twice")
    ours = {nodes_part(label) for label in KEYS} | {relationships_part(t) for t in RELATIONSHIPS}
    for name in names:
        match name.split("/"):
            case ["nodes" | "relationships", _] if name in ours:
                pass
            case ["nodes" | "relationships", str() as file] if re.fullmatch(r"\w+\.jsonl", file):
                raise ManifestError(f"this kg knows no {file.removesuffix('.jsonl')}", newer=True)
            case ["models", str() as model, str() as file] if (
                usable_id(model) and file in CHECKPOINT_FILES
            ):
                pass
            case _:
                raise ManifestError(f"its manifest names a file that isn't part of one ({name!r})")
    for model in manifest.models:
        if missing := {checkpoint_part(model, f) for f in CHECKPOINT_FILES}.difference(names):
            raise ManifestError(f"{min(missing)} is missing")
    order = [("nodes", "relationships", "models").index(part.kind) for part in manifest.parts]
    if order != sorted(order) or manifest.rows("nodes").get("FeatureSpace") != 1:
        raise ManifestError("its manifest isn't one that kg writes")
