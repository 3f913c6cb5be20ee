"""PyG's `HeteroData`, imported without what its import prints.

`torch_geometric` scripts a class while it is imported, which newer versions of torch warn of on
every run; nothing a user could do about it.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", r"`torch\.jit\.script`", FutureWarning)
    from torch_geometric.data import HeteroData

__all__ = ["HeteroData"]
