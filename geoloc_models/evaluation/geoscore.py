"""GeoScore: the points of the guessing game."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GEOSCORE_BEST = 5000.0
GEOSCORE_KM = 1492.7


def geoscores(distances_km: npt.ArrayLike) -> npt.NDArray[np.float64]:
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
