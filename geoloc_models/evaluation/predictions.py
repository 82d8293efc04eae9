"""What every model answers with, and how far off that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geocells import sphere
from geoloc_models._errors import GeolocError

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
    """Great-circle distance of each prediction from the truth: (n,) float64, kilometres."""
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
