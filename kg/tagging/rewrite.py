"""A copy of a file with other genres in its tags, and the proof that nothing else differs."""

import hashlib
import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kg.audio.requests import Retag, Retagged
from kg.audio.tags import read_tags, split_genres
from kg.errors import AudioError
from kg.files import content_id
from kg.tagging.difference import restored, write_difference
from kg.tagging.fields import other_fields, require_field, write_genres

CHANGED = "has changed since kg took it in: run `kg ingest` on its folder first"


def retag(request: Retag) -> Retagged:
    """Look at a file whose genres are to be written, and make the copy that is to replace it.

    The file itself isn't touched. The copy has the same sound packet by packet, sounds the same to
    kg, and says the same but for its genres; from it and the backup the old bytes were made again.

    Raises:
        AudioError: the file has changed, is read-only, has no genre tag, or the copy isn't that.
        OSError: the file can't be read.
    """
    path = request.path
    status = path.stat()
    before = content_id(path)
    if before not in request.contents:
        raise AudioError(CHANGED)
    # Root may write what nobody may.
    nobody = not status.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    if nobody or not os.access(path, os.W_OK):
        raise AudioError("is read-only: make it writable first")
    if not os.access(Path(os.path.realpath(path)).parent, os.W_OK):
        raise AudioError("can't be written: its folder is read-only")
    said = read_tags(path)
    require_field(path)
    after = None
    if request.target is not None:
        assert request.backup is not None
        try:
            _copy(path, request.target, status)
            write_genres(request.target, request.genres)
            _require_alike(path, request.target, request.genres)
            after = content_id(request.target)
            write_difference(path, request.target, request.backup)
        except OSError as error:
            raise AudioError(
                f"its new version can't be written ({error.strerror or error})"
            ) from error
        if _hash(request.target, request.backup) != before:
            raise AudioError("its backup doesn't lead back to it")
    return Retagged(before, after, said.genres, status.st_mtime_ns)


def _copy(path: Path, target: Path, status: os.stat_result) -> None:
    target.unlink(missing_ok=True)  # left by a run that was killed
    shutil.copyfile(path, target)
    shutil.copystat(path, target)
    give(target, status)


def give(copy: Path, status: os.stat_result) -> None:
    """Let those read and write a copy who may read and write the file."""
    if hasattr(os, "chown"):
        with suppress(OSError):  # only root may give files away
            os.chown(copy, status.st_uid, status.st_gid)
    copy.chmod(stat.S_IMODE(status.st_mode))


def _require_alike(old: Path, new: Path, genres: Sequence[str]) -> None:
    said = read_tags(new)
    if said.genres != split_genres(genres):
        raise AudioError("its genres would not read as they are meant")
    same = said == replace(read_tags(old), genres=said.genres)
    if not same or other_fields(new) != other_fields(old):
        raise AudioError("its other tags would not stay as they are")
    if not _same_sound(old, new):
        raise AudioError("its sound would not stay as it is")


def _same_sound(old: Path, new: Path) -> bool:
    """Whether decoders are fed the same, and what kg hears of it is the same, sample by sample."""
    import numpy as np

    from kg.audio.decode import decode

    before, after = _packets(old), _packets(new)
    # All of the sound where packets can't tell: FFmpeg's last one of an APE file holds its tags.
    whole = before is None or before != after
    heard, again = (decode(path, None) if whole else decode(path) for path in (old, new))
    told = [(each.duration, each.sample_rate) for each in (heard, again)]
    return told[0] == told[1] and np.array_equal(heard.samples, again.samples)


def _packets(path: Path) -> str | None:
    """Hash of the encoded sound; None: this container can't be taken apart."""
    import av

    digest = hashlib.blake2b()
    options = {"protocol_whitelist": "none"}
    try:
        with (
            path.open("rb") as file,
            av.open(file, "r", metadata_errors="replace", options=options) as container,
        ):
            for packet in container.demux(container.streams.audio[0]):
                digest.update(bytes(packet))
    except (av.error.FFmpegError, IndexError):
        return None
    return digest.hexdigest()


def _hash(new: Path, difference: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in restored(new, difference):
        digest.update(part)
    return digest.hexdigest()
