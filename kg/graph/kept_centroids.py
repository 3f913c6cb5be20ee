"""Centroids of a finished build kept on disk: a new song need not read them from the database.

There are up to 256 a family, and a row each costs more than all else that a song needs to know. The
token of the builder says whose they are: nobody else ever writes clusters under it.
"""

import contextlib
import os
import secrets
import tokenize
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from kg.graph.rows import Floats

# Before the name of a family: some are what `savez` calls its own parameters.
_FAMILY: Final = "family."
# What reading a damaged archive ends in; NumPy reads headers with Python's own tokenizer.
DAMAGED: Final = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, RuntimeError),
    *(MemoryError, zipfile.BadZipFile, tokenize.TokenError),
)


def load(folder: Path, builder: str, widths: Mapping[str, int]) -> dict[str, Floats] | None:
    """The centroids of a build, float32 [k, width] by family; None where they aren't whole.

    Args:
        folder: Where they are kept.
        builder: Token of the build.
        widths: Columns of each family.
    """
    try:
        # The zip's own sums are looked at as its parts are read.
        with _file(folder, builder).open("rb") as file, np.load(file, allow_pickle=False) as kept:
            found: dict[str, Floats] = {family: kept[f"{_FAMILY}{family}"] for family in widths}
    except DAMAGED:
        return None
    fits = all(
        own.dtype == np.float32 and own.ndim == 2 and own.shape[1] == widths[family]
        for family, own in found.items()
    )
    return found if fits else None


def save(folder: Path, builder: str, centroids: Mapping[str, Floats]) -> None:
    """Keep centroids, and forget those of earlier builds; where there is no room, nothing is kept.

    They are in the graph all the same.
    """
    file = _file(folder, builder)
    part = folder / f".{secrets.token_hex(6)}.part"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as target:
                kept: dict[str, Any] = {f"{_FAMILY}{name}": own for name, own in centroids.items()}
                np.savez(target, **kept)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
        for other in folder.iterdir():
            if other.name != file.name and other.suffix == file.suffix:
                other.unlink(missing_ok=True)


def _file(folder: Path, builder: str) -> Path:
    return folder / f"{os.path.basename(builder)}.npz"  # noqa: PTH119 - whoever wrote it
