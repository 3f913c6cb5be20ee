"""Any audio encoder of the Hugging Face hub, or of a folder, as an ear: `hf:m-a-p/MERT-v1-95M`.

A song's vector is the mean over time and over the layers of what the network holds inside, which
needs no training; MERT and the SUPERB benchmark take all layers too, as different ones know
different things. The layers' input is left out: in many networks it tells the time within a piece
more than the music, and nothing here learns to weigh it down, as they do.
"""

import errno
import hashlib
import inspect
import io
import logging
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from kg.embeddings import forms
from kg.errors import KgError, WrongUsageError
from kg.files import content_id, expanded, normal, why_unreadable
from kg.records import Embedding
from kg.schema import check_family_name
from kg.text import printable

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]

PREFIX: Final = "hf:"
_EXAMPLE: Final = f"{PREFIX}laion/larger_clap_music"  # for music, and without code of its own

# Part of the identity: raise it when the same network comes to give other vectors.
_POOLING: Final = 1
_PIECE_SECONDS: Final = 10
"""What is heard at once: attention takes memory with the square of it."""
# Up to this share of a piece is left out rather than heard in a piece of its own.
_UNHEARD: Final = 0.05
# Pieces that the network hears at once.
_BATCH: Final = 4

_DESCRIPTIONS: Final = (
    *("config.json", "preprocessor_config.json", "processor_config.json"),
    *("*.index.json", "*.py"),
)
# In the order in which transformers looks for them: only one kind is fetched.
_WEIGHTS: Final = (
    ("model.safetensors", "model-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model-*.bin"),
)
# Of a folder, the files that decide what its model hears.
_DECISIVE: Final = (*_DESCRIPTIONS, *(name for names in _WEIGHTS for name in names))

_HUB_NAME: Final = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)
_LOUD: Final = ("transformers", "transformers_modules", "huggingface_hub")


@dataclass(frozen=True, slots=True)
class HubEar:
    """An audio encoder, ready to hear.

    Attributes:
        embedding: What its vectors are.
        form: Samples at the rate that it was trained with.
    """

    embedding: Embedding
    form: str
    _network: "_Network"

    def hear(self, song: Floats) -> Floats:
        """A song's vector; threads take turns.

        Args:
            song: float32 [n], at the rate of the form; repeated where it is shorter than a piece.

        Returns:
            float32 [width], never NaN.

        Raises:
            KgError: there is too little memory, or the network comes to what is no number.
        """
        return self._network.hear(song)


def load(name: str, *, trust_remote_code: bool = False, device: str = "auto") -> HubEar:
    """Load an encoder, from the hub's cache, the hub or a folder.

    The hub's own settings hold: HF_HOME, HF_TOKEN, HF_HUB_OFFLINE and the rest.

    Args:
        name: What stands after `PREFIX`: a name on the hub, or a folder; a folder goes first.
        trust_remote_code: Run code that comes with the model, with all that the user may do.
        device: As in `models.devices.pick_device`.

    Raises:
        WrongUsageError: no model can have that name, it hears no music, or there is no such device.
        KgError: it can't be fetched or loaded, lacks weights, or needs its own code to run.
    """
    from models.devices import DeviceError, pick_device

    local = _local(name)
    try:
        target = pick_device(device)
    except DeviceError as error:
        raise WrongUsageError(str(error)) from error
    with _quiet(name):
        folder = local or _fetched(name, _DESCRIPTIONS)
        config, extractor = _described(name, folder, trust_remote_code)
        if local is None:
            _fetch_weights(name, folder)
        model, missing = _model(name, folder, config, trust_remote_code)
        network = _network(name, model, extractor, target)
        width = len(_tried(network))
        _require_whole(network, model, missing)
        own = any(
            type(part).__module__.startswith("transformers_modules") for part in (model, extractor)
        )
        identity = _identity(_content(folder) if local else folder.name, own)
    family = _family(normal(local).name if local else name.rpartition("/")[2])
    columns = tuple(f"{family}_{number:03d}" for number in range(1, width + 1))
    return HubEar(
        Embedding(f"{PREFIX}{name}", identity, family, columns), forms.wave(network.rate), network
    )


