"""A radius that holds the photo as often as it says: split conformal prediction."""

from __future__ import annotations

from typing import Self

import numpy as np

from geocells.array_types import ArrayLike, FloatArray
from geocells.decoding._checks import check_numbers
from geocells.decoding.expected_utility import ExpectedUtility
from geocells.sphere import haversine
from geocells.validation import check_coords


def conformal_rank(n_scores: int, alpha: float = 0.1) -> int:
    """Which of the calibration scores, counted from the smallest, is the conformal quantile.

    Parameters
    ----------
    n_scores : int
        Size n of the calibration set, at least 0.
    alpha : float
        Share of new scores that may exceed the quantile, between 0 and 1.

    Returns
    -------
    rank : int
        ``ceil((n + 1) (1 - alpha))``, from 1; above n where the set is too small and the quantile infinite.

    Raises
    ------
    ValueError
        When ``alpha`` is not between 0 and 1, or ``n_scores`` is negative.

    Examples
    --------
    >>> from geocells.decoding.conformal import conformal_rank
    >>> conformal_rank(99), conformal_rank(9), conformal_rank(8)
    (90, 9, 9)
    """
    alpha = _checked_alpha(alpha)
    if n_scores < 0:
        raise ValueError(f"n_scores must be at least 0; got {n_scores}.")
    # Rounded first: (n + 1) * 0.9 for n = 9 is 9.000000000000002 in some libraries, and its ceiling 10.
    return max(1, int(np.ceil(round((n_scores + 1) * (1.0 - alpha), 9))))


def conformal_quantile(scores: ArrayLike, alpha: float = 0.1) -> float:
    """Score that at least ``1 - alpha`` of new scores do not exceed, allowing for the finite sample.

    Parameters
    ----------
    scores : array-like, (n,)
        Nonconformity scores of a calibration set, which the model was not trained on. Infinite ones are allowed.
    alpha : float
        Share of new scores that may exceed the quantile, between 0 and 1.

    Returns
    -------
    quantile : float
        The ``ceil((n + 1) (1 - alpha))``-th smallest score; infinite where n is less than that.

    Raises
    ------
    ValueError
        When a score is NaN, or ``alpha`` is not between 0 and 1.

    Notes
    -----
    Where calibration and new images are exchangeable, a new score exceeds the quantile with probability at most
    ``alpha``, whatever the model [1]_; with distinct scores at least ``alpha - 1 / (n + 1)``.

    References
    ----------
    .. [1] Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World, section 2.2.

    Examples
    --------
    >>> from geocells.decoding import conformal_quantile
    >>> conformal_quantile([1, 2, 3, 4, 5, 6, 7, 8, 9], alpha=0.1)
    9.0
    >>> conformal_quantile([1, 2, 3], alpha=0.1)
    inf
    """
    alpha = _checked_alpha(alpha)
    values = check_numbers(scores, "scores", most=np.inf)
    rank = conformal_rank(len(values), alpha)
    if rank > len(values):
        return float("inf")
    return float(np.partition(values, rank - 1)[rank - 1])


class ConformalRadius:
    """Radius that holds the photo with probability ``1 - alpha``, from errors on a calibration set.

    Parameters
    ----------
    alpha : float
        Share of photos that may lie outside.
    offset_km : float
        Added to every spread: a photo of spread 0 has some radius all the same.

    Attributes
    ----------
    quantile_ : float
        Radius over spread; infinite where the calibration set is too small for ``alpha``.

    Notes
    -----
    Split conformal prediction with the normalised score ``d / (spread + offset)`` [1]_: the radius is
    ``quantile_ * (spread + offset)``. It holds on average over photos like those of the calibration set; not for each
    kind of photo on its own.

    See Also
    --------
    ConformalMass : the same from probabilities over cells.

    References
    ----------
    .. [1] Lei, G'Sell, Rinaldo, Tibshirani, Wasserman (2018), Distribution-free predictive inference for regression,
       JASA 113, section 5.2.

    Examples
    --------
    >>> import numpy as np
    >>> from geocells.decoding import ConformalRadius
    >>> errors_km = np.arange(1.0, 20.0)
    >>> float(ConformalRadius(alpha=0.1).fit(errors_km).predict(1)[0])
    18.0
    """

    quantile_: float

    def __init__(self, alpha: float = 0.1, *, offset_km: float = 1.0) -> None:
        self.alpha = alpha
        self.offset_km = offset_km

    def fit(self, distances_km: ArrayLike, spreads_km: ArrayLike | None = None) -> Self:
        """Calibrate.

        Parameters
        ----------
        distances_km : array-like, (n,)
            From the answer to the true place of each calibration photo.
        spreads_km : array-like, (n,), optional
            What the model itself makes of its error: ``decoder.mass_radius(probabilities, points, 0.5)``, say. Left
            out, all photos get the same radius.

        Returns
        -------
        self : ConformalRadius

        Raises
        ------
        ValueError
            When a distance or spread is NaN or negative, or their numbers differ.
        """
        distances = check_numbers(distances_km, "distances_km", least=0, most=np.inf)
        self._has_spreads = spreads_km is not None
        scales = np.ones(len(distances))
        if spreads_km is not None:
            scales = self._scales(spreads_km)
            if len(scales) != len(distances):
                raise ValueError(
                    f"spreads_km must be one number for each of the {len(distances)} distances; got {len(scales)}."
                )
        self.quantile_ = conformal_quantile(distances / scales, self.alpha)
        return self

    def predict(self, spreads_km: ArrayLike | int) -> FloatArray:
        """Radius of each photo.

        Parameters
        ----------
        spreads_km : array-like, (n,); or int
            Spreads as in `fit`; where it had none, the number of photos.

        Returns
        -------
        radii_km : (n,) float64
        """
        if not hasattr(self, "quantile_"):
            raise ValueError(
                "This ConformalRadius is not calibrated: call fit(distances_km) first."
            )
        if not self._has_spreads:
            n_rows = spreads_km if isinstance(spreads_km, int) else len(np.asarray(spreads_km))
            return np.full(n_rows, self.quantile_)
        return self._scales(spreads_km) * self.quantile_

    def _scales(self, spreads_km: ArrayLike) -> FloatArray:
        if not self.offset_km > 0:
            raise ValueError(f"offset_km must be a number of km above 0; got {self.offset_km!r}.")
        return check_numbers(spreads_km, "spreads_km", least=0) + self.offset_km


