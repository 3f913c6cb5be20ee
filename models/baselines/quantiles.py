"""Columns as ranks of their quantiles, once for all trees that are grown on them.

scikit-learn's histogram gradient boosting looks for its bins anew for each class that is learned
against the rest, and where rows have weights that takes 20 times as long as the trees. It is spared
that where a column has few values already: they are found here as it finds them without weights, so
that without weights the trees are the same.
"""

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32] | NDArray[np.float64]
# As many bins as scikit-learn makes of a column.
LEVELS = 255


class Quantiles:
    """Bounds between at most `LEVELS` levels of each column of x [n, d].

    Columns of few values keep them all; others are cut where as many rows are on each level.
    """

    def __init__(self, x: Table) -> None:
        self._bounds = [_bounds(column) for column in x.T.astype(np.float64)]

    def levels(self, x: Table) -> NDArray[np.float32]:
        """The level of each value of x [m, d], from 0 on: [m, d]."""
        levels = np.empty(x.shape, dtype=np.float32)
        for place, bounds in enumerate(self._bounds):
            levels[:, place] = np.searchsorted(bounds, x[:, place].astype(np.float64))
        return levels


def _bounds(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ascending bounds; a value is on the level of the first that it isn't above."""
    values = np.unique(column)
    if len(values) <= LEVELS:
        middles: NDArray[np.float64] = (values[:-1] + values[1:]) / 2
        return middles
    # per cent, as scikit-learn counts: a share that is off in its last bit is another row's
    shares = np.linspace(0, 100, LEVELS + 1)[1:-1]
    return np.unique(np.percentile(column, shares, method="averaged_inverted_cdf"))
