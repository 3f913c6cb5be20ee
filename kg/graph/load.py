"""A dump brought into an empty database. All of it is checked before anything is written."""

import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from kg.errors import GraphError, KgError, NotReadyError, WrongUsageError
from kg.files import why_unreadable
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.driver import neo4j
from kg.graph.dump import Dump
from kg.graph.lines import read_node, read_relationship
from kg.graph.manifest import (
    CHECKPOINT_FILES,
    CHUNK,
    MANIFEST,
    Manifest,
    ManifestError,
    Part,
    checkpoint_part,
    read_manifest,
)
from kg.graph.transactions import BATCH, batches
from kg.graph.versions import VERSION
from kg.progress import SILENT, Progress
from kg.schema import KEYS
from kg.text import printable

# A line of a song is some 3 kB; a manifest has some 20 files and a few a model.
LONGEST_LINE: Final = 16 << 20
LARGEST_MANIFEST: Final = 16 << 20
# JSON lines shrink by 3 to 30; a file of zeros that fills disks shrinks by 1000.
MOST_SHRUNK: Final = 200

# Nodes that every graph of ours has, even an empty one.
OWN: Final[tuple[str, ...]] = ("KgSchema",)
# What makes a graph whole is written last.
LAST: Final = ("FeatureSpace", *OWN)

MIXED: Final = (
    "Another program writes into this graph at the same time: let it finish, then run this one "
    "again."
)

Rows = list[dict[str, Any]]


def load_dump(
    connection: Connection,
    file: Path,
    models_dir: Path,
    progress: Progress = SILENT,
) -> Dump:
    """Write what a dump holds into a database that holds nothing of ours, and its checkpoints.

    A load that was cut off is finished by loading the same file again.

    Args:
        connection: The database, with its constraints.
        file: The dump.
        models_dir: Where checkpoints belong.
        progress: Told how far it is.

    Raises:
        WrongUsageError: there is no such file, or it isn't a dump.
        KgError: it is damaged or of a newer kg, or a checkpoint can't be written.
        GraphError: the database holds a graph already, or half of another one.
    """
    with _opened(file) as archive:
        manifest, mark = _manifest_of(archive, file)
        _check_database(connection, mark)
        _verify(archive, manifest, file, progress)
        graph = [part for part in manifest.parts if part.kind != "models"]
        last = [part for part in graph if part.of in LAST]
        done = _begin(connection, mark, manifest.features)
        rows = [part for part in graph if part not in last]
        _write_rows(connection, archive, rows, mark, done, progress)
        _write_checkpoints(archive, manifest, models_dir)
        _finish(connection, archive, manifest, mark, last)
    return Dump(
        file=file,
        bytes=file.stat().st_size,
        nodes=manifest.rows("nodes"),
        relationships=manifest.rows("relationships"),
        models=manifest.models,
    )


def refuse_half_loaded(connection: Connection) -> None:
    """Notice that a load was cut off, so that nobody takes half a graph for a whole one.

    Raises:
        NotReadyError: it was.
    """
    if _loads(connection):
        raise NotReadyError(
            "A `kg load` into this graph was cut off or is still running: run it again with the "
            "same file, and it goes on."
        )


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    """Open a dump; what turns out to be wrong with the zip, at any time, becomes a sentence."""
    if not file.is_file():
        raise WrongUsageError(f"There is no file {printable(file)} to load.")
    try:
        raw = file.open("rb")
    except OSError as error:
        raise WrongUsageError(f"{printable(file)}: {why_unreadable(error)}.") from error
    with raw:
        try:
            if not zipfile.is_zipfile(raw):
                raw.seek(0)
                if raw.read(4) == b"PK\x03\x04":
                    raise KgError(_damaged(file, "its end is missing"))
                raise WrongUsageError(
                    f"{printable(file)} is not a dump of kg: `kg dump FILE` writes one."
                )
            raw.seek(0)
            with zipfile.ZipFile(raw) as archive:
                yield archive
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise KgError(_damaged(file, str(error) or "it ends too early")) from error


def _damaged(file: Path, what: str) -> str:
    return (
        f"{printable(file)} can't be loaded: {printable(what).rstrip('.')}. Nothing was written. "
        "Copy it again from where it was made, or dump the library anew."
    )


