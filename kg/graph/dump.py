"""The whole graph written to one file: JSON lines in a zip; docs/dump.md describes the format."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from kg._version import __version__
from kg.errors import GraphError, KgError, NotReadyError, WrongUsageError
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.lines import node_line, relationship_line
from kg.graph.manifest import (
    CHECKPOINT_FILES,
    CHUNK,
    MANIFEST,
    Manifest,
    Part,
    checkpoint_part,
    nodes_part,
    relationships_part,
)
from kg.outputs import appearing, check_target
from kg.progress import SILENT, Advance, Progress
from kg.schema import KEYS
from kg.text import printable

ATTEMPTS: Final = 3
# Features are nearly random and hardly shrink: more effort takes time and saves little.
LEVEL: Final = 3
# Rows between two signs of life.
_STEP: Final = 1000


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump that was written, or is about to be loaded.

    Attributes:
        file: Where it lies.
        bytes: Its size.
        nodes: By label.
        relationships: By type.
        models: Models whose checkpoints are in it.
    """

    file: Path
    bytes: int
    nodes: Mapping[str, int]
    relationships: Mapping[str, int]
    models: Sequence[str]


class _ChangedError(Exception):
    """Somebody wrote while we read: what was read doesn't hold together."""


def write_dump(
    connection: Connection,
    file: Path,
    checkpoints: Mapping[str, Path],
    *,
    force: bool = False,
    progress: Progress = SILENT,
) -> Dump:
    """Write everything of ours in the database to a file that only its owner can read.

    What is written holds together: every relationship's ends are there, and nothing changed from
    the first row to the last, else it is written again. The file appears whole or not at all.

    Args:
        connection: The database.
        file: Where to.
        checkpoints: Folders of checkpoints that come along, by model.
        force: Replace a file that is there.
        progress: Told how far it is.

    Raises:
        WrongUsageError: the file is there already, or no file can be there.
        NotReadyError: the graph is empty, or a build of it was cut off.
        GraphError: the graph changes all the time.
        KgError: the file can't be written.
    """
    _check_target(file, force=force)
    for _ in range(ATTEMPTS):
        before = _look(connection)
        try:
            with _appearing(file, force=force) as part:
                manifest = _write(connection, part, before, checkpoints, progress)
                if _look(connection) != before:
                    raise _ChangedError
        except _ChangedError:
            progress.say("The graph changed while it was being dumped: beginning again.")
            continue
        return Dump(
            file=file,
            bytes=file.stat().st_size,
            nodes=manifest.rows("nodes"),
            relationships=manifest.rows("relationships"),
            models=manifest.models,
        )
    raise GraphError(
        f"The graph changed each of the {ATTEMPTS} times it was being dumped, and nothing was "
        "written: run this again when no other kg command writes to it."
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """What must stay the same while a dump is written."""

    nodes: Mapping[str, int]
    relationships: Mapping[str, int]
    builds: Sequence[Mapping[str, Any]]
    models: Sequence[Mapping[str, Any]]


def _look(connection: Connection) -> _Look:
    def read(tx: neo4j.ManagedTransaction) -> _Look:
        def count(texts: Mapping[str, str]) -> dict[str, int]:
            return {name: tx.run(text).single(strict=True)["n"] for name, text in texts.items()}

        return _Look(
            nodes=count(queries.COUNT_OUR_NODES),
            relationships=count(queries.COUNT_OUR_RELATIONSHIPS),
            builds=[record.data() for record in tx.run(queries.BUILDS)],
            models=[record.data() for record in tx.run(queries.MODEL_STATES)],
        )

    found = connection.read(read)
    if not found.nodes["Song"]:
        raise NotReadyError("The graph holds no songs, so there is nothing to dump.")
    if len(found.builds) > 1:
        raise GraphError(
            "The graph holds features of several versions, which can't be mixed: ingest "
            "everything again into an empty database."
        )
    if [build["state"] for build in found.builds] != ["complete"]:
        raise NotReadyError(
            "The graph is not finished: run the same `kg ingest` again, or `kg train`, then "
            "dump it."
        )
    return found


def _write(
    connection: Connection,
    target: BinaryIO,
    look: _Look,
    checkpoints: Mapping[str, Path],
    progress: Progress,
) -> Manifest:
    parts: list[Part] = []
    keys: dict[str, set[int]] = {label: set() for label in KEYS}
    rows = sum(look.nodes.values()) + sum(look.relationships.values())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        with progress.stage("Dumping the graph", rows) as advance:
            for label, key in KEYS.items():

                def node(row: Sequence[Any], key: str = key, seen: set[int] = keys[label]) -> bytes:
                    (properties,) = row
                    # 8 bytes a key, not the key: a million songs must not fill the memory.
                    seen.add(hash(properties[key]))
                    return node_line(properties)

                text = queries.READ_NODES[label]
                parts.append(
                    _copy_rows(connection, text, archive, nodes_part(label), node, advance)
                )
            for type, (head, tail) in queries.ENDS.items():

                def relationship(
                    row: Sequence[Any], heads: set[int] = keys[head], tails: set[int] = keys[tail]
                ) -> bytes:
                    head, tail, properties = row
                    if hash(head) not in heads or hash(tail) not in tails:
                        raise _ChangedError
                    return relationship_line(head, tail, properties)

                text, name = queries.READ_RELATIONSHIPS[type], relationships_part(type)
                parts.append(_copy_rows(connection, text, archive, name, relationship, advance))
        for model, folder in checkpoints.items():
            parts += _copy_checkpoint(archive, model, folder)
        manifest = Manifest(
            __version__, datetime.now(UTC).isoformat(), str(look.builds[0]["version"]), parts
        )
        if (manifest.rows("nodes"), manifest.rows("relationships")) != (
            look.nodes,
            look.relationships,
        ):
            raise _ChangedError
        archive.writestr(MANIFEST, manifest.to_json())
    return manifest


def _copy_rows(
    connection: Connection,
    text: str,
    archive: zipfile.ZipFile,
    name: str,
    to_line: Callable[[Sequence[Any]], bytes],
    advance: Advance,
) -> Part:
    """Stream the rows of one query into one file of the archive."""
    digest, rows, size = hashlib.sha256(), 0, 0
    begun = False

    def copy(tx: neo4j.ManagedTransaction) -> None:
        nonlocal begun, rows, size
        if begun:  # the driver's second try: half of the rows are written
            raise _ChangedError
        begun = True
        for record in tx.run(text):
            try:
                line = to_line(record.values())
            except ValueError as error:
                raise GraphError(
                    f"A row of {name} can't be dumped ({error}): change or remove what holds it "
                    "with a Neo4j client, then dump again."
                ) from error
            digest.update(line)
            size += len(line)
            rows += 1
            target.write(line)
            if rows % _STEP == 0:
                advance(_STEP)

    with archive.open(name, "w", force_zip64=True) as target:
        connection.read(copy)
    advance(rows % _STEP)
    return Part(name, rows, size, digest.hexdigest())


def _copy_checkpoint(archive: zipfile.ZipFile, model: str, folder: Path) -> Iterator[Part]:
    """Copy the files of a checkpoint, all of the same one: it is replaced as a whole."""
    with ExitStack() as opened:
        try:
            paths = [folder / name for name in CHECKPOINT_FILES]
            files = [opened.enter_context(path.open("rb")) for path in paths]
            if any(
                not os.path.samestat(os.fstat(file.fileno()), path.stat())
                for file, path in zip(files, paths, strict=True)
            ):
                raise _ChangedError
        except FileNotFoundError as error:
            raise KgError(
                f"The checkpoint {folder} of model {model} is damaged "
                f"({Path(error.filename).name} is missing): dump without checkpoints "
                "(--models none), or run `kg train` first."
            ) from error
        for name, file in zip(CHECKPOINT_FILES, files, strict=True):
            digest, size = hashlib.sha256(), 0
            entry = zipfile.ZipInfo(checkpoint_part(model, name), _now())
            entry.compress_type = zipfile.ZIP_STORED  # weights don't shrink
            entry.external_attr = 0o600 << 16
            with archive.open(entry, "w", force_zip64=True) as target:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    target.write(chunk)
            yield Part(entry.filename, 0, size, digest.hexdigest())


def _now() -> tuple[int, int, int, int, int, int]:
    now = datetime.now()
    return (now.year, now.month, now.day, now.hour, now.minute, now.second)


def _check_target(file: Path, *, force: bool) -> None:
    check_target(file, "the dump")
    if not force and os.path.lexists(file):
        raise WrongUsageError(
            f"{printable(file)} is there already: choose another name, or replace it with --force."
        )


@contextmanager
def _appearing(file: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A private file that takes its name when all is written, or leaves nothing behind."""
    try:
        with appearing(file, private=True) as target:
            yield target
            _check_target(file, force=force)  # somebody else may have written it meanwhile
    except OSError as error:
        raise KgError(
            f"The dump can't be written to {printable(file)} ({error.strerror or error}): make "
            "room there, or choose another place."
        ) from error
