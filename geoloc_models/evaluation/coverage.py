"""Whether a promised radius holds as many photos as it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geocells.decoding import conformal_quantile
from geoloc_models.errors import GeolocError


@dataclass(frozen=True)
class Coverage:
    """How many test photos lie within their radius.

    Parameters
    ----------
    n_photos, n_held : int
        Photos, and those within their radius.
    promised : float
        Share that the radius promises, 0 to 1.
    low, high : float
        Share (0 to 1) that ``n_photos`` would hold in 95 of 100 test sets were each held with the
        promised probability: the central 95 % interval of the binomial distribution.
    median_km : float
        Median radius.

    Notes
    -----
    A conformal radius keeps its promise on average over calibration sets, and the binomial interval
    knows only of the chance of the test photos. Where there are as many calibration photos, up to
    one test set in six lies outside: :func:`chance_interval` takes both into account.
    """

    n_photos: int
    n_held: int
    promised: float
    low: float
    high: float
    median_km: float

    @property
    def held(self) -> float:
        """Share of the photos within their radius, 0 to 1."""
        return self.n_held / self.n_photos

    @property
    def is_as_promised(self) -> bool:
        """Whether the share lies within the binomial interval."""
        return self.low <= self.held <= self.high


def chance_interval(
    n_photos: int, promised: float = 0.9, n_calibration: int | None = None
) -> tuple[float, float]:
    """Share that a radius which keeps its promise holds in at least 95 of 100 test sets.

    Parameters
    ----------
    n_photos : int
        Test photos, at least 1.
    promised : float
        Share that the radius promises, between 0 and 1.
    n_calibration : int, optional
        Calibration photos of a conformal radius, drawn anew with each test set. Without them each
        test photo is held with the promised probability.

    Returns
    -------
    (float, float)
        Lowest and highest share, 0 to 1: the central 95 % interval.

    Raises
    ------
    GeolocError
        If a number of photos is below 1, or the promise is not between 0 and 1.

    Notes
    -----
    Without calibration photos the binomial distribution. With m of them, exchangeable with the
    test photos and without ties, the radius is the k-th smallest of their scores, ``k = ceil((m +
    1) promised)``, and the number of test photos held has the beta-binomial distribution with
    parameters k and ``m + 1 - k`` [1]_. Where ``k > m`` the radius is infinite and holds all.

    References
    ----------
    .. [1] Vovk (2012), Conditional validity of inductive conformal predictors, section 2.

    Examples
    --------
    >>> from geoloc_models.evaluation.coverage import chance_interval
    >>> chance_interval(200)
    (0.855, 0.94)
    >>> chance_interval(200, n_calibration=200)
    (0.835, 0.955)
    """
    if not 0 < promised < 1:
        raise GeolocError(f"A promised share lies between 0 and 1; got {promised}.")
    if n_photos < 1 or (n_calibration is not None and n_calibration < 1):
        raise GeolocError(
            f"An interval needs photos; got {n_photos} test and {n_calibration} calibration photos."
        )
    from scipy import stats  # half a second, which answers need not wait for

    if n_calibration is None:
        held = stats.binom(n_photos, promised)
    else:
        # Of the scores 1 to n, the quantile is the rank itself.
        rank = conformal_quantile(np.arange(n_calibration) + 1, 1.0 - promised)
        if rank > n_calibration:
            return 1.0, 1.0
        held = stats.betabinom(n_photos, rank, n_calibration + 1 - rank)
    low, high = held.interval(0.95)
    return float(low) / n_photos, float(high) / n_photos


def coverage(
    errors_km: npt.ArrayLike, radii_km: npt.ArrayLike, promised: float = 0.9
) -> Coverage | None:
    """Count the photos that lie within their radius.

    Parameters
    ----------
    errors_km : array-like
        (n,) distance from the answer to the truth.
    radii_km : array-like
        (n,) radius of each photo; NaN where none is known, which leaves the photo out. A photo at
        its radius is held.
    promised : float
        Share that the radii promise, between 0 and 1.

    Returns
    -------
    Coverage or None
        None where no photo has a radius.

    Raises
    ------
    GeolocError
        If lengths differ, an error is no distance, or the promise is none.

    Examples
    --------
    >>> from geoloc_models.evaluation.coverage import coverage
    >>> counted = coverage([1.0, 2.0, 9.0, 3.0], [2.0, 2.0, 2.0, 5.0], promised=0.75)
    >>> counted.n_held, counted.held, counted.is_as_promised
    (3, 0.75, True)
    """
    if not 0 < promised < 1:
        raise GeolocError(f"A promised share lies between 0 and 1; got {promised}.")
    errors, radii = np.asarray(errors_km, dtype=float), np.asarray(radii_km, dtype=float)
    if errors.ndim != 1 or errors.shape != radii.shape:
        raise GeolocError(
            f"Each error needs one radius; got shapes {errors.shape} and {radii.shape}."
        )
    if not (errors >= 0).all():
        raise GeolocError("Errors are distances, at least 0 km; some are negative or NaN.")
    known = ~np.isnan(radii)
    n = int(known.sum())
    if n == 0:
        return None
    held = int((errors[known] <= radii[known]).sum())
    low, high = chance_interval(n, promised)
    return Coverage(n, held, promised, low, high, float(np.median(radii[known])))
