"""What to hold figures against: guesses without a look at the image, the nearest training photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geocells import sphere
from geoloc_models.errors import GeolocError


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
    """Summarise training images: (n, 2) degrees and (n,) countries.

    Examples
    --------
    >>> from geoloc_models.evaluation import summarise_training
    >>> summarise_training([[46.9, 7.4], [47.4, 8.5], [59.3, 18.1]], ["CH", "CH", "SE"])  # doctest: +ELLIPSIS
    TrainingSummary(...)
    """
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
        raise GeolocError("There is no test image; references need at least one.")
    centre = np.broadcast_to(np.asarray(summary.centre, dtype=np.float64), coords.shape)
    return {
        "majority_country": float(100.0 * np.mean(countries == summary.majority_country)),
        "centre_median_km": float(np.median(sphere.haversine(centre, coords))),
    }


def nearest_km(coords: npt.ArrayLike, training_coords: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Distance of each photo from the nearest training photo.

    Parameters
    ----------
    coords : array-like
        (n, 2) latitude and longitude in degrees.
    training_coords : array-like
        (m, 2) likewise, at least one.

    Returns
    -------
    ndarray
        (n,) float64, great-circle distances in kilometres.

    Notes
    -----
    A k-d tree of unit vectors, as the chord grows with the distance: O((n + m) log m).

    Examples
    --------
    >>> nearest_km([[0.0, 1.0]], [[0.0, 0.0], [0.0, 3.0]]).round(1).tolist()
    [111.2]
    """
    points, known = (
        np.asarray(each, dtype=np.float64).reshape(-1, 2) for each in (coords, training_coords)
    )
    if len(known) == 0:
        raise GeolocError("There is no training photo to measure the distance to.")
    _, nearest = cKDTree(sphere.to_unit_vectors(known)).query(sphere.to_unit_vectors(points))
    distances: npt.NDArray[np.float64] = sphere.haversine(points, known[nearest])
    return distances
