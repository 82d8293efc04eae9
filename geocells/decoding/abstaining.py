"""Answering only where one is sure enough: what that costs, and what can be promised of the answers given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geocells.array_types import ArrayLike, BoolArray, FloatArray
from geocells.decoding._checks import check_numbers, check_truth

if TYPE_CHECKING:
    import pandas as pd

N_THRESHOLDS = 20
"""Thresholds that may be tried: those at which 5 %, 10 %, ... of the photos are answered."""

STARTS = (2, 8)
"""The first ones of the two sequences in which they are."""


def risk_coverage(confidences: ArrayLike, right: ArrayLike) -> pd.DataFrame:
    """Share of wrong answers by the share of photos answered, the surest first.

    Parameters
    ----------
    confidences : array-like, (n,)
        How sure each answer is: the probability that it is within 25 km, say. Finite.
    right : array-like, (n,)
        Whether it was.

    Returns
    -------
    table : pandas.DataFrame
        A row for each distinct confidence, falling: answers of at least this ``confidence``, their ``coverage`` of all
        photos, and their ``risk``, the share that is wrong. The mean of ``risk`` over coverage is the area under the
        curve [1]_: ``np.average(table.risk, weights=np.diff(table.coverage, prepend=0))``.

    Raises
    ------
    ValueError
        When a confidence is not finite, or ``right`` is no truth of each.

    References
    ----------
    .. [1] Geifman, El-Yaniv (2017), Selective classification for deep neural networks.

    Examples
    --------
    >>> from geocells.decoding import risk_coverage
    >>> risk_coverage([0.9, 0.5, 0.9, 0.2], [True, False, True, True]).round(2).to_numpy().tolist()
    [[0.9, 0.5, 0.0], [0.5, 0.75, 0.33], [0.2, 1.0, 0.25]]
    """
    import pandas as pd

    sure, true = _sure_and_true(confidences, right)
    order = np.argsort(-sure, kind="stable")
    sure, true = sure[order], true[order]
    last = np.flatnonzero(np.append(sure[1:] != sure[:-1], True)[: len(sure)])
    n_given = last + 1
    return pd.DataFrame(
        {
            "confidence": sure[last],
            "coverage": n_given / max(len(sure), 1),
            "risk": np.cumsum(~true)[last] / n_given,
        }
    )


def promise_threshold(
    confidences: ArrayLike, right: ArrayLike, *, share: float = 0.9, error: float = 0.1
) -> float:
    """Confidence above which a share of the answers is promised to be right.

    Parameters
    ----------
    confidences, right : array-like, (n,)
        As for :func:`risk_coverage`, of a validation set like the photos to come, that nothing was fitted on.
    share : float
        Of the answers given, how many are to be right; above 0 and below 1.
    error : float
        Probability, over draws of the validation set, with which the promise may fail; above 0 and below 1.

    Returns
    -------
    threshold : float
        Answer where the confidence is *above* it; infinite where nothing can be promised.

    Raises
    ------
    ValueError
        As for :func:`risk_coverage`, or when ``share`` or ``error`` is no such number.

    Notes
    -----
    Fixed sequence testing [1]_: thresholds are tried one after the other, each with a twentieth of the photos more,
    from 10 % on and again from 40 % on. A sequence ends at the first threshold whose answers are not right often
    enough, by a Clopper-Pearson bound at ``error / 2``; the lowest threshold passed is returned. Photos exactly as
    sure as the threshold are left out.

    References
    ----------
    .. [1] Angelopoulos, Bates, Candes, Jordan, Lei (2021), Learn then test, section 3 (fixed sequences).

    Examples
    --------
    >>> import numpy as np
    >>> from geocells.decoding import promise_threshold
    >>> confidences = np.arange(1000) / 1000
    >>> promise_threshold(confidences, confidences > 0.3)
    0.249
    """
    from scipy import stats  # half a second, which answers need not wait for

    for name, value in (("share", share), ("error", error)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must be a number above 0 and below 1; got {value!r}.")
    sure, true = _sure_and_true(confidences, right)
    threshold = np.inf
    falling = np.sort(sure)[::-1]
    for start in STARTS:
        for part in range(start, N_THRESHOLDS + 1):
            n_given = len(sure) * part // N_THRESHOLDS
            tried = falling[n_given] if n_given < len(sure) else -np.inf
            given = sure > tried
            n_right, n_answers = int((true & given).sum()), int(given.sum())
            if share**n_answers > error / len(STARTS):  # too few to tell, were all right
                continue
            if stats.binom.sf(n_right - 1, n_answers, share) > error / len(STARTS):
                break
            threshold = min(threshold, tried)
    return float(threshold)


def _sure_and_true(confidences: ArrayLike, right: ArrayLike) -> tuple[FloatArray, BoolArray]:
    sure = check_numbers(confidences, "confidences")
    return sure, check_truth(right, len(sure), "right")
