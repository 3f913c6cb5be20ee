"""Genres go from the graph into the tags of files: planned, written, undone."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from kg.audio.requests import Retag, Retagged
from kg.audio.tags import split_genres
from kg.audio.workers import cores, perform_in_workers
from kg.errors import AudioError, KgError
from kg.files import content_id, why_unreadable
from kg.graph import queries
from kg.graph.connection import Connection
from kg.graph.transactions import batches, read_rows
from kg.graph.tree import BY_HAND
from kg.progress import SILENT, Progress
from kg.records import Rejected
from kg.removal import is_gone, unmounted
from kg.tagging.backups import COPY, Backup, Kept, alone, runs
from kg.tagging.contents import Written, known_contents, note_contents
from kg.tagging.difference import restored
from kg.tagging.rewrite import CHANGED, give
from kg.watching.disk import as_named

Says = Literal["owner", "model"]
InTurn = Callable[[Callable[[], dict[str, str]]], dict[str, str]]

# Files that the graph learns of at once, before they are replaced.
_AT_ONCE: Final = 20
_FEW: Final = 20  # files that one process has done before another would have started


@dataclass(frozen=True, slots=True)
class TagChange:
    """A file and the genres that its tags are to name.

    Attributes:
        song: Id of the song.
        title: None where unknown.
        path: The file.
        before: Genres that its tags name, or named.
        after: Genres that they are to name.
        said_by: Whose word these are.
        strength: How probable a model takes them for; None: the owner said so.
    """

    song: str
    title: str | None
    path: Path
    before: tuple[str, ...]
    after: tuple[str, ...]
    said_by: Says
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class TagReport:
    """What writing tags came to, or would come to.

    Attributes:
        changes: Files that were written; of a dry run those that would be.
        same: Files that name these genres already.
        without_file: Songs that lie nowhere.
        left_out: Files that weren't written, and why.
        written: Whether this is no dry run.
        backup: Folder of what the files were; None: nothing was written.
    """

    changes: Sequence[TagChange]
    same: int
    without_file: int
    left_out: Sequence[Rejected]
    written: bool
    backup: Path | None = None


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What undoing the last run came to.

    Attributes:
        restored: Files that are, byte by byte, what they were before.
        left_out: Files that stay as they are, and why.
    """

    restored: Sequence[Path]
    left_out: Sequence[Rejected]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the tags of a song's files are to name."""

    song: str
    title: str | None
    paths: Sequence[Path]
    contents: Sequence[str]
    genres: tuple[str, ...]
    said_by: Says
    strength: float | None = None


@dataclass(slots=True)
class _Looked:
    changes: list[tuple[Retag, TagChange]] = field(default_factory=list)
    same: int = 0
    without_file: int = 0
    left_out: list[Rejected] = field(default_factory=list)


def owners_wishes(connection: Connection, songs: Iterable[str] | None = None) -> list[Wish]:
    """Songs whose owner decided a genre, with all genres that they have; these come first.

    Args:
        connection: The database.
        songs: Only these; None: all.
    """
    ids = [row["id"] for row in read_rows(connection, queries.OWNERS_WORD)]
    if songs is not None:
        ids = sorted({*ids} & {*songs})
    return [
        _wish(row, tuple(name for name, _ in _own_first(row["genres"])), "owner")
        for row in _rows(connection, ids)
    ]


def models_wishes(
    connection: Connection, told: Mapping[str, tuple[str, float]], songs: Iterable[str] | None
) -> list[Wish]:
    """Songs without a genre, of which a model says one: genre and probability by song."""
    ids = sorted({*told} if songs is None else {*told} & {*songs})
    return [
        _wish(row, (told[row["id"]][0],), "model", told[row["id"]][1])
        for row in _rows(connection, ids)
        if not row["genres"]
    ]


def write_tags(
    connection: Connection,
    wishes: Sequence[Wish],
    backups: Path,
    *,
    dry_run: bool,
    in_turn: InTurn,
    progress: Progress = SILENT,
) -> TagReport:
    """Write genres into files, each replaced whole or not at all; or only look what would change.

    A file is copied beside itself, the copy written and checked (see `kg.tagging.rewrite`), what
    leads back kept, and the graph told that these bytes are the same song. Only then the copy takes
    the file's name, so that whoever reads the folder meanwhile meets no strange file.

    Args:
        connection: The database.
        wishes: What the tags are to name.
        backups: Folder of what files were.
        dry_run: Change nothing.
        in_turn: Runs a step that writes to the graph while no other command does.
        progress: Told of every file that is done.

    Raises:
        KgError: the backup can't be written.
        GraphError: the graph can't be written to.
    """
    looked = _look(wishes, progress)
    changes = [change for _, change in looked.changes]
    backup = None
    if not dry_run and looked.changes:
        with alone(backups):
            backup = Backup.new(backups)
            try:
                changes = _write(connection, looked, backup, in_turn, progress)
            finally:
                backup.tidy()
    order = {each.path: at for at, (_, each) in enumerate(looked.changes)}
    return TagReport(
        sorted(changes, key=lambda each: order[each.path]),
        looked.same,
        looked.without_file,
        sorted(looked.left_out, key=lambda each: os.fsencode(each.path)),
        not dry_run,
        backup.folder if backup and changes else None,
    )


