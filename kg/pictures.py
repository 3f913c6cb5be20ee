"""Pictures as files: whether one can be drawn there, and writing it whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from kg.errors import KgError, WrongUsageError
from kg.outputs import appearing, check_target
from kg.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# By suffix, what such a file begins with.
KINDS: Final = {".png": (b"\x89PNG",), ".pdf": (b"%PDF",), ".svg": (b"<?xml", b"<svg")}


def check_picture(path: Path) -> Path:
    """Whether a picture can be drawn there, before any work.

    Raises:
        WrongUsageError: the suffix is of no picture, the folder is missing, or there is something
            else already.
        KgError: matplotlib is missing.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise KgError(
            "Drawing needs matplotlib: install it with pip install 'kg-music[plot]'."
        ) from error
    name, suffix = printable(path), path.suffix.lower()
    if suffix not in KINDS:
        raise WrongUsageError(
            f"{name} can't be drawn: name a file that ends in .png, .pdf or .svg."
        )
    path = check_target(path, "the picture")
    if path.exists() and not _is_picture(path, suffix):
        raise WrongUsageError(
            f"{name} is there already and is no {suffix[1:].upper()} picture, so it is left alone: "
            "choose another name."
        )
    return path


def _is_picture(path: Path, suffix: str) -> bool:
    with path.open("rb") as file:
        head = file.read(16)
    return not head or head.startswith(KINDS[suffix])


def save_picture(picture: "Figure", path: Path) -> None:
    """Write a picture into a file; one that is there is replaced when the new one is whole.

    Raises:
        KgError: it can't be written.
    """
    try:
        with appearing(path) as file:
            picture.savefig(file, format=path.suffix.lower()[1:], dpi=150)
    except OSError as error:
        raise KgError(f"{printable(path)} can't be written ({error.strerror}).") from error
