"""MSD_musicnn: its weights, fetched once and kept, and what it hears in a song.

The weights are the TensorFlow checkpoint in the wheel `musicnn` 0.1.0 on PyPI (ISC licence, Jordi
Pons), trained on the Million Song Dataset with Last.fm's 50 commonest tags. The package itself
needs versions that are long gone: only its files are read.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kg.embeddings.bundle import BundleError, read_bundle
from kg.embeddings.forms import MUSICNN
from kg.embeddings.tags import PREFIX
from kg.errors import KgError, WrongUsageError
from kg.files import expanded, open_file, why_unreadable
from kg.outputs import appearing
from kg.records import Embedding
from kg.text import printable

if TYPE_CHECKING:
    from models.musicnn import Heard, Musicnn

REQUIREMENT: Final = "musicnn==0.1.0"
SHA256: Final = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
WEIGHTS: Final = "msd-musicnn-0.1.0.safetensors"

TAGS: Final = (
    *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s"),
    *("alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists"),
    *("classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill"),
    *("instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic"),
    *("experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country"),
    *("easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock"),
    *("60s", "rnb", "indie pop", "sad", "House", "happy"),
)
"""What the network tells, in its order."""

EMBEDDING: Final = Embedding(
    name=MUSICNN,
    # Of the weights; and raised by whoever changes what is made of them.
    identity=f"{SHA256[:12]}-1",
    family="musicnn",
    columns=(*(f"musicnn_{n:03d}" for n in range(1, 201)), *(f"{PREFIX}{tag}" for tag in TAGS)),
)
"""Its penultimate layer and its tags. Which of them is better can't be told on the songs at hand:
logistic regression on 60 clips by 28 artists, 3 folds by artist 10 times, comes to a macro-F1 of
0.365 by one, 0.361 by the other and 0.358 by both, where 0.03 are chance. Tags are names as well.
"""

PATCH: Final = 187
"""Frames of a patch: 3 s."""
# Patches heard at once. The widest layer takes 9 MB a patch, and what is larger than 32 MB the
# system gives and takes back each time: 16 of them take half as long again.
_BATCH, _BATCH_ON_GPU = 3, 64

_PREFIX = "musicnn/MSD_musicnn/"
_MOST_BYTES: Final = 100 << 20


def install(folder: Path, wheel: Path | None = None) -> Path:
    """Fetch the weights and keep them in a folder, unless they are there.

    Args:
        folder: Where they are kept; made where it is missing.
        wheel: The wheel, fetched by hand; None: pip fetches it.

    Returns:
        The file that `load` reads.

    Raises:
        WrongUsageError: the wheel can't be read, or isn't the right one.
        KgError: it can't be fetched, or the weights can't be kept.
    """
    target = folder / WEIGHTS
    if wheel is not None:
        _convert(_checked(expanded(wheel)), target)
    elif not target.is_file():
        with tempfile.TemporaryDirectory(prefix="kg-musicnn-") as temporary:
            _convert(_checked(_fetched(Path(temporary))), target)
    return target


def _fetched(folder: Path) -> Path:
    """Let pip fetch the wheel, which knows mirrors and proxies.

    Raises:
        KgError: it can't.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--dest", str(folder), REQUIREMENT],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        stdin=subprocess.DEVNULL,
    )
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        why = f" ({printable(said[-1].removeprefix('ERROR: '))})" if said else ""
        raise KgError(
            f"The weights of musicnn can't be fetched{why}: run `pip download --no-deps "
            f"{REQUIREMENT}` where there is a network, and name the wheel that it leaves."
        )
    return found[0]


