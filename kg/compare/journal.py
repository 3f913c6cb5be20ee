"""What a comparison has come to so far, on disk: it goes on where it was cut off."""

import hashlib
import io
import json
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kg.errors import KgError, WrongUsageError
from kg.graph.locks import held_alone, name_if_free
from kg.metrics.evaluate import Scores
from kg.outputs import appearing

_SETTINGS = "settings.json"
_BUSY = (
    "Another kg command compares models in this home: wait for it, or choose another home with "
    "--home DIR or KG_HOME."
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One training: one contestant, one representation, one fold, one seed, one share of songs."""

    protocol: str
    features: str
    model: str
    seed: int
    fold: int
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Came:
    """What one training came to.

    Attributes:
        scores: Of the fold's songs, float32 [m, g].
        train_seconds: Of the training.
        predict_seconds: A song.
        megabytes: Most memory beyond what there was at the start.
        parameters: Trained numbers.
    """

    scores: Scores
    train_seconds: float
    predict_seconds: float
    megabytes: float
    parameters: int


class Journal:
    """The folder of one comparison; `open_journal` opens it.

    Attributes:
        run: Id of the comparison: the same when it goes on.
        resumed: It goes on.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, restart: bool) -> None:
        self._folder = folder
        wanted = json.loads(json.dumps(settings))
        run, there = _read_settings(folder) or ("", None)
        if there is not None and there != wanted and not restart:
            changed = [name for name in {**there, **wanted} if there.get(name) != wanted.get(name)]
            raise WrongUsageError(
                "An unfinished comparison is there that was started with other settings "
                f"({_differing(there, wanted, changed)}): give the same again to finish it, or "
                "--restart to throw it away and begin anew."
            )
        self.resumed = there == wanted and not restart
        self.run = run if self.resumed else secrets.token_hex(6)
        if not self.resumed:
            try:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True, exist_ok=True)
                kept = {"run": self.run, "settings": wanted}
                self._write(_SETTINGS, json.dumps(kept, indent=1).encode())
            except OSError as error:
                raise _unwritable(folder, error) from error

    def read(self, cell: Cell) -> Came | None:
        """What a training came to; None: it hasn't been done, or its file is damaged."""
        try:
            with (self._folder / self._name(cell)).open("rb") as raw, np.load(raw) as file:
                return Came(file["scores"], **json.loads(str(file["figures"])))
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
            return None

    def write(self, cell: Cell, came: Came) -> None:
        """Keep what a training came to: whole, or not at all.

        Raises:
            KgError: it can't be written.
        """
        figures = {name: value for name, value in asdict(came).items() if name != "scores"}
        try:
            packed = io.BytesIO()
            np.savez(packed, scores=came.scores, figures=np.array(json.dumps(figures)))
            self._write(self._name(cell), packed.getvalue())
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def finish(self) -> None:
        """Forget it all: the results are in the graph by now."""
        (self._folder / _SETTINGS).unlink(missing_ok=True)  # first: cut off here, it is forgotten
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> None:
        with appearing(self._folder / name) as file:
            file.write(content)

    def _name(self, cell: Cell) -> str:
        # With the run: what a deletion left behind of another comparison is none of ours.
        text = "\n".join([self.run, *map(str, asdict(cell).values())])
        return f"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}.npz"


@contextmanager
def open_journal(
    folder: Path, settings: Mapping[str, Any], *, restart: bool = False
) -> Iterator[Journal]:
    """Go on with a comparison, or begin it; there is one at a time.

    Args:
        folder: Where it is kept.
        settings: All that decides its numbers.
        restart: Throw away what an unfinished one of other settings has come to.

    Raises:
        WrongUsageError: an unfinished comparison with other settings is there.
        KgError: another command is at work on it, or the folder can't be written to.
    """
    with ExitStack() as held:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(held_alone(_lock(folder), _BUSY))
        except OSError as error:
            raise _unwritable(folder, error) from error
        yield Journal(folder, settings, restart=restart)


def is_cut_off(folder: Path) -> bool:
    """Whether a comparison is there that nobody works on."""
    return (folder / _SETTINGS).is_file() and name_if_free(_lock(folder)) is not None


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _unwritable(folder: Path, error: OSError) -> KgError:
    return KgError(
        f"What the comparison has come to can't be kept in {folder} ({error.strerror}): "
        "make room there, or choose another home with --home DIR or KG_HOME."
    )


def _read_settings(folder: Path) -> tuple[str, dict[str, Any]] | None:
    """Id and settings of the comparison that is there; None: there is none."""
    try:
        kept = json.loads((folder / _SETTINGS).read_text())
        return str(kept["run"]), dict(kept["settings"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _differing(there: Mapping[str, Any], wanted: Mapping[str, Any], names: list[str]) -> str:
    """What differs, in the words of the options; songs and versions in plain words."""
    words = {
        "library": "other songs, genres or sides",
        "settings": "other settings of a model",
        "version": "another version of kg",
    }
    return ", ".join(
        words.get(name) or f"{name} {_shown(there.get(name))}, now {_shown(wanted.get(name))}"
        for name in names
    )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
