"""Coordinates from outside, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from geocells import tables
from geoloc_models.errors import GeolocError


def as_coords(coords: ArrayLike) -> np.ndarray:
    """Latitude, longitude in degrees as (n, 2) float64; any finite longitude, it wraps around.

    Raises
    ------
    ValueError
        If the shape is another, a value is not finite, or a latitude is outside [-90, 90].
    """
    points = np.asarray(coords, dtype=np.float64)
    if points.size == 0:
        points = points.reshape(0, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise GeolocError(
            f"Coordinates must have shape (n, 2), latitude and longitude; got {points.shape}."
        )
    latitude, longitude = points[:, 0], points[:, 1]
    # Only missing longitudes are refused here: 0 stands for any finite one.
    tables.check_coordinates(latitude, np.where(np.isfinite(longitude), 0.0, np.nan), "coords")
    return np.ascontiguousarray(points)
