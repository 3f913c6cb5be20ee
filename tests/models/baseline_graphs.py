"""What tests of the baselines on graphs share."""

import torch
from torch_geometric.data import HeteroData

from models.baselines.fitting import Fitted, Labels
from tests.models.graphs import TARGET


def baseline_labels(
    data: HeteroData, *, with_validation: bool = False, all_rows: bool = False
) -> Labels:
    """The labels of a graph; rows outside training (and validation) have none, unless asked for."""
    truth = torch.zeros(int(data["item"].num_nodes), int(data["class"].num_nodes)).bool()
    edges = data[TARGET].edge_index
    truth[edges[0], edges[1]] = True
    train = data["item"].train_mask.nonzero().flatten()
    valid = data["item"].val_mask.nonzero().flatten()
    valid = valid if with_validation else valid[:0]
    if with_validation:  # enough of them to choose by
        test = data["item"].test_mask.nonzero().flatten()
        valid = torch.cat([valid, train[: max(0, 100 - valid.numel())]])
        assert not set(valid.tolist()) & set(test.tolist())
        train = train[~torch.isin(train, valid)]
    multi_label = bool((truth[train].sum(dim=1) > 1).any())
    if not all_rows:
        known = torch.zeros(len(truth), dtype=torch.bool)
        known[torch.cat([train, valid])] = True
        truth &= known[:, None]
    return Labels(truth, train, valid, multi_label)


def right(model: Fitted, data: HeteroData) -> float:
    """Share of the held-out heads that are told right."""
    test = data["item"].test_mask.nonzero().flatten()
    truth = baseline_labels(data, all_rows=True).truth[test]
    return float(truth.gather(1, model.scores(test).argmax(dim=1, keepdim=True)).float().mean())
