"""How much memory a training needs, and whether it is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import torch

from models.rgcn import EncoderConfig

# Measured on graphs of 100,000 to a million songs, 46 edges each: sorting the edges takes this
# much, then each edge lies in several products, and so many tensors of all nodes' vectors live at
# once: some fixed ones, and those that a layer keeps for the backward pass.
_BYTES_TO_BUILD = 75
_BYTES_AN_EDGE = 30
_VECTORS, _VECTORS_A_LAYER = 4, 8
# Below this size the C library keeps a tensor's memory for later ones, and as much again lies idle.
_HANDED_BACK = 32 * 2**20
_FLOAT = 4


class OutOfMemoryError(MemoryError):
    """A training needs more memory than there is.

    Attributes:
        needed: bytes, estimated.
        free: bytes; None: unknown, it ran out on the way.
        hidden: the largest width of the layers that would fit; None: none would.
        share: how much of the graph would fit, 0 to 1.
    """

    def __init__(self, needed: int, free: int | None, hidden: int | None, share: float) -> None:
        self.needed = needed
        self.free = free
        self.hidden = hidden
        self.share = share
        fits = f"a graph of {share:.0%} of its size would fit"
        if hidden is not None:
            fits = f"layers of {hidden} would fit, or {fits}"
        had = "couldn't get as much" if free is None else f"{free / 1e9:.1f} GB are free"
        super().__init__(f"training needs about {needed / 1e9:.1f} GB of memory and {had}: {fits}")


def training_bytes(nodes: int, edges: int, encoder: EncoderConfig, beside: int = 0) -> int:
    """Estimate what a training needs beyond the graph itself.

    Args:
        nodes: of all types.
        edges: of all types, both directions.
        encoder: what is trained.
        beside: bytes of what isn't the encoder's: `kinship.kin_bytes`.
    """
    vectors = _FLOAT * encoder.hidden * nodes
    alive = vectors * (_VECTORS + _VECTORS_A_LAYER * encoder.layers)
    if vectors < _HANDED_BACK:
        alive *= 2
    return max(_BYTES_TO_BUILD * edges, _BYTES_AN_EDGE * edges + alive) + beside


def free_bytes(device: torch.device) -> int:
    """Tell how much memory can be had on a device, swap included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # what an earlier training left with torch is there for the next one
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + idle)
    return int(psutil.virtual_memory().available + psutil.swap_memory().free)


@contextmanager
def within_memory(
    nodes: int, edges: int, encoder: EncoderConfig, device: torch.device, beside: int = 0
) -> Iterator[None]:
    """Refuse a training that won't fit before it starts, and name what is wrong when one bursts.

    Raises:
        OutOfMemoryError: there isn't enough.
    """
    needed, free = training_bytes(nodes, edges, encoder, beside), free_bytes(device)
    if needed > free:
        raise _too_large(nodes, edges, encoder, beside, free, free)
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        # the estimate was too low, or a limit stands below what the machine has
        bound = min(needed // 2, free_bytes(device))
        raise _too_large(nodes, edges, encoder, beside, None, bound) from error


def _too_large(
    nodes: int, edges: int, encoder: EncoderConfig, beside: int, free: int | None, bound: int
) -> OutOfMemoryError:
    """Name what would fit into `bound` bytes."""
    needed = training_bytes(nodes, edges, encoder, beside)
    narrower = (encoder.hidden // divisor for divisor in (2, 4, 8) if encoder.hidden >= 8 * divisor)
    fitting = (
        hidden
        for hidden in narrower
        if training_bytes(nodes, edges, replace(encoder, hidden=hidden, blocks=None), beside)
        <= bound
    )
    return OutOfMemoryError(needed, free, next(fitting, None), bound / needed)


def _is_lack_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # what torch's allocator for the CPU says, on Linux and elsewhere
    return "not enough memory" in str(error) or "can't allocate memory" in str(error)