def _local(name: str) -> Path | None:
    """The folder of that name; None: it is a name on the hub.

    Raises:
        WrongUsageError: it can be neither.
    """
    shown = printable(name)
    if shown != name:
        raise WrongUsageError(f"A model can't be called {PREFIX}{shown}: use printable characters.")
    path = expanded(name)
    if name and os.path.isdir(path):  # noqa: PTH112 - Path's raises
        return path
    if os.path.isfile(path):  # noqa: PTH113
        raise WrongUsageError(f"{PREFIX}{name} is a file: name the folder of the model.")
    if name.startswith(("/", "~", ".")) or name.count("/") > 1:
        raise WrongUsageError(
            f"There is no folder {path} for {PREFIX}{name}: check the path; a model on the hub is "
            f"called {PREFIX}OWNER/NAME."
        )
    if not _HUB_NAME.fullmatch(name) or "--" in name or ".." in name:
        raise _no_name(name)
    return None


def _no_name(name: str) -> WrongUsageError:
    return WrongUsageError(
        f"A model can't be called {PREFIX}{name}: write {PREFIX}OWNER/NAME, as in the address of "
        "its page on https://huggingface.co, or the path of a folder."
    )


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Import transformers, and keep from the terminal what it and the hub log, warn and show.

    Warnings and `sys.stdout` are those of the whole process, so this is for loading only, which
    happens once. Code that comes with a model prints (MERT's does).

    Raises:
        KgError: transformers isn't installed.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(redirect_stdout(io.StringIO()))
        try:
            import transformers  # noqa: F401
            from huggingface_hub.utils import (
                are_progress_bars_disabled,
                disable_progress_bars,
                enable_progress_bars,
            )
            from transformers.utils import logging as theirs
        except ImportError as error:
            there = not (isinstance(error, ModuleNotFoundError) and error.name == "transformers")
            why = f"can't be imported ({_said(error)})" if there else "isn't installed"
            raise KgError(
                f"{PREFIX}{name} needs transformers, which {why}: run `pip install 'kg-music[hf]'`."
            ) from error
        # only now: the import sets the levels
        for logger in map(logging.getLogger, _LOUD):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
        # the hub's goes back last: transformers' switch turns it too
        stack.callback(
            disable_progress_bars if are_progress_bars_disabled() else enable_progress_bars
        )
        if theirs.is_progress_bar_enabled():
            stack.callback(theirs.enable_progress_bar)
            theirs.disable_progress_bar()
        disable_progress_bars()
        yield


def _fetched(name: str, files: Sequence[str], revision: str | None = None) -> Path:
    """The folder in the hub's cache with those of a model's files that there are.

    Args:
        name: On the hub.
        files: Their names or patterns.
        revision: Its commit; None: the newest on the hub, or in the cache where that is offline.

    Raises:
        WrongUsageError: the hub takes no such name, or has no such model for us.
        KgError: they can't be fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import HFValidationError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(files)))
    except HFValidationError as error:
        raise _no_name(name) from error
    except Exception as error:  # of the hub, of whatever speaks HTTP for it, of the file system
        raise _unfetched(name, error) from error


def _unfetched(name: str, error: Exception) -> KgError:
    from huggingface_hub.utils import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    login = f"`{_command('auth login', 'login')}`"
    for reason in _chain(error):
        status = getattr(getattr(reason, "response", None), "status_code", None)
        if isinstance(reason, GatedRepoError):
            return KgError(
                f"The owner of {PREFIX}{name} gives it only to those who ask: do so on "
                f"https://huggingface.co/{name}, then run {login} or set HF_TOKEN."
            )
        if isinstance(reason, RepositoryNotFoundError):
            return WrongUsageError(
                f"There is no model {PREFIX}{name} on the hub, or it is private: check its name; "
                f"if it is yours, run {login} or set HF_TOKEN."
            )
        if isinstance(reason, HfHubHTTPError) and status in (401, 403):
            return KgError(
                f"The hub refuses to give {PREFIX}{name} (HTTP {status}): run {login}, or set "
                "HF_TOKEN to a token that is still valid."
            )
        if isinstance(reason, OfflineModeIsEnabled):
            return _not_there(name, "HF_HUB_OFFLINE is set")
        if isinstance(reason, HfHubHTTPError) and status:  # older hubs' also say: not in the cache
            return _not_there(name, f"the hub answers HTTP {status}")
        if isinstance(reason, OSError) and (reason.filename or reason.errno == errno.ENOSPC):
            where = f" in {printable(reason.filename)}" if reason.filename else ""
            return KgError(
                f"{PREFIX}{name} can't be kept{where} ({reason.strerror}): make room there, or "
                "choose another place with HF_HOME."
            )
    if isinstance(error, LocalEntryNotFoundError):
        return _not_there(name, "the hub can't be reached")
    return _not_there(name, _said(error))


def _not_there(name: str, why: str) -> KgError:
    return KgError(
        f"{PREFIX}{name} isn't in the cache, and it can't be fetched ({why}): run "
        f"`{_command('download', 'download')} {name}` where there is a network; from then on it "
        "works offline."
    )


def _command(new: str, old: str) -> str:
    """A command of the hub's program, which had another name once."""
    renamed = entry_points(group="console_scripts", name="hf")
    return f"hf {new}" if renamed else f"huggingface-cli {old}"


def _fetch_weights(name: str, folder: Path) -> None:
    """Fetch a model's weights into its folder in the cache.

    Raises:
        KgError: they can't be fetched, or there are none that PyTorch reads.
    """
    for files in _WEIGHTS:
        _fetched(name, files, folder.name)
        if any(True for file in files for _ in folder.glob(file)):
            return
    raise KgError(
        f"The cache holds no weights of {PREFIX}{name} that PyTorch reads: if it was filled in "
        f"part, run `{_command('download', 'download')} {name}` where there is a network; if the "
        "model has neither model.safetensors nor pytorch_model.bin, choose another."
    )


def _described(name: str, folder: Path, trust_remote_code: bool) -> tuple[Any, Any]:
    """A model's configuration and its feature extractor, which hears before the network does.

    Raises:
        WrongUsageError: it has no feature extractor for audio.
        KgError: they can't be read, or need code of their own.
    """
    from transformers import AutoConfig, AutoFeatureExtractor

    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
        if any((folder / file).is_file() for file in _DESCRIPTIONS[1:3]):
            extractor = AutoFeatureExtractor.from_pretrained(
                str(folder), config=config, trust_remote_code=trust_remote_code
            )
        else:
            extractor = None
    except Exception as error:  # also what the model's own code raises
        raise _unloadable(name, folder, error, trust_remote_code) from error
    if not isinstance(getattr(extractor, "sampling_rate", None), int):
        raise WrongUsageError(
            f"{PREFIX}{name} hears no music (it comes without a feature extractor that tells a "
            f"sampling rate): choose an audio model, such as {_EXAMPLE}."
        )
    # MERT's own code is older than this setting, which Hubert's asks for from 4.48 on.
    if not hasattr(config, "conv_pos_batch_norm"):
        config.conv_pos_batch_norm = False
    return config, extractor


def _model(
    name: str, folder: Path, config: Any, trust_remote_code: bool
) -> tuple["torch.nn.Module", frozenset[str]]:
    """A model in single precision, and the names of those of its weights that the file lacks.

    Raises:
        KgError: it can't be loaded, or needs code of its own.
    """
    from transformers import AutoModel

    try:
        model, told = AutoModel.from_pretrained(
            str(folder),
            config=config,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except Exception as error:  # also what the model's own code raises
        raise _unloadable(name, folder, error, trust_remote_code) from error
    return model.float().eval().requires_grad_(False), frozenset(told["missing_keys"])


def _unloadable(name: str, folder: Path, error: Exception, trust_remote_code: bool) -> KgError:
    if not trust_remote_code and any("trust_remote_code" in str(e) for e in _chain(error)):
        return KgError(
            f"{PREFIX}{name} runs only with code of its own: --trust-remote-code lets it, but that "
            "is somebody else's program on your machine, which can do all that you can; read it "
            f"first, in {printable(folder)}."
        )
    said = _said(error)
    if trust_remote_code and any(isinstance(e, ImportError) for e in _chain(error)):
        return KgError(f"The code of {PREFIX}{name} lacks something ({said}): install it.")
    return KgError(
        f"{PREFIX}{name} can't be loaded ({said}): its files in {printable(folder)} are damaged, "
        "so fetch them again, or it is newer than your transformers, so run `pip install "
        "--upgrade transformers`."
    )


class _NoNumbersError(KgError):
    """A network came to a vector that holds NaN or infinity."""


@dataclass(frozen=True, slots=True)
class _Network:
    """What hears: a feature extractor, then an encoder.

    Attributes:
        name: What the user calls it.
        extractor: Makes of samples what the encoder takes.
        encoder: Without what isn't needed for hearing: decoder, text model.
        takes: What the encoder can be given.
        layers: Its layers, for encoders that don't tell their hidden states.
        rate: Hz.
        piece: Samples of a piece.
        device: Where the encoder is.
    """

    name: str
    extractor: Any
    encoder: "torch.nn.Module"
    takes: frozenset[str]
    layers: tuple["torch.nn.Module", ...]
    rate: int
    piece: int
    device: "torch.device"
    lock: Lock = field(default_factory=Lock)

    def hear(self, song: Floats) -> Floats:
        """A song's vector, float32 [width]; see `HubEar.hear`."""
        import torch

        cut = _pieces(song, self.piece)
        try:
            with self.lock, torch.inference_mode():
                pooled = [
                    self._pooled(cut[first : first + _BATCH])
                    for first in range(0, len(cut), _BATCH)
                ]
        except torch.OutOfMemoryError as error:
            raise _too_large(self.name, self.device) from error
        # pieces are as long as each other: so this weighs all frames the same
        vector: Floats = torch.cat(pooled).mean(dim=0).numpy()
        if not np.isfinite(vector).all():
            raise _NoNumbersError(
                f"{self.name} comes to values that are no numbers: its weights are damaged, so "
                "fetch them again."
            )
        return vector

    def _pooled(self, pieces: Sequence[Floats]) -> "torch.Tensor":
        """The vector of each piece: [b, width].

        Raises:
            ValueError: the encoder gives nothing that could be averaged.
        """
        import torch

        output, caught = self._heard(pieces)
        told = getattr(output, "hidden_states", None)
        layers = list(told[1:] or told) if told else caught
        if not layers:
            raise ValueError("it tells no hidden states")
        means = [_over_time(layer) for layer in layers]
        if len(means[-1]) != len(pieces):
            raise ValueError(f"it makes {len(means[-1])} songs of {len(pieces)}")
        # stages of a pyramid grow wider: the last ones, which know most, can be averaged
        alike = [mean for mean in means if mean.shape == means[-1].shape]
        return torch.stack(alike).mean(dim=0).cpu()

    def _heard(self, pieces: Sequence[Floats]) -> tuple[Any, list["torch.Tensor"]]:
        """What the encoder gives for pieces, and what came out of its layers on the way."""
        import torch

        # silence divided by its deviation: nothing, neither NaN nor infinite
        with np.errstate(divide="ignore", invalid="ignore"):
            made: Mapping[str, Any] = self.extractor(
                list(pieces), sampling_rate=self.rate, return_tensors="pt"
            )
        given = {name: torch.as_tensor(made[name]) for name in made if name in self.takes}
        for name, value in given.items():
            given[name] = value.to(self.device)
            if value.is_floating_point():
                given[name] = given[name].float().nan_to_num(0, 0, 0)
        if "is_longer" in given:  # CLAP says at random that one of a batch is; no piece ever is
            given["is_longer"] = torch.zeros_like(given["is_longer"])
        caught: list[torch.Tensor] = []

        def catch(_module: object, _given: object, came: Any) -> None:
            caught.append(came[0] if isinstance(came, tuple) else came)

        hooks = [layer.register_forward_hook(catch) for layer in self.layers]
        try:
            output = self.encoder(**given, output_hidden_states=True)
        finally:
            for hook in hooks:
                hook.remove()
        last = getattr(output, "last_hidden_state", None)
        if caught and last is not None and last.shape == caught[-1].shape:
            caught[-1] = last  # normed, as among hidden states
        return output, caught


def _network(
    name: str, model: "torch.nn.Module", extractor: Any, device: "torch.device"
) -> _Network:
    """What hears of a model.

    Raises:
        KgError: there is too little memory on the device.
    """
    import torch

    encoder: Any = model
    if getattr(model.config, "is_encoder_decoder", False):
        encoder = model.get_encoder()  # type: ignore[operator]
    elif isinstance(tower := getattr(model, "audio_model", None), torch.nn.Module):
        encoder = tower
    stacks = [part for part in encoder.modules() if isinstance(part, torch.nn.ModuleList)]
    stacks.sort(key=_size)
    rate: int = extractor.sampling_rate
    try:
        encoder.to(device)
    except torch.OutOfMemoryError as error:
        raise _too_large(f"{PREFIX}{name}", device) from error
    return _Network(
        name=f"{PREFIX}{name}",
        extractor=extractor,
        encoder=encoder,
        takes=frozenset(inspect.signature(encoder.forward).parameters),
        layers=tuple(stacks[-1]) if stacks else (),
        rate=rate,
        piece=_piece(extractor, rate),
        device=device,
    )


def _too_large(name: str, device: "torch.device") -> KgError:
    return KgError(
        f"There is too little memory on {device} for {name}: end other programs there, or choose "
        "a smaller model."
    )


def _size(module: "torch.nn.Module") -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _piece(extractor: Any, rate: int) -> int:
    """Samples of a piece: as many as fill the spectrogram of an extractor whose size is fixed, so
    that it pads nothing.
    """
    for name in ("n_samples", "nb_max_samples"):  # Whisper's 30 s, CLAP's 10 s
        if samples := getattr(extractor, name, None):
            return int(samples)
    frames, bands = (getattr(extractor, name, None) for name in ("max_length", "num_mel_bins"))
    if isinstance(frames, int) and isinstance(bands, int):  # AST's windows: 25 ms every 10 ms
        return rate * (10 * frames + 15) // 1000
    return rate * _PIECE_SECONDS


def _pieces(song: Floats, length: int) -> list[Floats]:
    """Pieces of a song, all of a length, from its begin to its end.

    They overlap where the song is no multiple of the length: then nothing is padded, and no end of
    a piece is too short to be heard. A shorter song is repeated.
    """
    if len(song) < length:
        return [np.resize(song, length)]
    count = max(1, math.ceil(len(song) / length - _UNHEARD))
    begins = np.linspace(0, len(song) - length, count).astype(int)
    return [song[begin : begin + length] for begin in begins]


def _over_time(layer: "torch.Tensor") -> "torch.Tensor":
    """The mean of a layer over all but songs and channels: [b, channels].

    Args:
        layer: [b, time, channels], or, where it is a picture, [b, channels, height, width].

    Raises:
        ValueError: it is of another shape.
    """
    if layer.ndim == 3:
        return layer.mean(dim=1)
    if layer.ndim == 4:
        return layer.mean(dim=(2, 3))
    raise ValueError(f"its hidden states are of a shape {tuple(layer.shape)}")


def _tried(network: _Network) -> Floats:
    """The vector of silence, to see that the network hears.

    Raises:
        WrongUsageError: it is no encoder that gives layers over time.
        KgError: there is too little memory, or its weights are no numbers.
    """
    try:
        return network.hear(np.zeros(network.piece, np.float32))
    except KgError:
        raise
    except Exception as error:  # also what the model's own code raises
        raise WrongUsageError(
            f"{network.name} can't be an ear ({_said(error)}): choose an audio encoder that gives "
            f"its hidden states, such as {_EXAMPLE}."
        ) from error


def _require_whole(network: _Network, model: "torch.nn.Module", missing: frozenset[str]) -> None:
    """See that the file lacks no weights that are heard with: transformers makes them up at random.

    Many are never heard with: heads for other tasks, decoders, what hides parts of songs in
    training. So all that are missing become NaN, which shows in the vector of silence.

    Raises:
        KgError: it lacks some.
    """
    if not missing:
        return
    state = model.state_dict()
    for name in missing & state.keys():
        if state[name].is_floating_point():  # others are indices, which the code works out
            state[name].fill_(math.nan)
    try:
        _tried(network)
    except _NoNumbersError as error:
        raise KgError(
            f"{network.name} lacks weights that it hears with ({len(missing)} are missing, such as "
            f"{printable(min(missing))}): fetch it again, or choose a model that is saved whole."
        ) from error


def _content(folder: Path) -> str:
    """Hash what decides what a folder's model hears.

    Raises:
        KgError: a file can't be read.
    """
    files = sorted({file for pattern in _DECISIVE for file in folder.glob(pattern)})
    try:
        return "\n".join(f"{file.name} {content_id(file)}" for file in files)
    except OSError as error:
        raise KgError(
            f"{printable(error.filename or folder)} {why_unreadable(error)}: fetch the model again."
        ) from error


def _identity(source: str, own_code: bool) -> str:
    """Hash of what decides the vectors.

    Args:
        source: Commit on the hub, or from `_content`.
        own_code: Whether the model's own code runs, where transformers may have another.
    """
    parts = (source, own_code, _POOLING, _PIECE_SECONDS, _UNHEARD)
    return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()


def _family(name: str) -> str:
    """Name the feature family of a model: `MERT-v1-95M` is `mert_v1_95m`."""
    family = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")
    return check_family_name(family if family[:1].isalpha() else f"hf_{family}".rstrip("_"))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _said(error: BaseException) -> str:
    """The first line of an error, for a sentence of ours."""
    line = (str(error).strip().splitlines() or [""])[0].rstrip(".: ")
    return printable(f"{type(error).__name__}: {line}" if line else type(error).__name__)[:300]