def undo_tags(
    backups: Path, places: Callable[[str], Sequence[Path]], progress: Progress = SILENT
) -> UndoReport | None:
    """Make the files of the last run what they were, byte by byte; None: there was no run.

    A file that has changed since stays as it is, and is kept in the backup. Where only such ones
    are left of the last run, the one before it is undone.

    Args:
        backups: Folder of what files were.
        places: Where a song lies now, for files that have moved.
        progress: Told of every file that is done.

    Raises:
        KgError: the backup can't be read.
    """
    with alone(backups):
        left_out: list[Rejected] = []
        found = None
        for backup in runs(backups):
            if not backup.files():  # a full disk let none be noted, so none was written
                backup.drop(())
                continue
            found, lost = _undo(backup, places, progress)
            left_out += found.left_out
            if not lost:
                break
        if found is None:
            return None
        return UndoReport(
            sorted(found.restored, key=os.fsencode),
            sorted(left_out, key=lambda each: os.fsencode(each.path)),
        )


def _undo(
    backup: Backup, places: Callable[[str], Sequence[Path]], progress: Progress
) -> tuple[UndoReport, bool]:
    """Undo a run; and whether nothing of it can be undone, now or later."""
    done: list[Kept] = []
    back: list[Path] = []
    left_out: list[Rejected] = []
    lost = 0
    files = backup.files()
    listed = {file.path for file in files}
    with suppress(KgError):  # a full disk is no reason to leave files as they are
        backup.announce(_copy_of(Path(file.path)) for file in files)
    try:
        with progress.stage("Restoring tags", len(files)) as advance:
            for file in files:
                path = Path(file.path)
                if is_gone(file.path):
                    others = (each for each in places(file.song) if os.fspath(each) not in listed)
                    path = next((each for each in others if _is_now(each, file.after)), path)
                try:
                    if _restore(path, file, backup.folder / file.difference):
                        back.append(path)
                    done.append(file)
                except AudioError as error:
                    left_out.append(Rejected(path, error.reason))
                    lost += 1
                except OSError as error:
                    left_out.append(Rejected(path, _why(error)))
                    # On a disk that isn't there now it may be as it was.
                    lost += is_gone(file.path) and unmounted(file.path) is None
                advance(1, rejected=bool(left_out) and left_out[-1].path == path)
    finally:
        backup.drop(done)
    return UndoReport(back, left_out), lost == len(files)


