"""Judge predictions: country, share within a radius, median error, GeoScore."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from geoloc_models.evaluation._bootstrap import bootstrap, interval, score
from geoloc_models.evaluation.predictions import Predictions
from geoloc_models.evaluation.record import Evaluation

RADII_KM: tuple[float, ...] = (1.0, 25.0, 200.0, 750.0, 2500.0)


def evaluate(
    predictions: Predictions,
    true_coords: npt.ArrayLike,
    true_countries: npt.ArrayLike,
    *,
    radii_km: Sequence[float] = RADII_KM,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Judge predictions by country, distance, median error and GeoScore.

    Parameters
    ----------
    predictions : Predictions
        One row per test image.
    true_coords : array-like
        (n, 2) latitude and longitude in degrees, in the order of the predictions.
    true_countries : array-like
        (n,) countries, likewise.
    radii_km : sequence of float
        "Within r" counts distances d <= r.
    n_bootstrap : int, default 1000
        Samples of the test set, drawn with replacement, behind each interval.
    seed : int, default 0
        Seed of these draws.

    Returns
    -------
    Evaluation

    Raises
    ------
    GeolocError
        Lengths differ, a prediction is not a place, or there is nothing to evaluate.

    Notes
    -----
    The intervals are the 2.5 % and 97.5 % percentiles over the samples (percentile bootstrap).
    They say how far another test set of the same kind could move the figures; that another
    training run moves them too, they do not know
    (:func:`~geoloc_models.evaluation.over_seeds` does). O(n * n_bootstrap).
    """
    scored = score(predictions, true_coords, true_countries, radii_km)
    samples = bootstrap(scored.figures, len(scored.distances), n_bootstrap, seed)
    country, *within, geoscore, median = (
        interval(value, drawn) for value, drawn in zip(scored.figures(), samples.T, strict=True)
    )
    return Evaluation(
        n_test=len(scored.distances),
        country=country,
        within_km=dict(zip(map(float, radii_km), within, strict=True)),
        median_km=median,
        geoscore=geoscore,
    )
