"""What a checkpoint says of itself, read without its tensors and without torch."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

# 2: the model holds how far scores are smoothed. 3: names of rows lie beside the layer outputs, and
# the caller's tensors beside the weights; before, callers kept such names in their own part, and a
# checkpoint of theirs is still read. 4: nodes may be the means of others, and say what they know.
FORMAT = 4
READABLE = (2, 3, FORMAT)
FILES = ("config.json", "model.safetensors", "layers.safetensors")


class CheckpointError(Exception):
    """A checkpoint is missing, damaged or of a format this version can't read."""


def describe(folder: Path) -> dict[str, Any]:
    """Read only what the caller added to a checkpoint.

    Raises:
        CheckpointError: it is missing, damaged or of another format.
    """
    with reading(folder):
        return dict(read_config(folder)["extra"])


def read_config(folder: Path) -> Any:
    """Read `config.json` of a checkpoint whose files are all there; for use inside `reading`."""
    for name in FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(ENOENT, "not there", str(folder / name))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config["format"] not in READABLE:
        raise CheckpointError(
            f"The checkpoint in {folder} has format {config['format']}; this version reads "
            f"{', '.join(map(str, READABLE))}."
        )
    return config


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Say in one sentence what is wrong with a checkpoint."""
    try:
        yield
    except FileNotFoundError as error:
        missing = Path(error.filename).name if error.filename else "a file"
        raise CheckpointError(
            f"There is no complete checkpoint in {folder}: {missing} is missing."
        ) from error
    except (
        OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError,
        SafetensorError,
    ) as error:  # fmt: skip
        what = " ".join(str(error).split()).rstrip(". ")  # torch writes several lines
        raise CheckpointError(
            f"The checkpoint in {folder} is damaged ({type(error).__name__}: {what})."
        ) from error
