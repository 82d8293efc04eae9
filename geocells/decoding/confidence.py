"""The smallest set of cells that a classifier is sure of."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from geocells._types import ArrayLike
from geocells.decoding._probabilities import check_probabilities

ROUNDING = 1e-12
"""What sums of probabilities may be off."""


def credible_region(probabilities: ArrayLike, level: float = 0.9) -> sparse.csr_array:
    """Smallest set of cells that together hold a given probability.

    Parameters
    ----------
    probabilities : array-like or SciPy sparse, (n, n_cells)
        One distribution a row: finite, not negative, adding up to 1 within 1 %.
    level : float
        Probability to hold, above 0 and up to 1.

    Returns
    -------
    region : scipy.sparse.csr_array, (n, n_cells) float64
        The probability of each cell of the region, nothing elsewhere. Row i's cells, the likeliest first, are
        ``region.indices[region.indptr[i] : region.indptr[i + 1]]``.

    Raises
    ------
    ValueError, TypeError
        When a row is no distribution, or ``level`` no probability.

    Notes
    -----
    Cells by falling probability, the lowest number first of equal ones, until their sum reaches the level. Cells of
    probability 0 never belong. O(n_cells log n_cells) a row.

    Examples
    --------
    >>> from geocells import decoding
    >>> region = decoding.credible_region([[0.1, 0.6, 0.3]], level=0.8)
    >>> region.indices.tolist(), region.data.tolist()
    ([1, 2], [0.6, 0.3])
    """
    if not 0 < level <= 1:
        raise ValueError(f"level must be a probability above 0 and up to 1; got {level!r}.")
    checked = check_probabilities(probabilities)
    sizes, indices, data = [np.zeros(1, dtype=np.int64)], [], []
    for _, _, rows in checked.batches():
        order = np.argsort(-rows, axis=1, kind="stable")
        falling = np.take_along_axis(rows, order, axis=1)
        sums = np.cumsum(falling, axis=1)
        # A cell belongs while those before it do not reach the level.
        belongs = (sums - falling < level - ROUNDING) & (falling > 0)
        sizes.append(belongs.sum(axis=1))
        indices.append(order[belongs])
        data.append(falling[belongs])
    return sparse.csr_array(
        (
            np.concatenate([np.empty(0), *data]),
            np.concatenate([np.empty(0, dtype=np.int64), *indices]),
            np.cumsum(np.concatenate(sizes)),
        ),
        shape=(len(checked), checked.n_classes),
    )
