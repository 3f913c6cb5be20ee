"""Classes that spread from head to similar head, without anything to train.

Zhou, Bousquet, Lal, Weston, Schoelkopf 2004, Learning with local and global consistency:

    F <- alpha S F + (1 - alpha) Y,    S = D^-1/2 W D^-1/2

with W the links among heads (either way, each of weight 1, none to itself) and Y the training
heads' classes, until F no longer changes. Besides S the paper's other form D^-1 W is tried. alpha
and the form are those of the highest macro-F1 on the validation rows, or, where there are too few,
on training rows of which a fold at a time is unlabelled.

What differs: rare classes weigh up as they do for all baselines, and F becomes log-odds; where
rows may have several classes, what says yes and what says no spread side by side.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array, diags_array
from torch import Tensor

from models.baselines.fitting import Labels, OnEpoch
from models.baselines.joined import both_ways, check_edges, check_labels
from models.link_model import reverse_of
from models.pyg import HeteroData
from models.sparse import EdgeType
from models.training import macro_f1

Form = Literal["symmetric", "rows"]


@dataclass(frozen=True)
class LabelPropagationConfig:
    """What is tried, and how exactly it is computed.

    Attributes:
        alphas: shares that come from the neighbours, one of which is chosen.
        forms: of S: "symmetric" D^-1/2 W D^-1/2 or "rows" D^-1 W, one of which is chosen.
        tolerance: the spreading ends when nothing changes by more.
        steps: it ends after so many anyway.
        prior: what of F is there for every class by how frequent it is: heads that nothing
            reaches get the most frequent class.
        folds: into which training rows are dealt where there is too little to validate on.
    """

    alphas: tuple[float, ...] = (0.2, 0.5, 0.8, 0.9, 0.99)
    forms: tuple[Form, ...] = ("symmetric", "rows")
    tolerance: float = 1e-5
    steps: int = 300
    prior: float = 1e-4
    folds: int = 5

    def __post_init__(self) -> None:
        if not self.alphas or not all(0 < alpha < 1 for alpha in self.alphas):
            raise ValueError(f"alphas must be above 0 and below 1, not {self.alphas}")
        if not self.forms or not set(self.forms) <= {"symmetric", "rows"}:
            raise ValueError(f'forms must be of "symmetric" and "rows", not {self.forms}')
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be above 0, not {self.tolerance}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")
        if not 0 < self.prior < 1:
            raise ValueError(f"prior must be above 0 and below 1, not {self.prior}")
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2, not {self.folds}")


@dataclass(frozen=True, eq=False)
class Propagated:
    """What spread.

    Attributes:
        alpha: the chosen one.
        form: the chosen one.
        said: float32 [n, c], scores of all heads; those of training heads know their own class.
        parameters, epochs, best_epoch: nothing is trained.
    """

    alpha: float
    form: Form
    said: Tensor
    parameters: int = 0
    epochs: int = 0
    best_epoch: int = 0

    def scores(self, rows: Tensor) -> Tensor:
        """Score rows int64 [b] against every class: log-odds, float32 [b, c]."""
        return self.said[rows]


def fit(
    data: HeteroData,
    target: EdgeType,
    labels: Labels,
    *,
    config: LabelPropagationConfig | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_epoch: OnEpoch | None = None,
) -> Propagated:
    """Spread the training heads' classes over the relations among heads.

    There is no chance in it, no epoch and no use for a GPU: `seed`, `device` and `on_epoch` are
    there because all baselines have them.

    Args:
        data: has at least one relation among the target's heads.
        target: (head type, relation, tail type).
        labels: of the heads.
        config: what is tried.
        seed: not used.
        device: not used.
        on_epoch: not called.

    Raises:
        ValueError: no relation links heads with each other, or the labels aren't the graph's.
    """
    del seed, device, on_epoch
    config = config or LabelPropagationConfig()
    check_labels(data, target, labels)
    links = _links(data, target)
    settings = list(product(config.alphas, config.forms))
    chosen = settings[0]
    trials = _trials(labels, config.folds)
    if len(settings) > 1 and trials:
        spreads = {form: normalised(links, form) for form in config.forms}
        told = torch.cat([told for _, told in trials])
        results = []
        for alpha, form in settings:
            found = [
                _scores(spreads[form], labels, known, alpha, config)[told] for known, told in trials
            ]
            results.append(macro_f1(torch.cat(found), labels.truth[told], labels.multi_label))
        chosen = settings[int(np.argmax(results))]  # of equals the first
    alpha, form = chosen
    said = _scores(normalised(links, form), labels, labels.train, alpha, config)
    return Propagated(alpha, form, said)


def normalised(links: Any, form: Form) -> Any:
    """S of links W, a sparse [n, n]; who has none keeps an empty row."""
    degree = np.asarray(links.sum(axis=1)).ravel()
    inverse = np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
    if form == "rows":
        return csr_array(diags_array(inverse) @ links)
    root = diags_array(np.sqrt(inverse))
    return csr_array(root @ links @ root)


def spread(matrix: Any, start: Any, alpha: float, *, tolerance: float, steps: int) -> Any:
    """Repeat F <- alpha S F + (1 - alpha) Y from F = Y on.

    Args:
        matrix: S, sparse [n, n].
        start: Y [n, c].
        alpha: the share that comes from the neighbours.
        tolerance: it ends when nothing changes by more.
        steps: it ends after so many anyway.

    Returns:
        F [n, c].
    """
    found = start
    for _ in range(steps):
        following = alpha * (matrix @ found) + (1 - alpha) * start
        change = np.abs(following - found).max(initial=0.0)
        found = following
        if change <= tolerance:
            break
    return found


def _links(data: HeteroData, target: EdgeType) -> Any:
    head = target[0]
    relations = [
        each
        for each in map(tuple, data.edge_types)
        if each[0] == each[2] == head and each not in (target, reverse_of(target))
    ]
    if not relations:
        raise ValueError(f"no relation links nodes of the type {head!r} with each other")
    for each in relations:
        check_edges(data, each)
    count = int(data[head].num_nodes)
    found = torch.cat([data[each].edge_index.cpu().long() for each in relations], dim=1)
    edges = both_ways(found, count).numpy()
    ones = np.ones(edges.shape[1], dtype=np.float32)
    return csr_array(coo_array((ones, (edges[0], edges[1])), shape=(count, count)))


def _trials(labels: Labels, folds: int) -> list[tuple[Tensor, Tensor]]:
    """(Rows whose classes are known, rows to tell), class by class dealt out."""
    if labels.validated:
        return [(labels.train, labels.valid)]
    first = labels.truth[labels.train].int().argmax(dim=1)
    by_class = labels.train[torch.argsort(first, stable=True)]
    if by_class.numel() < folds:
        return []
    fold = torch.arange(by_class.numel()) % folds
    return [(by_class[fold != each], by_class[fold == each]) for each in range(folds)]


def _scores(
    matrix: Any, labels: Labels, known: Tensor, alpha: float, config: LabelPropagationConfig
) -> Tensor:
    """Log-odds of all heads where only these rows' classes are known: float32 [n, c]."""
    truth = labels.truth[known]
    share = truth.double().mean(dim=0).float().numpy()

    def spread_from(classes: Tensor) -> Any:
        start = np.zeros(tuple(labels.truth.shape), dtype=np.float32)
        start[known.numpy()] = classes.numpy()
        return spread(matrix, start, alpha, tolerance=config.tolerance, steps=config.steps)

    weight = labels.weight().numpy()
    yes = weight * (spread_from(truth) + config.prior * share)
    # a class nobody has must stay finite
    tiny = np.float32(config.prior**2)
    if not labels.multi_label:
        return torch.from_numpy(np.log(yes + tiny))
    no = spread_from(~truth) + config.prior * (1 - share)
    return torch.from_numpy(np.log(yes + tiny) - np.log(no + tiny))
