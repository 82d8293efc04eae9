"""How near the training photos are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import BallTree

from geocells.sphere import EARTH_RADIUS_KM
from geoloc_models._errors import GeolocError


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
    A ball tree: O((n + m) log m).

    Examples
    --------
    >>> nearest_km([[0.0, 1.0]], [[0.0, 0.0], [0.0, 3.0]]).round(1).tolist()
    [111.2]
    """
    points, known = (
        np.radians(np.asarray(each, dtype=np.float64).reshape(-1, 2))
        for each in (coords, training_coords)
    )
    if len(known) == 0:
        raise GeolocError("There is not one training photo to measure the distance to.")
    if len(points) == 0:
        return np.empty(0)
    distances, _ = BallTree(known, metric="haversine").query(points, k=1)
    return np.asarray(EARTH_RADIUS_KM * distances[:, 0], dtype=np.float64)
