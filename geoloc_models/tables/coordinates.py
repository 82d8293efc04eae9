"""Coordinates from outside, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from geoloc_models._errors import GeolocError


def as_coords(coords: ArrayLike) -> np.ndarray:
    """Latitude, longitude in degrees as (n, 2) float64; any finite longitude, it wraps around.

    Raises
    ------
    GeolocError
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
    check_coordinates(latitude, np.where(np.isfinite(longitude), 0.0, np.nan), "coords")
    return np.ascontiguousarray(points)


def check_coordinates(
    latitude: np.ndarray, longitude: np.ndarray, where: str, *, first_row: int = 0
) -> None:
    """Refuse coordinates that are missing, out of range or apparently swapped.

    Parameters
    ----------
    latitude, longitude : ndarray (n,) float64
        Degrees.
    where : str
        Name of the file or table, for the message.
    first_row : int
        Number of the first row, for the message: 1 for a file, 0 for an array.

    Raises
    ------
    GeolocError
        One sentence with the first bad row and what to do.
    """
    n = len(latitude)
    for name, values in (("latitude", latitude), ("longitude", longitude)):
        bad = ~np.isfinite(values)
        if bad.any():
            raise GeolocError(
                f"Every photo needs a {name}; {bad.sum()} of {n} rows of {where} have none "
                f"(first: row {int(bad.argmax()) + first_row}). Fill in or remove these rows."
            )
    bad = np.abs(latitude) > 90
    if bad.any():
        swapped = (np.abs(longitude[bad]) <= 90).all() and (np.abs(latitude[bad]) <= 180).all()
        # One odd row among many is a slip; swapped columns show in all rows that can show it.
        swapped &= bad.sum() > 1 or n == 1 or bool((np.abs(longitude) <= 90).all())
        first = int(bad.argmax())
        raise GeolocError(
            f"Latitude must lie in [-90, 90] degrees; {bad.sum()} of {n} rows of {where} do not "
            f"(first: row {first + first_row}, {latitude[first]:g}). "
            + (
                "Are latitude and longitude swapped?"
                if swapped
                else "Correct or remove these rows."
            )
        )
    bad = np.abs(longitude) > 180
    if bad.any():
        first = int(bad.argmax())
        turned = bool(((longitude[bad] > 180) & (longitude[bad] <= 360)).all())
        raise GeolocError(
            f"Longitude must lie in [-180, 180] degrees; {bad.sum()} of {n} rows of {where} do not "
            f"(first: row {first + first_row}, {longitude[first]:g}). "
            + (
                "If they run from 0 to 360, subtract 360 from those above 180."
                if turned
                else "Correct or remove these rows."
            )
        )
