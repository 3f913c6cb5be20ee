"""Ears for tests: real networks without anybody's weights."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from kg.embeddings.ears import Floats
from kg.embeddings.forms import wave
from kg.embeddings.musicnn import WEIGHTS
from kg.records import Embedding
from models.musicnn import Musicnn


def write_weights(folder: Path) -> Path:
    """musicnn as nobody trained it, where `install` keeps it."""
    torch.manual_seed(0)
    network = Musicnn()
    for name, tensor in network.named_buffers():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / WEIGHTS)
    return folder / WEIGHTS


class Loudness:
    """Hears how loud a song is."""

    embedding = Embedding("loudness", "1", "loudness", ("loudness_1", "loudness_2"))
    form = wave(8000)

    def hear(self, song: Floats) -> Floats:
        return np.array([np.abs(song).max(), len(song) / 8000], dtype=np.float32)
