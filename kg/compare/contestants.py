"""Everything that a comparison can train, by name, and what each is given."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from kg.compare.material import ALL, Task
from kg.errors import WrongUsageError
from kg.metrics.evaluate import Rows
from kg.schema import GENRE_EDGE, SONG_NODE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from torch import Tensor

    from models.baselines.fitting import Fitted
    from models.training import TrainResult

C = TypeVar("C", bound="DataclassInstance")
Takes = Literal["nothing", "features", "graph", "frames"]
FrameKind = Literal["mfcc", "log_mel"]
Fit = Callable[[Task, "Given"], "Fitted"]


@dataclass(frozen=True, slots=True)
class Given:
    """What a training is given beside its task.

    Attributes:
        device: Where nets are trained.
        epochs: The most epochs of every net; None: its own.
        frames: Frame sequences of all songs, for contestants that take them.
        settings: Fields of the contestant's config that are to be other than its defaults.
    """

    device: str = "cpu"
    epochs: int | None = None
    frames: "Sequence[NDArray[np.float16]] | None" = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def heard(self) -> "Sequence[NDArray[np.float16]]":
        """The frame sequences, for who takes them."""
        if self.frames is None:
            raise ValueError("this model takes frame sequences, and there are none")
        return self.frames


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model that can be compared.

    Attributes:
        name: As it is asked for.
        title: As tables show it.
        takes: What it learns from: the features of songs, the graph, frames of the sound, or
            nothing but how frequent genres are.
        fit: Train it.
        hears: Frames that it was made for, where it takes frames.
    """

    name: str
    title: str
    takes: Takes
    fit: Fit
    hears: FrameKind | None = None


TABULAR: Final = {
    "majority": "majority",
    "knn": "k nearest neighbours",
    "logistic": "logistic regression",
    "svm": "SVM",
    "boosting": "gradient boosting",
}
FRAMES_OF: Final[Mapping[str, FrameKind]] = {"mfcc": "mfcc", "mel": "log_mel"}
"""Families of which there are frame sequences too."""


def contestants() -> dict[str, Contestant]:
    """All of them, by name, in the order in which they are trained."""
    listed = [
        Contestant("r-gcn", "R-GCN + DistMult", "graph", _net(messages=True)),
        Contestant("mlp", "the same without the graph", "graph", _net(messages=False)),
        *(
            Contestant(name, kind, "nothing" if name == "majority" else "features", _tabular(kind))
            for name, kind in TABULAR.items()
        ),
        Contestant("label-propagation", "label propagation", "graph", _label_propagation),
        Contestant("lightgcn", "LightGCN", "graph", _lightgcn),
        Contestant("seal", "SEAL", "graph", _seal),
        Contestant("rnn", "RNN (LSTM)", "frames", _rnn, "mfcc"),
        Contestant("cnn", "CNN", "frames", _cnn, "log_mel"),
        Contestant("crnn", "CRNN", "frames", _crnn, "log_mel"),
    ]
    return {each.name: each for each in listed}


def chosen(names: Sequence[str] | None) -> list[Contestant]:
    """The contestants of these names (None: all); `tabular` stands for all that take a table.

    Raises:
        WrongUsageError: there is none of a name; the message offers the nearest.
    """
    known = contestants()
    if names is None:
        return list(known.values())
    wanted: list[str] = []
    for name in names:
        wanted += TABULAR if name == "tabular" else [name]
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name.lower(), [*known, "tabular"], n=3, cutoff=0.4)
            offered = f"did you mean {' or '.join(near)}?" if near else "take"
            rest = "" if near else f" {', '.join([*known, 'tabular'])}."
            raise WrongUsageError(f"There is no model {name!r}: {offered}{rest}")
    if not wanted:
        raise WrongUsageError(f"Name a model to compare: {', '.join([*known, 'tabular'])}.")
    return [known[name] for name in dict.fromkeys(wanted)]


def heard_as(contestant: Contestant, features: str) -> str | None:
    """As which features a contestant takes part where these are asked for; None: not at all.

    Who takes frames hears MFCC or mel frames, and what it was made for where all are asked for.
    """
    if contestant.takes == "nothing":
        return "none"
    if contestant.takes != "frames":
        return features
    if features == ALL:
        return {kind: family for family, kind in FRAMES_OF.items()}[contestant.hears or "mfcc"]
    return features if features in FRAMES_OF else None


def training_device(name: str) -> str:
    """The device of that name, as torch calls it.

    Raises:
        WrongUsageError: there is none.
    """
    from models.devices import DeviceError, pick_device

    try:
        return str(pick_device(name))
    except DeviceError as error:
        raise WrongUsageError(str(error)) from error


