"""What `kg tune` tries: the settings of each model, and between which values."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class Real:
    """A number from `low` to `high`; with `log` each power of ten is as likely as the next."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, `step` by `step`."""

    low: int
    high: int
    step: int = 1


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values."""

    options: tuple[Any, ...]


Setting = Real | Whole | Choice
Space = Mapping[str, Setting]

_NET: Final[Space] = {
    "learning_rate": Real(3e-4, 1e-2, log=True),
    "weight_decay": Real(1e-3, 0.5, log=True),
    "dropout": Real(0.0, 0.7),
    "hidden": Whole(16, 128, step=16),
    "layers": Whole(1, 3),
    "balance": Real(0.0, 1.0),
}
_CONVOLUTIONS: Final[Space] = {
    "learning_rate": Real(5e-4, 1e-2, log=True),
    "weight_decay": Real(1e-4, 0.1, log=True),
    "dropout": Real(0.0, 0.4),
    "blocks": Whole(3, 5),
    "channels": Whole(8, 24, step=4),
    "length": Whole(65, 257, step=64),
    "batch": Choice((8, 16, 32)),
}

SPACES: Final[Mapping[str, Space]] = {
    "r-gcn": {
        **_NET,
        "edge_dropout": Real(0.0, 0.5),
        "hidden_share": Real(0.3, 1.0),
        "smoothing": Real(0.0, 0.75),
    },
    "mlp": _NET,
    "label-propagation": {
        "alphas": Choice(
            ((0.2, 0.5, 0.8, 0.9, 0.99), (0.2,), (0.5,), (0.8,), (0.9,), (0.99,)),
        ),
        "forms": Choice((("symmetric", "rows"), ("symmetric",), ("rows",))),
        "prior": Real(1e-6, 1e-2, log=True),
    },
    "lightgcn": {
        "learning_rate": Real(1e-3, 5e-2, log=True),
        "regularisation": Real(1e-6, 1e-2, log=True),
        "dim": Whole(16, 128, step=16),
        "layers": Whole(1, 4),
        "negatives": Whole(1, 8),
        "hidden_share": Real(0.2, 0.8),
        "spread": Real(0.01, 0.5, log=True),
    },
    "seal": {
        "learning_rate": Real(5e-4, 1e-2, log=True),
        "weight_decay": Real(1e-4, 0.1, log=True),
        "dropout": Real(0.0, 0.7),
        "neighbours": Choice(((10,), (20,), (40,))),
        "hidden": Whole(16, 64, step=16),
        "layers": Whole(2, 4),
        "sorted_nodes": Whole(20, 50, step=10),
    },
    "rnn": {
        "learning_rate": Real(5e-4, 1e-2, log=True),
        "weight_decay": Real(1e-4, 0.1, log=True),
        "dropout": Real(0.0, 0.5),
        "length": Whole(128, 512, step=64),
        "step": Whole(4, 16, step=4),
        "hidden": Whole(32, 128, step=32),
        "layers": Whole(1, 2),
    },
    "cnn": _CONVOLUTIONS,
    "crnn": {
        **_CONVOLUTIONS,
        "hidden": Whole(16, 64, step=16),
        "layers": Whole(1, 2),
    },
}
"""By contestant. Models that aren't here choose their own settings at every training."""

NOT_SETTINGS: Final = frozenset({"seed", "messages"})
"""Fields that say which training and which model it is."""


def configs_of(model: str) -> "tuple[DataclassInstance, ...]":
    """What a model is configured by, as it is by default.

    Args:
        model: One of `SPACES`.
    """
    match model:
        case "r-gcn" | "mlp":
            from models.rgcn import EncoderConfig
            from models.training import TrainConfig

            return TrainConfig(), EncoderConfig(messages=model == "r-gcn")
        case "label-propagation":
            from models.baselines.label_propagation import LabelPropagationConfig

            return (LabelPropagationConfig(),)
        case "lightgcn":
            from models.baselines.lightgcn import LightGCNConfig

            return (LightGCNConfig(),)
        case "seal":
            from models.baselines.seal import SEALConfig

            return (SEALConfig(),)
        case "rnn":
            from models.baselines.rnn import RNNConfig

            return (RNNConfig(),)
        case "cnn":
            from models.baselines.cnn import CNNConfig

            return (CNNConfig(),)
        case "crnn":
            from models.baselines.crnn import CRNNConfig

            return (CRNNConfig(),)
    raise ValueError(f"{model} has no settings")


def defaults_of(model: str) -> dict[str, Any]:
    """Every setting of a model, as it is by default."""
    return {
        field.name: getattr(config, field.name)
        for config in configs_of(model)
        for field in fields(config)
        if field.name not in NOT_SETTINGS
    }