def _manifest_of(archive: zipfile.ZipFile, file: Path) -> tuple[Manifest, str]:
    """The manifest, and a fingerprint of it: that of the whole dump, since it has all checksums."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if MANIFEST not in names:
        raise WrongUsageError(
            f"{printable(file)} is a zip but no dump of kg: {MANIFEST} is missing."
        )
    if archive.getinfo(MANIFEST).file_size > LARGEST_MANIFEST:
        raise KgError(_damaged(file, "its manifest is too large to be one"))
    text = archive.read(MANIFEST)
    try:
        manifest = read_manifest(text)
    except ManifestError as error:
        if error.newer:
            raise KgError(
                f"{printable(file)} was written by a newer kg: {error}. Upgrade kg, then load it."
            ) from error
        raise KgError(_damaged(file, str(error))) from error
    sizes = {part.name: part.bytes for part in manifest.parts}
    if sorted(names) != sorted([MANIFEST, *sizes]):
        raise KgError(_damaged(file, "it holds other files than its manifest says"))
    for entry in entries:
        if entry.flag_bits & 1 or entry.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise KgError(_damaged(file, f"{entry.filename} is packed in a way that kg never uses"))
        if entry.file_size != sizes.get(entry.filename, entry.file_size):
            raise KgError(
                _damaged(file, f"{entry.filename} has another size than its manifest says")
            )
    # Entries may overlap, so the file's own size counts, not what they say of themselves.
    if sum(entry.file_size for entry in entries) > MOST_SHRUNK * file.stat().st_size:
        raise KgError(_damaged(file, "it unpacks to far more than any library"))
    return manifest, hashlib.sha256(text).hexdigest()


def _check_database(connection: Connection, mark: str) -> None:
    """Refuse a database that holds a graph; half of the same one is welcome."""
    loads = _loads(connection)
    if any(load["load"] == mark for load in loads):
        return
    if loads:
        raise GraphError(
            "Half of another dump is in this database: load that file again, which finishes it, "
            "or load this one into a new home (--home DIR) or an empty Neo4j database."
        )

    def count(tx: neo4j.ManagedTransaction) -> dict[str, int]:
        return {
            label: tx.run(text).single(strict=True)["n"]
            for label, text in queries.COUNT_OUR_NODES.items()
            if label not in OWN
        }

    there = {label: n for label, n in connection.read(count).items() if n}
    if there:
        listed = ", ".join(f"{n} {label}" for label, n in there.items())
        raise GraphError(
            f"This database holds a library already ({listed}), and a dump is never mixed with "
            "another: load it into a new home (--home DIR) or an empty Neo4j database."
        )


def _verify(archive: zipfile.ZipFile, manifest: Manifest, file: Path, progress: Progress) -> None:
    """Read it all, and write nothing: sizes, checksums, and every row with both its ends."""
    keys: dict[str, set[int]] = {label: set() for label in KEYS}
    total = sum(part.rows for part in manifest.parts)
    with progress.stage("Checking the dump", total) as advance:
        for part in manifest.parts:
            check = _CHECKS[part.kind]
            digest, rows, size = hashlib.sha256(), 0, 0
            try:
                for piece in _pieces(archive, part):
                    digest.update(piece)
                    size += len(piece)
                    rows += part.kind != "models"
                    check(piece, part.of, keys)
                    if rows and rows % BATCH == 0:
                        advance(BATCH)
                advance(rows % BATCH)
                if (rows, size, digest.hexdigest()) != (part.rows, part.bytes, part.sha256):
                    raise ValueError("it is not what was dumped: its checksum differs")
            except ValueError as error:
                raise KgError(_damaged(file, f"{part.name}: {error}")) from error
    if hash(manifest.features) not in keys["FeatureSpace"]:
        raise KgError(_damaged(file, "its manifest names other features than it holds"))


def _pieces(archive: zipfile.ZipFile, part: Part) -> Iterator[bytes]:
    """Lines of a file of the graph, chunks of a checkpoint's."""
    with archive.open(part.name) as source:
        if part.kind == "models":
            while chunk := source.read(CHUNK):
                yield chunk
            return
        while line := source.readline(LONGEST_LINE):
            if not line.endswith(b"\n"):
                raise ValueError("a line is cut off, or far too long")
            yield line


def _check_node(line: bytes, label: str, keys: dict[str, set[int]]) -> None:
    name, properties = read_node(line, KEYS[label])
    if hash(name) in keys[label]:
        raise ValueError(f"{name!r} is there twice")
    keys[label].add(hash(name))
    if label == "KgSchema":
        form = properties.get("version")
        if type(form) is not int or form < 0:
            raise ValueError("it names no form of the graph")
        if form > VERSION:
            raise KgError(
                f"This dump was written by a newer kg (its graph's form is {form}, this kg knows "
                f"{VERSION}): upgrade kg, then load it."
            )


def _check_relationship(line: bytes, type: str, keys: dict[str, set[int]]) -> None:
    ends = read_relationship(line)[:2]
    for label, name in zip(queries.ENDS[type], ends, strict=True):
        if hash(name) not in keys[label]:
            raise ValueError(f"there is no {label} {name!r}")


_CHECKS: Final[dict[str, Callable[[bytes, str, dict[str, set[int]]], None]]] = {
    "nodes": _check_node,
    "relationships": _check_relationship,
    "models": lambda chunk, model, keys: None,
}


