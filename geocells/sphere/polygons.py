"""Polygons on the map: (longitude, latitude) in degrees, as shapely and GeoPandas have them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import shapely
from shapely import affinity

from geocells.array_types import ArrayLike, FloatArray, IntArray, ObjectArray
from geocells.errors import refuse_rows
from geocells.sphere.distance import EARTH_RADIUS_KM
from geocells.sphere.means import to_unit_vectors

BORDER_STEP = 0.05
"""Most degrees between two of the points that stand for a border."""

ROWS_AT_A_TIME = 1_000_000
BOXES_PER_DEGREE = 4


class PolygonIndex:
    """Finds the polygon that holds a place, the first of several.

    Parameters
    ----------
    polygons : array-like (n_polygons,) of object
        Shapely Polygons or MultiPolygons in (longitude, latitude) degrees. A border belongs to its polygon; +180 and
        -180 are one meridian.

    Notes
    -----
    A tree of boxes leaves a few parts for each quarter degree. A part that holds all of it holds the places in it;
    prepared polygons decide the others.

    Examples
    --------
    >>> import shapely
    >>> index = PolygonIndex([shapely.box(0, 0, 2, 2), shapely.box(1, 0, 3, 2)])
    >>> index.first([[1.0, 1.5], [1.0, 2.5], [5.0, 1.0]]).tolist()
    [0, 1, -1]
    """

    def __init__(self, polygons: ArrayLike) -> None:
        outlines = np.asarray(polygons, dtype=object)
        self.parts, self.polygon_of_part = shapely.get_parts(outlines, return_index=True)
        shapely.prepare(self.parts)
        self._tree = shapely.STRtree(self.parts)

    def first(self, coords: ArrayLike) -> IntArray:
        """First polygon that holds each of (n, 2) latitudes and longitudes, (n,) int64; -1 where none does."""
        places = np.asarray(coords, dtype=np.float64).reshape(-1, 2)
        first = np.empty(len(places), dtype=np.int64)
        for start in range(0, len(places), ROWS_AT_A_TIME):
            part = slice(start, start + ROWS_AT_A_TIME)
            first[part] = self._first(*places[part].T)
        return first

    def _first(self, latitude: FloatArray, longitude: FloatArray) -> IntArray:
        twice = np.flatnonzero(np.abs(longitude) == 180.0)
        row = np.concatenate([np.arange(len(latitude)), twice])
        x, y = np.concatenate([longitude, -longitude[twice]]), latitude[row]
        corners = np.floor(np.stack([y, x]) * BOXES_PER_DEGREE)
        key = corners[0] * 1000 * BOXES_PER_DEGREE + corners[1]
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=np.nan))
        south, west = corners[:, order[starts]] / BOXES_PER_DEGREE
        side = 1 / BOXES_PER_DEGREE
        boxes = shapely.box(west, south, west + side, south + side)
        box, part = self._tree.query(boxes)
        meets = shapely.intersects(self.parts[part], boxes[box])
        box, part = box[meets], part[meets]
        holds_box = shapely.contains_properly(self.parts[part], boxes[box])
        # From parts and boxes to parts and the places in the boxes.
        n_places = np.diff(starts, append=len(key))[box]
        before = np.cumsum(n_places) - n_places
        place = order[np.arange(n_places.sum()) + np.repeat(starts[box] - before, n_places)]
        part, holds = np.repeat(part, n_places), np.repeat(holds_box, n_places)
        unsure = np.flatnonzero(~holds)
        # By part, so that one prepared polygon answers for all its places in turn.
        unsure = unsure[np.argsort(part[unsure], kind="stable")]
        some = place[unsure]
        holds[unsure] = shapely.intersects_xy(self.parts[part[unsure]], x[some], y[some])
        nowhere = np.iinfo(np.int64).max
        first = np.full(len(latitude), nowhere)
        np.minimum.at(first, row[place[holds]], self.polygon_of_part[part[holds]])
        return np.where(first == nowhere, -1, first)


def only_polygons(geometry: Any) -> Any:
    """Drop the points and lines in which a polygon merely touches another."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    kept = [part for part in parts if part.geom_type == "Polygon" and part.area > 0.0]
    return kept[0] if len(kept) == 1 else shapely.MultiPolygon(kept)


