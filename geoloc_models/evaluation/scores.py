"""Judge predictions: country, share within a radius, median error, GeoScore; with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from geocells import sphere
from geoloc_models.errors import GeolocError

FloatArray = npt.NDArray[np.float64]
RowIndex = Any  # (n,) int64, or ... for each row once

RADII_KM: tuple[float, ...] = (1.0, 25.0, 200.0, 750.0, 2500.0)
GEOSCORE_BEST = 5000.0
GEOSCORE_KM = 1492.7


@dataclass(frozen=True)
class Predictions:
    """Answers of a model.

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

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions
    >>> countries = np.array(["CH"], dtype=object)
    >>> Predictions(np.array([[46.9, 7.4]]), countries, None, np.array([0])).coords.shape
    (1, 2)
    """

    coords: FloatArray
    countries: npt.NDArray[np.object_]
    probabilities: npt.NDArray[np.float32] | None
    rows: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        for name in ("coords", "countries", "probabilities"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.rows):
                raise GeolocError(
                    f"Predictions have {len(self.rows)} rows but {len(values)} {name}."
                )

    def take(self, positions: npt.ArrayLike) -> Predictions:
        """Predictions at these positions, (k,) int, in this order."""
        at = np.asarray(positions, dtype=np.int64)
        probabilities = None if self.probabilities is None else self.probabilities[at]
        return Predictions(self.coords[at], self.countries[at], probabilities, self.rows[at])

    @property
    def n_rows(self) -> int:
        """Number of predictions."""
        return len(self.rows)

    @property
    def confidence(self) -> npt.NDArray[np.float32] | None:
        """(n,) probability of the class each prediction answers with."""
        return None if self.probabilities is None else self.probabilities.max(axis=1)


def errors_km(predictions: Predictions, true_coords: npt.ArrayLike) -> FloatArray:
    """Great-circle distance of each prediction from the truth: (n,) float64, kilometres.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, errors_km
    >>> countries = np.array(["CH"], dtype=object)
    >>> answers = Predictions(np.array([[47.3769, 8.5417]]), countries, None, np.array([0]))
    >>> errors_km(answers, [[59.3293, 18.0686]]).round(1).tolist()
    [1468.4]
    """
    truth = np.asarray(true_coords, dtype=np.float64)
    if truth.shape != predictions.coords.shape:
        raise GeolocError(
            f"There are {predictions.n_rows} predictions but true coordinates of shape "
            f"{truth.shape}; each prediction needs one row (latitude, longitude)."
        )
    for name, coords in (("predictions", predictions.coords), ("true coordinates", truth)):
        is_bad = ~np.isfinite(coords).all(axis=1)
        if is_bad.any():
            raise GeolocError(
                f"{is_bad.sum()} of {len(coords)} {name} are not finite numbers (first: row "
                f"{predictions.rows[is_bad][0]} of the photo table), so they have no distance."
            )
    distances: FloatArray = sphere.haversine(predictions.coords, truth)
    return distances


def geoscores(distances_km: npt.ArrayLike) -> FloatArray:
    """GeoScore of each distance, as in the game: 5000 for none, falling by a factor e in 1492.7 km.

    Parameters
    ----------
    distances_km : array-like
        (n,) distances from the truth, in kilometres.

    Returns
    -------
    ndarray
        (n,) float64, ``5000 * exp(-d / 1492.7)``.

    Examples
    --------
    >>> geoscores([0.0, 1492.7]).round(1).tolist()
    [5000.0, 1839.4]
    """
    return GEOSCORE_BEST * np.exp(-np.asarray(distances_km, dtype=np.float64) / GEOSCORE_KM)


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; NaN bounds where there is none."""

    value: float
    low: float
    high: float

    @property
    def bounds(self) -> list[float]:
        """The interval alone, lower bound first."""
        return [self.low, self.high]

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite(self.bounds).all())


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
    geoscore : Interval
        Mean of ``5000 * exp(-d / 1492.7)``, distances d in kilometres.
    n_runs : int, default 1
        Training runs behind the figures. With 1, intervals are over test images; with more
        (:func:`~geoloc_models.evaluation.over_seeds`), over runs.
    """

    n_test: int
    country: Interval
    within_km: dict[float, Interval]
    median_km: Interval
    geoscore: Interval
    n_runs: int = 1

    def figures(self) -> dict[str, Interval]:
        """All figures by name: ``country``, ``1 km`` and so on, ``median_km``, ``geoscore``."""
        within = {f"{radius:g} km": share for radius, share in self.within_km.items()}
        return {
            "country": self.country,
            **within,
            "median_km": self.median_km,
            "geoscore": self.geoscore,
        }

    def to_dict(self) -> dict[str, Any]:
        """Arrange the figures as in ``results.json``; percentages and kilometres, radii as text."""

        def arranged(part: Callable[[Interval], Any]) -> dict[str, Any]:
            return {
                "country": part(self.country),
                "within_km": {f"{r:g}": part(figure) for r, figure in self.within_km.items()},
                "median_km": part(self.median_km),
                "geoscore": part(self.geoscore),
            }

        content = {
            **arranged(lambda figure: figure.value),
            "interval": arranged(lambda figure: figure.bounds if figure.is_known else None),
        }
        return content if self.n_runs == 1 else {**content, "n_runs": self.n_runs}

    @classmethod
    def from_figures(
        cls, figures: Sequence[Interval], radii_km: Sequence[float], n_test: int, n_runs: int = 1
    ) -> Self:
        """Evaluation of figures in the order of :meth:`ScoredImages.figures`."""
        country, *within, geoscore, median = figures
        within_km = dict(zip(map(float, radii_km), within, strict=True))
        return cls(n_test, country, within_km, median, geoscore, n_runs)


@dataclass(frozen=True)
class ScoredImages:
    """Test images with what each adds to the figures."""

    distances: FloatArray
    shares: FloatArray  # (n, 2 + radii): country, radii, GeoScore; the mean of a column is a figure

    def figures(self, rows: RowIndex = ...) -> FloatArray:
        """Country, radii, GeoScore, median of these rows: (3 + radii,)."""
        means = self.shares[rows].mean(axis=0)
        return np.append(means, np.median(self.distances[rows]))


def score(
    predictions: Predictions,
    true_coords: npt.ArrayLike,
    true_countries: npt.ArrayLike,
    radii_km: Sequence[float],
) -> ScoredImages:
    """Score each prediction; the arguments of :func:`geoloc_models.evaluation.evaluate`."""
    n = predictions.n_rows
    countries = np.asarray(true_countries, dtype=object)
    if len(countries) != n:
        raise GeolocError(f"There are {n} predictions but {len(countries)} true countries.")
    if n == 0:
        raise GeolocError(
            "There is no prediction to evaluate; were all test images broken, or is the "
            "test part of the split empty?"
        )
    distances = errors_km(predictions, true_coords)
    hits = [predictions.countries == countries, *(distances <= radius for radius in radii_km)]
    percent = [100.0 * np.asarray(hit, dtype=np.float64) for hit in hits]
    return ScoredImages(distances, np.column_stack([*percent, geoscores(distances)]))


def bootstrap(
    figures: Callable[[RowIndex], FloatArray], n_rows: int, n_samples: int, seed: int
) -> list[Interval]:
    """Figures with the 2.5 % and 97.5 % percentiles over samples of the rows.

    Parameters
    ----------
    figures : callable
        Gives the (k,) figures of an index of rows; ``...`` stands for each row once.
    n_rows, n_samples, seed : int
        Rows to draw from, with replacement; samples, 0 for no interval; seed of the draws.
    """
    random = np.random.default_rng(seed)
    values = figures(...)
    samples = np.empty((n_samples, len(values)))
    for sample in range(n_samples):
        samples[sample] = figures(random.integers(n_rows, size=n_rows))
    if n_samples:
        low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    else:
        low = high = np.full(len(values), np.nan)
    return [
        Interval(*each) for each in zip(values.tolist(), low.tolist(), high.tolist(), strict=True)
    ]


def evaluate(
    predictions: Predictions,
    true_coords: npt.ArrayLike,
    true_countries: npt.ArrayLike,
    *,
    radii_km: Sequence[float] = RADII_KM,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Evaluate predictions by country, distance, median error and GeoScore.

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
    They are of the choice of test images, not of the training run: see
    :func:`~geoloc_models.evaluation.over_seeds`. O(n * n_bootstrap).

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, evaluate
    >>> countries = np.array(["CH", "SE"], dtype=object)
    >>> answers = Predictions(np.array([[46.9, 7.4], [59.3, 18.1]]), countries, None, np.arange(2))
    >>> evaluate(answers, [[46.9, 7.4], [63.8, 20.3]], countries).figures()["25 km"].value
    50.0
    """
    scored = score(predictions, true_coords, true_countries, radii_km)
    n = len(scored.distances)
    figures = bootstrap(scored.figures, n, n_bootstrap, seed)
    return Evaluation.from_figures(figures, radii_km, n)
