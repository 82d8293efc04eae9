"""Nearest images as a distribution over the gallery."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from geocells._types import ArrayLike


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
    rows = np.asarray(indices)
    if rows.ndim != 2 or rows.shape[1] == 0 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"indices must hold whole numbers, the same number of neighbours a row, shape (n, k); got {rows.dtype} of "
            f"shape {rows.shape}."
        )
    if rows.size and (rows.min() < 0 or rows.max() >= n_images):
        raise ValueError(
            f"indices must run from 0 to {n_images - 1}; they run from {rows.min()} to {rows.max()}."
        )
    counted = np.ones(rows.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if counted.shape != rows.shape or not (np.isfinite(counted).all() and (counted >= 0).all()):
        raise ValueError(
            f"weights must be finite, not negative and one a neighbour, shape {rows.shape}; got shape {counted.shape}."
        )
    sums = counted.sum(axis=1, keepdims=True)
    if not (sums > 0).all():
        raise ValueError(
            f"Every photo needs a neighbour that counts; row {int(np.argmin(sums > 0))} has weights of 0 only."
        )
    matrix = sparse.coo_array(
        (
            (counted / sums).reshape(-1),
            (np.repeat(np.arange(len(rows)), rows.shape[1]), rows.reshape(-1)),
        ),
        shape=(len(rows), n_images),
    )
    return sparse.csr_array(matrix)
