"""Great-circle distances."""

from __future__ import annotations

import numpy as np

from geocells._jit import over_rows
from geocells._types import ArrayLike, FloatArray
from geocells.sphere import _kernels

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the earth (IUGG) in km."""


def _pairs(coords: ArrayLike, name: str) -> FloatArray:
    pairs = np.atleast_2d(np.ascontiguousarray(coords, dtype=np.float64))
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(
            f"{name} must hold (latitude, longitude) pairs, shape (n, 2) or (2,); got shape {np.shape(coords)}."
        )
    return pairs


def haversine(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Great-circle distance, row by row.

    Parameters
    ----------
    a, b : array-like, (n, 2) or (2,)
        Latitude, longitude in degrees. A single point is measured against every row of the other side.

    Returns
    -------
    distances : (n,) float64
        Kilometres on a sphere of radius 6371.0088 km.

    Raises
    ------
    ValueError
        When the shapes do not fit.

    Notes
    -----
    ``d = 2 R asin sqrt(sin^2(dphi / 2) + cos(phi_1) cos(phi_2) sin^2(dlambda / 2))``, in float64 with the root's
    argument clipped to [0, 1]: exact to a millimetre from millimetres to a kilometre short of the antipode, there to
    0.2 m.

    Examples
    --------
    >>> from geocells import sphere
    >>> zurich, stockholm = (47.3769, 8.5417), (59.3293, 18.0686)
    >>> float(sphere.haversine(zurich, stockholm)[0].round(1))
    1468.4
    """
    left, right = _pairs(a, "a"), _pairs(b, "b")
    n_left, n_right = len(left), len(right)
    if n_left != n_right and 1 not in (n_left, n_right):
        raise ValueError(
            f"a and b must have the same number of rows, or one of them a single row; got {n_left} and {n_right}."
        )
    n_rows = 0 if 0 in (n_left, n_right) else max(n_left, n_right)
    distances = np.empty(n_rows)
    over_rows(_kernels.haversine_rows, n_rows, left, right, EARTH_RADIUS_KM, distances)
    return distances


def haversine_matrix(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Great-circle distance of every point of ``a`` to every point of ``b``.

    Parameters
    ----------
    a : array-like, (n, 2)
    b : array-like, (m, 2)
        Latitude, longitude in degrees.

    Returns
    -------
    distances : (n, m) float64
        Kilometres; the formula is :func:`haversine`'s.

    Examples
    --------
    >>> from geocells.sphere import haversine_matrix
    >>> haversine_matrix([[0.0, 0.0]], [[0.0, 1.0], [0.0, 180.0]]).round(1).tolist()
    [[111.2, 20015.1]]
    """
    left, right = _pairs(a, "a"), _pairs(b, "b")
    distances = np.empty((len(left), len(right)))
    over_rows(_kernels.haversine_table, len(left), left, right, EARTH_RADIUS_KM, distances)
    return distances