class ConformalMass:
    """Radius that holds the photo with probability ``1 - alpha``, from probabilities over cells.

    Parameters
    ----------
    decoder : ExpectedUtility
        Fitted; it knows where the images of each cell are.
    alpha : float
        Share of photos that may lie outside.

    Attributes
    ----------
    mass_ : float
        Probability that the radius has to hold, to the model, so that it holds the photo often enough. Above
        ``1 - alpha`` the model is too sure of itself, below it not sure enough.

    Notes
    -----
    The score of a calibration photo is the model's probability up to the distance of the true place, ``F(d)``; the
    radius is the largest with ``F(r) <= mass_`` [1]_. The guarantee is that of :func:`conformal_quantile`. Infinite
    where the calibration set is too small for ``alpha``, or more than ``alpha`` of its photos lie where the model has
    no probability.

    References
    ----------
    .. [1] Chernozhukov, Wuethrich, Zhu (2021), Distributional conformal prediction, PNAS 118(48).

    Examples
    --------
    >>> from geocells.decoding import ConformalMass, ExpectedUtility
    >>> decoder = ExpectedUtility().fit([[47.4, 8.5], [47.4, 8.6], [59.3, 18.1]], [0, 0, 1])
    >>> probabilities, answers = [[0.9, 0.1]] * 9, [[47.4, 8.5]] * 9
    >>> truth = [[47.4, 8.5]] * 5 + [[47.4, 8.6]] * 4
    >>> radius = ConformalMass(decoder, alpha=0.5).fit(probabilities, answers, truth)
    >>> radius.predict([[0.9, 0.1]], [[47.4, 8.5]]).round(1).tolist()
    [7.5]
    """

    mass_: float

    def __init__(self, decoder: ExpectedUtility, alpha: float = 0.1) -> None:
        self.decoder = decoder
        self.alpha = alpha

    def fit(self, probabilities: ArrayLike, points: ArrayLike, true_coords: ArrayLike) -> Self:
        """Calibrate on photos that the classifier was not trained on.

        Parameters
        ----------
        probabilities : array-like or SciPy sparse, (n, n_classes)
            What the classifier answers.
        points : array-like, (n, 2)
            What is answered: of any decoder, the same that `predict` gets. Latitude, longitude in degrees.
        true_coords : array-like, (n, 2)
            Where the photos are.

        Returns
        -------
        self : ConformalMass

        Raises
        ------
        ValueError, TypeError
            When a row is unsound or the numbers of rows differ.
        """
        answers = check_coords(points, name="points", allow_empty=True).array
        places = check_coords(true_coords, name="true_coords", allow_empty=True).array
        if len(answers) != len(places):
            raise ValueError(
                f"true_coords must have one row for each of the {len(answers)} points; got {len(places)}."
            )
        distances = haversine(answers, places)
        masses = self.decoder.mass_within(probabilities, answers, distances[:, None])
        self.mass_ = conformal_quantile(masses[:, 0], self.alpha)
        return self

    def predict(self, probabilities: ArrayLike, points: ArrayLike) -> FloatArray:
        """Radius of each photo.

        Returns
        -------
        radii_km : (n,) float64
        """
        if not hasattr(self, "mass_"):
            raise ValueError("This ConformalMass is not calibrated: call fit first.")
        if not np.isfinite(self.mass_):
            return np.full(len(check_coords(points, name="points", allow_empty=True)), np.inf)
        return self.decoder.mass_radius(probabilities, points, self.mass_, beyond=True)


def _checked_alpha(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, 0.1 for 90 % say; got {alpha!r}.")
    return float(alpha)
