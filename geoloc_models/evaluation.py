"""Scores of predictions: country accuracy, share within a radius, median error, with intervals.

NumPy only: whatever made the predictions, they are judged alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geocells import sphere
from geoloc_models._errors import GeolocError

RADII_KM: tuple[float, ...] = (1.0, 25.0, 200.0, 750.0, 2500.0)

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What every model of the package answers with.

    Parameters
    ----------
    coords : ndarray
        (n, 2) float64, predicted latitude and longitude in degrees.
    countries : ndarray
        (n,) object, predicted countries.
    probabilities : ndarray or None
        (n, C) float32, one column per class, where the model has them.
    rows : ndarray
        (n,) int64, the row of the photo table each prediction is for.
    """

    coords: FloatArray
    countries: npt.NDArray[np.object_]
    probabilities: npt.NDArray[np.float32] | None
    rows: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.rows)
        lengths = {"coords": len(self.coords), "countries": len(self.countries)}
        if self.probabilities is not None:
            lengths["probabilities"] = len(self.probabilities)
        for name, length in lengths.items():
            if length != n:
                raise GeolocError(f"Predictions have {n} rows but {length} {name}.")

    @property
    def n_rows(self) -> int:
        """Number of predictions."""
        return len(self.rows)

    @property
    def confidence(self) -> npt.NDArray[np.float32] | None:
        """(n,) probability of the class each prediction answers with."""
        return None if self.probabilities is None else self.probabilities.max(axis=1)


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def bounds(self) -> list[float]:
        """The interval alone, lower bound first."""
        return [self.low, self.high]


@dataclass(frozen=True)
class Evaluation:
    """The figures of one model on one test set.

    Parameters
    ----------
    n_test : int
        Number of test images.
    country : Interval
        Share of images placed in the right country, in percent.
    within_km : dict of float to Interval
        Share of images placed at most so many kilometres away, in percent.
    median_km : Interval
        Median distance from the truth, in kilometres.
    """

    n_test: int
    country: Interval
    within_km: dict[float, Interval]
    median_km: Interval

    def to_dict(self) -> dict[str, Any]:
        """Arrange the figures as in ``results.json``; percentages and kilometres, radii as text."""
        return {
            "country": self.country.value,
            "within_km": {f"{r:g}": figure.value for r, figure in self.within_km.items()},
            "median_km": self.median_km.value,
            "interval": {
                "country": self.country.bounds,
                "within_km": {f"{r:g}": figure.bounds for r, figure in self.within_km.items()},
                "median_km": self.median_km.bounds,
            },
        }


def errors_km(predictions: Predictions, true_coords: npt.ArrayLike) -> FloatArray:
    """Great-circle distance of each prediction from the truth: (n,) float64, kilometres."""
    truth = np.asarray(true_coords, dtype=np.float64)
    if truth.shape != predictions.coords.shape:
        raise GeolocError(
            f"There are {predictions.n_rows} predictions but true coordinates of shape "
            f"{truth.shape}; each prediction needs one row (latitude, longitude)."
        )
    distances: FloatArray = sphere.haversine(predictions.coords, truth)
    return distances


def evaluate(
    predictions: Predictions,
    true_coords: npt.ArrayLike,
    true_countries: npt.ArrayLike,
    *,
    radii_km: Sequence[float] = RADII_KM,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Judge predictions by country, distance and median error.

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
        Lengths differ, or there is nothing to evaluate.

    Notes
    -----
    The intervals are the 2.5 % and 97.5 % percentiles over the samples (percentile bootstrap).
    They say how far another test set of the same kind could move the figures; that another
    training run moves them too, they do not know. O(n * n_bootstrap).
    """
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
    radii = [float(radius) for radius in radii_km]
    hits = np.column_stack(
        [predictions.countries == countries, *(distances <= radius for radius in radii)]
    ).astype(np.float64)

    random = np.random.default_rng(seed)
    shares = np.empty((n_bootstrap, hits.shape[1]))
    medians = np.empty(n_bootstrap)
    for sample in range(n_bootstrap):
        drawn = random.integers(n, size=n)
        shares[sample] = hits[drawn].mean(axis=0)
        medians[sample] = np.median(distances[drawn])

    figures = [
        _interval(100.0 * hits[:, column].mean(), 100.0 * shares[:, column])
        for column in range(hits.shape[1])
    ]
    return Evaluation(
        n_test=n,
        country=figures[0],
        within_km=dict(zip(radii, figures[1:], strict=True)),
        median_km=_interval(float(np.median(distances)), medians),
    )


def _interval(value: float, samples: FloatArray) -> Interval:
    low, high = np.percentile(samples, [2.5, 97.5]) if len(samples) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))


@dataclass(frozen=True)
class TrainingSummary:
    """What a guess without looking at the image would answer.

    Parameters
    ----------
    n_train : int
        Number of training images.
    majority_country : str
        The country most of them lie in; of equals, the first by name.
    centre : tuple of float
        Latitude and longitude of their spherical mean, in degrees.
    """

    n_train: int
    majority_country: str
    centre: tuple[float, float]


def summarise_training(coords: npt.ArrayLike, countries: npt.ArrayLike) -> TrainingSummary:
    """Summarise training images: (n, 2) degrees and (n,) countries."""
    coords = np.asarray(coords, dtype=np.float64)
    names, counts = np.unique(np.asarray(countries, dtype=object).astype(str), return_counts=True)
    latitude, longitude = sphere.spherical_mean(coords)
    return TrainingSummary(
        n_train=len(coords),
        majority_country=str(names[np.argmax(counts)]),
        centre=(float(latitude), float(longitude)),
    )


def references(
    summary: TrainingSummary, true_coords: npt.ArrayLike, true_countries: npt.ArrayLike
) -> dict[str, float]:
    """Figures of the two guesses that never look at the image.

    Parameters
    ----------
    summary : TrainingSummary
        Of the training images.
    true_coords : array-like
        (n, 2) latitude and longitude of the test images, in degrees.
    true_countries : array-like
        (n,) countries of the test images.

    Returns
    -------
    dict
        ``majority_country``: percent of test images in the country that leads the training
        images. ``centre_median_km``: median distance of the test images from the training centre.
    """
    coords = np.asarray(true_coords, dtype=np.float64)
    countries = np.asarray(true_countries, dtype=object)
    if len(coords) == 0:
        raise GeolocError("There is not one test image; references need at least one.")
    centre = np.broadcast_to(np.asarray(summary.centre, dtype=np.float64), coords.shape)
    return {
        "majority_country": float(100.0 * np.mean(countries == summary.majority_country)),
        "centre_median_km": float(np.median(sphere.haversine(centre, coords))),
    }
