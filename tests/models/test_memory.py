import contextlib
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from models import memory
from models.kinship import kin_bytes
from models.memory import OutOfMemoryError, training_bytes, within_memory
from models.rgcn import EncoderConfig
from models.training import TrainConfig, train
from tests.models.graphs import TARGET, class_graph
from tests.models.test_gathering import maker_graph

CPU = torch.device("cpu")
WIDE = EncoderConfig(hidden=256)


def _left(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)


def test_a_training_that_cannot_fit_is_refused_with_what_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes, edges = 1_000_000, 10_000_000
    needed = training_bytes(nodes, edges, WIDE)
    half = training_bytes(nodes, edges, replace(WIDE, hidden=128))
    _left(monkeypatch, half)
    with (
        pytest.raises(OutOfMemoryError, match=r"20\.\d GB.*layers of 128 would fit") as caught,
        within_memory(nodes, edges, WIDE, CPU),
    ):
        raise AssertionError("it was let in")
    assert (caught.value.needed, caught.value.free) == (needed, half)
    assert caught.value.hidden == 128
    assert caught.value.share == half / needed

    _left(monkeypatch, needed)
    with within_memory(nodes, edges, WIDE, CPU):
        pass

    _left(monkeypatch, 40 * edges)  # not even the edges fit
    with (
        pytest.raises(OutOfMemoryError, match=r"GB are free: a graph of") as caught,
        within_memory(nodes, edges, WIDE, CPU),
    ):
        pass
    assert caught.value.hidden is None


def test_train_looks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    _left(monkeypatch, 1000)
    with pytest.raises(OutOfMemoryError):
        train(class_graph(), TARGET)


def test_what_is_counted_beside_the_graph_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, edges, beside = 1_000_000, 10_000_000, 5 * 10**9
    assert training_bytes(nodes, edges, WIDE, beside) == training_bytes(nodes, edges, WIDE) + beside
    _left(monkeypatch, training_bytes(nodes, edges, WIDE))
    with pytest.raises(OutOfMemoryError), within_memory(nodes, edges, WIDE, CPU, beside):
        pass


def test_answers_of_items_that_share_a_maker_are_reckoned_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = maker_graph()
    told: list[int] = []

    def within(*args: object) -> contextlib.AbstractContextManager[None]:
        told.append(int(str(args[-1])))
        return contextlib.nullcontext()

    monkeypatch.setattr("models.training.within_memory", within)
    quick = TrainConfig(epochs=1, epochs_unvalidated=1)
    train(data, TARGET, gathered=["maker"], config=quick)
    train(class_graph(), TARGET, config=quick)
    # 120 items with one answer and one maker each; 24 of them are held against all 4 classes
    assert told == [kin_bytes(120, 24, 4), 0]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory: you tried")]
)
def test_what_bursts_on_the_way_is_named(error: Exception) -> None:
    with (
        pytest.raises(OutOfMemoryError, match=r"couldn't get as much: .*50% of") as caught,
        within_memory(50_000, 100_000, WIDE, CPU),
    ):
        raise error
    assert caught.value.free is None
    assert caught.value.share == pytest.approx(0.5)


def test_memory_that_torch_keeps_on_a_gpu_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, found in (
        ("mem_get_info", (1_000, 9_000)),
        ("memory_reserved", 5_000),
        ("memory_allocated", 200),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda device, found=found: found)
    assert memory.free_bytes(torch.device("cuda")) == 5_800


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="something else"), within_memory(5, 10, WIDE, CPU):
        raise RuntimeError("something else")


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits of this kind")
@pytest.mark.slow
def test_a_limit_that_the_system_sets_is_met_with_the_same_words() -> None:
    """A real allocation that fails, in a process of its own."""
    program = """
import resource, sys, torch
from models.memory import OutOfMemoryError
from models.rgcn import EncoderConfig
from models.training import TrainConfig, train
from tests.models.graphs import TARGET, class_graph
data = class_graph(per_class=20_000 // 4)
train(class_graph(), TARGET, config=TrainConfig(epochs=1))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000, resource.RLIM_INFINITY))
try:
    train(data, TARGET, encoder=EncoderConfig(hidden=2048), config=TrainConfig(epochs=1))
except OutOfMemoryError as error:
    print("named:", error)
"""
    if sys.platform != "linux":
        pytest.skip("how much a process uses is read from /proc")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False
    )
    assert "named: training needs about" in ran.stdout, ran.stderr
