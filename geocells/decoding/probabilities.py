"""Probabilities of logits, of levels and of neighbours, and the cells that hold most of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse, special

from geocells.array_types import ArrayLike, FloatArray
from geocells.decoding._checks import check_numbers, check_probabilities
from geocells.validation import as_numbers

ROUNDING = 1e-12
"""What sums of probabilities may be off."""


def softmax(logits: ArrayLike, temperature: float = 1.0) -> FloatArray:
    """Probabilities of logits.

    Parameters
    ----------
    logits : array-like, (n, n_classes)
        Real numbers; minus infinity excludes a class, as long as one is left.
    temperature : float
        What the logits are divided by: above 1 the answer is less sure; see :func:`temperature_scaling`.

    Returns
    -------
    probabilities : (n, n_classes) float64
        Rows add up to 1.

    Examples
    --------
    >>> from geocells.decoding import softmax
    >>> softmax([[0.0, 0.0], [2.0, 0.0]]).round(3).tolist()
    [[0.5, 0.5], [0.881, 0.119]]
    >>> softmax([[2.0, 0.0]], temperature=4.0).round(3).tolist()
    [[0.622, 0.378]]
    """
    scores = as_numbers(logits, "logits must hold numbers")
    if scores.ndim != 2:
        raise ValueError(f"logits must have the shape (n, n_classes); got {scores.shape}.")
    if not temperature > 0:
        raise ValueError(f"temperature must be a number above 0; got {temperature!r}.")
    if not scores.size:
        return scores
    highest = scores.max(axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(highest[:, 0]))
    if len(bad):
        raise ValueError(
            f"logits must be finite; {len(bad)} of {len(scores)} rows hold NaN, infinity or no finite number at all "
            f"(first: row {bad[0]})."
        )
    probabilities: FloatArray = special.softmax((scores - highest) / temperature, axis=1)
    return probabilities


def hierarchical(levels: Sequence[ArrayLike], hierarchy: Any) -> FloatArray:
    """Probabilities of the finest cells from classifiers of every level.

    Parameters
    ----------
    levels : sequence of array-like (n, n_cells of the level)
        Probabilities of each partition of the hierarchy, coarse to fine.
    hierarchy : CellHierarchy
        Its partitions must be nested: ``hierarchy.is_nested_``.

    Returns
    -------
    probabilities : (n, n_fine_cells) float64
        Rows add up to 1.

    Raises
    ------
    ValueError, TypeError
        When the partitions are not nested, levels are missing, or a row is unsound.

    Notes
    -----
    ``p(fine cell) ~ product over levels of p_level(its ancestor)`` [1]_, as sums of logarithms. Where the product is 0
    for every fine cell, the levels contradict each other and the finest level's own probabilities are returned.

    References
    ----------
    .. [1] Mueller-Budack, Pustu-Iren, Ewerth (2018), Geolocation estimation of photos, section 3.3.

    Examples
    --------
    >>> import numpy as np
    >>> from geocells import CellHierarchy, decoding
    >>> coords = np.array([(47.0, 8.0), (47.0, 9.0), (60.0, 18.0), (60.0, 19.0)])
    >>> builder = dict(min_images=1, method="top_down", min_cell_size=0.5)
    >>> hierarchy = CellHierarchy([{**builder, "max_images": 2}, {**builder, "max_images": 1}]).fit(coords)
    >>> coarse, fine = [[0.9, 0.1]], [[0.3, 0.1, 0.6, 0.0]]
    >>> decoding.hierarchical([coarse, fine], hierarchy).round(3).tolist()
    [[0.643, 0.214, 0.143, 0.0]]
    """
    parents, partitions = list(hierarchy.parents_), list(hierarchy.partitions_)
    if len(levels) != len(partitions):
        raise ValueError(
            f"levels must hold one array for each of the {len(partitions)} partitions; got {len(levels)}."
        )
    gaps = [number for number, parent_of_cell in enumerate(parents) if parent_of_cell is None]
    if gaps:
        raise ValueError(
            f"Partition {gaps[0] + 1} is not nested in partition {gaps[0]}, so its cells have no ancestors there. Use "
            "CellHierarchy(..., nested=True), or the fine classes of hierarchy.intersections()."
        )
    logarithms = []
    for number, (level, cells) in enumerate(zip(levels, partitions, strict=True)):
        checked = check_probabilities(level, cells.n_cells, name=f"level {number}")
        with np.errstate(divide="ignore"):
            logarithms.append(np.log(checked.rows(0, len(checked))))
    finest = logarithms[-1]
    for number, level in enumerate(logarithms):
        if len(level) != len(finest):
            raise ValueError(
                f"Every level must have the same rows; level {number} has {len(level)}, the finest {len(finest)}."
            )
    total, ancestors = finest, np.arange(partitions[-1].n_cells)
    for number in range(len(partitions) - 2, -1, -1):
        ancestors = np.asarray(parents[number])[ancestors]
        total = total + logarithms[number][:, ancestors]
    contradict = np.isneginf(total).all(axis=1, keepdims=True)
    return softmax(np.where(contradict, finest, total))


def nearest_images(
    indices: ArrayLike, n_images: int, weights: ArrayLike | None = None
) -> sparse.csr_array:
    """Probabilities over training images, from the nearest images of each photo.

    Parameters
    ----------
    indices : array-like, (n, k)
        Rows of the training images nearest to each photo by feature.
    n_images : int
        Training images in all.
    weights : array-like, (n, k), optional
        What each neighbour counts, not negative; left out, all the same.

    Returns
    -------
    probabilities : scipy.sparse.csr_array, (n, n_images) float64
        For :meth:`ExpectedUtility.from_points`; rows add up to 1. A neighbour named twice counts twice.

    Examples
    --------
    >>> from geocells.decoding import nearest_images
    >>> nearest_images([[2, 0]], 3, weights=[[3.0, 1.0]]).toarray().tolist()
    [[0.25, 0.0, 0.75]]
    """
    rows = check_numbers(indices, "indices", "(n, k)", least=0, most=n_images - 1)
    if np.asarray(indices).dtype.kind not in "iu" or rows.shape[1] == 0:
        raise ValueError(
            f"indices must hold whole numbers, at least one neighbour per row; got {np.asarray(indices).dtype} of "
            f"shape {rows.shape}."
        )
    counted = check_numbers(
        np.ones(rows.shape) if weights is None else weights, "weights", "(n, k)", least=0
    )
    if counted.shape != rows.shape:
        raise ValueError(
            f"weights must be one per neighbour, shape {rows.shape}; got shape {counted.shape}."
        )
    sums = counted.sum(axis=1, keepdims=True)
    if not (sums > 0).all():
        raise ValueError(
            f"Every photo needs a neighbour that counts; row {int(np.argmin(sums > 0))} has weights of 0 only."
        )
    matrix = sparse.coo_array(
        (
            (counted / sums).reshape(-1),
            (np.repeat(np.arange(len(rows)), rows.shape[1]), rows.reshape(-1).astype(np.int64)),
        ),
        shape=(len(rows), n_images),
    )
    return sparse.csr_array(matrix)


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
