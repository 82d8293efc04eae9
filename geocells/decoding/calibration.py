"""Whether probabilities can be taken at their word, and one number that makes them so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from geocells.array_types import ArrayLike, BoolArray, FloatArray, IntArray
from geocells.decoding._checks import (
    BATCH_BYTES,
    check_labels,
    check_numbers,
    check_probabilities,
    check_scores,
    check_truth,
)
from geocells.validation import check_count

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

COLDEST, HOTTEST = 0.01, 100.0
"""Temperatures that are searched."""


def temperature_scaling(logits: ArrayLike, labels: ArrayLike) -> float:
    """Temperature that logits are divided by so that their probabilities fit the labels best.

    Parameters
    ----------
    logits : array-like, (n, n_classes)
        Of a validation set, which the model was not trained on; logarithms of probabilities do as well.
    labels : array-like, (n,)
        True classes.

    Returns
    -------
    temperature : float
        From 0.01 to 100. Above 1 the classifier was too sure. ``softmax(logits, temperature)`` applies it; the
        likeliest class stays the same.

    Raises
    ------
    ValueError, TypeError
        When there are no rows, a logit is not finite, or a label is no class.

    Notes
    -----
    The temperature T that minimises the mean of ``-log softmax(z / T)[label]`` [1]_, a convex function of 1 / T.
    Where all labels are the likeliest classes the lowest temperature is returned; where logits are worse than chance,
    the highest.

    References
    ----------
    .. [1] Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks, section 4.2.

    Examples
    --------
    Sure of every answer, right in three of four:

    >>> from geocells.decoding import softmax, temperature_scaling
    >>> logits, labels = [[5.0, 0.0]] * 4, [0, 0, 0, 1]
    >>> temperature = temperature_scaling(logits, labels)
    >>> softmax(logits, temperature)[0].round(3).tolist()
    [0.75, 0.25]
    """
    scores = check_scores(logits, name="logits")
    if not len(scores):
        raise ValueError("temperature_scaling needs at least one row of logits; got none.")
    true_labels = check_labels(labels, len(scores), scores.shape[1], least=0)
    step = max(1, BATCH_BYTES // (8 * scores.shape[1]))

    def slope(inverse: float) -> float:
        total = 0.0
        for start in range(0, len(scores), step):
            part = np.asarray(scores[start : start + step], dtype=np.float64)
            shifted = part - part.max(axis=1, keepdims=True)
            powers = np.exp(shifted * inverse)
            expected = (powers * shifted).sum(axis=1) / powers.sum(axis=1)
            truth = shifted[np.arange(len(part)), true_labels[start : start + step]]
            total += float((expected - truth).sum())
        return total / len(scores)

    if slope(1.0 / HOTTEST) >= 0:
        logger.warning(
            "The logits do not predict the labels: the temperature is the highest, %g.", HOTTEST
        )
        return HOTTEST
    if slope(1.0 / COLDEST) <= 0:
        logger.warning(
            "The likeliest class is right nearly always: the temperature is the lowest, %g.",
            COLDEST,
        )
        return COLDEST
    from scipy import optimize  # half a second, which answers need not wait for

    inverse = optimize.brentq(slope, 1.0 / HOTTEST, 1.0 / COLDEST, xtol=1e-10)
    return float(1.0 / inverse)


def reliability(probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 15) -> pd.DataFrame:
    """How often answers are right, by how sure they are: the numbers of a reliability diagram.

    Parameters
    ----------
    probabilities : array-like, (n, n_classes) or (n,)
        One distribution a row, of which the likeliest class is the answer; or the probability of one event a row: that
        the photo is within 25 km of the answer, say.
    labels : array-like, (n,)
        True classes; or whether the event came true.
    n_bins : int
        Bins of confidence, as wide as each other.

    Returns
    -------
    table : pandas.DataFrame
        Index ``bin``; columns ``lower`` and ``upper`` edge (a bin holds its upper edge), ``count``, mean
        ``confidence``, ``accuracy``, and its 95 % interval ``accuracy_low``, ``accuracy_high`` (Wilson). NaN for a bin
        without rows.

    Raises
    ------
    ValueError, TypeError
        When a row is unsound.

    Examples
    --------
    >>> from geocells.decoding import reliability
    >>> table = reliability([0.9, 0.8, 0.2], [True, False, False], n_bins=2)
    >>> table[["count", "accuracy"]].to_numpy().tolist()
    [[1.0, 0.0], [2.0, 0.5]]
    """
    import pandas as pd

    confidence, right = _confidence_and_truth(probabilities, labels)
    n_bins = check_count(n_bins, "n_bins")
    edges = np.arange(n_bins + 1) / n_bins
    bin_of_row = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1)
    counts = np.bincount(bin_of_row, minlength=n_bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(bin_of_row, weights=confidence, minlength=n_bins) / counts
        accuracy = np.bincount(bin_of_row, weights=right, minlength=n_bins) / counts
        low, high = _wilson(accuracy, counts)
    return pd.DataFrame(
        {
            "lower": edges[:-1],
            "upper": edges[1:],
            "count": counts,
            "confidence": mean,
            "accuracy": accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
        },
        index=pd.RangeIndex(n_bins, name="bin"),
    )


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy over the bins of :func:`reliability`, weighted by their rows.

    Returns
    -------
    error : float
        0 where answers are right as often as they say, at most 1; NaN without rows.

    Notes
    -----
    Of few rows, or with many bins, chance alone makes it larger than 0.

    Examples
    --------
    >>> from geocells.decoding import expected_calibration_error
    >>> round(expected_calibration_error([[0.9, 0.1], [0.9, 0.1]], [0, 1]), 3)
    0.4
    """
    table = reliability(probabilities, labels, n_bins)
    counts = table["count"].to_numpy()
    if not counts.sum():
        return float("nan")
    gaps = (table["confidence"] - table["accuracy"]).abs().fillna(0.0).to_numpy()
    return float((gaps * counts).sum() / counts.sum())


def _confidence_and_truth(
    probabilities: ArrayLike, labels: ArrayLike
) -> tuple[FloatArray, BoolArray]:
    if np.ndim(probabilities) == 1:
        confidence = check_numbers(probabilities, "probabilities", least=0, most=1)
        return confidence, check_truth(labels, len(confidence), "labels")
    checked = check_probabilities(probabilities)
    true_labels = check_labels(labels, len(checked), checked.n_classes, least=0)
    confidence, answers = np.empty(len(checked)), np.empty(len(checked), dtype=np.int64)
    for start, stop, rows in checked.batches():
        answers[start:stop] = rows.argmax(axis=1)
        confidence[start:stop] = rows.max(axis=1)
    return np.minimum(confidence, 1.0), answers == true_labels


def _wilson(share: FloatArray, n: IntArray) -> tuple[FloatArray, FloatArray]:
    from scipy import stats  # half a second, which answers need not wait for

    z = stats.norm.ppf(0.975)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
