"""The plain decoders: one point for each row of probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from geocells.array_types import ArrayLike, BoolArray, FloatArray
from geocells.decoding._checks import check_probabilities, check_scores, locations_of
from geocells.sphere import from_unit_vectors, to_unit_vectors
from geocells.sphere.means import CANCELLED
from geocells.validation import check_count


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
