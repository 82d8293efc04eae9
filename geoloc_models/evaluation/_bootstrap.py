"""What each test image adds to the figures, and the figures of samples of test images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_models._errors import GeolocError
from geoloc_models.evaluation.geoscore import geoscores
from geoloc_models.evaluation.predictions import FloatArray, Predictions, errors_km
from geoloc_models.evaluation.record import Interval

Drawn = Any  # an index of rows: (n,) int64, or ... for each row once


@dataclass(frozen=True)
class Scored:
    """Test images with what each adds to the figures."""

    distances: FloatArray
    shares: FloatArray  # (n, 2 + radii): country, radii, GeoScore; the mean of a column is a figure

    def figures(self, drawn: Drawn = ...) -> FloatArray:
        """Country, radii, GeoScore, median of the drawn rows: (3 + radii,)."""
        means = self.shares[drawn].mean(axis=0)
        return np.append(means, np.median(self.distances[drawn]))


def score(
    predictions: Predictions,
    true_coords: npt.ArrayLike,
    true_countries: npt.ArrayLike,
    radii_km: Sequence[float],
) -> Scored:
    """Score each prediction; the arguments of :func:`geoloc_models.evaluation.evaluate`."""
    n = predictions.n_rows
    countries = np.asarray(true_countries, dtype=object)
    if len(countries) != n:
        raise GeolocError(f"There are {n} predictions but {len(countries)} true countries.")
    if n == 0:
        raise GeolocError(
            "There is not one prediction to evaluate; were all test images broken, or is the "
            "test part of the split empty?"
        )
    distances = errors_km(predictions, true_coords)
    hits = [predictions.countries == countries, *(distances <= radius for radius in radii_km)]
    percent = [100.0 * np.asarray(hit, dtype=np.float64) for hit in hits]
    return Scored(distances, np.column_stack([*percent, geoscores(distances)]))


def bootstrap(
    figures: Callable[[Drawn], FloatArray], n_rows: int, n_samples: int, seed: int
) -> FloatArray:
    """Figures of samples drawn with replacement: (n_samples, n_figures)."""
    random = np.random.default_rng(seed)
    n_figures = len(figures(...))
    samples = np.empty((n_samples, n_figures))
    for sample in range(n_samples):
        samples[sample] = figures(random.integers(n_rows, size=n_rows))
    return samples


def interval(value: float, samples: FloatArray) -> Interval:
    """Value with the 2.5 % and 97.5 % percentiles of samples; NaN where there are none."""
    low, high = np.percentile(samples, [2.5, 97.5]) if len(samples) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))
