"""Tensor bundles are read as TensorFlow writes them, and damaged ones are known."""

import numpy as np
import pytest

from kg.embeddings.bundle import BundleError, read_bundle
from tests.embeddings.bundles import write_bundle

CHANCE = np.random.default_rng(0)
TENSORS = {
    "conv2d/kernel": CHANCE.normal(size=(7, 38, 1, 5)).astype(np.float32),
    "conv2d/kernel/Adam": CHANCE.normal(size=(7, 38, 1, 5)).astype(np.float32),
    "conv2d/bias": CHANCE.normal(size=300).astype(np.float32),
    "beta1_power": np.array(0.5, dtype=np.float32),
}


def test_what_was_written_is_read() -> None:
    found = read_bundle(*write_bundle(TENSORS))
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_damage_is_known() -> None:
    index, data = write_bundle(TENSORS)
    for wrong, words in (
        ((index, data[:-4]), "a tensor is cut short"),
        ((index[:-1], data), "its end is missing"),
        ((b"", data), "its end is missing"),
        (write_bundle(TENSORS, dtype=2), "numbers that aren't float32"),
        (write_bundle(TENSORS, compressed=True), "is compressed"),
    ):
        with pytest.raises(BundleError, match=words):
            read_bundle(*wrong)
    # wherever a byte is wrong, it is read or refused, and nothing else happens
    for at in range(len(index)):
        broken = bytearray(index)
        broken[at] ^= 0x55
        try:
            read_bundle(bytes(broken), data)
        except BundleError:
            continue
