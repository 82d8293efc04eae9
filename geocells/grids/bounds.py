"""Boxes on the globe: of the data, of polygons, of what the caller names."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely

from geocells.array_types import FloatArray
from geocells.frames import shapes_of
from geocells.grids.latlon import wrap
from geocells.jit import kernel, over_rows
from geocells.sphere.polygons import refuse_polygons_off_globe

Box = tuple[float, float, float, float]

N_BUCKETS = 3600


def box_of_coords(coords: FloatArray, extremes: Box | None = None) -> Box:
    """South, west, north, east of the smallest box that holds coordinates.

    Parameters
    ----------
    coords : (n, 2) float64
        Latitude, longitude in degrees, at least one row.
    extremes : tuple of float, optional
        Least latitude, least longitude, greatest latitude, greatest longitude, where they are known.

    Returns
    -------
    box : tuple of float
        Degrees. West to east is the shortest arc that holds every longitude, over the antimeridian where that is
        shorter (then west > east). Data around the whole circle, with no gap of 0.2 degrees, get all of it.
    """
    south, west, north, east = map(float, extremes or (*coords.min(axis=0), *coords.max(axis=0)))
    if east - west > 180.0:
        # Else the gap around the back is at least as wide as any other.
        wests, easts = longitude_buckets(coords)
        west, east = shortest_arc(wests[np.isfinite(wests)], easts[np.isfinite(easts)])
    return south, west, north, east


def longitude_buckets(coords: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Least and greatest longitude in each of 3600 equal buckets of the circle; infinite where there is none."""
    blocks = np.array(over_rows(extremes_of_buckets, len(coords), coords, N_BUCKETS))
    return blocks[:, 0].min(axis=0), blocks[:, 1].max(axis=0)


@kernel
def extremes_of_buckets(start, stop, coords, n_buckets):
    """Least and greatest longitude of the block's rows in each of ``n_buckets`` buckets, (2, n_buckets)."""
    extremes = np.empty((2, n_buckets))
    extremes[0], extremes[1] = np.inf, -np.inf
    per_degree = n_buckets / 360.0
    for row in range(start, stop):
        longitude = coords[row, 1]
        bucket = min(np.int64((longitude + 180.0) * per_degree), n_buckets - 1)
        extremes[0, bucket] = min(extremes[0, bucket], longitude)
        extremes[1, bucket] = max(extremes[1, bucket], longitude)
    return extremes


def shortest_arc(wests: FloatArray, easts: FloatArray) -> tuple[float, float]:
    """West and east end of the shortest arc that holds the arcs ``wests[i]..easts[i]``, none over the antimeridian.

    The whole circle, -180 to 180, when no gap between them reaches 0.2 degrees.
    """
    order = np.argsort(wests, kind="stable")
    wests = wests[order]
    easts = np.maximum.accumulate(easts[order])
    gaps = np.append(wests[1:], wests[0] + 360.0) - easts
    widest = int(np.argmax(gaps))
    if gaps[widest] < 720.0 / N_BUCKETS:
        return -180.0, 180.0
    west, east = float(wests[(widest + 1) % len(wests)]), float(easts[widest])
    # An arc that ends exactly on the antimeridian is written without crossing it.
    if west == 180.0 and east < 180.0:
        west = -180.0
    if east == -180.0 and west > -180.0:
        east = 180.0
    return west, east


def box_of_bounds(bounds: Any) -> Box:
    """South, west, north, east of a tuple, a polygon, or an array, GeoSeries or GeoDataFrame of polygons.

    Raises
    ------
    ValueError, TypeError
        When it is none of these, or has no extent.
    """
    shapes = shapes_of(bounds)
    try:
        values = np.asarray(bounds if shapes is None else shapes, dtype=object).ravel()
    except ValueError:
        values = np.empty(0, dtype=object)
    if len(values) and all(isinstance(value, shapely.Geometry) for value in values):
        return _box_of_polygons(values)
    try:
        south, west, north, east = (float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(
            "bounds must be (south, west, north, east) in degrees, a polygon, or a GeoSeries or GeoDataFrame of "
            f"polygons; got {bounds!r}."
        ) from None
    if not (-90.0 <= south <= north <= 90.0 and abs(west) <= 180.0 and abs(east) <= 180.0):
        raise ValueError(
            "bounds must be (south, west, north, east) in degrees with -90 <= south <= north <= 90 and longitudes in "
            f"[-180, 180]; got {(south, west, north, east)}. Are latitude and longitude swapped?"
        )
    return south, west, north, east


def _box_of_polygons(polygons: Any) -> Box:
    parts = shapely.get_parts(polygons)
    parts = parts[~shapely.is_empty(parts)]
    if len(parts) == 0:
        raise ValueError("bounds holds only empty polygons.")
    refuse_polygons_off_globe(polygons, "bounds")
    west, south, east, north = shapely.total_bounds(parts).tolist()
    if east > 180.0:
        return south, wrap(west), north, wrap(east)
    wests, _, easts, _ = shapely.bounds(parts).T
    west, east = shortest_arc(wests, easts)
    return south, west, north, east
