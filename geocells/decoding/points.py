"""The plain decoders: one point for each row of probabilities, and levels of a hierarchy put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from geocells._types import ArrayLike, BoolArray, FloatArray
from geocells.decoding._probabilities import check_probabilities, check_scores, locations_of
from geocells.sphere import from_unit_vectors, to_unit_vectors
from geocells.validation import check_count

CANCELLED = 1e-9
"""A mean vector shorter than this points nowhere: the points cancel each other out."""


def argmax(scores: ArrayLike, cells: Any) -> FloatArray:
    """Location of the likeliest cell.

    Parameters
    ----------
    scores : array-like, (n, n_cells)
        Probabilities, or any other scores: logits do as well.
    cells : CellPartition or array-like (n_cells, 2)
        The cells, or the points they answer with: ``cells.centroids``, ``cells.modes``; latitude, longitude in degrees.

    Returns
    -------
    points : (n, 2) float64
        Latitude, longitude in degrees. Of equal scores the lowest cell answers.

    Raises
    ------
    ValueError, TypeError
        When a score is not finite or the columns are not the cells.

    Examples
    --------
    >>> from geocells import decoding
    >>> decoding.argmax([[0.2, 0.8]], [(47.4, 8.5), (59.3, 18.1)]).tolist()
    [[59.3, 18.1]]
    """
    locations = locations_of(cells)
    checked = check_scores(scores, len(locations))
    if not len(checked):
        return np.empty((0, 2))
    points: FloatArray = locations[checked.argmax(axis=1)]
    return points


def top_k_mean(probabilities: ArrayLike, cells: Any, k: int = 5) -> FloatArray:
    """Mean on the sphere of the k likeliest cells, weighted by their probabilities.

    Parameters
    ----------
    probabilities : array-like or SciPy sparse, (n, n_cells)
        One distribution a row: finite, not negative, adding up to 1 within 1 %.
    cells : CellPartition or array-like (n_cells, 2)
        The cells, or the points they answer with; latitude, longitude in degrees.
    k : int
        Cells to average, all of them where there are fewer. Of equal probabilities the lowest cells are taken.

    Returns
    -------
    points : (n, 2) float64
        Latitude, longitude in degrees.

    Raises
    ------
    ValueError, TypeError
        When a row is no distribution over the cells.

    Notes
    -----
    The direction of ``sum_k p_k v_k`` over the cells' unit vectors; where the sum vanishes (two antipodes of equal
    probability, say) there is no mean, and the likeliest cell answers.

    Examples
    --------
    >>> from geocells import decoding
    >>> locations = [(0.0, 179.0), (0.0, -179.0), (50.0, 0.0)]
    >>> decoding.top_k_mean([[0.45, 0.45, 0.1]], locations, k=2).round(6).tolist()
    [[0.0, 180.0]]
    """
    k = check_count(k, "k")
    locations = locations_of(cells)
    checked = check_probabilities(probabilities, len(locations))
    vectors = to_unit_vectors(locations)
    points = np.empty((len(checked), 2))
    for start, stop, rows in checked.batches():
        sums = np.where(among_highest(rows, k), rows, 0.0) @ vectors
        cancelled = np.linalg.norm(sums, axis=1) < CANCELLED
        points[start:stop] = from_unit_vectors(sums)
        points[start:stop][cancelled] = locations[rows[cancelled].argmax(axis=1)]
    return points


def among_highest(rows: FloatArray, k: int) -> BoolArray:
    """Mark the k highest values of each row, (n, m) bool; of equal ones the first."""
    if k >= rows.shape[1]:
        return np.ones(rows.shape, dtype=np.bool_)
    least = np.partition(rows, rows.shape[1] - k, axis=1)[:, rows.shape[1] - k, None]
    above = rows > least
    equal = rows == least
    still = k - np.count_nonzero(above, axis=1, keepdims=True)
    chosen: BoolArray = above | (equal & (np.cumsum(equal, axis=1) <= still))
    return chosen


def hierarchical(
    levels: Sequence[ArrayLike], hierarchy: Any, *, logits: bool = False
) -> FloatArray:
    """Probabilities of the finest cells from classifiers of every level.

    Parameters
    ----------
    levels : sequence of array-like (n, n_cells of the level)
        Probabilities, or logits, of each partition of the hierarchy, coarse to fine.
    hierarchy : CellHierarchy
        Its partitions must be nested: ``hierarchy.is_nested_``.
    logits : bool
        Whether ``levels`` holds logits, whose softmax is then taken.

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
    parents = list(hierarchy.parents_)
    partitions = list(hierarchy.partitions_)
    if len(levels) != len(partitions):
        raise ValueError(
            f"levels must hold one array for each of the {len(partitions)} partitions; got {len(levels)}."
        )
    gaps = [number for number, own in enumerate(parents) if own is None]
    if gaps:
        raise ValueError(
            f"Partition {gaps[0] + 1} is not nested in partition {gaps[0]}, so its cells have no ancestors there. Use "
            "hierarchy.intersections().vote(...), or build top-down cells."
        )
    ancestors = np.arange(partitions[-1].n_cells)
    total: FloatArray | None = None
    finest: FloatArray | None = None
    for number in range(len(partitions) - 1, -1, -1):
        own = _logarithms(levels[number], partitions[number].n_cells, number, logits)
        if total is None or finest is None:
            total, finest = own, own
        elif len(own) != len(total):
            raise ValueError(
                f"Every level must have the same rows; level {number} has {len(own)}, the finest {len(total)}."
            )
        else:
            total = total + own[:, ancestors]
        if number:
            ancestors = np.asarray(parents[number - 1])[ancestors]
    if total is None or finest is None:
        return np.empty((0, 0))
    contradict = np.isneginf(total).all(axis=1, keepdims=True)
    total = np.where(contradict, finest, total)
    return softmax(total)


def _logarithms(level: ArrayLike, n_cells: int, number: int, logits: bool) -> FloatArray:
    name = f"level {number}"
    if logits:
        scores = np.asarray(check_scores(level, n_cells, name=name), dtype=np.float64)
        return _log_softmax(scores)
    checked = check_probabilities(level, n_cells, name=name)
    with np.errstate(divide="ignore"):
        return np.log(checked.rows(0, len(checked)))


def _log_softmax(scores: FloatArray) -> FloatArray:
    if not scores.size:
        return scores
    shifted = scores - scores.max(axis=1, keepdims=True)
    logarithms: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logarithms


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
    scores = np.asarray(logits, dtype=np.float64)
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
    powers = np.exp((scores - highest) / temperature)
    probabilities: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