def _rows(connection: Connection, ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for batch in batches(ids):
        yield from read_rows(connection, queries.TO_BE_TAGGED, ids=batch)


def _own_first(genres: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    return sorted(genres, key=lambda told: (told[1] != BY_HAND, told[0]))


def _wish(row: Mapping[str, Any], genres: tuple[str, ...], says: Says, *of: float) -> Wish:
    files = [Path(as_named(path)) for path in row["paths"] if path]
    contents = (row["id"], *(row["contents"] or ()))
    return Wish(row["id"], row["title"], files, contents, genres, says, *of)


def _look(wishes: Sequence[Wish], progress: Progress) -> _Looked:
    """What is in the files now; nothing is written."""
    found = _Looked(without_file=sum(not wish.paths for wish in wishes))
    # Of several links to one file, the first.
    files = {_real(path): (path, wish) for wish in wishes for path in reversed(wish.paths)}
    wanted = dict(files.values())
    requests = [Retag(path, wish.contents, wish.genres) for path, wish in wanted.items()]
    changes: dict[Path, tuple[Retag, TagChange]] = {}
    with progress.stage("Reading tags", len(requests)) as advance:
        outcomes = perform_in_workers(requests, _workers(len(requests)), warm=None)
        with closing(outcomes):
            for request, outcome in outcomes:
                wish = wanted[request.path]
                rejected = isinstance(outcome, AudioError)
                if isinstance(outcome, AudioError):
                    found.left_out.append(Rejected(request.path, outcome.reason))
                elif isinstance(outcome, Retagged):
                    if {*outcome.genres} == {*split_genres(wish.genres)}:
                        found.same += 1
                    else:
                        changes[request.path] = (
                            request,
                            TagChange(
                                wish.song,
                                wish.title,
                                request.path,
                                outcome.genres,
                                wish.genres,
                                wish.said_by,
                                wish.strength,
                            ),
                        )
                advance(1, rejected=rejected)
    found.changes = [changes[path] for path in wanted if path in changes]
    return found


def _write(
    connection: Connection,
    looked: _Looked,
    backup: Backup,
    in_turn: InTurn,
    progress: Progress,
) -> list[TagChange]:
    planned = {change.path: change for _, change in looked.changes}
    requests = [
        Retag(
            request.path,
            request.contents,
            request.genres,
            _copy_of(request.path),
            backup.folder / f"{number:06}.difference",
        )
        for number, (request, _) in enumerate(looked.changes)
    ]
    done: list[TagChange] = []
    known = known_contents(connection)
    backup.announce(request.target for request in requests if request.target is not None)
    with progress.stage("Writing tags", len(requests)) as advance:
        try:
            outcomes = perform_in_workers(requests, _workers(len(requests)), warm=None)
            with closing(outcomes):
                for batch in batches(outcomes, _AT_ONCE):
                    ready: list[tuple[Retag, Retagged]] = []
                    for request, outcome in batch:
                        if isinstance(outcome, Retagged):
                            ready.append((request, outcome))
                        elif isinstance(outcome, AudioError):
                            looked.left_out.append(Rejected(request.path, outcome.reason))
                            advance(1, rejected=True)
                    for path, reason in _replace(
                        connection, ready, planned, known, backup, in_turn
                    ):
                        if reason is None:
                            done.append(planned[path])
                        else:
                            looked.left_out.append(Rejected(path, reason))
                        advance(1, rejected=reason is not None)
        finally:
            for request in requests:
                assert request.target is not None
                with suppress(OSError):
                    request.target.unlink(missing_ok=True)
    return done


def _replace(
    connection: Connection,
    ready: Sequence[tuple[Retag, Retagged]],
    planned: Mapping[Path, TagChange],
    known: dict[str, Written],
    backup: Backup,
    in_turn: InTurn,
) -> Iterator[tuple[Path, str | None]]:
    """Let copies take their files' names, backup and graph first; yields why one couldn't."""
    rows = [
        (planned[request.path].song, str(outcome.after), outcome.genres)
        for request, outcome in ready
    ]
    refused = in_turn(lambda: connection.write(note_contents, rows, known)) if rows else {}
    known |= {content: Written(song, ()) for song, content, _ in rows if content not in refused}
    going = [(request, it) for request, it in ready if it.after not in refused]
    kept = [
        Kept(
            os.fspath(request.path),
            planned[request.path].song,
            outcome.before,
            str(outcome.after),
            outcome.genres,
            tuple(request.genres),
            request.backup.name,
        )
        for request, outcome in going
        if request.backup is not None
    ]
    if kept:
        backup.keep(kept)
    for request, outcome in ready:
        if outcome.after in refused:
            yield request.path, refused[outcome.after]
            continue
        assert request.target is not None
        try:
            # By its bytes: some programs keep the time when they change a file.
            if content_id(request.path) != outcome.before:
                yield request.path, CHANGED
                continue
            _put(request.target, request.path)
        except OSError as error:
            yield request.path, _why(error)
        else:
            yield request.path, None


def _restore(path: Path, file: Kept, difference: Path) -> bool:
    """Make a file what it was; False: it is.

    Raises:
        AudioError: it has changed since, or its backup is damaged.
        OSError: it can't be read or written.
    """
    now = content_id(path)
    if now == file.before:
        return False
    if now != file.after:
        genres = ", ".join(file.genres_before) or "none"
        raise AudioError(f"has changed since kg wrote its tags (its genres were: {genres})")
    copy, digest = _copy_of(path), hashlib.blake2b(digest_size=16)
    status = path.stat()
    copy.unlink(missing_ok=True)  # left by a run that was killed
    try:
        with copy.open("wb") as written:
            for part in restored(path, difference):
                written.write(part)
                digest.update(part)
        if digest.hexdigest() != file.before:
            raise AudioError("its backup is damaged")
        shutil.copystat(path, copy)  # what the system and desktops note beside a file
        os.utime(copy)
        give(copy, status)
        _put(copy, path)
    except ValueError as error:
        raise AudioError("its backup is damaged") from error
    finally:
        copy.unlink(missing_ok=True)
    return True


def _is_now(path: Path, content: str) -> bool:
    try:
        return content_id(path) == content
    except OSError:
        return False


def places_of(connection: Connection, song: str) -> list[Path]:
    """Where a song lies; nowhere if it left the library."""
    return [
        Path(as_named(path)) for row in _rows(connection, [song]) for path in row["paths"] if path
    ]


def _put(copy: Path, path: Path) -> None:
    """Let a copy take a file's name, when all of it is on the disk."""
    with copy.open("rb+") as written:
        os.fsync(written.fileno())
    copy.replace(_real(path))  # what a link leads to is replaced, and the link stays


def _copy_of(path: Path) -> Path:
    """Where a file's copy is made: beside it, hidden, of the same kind by its name."""
    real = _real(path)
    name = hashlib.blake2b(os.fsencode(real.name), digest_size=8).hexdigest()
    return real.with_name(f"{COPY}{name}{real.suffix}")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises where links go round


def _workers(files: int) -> int:
    return min(cores(), files // _FEW + 1) if files else 0


def _why(error: OSError) -> str:
    reason = why_unreadable(error)
    gone = isinstance(error, FileNotFoundError)
    return reason if gone else f"can't be written ({error.strerror or error})"