def repaired(polygon: shapely.Geometry) -> shapely.Geometry:
    """Return the polygon itself where it is valid, else the valid polygons nearest to it."""
    if shapely.is_valid(polygon):
        return polygon
    mended: shapely.Geometry = shapely.make_valid(polygon, method="structure", keep_collapsed=False)
    return mended


def refuse_polygons_off_globe(polygons: ObjectArray, name: str) -> None:
    """Raise where a polygon, of (n,) shapely geometries, leaves the globe; longitudes may run on to 360 degrees."""
    corners = shapely.bounds(polygons)
    west, south, east, north = corners.T
    refuse_rows(
        (south < -90.0) | (north > 90.0) | (west < -180.0) | (east > 360.0),
        f"{name} must lie on the globe, in degrees (longitude as x, latitude as y)",
        "do not",
        lambda row: (
            f"from {tuple(corners[row, :2].tolist())} to {tuple(corners[row, 2:].tolist())}"
        ),
        "Is the coordinate reference system missing?",
    )


def cut_at_antimeridian(polygons: ObjectArray) -> ObjectArray:
    """Bring what lies beyond 180 degrees east or west back to the map, in place.

    Parameters
    ----------
    polygons : (n,) object
        Shapely Polygons or MultiPolygons whose longitudes may run on past +-180 degrees.

    Returns
    -------
    polygons : (n,) object
        The same array; a polygon that the antimeridian cuts is a MultiPolygon now, as GeoJSON has it.
    """
    west, _, east, _ = shapely.bounds(polygons).T
    first, last = np.floor((west + 180.0) / 360.0), np.ceil((east - 180.0) / 360.0)
    for turn in np.unique(first[(first == last) & (first != 0.0)]):
        rows = np.flatnonzero((first == turn) & (last == turn))
        polygons[rows] = shapely.transform(polygons[rows], partial(np.add, (-360.0 * turn, 0.0)))
    for row in np.flatnonzero(first < last):
        parts = []
        for turn in range(int(first[row]), int(last[row]) + 1):
            window = shapely.box(360.0 * turn - 180.0, -90.0, 360.0 * turn + 180.0, 90.0)
            inside = only_polygons(shapely.intersection(polygons[row], window))
            parts.append(affinity.translate(inside, xoff=-360.0 * turn))
        polygons[row] = only_polygons(parts)
    return polygons


def areas_km2(polygons: ObjectArray) -> FloatArray:
    """Area on the sphere of polygons whose sides are straight on the map.

    Parameters
    ----------
    polygons : (n,) object
        Shapely Polygons or MultiPolygons, exterior rings counterclockwise and holes clockwise.

    Returns
    -------
    areas : (n,) float64

    Notes
    -----
    The integral of ``-R^2 sin(latitude) d(longitude)`` along the borders, exact for every side.
    """
    parts, owner_of_part = shapely.get_parts(polygons, return_index=True)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    longitudes, latitudes = np.radians(points).T
    middles, halves = (latitudes[1:] + latitudes[:-1]) / 2, np.diff(latitudes) / 2
    sides = np.diff(longitudes) * np.sin(middles) * np.sinc(halves / np.pi)
    is_side = ring[1:] == ring[:-1]
    owners = owner_of_part[part_of_ring[ring[1:][is_side]]]
    areas: Any = np.bincount(owners, -sides[is_side], len(polygons)) * EARTH_RADIUS_KM**2
    return np.asarray(areas, dtype=np.float64)


def border_points(polygons: ObjectArray) -> tuple[FloatArray, IntArray]:
    """Points of borders as unit vectors (n, 3), every 0.05 degrees at least, and the polygon of each."""
    dense = shapely.segmentize(polygons, BORDER_STEP)
    points, owners = shapely.get_coordinates(dense, return_index=True)
    return to_unit_vectors(points[:, ::-1]), owners