def _checked(wheel: Path) -> bytes:
    """The bytes of the wheel.

    Raises:
        WrongUsageError: it can't be read, or isn't the right one.
    """
    name = printable(wheel)
    try:
        with open_file(wheel) as file:
            content = file.read(_MOST_BYTES)
            if file.error is not None:
                raise file.error
    except OSError as error:
        raise WrongUsageError(
            f"The wheel {name} can't be used: {why_unreadable(error)}."
        ) from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise WrongUsageError(
            f"{name} is not the wheel of {REQUIREMENT}, or it is cut short or changed (its SHA-256 "
            f"must be {SHA256}): fetch it again with `pip download --no-deps {REQUIREMENT}`."
        )
    return content


def _convert(wheel: bytes, target: Path) -> None:
    """Write the weights as safetensors.

    Raises:
        KgError: they can't be read from the wheel, or written.
    """
    import io

    import torch
    from safetensors.torch import save

    from models.musicnn import from_tensorflow

    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            read = read_bundle(
                archive.read(f"{_PREFIX}.index"), archive.read(f"{_PREFIX}.data-00000-of-00001")
            )
        state = from_tensorflow({name: torch.tensor(value) for name, value in read.items()})
    except (BundleError, KeyError, zipfile.BadZipFile) as error:
        raise KgError(f"The wheel of musicnn holds no such weights ({error}).") from error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with appearing(target) as file:
            file.write(save(state))
    except OSError as error:
        raise KgError(
            f"The weights of musicnn can't be kept in {printable(target.parent)} "
            f"({error.strerror}): make room there, or choose another home with --home DIR or "
            "KG_HOME."
        ) from error


def load(file: Path) -> "Musicnn":
    """The network with the weights of `install`, in evaluation mode.

    Raises:
        KgError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from models.musicnn import Musicnn

    network = Musicnn()
    try:
        network.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise KgError(
            f"The weights of musicnn in {printable(file)} are missing or damaged: delete that "
            "file, and they are fetched again."
        ) from error
    return network.eval()


def patches(spectrum: NDArray[np.float32], hop: int = PATCH) -> NDArray[np.float32]:
    """Patches of 3 s: [p, 187, 96]; a shorter song is repeated, as in training.

    Args:
        spectrum: From `kg.embeddings.forms.log_mel`.
        hop: Frames from one to the next; what is left at the end is not heard.
    """
    if len(spectrum) < PATCH:
        spectrum = np.tile(spectrum, (-(-PATCH // len(spectrum)), 1))[:PATCH]
    begins = range(0, len(spectrum) - PATCH + 1, hop)
    return np.stack([spectrum[begin : begin + PATCH] for begin in begins])


def listen(network: "Musicnn", spectrum: NDArray[np.float32], hop: int = PATCH) -> "Heard":
    """What the network hears in each patch of a song.

    Args:
        network: From `load`; on a GPU the patches go there.
        spectrum: From `kg.embeddings.forms.log_mel`.
        hop: Frames from one patch to the next.
    """
    import torch

    from models.musicnn import Heard

    device = next(network.parameters()).device
    batch = _BATCH if device.type == "cpu" else _BATCH_ON_GPU
    batches = torch.split(torch.from_numpy(patches(spectrum, hop)), batch)
    with torch.inference_mode():
        heard = [network(batch.to(device)) for batch in batches]
    return Heard(
        *(
            torch.cat([getattr(each, name) for each in heard]).cpu()
            for name in ("tags", "penultimate", "pooled")
        )
    )


class MusicnnEar:
    """musicnn as an ear: what the tags are told from, and the tags, each a mean over all patches.

    Args:
        file: From `install`.
        device: Where it listens; None: on a GPU where there is one.

    Raises:
        KgError: the weights are missing or damaged.
    """

    embedding: Final = EMBEDDING
    form: Final = MUSICNN

    def __init__(self, file: Path, device: str | None = None) -> None:
        import torch

        self._network = load(file).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def hear(self, song: NDArray[np.float32]) -> NDArray[np.float32]:
        """A song's `kg.embeddings.forms.log_mel` becomes its vector, float32 [250]."""
        heard = listen(self._network, song)
        return np.concatenate([heard.penultimate.mean(dim=0), heard.tags.mean(dim=0)])
