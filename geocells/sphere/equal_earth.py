"""The Equal Earth projection."""

from __future__ import annotations

import numpy as np

from geocells._types import ArrayLike, FloatArray
from geocells.sphere.means import _pairs

A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796


def equal_earth(coords: ArrayLike) -> FloatArray:
    """Project to Equal Earth, on a sphere of radius 1.

    Parameters
    ----------
    coords : array-like, (n, 2)
        Latitude, longitude in degrees.

    Returns
    -------
    xy : (n, 2) float64
        x eastwards in [-2.7066, 2.7066], y northwards in [-1.3174, 1.3174].

    Notes
    -----
    ``sin t = (sqrt 3 / 2) sin phi``, ``x = 2 sqrt 3 lambda cos t / (3 (9 A4 t^8 + 7 A3 t^6 + 3 A2 t^2 + A1))``,
    ``y = A4 t^9 + A3 t^7 + A2 t^3 + A1 t``.

    References
    ----------
    Savric, Patterson, Jenny (2019), The Equal Earth map projection, IJGIS 33(3).

    Examples
    --------
    >>> from geocells.sphere import equal_earth
    >>> equal_earth([[0.0, 0.0], [45.0, 90.0]]).round(3).tolist()
    [[0.0, 0.0], [1.16, 0.86]]
    """
    latitude, longitude = np.radians(_pairs(coords, "coords")).T
    t = np.arcsin(np.sqrt(3.0) / 2.0 * np.sin(latitude))
    t2 = t * t
    t6 = t2 * t2 * t2
    slope = 9.0 * A4 * t6 * t2 + 7.0 * A3 * t6 + 3.0 * A2 * t2 + A1
    x = 2.0 * np.sqrt(3.0) * longitude * np.cos(t) / (3.0 * slope)
    y = t * (A4 * t6 * t2 + A3 * t6 + A2 * t2 + A1)
    return np.column_stack([x, y])
