"""The genre field of a file's own tags, in every container whose tags mutagen can write."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kg.errors import AudioError

NO_FIELD = "its format has no genre tag that kg can write"
_GENRES = frozenset({"tcon", "\xa9gen", "wm/genre", "genre"})


def require_field(path: Path) -> None:
    """Whether a file's tags have room for genres; it isn't changed.

    Raises:
        AudioError: they haven't, or they are damaged.
    """
    _opened(path)


def write_genres(path: Path, genres: Sequence[str]) -> None:
    """Write genres into a file, in the place of those that its tags name; all else stays.

    Args:
        path: The file; best a copy.
        genres: One at least, as they are to be read.

    Raises:
        AudioError: its format has no such tag, or the tags are damaged.
        OSError: it can't be written.
    """
    from mutagen.apev2 import APEv2
    from mutagen.asf import ASFTags
    from mutagen.id3 import ID3
    from mutagen.mp4 import MP4Tags

    file = _opened(path)
    tags, names = file.tags, list(genres)
    if isinstance(tags, ID3):
        _write_id3(path, file, names)
        return
    if isinstance(tags, MP4Tags):
        tags["\xa9gen"] = names
    elif isinstance(tags, ASFTags):
        tags["WM/Genre"] = names
    elif isinstance(tags, APEv2):
        tags["Genre"] = names
    else:  # Vorbis comments
        tags["genre"] = names
    _saved(file)


def other_fields(path: Path) -> dict[str, str]:
    """All that a file's tags say but genres and what is empty: fields of any name, and pictures.

    Raises:
        AudioError: its format has no such tags, or they are damaged.
    """
    from mutagen.apev2 import APENoHeaderError, APEv2

    file = _opened(path)
    found = {
        f"{name}": said
        for name, value in file.tags.items()
        if name.lower() not in _GENRES and (said := _said(value))
    }
    with suppress(APENoHeaderError):  # it may stand beside ID3
        beside = APEv2(path)  # type: ignore[no-untyped-call]
        found |= {f"APE {name}": str(beside[name]) for name in beside if name.lower() != "genre"}
    found[""] = repr(
        (
            sorted(getattr(file.tags, "unknown_frames", ())),
            [each.write() for each in getattr(file, "pictures", ())],
        )
    )
    return found


def _said(value: Any) -> str:
    from mutagen.id3 import Frame

    if not isinstance(value, Frame):
        return repr(value)
    if hasattr(value, "text") and not str(value):
        return ""  # is left out where it is written
    # The encoding of the same text may be another one.
    return repr([each for each in sorted(vars(value).items()) if each[0] != "encoding"])


def _write_id3(path: Path, file: Any, names: list[str]) -> None:
    """Genres in ID3; where APEv2 stands beside it and names some, or instead of it, there too."""
    from mutagen.apev2 import APENoHeaderError, APEv2
    from mutagen.id3 import TCON

    try:
        beside = APEv2(path)  # type: ignore[no-untyped-call]
    except APENoHeaderError:
        beside = None
    # What ID3v1 says is cut off at 30 characters: it must not become the better word.
    short = file.tags.version[0] == 1 or not file.tags
    if beside is not None and ("Genre" in beside or short):
        beside["Genre"] = names
        _saved(beside, path)
        if short:
            return
        file = type(file)(path)
    options: dict[str, Any] = {}
    if file.tags.version[:2] == (2, 3):
        # As it stands: frames that only 2.4 has would be lost, and old players read no 2.4.
        file = type(file)(path, translate=False)
        options = {"v2_version": 3, "v23_sep": None}
        names = ["; ".join(names)]  # it knows one text a field
    field: Any = TCON(encoding=1 if options else 3, text=names)  # type: ignore[no-untyped-call]
    file.tags.setall("TCON", [field])
    _saved(file, **options)


def _opened(path: Path) -> Any:
    """A file as mutagen knows it, with tags, even if these are new."""
    import mutagen
    from mutagen.flac import FLAC

    with path.open("rb") as opened:
        head = opened.read(3)
    try:
        file = None
        if head == b"ID3":  # FLAC may stand behind it, which mutagen would take for MP3
            with suppress(mutagen.MutagenError):
                file = FLAC(path)  # type: ignore[no-untyped-call]
        file = file or mutagen.File(path)
    except mutagen.MutagenError as error:
        raise _damaged(error) from error
    if file is None:
        raise AudioError(NO_FIELD)
    try:
        if file.tags is None:
            file.add_tags()
    except (mutagen.MutagenError, NotImplementedError) as error:
        raise AudioError(NO_FIELD) from error
    return file


def _saved(tags: Any, *where: Path, **options: Any) -> None:
    try:
        tags.save(*where, **options)
    except OSError:
        raise
    except Exception as error:
        # It wraps what the system says, and lets through whatever damage leads to.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise _damaged(error) from error


def _damaged(error: Exception) -> AudioError:
    why = " ".join(f"{type(error).__name__}: {error}".split())
    return AudioError(f"its tags can't be written ({why.removesuffix(':')})")
