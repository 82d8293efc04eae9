"""Several posteriors over the same photos as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from geocells.array_types import ArrayLike, FloatArray
from geocells.decoding._checks import check_numbers, check_probabilities

OPTIMAL_TO = 1e-7
"""What the mean log-likelihood of fitted weights may fall short of the best."""

MOST_STEPS = 100_000


def mixture(posteriors: Sequence[ArrayLike], weights: ArrayLike | None = None) -> Any:
    """Mix the probabilities of several partitions linearly, for one decoder of all of them.

    Parameters
    ----------
    posteriors : sequence of array-like or SciPy sparse, (n, n_classes of the partition)
        One distribution a row, the same photos in each.
    weights : array-like, (n_partitions,), optional
        What each counts, not negative; they are divided by their sum. Left out, all the same. See :func:`fit_mixture`.

    Returns
    -------
    probabilities : (n, n_classes of all) float64, or a SciPy CSR array where one of them is sparse
        For `ExpectedUtility` fitted on the labels of the same partitions in the same order. Rows add up to 1.

    Raises
    ------
    ValueError, TypeError
        When a row is no distribution, the photos differ in number, or the weights do not fit.

    Notes
    -----
    ``p(photo j) = sum_i w_i p_i(cell of j) / n_i(cell of j)``: the classes are the cells of all partitions, each with
    ``w_i p_i``.

    Examples
    --------
    >>> from geocells import decoding
    >>> coords = [(47.4, 8.5), (47.5, 8.5), (59.3, 18.1)]
    >>> decoder = decoding.ExpectedUtility(radii_km=(1,)).fit(coords, [[0, 0, 1], [0, 1, 2]])
    >>> pooled = decoding.mixture([[[0.9, 0.1]], [[0.1, 0.8, 0.1]]])
    >>> pooled.round(2).tolist(), decoder.predict(pooled).tolist()
    ([[0.45, 0.05, 0.05, 0.4, 0.05]], [[47.5, 8.5]])
    """
    if not len(posteriors):
        raise ValueError("mixture needs the probabilities of at least one partition; got none.")
    parts = [
        check_probabilities(part, name=f"posteriors[{number}]")
        for number, part in enumerate(posteriors)
    ]
    for number, part in enumerate(parts):
        if len(part) != len(parts[0]):
            raise ValueError(
                f"posteriors must be of the same photos: posteriors[{number}] has {len(part)} rows, the first "
                f"{len(parts[0])}."
            )
    given = check_numbers(np.ones(len(parts)) if weights is None else weights, "weights", least=0)
    if len(given) != len(parts):
        raise ValueError(
            f"weights must be one number for each of the {len(parts)} posteriors; got {len(given)}."
        )
    if not given.any():
        raise ValueError(
            "weights must not all be 0: give the partition that is to count a weight above 0."
        )
    scaled = [
        (sparse.csr_array(part.array) if sparse.issparse(part.array) else np.asarray(part.array))
        * (share / part.sums[:, None])
        for part, share in zip(parts, given / given.sum(), strict=True)
    ]
    if any(sparse.issparse(part) for part in scaled):
        return sparse.hstack(scaled, format="csr")
    return np.hstack(scaled)


def fit_mixture(likelihoods: ArrayLike) -> FloatArray:
    """Weights of a mixture under which validation photos are likeliest.

    Parameters
    ----------
    likelihoods : array-like, (n, n_partitions)
        Probability, or density, that each partition gives to the truth of each photo: ``mass_within`` of the true
        place, say. Not negative. Photos to which no partition gives anything say nothing.

    Returns
    -------
    weights : (n_partitions,) float64
        Not negative, adding up to 1; for :func:`mixture`.

    Raises
    ------
    ValueError
        When a likelihood is negative or not finite, or none is above 0.

    Notes
    -----
    Maximises the mean of ``log sum_i w_i l_i``, concave in ``w``, by expectation maximisation [1]_ from equal weights,
    until it is within 1e-7 of the best: no more is left than ``max_i mean(l_i / sum_j w_j l_j) - 1``.

    References
    ----------
    .. [1] Dempster, Laird, Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.

    Examples
    --------
    The first is right in three of four:

    >>> from geocells.decoding import fit_mixture
    >>> fit_mixture([[1, 0], [1, 0], [1, 0], [0, 1]]).round(3).tolist()
    [0.75, 0.25]
    """
    given = check_numbers(likelihoods, "likelihoods", "(n, n_partitions)", least=0)
    given = given[given.any(axis=1)]
    if not len(given):
        raise ValueError(
            "No partition gives any photo's truth a likelihood above 0: widen the radius, or smooth them."
        )
    # Each row's scale is free: the largest becomes 1, so that no density is too small.
    given = given / given.max(axis=1, keepdims=True)
    weights = np.full(given.shape[1], 1.0 / given.shape[1])
    for _ in range(MOST_STEPS):
        gains = (given / (given @ weights)[:, None]).mean(axis=0)
        weights = weights * gains / (weights @ gains)
        if gains.max() <= 1.0 + OPTIMAL_TO:
            break
    return weights
