"""What every pretrained network is to the rest of kg: an ear."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kg.records import Embedding, FeatureSet

Floats = NDArray[np.float32]


class Ear(Protocol):
    """A pretrained network that turns songs into vectors.

    Processes decode songs and bring them into the network's `form`; one process hears them.
    """

    @property
    def embedding(self) -> Embedding:
        """What its vectors are."""
        ...

    @property
    def form(self) -> str:
        """What it listens to; see `kg.embeddings.forms`."""
        ...

    def hear(self, song: Floats) -> Floats:
        """A song in that form becomes a vector, float32 [columns of the embedding]; thread-safe."""
        ...


@dataclass(frozen=True, slots=True)
class Ears:
    """What a library hears songs with.

    Attributes:
        kinds: What its features mean from now on.
        old: What those in the graph mean until then; None in a new library.
        networks: Embeddings of new songs, and what loads the network of each.
    """

    kinds: FeatureSet
    old: FeatureSet | None
    networks: Sequence[tuple[Embedding, Callable[[], Ear]]] = ()

    @property
    def new(self) -> bool:
        """Whether the graph lacks some of these."""
        return self.old is not None and self.old.version != self.kinds.version