def _loads(connection: Connection) -> list[dict[str, Any]]:
    return connection.read(lambda tx: [record.data() for record in tx.run(queries.LOADS)])


def _begin(connection: Connection, mark: str, features: str) -> int:
    """Say in the graph that it is being loaded; how many rows an earlier run has written."""
    for load in _loads(connection):
        if load["load"] == mark:
            return int(load["loaded"])
    connection.write(lambda tx: tx.run(queries.BEGIN_LOAD, version=features, load=mark).consume())
    return 0


def _write_rows(
    connection: Connection,
    archive: zipfile.ZipFile,
    parts: Sequence[Part],
    mark: str,
    done: int,
    progress: Progress,
) -> None:
    """Write the rows that aren't there yet; each batch once, whatever happens."""
    position = 0
    with progress.stage("Loading the graph", sum(part.rows for part in parts)) as advance:
        for part in parts:
            texts = queries.LOAD_NODES if part.kind == "nodes" else queries.LOAD_RELATIONSHIPS
            left = max(done - position, 0)
            advance(min(left, part.rows))
            position += min(left, part.rows)
            for batch in batches(islice(_pieces(archive, part), left, None), BATCH):
                rows = [_row(line, part) for line in batch]
                connection.write(_write_batch, texts[part.of], rows, mark, position)
                position += len(rows)
                advance(len(rows))


def _write_batch(
    tx: neo4j.ManagedTransaction, text: str, rows: Rows, mark: str, position: int
) -> None:
    """Write rows and how far the load is, in one transaction: both are there, or neither.

    So rows can be created, which is faster than to look for them, and copies stay copies.
    """
    found = [record["loaded"] for record in tx.run(queries.CHECK_LOAD, load=mark)]
    if found == [position + len(rows)]:
        return  # committed already, and the server's answer was lost
    if found != [position]:
        raise GraphError(MIXED)
    tx.run(text, rows=rows).consume()
    tx.run(queries.ADVANCE_LOAD, load=mark, loaded=position + len(rows)).consume()


def _row(line: bytes, part: Part) -> dict[str, Any]:
    if part.kind == "nodes":
        key, properties = read_node(line, KEYS[part.of])
        return {"key": key, "properties": properties}
    head, tail, properties = read_relationship(line)
    return {"head": head, "tail": tail, "properties": properties}


def _write_checkpoints(archive: zipfile.ZipFile, manifest: Manifest, models_dir: Path) -> None:
    """Put checkpoints where this home keeps them, each whole or not at all."""
    for model in manifest.models:
        folder = models_dir / model
        try:
            models_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{model}-", dir=models_dir) as scratch:
                new = Path(scratch, "new")
                new.mkdir()
                for name in CHECKPOINT_FILES:
                    with (
                        archive.open(checkpoint_part(model, name)) as source,
                        (new / name).open("wb") as target,
                    ):
                        shutil.copyfileobj(source, target, CHUNK)
                        target.flush()
                        os.fsync(target.fileno())
                if folder.exists():  # of the graph that was dumped from this home
                    folder.rename(Path(scratch, "old"))
                new.rename(folder)
        except OSError as error:
            raise KgError(
                f"The checkpoint {folder} can't be written ({error.strerror or error}): make room "
                "there and run the same command again, it goes on where it was."
            ) from error


def _finish(
    connection: Connection,
    archive: zipfile.ZipFile,
    manifest: Manifest,
    mark: str,
    last: Sequence[Part],
) -> None:
    """Compare what is there with what was dumped, and let the graph be whole."""
    _compare(connection, manifest)
    rows = {part.of: [_row(line, part) for line in _pieces(archive, part)] for part in last}

    def finish(tx: neo4j.ManagedTransaction) -> None:
        if not list(tx.run(queries.CHECK_LOAD, load=mark)):
            raise GraphError(MIXED)
        for label, listed in rows.items():
            tx.run(queries.LOAD_NODES[label], rows=listed).consume()

    connection.write(finish)


def _compare(connection: Connection, manifest: Manifest) -> None:
    """Count all that was loaded; apart from the last write, which has to be a short one."""

    def count(tx: neo4j.ManagedTransaction, text: str) -> int:
        return int(tx.run(text).single(strict=True)["n"])

    for kind, texts in (
        ("nodes", queries.COUNT_OUR_NODES),
        ("relationships", queries.COUNT_OUR_RELATIONSHIPS),
    ):
        for name, expected in manifest.rows(kind).items():
            found = connection.read(count, texts[name])
            if found != expected and name not in LAST:
                raise GraphError(
                    f"The database has {found} {name} where the dump has {expected}: somebody "
                    "else wrote into it meanwhile. Load into an empty one."
                )