def told_by(fitted: "Fitted", rows: Rows) -> NDArray[np.float32]:
    """What a trained contestant says of songs: float32 [m, g].

    Raises:
        ValueError: it says what is no number: its training ran away.
    """
    import torch

    told: NDArray[np.float32] = fitted.scores(torch.from_numpy(rows)).float().numpy()
    if not np.isfinite(told).all():
        raise ValueError("it came to scores that are no numbers: a lower learning rate may help")
    return told


class _Net:
    """A trained R-GCN (or the same net without relations) as a comparison takes it."""

    def __init__(self, task: Task, result: "TrainResult") -> None:
        from models.baselines.fitting import count_parameters

        self._task = task
        self._model = result.model
        self.parameters = count_parameters(result.model)
        self.epochs = result.epochs
        self.best_epoch = result.best_epoch

    def scores(self, rows: "Tensor") -> "Tensor":
        from models.training import score_held_out

        return score_held_out(self._model, self._task.hetero[0], rows)


def _net(*, messages: bool) -> Fit:
    def fit(task: Task, given: Given) -> "Fitted":
        from models import training
        from models.rgcn import EncoderConfig

        data, maps = task.hetero
        config, rest = _with(training.TrainConfig(seed=task.seed), given.settings)
        encoder, rest = _with(EncoderConfig(messages=messages), rest)
        _refuse_unknown(rest)
        if given.epochs is not None:
            config = replace(config, epochs=given.epochs, epochs_unvalidated=given.epochs)
        result = training.train(
            data,
            GENRE_EDGE,
            groups=maps.families,
            silent=maps.silent,
            gathered=maps.gathered,
            encoder=encoder,
            config=config,
            device=given.device,
        )
        if result.interrupted:
            raise KeyboardInterrupt
        return _Net(task, result)

    return fit


def _tabular(kind: str) -> Fit:
    def fit(task: Task, _: Given) -> "Fitted":
        from models.baselines import tabular
        from models.baselines.classifiers import MAJORITY

        if kind == MAJORITY:  # looks at no features: no graph has to be made for it
            x = np.zeros((len(task.material.songs), 1), dtype=np.float32)
        else:
            x = task.hetero[0][SONG_NODE].x.numpy()
        return tabular.fit(
            kind,
            x,
            task.labels,
            groups=task.material.group[task.fold.train],
            seed=task.seed,
        )

    return fit


def _label_propagation(task: Task, given: Given) -> "Fitted":
    from models.baselines.label_propagation import LabelPropagationConfig, fit

    config = _configured(LabelPropagationConfig(), given)
    return fit(task.hetero[0], GENRE_EDGE, task.labels, config=config, seed=task.seed)


def _lightgcn(task: Task, given: Given) -> "Fitted":
    from models.baselines.lightgcn import LightGCNConfig, fit

    data, config = task.hetero[0], _configured(LightGCNConfig(), given)
    return fit(data, GENRE_EDGE, task.labels, config=config, seed=task.seed, device=given.device)


def _seal(task: Task, given: Given) -> "Fitted":
    from models.baselines.seal import SEALConfig, fit

    data, config = task.hetero[0], _configured(SEALConfig(), given)
    return fit(data, GENRE_EDGE, task.labels, config=config, seed=task.seed, device=given.device)


def _rnn(task: Task, given: Given) -> "Fitted":
    from models.baselines.rnn import RNNConfig, fit

    config = _configured(RNNConfig(), given)
    return fit(given.heard, task.labels, config=config, seed=task.seed, device=given.device)


def _cnn(task: Task, given: Given) -> "Fitted":
    from models.baselines.cnn import CNNConfig, fit

    config = _configured(CNNConfig(), given)
    return fit(given.heard, task.labels, config=config, seed=task.seed, device=given.device)


def _crnn(task: Task, given: Given) -> "Fitted":
    from models.baselines.crnn import CRNNConfig, fit

    config = _configured(CRNNConfig(), given)
    return fit(given.heard, task.labels, config=config, seed=task.seed, device=given.device)


def _configured(config: C, given: Given) -> C:
    """A config with what the user chose."""
    chosen, unknown = _with(config, given.settings)
    _refuse_unknown(unknown)
    if given.epochs is None:
        return chosen
    lengths = {"epochs": given.epochs, "epochs_unvalidated": given.epochs}
    return _with(chosen, lengths)[0]


def _with(config: C, settings: Mapping[str, Any]) -> tuple[C, dict[str, Any]]:
    """A config with these settings, and those that it has no field for."""
    own = {each.name for each in fields(config)}
    mine = {name: value for name, value in settings.items() if name in own}
    return replace(config, **mine), {n: v for n, v in settings.items() if n not in own}


def _refuse_unknown(settings: Mapping[str, Any]) -> None:
    if settings:
        raise WrongUsageError(f"The model has no settings called {', '.join(settings)}.")
